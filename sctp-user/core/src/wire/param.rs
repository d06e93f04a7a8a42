//! The parameters of INIT, INIT ACK and HEARTBEAT (RFC 9260 sec 3.2.1, 3.3.2.1, 3.3.3.1, 3.3.5).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-------------------------------+-------------------------------+
//! |             type              |       length = 4 + value      |
//! +-------------------------------+-------------------------------+
//! |   1 Heartbeat Info            opaque bytes                    |
//! |   5 IPv4 address              4 bytes                         |
//! |   6 IPv6 address              16 bytes                        |
//! |   7 State Cookie              opaque bytes                    |
//! |   8 Unrecognized Parameter    a whole parameter               |
//! |   9 Cookie Preservative       32 bits, milliseconds           |
//! |  11 Host Name Address         never sent; refused             |
//! |  12 Supported Address Types   16 bits each                    |
//! |  0x8008 Supported Extensions  one chunk type per byte         |
//! +---------------------------------------------------------------+
//! ```
//!
//! The padding of the last parameter belongs to the padding of the chunk, which the chunk length
//! does not count. The reader accepts a length that counts it, too.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::tlv::{Tlv, Tlvs, UnknownAction, Writer};

/// Parameter type numbers. Those of extensions have names too, but [`Param`] does not decode them.
pub mod param_type {
    /// Heartbeat Info (RFC 9260 sec 3.3.5).
    pub const HEARTBEAT_INFO: u16 = 1;
    /// IPv4 address (sec 3.3.2.1.1).
    pub const IPV4: u16 = 5;
    /// IPv6 address (sec 3.3.2.1.2).
    pub const IPV6: u16 = 6;
    /// State Cookie (sec 3.3.3.1.1).
    pub const STATE_COOKIE: u16 = 7;
    /// Unrecognized Parameter (sec 3.3.3.1.2).
    pub const UNRECOGNIZED: u16 = 8;
    /// Cookie Preservative (sec 3.3.2.1.3).
    pub const COOKIE_PRESERVATIVE: u16 = 9;
    /// Host Name Address, no longer used (sec 3.3.2.1.4).
    pub const HOST_NAME: u16 = 11;
    /// Supported Address Types (sec 3.3.2.1.5).
    pub const SUPPORTED_ADDRESS_TYPES: u16 = 12;
    /// ECN Capable, reserved in RFC 9260.
    pub const ECN_CAPABLE: u16 = 0x8000;
    /// Zero Checksum Acceptable (RFC 9653).
    pub const ZERO_CHECKSUM: u16 = 0x8001;
    /// Random (RFC 4895).
    pub const RANDOM: u16 = 0x8002;
    /// Chunk List (RFC 4895).
    pub const CHUNK_LIST: u16 = 0x8003;
    /// Requested HMAC Algorithm (RFC 4895).
    pub const HMAC_ALGORITHM: u16 = 0x8004;
    /// Padding (RFC 4820).
    pub const PADDING: u16 = 0x8005;
    /// Supported Extensions (RFC 5061).
    pub const SUPPORTED_EXTENSIONS: u16 = 0x8008;
    /// Forward-TSN-Supported (RFC 3758).
    pub const FORWARD_TSN_SUPPORTED: u16 = 0xc000;
    /// Set Primary Address (RFC 5061).
    pub const SET_PRIMARY: u16 = 0xc004;
    /// Adaptation Layer Indication (RFC 5061).
    pub const ADAPTATION: u16 = 0xc006;
}

/// A sequence of parameters that have not been read yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Params<'a>(&'a [u8]);

impl<'a> Params<'a> {
    /// The parameters in `bytes`.
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

    /// The parameters in order. The iteration ends at an impossible length, and after an unknown
    /// parameter whose type demands that ([`UnknownAction::stops`]).
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = Param<'a>> + Clone + use<'a> {
        let mut stopped = false;
        let mut tlvs = Tlvs::new(self.0);
        std::iter::from_fn(move || {
            if stopped {
                return None;
            }
            let param = Param::parse(tlvs.next()?);
            stopped = matches!(param, Param::Unknown { action, .. } if action.stops());
            Some(param)
        })
    }
}

