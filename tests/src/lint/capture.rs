//! Captures, and the SCTP packets in them: over IPv4 or IPv6, natively or in UDP, whole or in IP
//! fragments.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use pcap_parser::{Block, Linktype, PcapBlockOwned, PcapError, create_reader};
use smoltcp::wire::{
    EthernetFrame, EthernetProtocol, IpProtocol, Ipv4Packet, Ipv6ExtHeader, Ipv6FragmentHeader,
    Ipv6Packet, UdpPacket,
};

use super::packet::{Packet, be16, be32};

/// What was captured at one place, in the order of arrival.
#[derive(Clone, Debug, Default)]
pub struct Capture {
    /// Its name in findings.
    pub name: String,
    /// Addresses of the host where it was made: what leaves from there was captured before anything
    /// could happen to it.
    pub near: BTreeSet<IpAddr>,
    /// Packets that the capture missed, as far as it knows.
    pub dropped: u64,
    /// The packets.
    pub frames: Vec<Frame>,
}

/// A captured packet.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Since 1970, µs.
    pub time: u64,
    /// With what it begins.
    pub link_type: LinkType,
    /// All of it.
    pub bytes: Vec<u8>,
}

/// With what a captured packet begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkType {
    /// An Ethernet header.
    Ethernet,
    /// An IP header.
    Ip,
    /// Something that is not looked at.
    Other,
}

/// Why a capture cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The file cannot be opened.
    #[error("{0}: {1}")]
    Open(String, std::io::Error),
    /// It is no capture, or a broken one.
    #[error("{0}: this is not a readable pcapng or pcap file: {1}")]
    Format(String, String),
}

impl Capture {
    /// Reads a pcapng or pcap file. What is cut off at its end is left out.
    ///
    /// # Errors
    /// When there is no such file, or when it is something else.
    pub fn read(path: &Path) -> Result<Capture, ReadError> {
        let name = path.display().to_string();
        let file = File::open(path).map_err(|error| ReadError::Open(name.clone(), error))?;
        let bad = |error: PcapError<&[u8]>| {
            ReadError::Format(path.display().to_string(), error.to_string())
        };
        let mut reader = create_reader(BUFFER, file).map_err(bad)?;
        let mut capture = Capture { name, ..Capture::default() };
        let mut interfaces = Interfaces::default();
        loop {
            let length = match reader.next() {
                Ok((length, block)) => {
                    interfaces.take(&block, &mut capture);
                    Some(length)
                }
                Err(PcapError::Eof | PcapError::UnexpectedEof) => return Ok(capture),
                Err(PcapError::Incomplete(_)) => None,
                Err(error) => return Err(bad(error)),
            };
            match length {
                Some(length) => reader.consume_noshift(length),
                None if reader.reader_exhausted() => return Ok(capture),
                None => reader.refill().map_err(bad)?,
            }
        }
    }
}

impl Capture {
    /// Leaves out what is not in UDP from or to one of these ports.
    pub fn keep_udp(&mut self, ports: &[u16]) {
        self.frames.retain(|frame| {
            let udp =
                ip(frame).filter(|ip| ip.protocol == IpProtocol::Udp && ip.fragment.is_none());
            let header = udp.and_then(|ip| Some([be16(ip.payload, 0)?, be16(ip.payload, 2)?]));
            header.is_some_and(|header| header.iter().any(|port| ports.contains(port)))
        });
    }
}

/// Larger than any block.
const BUFFER: usize = 1 << 20;

/// The interfaces of a file.
#[derive(Default)]
struct Interfaces(Vec<Interface>);

#[derive(Clone, Copy)]
struct Interface {
    link_type: LinkType,
    /// Bytes before that, which say nothing about the packet.
    skip: usize,
    /// Ticks of its clock in a second.
    units: u64,
}

impl Interface {
    fn new(number: Linktype, units: u64) -> Interface {
        let (link_type, skip) = match number {
            Linktype::ETHERNET => (LinkType::Ethernet, 0),
            Linktype::RAW | Linktype::IPV4 | Linktype::IPV6 => (LinkType::Ip, 0),
            // Captures of all interfaces of a Linux machine at once.
            Linktype::LINUX_SLL => (LinkType::Ip, 16),
            Linktype::LINUX_SLL2 => (LinkType::Ip, 20),
            _ => (LinkType::Other, 0),
        };
        Interface { link_type, skip, units }
    }

