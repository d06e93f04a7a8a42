//! From transports to peers: which encapsulation leads to an address.

use std::net::{IpAddr, SocketAddr};

use rserpool_wire::{PoolElement, ServerAnnounce, Transport};
use sctp_user_core::interface::{from_socket_addr, interface};
use sctp_user_core::{Encap, Peer, Scope, scope};

/// UDP port of SCTP over UDP when nothing else is said (RFC 6951 sec 5.1).
pub const DEFAULT_UDP_PORT: u16 = 9899;

/// The encapsulations that the own stack can send.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// Directly in IP.
    pub native: bool,
    /// In UDP (RFC 6951).
    pub udp: bool,
}

impl Reach {
    /// Whether the stack has a link for every address of the peer.
    pub fn includes(self, peer: &Peer) -> bool {
        peer.addrs.iter().all(|(_, encap)| match encap {
            Encap::Native => self.native,
            Encap::Udp { .. } => self.udp,
        })
    }

    /// The ways that an SCTP transport may stand for, to be tried side by side, the preferred one
    /// first. With a UDP port the peer is reached in UDP; without one, in any of the encapsulations
    /// that the own stack can send.
    pub fn peers(self, addrs: &[IpAddr], port: u16, udp_port: Option<u16>) -> Vec<Peer> {
        let usable: Vec<IpAddr> = addrs.iter().copied().filter(|a| is_usable(*a)).collect();
        if usable.is_empty() || port == 0 {
            return Vec::new();
        }
        let udp = |remote_port| Encap::Udp { remote_port };
        let encaps = match udp_port {
            Some(udp_port) => vec![self.udp.then_some(udp(udp_port))],
            None => vec![
                self.native.then_some(Encap::Native),
                self.udp.then_some(udp(DEFAULT_UDP_PORT)),
            ],
        };
        let peer = |encap| Peer { addrs: usable.iter().map(|a| (*a, encap)).collect(), port };
        encaps.into_iter().flatten().map(peer).collect()
    }

    /// The ways to the service of a pool element over SCTP.
    pub fn element(self, element: &PoolElement) -> Vec<Peer> {
        let transport = &element.user_transport;
        self.peers(transport.addrs(), transport.port().unwrap_or(0), element.udp_port)
    }

    /// The ways to the registrar that sent an announce: to the SCTP transport that the announce
    /// names, or else to the source of the datagram, whose UDP port is the registrar's SCTP port
    /// (RSPLIB).
    pub fn registrar(self, from: SocketAddr, announce: &ServerAnnounce) -> Vec<Peer> {
        let named = announce.transports.iter().find_map(|t| match t {
            Transport::Sctp(t) => Some(self.peers(&t.addrs, t.port, announce.udp_port)),
            _ => None,
        });
        named.filter(|peers| !peers.is_empty()).unwrap_or_else(|| {
            self.peers(&[from_socket_addr(from).to_canonical()], from.port(), announce.udp_port)
        })
    }
}

/// Gathers the ways to the same registrar, the native one first.
pub(crate) fn group_ways(peers: Vec<Peer>) -> Vec<Vec<Peer>> {
    let mut all: Vec<Vec<Peer>> = Vec::new();
    for peer in peers {
        let known = all.iter_mut().find(|ways| ways.iter().any(|way| same_place(way, &peer)));
        match known {
            None => all.push(vec![peer]),
            Some(ways) if ways.contains(&peer) => {}
            Some(ways) if is_native(&peer) => ways.insert(0, peer),
            Some(ways) => ways.push(peer),
        }
    }
    all
}

/// Whether one of these ways leads to an address and the SCTP port of the peer.
pub(crate) fn is_reached_by(peer: &Peer, ways: &[Peer]) -> bool {
    let is_peer = |addr: IpAddr| peer.addrs.iter().any(|(known, _)| *known == addr);
    ways.iter().any(|way| way.port == peer.port && way.addrs.iter().any(|(addr, _)| is_peer(*addr)))
}

/// Whether the peer is to be reached directly in IP.
fn is_native(peer: &Peer) -> bool {
    peer.addrs.iter().all(|(_, encap)| *encap == Encap::Native)
}

/// Whether both ways lead to the same addresses and SCTP port.
fn same_place(one: &Peer, other: &Peer) -> bool {
    one.port == other.port && one.addrs.iter().map(|a| a.0).eq(other.addrs.iter().map(|a| a.0))
}

/// Whether an association can be set up with this address. A link-local IPv6 address from a message
/// lacks its interface; one that a datagram came from has it.
fn is_usable(addr: IpAddr) -> bool {
    match scope(addr) {
        None => false,
        Some(Scope::Link) => addr.is_ipv4() || interface(addr) != 0,
        Some(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rserpool_wire::{SctpTransport, ServerId};

    const UDP: Reach = Reach { native: false, udp: true };
    const BOTH: Reach = Reach { native: true, udp: true };

    #[test]
    fn encapsulations() {
        let a: IpAddr = "10.0.0.1".parse().unwrap();
        let udp = |remote_port| Peer::new(a, Encap::Udp { remote_port }, 7);
        assert_eq!(UDP.peers(&[a], 7, None), [udp(9899)]);
        assert_eq!(UDP.peers(&[a], 7, Some(5)), [udp(5)]);
        assert_eq!(BOTH.peers(&[a], 7, None), [Peer::new(a, Encap::Native, 7), udp(9899)]);
        assert_eq!(BOTH.peers(&[a], 7, Some(5)), [udp(5)]);
        assert_eq!(Reach { native: true, udp: false }.peers(&[a], 7, Some(5)), []);
        assert_eq!(UDP.peers(&[a], 0, None), []);
        assert_eq!(
            UDP.peers(&["224.0.0.1".parse().unwrap(), "fe80::1".parse().unwrap()], 7, None),
            []
        );
    }

    #[test]
    fn native_ways_come_first() {
        let native = |n: u8| Peer::new([10, 0, 0, n].into(), Encap::Native, 7);
        let udp = |n: u8| Peer::new([10, 0, 0, n].into(), Encap::Udp { remote_port: 9899 }, 7);
        let peers = vec![udp(1), udp(2), native(3), udp(3), native(2), udp(2), native(1)];
        let ways = |n| vec![native(n), udp(n)];
        assert_eq!(group_ways(peers), [ways(1), ways(2), ways(3)]);
    }

    #[test]
    fn announces() {
        let from = "10.0.0.9:3863".parse().unwrap();
        let mut announce =
            ServerAnnounce { server: ServerId(1), transports: Vec::new(), udp_port: Some(4) };
        let at = |addr: &str, port| {
            Peer::new(addr.parse().unwrap(), Encap::Udp { remote_port: 4 }, port)
        };
        assert_eq!(UDP.registrar(from, &announce), [at("10.0.0.9", 3863)]);
        let named = SctpTransport::data_only(77, vec!["10.0.0.2".parse().unwrap()]);
        announce.transports.push(Transport::Sctp(named));
        assert_eq!(UDP.registrar(from, &announce), [at("10.0.0.2", 77)]);
        let useless = SctpTransport::data_only(77, vec!["fe80::2".parse().unwrap()]);
        announce.transports = vec![Transport::Sctp(useless)];
        assert_eq!(UDP.registrar(from, &announce), [at("10.0.0.9", 3863)]);
        // The datagram tells the interface that the wire format cannot name.
        let link_local = "[fe80::9%4]:3863".parse().unwrap();
        assert_eq!(UDP.registrar(link_local, &announce), [at("fe80:0:0:4::9", 3863)]);
    }
}
