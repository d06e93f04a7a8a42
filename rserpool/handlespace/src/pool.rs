//! One pool: its members by identifier, and those that it selects from.
//!
//! Every pool has a kind: policy, transport protocol, and use of a control channel. The first
//! member here decides the kind. Another registrar may have created a pool of the same name with
//! another kind, so there can be members that do not fit; they are *set aside*. Each kind has a
//! selection structure of its own, and the pool selects only from that of its own kind. So a pool
//! can change its kind without looking at its members.

use std::collections::{BTreeMap, BTreeSet};

use rserpool_wire::{PeId, PoolElement, TransportProtocol, TransportUse};

use crate::arena::ElementKey;
use crate::error::RegisterError;
use crate::policy::{Member, Selection};

/// A set of elements that serve the same purpose. It exists as long as it has a member. The first
/// member decides policy, transport protocol and use of a control channel.
#[derive(Debug)]
pub struct Pool {
    pub(crate) members: BTreeMap<PeId, ElementKey>,
    /// The fitting members; `None` as long as no member has a policy that this handlespace knows.
    pub(crate) fitting: Option<Group>,
    /// The members that are set aside, one group for each kind. Members with an unknown policy are
    /// in no group.
    pub(crate) set_aside: Vec<Group>,
}

/// What fitting members have in common (RFC 5352 sec 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    policy: u32,
    protocol: TransportProtocol,
    control_channel: bool,
}

/// Members of one kind. There is at least one.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) kind: Kind,
    pub(crate) selection: Selection,
    /// The members. Of groups that are set aside, the one with the smallest identifier is the next
    /// one to be selected from.
    pub(crate) ids: BTreeSet<PeId>,
}

impl Kind {
    pub(crate) fn of(element: &PoolElement) -> Self {
        Kind {
            policy: element.policy.number(),
            protocol: element.user_transport.protocol(),
            control_channel: element.user_transport.transport_use() == TransportUse::DataControl,
        }
    }
}

impl Group {
    fn new(kind: Kind, id: PeId, first: Member<'_>) -> Self {
        let mut selection = Selection::new(first.params);
        selection.insert(first);
        Group { kind, selection, ids: BTreeSet::from([id]) }
    }

    fn insert(&mut self, id: PeId, member: Member<'_>) {
        self.selection.insert(member);
        self.ids.insert(id);
    }

    fn remove(&mut self, id: PeId, member: Member<'_>) {
        self.selection.remove(member);
        self.ids.remove(&id);
    }
}

impl Pool {
    /// A pool without members, for the moment before its first one is put in.
    pub(crate) fn new() -> Self {
        Pool { members: BTreeMap::new(), fitting: None, set_aside: Vec::new() }
    }

    /// Number of members, at least 1. Those that are set aside count, too.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Always false: an empty pool is not kept.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The members in order of their identifiers, with those that are set aside.
    pub fn members(&self) -> impl Iterator<Item = (PeId, ElementKey)> + '_ {
        self.members.iter().map(|(id, key)| (*id, *key))
    }

    /// The members that the pool selects from, in order of their identifiers.
    pub fn fitting_members(&self) -> impl Iterator<Item = (PeId, ElementKey)> + '_ {
        let ids = self.fitting.iter().flat_map(|group| &group.ids);
        ids.filter_map(|id| Some((*id, *self.members.get(id)?)))
    }

    /// The number of the policy that the pool selects by. `None` while no member has a known
    /// policy; such members are copies from other registrars.
    pub fn policy(&self) -> Option<u32> {
        self.kind().map(|kind| kind.policy)
    }

    /// The kind of the pool, if a single member gives it.
    pub(crate) fn only_fitting(&self) -> Option<Kind> {
        self.fitting.as_ref().filter(|group| group.selection.len() == 1).map(|group| group.kind)
    }

    pub(crate) fn kind(&self) -> Option<Kind> {
        self.fitting.as_ref().map(|group| group.kind)
    }

    /// Whether this element fits the members that the pool is selected from.
    pub(crate) fn check(&self, element: &PoolElement) -> Result<(), RegisterError> {
        let Some(pool) = self.kind() else { return Ok(()) };
        let element = Kind::of(element);
        if element.policy != pool.policy {
            return Err(RegisterError::PolicyMismatch {
                pool: pool.policy,
                element: element.policy,
            });
        }
        if element.protocol != pool.protocol {
            return Err(RegisterError::TransportProtocolMismatch {
                pool: pool.protocol,
                element: element.protocol,
            });
        }
        if element.control_channel != pool.control_channel {
            return Err(RegisterError::TransportUseMismatch {
                pool_has_control_channel: pool.control_channel,
            });
        }
        Ok(())
    }

    /// The selection structure for members of this kind, if there is one.
    pub(crate) fn selection_of(&mut self, kind: Kind) -> Option<&mut Selection> {
        let mut groups = self.fitting.iter_mut().chain(&mut self.set_aside);
        groups.find(|group| group.kind == kind).map(|group| &mut group.selection)
    }

    /// Puts a member into the group of its kind.
    pub(crate) fn put_in_group(&mut self, id: PeId, kind: Kind, member: Member<'_>) {
        let mut groups = self.fitting.iter_mut().chain(&mut self.set_aside);
        if let Some(group) = groups.find(|group| group.kind == kind) {
            return group.insert(id, member);
        }
        let group = Group::new(kind, id, member);
        if self.fitting.is_none() {
            // Nobody is set aside either: one of those would fit.
            self.fitting = Some(group);
        } else {
            self.set_aside.push(group);
        }
    }

    /// Takes a member out of the group of its kind. When no fitting member is left, the pool
    /// changes to the kind of the member with the smallest identifier among those set aside.
    pub(crate) fn take_from_group(&mut self, id: PeId, kind: Kind, member: Member<'_>) {
        if let Some(group) = self.fitting.as_mut().filter(|group| group.kind == kind) {
            group.remove(id, member);
            if group.ids.is_empty() {
                let next = (0..self.set_aside.len())
                    .min_by_key(|i| self.set_aside.get(*i).and_then(|group| group.ids.first()));
                self.fitting = next.map(|index| self.set_aside.swap_remove(index));
            }
        } else if let Some(index) = self.set_aside.iter().position(|group| group.kind == kind)
            && let Some(group) = self.set_aside.get_mut(index)
        {
            group.remove(id, member);
            if group.ids.is_empty() {
                self.set_aside.swap_remove(index);
            }
        }
    }
}