    fn frame(self, time: u64, bytes: &[u8]) -> Frame {
        Frame {
            time,
            link_type: self.link_type,
            bytes: bytes.get(self.skip..).unwrap_or_default().to_vec(),
        }
    }
}

impl Interfaces {
    fn take(&mut self, block: &PcapBlockOwned<'_>, capture: &mut Capture) {
        match block {
            PcapBlockOwned::LegacyHeader(header) => {
                let units = if header.is_nanosecond_precision() { 1_000_000_000 } else { MICROS };
                self.0 = vec![Interface::new(header.network, units)];
            }
            PcapBlockOwned::Legacy(packet) => {
                let interface = self.of(0);
                let ticks = u64::from(packet.ts_usec);
                let time = u64::from(packet.ts_sec) * MICROS + ticks * MICROS / interface.units;
                capture.frames.push(interface.frame(time, packet.data));
            }
            PcapBlockOwned::NG(Block::SectionHeader(_)) => self.0.clear(),
            PcapBlockOwned::NG(Block::InterfaceDescription(interface)) => {
                let units = interface.ts_resolution().unwrap_or(MICROS);
                self.0.push(Interface::new(interface.linktype, units));
            }
            PcapBlockOwned::NG(Block::EnhancedPacket(packet)) => {
                let interface = self.of(packet.if_id as usize);
                let ticks = u128::from(packet.ts_high) << 32 | u128::from(packet.ts_low);
                let time = (ticks * u128::from(MICROS) / u128::from(interface.units)) as u64;
                let bytes = &packet.data[..packet.data.len().min(packet.caplen as usize)];
                capture.frames.push(interface.frame(time, bytes));
            }
            PcapBlockOwned::NG(Block::InterfaceStatistics(statistics)) => {
                let dropped = statistics.isb_ifdrop().and_then(Result::ok).unwrap_or(0)
                    + statistics.isb_osdrop().and_then(Result::ok).unwrap_or(0);
                capture.dropped += dropped;
            }
            PcapBlockOwned::NG(_) => {}
        }
    }

    fn of(&self, interface: usize) -> Interface {
        let unknown = Interface { link_type: LinkType::Other, skip: 0, units: MICROS };
        self.0.get(interface).copied().unwrap_or(unknown)
    }
}

const MICROS: u64 = 1_000_000;

/// Something in a capture that the lint looks at.
#[derive(Debug)]
pub(super) enum Event {
    /// An SCTP packet.
    Sctp(Seen),
    /// An ICMP message that names an MTU.
    TooBig(TooBig),
}

/// An SCTP packet, where it was captured.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) file: usize,
    /// Of the packet that completed it, counted from 1.
    pub(super) number: u32,
    pub(super) time: u64,
    pub(super) src: IpAddr,
    pub(super) dst: IpAddr,
    /// UDP ports of source and destination.
    pub(super) udp: Option<(u16, u16)>,
    /// The largest IP packet that carried it, or a part of it, bytes.
    pub(super) ip_len: usize,
    /// True when it came in IP fragments.
    pub(super) fragmented: bool,
    /// Routers must not fragment it.
    pub(super) dont_fragment: bool,
    pub(super) packet: Packet,
}

/// An ICMP message that names an MTU.
#[derive(Clone, Copy, Debug)]
pub(super) struct TooBig {
    pub(super) time: u64,
    /// Who is told.
    pub(super) sender: IpAddr,
    /// Where the packet was going.
    pub(super) destination: IpAddr,
    pub(super) mtu: usize,
}

