//! Reading ICMP messages from a raw socket, on systems without error queues.

use std::io;
use std::net::IpAddr;
use std::task::{Context, Poll};

use bytes::Bytes;
use pnet::packet::ip::IpNextHeaderProtocols;
use pnet::packet::ipv4::Ipv4Packet;
use pnet::packet::ipv6::Ipv6Packet;
use sctp_user_core::{Encap, PathAddr};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::ReadBuf;
use tokio::net::UdpSocket;

use super::Carrier;
use super::errors::meaning;
use crate::IcmpError;

/// A raw socket that receives the ICMP messages of one IP version.
pub(super) struct IcmpSocket {
    io: UdpSocket,
    v6: bool,
}

impl IcmpSocket {
    /// Opens the socket. This needs the same privileges as a raw socket for SCTP.
    pub(super) fn open(v6: bool) -> io::Result<Self> {
        let (domain, protocol) =
            if v6 { (Domain::IPV6, Protocol::ICMPV6) } else { (Domain::IPV4, Protocol::ICMPV4) };
        let socket = Socket::new(domain, Type::RAW, Some(protocol))?;
        socket.set_nonblocking(true)?;
        // Tokio's UDP socket can read from and write to any kind of datagram socket.
        Ok(IcmpSocket { io: UdpSocket::from_std(socket.into())?, v6 })
    }

    /// Reads the messages that have arrived, and appends what they say about SCTP packets.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, errors: &mut Vec<IcmpError>) {
        let mut message = [0; MAX_MESSAGE];
        for _ in 0..MAX_MESSAGES_PER_POLL {
            let mut buffer = ReadBuf::new(&mut message);
            match self.io.poll_recv_from(cx, &mut buffer) {
                Poll::Pending => return,
                Poll::Ready(Err(error)) => tracing::trace!(%error, "icmp receive call failed"),
                Poll::Ready(Ok(_)) => {
                    let error = if self.v6 { v6(buffer.filled()) } else { v4(buffer.filled()) };
                    if let Some(error) = error {
                        tracing::debug!(to = ?error.to, kind = ?error.kind, "icmp error");
                        errors.push(error);
                    }
                }
            }
        }
        cx.waker().wake_by_ref();
    }
}

/// Interprets an ICMP message as a raw IPv4 socket delivers it, with its IP header in front.
fn v4(packet: &[u8]) -> Option<IcmpError> {
    let (_, message) = ipv4(packet)?;
    let (icmp, quoted) = message.split_first_chunk::<8>()?;
    let [icmp_type, code, .., mtu_high, mtu_low] = *icmp;
    let mtu = u16::from_be_bytes([mtu_high, mtu_low]);
    let (header, sctp) = ipv4(quoted)?;
    // Only the first fragment of a packet holds an SCTP header. The system may give the offset in
    // host byte order, but zero is zero in either.
    if header.get_next_level_protocol() != IpNextHeaderProtocols::Sctp
        || header.get_fragment_offset() != 0
    {
        return None;
    }
    let addrs = (header.get_source().into(), header.get_destination().into());
    error(false, (icmp_type, code, mtu.into()), addrs, sctp)
}

/// Interprets an ICMPv6 message. Raw IPv6 sockets deliver it without its IP header.
fn v6(message: &[u8]) -> Option<IcmpError> {
    let (icmp, quoted) = message.split_first_chunk::<8>()?;
    let [icmp_type, code, _, _, mtu @ ..] = *icmp;
    let header = Ipv6Packet::new(quoted)?;
    // This stack sends extension headers only in fragments, so the SCTP header comes next.
    if header.get_version() != 6 || header.get_next_header() != IpNextHeaderProtocols::Sctp {
        return None;
    }
    let sctp = quoted.get(Ipv6Packet::minimum_packet_size()..)?;
    let addrs = (header.get_source().into(), header.get_destination().into());
    error(true, (icmp_type, code, u32::from_be_bytes(mtu)), addrs, sctp)
}

/// The header of an IPv4 packet, and the bytes after the header and its options.
fn ipv4(packet: &[u8]) -> Option<(Ipv4Packet<'_>, &[u8])> {
    let header = Ipv4Packet::new(packet)?;
    let len = usize::from(header.get_header_length()) * 4;
    if header.get_version() != 4 || len < Ipv4Packet::minimum_packet_size() {
        return None;
    }
    Some((header, packet.get(len..)?))
}

