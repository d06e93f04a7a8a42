//! Switching fragmentation on around the rare packet that may exceed the path MTU.
//!
//! Sockets normally set DF (IPv4) or refuse to fragment (IPv6), because path MTU discovery needs it. COOKIE ECHO and
//! chunks built before the path MTU shrank must get through all the same (RFC 9260 sec 8.1). A second socket cannot
//! share the port, and IPv4 has no per-message switch, so the socket option is changed for one send call and
//! changed back. That is race-free: a link sends from one task only.

use std::io;

/// Runs `send` with fragmentation allowed on `socket`, then forbids it again.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn allowed<T>(
    socket: &tokio::net::UdpSocket,
    ipv6: bool,
    send: impl FnOnce() -> io::Result<T>,
) -> io::Result<T> {
    use rustix::net::sockopt::{
        Ipv4PathMtuDiscovery as V4, Ipv6PathMtuDiscovery as V6, set_ip_mtu_discover, set_ipv6_mtu_discover,
    };

    let dont_frag = |on| {
        nix::sys::socket::setsockopt(socket, nix::sys::socket::sockopt::Ipv6DontFrag, &on)
            .map_err(io::Error::from)
    };
    let allow = || {
        if ipv6 {
            dont_frag(false)?;
            set_ipv6_mtu_discover(socket, V6::DONT)?;
        } else {
            set_ip_mtu_discover(socket, V4::DONT)?;
        }
        io::Result::Ok(())
    };
    let forbid = || {
        if ipv6 {
            set_ipv6_mtu_discover(socket, V6::PROBE)?;
            dont_frag(true)?;
        } else {
            set_ip_mtu_discover(socket, V4::PROBE)?;
        }
        io::Result::Ok(())
    };
    around(allow, send, forbid)
}

/// Runs `send` with fragmentation allowed on `socket`, then forbids it again.
#[cfg(target_vendor = "apple")]
pub(crate) fn allowed<T>(
    socket: &tokio::net::UdpSocket,
    ipv6: bool,
    send: impl FnOnce() -> io::Result<T>,
) -> io::Result<T> {
    use nix::sys::socket::{setsockopt, sockopt};

    let set = |on| {
        if ipv6 {
            setsockopt(socket, sockopt::Ipv6DontFrag, &on).map_err(io::Error::from)
        } else {
            setsockopt(socket, sockopt::IpDontFrag, &on).map_err(io::Error::from)
        }
    };
    around(|| set(false), send, || set(true))
}

/// Sends as the socket is: there is no known safe way to change it here.
#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
pub(crate) fn allowed<T>(
    _socket: &tokio::net::UdpSocket,
    _ipv6: bool,
    send: impl FnOnce() -> io::Result<T>,
) -> io::Result<T> {
    send()
}

#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
fn around<T>(
    allow: impl FnOnce() -> io::Result<()>,
    send: impl FnOnce() -> io::Result<T>,
    forbid: impl FnOnce() -> io::Result<()>,
) -> io::Result<T> {
    if let Err(error) = allow() {
        tracing::debug!(%error, "cannot allow fragmentation, sending without");
    }
    let sent = send();
    if let Err(error) = forbid() {
        tracing::debug!(%error, "cannot forbid fragmentation again");
    }
    sent
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use rustix::net::sockopt::{
        Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery, ip_mtu_discover, ipv6_mtu_discover,
    };

    #[tokio::test]
    async fn option_is_changed_and_changed_back() {
        let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        quinn_udp::UdpSocketState::new((&socket).into()).unwrap();
        assert_eq!(ip_mtu_discover(&socket).unwrap(), Ipv4PathMtuDiscovery::PROBE);
        let inside = allowed(&socket, false, || Ok(ip_mtu_discover(&socket)?)).unwrap();
        assert_eq!(inside, Ipv4PathMtuDiscovery::DONT);
        assert_eq!(ip_mtu_discover(&socket).unwrap(), Ipv4PathMtuDiscovery::PROBE);
    }

    #[tokio::test]
    async fn option_is_changed_back_after_a_failed_send_too() {
        let Ok(socket) = tokio::net::UdpSocket::bind("[::1]:0").await else { return };
        quinn_udp::UdpSocketState::new((&socket).into()).unwrap();
        let mut inside = None;
        let sent: io::Result<()> = allowed(&socket, true, || {
            inside = Some(ipv6_mtu_discover(&socket)?);
            Err(io::ErrorKind::WouldBlock.into())
        });
        assert_eq!(sent.unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert_eq!(inside, Some(Ipv6PathMtuDiscovery::DONT));
        assert_eq!(ipv6_mtu_discover(&socket).unwrap(), Ipv6PathMtuDiscovery::PROBE);
        let dont_frag = nix::sys::socket::getsockopt(&socket, nix::sys::socket::sockopt::Ipv6DontFrag);
        assert!(dont_frag.unwrap());
    }
}
