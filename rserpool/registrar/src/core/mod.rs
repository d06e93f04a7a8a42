//! The registrar as a state machine without I/O: what comes in are associations, messages and time,
//! what comes out are messages to send, associations to abort, announces and events.
//!
//! Drive it like this: after each [`Core::handle`], take everything from [`Core::poll_output`];
//! when the time of [`Core::poll_timeout`] has come, handle [`Input::Timeout`].
//!
//! The ASAP side (RFC 5352) is complete. Every element is registered with this registrar as its
//! home; the handlespace underneath tells homes apart and keeps a checksum for each, as ENRP needs
//! it.

mod addresses;
mod announce;
mod monitoring;
mod rate;
mod registration;
mod resolution;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::net::IpAddr;

use bytes::Bytes;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;
use rserpool_handlespace::{Handlespace, Timer};
use rserpool_wire::numbers::ppid;
use rserpool_wire::{AsapMessage, Reaction, ServerId, Transport};
use sctp_user_core::{ConfigError, Time};

use crate::config::Config;
use crate::event::{Event, RemovalReason};
use crate::stats::Stats;
use announce::Announcer;
use rate::RateLimiter;

/// Names an association between driver and core. The driver chooses the numbers and never uses one
/// twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AssociationId(pub u64);

impl fmt::Display for AssociationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "association {}", self.0)
    }
}

/// The other end of an association.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// All addresses of the peer.
    pub addrs: Vec<IpAddr>,
    /// Its SCTP port.
    pub port: u16,
    /// Its UDP port where the association is encapsulated (RFC 6951), `None` where it is native.
    pub udp_port: Option<u16>,
}

/// Where this registrar can be reached, for its announces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Advertised {
    /// Transports to name in announces. Without any, those who hear them take the source address
    /// and port.
    pub transports: Vec<Transport>,
    /// Own UDP encapsulation port, `None` without encapsulation.
    pub udp_port: Option<u16>,
}

/// What happens to a registrar.
#[derive(Clone, Debug)]
pub enum Input<'a> {
    /// An association came up.
    AssociationUp {
        /// Its name from now on.
        association: AssociationId,
        /// Its other end.
        peer: Peer,
    },
    /// Addresses or UDP port of the other end are others than before.
    PeerChanged {
        /// The association.
        association: AssociationId,
        /// Its other end now.
        peer: Peer,
    },
    /// A complete message arrived.
    Message {
        /// The association.
        association: AssociationId,
        /// Its payload protocol identifier, host order.
        ppid: u32,
        /// The message.
        data: &'a [u8],
    },
    /// Too much that was sent waits for the other end to read it ([`Config::max_backlog`]).
    BacklogFull {
        /// The association.
        association: AssociationId,
    },
    /// An association ended, in whatever way. The name means nothing from now on.
    AssociationDown {
        /// The association.
        association: AssociationId,
    },
    /// Time has passed.
    Timeout,
}

/// What a registrar wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send a message, ordered on stream 0.
    Send {
        /// The association.
        association: AssociationId,
        /// Payload protocol identifier, host order.
        ppid: u32,
        /// The message.
        data: Bytes,
    },
    /// Abort an association. The core has forgotten it already.
    Abort {
        /// The association.
        association: AssociationId,
        /// Why; goes into the ABORT.
        reason: &'static str,
    },
    /// Send a datagram to the announce group.
    Multicast(Bytes),
    /// Report what happened.
    Event(Event),
}

/// A registrar. See the module documentation for how to drive it.
#[derive(Debug)]
pub struct Core {
    config: Config,
    id: ServerId,
    space: Handlespace,
    associations: BTreeMap<AssociationId, Association>,
    announcer: Announcer,
    outputs: VecDeque<Output>,
    stats: Stats,
}

#[derive(Debug)]
struct Association {
    peer: Peer,
    resolutions: RateLimiter,
    reports: RateLimiter,
}

impl Core {
    /// A registrar that knows nobody yet. Its first announce is due at once. All randomness comes
    /// from `seed`.
    ///
    /// # Errors
    /// When the configuration is not valid.
    pub fn new(
        config: Config,
        advertised: Advertised,
        seed: [u8; 32],
        now: Time,
    ) -> Result<Self, ConfigError> {
        config.check()?;
        let mut rng = ChaCha12Rng::from_seed(seed);
        let id = config.server_id.unwrap_or_else(|| ServerId(rng.random_range(1..=u32::MAX)));
        let space = Handlespace::new(rserpool_handlespace::Config {
            max_handle_length: config.max_handle_length,
            max_increment: config.max_increment,
            max_elements: config.max_elements,
            seed: rng.random(),
        });
        let first_announce = config.announce.map(|_| now);
        Ok(Core {
            id,
            space,
            associations: BTreeMap::new(),
            announcer: Announcer::new(advertised, first_announce, rng),
            outputs: VecDeque::new(),
            stats: Stats::default(),
            config,
        })
    }

    /// The identifier of this registrar.
    pub fn server_id(&self) -> ServerId {
        self.id
    }

    /// What this registrar knows.
    pub fn handlespace(&self) -> &Handlespace {
        &self.space
    }

