//! What can go wrong around an association: restarts, cuts, NATs, readers that do not read.

use std::time::Duration;

use rand::RngExt;
use sctp_user_core::sim::{Host, IpPacket, Link, Nat, NodeId, Recorder, Sim, for_each_seed};
use sctp_user_core::wire::chunk_type;
use sctp_user_core::{
    AssocConfig, AssocId, AssocState, Encap, Event, LossReason, Peer, PeerAddrState, StackConfig,
    Time,
};
use workspace_tests::traffic::{FIRST_PPID, Traffic, message, plan};

type Id = NodeId<Host<Recorder>>;

const MS: Duration = Duration::from_millis(1);
const SEC: Duration = Duration::from_secs(1);

/// Two recording hosts with these addresses, over UDP, and an association from the first to the
/// second.
fn pair(
    sim: &mut Sim,
    addrs_a: &[&str],
    addrs_b: &[&str],
    config: AssocConfig,
) -> (Id, Id, AssocId, AssocId) {
    let (a, b) = (sim.host(addrs_a, Recorder::default()), sim.host(addrs_b, Recorder::default()));
    for id in [a, b] {
        sim[id].config = config.clone();
        sim[id].use_udp(9899);
    }
    let peer = sim.with(b, |h, _| h.listen(5001));
    let to_b = sim.with(a, |h, now| connect_from(h, now, 6000, &peer));
    assert!(sim.run_until(60 * SEC, |sim| !sim[b].app.accepted.is_empty()));
    sim.run_for(SEC);
    let to_a = sim[b].app.accepted[0];
    (a, b, to_b, to_a)
}

fn connect_from(host: &mut Host<Recorder>, now: Time, port: u16, peer: &Peer) -> AssocId {
    host.bind(port);
    host.stack.connect(now, port, peer, None).unwrap()
}

fn ip(text: &str) -> std::net::IpAddr {
    text.parse().unwrap()
}

fn texts(sim: &Sim, host: Id, id: AssocId) -> Vec<String> {
    let of_id = sim[host].app.received.iter().filter(|(i, _)| *i == id);
    of_id.map(|(_, r)| String::from_utf8_lossy(&r.data).into_owned()).collect()
}

#[test]
fn a_restarted_peer_is_recognised_and_the_association_goes_on() {
    for_each_seed(0..50, |seed| {
        let mut sim = Sim::new(seed);
        sim.net.set_default(Link::new().loss(0.1).delay(10 * MS, 5 * MS).duplicate(0.05, 30 * MS));
        let (a, b, to_b, to_a) =
            pair(&mut sim, &["10.1.0.1"], &["10.1.0.2"], AssocConfig::default());
        let old_tag = sim[b].stack.status(to_a).unwrap().peer_tag;
        for n in 0..20 {
            sim.with(a, |h, now| h.send(now, to_b, 0, format!("old {n}")).unwrap());
            sim.with(b, |h, now| h.send(now, to_a, 0, format!("lost {n}")).unwrap());
        }
        sim.run_for(Duration::from_millis(sim.seed() * 3));

        // The process dies without sending anything, and another one starts with the same address
        // and ports.
        sim.kill(a);
        sim.run_for(200 * MS);
        let seed = sim.stack_seed();
        let mut again =
            Host::new(StackConfig::default(), seed, &[ip("10.1.0.1")], Recorder::default());
        again.use_udp(9899);
        let peer = sim[b].peer(5001);
        let old = sim.replace(a, again);
        let to_b = sim.with(a, |h, now| connect_from(h, now, 6000, &peer));
        let restarted = |sim: &mut Sim| {
            sim[b]
                .app
                .events
                .iter()
                .any(|(_, id, e)| *id == to_a && matches!(e, Event::Restart { .. }))
        };
        assert!(sim.run_until(60 * SEC, restarted), "the peer reports the restart");
        assert!(!sim[b].app.ended(to_a));
        assert_eq!(sim[b].app.accepted.len(), 1, "it is the same association");
        assert_ne!(sim[b].stack.status(to_a).unwrap().peer_tag, old_tag);

        let got = texts(&sim, b, to_a).len();
        assert!(sim.run_until(60 * SEC, |sim| {
            sim[a].app.events.iter().any(|(_, _, e)| matches!(e, Event::Up { .. }))
        }));
        for n in 0..20 {
            sim.with(a, |h, now| h.send(now, to_b, 0, format!("new {n}")).unwrap());
            sim.with(b, |h, now| h.send(now, to_a, 0, format!("hello {n}")).unwrap());
        }
        sim.run_for(120 * SEC);
        let expected = |what: &str| (0..20).map(|n| format!("{what} {n}")).collect::<Vec<_>>();
        assert_eq!(texts(&sim, b, to_a)[got..], expected("new"));
        assert_eq!(
            texts(&sim, a, to_b),
            expected("hello"),
            "nothing from before the restart arrives"
        );
        drop(old);
    });
}

