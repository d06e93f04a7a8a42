//! The settings of a link.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use sctp_user_core::interface::from_socket_addr;

/// The UDP port that RFC 6951 sec 5.2 registers for SCTP.
pub const WELL_KNOWN_PORT: u16 = 9899;

/// Which UDP port to bind. All sockets of a link use the same port number, whatever their address
/// and family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Port {
    /// Any free port; the system chooses. Right for clients, and for servers that can tell their
    /// peers the port.
    #[default]
    Any,
    /// Port 9899, which peers try when they know no other port. Only one process on a host can have
    /// it.
    WellKnown,
    /// This port. 0 is not allowed.
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
    /// The addresses to bind, each with a socket of its own. Default: `0.0.0.0` and `::`, which
    /// means every address of the host. If the host has no IPv6 and the list has an IPv4 address as
    /// well, `::` is silently left out. A link-local IPv6 address must hold its
    /// [interface](sctp_user_core::interface).
    pub addrs: Vec<IpAddr>,
    /// The UDP port. Default: [`Port::Any`].
    pub port: Port,
    /// The size of each socket's receive buffer to ask for, in bytes. Default 4 MiB. The system may
    /// grant less (on Linux at most `net.core.rmem_max`), which is not an error.
    pub recv_buffer: usize,
    /// The size of each socket's send buffer to ask for, in bytes. Default 4 MiB. The system may
    /// grant less.
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

impl From<Port> for UdpEncapConfig {
    /// Every address of the host and this port policy.
    fn from(port: Port) -> Self {
        UdpEncapConfig::with_port(port)
    }
}

impl From<u16> for UdpEncapConfig {
    /// Every address of the host and this port; 0 means [`Port::Any`].
    fn from(port: u16) -> Self {
        UdpEncapConfig::with_port(port.into())
    }
}

impl From<SocketAddr> for UdpEncapConfig {
    /// This address alone and its port; 0 means [`Port::Any`].
    fn from(addr: SocketAddr) -> Self {
        UdpEncapConfig::with_addrs([from_socket_addr(addr)], addr.port().into())
    }
}

impl UdpEncapConfig {
    /// All addresses of the host, with this choice of port.
    pub fn with_port(port: Port) -> Self {
        UdpEncapConfig { port, ..UdpEncapConfig::default() }
    }

    /// These addresses, with this choice of port.
    pub fn with_addrs(addrs: impl IntoIterator<Item = IpAddr>, port: Port) -> Self {
        UdpEncapConfig { addrs: addrs.into_iter().collect(), port, ..UdpEncapConfig::default() }
    }
}
