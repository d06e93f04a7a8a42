//! The control chunks with little or nothing inside: HEARTBEAT and its ACK (RFC 9260 sec 3.3.5, 3.3.6), ABORT
//! (3.3.7), SHUTDOWN, its ACK and SHUTDOWN COMPLETE (3.3.8, 3.3.9, 3.3.13), ERROR (3.3.10), COOKIE ECHO and COOKIE
//! ACK (3.3.11, 3.3.12).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +---------------+-------------+-+-------------------------------+
//! |     type      |  reserved   |T|            length             |  T only in ABORT, SHUTDOWN COMPLETE
//! +---------------+-------------+-+-------------------------------+
//! |  HEARTBEAT, HEARTBEAT ACK: Heartbeat Info parameter           |
//! |  ABORT, ERROR: error causes                                   |
//! |  SHUTDOWN: cumulative TSN acknowledged (32 bits)              |
//! |  COOKIE ECHO: the value of the State Cookie parameter         |
//! |  SHUTDOWN ACK, COOKIE ACK, SHUTDOWN COMPLETE: nothing         |
//! +---------------------------------------------------------------+
//! ```

use super::cause::{CauseWriter, Causes};
use super::chunk::{CHUNK_HEADER, Chunk, ChunkError, RawChunk, chunk_type};
use super::packet::PacketWriter;
use super::param::{Param, ParamWriter, Params};
use crate::serial::Tsn;
use crate::tlv::UnknownAction;

/// Bytes of a SHUTDOWN chunk.
pub const SHUTDOWN_LEN: usize = CHUNK_HEADER + 4;

/// T bit: the verification tag is a reflected one.
const REFLECTED: u8 = 0x01;

/// Decodes every type that has no module of its own.
pub(super) fn parse<'a>(chunk: &RawChunk<'a>) -> Result<Chunk<'a>, ChunkError> {
    let reflected = chunk.flags & REFLECTED != 0;
    Ok(match chunk.kind {
        chunk_type::HEARTBEAT => Chunk::Heartbeat(chunk.value),
        chunk_type::HEARTBEAT_ACK => Chunk::HeartbeatAck(chunk.value),
        chunk_type::ABORT => Chunk::Abort { reflected, causes: Causes::new(chunk.value) },
        chunk_type::SHUTDOWN => {
            let cum = chunk.value.first_chunk().ok_or(chunk.too_short(SHUTDOWN_LEN))?;
            Chunk::Shutdown { cum_tsn: Tsn(u32::from_be_bytes(*cum)) }
        }
        chunk_type::SHUTDOWN_ACK => Chunk::ShutdownAck,
        chunk_type::ERROR => Chunk::Error { causes: Causes::new(chunk.value) },
        chunk_type::COOKIE_ECHO => Chunk::CookieEcho(chunk.value),
        chunk_type::COOKIE_ACK => Chunk::CookieAck,
        chunk_type::SHUTDOWN_COMPLETE => Chunk::ShutdownComplete { reflected },
        kind => Chunk::Unknown { kind, action: UnknownAction::of_chunk(kind), whole: chunk.whole },
    })
}

/// The value of the Heartbeat Info parameter in the TLV area of a HEARTBEAT or HEARTBEAT ACK.
#[must_use]
pub fn heartbeat_info(tlvs: &[u8]) -> Option<&[u8]> {
    Params::new(tlvs).iter().find_map(|param| match param {
        Param::HeartbeatInfo(info) => Some(info),
        _ => None,
    })
}

impl PacketWriter<'_> {
    /// A HEARTBEAT whose Heartbeat Info parameter holds `info`.
    pub fn heartbeat(&mut self, info: &[u8]) {
        let mark = self.begin(chunk_type::HEARTBEAT, 0);
        let limit = self.limit();
        ParamWriter::new(self.writer.reborrow(), limit).heartbeat_info(info);
        self.writer.end_tlv(mark);
    }

    /// A HEARTBEAT ACK with the TLV area of the HEARTBEAT it answers.
    pub fn heartbeat_ack(&mut self, tlvs: &[u8]) {
        self.raw_chunk(chunk_type::HEARTBEAT_ACK, 0, tlvs);
    }

    /// An ABORT with the causes that `causes` writes. `reflected` is the T bit.
    pub fn abort(&mut self, reflected: bool, causes: impl FnOnce(&mut CauseWriter<'_>)) {
        self.causes(chunk_type::ABORT, t_bit(reflected), causes);
    }

    /// An ERROR with the causes that `causes` writes, at least one.
    pub fn error(&mut self, causes: impl FnOnce(&mut CauseWriter<'_>)) {
        self.causes(chunk_type::ERROR, 0, causes);
    }

    /// A SHUTDOWN.
    pub fn shutdown(&mut self, cum: Tsn) {
        self.raw_chunk(chunk_type::SHUTDOWN, 0, &cum.0.to_be_bytes());
    }

    /// A SHUTDOWN ACK.
    pub fn shutdown_ack(&mut self) {
        self.raw_chunk(chunk_type::SHUTDOWN_ACK, 0, &[]);
    }

    /// A COOKIE ECHO; it must be the first chunk.
    pub fn cookie_echo(&mut self, cookie: &[u8]) {
        self.raw_chunk(chunk_type::COOKIE_ECHO, 0, cookie);
    }

    /// A COOKIE ACK; it must be the first chunk.
    pub fn cookie_ack(&mut self) {
        self.raw_chunk(chunk_type::COOKIE_ACK, 0, &[]);
    }

    /// A SHUTDOWN COMPLETE; it must be alone. `reflected` is the T bit.
    pub fn shutdown_complete(&mut self, reflected: bool) {
        self.raw_chunk(chunk_type::SHUTDOWN_COMPLETE, t_bit(reflected), &[]);
    }

    fn causes(&mut self, kind: u8, flags: u8, causes: impl FnOnce(&mut CauseWriter<'_>)) {
        let mark = self.begin(kind, flags);
        let limit = self.limit();
        causes(&mut CauseWriter::new(self.writer.reborrow(), limit));
        self.writer.end_tlv(mark);
    }
}

const fn t_bit(reflected: bool) -> u8 {
    if reflected { REFLECTED } else { 0 }
}
