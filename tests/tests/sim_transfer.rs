//! Transfers between two ends over bad networks, with a thousand seeds.

use std::time::Duration;

use rand::RngExt;
use sctp_user_core::sim::{Host, Link, NodeId, Sim, SimRng, for_each_seed};
use sctp_user_core::{AssocConfig, AssocState, Event, SegmentLimits, StackConfig, Time};
use workspace_tests::traffic::{Traffic, message, plan};

type Id = NodeId<Host<Traffic>>;

const HOUR: Duration = Duration::from_secs(3600);

fn millis(rng: &mut SimRng, max: u64) -> Duration {
    Duration::from_micros(rng.random_range(0..=max * 1000))
}

/// A link with up to 20 % loss and every other fault.
fn bad_link(rng: &mut SimRng, mtu: usize) -> Link {
    let mut link = Link::new().mtu(mtu);
    link = match rng.random_range(0..4) {
        0 => link.bursts(rng.random_range(0.0..0.04), rng.random_range(0.2..0.8)),
        _ => link.loss(rng.random_range(0.0..=0.2)),
    };
    if rng.random_bool(0.3) {
        link =
            link.rate(rng.random_range(500_000..20_000_000), rng.random_range(4 * mtu..64 * mtu));
    }
    if rng.random_bool(0.2) {
        let from = Time::ZERO + millis(rng, 5_000);
        link = link.outage(from, from + millis(rng, 20_000));
    }
    link.duplicate(rng.random_range(0.0..0.1), millis(rng, 50))
        .delay(millis(rng, 80), millis(rng, 20))
        .reorder(rng.random_range(0.0..0.2), millis(rng, 30))
        .corrupt(rng.random_range(0.0..0.02))
}

/// Settings with which the stack never gives up, so that only a defect can end an association
/// early.
fn config(rng: &mut SimRng, mtu: usize) -> AssocConfig {
    let mut config = AssocConfig {
        max_init_retransmits: 1000,
        assoc_max_retrans: 1000,
        path_max_retrans: if rng.random_bool(0.5) { 5 } else { 1000 },
        shutdown_guard: Some(100 * HOUR),
        out_streams: rng.random_range(1..=20),
        ip_mtu: mtu,
        ip_mtu_udp: mtu,
        nodelay: rng.random_bool(0.7),
        ..AssocConfig::default()
    };
    if rng.random_bool(0.5) {
        config.rto_min = Duration::from_millis(200);
        config.rto_initial = Duration::from_millis(500);
        config.rto_max = Duration::from_secs(5);
    }
    if rng.random_bool(0.3) {
        config.recv_buffer = rng.random_range(4_096..100_000);
    }
    if rng.random_bool(0.3) {
        config.send_buffer = rng.random_range(1_000..50_000);
    }
    if rng.random_bool(0.2) {
        config.sack_delay = Duration::ZERO;
    }
    if rng.random_bool(0.2) {
        config.max_burst = 0;
    }
    config
}

fn host(sim: &mut Sim, addrs: &[&str], udp: bool, config: AssocConfig) -> Id {
    let stack = StackConfig { ootb_native: true, ..StackConfig::default() };
    let id = sim.host_with(stack, addrs, Traffic::new(Vec::new()));
    let (batch, coalesce) = {
        let rng = sim.net.rng();
        (rng.random_bool(0.3), if rng.random_bool(0.3) { millis(rng, 2) } else { Duration::ZERO })
    };
    let host = &mut sim[id];
    host.config = config;
    host.set_coalescing(coalesce);
    if batch {
        host.set_segment_limits(SegmentLimits { native: 1, udp: 10 });
    }
    if udp {
        host.use_udp(9899);
    }
    id
}

