//! Tests of files, link types, IP versions, UDP and fragments.

use std::io::Write as _;
use std::net::{IpAddr, Ipv6Addr};

use super::super::packet::INIT;
use super::super::{
    Capture, Frame, LinkType, Offered, Options, Unjudged, lint, offered, report, rules,
};
use super::wire::{self, Fragment, LEFT, RIGHT, Wire};

/// A packet that breaks one rule: port 0.
fn faulty() -> Vec<u8> {
    wire::sctp(0, 2000, 7, &wire::chunk(11, 0, b""))
}

fn broken_names(frames: Vec<Frame>) -> Vec<&'static str> {
    let capture = Capture { name: "test".to_owned(), frames, ..Capture::default() };
    lint(&[capture], &Options::default()).iter().map(|finding| finding.rule.name).collect()
}

fn ip(bytes: Vec<u8>) -> Frame {
    Frame { time: 0, link_type: LinkType::Ip, bytes }
}

#[test]
fn sctp_is_found_in_ipv4_ipv6_and_udp() {
    let none = Fragment::default();
    let native = wire::ipv4(LEFT, RIGHT, 132, none, &faulty());
    let in_udp = wire::ipv4(LEFT, RIGHT, 17, none, &wire::udp(9899, 9899, &faulty()));
    let mut v6 = vec![0x60, 0, 0, 0];
    v6.extend((faulty().len() as u16).to_be_bytes());
    v6.extend([132, 64]);
    v6.extend(Ipv6Addr::new(0xfd01, 0, 0, 0, 0, 0, 0, 1).octets());
    v6.extend(Ipv6Addr::new(0xfd01, 0, 0, 0, 0, 0, 0, 2).octets());
    v6.extend(faulty());
    let mut ethernet = vec![0; 12];
    ethernet.extend([0x08, 0x00]);
    ethernet.extend(&native);
    let ethernet = Frame { time: 0, link_type: LinkType::Ethernet, bytes: ethernet };
    for frame in [ip(native), ip(in_udp), ip(v6), ethernet] {
        assert_eq!(broken_names(vec![frame]), [rules::PORTS.name]);
    }
}

#[test]
fn what_is_no_sctp_is_left_alone() {
    let none = Fragment::default();
    let mut damaged = faulty();
    damaged[5] ^= 1;
    for bytes in [
        wire::ipv4(LEFT, RIGHT, 132, none, &damaged),
        wire::ipv4(LEFT, RIGHT, 17, none, &wire::udp(53, 53, b"a question about a name")),
        wire::ipv4(LEFT, RIGHT, 6, none, &faulty()),
        wire::ipv4(LEFT, [239, 0, 0, 1].into(), 17, none, &wire::udp(9899, 9899, &faulty())),
        vec![0x45, 1, 2],
        vec![],
    ] {
        assert!(broken_names(vec![ip(bytes)]).is_empty());
    }
}

