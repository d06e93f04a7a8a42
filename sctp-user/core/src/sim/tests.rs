use core::time::Duration;
use std::net::IpAddr;

use super::capture::ip_bytes;
use super::*;
use crate::addr::Ecn;
use crate::stack::Unreachable;
use crate::time::Time;
use crate::wire::{PacketWriter, chunk_type};

const MS: Duration = Duration::from_millis(1);

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A valid SCTP packet of `len` bytes. `n` tells it from others.
fn sctp(n: u32, len: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = PacketWriter::new(&mut bytes, 65_536, 5000, 5001, n);
    writer.raw_chunk(chunk_type::HEARTBEAT, 0, &vec![0; len - 16]);
    writer.finish();
    bytes
}

fn number(packet: &IpPacket) -> u32 {
    packet.packet().map_or(0, |p| p.vtag())
}

/// Sends what it is told to send, keeps what it gets, and may answer everything with a number of
/// packets.
struct Probe {
    addrs: Vec<IpAddr>,
    udp_port: u16,
    answers: usize,
    to_send: Vec<IpPacket>,
    got: Vec<(Time, IpPacket)>,
    icmp: Vec<IcmpError>,
    timer: Option<Time>,
    healthy: bool,
}

impl Probe {
    fn new(addr: &str) -> Self {
        Probe {
            addrs: vec![ip(addr)],
            udp_port: 9899,
            answers: 0,
            to_send: Vec::new(),
            got: Vec::new(),
            icmp: Vec::new(),
            timer: None,
            healthy: true,
        }
    }

    fn numbers(&self) -> Vec<u32> {
        self.got.iter().map(|(_, p)| number(p)).collect()
    }
}

impl Node for Probe {
    fn addrs(&self) -> &[IpAddr] {
        &self.addrs
    }
    fn listens(&self, packet: &IpPacket) -> bool {
        packet.udp.is_none_or(|p| p.dst == self.udp_port)
    }
    fn handle_packet(&mut self, now: Time, packet: IpPacket) {
        for _ in 0..self.answers {
            let mut bytes = Vec::new();
            let mut writer = PacketWriter::new(&mut bytes, 1500, 5001, 5000, 1);
            writer.shutdown_ack();
            writer.finish();
            self.to_send.insert(0, packet.reply(bytes));
        }
        self.got.push((now, packet));
    }
    fn handle_icmp(&mut self, _: Time, error: &IcmpError) {
        self.icmp.push(error.clone());
    }
    fn handle_timeout(&mut self, now: Time) {
        assert_eq!(self.timer.take(), Some(now));
    }
    fn poll_timeout(&mut self) -> Option<Time> {
        self.timer
    }
    fn poll_transmit(&mut self, _: Time) -> Option<IpPacket> {
        self.to_send.pop()
    }
    fn verify(&self) -> Result<(), String> {
        if self.healthy { Ok(()) } else { Err("the probe is ill".into()) }
    }
}

/// Two probes, 1 and 2. Number 1 sends `count` packets of 1000 bytes to 2, one each millisecond.
fn flow(seed: u64, link: Link, count: u32) -> (Sim, NodeId<Probe>, NodeId<Probe>) {
    let mut sim = Sim::new(seed);
    sim.net.set_default(link);
    let (a, b) = (sim.add(Probe::new("10.0.0.1")), sim.add(Probe::new("10.0.0.2")));
    for n in 1..=count {
        sim.with(a, |p, _| {
            p.to_send.push(IpPacket::native(ip("10.0.0.1"), ip("10.0.0.2"), sctp(n, 1000)))
        });
        sim.run_for(MS);
    }
    assert!(sim.run_until_idle(Duration::from_secs(60)));
    (sim, a, b)
}

#[test]
fn a_perfect_link_delivers_everything_in_order() {
    let (sim, _, b) = flow(1, Link::new().delay(10 * MS, Duration::ZERO), 50);
    assert_eq!(sim[b].numbers(), (1..=50).collect::<Vec<_>>());
    assert_eq!(sim[b].got[0].0, Time::from_millis(10));
}

