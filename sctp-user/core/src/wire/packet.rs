//! The packet: a common header with a CRC32c, then chunks (RFC 9260 sec 3 and 3.1).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-------------------------------+-------------------------------+
//! |          source port          |       destination port        |
//! +-------------------------------+-------------------------------+
//! |                       verification tag                        |
//! +---------------------------------------------------------------+
//! |        CRC32c of the packet with this field zero (LE)         |
//! +---------------------------------------------------------------+
//! |  chunks ...                                                   |
//! +---------------------------------------------------------------+
//! ```

use bytes::Bytes;

use super::checksum::{checksum_of, checksum_with_zero_field};
use super::chunk::{CHUNK_HEADER, Chunks};
use crate::tlv::{Mark, Reader, Truncated, Writer};

/// Bytes of the common header.
pub const COMMON_HEADER: usize = 12;

/// Why a packet is dropped. This always happens silently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PacketError {
    /// The packet cannot hold the common header and one chunk header.
    #[error("packet has {0} bytes, but common header and chunk header need 16")]
    TooShort(usize),
    /// The CRC32c of the packet differs from the one in the header (RFC 9260 sec 6.8).
    #[error("checksum is wrong")]
    Checksum,
    /// Port 0 is never valid (RFC 9260 sec 3.1).
    #[error("source or destination port is 0")]
    ZeroPort,
    /// The first chunk does not fit into the packet, so the packet has none.
    #[error("first chunk does not fit the packet")]
    NoChunk,
}

/// A received packet. Its checksum is correct, its ports are not 0, and it holds at least one
/// chunk.
#[derive(Clone, Debug)]
pub struct Packet {
    bytes: Bytes,
    src_port: u16,
    dst_port: u16,
    vtag: u32,
}

impl Packet {
    /// Checks a received SCTP packet, which comes without IP or UDP header. With `cfg(fuzzing)` any
    /// checksum passes.
    ///
    /// # Errors
    /// [`PacketError`]. Such a packet is never answered.
    pub fn check(bytes: Bytes) -> Result<Self, PacketError> {
        if bytes.len() < COMMON_HEADER + CHUNK_HEADER {
            return Err(PacketError::TooShort(bytes.len()));
        }
        let mut header = Reader::new(&bytes);
        let mut parse = || Ok((header.u16()?, header.u16()?, header.u32()?, header.array()?));
        let (src_port, dst_port, vtag, checksum) =
            parse().map_err(|_: Truncated| PacketError::TooShort(bytes.len()))?;
        if !cfg!(fuzzing) && checksum_of(&bytes) != u32::from_le_bytes(checksum) {
            return Err(PacketError::Checksum);
        }
        if src_port == 0 || dst_port == 0 {
            return Err(PacketError::ZeroPort);
        }
        let packet = Self { bytes, src_port, dst_port, vtag };
        match packet.chunks().next() {
            Some(_) => Ok(packet),
            None => Err(PacketError::NoChunk),
        }
    }

    /// Port of the sender, never 0.
    #[inline]
    pub const fn src_port(&self) -> u16 {
        self.src_port
    }

    /// Port of the receiver, never 0.
    #[inline]
    pub const fn dst_port(&self) -> u16 {
        self.dst_port
    }

    /// The verification tag. Only a packet with an INIT alone may have 0.
    #[inline]
    pub const fn vtag(&self) -> u32 {
        self.vtag
    }

    /// Bytes of the packet, common header and padding included. Never less than 16.
    #[inline]
    #[expect(clippy::len_without_is_empty, reason = "a checked packet is never empty")]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The packet as it arrived.
    #[inline]
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The chunks in order. A chunk whose length is below 4 or reaches beyond the end of the packet
    /// ends the iteration: it and everything after it is dropped. The padding of the last chunk may
    /// be missing.
    #[inline]
    pub fn chunks(&self) -> Chunks<'_> {
        Chunks::new(self.bytes.get(COMMON_HEADER..).unwrap_or_default())
    }
}

/// Appends one packet to a vector. There is one method for each chunk type, beside the parser of
/// that chunk.
///
/// In a packet with control chunks and DATA the control chunks come first. The caller sees to this
/// order, and asks [`room`](Self::room) before each chunk, because no method except
/// [`sack`](Self::sack) looks at the limit.
#[derive(Debug)]
#[must_use = "the checksum is filled in by `finish`"]
pub struct PacketWriter<'b> {
    pub(super) writer: Writer<'b>,
    limit: usize,
}

