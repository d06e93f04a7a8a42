//! The control chunks with little or nothing in them: HEARTBEAT and HEARTBEAT ACK (RFC 9260 sec
//! 3.3.5, 3.3.6), ABORT (3.3.7), SHUTDOWN, SHUTDOWN ACK and SHUTDOWN COMPLETE (3.3.8, 3.3.9,
//! 3.3.13), ERROR (3.3.10), COOKIE ECHO and COOKIE ACK (3.3.11, 3.3.12).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +---------------+-------------+-+-------------------------------+
//! |     type      |  reserved   |T|            length             |
//! +---------------+-------------+-+-------------------------------+
//! |  HEARTBEAT, HEARTBEAT ACK: Heartbeat Info parameter           |
//! |  ABORT, ERROR: error causes                                   |
//! |  SHUTDOWN: cumulative TSN acknowledged (32 bits)              |
//! |  COOKIE ECHO: the value of the State Cookie parameter         |
//! |  SHUTDOWN ACK, COOKIE ACK, SHUTDOWN COMPLETE: nothing         |
//! +---------------------------------------------------------------+
//! ```
//!
//! Only ABORT and SHUTDOWN COMPLETE have the T bit.

use super::cause::{CauseWriter, Causes};
use super::chunk::{CHUNK_HEADER, Chunk, ChunkError, RawChunk, chunk_type};
use super::packet::PacketWriter;
use super::param::{Param, ParamWriter, Params};
use crate::serial::Tsn;
use crate::tlv::UnknownAction;

/// Bytes of a SHUTDOWN chunk.
pub const SHUTDOWN_LEN: usize = CHUNK_HEADER + 4;

/// T bit: the verification tag is the one that the sender received.
const REFLECTED: u8 = 0x01;

