//! The requests to the home registrar, in the order in which they are sent and answered.
//!
//! Thousands of callers may wait at the same time, so every operation here costs the logarithm of
//! their number at most.

use std::collections::{BTreeMap, BTreeSet};

use rserpool_wire::{PeId, PoolHandle};
use sctp_user_core::{Duration, Time};

/// How many requests may wait at the same time.
pub(super) const MAX_REQUESTS: usize = 4096;

/// Names a request of the user of the state machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub(super) u64);

/// One of our elements: its pool and its identifier.
pub(super) type ElementKey = (PoolHandle, PeId);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Register(ElementKey),
    Deregister(ElementKey, RequestId),
    Resolve(Question),
    /// Has no answer.
    Report(ElementKey),
    /// A pool whose changes are to be told.
    Subscribe(PoolHandle),
}

/// A pool handle to resolve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Question {
    pub(super) pool: PoolHandle,
    pub(super) items: u32,
    pub(super) stale: Duration,
    pub(super) id: RequestId,
}

/// What an answer must be about to belong to a request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Subject {
    Registration(ElementKey),
    Deregistration(ElementKey),
    Resolution(PoolHandle),
    /// Nothing answers it.
    Report(ElementKey),
    Subscription(PoolHandle),
}

impl Kind {
    fn subject(&self) -> Subject {
        match self {
            Kind::Register(key) => Subject::Registration(key.clone()),
            Kind::Deregister(key, _) => Subject::Deregistration(key.clone()),
            Kind::Resolve(question) => Subject::Resolution(question.pool.clone()),
            Kind::Report(key) => Subject::Report(key.clone()),
            Kind::Subscribe(pool) => Subject::Subscription(pool.clone()),
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) kind: Kind,
    /// The request fails if it could not be sent until then; never for registrations.
    give_up: Option<Time>,
    /// How often it was sent without being answered in time.
    pub(super) timeouts: u32,
    /// How often the association was lost while the request waited for its answer.
    pub(super) losses: u32,
    /// When the answer is overdue; `None` while the request is not sent.
    overdue: Option<Time>,
}

/// Requests in order.
#[derive(Debug, Default)]
pub(super) struct RequestQueue {
    /// All requests by their numbers, which grow.
    requests: BTreeMap<u64, Request>,
    next_number: u64,
    /// Requests with smaller numbers have been sent, the others have not.
    unsent_from: u64,
    /// Who waits for which answer.
    subjects: BTreeMap<Subject, BTreeSet<u64>>,
    /// When unsent requests are given up.
    give_up: BTreeSet<(Time, u64)>,
}

impl RequestQueue {
    pub(super) fn push(&mut self, kind: Kind, give_up: Option<Time>) {
        let number = self.next_number;
        self.next_number += 1;
        self.subjects.entry(kind.subject()).or_default().insert(number);
        self.give_up.extend(give_up.map(|at| (at, number)));
        let request = Request { kind, give_up, timeouts: 0, losses: 0, overdue: None };
        self.requests.insert(number, request);
    }

