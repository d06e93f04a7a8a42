//! The CRC32c of a packet (RFC 9260 sec 6.8, appendix A).

use crc_fast::{CrcAlgorithm, Digest};

use super::packet::COMMON_HEADER;

/// From this many bytes on, the carry-less multiplications of `crc-fast` are faster than the CRC
/// instruction that `crc32c` uses. A packet full of data then takes half the time.
const LARGE: usize = 384;

/// The CRC32c of `packet`, computed as if the checksum field were zero.
#[inline]
pub(super) fn checksum_of(packet: &[u8]) -> u32 {
    let mut header = [0; COMMON_HEADER];
    let (Some(before), Some(behind)) = (packet.get(..8), packet.get(COMMON_HEADER..)) else {
        return crc32c::crc32c(packet);
    };
    header[..8].copy_from_slice(before);
    let crc = crc32c::crc32c(&header);
    if behind.len() < LARGE {
        return crc32c::crc32c_append(crc, behind);
    }
    let mut digest = Digest::new_with_init_state(CrcAlgorithm::Crc32Iscsi, u64::from(!crc));
    digest.update(behind);
    digest.finalize() as u32
}

/// The CRC32c of a `packet` whose checksum field is still zero.
#[inline]
pub(super) fn checksum_with_zero_field(packet: &[u8]) -> u32 {
    if packet.len() < LARGE { crc32c::crc32c(packet) } else { crc_fast::crc32_iscsi(packet) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_implementations_give_the_same_checksum() {
        let mut bytes: Vec<u8> =
            (0..3000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        for len in (0..64).chain(LARGE - 20..LARGE + 80).chain([1400, 1452, 1472, 2999]) {
            for start in 0..9.min(3000 - len) {
                let packet = &mut bytes[start..start + len];
                if len >= COMMON_HEADER {
                    packet[8..COMMON_HEADER].fill(0);
                }
                let plain = crc32c::crc32c(packet);
                assert_eq!(checksum_with_zero_field(packet), plain, "{len} bytes at {start}");
                if len >= COMMON_HEADER {
                    packet[8..COMMON_HEADER].fill(0xa5);
                }
                if len >= COMMON_HEADER {
                    assert_eq!(checksum_of(packet), plain, "{len} bytes at {start}");
                }
            }
        }
    }
}