/// With GSO, a captured datagram is not segmented yet. The interface does that, or on loopback the
/// receiver.
#[test]
fn datagrams_of_several_packets_are_split() {
    let good = |n: u8| {
        wire::sctp(1000, 2000, 7, &wire::data(n.into(), 0, n.into(), wire::WHOLE, &[n; 40]))
    };
    let short = wire::sctp(1000, 2000, 7, &wire::data(3, 0, 3, wire::WHOLE, b"end"));
    let in_udp = |parts: &[&[u8]]| {
        let udp = wire::udp(40_000, 50_000, &parts.concat());
        ip(wire::ipv4(LEFT, RIGHT, 17, Fragment::default(), &udp))
    };
    let report = |parts: &[&[u8]]| {
        let capture = Capture { frames: vec![in_udp(parts)], ..Capture::default() };
        report(&[capture], &Options { mtu: 20 + 8 + 12 + 16 + 40, ..Options::default() })
    };
    let all = report(&[&good(0), &good(1), &good(2), &short]);
    assert_eq!((all.packets, all.chunks), (4, 4), "{all}");
    assert!(all.findings.is_empty() && all.unjudged.is_empty(), "{all} {:?}", all.findings);
    // The packet that breaks a rule is found, wherever it is. A single packet is not split.
    let bad = wire::sctp(0, 2000, 7, &wire::data(1, 0, 1, wire::WHOLE, &[1; 40]));
    for parts in [[&good(0), &bad, &good(2)], [&bad, &good(1), &good(2)]] {
        let found = report(&parts.map(|part| &part[..]));
        let names: Vec<_> = found.findings.iter().map(|finding| finding.rule.name).collect();
        assert_eq!(names, [rules::PORTS.name]);
    }
    assert_eq!(report(&[&good(0)]).packets, 1);
    // Each packet counts with its own length: a datagram larger than the MTU is not a fault.
    let long = wire::sctp(1000, 2000, 7, &wire::data(0, 0, 0, wire::WHOLE, &[0; 44]));
    let found = report(&[&long, &long, &short]);
    assert!(found.findings.iter().all(|finding| finding.rule == &rules::MTU), "{found}");
    assert_eq!(found.findings.len(), 2, "{:?}", found.findings);
    // Only the damaged packet counts as not judged.
    let mut damaged = good(1);
    damaged[30] ^= 1;
    let found = report(&[&good(0), &damaged, &good(2)]);
    assert_eq!((found.packets, found.unjudged), (2, [(Unjudged::Datagram, 1)].into()));
}

#[test]
fn what_cannot_be_judged_is_counted_and_named() {
    let none = Fragment::default();
    let good = wire::sctp(1000, 2000, 7, &wire::chunk(11, 0, b""));
    let udp =
        |from, to, bytes: &[u8]| wire::ipv4(LEFT, RIGHT, 17, none, &wire::udp(from, to, bytes));
    let mut damaged = good.clone();
    damaged[5] ^= 1;
    let unjudged = |frames: Vec<Frame>| {
        let capture = Capture { frames, ..Capture::default() };
        report(&[capture], &Options::default()).unjudged
    };
    let one = |why| [(why, 1)].into();
    let native = wire::ipv4(LEFT, RIGHT, 132, none, &damaged);
    assert_eq!(unjudged(vec![ip(native)]), one(Unjudged::Checksum));
    // In UDP, packets count only between ports that have SCTP earlier or later, or if one of the
    // ports is that of SCTP.
    let (first, second) =
        (ip(udp(40_000, 50_000, &good)), ip(udp(50_000, 40_000, b"what is this?")));
    for frames in [[first.clone(), second.clone()], [second.clone(), first.clone()]] {
        assert_eq!(unjudged(frames.into()), one(Unjudged::Datagram));
    }
    assert_eq!(unjudged(vec![ip(udp(9899, 53, b"and this?"))]), one(Unjudged::Datagram));
    assert!(unjudged(vec![second, ip(udp(40_000, 50_001, &good))]).is_empty());
    // The beginnings of packets between the same ports.
    for whole in [wire::ipv4(LEFT, RIGHT, 132, none, &good), udp(40_000, 50_000, &good)] {
        let beginning = ip(whole[..whole.len() - 1].to_vec());
        assert_eq!(unjudged(vec![beginning.clone(), first.clone()]), one(Unjudged::PacketCut));
        let mut ethernet = [&[0; 12][..], &[8, 0]].concat();
        ethernet.extend(&beginning.bytes);
        let beginning = Frame { time: 0, link_type: LinkType::Ethernet, bytes: ethernet };
        assert_eq!(unjudged(vec![beginning, first.clone()]), one(Unjudged::PacketCut));
    }
    let other = udp(53, 53, b"a question about a name");
    assert!(unjudged(vec![ip(other[..30].to_vec()), first.clone()]).is_empty());
    let more = Fragment { offset: 0, more: true, allowed: true };
    let piece = ip(wire::ipv4(LEFT, RIGHT, 132, more, &good));
    assert_eq!(unjudged(vec![piece]), one(Unjudged::Fragments));
    let piece = ip(wire::ipv4(LEFT, RIGHT, 17, more, &wire::udp(50_000, 40_000, &good)));
    assert_eq!(unjudged(vec![piece, first]), one(Unjudged::Fragments));
    let unknown = Frame { time: 0, link_type: LinkType::Other, bytes: good };
    assert_eq!(unjudged(vec![unknown]), one(Unjudged::Interface));

    let files =
        [Capture { dropped: 3, ..Capture::default() }, Capture { cut: true, ..Capture::default() }];
    assert_eq!(
        report(&files, &Options::default()).to_string(),
        "0 packets, 0 associations, 0 DATA chunks, 0 faults; not judged: 3 packets that the \
         capture missed, 1 packets cut off at the end of a file"
    );
}

