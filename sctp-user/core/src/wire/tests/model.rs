//! Models of chunks, parameters and causes that own their data. Proptest makes them, the writers
//! write them, and the tests turn what was decoded back into them.

use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::collection::vec;
use proptest::prelude::*;

use crate::serial::{Ssn, Tsn};
use crate::wire::{
    Cause, CauseWriter, Chunk, DataFlags, InitChunk, InitFixed, PacketWriter, Param, ParamWriter,
    heartbeat_info, param_type,
};

#[derive(Clone, Debug, PartialEq)]
pub(super) enum ParamModel {
    Ipv4(Ipv4Addr),
    Ipv6(Ipv6Addr),
    StateCookie(Vec<u8>),
    Unrecognized(Vec<u8>),
    CookiePreservative(u32),
    HostName,
    SupportedAddressTypes(Vec<u16>),
    SupportedExtensions(Vec<u8>),
    HeartbeatInfo(Vec<u8>),
    Unknown(u16, Vec<u8>),
    Malformed(u16, Vec<u8>),
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..24)
}

pub(super) fn param() -> impl Strategy<Value = ParamModel> {
    prop_oneof![
        any::<u32>().prop_map(|addr| ParamModel::Ipv4(addr.into())),
        any::<u128>().prop_map(|addr| ParamModel::Ipv6(addr.into())),
        bytes().prop_map(ParamModel::StateCookie),
        bytes().prop_map(ParamModel::Unrecognized),
        any::<u32>().prop_map(ParamModel::CookiePreservative),
        Just(ParamModel::HostName),
        vec(any::<u16>(), 0..4).prop_map(ParamModel::SupportedAddressTypes),
        bytes().prop_map(ParamModel::SupportedExtensions),
        bytes().prop_map(ParamModel::HeartbeatInfo),
        // No known type has 0x13 in its low byte.
        (any::<u8>(), bytes())
            .prop_map(|(high, v)| ParamModel::Unknown(u16::from(high) << 8 | 0x13, v)),
        vec(any::<u8>(), 5..9).prop_map(|v| ParamModel::Malformed(param_type::IPV4, v)),
        vec(any::<u8>(), 0..16).prop_map(|v| ParamModel::Malformed(param_type::IPV6, v)),
        vec(any::<u8>(), 0..4)
            .prop_map(|v| ParamModel::Malformed(param_type::COOKIE_PRESERVATIVE, v)),
    ]
}

impl ParamModel {
    pub(super) fn write(&self, w: &mut ParamWriter<'_>) {
        match self {
            Self::Ipv4(addr) => w.address((*addr).into()),
            Self::Ipv6(addr) => w.address((*addr).into()),
            Self::StateCookie(v) => w.state_cookie(v),
            Self::Unrecognized(v) => w.unrecognized(v),
            Self::CookiePreservative(millis) => w.cookie_preservative(*millis),
            Self::HostName => w.raw(param_type::HOST_NAME, b"host\0"),
            Self::SupportedAddressTypes(types) => w.supported_address_types(types),
            Self::SupportedExtensions(types) => w.supported_extensions(types),
            Self::HeartbeatInfo(v) => w.heartbeat_info(v),
            Self::Unknown(kind, v) | Self::Malformed(kind, v) => w.raw(*kind, v),
        }
    }

    pub(super) fn of(param: Param<'_>) -> Self {
        match param {
            Param::Ipv4(addr) => Self::Ipv4(addr),
            Param::Ipv6(addr) => Self::Ipv6(addr),
            Param::StateCookie(v) => Self::StateCookie(v.to_vec()),
            Param::Unrecognized(v) => Self::Unrecognized(v.to_vec()),
            Param::CookiePreservative { millis } => Self::CookiePreservative(millis),
            Param::HostName(_) => Self::HostName,
            Param::SupportedAddressTypes(types) => {
                Self::SupportedAddressTypes(types.iter().collect())
            }
            Param::SupportedExtensions(types) => Self::SupportedExtensions(types.to_vec()),
            Param::HeartbeatInfo(v) => Self::HeartbeatInfo(v.to_vec()),
            Param::Unknown { kind, whole, .. } => Self::Unknown(kind, whole[4..].to_vec()),
            Param::Malformed { kind, whole } => Self::Malformed(kind, whole[4..].to_vec()),
        }
    }