#[test]
fn a_restart_from_another_address_is_refused() {
    let mut sim = Sim::new(1);
    let (_, b, _, to_a) = pair(&mut sim, &["10.1.0.1"], &["10.1.0.2"], AssocConfig::default());
    let init = sim.net.sent().find(|(_, p)| p.has(chunk_type::INIT)).unwrap().1.clone();
    // A restarted peer draws a new tag. With the old tag, these INITs would be late duplicates, and
    // an ABORT in reply, with that tag, would end the living association.
    let mut restarted = init.clone();
    restarted.edit(|bytes| bytes[16] ^= 0x55);
    restarted.fix_crc();
    // It comes from the known address, but lists another one (RFC 9260 sec 5.2.4.1).
    let mut listing = restarted.clone();
    let mut bytes = restarted.sctp.to_vec();
    bytes.extend([0, 5, 0, 8, 10, 77, 0, 1]);
    let length = (bytes.len() - 12) as u16;
    bytes[14..16].copy_from_slice(&length.to_be_bytes());
    listing.sctp = bytes.into();
    listing.fix_crc();
    let replies = sim.provoke(listing).unwrap();
    assert_eq!(replies[0].chunk_kinds(), [chunk_type::ABORT]);
    // It comes from the known address, but from another UDP port (RFC 6951 sec 5.4 and the
    // considerations after it).
    let mut elsewhere = restarted.clone();
    elsewhere.udp.as_mut().unwrap().src = 4444;
    let replies = sim.provoke(elsewhere).unwrap();
    assert_eq!(replies[0].chunk_kinds(), [chunk_type::ABORT]);
    assert_eq!(replies[0].udp.unwrap().dst, 4444);
    let mut late = init.clone();
    late.udp.as_mut().unwrap().src = 4444;
    assert!(
        sim.provoke(late).unwrap().is_empty(),
        "a late duplicate from elsewhere is not answered"
    );
    // The unchanged INIT is a late duplicate, which is answered and does no harm.
    let replies = sim.provoke(init).unwrap();
    assert_eq!(replies[0].chunk_kinds(), [chunk_type::INIT_ACK]);
    assert_eq!(sim[b].stack.status(to_a).unwrap().state, AssocState::Established);
    assert_eq!(sim[b].stack.paths(to_a)[0].addr.encap, Encap::Udp { remote_port: 9899 });
}

