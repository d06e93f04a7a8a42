//! Transport parameters: at which address and by which protocol somebody can be reached (RFC 5354
//! sec 3.3 to 3.7, 3.16).
//!
//! ```text
//! DCCP      port u16 | reserved u16 | service code u32 | one address parameter
//! SCTP      port u16 | use u16      | one or more address parameters
//! TCP       port u16 | use u16      | one address parameter
//! UDP, Lite port u16 | reserved u16 | one address parameter
//! Opaque    any bytes
//! ```

use bytes::Bytes;
use sctp_user_core::tlv::{Reader, Tlv, Writer};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::error::{DecodeError, EncodeError};
use crate::numbers::param;
use crate::params::Params;

/// What a transport is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TransportUse {
    /// 0: application data only.
    DataOnly,
    /// 1: application data plus the ASAP control channel (cookies).
    DataControl,
    /// Any other value, as it was received.
    Other(u16),
}

impl TransportUse {
    /// The number on the wire.
    pub const fn to_u16(self) -> u16 {
        match self {
            TransportUse::DataOnly => 0,
            TransportUse::DataControl => 1,
            TransportUse::Other(n) => n,
        }
    }

    /// From the number on the wire.
    pub const fn from_u16(n: u16) -> Self {
        match n {
            0 => TransportUse::DataOnly,
            1 => TransportUse::DataControl,
            n => TransportUse::Other(n),
        }
    }
}

/// SCTP port and addresses.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SctpTransport {
    /// SCTP port.
    pub port: u16,
    /// With or without control channel.
    pub transport_use: TransportUse,
    /// At least one address.
    pub addrs: Vec<IpAddr>,
}

/// TCP port and address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TcpTransport {
    /// TCP port.
    pub port: u16,
    /// By the RFC always data only, but RSPLIB allows a control channel here as well.
    pub transport_use: TransportUse,
    /// The address.
    pub addr: IpAddr,
}

/// A transport of any kind.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// DCCP. RSPLIB drops every message that contains one.
    Dccp {
        /// DCCP port.
        port: u16,
        /// Service code (RFC 4340 sec 8.1.2).
        service_code: u32,
        /// The address.
        addr: IpAddr,
    },
    /// SCTP.
    Sctp(SctpTransport),
    /// TCP.
    Tcp(TcpTransport),
    /// UDP.
    Udp {
        /// UDP port.
        port: u16,
        /// The address.
        addr: IpAddr,
    },
    /// UDP-Lite. RSPLIB drops every message that contains one.
    UdpLite {
        /// UDP-Lite port.
        port: u16,
        /// The address.
        addr: IpAddr,
    },
    /// Bytes that only the application understands. RSPLIB drops every message that contains them.
    Opaque(Bytes),
}

/// The protocol of a [`Transport`]. All elements of a pool have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum TransportProtocol {
    Dccp,
    Sctp,
    Tcp,
    Udp,
    UdpLite,
    Opaque,
}

impl SctpTransport {
    /// A transport without control channel.
    pub fn data_only(port: u16, addrs: Vec<IpAddr>) -> Self {
        SctpTransport { port, transport_use: TransportUse::DataOnly, addrs }
    }

    pub(crate) fn encode(&self, w: &mut Writer<'_>) -> Result<(), EncodeError> {
        if self.addrs.is_empty() {
            return Err(EncodeError::NoAddress);
        }
        let mark = w.begin_tlv(param::SCTP_TRANSPORT);
        w.u16(self.port);
        w.u16(self.transport_use.to_u16());
        for &addr in &self.addrs {
            put_addr(w, addr);
        }
        w.end_tlv(mark);
        Ok(())
    }

    pub(crate) fn decode(tlv: &Tlv<'_>) -> Result<Self, DecodeError> {
        let (port, second, addrs) = port_and_rest(tlv)?;
        Ok(SctpTransport {
            port,
            transport_use: TransportUse::from_u16(second),
            addrs: addresses(tlv, addrs, usize::MAX)?,
        })
    }
}

impl Transport {
    /// Its protocol.
    pub fn protocol(&self) -> TransportProtocol {
        match self {
            Transport::Dccp { .. } => TransportProtocol::Dccp,
            Transport::Sctp(_) => TransportProtocol::Sctp,
            Transport::Tcp(_) => TransportProtocol::Tcp,
            Transport::Udp { .. } => TransportProtocol::Udp,
            Transport::UdpLite { .. } => TransportProtocol::UdpLite,
            Transport::Opaque(_) => TransportProtocol::Opaque,
        }
    }

    /// Its port, unless it is opaque.
    pub fn port(&self) -> Option<u16> {
        match self {
            Transport::Dccp { port, .. }
            | Transport::Udp { port, .. }
            | Transport::UdpLite { port, .. } => Some(*port),
            Transport::Sctp(t) => Some(t.port),
            Transport::Tcp(t) => Some(t.port),
            Transport::Opaque(_) => None,
        }
    }

    /// Its addresses; none if it is opaque.
    pub fn addrs(&self) -> &[IpAddr] {
        match self {
            Transport::Dccp { addr, .. }
            | Transport::Udp { addr, .. }
            | Transport::UdpLite { addr, .. } => std::slice::from_ref(addr),
            Transport::Sctp(t) => &t.addrs,
            Transport::Tcp(t) => std::slice::from_ref(&t.addr),
            Transport::Opaque(_) => &[],
        }
    }

