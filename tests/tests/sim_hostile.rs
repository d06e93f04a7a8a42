//! Packets from attackers: how much they may cost, and what they must not change.

use std::time::Duration;

use rand::RngExt;
use sctp_user_core::sim::{Host, IpPacket, Link, NodeId, Recorder, Sim, UdpPorts, for_each_seed};
use sctp_user_core::wire::{InitFixed, PacketWriter, chunk_type};
use sctp_user_core::{AssocConfig, Event, StackConfig, Tsn};
use workspace_tests::hostile::{mutate, random_chunks};
use workspace_tests::traffic::{Traffic, plan};

type Id = NodeId<Host<Traffic>>;

const MS: Duration = Duration::from_millis(1);
const ADDR_A: &str = "10.1.0.1";
const ADDR_B: &str = "10.1.0.2";

/// Two ends and an association between them, on which both have much to send.
fn busy_pair(seed: u64, bytes: usize) -> (Sim, Id, Id) {
    let mut sim = Sim::new(seed);
    sim.net.set_default(Link::new().loss(0.02).delay(5 * MS, 5 * MS).rate(4_000_000, 40_000));
    let stack = || StackConfig { ootb_native: true, ..StackConfig::default() };
    let config =
        AssocConfig { shutdown_guard: Some(Duration::from_secs(36_000)), ..AssocConfig::default() };
    let udp = sim.net.rng().random();
    let mut host = |addr| {
        let plan = plan(sim.net.rng(), 10, 0.3, bytes);
        let id = sim.host_with(stack(), &[addr], Traffic::new(plan));
        sim[id].config = config.clone();
        if udp {
            sim[id].use_udp(9899);
        }
        id
    };
    let (a, b) = (host(ADDR_A), host(ADDR_B));
    let peer = sim.with(b, |h, _| h.listen(5001));
    sim.with(a, |h, now| {
        let id = h.connect(now, &peer);
        h.script(now, |app, cx| app.use_assoc(cx, id));
    });
    let up = |sim: &mut Sim| [a, b].iter().all(|&x| !sim[x].app.received.is_empty());
    assert!(sim.run_until(Duration::from_secs(60), up));
    (sim, a, b)
}

/// A packet that one of the two ends has sent to the other.
fn genuine(sim: &mut Sim) -> IpPacket {
    let count = sim.net.sent().count();
    let n = sim.net.rng().random_range(0..count);
    sim.net.sent().nth(n).expect("n is below the count").1.clone()
}

/// Checks that everything that both ends planned to send arrives, and that the association ends
/// gracefully.
fn finish(sim: &mut Sim, a: Id, b: Id) {
    let queued = |sim: &mut Sim| [a, b].iter().all(|&x| sim[x].app.plan.is_empty());
    assert!(sim.run_until(Duration::from_secs(3600), queued));
    sim.with(a, |h, now| h.stack.shutdown(now, h.app.id.unwrap()).unwrap());
    assert!(sim.run_until(Duration::from_secs(36_000), |sim| {
        [a, b].iter().all(|&x| sim[x].app.end().is_some())
    }));
    for (end, other) in [(a, b), (b, a)] {
        assert_eq!(sim[end].app.end(), Some(&Event::ShutdownComplete));
        sim[end].app.assert_received_all_of(&sim[other].app.planned);
    }
}

#[test]
fn packets_with_wrong_tags_change_nothing() {
    for_each_seed(0..150, |seed| {
        let (mut sim, a, b) = busy_pair(seed, 120_000);
        for _ in 0..150 {
            let mut packet = genuine(&mut sim);
            let rng = sim.net.rng();
            let wrong: u32 = rng.random_range(1..=u32::MAX);
            if rng.random() {
                let ports = packet.packet().map(|p| (p.src_port(), p.dst_port())).unwrap();
                packet.sctp = random_chunks(rng, ports.0, ports.1, wrong).into();
            } else {
                if rng.random() {
                    mutate(rng, &mut packet, true);
                }
                packet.edit(|bytes| bytes[4..8].copy_from_slice(&wrong.to_be_bytes()));
                packet.fix_crc();
            }
            // Its source varies: the peer, another UDP port of the peer, or a stranger.
            match rng.random_range(0..3) {
                0 => {}
                1 => packet.udp = packet.udp.map(|p| UdpPorts { src: 4_321, ..p }),
                _ => packet.src = "10.9.9.9".parse().unwrap(),
            }
            let now = sim.now();
            sim.net.inject(now, packet);
            sim.run_for(2 * MS);
        }
        finish(&mut sim, a, b);
    });
}

#[test]
fn replayed_packets_change_nothing() {
    for_each_seed(0..150, |seed| {
        let (mut sim, a, b) = busy_pair(seed, 120_000);
        for _ in 0..150 {
            let packet = genuine(&mut sim);
            let now = sim.now();
            sim.net.inject(now, packet);
            sim.run_for(2 * MS);
        }
        finish(&mut sim, a, b);
    });
}

