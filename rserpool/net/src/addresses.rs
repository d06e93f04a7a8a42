//! What the drivers learn about addresses from a stack and its associations.

use std::net::{IpAddr, UdpSocket};

use rserpool_core::Reach;
use rserpool_core::channel::ConnectFailure;
use sctp_user::{Association, Encap, Error, Peer, Stack, from_socket_addr, to_socket_addr};

/// The encapsulations that a stack has links for.
pub fn reach(stack: &Stack) -> Reach {
    Reach { native: stack.has_native(), udp: stack.local_udp_port().is_some() }
}

/// Why none of these ways to a peer worked, in the words of the state machines.
pub fn connect_failure(error: Error, ways: &[Peer]) -> ConnectFailure {
    let in_udp = |way: &Peer| way.addrs.iter().any(|(_, encap)| *encap != Encap::Native);
    match error {
        Error::Ended(reason) | Error::Refused(reason) => ConnectFailure::Ended(reason),
        // The error advises to try UDP, which is no advice for somebody who has tried it.
        Error::NoNativeAnswer(reason) if ways.iter().any(in_udp) => ConnectFailure::Ended(reason),
        Error::NoNativeAnswer(reason) => ConnectFailure::NoNativeAnswer(reason),
        error => ConnectFailure::Other(error.to_string()),
    }
}

/// The other end of an association. It has no addresses if the association has just ended.
pub(crate) fn peer_of(association: &Association) -> Peer {
    let paths = association.peer_addrs();
    Peer {
        addrs: paths.iter().map(|path| (path.remote, path.encap)).collect(),
        port: association.peer_port(),
    }
}

/// The own addresses of an association. Where the stack leaves their choice to the system, this
/// function asks the system for its routes to the peer.
pub(crate) fn own_addresses(association: &Association) -> Vec<IpAddr> {
    let local = association.local_addrs();
    if !local.is_empty() {
        return local;
    }
    let mut sources: Vec<IpAddr> =
        association.peer_addrs().iter().filter_map(|path| source_towards(path.remote)).collect();
    sources.sort_unstable();
    sources.dedup();
    sources
}

/// The source address that the system would use. A connected UDP socket knows it, without sending
/// anything.
fn source_towards(remote: IpAddr) -> Option<IpAddr> {
    let any: IpAddr = if remote.is_ipv4() { [0u8; 4].into() } else { [0u16; 8].into() };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect(to_socket_addr(remote, 9)).ok()?;
    Some(from_socket_addr(socket.local_addr().ok()?))
}
