//! Addresses, packets and messages as they pass between the core, its users and the links.

use bytes::Bytes;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use crate::interface::{Shown, from_socket_addr};
use crate::time::Time;
use crate::wire::Packet;

/// How the SCTP packets of one path travel. This value alone decides which link carries them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encap {
    /// Directly in IP, protocol 132.
    Native,
    /// In UDP (RFC 6951), to this UDP port of the peer. Our own UDP port is the link's business.
    Udp {
        /// UDP port of the peer. Never 0 for a path that packets are sent on.
        remote_port: u16,
    },
}

/// Where a packet comes from or goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PathAddr {
    /// Our address: the destination of a received packet, the wanted source of a packet to send.
    /// With `None` the operating system's routes choose the source.
    pub local: Option<IpAddr>,
    /// The address of the peer.
    pub remote: IpAddr,
    /// Native or UDP with the port of the peer.
    pub encap: Encap,
}

/// `native` or `udp:9899`, as texts that name a peer end.
impl fmt::Display for Encap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Encap::Native => f.write_str("native"),
            Encap::Udp { remote_port } => write!(f, "udp:{remote_port}"),
        }
    }
}

/// `192.0.2.1/udp:9899 from 192.0.2.7`, without the last part when the routes choose the source.
impl fmt::Display for PathAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", Shown(self.remote), self.encap)?;
        match self.local {
            Some(local) => write!(f, " from {}", Shown(local)),
            None => Ok(()),
        }
    }
}

/// Explicit Congestion Notification code point of an IP header (two bits; RFC 3168). The stack
/// carries it through but does not react to it yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ecn {
    /// ECT(0), bits `10`.
    Ect0,
    /// ECT(1), bits `01`.
    Ect1,
    /// Congestion experienced, bits `11`.
    Ce,
}

/// One received SCTP packet with valid CRC32c ([`Packet::check`]).
#[derive(Clone, Debug)]
pub struct Datagram {
    /// When it arrived.
    pub at: Time,
    /// The path it came by.
    pub from: PathAddr,
    /// ECN bits of its IP header.
    pub ecn: Option<Ecn>,
    /// The packet itself.
    pub packet: Packet,
}

/// What [`Stack::poll_transmit`](crate::Stack::poll_transmit) appended to the caller's buffer: one
/// packet, or several packets of equal size (the last may be shorter) for one path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// Where it goes.
    pub path: PathAddr,
    /// ECN bits to set.
    pub ecn: Option<Ecn>,
    /// Differentiated Services code point to set, 0 to 63.
    pub dscp: u8,
    /// IPv6 flow label to set, 20 bits; 0 leaves it to the system. Nothing in IPv4.
    pub flow_label: u32,
    /// Bytes appended to the buffer, all packets together.
    pub len: usize,
    /// Size of every packet but the last when there are several; `None` for a single packet.
    pub segment_size: Option<usize>,
    /// True for the rare packets that may exceed the path MTU and therefore go without DF: COOKIE
    /// ECHO, INIT ACK, and DATA chunks built before the path MTU shrank (RFC 9260 sec 8.1).
    pub may_fragment: bool,
}

/// How many packets of one path a single transmit may hold, for each kind of link. 1 where there is
/// no GSO.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentLimits {
    /// For [`Encap::Native`].
    pub native: usize,
    /// For [`Encap::Udp`].
    pub udp: usize,
}

impl SegmentLimits {
    /// One packet per transmit everywhere.
    pub const ONE: SegmentLimits = SegmentLimits { native: 1, udp: 1 };

    /// The limit for `encap`, at least 1.
    pub fn of(self, encap: Encap) -> usize {
        match encap {
            Encap::Native => self.native.max(1),
            Encap::Udp { .. } => self.udp.max(1),
        }
    }
}

/// The far end of an association to set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// One or more addresses. The one wanted as primary comes first.
    pub addrs: Vec<(IpAddr, Encap)>,
    /// SCTP port, not 0.
    pub port: u16,
}

impl Peer {
    /// A peer with one address.
    pub fn new(addr: IpAddr, encap: Encap, port: u16) -> Self {
        Peer { addrs: vec![(addr, encap)], port }
    }

    /// A peer with one address, reached in UDP (RFC 6951): `to` is its address and UDP port, often
    /// 9899, and `port` its SCTP port. A scope id becomes the interface of a link-local address.
    pub fn udp(to: SocketAddr, port: u16) -> Self {
        Peer::new(from_socket_addr(to), Encap::Udp { remote_port: to.port() }, port)
    }
}

