//! The ASAP side of pool elements and pool users, sans I/O: finds a registrar and keeps it, sends
//! requests and matches the answers, keeps elements registered, answers keep-alives, caches
//! resolutions.
//!
//! [`AsapCore`] takes what happened (`handle_*`) and what is wanted (`register`, `resolve`, ...),
//! always with the time, and gives out what to do ([`AsapCore::poll_output`]) and when to call
//! [`AsapCore::handle_timeout`] next.

mod answers;
mod cache;
pub(crate) mod driver;
mod hunt;
mod own;
mod ports;
mod registrars;
mod requests;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

use bytes::Bytes;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;
use rserpool_wire::{
    AsapMessage, CauseCode, Deregistration, EndpointUnreachable, HandleResolution, OperationError,
    PeId, Policy, PoolElement, PoolHandle, Registration,
};
use sctp_user::Peer;
use sctp_user_core::{Duration, Time};
use tracing::debug;

use crate::config::AsapConfig;
use crate::error::Error;

use cache::Cache;
use hunt::Hunt;
pub(crate) use own::OwnElement;
use own::Registered;
use registrars::RegistrarTable;
pub(crate) use requests::RequestId;
use requests::{ElementKey, Kind, MAX_REQUESTS, Request, RequestQueue};

/// Names an association with a registrar; never used again for another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct AssocKey(u64);

/// Something to do.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Output {
    /// Start an association, and report with [`AsapCore::handle_up`] or
    /// [`AsapCore::handle_failed`].
    Connect { assoc: AssocKey, peer: Peer },
    /// Send an ASAP message.
    Send { assoc: AssocKey, message: Bytes },
    /// Abort an association or an attempt; no more is wanted of it, and no report.
    Abort { assoc: AssocKey, reason: &'static str },
    /// Answer to [`AsapCore::resolve`].
    Resolved { request: RequestId, result: Result<Vec<PoolElement>, Error> },
    /// Answer to [`AsapCore::deregister`].
    Deregistered { request: RequestId, result: Result<(), Error> },
    /// Something happened.
    Event(AsapEvent),
}

/// Something happened between us and the registrars.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum AsapEvent {
    Hunting,
    RegistrarFound(AssocKey),
    /// An attempt to connect with a registrar failed.
    Unreachable {
        registrar: Peer,
        error: Error,
    },
    RegistrarLost,
    Registered {
        id: PeId,
    },
    Rejected {
        id: PeId,
        error: OperationError,
    },
    NewHome(AssocKey),
}

/// Associations of registrars that wait to be made use of.
const MAX_INCOMING: usize = 16;
/// How often a request may be repeated because its association was lost.
const MAX_LOSSES: u32 = 2;

/// How we stand with the registrars.
#[derive(Debug)]
enum Home {
    /// Nobody needs a registrar.
    None,
    /// Trying candidates.
    Hunting(Hunt),
    /// The last hunt was in vain.
    Pausing { until: Time },
    /// Connected.
    Up(Up),
}

#[derive(Debug)]
struct Up {
    assoc: AssocKey,
    /// The peer, when we connected to it.
    peer: Option<Peer>,
    /// Own addresses.
    local: Vec<IpAddr>,
    /// Something was sent.
    asked: bool,
    /// It has answered something.
    proven: bool,
}

/// See the module documentation.
#[derive(Debug)]
pub(crate) struct AsapCore {
    config: AsapConfig,
    rng: ChaCha12Rng,
    table: RegistrarTable,
    home: Home,
    /// Hunts in vain and useless registrars in a row.
    failures: u32,
    /// The registrar that was lost last.
    last: Option<Peer>,
    requests: RequestQueue,
    elements: BTreeMap<ElementKey, Registered>,
    cache: Cache,
    /// Associations that registrars opened: own addresses, and when they are closed if nothing
    /// comes of them.
    incoming: BTreeMap<AssocKey, (Vec<IpAddr>, Time)>,
    outputs: VecDeque<Output>,
    next_assoc: u64,
    next_request: u64,
}