    /// True for an unknown parameter that ends the reading: the high bits of its type are 00 or 01.
    fn stops(&self) -> bool {
        matches!(self, Self::Unknown(kind, _) if *kind < 0x8000)
    }
}

/// What a reader sees of `params`: all of them up to the first that ends the reading, included.
pub(super) fn visible(params: &[ParamModel]) -> Vec<ParamModel> {
    let end = params.iter().position(ParamModel::stops).map_or(params.len(), |at| at + 1);
    params[..end].to_vec()
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum CauseModel {
    InvalidStream(u16),
    MissingMandatoryParam(Vec<u16>),
    StaleCookie(u32),
    OutOfResource,
    UnresolvableAddress(Vec<u8>),
    UnrecognizedChunk(Vec<u8>),
    InvalidMandatoryParam,
    UnrecognizedParams(Vec<u8>),
    NoUserData(u32),
    CookieWhileShuttingDown,
    RestartWithNewAddresses(Vec<ParamModel>),
    UserAbort(Vec<u8>),
    ProtocolViolation(Vec<u8>),
    Other(u16, Vec<u8>),
}

pub(super) fn cause() -> impl Strategy<Value = CauseModel> {
    let addrs = vec(any::<u32>().prop_map(|addr| ParamModel::Ipv4(addr.into())), 0..3);
    prop_oneof![
        any::<u16>().prop_map(CauseModel::InvalidStream),
        vec(any::<u16>(), 0..4).prop_map(CauseModel::MissingMandatoryParam),
        any::<u32>().prop_map(CauseModel::StaleCookie),
        Just(CauseModel::OutOfResource),
        bytes().prop_map(CauseModel::UnresolvableAddress),
        bytes().prop_map(CauseModel::UnrecognizedChunk),
        Just(CauseModel::InvalidMandatoryParam),
        bytes().prop_map(CauseModel::UnrecognizedParams),
        any::<u32>().prop_map(CauseModel::NoUserData),
        Just(CauseModel::CookieWhileShuttingDown),
        addrs.prop_map(CauseModel::RestartWithNewAddresses),
        bytes().prop_map(CauseModel::UserAbort),
        bytes().prop_map(CauseModel::ProtocolViolation),
        (14..=u16::MAX, bytes()).prop_map(|(code, v)| CauseModel::Other(code, v)),
        vec(any::<u8>(), 5..9).prop_map(|v| CauseModel::Other(3, v)),
        vec(any::<u8>(), 0..4).prop_map(|v| CauseModel::Other(1, v)),
    ]
}

impl CauseModel {
    pub(super) fn write(&self, w: &mut CauseWriter<'_>) {
        match self {
            Self::InvalidStream(stream) => w.invalid_stream(*stream),
            Self::MissingMandatoryParam(types) => w.missing_mandatory_param(types),
            Self::StaleCookie(micros) => w.stale_cookie(*micros),
            Self::OutOfResource => w.out_of_resource(),
            Self::UnresolvableAddress(v) => w.unresolvable_address(v),
            Self::UnrecognizedChunk(v) => w.unrecognized_chunk(v),
            Self::InvalidMandatoryParam => w.invalid_mandatory_param(),
            Self::UnrecognizedParams(v) => w.unrecognized_params(v),
            Self::NoUserData(tsn) => w.no_user_data(Tsn(*tsn)),
            Self::CookieWhileShuttingDown => w.cookie_while_shutting_down(),
            Self::RestartWithNewAddresses(addrs) => {
                w.restart_with_new_addresses(addrs.iter().map(|addr| match addr {
                    ParamModel::Ipv4(addr) => (*addr).into(),
                    other => panic!("{other:?} is not an IPv4 address"),
                }));
            }
            Self::UserAbort(v) => w.user_abort(v),
            Self::ProtocolViolation(v) => w.protocol_violation(v),
            Self::Other(code, v) => w.raw(*code, v),
        }
    }

    pub(super) fn of(cause: Cause<'_>) -> Self {
        match cause {
            Cause::InvalidStream { stream, .. } => Self::InvalidStream(stream),
            Cause::MissingMandatoryParam(missing) => {
                Self::MissingMandatoryParam(missing.iter().collect())
            }
            Cause::StaleCookie { micros, .. } => Self::StaleCookie(micros),
            Cause::OutOfResource => Self::OutOfResource,
            Cause::UnresolvableAddress(v) => Self::UnresolvableAddress(v.to_vec()),
            Cause::UnrecognizedChunk(v) => Self::UnrecognizedChunk(v.to_vec()),
            Cause::InvalidMandatoryParam => Self::InvalidMandatoryParam,
            Cause::UnrecognizedParams(v) => Self::UnrecognizedParams(v.to_vec()),
            Cause::NoUserData { tsn, .. } => Self::NoUserData(tsn.0),
            Cause::CookieWhileShuttingDown => Self::CookieWhileShuttingDown,
            Cause::RestartWithNewAddresses(v) => Self::RestartWithNewAddresses(
                crate::wire::Params::new(v).iter().map(ParamModel::of).collect(),
            ),
            Cause::UserAbort(v) => Self::UserAbort(v.to_vec()),
            Cause::ProtocolViolation(v) => Self::ProtocolViolation(v.to_vec()),
            Cause::Other { code, info } => Self::Other(code, info.to_vec()),
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum ChunkModel {
    Data { tsn: u32, stream: u16, ssn: u16, ppid: u32, flags: u8, payload: Vec<u8> },
    Init { ack: bool, fixed: InitFixed, params: Vec<ParamModel> },
    Sack { cum: u32, a_rwnd: u32, gaps: Vec<(u16, u16)>, dups: Vec<u32> },
    Heartbeat(Vec<u8>),
    HeartbeatAck(Vec<u8>),
    Abort { reflected: bool, causes: Vec<CauseModel> },
    Shutdown(u32),
    ShutdownAck,
    Error(Vec<CauseModel>),
    CookieEcho(Vec<u8>),
    CookieAck,
    ShutdownComplete { reflected: bool },
    Unknown(u8, Vec<u8>),
}

fn init_fixed() -> impl Strategy<Value = InitFixed> {
    any::<(u32, u32, u16, u16, u32)>().prop_map(|(tag, a_rwnd, os, mis, tsn)| InitFixed {
        initiate_tag: tag,
        a_rwnd,
        outbound_streams: os,
        inbound_streams: mis,
        initial_tsn: Tsn(tsn),
    })
}

pub(super) fn chunk() -> impl Strategy<Value = ChunkModel> {
    prop_oneof![
        (any::<(u32, u16, u16, u32)>(), 0..16_u8, vec(any::<u8>(), 1..60)).prop_map(
            |((tsn, stream, ssn, ppid), flags, payload)| ChunkModel::Data {
                tsn,
                stream,
                ssn,
                ppid,
                flags,
                payload
            }
        ),
        (any::<bool>(), init_fixed(), vec(param(), 0..6))
            .prop_map(|(ack, fixed, params)| ChunkModel::Init { ack, fixed, params }),
        (any::<(u32, u32)>(), vec(any::<(u16, u16)>(), 0..9), vec(any::<u32>(), 0..9))
            .prop_map(|((cum, a_rwnd), gaps, dups)| ChunkModel::Sack { cum, a_rwnd, gaps, dups }),
        bytes().prop_map(ChunkModel::Heartbeat),
        bytes().prop_map(ChunkModel::HeartbeatAck),
        (any::<bool>(), vec(cause(), 0..5))
            .prop_map(|(reflected, causes)| ChunkModel::Abort { reflected, causes }),
        any::<u32>().prop_map(ChunkModel::Shutdown),
        Just(ChunkModel::ShutdownAck),
        vec(cause(), 1..5).prop_map(ChunkModel::Error),
        bytes().prop_map(ChunkModel::CookieEcho),
        Just(ChunkModel::CookieAck),
        any::<bool>().prop_map(|reflected| ChunkModel::ShutdownComplete { reflected }),
        (15..=u8::MAX, bytes()).prop_map(|(kind, v)| ChunkModel::Unknown(kind, v)),
    ]
}

impl ChunkModel {
    pub(super) fn write(&self, w: &mut PacketWriter<'_>) {
        match self {
            Self::Data { tsn, stream, ssn, ppid, flags, payload } => {
                w.data(Tsn(*tsn), *stream, Ssn(*ssn), *ppid, DataFlags::from_bits(*flags), payload);
            }
            Self::Init { ack, fixed, params } => {
                w.init(*ack, fixed, |p| params.iter().for_each(|param| param.write(p)));
            }
            Self::Sack { cum, a_rwnd, gaps, dups } => {
                let dups: Vec<_> = dups.iter().copied().map(Tsn).collect();
                w.sack(Tsn(*cum), *a_rwnd, gaps.iter().copied(), &dups);
            }
            Self::Heartbeat(info) => w.heartbeat(info),
            Self::HeartbeatAck(tlvs) => w.heartbeat_ack(tlvs),
            Self::Abort { reflected, causes } => {
                w.abort(*reflected, |c| causes.iter().for_each(|cause| cause.write(c)));
            }
            Self::Shutdown(cum) => w.shutdown(Tsn(*cum)),
            Self::ShutdownAck => w.shutdown_ack(),
            Self::Error(causes) => w.error(|c| causes.iter().for_each(|cause| cause.write(c))),
            Self::CookieEcho(cookie) => w.cookie_echo(cookie),
            Self::CookieAck => w.cookie_ack(),
            Self::ShutdownComplete { reflected } => w.shutdown_complete(*reflected),
            Self::Unknown(kind, value) => w.raw_chunk(*kind, 0, value),
        }
    }

    pub(super) fn of(chunk: Chunk<'_>) -> Self {
        let init = |ack: bool, init: InitChunk<'_>| Self::Init {
            ack,
            fixed: init.fixed(),
            params: init.params.iter().map(ParamModel::of).collect(),
        };
        match chunk {
            Chunk::Data(data) => Self::Data {
                tsn: data.tsn.0,
                stream: data.stream,
                ssn: data.id.ssn().0,
                ppid: data.ppid,
                flags: data.flags.bits(),
                payload: data.payload.to_vec(),
            },
            Chunk::Init(chunk) => init(false, chunk),
            Chunk::InitAck(chunk) => init(true, chunk),
            Chunk::Sack(sack) => Self::Sack {
                cum: sack.cum_tsn.0,
                a_rwnd: sack.a_rwnd,
                gaps: sack.gaps().collect(),
                dups: sack.dups().map(|tsn| tsn.0).collect(),
            },
            Chunk::Heartbeat(tlvs) => {
                Self::Heartbeat(heartbeat_info(tlvs).expect("its parameter").to_vec())
            }
            Chunk::HeartbeatAck(tlvs) => Self::HeartbeatAck(tlvs.to_vec()),
            Chunk::Abort { reflected, causes } => {
                Self::Abort { reflected, causes: causes.iter().map(CauseModel::of).collect() }
            }
            Chunk::Shutdown { cum_tsn } => Self::Shutdown(cum_tsn.0),
            Chunk::ShutdownAck => Self::ShutdownAck,
            Chunk::Error { causes } => Self::Error(causes.iter().map(CauseModel::of).collect()),
            Chunk::CookieEcho(cookie) => Self::CookieEcho(cookie.to_vec()),
            Chunk::CookieAck => Self::CookieAck,
            Chunk::ShutdownComplete { reflected } => Self::ShutdownComplete { reflected },
            Chunk::Unknown { kind, whole, .. } => Self::Unknown(kind, whole[4..].to_vec()),
        }
    }

    /// What a reader sees of the chunk.
    pub(super) fn visible(self) -> Self {
        match self {
            Self::Init { ack, fixed, params } => {
                Self::Init { ack, fixed, params: visible(&params) }
            }
            other => other,
        }
    }
}
