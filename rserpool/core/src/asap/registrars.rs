//! The registrars that are known: those of the configuration, those that names stand for, and
//! announced ones until they expire.

use std::collections::VecDeque;

use rand::RngExt;
use rand_chacha::ChaCha12Rng;
use sctp_user_core::{Duration, Peer, Time};

use crate::reach::group_ways;

/// How many announced registrars are remembered.
pub(super) const MAX_ANNOUNCED: usize = 64;

/// How many registrars that have answered are remembered beyond their announces.
const MAX_PROVEN: usize = 16;

/// A registrar that was announced this often without a gap exists for longer than a moment.
const STEADY: u32 = 3;

/// The registrar that was lost last comes after all others, but not for longer than this: new
/// candidates may be announced without end.
const LOST_LAST: Duration = Duration::from_secs(1);

/// A registrar that failed is not asked about pools for so long: its silence would delay the
/// answer each time.
const NOT_ASKED: Duration = Duration::from_secs(30);

/// The ways to reach one registrar, the preferred one first.
pub(super) type Ways = Vec<Peer>;

/// How a registrar came to be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// By the configuration.
    Fixed,
    /// By a name.
    Named,
    /// By announces, `heard` of them in a row; it is forgotten at `expiry`.
    Announced { heard: u32, expiry: Time },
}

#[derive(Clone, Debug)]
struct Candidate {
    ways: Ways,
    source: Source,
    /// How often it failed in a row.
    failures: u32,
    /// When it failed last.
    failed: Option<Time>,
    /// It is not to be tried again before.
    ready: Time,
}

/// Groups of candidates, in the order in which they are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// Configured, named, or one that has answered before.
    Trusted,
    /// Announced several times.
    Steady,
    /// Announced just now.
    New,
    /// Lost just now.
    Lost,
}

/// When the next attempt may begin at the earliest.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gates {
    /// With any registrar.
    pub(super) any: Time,
    /// With one that is known by announces only.
    pub(super) announced: Time,
}

/// What is known of a registrar that is to be tried.
#[derive(Clone, Copy, Debug)]
pub(super) struct Traits {
    /// It is configured or named, or has answered before.
    pub(super) trusted: bool,
    /// It could not be reached the last time.
    pub(super) failed: bool,
}

/// How long announces are valid, and how long registrars that failed are left alone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timing {
    /// How long an announce is valid.
    pub(super) validity: Duration,
    /// Pause after the first failure; it doubles with each further one.
    pub(super) pause: Duration,
    /// Longest pause.
    pub(super) max_pause: Duration,
}

#[derive(Debug)]
pub(super) struct RegistrarTable {
    candidates: Vec<Candidate>,
    /// Registrars that have answered us, the newest at the end.
    proven: VecDeque<Ways>,
    /// The registrar that was lost last, and when.
    lost: Option<(Ways, Time)>,
    timing: Timing,
}

impl RegistrarTable {
    pub(super) fn new(fixed: Vec<Peer>, timing: Timing) -> Self {
        let candidate = |ways| Candidate::new(ways, Source::Fixed);
        RegistrarTable {
            candidates: group_ways(fixed).into_iter().map(candidate).collect(),
            proven: VecDeque::new(),
            lost: None,
            timing,
        }
    }

    /// Notes an announce. A table that is full takes only registrars that have answered before, or
    /// in place of ones that could not be reached.
    pub(super) fn announce(&mut self, now: Time, ways: &Ways) {
        self.forget_expired(now);
        let valid_until = now + self.timing.validity;
        let known = self.candidates.iter_mut().find(|c| c.ways == *ways);
        if let Some(Source::Announced { heard, expiry }) = known.map(|c| &mut c.source) {
            *heard = heard.saturating_add(1);
            *expiry = valid_until;
            return;
        }
        if self.is_lasting(ways) {
            return;
        }
        let announced = self.candidates.iter().filter(|c| !c.is_lasting()).count();
        if announced >= MAX_ANNOUNCED && !self.make_room(ways) {
            return;
        }
        let source = Source::Announced { heard: 1, expiry: valid_until };
        self.candidates.push(Candidate::new(ways.clone(), source));
    }

