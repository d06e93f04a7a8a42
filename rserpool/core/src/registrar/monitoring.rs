//! Finding out which elements still live: keep-alives, unreachable reports, removal (RFC 5352 sec
//! 3.4, 3.5).

use rand::RngExt;
use rserpool_handlespace::{ElementKey, Timer};
use rserpool_wire::{
    AsapMessage, EndpointKeepAlive, EndpointKeepAliveAck, EndpointUnreachable, UpdateAction,
};
use sctp_user_core::{Duration, Time};

use super::budget::Request;
use super::event::{RegistrarEvent, RemovalReason};
use super::{Output, RegistrarCore, SLICE};
use crate::channel::ChannelId;
use crate::plant::{Fault, is_planted};

/// How long the host of an element must say that nobody is there, after a report. One that was only
/// too busy for a moment answers the second time.
const AFTER_REPORT: Duration = Duration::from_millis(20);

impl RegistrarCore {
    /// The element has shown that it lives: the next keep-alive comes after the interval, with the
    /// jitter of the RFC, so that elements registered together are not probed together.
    pub(super) fn schedule_keep_alive(&mut self, now: Time, key: ElementKey) {
        let jitter = self.config.keep_alive_jitter;
        let factor = self.rng.random_range(1.0 - jitter..=1.0 + jitter);
        let next = now + self.config.keep_alive_interval.mul_f64(factor);
        self.space.set_timer(key, Timer::KeepAliveTimeout, None);
        self.space.set_timer(key, Timer::KeepAliveTransmission, Some(next));
    }

    /// The end of the elements that are registered over an association must show soon. Between two
    /// keep-alives there may be one and a half times their interval, so heartbeats of SCTP fill the
    /// longer gaps.
    pub(super) fn watch(&mut self, channel: ChannelId) {
        let interval = self.config.keep_alive_interval / 2;
        if let Some(association) = self.associations.get_mut(&channel)
            && !std::mem::replace(&mut association.is_watched, true)
        {
            self.outputs.push_back(Output::Watch { channel, interval });
        }
    }

    /// Asks an element of ours whether it lives, over whatever leads to it.
    pub(super) fn probe(&mut self, now: Time, key: ElementKey) {
        match self.space.get(key).map(|element| element.owner()) {
            Some(Some(_)) => self.send_keep_alive(now, key, false),
            Some(None) => self.contact(now, key),
            None => {}
        }
    }

    /// Asks an element over the association that owns it, and waits for the answer. With `home`, it
    /// is told that this registrar is its home.
    pub(super) fn send_keep_alive(&mut self, now: Time, key: ElementKey, home: bool) {
        let Some(element) = self.space.get(key) else { return };
        let Some(owner) = element.owner() else { return };
        let keep_alive = EndpointKeepAlive {
            home,
            server: self.id,
            pool: element.handle().clone(),
            id: self.config.keep_alive_names_element.then_some(element.info().id),
        };
        let overdue = now + self.config.keep_alive_timeout;
        self.space.set_timer(key, Timer::KeepAliveTransmission, None);
        self.space.set_timer(key, Timer::KeepAliveTimeout, Some(overdue));
        self.stats.endpoint_keep_alives += 1;
        self.send(ChannelId::from_u64(owner), &AsapMessage::EndpointKeepAlive(keep_alive));
    }

    /// Only the owner can speak for an element.
    pub(super) fn on_keep_alive_ack(
        &mut self,
        now: Time,
        channel: ChannelId,
        ack: EndpointKeepAliveAck,
    ) {
        self.stats.endpoint_keep_alive_acks += 1;
        if is_planted(Fault::KeepAliveAckIgnored) {
            return;
        }
        let Some(key) = self.space.find(&ack.pool, ack.id) else { return };
        let Some(element) = self.space.get(key) else { return };
        if element.owner() != Some(channel.as_u64()) {
            return self.on_check_answered(channel, key);
        }
        let was_asked = element.deadline(Timer::KeepAliveTimeout).is_some();
        self.space.clear_bad_reports(key);
        self.space.set_suspect(key, false);
        self.schedule_keep_alive(now, key);
        self.on_challenge_answered(now, key);
        if was_asked && !channel.is_incoming() {
            self.on_adopted(now, key);
        }
    }

