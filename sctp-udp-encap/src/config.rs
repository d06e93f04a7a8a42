//! What a user can choose.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The UDP port that RFC 6951 sec 5.2 registers for SCTP.
pub const WELL_KNOWN_PORT: u16 = 9899;

/// Which UDP port to bind. All sockets of a link, of whatever address and family, share one port
/// number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Port {
    /// A free port chosen by the system. For everybody who calls, or who can tell peers the port.
    #[default]
    Any,
    /// Port 9899, where peers that know nothing else will look. Only one process of a host can have
    /// it.
    WellKnown,
    /// This port, not 0.
    Fixed(u16),
}

impl From<u16> for Port {
    /// 0 means [`Port::Any`], as it does for sockets.
    fn from(port: u16) -> Self {
        match port {
            0 => Port::Any,
            WELL_KNOWN_PORT => Port::WellKnown,
            port => Port::Fixed(port),
        }
    }
}

/// Configuration of a [`UdpEncapLink`](crate::UdpEncapLink).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UdpEncapConfig {
    /// Addresses to bind, each with a socket of its own. Default: `0.0.0.0` and `::`, which is
    /// every address of the host. Where IPv6 is switched off, a `::` beside an IPv4 address is left
    /// out without a word. A link-local IPv6 address holds its
    /// [interface](sctp_user_core::interface).
    pub addrs: Vec<IpAddr>,
    /// UDP port. Default: [`Port::Any`].
    pub port: Port,
    /// Wanted size of each socket's receive buffer, bytes. Default 4 MiB. The system may grant less
    /// (on Linux at most `net.core.rmem_max`), which is no error.
    pub recv_buffer: usize,
    /// Wanted size of each socket's send buffer, bytes. Default 4 MiB; the system may grant less.
    pub send_buffer: usize,
}

impl Default for UdpEncapConfig {
    fn default() -> Self {
        UdpEncapConfig {
            addrs: vec![Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()],
            port: Port::Any,
            recv_buffer: 4 << 20,
            send_buffer: 4 << 20,
        }
    }
}

impl UdpEncapConfig {
    /// Every address of the host and this port policy.
    pub fn with_port(port: Port) -> Self {
        UdpEncapConfig { port, ..UdpEncapConfig::default() }
    }

    /// These addresses and this port policy.
    pub fn with_addrs(addrs: impl IntoIterator<Item = IpAddr>, port: Port) -> Self {
        UdpEncapConfig { addrs: addrs.into_iter().collect(), port, ..UdpEncapConfig::default() }
    }
}
