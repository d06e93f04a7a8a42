//! SCTP packets split into chunks and parameters. This parser is independent of the stack, so that
//! the stack's errors in parsing do not hide its faults.

pub(super) const DATA: u8 = 0;
pub(super) const INIT: u8 = 1;
pub(super) const INIT_ACK: u8 = 2;
pub(super) const SACK: u8 = 3;
pub(super) const HEARTBEAT: u8 = 4;
pub(super) const HEARTBEAT_ACK: u8 = 5;
pub(super) const ABORT: u8 = 6;
pub(super) const SHUTDOWN: u8 = 7;
pub(super) const SHUTDOWN_ACK: u8 = 8;
pub(super) const ERROR: u8 = 9;
pub(super) const COOKIE_ECHO: u8 = 10;
pub(super) const COOKIE_ACK: u8 = 11;
pub(super) const SHUTDOWN_COMPLETE: u8 = 14;
pub(super) const AUTH: u8 = 15;
pub(super) const PAD: u8 = 132;

/// The T bit of ABORT and SHUTDOWN COMPLETE.
pub(super) const REFLECTED: u8 = 1;

/// Common header, bytes.
const HEADER: usize = 12;

/// A packet with a right checksum.
#[derive(Clone, Debug)]
pub(super) struct Packet {
    bytes: Vec<u8>,
    pub(super) src_port: u16,
    pub(super) dst_port: u16,
    pub(super) tag: u32,
    /// The end of the last whole chunk, including its padding.
    end: usize,
    starts: Vec<usize>,
}

/// A chunk.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chunk<'a> {
    pub(super) kind: u8,
    pub(super) flags: u8,
    /// The bytes after the chunk header.
    pub(super) value: &'a [u8],
    pub(super) padding: &'a [u8],
}

impl Packet {
    /// Reads a packet. Returns `None` if it is not SCTP: too short, or with a wrong checksum.
    pub(super) fn parse(bytes: Vec<u8>) -> Option<Packet> {
        let (src_port, dst_port) = (be16(&bytes, 0)?, be16(&bytes, 2)?);
        let (tag, sum) = (be32(&bytes, 4)?, be32(&bytes, 8)?.swap_bytes());
        let head = crc32c::crc32c(bytes.get(..8)?);
        let crc = crc32c::crc32c_append(crc32c::crc32c_append(head, &[0; 4]), bytes.get(HEADER..)?);
        if crc != sum {
            return None;
        }
        let (mut at, mut starts) = (HEADER, Vec::new());
        while let Some(length) = be16(&bytes, at + 2).map(usize::from) {
            if length < 4 || at + length > bytes.len() {
                break;
            }
            starts.push(at);
            at = (at + length.next_multiple_of(4)).min(bytes.len());
        }
        Some(Packet { bytes, src_port, dst_port, tag, end: at, starts })
    }

    pub(super) fn chunks(&self) -> impl DoubleEndedIterator<Item = Chunk<'_>> + Clone {
        self.starts.iter().filter_map(|start| {
            let chunk = self.bytes.get(*start..)?;
            let length = usize::from(be16(chunk, 2)?);
            let padded = length.next_multiple_of(4).min(chunk.len());
            Some(Chunk {
                kind: chunk[0],
                flags: chunk[1],
                value: chunk.get(4..length)?,
                padding: chunk.get(length..padded)?,
            })
        })
    }

    pub(super) fn first(&self) -> Option<Chunk<'_>> {
        self.chunks().next()
    }

    pub(super) fn has(&self, kind: u8) -> bool {
        self.chunks().any(|chunk| chunk.kind == kind)
    }

    /// Length of the whole packet, bytes.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The number of bytes after the last whole chunk.
    pub(super) fn rest(&self) -> usize {
        self.bytes.len() - self.end
    }

    /// Whether it holds HEARTBEAT and PAD, which makes it a probe of the path MTU.
    pub(super) fn is_probe(&self) -> bool {
        self.has(PAD) && self.chunks().all(|chunk| chunk.kind == HEARTBEAT || chunk.kind == PAD)
    }
}

impl Chunk<'_> {
    pub(super) fn is_reflected(&self) -> bool {
        self.flags & REFLECTED != 0
    }
}

/// A parameter or an error cause.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tlv<'a> {
    pub(super) kind: u16,
    pub(super) value: &'a [u8],
    pub(super) padding: &'a [u8],
}

/// The parameters in `bytes`, and whether `bytes` holds nothing else. The last parameter may lack
/// its padding.
pub(super) fn tlvs(mut bytes: &[u8]) -> (Vec<Tlv<'_>>, bool) {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let (Some(kind), Some(length)) = (be16(bytes, 0), be16(bytes, 2)) else {
            return (found, false);
        };
        let length = usize::from(length);
        let Some(value) = bytes.get(4..length) else { return (found, false) };
        let padded = length.next_multiple_of(4).min(bytes.len());
        found.push(Tlv { kind, value, padding: &bytes[length..padded] });
        bytes = &bytes[padded..];
    }
    (found, true)
}

pub(super) fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

pub(super) fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// How far `to` is ahead of `from` in serial number arithmetic; negative if it is behind.
pub(super) fn ahead(from: u32, to: u32) -> i64 {
    i64::from(to.wrapping_sub(from) as i32)
}

/// The name of a chunk type.
pub(super) fn name(kind: u8) -> String {
    let name = match kind {
        DATA => "DATA",
        INIT => "INIT",
        INIT_ACK => "INIT ACK",
        SACK => "SACK",
        HEARTBEAT => "HEARTBEAT",
        HEARTBEAT_ACK => "HEARTBEAT ACK",
        ABORT => "ABORT",
        SHUTDOWN => "SHUTDOWN",
        SHUTDOWN_ACK => "SHUTDOWN ACK",
        ERROR => "ERROR",
        COOKIE_ECHO => "COOKIE ECHO",
        COOKIE_ACK => "COOKIE ACK",
        SHUTDOWN_COMPLETE => "SHUTDOWN COMPLETE",
        PAD => "PAD",
        _ => return format!("chunk type {kind}"),
    };
    name.to_owned()
}
