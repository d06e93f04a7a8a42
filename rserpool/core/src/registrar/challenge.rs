//! When somebody claims an element that this registrar is the home of, the element is asked.
//!
//! The claim may come by another association that registers the same element, or by another
//! registrar that says to be its home. Neither is believed without asking: anybody could take any
//! element away otherwise (RFC 5355 sec 2.3).

use std::collections::{BTreeMap, BTreeSet};

use rserpool_handlespace::{ElementKey, Timer};
use rserpool_wire::{PoolElement, ServerId, UpdateAction};
use sctp_user_core::Time;

use super::event::{RegistrarEvent, RemovalReason};
use super::{RegistrarCore, SLICE};
use crate::channel::ChannelId;
use crate::plant::{Fault, is_planted};

/// The claims that wait for an element's answer.
#[derive(Debug, Default)]
pub(super) struct Challenges {
    open: BTreeMap<ElementKey, Challenge>,
    /// When their elements must have answered.
    due: BTreeSet<(Time, ElementKey)>,
    /// How often registrars were told already that an element is ours, and until when that counts.
    told: BTreeMap<(ElementKey, ServerId), (u32, Time)>,
    /// The same, by the time at which it does not count any more.
    told_until: BTreeSet<(Time, ElementKey, ServerId)>,
}

#[derive(Debug)]
struct Challenge {
    by: Challenger,
    /// When the element must have answered.
    until: Time,
}

#[derive(Debug)]
enum Challenger {
    /// It registers the element over this association.
    Association { channel: ChannelId, element: PoolElement },
    /// It says to be the home of the element.
    Registrar { server: ServerId, element: PoolElement, by_update: bool },
}

/// Claims that wait at the same time; more are refused.
const MAX_OPEN: usize = 10_000;
/// What was told that is remembered; more makes the oldest be forgotten.
const MAX_REMEMBERED: usize = 100_000;
/// How often a claim of a registrar is answered by telling all that the element is ours.
const MAX_TOLD: u32 = 3;

impl Challenges {
    pub(super) fn deadline(&self) -> Option<Time> {
        self.due.first().map(|(until, _)| *until)
    }

    fn insert(&mut self, key: ElementKey, challenge: Challenge) {
        self.due.insert((challenge.until, key));
        self.open.insert(key, challenge);
    }

    fn remove(&mut self, key: ElementKey) -> Option<Challenge> {
        let challenge = self.open.remove(&key)?;
        self.due.remove(&(challenge.until, key));
        Some(challenge)
    }

    /// Counts how often a registrar was told that an element is ours; `until` is when that does not
    /// count any more.
    fn count_told(&mut self, now: Time, key: ElementKey, server: ServerId, until: Time) -> u32 {
        while let Some(&(first, old_key, old_server)) = self.told_until.first()
            && (first <= now || self.told.len() >= MAX_REMEMBERED)
        {
            self.told_until.pop_first();
            self.told.remove(&(old_key, old_server));
        }
        let (times, last) = self.told.entry((key, server)).or_insert((0, until));
        // As long as they go on, it counts.
        self.told_until.remove(&(*last, key, server));
        self.told_until.insert((until, key, server));
        *last = until;
        *times = times.saturating_add(1);
        *times
    }
}

impl RegistrarCore {
    /// Another association registers an element that one which lives owns. False when the claim is
    /// refused at once.
    pub(super) fn challenge_by_association(
        &mut self,
        now: Time,
        key: ElementKey,
        channel: ChannelId,
        element: PoolElement,
    ) -> bool {
        self.challenge(now, key, Challenger::Association { channel, element })
    }

    /// Another registrar says that an element of ours is its own: by an update of its own accord,
    /// or by its table.
    pub(super) fn on_rival_claim(
        &mut self,
        now: Time,
        key: ElementKey,
        server: ServerId,
        element: PoolElement,
        by_update: bool,
    ) {
        if is_planted(Fault::ClaimIgnored) {
            return;
        }
        // Nobody leads to it: the other one knows better.
        let owned = self.space.get(key).is_some_and(|known| known.owner().is_some())
            && !is_planted(Fault::ClaimBelieved);
        if !owned {
            return self.yield_to(now, key, server, element);
        }
        self.challenge(now, key, Challenger::Registrar { server, element, by_update });
    }

    fn challenge(&mut self, now: Time, key: ElementKey, by: Challenger) -> bool {
        let open = &mut self.challenges.open;
        if let Some(challenge) = open.get_mut(&key) {
            // The element itself counts more than another registrar.
            let replaces = matches!(challenge.by, Challenger::Registrar { .. })
                && matches!(by, Challenger::Association { .. });
            if replaces {
                challenge.by = by;
            }
            return replaces;
        }
        if open.len() >= MAX_OPEN {
            return false;
        }
        let until = now + self.config.ownership_timeout;
        self.challenges.insert(key, Challenge { by, until });
        self.send_keep_alive(now, key, true);
        true
    }

