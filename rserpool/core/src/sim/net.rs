//! The network of a [`World`](super::World): which host hears which, and how fast.

use std::collections::BTreeSet;

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
}

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

    /// Everybody hears everybody.
    pub fn heal_all(&mut self) {
        self.cuts.clear();
    }

    /// Whether both directions are open.
    pub fn is_open(&self, a: HostId, b: HostId) -> bool {
        !self.cuts.contains(&(a, b)) && !self.cuts.contains(&(b, a))
    }

    /// Whether what `from` sends arrives at `to`.
    pub fn hears(&self, to: HostId, from: HostId) -> bool {
        !self.cuts.contains(&(from, to))
    }

    pub(super) fn delay(&self, rng: &mut ChaCha12Rng) -> Duration {
        between(rng, self.min_delay, self.max_delay)
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
