//! A packet as the simulated IP layer carries it.

use std::fmt;
use std::net::IpAddr;

use bytes::{Bytes, BytesMut};

use crate::addr::{Ecn, Encap};
use crate::wire::{COMMON_HEADER, Chunk, Packet};

/// An IP packet with SCTP in it, directly or in UDP.
#[derive(Clone, PartialEq, Eq)]
pub struct IpPacket {
    /// Source address.
    pub src: IpAddr,
    /// Destination address.
    pub dst: IpAddr,
    /// The ports of the UDP header, or `None` for IP protocol 132.
    pub udp: Option<UdpPorts>,
    /// ECN bits.
    pub ecn: Option<Ecn>,
    /// False when the Don't Fragment bit is set.
    pub may_fragment: bool,
    /// The SCTP packet.
    pub sctp: Bytes,
}

/// Ports of a UDP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UdpPorts {
    /// Source port.
    pub src: u16,
    /// Destination port.
    pub dst: u16,
}

impl IpPacket {
    /// A packet directly over IP that must not be fragmented.
    pub fn native(src: IpAddr, dst: IpAddr, sctp: impl Into<Bytes>) -> Self {
        IpPacket { src, dst, udp: None, ecn: None, may_fragment: false, sctp: sctp.into() }
    }

    /// A packet over UDP that must not be fragmented.
    pub fn udp(src: (IpAddr, u16), dst: (IpAddr, u16), sctp: impl Into<Bytes>) -> Self {
        let ports = UdpPorts { src: src.1, dst: dst.1 };
        IpPacket { udp: Some(ports), ..IpPacket::native(src.0, dst.0, sctp) }
    }

    /// Length of the whole IP packet in bytes, headers included.
    pub fn ip_len(&self) -> usize {
        let ip = if self.src.is_ipv4() { 20 } else { 40 };
        ip + if self.udp.is_some() { 8 } else { 0 } + self.sctp.len()
    }

    /// The encapsulation with which the receiver would answer it.
    pub fn encap(&self) -> Encap {
        match self.udp {
            None => Encap::Native,
            Some(ports) => Encap::Udp { remote_port: ports.src },
        }
    }

    /// An answer to this packet: the same packet with addresses and UDP ports swapped and other
    /// contents.
    pub fn reply(&self, sctp: impl Into<Bytes>) -> Self {
        IpPacket {
            src: self.dst,
            dst: self.src,
            udp: self.udp.map(|p| UdpPorts { src: p.dst, dst: p.src }),
            sctp: sctp.into(),
            ..self.clone()
        }
    }

    /// The checked SCTP packet, or `None` when the checksum or the header is wrong.
    pub fn packet(&self) -> Option<Packet> {
        Packet::check(self.sctp.clone()).ok()
    }

    /// The types of its chunks in order. Empty when the packet is not valid.
    pub fn chunk_kinds(&self) -> Vec<u8> {
        self.packet().map(|p| p.chunks().map(|c| c.kind).collect()).unwrap_or_default()
    }

    /// True if it has a chunk of this type.
    pub fn has(&self, kind: u8) -> bool {
        self.chunk_kinds().contains(&kind)
    }

    /// Changes the SCTP packet with `edit`. The checksum stays as it was; see
    /// [`fix_crc`](Self::fix_crc).
    pub fn edit(&mut self, edit: impl FnOnce(&mut [u8])) {
        let mut bytes = BytesMut::from(&self.sctp[..]);
        edit(&mut bytes);
        self.sctp = bytes.freeze();
    }

    /// Puts the right CRC32c into the SCTP packet, if it is long enough to have one.
    pub fn fix_crc(&mut self) {
        self.edit(|bytes| {
            if bytes.len() >= COMMON_HEADER {
                bytes[8..12].fill(0);
                let crc = crc32c::crc32c(bytes);
                bytes[8..12].copy_from_slice(&crc.to_le_bytes());
            }
        });
    }
}

/// One line with addresses, length and chunks.
impl fmt::Debug for IpPacket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.udp {
            None => write!(f, "{} > {}", self.src, self.dst)?,
            Some(p) => write!(f, "{}/{} > {}/{}", self.src, p.src, self.dst, p.dst)?,
        }
        write!(f, " {} bytes", self.sctp.len())?;
        if self.may_fragment {
            write!(f, " may fragment")?;
        }
        let Some(packet) = self.packet() else { return write!(f, " not a valid SCTP packet") };
        write!(f, " {}>{} tag {:08x}:", packet.src_port(), packet.dst_port(), packet.vtag())?;
        for raw in packet.chunks() {
            write!(f, " ")?;
            match raw.decode(&packet) {
                Ok(chunk) => describe(&chunk, f)?,
                Err(_) => write!(f, "malformed type {}", raw.kind)?,
            }
        }
        Ok(())
    }
}

fn describe(chunk: &Chunk<'_>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match chunk {
        Chunk::Data(d) => {
            write!(
                f,
                "DATA(tsn {} sid {} ssn {} len {} ",
                d.tsn,
                d.stream,
                d.id.ssn(),
                d.payload.len()
            )?;
            for (set, letter) in [
                (d.flags.begin, 'B'),
                (d.flags.end, 'E'),
                (d.flags.unordered, 'U'),
                (d.flags.immediate, 'I'),
            ] {
                if set {
                    write!(f, "{letter}")?;
                }
            }
            write!(f, ")")
        }
        Chunk::Init(i) => {
            write!(f, "INIT(tag {:08x} tsn {} rwnd {})", i.initiate_tag, i.initial_tsn, i.a_rwnd)
        }
        Chunk::InitAck(i) => {
            write!(
                f,
                "INIT-ACK(tag {:08x} tsn {} rwnd {})",
                i.initiate_tag, i.initial_tsn, i.a_rwnd
            )
        }
        Chunk::Sack(s) => {
            write!(f, "SACK(cum {} rwnd {}", s.cum_tsn, s.a_rwnd)?;
            for (start, end) in s.gaps().take(8) {
                write!(f, " +{start}..{end}")?;
            }
            let dups = s.dups().count();
            if dups > 0 {
                write!(f, " dups {dups}")?;
            }
            write!(f, ")")
        }
        Chunk::Heartbeat(_) => write!(f, "HEARTBEAT"),
        Chunk::HeartbeatAck(_) => write!(f, "HEARTBEAT-ACK"),
        Chunk::Abort { reflected, causes } => {
            write!(f, "ABORT({}", if *reflected { "T" } else { "" })?;
            for cause in causes.iter() {
                write!(f, " cause {} {:?}", cause.code(), String::from_utf8_lossy(cause.info()))?;
            }
            write!(f, ")")
        }
        Chunk::Shutdown { cum_tsn } => write!(f, "SHUTDOWN(cum {cum_tsn})"),
        Chunk::ShutdownAck => write!(f, "SHUTDOWN-ACK"),
        Chunk::Error { causes } => {
            write!(f, "ERROR(")?;
            for cause in causes.iter() {
                write!(f, " cause {}", cause.code())?;
            }
            write!(f, ")")
        }
        Chunk::CookieEcho(c) => write!(f, "COOKIE-ECHO({} bytes)", c.len()),
        Chunk::CookieAck => write!(f, "COOKIE-ACK"),
        Chunk::ShutdownComplete { reflected } => {
            write!(f, "SHUTDOWN-COMPLETE({})", if *reflected { "T" } else { "" })
        }
        Chunk::Unknown { kind, .. } => write!(f, "type {kind}"),
    }
}
