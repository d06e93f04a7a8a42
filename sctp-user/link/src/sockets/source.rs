//! Choosing the local address from which to reach a destination, when the stack names none.
//!
//! With a wildcard socket, the system chooses the source of every packet by its routes. With
//! sockets that are each bound to one address, choosing the socket means choosing the source (RFC
//! 9260 sec 6.4). The wrong choice would put an address of the first network on a packet for the
//! second. Its answer would then go to the first network, and would be lost together with that
//! network.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::time::{Duration, Instant};

use sctp_user_core::common_bits;
use sctp_user_core::interface::{from_socket_addr, to_socket_addr};

/// Remembers what the system's routes said recently.
#[derive(Debug, Default)]
pub(super) struct SourceCache {
    known: BTreeMap<IpAddr, (IpAddr, Instant)>,
}

impl SourceCache {
    /// The address of `own` from which to send to `remote`. This is the one that the routes choose,
    /// or else the one with the most leading bits in common with `remote`. `None` when `own` is
    /// empty.
    pub(super) fn choose(
        &mut self,
        own: impl Iterator<Item = IpAddr> + Clone,
        remote: IpAddr,
    ) -> Option<IpAddr> {
        let now = Instant::now();
        let fresh = |asked: Instant| now.saturating_duration_since(asked) < MAX_AGE;
        if let Some((addr, asked)) = self.known.get(&remote)
            && fresh(*asked)
            && own.clone().any(|a| a == *addr)
        {
            return Some(*addr);
        }
        let routed = routed_source(remote).filter(|routed| own.clone().any(|a| a == *routed));
        let chosen = routed.or_else(|| nearest(own, remote))?;
        if self.known.len() >= MAX_ENTRIES {
            self.known.retain(|_, (_, asked)| fresh(*asked));
        }
        if self.known.len() >= MAX_ENTRIES {
            self.known.clear();
        }
        self.known.insert(remote, (chosen, now));
        Some(chosen)
    }
}

/// The source address that the system would choose. To find out, this connects a UDP socket, which
/// looks up the route and sends nothing. The port does not matter as long as it is not 0; 9 is for
/// discarding (RFC 863).
pub(super) fn routed_source(remote: IpAddr) -> Option<IpAddr> {
    let any: IpAddr =
        if remote.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect(to_socket_addr(remote, 9)).ok()?;
    Some(from_socket_addr(socket.local_addr().ok()?))
}

/// The address that has the longest prefix in common with `remote`; the first one if there are
/// several.
fn nearest(own: impl Iterator<Item = IpAddr>, remote: IpAddr) -> Option<IpAddr> {
    own.min_by_key(|addr| Reverse(common_bits(*addr, remote)))
}

/// How long an answer of the system is used. After a change of routes, packets may carry the old
/// source for this long.
const MAX_AGE: Duration = Duration::from_millis(200);
/// The most destinations to remember.
const MAX_ENTRIES: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_nearest_address_has_most_leading_bits_in_common() {
        let own = || ["10.1.0.1", "10.2.0.1", "192.168.7.1"].map(ip).into_iter();
        assert_eq!(nearest(own(), ip("10.2.0.9")), Some(ip("10.2.0.1")));
        assert_eq!(nearest(own(), ip("192.168.9.9")), Some(ip("192.168.7.1")));
        assert_eq!(nearest(own(), ip("203.0.113.1")), Some(ip("192.168.7.1")));
        assert_eq!(
            nearest(["10.0.0.1", "10.0.0.2"].map(ip).into_iter(), ip("1.1.1.1")),
            Some(ip("10.0.0.1"))
        );
        let own = ["fd00:1::1", "fd00:2::1"].map(ip).into_iter();
        assert_eq!(nearest(own, ip("fd00:2::9")), Some(ip("fd00:2::1")));
        assert_eq!(nearest(std::iter::empty(), ip("10.0.0.1")), None);
    }

    #[test]
    fn the_source_of_the_route_is_chosen_if_it_is_a_local_address() {
        let remote = ip("127.0.0.9");
        let routed = routed_source(remote).expect("there is a loopback interface");
        let mut sources = SourceCache::default();
        // 127.0.0.8 has more bits in common, but the route decides.
        let own = [ip("127.0.0.8"), routed].into_iter();
        assert_eq!(sources.choose(own.clone(), remote), Some(routed));
        assert_eq!(sources.choose(own, remote), Some(routed), "remembered");
        let others = [ip("127.0.3.3"), ip("127.0.0.8")].into_iter();
        assert_eq!(
            sources.choose(others, remote),
            Some(ip("127.0.0.8")),
            "the remembered address is not among these"
        );
    }

    #[test]
    fn memory_is_bounded() {
        let mut sources = SourceCache::default();
        for n in 0..3 * MAX_ENTRIES as u32 {
            let remote = Ipv4Addr::from_bits(0x7f01_0000 + n).into();
            sources.choose([ip("127.0.3.3"), ip("127.0.0.8")].into_iter(), remote);
            assert!(sources.known.len() <= MAX_ENTRIES);
        }
    }
}