    pub(super) fn len(&self) -> usize {
        self.requests.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// The next request to send.
    pub(super) fn first_unsent(&self) -> Option<&Request> {
        self.requests.range(self.unsent_from..).next().map(|(_, request)| request)
    }

    /// Takes out the next request to send.
    pub(super) fn take_first_unsent(&mut self) -> Option<Request> {
        let number = *self.requests.range(self.unsent_from..).next()?.0;
        self.remove(number)
    }

    /// The next request to send has been sent; its answer is overdue at `overdue`, which is not
    /// before that of the request that was sent before it.
    pub(super) fn sent_first_unsent(&mut self, overdue: Time) {
        let Some((number, request)) = self.requests.range_mut(self.unsent_from..).next() else {
            return;
        };
        request.overdue = Some(overdue);
        if let Some(at) = request.give_up {
            self.give_up.remove(&(at, *number));
        }
        self.unsent_from = *number + 1;
    }

    /// Takes out the first sent request about this subject.
    pub(super) fn take_sent(&mut self, subject: &Subject) -> Option<Request> {
        let number = self.first_sent(subject)?;
        self.remove(number)
    }

    /// The number of the first sent request about this subject.
    pub(super) fn first_sent(&self, subject: &Subject) -> Option<u64> {
        self.subjects.get(subject)?.first().copied().filter(|n| *n < self.unsent_from)
    }

    /// Takes out the request that was sent first.
    pub(super) fn take_first_sent(&mut self) -> Option<Request> {
        let number = *self.requests.first_key_value()?.0;
        if number < self.unsent_from { self.remove(number) } else { None }
    }

    /// Drops all unsent requests about this subject.
    pub(super) fn drop_unsent(&mut self, subject: &Subject) {
        let numbers = self.subjects.get(subject).into_iter().flatten();
        let numbers: Vec<u64> = numbers.copied().filter(|n| *n >= self.unsent_from).collect();
        numbers.into_iter().for_each(|number| drop(self.remove(number)));
    }

    /// Whether a registration of the element waits to be sent or answered.
    pub(super) fn registers(&self, key: &ElementKey) -> bool {
        self.has(&Subject::Registration(key.clone()))
    }

    /// Whether a request about this subject waits to be sent or answered.
    pub(super) fn has(&self, subject: &Subject) -> bool {
        self.subjects.contains_key(subject)
    }

    /// All sent requests become unsent again; those for which `fails` says so are taken out and
    /// returned.
    pub(super) fn unsend(&mut self, mut fails: impl FnMut(&mut Request) -> bool) -> Vec<Request> {
        let mut failed = Vec::new();
        for (number, request) in self.requests.range_mut(..self.unsent_from) {
            request.overdue = None;
            if fails(request) {
                failed.push(*number);
            } else {
                self.give_up.extend(request.give_up.map(|at| (at, *number)));
            }
        }
        self.unsent_from = 0;
        failed.into_iter().filter_map(|number| self.remove(number)).collect()
    }

    /// Takes out the unsent requests whose time is over.
    pub(super) fn take_given_up(&mut self, now: Time) -> Vec<Request> {
        let mut over = Vec::new();
        while let Some((_, number)) = self.give_up.first().filter(|(at, _)| *at <= now).copied() {
            over.extend(self.remove(number));
        }
        over
    }

    /// Whether an answer is overdue.
    pub(super) fn is_overdue(&self, now: Time) -> bool {
        self.first_overdue().is_some_and(|at| at <= now)
    }

    /// The next point in time at which an answer is overdue or a request is given up.
    pub(super) fn deadline(&self) -> Option<Time> {
        let give_up = self.give_up.first().map(|(at, _)| *at);
        [self.first_overdue(), give_up].into_iter().flatten().min()
    }

    /// Requests are sent and become overdue in order.
    fn first_overdue(&self) -> Option<Time> {
        self.requests.first_key_value()?.1.overdue
    }

    fn remove(&mut self, number: u64) -> Option<Request> {
        let request = self.requests.remove(&number)?;
        if let Some(at) = request.give_up.filter(|_| request.overdue.is_none()) {
            self.give_up.remove(&(at, number));
        }
        let subject = request.kind.subject();
        if let Some(numbers) = self.subjects.get_mut(&subject) {
            numbers.remove(&number);
            if numbers.is_empty() {
                self.subjects.remove(&subject);
            }
        }
        Some(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(name: &str) -> PoolHandle {
        PoolHandle::new(name).unwrap()
    }

    fn question(name: &str, id: u64) -> Kind {
        let (pool, id) = (pool(name), RequestId(id));
        Kind::Resolve(Question { pool, items: 1, stale: Duration::ZERO, id })
    }

    fn id(request: Option<Request>) -> Option<u64> {
        match request?.kind {
            Kind::Resolve(question) => Some(question.id.0),
            other => panic!("{other:?}"),
        }
    }

    fn at(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    #[test]
    fn an_answer_belongs_to_the_first_sent_request_about_its_subject() {
        let mut queue = RequestQueue::default();
        for (name, id) in [("a", 1), ("b", 2), ("a", 3), ("a", 4)] {
            queue.push(question(name, id), Some(at(100 + id)));
        }
        let about_a = Subject::Resolution(pool("a"));
        assert!(queue.take_sent(&about_a).is_none(), "nothing was sent");
        (0..3).for_each(|_| queue.sent_first_unsent(at(50)));
        assert_eq!(id(queue.take_sent(&about_a)), Some(1));
        assert_eq!(id(queue.take_sent(&about_a)), Some(3));
        assert!(queue.take_sent(&about_a).is_none(), "number 4 is not sent");
        assert_eq!(id(queue.take_first_sent()), Some(2));
        assert!(queue.take_first_sent().is_none());
        assert_eq!(id(queue.take_first_unsent()), Some(4));
        assert!(queue.is_empty() && queue.deadline().is_none());
        assert!(queue.subjects.is_empty(), "nothing is left behind");
    }

    #[test]
    fn requests_keep_their_order_when_they_are_sent_again() {
        let mut queue = RequestQueue::default();
        (1..=3).for_each(|id| queue.push(question("a", id), Some(at(100 + id))));
        assert_eq!(queue.deadline(), Some(at(101)));
        queue.sent_first_unsent(at(50));
        queue.sent_first_unsent(at(51));
        assert_eq!(queue.deadline(), Some(at(50)));
        assert!(queue.is_overdue(at(50)) && !queue.is_overdue(at(49)));
        let failed = queue.unsend(|request| {
            request.losses += 1;
            matches!(&request.kind, Kind::Resolve(question) if question.id == RequestId(1))
        });
        assert_eq!(failed.len(), 1);
        assert!(!queue.is_overdue(at(1000)));
        assert_eq!(queue.deadline(), Some(at(102)));
        assert_eq!(queue.take_given_up(at(102)).len(), 1);
        assert_eq!(id(queue.take_first_unsent()), Some(3));
        assert_eq!(queue.len(), 0);
    }
}
