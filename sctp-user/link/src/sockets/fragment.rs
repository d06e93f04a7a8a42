//! Allowing fragmentation for the rare packet that may exceed the path MTU.
//!
//! Sockets normally set DF (IPv4) or refuse to fragment (IPv6), because path MTU discovery needs
//! that. COOKIE ECHO, and chunks built before the path MTU shrank, must get through all the same
//! (RFC 9260 sec 8.1). A second UDP socket cannot share the port, and IPv4 has no switch for a
//! single message. So the socket option is changed for one send call and then changed back. There
//! is no race, because only one task sends on a link.
//!
//! Only the sending host can cut an IPv6 packet, and Linux does so only when its interface or an
//! ICMP message demands it. So the core makes such packets larger than interfaces take, and the
//! fragments get a size that passes every router. An interface with jumbo frames may take more than
//! the core expects and send the packet whole; [`left_whole`] detects this. IPv4 packets come here
//! only if the process has no raw socket to [cut](super::cut) them.
//!
//! Every system has other options for this, so `--cfg portable` makes no difference here.

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

/// Checks whether an IPv6 packet of `ip_len` bytes left this host whole although it should have
/// been cut. If so, returns the MTU of the interface towards `to`, in bytes. `None` if the packet
/// was cut or did not have to be.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn left_whole(to: SocketAddr, ip_len: usize) -> Option<u16> {
    if !to.is_ipv6() || ip_len <= IPV6_MIN_MTU as usize {
        return None;
    }
    let asking = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).ok()?;
    // Connecting sends nothing. The port does not matter as long as it is not 0; 9 is for
    // discarding (RFC 863).
    asking.connect(SocketAddr::new(to.ip(), 9)).ok()?;
    let mtu = usize::try_from(nix::sys::socket::getsockopt(&asking, own::RouteMtu).ok()?).ok()?;
    (ip_len <= mtu).then(|| u16::try_from(mtu).unwrap_or(u16::MAX))
}

/// On these systems nobody sets the size of fragments, and nothing is known about it.
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

    /// IPV6_MTU: the largest fragment, in bytes. 0 leaves the choice to the system.
    #[derive(Clone, Copy)]
    pub(super) struct FragmentSize;
    nix::setsockopt_impl!(
        FragmentSize,
        libc::IPPROTO_IPV6,
        libc::IPV6_MTU,
        i32,
        SetStruct<'_, i32>
    );

    /// The same option, read on a connected socket: the MTU of the route.
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

/// Does nothing, because there is no known safe way on these systems. On those whose sockets set DF
/// (FreeBSD, Windows), packets larger than the MTU of the interface are therefore not sent.
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
        let Some(mtu) = left_whole(to, 2000) else { return println!("this host has no IPv6") };
        assert!(mtu >= 2000, "{mtu}");
        assert_eq!(left_whole(to, 1280), None, "it need not be cut");
        assert_eq!(left_whole(to, 70_000), None, "it was cut");
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