/// An attacker who knows the tags can end the association, but do no other harm: there is no panic,
/// no broken invariant and no more memory than configured, and the stacks go on serving others.
#[test]
fn broken_packets_with_right_tags_do_no_harm() {
    for_each_seed(0..400, |seed| {
        let (mut sim, a, b) = busy_pair(seed, 120_000);
        for n in 0..60 {
            let mut packet = genuine(&mut sim);
            let rng = sim.net.rng();
            if n % 3 == 0 {
                let (src, dst, tag) =
                    packet.packet().map(|p| (p.src_port(), p.dst_port(), p.vtag())).unwrap();
                packet.sctp = random_chunks(rng, src, dst, tag).into();
            } else {
                mutate(rng, &mut packet, true);
            }
            let now = sim.now();
            sim.net.inject(now, packet);
            sim.run_for(MS);
            for end in [a, b] {
                if let Some(status) = sim[end].stack.status(sim[end].app.id.unwrap()) {
                    assert!(status.recv_buffered <= sim[end].config.recv_buffer, "{status:?}");
                }
            }
        }
        sim.run_for(Duration::from_secs(60));
        for end in [a, b] {
            sim.with(end, |h, now| {
                let id = h.app.id.unwrap();
                if h.app.end().is_none() {
                    h.stack.abort(now, id, "enough".into()).unwrap();
                }
                h.stack.release(now, id);
            });
        }
        // The same stacks set up a new association.
        for end in [a, b] {
            sim[end].app = Traffic::new(plan(sim.net.rng(), 10, 0.3, 10_000));
        }
        let peer = sim[b].peer(5001);
        sim.with(a, |h, now| {
            let id = h.connect(now, &peer);
            h.script(now, |app, cx| app.use_assoc(cx, id));
        });
        assert!(sim.run_until(Duration::from_secs(60), |sim| sim[b].app.id.is_some()));
        finish(&mut sim, a, b);
        for end in [a, b] {
            sim.with(end, |h, now| h.stack.release(now, h.app.id.unwrap()));
            assert_eq!(sim[end].stack.stats().associations, 0);
        }
    });
}

/// A host that listens on port 5001, directly in IP and on UDP port 9899, and answers packets out
/// of the blue.
fn server(sim: &mut Sim) -> NodeId<Host<Recorder>> {
    let stack = StackConfig { ootb_native: true, ootb_rate: 1_000_000, ..StackConfig::default() };
    let b = sim.host_with(stack, &[ADDR_B], Recorder::default());
    sim[b].use_both(9899);
    sim.with(b, |h, _| h.listen(5001));
    b
}

fn init(src_port: u16, tag: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = PacketWriter::new(&mut bytes, 1500, src_port, 5001, 0);
    let fixed = InitFixed {
        initiate_tag: tag,
        a_rwnd: 100_000,
        outbound_streams: 10,
        inbound_streams: 10,
        initial_tsn: Tsn(tag),
    };
    writer.init(false, &fixed, |_| {});
    writer.finish();
    bytes
}

/// RFC 9260 sec 8.4: a packet gets at most one reply, which is never larger than the packet. Only
/// an INIT ACK may be larger, up to three times its INIT, where an INIT counts as at least 100
/// bytes.
#[test]
fn replies_to_strangers_are_few_and_small() {
    for_each_seed(0..100, |seed| {
        let mut sim = Sim::new(seed);
        sim.net.log_limit = 100;
        let b = server(&mut sim);
        // The packets of a real association are the material to break.
        let a = sim.host(&[ADDR_A], Recorder::default());
        let peer = sim[b].peer(5001);
        sim[a].use_udp(9899);
        let id = sim.with(a, |h, now| h.connect(now, &peer));
        sim.with(a, |h, now| h.send(now, id, 0, "hello").unwrap());
        sim.run_for(Duration::from_secs(1));
        sim.with(a, |h, now| h.stack.shutdown(now, id).unwrap());
        sim.run_for(Duration::from_secs(1));
        assert!(sim[b].app.ended(sim[b].app.accepted[0]));
        let material: Vec<IpPacket> = sim.net.sent().map(|(_, p)| p.clone()).collect();
        assert!(material.len() >= 7, "setup, data and shutdown");

        for n in 0..300_u32 {
            let rng = sim.net.rng();
            let mut packet = material[rng.random_range(0..material.len())].clone();
            let (dst, vtag) =
                (5001 + rng.random_range(0..2_u16), if rng.random() { 0 } else { rng.random() });
            match rng.random_range(0..4) {
                0 => packet.sctp = random_chunks(rng, 7, dst, vtag).into(),
                1 => packet.sctp = init(rng.random_range(1..9), rng.random()).into(),
                2 => mutate(rng, &mut packet, false),
                _ => {
                    packet.sctp = init(7, n).into();
                    mutate(rng, &mut packet, true);
                }
            }
            packet.src = "10.9.9.9".parse().unwrap();
            packet.dst = ADDR_B.parse().unwrap();
            packet.udp = rng.random::<bool>().then_some(UdpPorts { src: rng.random(), dst: 9899 });
            let request = packet.sctp.len();
            let was_init = packet.chunk_kinds() == [chunk_type::INIT];
            let replies = sim.provoke(packet.clone()).expect("the server listens");
            assert!(replies.len() <= 1, "{packet:?} provoked {replies:#?}");
            for reply in replies {
                let kinds = reply.chunk_kinds();
                if kinds == [chunk_type::INIT_ACK] {
                    assert!(was_init, "{packet:?} provoked {reply:?}");
                    assert!(
                        reply.sctp.len() <= 3 * request.max(100),
                        "{packet:?} provoked {reply:?}"
                    );
                } else {
                    assert!(reply.sctp.len() <= request, "{packet:?} provoked {reply:?}");
                }
                assert_eq!(
                    (reply.dst, reply.src),
                    (packet.src, packet.dst),
                    "it goes where the packet came from"
                );
                assert_eq!(reply.udp, packet.reply(reply.sctp.clone()).udp);
            }
            assert_eq!(sim[b].stack.stats().associations, 0, "nothing was allocated");
        }
    });
}

