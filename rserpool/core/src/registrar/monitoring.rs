//! Finding out which elements still live: keep-alives, unreachable reports, removal (RFC 5352 sec
//! 3.4, 3.5).

use rserpool_handlespace::{ElementKey, Timer};
use rserpool_wire::{AsapMessage, EndpointKeepAlive, EndpointKeepAliveAck, EndpointUnreachable};
use sctp_user_core::Time;

use super::RegistrarCore;
use super::event::{RegistrarEvent, RemovalReason};
use crate::channel::ChannelId;

impl RegistrarCore {
    /// Probes an element over the association that it registered over, and waits for the answer.
    pub(super) fn send_keep_alive(&mut self, now: Time, key: ElementKey) {
        let Some(element) = self.space.get(key) else { return };
        let Some(owner) = element.owner() else { return };
        let keep_alive = EndpointKeepAlive {
            home: false,
            server: self.id,
            pool: element.handle().clone(),
            id: self.config.keep_alive_names_element.then_some(element.info().id),
        };
        self.space.set_timer(key, Timer::KeepAliveTransmission, None);
        self.space.set_timer(
            key,
            Timer::KeepAliveTimeout,
            Some(now + self.config.keep_alive_timeout),
        );
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
        let Some(key) = self.space.find(&ack.pool, ack.id) else { return };
        if self.space.get(key).and_then(|element| element.owner()) != Some(channel.as_u64()) {
            return;
        }
        self.space.set_timer(key, Timer::KeepAliveTimeout, None);
        self.space.set_timer(
            key,
            Timer::KeepAliveTransmission,
            Some(now + self.config.keep_alive_interval),
        );
    }

    /// The element and everything else behind the same association are as good as dead.
    pub(super) fn on_keep_alive_timeout(&mut self, key: ElementKey) {
        let owner = self.space.get(key).and_then(|element| element.owner());
        self.remove(key, RemovalReason::KeepAliveTimeout);
        if let Some(owner) = owner {
            self.abort_because(
                ChannelId::from_u64(owner),
                "no answer to ASAP_ENDPOINT_KEEP_ALIVE",
                RemovalReason::AssociationLost,
            );
        }
    }

    pub(super) fn on_endpoint_unreachable(
        &mut self,
        now: Time,
        channel: ChannelId,
        report: EndpointUnreachable,
    ) {
        let EndpointUnreachable { pool, id } = report;
        self.stats.failure_reports += 1;
        let Some(from) = self.associations.get_mut(&channel) else { return };
        if !from.reports.admit(now, &pool, self.config.max_report_rate) {
            self.stats.limited_reports += 1;
            return;
        }
        let Some(key) = self.space.find(&pool, id) else { return };
        let reports = self.space.count_bad_report(key);
        self.report(RegistrarEvent::ReportedUnreachable { pool, id, reports });
        if reports >= self.config.max_bad_pe_reports {
            self.remove(key, RemovalReason::BadReports);
        } else if self.space.get(key).is_some_and(|e| e.deadline(Timer::KeepAliveTimeout).is_none())
        {
            self.send_keep_alive(now, key);
        }
    }

    /// Takes an element out of the handlespace, with everything that belongs to it.
    pub(super) fn remove(&mut self, key: ElementKey, reason: RemovalReason) {
        let Some(element) = self.space.remove(key) else { return };
        if reason != RemovalReason::Deregistered {
            self.stats.removals += 1;
        }
        self.report(RegistrarEvent::Removed {
            pool: element.handle().clone(),
            id: element.info().id,
            reason,
        });
    }

    pub(super) fn remove_elements_of(&mut self, channel: ChannelId, reason: RemovalReason) {
        while let Some(key) = self.space.first_of_owner(channel.as_u64()) {
            self.remove(key, reason);
        }
    }
}