/// How far an address reaches, from narrow to wide. This order decides which addresses INIT and
/// INIT ACK may list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// 127.0.0.0/8, ::1.
    Loopback,
    /// 169.254.0.0/16, fe80::/10.
    Link,
    /// 10/8, 172.16/12, 192.168/16, 100.64/10, fc00::/7.
    Private,
    /// Everything else that is unicast.
    Global,
}

/// Which of our addresses `own` to use as source for packets to `remote`. If there is only one,
/// that one. Otherwise the one that shares the most leading bits with `remote`, provided they are
/// enough to suggest the same network. `None` when this does not single one out; then the system's
/// routes decide.
pub(crate) fn source_among(
    own: impl Iterator<Item = IpAddr> + Clone,
    remote: IpAddr,
) -> Option<IpAddr> {
    let mut all = own.clone();
    if let (Some(only), None) = (all.next(), all.next()) {
        return Some(only);
    }
    let best = own.clone().map(|addr| common_bits(addr, remote)).max()?;
    let least = if remote.is_ipv4() { 16 } else { 48 };
    let mut nearest = own.filter(|addr| common_bits(*addr, remote) == best);
    match (nearest.next(), nearest.next()) {
        (Some(only), None) if best >= least => Some(only),
        _ => None,
    }
}

/// How many leading bits two addresses of one family have in common; 0 for different families. The
/// source that shares the most bits with a destination is likeliest to be in its network.
pub fn common_bits(a: IpAddr, b: IpAddr) -> u32 {
    match (a, b) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
        (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
        _ => 0,
    }
}

/// The scope of a unicast address, or `None` for addresses that can never be a peer: unspecified,
/// 0.0.0.0/8, multicast, broadcast, IPv4-mapped IPv6.
pub fn scope(addr: IpAddr) -> Option<Scope> {
    match addr {
        IpAddr::V4(a) => {
            let o = a.octets();
            if o[0] == 0 || o[0] >= 224 {
                None
            } else if a.is_loopback() {
                Some(Scope::Loopback)
            } else if a.is_link_local() {
                Some(Scope::Link)
            } else if a.is_private() || (o[0] == 100 && o[1] & 0xc0 == 64) {
                Some(Scope::Private)
            } else {
                Some(Scope::Global)
            }
        }
        IpAddr::V6(a) => {
            if a.is_unspecified() || a.is_multicast() || a.to_ipv4_mapped().is_some() {
                None
            } else if a.is_loopback() {
                Some(Scope::Loopback)
            } else if a.is_unicast_link_local() {
                Some(Scope::Link)
            } else if a.is_unique_local() {
                Some(Scope::Private)
            } else {
                Some(Scope::Global)
            }
        }
    }
}

/// A user message to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Outgoing stream: a number below the negotiated number of outbound streams.
    pub stream: u16,
    /// Payload protocol identifier (RFC 9260 sec 3.3.1): the number on the wire, as a host-order
    /// integer.
    pub ppid: u32,
    /// The user data, at least 1 byte.
    pub data: Bytes,
    /// How to send it.
    pub options: SendOptions,
}

impl Message {
    /// An ordered message without special options.
    pub fn new(stream: u16, ppid: u32, data: impl Into<Bytes>) -> Self {
        Message { stream, ppid, data: data.into(), options: SendOptions::default() }
    }
}

/// Options of one message (RFC 6458 sec 5.3.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SendOptions {
    /// Deliver the message as soon as it is complete, whatever its order within the stream
    /// (SCTP_UNORDERED).
    pub unordered: bool,
    /// Ask the peer for an immediate SACK of the last chunk (SCTP_SACK_IMMEDIATELY, I bit).
    pub sack_immediately: bool,
    /// Drop the message if it has not been assigned a TSN within this time (the "lifetime" of RFC
    /// 9260 sec 11.1.5). `None` keeps it.
    pub lifetime: Option<core::time::Duration>,
    /// This is only a part of a message (explicit EOR, RFC 6458 sec 8.1.26). Whatever is sent next
    /// on the stream belongs to the same message, up to and including the first part without this
    /// mark.
    ///
    /// The parts of a message agree in PPID and `unordered`, and each has at least 1 byte. Parts
    /// are sent as they come. Once the first one has left, no other message can leave until the
    /// last part has been given. Parts have no `lifetime`.
    ///
    /// If the user ends the association gracefully in the middle of a message, the association is
    /// aborted. If the peer ends it, messages that have been begun can still be finished. After a
    /// restart of the peer, the next message or part on the stream is refused once with
    /// [`SendError::CutOff`](crate::SendError::CutOff).
    pub more_follows: bool,
    /// Returned in [`Event::SendFailed`](crate::Event::SendFailed) (sinfo_context).
    pub context: u32,
}