/// Has both ends send their planned messages over `sim`, and one or both shut down. Checks that
/// everything has arrived.
fn transfer(sim: &mut Sim, a: Id, b: Id, early: bool, all_addrs: bool, closers: (bool, bool)) {
    let mut peer = sim.with(b, |h, _| h.listen(5001));
    if all_addrs {
        let encap = peer.addrs[0].1;
        peer.addrs =
            sctp_user_core::sim::Node::addrs(&sim[b]).iter().map(|&a| (a, encap)).collect();
    }
    sim.with(a, |h, now| {
        let id = h.connect(now, &peer);
        if early {
            h.script(now, |app, cx| app.use_assoc(cx, id));
        } else {
            h.app.id = Some(id);
        }
    });
    let all_queued = |sim: &mut Sim| {
        sim[b].app.id.is_some() && [a, b].iter().all(|&x| sim[x].app.plan.is_empty())
    };
    assert!(sim.run_until(10 * HOUR, all_queued), "all is queued in time");
    for (end, closes) in [(a, closers.0), (b, closers.1)] {
        if closes {
            sim.with(end, |h, now| h.stack.shutdown(now, h.app.id.unwrap()).unwrap());
        }
    }
    let ended = |sim: &mut Sim| [a, b].iter().all(|&x| sim[x].app.end().is_some());
    assert!(sim.run_until(10 * HOUR, ended), "both ends end in time");

    for (end, other) in [(a, b), (b, a)] {
        assert_eq!(sim[end].app.end(), Some(&Event::ShutdownComplete));
        sim[end].app.assert_received_all_of(&sim[other].app.planned);
        let id = sim[end].app.id.unwrap();
        let status = sim[end].stack.status(id).expect("it was not released");
        assert_eq!(status.state, AssocState::Closed);
        assert_eq!((status.send_buffered, status.recv_buffered, status.unacked_chunks), (0, 0, 0));
        let stats = sim[end].stack.assoc_stats(id).unwrap();
        assert_eq!(stats.messages_sent, sim[end].app.planned.len() as u64);
        assert_eq!(stats.messages_received, sim[other].app.planned.len() as u64);
        sim.with(end, |h, now| h.stack.release(now, id));
        assert_eq!(sim[end].stack.stats().associations, 0);
        assert!(sim[end].stack.status(id).is_none());
    }
    assert!(sim.run_until_idle(HOUR), "nothing is left to do");
}

/// Runs a transfer for which everything is drawn from the seed: the network, the settings of both
/// ends, and what they send.
fn over_a_bad_network(seed: u64) -> Sim {
    let mut sim = Sim::new(seed);
    sim.net.log_limit = 2_000;
    let rng = sim.net.rng();
    let mtu = [576, 1280, 1500, 1500, 9000][rng.random_range(0..5)];
    let multihomed = rng.random_bool(0.3);
    let v6 = rng.random_bool(0.3);
    let udp = rng.random_bool(0.5);
    let (config_a, config_b) = (config(rng, mtu), config(rng, mtu));
    let streams = (config_a.out_streams, config_b.out_streams);
    let default = bad_link(rng, mtu);
    let unordered = [0.0, 0.3, 1.0][rng.random_range(0..3)];
    let bytes = (rng.random_range(1..150_000), rng.random_range(0..80_000));
    let plans =
        (plan(rng, streams.0, unordered, bytes.0), plan(rng, streams.1, unordered, bytes.1));
    let (early, all_addrs) = (rng.random_bool(0.5), rng.random_bool(0.5));
    let closers = [(true, false), (false, true), (true, true)][rng.random_range(0..3)];

    // The smallest MTU that links of this IP version may have. Some paths have no more, although
    // the ends start with more.
    let least = if v6 { 1280 } else { 576 };
    let shrinks = rng.random_bool(0.1);
    sim.net.set_default(if shrinks {
        default.hidden_mtu(least, true)
    } else {
        default.mtu(mtu.max(least))
    });
    let addrs: (&[&str], &[&str]) = match (v6, multihomed) {
        (false, false) => (&["10.1.0.1"], &["10.1.0.2"]),
        (false, true) => (&["10.1.0.1", "10.2.0.1"], &["10.1.0.2", "10.2.0.2"]),
        (true, false) => (&["2001:db8:1::1"], &["2001:db8:1::2"]),
        (true, true) => (&["2001:db8:1::1", "2001:db8:2::1"], &["2001:db8:1::2", "2001:db8:2::2"]),
    };
    let a = host(&mut sim, addrs.0, udp, config_a);
    let b = host(&mut sim, addrs.1, udp, config_b);
    sim[a].app = Traffic::new(plans.0);
    sim[b].app = Traffic::new(plans.1);
    transfer(&mut sim, a, b, early, all_addrs, closers);
    sim
}

