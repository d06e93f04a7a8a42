//! Path MTU discovery (RFC 8899) end to end: how soon a size is found, how black holes and changing
//! routes affect a transfer, and what probes must not disturb.

use std::net::IpAddr;
use std::time::Duration;

use sctp_user_core::sim::{
    Fate, Host, IpPacket, Link, LogEntry, Nat, NodeId, Recorder, Sim, Verdict, for_each_seed,
};
use sctp_user_core::wire::chunk_type;
use sctp_user_core::{
    AssocConfig, AssocId, AssocState, PathState, PathStatus, PmtudState, SegmentLimits, SendError,
    Time, Unreachable,
};

type Id = NodeId<Host<Recorder>>;

const MS: Duration = Duration::from_millis(1);
const SEC: Duration = Duration::from_secs(1);

/// Two hosts and an association from A to B. A sends, so only the link from A to B matters.
struct Pair {
    sim: Sim,
    a: Id,
    b: Id,
    to_b: AssocId,
    sent: u32,
    size: usize,
}

#[derive(Clone, Copy, PartialEq)]
enum Carrier {
    Native,
    Udp,
}
use Carrier::{Native, Udp};

impl Pair {
    fn new(seed: u64, carrier: Carrier, v6: bool, link: Link, config: &AssocConfig) -> Self {
        let mut sim = Sim::new(seed);
        sim.net.set_default(Link::new().delay(5 * MS, 2 * MS));
        sim.net.log_limit = 200_000;
        let (one, other) = if v6 { ("fd00:1::1", "fd00:1::2") } else { ("10.1.0.1", "10.1.0.2") };
        let (a, b) =
            (sim.host(&[one], Recorder::default()), sim.host(&[other], Recorder::default()));
        for id in [a, b] {
            sim[id].config = config.clone();
            if carrier == Udp {
                sim[id].use_udp(9899);
            }
        }
        // In half of the runs, the stack hands over several packets at once.
        if seed % 2 == 1 {
            sim[a].set_segment_limits(SegmentLimits { native: 16, udp: 16 });
        }
        let peer = sim.with(b, |h, _| h.listen(5001));
        let to_b = sim.with(a, |h, now| h.connect(now, &peer));
        let mut pair = Pair { sim, a, b, to_b, sent: 0, size: 20_000 };
        pair.set_link(link);
        pair.sim.run_for(100 * MS);
        assert_eq!(pair.state(), Some(AssocState::Established));
        pair
    }

    fn set_link(&mut self, link: Link) {
        let (from, to) = (self.sim[self.a].addr(), self.sim[self.b].addr());
        self.sim.net.set_link(from, to, link.delay(5 * MS, 2 * MS));
    }

    fn state(&self) -> Option<AssocState> {
        self.sim[self.a].stack.status(self.to_b).map(|s| s.state)
    }

    fn path(&self) -> PathStatus {
        self.sim[self.a].stack.paths(self.to_b).remove(0)
    }

    /// Sends for a while as fast as the buffer takes it.
    fn send_for(&mut self, time: Duration) {
        let end = self.sim.now() + time;
        while self.sim.now() < end {
            let data = vec![self.sent as u8; self.size];
            match self.sim.with(self.a, |h, now| h.send(now, self.to_b, 0, &data)) {
                Ok(()) => self.sent += 1,
                Err(SendError::WouldBlock) => self.sim.run_for(10 * MS),
                Err(e) => panic!("{e}"),
            }
        }
    }

    /// Sends a message every ten milliseconds for a while.
    fn trickle_for(&mut self, time: Duration) {
        let end = self.sim.now() + time;
        while self.sim.now() < end {
            let data = vec![self.sent as u8; self.size];
            if self.sim.with(self.a, |h, now| h.send(now, self.to_b, 0, &data)).is_ok() {
                self.sent += 1;
            }
            self.sim.run_for(10 * MS);
        }
    }

