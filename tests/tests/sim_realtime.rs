//! `AssocConfig::realtime()` over one path: how soon a silent peer is given up, and which slow
//! paths are not given up.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rand::RngExt;
use sctp_user_core::sim::{Host, Link, NodeId, Recorder, Sim, for_each_seed};
use sctp_user_core::{AssocConfig, AssocId, Event, LossReason, SendError, Time};
use workspace_tests::traffic::message;

type Id = NodeId<Host<Recorder>>;

const MS: Duration = Duration::from_millis(1);
const SEC: Duration = Duration::from_secs(1);
const A: &str = "10.0.0.1";
const B: &str = "10.0.0.2";

/// Two hosts with one address each, directly in IP or over UDP.
struct Pair {
    sim: Sim,
    ends: [(Id, AssocId); 2],
    /// How often each end sends a message, and when it sends the next one.
    every: [Option<Duration>; 2],
    next: [Time; 2],
    sent: u32,
}

impl Pair {
    fn new(seed: u64, config: &AssocConfig, link: Link) -> Self {
        let mut sim = Sim::new(seed);
        sim.net.set_default(link);
        let hosts = [A, B].map(|addr| sim.host(&[addr], Recorder::default()));
        for host in hosts {
            sim[host].config = config.clone();
            if seed.is_multiple_of(2) {
                sim[host].use_udp(9899);
            }
        }
        let [a, b] = hosts;
        let peer = sim.with(b, |h, _| h.listen(5001));
        let to_b = sim.with(a, |h, now| h.connect(now, &peer));
        assert!(sim.run_until(3 * SEC, |sim| !sim[b].app.accepted.is_empty()));
        let to_a = sim[b].app.accepted[0];
        // The association is idle, or busy in one direction or both, or busy now and then.
        let rng = sim.net.rng();
        let every = [(); 2].map(|()| rng.random_bool(0.6).then(|| rng.random_range(1..400) * MS));
        let next = [sim.now(); 2];
        Pair { sim, ends: [(a, to_b), (b, to_a)], every, next, sent: 0 }
    }

    fn ended(&self, end: usize) -> bool {
        let (host, assoc) = self.ends[end];
        self.sim[host].app.ended(assoc)
    }

    /// Runs for a while, during which the ends send their messages.
    fn live(&mut self, time: Duration) {
        let end = self.sim.now() + time;
        while self.sim.now() < end {
            for i in 0..2 {
                let Some(every) = self.every[i] else { continue };
                if self.next[i] <= self.sim.now() {
                    self.next[i] = self.sim.now() + every;
                    let (host, assoc) = self.ends[i];
                    let message = message(self.sim.net.rng(), self.sent, 0, false, 100);
                    self.sent += 1;
                    match self.sim.with(host, |h, now| h.stack.send(now, assoc, message)) {
                        Ok(()) | Err(SendError::WouldBlock | SendError::NotFound) => {}
                        Err(why) => panic!("{why}"),
                    }
                }
            }
            self.sim.run_for(MS);
        }
    }

    fn assert_alive(&self) {
        assert!(!self.ended(0) && !self.ended(1), "messages every {:?}", self.every);
    }

    /// When an end has sent its last packet.
    fn last_of(&self, addr: &str) -> Time {
        let addr: std::net::IpAddr = addr.parse().unwrap();
        self.sim.net.sent().filter(|(_, p)| p.src == addr).map(|(at, _)| at).last().unwrap()
    }
}

/// A peer that falls silent is given up within 600 ms of its last packet, whichever end sends, and
/// however often.
#[test]
fn a_silent_peer_on_one_path_is_given_up_within_600_ms() {
    let slowest = AtomicU64::new(0);
    for_each_seed(0..1_000, |seed| {
        let link = Link::new().delay(3 * MS, 2 * MS);
        let mut pair = Pair::new(seed, &AssocConfig::realtime(), link);
        let time = pair.sim.net.rng().random_range(500..2_500) * MS;
        pair.live(time);
        pair.assert_alive();
        let last = pair.last_of(B);
        pair.sim.net.cut(A.parse().unwrap(), B.parse().unwrap());
        let (a, to_b) = pair.ends[0];
        while !pair.ended(0) {
            pair.live(MS);
            let took = pair.sim.now().since(last);
            assert!(took <= 600 * MS, "{took:?} since the last packet, {:?}", pair.every);
            slowest.fetch_max(took.as_millis() as u64, Ordering::Relaxed);
        }
        assert!(pair.sim[a].app.saw(to_b, &Event::Lost(LossReason::Unreachable)));
    });
    let slowest = slowest.into_inner();
    println!("given up {slowest} ms after the last packet at the latest");
    assert!(slowest > 400, "there are three timeouts");
}

/// A round-trip time of 300 ms is longer than RTO.Max. The answers are late, but they count.
#[test]
fn a_path_of_300_ms_round_trip_holds() {
    for_each_seed(0..100, |seed| {
        let link = Link::new().delay(150 * MS, Duration::ZERO);
        let mut pair = Pair::new(seed, &AssocConfig::realtime(), link);
        pair.live(30 * SEC);
        pair.assert_alive();
    });
}

#[test]
fn a_path_that_becomes_as_slow_holds() {
    for_each_seed(0..100, |seed| {
        let fast = || Link::new().delay(3 * MS, 2 * MS);
        let mut pair = Pair::new(seed, &AssocConfig::realtime(), fast());
        pair.live(SEC);
        pair.sim.net.set_default(Link::new().delay(150 * MS, Duration::ZERO));
        pair.live(10 * SEC);
        pair.sim.net.set_default(fast());
        pair.live(SEC);
        pair.assert_alive();
    });
}
