//! Pools whose changes the user of the state machine wants to hear of (RFC 5352 sec 2.2.5, 2.2.6:
//! the S and A bits).
//!
//! The home registrar is asked with the S bit for the elements of such a pool. If it sets the A bit
//! in its answer, it tells every change from then on. Registrars that know no subscriptions, as
//! RSPLIB's, are asked again and again instead. The next home registrar is asked as soon as there
//! is one.

use std::collections::{BTreeMap, BTreeSet};

use rserpool_wire::{
    CauseCode, HandleResolutionResponse, PeId, PoolElement, PoolHandle, Resolution,
};
use sctp_user_core::{Duration, Time};

use super::home::Home;
use super::requests::{Kind, Subject};
use super::{AsapCore, AsapEvent, RequestError};

/// Pools that can be subscribed to. A registrar may allow one association no more.
const MAX_SUBSCRIPTIONS: usize = 16;

/// When a pool is asked for again whose registrar tells no changes, or did not answer.
const POLL: Duration = Duration::from_secs(5);

/// Elements that a pool is asked for, as many as a registrar may name.
pub(super) const ALL: u32 = 128;

#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    pools: BTreeMap<PoolHandle, Subscription>,
    /// Pools of which the home registrar may send updates, also when nobody wants them any more.
    granted: BTreeSet<PoolHandle>,
}

#[derive(Debug)]
struct Subscription {
    /// When the home registrar is to be asked; `None` when it tells every change.
    due: Option<Time>,
    /// What was told last.
    told: Option<BTreeMap<PeId, PoolElement>>,
}

impl Subscriptions {
    pub(super) fn is_empty(&self) -> bool {
        self.pools.is_empty()
    }

    /// There is another home registrar, or none.
    pub(super) fn home_changed(&mut self, now: Time) {
        self.granted.clear();
        self.pools.values_mut().for_each(|subscription| subscription.due = Some(now));
    }

    /// A question was not answered.
    pub(super) fn ask_later(&mut self, now: Time, pool: &PoolHandle) {
        if let Some(subscription) = self.pools.get_mut(pool) {
            subscription.due = Some(now + POLL);
        }
    }

    /// The pools that are to be asked for now.
    fn due(&self, now: Time) -> Vec<PoolHandle> {
        let due = self.pools.iter().filter(|(_, s)| s.due.is_some_and(|at| at <= now));
        due.map(|(pool, _)| pool.clone()).collect()
    }
}

impl AsapCore {
    /// Tells the elements of a pool by [`AsapEvent::PoolChanged`], now and whenever they change.
    /// While the home registrar tells changes, [`AsapCore::resolve`] finds them in the cache.
    ///
    /// # Errors
    /// [`RequestError::TooMany`] when 16 pools are subscribed to already.
    pub fn subscribe(&mut self, now: Time, pool: &PoolHandle) -> Result<(), RequestError> {
        let pools = &mut self.subscriptions.pools;
        if pools.contains_key(pool) {
            return Ok(());
        }
        if pools.len() >= MAX_SUBSCRIPTIONS {
            return Err(RequestError::TooMany);
        }
        pools.insert(pool.clone(), Subscription { due: Some(now), told: None });
        self.renew(now);
        self.hunt_if_needed(now);
        Ok(())
    }

    /// Ends that. There is no message for it: what the registrar still tells is ignored.
    pub fn unsubscribe(&mut self, pool: &PoolHandle) {
        if self.subscriptions.pools.remove(pool).is_some() {
            self.requests.drop_unsent(&Subject::Subscription(pool.clone()));
            self.cache.release(pool);
        }
    }

    /// When a pool is to be asked for.
    pub(super) fn subscriptions_deadline(&self) -> Option<Time> {
        let pools = self.subscriptions.pools.iter();
        let waiting = pools.filter(|(pool, _)| !self.asks_for(pool));
        waiting.filter_map(|(_, subscription)| subscription.due).min()
    }

    /// Whether an answer for a subscription is waited for.
    fn asks_for(&self, pool: &PoolHandle) -> bool {
        self.requests.has(&Subject::Subscription(pool.clone()))
    }

    /// There is another home registrar, or none: the next one is asked for everything.
    pub(super) fn stop_asking_for_subscriptions(&mut self, now: Time) {
        for pool in self.subscriptions.pools.keys() {
            self.requests.drop_unsent(&Subject::Subscription(pool.clone()));
        }
        self.subscriptions.home_changed(now);
    }

    /// Queues the questions that are due.
    pub(super) fn ask_for_subscriptions(&mut self, now: Time) {
        if !matches!(self.home, Home::Up(_)) {
            return;
        }
        for pool in self.subscriptions.due(now) {
            if !self.asks_for(&pool) {
                self.requests.push(Kind::Subscribe(pool), None);
            }
        }
    }

    /// A resolution of the home registrar that may belong to a subscription; true if it does.
    ///
    /// With the A bit it is an update, unless it answers a question. The difference does not
    /// matter, as both tell the whole pool.
    pub(super) fn on_update(&mut self, now: Time, m: &HandleResolutionResponse) -> bool {
        let subject = Subject::Subscription(m.pool.clone());
        let answers = match m.accept_updates {
            true => self.requests.take_sent(&subject).is_some(),
            false => {
                // Registrars answer in order.
                let first = self.requests.first_sent(&subject);
                let other = self.requests.first_sent(&Subject::Resolution(m.pool.clone()));
                let is_first = first.is_some_and(|n| other.is_none_or(|other| n < other));
                is_first && self.requests.take_sent(&subject).is_some()
            }
        };
        let updates = m.accept_updates && self.subscriptions.granted.contains(&m.pool);
        if !answers && !updates {
            return false;
        }
        if m.accept_updates {
            self.subscriptions.granted.insert(m.pool.clone());
        }
        let Some(subscription) = self.subscriptions.pools.get_mut(&m.pool) else { return true };
        subscription.due = (!m.accept_updates).then_some(now + POLL);
        let elements: &[PoolElement] = match &m.resolution {
            Resolution::Elements { elements, .. } => elements,
            Resolution::Error(error) if error.code() == CauseCode::UNKNOWN_POOL => &[],
            // It says nothing about the pool.
            Resolution::Error(_) => return true,
        };
        if m.accept_updates {
            self.cache.keep(&m.pool, elements);
        }
        let elements: BTreeMap<PeId, PoolElement> =
            elements.iter().map(|element| (element.id, element.clone())).collect();
        if subscription.told.as_ref() != Some(&elements) {
            let told = elements.values().cloned().collect();
            subscription.told = Some(elements);
            self.tell(AsapEvent::PoolChanged { pool: m.pool.clone(), elements: told });
        }
        true
    }
}
