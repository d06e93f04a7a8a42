//! Finds the SCTP packets in captures: over IPv4 or IPv6, directly in IP or in UDP, whole, in IP
//! fragments, or several in one datagram.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use smoltcp::wire::{
    EthernetFrame, EthernetProtocol, IpProtocol, Ipv4Packet, Ipv6ExtHeader, Ipv6FragmentHeader,
    Ipv6Packet, UdpPacket,
};

use super::capture::{Capture, Frame, LinkType};
use super::packet::{Packet, be16, be32};
use super::unjudged::{Doubts, Unjudged};

/// Something in a capture that the lint judges or takes into account.
#[derive(Debug)]
pub(super) enum Event {
    /// An SCTP packet.
    Sctp(Seen),
    /// An ICMP message that names an MTU.
    TooBig(TooBig),
}

/// An SCTP packet, with the place where it was captured.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) file: usize,
    /// The number of the captured packet that completed it, counted from 1.
    pub(super) number: u32,
    pub(super) time: u64,
    pub(super) src: IpAddr,
    pub(super) dst: IpAddr,
    /// Source and destination port of UDP.
    pub(super) udp: Option<(u16, u16)>,
    /// Length of the IP packet that carried it, or of the longest that carried a part, bytes.
    pub(super) ip_len: usize,
    /// Whether it came in IP fragments.
    pub(super) fragmented: bool,
    /// Whether routers must not fragment it.
    pub(super) dont_fragment: bool,
    pub(super) packet: Packet,
}

/// An ICMP message that names an MTU.
#[derive(Clone, Copy, Debug)]
pub(super) struct TooBig {
    pub(super) time: u64,
    /// The host that is told: the sender of the packet that was too big.
    pub(super) sender: IpAddr,
    /// The destination of that packet.
    pub(super) destination: IpAddr,
    pub(super) mtu: usize,
}

/// The events of several captures, ordered by time. The order in a file is not that of time: the
/// processors of a machine each write their packets, a few µs early or late. Notes in `doubts` what
/// cannot be judged.
pub(super) fn events(captures: &[Capture], doubts: &mut Doubts) -> impl Iterator<Item = Event> {
    for capture in captures {
        doubts.note(Unjudged::Missed, capture.dropped);
        doubts.note(Unjudged::FileCut, capture.cut.into());
    }
    let frames = captures.iter().enumerate().flat_map(|(file, capture)| {
        capture.frames.iter().enumerate().map(move |(index, frame)| (frame.time, file, index))
    });
    let mut order: Vec<(u64, usize, usize)> = frames.collect();
    order.sort_unstable();
    let mut reader =
        Reader { pieces: captures.iter().map(|_| Pieces::default()).collect(), doubts };
    let mut order = order.into_iter();
    std::iter::from_fn(move || {
        let next = order.next();
        if next.is_none() {
            reader.end();
        }
        let (_, file, index) = next?;
        Some(reader.read(&captures[file].frames[index], file, index as u32 + 1))
    })
    .flatten()
}

/// An IP packet, which may be a fragment.
struct Ip<'a> {
    src: IpAddr,
    dst: IpAddr,
    protocol: IpProtocol,
    len: usize,
    dont_fragment: bool,
    fragment: Option<Fragment>,
    payload: &'a [u8],
}

#[derive(Clone, Copy)]
struct Fragment {
    id: u32,
    offset: usize,
    more: bool,
}

fn ip(frame: &Frame) -> Option<Ip<'_>> {
    match frame.link_type {
        LinkType::Other => None,
        LinkType::Ip => match frame.bytes.first()? >> 4 {
            4 => ipv4(&frame.bytes),
            6 => ipv6(&frame.bytes),
            _ => None,
        },
        LinkType::Ethernet => {
            let ethernet = EthernetFrame::new_checked(&frame.bytes[..]).ok()?;
            match ethernet.ethertype() {
                EthernetProtocol::Ipv4 => ipv4(ethernet.payload()),
                EthernetProtocol::Ipv6 => ipv6(ethernet.payload()),
                EthernetProtocol::Arp | EthernetProtocol::Unknown(_) => None,
            }
        }
    }
}

