//! The network of a [`World`](super::World): which host hears which, and how fast.

use std::collections::{BTreeMap, BTreeSet};

use rand::RngExt;
use rand_chacha::ChaCha12Rng;
use sctp_user_core::Duration;

/// A host, by its number from 0 on. It has one address, 10.0.x.y.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostId(pub usize);

/// Delays and cuts.
#[derive(Clone, Debug)]
pub struct Network {
    /// Shortest delay of a message.
    pub min_delay: Duration,
    /// Longest delay of a message.
    pub max_delay: Duration,
    /// How long SCTP takes to give up an association whose other end is not heard, at most.
    pub max_detection: Duration,
    /// How long SCTP takes to notice that the process at the other end is gone, when its host says
    /// so, at most.
    pub max_notice: Duration,
    /// How long SCTP tries to set an association up.
    pub setup_timeout: Duration,
    /// Whether datagrams to a group arrive.
    pub multicast: bool,
    /// What is sent from the first to the second is lost.
    cuts: BTreeSet<(HostId, HostId)>,
    /// How much longer than usual packets to and from these hosts take, at most.
    slow: BTreeMap<HostId, Duration>,
    /// Which part of the packets to and from these hosts is lost.
    lossy: BTreeMap<HostId, f64>,
}

/// The first retransmission of a lost packet comes after this time; the next ones take twice as
/// long each.
const RTO: Duration = Duration::from_millis(200);
/// A packet that was lost this often gets through.
const MAX_LOSSES: u32 = 3;

impl Default for Network {
    fn default() -> Self {
        Network {
            min_delay: Duration::from_micros(100),
            max_delay: Duration::from_millis(2),
            max_detection: Duration::from_secs(4),
            max_notice: Duration::from_millis(700),
            setup_timeout: Duration::from_secs(3),
            multicast: false,
            cuts: BTreeSet::new(),
            slow: BTreeMap::new(),
            lossy: BTreeMap::new(),
        }
    }
}

impl Network {
    /// Nothing from `from` arrives at `to` any more.
    pub fn cut_one_way(&mut self, from: HostId, to: HostId) {
        self.cuts.insert((from, to));
    }

    /// The two do not hear each other any more.
    pub fn cut(&mut self, a: HostId, b: HostId) {
        self.cut_one_way(a, b);
        self.cut_one_way(b, a);
    }

    /// The two hear each other again.
    pub fn heal(&mut self, a: HostId, b: HostId) {
        self.cuts.remove(&(a, b));
        self.cuts.remove(&(b, a));
    }

    /// Packets to and from a host take up to this much longer.
    pub fn slow_down(&mut self, host: HostId, more: Duration) {
        self.slow.insert(host, more);
    }

    /// This part of the packets to and from a host is lost.
    pub fn lose(&mut self, host: HostId, part: f64) {
        self.lossy.insert(host, part);
    }

    /// Everybody hears everybody, as fast as usual and without loss.
    pub fn heal_all(&mut self) {
        self.cuts.clear();
        self.slow.clear();
        self.lossy.clear();
    }

    /// Whether both directions are open.
    pub fn is_open(&self, a: HostId, b: HostId) -> bool {
        !self.cuts.contains(&(a, b)) && !self.cuts.contains(&(b, a))
    }

    /// Whether what `from` sends arrives at `to`.
    pub fn hears(&self, to: HostId, from: HostId) -> bool {
        !self.cuts.contains(&(from, to))
    }

    /// How long a message takes over an association. SCTP repeats what is lost.
    pub(super) fn transit(&self, rng: &mut ChaCha12Rng, from: HostId, to: HostId) -> Duration {
        let mut time = self.once(rng, from, to);
        for loss in 0..MAX_LOSSES {
            if !self.is_lost(rng, from, to) {
                break;
            }
            time += RTO * (1 << loss) + self.once(rng, from, to);
        }
        time
    }

    /// How long a packet takes that arrives.
    pub(super) fn once(&self, rng: &mut ChaCha12Rng, from: HostId, to: HostId) -> Duration {
        let mut time = between(rng, self.min_delay, self.max_delay);
        for host in [from, to] {
            if let Some(more) = self.slow.get(&host) {
                time += between(rng, Duration::ZERO, *more);
            }
        }
        time
    }

    /// Whether a packet is lost by chance.
    pub(super) fn is_lost(&self, rng: &mut ChaCha12Rng, from: HostId, to: HostId) -> bool {
        [from, to].iter().any(|host| {
            let part = self.lossy.get(host);
            part.is_some_and(|part| rng.random_bool(*part))
        })
    }

    pub(super) fn detection(&self, rng: &mut ChaCha12Rng) -> Duration {
        between(rng, self.max_detection / 4, self.max_detection)
    }

    pub(super) fn notice(&self, rng: &mut ChaCha12Rng) -> Duration {
        between(rng, Duration::ZERO, self.max_notice)
    }
}

fn between(rng: &mut ChaCha12Rng, min: Duration, max: Duration) -> Duration {
    let (min, max) = (min.as_nanos() as u64, max.as_nanos() as u64);
    Duration::from_nanos(rng.random_range(min..=max))
}
