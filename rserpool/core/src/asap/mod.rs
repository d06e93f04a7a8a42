//! The ASAP side of pool elements and pool users (RFC 5352): finds a registrar and keeps it, sends
//! requests and matches the answers, keeps elements registered, answers keep-alives, caches
//! resolutions.
//!
//! [`AsapCore`] is a [`Core`]: it takes in what happens to associations and gives out what to do.
//! What its user wants is asked for by methods ([`AsapCore::register`], [`AsapCore::resolve`],
//! ...); the answers are [`AsapEvent`]s.

mod answers;
mod cache;
mod claims;
mod config;
mod error;
mod home;
mod hunt;
mod others;
mod own;
mod registrars;
mod requests;
mod resolver;
mod sending;
mod subscriptions;
#[cfg(test)]
mod tests;
mod wishes;

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;
use rserpool_wire::numbers::ppid;
use rserpool_wire::{AsapMessage, OperationError, PeId, PoolElement, PoolHandle};
use sctp_user_core::{Peer, Time};
use tracing::debug;

use crate::channel::{self, ChannelId, ConnectFailure, Core, Input, Protocol};
use crate::reach::Reach;
use cache::Cache;
use claims::Incoming;
use home::{Home, Up};
use others::Others;
use own::Registered;
use registrars::{RegistrarTable, Timing};
use requests::{ElementKey, RequestQueue};
use subscriptions::Subscriptions;

pub use config::{AnnounceConfig, AsapConfig};
pub use error::RequestError;
pub use own::OwnElement;
pub use requests::RequestId;
pub use resolver::Resolver;

type Output = channel::Output<AsapEvent>;

/// Something happened between us and the registrars.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AsapEvent {
    /// The search for a registrar has begun, or has been in vain so far and goes on. Registrars
    /// that are known by name should be looked up now, for [`AsapCore::set_named`].
    Hunting,
    /// Connected with a registrar.
    RegistrarFound(ChannelId),
    /// A registrar could not be connected with; the search goes on.
    Unreachable {
        /// The preferred way to it.
        registrar: Peer,
        /// Why.
        failure: ConnectFailure,
    },
    /// The registrar did not answer, or the association with it ended.
    RegistrarLost,
    /// An element is registered; told for the first registration with each registrar only.
    Registered {
        /// The element.
        id: PeId,
    },
    /// A registrar refused to register an element. It is tried again after 2 s, and from then on
    /// after twice the time, up to 60 s or the registration interval; a refusal for the same reason
    /// is not told again.
    Rejected {
        /// The element.
        id: PeId,
        /// Why.
        error: OperationError,
    },
    /// Another registrar has made itself the home of our elements.
    NewHome(ChannelId),
    /// The answer to [`AsapCore::resolve`].
    Resolved {
        /// The question.
        request: RequestId,
        /// The elements, best first.
        result: Result<Vec<PoolElement>, RequestError>,
    },
    /// What [`AsapCore::subscribe`] asked for: the pool has these elements now.
    PoolChanged {
        /// The pool.
        pool: PoolHandle,
        /// Its elements by identifier, at most 128; none when the pool does not exist.
        elements: Vec<PoolElement>,
    },
    /// The answer to [`AsapCore::deregister`].
    Deregistered {
        /// The question.
        request: RequestId,
        /// Whether a registrar took the element out of its pool.
        result: Result<(), RequestError>,
    },
}

/// The ASAP side of a pool element or a pool user. See the [module documentation](self).
#[derive(Debug)]
pub struct AsapCore {
    config: AsapConfig,
    reach: Reach,
    rng: ChaCha12Rng,
    table: RegistrarTable,
    home: Home,
    /// When a registrar may be tried next that is known by announces only.
    next_announced: Time,
    requests: RequestQueue,
    elements: BTreeMap<ElementKey, Registered>,
    cache: Cache,
    subscriptions: Subscriptions,
    others: Others,
    /// Associations that registrars opened and that are not the home.
    incoming: BTreeMap<ChannelId, Incoming>,
    /// How many claims to be the home registrar were remembered.
    claims: u64,
    outputs: VecDeque<Output>,
    next_channel: u64,
    next_request: u64,
}

impl Core for AsapCore {
    type Event = AsapEvent;

    fn handle(&mut self, now: Time, input: Input<'_>) {
        match input {
            Input::Up { channel, peer, local, .. } if channel.is_incoming() => {
                self.on_incoming(now, channel, peer, local)
            }
            Input::Up { channel, peer, local, .. } => self.on_up(now, channel, peer, local),
            Input::Failed { channel, failure } => self.on_failed(now, channel, failure),
            Input::Message { channel, ppid: ppid::ASAP, data } => {
                self.on_message(now, channel, data)
            }
            // A registrar that does not read is as good as none.
            Input::Congested { channel } => {
                self.abort(channel, "too many messages wait to be read");
                self.on_down(now, channel);
            }
            Input::Down { channel } => self.on_down(now, channel),
            Input::Datagram { protocol: Protocol::Asap, from, data } => {
                self.on_datagram(now, from, data)
            }
            Input::Timeout => self.on_timeout(now),
            Input::Message { .. }
            | Input::Datagram { .. }
            | Input::PeerChanged { .. }
            | Input::Measured { .. } => {}
        }
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Time> {
        let (first, second) = match &self.home {
            Home::None => (None, None),
            Home::Hunting(hunt) => (self.hunt_deadline(hunt), None),
            Home::Up(_) => {
                let asks = [self.next_registration(), self.subscriptions_deadline()];
                (asks.into_iter().flatten().min(), self.doubt_deadline())
            }
        };
        let others = [self.idle_deadline(), self.requests.deadline(), self.others.deadline()];
        others.into_iter().chain([first, second]).flatten().min()
    }
}

impl AsapCore {
    /// Begins to hunt. `reach` says what the own stack can send, and all randomness comes from
    /// `seed`. Registrars of the configuration that cannot be reached are left out.
    pub fn new(now: Time, config: AsapConfig, reach: Reach, seed: [u8; 32]) -> Self {
        let mut rng = ChaCha12Rng::from_seed(seed);
        let reachable = config.registrars.iter().filter(|peer| reach.includes(peer));
        let timing = Timing {
            validity: config.announce_timeout,
            pause: config.hunt_pause,
            max_pause: config.max_hunt_pause,
        };
        let mut core = AsapCore {
            table: RegistrarTable::new(reachable.cloned().collect(), timing),
            home: Home::None,
            next_announced: now,
            requests: RequestQueue::default(),
            elements: BTreeMap::new(),
            cache: Cache::new(rng.random()),
            subscriptions: Subscriptions::default(),
            others: Others::default(),
            incoming: BTreeMap::new(),
            claims: 0,
            outputs: VecDeque::new(),
            next_channel: 0,
            next_request: 0,
            config,
            reach,
            rng,
        };
        core.hunt(now);
        core
    }