/// Source and destination port in a UDP header.
fn udp_ports(header: &[u8]) -> Option<(u16, u16)> {
    Some((be16(header, 0)?, be16(header, 2)?))
}

/// Reads one frame after another.
struct Reader<'a> {
    /// The incomplete IP packets of each capture.
    pieces: Vec<Pieces>,
    doubts: &'a mut Doubts,
}

impl Reader<'_> {
    fn read(&mut self, frame: &Frame, file: usize, number: u32) -> Vec<Event> {
        let Some(ip) = ip(frame) else {
            self.unread(frame);
            return Vec::new();
        };
        // The payload of IP.
        let (payload, ip_len) = match ip.fragment {
            None => (ip.payload.to_vec(), ip.len),
            Some(fragment) => match self.pieces[file].take(&ip, fragment, self.doubts) {
                Some(whole) => whole,
                None => return Vec::new(),
            },
        };
        let seen = |packet: Packet, udp, ip_len| {
            Event::Sctp(Seen {
                file,
                number,
                time: frame.time,
                src: ip.src,
                dst: ip.dst,
                udp,
                ip_len,
                fragmented: ip.fragment.is_some(),
                dont_fragment: ip.dont_fragment,
                packet,
            })
        };
        match ip.protocol {
            SCTP => {
                let packet = Packet::parse(payload);
                self.doubts.note(Unjudged::Checksum, packet.is_none().into());
                packet.map(|packet| seen(packet, None, ip_len)).into_iter().collect()
            }
            // A payload with a right SCTP checksum is SCTP. Multicast carries none.
            IpProtocol::Udp if !ip.dst.is_multicast() => {
                let Ok(udp) = UdpPacket::new_checked(&payload[..]) else { return Vec::new() };
                let ports = (udp.src_port(), udp.dst_port());
                let (size, packets) = packets(udp.payload());
                // When the datagram is segmented, the largest IP packet holds only the largest SCTP
                // packet.
                let ip_len = ip_len.saturating_sub(udp.payload().len() - size);
                let mut events = Vec::new();
                for (packet, length) in packets {
                    match packet {
                        Some(packet) => {
                            self.doubts.carries_sctp(ports);
                            events.push(seen(
                                packet,
                                Some(ports),
                                ip_len.saturating_sub(size - length),
                            ));
                        }
                        None => self.doubts.note_if_sctp(Unjudged::Datagram, ports),
                    }
                }
                events
            }
            IpProtocol::Icmp | IpProtocol::Icmpv6 => {
                too_big(frame.time, &ip, &payload).into_iter().collect()
            }
            _ => Vec::new(),
        }
    }

    /// Notes a frame that could not be read as an IP packet, if it may carry a part of SCTP.
    fn unread(&mut self, frame: &Frame) {
        if frame.link_type == LinkType::Other {
            self.doubts.note(Unjudged::Interface, 1);
        } else if let Some(what) = cut_short(frame) {
            match what {
                Carried::Sctp => self.doubts.note(Unjudged::PacketCut, 1),
                Carried::Udp(ports) => self.doubts.note_if_sctp(Unjudged::PacketCut, ports),
            }
        }
    }

    fn end(&mut self) {
        self.pieces.iter_mut().for_each(|pieces| pieces.forget(self.doubts));
    }
}