fn error(
    v6: bool,
    (icmp_type, code, info): (u8, u8, u32),
    (source, destination): (IpAddr, IpAddr),
    sctp: &[u8],
) -> Option<IcmpError> {
    let kind = meaning(Carrier::Ip, v6, icmp_type, code, info)?;
    let to = PathAddr { local: Some(source), remote: destination, encap: Encap::Native };
    let quoted = sctp.get(..MAX_QUOTE).unwrap_or(sctp);
    Some(IcmpError { to, kind, quoted: Bytes::copy_from_slice(quoted) })
}

/// The IPv6 minimum MTU: ICMP messages quote no more than fits into it.
const MAX_MESSAGE: usize = 1280;
/// Enough for the SCTP common header and the INIT chunk that the core wants to see before it
/// believes an error.
const MAX_QUOTE: usize = 128;
const MAX_MESSAGES_PER_POLL: usize = 64;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sctp_user_core::Unreachable;

    use super::*;

    fn v4_message(icmp: [u8; 8], protocol: u8, flags: [u8; 2], sctp: &[u8]) -> Vec<u8> {
        let mut outer = vec![0x45; 20];
        outer.extend(icmp);
        let mut quoted = vec![0x46];
        quoted.extend([0; 23]);
        quoted[6..8].copy_from_slice(&flags);
        quoted[9] = protocol;
        quoted[12..20].copy_from_slice(&[192, 0, 2, 1, 192, 0, 2, 2]);
        [outer, quoted, sctp.to_vec()].concat()
    }

    #[test]
    fn v4_messages() {
        let message = v4_message([3, 2, 0, 0, 0, 0, 0, 0], 132, [0x40, 0], b"12345678");
        let error = v4(&message).unwrap();
        assert_eq!(error.kind, Unreachable::Protocol);
        assert_eq!(error.to.remote, "192.0.2.2".parse::<IpAddr>().unwrap());
        assert_eq!(error.to.local, Some("192.0.2.1".parse().unwrap()));
        assert_eq!(error.to.encap, Encap::Native);
        assert_eq!(error.quoted, b"12345678"[..]);

        let too_big = v4_message([3, 4, 0, 0, 0, 0, 5, 0], 132, [0x40, 0], b"12345678");
        assert_eq!(v4(&too_big).unwrap().kind, Unreachable::PacketTooBig { ip_mtu: 1280 });
    }

    #[test]
    fn v4_messages_about_something_else() {
        let icmp = [3, 2, 0, 0, 0, 0, 0, 0];
        assert_eq!(v4(&v4_message(icmp, 17, [0x40, 0], b"12345678")), None, "udp");
        assert_eq!(v4(&v4_message(icmp, 132, [0x20, 1], b"12345678")), None, "a later fragment");
        assert_eq!(
            v4(&v4_message([8, 0, 0, 0, 0, 0, 0, 0], 132, [0, 0], b"12345678")),
            None,
            "a ping"
        );
        assert_eq!(
            v4(&v4_message([3, 3, 0, 0, 0, 0, 0, 0], 132, [0, 0], b"12345678")),
            None,
            "a port"
        );
    }

    #[test]
    fn v6_messages() {
        let mut quoted = vec![0; 40];
        quoted[0] = 0x60;
        quoted[6] = 132;
        quoted[23] = 1;
        quoted[39] = 2;
        let message = |icmp: [u8; 8], quoted: &[u8]| [&icmp[..], quoted, b"12345678"].concat();
        let error = v6(&message([4, 1, 0, 0, 0, 0, 0, 6], &quoted)).unwrap();
        assert_eq!(error.kind, Unreachable::Protocol);
        assert_eq!(
            (error.to.local, error.to.remote),
            (Some("::1".parse().unwrap()), "::2".parse().unwrap())
        );
        assert_eq!(error.quoted, b"12345678"[..]);
        let too_big = v6(&message([2, 0, 0, 0, 0, 0, 5, 20], &quoted)).unwrap();
        assert_eq!(too_big.kind, Unreachable::PacketTooBig { ip_mtu: 1300 });
        quoted[6] = 44;
        assert_eq!(v6(&message([4, 1, 0, 0, 0, 0, 0, 6], &quoted)), None, "a fragment");
    }

    proptest! {
        #[test]
        fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            for error in [v4(&bytes), v6(&bytes)].into_iter().flatten() {
                prop_assert!(error.quoted.len() <= bytes.len());
            }
        }

        #[test]
        fn any_cut(len in 0usize..60) {
            let message = v4_message([3, 1, 0, 0, 0, 0, 0, 0], 132, [0, 0], b"12345678");
            let error = v4(message.get(..len).unwrap_or(&message));
            prop_assert!(error.is_none_or(|e| e.quoted.len() <= 8));
        }
    }
}