#[test]
fn a_partition_that_heals_in_time_loses_nothing() {
    for_each_seed(0..100, |seed| {
        let mut sim = Sim::new(seed);
        sim.net.set_default(Link::new().delay(5 * MS, 5 * MS).loss(0.02));
        let length = sim.net.rng().random_range(1..100_u64) * SEC.as_millis() as u64;
        let begin = sim.net.rng().random_range(0..3_000);
        let stack = || StackConfig { ootb_native: true, ..StackConfig::default() };
        let mut host = |addr| {
            let plan = plan(sim.net.rng(), 5, 0.2, 200_000);
            sim.host_with(stack(), &[addr], Traffic::new(plan))
        };
        let (a, b) = (host("10.1.0.1"), host("10.1.0.2"));
        let peer = sim.with(b, |h, _| h.listen(5001));
        sim.with(a, |h, now| {
            let id = h.connect(now, &peer);
            h.script(now, |app, cx| app.use_assoc(cx, id));
        });
        sim.run_for(begin * MS);
        sim.net.cut(ip("10.1.0.1"), ip("10.1.0.2"));
        sim.run_for(length as u32 * MS);
        sim.net.heal(ip("10.1.0.1"), ip("10.1.0.2"));
        let all = |sim: &mut Sim| {
            let done = |x: NodeId<Host<Traffic>>, y: NodeId<Host<Traffic>>| {
                sim[x].app.received.len() == sim[y].app.planned.len()
            };
            done(a, b) && done(b, a)
        };
        assert!(sim.run_until(600 * SEC, all), "everything arrives after the partition");
        sim[a].app.assert_received_all_of(&sim[b].app.planned);
        sim[b].app.assert_received_all_of(&sim[a].app.planned);
    });
}

#[test]
fn a_partition_that_lasts_is_noticed_by_both_ends() {
    let mut sim = Sim::new(1);
    let config = AssocConfig {
        hb_interval: SEC,
        rto_initial: 200 * MS,
        rto_min: 200 * MS,
        rto_max: SEC,
        assoc_max_retrans: 4,
        path_max_retrans: 4,
        ..AssocConfig::default()
    };
    let (a, b, to_b, to_a) = pair(&mut sim, &["10.1.0.1"], &["10.1.0.2"], config);
    sim.net.cut(ip("10.1.0.1"), ip("10.1.0.2"));
    sim.with(a, |h, now| h.send(now, to_b, 3, "never arrives").unwrap());
    let gone = |sim: &mut Sim| {
        let lost = Event::Lost(LossReason::Unreachable);
        sim[a].app.saw(to_b, &lost) && sim[b].app.saw(to_a, &lost)
    };
    assert!(sim.run_until(60 * SEC, gone), "one by its data, the other by its heartbeats");
    let failed = sim[a].app.events.iter().find_map(|(_, _, e)| match e {
        Event::SendFailed { message, unsent } => Some((message.clone(), *unsent)),
        _ => None,
    });
    let (message, unsent) = failed.expect("the message comes back");
    assert_eq!((&message.data[..], message.stream, unsent), (&b"never arrives"[..], 3, false));
}