/// Splits a UDP payload into SCTP packets. Returns the length of the largest, and each packet
/// (`None` if it is not SCTP) with its length. Normally there is one packet. Some interfaces, such
/// as loopback, show datagrams that are not yet segmented (GSO) or that were merged (GRO). These
/// hold several packets of the same length, the last of which may be shorter.
fn packets(payload: &[u8]) -> (usize, Vec<(Option<Packet>, usize)>) {
    let whole = Packet::parse(payload.to_vec());
    let sizes = if whole.is_none() { right_prefixes(payload) } else { Vec::new() };
    let split = sizes.into_iter().find_map(|size| {
        let parts: Vec<_> =
            payload.chunks(size).map(|part| (Packet::parse(part.to_vec()), part.len())).collect();
        // A single right checksum may be a coincidence.
        let right = parts.iter().filter(|(packet, _)| packet.is_some()).count();
        (right > 1).then_some((size, parts))
    });
    split.unwrap_or_else(|| (payload.len(), vec![(whole, payload.len())]))
}

/// The lengths of all prefixes of `bytes` that have a right SCTP checksum.
fn right_prefixes(bytes: &[u8]) -> Vec<usize> {
    let (Some(head), Some(sum)) = (bytes.get(..8), be32(bytes, 8)) else { return Vec::new() };
    let mut crc = crc32c::crc32c_append(crc32c::crc32c(head), &[0; 4]);
    let mut found = Vec::new();
    for (index, word) in bytes[12..].chunks(4).enumerate() {
        crc = crc32c::crc32c_append(crc, word);
        let length = 12 + 4 * index + word.len();
        if crc == sum.swap_bytes() && length < bytes.len() {
            found.push(length);
        }
    }
    found
}

/// The content of a frame whose end was not captured.
enum Carried {
    Sctp,
    /// UDP, with source and destination port.
    Udp((u16, u16)),
}

/// The content of an IP packet whose end was not captured.
fn cut_short(frame: &Frame) -> Option<Carried> {
    let bytes = match (frame.link_type, be16(&frame.bytes, 12)) {
        (LinkType::Ip, _) => &frame.bytes[..],
        (LinkType::Ethernet, Some(0x0800 | 0x86dd)) => frame.bytes.get(14..)?,
        _ => return None,
    };
    let (len, protocol, header) = match bytes.first()? >> 4 {
        4 => (be16(bytes, 2)?.into(), *bytes.get(9)?, usize::from(bytes[0] & 0xf) * 4),
        6 => (usize::from(be16(bytes, 4)?) + 40, *bytes.get(6)?, 40),
        _ => return None,
    };
    if len <= bytes.len() {
        return None;
    }
    match IpProtocol::from(protocol) {
        SCTP => Some(Carried::Sctp),
        IpProtocol::Udp => udp_ports(bytes.get(header..)?).map(Carried::Udp),
        _ => None,
    }
}

const SCTP: IpProtocol = IpProtocol::Unknown(132);

/// The MTU that an ICMP message names.
fn too_big(time: u64, ip: &Ip<'_>, message: &[u8]) -> Option<Event> {
    let ((sender, destination), mtu) = match (ip.protocol, message) {
        (IpProtocol::Icmp, [3, 4, ..]) => {
            (ipv4_head(message.get(8..)?)?, usize::from(be16(message, 6)?))
        }
        (IpProtocol::Icmpv6, [2, ..]) => {
            (ipv6_head(message.get(8..)?)?, be32(message, 4)? as usize)
        }
        _ => return None,
    };
    (mtu > 0).then_some(Event::TooBig(TooBig { time, sender, destination, mtu }))
}

fn ipv4_head(bytes: &[u8]) -> Option<(IpAddr, IpAddr)> {
    let addr =
        |at: usize| Some(IpAddr::from(Ipv4Addr::from(*bytes.get(at..)?.first_chunk::<4>()?)));
    Some((addr(12)?, addr(16)?))
}

fn ipv6_head(bytes: &[u8]) -> Option<(IpAddr, IpAddr)> {
    let addr =
        |at: usize| Some(IpAddr::from(Ipv6Addr::from(*bytes.get(at..)?.first_chunk::<16>()?)));
    // Routers quote the whole header.
    bytes.get(39)?;
    Some((addr(8)?, addr(24)?))
}

