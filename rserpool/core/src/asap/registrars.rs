//! The registrars that are known: static ones, those that names stand for, and announced ones until
//! they expire.

use rand::RngExt;
use rand_chacha::ChaCha12Rng;
use sctp_user_core::{Duration, Peer, Time};

use crate::reach::group_ways;

/// Announced registrars that are remembered; more are ignored.
const MAX_ANNOUNCED: usize = 64;

/// The ways to reach one registrar, the preferred one first.
pub(super) type Ways = Vec<Peer>;

#[derive(Debug)]
pub(super) struct RegistrarTable {
    fixed: Vec<Ways>,
    /// What the names of registrars stand for now.
    named: Vec<Ways>,
    announced: Vec<(Ways, Time)>,
    validity: Duration,
}

impl RegistrarTable {
    pub(super) fn new(fixed: Vec<Peer>, validity: Duration) -> Self {
        let fixed = group_ways(fixed);
        RegistrarTable { fixed, named: Vec::new(), announced: Vec::new(), validity }
    }

    /// Notes an announce; true when the registrar was not known.
    pub(super) fn announce(&mut self, now: Time, ways: &Ways) -> bool {
        self.announced.retain(|(_, expiry)| *expiry > now);
        let expiry = now + self.validity;
        if let Some(entry) = self.announced.iter_mut().find(|(known, _)| known == ways) {
            entry.1 = expiry;
            return false;
        }
        if self.is_lasting(ways) || self.announced.len() >= MAX_ANNOUNCED {
            return false;
        }
        self.announced.push((ways.clone(), expiry));
        true
    }

    /// Takes what the names of registrars stand for now; the registrars that were not known before.
    pub(super) fn set_named(&mut self, named: Vec<Peer>) -> Vec<Ways> {
        let named = group_ways(named);
        let fresh = named.iter().filter(|ways| !self.is_lasting(ways)).cloned().collect();
        self.named = named;
        self.announced.retain(|(ways, _)| !self.named.contains(ways));
        fresh
    }

    /// Whether each of these ways is one of a registrar that does not expire.
    fn is_lasting(&self, ways: &Ways) -> bool {
        let mut lasting = self.fixed.iter().chain(&self.named);
        lasting.any(|known| ways.iter().all(|way| known.contains(way)))
    }

    /// All registrars, from a random one on in turn, with `last` at the end.
    pub(super) fn candidates(
        &mut self,
        now: Time,
        rng: &mut ChaCha12Rng,
        last: Option<&Ways>,
    ) -> Vec<Ways> {
        self.announced.retain(|(_, expiry)| *expiry > now);
        let lasting = self.fixed.iter().chain(&self.named);
        let mut all: Vec<Ways> =
            lasting.chain(self.announced.iter().map(|(ways, _)| ways)).cloned().collect();
        if all.len() > 1 {
            let start = rng.random_range(0..all.len());
            all.rotate_left(start);
        }
        // A stable sort keeps the turn otherwise.
        all.sort_by_key(|ways| Some(ways) == last);
        all
    }
}
