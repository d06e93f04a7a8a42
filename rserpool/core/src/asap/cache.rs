//! The pool user's cache: a handlespace of its own, from which elements are selected by the policy
//! of their pool.

use std::collections::BTreeSet;

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
    /// Pools that are as the registrar knows them, so that they do not become stale.
    kept: BTreeSet<PoolHandle>,
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
        Cache { space: Handlespace::new(config), kept: BTreeSet::new() }
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
        let until = (!self.kept.contains(pool)).then(|| now + stale);
        self.store_until(pool, elements, until)
    }

    /// The registrar tells that a pool has exactly these elements, and will tell when that changes.
    pub(super) fn keep(&mut self, pool: &PoolHandle, elements: &[PoolElement]) {
        let members = self.space.pool(pool).into_iter().flat_map(|pool| pool.members());
        let gone = members.filter(|(id, _)| !elements.iter().any(|element| element.id == *id));
        let gone: Vec<_> = gone.map(|(_, key)| key).collect();
        gone.into_iter().for_each(|key| drop(self.space.remove(key)));
        self.kept.insert(pool.clone());
        self.store_until(pool, elements, None);
    }

    /// The registrar does not tell the changes of a pool any more.
    pub(super) fn release(&mut self, pool: &PoolHandle) {
        if self.kept.remove(pool) {
            self.remove_pool(pool);
        }
    }

    /// The registrar tells no changes any more.
    pub(super) fn release_all(&mut self) {
        for pool in std::mem::take(&mut self.kept) {
            self.remove_pool(&pool);
        }
    }

    fn store_until(
        &mut self,
        pool: &PoolHandle,
        elements: &[PoolElement],
        until: Option<Time>,
    ) -> bool {
        if !elements.iter().all(|e| self.insert(pool, e, until)) {
            // The pool may have come back with another policy.
            self.remove_pool(pool);
            if !elements.iter().all(|e| self.insert(pool, e, until)) {
                self.remove_pool(pool);
                return false;
            }
        }
        true
    }

    fn insert(&mut self, pool: &PoolHandle, element: &PoolElement, until: Option<Time>) -> bool {
        // The latest resolution knows best which registrar is the home now.
        let rules = RegisterRules { other_home: OtherHome::TakeOver, misfit: Misfit::Refuse };
        match self.space.register(pool, element.clone(), None, rules) {
            Ok(registration) => {
                self.space.set_timer(registration.key, Timer::Life, until);
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
