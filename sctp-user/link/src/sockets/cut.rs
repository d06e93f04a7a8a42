//! IPv4 packets that this host cuts itself.
//!
//! A chunk that was built before its path became narrow keeps its size, and alone in a packet it
//! may be fragmented (RFC 9260 sec 6.9). Routers fragment IPv4 packets, but some drop in silence
//! what is too large. For IPv6 a socket option names the size of fragments (see
//! [`fragment`](super::fragment)). IPv4 has none, and Linux cuts only what its own interface does
//! not take. So the fragments are made here, and a raw socket sends them.
//!
//! Not every process may open raw sockets. Without one, UDP packets leave whole and without DF.

use std::io;
use std::net::{SocketAddr, SocketAddrV4};

use smoltcp::wire::{IpProtocol, Ipv4Address, Ipv4Packet, UdpPacket};
use socket2::Socket;

use super::Carrier;

/// What every host takes, and practically every link (RFC 791 sec 3.2).
const FRAGMENT: usize = 576;
/// An IPv4 header without options.
const HEADER: usize = 20;
/// Bytes of a packet in one fragment: a multiple of 8, in which offsets count.
const PIECE: usize = (FRAGMENT - HEADER) & !7;
const UDP_HEADER: usize = 8;
/// The largest SCTP packet that is never cut.
pub(super) const WHOLE: usize = PIECE - UDP_HEADER;
/// The length fields count no more.
const MOST: usize = u16::MAX as usize - HEADER - UDP_HEADER;
const HOP_LIMIT: u8 = 64;

/// Sends IPv4 packets in fragments.
#[derive(Debug, Default)]
pub(super) struct Cutter {
    /// Opened when it is first needed; `Some(None)` when the system refused.
    socket: Option<Option<Socket>>,
    /// Tells packets apart whose fragments are under way at the same time.
    ident: u16,
}

/// Where a packet goes, and what its headers say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    pub(super) carrier: Carrier,
    /// With the UDP ports; directly in IP they mean nothing.
    pub(super) from: SocketAddrV4,
    pub(super) to: SocketAddrV4,
    pub(super) dscp: u8,
    pub(super) ecn: u8,
}

impl Cutter {
    /// Sends an SCTP packet; `None` when it is not cut here: because every link takes it as it is,
    /// or because the process has no raw sockets.
    pub(super) fn send(&mut self, way: Way, packet: &[u8]) -> Option<io::Result<()>> {
        if packet.len() <= WHOLE || packet.len() > MOST {
            return None;
        }
        let socket = self.socket.get_or_insert_with(|| match open() {
            Ok(socket) => Some(socket),
            Err(error) => {
                tracing::debug!(%error, "no raw socket: routers have to cut large packets");
                None
            }
        });
        let socket = socket.as_ref()?;
        self.ident = self.ident.wrapping_add(1).max(1);
        let to = SocketAddr::from((*way.to.ip(), 0)).into();
        let mut fragments = fragments(way, self.ident, packet).into_iter();
        Some(fragments.try_for_each(|fragment| socket.send_to(&fragment, &to).map(drop)))
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn open() -> io::Result<Socket> {
    use socket2::{Domain, Protocol, Type};

    // A raw socket for this protocol takes packets with their IP headers and receives nothing.
    const IPPROTO_RAW: i32 = 255;
    let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(IPPROTO_RAW)))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Elsewhere the fields of such headers have an order that differs between systems and versions.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn open() -> io::Result<Socket> {
    Err(io::ErrorKind::Unsupported.into())
}

/// The IP packets that carry an SCTP packet.
fn fragments(way: Way, ident: u16, packet: &[u8]) -> Vec<Vec<u8>> {
    let (protocol, payload) = match way.carrier {
        Carrier::Ip => (IpProtocol::Unknown(132), packet.to_vec()),
        Carrier::Udp => (IpProtocol::Udp, datagram(way, packet)),
    };
    let last = payload.len().div_ceil(PIECE) - 1;
    let fragment = |(n, piece): (usize, &[u8])| {
        let mut bytes = vec![0; HEADER + piece.len()];
        bytes[HEADER..].copy_from_slice(piece);
        let mut ip = Ipv4Packet::new_unchecked(&mut bytes);
        ip.set_version(4);
        ip.set_header_len(HEADER as u8);
        ip.set_dscp(way.dscp);
        ip.set_ecn(way.ecn);
        ip.set_total_len((HEADER + piece.len()) as u16);
        ip.set_ident(ident);
        ip.clear_flags();
        ip.set_more_frags(n < last);
        ip.set_frag_offset((n * PIECE) as u16);
        ip.set_hop_limit(HOP_LIMIT);
        ip.set_next_header(protocol);
        ip.set_src_addr(*way.from.ip());
        ip.set_dst_addr(*way.to.ip());
        ip.fill_checksum();
        bytes
    };
    payload.chunks(PIECE).enumerate().map(fragment).collect()
}

/// An SCTP packet in UDP.
fn datagram(way: Way, packet: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; UDP_HEADER + packet.len()];
    bytes[UDP_HEADER..].copy_from_slice(packet);
    let mut udp = UdpPacket::new_unchecked(&mut bytes);
    udp.set_src_port(way.from.port());
    udp.set_dst_port(way.to.port());
    udp.set_len((UDP_HEADER + packet.len()) as u16);
    let (from, to): (Ipv4Address, Ipv4Address) = (*way.from.ip(), *way.to.ip());
    udp.fill_checksum(&from.into(), &to.into());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way(carrier: Carrier) -> Way {
        let from = "10.0.0.1:9899".parse().unwrap();
        let to = "10.0.0.2:5000".parse().unwrap();
        Way { carrier, from, to, dscp: 10, ecn: 2 }
    }

