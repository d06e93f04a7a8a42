//! Cutting IPv4 packets into fragments on this host.
//!
//! A chunk that was built before the MTU of its path shrank keeps its size. It is sent alone in a
//! packet, and IP may fragment that packet (RFC 9260 sec 6.9). Routers can fragment IPv4 packets,
//! but some silently drop those that are too large. For IPv6 a socket option sets the size of
//! fragments (see [`fragment`](super::fragment)). IPv4 has no such option, and Linux cuts a packet
//! only when its own interface does not take it. So this module makes the fragments and sends them
//! through a raw socket.
//!
//! Not every process may open raw sockets. Without one, UDP packets are sent whole and without DF.

use std::io;
use std::net::{SocketAddr, SocketAddrV4};

use smoltcp::wire::{IpProtocol, Ipv4Address, Ipv4Packet, UdpPacket};
use socket2::Socket;

use super::Carrier;

/// Bytes that every host, and practically every link, can take (RFC 791 sec 3.2).
const FRAGMENT: usize = 576;
/// An IPv4 header without options.
const HEADER: usize = 20;
/// Bytes of payload in one fragment. A multiple of 8, because fragment offsets count units of 8.
const PIECE: usize = (FRAGMENT - HEADER) & !7;
const UDP_HEADER: usize = 8;
/// The largest SCTP packet that is never cut.
pub(super) const WHOLE: usize = PIECE - UDP_HEADER;
/// The largest SCTP packet that the 16-bit length fields allow.
const MAX_PACKET: usize = u16::MAX as usize - HEADER - UDP_HEADER;
const HOP_LIMIT: u8 = 64;

/// Sends IPv4 packets in fragments.
#[derive(Debug, Default)]
pub(super) struct Cutter {
    /// Opened when it is first needed. `Some(None)` when the system refused.
    socket: Option<Option<Socket>>,
    /// The identification of the last packet, which tells the receiver which fragments belong
    /// together.
    ident: u16,
}

/// The addresses of a packet, and what else its headers say.
#[derive(Clone, Copy, Debug)]
pub(super) struct PacketHeaders {
    pub(super) carrier: Carrier,
    /// With the UDP port, here and in `to`. The ports mean nothing when SCTP is directly in IP.
    pub(super) from: SocketAddrV4,
    pub(super) to: SocketAddrV4,
    pub(super) dscp: u8,
    pub(super) ecn: u8,
}

impl Cutter {
    /// Sends an SCTP packet in fragments. `None` when it does not cut the packet, either because
    /// every link takes it whole or because the process has no raw socket.
    pub(super) fn send(&mut self, headers: PacketHeaders, packet: &[u8]) -> Option<io::Result<()>> {
        if packet.len() <= WHOLE || packet.len() > MAX_PACKET {
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
        let to = SocketAddr::from((*headers.to.ip(), 0)).into();
        let mut fragments = fragments(headers, self.ident, packet).into_iter();
        Some(fragments.try_for_each(|fragment| socket.send_to(&fragment, &to).map(drop)))
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn open() -> io::Result<Socket> {
    use socket2::{Domain, Protocol, Type};

    // A raw socket of this protocol expects an IP header in what it sends, and receives nothing.
    const IPPROTO_RAW: i32 = 255;
    let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(IPPROTO_RAW)))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Not on other systems: in what byte order they expect the fields of such headers depends on the
/// system and its version.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn open() -> io::Result<Socket> {
    Err(io::ErrorKind::Unsupported.into())
}

/// The IP fragments that carry an SCTP packet.
fn fragments(headers: PacketHeaders, ident: u16, packet: &[u8]) -> Vec<Vec<u8>> {
    let (protocol, payload) = match headers.carrier {
        Carrier::Ip => (IpProtocol::Unknown(132), packet.to_vec()),
        Carrier::Udp => (IpProtocol::Udp, datagram(headers, packet)),
    };
    let last = payload.len().div_ceil(PIECE) - 1;
    let fragment = |(n, piece): (usize, &[u8])| {
        let mut bytes = vec![0; HEADER + piece.len()];
        bytes[HEADER..].copy_from_slice(piece);
        let mut ip = Ipv4Packet::new_unchecked(&mut bytes);
        ip.set_version(4);
        ip.set_header_len(HEADER as u8);
        ip.set_dscp(headers.dscp);
        ip.set_ecn(headers.ecn);
        ip.set_total_len((HEADER + piece.len()) as u16);
        ip.set_ident(ident);
        ip.clear_flags();
        ip.set_more_frags(n < last);
        ip.set_frag_offset((n * PIECE) as u16);
        ip.set_hop_limit(HOP_LIMIT);
        ip.set_next_header(protocol);
        ip.set_src_addr(*headers.from.ip());
        ip.set_dst_addr(*headers.to.ip());
        ip.fill_checksum();
        bytes
    };
    payload.chunks(PIECE).enumerate().map(fragment).collect()
}

/// The UDP datagram that carries an SCTP packet.
fn datagram(headers: PacketHeaders, packet: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; UDP_HEADER + packet.len()];
    bytes[UDP_HEADER..].copy_from_slice(packet);
    let mut udp = UdpPacket::new_unchecked(&mut bytes);
    udp.set_src_port(headers.from.port());
    udp.set_dst_port(headers.to.port());
    udp.set_len((UDP_HEADER + packet.len()) as u16);
    let (from, to): (Ipv4Address, Ipv4Address) = (*headers.from.ip(), *headers.to.ip());
    udp.fill_checksum(&from.into(), &to.into());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(carrier: Carrier) -> PacketHeaders {
        let from = "10.0.0.1:9899".parse().unwrap();
        let to = "10.0.0.2:5000".parse().unwrap();
        PacketHeaders { carrier, from, to, dscp: 10, ecn: 2 }
    }

    /// Reassembles fragments, as the receiver's system does.
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
        for len in [553, 1480, 9000, MAX_PACKET] {
            let packet: Vec<u8> = (0..len).map(|n| n as u8).collect();
            let native = fragments(headers(Carrier::Ip), 7, &packet);
            assert_eq!(joined(&native, IpProtocol::Unknown(132)), packet);
            let encapsulated = fragments(headers(Carrier::Udp), 7, &packet);
            let datagram = joined(&encapsulated, IpProtocol::Udp);
            let udp = UdpPacket::new_checked(&datagram[..]).unwrap();
            let (from, to) = (Ipv4Address::new(10, 0, 0, 1), Ipv4Address::new(10, 0, 0, 2));
            assert!(udp.verify_checksum(&from.into(), &to.into()));
            assert_eq!((udp.src_port(), udp.dst_port(), udp.payload()), (9899, 5000, &packet[..]));
        }
    }

    #[test]
    fn packets_that_every_link_takes_are_not_cut() {
        let mut cutter = Cutter { socket: Some(None), ident: 0 };
        for len in [100, PIECE - UDP_HEADER, PIECE, MAX_PACKET + 1] {
            assert!(cutter.send(headers(Carrier::Udp), &vec![0; len]).is_none(), "{len}");
        }
    }
}