/// What is in several captures, by time. Not by the order in a file: processors of one machine
/// write what they got, a few µs before or behind each other.
pub(super) fn events(captures: &[Capture]) -> impl Iterator<Item = Event> {
    let frames = captures.iter().enumerate().flat_map(|(file, capture)| {
        capture.frames.iter().enumerate().map(move |(index, frame)| (frame.time, file, index))
    });
    let mut order: Vec<(u64, usize, usize)> = frames.collect();
    order.sort_unstable();
    let mut pieces: Vec<Pieces> = captures.iter().map(|_| Pieces::default()).collect();
    order.into_iter().filter_map(move |(_, file, index)| {
        read(&captures[file].frames[index], file, index as u32 + 1, &mut pieces[file])
    })
}

/// An IP packet, perhaps a fragment of one.
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

fn read(frame: &Frame, file: usize, number: u32, pieces: &mut Pieces) -> Option<Event> {
    let ip = ip(frame)?;
    let (src, dst, dont_fragment, fragmented) =
        (ip.src, ip.dst, ip.dont_fragment, ip.fragment.is_some());
    let (payload, ip_len) = match ip.fragment {
        None => (ip.payload.to_vec(), ip.len),
        Some(fragment) => pieces.take(&ip, fragment)?,
    };
    let time = frame.time;
    let seen = |bytes: Vec<u8>, udp| {
        let packet = Packet::parse(bytes)?;
        Some(Event::Sctp(Seen {
            file,
            number,
            time,
            src,
            dst,
            udp,
            ip_len,
            fragmented,
            dont_fragment,
            packet,
        }))
    };
    match ip.protocol {
        SCTP => seen(payload, None),
        IpProtocol::Udp => {
            let udp = UdpPacket::new_checked(&payload[..]).ok()?;
            // Whatever has the checksum of SCTP is SCTP; it is not in multicast.
            seen(udp.payload().to_vec(), Some((udp.src_port(), udp.dst_port())))
                .filter(|_| !dst.is_multicast())
        }
        IpProtocol::Icmp if payload.first_chunk() == Some(&[3, 4]) => {
            let quoted = ipv4_head(payload.get(8..)?)?;
            let mtu = usize::from(be16(&payload, 6)?);
            too_big(time, quoted, mtu)
        }
        IpProtocol::Icmpv6 if payload.first() == Some(&2) => {
            let quoted: &[u8; 40] = payload.get(8..)?.first_chunk()?;
            let addr = |at: usize| {
                Some(IpAddr::from(Ipv6Addr::from(*quoted.get(at..)?.first_chunk::<16>()?)))
            };
            too_big(time, (addr(8)?, addr(24)?), be32(&payload, 4)? as usize)
        }
        _ => None,
    }
}

const SCTP: IpProtocol = IpProtocol::Unknown(132);

fn too_big(time: u64, (sender, destination): (IpAddr, IpAddr), mtu: usize) -> Option<Event> {
    (mtu > 0).then_some(Event::TooBig(TooBig { time, sender, destination, mtu }))
}

fn ipv4_head(bytes: &[u8]) -> Option<(IpAddr, IpAddr)> {
    let addr =
        |at: usize| Some(IpAddr::from(Ipv4Addr::from(*bytes.get(at..)?.first_chunk::<4>()?)));
    Some((addr(12)?, addr(16)?))
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
        // A fragment header is as long as any other one of length 0.
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
        // Routers never do.
        dont_fragment: true,
        fragment,
        payload,
    })
}

/// IP fragments whose others are still to come.
#[derive(Default)]
struct Pieces(BTreeMap<(IpAddr, IpAddr, u32), Parts>);

#[derive(Default)]
struct Parts {
    parts: BTreeMap<usize, Vec<u8>>,
    total: Option<usize>,
    largest: usize,
}

impl Pieces {
    /// The whole payload and the length of the largest packet with a part of it, when this
    /// completes it.
    fn take(&mut self, ip: &Ip<'_>, fragment: Fragment) -> Option<(Vec<u8>, usize)> {
        if self.0.len() > MOST {
            self.0.clear();
        }
        let key = (ip.src, ip.dst, fragment.id);
        let parts = self.0.entry(key).or_default();
        parts.parts.insert(fragment.offset, ip.payload.to_vec());
        parts.largest = parts.largest.max(ip.len);
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
}

/// Packets in pieces at a time; when there are more, some were lost, and all are forgotten.
const MOST: usize = 1000;
