//! The handlespace: all elements in one arena, and ordered indexes over them.
//!
//! | Index | Key | Serves |
//! |---|---|---|
//! | pools, and in each pool its members | handle; PE ID | lookup, whole-table transfer |
//! | selection order of each pool | by policy | handle resolution |
//! | ownership | home registrar, handle, PE ID | checksum, transfer of one registrar's elements |
//! | owners | association | removal when an association ends |
//! | deadlines | time | timers |
//! | audits | home registrar | removal of what that registrar does not know any more |
//!
//! Every change goes through a method of [`Handlespace`], which brings all indexes up to date.

use std::collections::{BTreeMap, BTreeSet};

use rand::SeedableRng;
use rand_chacha::ChaCha12Rng;
use rserpool_wire::{PeId, PoolHandle, ServerId};
use sctp_user_core::Time;

use crate::arena::{Arena, ElementKey};
use crate::audit::Audit;
use crate::checksum::PeChecksum;
use crate::element::{Element, OwnerId, Timer};
use crate::policy::{Class, Member, Params, UserPlace};
use crate::pool::{Group, Kind, Pool};

/// Settings of a handlespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Longest pool handle that is taken, bytes. Default 32: a longer one ends the process of an
    /// RSPLIB peer.
    pub max_handle_length: usize,
    /// How many of the elements that one resolution returns count as used. Under a sorted policy,
    /// those move back in the order. 0 stands for the default of the policies, which is 1. The
    /// cache of a pool user sets 10^9, because its user gets all of them. Default 0.
    pub max_increment: usize,
    /// How many elements all pools have together; more are refused. An element takes about 1 kB.
    /// Default 1 000 000.
    pub max_elements: usize,
    /// Seed of the random policies. Default: all 0, so a real registrar has to set it.
    pub seed: [u8; 32],
}

impl Default for Config {
    fn default() -> Self {
        Config { max_handle_length: 32, max_increment: 0, max_elements: 1_000_000, seed: [0; 32] }
    }
}

/// All pools and pool elements that one registrar (or one pool user's cache) knows.
#[derive(Debug)]
pub struct Handlespace {
    pub(crate) config: Config,
    pub(crate) elements: Arena<Element>,
    pub(crate) pools: BTreeMap<PoolHandle, Pool>,
    pub(crate) homes: BTreeMap<ServerId, Home>,
    pub(crate) owners: BTreeSet<(OwnerId, ElementKey)>,
    /// How many elements each owner has.
    pub(crate) owner_counts: BTreeMap<OwnerId, usize>,
    pub(crate) deadlines: BTreeSet<(Time, ElementKey, Timer)>,
    pub(crate) audits: BTreeMap<ServerId, Audit>,
    /// How many audits have begun so far, which is the number of the latest one.
    pub(crate) audits_begun: u64,
    rng: ChaCha12Rng,
}

/// The elements of one home registrar.
#[derive(Debug, Default)]
pub(crate) struct Home {
    pub(crate) checksum: PeChecksum,
    pub(crate) elements: BTreeMap<(PoolHandle, PeId), ElementKey>,
    /// Pools with an element of this home.
    pub(crate) pools: usize,
}

impl Home {
    fn is_in(&self, handle: &PoolHandle) -> bool {
        let all = (handle.clone(), PeId(0))..=(handle.clone(), PeId(u32::MAX));
        self.elements.range(all).next().is_some()
    }
}

impl Handlespace {
    /// An empty handlespace.
    pub fn new(config: Config) -> Self {
        let rng = ChaCha12Rng::from_seed(config.seed);
        Handlespace {
            config,
            elements: Arena::new(),
            pools: BTreeMap::new(),
            homes: BTreeMap::new(),
            owners: BTreeSet::new(),
            owner_counts: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            audits: BTreeMap::new(),
            audits_begun: 0,
            rng,
        }
    }

    /// Takes an element out, and its pool with the last member. `None` when it is not there.
    pub fn remove(&mut self, key: ElementKey) -> Option<Element> {
        let mut element = self.elements.remove(key)?;
        let id = element.info.id;
        let handle = element.handle.clone();
        if let Some(pool) = self.pools.get_mut(&handle) {
            if let Some(params) = &element.params {
                let member = Member { key, params, state: &mut element.state };
                pool.take_from_group(id, Kind::of(&element.info), member);
            }
            pool.members.remove(&id);
            if pool.is_empty() {
                self.pools.remove(&handle);
            }
        }
        self.leave_home(element.info.home, handle, id);
        if let Some(owner) = element.owner {
            self.leave_owner(owner, key);
        }
        for timer in Timer::ALL {
            if let Some(at) = element.deadline(timer) {
                self.deadlines.remove(&(at, key, timer));
            }
        }
        Some(element)
    }

