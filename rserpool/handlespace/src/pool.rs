//! One pool: its members by identifier and in selection order.

use std::collections::BTreeMap;

use rserpool_wire::{PeId, PoolElement, TransportProtocol, TransportUse};

use crate::arena::ElementKey;
use crate::error::RegisterError;
use crate::policy::{Params, Selection};

/// A set of elements that serve the same purpose. It exists as long as it has a member; the first
/// one decides policy, transport protocol and use of a control channel for all.
#[derive(Debug)]
pub struct Pool {
    pub(crate) members: BTreeMap<PeId, ElementKey>,
    pub(crate) selection: Selection,
    policy: u32,
    protocol: TransportProtocol,
    control_channel: bool,
}

impl Pool {
    pub(crate) fn new(first: &PoolElement, params: &Params) -> Self {
        Pool {
            members: BTreeMap::new(),
            selection: Selection::new(params),
            policy: first.policy.number(),
            protocol: first.user_transport.protocol(),
            control_channel: has_control_channel(first),
        }
    }

    /// Number of members, at least 1.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Always false: an empty pool is not kept.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The members in order of their identifiers.
    pub fn members(&self) -> impl Iterator<Item = (PeId, ElementKey)> + '_ {
        self.members.iter().map(|(id, key)| (*id, *key))
    }

    /// The number of the policy that all members have.
    pub fn policy(&self) -> u32 {
        self.policy
    }

    /// Whether this element may be a member of the pool (RFC 5352 sec 3.1).
    pub(crate) fn check(&self, element: &PoolElement) -> Result<(), RegisterError> {
        if element.policy.number() != self.policy {
            return Err(RegisterError::PolicyMismatch {
                pool: self.policy,
                element: element.policy.number(),
            });
        }
        let transport = &element.user_transport;
        if transport.protocol() != self.protocol {
            return Err(RegisterError::TransportProtocolMismatch {
                pool: self.protocol,
                element: transport.protocol(),
            });
        }
        if has_control_channel(element) != self.control_channel {
            return Err(RegisterError::TransportUseMismatch {
                pool_has_control_channel: self.control_channel,
            });
        }
        Ok(())
    }
}

fn has_control_channel(element: &PoolElement) -> bool {
    element.user_transport.transport_use() == TransportUse::DataControl
}
