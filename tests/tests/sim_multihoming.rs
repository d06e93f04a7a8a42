//! Failover of multi-homed associations (RFC 9260 sec 6.4, 8; RFC 7829), judged by what the
//! application receives and when.

use std::net::IpAddr;
use std::time::Duration;

use sctp_user_core::sim::{Host, Link, NodeId, Recorder, Sim, for_each_seed};
use sctp_user_core::wire::chunk_type;
use sctp_user_core::{
    AssocConfig, AssocId, Event, LossReason, PathState, PathStatus, PeerAddrState, SendError, Time,
};
use workspace_tests::traffic::{FIRST_PPID, message};

type Id = NodeId<Host<Recorder>>;

const MS: Duration = Duration::from_millis(1);
const SEC: Duration = Duration::from_secs(1);

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Two hosts with an address in each of two (or three) networks, and a confirmed association over
/// all of them.
struct Pair {
    sim: Sim,
    a: Id,
    b: Id,
    to_b: AssocId,
    sent: u32,
}

impl Pair {
    fn new(seed: u64, config: &AssocConfig, v6: bool) -> Self {
        let mut sim = Sim::new(seed);
        sim.net.set_default(Link::new().delay(5 * MS, 2 * MS));
        let second = if v6 { ["fd00:2::1", "fd00:2::2"] } else { ["10.2.0.1", "10.2.0.2"] };
        let a = sim.host(&["10.1.0.1", second[0]], Recorder::default());
        let b = sim.host(&["10.1.0.2", second[1]], Recorder::default());
        for id in [a, b] {
            sim[id].config = config.clone();
            sim[id].use_udp(9899);
        }
        let peer = sim.with(b, |h, _| h.listen(5001));
        let to_b = sim.with(a, |h, now| h.connect(now, &peer));
        let mut pair = Pair { sim, a, b, to_b, sent: 0 };
        pair.sim.run_for(3 * SEC);
        assert!(pair.paths().iter().all(|p| p.state == PathState::Active), "{:?}", pair.paths());
        pair
    }

    fn paths(&self) -> Vec<PathStatus> {
        self.sim[self.a].stack.paths(self.to_b)
    }

    /// The state of the path to the first or second address of B.
    fn state(&self, n: usize) -> PathState {
        self.paths()[n].state
    }

    fn primary(&self) -> IpAddr {
        self.sim[self.a].stack.status(self.to_b).unwrap().primary.unwrap()
    }

    /// Cuts network `n` in both directions, or heals it.
    fn network(&mut self, n: usize, works: bool) {
        let remote = self.paths()[n].addr.remote;
        let locals: Vec<IpAddr> = sctp_user_core::sim::Node::addrs(&self.sim[self.a]).to_vec();
        for local in locals {
            if works {
                self.sim.net.heal(local, remote);
            } else {
                self.sim.net.cut(local, remote);
            }
        }
    }

    /// Sends a small message every 10 ms for a while.
    fn send_for(&mut self, time: Duration) {
        let end = self.sim.now() + time;
        while self.sim.now() < end {
            let n = self.sent;
            let message = message(self.sim.net.rng(), n, 0, false, 300);
            match self.sim.with(self.a, |h, now| h.stack.send(now, self.to_b, message)) {
                Ok(()) => self.sent += 1,
                Err(SendError::WouldBlock) => {}
                Err(e) => panic!("{e}"),
            }
            self.sim.run_for(10 * MS);
        }
    }

    /// Waits until all messages have arrived, checks that each came once and in order, and returns
    /// the times of their arrival.
    fn arrivals(&mut self) -> Vec<Time> {
        let (b, sent) = (self.b, self.sent);
        let all = |sim: &mut Sim| sim[b].app.received.len() as u32 == sent;
        assert!(
            self.sim.run_until(120 * SEC, all),
            "{} of {sent} came",
            self.sim[b].app.received.len()
        );
        let numbers: Vec<u32> =
            self.sim[b].app.received.iter().map(|(_, r)| r.ppid - FIRST_PPID).collect();
        assert_eq!(numbers, (0..sent).collect::<Vec<_>>());
        self.sim[b].app.times.clone()
    }