    /// Checks that every message that was sent arrives once and in order.
    fn assert_all_arrive(&mut self, limit: Duration) {
        let (b, sent) = (self.b, self.sent);
        let all = |sim: &mut Sim| sim[b].app.received.len() as u32 == sent;
        let done = self.sim.run_until(limit, all);
        assert!(done, "{} of {sent} came; {:?}", self.sim[b].app.received.len(), self.path());
        for (n, (_, r)) in self.sim[b].app.received.iter().enumerate() {
            assert!(
                r.data.len() == self.size && r.data.iter().all(|x| *x == n as u8),
                "message {n}"
            );
        }
    }

    fn probes(&self) -> Vec<(Time, IpPacket)> {
        let pads = self.sim.net.sent().filter(|(_, p)| p.has(chunk_type::PAD));
        pads.map(|(at, p)| (at, p.clone())).collect()
    }

    fn largest_data(&self) -> usize {
        let data = self.sim.net.sent().filter(|(_, p)| p.has(chunk_type::DATA) && !p.may_fragment);
        data.map(|(_, p)| p.sctp.len()).max().unwrap_or(0)
    }

    /// Checks that only probes were lost, and that congestion control did not react to that.
    fn assert_undisturbed(&self) {
        let stats = self.sim[self.a].stack.assoc_stats(self.to_b).unwrap();
        assert_eq!(
            (stats.data_chunks_retransmitted, stats.t3_expiries, stats.fast_retransmits),
            (0, 0, 0)
        );
        let path = self.path();
        assert_eq!((path.error_count, path.state, path.rto), (0, PathState::Active, SEC));
        assert_eq!(path.ssthresh, u32::MAX, "never left slow start");
    }
}

/// The size of the largest SCTP packet on a path with this IP MTU.
fn size(mtu: usize, carrier: Carrier, v6: bool) -> u32 {
    let ip = if v6 { 40 } else { 20 };
    let udp = if carrier == Udp { 8 } else { 0 };
    ((mtu - ip - udp) & !3) as u32
}

#[test]
fn udp_paths_with_an_mtu_of_1500_are_used_in_full_within_seconds() {
    for_each_seed(0..20, |seed| {
        let v6 = seed % 4 < 2;
        let mut pair = Pair::new(seed, Udp, v6, Link::new(), &AssocConfig::default());
        assert_eq!((pair.path().pmtu, pair.path().pmtud), (size(1280, Udp, v6), PmtudState::Base));
        pair.send_for(SEC / 2);
        let cwnd = pair.path().cwnd;
        assert_eq!(pair.largest_data() as u32, size(1280, Udp, v6));
        pair.trickle_for(2 * SEC);
        pair.send_for(SEC / 2);
        assert_eq!(
            (pair.path().pmtu, pair.path().pmtud),
            (size(1500, Udp, v6), PmtudState::Complete)
        );
        assert!(pair.path().cwnd >= cwnd);
        let status = pair.sim[pair.a].stack.status(pair.to_b).unwrap();
        assert_eq!(
            status.fragmentation_point,
            size(1500, Udp, v6) - 28,
            "new fragments fill the packets"
        );
        pair.assert_undisturbed();
        pair.assert_all_arrive(60 * SEC);
        assert_eq!(pair.largest_data() as u32, size(1500, Udp, v6));
        // Each direction has found the size by itself, with two probes.
        assert_eq!(pair.probes().len(), 4);
    });
}

