//! A registrar: it keeps the pools, and serves pool elements and pool users (ASAP, RFC 5352).
//!
//! Every element is registered with this registrar as its home; the handlespace underneath tells
//! homes apart and keeps a checksum for each, as ENRP needs it.

mod addresses;
mod announce;
mod budget;
mod challenge;
mod check;
mod config;
mod enrp;
mod event;
mod idle;
mod limits;
mod monitoring;
mod rate;
mod registration;
mod resolution;
mod stats;
mod subscription;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;
use rserpool_handlespace::{ElementKey, Handlespace, Timer};
use rserpool_wire::numbers::ppid;
use rserpool_wire::{AsapMessage, PoolHandle, Reaction, ServerId, Transport};
use sctp_user_core::{ConfigError, Duration, Peer, Time};

use crate::channel::{self, ChannelId, Core, Input, Protocol};
use crate::plant::{Fault, is_planted};
use crate::reach::{Reach, group_ways};
use announce::Announcer;
use budget::Addresses;
use challenge::Challenges;
use check::Checks;
use enrp::Enrp;
use idle::{IdleTimers, Use};
use rate::RateLimiter;
use subscription::Subscriptions;

pub use budget::Rates;
pub use config::RegistrarConfig;
pub use enrp::{EnrpConfig, TakeoverRule};
pub use event::{RegistrarEvent, RemovalReason};
pub use stats::RegistrarStats;

/// Elements that are dealt with in a row, before others have their turn.
const SLICE: usize = 256;

type Output = channel::Output<RegistrarEvent>;

/// What the driver knows about this host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Local {
    /// Transports to name in announces. Without any, those who hear them take the source address
    /// and port.
    pub transports: Vec<Transport>,
    /// Own UDP encapsulation port, `None` without encapsulation.
    pub udp_port: Option<u16>,
    /// The encapsulations that can be sent.
    pub reach: Reach,
    /// SCTP port for other registrars, 0 without ENRP.
    pub enrp_port: u16,
    /// Addresses where other registrars reach this one, for presences to the group.
    pub enrp_addrs: Vec<IpAddr>,
}

/// A registrar. See the [module documentation](self).
#[derive(Debug)]
pub struct RegistrarCore {
    config: RegistrarConfig,
    local: Local,
    id: ServerId,
    rng: ChaCha12Rng,
    space: Handlespace,
    associations: BTreeMap<ChannelId, Association>,
    /// What is tried to be connected with.
    attempts: BTreeMap<ChannelId, Vec<Peer>>,
    addresses: Addresses,
    next_channel: u64,
    announcer: Announcer,
    idle: IdleTimers,
    challenges: Challenges,
    checks: Checks,
    subscriptions: Subscriptions,
    enrp: Enrp,
    /// Associations that have ended, with elements that are still to be taken out.
    ended: VecDeque<(ChannelId, RemovalReason)>,
    outputs: VecDeque<Output>,
    stats: RegistrarStats,
}

#[derive(Debug)]
struct Association {
    protocol: Protocol,
    peer: Peer,
    /// Own addresses and SCTP port.
    local: Vec<IpAddr>,
    local_port: u16,
    rtt: Option<Duration>,
    used: Use,
    resolutions: RateLimiter,
    reports: RateLimiter,
    subscriptions: BTreeSet<PoolHandle>,
    /// Elements have been registered over it, so it is watched.
    is_watched: bool,
    /// The address that it counts for.
    counted: Option<IpAddr>,
}

impl Core for RegistrarCore {
    type Event = RegistrarEvent;