#[test]
fn a_cut_path_moves_the_traffic_to_the_other_one() {
    for_each_seed(0..100, |seed| {
        let mut sim = Sim::new(seed);
        sim.net.set_default(Link::new().delay(10 * MS, 5 * MS).loss(0.01));
        let config = AssocConfig {
            rto_initial: 300 * MS,
            rto_min: 200 * MS,
            rto_max: 2 * SEC,
            path_max_retrans: 2,
            hb_interval: SEC,
            hb_interval_udp: SEC,
            ..AssocConfig::default()
        };
        let (a, b, to_b, to_a) =
            pair(&mut sim, &["10.1.0.1", "10.2.0.1"], &["10.1.0.2", "10.2.0.2"], config);
        sim.run_for(3 * SEC);
        let paths = sim[a].stack.paths(to_b);
        assert_eq!(paths.len(), 2);
        let primary = sim[a].stack.status(to_b).unwrap().primary.unwrap();
        let other = paths.iter().map(|p| p.addr.remote).find(|r| *r != primary).unwrap();
        assert!(sim[a].app.events.iter().any(|(_, _, e)| {
            *e == Event::PeerAddrChange { addr: other, state: PeerAddrState::Confirmed }
        }));

        for local in ["10.1.0.1", "10.2.0.1"] {
            sim.net.cut(ip(local), primary);
        }
        let cut_at = sim.now();
        let send = |sim: &mut Sim, count: u32| {
            for n in 0..count {
                let message = message(sim.net.rng(), n, 0, false, 2000);
                sim.with(a, |h, now| h.stack.send(now, to_b, message).unwrap());
                sim.run_for(20 * MS);
            }
        };
        send(&mut sim, 50);
        let received = |sim: &Sim| {
            sim[b].app.received.iter().map(|(_, r)| r.ppid - FIRST_PPID).collect::<Vec<_>>()
        };
        assert!(
            sim.run_until(20 * SEC, |sim| received(sim).len() == 50),
            "only {:?}",
            received(&sim)
        );
        assert_eq!(received(&sim), (0..50).collect::<Vec<_>>());
        let down = Event::PeerAddrChange { addr: primary, state: PeerAddrState::Unreachable };
        assert!(sim.run_until(20 * SEC, |sim| sim[a].app.saw(to_b, &down)), "the user is told");
        assert!(sim.now().since(cut_at) < 30 * SEC);

        // When the primary works again, the user is told and new data uses it.
        for local in ["10.1.0.1", "10.2.0.1"] {
            sim.net.heal(ip(local), primary);
        }
        let up = Event::PeerAddrChange { addr: primary, state: PeerAddrState::Available };
        assert!(sim.run_until(20 * SEC, |sim| sim[a].app.saw(to_b, &up)));
        sim.run_for(SEC);
        sim.net.clear_log();
        send(&mut sim, 10);
        assert!(sim.run_until(20 * SEC, |sim| received(sim).len() == 60));
        let first = sim.net.sent().find(|(_, p)| p.has(chunk_type::DATA)).unwrap().1;
        assert_eq!(first.dst, primary);
        assert!(!sim[a].app.ended(to_b) && !sim[b].app.ended(to_a));
    });
}

#[test]
fn an_association_survives_a_nat_that_changes_its_port() {
    for_each_seed(0..50, |seed| {
        let mut sim = Sim::new(seed);
        sim.net.set_default(Link::new().delay(10 * MS, 5 * MS).loss(0.05));
        let outside = ip("198.51.100.1");
        let nat = sim.net.add_nat(Nat::new([ip("192.168.1.1"), ip("192.168.1.2")], outside));
        let (a, b, to_b, to_a) =
            pair(&mut sim, &["192.168.1.1"], &["203.0.113.9"], AssocConfig::default());
        let port = |sim: &Sim| sim[b].stack.paths(to_a)[0].addr;
        assert_eq!(port(&sim).remote, outside);
        assert_eq!(port(&sim).encap, Encap::Udp { remote_port: 9899 });

        for round in 0..3 {
            sim.net.nats[nat].rebind();
            let (ping, pong) = (format!("ping {round}"), format!("pong {round}"));
            sim.with(a, |h, now| h.send(now, to_b, 0, &ping).unwrap());
            sim.with(b, |h, now| h.send(now, to_a, 0, &pong).unwrap());
            let there = |sim: &mut Sim| {
                texts(sim, b, to_a).last() == Some(&ping)
                    && texts(sim, a, to_b).last() == Some(&pong)
            };
            assert!(sim.run_until(60 * SEC, there), "round {round}");
            assert_eq!(port(&sim).encap, Encap::Udp { remote_port: 30_000 + round as u16 });
        }
        assert_eq!(sim[b].app.accepted.len(), 1);
    });
}