    /// Selects up to `n` different members of a pool by its policy, best first, for a user on this
    /// host. Empty when there is no such pool, or when a random policy finds only weights of 0.
    /// Members that are set aside are never given.
    ///
    /// Suspects come last. Takes O(n log N) steps for N members of any kind.
    pub fn select(&mut self, handle: &PoolHandle, n: usize) -> Vec<ElementKey> {
        self.select_for(UserPlace::ThisHost, handle, n)
    }

    /// As [`Handlespace::select`], but gives only members that a user at this place can reach.
    pub fn select_for(
        &mut self,
        user: UserPlace,
        handle: &PoolHandle,
        n: usize,
    ) -> Vec<ElementKey> {
        let fitting = self.pools.get_mut(handle).and_then(|pool| pool.fitting.as_mut());
        let Some(Group { selection, .. }) = fitting else { return Vec::new() };
        let selected = selection.select(n, user, &mut self.rng);
        let used =
            if selection.uses_all() { selected.len() } else { self.config.max_increment.max(1) };
        for &key in selected.iter().take(used) {
            if let Some(element) = self.elements.get_mut(key)
                && let Some(params) = &element.params
            {
                selection.touch(Member { key, params, state: &mut element.state });
            }
        }
        selected
    }

    /// The element with this handle and identifier.
    pub fn find(&self, handle: &PoolHandle, id: PeId) -> Option<ElementKey> {
        self.pool(handle)?.members.get(&id).copied()
    }

    /// An element, if it still exists.
    pub fn get(&self, key: ElementKey) -> Option<&Element> {
        self.elements.get(key)
    }

    /// Whether an element is set aside: it does not fit the members that its pool selects from. No
    /// selection gives it, but it is a member in everything else. See
    /// [`Misfit::SetAside`](crate::Misfit::SetAside).
    ///
    /// This depends on the other members, too, so each change of the pool can change it.
    pub fn is_set_aside(&self, key: ElementKey) -> bool {
        self.get(key).is_some_and(|element| {
            let kind = self.pool(&element.handle).and_then(|pool| pool.kind());
            element.params.is_none() || kind != Some(Kind::of(&element.info))
        })
    }

    /// A pool, if it has a member.
    pub fn pool(&self, handle: &PoolHandle) -> Option<&Pool> {
        self.pools.get(handle)
    }

    /// Number of pools.
    pub fn pool_count(&self) -> usize {
        self.pools.len()
    }

    /// Number of elements over all pools.
    pub fn len(&self) -> usize {
        self.elements.len()
    }

    /// True when there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of elements of one home registrar.
    pub fn count_of_home(&self, home: ServerId) -> usize {
        self.homes.get(&home).map_or(0, |home| home.elements.len())
    }

    /// Number of pools in which one home registrar has elements.
    pub fn pool_count_of_home(&self, home: ServerId) -> usize {
        self.homes.get(&home).map_or(0, |home| home.pools)
    }

    /// Whether a home registrar has elements in a pool.
    pub fn is_home_in(&self, home: ServerId, handle: &PoolHandle) -> bool {
        self.homes.get(&home).is_some_and(|home| home.is_in(handle))
    }

    /// Number of home registrars that have elements here.
    pub fn home_count(&self) -> usize {
        self.homes.len()
    }

    /// Number of elements that an association leads to.
    pub fn owned_count(&self) -> usize {
        self.owners.len()
    }

    /// The PE checksum over the elements of one home registrar (RFC 5353 sec 3.1).
    pub fn checksum(&self, home: ServerId) -> u16 {
        self.joint_checksum([home])
    }

    /// The PE checksum over the elements of several home registrars, as if one of them owned all.
    pub fn joint_checksum(&self, homes: impl IntoIterator<Item = ServerId>) -> u16 {
        let sums = homes.into_iter().filter_map(|home| Some(self.homes.get(&home)?.checksum));
        sums.fold(PeChecksum::EMPTY, PeChecksum::plus).value()
    }

