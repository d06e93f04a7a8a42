//! The PE checksum of a handlespace audit (RFC 5353 sec 3.1, an Internet checksum as in RFC 1071).
//!
//! Each element adds one block, `pool handle padded with zeros to 32 bits, PE ID`, to a sum of
//! big-endian 16-bit words. The sum stays wide and unfolded, so that a block can be subtracted
//! again.

use rserpool_wire::{PeId, PoolHandle};

/// The sum over the blocks of all elements that one registrar owns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PeChecksum {
    /// It has room for 2^48 words, far more than all elements of a handlespace have.
    sum: u64,
}

impl PeChecksum {
    /// The sum over no element; its value is 0xffff.
    pub const EMPTY: PeChecksum = PeChecksum { sum: 0 };

    /// Adds the block of one element.
    pub fn add(&mut self, handle: &PoolHandle, id: PeId) {
        self.sum = self.sum.wrapping_add(block(handle.as_bytes(), id));
    }

    /// Takes out the block of an element that was added before.
    pub fn remove(&mut self, handle: &PoolHandle, id: PeId) {
        self.sum = self.sum.wrapping_sub(block(handle.as_bytes(), id));
    }

    /// The sum over the elements of both.
    pub fn plus(self, other: PeChecksum) -> PeChecksum {
        PeChecksum { sum: self.sum.wrapping_add(other.sum) }
    }

    /// The 16 bits as they stand in a PE checksum parameter, in host order.
    pub fn value(self) -> u16 {
        let mut sum = self.sum;
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        !(sum as u16)
    }
}

fn block(handle: &[u8], PeId(id): PeId) -> u64 {
    // Padding to 32 or to 16 bits makes no difference to the sum.
    let words = handle.chunks(2).map(|pair| match *pair {
        [high, low] => u64::from(u16::from_be_bytes([high, low])),
        [high] => u64::from(high) << 8,
        _ => 0,
    });
    words.sum::<u64>() + u64::from(id >> 16) + u64::from(id & 0xffff)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(blocks: &[(&str, u32)]) -> u16 {
        let mut sum = PeChecksum::EMPTY;
        for (handle, id) in blocks {
            sum.add(&PoolHandle::new(handle).unwrap(), PeId(*id));
        }
        sum.value()
    }

    /// Values seen between real registrars.
    #[test]
    fn vectors() {
        assert_eq!(of(&[]), 0xffff);
        assert_eq!(of(&[("EchoPool", 0x51)]), 0x9200);
        assert_eq!(of(&[("pool1", 0x101)]), 0xee22);
        assert_eq!(of(&[("PingPongPool", 0x51515151), ("PingPongPool", 0x52525252)]), 0x3db2);
    }

    /// RFC 1071 over the concatenated, padded blocks.
    fn reference(blocks: &[(Vec<u8>, u32)]) -> u16 {
        let mut bytes = Vec::new();
        for (handle, id) in blocks {
            bytes.extend_from_slice(handle);
            while bytes.len() % 4 != 0 {
                bytes.push(0);
            }
            bytes.extend_from_slice(&id.to_be_bytes());
        }
        let mut sum = 0u32;
        for pair in bytes.chunks(2) {
            sum += u32::from(u16::from_be_bytes([pair[0], pair[1]]));
            sum = (sum & 0xffff) + (sum >> 16);
        }
        !(sum as u16)
    }

    /// Elements: their pools' handles and their identifiers.
    fn elements() -> impl Strategy<Value = Vec<(Vec<u8>, u32)>> {
        let handle = prop::collection::vec(any::<u8>(), 1..33);
        prop::collection::vec((handle, any::<u32>()), 0..50)
    }

    proptest! {
        #[test]
        fn equals_rfc_1071_and_forgets_what_is_removed(
            blocks in elements(),
            gone in elements(),
        ) {
            let mut sum = PeChecksum::EMPTY;
            for (handle, id) in gone.iter().chain(&blocks) {
                sum.add(&PoolHandle::new(handle).unwrap(), PeId(*id));
            }
            for (handle, id) in &gone {
                sum.remove(&PoolHandle::new(handle).unwrap(), PeId(*id));
            }
            prop_assert_eq!(sum.value(), reference(&blocks));
        }
    }
}