#[test]
fn an_init_flood_allocates_nothing_and_is_limited() {
    let mut sim = Sim::new(1);
    sim.net.log_limit = 100;
    let b = server(&mut sim);
    let mut answered = 0;
    for n in 0..30_000_u32 {
        let src = std::net::Ipv4Addr::from(0x0a20_0000 + n).into();
        let packet = IpPacket::native(src, ADDR_B.parse().unwrap(), init(7, n + 1));
        let replies = sim.provoke(packet).unwrap();
        answered += replies.len();
        assert!(replies.iter().all(|r| r.chunk_kinds() == [chunk_type::INIT_ACK]));
    }
    let stats = sim[b].stack.stats();
    assert_eq!(stats.associations, 0);
    assert_eq!(stats.inits_received, 30_000);
    assert_eq!(answered, 10_000, "as many as the rate allows at one moment");
    assert_eq!(stats.rate_limited, 20_000);
    assert_eq!(sim.next_at(), None, "no timer runs for them");

    // A second later, others are served.
    sim.run_for(Duration::from_secs(1));
    let a = sim.host(&[ADDR_A], Recorder::default());
    let peer = sim[b].peer(5001);
    sim[a].use_udp(9899);
    let id = sim.with(a, |h, now| h.connect(now, &peer));
    let is_up = |sim: &mut Sim| {
        sim[a].app.events.iter().any(|(_, i, e)| *i == id && matches!(e, Event::Up { .. }))
    };
    assert!(sim.run_until(Duration::from_secs(10), is_up));
}

#[test]
fn replies_out_of_the_blue_are_limited_and_off_where_others_may_own_the_packet() {
    let data = {
        let mut bytes = Vec::new();
        let mut writer = PacketWriter::new(&mut bytes, 1500, 7, 5001, 77);
        writer.cookie_ack();
        writer.raw_chunk(chunk_type::HEARTBEAT, 0, &[0, 1, 0, 8, 1, 2, 3, 4]);
        writer.finish();
        bytes
    };
    let heartbeat = |port| {
        let mut bytes = Vec::new();
        let mut writer = PacketWriter::new(&mut bytes, 1500, 7, port, 77);
        writer.heartbeat(b"are you there");
        writer.finish();
        bytes
    };
    let mut sim = Sim::new(1);
    let b = sim.host(&[ADDR_B], Recorder::default());
    sim[b].use_both(9899);
    sim.with(b, |h, _| h.listen(5001));
    let (src, dst) = ("10.9.9.9".parse().unwrap(), ADDR_B.parse().unwrap());
    let native = IpPacket::native(src, dst, heartbeat(5002));
    assert!(
        sim.provoke(native).unwrap().is_empty(),
        "another stack of this machine may own the port"
    );
    let udp = IpPacket::udp((src, 40), (dst, 9899), heartbeat(5002));
    let replies: usize = (0..500).map(|_| sim.provoke(udp.clone()).unwrap().len()).sum();
    assert_eq!(replies, 100);
    sim.run_for(Duration::from_secs(1));
    let replies = sim.provoke(udp.clone()).unwrap();
    assert_eq!(replies[0].chunk_kinds(), [chunk_type::ABORT]);
    let abort = replies[0].packet().unwrap();
    assert_eq!(
        (abort.vtag(), abort.chunks().next().unwrap().flags),
        (77, 1),
        "the tag is reflected, T is set"
    );
    // RFC 9260 sec 8.4 rule 7: a COOKIE ACK gets no reply.
    assert!(sim.provoke(IpPacket { sctp: data.into(), ..udp }).unwrap().is_empty());
}
