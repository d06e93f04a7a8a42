//! Type-length-value structures: the checked reader and the writer that all message formats of SCTP
//! and RSerPool build on.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-------------------------------+-------------------------------+
//! |             type              |       length = 4 + value      |
//! +-------------------------------+-------------------------------+
//! |  value ...                          zero padding to 4 bytes   |
//! +---------------------------------------------------------------+
//! ```
//!
//! All integers are big-endian. The length counts header and value, never the padding after it (RFC
//! 9260 sec 3.2.1). Padding is written as zeros and never looked at. After the last structure it
//! may be missing.

#[cfg(test)]
mod tests;

/// Bytes of type and length.
pub const TLV_HEADER: usize = 4;

/// `len` rounded up to a multiple of 4.
#[inline]
#[must_use]
pub const fn padded(len: usize) -> usize {
    len.saturating_add(3) & !3
}

/// The input ended inside a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("input ends inside a field")]
pub struct Truncated;

/// A TLV structure that cannot be read. Whatever follows it cannot be found either.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlvError {
    /// Fewer than 4 bytes are left.
    #[error("input ends inside a type-length header")]
    Truncated,
    /// The length does not even cover the header.
    #[error("length {length} of type {kind:#06x} is smaller than its header of 4 bytes")]
    LengthTooSmall {
        /// The type field.
        kind: u16,
        /// The length field.
        length: u16,
    },
    /// The length reaches beyond the end of the input.
    #[error("length {length} of type {kind:#06x} reaches beyond the {remaining} bytes left")]
    LengthTooLarge {
        /// The type field.
        kind: u16,
        /// The length field.
        length: u16,
        /// Bytes that were left, header included.
        remaining: usize,
    },
}

impl From<Truncated> for TlvError {
    fn from(_: Truncated) -> Self {
        Self::Truncated
    }
}

/// One TLV structure, borrowed from the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tlv<'a> {
    /// The type field.
    pub kind: u16,
    /// The bytes after the header, without padding.
    pub value: &'a [u8],
    /// Header and value, without padding.
    pub whole: &'a [u8],
}

/// A big-endian reader over a slice. It never panics, and a failed read takes nothing.
#[derive(Clone, Debug, Default)]
pub struct Reader<'a> {
    buf: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads `buf` from its start.
    #[inline]
    #[must_use]
    pub const fn new(buf: &'a [u8]) -> Self {
        Self { buf }
    }

    /// Bytes not taken yet.
    #[inline]
    pub const fn remaining(&self) -> usize {
        self.buf.len()
    }

    /// True when everything is taken.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.buf.is_empty()
    }

    /// Takes all that is left.
    #[inline]
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.buf)
    }

    /// Takes one byte.
    #[inline]
    pub fn u8(&mut self) -> Result<u8, Truncated> {
        self.array().map(u8::from_be_bytes)
    }

    /// Takes two bytes.
    #[inline]
    pub fn u16(&mut self) -> Result<u16, Truncated> {
        self.array().map(u16::from_be_bytes)
    }

    /// Takes four bytes.
    #[inline]
    pub fn u32(&mut self) -> Result<u32, Truncated> {
        self.array().map(u32::from_be_bytes)
    }

    /// Takes eight bytes.
    #[inline]
    pub fn u64(&mut self) -> Result<u64, Truncated> {
        self.array().map(u64::from_be_bytes)
    }

    /// Takes `n` bytes.
    #[inline]
    pub fn bytes(&mut self, n: usize) -> Result<&'a [u8], Truncated> {
        let (head, tail) = self.buf.split_at_checked(n).ok_or(Truncated)?;
        self.buf = tail;
        Ok(head)
    }

    /// Takes `N` bytes as an array.
    #[inline]
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Truncated> {
        let (head, tail) = self.buf.split_first_chunk::<N>().ok_or(Truncated)?;
        self.buf = tail;
        Ok(*head)
    }

    /// Takes `n` bytes as a reader of their own, for a structure inside a structure.
    #[inline]
    pub fn sub(&mut self, n: usize) -> Result<Reader<'a>, Truncated> {
        self.bytes(n).map(Reader::new)
    }

    /// Takes the next TLV structure and as much of its padding as is there. `Ok(None)` at the end.
    ///
    /// # Errors
    /// [`TlvError`] when the header or the length does not fit the input. The position stays where
    /// it is, so asking again gives the same error.
    #[inline]
    pub fn tlv(&mut self) -> Result<Option<Tlv<'a>>, TlvError> {
        if self.buf.is_empty() {
            return Ok(None);
        }
        let &[k0, k1, l0, l1] = self.buf.first_chunk().ok_or(TlvError::Truncated)?;
        let kind = u16::from_be_bytes([k0, k1]);
        let length = u16::from_be_bytes([l0, l1]);
        let len = usize::from(length);
        if len < TLV_HEADER {
            return Err(TlvError::LengthTooSmall { kind, length });
        }
        let Some(whole) = self.buf.get(..len) else {
            return Err(TlvError::LengthTooLarge { kind, length, remaining: self.buf.len() });
        };
        let value = whole.get(TLV_HEADER..).unwrap_or_default();
        self.buf = self.buf.get(padded(len)..).unwrap_or_default();
        Ok(Some(Tlv { kind, value, whole }))
    }
}

