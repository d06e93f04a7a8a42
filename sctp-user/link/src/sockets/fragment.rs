//! Switching fragmentation on around the rare packet that may exceed the path MTU.
//!
//! Sockets normally set DF (IPv4) or refuse to fragment (IPv6), because path MTU discovery needs
//! it. COOKIE ECHO and chunks built before the path MTU shrank must get through all the same (RFC
//! 9260 sec 8.1). A second UDP socket cannot share the port, and IPv4 has no per-message switch, so
//! the socket option is changed for one send call and changed back. That is race-free: a link sends
//! from one task only.
//!
//! IPv6 packets are cut by the sending host alone, and Linux does it only where the interface or an
//! ICMP message demands it. So the core makes such packets larger than interfaces take, and here
//! the fragments get the size that passes every router. An interface for jumbo frames may take more
//! than the core expects: [`left_whole`] tells it. IPv4 packets come here only where the process
//! has no raw socket to [cut](super::cut) them.
//!
//! The options are other ones on every system, so this is one of the few things that
//! `--cfg portable` does not change.

use std::io;
use std::net::SocketAddr;
#[cfg(any(target_os = "linux", target_os = "android"))]
use std::net::{Ipv6Addr, UdpSocket};

use super::io::Io;

/// Runs `send` with fragmentation allowed on `socket`, then forbids it again.
pub(super) fn allowed<T>(
    socket: &Io,
    ipv6: bool,
    send: impl FnOnce() -> io::Result<T>,
) -> io::Result<T> {
    if let Err(error) = set(socket, ipv6, true) {
        tracing::debug!(%error, "cannot allow fragmentation, sending without");
    }
    let sent = send();
    if let Err(error) = set(socket, ipv6, false) {
        tracing::debug!(%error, "cannot forbid fragmentation again");
    }
    sent
}

/// The largest packet that the interface towards `to` takes, bytes, where an IPv6 packet of
/// `ip_len` bytes has left whole although it was to be cut. `None` where it was cut, or needed not
/// be.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn left_whole(to: SocketAddr, ip_len: usize) -> Option<u16> {
    if !to.is_ipv6() || ip_len <= IPV6_MIN_MTU as usize {
        return None;
    }
    let asking = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).ok()?;
    // Sends nothing: the port is the one for discarding (RFC 863), and any but 0 would do.
    asking.connect(SocketAddr::new(to.ip(), 9)).ok()?;
    let mtu = usize::try_from(nix::sys::socket::getsockopt(&asking, own::RouteMtu).ok()?).ok()?;
    (ip_len <= mtu).then(|| u16::try_from(mtu).unwrap_or(u16::MAX))
}

/// Fragments have the size that the system chooses.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) fn left_whole(_: SocketAddr, _ip_len: usize) -> Option<u16> {
    None
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn set(socket: &Io, ipv6: bool, allow: bool) -> io::Result<()> {
    use nix::sys::socket::{setsockopt, sockopt};
    use rustix::net::sockopt::{
        Ipv4PathMtuDiscovery as V4, Ipv6PathMtuDiscovery as V6, set_ip_mtu_discover,
        set_ipv6_mtu_discover,
    };

    if ipv6 {
        setsockopt(socket, sockopt::Ipv6DontFrag, &!allow)?;
        setsockopt(socket, own::FragmentSize, if allow { &IPV6_MIN_MTU } else { &0 })?;
        set_ipv6_mtu_discover(socket, if allow { V6::DONT } else { V6::PROBE })?;
    } else {
        set_ip_mtu_discover(socket, if allow { V4::DONT } else { V4::PROBE })?;
    }
    Ok(())
}

/// Every IPv6 link carries packets of this many bytes (RFC 8200 sec 5).
#[cfg(any(target_os = "linux", target_os = "android"))]
const IPV6_MIN_MTU: i32 = 1280;