    fn handle(&mut self, now: Time, input: Input<'_>) {
        match input {
            Input::Up { channel, protocol, peer, local, local_port } => {
                self.attempts.remove(&channel);
                let Ok(counted) = self.admit(now, channel, &peer) else { return };
                let used = self.idle.start(now, channel, self.config.autoclose);
                let association = Association {
                    protocol,
                    peer,
                    local,
                    local_port,
                    rtt: None,
                    used,
                    resolutions: RateLimiter::default(),
                    reports: RateLimiter::default(),
                    subscriptions: BTreeSet::new(),
                    is_watched: false,
                    counted,
                };
                self.associations.insert(channel, association);
                match protocol {
                    Protocol::Enrp => self.on_enrp_up(now, channel),
                    Protocol::Asap if channel.is_incoming() || self.on_check_up(channel) => {}
                    Protocol::Asap => self.on_contact_up(now, channel),
                }
            }
            Input::Failed { channel, failure } => {
                if self.attempts.remove(&channel).is_some() {
                    self.checks.forget(channel);
                    self.on_enrp_failed(now, channel, &failure);
                    self.on_contact_failed(now, channel, failure.is_refusal());
                }
            }
            Input::PeerChanged { channel, peer } => {
                if let Some(known) = self.associations.get_mut(&channel) {
                    known.peer = peer;
                }
            }
            Input::Measured { channel, rtt } => self.on_measured(channel, rtt),
            Input::Message { channel, ppid, data } => self.on_message(now, channel, ppid, data),
            Input::Congested { channel } => {
                self.abort(now, channel, "too many messages wait to be read");
            }
            Input::Down { channel } => {
                if self.forget(channel) {
                    self.on_enrp_down(now, channel);
                    self.remove_elements_of(now, channel, RemovalReason::AssociationLost);
                }
            }
            Input::Datagram { protocol: Protocol::Enrp, from, data } => {
                self.on_enrp_datagram(from, data)
            }
            // Announces of other registrars to elements and users.
            Input::Datagram { protocol: Protocol::Asap, .. } => {}
            Input::Timeout => self.on_timeout(now),
        }
        self.schedule_subscriptions(now);
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Time> {
        let times = [
            self.space.next_deadline(),
            self.announcer.next(),
            self.idle.next(),
            self.challenges.deadline(),
            self.checks.deadline(),
            self.subscriptions.due(),
            self.enrp_deadline(),
            (!self.ended.is_empty()).then_some(Time::ZERO),
        ];
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
        local: Local,
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
        let peers = config.enrp.iter().flat_map(|enrp| &enrp.peers);
        let reachable = peers.filter(|peer| local.reach.includes(peer)).cloned().collect();
        let enrp = Enrp::new(config.enrp.as_ref(), now, group_ways(reachable));
        let first_announce = config.announce.map(|_| now);
        Ok(RegistrarCore {
            id,
            space,
            associations: BTreeMap::new(),
            attempts: BTreeMap::new(),
            addresses: Addresses::default(),
            next_channel: 0,
            announcer: Announcer::new(first_announce),
            idle: IdleTimers::default(),
            challenges: Challenges::default(),
            checks: Checks::default(),
            subscriptions: Subscriptions::default(),
            enrp,
            ended: VecDeque::new(),
            outputs: VecDeque::new(),
            stats: RegistrarStats::default(),
            config,
            local,
            rng,
        })
    }

    /// The identifier of this registrar.
    pub fn server_id(&self) -> ServerId {
        self.id
    }

    /// Whether it knows the handlespace: its start phase (RFC 5353 sec 3.2) is over.
    pub fn is_running(&self) -> bool {
        self.enrp.is_running()
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
            peers: self.enrp.peer_count(),
            ..self.stats
        }
    }

    fn on_timeout(&mut self, now: Time) {
        self.remove_some(now);
        self.go_on_asking(now);
        self.look_after_elements(now);
        self.look_after_challenges(now);
        self.look_after_checks(now);
        self.announce_if_due(now);
        self.shut_idle_down(now);
        self.tell_changes_if_due(now);
        self.on_enrp_timeout(now);
    }

    /// Serves the timers of elements that are due.
    fn look_after_elements(&mut self, now: Time) {
        // The rest waits until other inputs have had their turn.
        for _ in 0..SLICE {
            let Some(due) = self.space.next_deadline() else { return };
            let Some((key, timer)) = self.space.pop_due(now) else { return };
            match timer {
                Timer::Life => self.on_life_over(now, key),
                Timer::KeepAliveTransmission => self.probe(now, key),
                Timer::KeepAliveTimeout => self.on_keep_alive_timeout(now, key, due),
            }
        }
    }

