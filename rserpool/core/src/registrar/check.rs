//! Asking an element of another registrar whether it lives, because somebody reports that it cannot
//! be reached (RFC 5352 sec 3.5).
//!
//! ENRP has no message that hands a report on to the home registrar. So this registrar asks the
//! element itself, over an association that it opens for that and closes afterwards. Until the
//! element answers, this registrar names it last. Only its home removes an element, so a report
//! can do no more.

use std::collections::{BTreeMap, VecDeque};

use rserpool_handlespace::ElementKey;
use rserpool_wire::{AsapMessage, EndpointKeepAlive};
use sctp_user_core::{Duration, Time};

use super::RegistrarCore;
use crate::channel::{ChannelId, Protocol};

/// The elements of other registrars that are being asked.
#[derive(Debug, Default)]
pub(super) struct Checks {
    open: BTreeMap<ChannelId, Check>,
    /// The elements that were asked lately, and until when they are left alone.
    asked: BTreeMap<ElementKey, Time>,
    /// The same, the earliest first.
    until: VecDeque<(Time, ElementKey)>,
}

#[derive(Debug)]
struct Check {
    key: ElementKey,
    /// The element must have answered by then.
    until: Time,
}

/// Elements that are asked at the same time. Whoever is reported beyond is named last, and is asked
/// when it is reported again.
const MAX_OPEN: usize = 64;
/// Elements that are remembered as asked lately.
const MAX_ASKED: usize = 4096;
/// An element is asked once in this time, however often it is reported.
const PAUSE: Duration = Duration::from_secs(1);

impl Checks {
    pub(super) fn deadline(&self) -> Option<Time> {
        self.open.values().map(|check| check.until).min()
    }

    #[cfg(test)]
    pub(super) fn open_count(&self) -> usize {
        self.open.len()
    }

    /// An association has ended.
    pub(super) fn forget(&mut self, channel: ChannelId) {
        self.open.remove(&channel);
    }

    /// Whether an element may be asked now; if so, it may not be asked again for a while.
    fn may_ask(&mut self, now: Time, key: ElementKey) -> bool {
        if self.open.len() >= MAX_OPEN {
            return false;
        }
        while let Some(&(_, over)) = self.until.front().filter(|(until, _)| *until <= now) {
            self.until.pop_front();
            self.asked.remove(&over);
        }
        if self.asked.contains_key(&key) || self.asked.len() >= MAX_ASKED {
            return false;
        }
        self.asked.insert(key, now + PAUSE);
        self.until.push_back((now + PAUSE, key));
        true
    }

    fn was_asked(&self, now: Time, key: ElementKey) -> bool {
        self.asked.get(&key).is_some_and(|until| *until > now)
    }
}

impl RegistrarCore {
    /// Somebody cannot reach an element whose home is another registrar.
    pub(super) fn check_copy(&mut self, now: Time, key: ElementKey) {
        let Some(element) = self.space.get(key) else { return };
        // It has answered a moment ago.
        if !element.is_suspect() && self.checks.was_asked(now, key) {
            return;
        }
        let info = element.info();
        let ways = info.asap_transport.as_ref().map(|transport| {
            self.local.reach.peers(&transport.addrs, transport.port, info.udp_port)
        });
        self.space.set_suspect(key, true);
        let Some(ways) = ways.filter(|ways| !ways.is_empty()) else { return };
        if self.checks.may_ask(now, key) {
            let channel = self.connect(Protocol::Asap, ways);
            let until = now + self.config.keep_alive_timeout;
            self.checks.open.insert(channel, Check { key, until });
        }
    }

    /// An association that this registrar opened is up; false when no check waits for it.
    pub(super) fn on_check_up(&mut self, channel: ChannelId) -> bool {
        let Some(check) = self.checks.open.get(&channel) else { return false };
        let Some(element) = self.space.get(check.key) else {
            self.end_check(channel);
            return true;
        };
        let keep_alive = EndpointKeepAlive {
            home: false,
            server: self.id,
            pool: element.handle().clone(),
            id: self.config.keep_alive_names_element.then_some(element.info().id),
        };
        self.stats.endpoint_keep_alives += 1;
        self.send(channel, &AsapMessage::EndpointKeepAlive(keep_alive));
        true
    }

    /// An element has answered over an association that does not own it.
    pub(super) fn on_check_answered(&mut self, channel: ChannelId, key: ElementKey) {
        if self.checks.open.get(&channel).is_some_and(|check| check.key == key) {
            self.space.clear_bad_reports(key);
            self.space.set_suspect(key, false);
            self.end_check(channel);
        }
    }

    fn end_check(&mut self, channel: ChannelId) {
        self.checks.forget(channel);
        self.shut_down(channel);
    }

    /// Elements that have not answered in time stay suspects.
    pub(super) fn look_after_checks(&mut self, now: Time) {
        let late = self.checks.open.extract_if(.., |_, check| check.until <= now);
        for channel in late.map(|(channel, _)| channel).collect::<Vec<_>>() {
            self.drop_channel(channel, "no answer to ASAP_ENDPOINT_KEEP_ALIVE");
        }
    }
}
