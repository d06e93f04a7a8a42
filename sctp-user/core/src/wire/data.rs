//! DATA (RFC 9260 sec 3.3.1) and I-DATA (RFC 8260 sec 2.1). They differ in how they identify a
//! message.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +---------------+-------+-+-+-+-+-------------------------------+
//! |   type = 0    |  res  |I|U|B|E|       length = 16 + L         |
//! +---------------+-------+-+-+-+-+-------------------------------+
//! |                              TSN                              |
//! +-------------------------------+-------------------------------+
//! |       stream identifier       |    stream sequence number     |
//! +-------------------------------+-------------------------------+
//! |                  payload protocol identifier                  |
//! +---------------------------------------------------------------+
//! |  user data, L >= 1 bytes ...                                  |
//! +---------------------------------------------------------------+
//! ```
//!
//! In I-DATA (type 64) the 16 bits after the stream identifier are reserved. A message identifier
//! of 32 bits follows. After that comes the PPID in the first fragment of a message, and the
//! fragment sequence number in every other one.

use bytes::Bytes;

use super::chunk::{ChunkError, RawChunk, chunk_type};
use super::packet::{Packet, PacketWriter};
use crate::serial::{Ssn, Tsn};

/// Bytes of a DATA chunk before the user data, chunk header included.
pub const DATA_HEADER: usize = 16;

/// Bytes of an I-DATA chunk before the user data, chunk header included.
pub const I_DATA_HEADER: usize = 20;

/// Identifies a message within its stream, in the form that the chunk uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MessageId {
    /// DATA: the stream sequence number, which is meaningless in unordered messages. The fragments
    /// of a message have consecutive TSNs.
    Ssn(Ssn),
    /// I-DATA: fragments of several messages may be interleaved.
    Mid {
        /// Message identifier. Ordered and unordered messages are numbered separately.
        mid: u32,
        /// Number of the fragment within its message, from 0.
        fsn: u32,
    },
}

impl MessageId {
    /// Bytes before the user data of the chunk, chunk header included.
    #[inline]
    #[must_use]
    pub const fn header_len(self) -> usize {
        match self {
            Self::Ssn(_) => DATA_HEADER,
            Self::Mid { .. } => I_DATA_HEADER,
        }
    }

    /// The SSN, or the low 16 bits of the message identifier, which RFC 6458 shows to users.
    #[inline]
    #[must_use]
    pub const fn ssn(self) -> Ssn {
        match self {
            Self::Ssn(ssn) => ssn,
            Self::Mid { mid, .. } => Ssn(mid as u16),
        }
    }

    /// How many messages this one comes after number `next` of the stream, in serial arithmetic; 0
    /// if it is that very number.
    #[inline]
    #[must_use]
    pub const fn distance_from(self, next: u32) -> u32 {
        match self {
            Self::Ssn(ssn) => ssn.0.wrapping_sub(next as u16) as u32,
            Self::Mid { mid, .. } => mid.wrapping_sub(next),
        }
    }

    /// True when both identify the same message.
    #[inline]
    #[must_use]
    pub const fn same_message(self, other: Self) -> bool {
        match (self, other) {
            (Self::Ssn(a), Self::Ssn(b)) => a.0 == b.0,
            (Self::Mid { mid: a, .. }, Self::Mid { mid: b, .. }) => a == b,
            _ => false,
        }
    }
}

/// The flags of a DATA chunk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct DataFlags {
    /// B: first fragment of a message.
    pub begin: bool,
    /// E: last fragment of a message. A message in one piece has B and E.
    pub end: bool,
    /// U: unordered. The SSN is meaningless.
    pub unordered: bool,
    /// I: the sender asks for an immediate SACK (RFC 7053, RFC 9260 sec 3.3.1).
    pub immediate: bool,
}

impl DataFlags {
    const END: u8 = 0x01;
    const BEGIN: u8 = 0x02;
    const UNORDERED: u8 = 0x04;
    const IMMEDIATE: u8 = 0x08;

    /// The flags of an ordered message in one piece.
    pub const WHOLE: Self = Self { begin: true, end: true, unordered: false, immediate: false };