#[test]
fn probes_are_heartbeats_with_padding_that_are_answered_once() {
    let mut pair = Pair::new(2, Udp, false, Link::new(), &AssocConfig::default());
    // Every packet arrives twice, and so do the answers.
    pair.sim.net.tap(|_, _| Verdict::Twice(3 * MS));
    pair.sim.run_for(10 * SEC);
    let probes = pair.probes();
    assert_eq!(probes.len(), 4, "a second answer has no effect: {probes:?}");
    for (_, probe) in &probes {
        assert_eq!(probe.chunk_kinds(), [chunk_type::HEARTBEAT, chunk_type::PAD]);
        assert!(!probe.may_fragment);
        assert!([1252, 1472].contains(&probe.sctp.len()));
    }
    let answers: Vec<_> =
        pair.sim.net.sent().filter(|(_, p)| p.has(chunk_type::HEARTBEAT_ACK)).collect();
    assert_eq!(answers.len(), 2 * probes.len(), "one for each copy");
    assert!(answers.iter().all(|(_, p)| p.sctp.len() < 50), "the other direction is not probed");
    assert_eq!((pair.path().pmtu, pair.path().pmtud), (1472, PmtudState::Complete));
}

#[test]
fn a_narrower_udp_path_is_found_with_and_without_icmp() {
    for_each_seed(0..40, |seed| {
        let (v6, icmp) = (seed % 4 < 2, seed % 8 < 4);
        let mtu = [1280, 1400, 1420, 1480, 1492][seed as usize % 5];
        let link = Link::new().hidden_mtu(mtu, icmp);
        let mut pair = Pair::new(seed, Udp, v6, link, &AssocConfig::default());
        pair.trickle_for(if icmp { 3 * SEC } else { 40 * SEC });
        assert_eq!(
            (pair.path().pmtu, pair.path().pmtud),
            (size(mtu, Udp, v6), PmtudState::Complete)
        );
        pair.assert_undisturbed();
        pair.assert_all_arrive(60 * SEC);
    });
}

#[test]
fn a_slow_path_is_used_in_full() {
    for_each_seed(0..12, |seed| {
        let v6 = seed % 4 < 2;
        let mut pair = Pair::new(seed, Udp, v6, Link::new(), &AssocConfig::default());
        // The round trip takes longer than the RTO, which no measurement has corrected yet, and
        // longer than the timer of probes.
        let round_trip = if seed % 3 == 0 { 5 * SEC } else { 1500 * MS };
        pair.set_link(Link::new().delay(round_trip, MS));
        pair.sim.run_for(60 * SEC);
        assert_eq!(
            (pair.path().pmtu, pair.path().pmtud),
            (size(1500, Udp, v6), PmtudState::Complete)
        );
    });
}

#[test]
fn false_icmp_makes_packets_smaller_only_for_a_moment() {
    for_each_seed(0..8, |seed| {
        let carrier = if seed % 4 < 2 { Native } else { Udp };
        let mut pair = Pair::new(seed, carrier, false, Link::new(), &AssocConfig::default());
        pair.sim.run_for(5 * SEC);
        assert_eq!(pair.path().pmtu, size(1500, carrier, false));
        let to = pair.path().addr;
        let to_b = pair.to_b;
        let tell = |pair: &mut Pair, ip_mtu| {
            pair.sim.with(pair.a, |h, now| {
                let status = h.stack.status(to_b).unwrap();
                let ports = [status.local_port, status.peer_port].map(u16::to_be_bytes).concat();
                let quoted = [ports, status.peer_tag.to_be_bytes().to_vec()].concat();
                h.stack.handle_unreachable(now, to, Unreachable::PacketTooBig { ip_mtu }, &quoted);
            });
        };
        tell(&mut pair, 575);
        assert_eq!(pair.path().pmtu, size(1500, carrier, false));
        tell(&mut pair, 1400);
        assert_eq!((pair.path().pmtu, pair.path().pmtud), (1200, PmtudState::Search));
        pair.sim.run_for(SEC);
        assert_eq!(
            (pair.path().pmtu, pair.path().pmtud),
            (size(1500, carrier, false), PmtudState::Complete)
        );
    });
}

