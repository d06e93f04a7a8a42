//! The pool user's cache: a handlespace of its own, from which elements are selected by the policy
//! of their pool.

use rserpool_handlespace::{Config, Handlespace, Misfit, OtherHome, RegisterRules, Timer};
use rserpool_wire::{PeId, PoolElement, PoolHandle};
use sctp_user_core::{Duration, Time};

/// How many elements are remembered, in all pools together.
const MAX_ELEMENTS: usize = 10_000;

/// How many elements one resolution gives at most.
const MAX_ITEMS: usize = 128;

#[derive(Debug)]
pub(super) struct Cache {
    space: Handlespace,
}

impl Cache {
    pub(super) fn new(seed: [u8; 32]) -> Self {
        // All elements of a resolution count as used: the user gets all of them.
        let config = Config {
            max_increment: 1_000_000_000,
            max_elements: MAX_ELEMENTS,
            seed,
            ..Config::default()
        };
        Cache { space: Handlespace::new(config) }
    }

    /// Selects up to `items` elements (0: all) that are not too old.
    pub(super) fn select(&mut self, now: Time, pool: &PoolHandle, items: u32) -> Vec<PoolElement> {
        self.space.purge_expired(now);
        let items = usize::try_from(items).unwrap_or(usize::MAX);
        let items = if items == 0 { MAX_ITEMS } else { items.min(MAX_ITEMS) };
        let keys = self.space.select(pool, items);
        keys.into_iter().filter_map(|key| self.space.get(key)).map(|e| e.info().clone()).collect()
    }

    /// Remembers elements for `stale`. False when they cannot be kept: the policy is one that
    /// cannot be selected by, or there is no room.
    pub(super) fn store(
        &mut self,
        now: Time,
        pool: &PoolHandle,
        elements: &[PoolElement],
        stale: Duration,
    ) -> bool {
        if !elements.iter().all(|e| self.insert(now, pool, e, stale)) {
            // The pool may have come back with another policy.
            self.remove_pool(pool);
            if !elements.iter().all(|e| self.insert(now, pool, e, stale)) {
                self.remove_pool(pool);
                return false;
            }
        }
        true
    }

    fn insert(
        &mut self,
        now: Time,
        pool: &PoolHandle,
        element: &PoolElement,
        stale: Duration,
    ) -> bool {
        // The latest resolution knows best which registrar is the home now.
        let rules = RegisterRules { other_home: OtherHome::TakeOver, misfit: Misfit::Refuse };
        match self.space.register(pool, element.clone(), None, rules) {
            Ok(registration) => {
                self.space.set_timer(registration.key, Timer::Life, Some(now + stale));
                true
            }
            Err(_) => false,
        }
    }

    pub(super) fn remove(&mut self, pool: &PoolHandle, id: PeId) {
        if let Some(key) = self.space.find(pool, id) {
            self.space.remove(key);
        }
    }

    fn remove_pool(&mut self, pool: &PoolHandle) {
        let Some(members) = self.space.pool(pool) else { return };
        let keys: Vec<_> = members.members().map(|(_, key)| key).collect();
        keys.into_iter().for_each(|key| drop(self.space.remove(key)));
    }
}
