//! Packets that no correct peer sends.

use rand::{Rng, RngExt};
use sctp_user_core::sim::{IpPacket, SimRng};
use sctp_user_core::wire::{PacketWriter, chunk_type};

/// Breaks an SCTP packet in one to three places and repairs its checksum. The ports stay as they
/// are, and so does the verification tag if `keep_tag` is true.
pub fn mutate(rng: &mut SimRng, packet: &mut IpPacket, keep_tag: bool) {
    let mut bytes = packet.sctp.to_vec();
    let tag = bytes[4..8].to_vec();
    let ports = bytes[..4].to_vec();
    for _ in 0..rng.random_range(1..=3) {
        mutate_once(rng, &mut bytes);
    }
    bytes.resize(bytes.len().max(12), 0);
    bytes[..4].copy_from_slice(&ports);
    if keep_tag {
        bytes[4..8].copy_from_slice(&tag);
    }
    packet.sctp = bytes.into();
    packet.fix_crc();
}

fn mutate_once(rng: &mut SimRng, bytes: &mut Vec<u8>) {
    if bytes.len() <= 16 {
        let more = rng.random_range(1..40);
        bytes.extend((0..more).map(|_| rng.random::<u8>()));
    }
    let at = rng.random_range(12..bytes.len());
    match rng.random_range(0..8) {
        0 => bytes[at] ^= 1 << rng.random_range(0..8),
        1 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][rng.random_range(0..5)],
        2 => bytes.truncate(at),
        3 => bytes.extend((0..rng.random_range(1..200)).map(|_| 0xa5_u8)),
        // A 16-bit field, such as a length, becomes extreme.
        4 => {
            let value = [0_u16, 1, 3, 4, 5, 0x7fff, 0x8000, 0xffff][rng.random_range(0..8)];
            let at = at & !1;
            if let Some(field) = bytes.get_mut(at..at + 2) {
                field.copy_from_slice(&value.to_be_bytes());
            }
        }
        // A 32-bit field, such as a TSN, becomes random or moves a little.
        5 => {
            let at = at & !3;
            if let Some(field) = bytes.get_mut(at..at + 4) {
                let old = u32::from_be_bytes([field[0], field[1], field[2], field[3]]);
                let new = if rng.random() {
                    rng.random()
                } else {
                    old.wrapping_add(rng.random_range(0..200))
                };
                field.copy_from_slice(&new.to_be_bytes());
            }
        }
        // The first chunk gets another type.
        6 => bytes[12] = if rng.random() { rng.random_range(0..16) } else { rng.random() },
        // All chunks are repeated.
        _ => bytes.extend_from_within(12..),
    }
}

/// A packet with one to five chunks of random types, flags and contents, some of them well-formed.
pub fn random_chunks(rng: &mut SimRng, src_port: u16, dst_port: u16, vtag: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = PacketWriter::new(&mut bytes, 65_000, src_port, dst_port, vtag);
    for _ in 0..rng.random_range(1..=5) {
        let kind = if rng.random_bool(0.8) { rng.random_range(0..16) } else { rng.random() };
        let mut value = vec![0; rng.random_range(0..120)];
        rng.fill_bytes(&mut value);
        if rng.random() {
            dress_up(rng, kind, &mut value);
        }
        writer.raw_chunk(kind, rng.random_range(0..16), &value);
    }
    writer.finish();
    bytes
}

/// Puts plausible numbers into the fixed part of a chunk, so that it passes the first checks.
fn dress_up(rng: &mut SimRng, kind: u8, value: &mut Vec<u8>) {
    let small = |rng: &mut SimRng| rng.random_range(0..20_u16).to_be_bytes();
    let fixed: Vec<u8> = match kind {
        chunk_type::DATA => {
            [&value.first_chunk().unwrap_or(&[0; 4])[..], &small(rng), &small(rng), &[0; 4]]
                .concat()
        }
        chunk_type::INIT | chunk_type::INIT_ACK => {
            [&[1, 2, 3, 4, 0, 1, 0, 0][..], &small(rng), &small(rng), &[0; 4]].concat()
        }
        chunk_type::SACK => [&[0; 4][..], &[0, 1, 0, 0], &small(rng), &small(rng)].concat(),
        // The rest becomes one TLV.
        _ => {
            let len = value.len().max(4) as u16;
            [small(rng), len.to_be_bytes()].concat()
        }
    };
    value.resize(value.len().max(fixed.len()), 0);
    value[..fixed.len()].copy_from_slice(&fixed);
}
