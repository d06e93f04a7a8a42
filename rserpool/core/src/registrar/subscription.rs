//! Pool users that want to hear of changes in a pool (RFC 5352 sec 2.2.5, 2.2.6: the S and A bits).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;

use rserpool_handlespace::UserPlace;
use rserpool_wire::{
    AsapMessage, CauseCode, HandleResolutionResponse, OperationError, PoolElement, PoolHandle,
    Resolution,
};
use sctp_user_core::{Duration, Time};

use super::config::MAX_ITEMS;
use super::{RegistrarCore, addresses};
use crate::channel::ChannelId;

/// Who hears of which pool.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    pools: BTreeMap<PoolHandle, BTreeSet<ChannelId>>,
    /// Pools that changed since their subscribers heard of them.
    changed: BTreeSet<PoolHandle>,
    /// When they will hear.
    due: Option<Time>,
    /// Pools that are being told of, and who heard of each last.
    telling: VecDeque<(PoolHandle, Option<ChannelId>)>,
    /// Subscriptions over all associations.
    total: usize,
}

/// Pools that one association may hear of.
pub(super) const MAX_PER_ASSOCIATION: usize = 16;
/// Subscriptions over all associations.
const MAX_TOTAL: usize = 100_000;
/// Updates that are sent in a row, before others have their turn.
const UPDATES: usize = 32;
/// Changes of a pool within this time are told together.
const GATHER: Duration = Duration::from_millis(100);

impl Subscriptions {
    pub(super) fn due(&self) -> Option<Time> {
        if self.telling.is_empty() { self.due } else { Some(Time::ZERO) }
    }

    /// Who is to hear of which pool next.
    fn next(&mut self) -> Option<(PoolHandle, ChannelId)> {
        while let Some((pool, last)) = self.telling.front_mut() {
            let after = last.map_or(Bound::Unbounded, Bound::Excluded);
            let subscribers = self.pools.get(pool);
            let next = subscribers.and_then(|all| all.range((after, Bound::Unbounded)).next());
            if let Some(channel) = next {
                *last = Some(*channel);
                return Some((pool.clone(), *channel));
            }
            self.telling.pop_front();
        }
        None
    }
}

impl RegistrarCore {
    /// Notes a subscription; false when there are too many.
    pub(super) fn subscribe(&mut self, channel: ChannelId, pool: &PoolHandle) -> bool {
        let Some(association) = self.associations.get_mut(&channel) else { return false };
        let known = association.subscriptions.contains(pool);
        if !known {
            let full = association.subscriptions.len() >= MAX_PER_ASSOCIATION;
            if full || self.subscriptions.total >= MAX_TOTAL {
                return false;
            }
            association.subscriptions.insert(pool.clone());
            self.subscriptions.total += 1;
            self.subscriptions.pools.entry(pool.clone()).or_default().insert(channel);
        }
        true
    }

    pub(super) fn unsubscribe(&mut self, channel: ChannelId, pools: BTreeSet<PoolHandle>) {
        for pool in pools {
            if let Some(subscribers) = self.subscriptions.pools.get_mut(&pool) {
                if subscribers.remove(&channel) {
                    self.subscriptions.total -= 1;
                }
                if subscribers.is_empty() {
                    self.subscriptions.pools.remove(&pool);
                    self.subscriptions.changed.remove(&pool);
                }
            }
        }
    }

    /// A pool has changed.
    pub(super) fn tell_subscribers(&mut self, pool: &PoolHandle) {
        if self.subscriptions.pools.contains_key(pool) {
            self.subscriptions.changed.insert(pool.clone());
        }
    }

    /// Changes are told a little later, so that many of them are told at once.
    pub(super) fn schedule_subscriptions(&mut self, now: Time) {
        if self.subscriptions.due.is_none() && !self.subscriptions.changed.is_empty() {
            self.subscriptions.due = Some(now + GATHER);
        }
    }

    pub(super) fn tell_changes_if_due(&mut self, now: Time) {
        let all = &mut self.subscriptions;
        // What changes while changes are being told is told after them.
        if all.telling.is_empty() && all.due.is_some_and(|at| at <= now) {
            all.due = None;
            all.telling
                .extend(std::mem::take(&mut all.changed).into_iter().map(|pool| (pool, None)));
        }
        for _ in 0..UPDATES {
            let Some((pool, channel)) = self.subscriptions.next() else { return };
            self.tell_change(channel, &pool);
        }
    }

    fn tell_change(&mut self, channel: ChannelId, pool: &PoolHandle) {
        let Some(association) = self.associations.get(&channel) else { return };
        let place = addresses::place_of(&association.peer);
        let elements = self.present_members(pool, place);
        self.stats.subscription_updates += 1;
        if elements.is_empty() {
            let resolution = Resolution::Error(OperationError::new(CauseCode::UNKNOWN_POOL));
            let accept_updates = true;
            let response =
                HandleResolutionResponse { accept_updates, pool: pool.clone(), resolution };
            self.send(channel, &AsapMessage::HandleResolutionResponse(response));
        } else {
            self.respond_to_resolution(channel, pool.clone(), elements, true);
        }
    }

    /// Members of a pool as a user gets them, without any of them counting as used.
    fn present_members(&self, pool: &PoolHandle, place: UserPlace) -> Vec<PoolElement> {
        let pool = self.space.pool(pool);
        pool.into_iter()
            .flat_map(|pool| pool.fitting_members())
            .filter_map(|(_, key)| self.space.get(key))
            .filter(|element| place == UserPlace::ThisHost || !element.is_this_host_only())
            .map(|element| addresses::present(element.info(), place))
            .take(MAX_ITEMS)
            .collect()
    }
}
