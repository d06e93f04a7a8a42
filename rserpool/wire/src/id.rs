//! Names of things: pool handles, pool element identifiers, server identifiers.

use std::cmp::Ordering;
use std::fmt;

use bytes::Bytes;
use sctp_user_core::ShownText;
use thiserror::Error;

/// Identifier of a pool element: random, unique in its pool; 0 means undefined.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct PeId(pub u32);

/// Identifier of a registrar: random; 0 means undefined or, as the receiver of an ENRP message, all
/// registrars. It has nothing to do with a [`PeId`] of the same value.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ServerId(pub u32);

impl PeId {
    /// 0: not a valid identifier.
    pub const UNDEFINED: PeId = PeId(0);

    /// True for 0.
    pub const fn is_undefined(self) -> bool {
        self.0 == 0
    }
}

impl ServerId {
    /// 0: not a valid identifier. As the receiver of a message: the whole group.
    pub const UNDEFINED: ServerId = ServerId(0);

    /// True for 0.
    pub const fn is_undefined(self) -> bool {
        self.0 == 0
    }
}

macro_rules! print_id {
    ($($name:ident)*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "${:08x}", self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    )*};
}
print_id!(PeId ServerId);

/// Name of a pool: a non-empty byte string.
///
/// Handles are ordered as registrars transfer them in handle tables: shorter ones first, and those
/// of equal length by their bytes.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PoolHandle(Bytes);

impl PoolHandle {
    /// The longest handle that every implementation accepts. A longer one ends the process of an
    /// RSPLIB registrar, so [`PoolHandle::new`] refuses it. Decoding accepts it, so that a
    /// registrar can answer with an error.
    pub const MAX_LEN: usize = 32;

    /// A handle of 1 to [`PoolHandle::MAX_LEN`] bytes.
    ///
    /// # Errors
    /// When it is empty or longer.
    pub fn new(handle: impl AsRef<[u8]>) -> Result<Self, InvalidPoolHandle> {
        let handle = handle.as_ref();
        if handle.is_empty() || handle.len() > Self::MAX_LEN {
            return Err(InvalidPoolHandle { len: handle.len() });
        }
        Ok(PoolHandle(Bytes::copy_from_slice(handle)))
    }

    /// A handle as it was received, of any length except 0.
    pub(crate) fn from_wire(handle: &[u8]) -> Option<Self> {
        (!handle.is_empty()).then(|| PoolHandle(Bytes::copy_from_slice(handle)))
    }

    /// The bytes of the handle, at least one.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Number of bytes.
    #[expect(clippy::len_without_is_empty, reason = "a handle is never empty")]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True when it is longer than [`PoolHandle::MAX_LEN`]. Only a received handle can be.
    pub fn is_too_long(&self) -> bool {
        self.0.len() > Self::MAX_LEN
    }
}

impl Ord for PoolHandle {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.len().cmp(&other.0.len()).then_with(|| self.0.cmp(&other.0))
    }
}

impl PartialOrd for PoolHandle {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl std::str::FromStr for PoolHandle {
    type Err = InvalidPoolHandle;
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        PoolHandle::new(s)
    }
}

impl fmt::Display for PoolHandle {
    /// As [`ShownText`]: printable text as it is, everything else escaped, at most 100 characters.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        ShownText(&self.0).fmt(f)
    }
}

impl fmt::Debug for PoolHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// A pool handle has a length that is not allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a pool handle has 1 to 32 bytes, this one has {len}")]
pub struct InvalidPoolHandle {
    /// The length it has.
    pub len: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_are_checked_and_ordered_by_length_first() {
        assert_eq!(PoolHandle::new(""), Err(InvalidPoolHandle { len: 0 }));
        assert!(PoolHandle::new([7; 32]).is_ok());
        assert_eq!(PoolHandle::new([7; 33]), Err(InvalidPoolHandle { len: 33 }));
        let h = |s: &str| PoolHandle::new(s).unwrap();
        assert!(h("zz") < h("aaa"));
        assert!(h("aab") < h("aac"));
        assert!(PoolHandle::from_wire(&[1; 40]).unwrap().is_too_long());
    }

    #[test]
    fn printing() {
        assert_eq!(PeId(0xabc).to_string(), "$00000abc");
        assert_eq!(PoolHandle::new(b"a\0b\xff").unwrap().to_string(), r"a\0b\xff");
        let hostile = PoolHandle::from_wire(&b"\x1b[2J\n".repeat(12_000)).unwrap();
        let shown = hostile.to_string();
        assert!(shown.len() <= 100 && shown.is_ascii(), "{shown}");
        assert!(shown.starts_with(r"\u{1b}[2J\n\u{1b}[2J") && shown.ends_with("..."), "{shown}");
    }
}