    /// The element and everything else behind the same association are as good as dead.
    pub(super) fn on_keep_alive_timeout(&mut self, now: Time, key: ElementKey, due: Time) {
        if is_planted(Fault::DeadElementKept) {
            return;
        }
        // The answer may wait to be read: this process stood still itself. So it is asked again.
        if due + super::enrp::LATE < now {
            return self.probe(now, key);
        }
        let owner = self.space.get(key).and_then(|element| element.owner());
        self.lose_element(now, key, RemovalReason::KeepAliveTimeout);
        if let Some(owner) = owner {
            self.abort_because(
                now,
                ChannelId::from_u64(owner),
                "no answer to ASAP_ENDPOINT_KEEP_ALIVE",
                RemovalReason::AssociationLost,
            );
        }
    }

    /// A report removes nothing by itself: the element is asked at once, also when its home is
    /// another registrar. Until it answers it is chosen last.
    pub(super) fn on_endpoint_unreachable(
        &mut self,
        now: Time,
        channel: ChannelId,
        report: EndpointUnreachable,
    ) {
        let EndpointUnreachable { pool, id } = report;
        self.stats.failure_reports += 1;
        let Some(from) = self.associations.get_mut(&channel) else { return };
        if !from.reports.admit(now, &pool, self.config.max_report_rate)
            || !self.admit_request(now, channel, Request::Report)
        {
            self.stats.limited_reports += 1;
            return;
        }
        let Some(key) = self.space.find(&pool, id) else { return };
        let reports = self.space.count_bad_report(key);
        self.report(RegistrarEvent::ReportedUnreachable { pool, id, reports });
        let Some(element) = self.space.get(key) else { return };
        let ours = element.info().home == self.id;
        let owner = element.owner().map(ChannelId::from_u64);
        let is_asked = element.deadline(Timer::KeepAliveTimeout).is_some();
        if self.config.loose_ownership && reports >= self.config.max_bad_pe_reports {
            return self.remove(now, key, RemovalReason::BadReports);
        }
        if !ours {
            return self.check_copy(now, key);
        }
        self.space.set_suspect(key, true);
        if !is_asked {
            self.probe(now, key);
        }
        // After the keep-alive, whose refusal then counts.
        if let Some(channel) = owner {
            self.outputs.push_back(Output::Suspect { channel, patience: AFTER_REPORT });
        }
    }

    /// Takes an element out of the handlespace, with everything that belongs to it. The other
    /// registrars hear of it when it was ours.
    pub(super) fn remove(&mut self, now: Time, key: ElementKey, reason: RemovalReason) {
        self.forget_challenge(key);
        self.forget_contact(key);
        let Some(element) = self.space.remove(key) else { return };
        if reason != RemovalReason::Deregistered {
            self.stats.removals += 1;
        }
        let (pool, info) = (element.handle(), element.info());
        if info.home == self.id && !is_planted(Fault::RemovalNotTold) {
            self.tell_update(now, UpdateAction::DelPe, pool, info);
        }
        self.tell_subscribers(pool);
        self.report(RegistrarEvent::Removed { pool: pool.clone(), id: info.id, reason });
    }

    /// Takes out what was registered over an association that has ended: some at once, and the rest
    /// in slices, as it may be thousands.
    pub(super) fn remove_elements_of(
        &mut self,
        now: Time,
        channel: ChannelId,
        reason: RemovalReason,
    ) {
        self.ended.push_back((channel, reason));
        self.remove_some(now);
    }

    /// Goes on with that, for one slice.
    pub(super) fn remove_some(&mut self, now: Time) {
        for _ in 0..SLICE {
            let Some(&(channel, reason)) = self.ended.front() else { return };
            match self.space.first_of_owner(channel.as_u64()) {
                Some(key) => self.lose_element(now, key, reason),
                None => drop(self.ended.pop_front()),
            }
        }
    }
}
