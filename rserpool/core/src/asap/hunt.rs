//! The attempts of one search for a registrar: several at a time, the first that succeeds wins (RFC
//! 5352 sec 3.6).

use std::collections::BTreeMap;

use sctp_user_core::Time;

use super::registrars::Ways;
use crate::channel::ChannelId;

#[derive(Debug)]
pub(super) struct Hunt {
    attempts: BTreeMap<ChannelId, (Ways, Time)>,
    /// When another attempt may begin beside the open ones.
    pub(super) next_start: Time,
    /// When the user was told last that a registrar is looked for.
    pub(super) told: Time,
    /// A search that nobody needs ends then.
    pub(super) ends: Time,
}

impl Hunt {
    pub(super) fn new(now: Time, ends: Time) -> Self {
        Hunt { attempts: BTreeMap::new(), next_start: now, told: now, ends }
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