    /// Gives an element to another home registrar, as after a takeover. A running audit of the new
    /// home counts it as seen.
    pub fn set_home(&mut self, key: ElementKey, home: ServerId) {
        let Some(element) = self.elements.get_mut(key) else { return };
        let old = core::mem::replace(&mut element.info.home, home);
        if old != home {
            element.seen = self.audits_begun;
            let (handle, id) = (element.handle.clone(), element.info.id);
            self.leave_home(old, handle.clone(), id);
            self.join_home(home, handle, id, key);
        }
    }

    /// Says over which association an element is reached now.
    pub fn set_owner(&mut self, key: ElementKey, owner: Option<OwnerId>) {
        let Some(element) = self.elements.get_mut(key) else { return };
        let old = core::mem::replace(&mut element.owner, owner);
        element.registered &= old == owner;
        if let Some(old) = old {
            self.leave_owner(old, key);
        }
        if let Some(owner) = owner {
            self.owners.insert((owner, key));
            *self.owner_counts.entry(owner).or_default() += 1;
        }
    }

    fn leave_owner(&mut self, owner: OwnerId, key: ElementKey) {
        self.owners.remove(&(owner, key));
        if let Some(count) = self.owner_counts.get_mut(&owner) {
            *count -= 1;
            if *count == 0 {
                self.owner_counts.remove(&owner);
            }
        }
    }

    /// Number of elements registered over one association.
    pub fn count_of_owner(&self, owner: OwnerId) -> usize {
        self.owner_counts.get(&owner).copied().unwrap_or(0)
    }

    /// Makes an element a suspect, or clears it. Somebody cannot reach a suspect, and it has not
    /// answered since. It keeps its position, but selections give it only when there are not enough
    /// others. Registering again does not clear it.
    pub fn set_suspect(&mut self, key: ElementKey, suspect: bool) {
        let Some(element) = self.elements.get_mut(key) else { return };
        let class = Class { suspect, ..element.state.class };
        let pool = self.pools.get_mut(&element.handle);
        let selection = pool.and_then(|pool| pool.selection_of(Kind::of(&element.info)));
        match (selection, &element.params) {
            (Some(selection), Some(params)) => {
                selection.set_class(Member { key, params, state: &mut element.state }, class);
            }
            _ => element.state.class = class,
        }
    }

    /// Sets the distance to an element, in milliseconds, and moves the element to its new place in
    /// the selection order. Does nothing under a policy without a delay penalty factor (DPF).
    pub fn set_distance(&mut self, key: ElementKey, distance: u32) {
        let Some(element) = self.elements.get_mut(key) else { return };
        if element.info.policy.distance().is_none_or(|old| old == distance) {
            return;
        }
        element.info.policy.set_distance(distance);
        let new_params = Params::of(&element.info.policy);
        let pool = self.pools.get_mut(&element.handle);
        let selection = pool.and_then(|pool| pool.selection_of(Kind::of(&element.info)));
        if let (Some(selection), Some(params), Some(new)) =
            (selection, &element.params, &new_params)
        {
            selection.revalue(Member { key, params, state: &mut element.state }, new);
        }
        element.params = new_params;
    }

    /// Counts one unreachable report; returns the new count.
    pub fn count_bad_report(&mut self, key: ElementKey) -> u32 {
        let Some(element) = self.elements.get_mut(key) else { return 0 };
        element.bad_reports = element.bad_reports.saturating_add(1);
        element.bad_reports
    }

    /// Sets the count of unreachable reports back to 0.
    pub fn clear_bad_reports(&mut self, key: ElementKey) {
        if let Some(element) = self.elements.get_mut(key) {
            element.bad_reports = 0;
        }
    }

    pub(crate) fn join_home(
        &mut self,
        home: ServerId,
        handle: PoolHandle,
        id: PeId,
        key: ElementKey,
    ) {
        let entry = self.homes.entry(home).or_default();
        entry.checksum.add(&handle, id);
        entry.pools += usize::from(!entry.is_in(&handle));
        entry.elements.insert((handle, id), key);
    }

    fn leave_home(&mut self, home: ServerId, handle: PoolHandle, id: PeId) {
        let Some(entry) = self.homes.get_mut(&home) else { return };
        entry.checksum.remove(&handle, id);
        let name = (handle, id);
        entry.elements.remove(&name);
        entry.pools -= usize::from(!entry.is_in(&name.0));
        if entry.elements.is_empty() {
            self.homes.remove(&home);
        }
    }
}
