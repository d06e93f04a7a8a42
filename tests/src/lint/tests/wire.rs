//! Conversations for tests, built byte by byte.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use super::super::packet::{
    COOKIE_ACK, COOKIE_ECHO, DATA, HEARTBEAT, HEARTBEAT_ACK, INIT, INIT_ACK, SACK,
};
use super::super::{Capture, Finding, Frame, LinkType, Options, Report, report};

pub(super) const LEFT: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
pub(super) const RIGHT: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
/// The second address of the left end, which only some INITs list.
pub(super) const LEFT_2: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 1);
pub(super) const LEFT_PORT: u16 = 1000;
pub(super) const RIGHT_PORT: u16 = 2000;
/// The tags that the ends have chosen. Packets to the left end carry this one.
pub(super) const LEFT_TAG: u32 = 0x1111;
pub(super) const RIGHT_TAG: u32 = 0x2222;
pub(super) const LEFT_TSN: u32 = 100;
pub(super) const RIGHT_TSN: u32 = 200;
pub(super) const WINDOW: u32 = 10_000;
/// The flags of a message in one chunk.
pub(super) const WHOLE: u8 = 3;

/// One link, with its capture.
pub(super) struct Wire {
    pub(super) options: Options,
    pub(super) near: BTreeSet<IpAddr>,
    pub(super) dropped: u64,
    /// The time of the next packet, µs.
    pub(super) time: u64,
    pub(super) frames: Vec<Frame>,
}

impl Default for Wire {
    /// Everything is known about the capture, so all rules are judged.
    fn default() -> Self {
        Wire {
            options: Options {
                complete: true,
                reordered: false,
                disturbed: false,
                ..Options::default()
            },
            near: [LEFT, RIGHT, LEFT_2].map(IpAddr::from).into(),
            dropped: 0,
            time: 1_000_000_000,
            frames: Vec::new(),
        }
    }
}

impl Wire {
    pub(super) fn findings(self) -> Vec<Finding> {
        self.report().findings
    }

    pub(super) fn report(self) -> Report {
        let Wire { options, near, dropped, frames, .. } = self;
        let name = "test".to_owned();
        report(&[Capture { name, near, dropped, frames, cut: false }], &options)
    }

    /// Sends a packet from the left end, and lets a millisecond pass.
    pub(super) fn left(&mut self, chunks: impl AsRef<[u8]>) {
        self.put(LEFT, RIGHT, sctp(LEFT_PORT, RIGHT_PORT, RIGHT_TAG, chunks.as_ref()));
    }

    /// The same from the right end.
    pub(super) fn right(&mut self, chunks: impl AsRef<[u8]>) {
        self.put(RIGHT, LEFT, sctp(RIGHT_PORT, LEFT_PORT, LEFT_TAG, chunks.as_ref()));
    }

    pub(super) fn put(&mut self, src: Ipv4Addr, dst: Ipv4Addr, sctp: Vec<u8>) {
        self.put_ip(ipv4(src, dst, 132, Fragment::default(), &sctp));
    }

    pub(super) fn put_ip(&mut self, bytes: Vec<u8>) {
        self.frames.push(Frame { time: self.time, link_type: LinkType::Ip, bytes });
        self.time += 1000;
    }

    /// Sends an INIT with these parameters.
    pub(super) fn init(&mut self, parameters: &[u8]) {
        self.left_tagged(0, init(INIT, LEFT_TAG, LEFT_TSN, parameters));
    }

    pub(super) fn left_tagged(&mut self, tag: u32, chunks: Vec<u8>) {
        self.put(LEFT, RIGHT, sctp(LEFT_PORT, RIGHT_PORT, tag, &chunks));
    }

    pub(super) fn init_ack(&mut self) {
        self.right(init(INIT_ACK, RIGHT_TAG, RIGHT_TSN, &cookie()));
    }

    /// Sets up the association.
    pub(super) fn associate(&mut self) {
        self.associate_with(&[]);
    }

    pub(super) fn associate_with(&mut self, parameters: &[u8]) {
        self.init(parameters);
        self.init_ack();
        self.left(chunk(COOKIE_ECHO, 0, COOKIE));
        self.right(chunk(COOKIE_ACK, 0, b""));
    }

