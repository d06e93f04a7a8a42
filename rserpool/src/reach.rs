//! From transports to peers: which encapsulation leads to an address.

use std::net::{IpAddr, SocketAddr};

use rserpool_wire::{ServerAnnounce, Transport};
use sctp_user::{Encap, Peer, Stack, from_socket_addr, interface};
use sctp_user_core::{Scope, scope};

/// UDP port of SCTP over UDP when nothing else is said (RFC 6951 sec 5.1).
pub(crate) const DEFAULT_UDP_PORT: u16 = 9899;

/// The encapsulations that the own stack can send.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reach {
    pub(crate) native: bool,
    pub(crate) udp: bool,
}

impl Reach {
    pub(crate) fn of(stack: &Stack) -> Self {
        Reach { native: stack.has_native(), udp: stack.local_udp_port().is_some() }
    }

    /// Whether the stack has a link for every address of the peer.
    pub(crate) fn includes(self, peer: &Peer) -> bool {
        peer.addrs.iter().all(|(_, encap)| match encap {
            Encap::Native => self.native,
            Encap::Udp { .. } => self.udp,
        })
    }

    /// The peers that an SCTP transport may stand for, to be tried side by side, the preferred one
    /// first. A UDP port that is named settles it; without one, each encapsulation of the own stack
    /// is a possibility.
    pub(crate) fn peers(self, addrs: &[IpAddr], port: u16, udp_port: Option<u16>) -> Vec<Peer> {
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

    /// Where the registrar behind an announce can be reached: at the SCTP transport that it names,
    /// or else at the source of the datagram, whose UDP port is the registrar's SCTP port (RSPLIB).
    pub(crate) fn registrar(self, from: SocketAddr, announce: &ServerAnnounce) -> Vec<Peer> {
        let named = announce.transports.iter().find_map(|t| match t {
            Transport::Sctp(t) => Some(self.peers(&t.addrs, t.port, announce.udp_port)),
            _ => None,
        });
        named.filter(|peers| !peers.is_empty()).unwrap_or_else(|| {
            self.peers(&[from_socket_addr(from).to_canonical()], from.port(), announce.udp_port)
        })
    }
}

/// The peer is to be reached directly in IP.
pub(crate) fn is_native(peer: &Peer) -> bool {
    peer.addrs.iter().all(|(_, encap)| *encap == Encap::Native)
}

/// Two ways to one place: the same addresses and SCTP port.
pub(crate) fn same_place(one: &Peer, other: &Peer) -> bool {
    one.port == other.port && one.addrs.iter().map(|a| a.0).eq(other.addrs.iter().map(|a| a.0))
}

/// An address that can be connected to. Link-local IPv6 addresses lack the interface on the wire;
/// that of a datagram has it.
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