/// A received user message or, with `end_of_record` false, a part of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Stream it came on.
    pub stream: u16,
    /// Stream sequence number; meaningless when `unordered`.
    pub ssn: u16,
    /// Payload protocol identifier, as a host-order integer.
    pub ppid: u32,
    /// TSN of its first chunk.
    pub tsn: u32,
    /// Cumulative TSN when the message was delivered.
    pub cumtsn: u32,
    /// The [`context`](crate::AssocConfig::context) of the association.
    pub context: u32,
    /// Sent without order.
    pub unordered: bool,
    /// False when more of this message follows in the next `recv` (partial delivery, RFC 6458 sec
    /// 4.3).
    pub end_of_record: bool,
    /// The path that the data came by; for several chunks, the path of the last one.
    pub from: PathAddr,
    /// The user data.
    pub data: Bytes,
}

/// What the next `recv` will give (SCTP_NXTINFO, RFC 6458 sec 5.3.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextInfo {
    /// Stream it came on.
    pub stream: u16,
    /// Sent without order.
    pub unordered: bool,
    /// Payload protocol identifier, as a host-order integer.
    pub ppid: u32,
    /// Bytes that `recv` will give.
    pub len: usize,
    /// True when these bytes reach the end of the message.
    pub end_of_record: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_source_is_the_address_in_the_network_of_the_peer() {
        let from = |own: &[&str], remote: &str| {
            let own: Vec<IpAddr> = own.iter().map(|a| a.parse().unwrap()).collect();
            source_among(own.iter().copied(), remote.parse().unwrap()).map(|a| a.to_string())
        };
        assert_eq!(from(&[], "10.1.0.9"), None);
        assert_eq!(
            from(&["192.0.2.1"], "10.1.0.9").as_deref(),
            Some("192.0.2.1"),
            "the only address there is"
        );
        let own = ["10.1.0.1", "10.2.0.1", "fd00:1::1", "fd00:1:0:2::1"];
        assert_eq!(from(&own, "10.2.0.9").as_deref(), Some("10.2.0.1"));
        assert_eq!(from(&own, "10.1.255.9").as_deref(), Some("10.1.0.1"));
        assert_eq!(from(&own, "10.9.0.9"), None, "behind a router: its routes decide");
        assert_eq!(from(&own, "8.8.8.8"), None);
        assert_eq!(from(&own, "fd00:1:0:2::9").as_deref(), Some("fd00:1:0:2::1"));
        assert_eq!(
            from(&["10.1.0.1", "10.1.0.2"], "10.1.0.9"),
            None,
            "two addresses in the same network"
        );
    }

    #[test]
    fn paths_are_shown_as_texts_name_them() {
        let path = |local: Option<&str>, remote: &str, encap| PathAddr {
            local: local.map(|addr| addr.parse().unwrap()),
            remote: remote.parse().unwrap(),
            encap,
        };
        let udp = Encap::Udp { remote_port: 9899 };
        for (path, shown) in [
            (path(Some("192.0.2.7"), "192.0.2.1", udp), "192.0.2.1/udp:9899 from 192.0.2.7"),
            (path(None, "2001:db8::1", Encap::Native), "2001:db8::1/native"),
        ] {
            assert_eq!(path.to_string(), shown);
        }
    }

    #[test]
    fn scopes() {
        let s = |a: &str| scope(a.parse().unwrap());
        assert_eq!(s("127.0.0.1"), Some(Scope::Loopback));
        assert_eq!(s("10.1.2.3"), Some(Scope::Private));
        assert_eq!(s("169.254.0.1"), Some(Scope::Link));
        assert_eq!(s("8.8.8.8"), Some(Scope::Global));
        assert_eq!(s("0.1.2.3"), None);
        assert_eq!(s("255.255.255.255"), None);
        assert_eq!(s("224.0.0.1"), None);
        assert_eq!(s("::1"), Some(Scope::Loopback));
        assert_eq!(s("fe80::1"), Some(Scope::Link));
        assert_eq!(s("fd00::1"), Some(Scope::Private));
        assert_eq!(s("2001:db8::1"), Some(Scope::Global));
        assert_eq!(s("::ffff:1.2.3.4"), None);
        assert!(Scope::Loopback < Scope::Global);
    }
}