    /// Sends a HEARTBEAT from the right end to the second address of the left one, and its answer.
    pub(super) fn confirm(&mut self) {
        let info = parameter(1, b"a nonce for the second");
        self.put(RIGHT, LEFT_2, sctp(RIGHT_PORT, LEFT_PORT, LEFT_TAG, &chunk(HEARTBEAT, 0, &info)));
        let answer = sctp(LEFT_PORT, RIGHT_PORT, RIGHT_TAG, &chunk(HEARTBEAT_ACK, 0, &info));
        self.put(LEFT_2, RIGHT, answer);
    }
}

pub(super) const COOKIE: &[u8] = b"eight by";

pub(super) fn cookie() -> Vec<u8> {
    parameter(7, COOKIE)
}

/// IPv4 addresses as parameters.
pub(super) fn listed(addrs: &[Ipv4Addr]) -> Vec<u8> {
    addrs.iter().flat_map(|addr| parameter(5, &addr.octets())).collect()
}

pub(super) fn init(kind: u8, tag: u32, tsn: u32, parameters: &[u8]) -> Vec<u8> {
    init_with(kind, tag, WINDOW, (10, 10), tsn, parameters)
}

pub(super) fn init_with(
    kind: u8,
    tag: u32,
    window: u32,
    (outbound, inbound): (u16, u16),
    tsn: u32,
    parameters: &[u8],
) -> Vec<u8> {
    let mut value = [tag.to_be_bytes(), window.to_be_bytes()].concat();
    value.extend(outbound.to_be_bytes());
    value.extend(inbound.to_be_bytes());
    value.extend(tsn.to_be_bytes());
    value.extend(parameters);
    chunk(kind, 0, &value)
}

pub(super) fn data(tsn: u32, stream: u16, ssn: u16, flags: u8, bytes: &[u8]) -> Vec<u8> {
    let mut value = tsn.to_be_bytes().to_vec();
    value.extend(stream.to_be_bytes());
    value.extend(ssn.to_be_bytes());
    value.extend(7u32.to_be_bytes());
    value.extend(bytes);
    chunk(DATA, flags, &value)
}

pub(super) fn sack(cum_tsn: u32, window: u32, gaps: &[(u16, u16)], duplicates: &[u32]) -> Vec<u8> {
    let mut value = [cum_tsn.to_be_bytes(), window.to_be_bytes()].concat();
    value.extend((gaps.len() as u16).to_be_bytes());
    value.extend((duplicates.len() as u16).to_be_bytes());
    for (start, end) in gaps {
        value.extend(start.to_be_bytes());
        value.extend(end.to_be_bytes());
    }
    value.extend(duplicates.iter().flat_map(|tsn| tsn.to_be_bytes()));
    chunk(SACK, 0, &value)
}

/// A chunk with its padding.
pub(super) fn chunk(kind: u8, flags: u8, value: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind, flags];
    bytes.extend((value.len() as u16 + 4).to_be_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// A parameter or an error cause with its padding.
pub(super) fn parameter(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = kind.to_be_bytes().to_vec();
    bytes.extend((value.len() as u16 + 4).to_be_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

pub(super) fn sctp(from: u16, to: u16, tag: u32, chunks: &[u8]) -> Vec<u8> {
    let mut bytes = [from.to_be_bytes(), to.to_be_bytes()].concat();
    bytes.extend(tag.to_be_bytes());
    bytes.extend([0; 4]);
    bytes.extend(chunks);
    let crc = crc32c::crc32c(&bytes);
    bytes[8..12].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// The place of a fragment in an IP packet.
#[derive(Clone, Copy, Default)]
pub(super) struct Fragment {
    pub(super) offset: u16,
    pub(super) more: bool,
    pub(super) allowed: bool,
}

pub(super) fn ipv4(
    src: Ipv4Addr,
    dst: Ipv4Addr,
    protocol: u8,
    fragment: Fragment,
    payload: &[u8],
) -> Vec<u8> {
    let mut bytes = vec![0x45, 0];
    bytes.extend((payload.len() as u16 + 20).to_be_bytes());
    let flags = u16::from(fragment.more) << 13 | u16::from(!fragment.allowed) << 14;
    bytes.extend([0, 9]);
    bytes.extend((flags | (fragment.offset / 8)).to_be_bytes());
    bytes.extend([64, protocol, 0, 0]);
    bytes.extend(src.octets());
    bytes.extend(dst.octets());
    bytes.extend(payload);
    bytes
}

pub(super) fn udp(from: u16, to: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = [from.to_be_bytes(), to.to_be_bytes()].concat();
    bytes.extend((payload.len() as u16 + 8).to_be_bytes());
    bytes.extend([0, 0]);
    bytes.extend(payload);
    bytes
}