/// The TLV structures of a slice, in order. Ends for good at the first one that cannot be read.
#[derive(Clone, Debug, Default)]
pub struct Tlvs<'a> {
    reader: Reader<'a>,
}

impl<'a> Tlvs<'a> {
    /// Iterates over `buf`.
    #[inline]
    #[must_use]
    pub const fn new(buf: &'a [u8]) -> Self {
        Self { reader: Reader::new(buf) }
    }
}

impl<'a> Iterator for Tlvs<'a> {
    type Item = Tlv<'a>;

    #[inline]
    fn next(&mut self) -> Option<Tlv<'a>> {
        // A failed read takes nothing, so every later one fails too.
        self.reader.tlv().ok().flatten()
    }
}

impl std::iter::FusedIterator for Tlvs<'_> {}

/// What a receiver does with a chunk (RFC 9260 sec 3.2) or parameter (sec 3.2.1) of an unknown
/// type. The two highest bits of the type say which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UnknownAction {
    /// 00: stop, drop this one and everything after it.
    Stop,
    /// 01: stop, drop the same, and report this one.
    StopReport,
    /// 10: skip it and go on.
    Skip,
    /// 11: skip it, go on, and report it.
    SkipReport,
}

impl UnknownAction {
    /// The action for an unknown chunk type.
    #[inline]
    #[must_use]
    pub const fn of_chunk(kind: u8) -> Self {
        match kind >> 6 {
            0 => Self::Stop,
            1 => Self::StopReport,
            2 => Self::Skip,
            _ => Self::SkipReport,
        }
    }

    /// The action for an unknown parameter type.
    #[inline]
    #[must_use]
    pub const fn of_param(kind: u16) -> Self {
        Self::of_chunk((kind >> 8) as u8)
    }

    /// True when processing ends here.
    #[inline]
    pub const fn stops(self) -> bool {
        matches!(self, Self::Stop | Self::StopReport)
    }

    /// True when the sender is told about it.
    #[inline]
    pub const fn reports(self) -> bool {
        matches!(self, Self::StopReport | Self::SkipReport)
    }
}

/// Where a TLV structure began. Kept until its length is known, see [`Writer::begin_tlv`].
#[derive(Debug)]
#[must_use = "the length field is filled in by `end_tlv`"]
pub struct Mark(usize);

/// A big-endian writer that appends to a vector. It aligns relative to where it began, so the
/// vector may already hold other things.
#[derive(Debug)]
pub struct Writer<'b> {
    buf: &'b mut Vec<u8>,
    base: usize,
}

