//! ICMP errors on the virtual wire.

use bytes::Bytes;
use sctp_user_core::{Encap, PathAddr, Unreachable};
use smoltcp::wire::{IpProtocol, Ipv4Packet, Ipv6Packet};

use super::ip::{Arrival, Payload};

const UDP_HEADER: usize = 8;

/// Reads an ICMP message about a packet of ours; `None` if it is something else. The stack decides
/// whether to believe it.
pub(super) fn parse(payload: &Payload<'_>, udp_port: Option<u16>) -> Option<Arrival> {
    let (header, quoted) = payload.bytes.split_first_chunk::<8>()?;
    let [kind, code, _, _, mtu @ ..] = *header;
    let mtu = u16::try_from(u32::from_be_bytes(mtu)).unwrap_or(u16::MAX);
    let kind = match (payload.protocol, kind, code) {
        (IpProtocol::Icmp, 3, 4) => Unreachable::PacketTooBig { ip_mtu: mtu },
        (IpProtocol::Icmpv6, 2, _) => Unreachable::PacketTooBig { ip_mtu: mtu },
        (IpProtocol::Icmp, 3, 2) | (IpProtocol::Icmpv6, 4, 1) => Unreachable::Protocol,
        (IpProtocol::Icmp, 3, 3) | (IpProtocol::Icmpv6, 1, 4) if udp_port.is_some() => {
            Unreachable::Protocol
        }
        (IpProtocol::Icmp, 3, _) | (IpProtocol::Icmpv6, 1, _) => Unreachable::Destination,
        _ => return None,
    };
    // The quoted packet is cut off, so ignore the lengths in its headers.
    let (source, remote, rest) = match payload.protocol {
        IpProtocol::Icmp => {
            let header = quoted.first_chunk::<20>()?;
            let ip = Ipv4Packet::new_unchecked(header);
            let rest = quoted.get(usize::from(ip.header_len())..)?;
            (ip.src_addr().into(), ip.dst_addr().into(), rest)
        }
        _ => {
            let (header, rest) = quoted.split_first_chunk::<40>()?;
            let ip = Ipv6Packet::new_unchecked(header);
            (ip.src_addr().into(), ip.dst_addr().into(), rest)
        }
    };
    let (encap, rest) = match udp_port {
        None => (Encap::Native, rest),
        Some(_) => {
            let remote_port = u16::from_be_bytes([*rest.get(2)?, *rest.get(3)?]);
            (Encap::Udp { remote_port }, rest.get(UDP_HEADER..)?)
        }
    };
    let to = PathAddr { local: Some(source), remote, encap };
    Some(Arrival::Icmp { to, kind, quoted: Bytes::copy_from_slice(rest) })
}

#[cfg(test)]
mod tests {
    use super::super::ip;
    use super::*;

    #[test]
    fn fragmentation_needed() {
        // The quotation: an IPv4 packet of ours with the first 8 bytes of SCTP.
        let mut quoted =
            vec![0x45, 0, 5, 220, 0, 0, 0x40, 0, 64, 132, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
        quoted.extend_from_slice(&[1, 2, 3, 4, 5, 6, 7, 8]);
        let mut packet = vec![0x45, 0, 0, 56, 0, 0, 0, 0, 64, 1, 0, 0, 10, 0, 0, 9, 10, 0, 0, 1];
        packet.extend_from_slice(&[3, 4, 0, 0, 0, 0, 0x04, 0xb0]);
        packet.extend_from_slice(&quoted);
        let to = PathAddr {
            local: Some("10.0.0.1".parse().unwrap()),
            remote: "10.0.0.2".parse().unwrap(),
            encap: Encap::Native,
        };
        let kind = Unreachable::PacketTooBig { ip_mtu: 1200 };
        let quoted = Bytes::from_static(&[1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(ip::parse(&packet, None), Some(Arrival::Icmp { to, kind, quoted }));
        for len in 0..packet.len() {
            ip::parse(&packet[..len], None);
        }
    }
}
