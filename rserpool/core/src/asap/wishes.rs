//! What the user of the state machine asks for: elements to keep registered, pools to resolve.

use rserpool_wire::{PeId, Policy, PoolHandle};
use sctp_user_core::{Duration, Time};

use super::own::{OwnElement, Registered};
use super::requests::{Kind, MAX_REQUESTS, Question, RequestId, Subject};
use super::{AsapCore, AsapEvent, RequestError};

impl AsapCore {
    /// Registers an element, now and from then on.
    pub fn register(&mut self, now: Time, element: OwnElement) {
        let key = (element.pool.clone(), element.id);
        self.elements.insert(key, Registered::new(now, element));
        self.renew(now);
        self.hunt_if_needed(now);
    }

    /// Changes the load of an element; registers it at once if that matters.
    pub fn set_load(&mut self, now: Time, pool: &PoolHandle, id: PeId, load: u32) {
        if let Some(registered) = self.elements.get_mut(&(pool.clone(), id))
            && registered.set_load(load)
        {
            registered.due = now;
            self.renew(now);
        }
    }

    /// Changes the policy values of an element and registers it at once.
    pub fn set_policy(&mut self, now: Time, pool: &PoolHandle, id: PeId, policy: Policy) {
        if let Some(registered) = self.elements.get_mut(&(pool.clone(), id)) {
            registered.element.policy = policy;
            registered.forget_refusals();
            registered.due = now;
            self.renew(now);
        }
    }

    /// Ends the registration of an element. Without a registrar there is little time to find one: a
    /// program that ends does not want to wait.
    pub fn deregister(&mut self, now: Time, pool: &PoolHandle, id: PeId) -> RequestId {
        let request = self.new_request();
        let key = (pool.clone(), id);
        self.elements.remove(&key);
        self.requests.drop_unsent(&Subject::Registration(key.clone()));
        self.requests
            .push(Kind::Deregister(key, request), Some(now + self.config.response_timeout));
        self.send(now);
        self.hunt_if_needed(now);
        request
    }

    /// Resolves a pool handle: from the cache if that has elements not older than `stale`, else by
    /// the home registrar. When that knows no element, others are asked, up to
    /// [`AsapConfig::other_registrars`](super::AsapConfig::other_registrars).
    pub fn resolve(
        &mut self,
        now: Time,
        pool: &PoolHandle,
        items: u32,
        stale: Duration,
    ) -> RequestId {
        let id = self.new_request();
        if !stale.is_zero() {
            let elements = self.cache.select(now, pool, items);
            if !elements.is_empty() {
                self.tell(AsapEvent::Resolved { request: id, result: Ok(elements) });
                return id;
            }
        }
        if self.requests.len() + self.others.waiting() >= MAX_REQUESTS {
            let result = Err(RequestError::TooMany);
            self.tell(AsapEvent::Resolved { request: id, result });
            return id;
        }
        let kind = Kind::Resolve(Question { pool: pool.clone(), items, stale, id });
        self.requests.push(kind, Some(now + self.config.request_timeout));
        self.send(now);
        self.hunt_if_needed(now);
        id
    }

    /// Reports an element that could not be reached.
    pub fn report_unreachable(&mut self, now: Time, pool: &PoolHandle, id: PeId) {
        self.cache.remove(pool, id);
        if self.requests.len() < MAX_REQUESTS {
            self.requests
                .push(Kind::Report((pool.clone(), id)), Some(now + self.config.request_timeout));
            self.send(now);
            self.hunt_if_needed(now);
        }
    }
}
