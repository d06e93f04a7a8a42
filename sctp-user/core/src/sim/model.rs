//! Links and the models that a link is a chain of.

use core::time::Duration;

use rand::RngExt;

use super::net::DropReason;
use super::packet::IpPacket;
use crate::time::Time;

/// The one random generator of a simulation. It is fixed to a named algorithm because a seed must
/// always give the same run.
pub type SimRng = rand_chacha::ChaCha8Rng;

/// One property of a link. A packet passes the models of its link in order.
pub trait Model: Send {
    /// Takes a packet that reaches this model at `at` and puts what leaves the model into `out`:
    /// nothing, one packet or more.
    fn pass(&mut self, at: Time, packet: IpPacket, rng: &mut SimRng, out: &mut Passage);

    /// The same model with the state of a new link.
    fn fresh(&self) -> Box<dyn Model>;
}

/// What a [`Model`] lets out.
#[derive(Default)]
pub struct Passage {
    pub(super) forwarded: Vec<(Time, IpPacket)>,
    pub(super) dropped: Vec<(DropReason, IpPacket)>,
}

impl Passage {
    /// The packet leaves the model at `at`, which must not be before it came.
    pub fn forward(&mut self, at: Time, packet: IpPacket) {
        self.forwarded.push((at, packet));
    }

    /// The packet is lost here.
    pub fn lose(&mut self, why: DropReason, packet: IpPacket) {
        self.dropped.push((why, packet));
    }
}

/// One direction between two addresses: an MTU and a chain of models in the order of the builder
/// calls. Put a rate before the delay, as in a real network, where the queue stands in front of the
/// wire.
pub struct Link {
    pub(super) mtu: usize,
    pub(super) mtu_known: bool,
    pub(super) answers_too_big: bool,
    pub(super) chain: Vec<Box<dyn Model>>,
}

impl Default for Link {
    fn default() -> Self {
        Link::new()
    }
}

impl Link {
    /// A perfect link without delay, MTU 1500.
    pub fn new() -> Self {
        Link { mtu: 1500, mtu_known: true, answers_too_big: false, chain: Vec::new() }
    }

    /// Sets the size of the largest IP packet in bytes. The sender knows it, so a larger packet
    /// with DF set counts as a defect of the sender.
    #[must_use]
    pub fn mtu(self, bytes: usize) -> Self {
        Link { mtu: bytes, mtu_known: true, ..self }
    }

    /// Sets the size in bytes of the largest IP packet that passes a hop beyond the first, which
    /// the sender does not know. Larger packets with DF are dropped and, if `answer` is set,
    /// answered with Packet Too Big. After that the sender knows it, and another such packet counts
    /// as a defect of the sender.
    #[must_use]
    pub fn hidden_mtu(self, bytes: usize, answer: bool) -> Self {
        Link { mtu: bytes, mtu_known: false, answers_too_big: answer, ..self }
    }

    /// Adds a model.
    #[must_use]
    pub fn then(mut self, model: impl Model + 'static) -> Self {
        self.chain.push(Box::new(model));
        self
    }

    /// Loses each packet with this probability.
    #[must_use]
    pub fn loss(self, probability: f64) -> Self {
        self.then(Loss { probability })
    }

    /// Loses packets in bursts (Gilbert). At each packet a burst begins with probability `enter` or
    /// ends with probability `leave`.
    #[must_use]
    pub fn bursts(self, enter: f64, leave: f64) -> Self {
        self.then(Burst { enter, leave, bad: false })
    }

    /// Delays each packet by `base` plus up to `jitter`, and keeps the order.
    #[must_use]
    pub fn delay(self, base: Duration, jitter: Duration) -> Self {
        self.then(Delay { base, jitter, last: Time::ZERO })
    }

    /// With this probability, holds a packet back by up to `by`, so that later ones overtake it.
    #[must_use]
    pub fn reorder(self, probability: f64, by: Duration) -> Self {
        self.then(Reorder { probability, by })
    }

