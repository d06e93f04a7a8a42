//! DATA (RFC 9260 sec 3.3.1).
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

use bytes::Bytes;

use super::chunk::{ChunkError, RawChunk, chunk_type};
use super::packet::{Packet, PacketWriter};
use crate::serial::{Ssn, Tsn};

/// Bytes of a DATA chunk before the user data, chunk header included.
pub const DATA_HEADER: usize = 16;

/// The flags of a DATA chunk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct DataFlags {
    /// B: first fragment of a message.
    pub begin: bool,
    /// E: last fragment of a message. A message in one piece has B and E.
    pub end: bool,
    /// U: unordered; the SSN means nothing.
    pub unordered: bool,
    /// I: the sender asks for a SACK at once (RFC 7053, RFC 9260 sec 3.3.1).
    pub immediate: bool,
}

impl DataFlags {
    const END: u8 = 0x01;
    const BEGIN: u8 = 0x02;
    const UNORDERED: u8 = 0x04;
    const IMMEDIATE: u8 = 0x08;

    /// An ordered message in one piece.
    pub const WHOLE: Self = Self { begin: true, end: true, unordered: false, immediate: false };

    /// From the flags byte; unknown bits are ignored.
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

    /// As the flags byte.
    #[inline]
    #[must_use]
    pub const fn bits(self) -> u8 {
        (if self.begin { Self::BEGIN } else { 0 })
            | (if self.end { Self::END } else { 0 })
            | (if self.unordered { Self::UNORDERED } else { 0 })
            | (if self.immediate { Self::IMMEDIATE } else { 0 })
    }
}

/// A DATA chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataChunk {
    /// Transmission sequence number.
    pub tsn: Tsn,
    /// Stream identifier.
    pub stream: u16,
    /// Stream sequence number; without meaning when unordered.
    pub ssn: Ssn,
    /// Payload protocol identifier, the number on the wire.
    pub ppid: u32,
    /// Fragment position and the like.
    pub flags: DataFlags,
    /// User data, a slice of the packet. Empty in a chunk that breaks the rules: the receiver answers with ABORT,
    /// cause No User Data.
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
            ssn: Ssn(u16::from_be_bytes([n0, n1])),
            ppid: u32::from_be_bytes([p0, p1, p2, p3]),
            flags: DataFlags::from_bits(chunk.flags),
            payload: slice_of(packet.bytes(), payload),
        })
    }
}

/// `part` as a slice of `whole` that shares its memory. A `part` from elsewhere is copied.
#[inline]
fn slice_of(whole: &Bytes, part: &[u8]) -> Bytes {
    let start = part.as_ptr().addr().wrapping_sub(whole.as_ptr().addr());
    match start.checked_add(part.len()) {
        Some(end) if end <= whole.len() => whole.slice(start..end),
        _ => Bytes::copy_from_slice(part),
    }
}

impl PacketWriter<'_> {
    /// A DATA chunk; `payload` has at least 1 byte and, with the 16 bytes before it, fits [`room`](Self::room).
    #[inline]
    pub fn data(&mut self, tsn: Tsn, stream: u16, ssn: Ssn, ppid: u32, flags: DataFlags, payload: &[u8]) {
        let mark = self.begin(chunk_type::DATA, flags.bits());
        let [t0, t1, t2, t3] = tsn.0.to_be_bytes();
        let [s0, s1] = stream.to_be_bytes();
        let [n0, n1] = ssn.0.to_be_bytes();
        let [p0, p1, p2, p3] = ppid.to_be_bytes();
        self.writer.bytes(&[t0, t1, t2, t3, s0, s1, n0, n1, p0, p1, p2, p3]);
        self.writer.bytes(payload);
        self.writer.end_tlv(mark);
    }
}