/// Decodes all chunk types that have no module of their own.
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
    /// Writes a HEARTBEAT with a Heartbeat Info parameter that holds `info`.
    pub fn heartbeat(&mut self, info: &[u8]) {
        let mark = self.begin(chunk_type::HEARTBEAT, 0);
        let limit = self.limit();
        ParamWriter::new(self.writer.reborrow(), limit).heartbeat_info(info);
        self.writer.end_tlv(mark);
    }

    /// Writes a HEARTBEAT ACK with the TLV area of the HEARTBEAT that it answers.
    pub fn heartbeat_ack(&mut self, tlvs: &[u8]) {
        self.raw_chunk(chunk_type::HEARTBEAT_ACK, 0, tlvs);
    }

    /// Writes an ABORT with the causes that `causes` writes. `reflected` is the T bit.
    pub fn abort(&mut self, reflected: bool, causes: impl FnOnce(&mut CauseWriter<'_>)) {
        self.causes(chunk_type::ABORT, t_bit(reflected), causes);
    }

    /// Writes an ERROR with the causes that `causes` writes; there must be at least one.
    pub fn error(&mut self, causes: impl FnOnce(&mut CauseWriter<'_>)) {
        self.causes(chunk_type::ERROR, 0, causes);
    }

    /// Writes a SHUTDOWN.
    pub fn shutdown(&mut self, cum: Tsn) {
        self.raw_chunk(chunk_type::SHUTDOWN, 0, &cum.0.to_be_bytes());
    }

    /// Writes a SHUTDOWN ACK.
    pub fn shutdown_ack(&mut self) {
        self.raw_chunk(chunk_type::SHUTDOWN_ACK, 0, &[]);
    }

    /// Writes a COOKIE ECHO. It must be the first chunk of its packet.
    pub fn cookie_echo(&mut self, cookie: &[u8]) {
        self.raw_chunk(chunk_type::COOKIE_ECHO, 0, cookie);
    }

    /// Writes a COOKIE ACK. It must be the first chunk of its packet.
    pub fn cookie_ack(&mut self) {
        self.raw_chunk(chunk_type::COOKIE_ACK, 0, &[]);
    }

    /// Writes a SHUTDOWN COMPLETE. It must be the only chunk of its packet. `reflected` is the T
    /// bit.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Cause;
    use crate::wire::tests::{build, only};

    #[test]
    fn heartbeat_carries_its_info_in_a_parameter() {
        let packet = build(|w| w.heartbeat(b"nonce"));
        assert_eq!(&packet.bytes()[12..], b"\x04\0\0\x0d\0\x01\0\x09nonce\0\0\0");
        let Chunk::Heartbeat(tlvs) = only(&packet) else { panic!("not a HEARTBEAT") };
        assert_eq!(heartbeat_info(tlvs), Some(&b"nonce"[..]));

        let ack = build(|w| w.heartbeat_ack(tlvs));
        assert_eq!(only(&ack), Chunk::HeartbeatAck(tlvs));
    }

    #[test]
    fn a_heartbeat_without_info_has_none() {
        assert_eq!(heartbeat_info(b""), None);
        assert_eq!(heartbeat_info(b"\0\x01\0\x03"), None, "length below its header");
        assert_eq!(heartbeat_info(b"\x80\x77\0\x05x\0\0\0\0\x01\0\x04"), Some(&b""[..]));
    }

    #[test]
    fn the_t_bit_is_bit_0() {
        for reflected in [false, true] {
            let packet = build(|w| w.abort(reflected, |_| ()));
            assert_eq!(packet.bytes()[12..], [6, u8::from(reflected), 0, 4]);
            assert_eq!(only(&packet), Chunk::Abort { reflected, causes: Causes::new(&[]) });

            let packet = build(|w| w.shutdown_complete(reflected));
            assert_eq!(packet.bytes()[12..], [14, u8::from(reflected), 0, 4]);
            assert_eq!(only(&packet), Chunk::ShutdownComplete { reflected });
        }
    }

    #[test]
    fn unknown_flag_bits_are_ignored() {
        let packet = build(|w| w.raw_chunk(chunk_type::ABORT, 0xfe, &[]));
        assert_eq!(only(&packet), Chunk::Abort { reflected: false, causes: Causes::new(&[]) });
    }

    #[test]
    fn chunks_without_content() {
        for (kind, want) in [
            (chunk_type::SHUTDOWN_ACK, Chunk::ShutdownAck),
            (chunk_type::COOKIE_ACK, Chunk::CookieAck),
            (chunk_type::COOKIE_ECHO, Chunk::CookieEcho(&[])),
        ] {
            let packet = build(|w| w.raw_chunk(kind, 0, &[]));
            assert_eq!(only(&packet), want);
            assert_eq!(only(&packet).kind(), kind);
        }
        assert_eq!(build(|w| w.shutdown_ack()).bytes()[12..], [8, 0, 0, 4]);
        assert_eq!(build(|w| w.cookie_ack()).bytes()[12..], [11, 0, 0, 4]);
        assert_eq!(build(|w| w.cookie_echo(b"c")).bytes()[12..], [10, 0, 0, 5, b'c', 0, 0, 0]);
    }

    #[test]
    fn shutdown() {
        let packet = build(|w| w.shutdown(Tsn(0x0102_0304)));
        assert_eq!(packet.bytes()[12..], [7, 0, 0, 8, 1, 2, 3, 4]);
        assert_eq!(only(&packet), Chunk::Shutdown { cum_tsn: Tsn(0x0102_0304) });
        let cut = build(|w| w.raw_chunk(chunk_type::SHUTDOWN, 0, &[1, 2, 3]));
        assert_eq!(cut.chunks().next().unwrap().decode(&cut).unwrap_err().needed, 8);
    }

    #[test]
    fn error_with_two_causes() {
        let packet = build(|w| {
            w.error(|c| {
                c.protocol_violation(b"x");
                c.out_of_resource();
            });
        });
        assert_eq!(packet.bytes()[12..], [9, 0, 0, 16, 0, 13, 0, 5, b'x', 0, 0, 0, 0, 4, 0, 4]);
        let Chunk::Error { causes } = only(&packet) else { panic!("not an ERROR") };
        assert!(causes.iter().eq([Cause::ProtocolViolation(b"x"), Cause::OutOfResource]));
    }

    #[test]
    fn unknown_types_say_what_to_do() {
        // An ASCONF that adds 10.0.0.2 to an association with 10.0.0.1.
        let asconf = crate::wire::tests::unhex(
            "c100002000000007000500080a000001c00100100000002a000500080a000002",
        );
        let packet = build(|w| w.raw_chunk(0xc1, 0, &asconf[4..]));
        assert_eq!(
            only(&packet),
            Chunk::Unknown { kind: 0xc1, action: UnknownAction::SkipReport, whole: &asconf }
        );
    }
}