    /// The names of registrars have been looked up; `peers` are the ways to all of them. They
    /// replace those of the look-up before. When none can be reached, the earlier ones stay: the
    /// name that cannot be looked up now stood for them before.
    pub fn set_named(&mut self, now: Time, mut peers: Vec<Peer>) {
        peers.retain(|peer| self.reach.includes(peer));
        if peers.is_empty() {
            return;
        }
        let is_new = self.table.set_named(peers);
        if let Home::Hunting(hunt) = &mut self.home
            && is_new
        {
            hunt.next_start = now;
            self.go_on_hunting(now);
        }
    }

    fn on_timeout(&mut self, now: Time) {
        self.close_idle(now);
        for request in self.requests.take_given_up(now) {
            self.fail(now, request, RequestError::NoRegistrar);
        }
        self.on_others_timeout(now);
        match &self.home {
            Home::None => {}
            Home::Hunting(_) => self.on_hunt_timeout(now),
            Home::Up(_) if self.requests.is_overdue(now) => self.lose(now, "no answer", true),
            Home::Up(_) => {
                if !self.doubt_home(now) {
                    self.renew(now);
                }
            }
        }
    }

    /// A datagram to the announce group was heard.
    fn on_datagram(&mut self, now: Time, from: SocketAddr, data: &[u8]) {
        let Ok(AsapMessage::ServerAnnounce(announce)) = AsapMessage::decode(data) else { return };
        let ways = self.reach.registrar(from, &announce);
        if !ways.is_empty() {
            self.table.announce(now, &ways);
            self.go_on_hunting(now);
        }
    }

    /// An association that we opened is up. `local` are its own addresses.
    fn on_up(&mut self, now: Time, channel: ChannelId, peer: Peer, local: Vec<IpAddr>) {
        if self.others.has_link(channel) {
            return self.on_link_up(now, channel);
        }
        let Home::Hunting(hunt) = &mut self.home else { return self.abort(channel, "not needed") };
        let Some(ways) = hunt.take(channel) else { return self.abort(channel, "not needed") };
        for other in hunt.take_all() {
            self.abort(other, "another registrar was faster");
        }
        let ways = Some(ways);
        self.home = Home::Up(Up { channel, ways, peer, local, asked: false, proven: false });
        self.tell(AsapEvent::RegistrarFound(channel));
        for registered in self.elements.values_mut() {
            registered.due = now;
        }
        self.renew(now);
    }

    /// An association that we opened did not come up.
    fn on_failed(&mut self, now: Time, channel: ChannelId, failure: ConnectFailure) {
        self.link_failed(now, channel);
        let Home::Hunting(hunt) = &mut self.home else { return };
        if let Some(ways) = hunt.take(channel) {
            self.attempt_failed(now, ways, failure);
        }
        self.go_on_hunting(now);
    }

    fn on_down(&mut self, now: Time, channel: ChannelId) {
        self.incoming.remove(&channel);
        self.link_failed(now, channel);
        if matches!(&self.home, Home::Up(up) if up.channel == channel) {
            self.lose(now, "association lost", false);
        }
    }

    fn on_message(&mut self, now: Time, channel: ChannelId, data: &[u8]) {
        if self.others.has_link(channel) {
            return self.on_link_message(now, channel, data);
        }
        let is_home = matches!(&self.home, Home::Up(up) if up.channel == channel);
        if !is_home && !self.incoming.contains_key(&channel) {
            return;
        }
        match AsapMessage::decode(data) {
            Ok(AsapMessage::EndpointKeepAlive(m)) => self.on_keep_alive(now, channel, is_home, &m),
            // Only the home registrar has anything else to say.
            Ok(message) if is_home => self.on_answer(now, message),
            Ok(_) => {}
            Err(error) => {
                debug!(%error, "undecodable message of a registrar");
                if is_home {
                    self.lose(now, "undecodable message", false);
                } else {
                    self.incoming.remove(&channel);
                    self.abort(channel, "undecodable message");
                }
            }
        }
    }

    fn new_channel(&mut self) -> ChannelId {
        self.next_channel += 1;
        ChannelId::outgoing(self.next_channel)
    }

    fn new_request(&mut self) -> RequestId {
        self.next_request += 1;
        RequestId(self.next_request)
    }

    fn abort(&mut self, channel: ChannelId, reason: &'static str) {
        self.outputs.push_back(Output::Abort { channel, reason });
    }

    fn tell(&mut self, event: AsapEvent) {
        self.outputs.push_back(Output::Event(event));
    }
}
