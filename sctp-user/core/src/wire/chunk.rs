//! Chunks: their common header, their types, and the enum of all decoded chunks (RFC 9260 sec 3.2).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +---------------+---------------+-------------------------------+
//! |     type      |     flags     |       length = 4 + value      |
//! +---------------+---------------+-------------------------------+
//! |  value ...                          zero padding to 4 bytes   |
//! +---------------------------------------------------------------+
//! ```

use super::cause::Causes;
use super::control;
use super::data::DataChunk;
use super::init::InitChunk;
use super::packet::Packet;
use super::sack::SackChunk;
use crate::serial::Tsn;
use crate::tlv::{Tlvs, UnknownAction};

/// Bytes of a chunk header.
pub const CHUNK_HEADER: usize = 4;

/// Chunk type numbers. Those of extensions have names too, because the Supported Extensions
/// parameter lists them, but [`Chunk`] does not decode them.
pub mod chunk_type {
    /// Payload data (RFC 9260 sec 3.3.1).
    pub const DATA: u8 = 0;
    /// Initiation (sec 3.3.2).
    pub const INIT: u8 = 1;
    /// Initiation acknowledgement (sec 3.3.3).
    pub const INIT_ACK: u8 = 2;
    /// Selective acknowledgement (sec 3.3.4).
    pub const SACK: u8 = 3;
    /// Heartbeat request (sec 3.3.5).
    pub const HEARTBEAT: u8 = 4;
    /// Heartbeat acknowledgement (sec 3.3.6).
    pub const HEARTBEAT_ACK: u8 = 5;
    /// Abort (sec 3.3.7).
    pub const ABORT: u8 = 6;
    /// Shutdown (sec 3.3.8).
    pub const SHUTDOWN: u8 = 7;
    /// Shutdown acknowledgement (sec 3.3.9).
    pub const SHUTDOWN_ACK: u8 = 8;
    /// Operation error (sec 3.3.10).
    pub const ERROR: u8 = 9;
    /// State cookie (sec 3.3.11).
    pub const COOKIE_ECHO: u8 = 10;
    /// Cookie acknowledgement (sec 3.3.12).
    pub const COOKIE_ACK: u8 = 11;
    /// Explicit congestion notification echo, reserved in RFC 9260.
    pub const ECNE: u8 = 12;
    /// Congestion window reduced, reserved in RFC 9260.
    pub const CWR: u8 = 13;
    /// Shutdown complete (sec 3.3.13).
    pub const SHUTDOWN_COMPLETE: u8 = 14;
    /// Authentication (RFC 4895).
    pub const AUTH: u8 = 15;
    /// Payload data with message identifier (RFC 8260).
    pub const I_DATA: u8 = 64;
    /// Address configuration acknowledgement (RFC 5061).
    pub const ASCONF_ACK: u8 = 128;
    /// Stream re-configuration (RFC 6525).
    pub const RE_CONFIG: u8 = 130;
    /// Padding (RFC 4820).
    pub const PAD: u8 = 132;
    /// Forward the cumulative TSN (RFC 3758).
    pub const FORWARD_TSN: u8 = 192;
    /// Address configuration change (RFC 5061).
    pub const ASCONF: u8 = 193;
    /// Forward the cumulative TSN, with message identifiers (RFC 8260).
    pub const I_FORWARD_TSN: u8 = 194;
}

/// The value of a chunk is shorter than the fixed part of its type. The chunk is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("chunk of type {kind} needs {needed} bytes but has {length}")]
pub struct ChunkError {
    /// Chunk type.
    pub kind: u8,
    /// Bytes that the fixed part takes, with the chunk header. In a SACK this includes the blocks
    /// that it says it has.
    pub needed: usize,
    /// The length field.
    pub length: usize,
}

/// The chunks of a packet. See [`Packet::chunks`].
#[derive(Clone, Debug)]
pub struct Chunks<'a>(Tlvs<'a>);

impl<'a> Chunks<'a> {
    #[inline]
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self(Tlvs::new(bytes))
    }
}

impl<'a> Iterator for Chunks<'a> {
    type Item = RawChunk<'a>;

    #[inline]
    fn next(&mut self) -> Option<RawChunk<'a>> {
        // A chunk header has the shape of a TLV header: type and flags make up the 16 bits of the
        // TLV type.
        let tlv = self.0.next()?;
        let [kind, flags] = tlv.kind.to_be_bytes();
        Some(RawChunk { kind, flags, value: tlv.value, whole: tlv.whole })
    }
}