    /// Reads the flags byte. Unknown bits are ignored.
    #[inline]
    #[must_use]
    pub const fn from_bits(bits: u8) -> Self {
        Self {
            begin: bits & Self::BEGIN != 0,
            end: bits & Self::END != 0,
            unordered: bits & Self::UNORDERED != 0,
            immediate: bits & Self::IMMEDIATE != 0,
        }
    }

    /// The flags byte.
    #[inline]
    #[must_use]
    pub const fn bits(self) -> u8 {
        (if self.begin { Self::BEGIN } else { 0 })
            | (if self.end { Self::END } else { 0 })
            | (if self.unordered { Self::UNORDERED } else { 0 })
            | (if self.immediate { Self::IMMEDIATE } else { 0 })
    }
}

/// A DATA or I-DATA chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataChunk {
    /// Transmission sequence number.
    pub tsn: Tsn,
    /// Stream identifier.
    pub stream: u16,
    /// Which message of the stream the data belongs to.
    pub id: MessageId,
    /// Payload protocol identifier, the number on the wire. 0 in an I-DATA chunk that is not a
    /// first fragment.
    pub ppid: u32,
    /// The flags: which part of the message this is, and more.
    pub flags: DataFlags,
    /// User data, a slice of the packet. If it is empty, the peer broke the rules; the association
    /// answers with ABORT, cause No User Data.
    pub payload: Bytes,
}

impl DataChunk {
    #[inline]
    pub(super) fn parse(chunk: &RawChunk<'_>, packet: &Packet) -> Result<Self, ChunkError> {
        let Some((&[t0, t1, t2, t3, s0, s1, n0, n1, p0, p1, p2, p3], payload)) =
            chunk.value.split_first_chunk()
        else {
            return Err(chunk.too_short(DATA_HEADER));
        };
        Ok(Self {
            tsn: Tsn(u32::from_be_bytes([t0, t1, t2, t3])),
            stream: u16::from_be_bytes([s0, s1]),
            id: MessageId::Ssn(Ssn(u16::from_be_bytes([n0, n1]))),
            ppid: u32::from_be_bytes([p0, p1, p2, p3]),
            flags: DataFlags::from_bits(chunk.flags),
            payload: slice_of(packet.bytes(), payload),
        })
    }

    /// Reads the value of an I-DATA chunk. [`RawChunk::decode`] does not call this, because I-DATA
    /// is unknown without its extension.
    pub fn parse_interleaved(chunk: &RawChunk<'_>, packet: &Packet) -> Result<Self, ChunkError> {
        let Some((&[t0, t1, t2, t3, s0, s1, _, _, m0, m1, m2, m3, p0, p1, p2, p3], payload)) =
            chunk.value.split_first_chunk()
        else {
            return Err(chunk.too_short(I_DATA_HEADER));
        };
        let flags = DataFlags::from_bits(chunk.flags);
        let ppid_or_fsn = u32::from_be_bytes([p0, p1, p2, p3]);
        let (ppid, fsn) = if flags.begin { (ppid_or_fsn, 0) } else { (0, ppid_or_fsn) };
        Ok(Self {
            tsn: Tsn(u32::from_be_bytes([t0, t1, t2, t3])),
            stream: u16::from_be_bytes([s0, s1]),
            id: MessageId::Mid { mid: u32::from_be_bytes([m0, m1, m2, m3]), fsn },
            ppid,
            flags,
            payload: slice_of(packet.bytes(), payload),
        })
    }
}

/// `part` as a slice of `whole` that shares its memory. If `part` lies elsewhere, it is copied.
#[inline]
fn slice_of(whole: &Bytes, part: &[u8]) -> Bytes {
    let start = part.as_ptr().addr().wrapping_sub(whole.as_ptr().addr());
    match start.checked_add(part.len()) {
        Some(end) if end <= whole.len() => whole.slice(start..end),
        _ => Bytes::copy_from_slice(part),
    }
}