/// One parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Param<'a> {
    /// An IPv4 address of the sender.
    Ipv4(Ipv4Addr),
    /// An IPv6 address of the sender.
    Ipv6(Ipv6Addr),
    /// The cookie that is to be echoed.
    StateCookie(&'a [u8]),
    /// A whole parameter of our INIT that the peer does not know.
    Unrecognized(&'a [u8]),
    /// The sender asks for a longer life of the cookie.
    CookiePreservative {
        /// Extra life, milliseconds.
        millis: u32,
    },
    /// A whole parameter with a host name. The receiver answers with ABORT (RFC 9260 sec 5.1.2).
    HostName(&'a [u8]),
    /// The address types that the sender can use.
    SupportedAddressTypes(AddressTypes<'a>),
    /// The chunk types of extensions that the sender supports.
    SupportedExtensions(&'a [u8]),
    /// What the sender of a HEARTBEAT wants to get back.
    HeartbeatInfo(&'a [u8]),
    /// A type that is not decoded here.
    Unknown {
        /// Parameter type.
        kind: u16,
        /// What the two highest bits of the type ask for.
        action: UnknownAction,
        /// Header and value, for the report.
        whole: &'a [u8],
    },
    /// A known type with an impossible length.
    Malformed {
        /// Parameter type.
        kind: u16,
        /// Header and value.
        whole: &'a [u8],
    },
}

impl<'a> Param<'a> {
    fn parse(tlv: Tlv<'a>) -> Self {
        let Tlv { kind, value, whole } = tlv;
        let known = match kind {
            param_type::HEARTBEAT_INFO => Some(Self::HeartbeatInfo(value)),
            param_type::IPV4 => exact(value).map(|a: [u8; 4]| Self::Ipv4(a.into())),
            param_type::IPV6 => exact(value).map(|a: [u8; 16]| Self::Ipv6(a.into())),
            param_type::STATE_COOKIE => Some(Self::StateCookie(value)),
            param_type::UNRECOGNIZED => Some(Self::Unrecognized(value)),
            param_type::COOKIE_PRESERVATIVE => {
                exact(value).map(|v| Self::CookiePreservative { millis: u32::from_be_bytes(v) })
            }
            param_type::HOST_NAME => Some(Self::HostName(whole)),
            param_type::SUPPORTED_ADDRESS_TYPES => {
                AddressTypes::parse(value).map(Self::SupportedAddressTypes)
            }
            param_type::SUPPORTED_EXTENSIONS => Some(Self::SupportedExtensions(value)),
            _ => return Self::Unknown { kind, action: UnknownAction::of_param(kind), whole },
        };
        known.unwrap_or(Self::Malformed { kind, whole })
    }
}

/// `value` if it has exactly `N` bytes.
fn exact<const N: usize>(value: &[u8]) -> Option<[u8; N]> {
    value.try_into().ok()
}

/// The value of Supported Address Types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressTypes<'a>(&'a [[u8; 2]]);

impl<'a> AddressTypes<'a> {
    fn parse(value: &'a [u8]) -> Option<Self> {
        match value.as_chunks() {
            (types, []) => Some(Self(types)),
            _ => None,
        }
    }

    /// The parameter types of addresses: 5 and 6. Any others are to be ignored.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = u16> + Clone + use<'a> {
        self.0.iter().map(|&kind| u16::from_be_bytes(kind))
    }

    /// True when IPv4 is among them.
    pub fn ipv4(&self) -> bool {
        self.iter().any(|kind| kind == param_type::IPV4)
    }

    /// True when IPv6 is among them.
    pub fn ipv6(&self) -> bool {
        self.iter().any(|kind| kind == param_type::IPV6)
    }
}

/// Writes parameters into a chunk. It pads before each parameter but the first, never after the
/// last.
#[derive(Debug)]
pub struct ParamWriter<'b> {
    writer: Writer<'b>,
    limit: usize,
}

impl<'b> ParamWriter<'b> {
    pub(super) fn new(writer: Writer<'b>, limit: usize) -> Self {
        Self { writer, limit }
    }

    /// Bytes left in the packet for one more parameter, with its header and padding. The other
    /// methods do not look at this.
    pub fn room(&self) -> usize {
        self.limit.saturating_sub(crate::tlv::padded(self.writer.len())) & !3
    }

    /// Writes a parameter of any type.
    pub fn raw(&mut self, kind: u16, value: &[u8]) {
        self.writer.pad4();
        let mark = self.writer.begin_tlv(kind);
        self.writer.bytes(value);
        self.writer.end_tlv_unpadded(mark);
    }

    /// Writes an IPv4 address.
    pub fn ipv4(&mut self, addr: Ipv4Addr) {
        self.raw(param_type::IPV4, &addr.octets());
    }

    /// Writes an IPv6 address.
    pub fn ipv6(&mut self, addr: Ipv6Addr) {
        self.raw(param_type::IPV6, &addr.octets());
    }

    /// Writes an address of either family.
    pub fn address(&mut self, addr: IpAddr) {
        match addr {
            IpAddr::V4(addr) => self.ipv4(addr),
            IpAddr::V6(addr) => self.ipv6(addr),
        }
    }

    /// Writes the State Cookie.
    pub fn state_cookie(&mut self, cookie: &[u8]) {
        self.raw(param_type::STATE_COOKIE, cookie);
    }

    /// Reports that the parameter `whole` (header and value) is unknown.
    pub fn unrecognized(&mut self, whole: &[u8]) {
        self.raw(param_type::UNRECOGNIZED, whole);
    }

    /// Asks for a longer life of the cookie; `millis` is the extra life in milliseconds.
    pub fn cookie_preservative(&mut self, millis: u32) {
        self.raw(param_type::COOKIE_PRESERVATIVE, &millis.to_be_bytes());
    }

    /// Lists the address types that we can use: [`param_type::IPV4`], [`param_type::IPV6`].
    pub fn supported_address_types(&mut self, types: &[u16]) {
        self.writer.pad4();
        let mark = self.writer.begin_tlv(param_type::SUPPORTED_ADDRESS_TYPES);
        for &kind in types {
            self.writer.u16(kind);
        }
        self.writer.end_tlv_unpadded(mark);
    }

    /// Lists the chunk types of the extensions that we support.
    pub fn supported_extensions(&mut self, chunk_types: &[u8]) {
        self.raw(param_type::SUPPORTED_EXTENSIONS, chunk_types);
    }

    /// Writes what the HEARTBEAT ACK shall give back.
    pub fn heartbeat_info(&mut self, info: &[u8]) {
        self.raw(param_type::HEARTBEAT_INFO, info);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(params: impl FnOnce(&mut ParamWriter<'_>)) -> Vec<u8> {
        let mut out = Vec::new();
        params(&mut ParamWriter::new(Writer::new(&mut out), 100));
        out
    }

    #[test]
    fn layouts() {
        let v6 = Ipv6Addr::new(0xfd88, 0, 0, 0, 0, 0, 0, 1);
        assert_eq!(written(|p| p.address([10, 0, 0, 1].into())), [0, 5, 0, 8, 10, 0, 0, 1]);
        assert_eq!(
            written(|p| p.address(v6.into())),
            [0, 6, 0, 20, 0xfd, 0x88, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]
        );
        assert_eq!(written(|p| p.cookie_preservative(0x0102_0304)), [0, 9, 0, 8, 1, 2, 3, 4]);
        assert_eq!(written(|p| p.supported_address_types(&[5, 6])), [0, 12, 0, 8, 0, 5, 0, 6]);
        assert_eq!(written(|p| p.supported_extensions(&[0xc0, 0x82])), [0x80, 8, 0, 6, 0xc0, 0x82]);
        assert_eq!(
            written(|p| p.unrecognized(&[0xc0, 0x77, 0, 5, 1])),
            [0, 8, 0, 9, 0xc0, 0x77, 0, 5, 1]
        );
    }

    #[test]
    fn padding_stands_between_parameters_only() {
        let bytes = written(|p| {
            p.state_cookie(b"a");
            p.state_cookie(b"b");
        });
        assert_eq!(bytes, b"\0\x07\0\x05a\0\0\0\0\x07\0\x05b");
    }

    #[test]
    fn room_counts_padded_bytes() {
        let mut out = Vec::new();
        let mut params = ParamWriter::new(Writer::new(&mut out), 21);
        assert_eq!(params.room(), 20);
        params.state_cookie(b"abcde");
        assert_eq!(params.room(), 8);
        params.state_cookie(b"abcde");
        assert_eq!(params.room(), 0);
    }

    #[test]
    fn wrong_length_of_a_known_type() {
        for (kind, value) in [
            (param_type::IPV4, &[0; 3][..]),
            (param_type::IPV4, &[0; 5]),
            (param_type::IPV6, &[0; 15]),
            (param_type::COOKIE_PRESERVATIVE, &[]),
            (param_type::SUPPORTED_ADDRESS_TYPES, &[0; 3]),
        ] {
            let bytes = written(|p| {
                p.raw(kind, value);
                p.ipv4(Ipv4Addr::LOCALHOST);
            });
            let mut params = Params::new(&bytes).iter();
            assert_eq!(
                params.next(),
                Some(Param::Malformed { kind, whole: &bytes[..4 + value.len()] })
            );
            assert_eq!(
                params.next(),
                Some(Param::Ipv4(Ipv4Addr::LOCALHOST)),
                "the next parameter is still found"
            );
            assert_eq!(params.next(), None);
        }
    }

    #[test]
    fn high_bits_of_an_unknown_type_decide() {
        for (kind, goes_on, reports) in [
            (0x0077, false, false),
            (0x4077, false, true),
            (0x8077, true, false),
            (0xc077, true, true),
        ] {
            let bytes = written(|p| {
                p.state_cookie(b"before");
                p.raw(kind, b"?");
                p.state_cookie(b"behind");
            });
            let params: Vec<_> = Params::new(&bytes).iter().collect();
            let action = UnknownAction::of_param(kind);
            assert_eq!(action.reports(), reports);
            assert_eq!(params[1], Param::Unknown { kind, action, whole: &bytes[12..17] });
            assert_eq!(params.len(), if goes_on { 3 } else { 2 }, "type {kind:#06x}");
        }
    }

    #[test]
    fn a_broken_length_ends_the_iteration() {
        for broken in [&b"\0\x07\0\x03"[..], b"\0\x07\0\x06x", b"\0\x07\0"] {
            let mut bytes = written(|p| p.state_cookie(b"good"));
            bytes.extend(broken);
            assert!(Params::new(&bytes).iter().eq([Param::StateCookie(b"good")]));
        }
    }

    #[test]
    fn address_types() {
        let bytes = written(|p| p.supported_address_types(&[11, 6]));
        let Some(Param::SupportedAddressTypes(types)) = Params::new(&bytes).iter().next() else {
            panic!("not Supported Address Types")
        };
        assert!(types.iter().eq([11, 6]));
        assert!(types.ipv6() && !types.ipv4());
    }
}