#[test]
fn the_setup_does_not_wait_for_data_that_is_dropped_by_its_size() {
    for_each_seed(0..16, |seed| {
        let v6 = seed % 4 < 2;
        let mtu = if v6 { 1280 } else { [1250, 700][seed as usize % 8 / 4] };
        let mut sim = Sim::new(seed);
        sim.net.set_default(Link::new().hidden_mtu(mtu, false).delay(5 * MS, 2 * MS));
        let (one, other) = if v6 { ("fd00:1::1", "fd00:1::2") } else { ("10.1.0.1", "10.1.0.2") };
        let (a, b) =
            (sim.host(&[one], Recorder::default()), sim.host(&[other], Recorder::default()));
        for id in [a, b] {
            sim[id].config = AssocConfig { ip_mtu_udp: 1500, ..AssocConfig::default() };
            if seed % 2 == 0 {
                sim[id].use_udp(9899);
            }
        }
        let peer = sim.with(b, |h, _| h.listen(5001));
        let to_b = sim.with(a, |h, now| h.connect(now, &peer));
        sim.with(a, |h, now| h.send(now, to_b, 0, [7; 20_000])).unwrap();
        // A packet must be repeated only if the path takes less than the base size.
        sim.run_for(if mtu < 1200 { 1100 * MS } else { 100 * MS });
        assert_eq!(sim[a].stack.status(to_b).unwrap().state, AssocState::Established);
        let all = |sim: &mut Sim| sim[b].app.received.len() == 1;
        assert!(sim.run_until(60 * SEC, all));
    });
}

#[test]
fn data_gets_out_of_a_black_hole_and_back_to_full_size() {
    for_each_seed(0..40, |seed| {
        let v6 = seed % 4 < 2;
        let carrier = if seed % 8 < 4 { Native } else { Udp };
        let mut config = AssocConfig { hb_enabled: seed % 3 > 0, ..AssocConfig::default() };
        if carrier == Udp {
            config.ip_mtu_udp = 1500;
        }
        let link = Link::new().hidden_mtu(1280, false);
        let mut pair = Pair::new(seed, carrier, v6, link, &config);
        // Large messages, or small ones, of which many fit into a packet.
        pair.size = if seed % 5 < 3 { 20_000 } else { 200 };
        pair.send_for(SEC);
        let (a, to_b) = (pair.a, pair.to_b);
        let found = |sim: &mut Sim| sim[a].stack.paths(to_b)[0].pmtu < 1400;
        assert!(pair.sim.run_until(20 * SEC, found), "three timeouts reveal it");
        pair.send_for(SEC);
        pair.sim.run_for(60 * SEC);
        assert_eq!(
            (pair.path().pmtu, pair.path().pmtud),
            (size(1280, carrier, v6), PmtudState::Complete)
        );
        pair.assert_all_arrive(60 * SEC);
        // Ten minutes later, the path takes full-sized packets again.
        pair.set_link(Link::new());
        pair.sim.run_for(620 * SEC);
        assert_eq!(
            (pair.path().pmtu, pair.path().pmtud),
            (size(1500, carrier, v6), PmtudState::Complete)
        );
        pair.send_for(SEC);
        pair.assert_all_arrive(60 * SEC);
    });
}

/// Hosts fragment IPv6 packets only to the MTU of their interface, which is 9000 bytes here.
#[test]
fn an_interface_for_jumbo_frames_keeps_nothing_in_a_black_hole() {
    for_each_seed(0..12, |seed| {
        let carrier = if seed % 4 < 2 { Native } else { Udp };
        let config = AssocConfig { ip_mtu_udp: 1500, ..AssocConfig::default() };
        let mut pair = Pair::new(seed, carrier, true, Link::new(), &config);
        pair.sim.net.interface_mtu = 9000;
        pair.sim.run_for(20 * SEC);
        assert_eq!(pair.path().pmtu, size(1500, carrier, true));
        pair.send_for(100 * MS);
        pair.set_link(Link::new().hidden_mtu(1280, false));
        pair.send_for(100 * MS);
        pair.assert_all_arrive(60 * SEC);
        let cut = pair.sim.net.sent().filter(|(_, p)| p.may_fragment && p.has(chunk_type::DATA));
        // One or two packets went out whole, which showed the MTU of the interface.
        let whole = cut.filter(|(_, p)| p.ip_len() <= 9000).count();
        assert!((1..=2).contains(&whole), "{whole} packets went out whole");
    });
}