/// A chunk in an unfinished packet whose value is written later.
#[derive(Debug)]
pub struct Reserved {
    start: usize,
    value_len: usize,
}

impl<'b> PacketWriter<'b> {
    /// Writes the common header after whatever `buf` holds. `limit` is the size of the largest
    /// allowed packet in bytes, common header and padding included.
    #[inline]
    pub fn new(
        buf: &'b mut Vec<u8>,
        limit: usize,
        src_port: u16,
        dst_port: u16,
        vtag: u32,
    ) -> Self {
        let mut writer = Writer::new(buf);
        writer.u16(src_port);
        writer.u16(dst_port);
        writer.u32(vtag);
        writer.u32(0);
        Self { writer, limit }
    }

    /// Bytes left for one more chunk, with its header and padding; 0 when the packet is full.
    #[inline]
    pub fn room(&self) -> usize {
        self.limit.saturating_sub(self.writer.len()) & !3
    }

    /// Bytes written so far, common header included.
    #[inline]
    pub fn len(&self) -> usize {
        self.writer.len()
    }

    /// True when the packet has no chunk yet.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.writer.len() <= COMMON_HEADER
    }

    /// Writes a chunk of any type.
    pub fn raw_chunk(&mut self, kind: u8, flags: u8, value: &[u8]) {
        let mark = self.begin(kind, flags);
        self.writer.bytes(value);
        self.writer.end_tlv(mark);
    }

    /// Appends a chunk of zeros. [`fill`](Self::fill) writes its value when the rest of the packet
    /// is known, as AUTH needs it (RFC 4895 sec 6.2).
    pub fn reserve(&mut self, kind: u8, flags: u8, value_len: usize) -> Reserved {
        let start = self.writer.written().len();
        let mark = self.begin(kind, flags);
        for _ in 0..value_len {
            self.writer.u8(0);
        }
        self.writer.end_tlv(mark);
        Reserved { start, value_len }
    }

    /// Writes the value of a reserved chunk. `fill` sees the packet from that chunk on, which is
    /// what AUTH covers, and returns the value. A value longer than reserved is cut off.
    pub fn fill(&mut self, reserved: Reserved, fill: impl FnOnce(&[u8]) -> Vec<u8>) {
        let Some(covered) = self.writer.written().get_mut(reserved.start..) else { return };
        let value = fill(covered);
        let len = value.len().min(reserved.value_len);
        if let Some(field) = covered.get_mut(CHUNK_HEADER..CHUNK_HEADER + len) {
            field.copy_from_slice(&value[..len]);
        }
    }

    /// Fills in the CRC32c and returns the length of the packet in bytes.
    #[inline]
    pub fn finish(mut self) -> usize {
        let packet = self.writer.written();
        let crc = checksum_with_zero_field(packet);
        if let Some(field) = packet.get_mut(8..COMMON_HEADER) {
            field.copy_from_slice(&crc.to_le_bytes());
        }
        packet.len()
    }

    /// Removes the packet. The vector is as it was before [`new`](Self::new).
    pub fn abandon(mut self) {
        self.writer.truncate(0);
    }

    /// Begins a chunk. Its header has the shape of a TLV header: type and flags share the first 16
    /// bits.
    #[inline]
    pub(super) fn begin(&mut self, kind: u8, flags: u8) -> Mark {
        self.writer.begin_tlv(u16::from_be_bytes([kind, flags]))
    }

    /// The size of the largest allowed packet in bytes, as given to [`new`](Self::new).
    #[inline]
    pub(super) const fn limit(&self) -> usize {
        self.limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::tests::{build, reseal, unhex};

    const COOKIE_ACK: u8 = crate::wire::chunk_type::COOKIE_ACK;

    #[test]
    fn crc32c_vectors() {
        let up: Vec<u8> = (0..32).collect();
        let down: Vec<u8> = (0..32).rev().collect();
        for (input, crc) in [
            (&[0; 32][..], 0x8a91_36aa),
            (&[0xff; 32], 0x62a8_ab43),
            (&up, 0x46dd_794e),
            (&down, 0x113f_db5c),
            (b"123456789", 0xe306_9283),
        ] {
            assert_eq!(crc32c::crc32c(input), crc);
        }
    }

    #[test]
    fn checksum_field_counts_as_zero() {
        let mut packet =
            unhex("13882329aabbccddb115958100030015fffffffe000100000000000068656c6c6f000000");
        let crc = checksum_of(&packet);
        assert_eq!(crc.to_le_bytes(), packet[8..12]);
        packet[8..12].fill(0);
        assert_eq!(checksum_of(&packet), crc);
        assert_eq!(crc32c::crc32c(&packet), crc);
    }

    #[test]
    fn a_zero_checksum_is_wrong_like_any_other() {
        let mut packet = build(|w| w.cookie_ack()).bytes().to_vec();
        packet[8..12].fill(0);
        assert_eq!(Packet::check(packet.into()).unwrap_err(), PacketError::Checksum);
    }

    #[test]
    fn shorter_than_headers() {
        for len in 0..16 {
            let error = Packet::check(vec![0; len].into()).unwrap_err();
            assert_eq!(error, PacketError::TooShort(len));
        }
    }

    #[test]
    fn port_zero_is_refused() {
        for (src, dst) in [(0, 1), (1, 0), (0, 0)] {
            let mut out = Vec::new();
            let mut writer = PacketWriter::new(&mut out, 100, src, dst, 1);
            writer.cookie_ack();
            writer.finish();
            assert_eq!(Packet::check(out.into()).unwrap_err(), PacketError::ZeroPort);
        }
    }

    #[test]
    fn first_chunk_must_fit() {
        for length in [0, 3, 5, 0xffff_u16] {
            let mut packet = build(|w| w.cookie_ack()).bytes().to_vec();
            packet[14..16].copy_from_slice(&length.to_be_bytes());
            assert_eq!(
                Packet::check(reseal(packet)).unwrap_err(),
                PacketError::NoChunk,
                "length {length}"
            );
        }
    }

    #[test]
    fn partial_chunk_drops_itself_and_the_rest() {
        let whole = build(|w| {
            w.cookie_ack();
            w.shutdown(crate::Tsn(1));
            w.shutdown_ack();
        });
        assert_eq!(whole.chunks().count(), 3);
        for length in [0, 3, 13, 0xffff_u16] {
            let mut packet = whole.bytes().to_vec();
            packet[18..20].copy_from_slice(&length.to_be_bytes());
            let packet = Packet::check(reseal(packet)).unwrap();
            assert!(packet.chunks().map(|c| c.kind).eq([COOKIE_ACK]), "length {length}");
        }
        for tail in 1..4 {
            let mut packet = whole.bytes().to_vec();
            packet.extend(&[0; 3][..tail]);
            let packet = Packet::check(reseal(packet)).unwrap();
            assert_eq!(packet.chunks().count(), 3, "fewer than 4 bytes at the end are no chunk");
        }
    }

    #[test]
    fn padding_may_be_missing_at_the_end_and_may_be_anything() {
        let whole = build(|w| w.raw_chunk(10, 0, b"cookie")).bytes().to_vec();
        let cut = Packet::check(reseal(whole[..whole.len() - 2].to_vec())).unwrap();
        assert_eq!(cut.chunks().next().unwrap().value, b"cookie");

        let mut odd = whole;
        odd[22..24].fill(0xff);
        odd.extend([11, 0, 0, 4]);
        let odd = Packet::check(reseal(odd)).unwrap();
        assert!(odd.chunks().map(|c| c.kind).eq([10, COOKIE_ACK]));
    }

    #[test]
    fn room_is_for_padded_chunks() {
        let mut out = vec![1, 2, 3];
        let mut writer = PacketWriter::new(&mut out, 12 + 16 + 7, 1, 2, 3);
        assert_eq!(writer.room(), 20);
        assert!(writer.is_empty());
        writer.raw_chunk(0xc0, 0, &[1, 2, 3, 4, 5]);
        assert_eq!((writer.room(), writer.len()), (8, 24));
        assert!(!writer.is_empty());
        writer.raw_chunk(0xc0, 0, &[0; 100]);
        assert_eq!(writer.room(), 0);
        writer.abandon();
        assert_eq!(out, [1, 2, 3]);
    }

    #[test]
    fn packets_follow_each_other_in_one_vector() {
        let mut out = vec![0xee];
        let mut ends = vec![out.len()];
        for payload in [&b"a"[..], b"four", b"seventh"] {
            let mut writer = PacketWriter::new(&mut out, 100, 1, 2, 3);
            writer.raw_chunk(0xc0, 0, payload);
            let len = writer.finish();
            ends.push(ends.last().unwrap() + len);
        }
        for (pair, payload) in ends.windows(2).zip([&b"a"[..], b"four", b"seventh"]) {
            let packet = Packet::check(Bytes::copy_from_slice(&out[pair[0]..pair[1]])).unwrap();
            assert_eq!(packet.chunks().next().unwrap().value, payload);
        }
    }
}