    /// With or without control channel. A kind that cannot say is [`TransportUse::DataOnly`].
    pub fn transport_use(&self) -> TransportUse {
        match self {
            Transport::Sctp(t) => t.transport_use,
            Transport::Tcp(t) => t.transport_use,
            _ => TransportUse::DataOnly,
        }
    }

    pub(crate) fn encode(&self, w: &mut Writer<'_>) -> Result<(), EncodeError> {
        let mut fixed = |kind, port, second, service_code: Option<u32>, addr| {
            let mark = w.begin_tlv(kind);
            w.u16(port);
            w.u16(second);
            if let Some(code) = service_code {
                w.u32(code);
            }
            put_addr(w, addr);
            w.end_tlv(mark);
        };
        match self {
            Transport::Sctp(t) => t.encode(w)?,
            Transport::Dccp { port, service_code, addr } => {
                fixed(param::DCCP_TRANSPORT, *port, 0, Some(*service_code), *addr);
            }
            Transport::Tcp(t) => {
                fixed(param::TCP_TRANSPORT, t.port, t.transport_use.to_u16(), None, t.addr)
            }
            Transport::Udp { port, addr } => fixed(param::UDP_TRANSPORT, *port, 0, None, *addr),
            Transport::UdpLite { port, addr } => {
                fixed(param::UDP_LITE_TRANSPORT, *port, 0, None, *addr)
            }
            Transport::Opaque(bytes) => {
                let mark = w.begin_tlv(param::OPAQUE_TRANSPORT);
                w.bytes(bytes);
                w.end_tlv(mark);
            }
        }
        Ok(())
    }

    /// Whether a parameter of this type is a transport.
    pub(crate) fn is_kind(kind: u16) -> bool {
        matches!(kind, param::DCCP_TRANSPORT..=param::UDP_LITE_TRANSPORT | param::OPAQUE_TRANSPORT)
    }

    pub(crate) fn decode(tlv: &Tlv<'_>) -> Result<Self, DecodeError> {
        if tlv.kind == param::OPAQUE_TRANSPORT {
            return Ok(Transport::Opaque(Bytes::copy_from_slice(tlv.value)));
        }
        if tlv.kind == param::SCTP_TRANSPORT {
            return SctpTransport::decode(tlv).map(Transport::Sctp);
        }
        let (port, second, mut rest) = port_and_rest(tlv)?;
        let service_code = match tlv.kind {
            param::DCCP_TRANSPORT => {
                rest.u32().map_err(|_| DecodeError::length(tlv.kind, tlv.whole))?
            }
            _ => 0,
        };
        let addr = match addresses(tlv, rest, 1)?.as_slice() {
            [addr] => *addr,
            _ => return Err(DecodeError::value(tlv.kind, tlv.whole)),
        };
        Ok(match tlv.kind {
            param::DCCP_TRANSPORT => Transport::Dccp { port, service_code, addr },
            param::TCP_TRANSPORT => Transport::Tcp(TcpTransport {
                port,
                transport_use: TransportUse::from_u16(second),
                addr,
            }),
            param::UDP_TRANSPORT => Transport::Udp { port, addr },
            _ => Transport::UdpLite { port, addr },
        })
    }
}

fn port_and_rest<'a>(tlv: &Tlv<'a>) -> Result<(u16, u16, Reader<'a>), DecodeError> {
    let mut r = Reader::new(tlv.value);
    match (r.u16(), r.u16()) {
        (Ok(port), Ok(second)) => Ok((port, second, r)),
        _ => Err(DecodeError::length(tlv.kind, tlv.whole)),
    }
}

/// Reads one to `max` address parameters.
fn addresses(tlv: &Tlv<'_>, mut rest: Reader<'_>, max: usize) -> Result<Vec<IpAddr>, DecodeError> {
    let mut p = Params::new(rest.rest());
    let mut addrs = Vec::new();
    while let Some(addr) = p.take_if(|k| matches!(k, param::IPV4 | param::IPV6))? {
        addrs.push(address_of(&addr)?);
    }
    p.finish()?;
    if addrs.is_empty() || addrs.len() > max {
        return Err(DecodeError::value(tlv.kind, tlv.whole));
    }
    Ok(addrs)
}

/// Encodes an address; an IPv4-mapped IPv6 address becomes an IPv4 address.
fn put_addr(w: &mut Writer<'_>, addr: IpAddr) {
    match addr.to_canonical() {
        IpAddr::V4(a) => {
            let mark = w.begin_tlv(param::IPV4);
            w.bytes(&a.octets());
            w.end_tlv(mark);
        }
        IpAddr::V6(a) => {
            let mark = w.begin_tlv(param::IPV6);
            w.bytes(&a.octets());
            w.end_tlv(mark);
        }
    }
}

fn address_of(tlv: &Tlv<'_>) -> Result<IpAddr, DecodeError> {
    let wrong = |_| DecodeError::length(tlv.kind, tlv.whole);
    Ok(if tlv.kind == param::IPV4 {
        IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(tlv.value).map_err(wrong)?))
    } else {
        IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(tlv.value).map_err(wrong)?)).to_canonical()
    })
}