    /// How many packets with data A has sent to the first or second address of B since the log was
    /// cleared.
    fn data_packets_to(&self, n: usize) -> usize {
        let remote = self.paths()[n].addr.remote;
        self.sim.net.sent().filter(|(_, p)| p.dst == remote && p.has(chunk_type::DATA)).count()
    }

    fn saw(&self, n: usize, state: PeerAddrState) -> bool {
        let addr = self.paths()[n].addr.remote;
        self.sim[self.a].app.saw(self.to_b, &Event::PeerAddrChange { addr, state })
    }
}

fn longest_gap(arrivals: &[Time]) -> Duration {
    arrivals.windows(2).map(|w| w[1].since(w[0])).max().unwrap_or_default()
}

#[test]
fn one_timeout_moves_data_away_and_it_returns_with_the_path() {
    for_each_seed(0..40, |seed| {
        let mut pair = Pair::new(seed, &AssocConfig::default(), seed % 2 == 0);
        pair.send_for(SEC);
        pair.network(0, false);
        pair.send_for(4 * SEC);
        assert_eq!(pair.state(0), PathState::PotentiallyFailed, "after the first timeout");
        assert!(!pair.saw(0, PeerAddrState::PotentiallyFailed), "not told unless asked for");
        pair.sim.net.clear_log();
        pair.send_for(SEC);
        assert_eq!(pair.data_packets_to(0), 0, "no data to a potentially failed path");
        assert!(pair.data_packets_to(1) > 50);
        pair.network(0, true);
        // The path is probed once per RTO, which has doubled a few times by now.
        pair.send_for(10 * SEC);
        assert_eq!(pair.state(0), PathState::Active);
        pair.sim.net.clear_log();
        pair.send_for(SEC);
        assert!(pair.data_packets_to(0) > 50, "back on the primary");
        let gap = longest_gap(&pair.arrivals());
        // The gap is RTO.Min and the round trip of the retransmission.
        assert!(gap < 1500 * MS, "the application saw a gap of {gap:?}");
        let paths = pair.paths();
        let [first, second] = [paths[0].stats, paths[1].stats];
        assert!(first.t3_expiries >= 1 && second.t3_expiries == 0, "{first:?} {second:?}");
        assert!(first.heartbeats_acked >= 1, "{first:?}");
        assert!(
            second.data_chunks_retransmitted >= 1,
            "what was lost went to the other path: {second:?}"
        );
        let stats = pair.sim[pair.a].stack.assoc_stats(pair.to_b).unwrap();
        assert_eq!(first.packets_sent + second.packets_sent, stats.packets_sent);
        assert_eq!(first.packets_received + second.packets_received, stats.packets_received);
        assert!(
            second.bytes_sent > 50 * second.packets_received && second.bytes_received > 0,
            "{second:?}"
        );
    });
}

#[test]
fn without_potentially_failed_each_message_waits_for_path_max_retrans() {
    let config = AssocConfig { pf_max_retrans: None, ..AssocConfig::default() };
    let mut pair = Pair::new(1, &config, false);
    pair.network(0, false);
    pair.send_for(5 * SEC);
    assert_eq!(pair.state(0), PathState::Active, "fewer timeouts than Path.Max.Retrans");
    pair.arrivals();
}

#[test]
fn potentially_failed_is_told_when_asked_for() {
    let config = AssocConfig { expose_potentially_failed: true, ..AssocConfig::default() };
    let mut pair = Pair::new(2, &config, false);
    pair.network(0, false);
    pair.send_for(3 * SEC);
    assert!(pair.saw(0, PeerAddrState::PotentiallyFailed));
    pair.network(0, true);
    pair.send_for(15 * SEC);
    assert!(pair.saw(0, PeerAddrState::Available));
}