impl AsapCore {
    /// Begins to hunt. `registrars` are the static ones.
    pub(crate) fn new(
        now: Time,
        config: AsapConfig,
        registrars: Vec<Peer>,
        seed: [u8; 32],
    ) -> Self {
        let mut rng = ChaCha12Rng::from_seed(seed);
        let mut core = AsapCore {
            table: RegistrarTable::new(registrars, config.announce_timeout),
            home: Home::None,
            failures: 0,
            last: None,
            requests: RequestQueue::default(),
            elements: BTreeMap::new(),
            cache: Cache::new(rng.random()),
            incoming: BTreeMap::new(),
            outputs: VecDeque::new(),
            next_assoc: 0,
            next_request: 0,
            config,
            rng,
        };
        core.hunt(now);
        core
    }

    /// The next thing to do.
    pub(crate) fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call [`AsapCore::handle_timeout`].
    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        let home = match &self.home {
            Home::None => None,
            Home::Hunting(hunt) => hunt.deadline(),
            Home::Pausing { until } => Some(*until),
            Home::Up(_) => self.next_registration(),
        };
        let incoming = self.incoming.values().map(|(_, at)| *at).min();
        [home, incoming, self.requests.deadline()].into_iter().flatten().min()
    }

    /// Does what is due.
    pub(crate) fn handle_timeout(&mut self, now: Time) {
        let idle = self.incoming.extract_if(.., |_, (_, at)| *at <= now);
        let idle: Vec<_> = idle.map(|(assoc, _)| assoc).collect();
        for assoc in idle {
            self.abort(assoc, "idle");
        }
        for request in self.requests.take_given_up(now) {
            self.fail(now, request, Error::NoRegistrar);
        }
        match &mut self.home {
            Home::None => {}
            Home::Hunting(hunt) => {
                let late = hunt.take_late(now);
                for (assoc, registrar) in late {
                    self.abort(assoc, "connect timeout");
                    self.tell_unreachable(registrar, Error::Timeout);
                }
                self.go_on_hunting(now);
            }
            Home::Pausing { until } if *until <= now => {
                self.home = Home::None;
                self.hunt_if_needed(now);
            }
            Home::Pausing { .. } => {}
            Home::Up(_) if self.requests.is_overdue(now) => self.lose(now, "no answer", true),
            Home::Up(_) => self.renew(now),
        }
    }

    // Registrars.

    /// A registrar announced itself; `peers` are the ways to reach it.
    pub(crate) fn handle_announce(&mut self, now: Time, peers: Vec<Peer>) {
        for peer in peers {
            if self.table.announce(now, peer.clone()) {
                self.try_too(now, peer);
            }
        }
    }

    /// The names of registrars have been looked up; `peers` are the ways to all of them.
    pub(crate) fn handle_named(&mut self, now: Time, peers: Vec<Peer>) {
        for peer in self.table.set_named(peers) {
            self.try_too(now, peer);
        }
    }

    /// Tries a registrar that was not known before, if one is wanted.
    fn try_too(&mut self, now: Time, peer: Peer) {
        match &mut self.home {
            Home::Hunting(hunt) => {
                hunt.add(peer);
                self.go_on_hunting(now);
            }
            Home::Pausing { .. } => {
                self.home = Home::None;
                self.hunt_if_needed(now);
            }
            Home::None | Home::Up(_) => {}
        }
    }

    /// An association that we started is up. `local` are its own addresses.
    pub(crate) fn handle_up(&mut self, now: Time, assoc: AssocKey, local: Vec<IpAddr>) {
        let Home::Hunting(hunt) = &mut self.home else { return self.abort(assoc, "not needed") };
        let Some(peer) = hunt.take(assoc) else { return self.abort(assoc, "not needed") };
        for other in hunt.take_all() {
            self.abort(other, "another registrar was faster");
        }
        self.home = Home::Up(Up { assoc, peer: Some(peer), local, asked: false, proven: false });
        self.outputs.push_back(Output::Event(AsapEvent::RegistrarFound(assoc)));
        for registered in self.elements.values_mut() {
            registered.due = now;
        }
        self.renew(now);
    }

    /// A registrar opened an association; `None` when it is not wanted.
    pub(crate) fn handle_incoming(&mut self, now: Time, local: Vec<IpAddr>) -> Option<AssocKey> {
        if self.incoming.len() >= MAX_INCOMING {
            return None;
        }
        let assoc = self.new_assoc();
        self.incoming.insert(assoc, (local, now + self.config.autoclose));
        Some(assoc)
    }

    /// An association that we started did not come up.
    pub(crate) fn handle_failed(&mut self, now: Time, assoc: AssocKey, error: sctp_user::Error) {
        let Home::Hunting(hunt) = &mut self.home else { return };
        if let Some(registrar) = hunt.take(assoc) {
            self.tell_unreachable(registrar, error.into());
        }
        self.go_on_hunting(now);
    }

    /// An association that was up has ended.
    pub(crate) fn handle_down(&mut self, now: Time, assoc: AssocKey) {
        self.incoming.remove(&assoc);
        if matches!(&self.home, Home::Up(up) if up.assoc == assoc) {
            self.lose(now, "association lost", false);
        }
    }

    /// The registrar's process at the other end of an association has started anew. Our home
    /// registrar knows of no registration then, so we look for a home again. One that opened the
    /// association itself goes on asking.
    pub(crate) fn handle_restarted(&mut self, now: Time, assoc: AssocKey) {
        if matches!(&self.home, Home::Up(up) if up.assoc == assoc) {
            self.lose(now, "the registrar has restarted", false);
        }
    }

    /// A message came over an association.
    pub(crate) fn handle_message(&mut self, now: Time, assoc: AssocKey, bytes: &[u8]) {
        let is_home = matches!(&self.home, Home::Up(up) if up.assoc == assoc);
        if !is_home && !self.incoming.contains_key(&assoc) {
            return;
        }
        match AsapMessage::decode(bytes) {
            Ok(AsapMessage::EndpointKeepAlive(m)) => self.on_keep_alive(now, assoc, is_home, &m),
            // Only the home registrar has anything else to say.
            Ok(message) if is_home => self.on_answer(now, message),
            Ok(_) => {}
            Err(error) => {
                debug!(%error, "undecodable message of a registrar");
                if is_home {
                    self.lose(now, "undecodable message", false);
                } else {
                    self.incoming.remove(&assoc);
                    self.abort(assoc, "undecodable message");
                }
            }
        }
    }

    // Elements.

    /// Registers an element, now and from then on.
    pub(crate) fn register(&mut self, now: Time, element: OwnElement) {
        let key = (element.pool.clone(), element.id);
        let registered = Registered { element, due: now, told_load: None, confirmed: false };
        self.elements.insert(key, registered);
        self.renew(now);
        self.hunt_if_needed(now);
    }

    /// Changes the load of an element; registers it at once if that matters.
    pub(crate) fn set_load(&mut self, now: Time, pool: &PoolHandle, id: PeId, load: u32) {
        if let Some(registered) = self.elements.get_mut(&(pool.clone(), id))
            && registered.set_load(load)
        {
            registered.due = now;
            self.renew(now);
        }
    }

    /// Changes the policy values of an element and registers it at once.
    pub(crate) fn set_policy(&mut self, now: Time, pool: &PoolHandle, id: PeId, policy: Policy) {
        if let Some(registered) = self.elements.get_mut(&(pool.clone(), id)) {
            registered.element.policy = policy;
            registered.due = now;
            self.renew(now);
        }
    }

    /// Ends the registration of an element. Without a registrar there is little time to find one: a
    /// program that ends does not want to wait.
    pub(crate) fn deregister(&mut self, now: Time, pool: &PoolHandle, id: PeId) -> RequestId {
        let request = self.new_request();
        let key = (pool.clone(), id);
        self.elements.remove(&key);
        self.requests.drop_unsent(|kind| matches!(kind, Kind::Register(k) if *k == key));
        self.requests
            .push(Kind::Deregister(key, request), Some(now + self.config.response_timeout));
        self.send(now);
        self.hunt_if_needed(now);
        request
    }

    // Pools.

    /// Resolves a pool handle: from the cache if that has elements not older than `stale`, else by
    /// the registrar.
    pub(crate) fn resolve(
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
                self.outputs.push_back(Output::Resolved { request: id, result: Ok(elements) });
                return id;
            }
        }
        if self.requests.len() >= MAX_REQUESTS {
            let result = Err(Error::Invalid("too many requests are waiting for the registrar"));
            self.outputs.push_back(Output::Resolved { request: id, result });
            return id;
        }
        let kind = Kind::Resolve { pool: pool.clone(), items, stale, id };
        self.requests.push(kind, Some(now + self.config.request_timeout));
        self.send(now);
        self.hunt_if_needed(now);
        id
    }

    /// Reports an element that could not be reached.
    pub(crate) fn report_unreachable(&mut self, now: Time, pool: &PoolHandle, id: PeId) {
        self.cache.remove(pool, id);
        if self.requests.len() < MAX_REQUESTS {
            self.requests
                .push(Kind::Report((pool.clone(), id)), Some(now + self.config.request_timeout));
            self.send(now);
            self.hunt_if_needed(now);
        }
    }

    // What goes on behind.

    fn new_assoc(&mut self) -> AssocKey {
        self.next_assoc += 1;
        AssocKey(self.next_assoc)
    }

    fn new_request(&mut self) -> RequestId {
        self.next_request += 1;
        RequestId(self.next_request)
    }

    fn abort(&mut self, assoc: AssocKey, reason: &'static str) {
        self.outputs.push_back(Output::Abort { assoc, reason });
    }

    fn tell_unreachable(&mut self, registrar: Peer, error: Error) {
        self.outputs.push_back(Output::Event(AsapEvent::Unreachable { registrar, error }));
    }

    fn hunt_if_needed(&mut self, now: Time) {
        if matches!(self.home, Home::None)
            && !(self.elements.is_empty() && self.requests.is_empty())
        {
            self.hunt(now);
        }
    }

    fn hunt(&mut self, now: Time) {
        self.outputs.push_back(Output::Event(AsapEvent::Hunting));
        let candidates = self.table.candidates(now, &mut self.rng, self.last.as_ref());
        self.home = Home::Hunting(Hunt::new(candidates, now + self.config.connect_timeout));
        self.go_on_hunting(now);
    }

    /// Tries the next candidates, or ends the hunt when there are none.
    fn go_on_hunting(&mut self, now: Time) {
        let deadline = now + self.config.connect_timeout;
        loop {
            let Home::Hunting(hunt) = &mut self.home else { return };
            let Some(peer) = hunt.next(self.config.parallel_connects) else {
                if hunt.is_over(now) {
                    self.failures = self.failures.saturating_add(1);
                    self.pause(now);
                }
                return;
            };
            let assoc = self.new_assoc();
            if let Home::Hunting(hunt) = &mut self.home {
                hunt.started(assoc, peer.clone(), deadline);
            }
            self.outputs.push_back(Output::Connect { assoc, peer });
        }
    }

    /// Waits before the next hunt, the longer the more often it was in vain.
    fn pause(&mut self, now: Time) {
        let doublings = self.failures.saturating_sub(1).min(16);
        let pause =
            self.config.hunt_pause.saturating_mul(1 << doublings).min(self.config.max_hunt_pause);
        self.home = Home::Pausing { until: now + pause };
    }

    /// Gives the registrar up and looks for another one at once, unless it was never of any use.
    fn lose(&mut self, now: Time, reason: &'static str, timeout: bool) {
        let Home::Up(up) = &self.home else { return };
        let (assoc, useless) = (up.assoc, up.asked && !up.proven);
        self.last = up.peer.clone();
        self.abort(assoc, reason);
        self.home = Home::None;
        self.outputs.push_back(Output::Event(AsapEvent::RegistrarLost));
        for registered in self.elements.values_mut() {
            registered.confirmed = false;
        }
        let max_trials = self.config.max_request_trials;
        let failed = self.requests.unsend(|request| {
            if timeout {
                request.timeouts += 1;
            } else {
                request.losses += 1;
            }
            // Registrations are made anew with the next registrar.
            matches!(request.kind, Kind::Register(_))
                || request.timeouts >= max_trials
                || request.losses > MAX_LOSSES
        });
        for request in failed {
            let error = if timeout { Error::Timeout } else { Error::NoRegistrar };
            self.fail(now, request, error);
        }
        self.requests.drop_unsent(|kind| matches!(kind, Kind::Register(_)));
        if useless {
            self.failures = self.failures.saturating_add(1);
            self.pause(now);
        } else {
            self.hunt_if_needed(now);
        }
    }

    /// When the next registration is due.
    fn next_registration(&self) -> Option<Time> {
        let waiting = self.elements.iter().filter(|(key, _)| !self.requests.registers(key));
        waiting.map(|(_, registered)| registered.due).min()
    }

    /// Registers the elements that are due, and sends whatever waits.
    fn renew(&mut self, now: Time) {
        if matches!(self.home, Home::Up(_)) {
            for (key, registered) in &self.elements {
                if registered.due <= now && !self.requests.registers(key) {
                    self.requests.push(Kind::Register(key.clone()), None);
                }
            }
        }
        self.send(now);
    }

    /// Sends all requests that wait, if there is a registrar.
    fn send(&mut self, now: Time) {
        let Home::Up(up) = &mut self.home else { return };
        let (assoc, local) = (up.assoc, up.local.clone());
        up.asked |= !self.requests.is_empty();
        while let Some(request) = self.requests.first_unsent() {
            let message = match &request.kind {
                Kind::Register(key) => match self.elements.get_mut(key) {
                    Some(registered) => {
                        registered.told_load = registered.element.policy.load();
                        // Due again when a change comes while the answer is awaited.
                        registered.due = now + registered.element.interval;
                        let element = registered.element.to_wire(&local);
                        AsapMessage::Registration(Registration { pool: key.0.clone(), element })
                    }
                    None => {
                        self.requests.take_first_unsent();
                        continue;
                    }
                },
                Kind::Deregister((pool, id), _) => {
                    AsapMessage::Deregistration(Deregistration { pool: pool.clone(), id: *id })
                }
                Kind::Resolve { pool, items, stale, .. } => {
                    // To fill the cache, the registrar gives as many as it likes.
                    let items = (stale.is_zero() && *items != 0).then_some(*items);
                    AsapMessage::HandleResolution(HandleResolution {
                        subscribe: false,
                        pool: pool.clone(),
                        items,
                    })
                }
                Kind::Report((pool, id)) => AsapMessage::EndpointUnreachable(EndpointUnreachable {
                    pool: pool.clone(),
                    id: *id,
                }),
            };
            match message.encode() {
                Ok(message) => {
                    request.overdue = Some(now + self.config.response_timeout);
                    if matches!(request.kind, Kind::Report(_)) {
                        self.requests.take_sent(|kind| matches!(kind, Kind::Report(_)));
                    }
                    self.outputs.push_back(Output::Send { assoc, message });
                }
                Err(error) => {
                    if let Some(request) = self.requests.take_first_unsent() {
                        self.fail(now, request, error.into());
                    }
                }
            }
        }
    }

    /// Tells whoever asked that a request failed.
    fn fail(&mut self, now: Time, request: Request, error: Error) {
        match request.kind {
            Kind::Resolve { id, .. } => {
                self.outputs.push_back(Output::Resolved { request: id, result: Err(error) });
            }
            Kind::Deregister(_, id) => {
                self.outputs.push_back(Output::Deregistered { request: id, result: Err(error) });
            }
            Kind::Register(key) => {
                let error = match error {
                    Error::Rejected(error) => error,
                    Error::Encode(_) => OperationError::new(CauseCode::INVALID_ADDRESSES),
                    _ => return,
                };
                if let Some(registered) = self.elements.get_mut(&key) {
                    registered.due = now + registered.element.interval;
                    registered.confirmed = false;
                    self.outputs.push_back(Output::Event(AsapEvent::Rejected { id: key.1, error }));
                }
            }
            Kind::Report(_) => {}
        }
    }
}