/// Two clients behind one NAT address keep their associations apart when their SCTP ports differ.
#[test]
fn two_clients_behind_one_address() {
    let mut sim = Sim::new(3);
    sim.net.add_nat(Nat::new([ip("192.168.1.1"), ip("192.168.1.2")], ip("198.51.100.1")));
    let (a, b, to_b, _) =
        pair(&mut sim, &["192.168.1.1"], &["203.0.113.9"], AssocConfig::default());
    let c = sim.host(&["192.168.1.2"], Recorder::default());
    sim[c].use_udp(9899);
    let peer = sim[b].peer(5001);
    let c_to_b = sim.with(c, |h, now| h.connect(now, &peer));
    assert!(sim.run_until(10 * SEC, |sim| sim[b].app.accepted.len() == 2));
    sim.with(a, |h, now| h.send(now, to_b, 0, "from a").unwrap());
    sim.with(c, |h, now| h.send(now, c_to_b, 0, "from c").unwrap());
    sim.run_for(SEC);
    let ids = sim[b].app.accepted.clone();
    assert_eq!(
        (texts(&sim, b, ids[0]), texts(&sim, b, ids[1])),
        (vec!["from a".into()], vec!["from c".into()])
    );
    for (n, id) in ids.into_iter().enumerate() {
        sim.with(b, |h, now| h.send(now, id, 0, format!("to {n}")).unwrap());
    }
    sim.run_for(SEC);
    assert_eq!(
        (texts(&sim, a, to_b), texts(&sim, c, c_to_b)),
        (vec!["to 0".into()], vec!["to 1".into()])
    );
}

/// Somebody has taken over the UDP port of a peer and sends in its name, with a wrong tag. The
/// association does not move to that port.
#[test]
fn only_the_right_tag_moves_the_udp_port() {
    let mut sim = Sim::new(1);
    let (_, b, to_b, to_a) = pair(&mut sim, &["10.1.0.1"], &["10.1.0.2"], AssocConfig::default());
    let _ = to_b;
    let heartbeat = |tag: u32| {
        let mut bytes = Vec::new();
        let mut writer = sctp_user_core::wire::PacketWriter::new(&mut bytes, 1500, 6000, 5001, tag);
        writer.heartbeat(b"12345678");
        writer.finish();
        IpPacket::udp((ip("10.1.0.1"), 4444), (ip("10.1.0.2"), 9899), bytes)
    };
    let tag = sim[b].stack.status(to_a).unwrap().local_tag;
    assert!(sim.provoke(heartbeat(tag ^ 1)).unwrap().is_empty());
    assert_eq!(sim[b].stack.paths(to_a)[0].addr.encap, Encap::Udp { remote_port: 9899 });
    let replies = sim.provoke(heartbeat(tag)).unwrap();
    assert_eq!(replies[0].chunk_kinds(), [chunk_type::HEARTBEAT_ACK]);
    assert_eq!(replies[0].udp.unwrap().dst, 4444);
    assert_eq!(sim[b].stack.paths(to_a)[0].addr.encap, Encap::Udp { remote_port: 4444 });
}

#[test]
fn a_killed_process_is_noticed_by_icmp_at_once() {
    let mut sim = Sim::new(1);
    sim.net.icmp = true;
    sim.net.icmp_quote = 8;
    sim.net.set_default(Link::new().delay(10 * MS, Duration::ZERO));
    let (a, b, to_b, _) = pair(&mut sim, &["10.1.0.1"], &["10.1.0.2"], AssocConfig::default());
    sim.kill(b);
    let killed = sim.now();
    sim.with(a, |h, now| h.send(now, to_b, 0, "anyone?").unwrap());
    let lost = Event::Lost(LossReason::ProtocolUnreachable);
    assert!(sim.run_until(SEC, |sim| sim[a].app.saw(to_b, &lost)));
    assert!(sim.now().since(killed) < 20 * MS);
}

/// Forged ICMP errors, which lack the right tag, do not end the association.
#[test]
fn icmp_with_a_wrong_tag_is_not_believed() {
    let mut sim = Sim::new(1);
    let (a, b, to_b, _) = pair(&mut sim, &["10.1.0.1"], &["10.1.0.2"], AssocConfig::default());
    let status = sim[a].stack.status(to_b).unwrap();
    let to = sim[a].stack.paths(to_b)[0].addr;
    for tag in [status.local_tag, status.peer_tag ^ 1, 0] {
        let mut quoted = Vec::new();
        quoted.extend(6000_u16.to_be_bytes());
        quoted.extend(5001_u16.to_be_bytes());
        quoted.extend(tag.to_be_bytes());
        sim.with(a, |h, now| {
            h.stack.handle_unreachable(now, to, sctp_user_core::Unreachable::Protocol, &quoted);
        });
    }
    sim.with(a, |h, now| h.send(now, to_b, 0, "still here").unwrap());
    assert!(sim.run_until(SEC, |sim| !sim[b].app.received.is_empty()));
    assert!(!sim[a].app.ended(to_b));
}