    /// Drops the newest announced registrar that may give way to this one; false without any.
    fn make_room(&mut self, newcomer: &Ways) -> bool {
        let proven = self.is_proven(newcomer);
        let gives_way = |c: &Candidate| match c.source {
            Source::Announced { heard, .. } => {
                !self.is_proven(&c.ways) && (c.failures > 0 || proven && heard < STEADY)
            }
            Source::Fixed | Source::Named => false,
        };
        let Some(at) = self.candidates.iter().rposition(gives_way) else { return false };
        self.candidates.remove(at);
        true
    }

    /// Takes what the names of registrars stand for now; true when there is a new one.
    pub(super) fn set_named(&mut self, named: Vec<Peer>) -> bool {
        let mut named = group_ways(named);
        self.candidates.retain(|c| c.source != Source::Named || named.contains(&c.ways));
        named.retain(|ways| !self.is_lasting(ways));
        self.candidates.retain(|c| c.is_lasting() || !named.contains(&c.ways));
        let is_new = !named.is_empty();
        self.candidates.extend(named.into_iter().map(|w| Candidate::new(w, Source::Named)));
        is_new
    }

    /// A registrar could not be reached or was of no use.
    pub(super) fn failed(&mut self, now: Time, ways: &Ways) {
        let Timing { pause, max_pause, .. } = self.timing;
        if let Some(candidate) = self.candidates.iter_mut().find(|c| c.ways == *ways) {
            let doublings = candidate.failures.min(16);
            candidate.failures = candidate.failures.saturating_add(1);
            candidate.failed = Some(now);
            candidate.ready = now + pause.saturating_mul(1 << doublings).min(max_pause);
        }
    }

    /// A registrar has answered.
    pub(super) fn answered(&mut self, ways: &Ways) {
        if let Some(candidate) = self.candidates.iter_mut().find(|c| c.ways == *ways) {
            (candidate.failures, candidate.failed) = (0, None);
        }
        if self.proven.back() != Some(ways) {
            self.proven.retain(|known| known != ways);
            self.proven.push_back(ways.clone());
            if self.proven.len() > MAX_PROVEN {
                self.proven.pop_front();
            }
        }
    }

    /// The home registrar was lost, or another one is the home now.
    pub(super) fn lost(&mut self, now: Time, ways: Ways) {
        self.lost = Some((ways, now));
    }

    /// Whether an association with this peer is one with a registrar that is configured, named or
    /// announced. Only the first address of `peer` counts: the handshake has verified it, whereas
    /// the other ones are what the peer says.
    pub(super) fn knows(&self, now: Time, peer: &Peer) -> bool {
        let Some((addr, _)) = peer.addrs.first() else { return false };
        let is_there = |way: &Peer| way.port == peer.port && way.addrs.iter().any(|a| a.0 == *addr);
        self.valid(now).any(|c| c.ways.iter().any(is_there))
    }

    /// The next registrar to try, and whether it failed before; in a random turn within its group.
    /// `is_open` says of a registrar whether it is being tried already.
    pub(super) fn next(
        &self,
        now: Time,
        rng: &mut ChaCha12Rng,
        gates: Gates,
        is_open: impl Fn(&Ways) -> bool,
    ) -> Option<(&Ways, Traits)> {
        let may_start = |c: &Candidate| c.ready.max(self.gate(c, gates)) <= now;
        let ready = self.valid(now).filter(|c| may_start(c) && !is_open(&c.ways));
        let ranked = ready.map(|c| ((self.rank(now, c), c.failures), c));
        let mut ranked: Vec<_> = ranked.collect();
        let best = ranked.iter().map(|(order, _)| *order).min()?;
        ranked.retain(|(order, _)| *order == best);
        let (_, chosen) = ranked[rng.random_range(0..ranked.len())];
        let traits = Traits { trusted: self.is_trusted(chosen), failed: chosen.failures > 0 };
        Some((&chosen.ways, traits))
    }