#[test]
fn the_realtime_profile_leaves_a_dead_path_within_300_ms() {
    for_each_seed(0..100, |seed| {
        let mut pair = Pair::new(seed, &AssocConfig::realtime(), false);
        pair.send_for(500 * MS);
        pair.network(0, false);
        pair.send_for(2 * SEC);
        pair.network(0, true);
        pair.send_for(2 * SEC);
        pair.network(1, false);
        pair.send_for(SEC);
        let gap = longest_gap(&pair.arrivals());
        assert!(gap < 300 * MS, "the application saw a gap of {gap:?}");
    });
}

#[test]
fn primary_switchover_stays_with_the_path_that_works() {
    let config = AssocConfig {
        primary_switchover_max_retrans: Some(1),
        rto_min: 200 * MS,
        ..AssocConfig::default()
    };
    let mut pair = Pair::new(3, &config, false);
    let old = pair.primary();
    pair.network(0, false);
    pair.send_for(5 * SEC);
    assert_ne!(pair.primary(), old);
    assert!(pair.saw(1, PeerAddrState::MadePrimary));
    pair.network(0, true);
    pair.send_for(20 * SEC);
    assert_eq!(pair.state(0), PathState::Active);
    pair.sim.net.clear_log();
    pair.send_for(SEC);
    assert_eq!(pair.data_packets_to(0), 0, "the old primary is only an alternate now");
    pair.arrivals();
}

#[test]
fn a_threshold_of_switchover_below_the_one_of_potentially_failed_is_refused() {
    let config = |psmr, pfmr| AssocConfig {
        primary_switchover_max_retrans: Some(psmr),
        pf_max_retrans: pfmr,
        ..AssocConfig::default()
    };
    assert!(config(0, Some(1)).check().is_err());
    assert!(config(4, None).check().is_err());
    config(1, Some(1)).check().unwrap();
    config(5, None).check().unwrap();
}

#[test]
fn all_paths_down_and_back_loses_nothing() {
    for_each_seed(0..40, |seed| {
        let config = AssocConfig {
            rto_min: 200 * MS,
            rto_max: 2 * SEC,
            assoc_max_retrans: 20,
            ..AssocConfig::default()
        };
        let mut pair = Pair::new(seed, &config, seed % 2 == 0);
        pair.send_for(300 * MS);
        pair.network(0, false);
        pair.network(1, false);
        pair.send_for(3 * SEC);
        assert!(!pair.sim[pair.a].app.ended(pair.to_b));
        pair.network(1, true);
        pair.send_for(8 * SEC);
        pair.network(0, true);
        // An inactive path is probed only at the usual rate.
        pair.sim.run_for(90 * SEC);
        pair.send_for(SEC);
        assert_eq!([pair.state(0), pair.state(1)], [PathState::Active; 2]);
        pair.arrivals();
    });
}

#[test]
fn silence_on_all_paths_ends_the_association() {
    let config = AssocConfig::realtime();
    let mut pair = Pair::new(5, &config, false);
    pair.network(0, false);
    pair.network(1, false);
    let n = pair.sent;
    let lost = message(pair.sim.net.rng(), n, 0, false, 10);
    pair.sim.with(pair.a, |h, now| h.stack.send(now, pair.to_b, lost).unwrap());
    let (a, to_b) = (pair.a, pair.to_b);
    assert!(pair.sim.run_until(10 * SEC, |sim| sim[a].app.ended(to_b)));
    assert!(pair.sim[a].app.saw(to_b, &Event::Lost(LossReason::Unreachable)));
    assert!(pair.saw(0, PeerAddrState::Unreachable) || pair.state(0) != PathState::Active);
}

#[test]
fn a_path_dead_in_one_direction_is_left() {
    for_each_seed(0..20, |seed| {
        let mut pair = Pair::new(seed, &AssocConfig::realtime(), false);
        let remote = pair.paths()[0].addr.remote;
        pair.send_for(200 * MS);
        // Packets from B over the first network are lost. That includes its SACKs, which go back to
        // where the data came from.
        pair.sim.net.cut_one_way(remote, ip("10.1.0.1"));
        pair.send_for(4 * SEC);
        assert_ne!(pair.state(0), PathState::Active);
        pair.arrivals();
    });
}
