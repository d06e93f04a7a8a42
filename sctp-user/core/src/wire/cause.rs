//! Error causes, inside ABORT and ERROR (RFC 9260 sec 3.3.10).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-------------------------------+-------------------------------+
//! |             code              |       length = 4 + info       |
//! +-------------------------------+-------------------------------+
//! |   1 Invalid Stream Identifier     stream (16 bits), reserved  |
//! |   2 Missing Mandatory Parameter   count (32), types (16 each) |
//! |   3 Stale Cookie                  32 bits, microseconds       |
//! |   4 Out of Resource               nothing                     |
//! |   5 Unresolvable Address          an address parameter        |
//! |   6 Unrecognized Chunk Type       a chunk                     |
//! |   7 Invalid Mandatory Parameter   nothing                     |
//! |   8 Unrecognized Parameters       parameters                  |
//! |   9 No User Data                  TSN                         |
//! |  10 Cookie While Shutting Down    nothing                     |
//! |  11 Restart With New Addresses    address parameters          |
//! |  12 User-Initiated Abort          bytes of the upper layer    |
//! |  13 Protocol Violation            bytes                       |
//! +---------------------------------------------------------------+
//! ```

use std::net::IpAddr;

use super::param::ParamWriter;
use crate::addr::Encap;
use crate::serial::Tsn;
use crate::tlv::{TLV_HEADER, Tlv, Tlvs, Writer};

/// Cause codes.
pub mod cause_code {
    /// Invalid Stream Identifier (RFC 9260 sec 3.3.10.1).
    pub const INVALID_STREAM: u16 = 1;
    /// Missing Mandatory Parameter (sec 3.3.10.2).
    pub const MISSING_MANDATORY_PARAM: u16 = 2;
    /// Stale Cookie (sec 3.3.10.3).
    pub const STALE_COOKIE: u16 = 3;
    /// Out of Resource (sec 3.3.10.4).
    pub const OUT_OF_RESOURCE: u16 = 4;
    /// Unresolvable Address (sec 3.3.10.5).
    pub const UNRESOLVABLE_ADDRESS: u16 = 5;
    /// Unrecognized Chunk Type (sec 3.3.10.6).
    pub const UNRECOGNIZED_CHUNK: u16 = 6;
    /// Invalid Mandatory Parameter (sec 3.3.10.7).
    pub const INVALID_MANDATORY_PARAM: u16 = 7;
    /// Unrecognized Parameters (sec 3.3.10.8).
    pub const UNRECOGNIZED_PARAMS: u16 = 8;
    /// No User Data (sec 3.3.10.9).
    pub const NO_USER_DATA: u16 = 9;
    /// Cookie Received While Shutting Down (sec 3.3.10.10).
    pub const COOKIE_WHILE_SHUTTING_DOWN: u16 = 10;
    /// Restart of an Association with New Addresses (sec 3.3.10.11).
    pub const RESTART_WITH_NEW_ADDRESSES: u16 = 11;
    /// User-Initiated Abort (sec 3.3.10.12).
    pub const USER_ABORT: u16 = 12;
    /// Protocol Violation (sec 3.3.10.13).
    pub const PROTOCOL_VIOLATION: u16 = 13;
    /// Restart of an Association with New Encapsulation Port (a draft; sent by Linux).
    pub const RESTART_WITH_NEW_ENCAPSULATION_PORT: u16 = 14;
}

/// A sequence of error causes that have not been read yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Causes<'a>(&'a [u8]);

impl<'a> Causes<'a> {
    /// The causes in `bytes`.
    #[inline]
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The bytes as they arrived.
    #[inline]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.0
    }

    /// The causes in order. The iteration ends at an impossible length.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = Cause<'a>> + Clone + use<'a> {
        Tlvs::new(self.0).map(Cause::parse)
    }
}

