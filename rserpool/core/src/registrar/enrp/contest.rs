//! Elements that two other registrars say to be the home of.
//!
//! An element that moves from one registrar to another is heard of from its new home, and that is
//! believed at once. But anybody could say so. So the former home may contradict as long as it
//! lives: it has asked the element. Then the element is its own again, and claims of the other one
//! are ignored for a while. Otherwise a registrar could take elements away from a third one without
//! the home ever hearing of it.

use std::collections::{BTreeMap, VecDeque};

use rserpool_handlespace::ElementKey;
use rserpool_wire::{PeId, PoolHandle, ServerId};
use sctp_user_core::{Duration, Time};

use crate::registrar::RegistrarCore;

/// What was said of elements lately.
#[derive(Debug, Default)]
pub(super) struct Contests {
    /// At most one for each element that is known.
    open: BTreeMap<ElementKey, Contest>,
    /// When these end, the first one first.
    ends: VecDeque<(Time, ElementKey)>,
    /// Elements that were said to be gone by a registrar that had claimed them before.
    gone: BTreeMap<(PoolHandle, PeId), Gone>,
}

#[derive(Debug)]
struct Contest {
    until: Time,
    /// The home before; `None` when it has contradicted.
    former: Option<ServerId>,
    /// Whose claims are ignored.
    refuted: Vec<ServerId>,
}

#[derive(Debug)]
struct Gone {
    former: ServerId,
    claimant: ServerId,
    until: Time,
}

/// How long the former home may contradict, and how long a claim is ignored that it contradicted.
const DURATION: Duration = Duration::from_secs(60);
/// When so many claims to one element were wrong, all are ignored.
const MAX_REFUTED: usize = 4;
/// Elements that are remembered as gone.
const MAX_GONE: usize = 4096;

impl Contest {
    fn refute(&mut self, claimant: ServerId) {
        self.former = None;
        if self.refuted.len() < MAX_REFUTED && !self.refuted.contains(&claimant) {
            self.refuted.push(claimant);
        }
    }
}

impl Contests {
    fn entry(&mut self, now: Time, key: ElementKey) -> &mut Contest {
        while let Some((until, key)) = self.ends.front().copied().filter(|(until, _)| *until <= now)
        {
            self.ends.pop_front();
            if self.open.get(&key).is_some_and(|contest| contest.until == until) {
                self.open.remove(&key);
            }
        }
        let until = now + DURATION;
        self.open.entry(key).or_insert_with(|| {
            self.ends.push_back((until, key));
            Contest { until, former: None, refuted: Vec::new() }
        })
    }
}

impl RegistrarCore {
    /// Another registrar says to be the home of an element of a third one. Whether it is believed.
    pub(super) fn may_move(&mut self, now: Time, key: ElementKey, to: ServerId) -> bool {
        let Some(element) = self.space.get(key) else { return true };
        let home = element.info().home;
        let home_lives = self.is_connected(home);
        let contest = self.enrp.contests.entry(now, key);
        if contest.former.is_some_and(|former| former == to) {
            // That one contradicts.
            contest.refute(home);
            return true;
        }
        if !home_lives {
            return true;
        }
        if contest.refuted.contains(&to) || contest.refuted.len() >= MAX_REFUTED {
            return false;
        }
        contest.former.get_or_insert(home);
        true
    }

    /// A registrar says that an element of its own is gone. If it was another one's before, that
    /// one may know better.
    pub(super) fn remember_gone(&mut self, now: Time, key: ElementKey) {
        let contest = self.enrp.contests.open.remove(&key);
        let former = contest.filter(|contest| contest.until > now).and_then(|c| c.former);
        let Some(former) = former else { return };
        let Some(element) = self.space.get(key) else { return };
        let gone = &mut self.enrp.contests.gone;
        if gone.len() >= MAX_GONE {
            gone.pop_first();
        }
        let claimant = element.info().home;
        let name = (element.handle().clone(), element.info().id);
        gone.insert(name, Gone { former, claimant, until: now + DURATION });
    }

    /// An element was learned of that was not known. If it is one that another registrar has
    /// claimed and then said to be gone, the home before contradicts both.
    pub(super) fn recall_gone(&mut self, now: Time, key: ElementKey) {
        if self.enrp.contests.gone.is_empty() {
            return;
        }
        let Some(element) = self.space.get(key) else { return };
        let (home, name) = (element.info().home, (element.handle().clone(), element.info().id));
        let Some(gone) = self.enrp.contests.gone.remove(&name) else { return };
        if gone.until <= now {
            return;
        }
        let contest = self.enrp.contests.entry(now, key);
        if gone.former == home {
            contest.refute(gone.claimant);
        } else {
            // It may contradict this one, too.
            contest.former = Some(gone.former);
        }
    }

    /// Whether there is an association with a registrar, and nothing says that it is dead.
    fn is_connected(&self, id: ServerId) -> bool {
        self.enrp.peers.get(&id).is_some_and(|peer| peer.is_up)
            && !self.enrp.takeovers.contains_key(&id)
    }
}