#[test]
fn every_message_arrives_once_and_in_order_over_bad_networks() {
    for_each_seed(0..1000, |seed| drop(over_a_bad_network(seed)));
}

/// Only the seed decides what happens, so every failure can be repeated.
#[test]
fn the_same_seed_gives_the_same_packets() {
    for_each_seed(0..30, |seed| {
        let log = || over_a_bad_network(seed).net.log().map(|e| e.to_string()).collect::<Vec<_>>();
        let (first, second) = (log(), log());
        for (one, other) in first.iter().zip(&second) {
            assert_eq!(one, other);
        }
        assert_eq!(first.len(), second.len());
    });
}

/// The TSNs of both ends wrap, a hundred times, over bad links.
#[test]
fn tsns_wrap_around() {
    for_each_seed(0..100, |seed| {
        let mut sim = Sim::new(seed);
        let rng = sim.net.rng();
        let (config_a, config_b) = (config(rng, 1500), config(rng, 1500));
        let streams = (config_a.out_streams, config_b.out_streams);
        let plans = (plan(rng, streams.0, 0.3, 60_000), plan(rng, streams.1, 0.3, 60_000));
        let link = bad_link(rng, 1500);
        let before = [0, 1, 2, rng.random_range(3..20)];
        sim.net.set_default(link);
        let a = host_at_tsn(&mut sim, "10.1.0.1", u32::MAX - before[(seed % 4) as usize], config_a);
        let b =
            host_at_tsn(&mut sim, "10.1.0.2", u32::MAX - before[(seed / 4 % 4) as usize], config_b);
        sim[a].app = Traffic::new(plans.0);
        sim[b].app = Traffic::new(plans.1);
        transfer(&mut sim, a, b, true, false, (true, false));
        let wrapped = |id: Id| sim[id].app.received.iter().any(|r| r.cumtsn < 1 << 31);
        assert!(wrapped(a) && wrapped(b), "the TSNs went beyond the wrap");
    });
}

fn host_at_tsn(sim: &mut Sim, addr: &str, tsn: u32, config: AssocConfig) -> Id {
    let stack = StackConfig { ootb_native: true, initial_tsn: Some(tsn), ..StackConfig::default() };
    let id = sim.host_with(stack, &[addr], Traffic::new(Vec::new()));
    sim[id].config = config;
    id
}

/// The stream sequence number has 16 bits, so message 65 536 has number 0 again.
#[test]
fn hard_case_08_ssn_wraps_and_delivery_continues() {
    let mut sim = Sim::new(1);
    sim.net.log_limit = 1_000;
    let delay = Duration::from_millis(2);
    sim.net.set_default(Link::new().loss(0.01).delay(delay, delay).reorder(0.05, 2 * delay));
    let a = sim.host(&["10.1.0.1"], Traffic::new(Vec::new()));
    let b = sim.host(&["10.1.0.2"], Traffic::new(Vec::new()));
    let rng = sim.net.rng();
    let count = 3 * 65_536 / 2;
    let messages = (0..count)
        .map(|n| {
            let len = rng.random_range(1..=8);
            message(rng, n, if n % 1000 == 7 { 1 } else { 0 }, false, len)
        })
        .collect();
    for id in [a, b] {
        sim[id].use_udp(9899);
    }
    sim[a].app = Traffic::new(messages);
    transfer(&mut sim, a, b, true, false, (true, false));
}