    /// The element has answered over the association that owns it.
    pub(super) fn on_challenge_answered(&mut self, now: Time, key: ElementKey) {
        let Some(challenge) = self.challenges.remove(key) else { return };
        match challenge.by {
            Challenger::Association { channel, element } => {
                self.refuse_claim(channel, key, &element);
            }
            Challenger::Registrar { server, element, by_update }
                if self.gives_way(now, key, server, by_update) =>
            {
                self.yield_to(now, key, server, element);
            }
            Challenger::Registrar { server, .. } => self.insist(now, key, server),
        }
    }

    /// Whether another registrar gets an element although it answers this one.
    ///
    /// Never, if it has registered here: it would have ended that association if it believed the
    /// other one. An element that was taken over and only answers may answer both. Then the smaller
    /// identifier keeps it. The other registrar was told that it is ours, so it has asked the
    /// element and got an answer as well when it still says that it is its own.
    fn gives_way(&self, now: Time, key: ElementKey, server: ServerId, by_update: bool) -> bool {
        let told = self.challenges.told.get(&(key, server)).filter(|(_, until)| *until > now);
        let times = told.map_or(0, |(times, _)| *times);
        let registered = self.space.get(key).is_some_and(|element| element.is_registered());
        let smaller_insists = by_update && server < self.id && times > 0;
        !registered && (smaller_insists || times >= MAX_TOLD)
    }

    /// The element is with us, and all are told so. The other registrar asks it, too.
    fn insist(&mut self, now: Time, key: ElementKey, server: ServerId) {
        let until = now + self.config.keep_alive_interval * 4;
        let times = self.challenges.count_told(now, key, server, until);
        if times > MAX_TOLD {
            if times == MAX_TOLD + 1
                && let Some(known) = self.space.get(key)
            {
                let (pool, id) = (known.handle().clone(), known.info().id);
                self.report(RegistrarEvent::Disputed { pool, id, with: server });
            }
            return;
        }
        // All others have heard the same claim and believed it, as the element was not theirs.
        if let Some(known) = self.space.get(key) {
            let (pool, info) = (known.handle().clone(), known.info().clone());
            self.tell_update(now, UpdateAction::AddPe, &pool, &info);
        }
    }

    /// The element does not answer, or its association has ended.
    pub(super) fn on_challenge_won(&mut self, now: Time, key: ElementKey) {
        let Some(challenge) = self.challenges.remove(key) else { return };
        match challenge.by {
            Challenger::Association { channel, element } => {
                if !self.associations.contains_key(&channel) {
                    // The one that claimed it is gone, too. An element whose association lives has
                    // the time for its answer that it always has.
                    let owner = self.space.get(key).and_then(|known| known.owner());
                    let lives = owner.map(ChannelId::from_u64);
                    if !lives.is_some_and(|owner| self.associations.contains_key(&owner)) {
                        self.lose_element(now, key, RemovalReason::KeepAliveTimeout);
                    }
                    return;
                }
                let Some(known) = self.space.get(key) else { return };
                let (pool, owner) = (known.handle().clone(), known.owner());
                // The old association is as good as dead.
                self.space.set_owner(key, None);
                if let Some(owner) = owner.map(ChannelId::from_u64) {
                    self.abort(now, owner, "another association registers the pool element");
                }
                self.complete_registration(now, channel, pool, element);
            }
            Challenger::Registrar { server, element, .. } => {
                self.yield_to(now, key, server, element);
            }
        }
    }

    /// Another registrar is the home of an element from now on.
    fn yield_to(&mut self, now: Time, key: ElementKey, server: ServerId, element: PoolElement) {
        let Some(known) = self.space.get(key) else { return };
        let (pool, id, owner) = (known.handle().clone(), known.info().id, known.owner());
        self.report(RegistrarEvent::Yielded { pool: pool.clone(), id, to: server });
        let life = element.life.duration(self.config.life_unit);
        self.space.set_owner(key, None);
        self.forget_contact(key);
        self.space.remove(key);
        if !is_planted(Fault::YieldedDropped)
            && let Ok(key) = self.register_copy(&pool, element)
        {
            self.space.set_timer(key, Timer::Life, life.map(|life| now + life));
        }
        // An element that loses us becomes free for the other one.
        if let Some(owner) = owner.map(ChannelId::from_u64)
            && self.space.first_of_owner(owner.as_u64()).is_none()
        {
            self.shut_down(owner);
        }
        self.tell_subscribers(&pool);
    }

    pub(super) fn look_after_challenges(&mut self, now: Time) {
        // The rest waits until other inputs have had their turn.
        for _ in 0..SLICE {
            let first = self.challenges.due.first().filter(|(until, _)| *until <= now);
            let Some(&(_, key)) = first else { return };
            self.on_challenge_won(now, key);
        }
    }

    /// An element is gone for another reason; whoever claims it may have it.
    pub(super) fn forget_challenge(&mut self, key: ElementKey) {
        self.challenges.remove(key);
    }

    /// An element was removed because its association ended; the claim that waits is right.
    pub(super) fn has_challenge(&self, key: ElementKey) -> bool {
        self.challenges.open.contains_key(&key)
    }

    pub(super) fn lose_element(&mut self, now: Time, key: ElementKey, reason: RemovalReason) {
        if self.has_challenge(key) {
            return self.on_challenge_won(now, key);
        }
        self.remove(now, key, reason);
    }
}