    /// What the receiver's system makes of fragments.
    fn joined(fragments: &[Vec<u8>], protocol: IpProtocol) -> Vec<u8> {
        let mut payload = Vec::new();
        for (n, bytes) in fragments.iter().enumerate() {
            assert!(bytes.len() <= FRAGMENT);
            let ip = Ipv4Packet::new_checked(&bytes[..]).unwrap();
            assert!(ip.verify_checksum());
            assert_eq!((ip.dscp(), ip.ecn(), ip.ident(), ip.dont_frag()), (10, 2, 7, false));
            assert_eq!((ip.next_header(), ip.hop_limit()), (protocol, HOP_LIMIT));
            assert_eq!(ip.src_addr().octets(), [10, 0, 0, 1]);
            assert_eq!(ip.dst_addr().octets(), [10, 0, 0, 2]);
            assert_eq!(ip.more_frags(), n + 1 < fragments.len());
            assert_eq!(usize::from(ip.frag_offset()), payload.len());
            payload.extend_from_slice(ip.payload());
        }
        payload
    }

    #[test]
    fn fragments_join_to_the_packet_again() {
        for len in [553, 1480, 9000, MOST] {
            let packet: Vec<u8> = (0..len).map(|n| n as u8).collect();
            let native = fragments(way(Carrier::Ip), 7, &packet);
            assert_eq!(joined(&native, IpProtocol::Unknown(132)), packet);
            let encapsulated = fragments(way(Carrier::Udp), 7, &packet);
            let datagram = joined(&encapsulated, IpProtocol::Udp);
            let udp = UdpPacket::new_checked(&datagram[..]).unwrap();
            let (from, to) = (Ipv4Address::new(10, 0, 0, 1), Ipv4Address::new(10, 0, 0, 2));
            assert!(udp.verify_checksum(&from.into(), &to.into()));
            assert_eq!((udp.src_port(), udp.dst_port(), udp.payload()), (9899, 5000, &packet[..]));
        }
    }

    #[test]
    fn what_every_link_takes_is_not_cut() {
        let mut cutter = Cutter { socket: Some(None), ident: 0 };
        for len in [100, PIECE - UDP_HEADER, PIECE, MOST + 1] {
            assert!(cutter.send(way(Carrier::Udp), &vec![0; len]).is_none(), "{len}");
        }
    }
}
