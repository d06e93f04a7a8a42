//! Opening the sockets of a link, all on the same UDP port.

use std::io;
use std::net::{IpAddr, SocketAddr};

use sctp_user_core::Scope;
use sctp_user_core::interface::{
    Shown, from_socket_addr, interface, is_link_local, to_socket_addr,
};
use sctp_user_link::sockets::overlap;
use sctp_user_link::{ShownAddresses, local_addresses};
use socket2::{Domain, Protocol, Socket, Type};

use crate::config::{Port, UdpEncapConfig, WELL_KNOWN_PORT};

/// Why a link could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UdpBindError {
    /// Another process has port 9899.
    #[error(
        "UDP port {WELL_KNOWN_PORT} on {}, the well-known port for SCTP, is in use by another \
         process, and only one process on a host can have it: stop that process or choose another \
         port",
        Shown(*.addr)
    )]
    WellKnownPortInUse {
        /// The address on which the port was to be bound.
        addr: IpAddr,
    },
    /// Another process has the port.
    #[error(
        "UDP port {port} on {} is in use by another process: choose another port, or 0 for any \
         free one",
        Shown(*.addr)
    )]
    PortInUse {
        /// The address on which the port was to be bound.
        addr: IpAddr,
        /// The port.
        port: u16,
    },
    /// No port was free on all addresses at once.
    #[error("found no UDP port that is free on all of the addresses {addrs:?}")]
    NoFreePort {
        /// The addresses on which a port was to be bound.
        addrs: Vec<IpAddr>,
    },
    /// The configuration has [`Port::Fixed`] with 0.
    #[error("UDP port 0 cannot be bound: choose a port from 1 to 65535, or any free one")]
    PortZero,
    /// The configuration lists no address.
    #[error("no address to bind: give at least one, such as 0.0.0.0 or ::")]
    NoAddress,
    /// An address is listed twice, or together with the wildcard address of its family.
    #[error(
        "address {} is listed twice, or together with the wildcard address that includes it",
        Shown(*.addr)
    )]
    Overlap {
        /// The address.
        addr: IpAddr,
    },
    /// The host has no such address.
    #[error("{} is not an address of this host, which has {}", Shown(*.addr), ShownAddresses(.host))]
    NotLocal {
        /// The address.
        addr: IpAddr,
        /// The addresses of the host.
        host: Vec<IpAddr>,
    },
    /// A link-local IPv6 address does not name its interface; see
    /// [`on_interface`](sctp_user_core::interface::on_interface).
    #[error("the link-local address {addr} needs an interface, as in {addr}%eth0")]
    NoInterface {
        /// The address.
        addr: IpAddr,
    },
    /// The call was not made inside a tokio runtime.
    #[error("a UDP link can only be made inside a tokio runtime")]
    NoRuntime,
    /// The system refused for another reason.
    #[error("cannot open a UDP socket on {addr}: {source}")]
    Socket {
        /// The address and port that were to be bound.
        addr: SocketAddr,
        /// The system's error.
        source: io::Error,
    },
}

/// Opens and binds a socket for each configured address, all with the same port.
pub(crate) fn open(config: &UdpEncapConfig) -> Result<(Vec<(IpAddr, Socket)>, u16), UdpBindError> {
    if config.addrs.is_empty() {
        return Err(UdpBindError::NoAddress);
    }
    if let Some(addr) = overlap(&config.addrs) {
        return Err(UdpBindError::Overlap { addr });
    }
    if let Some(&addr) = config.addrs.iter().find(|a| is_link_local(**a) && interface(**a) == 0) {
        return Err(UdpBindError::NoInterface { addr });
    }
    match config.port {
        Port::Fixed(0) => Err(UdpBindError::PortZero),
        Port::Fixed(port) => open_all(config, port),
        Port::WellKnown => open_all(config, WELL_KNOWN_PORT).map_err(|error| match error {
            UdpBindError::PortInUse { addr, .. } => UdpBindError::WellKnownPortInUse { addr },
            other => other,
        }),
        Port::Any => {
            for _ in 0..FREE_PORT_TRIES {
                match open_all(config, 0) {
                    // The port is free on the first address but not on another one.
                    Err(UdpBindError::PortInUse { .. }) => {}
                    other => return other,
                }
            }
            Err(UdpBindError::NoFreePort { addrs: config.addrs.clone() })
        }
    }
}

fn open_all(
    config: &UdpEncapConfig,
    mut port: u16,
) -> Result<(Vec<(IpAddr, Socket)>, u16), UdpBindError> {
    let has_v4 = config.addrs.iter().any(IpAddr::is_ipv4);
    let mut sockets = Vec::new();
    for &addr in &config.addrs {
        match open_one(config, to_socket_addr(addr, port)) {
            Ok((socket, bound)) => {
                port = bound;
                sockets.push((addr, socket));
            }
            Err(UdpBindError::NotLocal { .. })
                if has_v4 && addr.is_ipv6() && addr.is_unspecified() =>
            {
                tracing::debug!("no IPv6 on this host, going on with IPv4 alone");
            }
            Err(error) => return Err(error),
        }
    }
    Ok((sockets, port))
}

fn open_one(config: &UdpEncapConfig, addr: SocketAddr) -> Result<(Socket, u16), UdpBindError> {
    let own = from_socket_addr(addr);
    let classify = |source: io::Error| match source.kind() {
        io::ErrorKind::AddrInUse => UdpBindError::PortInUse { addr: own, port: addr.port() },
        io::ErrorKind::AddrNotAvailable | io::ErrorKind::Unsupported => not_local(own),
        _ => UdpBindError::Socket { addr, source },
    };
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP)).map_err(
        |source| {
            // If the kernel was compiled without IPv6, this fails with EAFNOSUPPORT, for which
            // there is no `ErrorKind`.
            if addr.is_ipv6() { not_local(own) } else { classify(source) }
        },
    )?;
    socket.set_nonblocking(true).map_err(classify)?;
    if addr.is_ipv6() {
        socket.set_only_v6(true).map_err(classify)?;
    }
    // Take what the system grants: a small buffer costs only throughput.
    let _ = socket.set_recv_buffer_size(config.recv_buffer);
    let _ = socket.set_send_buffer_size(config.send_buffer);
    socket.bind(&addr.into()).map_err(classify)?;
    let bound = socket.local_addr().map_err(classify)?.as_socket().map_or(0, |bound| bound.port());
    Ok((socket, bound))
}

fn not_local(addr: IpAddr) -> UdpBindError {
    UdpBindError::NotLocal { addr, host: local_addresses(Scope::Loopback) }
}

/// How many ports to try. A port that is free on one address is nearly always free on the others
/// too.
const FREE_PORT_TRIES: usize = 64;
