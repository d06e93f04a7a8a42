//! The home registrar: looking for one, and giving it up.

use std::net::IpAddr;

use sctp_user_core::Time;

use super::hunt::Hunt;
use super::registrars::Ways;
use super::requests::Kind;
use super::{AsapCore, AsapEvent, Output, RequestError};
use crate::channel::{ChannelId, Protocol};

/// How often a request may be repeated because its association was lost.
pub(super) const MAX_LOSSES: u32 = 2;

/// How we stand with the registrars.
#[derive(Debug)]
pub(super) enum Home {
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
pub(super) struct Up {
    pub(super) channel: ChannelId,
    /// The ways to the registrar, when we connected to it.
    pub(super) ways: Option<Ways>,
    /// Own addresses.
    pub(super) local: Vec<IpAddr>,
    /// Something was sent.
    pub(super) asked: bool,
    /// It has answered something.
    pub(super) proven: bool,
}

impl AsapCore {
    /// Tries a registrar that was not known before, if one is wanted.
    pub(super) fn try_too(&mut self, now: Time, ways: Ways) {
        match &mut self.home {
            Home::Hunting(hunt) => {
                hunt.add(ways);
                self.go_on_hunting(now);
            }
            Home::Pausing { .. } => {
                self.home = Home::None;
                self.hunt_if_needed(now);
            }
            Home::None | Home::Up(_) => {}
        }
    }

    pub(super) fn hunt_if_needed(&mut self, now: Time) {
        if matches!(self.home, Home::None)
            && !(self.elements.is_empty() && self.requests.is_empty())
        {
            self.hunt(now);
        }
    }

    pub(super) fn hunt(&mut self, now: Time) {
        self.tell(AsapEvent::Hunting);
        let candidates = self.table.candidates(now, &mut self.rng, self.last.as_ref());
        self.home = Home::Hunting(Hunt::new(candidates, now + self.config.connect_timeout));
        self.go_on_hunting(now);
    }

    /// Tries the next candidates, or ends the hunt when there are none.
    pub(super) fn go_on_hunting(&mut self, now: Time) {
        let deadline = now + self.config.connect_timeout;
        loop {
            let Home::Hunting(hunt) = &mut self.home else { return };
            let Some(ways) = hunt.next(self.config.parallel_connects) else {
                if hunt.is_over(now) {
                    self.failures = self.failures.saturating_add(1);
                    self.pause(now);
                }
                return;
            };
            let channel = self.new_channel();
            if let Home::Hunting(hunt) = &mut self.home {
                hunt.started(channel, ways.clone(), deadline);
            }
            let protocol = Protocol::Asap;
            self.outputs.push_back(Output::Connect { channel, protocol, ways });
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
    pub(super) fn lose(&mut self, now: Time, reason: &'static str, timeout: bool) {
        let Home::Up(up) = &self.home else { return };
        let (channel, useless) = (up.channel, up.asked && !up.proven);
        self.last = up.ways.clone();
        self.abort(channel, reason);
        self.home = Home::None;
        self.tell(AsapEvent::RegistrarLost);
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
            let error = if timeout { RequestError::Timeout } else { RequestError::NoRegistrar };
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
}