impl std::iter::FusedIterator for Chunks<'_> {}

/// A chunk of which only the header has been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawChunk<'a> {
    /// Chunk type, see [`chunk_type`].
    pub kind: u8,
    /// Chunk flags.
    pub flags: u8,
    /// The bytes after the header, without padding.
    pub value: &'a [u8],
    /// Header and value, without padding.
    pub whole: &'a [u8],
}

impl<'a> RawChunk<'a> {
    /// Decodes the value. `packet` is the packet that this chunk came from; a DATA payload becomes
    /// a slice of it. Bytes after the fixed part and unknown flag bits are ignored.
    ///
    /// # Errors
    /// [`ChunkError`] when the chunk is shorter than the fixed part of its type.
    #[inline]
    pub fn decode(&self, packet: &'a Packet) -> Result<Chunk<'a>, ChunkError> {
        Ok(match self.kind {
            chunk_type::DATA => Chunk::Data(DataChunk::parse(self, packet)?),
            chunk_type::SACK => Chunk::Sack(SackChunk::parse(self)?),
            chunk_type::INIT => Chunk::Init(InitChunk::parse(self)?),
            chunk_type::INIT_ACK => Chunk::InitAck(InitChunk::parse(self)?),
            _ => control::parse(self)?,
        })
    }

    /// The error when the fixed part takes `needed` bytes, chunk header included.
    pub(super) const fn too_short(&self, needed: usize) -> ChunkError {
        ChunkError { kind: self.kind, needed, length: self.whole.len() }
    }
}

/// A decoded chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chunk<'a> {
    /// User data.
    Data(DataChunk),
    /// Start of an association.
    Init(InitChunk<'a>),
    /// Answer to INIT, with the cookie.
    InitAck(InitChunk<'a>),
    /// Acknowledgement of DATA.
    Sack(SackChunk<'a>),
    /// Test of a path. The receiver returns the whole TLV area unchanged. See
    /// [`heartbeat_info`](super::heartbeat_info).
    Heartbeat(&'a [u8]),
    /// Answer to such a test: the TLV area that we sent.
    HeartbeatAck(&'a [u8]),
    /// End of the association, at once.
    Abort {
        /// T bit: the verification tag is the one that the sender of the ABORT received, not the
        /// one that the receiver of the ABORT expects.
        reflected: bool,
        /// The reasons; often there is none.
        causes: Causes<'a>,
    },
    /// The sender will send no more data.
    Shutdown {
        /// Cumulative TSN acknowledgement.
        cum_tsn: Tsn,
    },
    /// Answer to SHUTDOWN once all data is acknowledged.
    ShutdownAck,
    /// Something went wrong. This never ends an association by itself.
    Error {
        /// What went wrong.
        causes: Causes<'a>,
    },
    /// The cookie of the INIT ACK.
    CookieEcho(&'a [u8]),
    /// The cookie was accepted.
    CookieAck,
    /// End of the graceful shutdown.
    ShutdownComplete {
        /// T bit, as in [`Abort`](Self::Abort).
        reflected: bool,
    },
    /// A type that is not decoded here.
    Unknown {
        /// Chunk type.
        kind: u8,
        /// What the two highest bits of the type ask for.
        action: UnknownAction,
        /// Header and value, for the report.
        whole: &'a [u8],
    },
}

impl Chunk<'_> {
    /// The chunk type, see [`chunk_type`].
    pub const fn kind(&self) -> u8 {
        match self {
            Self::Data(_) => chunk_type::DATA,
            Self::Init(_) => chunk_type::INIT,
            Self::InitAck(_) => chunk_type::INIT_ACK,
            Self::Sack(_) => chunk_type::SACK,
            Self::Heartbeat(_) => chunk_type::HEARTBEAT,
            Self::HeartbeatAck(_) => chunk_type::HEARTBEAT_ACK,
            Self::Abort { .. } => chunk_type::ABORT,
            Self::Shutdown { .. } => chunk_type::SHUTDOWN,
            Self::ShutdownAck => chunk_type::SHUTDOWN_ACK,
            Self::Error { .. } => chunk_type::ERROR,
            Self::CookieEcho(_) => chunk_type::COOKIE_ECHO,
            Self::CookieAck => chunk_type::COOKIE_ACK,
            Self::ShutdownComplete { .. } => chunk_type::SHUTDOWN_COMPLETE,
            Self::Unknown { kind, .. } => *kind,
        }
    }
}
