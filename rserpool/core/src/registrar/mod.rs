//! A registrar: it keeps the pools, and serves pool elements and pool users (ASAP, RFC 5352).
//!
//! Every element is registered with this registrar as its home; the handlespace underneath tells
//! homes apart and keeps a checksum for each, as ENRP needs it.

mod addresses;
mod announce;
mod config;
mod event;
mod idle;
mod monitoring;
mod rate;
mod registration;
mod resolution;
mod stats;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;
use rserpool_handlespace::{Handlespace, Timer};
use rserpool_wire::numbers::ppid;
use rserpool_wire::{AsapMessage, Reaction, ServerId, Transport};
use sctp_user_core::{ConfigError, Peer, Time};

use crate::channel::{self, ChannelId, Core, Input, Protocol};
use announce::Announcer;
use idle::{IdleTimers, Use};
use rate::RateLimiter;

pub use config::RegistrarConfig;
pub use event::{RegistrarEvent, RemovalReason};
pub use stats::RegistrarStats;

type Output = channel::Output<RegistrarEvent>;

/// Where this registrar can be reached, for its announces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Advertised {
    /// Transports to name in announces. Without any, those who hear them take the source address
    /// and port.
    pub transports: Vec<Transport>,
    /// Own UDP encapsulation port, `None` without encapsulation.
    pub udp_port: Option<u16>,
}

/// A registrar. See the [module documentation](self).
#[derive(Debug)]
pub struct RegistrarCore {
    config: RegistrarConfig,
    id: ServerId,
    space: Handlespace,
    associations: BTreeMap<ChannelId, Association>,
    announcer: Announcer,
    idle: IdleTimers,
    outputs: VecDeque<Output>,
    stats: RegistrarStats,
}

#[derive(Debug)]
struct Association {
    peer: Peer,
    used: Use,
    resolutions: RateLimiter,
    reports: RateLimiter,
}

impl Core for RegistrarCore {
    type Event = RegistrarEvent;

    fn handle(&mut self, now: Time, input: Input<'_>) {
        match input {
            Input::Up { channel, peer, .. } => {
                let used = self.idle.start(now, channel, self.config.autoclose);
                self.associations.insert(channel, Association::new(peer, used));
            }
            Input::PeerChanged { channel, peer } => {
                if let Some(known) = self.associations.get_mut(&channel) {
                    known.peer = peer;
                }
            }
            Input::Message { channel, ppid, data } => self.on_message(now, channel, ppid, data),
            Input::Congested { channel } => {
                self.abort(channel, "too many messages wait to be read");
            }
            Input::Down { channel } => {
                if self.forget(channel) {
                    self.remove_elements_of(channel, RemovalReason::AssociationLost);
                }
            }
            Input::Timeout => self.on_timeout(now),
            // This registrar opens no associations and listens to no group.
            Input::Failed { .. } | Input::Datagram { .. } => {}
        }
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Time> {
        let times = [self.space.next_deadline(), self.announcer.next(), self.idle.next()];
        times.into_iter().flatten().min()
    }
}

impl RegistrarCore {
    /// A registrar that knows nobody yet. Its first announce is due at once. All randomness comes
    /// from `seed`.
    ///
    /// # Errors
    /// When the configuration is not valid.
    pub fn new(
        config: RegistrarConfig,
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
        Ok(RegistrarCore {
            id,
            space,
            associations: BTreeMap::new(),
            announcer: Announcer::new(advertised, first_announce, rng),
            idle: IdleTimers::default(),
            outputs: VecDeque::new(),
            stats: RegistrarStats::default(),
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
    pub fn stats(&self) -> RegistrarStats {
        RegistrarStats {
            pools: self.space.pool_count(),
            pool_elements: self.space.len(),
            owned_pool_elements: self.space.count_of_home(self.id),
            associations: self.associations.len(),
            ..self.stats
        }
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
            self.outputs.push_back(Output::Multicast { protocol: Protocol::Asap, data: announce });
        }
        self.shut_idle_down(now);
    }

    fn on_message(&mut self, now: Time, channel: ChannelId, ppid: u32, data: &[u8]) {
        if !self.associations.contains_key(&channel) {
            return;
        }
        match ppid {
            ppid::ASAP => {}
            // Whoever speaks ENRP here has mistaken the port, and would wait for answers in vain.
            ppid::ENRP => return self.abort(channel, "ENRP message on the ASAP port"),
            _ => {
                self.stats.ignored_messages += 1;
                return;
            }
        }
        match AsapMessage::decode(data) {
            Ok(message) => self.on_asap(now, channel, message),
            Err(error) => {
                self.stats.invalid_messages += 1;
                let problem = error.problem;
                self.report(RegistrarEvent::InvalidMessage { channel, problem });
                if let Reaction::Report(error) = error.reaction {
                    self.send(channel, &AsapMessage::Error(error));
                }
            }
        }
    }

    fn on_asap(&mut self, now: Time, channel: ChannelId, message: AsapMessage) {
        match message {
            AsapMessage::Registration(m) => self.on_registration(now, channel, m),
            AsapMessage::Deregistration(m) => self.on_deregistration(channel, m),
            AsapMessage::HandleResolution(m) => self.on_handle_resolution(now, channel, m),
            AsapMessage::EndpointKeepAliveAck(m) => self.on_keep_alive_ack(now, channel, m),
            AsapMessage::EndpointUnreachable(m) => self.on_endpoint_unreachable(now, channel, m),
            // Messages that registrars send and messages between element and user.
            AsapMessage::RegistrationResponse(_)
            | AsapMessage::DeregistrationResponse(_)
            | AsapMessage::HandleResolutionResponse(_)
            | AsapMessage::EndpointKeepAlive(_)
            | AsapMessage::ServerAnnounce(_)
            | AsapMessage::Cookie(_)
            | AsapMessage::CookieEcho(_)
            | AsapMessage::BusinessCard(_)
            | AsapMessage::Error(_) => {
                self.stats.ignored_messages += 1;
                return;
            }
        }
        if let Some(association) = self.associations.get_mut(&channel) {
            association.used.last = now;
        }
    }

    /// Encodes and queues a message; says whether it could be encoded.
    fn send(&mut self, channel: ChannelId, message: &AsapMessage) -> bool {
        match message.encode() {
            Ok(data) => {
                self.outputs.push_back(Output::Send { channel, ppid: ppid::ASAP, data });
                true
            }
            Err(error) => {
                tracing::debug!(%channel, %error, "reply dropped");
                false
            }
        }
    }

    fn report(&mut self, event: RegistrarEvent) {
        self.outputs.push_back(Output::Event(event));
    }

    /// Forgets an association; false when it is not known.
    fn forget(&mut self, channel: ChannelId) -> bool {
        let Some(association) = self.associations.remove(&channel) else { return false };
        self.idle.stop(channel, &association.used);
        true
    }

    /// Ends an association from this side, with everything that was registered over it.
    fn abort(&mut self, channel: ChannelId, reason: &'static str) {
        self.abort_because(channel, reason, RemovalReason::AssociationLost);
    }

    fn abort_because(&mut self, channel: ChannelId, reason: &'static str, removal: RemovalReason) {
        if !self.forget(channel) {
            return;
        }
        self.stats.aborts += 1;
        self.outputs.push_back(Output::Abort { channel, reason });
        self.report(RegistrarEvent::Aborted { channel, reason });
        self.remove_elements_of(channel, removal);
    }
}

impl Association {
    fn new(peer: Peer, used: Use) -> Self {
        let (resolutions, reports) = (RateLimiter::default(), RateLimiter::default());
        Association { peer, used, resolutions, reports }
    }
}
