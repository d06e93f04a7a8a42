//! INIT and INIT ACK (RFC 9260 sec 3.3.2 and 3.3.3): one fixed part, then parameters.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +---------------+---------------+-------------------------------+
//! |  type = 1, 2  |   flags = 0   |            length             |
//! +---------------+---------------+-------------------------------+
//! |                         initiate tag                          |
//! +---------------------------------------------------------------+
//! |                            a_rwnd                             |
//! +-------------------------------+-------------------------------+
//! |     outbound streams (OS)     |   max inbound streams (MIS)   |
//! +-------------------------------+-------------------------------+
//! |                          initial TSN                          |
//! +---------------------------------------------------------------+
//! |  parameters ...                                               |
//! +---------------------------------------------------------------+
//! ```

use super::chunk::{ChunkError, RawChunk, chunk_type};
use super::packet::PacketWriter;
use super::param::{ParamWriter, Params};
use crate::serial::Tsn;
use crate::tlv::{Reader, Truncated};

/// Bytes of an INIT or INIT ACK without parameters, chunk header included.
pub const INIT_HEADER: usize = 20;

/// The fixed part of INIT and INIT ACK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InitFixed {
    /// The tag that the receiver puts into every packet to the sender of this chunk. 0 is not
    /// allowed.
    pub initiate_tag: u32,
    /// Receive window in bytes. Less than 1500 is not allowed.
    pub a_rwnd: u32,
    /// Number of streams that the sender wants to send on. 0 is not allowed.
    pub outbound_streams: u16,
    /// Largest number of streams that the sender will receive on. 0 is not allowed.
    pub inbound_streams: u16,
    /// First TSN the sender will use.
    pub initial_tsn: Tsn,
}

/// An INIT or INIT ACK chunk. The values are as they arrived; the receiver checks that they are
/// allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InitChunk<'a> {
    /// The tag that the receiver puts into every packet to the sender of this chunk.
    pub initiate_tag: u32,
    /// Receive window in bytes.
    pub a_rwnd: u32,
    /// Number of streams that the sender wants to send on.
    pub outbound_streams: u16,
    /// Largest number of streams that the sender will receive on.
    pub inbound_streams: u16,
    /// First TSN the sender will use.
    pub initial_tsn: Tsn,
    /// What follows the fixed part.
    pub params: Params<'a>,
}

impl<'a> InitChunk<'a> {
    pub(super) fn parse(chunk: &RawChunk<'a>) -> Result<Self, ChunkError> {
        let read = |mut r: Reader<'a>| -> Result<Self, Truncated> {
            Ok(Self {
                initiate_tag: r.u32()?,
                a_rwnd: r.u32()?,
                outbound_streams: r.u16()?,
                inbound_streams: r.u16()?,
                initial_tsn: Tsn(r.u32()?),
                params: Params::new(r.rest()),
            })
        };
        read(Reader::new(chunk.value)).map_err(|Truncated| chunk.too_short(INIT_HEADER))
    }

    /// The fixed part alone.
    #[must_use]
    pub const fn fixed(&self) -> InitFixed {
        InitFixed {
            initiate_tag: self.initiate_tag,
            a_rwnd: self.a_rwnd,
            outbound_streams: self.outbound_streams,
            inbound_streams: self.inbound_streams,
            initial_tsn: self.initial_tsn,
        }
    }
}

impl PacketWriter<'_> {
    /// Writes an INIT, or with `kind_ack` an INIT ACK, with the parameters that `params` writes. It
    /// must be the only chunk of its packet.
    pub fn init(
        &mut self,
        kind_ack: bool,
        fixed: &InitFixed,
        params: impl FnOnce(&mut ParamWriter<'_>),
    ) {
        let mark = self.begin(if kind_ack { chunk_type::INIT_ACK } else { chunk_type::INIT }, 0);
        self.writer.u32(fixed.initiate_tag);
        self.writer.u32(fixed.a_rwnd);
        self.writer.u16(fixed.outbound_streams);
        self.writer.u16(fixed.inbound_streams);
        self.writer.u32(fixed.initial_tsn.0);
        let limit = self.limit();
        params(&mut ParamWriter::new(self.writer.reborrow(), limit));
        self.writer.end_tlv(mark);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::tests::{build, only, unhex};
    use crate::wire::{Chunk, Packet, Param};

    const FIXED: InitFixed = InitFixed {
        initiate_tag: 0x1122_3344,
        a_rwnd: 131_072,
        outbound_streams: 10,
        inbound_streams: 2048,
        initial_tsn: Tsn(0xffff_fffe),
    };

    #[test]
    fn golden_packet() {
        let golden = unhex("13882329000000002d7aed09010000141122334400020000000a0800fffffffe");
        let packet = Packet::check(golden.clone().into()).unwrap();
        assert_eq!((packet.src_port(), packet.dst_port(), packet.vtag()), (5000, 9001, 0));
        let Chunk::Init(init) = only(&packet) else { panic!("not an INIT") };
        assert_eq!(init.fixed(), FIXED);
        assert_eq!(init.params.iter().count(), 0);

        let mut out = Vec::new();
        let mut writer = PacketWriter::new(&mut out, 1480, 5000, 9001, 0);
        writer.init(false, &FIXED, |_| ());
        assert_eq!(writer.finish(), 32);
        assert_eq!(out, golden);
    }

    #[test]
    fn only_the_padding_of_the_last_parameter_is_left_out_of_the_length() {
        let packet = build(|w| {
            w.init(true, &FIXED, |p| {
                p.supported_extensions(&[0xc0]);
                p.state_cookie(b"cookie");
            });
        });
        let raw = packet.chunks().next().unwrap();
        assert_eq!(raw.whole.len(), 20 + 8 + 10);
        assert_eq!(packet.len(), 12 + 20 + 8 + 12);
        let Chunk::InitAck(init) = only(&packet) else { panic!("not an INIT ACK") };
        assert!(
            init.params
                .iter()
                .eq([Param::SupportedExtensions(&[0xc0]), Param::StateCookie(b"cookie")])
        );
    }

    #[test]
    fn a_length_that_counts_the_last_padding_is_accepted() {
        let mut value = vec![0; 16];
        value.extend([0, 7, 0, 5, b'c', 0, 0, 0]);
        let packet = build(|w| w.raw_chunk(chunk_type::INIT_ACK, 0, &value));
        let Chunk::InitAck(init) = only(&packet) else { panic!("not an INIT ACK") };
        assert!(init.params.iter().eq([Param::StateCookie(b"c")]));
    }

    #[test]
    fn cut_fixed_part_is_an_error() {
        let packet = build(|w| w.raw_chunk(chunk_type::INIT, 0, &[0; 15]));
        let error = packet.chunks().next().unwrap().decode(&packet).unwrap_err();
        assert_eq!(error.to_string(), "chunk of type 1 needs 20 bytes but has 19");
    }
}
