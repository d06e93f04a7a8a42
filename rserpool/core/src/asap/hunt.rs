//! The attempts of one search for a registrar: several at a time, the first that succeeds wins (RFC
//! 5352 sec 3.6).

use std::collections::BTreeMap;

use sctp_user_core::{Duration, Time};

use super::registrars::Ways;
use crate::channel::ChannelId;

#[derive(Debug)]
pub(super) struct Hunt {
    attempts: BTreeMap<ChannelId, (Ways, Time)>,
    /// When another attempt may begin beside the open ones.
    pub(super) next_start: Time,
    /// When the user was told last that a registrar is looked for.
    told: Time,
    /// The user is not told again for so long.
    quiet: Duration,
    /// A search that nobody needs ends then.
    pub(super) ends: Time,
}

impl Hunt {
    /// A search of which the user has just been told. It is told again after `quiet` at the
    /// earliest.
    pub(super) fn new(now: Time, quiet: Duration, ends: Time) -> Self {
        Hunt { attempts: BTreeMap::new(), next_start: now, told: now, quiet, ends }
    }

    /// Whether the user may be told again that the search goes on. If so, that counts as done, and
    /// twice as long passes until the next time, `max_quiet` at most.
    pub(super) fn tell_again(&mut self, now: Time, max_quiet: Duration) -> bool {
        if now < self.told + self.quiet {
            return false;
        }
        self.told = now;
        self.quiet = self.quiet.saturating_mul(2).min(max_quiet);
        true
    }

    /// When it was told last that the search goes on.
    pub(super) fn told(&self) -> Time {
        self.told
    }

    /// How many attempts are open.
    pub(super) fn open(&self) -> usize {
        self.attempts.len()
    }

    /// Whether this registrar is being tried.
    pub(super) fn tries(&self, ways: &Ways) -> bool {
        self.attempts.values().any(|(open, _)| open == ways)
    }

    pub(super) fn started(&mut self, channel: ChannelId, ways: Ways, deadline: Time) {
        self.attempts.insert(channel, (ways, deadline));
    }

    /// Takes an attempt that has ended.
    pub(super) fn take(&mut self, channel: ChannelId) -> Option<Ways> {
        self.attempts.remove(&channel).map(|(ways, _)| ways)
    }

    /// Takes all attempts.
    pub(super) fn take_all(&mut self) -> Vec<ChannelId> {
        std::mem::take(&mut self.attempts).into_keys().collect()
    }

    /// Takes the attempts that took too long.
    pub(super) fn take_late(&mut self, now: Time) -> Vec<(ChannelId, Ways)> {
        self.attempts
            .extract_if(.., |_, (_, deadline)| *deadline <= now)
            .map(|(channel, (ways, _))| (channel, ways))
            .collect()
    }

    /// When the next attempt takes too long.
    pub(super) fn deadline(&self) -> Option<Time> {
        self.attempts.values().map(|(_, at)| *at).min()
    }
}