#[test]
fn a_smaller_path_mtu_is_learnt_from_icmp() {
    let mut sim = Sim::new(1);
    let (a, b, to_b, _) = pair(&mut sim, &["10.1.0.1"], &["10.1.0.2"], AssocConfig::default());
    sim.net.set_link(
        ip("10.1.0.1"),
        ip("10.1.0.2"),
        Link::new().hidden_mtu(1000, true).delay(5 * MS, MS),
    );
    let large = vec![7; 30_000];
    for _ in 0..3 {
        sim.with(a, |h, now| h.send(now, to_b, 0, &large).unwrap());
    }
    assert!(
        sim.run_until(60 * SEC, |sim| sim[b].app.received.len() == 3),
        "chunks built before are sent without DF"
    );
    assert!(sim[b].app.received.iter().all(|(_, r)| r.data == large));
    assert_eq!(sim[a].stack.paths(to_b)[0].pmtu, 1000 - 28);
}

/// The reader sleeps for ten minutes while its window is full. The sender waits and probes the
/// window; it does not give up, and counts no errors.
#[test]
fn a_reader_that_sleeps_stops_the_sender_and_nothing_else() {
    for_each_seed(0..50, |seed| {
        let mut sim = Sim::new(seed);
        // Without heartbeats, only SACKs show that the peer is alive.
        let heartbeats = seed % 2 == 0;
        let loss = if heartbeats { 0.02 } else { 0.0 };
        sim.net.set_default(Link::new().delay(5 * MS, 5 * MS).loss(loss));
        let rng = sim.net.rng();
        let recv_buffer = rng.random_range(4_096..40_000);
        let sizes = [20, 1_400, 5_000, 50_000][rng.random_range(0..4)];
        let messages: Vec<_> = (0..300_000 / sizes)
            .map(|n| {
                let len = rng.random_range(1..=sizes as usize);
                message(rng, n, (n % 3) as u16, n % 5 == 0, len)
            })
            .collect();
        let a = sim.host(&["10.1.0.1"], Traffic::new(messages));
        let b = sim.host(&["10.1.0.2"], Traffic::new(Vec::new()));
        sim[a].config.hb_enabled = heartbeats;
        sim[b].config.hb_enabled = heartbeats;
        sim[b].config.recv_buffer = recv_buffer;
        sim[b].app.reading = false;
        let peer = sim.with(b, |h, _| h.listen(5001));
        let to_b = sim.with(a, |h, now| {
            let id = h.connect(now, &peer);
            h.script(now, |app, cx| app.use_assoc(cx, id));
            id
        });
        sim.run_for(60 * SEC);
        // From here on, nothing is lost, so every probe is answered.
        sim.net.set_default(Link::new().delay(5 * MS, 5 * MS));
        sim.run_for(300 * SEC);
        sim.net.clear_log();
        for _ in 0..60 {
            sim.run_for(10 * SEC);
            let status = sim[a].stack.status(to_b).expect("alive");
            assert_eq!(status.state, AssocState::Established);
            assert!(status.peer_rwnd < 1500, "{status:?}");
            let paths = sim[a].stack.paths(to_b);
            assert_eq!(paths[0].error_count, 0, "answered probes are no errors: {:?}", paths[0]);
            let to_a = sim[b].app.id.unwrap();
            let status = sim[b].stack.status(to_a).unwrap();
            assert!(status.recv_buffered <= recv_buffer, "{status:?} {recv_buffer}");
        }
        let packets = sim.net.sent().filter(|(_, p)| p.has(chunk_type::DATA)).count();
        assert!((5..100).contains(&packets), "the probes back off: {packets} in ten minutes");

        sim.with(b, |h, now| h.script(now, |app, cx| app.set_reading(cx, true)));
        let sent = sim[a].app.planned.len();
        assert!(
            sim.run_until(900 * SEC, |sim| sim[b].app.received.len() == sent),
            "the rest arrives"
        );
        sim[b].app.assert_received_all_of(&sim[a].app.planned);
    });
}