impl<'b> Writer<'b> {
    /// Appends to `buf`.
    #[inline]
    #[must_use]
    pub fn new(buf: &'b mut Vec<u8>) -> Self {
        let base = buf.len();
        Self { buf, base }
    }

    /// Continues what another writer wrote into `buf` from its start.
    #[inline]
    #[must_use]
    pub fn resume(buf: &'b mut Vec<u8>) -> Self {
        Self { buf, base: 0 }
    }

    /// The same writer for a shorter lifetime, to pass to a function that takes a writer.
    #[inline]
    #[must_use]
    pub fn reborrow(&mut self) -> Writer<'_> {
        Writer { buf: self.buf, base: self.base }
    }

    /// Bytes written since the start of this writer.
    #[inline]
    pub fn len(&self) -> usize {
        self.buf.len().saturating_sub(self.base)
    }

    /// True when nothing has been written.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What has been written since the start of this writer.
    #[inline]
    pub fn written(&mut self) -> &mut [u8] {
        self.buf.get_mut(self.base..).unwrap_or_default()
    }

    /// Removes everything after the first `len` bytes of this writer.
    #[inline]
    pub fn truncate(&mut self, len: usize) {
        self.buf.truncate(self.base.saturating_add(len));
    }

    /// Appends one byte.
    #[inline]
    pub fn u8(&mut self, v: u8) {
        self.buf.push(v);
    }

    /// Appends two bytes.
    #[inline]
    pub fn u16(&mut self, v: u16) {
        self.bytes(&v.to_be_bytes());
    }

    /// Appends four bytes.
    #[inline]
    pub fn u32(&mut self, v: u32) {
        self.bytes(&v.to_be_bytes());
    }

    /// Appends eight bytes.
    #[inline]
    pub fn u64(&mut self, v: u64) {
        self.bytes(&v.to_be_bytes());
    }

    /// Appends a slice.
    #[inline]
    pub fn bytes(&mut self, v: &[u8]) {
        self.buf.extend_from_slice(v);
    }

    /// Appends zeros up to the next multiple of 4.
    #[inline]
    pub fn pad4(&mut self) {
        const ZEROS: [u8; 3] = [0; 3];
        let missing = padded(self.len()) - self.len();
        self.bytes(ZEROS.get(..missing).unwrap_or_default());
    }

    /// Writes the header of a TLV structure. Everything written until [`end_tlv`](Self::end_tlv) is
    /// its value. Structures may be nested.
    #[inline]
    pub fn begin_tlv(&mut self, kind: u16) -> Mark {
        let mark = Mark(self.len());
        self.u16(kind);
        self.u16(0);
        mark
    }

    /// Fills in the length and pads with zeros to 4 bytes. The padding does not count. A value of
    /// more than 65 531 bytes does not fit the length field and is cut off there.
    #[inline]
    pub fn end_tlv(&mut self, mark: Mark) {
        self.end_tlv_unpadded(mark);
        self.pad4();
    }

    /// Like [`end_tlv`](Self::end_tlv) but without the padding, for the last structure inside
    /// another. Then the outer length does not count that padding either (RFC 9260 sec 3.2).
    #[inline]
    pub fn end_tlv_unpadded(&mut self, mark: Mark) {
        let Mark(at) = mark;
        let length = u16::try_from(self.len().saturating_sub(at)).unwrap_or(u16::MAX);
        self.truncate(at + usize::from(length));
        if let Some(field) = self.written().get_mut(at + 2..at + TLV_HEADER) {
            field.copy_from_slice(&length.to_be_bytes());
        }
    }

    /// Writes a whole TLV structure: header, value and padding.
    #[inline]
    pub fn tlv(&mut self, kind: u16, value: &[u8]) {
        let mark = self.begin_tlv(kind);
        self.bytes(value);
        self.end_tlv(mark);
    }
}