#[test]
fn the_same_seed_gives_the_same_run_and_another_seed_another() {
    let link = || {
        Link::new()
            .loss(0.1)
            .duplicate(0.1, 5 * MS)
            .delay(3 * MS, 2 * MS)
            .reorder(0.2, 9 * MS)
            .corrupt(0.05)
            .rate(10_000_000, 20_000)
    };
    let log = |seed| {
        let (sim, ..) = flow(seed, link(), 300);
        sim.net.log().map(|e| e.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(log(7), log(7));
    assert_ne!(log(7), log(8));
}

#[test]
fn loss_is_about_what_was_asked_for_and_bursts_are_bursts() {
    let (sim, _, b) = flow(1, Link::new().loss(0.2), 2000);
    assert!((1500..1700).contains(&sim[b].got.len()), "{}", sim[b].got.len());

    let (sim, _, b) = flow(1, Link::new().bursts(0.02, 0.2), 2000);
    let numbers = sim[b].numbers();
    let gaps = numbers.windows(2).filter(|w| w[1] - w[0] > 1).count();
    let lost = 2000 - numbers.len();
    assert!(lost > 80 && lost > 3 * gaps, "{lost} lost in {gaps} gaps");
}

#[test]
fn jitter_keeps_the_order_and_reordering_does_not() {
    let (sim, _, b) = flow(1, Link::new().delay(5 * MS, 20 * MS), 200);
    assert!(sim[b].numbers().is_sorted());
    assert!(sim[b].got.iter().any(|(at, p)| *at > Time::from_millis(u64::from(number(p)) + 10)));

    let (sim, _, b) = flow(1, Link::new().reorder(0.2, 20 * MS), 200);
    assert!(!sim[b].numbers().is_sorted());
    assert_eq!(sim[b].got.len(), 200);
}

#[test]
fn duplicates_are_copies_and_corruption_breaks_the_checksum() {
    let (sim, _, b) = flow(1, Link::new().duplicate(0.5, MS), 200);
    let mut numbers = sim[b].numbers();
    assert!((250..350).contains(&numbers.len()));
    numbers.sort();
    numbers.dedup();
    assert_eq!(numbers.len(), 200);

    let (sim, _, b) = flow(1, Link::new().corrupt(0.5), 200);
    let valid = sim[b].got.iter().filter(|(_, p)| p.packet().is_some()).count();
    assert_eq!(sim[b].got.len(), 200);
    assert!((70..130).contains(&valid), "{valid}");
}

#[test]
fn a_bottleneck_delays_and_then_drops_at_the_tail() {
    // 1020 bytes each millisecond are 8.16 Mbit/s. Half of that passes.
    let (sim, _, b) = flow(1, Link::new().rate(4_080_000, 10_200), 100);
    let got = &sim[b].got;
    assert!((55..=62).contains(&got.len()), "{}", got.len());
    assert_eq!(got[0].0, Time::from_millis(2));
    assert_eq!(got[1].0, Time::from_millis(4));
    let full = sim.net.log().filter(|e| e.fate == Fate::Dropped(DropReason::QueueFull)).count();
    assert_eq!(full + got.len(), 100);
}

#[test]
fn outages_and_cuts_lose_what_is_sent_meanwhile() {
    let (sim, _, b) = flow(1, Link::new().outage(Time::from_millis(10), Time::from_millis(20)), 30);
    assert_eq!(sim[b].numbers(), (1..=10).chain(21..=30).collect::<Vec<_>>());

    let (mut sim, a, b) = flow(1, Link::new(), 0);
    let send = |sim: &mut Sim, n| {
        sim.with(a, |p, _| {
            p.to_send.push(IpPacket::native(ip("10.0.0.1"), ip("10.0.0.2"), sctp(n, 100)))
        });
        sim.run_until_idle(MS);
    };
    sim.net.cut(ip("10.0.0.2"), ip("10.0.0.1"));
    send(&mut sim, 1);
    sim.net.heal(ip("10.0.0.1"), ip("10.0.0.2"));
    send(&mut sim, 2);
    sim.net.cut_one_way(ip("10.0.0.2"), ip("10.0.0.1"));
    send(&mut sim, 3);
    assert_eq!(sim[b].numbers(), [2, 3]);
}

#[test]
fn packets_of_the_same_time_keep_their_order() {
    let mut net = Net::new(1);
    for n in 1..=20 {
        net.inject(
            Time::from_millis(1),
            IpPacket::native(ip("10.0.0.1"), ip("10.0.0.2"), sctp(n, 100)),
        );
    }
    assert_eq!(net.poll_arrival(Time::ZERO), None);
    let mut order = Vec::new();
    while let Some((at, Arrival::Packet(packet))) = net.poll_arrival(Time::from_millis(1)) {
        assert_eq!(at, Time::from_millis(1));
        order.push(number(&packet));
    }
    assert_eq!(order, (1..=20).collect::<Vec<_>>());
}

#[test]
#[should_panic(expected = "sent with DF over a path with an MTU of 1400")]
fn a_packet_with_df_above_a_known_mtu_fails_the_run() {
    let mut sim = Sim::new(1);
    sim.net.set_default(Link::new().mtu(1400));
    let a = sim.add(Probe::new("10.0.0.1"));
    sim.with(a, |p, _| {
        p.to_send.push(IpPacket::native(ip("10.0.0.1"), ip("10.0.0.2"), sctp(1, 1384)))
    });
}

#[test]
fn a_hidden_mtu_drops_and_answers_and_fragments_pass() {
    let mut sim = Sim::new(1);
    sim.net.set_default(Link::new().hidden_mtu(1400, true));
    let (a, b) = (sim.add(Probe::new("10.0.0.1")), sim.add(Probe::new("10.0.0.2")));
    let large = IpPacket::native(ip("10.0.0.1"), ip("10.0.0.2"), sctp(1, 1384));
    let loose = IpPacket { may_fragment: true, ..large.clone() };
    sim.with(a, |p, _| p.to_send.extend([large.clone(), loose]));
    assert!(sim.run_until_idle(10 * MS));
    assert_eq!(sim[b].got.len(), 1);
    assert_eq!(sim[a].icmp.len(), 1);
    assert_eq!(sim[a].icmp[0].kind, Unreachable::PacketTooBig { ip_mtu: 1400 });
    assert_eq!(sim[a].icmp[0].quoted.sctp, large.sctp[..548]);

    // Now that the sender knows the MTU, sending the same packet again is a defect.
    let again = std::panic::AssertUnwindSafe(|| sim.with(a, |p, _| p.to_send.push(large)));
    let panic = std::panic::catch_unwind(again).unwrap_err();
    assert!(panic.downcast_ref::<String>().unwrap().contains("MTU of 1400"));
}

#[test]
fn taps_see_change_delay_repeat_and_drop() {
    let (mut sim, a, b) = flow(1, Link::new(), 0);
    sim.net.tap(|_, packet| match number(packet) {
        1 => Verdict::Drop,
        2 => Verdict::Delay(5 * MS),
        3 => Verdict::Twice(MS),
        4 => {
            packet.edit(|bytes| bytes[4..8].copy_from_slice(&44_u32.to_be_bytes()));
            packet.fix_crc();
            Verdict::Pass
        }
        _ => Verdict::Pass,
    });
    sim.net.drop_nth(chunk_type::HEARTBEAT, 5);
    for n in [6, 5, 4, 3, 2, 1] {
        sim[a].to_send.push(IpPacket::native(ip("10.0.0.1"), ip("10.0.0.2"), sctp(n, 100)));
    }
    assert!(sim.run_until_idle(10 * MS));
    assert_eq!(
        sim[b].numbers(),
        [3, 44, 5, 3, 2],
        "6 is the fifth heartbeat that reaches the second tap"
    );
    sim.net.clear_taps();
    sim.with(a, |p, _| {
        p.to_send.push(IpPacket::native(ip("10.0.0.1"), ip("10.0.0.2"), sctp(1, 100)))
    });
    sim.run_until_idle(MS);
    assert_eq!(sim[b].got.len(), 6);
}

#[test]
fn nat_keeps_ports_apart_and_survives_a_rebind() {
    let mut sim = Sim::new(1);
    let one = sim.add(Probe::new("192.168.1.1"));
    let two = sim.add(Probe::new("192.168.1.2"));
    let server = sim.add(Probe::new("203.0.113.9"));
    let outside = ip("198.51.100.1");
    let nat = sim.net.add_nat(Nat::new([ip("192.168.1.1"), ip("192.168.1.2")], outside));
    let packet =
        |from: &str, n| IpPacket::udp((ip(from), 9899), (ip("203.0.113.9"), 9899), sctp(n, 100));
    sim[one].to_send.push(packet("192.168.1.1", 1));
    sim[two].to_send.push(packet("192.168.1.2", 2));
    sim.run_until_idle(MS);
    let seen: Vec<_> = sim[server].got.iter().map(|(_, p)| (p.src, p.udp.unwrap().src)).collect();
    assert_eq!(
        seen,
        [(outside, 9899), (outside, 30_000)],
        "the second host collides with the first"
    );
    assert_eq!(sim.net.nats[nat].outside_port(ip("192.168.1.2"), 9899), Some(30_000));

    let back = |sim: &Sim, i: usize, n| sim[server].got[i].1.reply(sctp(n, 100));
    let (to_one, to_two) = (back(&sim, 0, 11), back(&sim, 1, 12));
    sim[server].to_send.extend([to_one.clone(), to_two]);
    sim.run_until_idle(MS);
    assert_eq!((sim[one].numbers(), sim[two].numbers()), (vec![11], vec![12]));
    assert_eq!(sim[two].got[0].1.udp, Some(UdpPorts { src: 9899, dst: 9899 }));

    sim.net.nats[nat].rebind();
    sim[server].to_send.push(to_one);
    sim[one].to_send.push(packet("192.168.1.1", 3));
    sim.run_until_idle(MS);
    assert_eq!(sim[one].got.len(), 1, "the old mapping is gone");
    let (_, last) = sim[server].got.last().unwrap();
    assert_eq!((last.src, last.udp.unwrap().src), (outside, 30_001));

    sim[two].to_send.push(IpPacket::native(ip("192.168.1.2"), ip("203.0.113.9"), sctp(4, 100)));
    sim.run_until_idle(MS);
    let (_, last) = sim[server].got.last().unwrap();
    assert_eq!((last.src, last.udp), (outside, None));
    let reply = last.reply(sctp(14, 100));
    sim[server].to_send.push(reply);
    sim.run_until_idle(MS);
    assert_eq!(sim[two].numbers(), [12, 14]);
}

#[test]
fn icmp_tells_the_sender_also_behind_nat() {
    let mut sim = Sim::new(1);
    sim.net.icmp = true;
    sim.net.icmp_quote = 8;
    let inside = sim.add(Probe::new("192.168.1.1"));
    let server = sim.add(Probe::new("203.0.113.9"));
    sim.net.add_nat(Nat::new([ip("192.168.1.1")], ip("198.51.100.1")));
    let packet = IpPacket::udp((ip("192.168.1.1"), 7), (ip("203.0.113.9"), 8), sctp(1, 100));
    sim[inside].to_send.push(packet.clone());
    sim[inside].to_send.push(IpPacket::native(ip("192.168.1.1"), ip("203.0.113.77"), sctp(2, 100)));
    sim.run_until_idle(10 * MS);
    assert!(sim[server].got.is_empty());
    let kinds: Vec<_> = sim[inside].icmp.iter().map(|e| e.kind).collect();
    assert_eq!(kinds, [Unreachable::Destination, Unreachable::Protocol]);
    let quoted = &sim[inside].icmp[1].quoted;
    assert_eq!(
        (quoted.src, quoted.udp, &quoted.sctp[..]),
        (packet.src, packet.udp, &packet.sctp[..8])
    );

    // A killed process leaves its machine behind.
    sim.kill(server);
    sim[inside].to_send.push(IpPacket::udp(
        (ip("192.168.1.1"), 7),
        (ip("203.0.113.9"), 9899),
        sctp(3, 100),
    ));
    sim.run_until_idle(10 * MS);
    assert_eq!(sim[inside].icmp.last().unwrap().kind, Unreachable::Protocol);
    let old = sim.replace(server, Probe::new("203.0.113.9"));
    assert!(old.got.is_empty());
    sim[inside].to_send.push(IpPacket::udp(
        (ip("192.168.1.1"), 7),
        (ip("203.0.113.9"), 9899),
        sctp(4, 100),
    ));
    sim.run_until_idle(10 * MS);
    assert_eq!(sim[server].numbers(), [4]);
}

#[test]
fn timers_fire_at_their_time_and_packets_come_first() {
    let mut sim = Sim::new(1);
    let a = sim.add(Probe::new("10.0.0.1"));
    sim[a].timer = Some(Time::from_millis(7));
    let packet = IpPacket::native(ip("10.0.0.2"), ip("10.0.0.1"), sctp(1, 100));
    sim.net.inject(Time::from_millis(7), packet);
    assert!(sim.step());
    assert_eq!(
        (sim.now(), sim[a].got.len(), sim[a].timer),
        (Time::from_millis(7), 1, Some(Time::from_millis(7)))
    );
    assert!(sim.step());
    assert_eq!(sim[a].timer, None);
    assert!(!sim.step());
    assert!(!sim.run_until(MS, |_| false));
    assert_eq!(sim.now(), Time::from_millis(8));
}

#[test]
fn one_packet_may_provoke_one_control_packet_and_no_more() {
    let mut sim = Sim::new(1);
    let a = sim.add(Probe::new("10.0.0.1"));
    let packet = IpPacket::native(ip("10.0.0.2"), ip("10.0.0.1"), sctp(1, 100));
    sim[a].answers = 1;
    let replies = sim.provoke(packet.clone()).unwrap();
    assert_eq!(replies.len(), 1);
    assert_eq!(replies[0].chunk_kinds(), [chunk_type::SHUTDOWN_ACK]);
    assert!(sim.provoke(packet.reply(sctp(1, 100))).is_none(), "nobody there");

    sim[a].answers = 2;
    let panic =
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| sim.provoke(packet))).unwrap_err();
    assert!(panic.downcast_ref::<String>().unwrap().contains("more than one control packet"));
}