impl PacketWriter<'_> {
    /// Writes a DATA or an I-DATA chunk, depending on `id`. `payload` has at least 1 byte and, with
    /// the header before it, fits [`room`](Self::room).
    #[inline]
    pub fn user_data(
        &mut self,
        tsn: Tsn,
        stream: u16,
        id: MessageId,
        ppid: u32,
        flags: DataFlags,
        payload: &[u8],
    ) {
        match id {
            MessageId::Ssn(ssn) => self.data(tsn, stream, ssn, ppid, flags, payload),
            MessageId::Mid { mid, fsn } => {
                let payload =
                    payload.get(..usize::from(u16::MAX) - I_DATA_HEADER).unwrap_or(payload);
                let mut header = [0; I_DATA_HEADER];
                header[0] = chunk_type::I_DATA;
                header[1] = flags.bits();
                header[2..4]
                    .copy_from_slice(&((I_DATA_HEADER + payload.len()) as u16).to_be_bytes());
                header[4..8].copy_from_slice(&tsn.0.to_be_bytes());
                header[8..10].copy_from_slice(&stream.to_be_bytes());
                header[12..16].copy_from_slice(&mid.to_be_bytes());
                header[16..].copy_from_slice(&if flags.begin { ppid } else { fsn }.to_be_bytes());
                self.writer.bytes(&header);
                self.writer.bytes(payload);
                self.writer.pad4();
            }
        }
    }

    /// Writes a DATA chunk. `payload` has at least 1 byte and, with the 16 bytes before it, fits
    /// [`room`](Self::room).
    #[inline]
    pub fn data(
        &mut self,
        tsn: Tsn,
        stream: u16,
        ssn: Ssn,
        ppid: u32,
        flags: DataFlags,
        payload: &[u8],
    ) {
        // The length is known in advance, so the header can be written in one piece. It has 16
        // bits.
        let payload = payload.get(..usize::from(u16::MAX) - DATA_HEADER).unwrap_or(payload);
        let [l0, l1] = ((DATA_HEADER + payload.len()) as u16).to_be_bytes();
        let [t0, t1, t2, t3] = tsn.0.to_be_bytes();
        let [s0, s1] = stream.to_be_bytes();
        let [n0, n1] = ssn.0.to_be_bytes();
        let [p0, p1, p2, p3] = ppid.to_be_bytes();
        let header: [u8; DATA_HEADER] = [
            chunk_type::DATA,
            flags.bits(),
            l0,
            l1,
            t0,
            t1,
            t2,
            t3,
            s0,
            s1,
            n0,
            n1,
            p0,
            p1,
            p2,
            p3,
        ];
        self.writer.bytes(&header);
        self.writer.bytes(payload);
        self.writer.pad4();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::tests::{build, only, unhex};
    use crate::wire::{Chunk, ChunkError};

    #[test]
    fn golden_packet() {
        let golden =
            unhex("13882329aabbccddb115958100030015fffffffe000100000000000068656c6c6f000000");
        let packet = Packet::check(golden.clone().into()).unwrap();
        assert_eq!(
            (packet.src_port(), packet.dst_port(), packet.vtag()),
            (5000, 9001, 0xaabb_ccdd)
        );
        let Chunk::Data(data) = only(&packet) else { panic!("not DATA") };
        assert_eq!(
            data,
            DataChunk {
                tsn: Tsn(0xffff_fffe),
                stream: 1,
                id: MessageId::Ssn(Ssn(0)),
                ppid: 0,
                flags: DataFlags::WHOLE,
                payload: Bytes::from_static(b"hello"),
            }
        );

        let mut out = Vec::new();
        let mut writer = PacketWriter::new(&mut out, 1480, 5000, 9001, 0xaabb_ccdd);
        writer.user_data(data.tsn, data.stream, data.id, data.ppid, data.flags, &data.payload);
        assert_eq!(writer.finish(), 36);
        assert_eq!(out, golden);
    }

    #[test]
    fn payload_shares_the_memory_of_the_packet() {
        for payload in [&b"padded"[..], b"to the end!!"] {
            let packet = build(|w| w.data(Tsn(1), 2, Ssn(3), 4, DataFlags::WHOLE, payload));
            let Chunk::Data(data) = only(&packet) else { panic!("not DATA") };
            assert_eq!(data.payload, payload);
            assert_eq!(data.payload.as_ptr(), packet.bytes()[28..].as_ptr());
        }
    }

    #[test]
    fn payload_of_another_packet_is_copied() {
        let packet = build(|w| w.data(Tsn(1), 2, Ssn(3), 4, DataFlags::WHOLE, b"payload"));
        let other = build(|w| w.cookie_ack());
        let Ok(Chunk::Data(data)) = packet.chunks().next().unwrap().decode(&other) else {
            panic!("not DATA")
        };
        assert_eq!(data.payload, "payload");
    }

    #[test]
    fn an_empty_payload_is_no_decoding_error() {
        let packet = build(|w| w.data(Tsn(7), 2, Ssn(3), 4, DataFlags::WHOLE, b""));
        let Chunk::Data(data) = only(&packet) else { panic!("not DATA") };
        assert!(data.payload.is_empty());
    }

    #[test]
    fn cut_header_is_an_error() {
        let packet = build(|w| w.raw_chunk(chunk_type::DATA, 3, &[0; 11]));
        let error = packet.chunks().next().unwrap().decode(&packet).unwrap_err();
        assert_eq!(error, ChunkError { kind: 0, needed: 16, length: 15 });
    }

    #[test]
    fn flags_are_the_bits_of_the_rfc() {
        for bits in 0..=0x0f {
            assert_eq!(DataFlags::from_bits(bits).bits(), bits);
            assert_eq!(DataFlags::from_bits(bits | 0xf0).bits(), bits, "unknown bits are ignored");
        }
        assert!(DataFlags::from_bits(0x01).end && DataFlags::from_bits(0x02).begin);
        assert!(DataFlags::from_bits(0x04).unordered && DataFlags::from_bits(0x08).immediate);
    }

    #[test]
    fn i_data_round_trips_and_is_unknown_without_the_extension() {
        for (begin, fsn, ppid) in [(true, 0, 51), (false, 7, 0)] {
            let flags = DataFlags { begin, end: false, unordered: true, immediate: true };
            let id = MessageId::Mid { mid: 0x0102_0304, fsn };
            let packet = build(|w| w.user_data(Tsn(9), 3, id, ppid, flags, b"part"));
            let last = if begin { "00000033" } else { "00000007" };
            let golden =
                format!("40{:02x}0018000000090003000001020304{last}70617274", flags.bits());
            assert_eq!(packet.bytes()[12..], unhex(&golden)[..]);
            let raw = packet.chunks().next().unwrap();
            assert!(matches!(raw.decode(&packet), Ok(Chunk::Unknown { .. })));
            let data = DataChunk::parse_interleaved(&raw, &packet).unwrap();
            assert_eq!(
                data,
                DataChunk {
                    tsn: Tsn(9),
                    stream: 3,
                    id,
                    ppid,
                    flags,
                    payload: Bytes::from_static(b"part")
                }
            );
        }
        let cut = build(|w| w.raw_chunk(chunk_type::I_DATA, 3, &[0; 15]));
        let error = DataChunk::parse_interleaved(&cut.chunks().next().unwrap(), &cut).unwrap_err();
        assert_eq!(error, ChunkError { kind: 64, needed: 20, length: 19 });
    }

    #[test]
    fn message_ids_count_in_their_own_width() {
        assert_eq!(MessageId::Ssn(Ssn(1)).distance_from(0x0001_ffff), 2);
        assert_eq!(MessageId::Mid { mid: 1, fsn: 0 }.distance_from(u32::MAX), 2);
        assert_eq!(MessageId::Mid { mid: 0x0001_0002, fsn: 0 }.distance_from(2), 0x0001_0000);
        assert!(MessageId::Mid { mid: 1, fsn: 0 }.same_message(MessageId::Mid { mid: 1, fsn: 5 }));
        assert!(!MessageId::Mid { mid: 1, fsn: 0 }.same_message(MessageId::Ssn(Ssn(1))));
    }

    #[test]
    fn payload_beyond_the_length_field_is_cut() {
        let packet = build(|w| w.data(Tsn(1), 2, Ssn(3), 4, DataFlags::WHOLE, &[9; 70_000]));
        let Chunk::Data(data) = only(&packet) else { panic!("not DATA") };
        assert_eq!(data.payload.len(), 65_535 - 16);
    }
}
