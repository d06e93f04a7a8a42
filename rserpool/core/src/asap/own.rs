//! A pool element of our own, as it is to be registered.

use std::mem::replace;
use std::net::IpAddr;

use rserpool_wire::{
    Life, OperationError, PeId, Policy, PoolElement, PoolHandle, SctpTransport, ServerId,
    Transport, TransportUse,
};
use sctp_user_core::interface::without_interface;
use sctp_user_core::{Duration, Time};

/// What is registered.
#[derive(Clone, Debug)]
pub struct OwnElement {
    /// The pool to join.
    pub pool: PoolHandle,
    /// Identifier in the pool, not 0.
    pub id: PeId,
    /// Selection policy, with its values.
    pub policy: Policy,
    /// SCTP port of the service.
    pub port: u16,
    /// Addresses of the service. Empty: the own addresses of the association with the registrar.
    pub addrs: Vec<IpAddr>,
    /// Whether sessions have a control channel.
    pub transport_use: TransportUse,
    /// UDP encapsulation port, when it is not the usual one.
    pub udp_port: Option<u16>,
    /// How long a registration is valid.
    pub life: Life,
    /// Time from one registration to the next.
    pub interval: Duration,
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

/// When a registration that was refused is sent again; each further refusal doubles the pause. The
/// reason may pass: a process that was here before has left its registration behind, or a pool
/// with another policy becomes empty.
const RETRY: Duration = Duration::from_secs(2);
/// The longest pause, unless the registration interval is shorter.
const MAX_RETRY: Duration = Duration::from_secs(60);

/// How an element of ours stands with the registrar.
#[derive(Debug)]
pub(super) struct Registered {
    pub(super) element: OwnElement,
    /// When the next registration is due.
    pub(super) due: Time,
    /// The load of the last registration.
    told_load: Option<u32>,
    /// The present registrar knows the element.
    confirmed: bool,
    /// When the last registration was sent to the present registrar.
    asked: Option<Time>,
    /// The last registration has been answered.
    answered: bool,
    /// How often in a row the present registrar refused, and why the last time.
    refusals: u32,
    refused: Option<OperationError>,
}

impl Registered {
    /// An element whose registration is due.
    pub(super) fn new(now: Time, element: OwnElement) -> Self {
        Registered {
            element,
            due: now,
            told_load: None,
            confirmed: false,
            asked: None,
            answered: false,
            refusals: 0,
            refused: None,
        }
    }

    /// Takes a new load; true when it should be told at once.
    pub(super) fn set_load(&mut self, load: u32) -> bool {
        let policy = &mut self.element.policy;
        policy.set_load(load);
        match (policy.is_adaptive(), self.told_load) {
            (true, Some(told)) => told.abs_diff(load) >= LOAD_STEP,
            _ => false,
        }
    }

    /// A registration with the present values is sent. It is due again when a change comes while
    /// its answer is awaited.
    pub(super) fn sent(&mut self, now: Time) {
        self.told_load = self.element.policy.load();
        self.due = now + self.element.interval;
        (self.asked, self.answered) = (Some(now), false);
    }

    /// The registrar has answered the last registration.
    pub(super) fn answered(&mut self) {
        self.answered = true;
    }

    /// The registrar accepted the last registration; true when the user does not know yet that it
    /// has the element.
    pub(super) fn accepted(&mut self) -> bool {
        self.answered = true;
        self.forget_refusals();
        !replace(&mut self.confirmed, true)
    }

    /// The registrar refused the last registration; true when the user does not know yet for what
    /// reason.
    pub(super) fn refused(&mut self, now: Time, error: &OperationError) -> bool {
        (self.answered, self.confirmed) = (true, false);
        let pause = RETRY.saturating_mul(1 << self.refusals.min(5)).min(MAX_RETRY);
        self.due = now + pause.min(self.element.interval);
        self.refusals = self.refusals.saturating_add(1);
        self.refused.replace(error.clone()).as_ref() != Some(error)
    }

    /// The next refusal is the first one.
    pub(super) fn forget_refusals(&mut self) {
        (self.refusals, self.refused) = (0, None);
    }

    /// Since when the present registrar has left a registration unanswered.
    pub(super) fn unanswered(&self) -> Option<Time> {
        self.asked.filter(|_| !self.answered)
    }

    /// Makes a registration due, to see whether the registrar lives, but not within `spacing` of
    /// the last one.
    pub(super) fn check_home(&mut self, now: Time, spacing: Duration) {
        if self.unanswered().is_none() {
            let soonest = self.asked.map_or(now, |asked| now.max(asked + spacing));
            self.due = self.due.min(soonest);
        }
    }

    /// There is another registrar now, or none.
    pub(super) fn home_changed(&mut self) {
        (self.confirmed, self.asked) = (false, None);
        self.forget_refusals();
    }
}
