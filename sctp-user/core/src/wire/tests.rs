//! Helpers for the tests of the wire modules, and the properties that all of them must have.

mod model;
mod properties;

use bytes::Bytes;

use super::{Chunk, Packet, PacketWriter};

/// Bytes from hex digits.
pub(super) fn unhex(digits: &str) -> Vec<u8> {
    let digit = |d: u8| char::from(d).to_digit(16).expect("a hex digit") as u8;
    digits
        .as_bytes()
        .as_chunks()
        .0
        .iter()
        .map(|&[high, low]| digit(high) << 4 | digit(low))
        .collect()
}

/// A checked packet with the chunks that `chunks` writes.
pub(super) fn build(chunks: impl FnOnce(&mut PacketWriter<'_>)) -> Packet {
    build_within(1 << 20, chunks)
}

/// Like [`build`], with a limit for the size of the packet.
pub(super) fn build_within(limit: usize, chunks: impl FnOnce(&mut PacketWriter<'_>)) -> Packet {
    let mut out = Vec::new();
    let mut writer = PacketWriter::new(&mut out, limit, 5000, 9001, 0x1122_3344);
    chunks(&mut writer);
    let len = writer.finish();
    assert_eq!(len, out.len());
    Packet::check(out.into()).expect("a packet of our own")
}

/// The only chunk of a packet.
pub(super) fn only(packet: &Packet) -> Chunk<'_> {
    let mut chunks = packet.chunks();
    let chunk = chunks.next().expect("one chunk").decode(packet).expect("a well-formed chunk");
    assert_eq!(chunks.next(), None);
    chunk
}

/// The packet with its checksum corrected.
pub(super) fn reseal(mut packet: Vec<u8>) -> Bytes {
    if let Some(field) = packet.get_mut(8..12) {
        field.fill(0);
        let crc = crc32c::crc32c(&packet);
        packet[8..12].copy_from_slice(&crc.to_le_bytes());
    }
    packet.into()
}

#[test]
fn a_reserved_chunk_is_filled_when_the_rest_is_known() {
    let mut buf = vec![0xee; 3];
    let mut writer = PacketWriter::new(&mut buf, 200, 1, 2, 3);
    writer.cookie_ack();
    let reserved = writer.reserve(0x0f, 0, 6);
    writer.shutdown_ack();
    let mut seen = Vec::new();
    writer.fill(reserved, |covered| {
        seen = covered.to_vec();
        vec![9; 10]
    });
    let len = writer.finish();
    // The reserved chunk, still zeros, with its padding and what follows it.
    assert_eq!(seen, [0x0f, 0, 0, 10, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 4]);
    let packet = Packet::check(bytes::Bytes::copy_from_slice(&buf[3..])).unwrap();
    assert_eq!(packet.len(), len);
    let values: Vec<_> = packet.chunks().map(|c| (c.kind, c.value.to_vec())).collect();
    assert_eq!(values, [(11, vec![]), (0x0f, vec![9; 6]), (8, vec![])]);
}
