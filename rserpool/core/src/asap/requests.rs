//! The requests to the registrar, in the order in which they are sent and answered.

use std::collections::VecDeque;

use rserpool_wire::{PeId, PoolHandle};
use sctp_user_core::{Duration, Time};

/// Requests that may wait at the same time.
pub(super) const MAX_REQUESTS: usize = 4096;

/// Names a request of the user of the state machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub(super) u64);

/// An element of ours.
pub(super) type ElementKey = (PoolHandle, PeId);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Register(ElementKey),
    Deregister(ElementKey, RequestId),
    Resolve {
        pool: PoolHandle,
        items: u32,
        stale: Duration,
        id: RequestId,
    },
    /// Has no answer.
    Report(ElementKey),
}

#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) kind: Kind,
    /// When it fails if it could not be sent until then; never for registrations.
    pub(super) give_up: Option<Time>,
    /// How often it was sent without being answered in time.
    pub(super) timeouts: u32,
    /// How often the association was lost while it waited for the answer.
    pub(super) losses: u32,
    /// When the answer is overdue; `None` while it is not sent.
    pub(super) overdue: Option<Time>,
}

/// Requests in order; those that were sent stand before those that were not.
#[derive(Debug, Default)]
pub(super) struct RequestQueue {
    queue: VecDeque<Request>,
}

impl RequestQueue {
    pub(super) fn push(&mut self, kind: Kind, give_up: Option<Time>) {
        self.queue.push_back(Request { kind, give_up, timeouts: 0, losses: 0, overdue: None });
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// The next request to send.
    pub(super) fn first_unsent(&mut self) -> Option<&mut Request> {
        self.queue.iter_mut().find(|r| r.overdue.is_none())
    }

    /// Takes out the next request to send.
    pub(super) fn take_first_unsent(&mut self) -> Option<Request> {
        let at = self.queue.iter().position(|r| r.overdue.is_none())?;
        self.queue.remove(at)
    }

    /// Takes out the first request that was sent and fits.
    pub(super) fn take_sent(&mut self, fits: impl Fn(&Kind) -> bool) -> Option<Request> {
        let at = self.queue.iter().position(|r| r.overdue.is_some() && fits(&r.kind))?;
        self.queue.remove(at)
    }

    /// Takes out all unsent requests that fit.
    pub(super) fn drop_unsent(&mut self, fits: impl Fn(&Kind) -> bool) {
        self.queue.retain(|r| r.overdue.is_some() || !fits(&r.kind));
    }

    /// Whether a registration of the element is on its way.
    pub(super) fn registers(&self, key: &ElementKey) -> bool {
        self.queue.iter().any(|r| matches!(&r.kind, Kind::Register(k) if k == key))
    }

    /// All sent requests become unsent again; those for which `fails` says so are taken out and
    /// returned.
    pub(super) fn unsend(&mut self, mut fails: impl FnMut(&mut Request) -> bool) -> Vec<Request> {
        let mut failed = Vec::new();
        self.queue.retain_mut(|r| {
            if r.overdue.is_some() && fails(r) {
                failed.push(r.clone());
                return false;
            }
            r.overdue = None;
            true
        });
        failed
    }

    /// Takes out the unsent requests whose time is over.
    pub(super) fn take_given_up(&mut self, now: Time) -> Vec<Request> {
        let mut over = Vec::new();
        self.queue.retain(|r| {
            let is_over = r.overdue.is_none() && r.give_up.is_some_and(|at| at <= now);
            if is_over {
                over.push(r.clone());
            }
            !is_over
        });
        over
    }

    /// Whether an answer is overdue.
    pub(super) fn is_overdue(&self, now: Time) -> bool {
        self.queue.iter().any(|r| r.overdue.is_some_and(|at| at <= now))
    }

    /// The next point in time at which something is over.
    pub(super) fn deadline(&self) -> Option<Time> {
        self.queue.iter().filter_map(|r| r.overdue.or(r.give_up)).min()
    }
}