/// One error cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause<'a> {
    /// DATA arrived on a stream that does not exist.
    InvalidStream {
        /// The stream.
        stream: u16,
        /// The information as it arrived.
        info: &'a [u8],
    },
    /// INIT or INIT ACK lacks parameters.
    MissingMandatoryParam(MissingParams<'a>),
    /// The cookie arrived too late.
    StaleCookie {
        /// How much too late, in microseconds; 0 when the peer does not say.
        micros: u32,
        /// The information as it arrived.
        info: &'a [u8],
    },
    /// Not enough memory or space, or nobody listens.
    OutOfResource,
    /// A whole parameter with an address or a host name that cannot be used.
    UnresolvableAddress(&'a [u8]),
    /// A chunk of an unknown type: header and value, perhaps cut short.
    UnrecognizedChunk(&'a [u8]),
    /// A parameter has a value that is not allowed.
    InvalidMandatoryParam,
    /// Whole parameters of unknown types.
    UnrecognizedParams(&'a [u8]),
    /// A DATA chunk without data.
    NoUserData {
        /// Its TSN.
        tsn: Tsn,
        /// The information as it arrived.
        info: &'a [u8],
    },
    /// COOKIE ECHO arrived during the shutdown.
    CookieWhileShuttingDown,
    /// A restart is refused because it brings new addresses. Holds the parameters with these
    /// addresses.
    RestartWithNewAddresses(&'a [u8]),
    /// The peer's user ended the association. Holds its reason.
    UserAbort(&'a [u8]),
    /// A rule of the protocol was broken. Holds free text or bytes.
    ProtocolViolation(&'a [u8]),
    /// An unknown code, or a known one with an impossible length.
    Other {
        /// Cause code.
        code: u16,
        /// The information as it arrived.
        info: &'a [u8],
    },
}

impl<'a> Cause<'a> {
    fn parse(tlv: Tlv<'a>) -> Self {
        let Tlv { kind: code, value: info, .. } = tlv;
        let known = match code {
            cause_code::INVALID_STREAM => match *info {
                [s0, s1, _, _] => {
                    Some(Self::InvalidStream { stream: u16::from_be_bytes([s0, s1]), info })
                }
                _ => None,
            },
            cause_code::MISSING_MANDATORY_PARAM => {
                MissingParams::parse(info).map(Self::MissingMandatoryParam)
            }
            cause_code::STALE_COOKIE => be32(info).map(|micros| Self::StaleCookie { micros, info }),
            cause_code::OUT_OF_RESOURCE => info.is_empty().then_some(Self::OutOfResource),
            cause_code::UNRESOLVABLE_ADDRESS => Some(Self::UnresolvableAddress(info)),
            cause_code::UNRECOGNIZED_CHUNK => Some(Self::UnrecognizedChunk(info)),
            cause_code::INVALID_MANDATORY_PARAM => {
                info.is_empty().then_some(Self::InvalidMandatoryParam)
            }
            cause_code::UNRECOGNIZED_PARAMS => Some(Self::UnrecognizedParams(info)),
            cause_code::NO_USER_DATA => {
                be32(info).map(|tsn| Self::NoUserData { tsn: Tsn(tsn), info })
            }
            cause_code::COOKIE_WHILE_SHUTTING_DOWN => {
                info.is_empty().then_some(Self::CookieWhileShuttingDown)
            }
            cause_code::RESTART_WITH_NEW_ADDRESSES => Some(Self::RestartWithNewAddresses(info)),
            cause_code::USER_ABORT => Some(Self::UserAbort(info)),
            cause_code::PROTOCOL_VIOLATION => Some(Self::ProtocolViolation(info)),
            _ => None,
        };
        known.unwrap_or(Self::Other { code, info })
    }

    /// The cause code, see [`cause_code`].
    pub const fn code(&self) -> u16 {
        match *self {
            Self::InvalidStream { .. } => cause_code::INVALID_STREAM,
            Self::MissingMandatoryParam(_) => cause_code::MISSING_MANDATORY_PARAM,
            Self::StaleCookie { .. } => cause_code::STALE_COOKIE,
            Self::OutOfResource => cause_code::OUT_OF_RESOURCE,
            Self::UnresolvableAddress(_) => cause_code::UNRESOLVABLE_ADDRESS,
            Self::UnrecognizedChunk(_) => cause_code::UNRECOGNIZED_CHUNK,
            Self::InvalidMandatoryParam => cause_code::INVALID_MANDATORY_PARAM,
            Self::UnrecognizedParams(_) => cause_code::UNRECOGNIZED_PARAMS,
            Self::NoUserData { .. } => cause_code::NO_USER_DATA,
            Self::CookieWhileShuttingDown => cause_code::COOKIE_WHILE_SHUTTING_DOWN,
            Self::RestartWithNewAddresses(_) => cause_code::RESTART_WITH_NEW_ADDRESSES,
            Self::UserAbort(_) => cause_code::USER_ABORT,
            Self::ProtocolViolation(_) => cause_code::PROTOCOL_VIOLATION,
            Self::Other { code, .. } => code,
        }
    }

    /// The bytes after the cause header, without padding.
    pub const fn info(&self) -> &'a [u8] {
        match *self {
            Self::OutOfResource | Self::InvalidMandatoryParam | Self::CookieWhileShuttingDown => {
                &[]
            }
            Self::MissingMandatoryParam(missing) => missing.info,
            Self::InvalidStream { info, .. }
            | Self::StaleCookie { info, .. }
            | Self::NoUserData { info, .. }
            | Self::UnresolvableAddress(info)
            | Self::UnrecognizedChunk(info)
            | Self::UnrecognizedParams(info)
            | Self::RestartWithNewAddresses(info)
            | Self::UserAbort(info)
            | Self::ProtocolViolation(info)
            | Self::Other { info, .. } => info,
        }
    }
}

/// `info` as a number if it has exactly 32 bits.
fn be32(info: &[u8]) -> Option<u32> {
    info.try_into().ok().map(u32::from_be_bytes)
}

/// The information of Missing Mandatory Parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MissingParams<'a> {
    info: &'a [u8],
    types: &'a [[u8; 2]],
}

impl<'a> MissingParams<'a> {
    fn parse(info: &'a [u8]) -> Option<Self> {
        let (count, types) = info.split_first_chunk()?;
        let count = usize::try_from(u32::from_be_bytes(*count)).ok()?;
        let types = types.as_chunks().0.get(..count)?;
        Some(Self { info, types })
    }

    /// The parameter types that are missing.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = u16> + Clone + use<'a> {
        self.types.iter().map(|&kind| u16::from_be_bytes(kind))
    }
}

/// Writes error causes into a chunk. It pads before each cause but the first, never after the last:
/// the lengths of the last cause and of its chunk do not count that padding (RFC 9260 sec 3.2,
/// 3.3.10).
#[derive(Debug)]
pub struct CauseWriter<'b> {
    writer: Writer<'b>,
    limit: usize,
}

impl<'b> CauseWriter<'b> {
    pub(super) fn new(writer: Writer<'b>, limit: usize) -> Self {
        Self { writer, limit }
    }

    /// Appends causes to a list that waits for its chunk. `limit` is the largest length of the
    /// list.
    pub(crate) fn append_to(list: &'b mut Vec<u8>, limit: usize) -> Self {
        Self { writer: Writer::resume(list), limit }
    }

    /// Bytes left in the packet for one more cause, with its header and padding. Only
    /// [`unresolvable_address`](Self::unresolvable_address) looks at this. A caller who quotes the
    /// peer in a report cuts the quotation to fit.
    pub fn room(&self) -> usize {
        self.limit.saturating_sub(crate::tlv::padded(self.writer.len())) & !3
    }

    /// Writes a cause of any code.
    pub fn raw(&mut self, code: u16, info: &[u8]) {
        self.write(code, |writer| writer.bytes(info));
    }

    /// DATA arrived on `stream`, which does not exist.
    pub fn invalid_stream(&mut self, stream: u16) {
        self.write(cause_code::INVALID_STREAM, |writer| {
            writer.u16(stream);
            writer.u16(0);
        });
    }

    /// Parameters of these types are missing.
    pub fn missing_mandatory_param(&mut self, types: &[u16]) {
        self.write(cause_code::MISSING_MANDATORY_PARAM, |writer| {
            writer.u32(u32::try_from(types.len()).unwrap_or(u32::MAX));
            for &kind in types {
                writer.u16(kind);
            }
        });
    }

    /// The cookie arrived `micros` microseconds too late.
    pub fn stale_cookie(&mut self, micros: u32) {
        self.raw(cause_code::STALE_COOKIE, &micros.to_be_bytes());
    }

    /// Not enough memory or space, or nobody listens.
    pub fn out_of_resource(&mut self) {
        self.raw(cause_code::OUT_OF_RESOURCE, &[]);
    }

    /// The address or host name in the parameter `whole` (header and value) cannot be used. If the
    /// parameter does not fit into the packet, it is not reported, because nobody could read a part
    /// of it.
    pub fn unresolvable_address(&mut self, whole: &[u8]) {
        if TLV_HEADER + whole.len() <= self.room() {
            self.raw(cause_code::UNRESOLVABLE_ADDRESS, whole);
        }
    }

    /// The chunk `whole` (header and value, perhaps cut short) is of an unknown type.
    pub fn unrecognized_chunk(&mut self, whole: &[u8]) {
        self.raw(cause_code::UNRECOGNIZED_CHUNK, whole);
    }

    /// A parameter has a value that is not allowed.
    pub fn invalid_mandatory_param(&mut self) {
        self.raw(cause_code::INVALID_MANDATORY_PARAM, &[]);
    }

    /// The parameters in `whole` (header, value, padding between them) have unknown types.
    pub fn unrecognized_params(&mut self, whole: &[u8]) {
        self.raw(cause_code::UNRECOGNIZED_PARAMS, whole);
    }

    /// The DATA chunk `tsn` has no data.
    pub fn no_user_data(&mut self, tsn: Tsn) {
        self.raw(cause_code::NO_USER_DATA, &tsn.0.to_be_bytes());
    }

    /// COOKIE ECHO arrived during the shutdown.
    pub fn cookie_while_shutting_down(&mut self) {
        self.raw(cause_code::COOKIE_WHILE_SHUTTING_DOWN, &[]);
    }

    /// The restart is refused because it brings these new addresses.
    pub fn restart_with_new_addresses(&mut self, addrs: impl IntoIterator<Item = IpAddr>) {
        let limit = self.limit;
        self.write(cause_code::RESTART_WITH_NEW_ADDRESSES, |writer| {
            let mut params = ParamWriter::new(writer.reborrow(), limit);
            addrs.into_iter().for_each(|addr| params.address(addr));
        });
    }

    /// The setup is refused because an association with the same addresses and ports exists and
    /// uses another encapsulation. The cause holds two UDP ports: that of the association and the
    /// one that the packet came from; 0 means no UDP.
    pub fn new_encapsulation(&mut self, known: Encap, new: Encap) {
        let port = |encap| match encap {
            Encap::Udp { remote_port } => remote_port,
            Encap::Native => 0,
        };
        let info = (u32::from(port(known)) << 16 | u32::from(port(new))).to_be_bytes();
        self.raw(cause_code::RESTART_WITH_NEW_ENCAPSULATION_PORT, &info);
    }

    /// The user ends the association for this reason.
    pub fn user_abort(&mut self, reason: &[u8]) {
        self.raw(cause_code::USER_ABORT, reason);
    }

    /// A rule of the protocol was broken. `text` tells people which one.
    pub fn protocol_violation(&mut self, text: &[u8]) {
        self.raw(cause_code::PROTOCOL_VIOLATION, text);
    }

    fn write(&mut self, code: u16, info: impl FnOnce(&mut Writer<'_>)) {
        self.writer.pad4();
        let mark = self.writer.begin_tlv(code);
        info(&mut self.writer.reborrow());
        self.writer.end_tlv_unpadded(mark);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(causes: impl FnOnce(&mut CauseWriter<'_>)) -> Vec<u8> {
        let mut out = Vec::new();
        causes(&mut CauseWriter::new(Writer::new(&mut out), 100));
        out
    }

    fn only(bytes: &[u8]) -> Cause<'_> {
        let mut causes = Causes::new(bytes).iter();
        let cause = causes.next().expect("one cause");
        assert_eq!(causes.next(), None);
        cause
    }

    #[test]
    fn layouts() {
        assert_eq!(written(|c| c.invalid_stream(0x0102)), [0, 1, 0, 8, 1, 2, 0, 0]);
        assert_eq!(
            written(|c| c.missing_mandatory_param(&[7, 5])),
            [0, 2, 0, 12, 0, 0, 0, 2, 0, 7, 0, 5]
        );
        assert_eq!(written(|c| c.stale_cookie(0x0102_0304)), [0, 3, 0, 8, 1, 2, 3, 4]);
        assert_eq!(written(|c| c.out_of_resource()), [0, 4, 0, 4]);
        assert_eq!(written(|c| c.invalid_mandatory_param()), [0, 7, 0, 4]);
        assert_eq!(written(|c| c.no_user_data(Tsn(0x0102_0304))), [0, 9, 0, 8, 1, 2, 3, 4]);
        assert_eq!(written(|c| c.cookie_while_shutting_down()), [0, 10, 0, 4]);
        assert_eq!(
            written(|c| c.restart_with_new_addresses([[10, 0, 0, 1].into(), [10, 0, 0, 2].into()])),
            [0, 11, 0, 20, 0, 5, 0, 8, 10, 0, 0, 1, 0, 5, 0, 8, 10, 0, 0, 2]
        );
        assert_eq!(written(|c| c.user_abort(b"bye")), b"\0\x0c\0\x07bye");
    }

    #[test]
    fn missing_mandatory_param_is_read_by_its_count() {
        let bytes = written(|c| c.missing_mandatory_param(&[7]));
        let Cause::MissingMandatoryParam(missing) = only(&bytes) else { panic!("another cause") };
        assert!(missing.iter().eq([7]));
        // A count that exceeds the length is malformed.
        for count in [2, u32::MAX] {
            let mut info = count.to_be_bytes().to_vec();
            info.extend([0, 7]);
            let bytes = written(|c| c.raw(2, &info));
            assert_eq!(only(&bytes), Cause::Other { code: 2, info: &info });
        }
    }

    #[test]
    fn wrong_length_of_a_known_code_becomes_other() {
        for (code, info) in [
            (1, &[0; 2][..]),
            (2, &[0; 3]),
            (3, &[0; 5]),
            (4, &[0; 1]),
            (7, &[0; 1]),
            (9, &[]),
            (10, &[0; 4]),
        ] {
            let bytes = written(|c| c.raw(code, info));
            assert_eq!(only(&bytes), Cause::Other { code, info });
            assert_eq!((only(&bytes).code(), only(&bytes).info()), (code, info));
        }
    }

    #[test]
    fn a_list_is_padded_between_its_causes_only() {
        let mut list = Vec::new();
        CauseWriter::append_to(&mut list, 100).user_abort(b"a");
        let mut causes = CauseWriter::append_to(&mut list, 24);
        assert_eq!(causes.room(), 16);
        causes.unrecognized_chunk(b"\xc1\0\0\x05b");
        assert_eq!(list, b"\0\x0c\0\x05a\0\0\0\0\x06\0\x09\xc1\0\0\x05b");
    }

    #[test]
    fn room_counts_padded_bytes() {
        let mut out = Vec::new();
        let mut causes = CauseWriter::new(Writer::new(&mut out), 16);
        causes.user_abort(b"a");
        assert_eq!(causes.room(), 8);
    }

    #[test]
    fn a_broken_length_ends_the_iteration() {
        let mut bytes = written(|c| c.user_abort(b"bye!"));
        bytes.extend([0, 13, 0, 9, 1]);
        assert_eq!(only(&bytes), Cause::UserAbort(b"bye!"));
    }
}
