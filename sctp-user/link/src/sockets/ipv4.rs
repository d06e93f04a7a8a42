//! Stripping the IPv4 header that raw sockets leave in front of each packet.

use pnet::packet::ip::IpNextHeaderProtocols;
use pnet::packet::ipv4::Ipv4Packet;

/// The SCTP packet in what a raw IPv4 socket received. `None` when the IP header contradicts itself
/// or belongs to another protocol.
///
/// `lengths` says whether the length field of the header can be used.
pub(super) fn payload(received: &[u8], lengths: Lengths) -> Option<&[u8]> {
    let packet = Ipv4Packet::new(received)?;
    let header = usize::from(packet.get_header_length()) * 4;
    if packet.get_version() != 4
        || header < Ipv4Packet::minimum_packet_size()
        || packet.get_next_level_protocol() != IpNextHeaderProtocols::Sctp
    {
        return None;
    }
    let end = match lengths {
        Lengths::Network => packet.get_total_length().into(),
        Lengths::Unknown => received.len(),
    };
    // `get` also answers `None` when the header is longer than the packet.
    received.get(header..end)
}

/// What the system leaves in the length field of received headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(dead_code, reason = "each system needs one of them")]
pub(super) enum Lengths {
    /// What the sender wrote, in network byte order.
    Network,
    /// The field cannot be used. Depending on the system and its version, it is in host byte order
    /// or does not count the header. The system has already checked it and cut the packet to that
    /// length.
    Unknown,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A header with these fields, then `rest`.
    fn packet(first: u8, total_len: u16, protocol: u8, rest: &[u8]) -> Vec<u8> {
        let mut packet = vec![0; 20];
        packet[0] = first;
        packet[2..4].copy_from_slice(&total_len.to_be_bytes());
        packet[9] = protocol;
        packet.extend_from_slice(rest);
        packet
    }

    fn strip(packet: &[u8]) -> Option<&[u8]> {
        payload(packet, Lengths::Network)
    }

    #[test]
    fn header_and_options_are_stripped() {
        assert_eq!(strip(&packet(0x45, 24, 132, b"sctp")), Some(&b"sctp"[..]));
        assert_eq!(strip(&packet(0x46, 28, 132, b"optssctp")), Some(&b"sctp"[..]));
        let options = [vec![1; 40], b"sctp".to_vec()].concat();
        assert_eq!(strip(&packet(0x4f, 64, 132, &options)), Some(&b"sctp"[..]));
    }

    #[test]
    fn bytes_after_the_packet_are_cut_off() {
        assert_eq!(
            strip(&packet(0x45, 24, 132, b"sctp and the padding of a frame")),
            Some(&b"sctp"[..])
        );
    }

    #[test]
    fn contradicting_headers_are_refused() {
        for (name, bytes) in [
            ("nothing", Vec::new()),
            ("a part of a header", packet(0x45, 20, 132, b"")[..19].to_vec()),
            ("header length 0", packet(0x40, 24, 132, b"sctp")),
            ("header length 16", packet(0x44, 24, 132, b"sctp")),
            ("header longer than the packet", packet(0x4f, 24, 132, b"sctp")),
            ("header longer than the total length", packet(0x46, 20, 132, b"optssctp")),
            ("total length 0", packet(0x45, 0, 132, b"sctp")),
            ("total length below the header's", packet(0x45, 19, 132, b"sctp")),
            ("total length beyond what was received", packet(0x45, 25, 132, b"sctp")),
            ("total length of the largest packet", packet(0x45, u16::MAX, 132, b"sctp")),
            ("version 6", packet(0x65, 24, 132, b"sctp")),
            ("version 0", packet(0x05, 24, 132, b"sctp")),
            ("udp", packet(0x45, 24, 17, b"sctp")),
        ] {
            assert_eq!(strip(&bytes), None, "{name}");
        }
    }

    #[test]
    fn systems_that_rewrite_the_length() {
        let host_order = packet(0x45, 4u16.swap_bytes(), 132, b"sctp");
        assert_eq!(payload(&host_order, Lengths::Unknown), Some(&b"sctp"[..]));
        assert_eq!(
            payload(&packet(0x46, 0, 132, b"optssctp"), Lengths::Unknown),
            Some(&b"sctp"[..])
        );
        assert_eq!(payload(&packet(0x4f, 0, 132, b"sctp"), Lengths::Unknown), None);
        assert_eq!(payload(&packet(0x44, 0, 132, b"sctp"), Lengths::Unknown), None);
    }

    proptest! {
        #[test]
        fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..100), network: bool) {
            let lengths = if network { Lengths::Network } else { Lengths::Unknown };
            if let Some(sctp) = payload(&bytes, lengths) {
                prop_assert!(sctp.len() + 20 <= bytes.len());
            }
        }
    }
}
