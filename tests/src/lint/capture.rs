//! Captures, and reading them from files.

use std::collections::BTreeSet;
use std::fs::File;
use std::net::IpAddr;
use std::path::Path;

use pcap_parser::{Block, Linktype, PcapBlockOwned, PcapError, create_reader};

/// The packets that were captured in one place, in the order of their arrival.
#[derive(Clone, Debug, Default)]
pub struct Capture {
    /// Its name in findings.
    pub name: String,
    /// The addresses of the host where it was made. Packets from these addresses were captured
    /// before anything could happen to them.
    pub near: BTreeSet<IpAddr>,
    /// How many packets the capture missed, as far as it knows.
    pub dropped: u64,
    /// Whether the file ended in the middle of a packet.
    pub cut: bool,
    /// The packets.
    pub frames: Vec<Frame>,
}

/// A captured packet.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Time of capture, µs since 1970.
    pub time: u64,
    /// The kind of header that it begins with.
    pub link_type: LinkType,
    /// All its bytes, from this header on.
    pub bytes: Vec<u8>,
}

/// The kind of header that a captured packet begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkType {
    /// An Ethernet header.
    Ethernet,
    /// An IP header.
    Ip,
    /// A header that the lint does not know.
    Other,
}

/// Why a capture cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The file cannot be opened.
    #[error("{0}: {1}")]
    Open(String, std::io::Error),
    /// The file is not a capture, or is damaged.
    #[error("{0}: this is not a readable pcapng or pcap file: {1}")]
    Format(String, String),
}

impl Capture {
    /// Reads a pcapng or pcap file. If the last packet is cut off, it is left out.
    ///
    /// # Errors
    /// When there is no such file, or when it is not a capture.
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
                Err(PcapError::Eof) => return Ok(capture),
                Err(PcapError::UnexpectedEof) => return Ok(Capture { cut: true, ..capture }),
                Err(PcapError::Incomplete(_)) => None,
                Err(error) => return Err(bad(error)),
            };
            match length {
                Some(length) => reader.consume_noshift(length),
                None if reader.reader_exhausted() => return Ok(Capture { cut: true, ..capture }),
                None => reader.refill().map_err(bad)?,
            }
        }
    }
}

/// Size of the read buffer, bytes: larger than any block of a file.
const BUFFER: usize = 1 << 20;

/// The interfaces of a file.
#[derive(Default)]
struct Interfaces(Vec<Interface>);

#[derive(Clone, Copy)]
struct Interface {
    link_type: LinkType,
    /// How many bytes come before that header.
    skip: usize,
    /// Ticks of its clock per second.
    units: u64,
}

impl Interface {
    fn new(number: Linktype, units: u64) -> Interface {
        let (link_type, skip) = match number {
            Linktype::ETHERNET => (LinkType::Ethernet, 0),
            Linktype::RAW | Linktype::IPV4 | Linktype::IPV6 => (LinkType::Ip, 0),
            // Used when all interfaces of a Linux machine are captured at once.
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
