//! One pool element as the handlespace holds it.

use rserpool_wire::{PoolElement, PoolHandle};
use sctp_user_core::Time;

use crate::policy::{Params, State};

/// Names the association that an element was registered over. The user of the handlespace chooses
/// it; the handlespace only compares it.
pub type OwnerId = u64;

/// The deadlines that an element can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// The registration life ends. The element is gone unless it registers again before.
    Life,
    /// The next ENDPOINT_KEEP_ALIVE is due.
    KeepAliveTransmission,
    /// The answer to an ENDPOINT_KEEP_ALIVE is overdue.
    KeepAliveTimeout,
}

impl Timer {
    /// All of them.
    pub const ALL: [Timer; 3] =
        [Timer::Life, Timer::KeepAliveTransmission, Timer::KeepAliveTimeout];
}

/// A registered pool element. Only the methods of the [`Handlespace`](crate::Handlespace) change
/// it.
#[derive(Debug)]
pub struct Element {
    pub(crate) handle: PoolHandle,
    pub(crate) info: PoolElement,
    pub(crate) owner: Option<OwnerId>,
    /// It was registered over the association that owns it.
    pub(crate) registered: bool,
    /// `None` when the handlespace cannot select by the policy.
    pub(crate) params: Option<Params>,
    pub(crate) state: State,
    pub(crate) deadlines: [Option<Time>; 3],
    pub(crate) bad_reports: u32,
    /// The latest audit that had begun when the element was registered, renewed, or given to its
    /// home.
    pub(crate) seen: u64,
}

impl Element {
    /// The pool that it belongs to.
    pub fn handle(&self) -> &PoolHandle {
        &self.handle
    }

    /// Identifier, home registrar, transports and policy information, as last registered.
    pub fn info(&self) -> &PoolElement {
        &self.info
    }

    /// The association that leads to it, if there is one here.
    pub fn owner(&self) -> Option<OwnerId> {
        self.owner
    }

    /// True when it was registered over the association that owns it. Everything else is only what
    /// others tell of it: copies, and elements that were taken over and have not registered since.
    pub fn is_registered(&self) -> bool {
        self.registered
    }

    /// How often it was selected and counted as used.
    pub fn selections(&self) -> u64 {
        self.state.selections
    }

    /// True when somebody has reported that it cannot be reached, and it has not shown since that
    /// it lives. Selections give it last.
    pub fn is_suspect(&self) -> bool {
        self.state.class.suspect
    }

    /// True when only pool users on this host can reach it: it has loopback addresses, or none.
    pub fn is_this_host_only(&self) -> bool {
        self.state.class.this_host_only
    }

    /// Unreachable reports counted so far.
    pub fn bad_reports(&self) -> u32 {
        self.bad_reports
    }

    /// When the timer fires, `None` while it is off.
    pub fn deadline(&self, timer: Timer) -> Option<Time> {
        let [life, transmission, timeout] = self.deadlines;
        match timer {
            Timer::Life => life,
            Timer::KeepAliveTransmission => transmission,
            Timer::KeepAliveTimeout => timeout,
        }
    }

    pub(crate) fn deadline_mut(&mut self, timer: Timer) -> &mut Option<Time> {
        let [life, transmission, timeout] = &mut self.deadlines;
        match timer {
            Timer::Life => life,
            Timer::KeepAliveTransmission => transmission,
            Timer::KeepAliveTimeout => timeout,
        }
    }
}

/// See [`Element::is_this_host_only`].
pub(crate) fn is_this_host_only(info: &PoolElement) -> bool {
    info.user_transport.addrs().iter().all(|addr| addr.to_canonical().is_loopback())
}