#[test]
#[should_panic(expected = "seed 5 at 0.000000s: node 0: the probe is ill")]
fn a_broken_invariant_fails_the_run_with_its_seed() {
    let mut sim = Sim::new(5);
    let a = sim.add(Probe::new("10.0.0.1"));
    sim.with(a, |p, _| p.healthy = false);
}

#[test]
fn every_seed_runs_once_and_the_failing_one_is_reported() {
    if std::env::var_os("SCTP_SIM_SEED").is_some() {
        return;
    }
    let seen = std::sync::Mutex::new(Vec::new());
    for_each_seed(10..60, |seed| seen.lock().unwrap().push(seed));
    let mut seen = seen.into_inner().unwrap();
    seen.sort();
    assert_eq!(seen, (10..60).collect::<Vec<_>>());

    let run = || for_each_seed(0..20, |seed| assert_ne!(seed, 13, "unlucky"));
    let panic = std::panic::catch_unwind(run).unwrap_err();
    assert!(panic.downcast_ref::<String>().unwrap().contains("unlucky"));
}

#[test]
fn captures_hold_whole_ip_packets() {
    let native = IpPacket {
        ecn: Some(Ecn::Ce),
        ..IpPacket::native(ip("10.0.0.1"), ip("10.0.0.2"), sctp(1, 100))
    };
    let bytes = ip_bytes(&native);
    assert_eq!(bytes.len(), native.ip_len());
    assert_eq!((bytes[0], bytes[1], bytes[6], bytes[9]), (0x45, 3, 0x40, 132));
    let header: u32 =
        bytes[..20].chunks(2).map(|w| u32::from(u16::from_be_bytes([w[0], w[1]]))).sum();
    assert_eq!((header & 0xffff) + (header >> 16), 0xffff, "the header checksum is right");
    assert_eq!(bytes[20..], native.sctp[..]);

    let udp = IpPacket::udp((ip("2001:db8::1"), 4444), (ip("2001:db8::2"), 9899), sctp(1, 100));
    let bytes = ip_bytes(&IpPacket { may_fragment: true, ..udp.clone() });
    assert_eq!(bytes.len(), udp.ip_len());
    assert_eq!((bytes[0] >> 4, bytes[6]), (6, 17));
    assert_eq!(bytes[40..46], [0x11, 0x5c, 0x26, 0xab, 0, 108]);
    assert_ne!(bytes[46..48], [0, 0], "UDP has a checksum");
}

#[test]
fn descriptions_name_chunks_and_broken_packets() {
    let packet = IpPacket::native(ip("10.0.0.1"), ip("10.0.0.2"), sctp(0xabc, 100));
    assert_eq!(
        format!("{packet:?}"),
        "10.0.0.1 > 10.0.0.2 100 bytes 5000>5001 tag 00000abc: HEARTBEAT"
    );
    let mut broken = packet;
    broken.edit(|bytes| bytes[20] ^= 1);
    assert!(format!("{broken:?}").ends_with("not a valid SCTP packet"));
    broken.fix_crc();
    assert!(broken.packet().is_some());
}
