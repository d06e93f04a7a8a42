//! A pool element of our own, as it is to be registered.

use rserpool_wire::{
    Life, PeId, Policy, PoolElement, PoolHandle, SctpTransport, ServerId, Transport, TransportUse,
};
use sctp_user_core::interface::without_interface;
use sctp_user_core::{Duration, Time};
use std::net::IpAddr;

/// What is registered.
#[derive(Clone, Debug)]
pub(crate) struct OwnElement {
    pub(crate) pool: PoolHandle,
    pub(crate) id: PeId,
    pub(crate) policy: Policy,
    pub(crate) port: u16,
    /// Empty: the own addresses of the association with the registrar.
    pub(crate) addrs: Vec<IpAddr>,
    pub(crate) transport_use: TransportUse,
    /// UDP encapsulation port, when it is not the usual one.
    pub(crate) udp_port: Option<u16>,
    pub(crate) life: Life,
    pub(crate) interval: Duration,
}

impl OwnElement {
    /// The parameter for a registration over an association with these own addresses.
    pub(super) fn to_wire(&self, local: &[IpAddr]) -> PoolElement {
        let addrs = if self.addrs.is_empty() { local } else { &self.addrs };
        let addrs = addrs.iter().map(|addr| without_interface(*addr)).collect();
        PoolElement {
            id: self.id,
            home: ServerId::UNDEFINED,
            life: self.life,
            user_transport: Transport::Sctp(SctpTransport {
                port: self.port,
                transport_use: self.transport_use,
                addrs,
            }),
            policy: self.policy.clone(),
            asap_transport: None,
            udp_port: self.udp_port,
        }
    }
}

/// A change of load that is worth a registration of its own: 1 %.
const LOAD_STEP: u32 = u32::MAX / 100;

/// How an element of ours stands with the registrar.
#[derive(Debug)]
pub(super) struct Registered {
    pub(super) element: OwnElement,
    /// When the next registration is due.
    pub(super) due: Time,
    /// The load of the last registration.
    pub(super) told_load: Option<u32>,
    /// The present registrar knows the element.
    pub(super) confirmed: bool,
}

impl Registered {
    /// Takes a new load; true when it should be told at once.
    pub(super) fn set_load(&mut self, load: u32) -> bool {
        let policy = &mut self.element.policy;
        policy.set_load(load);
        match (policy.is_adaptive(), self.told_load) {
            (true, Some(told)) => told.abs_diff(load) >= LOAD_STEP,
            _ => false,
        }
    }
}
