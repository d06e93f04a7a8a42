//! Pool users that want to hear of changes in a pool (RFC 5352 sec 2.2.5, 2.2.6: the S and A bits).

use std::collections::{BTreeMap, BTreeSet};

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
}

/// Pools that one association may hear of.
pub(super) const MAX_PER_ASSOCIATION: usize = 16;
/// Subscriptions over all associations.
const MAX_TOTAL: usize = 100_000;
/// Changes of a pool within this time are told together.
const GATHER: Duration = Duration::from_millis(100);

impl Subscriptions {
    pub(super) fn due(&self) -> Option<Time> {
        self.due
    }
}

impl RegistrarCore {
    /// Notes a subscription; false when there are too many.
    pub(super) fn subscribe(&mut self, channel: ChannelId, pool: &PoolHandle) -> bool {
        let total: usize = self.subscriptions.pools.values().map(BTreeSet::len).sum();
        let Some(association) = self.associations.get_mut(&channel) else { return false };
        let known = association.subscriptions.contains(pool);
        if !known {
            let full = association.subscriptions.len() >= MAX_PER_ASSOCIATION;
            if full || total >= MAX_TOTAL {
                return false;
            }
            association.subscriptions.insert(pool.clone());
            self.subscriptions.pools.entry(pool.clone()).or_default().insert(channel);
        }
        true
    }

    pub(super) fn unsubscribe(&mut self, channel: ChannelId, pools: BTreeSet<PoolHandle>) {
        for pool in pools {
            if let Some(subscribers) = self.subscriptions.pools.get_mut(&pool) {
                subscribers.remove(&channel);
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
        if self.subscriptions.due.is_none_or(|at| at > now) {
            return;
        }
        self.subscriptions.due = None;
        for pool in std::mem::take(&mut self.subscriptions.changed) {
            let subscribers = self.subscriptions.pools.get(&pool).cloned().unwrap_or_default();
            for channel in subscribers {
                self.tell_change(channel, &pool);
            }
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
        let members = self.space.pool(pool).into_iter().flat_map(|pool| pool.members());
        members
            .filter(|(_, key)| !self.space.is_set_aside(*key))
            .filter_map(|(_, key)| self.space.get(key))
            .filter(|element| place == UserPlace::ThisHost || !element.is_this_host_only())
            .map(|element| addresses::present(element.info(), place))
            .take(MAX_ITEMS)
            .collect()
    }
}
