//! The invariants that tie the indexes of a handlespace together.

use std::collections::{BTreeMap, BTreeSet};

use rserpool_wire::{PeId, ServerId};

use crate::arena::ElementKey;
use crate::checksum::PeChecksum;
use crate::element::{Timer, is_this_host_only};
use crate::handlespace::Handlespace;
use crate::policy::Params;
use crate::pool::{Kind, Pool};

impl Handlespace {
    /// Checks every invariant of the handlespace. It walks through everything and is meant for
    /// tests.
    ///
    /// # Errors
    /// Names the first invariant that does not hold. That is a defect of this crate.
    pub fn verify(&self) -> Result<(), String> {
        self.verify_pools()?;
        self.verify_homes()?;
        self.verify_owners()?;
        self.verify_deadlines()?;
        self.verify_audits()
    }

    fn verify_pools(&self) -> Result<(), String> {
        let mut members = 0;
        for (handle, pool) in &self.pools {
            if pool.is_empty() {
                return Err(format!("{handle:?}: empty pool"));
            }
            members += pool.len();
            for (id, key) in pool.members() {
                let element =
                    self.get(key).ok_or(format!("{handle:?}: member {id} does not exist"))?;
                if element.info.id != id || element.handle != *handle || id.is_undefined() {
                    return Err(format!(
                        "{handle:?}: member {id} is registered under another name"
                    ));
                }
                if Params::of(&element.info.policy) != element.params {
                    return Err(format!("{handle:?}: member {id} has outdated policy parameters"));
                }
                if element.is_this_host_only() != is_this_host_only(&element.info) {
                    return Err(format!("{handle:?}: member {id} is reachable from elsewhere"));
                }
            }
            self.verify_groups(pool).map_err(|e| format!("{handle:?}: {e}"))?;
        }
        if members != self.elements.len() {
            return Err(format!(
                "pools have {members} members, but there are {} elements",
                self.elements.len()
            ));
        }
        Ok(())
    }

    /// Each member is in the group of its kind, and the kind of the pool is that of a member.
    fn verify_groups(&self, pool: &Pool) -> Result<(), String> {
        let mut by_kind: Vec<(Kind, Vec<(PeId, ElementKey)>)> = Vec::new();
        for (id, key) in pool.members() {
            let Some(element) = self.get(key).filter(|element| element.params.is_some()) else {
                continue;
            };
            let kind = Kind::of(&element.info);
            match by_kind.iter_mut().find(|(other, _)| *other == kind) {
                Some((_, members)) => members.push((id, key)),
                None => by_kind.push((kind, vec![(id, key)])),
            }
        }
        if by_kind.len() != usize::from(pool.fitting.is_some()) + pool.set_aside.len() {
            return Err(format!("members of {} kinds, but not as many groups", by_kind.len()));
        }
        for (kind, members) in by_kind {
            let mut groups = pool.fitting.iter().chain(&pool.set_aside);
            let group = groups.find(|group| group.kind == kind);
            let group = group.ok_or(format!("no group for members of {kind:?}"))?;
            let states = members.iter().filter_map(|(_, key)| {
                let element = self.get(*key)?;
                Some((*key, element.params.as_ref()?, &element.state))
            });
            group.selection.verify(states)?;
            if !group.ids.iter().eq(members.iter().map(|(id, _)| id)) {
                return Err(format!("wrong identifiers for members of {kind:?}"));
            }
        }
        Ok(())
    }

    fn verify_homes(&self) -> Result<(), String> {
        let mut expected: BTreeMap<ServerId, PeChecksum> = BTreeMap::new();
        for (key, element) in self.elements.iter() {
            let sum = expected.entry(element.info.home).or_default();
            sum.add(&element.handle, element.info.id);
            let name = (element.handle.clone(), element.info.id);
            let found =
                self.homes.get(&element.info.home).and_then(|home| home.elements.get(&name));
            if found != Some(&key) {
                return Err(format!("{key:?} is missing in the ownership index"));
            }
        }
        for (id, home) in &self.homes {
            let mut pools: Vec<_> = home.elements.keys().map(|(handle, _)| handle).collect();
            pools.dedup();
            if pools.len() != home.pools {
                return Err(format!("{id}: {} pools are counted as {}", pools.len(), home.pools));
            }
        }
        let indexed: usize = self.homes.values().map(|home| home.elements.len()).sum();
        if indexed != self.elements.len() {
            return Err(format!(
                "ownership index holds {indexed} of {} elements",
                self.elements.len()
            ));
        }
        let kept: BTreeMap<ServerId, PeChecksum> =
            self.homes.iter().map(|(id, home)| (*id, home.checksum)).collect();
        if kept != expected {
            return Err("a PE checksum differs from the sum over the elements".to_owned());
        }
        Ok(())
    }

    fn verify_owners(&self) -> Result<(), String> {
        let expected: BTreeSet<_> =
            self.elements.iter().filter_map(|(key, element)| Some((element.owner?, key))).collect();
        if expected != self.owners {
            return Err("the owner index differs from the owners of the elements".to_owned());
        }
        let mut counts = BTreeMap::new();
        for (owner, _) in &self.owners {
            *counts.entry(*owner).or_default() += 1;
        }
        if counts != self.owner_counts {
            return Err("the counts of the owners differ from the owner index".to_owned());
        }
        Ok(())
    }

    fn verify_deadlines(&self) -> Result<(), String> {
        let mut expected = BTreeSet::new();
        for (key, element) in self.elements.iter() {
            for timer in Timer::ALL {
                expected.extend(element.deadline(timer).map(|at| (at, key, timer)));
            }
        }
        if expected != self.deadlines {
            return Err("the deadline index differs from the deadlines of the elements".to_owned());
        }
        Ok(())
    }

    fn verify_audits(&self) -> Result<(), String> {
        let mut all: Vec<_> = self.audits.values().map(|audit| audit.number).collect();
        all.sort_unstable();
        if !all.is_sorted_by(|a, b| a < b) || all.last().is_some_and(|n| *n > self.audits_begun) {
            return Err(format!("audits have the numbers {all:?} of {}", self.audits_begun));
        }
        if let Some((key, _)) = self.elements.iter().find(|(_, e)| e.seen > self.audits_begun) {
            return Err(format!("{key:?} was seen by an audit that has not begun"));
        }
        for (home, audit) in &self.audits {
            // The sweep takes out what was not seen.
            let passed = self.elements.iter().find(|(_, element)| {
                let name = (&element.handle, element.info.id);
                element.info.home == *home
                    && element.seen < audit.number
                    && audit.swept.as_ref().is_some_and(|(handle, id)| name <= (handle, *id))
            });
            if let Some((key, _)) = passed {
                return Err(format!("{key:?}: the sweep of {home} has left it behind unseen"));
            }
        }
        Ok(())
    }
}
