//! One hunt for a registrar: several candidates at a time, the first that accepts wins (RFC 5352
//! sec 3.6).

use sctp_user_core::Time;
use std::collections::{BTreeMap, VecDeque};

use super::registrars::Ways;
use crate::channel::ChannelId;

#[derive(Debug)]
pub(super) struct Hunt {
    waiting: VecDeque<Ways>,
    attempts: BTreeMap<ChannelId, (Ways, Time)>,
    /// How long to wait for announces when there is nobody to try.
    ends: Option<Time>,
}

impl Hunt {
    /// Tries these candidates in turn; without any, it lasts until `ends`.
    pub(super) fn new(candidates: Vec<Ways>, ends: Time) -> Self {
        let ends = candidates.is_empty().then_some(ends);
        Hunt { waiting: candidates.into(), attempts: BTreeMap::new(), ends }
    }

    /// One more candidate.
    pub(super) fn add(&mut self, ways: Ways) {
        if !self.waiting.contains(&ways) {
            self.waiting.push_back(ways);
        }
        self.ends = None;
    }

    /// The next candidate to try, while there are fewer than `parallel` attempts.
    pub(super) fn next(&mut self, parallel: usize) -> Option<Ways> {
        if self.attempts.len() < parallel { self.waiting.pop_front() } else { None }
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

    /// Nobody is left to be tried or waited for.
    pub(super) fn is_over(&self, now: Time) -> bool {
        self.attempts.is_empty() && self.waiting.is_empty() && self.ends.is_none_or(|at| at <= now)
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        self.attempts.values().map(|(_, at)| *at).chain(self.ends).min()
    }
}