#[test]
fn a_black_hole_for_1200_bytes_leaves_the_smallest_packets() {
    for_each_seed(0..8, |seed| {
        let carrier = if seed % 4 < 2 { Native } else { Udp };
        let link = Link::new().hidden_mtu(700, false);
        let config = AssocConfig { hb_enabled: seed % 3 > 0, ..AssocConfig::default() };
        let mut pair = Pair::new(seed, carrier, false, link, &config);
        pair.send_for(5 * SEC);
        pair.sim.run_for(55 * SEC);
        assert_eq!(
            (pair.path().pmtu, pair.path().pmtud),
            (size(576, carrier, false), PmtudState::Error)
        );
        pair.assert_all_arrive(120 * SEC);
        pair.set_link(Link::new());
        pair.sim.run_for(60 * SEC);
        assert_eq!(
            (pair.path().pmtu, pair.path().pmtud),
            (size(1500, carrier, false), PmtudState::Complete)
        );
    });
}

#[test]
fn the_mtu_shrinks_and_grows_in_the_middle_of_a_transfer() {
    for_each_seed(0..24, |seed| {
        let (v6, icmp) = (seed % 4 < 2, seed % 8 < 4);
        let carrier = if seed % 3 == 0 { Native } else { Udp };
        let mut pair = Pair::new(seed, carrier, v6, Link::new(), &AssocConfig::default());
        pair.size = 5_000;
        pair.trickle_for(3 * SEC);
        assert_eq!(pair.path().pmtu, size(1500, carrier, v6));
        pair.set_link(Link::new().hidden_mtu(1400, icmp));
        pair.trickle_for(60 * SEC);
        assert_eq!(
            (pair.path().pmtu, pair.path().pmtud),
            (size(1400, carrier, v6), PmtudState::Complete)
        );
        pair.set_link(Link::new());
        pair.sim.run_for(600 * SEC);
        pair.trickle_for(20 * SEC);
        assert_eq!(
            (pair.path().pmtu, pair.path().pmtud),
            (size(1500, carrier, v6), PmtudState::Complete)
        );
        pair.assert_all_arrive(60 * SEC);
    });
}

#[test]
fn a_cut_line_is_no_black_hole() {
    for_each_seed(0..10, |seed| {
        let mut pair = Pair::new(seed, Native, false, Link::new(), &AssocConfig::default());
        pair.send_for(SEC);
        let (one, other) = (pair.sim[pair.a].addr(), pair.sim[pair.b].addr());
        pair.sim.net.cut(one, other);
        pair.send_for(30 * SEC);
        assert_eq!((pair.path().pmtu, pair.path().pmtud), (1480, PmtudState::Complete));
        assert!(!pair.probes().is_empty(), "the path was probed");
        pair.sim.net.heal(one, other);
        pair.assert_all_arrive(120 * SEC);
        pair.sim.run_for(10 * SEC);
        assert_eq!((pair.path().pmtu, pair.path().pmtud), (1480, PmtudState::Complete));
    });
}

#[test]
fn probes_never_delay_a_shutdown() {
    for seed in 0..2 {
        let link = Link::new().hidden_mtu(1280, false);
        let mut pair = Pair::new(seed, Udp, false, link, &AssocConfig::default());
        pair.sim.run_for(1500 * MS);
        assert_eq!(
            pair.path().pmtud,
            PmtudState::Search,
            "a probe is on its way and will not be answered"
        );
        let probes = pair.probes().len();
        pair.sim.with(pair.a, |h, now| h.stack.shutdown(now, pair.to_b).unwrap());
        pair.sim.run_for(100 * MS);
        assert!(
            pair.sim[pair.a].app.ended(pair.to_b)
                && pair.state().is_none_or(|s| s == AssocState::Closed)
        );
        pair.sim.run_for(60 * SEC);
        assert_eq!(pair.probes().len(), probes);
    }
}