#[test]
fn fragments_are_put_together_in_any_order() {
    let large = wire::sctp(0, 2000, 7, &wire::chunk(132, 0, &[0; 100]));
    let piece = |from: usize, to: usize| {
        let fragment = Fragment { offset: from as u16, more: to < large.len(), allowed: true };
        ip(wire::ipv4(LEFT, RIGHT, 132, fragment, &large[from..to]))
    };
    let end = large.len();
    assert_eq!(
        broken_names(vec![piece(48, 96), piece(96, end), piece(0, 48)]),
        [rules::PORTS.name]
    );
    assert!(broken_names(vec![piece(0, 48), piece(96, end)]).is_empty());
    let mut v6 = Vec::new();
    for (from, to) in [(0, 48), (48, end)] {
        let mut bytes = vec![0x60, 0, 0, 0];
        bytes.extend(((to - from + 8) as u16).to_be_bytes());
        bytes.extend([44, 64]);
        bytes.extend([0xfd; 32]);
        bytes.extend([132, 0]);
        bytes.extend((from as u16 | u16::from(to < end)).to_be_bytes());
        bytes.extend([0, 0, 0, 5]);
        bytes.extend(&large[from..to]);
        v6.push(ip(bytes));
    }
    assert_eq!(broken_names(v6), [rules::PORTS.name]);
}

/// A section header, two interfaces with times in µs, a packet of each, and statistics.
#[test]
fn pcapng_files_are_read() {
    let block = |kind: u32, body: &[u8]| {
        let length = (body.len() as u32 + 12).to_le_bytes();
        [&kind.to_le_bytes()[..], &length, body, &length].concat()
    };
    let packet = wire::ipv4(LEFT, RIGHT, 132, Fragment::default(), &faulty());
    let time = 1_700_000_000_123_456u64;
    let on = |interface: u32, packet: &[u8]| {
        let mut body = interface.to_le_bytes().to_vec();
        body.extend(((time >> 32) as u32).to_le_bytes());
        body.extend((time as u32).to_le_bytes());
        body.extend([(packet.len() as u32).to_le_bytes(); 2].concat());
        body.extend(packet);
        body
    };
    let cooked = [&[0; 20], &packet[..]].concat();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let section = [&0x1a2b_3c4d_u32.to_le_bytes()[..], &[1, 0, 0, 0], &[0xff; 8]].concat();
    let interface = [101, 0, 0, 0, 0, 0, 4, 0];
    let all_interfaces = [20, 1, 0, 0, 0, 0, 4, 0];
    let mut statistics = [0; 12].to_vec();
    statistics.extend([5, 0, 8, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    for (kind, body) in [
        (0x0a0d_0d0a, &section[..]),
        (1, &interface),
        (1, &all_interfaces),
        (6, &on(0, &packet)),
        (6, &on(1, &cooked)),
        (5, &statistics),
    ] {
        file.write_all(&block(kind, body)).unwrap();
    }
    let capture = Capture::read(file.path()).unwrap();
    assert_eq!((capture.frames.len(), capture.dropped, capture.cut), (2, 3, false));
    for frame in &capture.frames {
        assert_eq!((frame.time, &frame.bytes, frame.link_type), (time, &packet, LinkType::Ip));
    }
    // The capturing program was killed.
    file.write_all(&block(6, &on(0, &packet))[..40]).unwrap();
    let capture = Capture::read(file.path()).unwrap();
    assert_eq!((capture.frames.len(), capture.cut), (2, true));
}

#[test]
fn other_files_are_refused_in_a_sentence() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"this is a letter to a friend, and no capture at all").unwrap();
    let said = Capture::read(file.path()).unwrap_err().to_string();
    assert!(said.contains("not a readable pcapng or pcap file"), "{said}");
    let said = Capture::read("no-such-file.pcapng".as_ref()).unwrap_err().to_string();
    assert!(said.starts_with("no-such-file.pcapng: "), "{said}");
}