    /// Its home says so; copies of others' elements end without a word.
    fn on_life_over(&mut self, now: Time, key: ElementKey) {
        if !is_planted(Fault::LifeIgnored) {
            self.remove(now, key, RemovalReason::LifeExpired);
        }
    }

    fn on_measured(&mut self, channel: ChannelId, rtt: Duration) {
        let distance = self.distance_of(rtt);
        let Some(association) = self.associations.get_mut(&channel) else { return };
        let (before, protocol) = (association.rtt.replace(rtt), association.protocol);
        // Thousands of elements may stand behind an association.
        let differs = before.is_none_or(|before| self.distance_of(before) != distance);
        if protocol == Protocol::Asap && differs {
            for key in self.space.elements_of_owner(channel.as_u64()).collect::<Vec<_>>() {
                self.space.set_distance(key, distance);
            }
        }
    }

    /// Opens an association.
    fn connect(&mut self, protocol: Protocol, ways: Vec<Peer>) -> ChannelId {
        self.next_channel += 1;
        let channel = ChannelId::outgoing(self.next_channel);
        self.attempts.insert(channel, ways.clone());
        self.outputs.push_back(Output::Connect { channel, protocol, ways });
        channel
    }

    /// Ends an association gracefully; its end will be told.
    fn shut_down(&mut self, channel: ChannelId) {
        self.outputs.push_back(Output::Shutdown { channel });
    }

    /// Aborts an association or an attempt that nothing depends on.
    fn drop_channel(&mut self, channel: ChannelId, reason: &'static str) {
        if self.attempts.remove(&channel).is_some() || self.forget(channel) {
            self.outputs.push_back(Output::Abort { channel, reason });
        }
    }

    /// An association was of use.
    fn used(&mut self, now: Time, channel: ChannelId) {
        if let Some(association) = self.associations.get_mut(&channel) {
            association.used.last = now;
        }
    }

    fn on_message(&mut self, now: Time, channel: ChannelId, ppid: u32, data: &[u8]) {
        let Some(protocol) = self.associations.get(&channel).map(|a| a.protocol) else { return };
        match (protocol, ppid) {
            (Protocol::Asap, ppid::ASAP) => {}
            (Protocol::Enrp, ppid::ENRP) => return self.on_enrp_message(now, channel, data),
            // Whoever has mistaken the port would wait for answers in vain.
            (Protocol::Asap, ppid::ENRP) => {
                return self.abort(now, channel, "ENRP message on the ASAP port");
            }
            (Protocol::Enrp, ppid::ASAP) => {
                return self.abort(now, channel, "ASAP message on the ENRP port");
            }
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
            AsapMessage::Deregistration(m) => self.on_deregistration(now, channel, m),
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
        self.used(now, channel);
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
        if let Some(addr) = association.counted {
            let (rates, most) = (&self.config.address_rates, self.config.max_associations);
            self.addresses.leave(addr, channel.is_incoming(), rates, most);
        }
        self.checks.forget(channel);
        self.unsubscribe(channel, association.subscriptions);
        true
    }

    /// Ends an association from this side, with everything that was registered over it.
    fn abort(&mut self, now: Time, channel: ChannelId, reason: &'static str) {
        self.abort_because(now, channel, reason, RemovalReason::AssociationLost);
    }

    fn abort_because(
        &mut self,
        now: Time,
        channel: ChannelId,
        reason: &'static str,
        removal: RemovalReason,
    ) {
        if !self.forget(channel) {
            return;
        }
        self.stats.aborts += 1;
        self.outputs.push_back(Output::Abort { channel, reason });
        self.report(RegistrarEvent::Aborted { channel, reason });
        self.on_enrp_down(now, channel);
        self.remove_elements_of(now, channel, removal);
    }
}
