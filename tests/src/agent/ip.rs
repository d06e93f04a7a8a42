//! The packets on the virtual wire: IPv4 or IPv6 with SCTP inside, directly or in UDP.

use std::net::IpAddr;

use bytes::Bytes;
use sctp_user_core::{Ecn, Encap, PathAddr, Transmit, Unreachable};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    IpProtocol, Ipv4Packet, Ipv4Repr, Ipv6Packet, Ipv6Repr, UDP_HEADER_LEN, UdpPacket, UdpRepr,
};

use super::icmp;

const SCTP: IpProtocol = IpProtocol::Unknown(132);
const HOP_LIMIT: u8 = 64;
const IPV4_HEADER: usize = 20;
const IPV6_HEADER: usize = 40;

/// An arriving packet, in the form that the stack takes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// An SCTP packet, from its common header on.
    Sctp { from: PathAddr, ecn: Option<Ecn>, bytes: Bytes },
    /// An ICMP error about a packet of ours.
    Icmp { to: PathAddr, kind: Unreachable, quoted: Bytes },
}

/// An IP packet without its header.
pub(super) struct Payload<'a> {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    pub(super) protocol: IpProtocol,
    ecn: u8,
    pub(super) bytes: &'a [u8],
}

/// Reads a packet like a host that has every address. Returns `None` for packets that are not for
/// this stack. `udp_port` is the port of RFC 6951, or `None` if SCTP is directly in IP. A zero
/// checksum in an IPv4 or UDP header counts as not computed.
pub(super) fn parse(packet: &[u8], udp_port: Option<u16>) -> Option<Arrival> {
    let payload = ip_payload(packet)?;
    let ecn = match payload.ecn {
        1 => Some(Ecn::Ect1),
        2 => Some(Ecn::Ect0),
        3 => Some(Ecn::Ce),
        _ => None,
    };
    let from = |encap| PathAddr { local: Some(payload.destination), remote: payload.source, encap };
    match (payload.protocol, udp_port) {
        (SCTP, None) => Some(Arrival::Sctp {
            from: from(Encap::Native),
            ecn,
            bytes: Bytes::copy_from_slice(payload.bytes),
        }),
        (IpProtocol::Udp, Some(port)) => {
            let udp = UdpPacket::new_checked(payload.bytes).ok()?;
            let (source, destination) = (payload.source.into(), payload.destination.into());
            if udp.dst_port() != port
                || udp.src_port() == 0
                || !udp.verify_checksum(&source, &destination)
            {
                return None;
            }
            let encap = Encap::Udp { remote_port: udp.src_port() };
            Some(Arrival::Sctp {
                from: from(encap),
                ecn,
                bytes: Bytes::copy_from_slice(udp.payload()),
            })
        }
        (IpProtocol::Icmp | IpProtocol::Icmpv6, _) => icmp::parse(&payload, udp_port),
        _ => None,
    }
}

/// Removes the IP header. Fragments and packets with extension headers are not supported.
fn ip_payload(packet: &[u8]) -> Option<Payload<'_>> {
    match packet.first()? >> 4 {
        4 => {
            let ip = Ipv4Packet::new_checked(packet).ok()?;
            let whole = !ip.more_frags() && ip.frag_offset() == 0;
            if usize::from(ip.header_len()) < IPV4_HEADER
                || !whole
                || (ip.checksum() != 0 && !ip.verify_checksum())
            {
                return None;
            }
            Some(Payload {
                source: ip.src_addr().into(),
                destination: ip.dst_addr().into(),
                protocol: ip.next_header(),
                ecn: ip.ecn(),
                bytes: ip.payload(),
            })
        }
        6 => {
            let ip = Ipv6Packet::new_checked(packet).ok()?;
            Some(Payload {
                source: ip.src_addr().into(),
                destination: ip.dst_addr().into(),
                protocol: ip.next_header(),
                ecn: ip.traffic_class() & 3,
                bytes: ip.payload(),
            })
        }
        _ => None,
    }
}