#[cfg(any(target_os = "linux", target_os = "android"))]
mod own {
    use nix::libc;
    use nix::sys::socket::sockopt::{GetStruct, SetStruct};

    /// IPV6_MTU: the size to cut packets to; 0 leaves it to the system.
    #[derive(Clone, Copy)]
    pub(super) struct FragmentSize;
    nix::setsockopt_impl!(
        FragmentSize,
        libc::IPPROTO_IPV6,
        libc::IPV6_MTU,
        i32,
        SetStruct<'_, i32>
    );

    /// The same option of a connected socket: what the route takes.
    #[derive(Clone, Copy)]
    pub(super) struct RouteMtu;
    nix::getsockopt_impl!(RouteMtu, libc::IPPROTO_IPV6, libc::IPV6_MTU, i32, GetStruct<i32>);
}

#[cfg(target_vendor = "apple")]
fn set(socket: &Io, ipv6: bool, allow: bool) -> io::Result<()> {
    use nix::sys::socket::{setsockopt, sockopt};

    if ipv6 {
        setsockopt(socket, sockopt::Ipv6DontFrag, &!allow)?;
    } else {
        setsockopt(socket, sockopt::IpDontFrag, &!allow)?;
    }
    Ok(())
}

/// Changes nothing: there is no known safe way here. Where sockets set DF (FreeBSD, Windows),
/// packets larger than the interface takes are then not sent.
#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
fn set(_: &Io, _ipv6: bool, _allow: bool) -> io::Result<()> {
    Ok(())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use rustix::net::sockopt::{
        Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery, ip_mtu_discover, ipv6_mtu_discover,
    };

    #[test]
    fn the_loopback_interface_takes_large_packets_whole() {
        let to = SocketAddr::from((Ipv6Addr::LOCALHOST, 9));
        let Some(mtu) = left_whole(to, 2000) else { return println!("there is no IPv6 here") };
        assert!(mtu >= 2000, "{mtu}");
        assert_eq!(left_whole(to, 1280), None, "no need to cut");
        assert_eq!(left_whole(to, 70_000), None, "was cut");
        assert_eq!(left_whole(SocketAddr::from(([127, 0, 0, 1], 9)), 2000), None, "IPv4");
    }

    #[tokio::test]
    async fn option_is_changed_and_changed_back() {
        let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        quinn_udp::UdpSocketState::new((&socket).into()).unwrap();
        assert_eq!(ip_mtu_discover(&socket).unwrap(), Ipv4PathMtuDiscovery::PROBE);
        let socket = Io::Watched(std::sync::Arc::new(socket));
        let inside = allowed(&socket, false, || Ok(ip_mtu_discover(&socket)?)).unwrap();
        assert_eq!(inside, Ipv4PathMtuDiscovery::DONT);
        assert_eq!(ip_mtu_discover(&socket).unwrap(), Ipv4PathMtuDiscovery::PROBE);
    }

    #[tokio::test]
    async fn option_is_changed_back_after_a_failed_send_too() {
        let Ok(socket) = tokio::net::UdpSocket::bind("[::1]:0").await else { return };
        quinn_udp::UdpSocketState::new((&socket).into()).unwrap();
        let socket = Io::Watched(std::sync::Arc::new(socket));
        let mut inside = None;
        let sent: io::Result<()> = allowed(&socket, true, || {
            inside = Some(ipv6_mtu_discover(&socket)?);
            Err(io::ErrorKind::WouldBlock.into())
        });
        assert_eq!(sent.unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert_eq!(inside, Some(Ipv6PathMtuDiscovery::DONT));
        assert_eq!(ipv6_mtu_discover(&socket).unwrap(), Ipv6PathMtuDiscovery::PROBE);
        let dont_frag =
            nix::sys::socket::getsockopt(&socket, nix::sys::socket::sockopt::Ipv6DontFrag);
        assert!(dont_frag.unwrap());
    }
}
