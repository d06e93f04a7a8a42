//! Shutting associations down that nobody uses any more.

use std::collections::BTreeSet;

use sctp_user_core::{Duration, Time};

use super::{Output, RegistrarCore, SLICE};
use crate::channel::ChannelId;

/// When associations are to be looked at next, the earliest first.
///
/// A message does not move the entry of its association, which would cost too much. An entry that
/// is due is looked at, and put off if the association has been used since.
#[derive(Debug, Default)]
pub(super) struct IdleTimers {
    due: BTreeSet<(Time, ChannelId)>,
}

/// The use of one association.
#[derive(Debug)]
pub(super) struct Use {
    /// When the last message that a registrar has a use for was received.
    pub(super) last: Time,
    /// Its entry in [`IdleTimers`].
    entry: Option<Time>,
}

impl IdleTimers {
    pub(super) fn start(&mut self, now: Time, channel: ChannelId, idle: Option<Duration>) -> Use {
        let entry = idle.map(|idle| now + idle);
        self.due.extend(entry.map(|at| (at, channel)));
        Use { last: now, entry }
    }

    pub(super) fn stop(&mut self, channel: ChannelId, used: &Use) {
        if let Some(at) = used.entry {
            self.due.remove(&(at, channel));
        }
    }

    pub(super) fn next(&self) -> Option<Time> {
        self.due.first().map(|(at, _)| *at)
    }

    /// The association that was not used for longest, as far as is known.
    pub(super) fn oldest(&self) -> Option<ChannelId> {
        self.due.first().map(|(_, channel)| *channel)
    }

    fn pop_due(&mut self, now: Time) -> Option<ChannelId> {
        let at = self.next().filter(|at| *at <= now);
        at.and_then(|_| self.due.pop_first()).map(|(_, channel)| channel)
    }
}

impl RegistrarCore {
    /// When an association was used last, if that was after its entry was made.
    pub(super) fn used_since(&self, channel: ChannelId) -> Option<Time> {
        let used = &self.associations.get(&channel)?.used;
        let at = used.last + self.config.autoclose?;
        used.entry.filter(|entry| *entry < at).map(|_| used.last)
    }

    /// Looks at an association as late as if it had been used last at this time.
    pub(super) fn put_off(&mut self, used: Time, channel: ChannelId) {
        let Some(idle) = self.config.autoclose else { return };
        let Some(association) = self.associations.get_mut(&channel) else { return };
        self.idle.stop(channel, &association.used);
        association.used.entry = Some(used + idle);
        self.idle.due.insert((used + idle, channel));
    }

    /// Begins to shut down what was not used for long enough. That comes to an end by itself, so
    /// there is no second time.
    pub(super) fn shut_idle_down(&mut self, now: Time) {
        let Some(idle) = self.config.autoclose else { return };
        // The rest waits until other inputs have had their turn.
        for _ in 0..SLICE {
            let Some(channel) = self.idle.pop_due(now) else { return };
            let Some(association) = self.associations.get_mut(&channel) else { continue };
            let at = association.used.last + idle;
            if at > now {
                association.used.entry = Some(at);
                self.idle.due.insert((at, channel));
            } else {
                association.used.entry = None;
                self.outputs.push_back(Output::Shutdown { channel });
            }
        }
    }
}