/// Builds the IP packet that carries one SCTP packet from `source`. Returns `None` if the addresses
/// are of different families or the packet is too large for IP.
pub(super) fn build(
    transmit: &Transmit,
    source: IpAddr,
    sctp: &[u8],
    udp_port: u16,
) -> Option<Vec<u8>> {
    let udp = match transmit.path.encap {
        Encap::Native => None,
        Encap::Udp { remote_port } => Some(UdpRepr { src_port: udp_port, dst_port: remote_port }),
    };
    let payload_len = sctp.len() + udp.map_or(0, |_| UDP_HEADER_LEN);
    let next_header = if udp.is_some() { IpProtocol::Udp } else { SCTP };
    let ecn = match transmit.ecn {
        None => 0,
        Some(Ecn::Ect1) => 1,
        Some(Ecn::Ect0) => 2,
        Some(Ecn::Ce) => 3,
    };
    let sums = ChecksumCapabilities::default();
    let (mut packet, header) = match (source, transmit.path.remote) {
        (IpAddr::V4(src_addr), IpAddr::V4(dst_addr)) => {
            let mut packet = vec![0; IPV4_HEADER + payload_len];
            u16::try_from(packet.len()).ok()?;
            let mut ip = Ipv4Packet::new_unchecked(&mut packet);
            Ipv4Repr { src_addr, dst_addr, next_header, payload_len, hop_limit: HOP_LIMIT }
                .emit(&mut ip, &sums);
            ip.set_dont_frag(!transmit.may_fragment);
            ip.set_ecn(ecn);
            ip.fill_checksum();
            (packet, IPV4_HEADER)
        }
        (IpAddr::V6(src_addr), IpAddr::V6(dst_addr)) => {
            let mut packet = vec![0; IPV6_HEADER + payload_len];
            u16::try_from(payload_len).ok()?;
            let mut ip = Ipv6Packet::new_unchecked(&mut packet);
            Ipv6Repr { src_addr, dst_addr, next_header, payload_len, hop_limit: HOP_LIMIT }
                .emit(&mut ip);
            ip.set_traffic_class(ecn);
            (packet, IPV6_HEADER)
        }
        _ => return None,
    };
    let payload = packet.get_mut(header..)?;
    match udp {
        None => payload.copy_from_slice(sctp),
        Some(udp) => udp.emit(
            &mut UdpPacket::new_unchecked(payload),
            &source.into(),
            &transmit.path.remote.into(),
            sctp.len(),
            |buffer| buffer.copy_from_slice(sctp),
            &sums,
        ),
    }
    Some(packet)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transmit(remote: &str, encap: Encap, len: usize) -> Transmit {
        let path = PathAddr { local: None, remote: remote.parse().unwrap(), encap };
        Transmit {
            path,
            ecn: None,
            dscp: 0,
            flow_label: 0,
            len,
            segment_size: None,
            may_fragment: false,
        }
    }

    /// The ones' complement sum of `bytes`, which is 0xffff if the checksum in them is right.
    fn sum(bytes: &[u8], seed: u32) -> u32 {
        let mut sum = seed;
        for pair in bytes.chunks(2) {
            sum += u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0));
        }
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        sum
    }

    #[test]
    fn native_ipv4_byte_by_byte() {
        let sctp = [0xaa; 12];
        let packet = build(
            &transmit("192.0.2.1", Encap::Native, 12),
            "192.168.0.1".parse().unwrap(),
            &sctp,
            0,
        )
        .unwrap();
        assert_eq!(packet[..10], [0x45, 0, 0, 32, 0, 0, 0x40, 0, 64, 132]);
        assert_eq!(packet[12..20], [192, 168, 0, 1, 192, 0, 2, 1]);
        assert_eq!(sum(&packet[..20], 0), 0xffff);
        assert_eq!(packet[20..], sctp);
    }

    #[test]
    fn udp_checksums_cover_the_pseudo_header() {
        let sctp = [0x5a; 13];
        for (source, remote, header) in [("10.0.0.1", "10.0.0.2", 20), ("fd00::1", "fd00::2", 40)] {
            let encap = Encap::Udp { remote_port: 9899 };
            let packet =
                build(&transmit(remote, encap, 13), source.parse().unwrap(), &sctp, 9900).unwrap();
            assert_eq!(packet[header..header + 6], [0x26, 0xac, 0x26, 0xab, 0, 21]);
            let addresses = &packet[if header == 20 { 12..20 } else { 8..40 }];
            assert_eq!(sum(&packet[header..], sum(addresses, 17 + 21)), 0xffff);
        }
    }

    #[test]
    fn what_is_built_can_be_read() {
        let sctp = [7; 16];
        for (source, remote, encap, port) in [
            ("10.0.0.1", "10.0.0.2", Encap::Native, None),
            ("fd00::1", "fd00::2", Encap::Native, None),
            ("fd00::1", "fd00::2", Encap::Udp { remote_port: 5 }, Some(5)),
        ] {
            let source: IpAddr = source.parse().unwrap();
            let packet = build(&transmit(remote, encap, 16), source, &sctp, 5).unwrap();
            let from = PathAddr { local: Some(remote.parse().unwrap()), remote: source, encap };
            assert_eq!(
                parse(&packet, port),
                Some(Arrival::Sctp { from, ecn: None, bytes: Bytes::copy_from_slice(&sctp) })
            );
            // A packet with the other encapsulation than the expected one is not read.
            assert_eq!(parse(&packet, if port.is_none() { Some(5) } else { None }), None);
        }
    }

    #[test]
    fn damage_is_noticed_and_no_packet_panics() {
        let encap = Encap::Udp { remote_port: 5 };
        let packet =
            build(&transmit("10.0.0.2", encap, 16), "10.0.0.1".parse().unwrap(), &[7; 16], 5)
                .unwrap();
        for at in 0..packet.len() {
            let mut damaged = packet.clone();
            damaged[at] ^= 0x20;
            // A zero checksum would pass, but this damage makes none.
            assert_eq!(parse(&damaged, Some(5)), None, "byte {at}");
        }
        for len in 0..packet.len() {
            assert_eq!(parse(&packet[..len], Some(5)), None);
        }
    }
}
