//! Registrars that open an association with us: they ask whether our elements live, and may say
//! that they are the home registrar now (the home bit of ENDPOINT_KEEP_ALIVE, RFC 5352 sec 3.5).
//!
//! Anybody can say so. A registrar that is known by configuration, name or announce is believed at
//! once. The claim of another one is remembered, and counts when the home registrar fails: when its
//! association is lost, or when it leaves a registration unanswered for
//! [`AsapConfig::home_patience`](super::AsapConfig::home_patience).

use std::net::IpAddr;

use rserpool_wire::numbers::ppid;
use rserpool_wire::{AsapMessage, EndpointKeepAlive, EndpointKeepAliveAck};
use sctp_user_core::{Peer, Time};

use super::home::{Home, Up};
use super::requests::{ElementKey, Kind};
use super::{AsapCore, AsapEvent, Output};
use crate::channel::ChannelId;
use crate::plant::{Fault, is_planted};

/// How many associations registrars may hold open with us.
pub(super) const MAX_INCOMING: usize = 16;

/// An association that a registrar opened.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) peer: Peer,
    /// Own addresses.
    local: Vec<IpAddr>,
    /// It is closed then if nothing comes.
    idle: Time,
    /// The registrar says that it is the home; newer claims have higher numbers.
    claim: Option<u64>,
}

impl AsapCore {
    /// A registrar opened an association. When there are too many, one that is known takes the
    /// place of an unknown one.
    pub(super) fn on_incoming(
        &mut self,
        now: Time,
        channel: ChannelId,
        peer: Peer,
        local: Vec<IpAddr>,
    ) {
        if self.incoming.len() >= MAX_INCOMING {
            let unknown = self.incoming.iter().filter(|(_, i)| !self.table.knows(now, &i.peer));
            let longest_idle = unknown.min_by_key(|(_, i)| i.idle).map(|(channel, _)| *channel);
            match longest_idle {
                Some(other) if self.table.knows(now, &peer) => {
                    self.incoming.remove(&other);
                    self.abort(other, "a known registrar needs the place");
                }
                _ => return self.abort(channel, "too many registrars"),
            }
        }
        let idle = now + self.config.autoclose;
        self.incoming.insert(channel, Incoming { peer, local, idle, claim: None });
    }

    /// Closes the associations of registrars that say nothing.
    pub(super) fn close_idle(&mut self, now: Time) {
        let idle = self.incoming.extract_if(.., |_, incoming| incoming.idle <= now);
        let idle: Vec<_> = idle.map(|(channel, _)| channel).collect();
        idle.into_iter().for_each(|channel| self.abort(channel, "idle"));
    }

    /// When the next association is idle for too long.
    pub(super) fn idle_deadline(&self) -> Option<Time> {
        self.incoming.values().map(|incoming| incoming.idle).min()
    }

    /// RFC 5352 sec 3.5, with RSPLIB's addition of the element.
    pub(super) fn on_keep_alive(
        &mut self,
        now: Time,
        channel: ChannelId,
        is_home: bool,
        m: &EndpointKeepAlive,
    ) {
        let ours: Vec<ElementKey> = match m.id {
            // All elements, whatever pool is named.
            None => self.elements.keys().cloned().collect(),
            Some(id) => {
                let key = (m.pool.clone(), id);
                self.elements.contains_key(&key).then_some(key).into_iter().collect()
            }
        };
        if ours.is_empty() {
            return;
        }
        for (pool, id) in ours {
            let ack = EndpointKeepAliveAck { pool, id };
            if let Ok(data) = AsapMessage::EndpointKeepAliveAck(ack).encode() {
                self.outputs.push_back(Output::Send { channel, ppid: ppid::ASAP, data });
            }
        }
        if is_home {
            self.home_is_proven();
        } else if let Some(incoming) = self.incoming.get_mut(&channel) {
            incoming.idle = now + self.config.autoclose;
            if m.home {
                self.on_claim(now, channel);
            }
        }
    }

    /// A registrar says that it is the home.
    fn on_claim(&mut self, now: Time, channel: ChannelId) {
        let Some(incoming) = self.incoming.get_mut(&channel) else { return };
        let known = self.table.knows(now, &incoming.peer);
        if known || !matches!(self.home, Home::Up(_)) {
            return self.adopt(now, channel, known);
        }
        self.claims += 1;
        incoming.claim = Some(self.claims);
        // Whether the home registrar lives is to be known soon, but nobody can make us ask it more
        // often than this.
        for registered in self.elements.values_mut() {
            registered.check_home(now, self.config.home_patience);
        }
        self.renew(now);
        self.doubt_home(now);
    }

    /// The registrar with the newest claim.
    pub(super) fn claimant(&self) -> Option<ChannelId> {
        let claims = self.incoming.iter().filter_map(|(channel, i)| Some((i.claim?, *channel)));
        claims.max().map(|(_, channel)| channel)
    }

    /// When another registrar's claim is believed if the home registrar does not answer.
    pub(super) fn doubt_deadline(&self) -> Option<Time> {
        self.claimant()?;
        let unanswered = self.elements.values().filter_map(|registered| registered.unanswered());
        unanswered.min().map(|since| since + self.config.home_patience)
    }

    /// Believes another registrar's claim if the home registrar has been silent for too long; true
    /// if so.
    pub(super) fn doubt_home(&mut self, now: Time) -> bool {
        let is_silent = self.doubt_deadline().is_some_and(|at| at <= now);
        match self.claimant() {
            Some(channel) if is_silent && matches!(self.home, Home::Up(_)) => {
                self.adopt(now, channel, false);
                true
            }
            _ => false,
        }
    }

    /// Makes the registrar of this association the home. Our elements register there at once.
    /// `known`: it counts as a registrar that has answered before.
    pub(super) fn adopt(&mut self, now: Time, channel: ChannelId, known: bool) {
        if is_planted(Fault::NewHomeIgnored) {
            return;
        }
        let Some(Incoming { peer, local, .. }) = self.incoming.remove(&channel) else { return };
        let new = Up { channel, ways: None, peer, local, asked: false, proven: known };
        match std::mem::replace(&mut self.home, Home::Up(new)) {
            Home::Up(old) => {
                self.abort(old.channel, "another registrar is the home now");
                if let Some(ways) = old.ways {
                    self.table.lost(now, ways);
                }
                // Whatever else was asked is asked again.
                self.requests.unsend(|request| {
                    matches!(request.kind, Kind::Register(_) | Kind::Subscribe(_))
                });
                self.cache.release_all();
                self.stop_asking_for_subscriptions(now);
            }
            Home::Hunting(mut hunt) => {
                for other in hunt.take_all() {
                    self.abort(other, "another registrar is the home now");
                }
            }
            Home::None => {}
        }
        for registered in self.elements.values_mut() {
            registered.home_changed();
            registered.due = now;
        }
        self.tell(AsapEvent::NewHome(channel));
        self.renew(now);
    }
}