    /// When the next registrar may be tried.
    pub(super) fn next_start(&self, gates: Gates, is_open: impl Fn(&Ways) -> bool) -> Option<Time> {
        let waiting = self.candidates.iter().filter(|c| !is_open(&c.ways));
        let starts = waiting.map(|c| (c, c.ready.max(self.gate(c, gates))));
        starts.filter(|(c, at)| c.is_valid(*at)).map(|(_, at)| at).min()
    }

    /// Whether all registrars that are known have failed.
    pub(super) fn all_failed(&self, now: Time) -> bool {
        let mut valid = self.valid(now).peekable();
        valid.peek().is_some() && valid.all(|c| c.failures > 0)
    }

    /// Up to `n` registrars that can be asked beside the home, those first that are tried first.
    pub(super) fn others(
        &self,
        now: Time,
        rng: &mut ChaCha12Rng,
        n: usize,
        is_taken: impl Fn(&Ways) -> bool,
    ) -> Vec<Ways> {
        let recently = |c: &Candidate| c.failed.is_some_and(|at| now < at + NOT_ASKED);
        let mut chosen: Vec<Ways> = Vec::new();
        let mut left: Vec<_> =
            self.valid(now).filter(|c| !recently(c) && !is_taken(&c.ways)).collect();
        while chosen.len() < n
            && let Some(best) = left.iter().map(|c| self.rank(now, c)).min()
        {
            let (mut equal, rest): (Vec<_>, Vec<_>) =
                left.into_iter().partition(|c| self.rank(now, c) == best);
            while chosen.len() < n && !equal.is_empty() {
                chosen.push(equal.swap_remove(rng.random_range(0..equal.len())).ways.clone());
            }
            left = rest;
        }
        chosen
    }

    fn rank(&self, now: Time, candidate: &Candidate) -> Rank {
        let is_lost = |(ways, at): &(Ways, Time)| *ways == candidate.ways && now < *at + LOST_LAST;
        if self.lost.as_ref().is_some_and(is_lost) {
            return Rank::Lost;
        }
        match candidate.source {
            _ if self.is_trusted(candidate) => Rank::Trusted,
            Source::Announced { heard, .. } if heard >= STEADY => Rank::Steady,
            _ => Rank::New,
        }
    }

    fn gate(&self, candidate: &Candidate, gates: Gates) -> Time {
        if self.is_trusted(candidate) { gates.any } else { gates.any.max(gates.announced) }
    }

    /// Whether it is configured or named, or has answered before.
    fn is_trusted(&self, candidate: &Candidate) -> bool {
        candidate.is_lasting() || self.is_proven(&candidate.ways)
    }

    fn is_proven(&self, ways: &Ways) -> bool {
        self.proven.contains(ways)
    }

    /// Whether each of these ways is one of a registrar that does not expire.
    fn is_lasting(&self, ways: &Ways) -> bool {
        let mut lasting = self.candidates.iter().filter(|c| c.is_lasting());
        lasting.any(|known| ways.iter().all(|way| known.ways.contains(way)))
    }

    fn valid(&self, now: Time) -> impl Iterator<Item = &Candidate> {
        self.candidates.iter().filter(move |c| c.is_valid(now))
    }

    /// Forgets the registrars whose announces have stopped.
    pub(super) fn forget_expired(&mut self, now: Time) {
        self.candidates.retain(|c| c.is_valid(now));
    }
}

impl Candidate {
    fn new(ways: Ways, source: Source) -> Self {
        Candidate { ways, source, failures: 0, failed: None, ready: Time::ZERO }
    }

    fn is_lasting(&self) -> bool {
        !matches!(self.source, Source::Announced { .. })
    }

    fn is_valid(&self, now: Time) -> bool {
        !matches!(self.source, Source::Announced { expiry, .. } if expiry <= now)
    }
}