    /// Present sizes and counts.
    pub fn stats(&self) -> Stats {
        Stats {
            pools: self.space.pool_count(),
            pool_elements: self.space.len(),
            owned_pool_elements: self.space.count_of_home(self.id),
            associations: self.associations.len(),
            ..self.stats
        }
    }

    /// Takes one input in. What follows from it is to be had from [`Core::poll_output`].
    pub fn handle(&mut self, now: Time, input: Input<'_>) {
        match input {
            Input::AssociationUp { association, peer } => {
                self.associations.insert(association, Association::new(peer));
            }
            Input::PeerChanged { association, peer } => {
                if let Some(known) = self.associations.get_mut(&association) {
                    known.peer = peer;
                }
            }
            Input::Message { association, ppid, data } => {
                self.on_message(now, association, ppid, data)
            }
            Input::BacklogFull { association } => {
                self.abort(association, "too many messages wait to be read");
            }
            Input::AssociationDown { association } => {
                if self.associations.remove(&association).is_some() {
                    self.remove_elements_of(association, RemovalReason::AssociationLost);
                }
            }
            Input::Timeout => self.on_timeout(now),
        }
    }

    /// The next thing to do, in order; `None` when all is done.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to handle [`Input::Timeout`] next; `None` when nothing is waited for.
    pub fn poll_timeout(&self) -> Option<Time> {
        [self.space.next_deadline(), self.announcer.next()].into_iter().flatten().min()
    }

    fn on_timeout(&mut self, now: Time) {
        while let Some((key, timer)) = self.space.pop_due(now) {
            match timer {
                Timer::Life => self.remove(key, RemovalReason::LifeExpired),
                Timer::KeepAliveTransmission => self.send_keep_alive(now, key),
                Timer::KeepAliveTimeout => self.on_keep_alive_timeout(key),
            }
        }
        if let Some(announce) =
            self.announcer.announce_if_due(now, self.id, self.config.announce_cycle)
        {
            self.stats.announces += 1;
            self.outputs.push_back(Output::Multicast(announce));
        }
    }

    fn on_message(&mut self, now: Time, association: AssociationId, ppid: u32, data: &[u8]) {
        if !self.associations.contains_key(&association) {
            return;
        }
        match ppid {
            ppid::ASAP => {}
            // Whoever speaks ENRP here has mistaken the port, and would wait for answers in vain.
            ppid::ENRP => return self.abort(association, "ENRP message on the ASAP port"),
            _ => {
                self.stats.ignored_messages += 1;
                return;
            }
        }
        match AsapMessage::decode(data) {
            Ok(message) => self.on_asap(now, association, message),
            Err(error) => {
                self.stats.invalid_messages += 1;
                let problem = error.problem.to_string();
                self.report(Event::InvalidMessage { association, problem });
                if let Reaction::Report(error) = error.reaction {
                    self.send(association, &AsapMessage::Error(error));
                }
            }
        }
    }

    fn on_asap(&mut self, now: Time, association: AssociationId, message: AsapMessage) {
        match message {
            AsapMessage::Registration(m) => self.on_registration(now, association, m),
            AsapMessage::Deregistration(m) => self.on_deregistration(association, m),
            AsapMessage::HandleResolution(m) => self.on_handle_resolution(now, association, m),
            AsapMessage::EndpointKeepAliveAck(m) => self.on_keep_alive_ack(now, association, m),
            AsapMessage::EndpointUnreachable(m) => {
                self.on_endpoint_unreachable(now, association, m)
            }
            // Messages that registrars send and messages between element and user.
            AsapMessage::RegistrationResponse(_)
            | AsapMessage::DeregistrationResponse(_)
            | AsapMessage::HandleResolutionResponse(_)
            | AsapMessage::EndpointKeepAlive(_)
            | AsapMessage::ServerAnnounce(_)
            | AsapMessage::Cookie(_)
            | AsapMessage::CookieEcho(_)
            | AsapMessage::BusinessCard(_)
            | AsapMessage::Error(_) => self.stats.ignored_messages += 1,
        }
    }

    /// Encodes and queues a message; says whether it could be encoded.
    fn send(&mut self, association: AssociationId, message: &AsapMessage) -> bool {
        match message.encode() {
            Ok(data) => {
                self.outputs.push_back(Output::Send { association, ppid: ppid::ASAP, data });
                true
            }
            Err(error) => {
                tracing::debug!(%association, %error, "reply dropped");
                false
            }
        }
    }

    fn report(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    /// Ends an association from this side, with everything that was registered over it.
    fn abort(&mut self, association: AssociationId, reason: &'static str) {
        self.abort_because(association, reason, RemovalReason::AssociationLost);
    }

    fn abort_because(
        &mut self,
        association: AssociationId,
        reason: &'static str,
        removal: RemovalReason,
    ) {
        if self.associations.remove(&association).is_none() {
            return;
        }
        self.stats.aborts += 1;
        self.outputs.push_back(Output::Abort { association, reason });
        self.report(Event::Aborted { association, reason });
        self.remove_elements_of(association, removal);
    }
}

impl Association {
    fn new(peer: Peer) -> Self {
        Association { peer, resolutions: RateLimiter::default(), reports: RateLimiter::default() }
    }
}
