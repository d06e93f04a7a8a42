//! Opening the raw sockets of a link.

use std::io;
use std::net::IpAddr;

use sctp_user_core::Scope;
use sctp_user_core::interface::{Shown, interface, is_link_local, to_socket_addr};
use sctp_user_link::{ShownAddresses, local_addresses};
use socket2::{Domain, Protocol, Socket, Type};

use super::RawConfig;
use crate::link::sockets::overlap;

/// Why a link could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RawBindError {
    /// The process may not open raw sockets.
    #[error(
        "SCTP directly in IP needs the capability CAP_NET_RAW (Linux) or root: grant one of them, \
         or use UDP encapsulation, which needs neither"
    )]
    Privileges,
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
    /// [`on_interface`](crate::on_interface).
    #[error("the link-local address {addr} needs an interface, as in {addr}%eth0")]
    NoInterface {
        /// The address.
        addr: IpAddr,
    },
    /// The call was not made inside a tokio runtime.
    #[error("a raw link can only be made inside a tokio runtime")]
    NoRuntime,
    /// The system refused for another reason.
    #[error("cannot open a raw socket on {}: {source}", Shown(*.addr))]
    Socket {
        /// The address that was to be bound.
        addr: IpAddr,
        /// The system's error.
        source: io::Error,
    },
}

/// Opens and binds a socket for each configured address.
pub(super) fn open(config: &RawConfig) -> Result<Vec<(IpAddr, Socket)>, RawBindError> {
    if config.addrs.is_empty() {
        return Err(RawBindError::NoAddress);
    }
    if let Some(addr) = overlap(&config.addrs) {
        return Err(RawBindError::Overlap { addr });
    }
    if let Some(&addr) = config.addrs.iter().find(|a| is_link_local(**a) && interface(**a) == 0) {
        return Err(RawBindError::NoInterface { addr });
    }
    let has_v4 = config.addrs.iter().any(IpAddr::is_ipv4);
    let mut sockets = Vec::new();
    for &addr in &config.addrs {
        match open_one(config, addr) {
            Ok(socket) => sockets.push((addr, socket)),
            Err(RawBindError::NotLocal { .. })
                if has_v4 && addr.is_ipv6() && addr.is_unspecified() =>
            {
                tracing::debug!("no IPv6 on this host, going on with IPv4 alone");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(sockets)
}

fn open_one(config: &RawConfig, addr: IpAddr) -> Result<Socket, RawBindError> {
    let domain = if addr.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
    let socket = Socket::new(domain, Type::RAW, Some(Protocol::from(SCTP))).map_err(|source| {
        // If the kernel was compiled without IPv6, this fails with EAFNOSUPPORT, for which there is
        // no `ErrorKind`.
        match classify(addr, source) {
            RawBindError::Socket { .. } if addr.is_ipv6() => not_local(addr),
            error => error,
        }
    })?;
    let classify = |source| classify(addr, source);
    socket.set_nonblocking(true).map_err(classify)?;
    // Take what the system grants: a small buffer costs only throughput.
    let _ = socket.set_recv_buffer_size(config.recv_buffer);
    let _ = socket.set_send_buffer_size(config.send_buffer);
    // IPV6_V6ONLY cannot be set on a raw socket and is not needed: raw IPv6 sockets do not carry
    // IPv4. IPV6_CHECKSUM must not be set: SCTP has a checksum of another kind.
    socket.bind(&to_socket_addr(addr, 0).into()).map_err(classify)?;
    Ok(socket)
}

fn classify(addr: IpAddr, source: io::Error) -> RawBindError {
    match source.kind() {
        io::ErrorKind::PermissionDenied => RawBindError::Privileges,
        io::ErrorKind::AddrNotAvailable | io::ErrorKind::Unsupported => not_local(addr),
        _ => RawBindError::Socket { addr, source },
    }
}

fn not_local(addr: IpAddr) -> RawBindError {
    RawBindError::NotLocal { addr, host: local_addresses(Scope::Loopback) }
}

/// The IP protocol number of SCTP.
const SCTP: i32 = 132;

#[cfg(test)]
mod tests {
    use super::*;

    fn complaint(addrs: &[&str]) -> String {
        let config = RawConfig::with_addrs(addrs.iter().map(|a| a.parse().unwrap()));
        open(&config).unwrap_err().to_string()
    }

    #[test]
    fn useless_lists_are_refused_before_anything_is_opened() {
        assert!(complaint(&[]).contains("at least one"));
        assert!(complaint(&["127.0.0.1", "127.0.0.1"]).contains("127.0.0.1 is listed twice"));
        assert!(complaint(&["fe80::1"]).contains("as in fe80::1%eth0"));
        assert!(complaint(&["::1", "::"]).contains("::1 is listed twice, or together with"));
    }

    #[test]
    fn refusal_of_the_system_says_what_is_missing() {
        let error =
            classify([127, 0, 0, 1].into(), io::ErrorKind::PermissionDenied.into()).to_string();
        assert!(
            error.contains("CAP_NET_RAW") && error.contains("root") && error.contains("UDP"),
            "{error}"
        );
    }
}