fn ipv4(bytes: &[u8]) -> Option<Ip<'_>> {
    let packet = Ipv4Packet::new_checked(bytes).ok()?;
    let (offset, more) = (usize::from(packet.frag_offset()), packet.more_frags());
    let fragment =
        (offset > 0 || more).then(|| Fragment { id: packet.ident().into(), offset, more });
    Some(Ip {
        src: packet.src_addr().into(),
        dst: packet.dst_addr().into(),
        protocol: packet.next_header(),
        len: packet.total_len().into(),
        dont_fragment: packet.dont_frag(),
        fragment,
        payload: packet.payload(),
    })
}

fn ipv6(bytes: &[u8]) -> Option<Ip<'_>> {
    let packet = Ipv6Packet::new_checked(bytes).ok()?;
    let (mut protocol, mut payload) = (packet.next_header(), packet.payload());
    let mut fragment = None;
    while matches!(protocol, IpProtocol::HopByHop | IpProtocol::Ipv6Frag | IpProtocol::Ipv6Opts) {
        let header = Ipv6ExtHeader::new_checked(payload).ok()?;
        if protocol == IpProtocol::Ipv6Frag {
            let piece = Ipv6FragmentHeader::new_checked(header.payload()).ok()?;
            let offset = usize::from(piece.frag_offset()) * 8;
            fragment = Some(Fragment { id: piece.ident(), offset, more: piece.more_frags() });
        }
        // A fragment header has no length field; it has 8 bytes, like others with length 0.
        let length = if protocol == IpProtocol::Ipv6Frag {
            8
        } else {
            8 + usize::from(header.header_len()) * 8
        };
        protocol = header.next_header();
        payload = payload.get(length..)?;
    }
    Some(Ip {
        src: packet.src_addr().into(),
        dst: packet.dst_addr().into(),
        protocol,
        len: packet.total_len(),
        // Routers never fragment IPv6.
        dont_fragment: true,
        fragment,
        payload,
    })
}

/// IP fragments of packets that are not complete yet.
#[derive(Default)]
struct Pieces(BTreeMap<(IpAddr, IpAddr, u32), Parts>);

#[derive(Default)]
struct Parts {
    parts: BTreeMap<usize, Vec<u8>>,
    total: Option<usize>,
    largest: usize,
    protocol: Option<IpProtocol>,
}

impl Pieces {
    /// Takes a fragment. If it completes its packet, returns the whole payload and the length of
    /// the largest fragment.
    fn take(
        &mut self,
        ip: &Ip<'_>,
        fragment: Fragment,
        doubts: &mut Doubts,
    ) -> Option<(Vec<u8>, usize)> {
        if self.0.len() > MOST {
            self.forget(doubts);
        }
        let key = (ip.src, ip.dst, fragment.id);
        let parts = self.0.entry(key).or_default();
        parts.parts.insert(fragment.offset, ip.payload.to_vec());
        parts.largest = parts.largest.max(ip.len);
        parts.protocol = Some(ip.protocol);
        if !fragment.more {
            parts.total = Some(fragment.offset + ip.payload.len());
        }
        let mut whole = Vec::new();
        for (offset, part) in &parts.parts {
            if *offset != whole.len() {
                return None;
            }
            whole.extend(part);
        }
        let largest = parts.largest;
        (parts.total == Some(whole.len())).then(|| {
            self.0.remove(&key);
            (whole, largest)
        })
    }

    /// Notes and forgets all packets that are not complete.
    fn forget(&mut self, doubts: &mut Doubts) {
        for parts in std::mem::take(&mut self.0).into_values() {
            let first = parts.parts.get(&0).map_or(&[][..], |part| part);
            match (parts.protocol, udp_ports(first)) {
                (Some(SCTP), _) => doubts.note(Unjudged::Fragments, 1),
                (Some(IpProtocol::Udp), Some(ports)) => {
                    doubts.note_if_sctp(Unjudged::Fragments, ports);
                }
                _ => {}
            }
        }
    }
}

/// The most incomplete packets at a time. When there are more, some fragments were lost, and all
/// are forgotten.
const MOST: usize = 1000;