/// Two processors write into one file, so the packets in it are out of order.
#[test]
fn packets_are_judged_in_the_order_of_their_times() {
    let mut wire = Wire::default();
    wire.associate();
    for n in 0..2 {
        wire.left(wire::data(100 + n, 0, n as u16, wire::WHOLE, b"message"));
        wire.right(wire::sack(100 + n, 9000, &[], &[]));
    }
    let last = wire.frames.len() - 1;
    wire.frames.swap(last - 2, last);
    assert_eq!(wire.findings(), []);
}

/// The two ends of an association over two links, each with a capture of its own.
#[test]
fn captures_are_merged_by_time() {
    let mut wire = Wire::default();
    wire.associate();
    wire.left(wire::data(100, 0, 0, wire::WHOLE, b"first"));
    wire.left(wire::data(101, 0, 1, wire::WHOLE, b"second"));
    wire.right(wire::sack(101, 9000, &[], &[]));
    let (near, options) = (wire.near.clone(), wire.options);
    let side = |n: usize, frames: &[Frame]| {
        let frames = frames.iter().skip(n).step_by(2).cloned().collect();
        Capture { name: n.to_string(), near: near.clone(), frames, ..Capture::default() }
    };
    let captures = [side(0, &wire.frames), side(1, &wire.frames)];
    let report = report(&captures, &options);
    assert_eq!(report.to_string(), "7 packets, 1 associations, 2 DATA chunks, 0 faults");
    // One capture ended before the last packet but one, whose answer is in the other capture.
    let mut ended = captures.clone();
    ended[1].frames.pop();
    assert_eq!(lint(&ended, &options)[0].rule, &rules::SACK_SENT);
    let until = wire.frames[4].time;
    assert_eq!(lint(&ended, &Options { until, ..options }), []);
    // If captures begin in the middle of associations, rules that need earlier packets are judged
    // only for associations that begin later.
    let mut later = captures.clone();
    later.iter_mut().for_each(|capture| drop(capture.frames.drain(..2)));
    assert!(lint(&later, &options).iter().any(|finding| finding.rule == &rules::RECEIVER_TAG));
    assert_eq!(lint(&later, &Options { from: wire.frames[4].time, ..options }), []);
    let alone = lint(&captures[1..], &options);
    assert!(alone.iter().any(|finding| finding.rule == &rules::RECEIVER_TAG), "{alone:?}");
    assert_eq!(alone[0].from, IpAddr::from(RIGHT));
}

#[test]
fn offers_are_found() {
    let mut wire = Wire::default();
    wire.associate_with(&wire::listed(&[LEFT]));
    let extensions =
        [wire::parameter(0x8008, &[0xc1, 0x80]), wire::parameter(0xc000, b"")].concat();
    wire.put(RIGHT, LEFT, wire::sctp(2000, 1000, 0, &wire::init(INIT, 5, 5, &extensions)));
    let found = offered(&[Capture { frames: wire.frames, ..Capture::default() }]);
    let offer = |from, port, parameters: &[u16], chunks: &[u8]| Offered {
        from: IpAddr::from(from),
        port,
        parameters: parameters.iter().copied().collect(),
        chunks: chunks.iter().copied().collect(),
    };
    assert_eq!(
        found,
        [offer(LEFT, 1000, &[], &[]), offer(RIGHT, 2000, &[0x8008, 0xc000], &[0x80, 0xc1])]
    );
}