/// Both ends call each other from the same ports at the same moment. That makes one association
/// (RFC 9260 sec 5.2.1).
#[test]
fn two_ends_that_call_each_other_get_one_association() {
    for_each_seed(0..200, |seed| {
        let mut sim = Sim::new(seed);
        sim.net.set_default(Link::new().delay(10 * MS, 10 * MS).loss(0.1).duplicate(0.1, 50 * MS));
        let a = sim.host(&["10.1.0.1"], Recorder::default());
        let b = sim.host(&["10.1.0.2"], Recorder::default());
        let (at_a, at_b) = (sim[a].peer(5000), sim[b].peer(5000));
        let later = sim.net.rng().random_range(0..60) * MS;
        let to_b = sim.with(a, |h, now| connect_from(h, now, 5000, &at_b));
        sim.with(b, |h, _| h.bind(5000));
        sim.run_for(later);
        let to_a = sim.with(b, |h, now| h.stack.connect(now, 5000, &at_a, None));
        // The call of A may have arrived before, but B does not listen, so it has no association
        // yet.
        let to_a = to_a.expect("there is no association at B yet");
        let is_up = |sim: &Sim, host: Id, id| {
            sim[host]
                .app
                .events
                .iter()
                .filter(|(_, i, e)| *i == id && matches!(e, Event::Up { .. }))
                .count()
        };
        let up = |sim: &mut Sim| {
            (is_up(sim, a, to_b) == 1 || sim[a].app.ended(to_b))
                && (is_up(sim, b, to_a) == 1 || sim[b].app.ended(to_a))
        };
        assert!(sim.run_until(120 * SEC, up));
        if sim[a].app.ended(to_b) {
            // The call of A arrived before B called, so B refused it. Then B called a port where
            // nobody listened any more.
            return assert!(later >= 10 * MS);
        }
        sim.with(a, |h, now| h.send(now, to_b, 0, "a").unwrap());
        sim.with(b, |h, now| h.send(now, to_a, 0, "b").unwrap());
        sim.run_for(120 * SEC);
        assert_eq!(
            (texts(&sim, a, to_b), texts(&sim, b, to_a)),
            (vec!["b".into()], vec!["a".into()])
        );
        assert_eq!((is_up(&sim, a, to_b), is_up(&sim, b, to_a)), (1, 1));
        assert_eq!((sim[a].stack.stats().associations, sim[b].stack.stats().associations), (1, 1));
    });
}

/// Setup and shutdown succeed although, in turn, each of their packets is lost once.
#[test]
fn setup_and_shutdown_survive_the_loss_of_any_packet() {
    for kind in 1..=14_u8 {
        for nth in 1..=2 {
            let mut sim = Sim::new(u64::from(kind));
            sim.net.set_default(Link::new().delay(10 * MS, Duration::ZERO));
            sim.net.drop_nth(kind, nth);
            let (a, b, to_b, to_a) =
                pair(&mut sim, &["10.1.0.1"], &["10.1.0.2"], AssocConfig::default());
            sim.run_for(5 * SEC);
            sim.with(a, |h, now| h.send(now, to_b, 0, "last words").unwrap());
            sim.with(a, |h, now| h.stack.shutdown(now, to_b).unwrap());
            let done = |sim: &mut Sim| sim[a].app.ended(to_b) && sim[b].app.ended(to_a);
            assert!(sim.run_until(120 * SEC, done), "chunk type {kind}, number {nth}");
            assert!(sim[a].app.saw(to_b, &Event::ShutdownComplete));
            assert!(sim[b].app.saw(to_a, &Event::ShutdownComplete));
            assert_eq!(texts(&sim, b, to_a), ["last words"]);
        }
    }
}