#[test]
fn short_associations_native_ones_and_those_that_do_not_want_it_are_not_probed() {
    let off = AssocConfig { pmtud: false, ..AssocConfig::default() };
    for (carrier, config, time) in [
        (Udp, AssocConfig::default(), SEC / 2),
        (Native, AssocConfig::default(), 60 * SEC),
        (Udp, off, 60 * SEC),
    ] {
        let mut pair = Pair::new(1, carrier, false, Link::new(), &config);
        let pmtu = pair.path().pmtu;
        pair.send_for(time.min(SEC));
        pair.sim.run_for(time.saturating_sub(SEC));
        assert!(pair.probes().is_empty());
        assert_eq!(pair.path().pmtu, pmtu);
        pair.assert_all_arrive(10 * SEC);
    }
}

#[test]
fn switching_it_off_and_fixing_the_mtu_ends_the_search() {
    let link = Link::new().hidden_mtu(1400, true);
    let mut pair = Pair::new(1, Udp, false, link, &AssocConfig::default());
    let addr = pair.sim[pair.b].addr();
    let set = |pair: &mut Pair, pmtud, ip_mtu| {
        let (a, to_b) = (pair.a, pair.to_b);
        pair.sim.with(a, |h, now| {
            let mut params = h.stack.path_params(to_b, addr).unwrap();
            (params.pmtud, params.ip_mtu) = (pmtud, ip_mtu);
            h.stack.set_path_params(now, to_b, addr, params).unwrap().unwrap();
        });
        pair.sim.run_for(10 * SEC);
        (pair.path().pmtu, pair.path().pmtud)
    };
    assert_eq!(set(&mut pair, false, None), (1252, PmtudState::Disabled));
    assert_eq!(set(&mut pair, true, Some(1000)), (972, PmtudState::Disabled));
    assert_eq!(set(&mut pair, true, None), (1372, PmtudState::Complete));
    assert_eq!(set(&mut pair, false, None), (1372, PmtudState::Disabled));
}

#[test]
fn unconfirmed_addresses_get_no_probes() {
    let mut sim = Sim::new(1);
    sim.net.set_default(Link::new().delay(5 * MS, 2 * MS));
    let a = sim.host(&["10.1.0.1", "10.2.0.1"], Recorder::default());
    let b = sim.host(&["10.1.0.2", "10.2.0.2"], Recorder::default());
    for id in [a, b] {
        sim[id].use_udp(9899);
    }
    let second: IpAddr = "10.2.0.2".parse().unwrap();
    for from in ["10.1.0.1", "10.2.0.1"] {
        sim.net.cut(from.parse().unwrap(), second);
    }
    let peer = sim.with(b, |h, _| h.listen(5001));
    let to_b = sim.with(a, |h, now| h.connect(now, &peer));
    sim.run_for(30 * SEC);
    let states = |sim: &Sim| -> Vec<_> {
        sim[a].stack.paths(to_b).iter().map(|p| (p.state, p.pmtud)).collect()
    };
    assert_eq!(
        states(&sim),
        [(PathState::Active, PmtudState::Complete), (PathState::Unconfirmed, PmtudState::Disabled)]
    );
    let to_second = |e: &&LogEntry| e.fate == Fate::Sent && e.packet.dst == second;
    assert!(sim.net.log().filter(to_second).all(|e| !e.packet.has(chunk_type::PAD)));
    for from in ["10.1.0.1", "10.2.0.1"] {
        sim.net.heal(from.parse().unwrap(), second);
    }
    sim.run_for(60 * SEC);
    assert_eq!(states(&sim), [(PathState::Active, PmtudState::Complete); 2]);
}