    /// With this probability, sends a packet twice, the copy up to `lag` later.
    #[must_use]
    pub fn duplicate(self, probability: f64, lag: Duration) -> Self {
        self.then(Duplicate { probability, lag })
    }

    /// With this probability, flips one to three bits of a packet. CRC32c always finds these.
    #[must_use]
    pub fn corrupt(self, probability: f64) -> Self {
        self.then(Corrupt { probability })
    }

    /// Sends at most this many bits per second. Packets that do not fit into a queue of `queue`
    /// bytes are dropped at its tail.
    #[must_use]
    pub fn rate(self, bits_per_second: u64, queue: usize) -> Self {
        self.then(Rate { bits_per_second, queue, busy_until: Time::ZERO })
    }

    /// Takes the link down from `from` until `until`. May be given several times.
    #[must_use]
    pub fn outage(self, from: Time, until: Time) -> Self {
        self.then(Outage { from, until })
    }

    /// The same link without the history of this one.
    #[must_use]
    pub fn fresh(&self) -> Link {
        Link { chain: self.chain.iter().map(|m| m.fresh()).collect(), ..*self }
    }

    /// Sends a packet through the chain.
    pub(super) fn pass(&mut self, at: Time, packet: IpPacket, rng: &mut SimRng) -> Passage {
        let mut result = Passage::default();
        result.forward(at, packet);
        for model in &mut self.chain {
            for (at, packet) in core::mem::take(&mut result.forwarded) {
                model.pass(at, packet, rng, &mut result);
            }
        }
        result
    }
}

/// Independent loss; see [`Link::loss`].
#[derive(Clone, Debug)]
pub struct Loss {
    /// 0 to 1.
    pub probability: f64,
}

impl Model for Loss {
    fn pass(&mut self, at: Time, packet: IpPacket, rng: &mut SimRng, out: &mut Passage) {
        if rng.random_bool(self.probability) {
            out.lose(DropReason::Loss, packet);
        } else {
            out.forward(at, packet);
        }
    }

    fn fresh(&self) -> Box<dyn Model> {
        Box::new(self.clone())
    }
}

/// Loss in bursts; see [`Link::bursts`].
#[derive(Clone, Debug)]
pub struct Burst {
    /// Probability that a burst begins at a packet.
    pub enter: f64,
    /// Probability that the burst ends before a packet.
    pub leave: f64,
    /// In a burst now.
    pub bad: bool,
}

impl Model for Burst {
    fn pass(&mut self, at: Time, packet: IpPacket, rng: &mut SimRng, out: &mut Passage) {
        self.bad =
            if self.bad { !rng.random_bool(self.leave) } else { rng.random_bool(self.enter) };
        if self.bad {
            out.lose(DropReason::Loss, packet);
        } else {
            out.forward(at, packet);
        }
    }

    fn fresh(&self) -> Box<dyn Model> {
        Box::new(Burst { bad: false, ..*self })
    }
}

/// Propagation delay with jitter; see [`Link::delay`].
#[derive(Clone, Debug)]
pub struct Delay {
    /// The shortest delay.
    pub base: Duration,
    /// The largest addition to it.
    pub jitter: Duration,
    /// When the last packet left.
    pub last: Time,
}

impl Model for Delay {
    fn pass(&mut self, at: Time, packet: IpPacket, rng: &mut SimRng, out: &mut Passage) {
        let leaves = at + self.base + up_to(self.jitter, rng);
        // Never before the packet ahead: jitter alone does not reorder packets.
        self.last = self.last.max(leaves);
        out.forward(self.last, packet);
    }

    fn fresh(&self) -> Box<dyn Model> {
        Box::new(Delay { last: Time::ZERO, ..*self })
    }
}

/// Reordering; see [`Link::reorder`].
#[derive(Clone, Debug)]
pub struct Reorder {
    /// 0 to 1.
    pub probability: f64,
    /// The longest hold.
    pub by: Duration,
}

