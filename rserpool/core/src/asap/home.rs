//! The home registrar: looking for one, and giving it up.

use std::net::IpAddr;

use sctp_user_core::{Peer, Time};

use super::hunt::Hunt;
use super::registrars::{Gates, Ways};
use super::requests::{Kind, Subject};
use super::{AsapCore, AsapEvent, Output, RequestError};
use crate::channel::{ChannelId, ConnectFailure, Protocol};

/// How often a request may be repeated because its association was lost.
pub(super) const MAX_LOSSES: u32 = 2;

/// How we stand with the registrars.
#[derive(Debug)]
pub(super) enum Home {
    /// Nobody needs a registrar.
    None,
    /// Looking for one.
    Hunting(Hunt),
    /// Connected.
    Up(Up),
}

#[derive(Debug)]
pub(super) struct Up {
    pub(super) channel: ChannelId,
    /// The ways to the registrar, when we connected to it.
    pub(super) ways: Option<Ways>,
    /// The addresses and the SCTP port of the registrar.
    pub(super) peer: Peer,
    /// Own addresses.
    pub(super) local: Vec<IpAddr>,
    /// Something was sent.
    pub(super) asked: bool,
    /// The registrar has answered something.
    pub(super) proven: bool,
}

impl AsapCore {
    /// Whether there is something to say to a registrar.
    fn needs_registrar(&self) -> bool {
        !(self.elements.is_empty() && self.requests.is_empty() && self.subscriptions.is_empty())
    }

    pub(super) fn hunt_if_needed(&mut self, now: Time) {
        if matches!(self.home, Home::None) && self.needs_registrar() {
            self.hunt(now);
        }
    }

    pub(super) fn hunt(&mut self, now: Time) {
        self.tell(AsapEvent::Hunting);
        let ends = now + self.config.connect_timeout;
        self.home = Home::Hunting(Hunt::new(now, self.config.hunt_pause, ends));
        self.go_on_hunting(now);
    }

    fn gates(&self, hunt: &Hunt) -> Gates {
        Gates { any: hunt.next_start, announced: self.next_announced }
    }

    /// Tries the registrars that can be tried now. A search that nobody needs ends when all have
    /// failed, or when its time is over.
    pub(super) fn go_on_hunting(&mut self, now: Time) {
        self.table.forget_expired(now);
        loop {
            let Home::Hunting(hunt) = &self.home else { return };
            if hunt.open() >= self.config.parallel_connects {
                break;
            }
            let (gates, is_open) = (self.gates(hunt), |ways: &Ways| hunt.tries(ways));
            let next = self.table.next(now, &mut self.rng, gates, is_open);
            let Some((ways, traits)) = next.map(|(ways, traits)| (ways.clone(), traits)) else {
                break;
            };
            let channel = self.new_channel();
            let next_start = now + self.config.connect_interval;
            if !traits.trusted {
                self.next_announced = next_start;
            }
            let Home::Hunting(hunt) = &mut self.home else { return };
            hunt.next_start = next_start;
            hunt.started(channel, ways.clone(), now + self.config.connect_timeout);
            if traits.failed && hunt.tell_again(now, self.config.max_hunt_pause) {
                self.tell(AsapEvent::Hunting);
            }
            let protocol = Protocol::Asap;
            self.outputs.push_back(Output::Connect { channel, protocol, ways });
        }
        let needed = self.needs_registrar();
        let tell_at = self.tell_hunting_at();
        let Home::Hunting(hunt) = &mut self.home else { return };
        if needed && tell_at.is_some_and(|at| at <= now) {
            hunt.tell_again(now, self.config.max_hunt_pause);
            self.tell(AsapEvent::Hunting);
        } else if !needed && hunt.open() == 0 && (now >= hunt.ends || self.table.all_failed(now)) {
            self.home = Home::None;
        }
    }

    /// When it is told that the search goes on, although no registrar was tried again until then:
    /// the names of registrars may stand for some by then.
    fn tell_hunting_at(&self) -> Option<Time> {
        let Home::Hunting(hunt) = &self.home else { return None };
        Some(hunt.told() + self.config.connect_timeout + self.config.max_hunt_pause)
    }

    /// When the search goes on.
    pub(super) fn hunt_deadline(&self, hunt: &Hunt) -> Option<Time> {
        let told = if self.needs_registrar() {
            self.tell_hunting_at()
        } else {
            (hunt.open() == 0).then_some(hunt.ends)
        };
        let start = (hunt.open() < self.config.parallel_connects)
            .then(|| self.table.next_start(self.gates(hunt), |ways| hunt.tries(ways)))
            .flatten();
        [hunt.deadline(), told, start].into_iter().flatten().min()
    }

    /// Gives up the attempts that took too long, and goes on.
    pub(super) fn on_hunt_timeout(&mut self, now: Time) {
        let Home::Hunting(hunt) = &mut self.home else { return };
        for (channel, ways) in hunt.take_late(now) {
            self.abort(channel, "connect timeout");
            self.attempt_failed(now, ways, ConnectFailure::TimedOut);
        }
        self.go_on_hunting(now);
    }

    /// An attempt has failed; the next registrar is tried without a wait.
    pub(super) fn attempt_failed(&mut self, now: Time, ways: Ways, failure: ConnectFailure) {
        self.table.failed(now, &ways);
        if let Home::Hunting(hunt) = &mut self.home {
            hunt.next_start = now;
        }
        if let Some(registrar) = ways.into_iter().next() {
            self.tell(AsapEvent::Unreachable { registrar, failure });
        }
    }

    /// The home registrar has answered something, or has asked for a sign of life.
    pub(super) fn home_is_proven(&mut self) {
        let Home::Up(up) = &mut self.home else { return };
        if !std::mem::replace(&mut up.proven, true)
            && let Some(ways) = &up.ways
        {
            self.table.answered(ways);
        }
    }

    /// Gives the registrar up. Another one that has claimed our elements takes its place; otherwise
    /// one is looked for at once. A registrar that was never of any use is left alone for a while.
    pub(super) fn lose(&mut self, now: Time, reason: &'static str, timeout: bool) {
        let Home::Up(up) = std::mem::replace(&mut self.home, Home::None) else { return };
        if let Some(ways) = up.ways {
            if up.asked && !up.proven {
                self.table.failed(now, &ways);
            }
            self.table.lost(now, ways);
        }
        self.abort(up.channel, reason);
        self.tell(AsapEvent::RegistrarLost);
        self.stop_asking_others();
        for registered in self.elements.values_mut() {
            registered.home_changed();
        }
        self.cache.release_all();
        let max_trials = self.config.max_request_trials;
        let failed = self.requests.unsend(|request| {
            if timeout {
                request.timeouts += 1;
            } else {
                request.losses += 1;
            }
            // Registrations and subscriptions are made anew with the next registrar.
            matches!(request.kind, Kind::Register(_) | Kind::Subscribe(_))
                || request.timeouts >= max_trials
                || request.losses > MAX_LOSSES
        });
        for request in failed {
            let error = if timeout { RequestError::Timeout } else { RequestError::NoRegistrar };
            self.fail(now, request, error);
        }
        for key in self.elements.keys() {
            self.requests.drop_unsent(&Subject::Registration(key.clone()));
        }
        self.stop_asking_for_subscriptions(now);
        match self.claimant() {
            Some(channel) if !self.elements.is_empty() => self.adopt(now, channel, false),
            _ => self.hunt_if_needed(now),
        }
    }
}
