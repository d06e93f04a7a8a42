//! Capture files of simulated traffic.

use std::fs::File;
use std::io::BufWriter;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use smoltcp::phy::{ChecksumCapabilities, PcapLinkType, PcapSink};
use smoltcp::time::Instant;
use smoltcp::wire::{IpProtocol, Ipv4Packet, Ipv4Repr, Ipv6Packet, Ipv6Repr, UdpPacket, UdpRepr};

use super::packet::IpPacket;
use crate::addr::Ecn;
use crate::time::Time;

const UDP_HEADER: usize = 8;
const HOP_LIMIT: u8 = 64;

/// Writes packets as a pcap file of link type "raw IP".
pub(super) struct Capture {
    file: BufWriter<File>,
}

impl Capture {
    /// The capture that `SCTP_SIM_PCAP` asks for. If `SCTP_SIM_SEED` is not set, there may be many
    /// runs, so the seed becomes part of the file name.
    pub(super) fn from_env(seed: u64) -> Option<Capture> {
        let mut path = PathBuf::from(std::env::var_os("SCTP_SIM_PCAP")?);
        if std::env::var_os("SCTP_SIM_SEED").is_none() {
            path.set_extension(format!("{seed}.pcap"));
        }
        Some(
            Capture::create(&path)
                .unwrap_or_else(|e| panic!("cannot write {}: {e}", path.display())),
        )
    }

    /// A capture in a new file.
    pub(super) fn create(path: &Path) -> std::io::Result<Capture> {
        let mut capture = Capture { file: BufWriter::new(File::create(path)?) };
        capture.file.global_header(PcapLinkType::Ip);
        Ok(capture)
    }

    pub(super) fn write(&mut self, at: Time, packet: &IpPacket) {
        let at = Instant::from_micros(i64::try_from(at.as_micros()).unwrap_or(i64::MAX));
        self.file.packet(at, &ip_bytes(packet));
    }
}

/// The packet with its IP and UDP headers. Longer packets are cut to about 64 KiB; no stack sends
/// any.
pub(super) fn ip_bytes(packet: &IpPacket) -> Vec<u8> {
    let sctp = &packet.sctp[..packet.sctp.len().min(65_000)];
    let (protocol, transport) = match packet.udp {
        None => (IpProtocol::Unknown(132), sctp.to_vec()),
        Some(ports) => {
            let mut bytes = vec![0; UDP_HEADER + sctp.len()];
            let repr = UdpRepr { src_port: ports.src, dst_port: ports.dst };
            repr.emit(
                &mut UdpPacket::new_unchecked(&mut bytes[..]),
                &packet.src.into(),
                &packet.dst.into(),
                sctp.len(),
                |payload| payload.copy_from_slice(sctp),
                &ChecksumCapabilities::default(),
            );
            (IpProtocol::Udp, bytes)
        }
    };
    let ecn = match packet.ecn {
        None => 0,
        Some(Ecn::Ect1) => 1,
        Some(Ecn::Ect0) => 2,
        Some(Ecn::Ce) => 3,
    };
    let mut bytes = match (packet.src, packet.dst) {
        (IpAddr::V4(src_addr), IpAddr::V4(dst_addr)) => {
            let repr = Ipv4Repr {
                src_addr,
                dst_addr,
                next_header: protocol,
                payload_len: transport.len(),
                hop_limit: HOP_LIMIT,
            };
            let mut bytes = vec![0; repr.buffer_len()];
            let mut header = Ipv4Packet::new_unchecked(&mut bytes[..]);
            repr.emit(&mut header, &ChecksumCapabilities::default());
            header.set_ecn(ecn);
            header.set_dont_frag(!packet.may_fragment);
            header.fill_checksum();
            bytes
        }
        (src, dst) => {
            let v6 = |addr| match addr {
                IpAddr::V4(a) => a.to_ipv6_mapped(),
                IpAddr::V6(a) => a,
            };
            let repr = Ipv6Repr {
                src_addr: v6(src),
                dst_addr: v6(dst),
                next_header: protocol,
                payload_len: transport.len(),
                hop_limit: HOP_LIMIT,
            };
            let mut bytes = vec![0; repr.buffer_len()];
            let mut header = Ipv6Packet::new_unchecked(&mut bytes[..]);
            repr.emit(&mut header);
            header.set_traffic_class(ecn);
            bytes
        }
    };
    bytes.extend_from_slice(&transport);
    bytes
}