impl Model for Reorder {
    fn pass(&mut self, at: Time, packet: IpPacket, rng: &mut SimRng, out: &mut Passage) {
        let hold =
            if rng.random_bool(self.probability) { up_to(self.by, rng) } else { Duration::ZERO };
        out.forward(at + hold, packet);
    }

    fn fresh(&self) -> Box<dyn Model> {
        Box::new(self.clone())
    }
}

/// Duplication; see [`Link::duplicate`].
#[derive(Clone, Debug)]
pub struct Duplicate {
    /// 0 to 1.
    pub probability: f64,
    /// The latest arrival of the copy after the original.
    pub lag: Duration,
}

impl Model for Duplicate {
    fn pass(&mut self, at: Time, packet: IpPacket, rng: &mut SimRng, out: &mut Passage) {
        if rng.random_bool(self.probability) {
            out.forward(at + up_to(self.lag, rng), packet.clone());
        }
        out.forward(at, packet);
    }

    fn fresh(&self) -> Box<dyn Model> {
        Box::new(self.clone())
    }
}

/// Bit errors; see [`Link::corrupt`].
#[derive(Clone, Debug)]
pub struct Corrupt {
    /// 0 to 1.
    pub probability: f64,
}

impl Model for Corrupt {
    fn pass(&mut self, at: Time, mut packet: IpPacket, rng: &mut SimRng, out: &mut Passage) {
        if rng.random_bool(self.probability) && !packet.sctp.is_empty() {
            packet.edit(|bytes| {
                for _ in 0..rng.random_range(1..=3) {
                    let bit = rng.random_range(0..bytes.len() * 8);
                    bytes[bit / 8] ^= 1 << (bit % 8);
                }
            });
        }
        out.forward(at, packet);
    }

    fn fresh(&self) -> Box<dyn Model> {
        Box::new(self.clone())
    }
}

/// A bottleneck; see [`Link::rate`].
#[derive(Clone, Debug)]
pub struct Rate {
    /// Speed, not 0.
    pub bits_per_second: u64,
    /// How many bytes may wait.
    pub queue: usize,
    /// When everything in the queue will have left.
    pub busy_until: Time,
}

impl Model for Rate {
    fn pass(&mut self, at: Time, packet: IpPacket, _: &mut SimRng, out: &mut Passage) {
        let waiting = self.busy_until.since(at);
        let backlog = waiting.as_nanos() * u128::from(self.bits_per_second) / 8_000_000_000;
        if backlog + packet.ip_len() as u128 > self.queue as u128 {
            out.lose(DropReason::QueueFull, packet);
            return;
        }
        let nanos = packet.ip_len() as u64 * 8_000_000_000 / self.bits_per_second;
        self.busy_until = self.busy_until.max(at) + Duration::from_nanos(nanos);
        out.forward(self.busy_until, packet);
    }

    fn fresh(&self) -> Box<dyn Model> {
        Box::new(Rate { busy_until: Time::ZERO, ..*self })
    }
}

/// A time in which the link is down; see [`Link::outage`].
#[derive(Clone, Debug)]
pub struct Outage {
    /// First moment down.
    pub from: Time,
    /// First moment up again.
    pub until: Time,
}

impl Model for Outage {
    fn pass(&mut self, at: Time, packet: IpPacket, _: &mut SimRng, out: &mut Passage) {
        if self.from <= at && at < self.until {
            out.lose(DropReason::Down, packet);
        } else {
            out.forward(at, packet);
        }
    }

    fn fresh(&self) -> Box<dyn Model> {
        Box::new(self.clone())
    }
}

/// A random duration from zero to `max`, both included.
fn up_to(max: Duration, rng: &mut SimRng) -> Duration {
    let nanos = u64::try_from(max.as_nanos()).unwrap_or(u64::MAX);
    if nanos == 0 { Duration::ZERO } else { Duration::from_nanos(rng.random_range(0..=nanos)) }
}
