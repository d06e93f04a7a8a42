//! Elements that two other registrars say to be the home of.
//!
//! An element that moves from one registrar to another is heard of from its new home, and that is
//! believed at once. But anybody could say so. So the former home may contradict as long as it
//! lives: it has asked the element. Then the element is its own again, and claims of the other one
//! are ignored for a while. Otherwise a registrar could take elements away from a third one without
//! the home ever hearing of it.

use std::collections::{BTreeMap, VecDeque};

use rserpool_wire::{PeId, PoolHandle, ServerId};
use sctp_user_core::{Duration, Time};

use crate::registrar::RegistrarCore;

/// What was said of elements lately. It outlives the elements: a claimant could say that one is
/// gone and claim it anew.
#[derive(Debug, Default)]
pub(super) struct Contests {
    open: BTreeMap<Name, Contest>,
    /// When these end, the first one first. Each stands here once.
    ends: VecDeque<(Time, Name)>,
}

type Name = (PoolHandle, PeId);

#[derive(Debug, Default)]
struct Contest {
    /// The home before, until it contradicts, and who claims the element.
    moved: Option<Moved>,
    /// Whose claims are ignored.
    refuted: Vec<ServerId>,
}

#[derive(Clone, Copy, Debug)]
struct Moved {
    former: ServerId,
    claimant: ServerId,
}

/// How long the former home may contradict, and how long a claim is ignored that it contradicted.
const DURATION: Duration = Duration::from_secs(60);
/// When so many claims to one element were wrong, all are ignored.
const MAX_REFUTED: usize = 4;
/// What is remembered at the same time. Beyond that, no claim is believed to an element whose home
/// lives; audits make up for it.
const MAX_OPEN: usize = 100_000;

impl Contest {
    fn refute(&mut self, claimant: ServerId) {
        self.moved = None;
        if self.refuted.len() < MAX_REFUTED && !self.refuted.contains(&claimant) {
            self.refuted.push(claimant);
        }
    }

    fn ignores(&self, claimant: ServerId) -> bool {
        self.refuted.len() >= MAX_REFUTED || self.refuted.contains(&claimant)
    }
}

impl Contests {
    fn forget_old(&mut self, now: Time) {
        while self.ends.front().is_some_and(|(until, _)| *until <= now) {
            if let Some((_, name)) = self.ends.pop_front() {
                self.open.remove(&name);
            }
        }
    }

    /// `None` when too much is remembered already.
    fn entry(&mut self, now: Time, name: Name) -> Option<&mut Contest> {
        if !self.open.contains_key(&name) {
            if self.open.len() >= MAX_OPEN {
                return None;
            }
            self.ends.push_back((now + DURATION, name.clone()));
        }
        Some(self.open.entry(name).or_default())
    }
}

impl RegistrarCore {
    /// A registrar says that an element is its own. Whether it is believed. `home`: another
    /// registrar that is its home as far as we know.
    pub(super) fn believes_claim(
        &mut self,
        now: Time,
        (pool, id): (&PoolHandle, PeId),
        claimant: ServerId,
        home: Option<ServerId>,
    ) -> bool {
        let living_home = home.filter(|home| self.is_connected(*home));
        let contests = &mut self.enrp.contests;
        contests.forget_old(now);
        if contests.open.is_empty() && living_home.is_none() {
            return true;
        }
        let name = (pool.clone(), id);
        if let Some(contest) = contests.open.get_mut(&name)
            && let Some(moved) = contest.moved.filter(|moved| moved.former == claimant)
        {
            // The home before contradicts.
            contest.refute(moved.claimant);
            return true;
        }
        let Some(home) = living_home else { return true };
        let Some(contest) = contests.entry(now, name) else { return false };
        if contest.ignores(claimant) {
            return false;
        }
        let former = contest.moved.map_or(home, |moved| moved.former);
        contest.moved = Some(Moved { former, claimant });
        true
    }

    /// Whether there is an association with a registrar, and nothing says that it is dead.
    fn is_connected(&self, id: ServerId) -> bool {
        self.enrp.peers.get(&id).is_some_and(|peer| peer.is_up)
            && !self.enrp.takeovers.contains_key(&id)
    }
}