#[test]
fn a_black_hole_on_one_of_two_paths_is_found() {
    for_each_seed(0..10, |seed| {
        let mut sim = Sim::new(seed);
        sim.net.set_default(Link::new().delay(5 * MS, 2 * MS));
        let a = sim.host(&["10.1.0.1", "10.2.0.1"], Recorder::default());
        let b = sim.host(&["10.1.0.2", "10.2.0.2"], Recorder::default());
        let peer = sim.with(b, |h, _| h.listen(5001));
        let to_b = sim.with(a, |h, now| h.connect(now, &peer));
        sim.run_for(5 * SEC);
        let hole = Link::new().hidden_mtu(1280, false).delay(5 * MS, 2 * MS);
        sim.net.set_link("10.1.0.1".parse().unwrap(), "10.1.0.2".parse().unwrap(), hole);
        let mut sent = 0;
        for _ in 0..6_000 {
            if sim.with(a, |h, now| h.send(now, to_b, 0, vec![1; 3_000])).is_ok() {
                sent += 1;
            }
            sim.run_for(10 * MS);
        }
        assert!(sim.run_until(60 * SEC, |sim| sim[b].app.received.len() == sent));
        let paths = sim[a].stack.paths(to_b);
        assert_eq!((paths[0].pmtu, paths[1].pmtu), (1260, 1480), "{paths:?}");
    });
}

#[test]
fn loss_slows_the_search_and_harms_nothing() {
    for_each_seed(0..30, |seed| {
        let mtu = [1280, 1400, 1500][seed as usize % 3];
        let link = Link::new()
            .hidden_mtu(mtu, seed % 2 == 0)
            .loss(0.1)
            .reorder(0.1, 20 * MS)
            .duplicate(0.1, 20 * MS);
        let mut pair = Pair::new(seed, Udp, false, Link::new(), &AssocConfig::default());
        pair.set_link(link);
        pair.size = 3_000;
        pair.trickle_for(60 * SEC);
        pair.assert_all_arrive(300 * SEC);
        // If losses end the search too early, the next search finds the size.
        let (a, to_b, wanted) = (pair.a, pair.to_b, size(mtu, Udp, false));
        let found = |sim: &mut Sim| sim[a].stack.paths(to_b)[0].pmtu == wanted;
        assert!(pair.sim.run_until(1_300 * SEC, found), "{:?}", pair.path());
    });
}

#[test]
fn a_new_udp_port_has_the_size_in_use_checked() {
    let mut sim = Sim::new(1);
    sim.net.set_default(Link::new().delay(5 * MS, 2 * MS));
    let nat = sim
        .net
        .add_nat(Nat::new(["192.168.0.1".parse().unwrap()], "198.51.100.1".parse().unwrap()));
    let a = sim.host(&["192.168.0.1"], Recorder::default());
    let b = sim.host(&["10.1.0.2"], Recorder::default());
    for id in [a, b] {
        sim[id].use_udp(9899);
    }
    let peer = sim.with(b, |h, _| h.listen(5001));
    let to_b = sim.with(a, |h, now| h.connect(now, &peer));
    sim.run_for(5 * SEC);
    let to_a = sim[b].app.accepted[0];
    assert_eq!(sim[b].stack.paths(to_a)[0].pmtu, 1472);
    sim.net.nats[nat].rebind();
    sim.net.clear_log();
    sim.with(a, |h, now| h.send(now, to_b, 0, "from elsewhere").unwrap());
    sim.run_for(5 * SEC);
    let from_b = sim.net.sent().filter(|(_, p)| p.has(chunk_type::PAD) && p.src == sim[b].addr());
    assert_eq!(
        from_b.map(|(_, p)| p.sctp.len()).collect::<Vec<_>>(),
        [1472],
        "towards the new port"
    );
    let path = sim[b].stack.paths(to_a).remove(0);
    assert_eq!((path.pmtu, path.pmtud), (1472, PmtudState::Complete));
}
