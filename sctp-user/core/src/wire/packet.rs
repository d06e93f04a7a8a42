//! The packet: common header, CRC32c, a row of chunks (RFC 9260 sec 3, sec 3.1).
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

use super::chunk::{CHUNK_HEADER, Chunks};
use crate::tlv::{Mark, Reader, Truncated, Writer};

/// Bytes of the common header.
pub const COMMON_HEADER: usize = 12;

/// Why a packet is dropped, always silently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PacketError {
    /// Not even the common header and one chunk header.
    #[error("packet of {0} bytes is shorter than common header and chunk header, 16 bytes")]
    TooShort(usize),
    /// The CRC32c over the packet is another one than the header says (RFC 9260 sec 6.8).
    #[error("checksum is wrong")]
    Checksum,
    /// Port 0 is never valid (RFC 9260 sec 3.1).
    #[error("source or destination port is 0")]
    ZeroPort,
    /// The first chunk does not fit the packet, so there is none.
    #[error("first chunk does not fit the packet")]
    NoChunk,
}

/// A received packet whose checksum is right, whose ports are not 0, and which holds at least one chunk.
#[derive(Clone, Debug)]
pub struct Packet {
    bytes: Bytes,
    src_port: u16,
    dst_port: u16,
    vtag: u32,
}

impl Packet {
    /// Checks a received SCTP packet, without IP or UDP header. With `cfg(fuzzing)` any checksum is right.
    ///
    /// # Errors
    /// [`PacketError`]; nothing is ever sent in return to such a packet.
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

    /// The verification tag; 0 belongs to a lone INIT only.
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

    /// The packet as it came.
    #[inline]
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The chunks in order. A partial chunk (length below 4 or beyond the end) ends the iteration: it and all behind
    /// it are dropped. The padding of the last chunk may be missing.
    #[inline]
    pub fn chunks(&self) -> Chunks<'_> {
        Chunks::new(self.bytes.get(COMMON_HEADER..).unwrap_or_default())
    }
}

/// CRC32c over `packet` with the checksum field counted as zero.
fn checksum_of(packet: &[u8]) -> u32 {
    const FIELD: std::ops::Range<usize> = 8..COMMON_HEADER;
    let before = packet.get(..FIELD.start).unwrap_or_default();
    let behind = packet.get(FIELD.end..).unwrap_or_default();
    let crc = crc32c::crc32c(before);
    let crc = crc32c::crc32c_append(crc, &[0; 4]);
    crc32c::crc32c_append(crc, behind)
}

/// Builds one packet at the end of a vector. One method per chunk type; they stand beside the parser of their
/// chunk.
///
/// A packet with control chunks and DATA has the control chunks first; the caller keeps this order and asks
/// [`room`](Self::room) before each chunk: apart from [`sack`](Self::sack) the methods do not look at the limit.
#[derive(Debug)]
#[must_use = "the checksum is filled in by `finish`"]
pub struct PacketWriter<'b> {
    pub(super) writer: Writer<'b>,
    limit: usize,
}

impl<'b> PacketWriter<'b> {
    /// Writes the common header behind what `buf` holds. `limit` is the largest packet in bytes, common header and
    /// padding included.
    #[inline]
    pub fn new(buf: &'b mut Vec<u8>, limit: usize, src_port: u16, dst_port: u16, vtag: u32) -> Self {
        let mut writer = Writer::new(buf);
        writer.u16(src_port);
        writer.u16(dst_port);
        writer.u32(vtag);
        writer.u32(0);
        Self { writer, limit }
    }

    /// Bytes left for one more padded chunk including its header; 0 when the packet is full.
    #[inline]
    pub fn room(&self) -> usize {
        self.limit.saturating_sub(self.writer.len()) & !3
    }

    /// Bytes written so far, common header included.
    #[inline]
    pub fn len(&self) -> usize {
        self.writer.len()
    }

    /// True when there is no chunk yet.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.writer.len() <= COMMON_HEADER
    }

    /// A chunk of any type.
    pub fn raw_chunk(&mut self, kind: u8, flags: u8, value: &[u8]) {
        let mark = self.begin(kind, flags);
        self.writer.bytes(value);
        self.writer.end_tlv(mark);
    }

    /// Fills in the CRC32c and returns the length of the packet in bytes.
    #[inline]
    pub fn finish(mut self) -> usize {
        let packet = self.writer.written();
        let crc = crc32c::crc32c(packet);
        if let Some(field) = packet.get_mut(8..COMMON_HEADER) {
            field.copy_from_slice(&crc.to_le_bytes());
        }
        packet.len()
    }

    /// Takes the packet back: the vector is as it was before [`new`](Self::new).
    pub fn abandon(mut self) {
        self.writer.truncate(0);
    }

    /// Opens a chunk. Its header has the shape of a TLV header: type and flags share the first 16 bits.
    #[inline]
    pub(super) fn begin(&mut self, kind: u8, flags: u8) -> Mark {
        self.writer.begin_tlv(u16::from_be_bytes([kind, flags]))
    }

    /// The largest packet in bytes, as given to [`new`](Self::new).
    #[inline]
    pub(super) const fn limit(&self) -> usize {
        self.limit
    }
}
