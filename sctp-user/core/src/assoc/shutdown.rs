//! Graceful shutdown (RFC 9260 sec 9.2).

use super::path::PathId;
use super::timer::Timer;
use super::{Association, Completed, Cx, User};
use crate::addr::Datagram;
use crate::event::{Event, LossReason};
use crate::serial::Tsn;
use crate::stats::AssocState;
use crate::time::Time;

impl Association {
    /// The user wants to end the association. What is queued is still sent.
    pub(crate) fn shutdown(&mut self, cx: &mut Cx<'_>) {
        if self.send.queue.has_open() {
            // The rest of the message will never come, and its beginning may have been sent.
            return self.abort(cx, b"a message was left incomplete");
        }
        match self.state {
            AssocState::CookieWait if self.send.is_drained() => {
                // Nobody knows of us yet, and there is nothing to deliver.
                self.end(cx, Event::Lost(LossReason::LocalAbort));
            }
            AssocState::CookieWait | AssocState::CookieEchoed => {
                // The queued data is still to be delivered, and for the peer the association may be
                // established already. So the shutdown begins as soon as it is established here,
                // too.
                if let Some(handshake) = self.handshake.as_deref_mut() {
                    handshake.then_shut_down = true;
                }
            }
            AssocState::Established => {
                self.state = AssocState::ShutdownPending;
                self.advance_shutdown(cx);
            }
            _ => {}
        }
        self.guard_orphan(cx.now);
    }

    /// The user is done with the association. From now on the rest of its shutdown is limited in
    /// time.
    pub(crate) fn orphan(&mut self, now: Time) {
        self.user = User::Gone;
        self.guard_orphan(now);
    }

    /// Nobody waits for the end of this association, but it holds a port. So its shutdown must
    /// always make progress within the configured time. T5 measures this time, too; if it already
    /// has an earlier deadline, that stays.
    pub(super) fn guard_orphan(&mut self, now: Time) {
        let ends = match self.state {
            AssocState::Closed | AssocState::Established => false,
            AssocState::CookieWait | AssocState::CookieEchoed => {
                self.is_shutting_down_after_setup()
            }
            _ => true,
        };
        if let Some(limit) = self.config.close_timeout.filter(|_| self.user == User::Gone && ends) {
            let at = now + limit;
            if self.timers.get(Timer::T5Guard).is_none_or(|earlier| at < earlier) {
                self.timers.set(Timer::T5Guard, at);
            }
        }
    }

    /// Takes the next step of a shutdown once everything is acknowledged.
    pub(super) fn advance_shutdown(&mut self, cx: &mut Cx<'_>) {
        // If the peer began the shutdown, the user may still finish a message that it had begun.
        if !self.send.is_drained() || self.send.queue.has_open() {
            return;
        }
        match self.state {
            AssocState::ShutdownPending => {
                self.state = AssocState::ShutdownSent;
                self.pending.shutdown = true;
                self.timers.set(Timer::T5Guard, cx.now + self.shutdown_guard());
            }
            AssocState::ShutdownReceived => {
                self.state = AssocState::ShutdownAckSent;
                self.pending.shutdown_ack = true;
            }
            _ => return,
        }
        self.guard_orphan(cx.now);
        self.t2_path = self.paths.data_path();
        self.start_t2(cx.now);
        self.stop_heartbeats();
    }

    fn shutdown_guard(&self) -> crate::time::Duration {
        self.config.shutdown_guard.unwrap_or(self.config.rto_max * 5)
    }

    /// The peer is alive but keeps its window closed. Without a limit, the data that must be
    /// delivered before the shutdown would wait for ever.
    pub(super) fn guard_shutdown(&mut self, now: Time) {
        let waits =
            matches!(self.state, AssocState::ShutdownPending | AssocState::ShutdownReceived);
        if waits && self.timers.get(Timer::T5Guard).is_none() {
            self.timers.set(Timer::T5Guard, now + self.shutdown_guard());
        }
    }

    /// The path that SHUTDOWN and SHUTDOWN ACK are sent on.
    pub(super) fn shutdown_path(&self) -> PathId {
        self.t2_path
    }

    /// (Re)starts T2-shutdown.
    pub(super) fn start_t2(&mut self, now: Time) {
        let rto = self.paths.get(self.t2_path).rto.get();
        self.timers.set(Timer::T2Shutdown, now + rto);
    }

    /// Checks that the peer's shutdown cuts nothing off. The peer may shut down only when we have
    /// acknowledged all its DATA (RFC 9260 sec 9.2). If something is still missing, the association
    /// is aborted, because the reader must not believe that it has everything. True in this case.
    fn aborts_if_incomplete(&mut self, cx: &mut Cx<'_>) -> bool {
        let cut = self.recv.is_incomplete();
        if cut {
            self.violation(cx, "shutdown before all data was delivered");
        }
        cut
    }

    /// SHUTDOWN.
    pub(super) fn on_shutdown(&mut self, cx: &mut Cx<'_>, cum_tsn: Tsn) {
        match self.state {
            AssocState::Established
            | AssocState::ShutdownPending
            | AssocState::ShutdownReceived => {
                self.on_sack(cx, cum_tsn, None);
                if self.is_closed() {
                    return;
                }
                if self.state != AssocState::ShutdownReceived && !self.aborts_if_incomplete(cx) {
                    self.state = AssocState::ShutdownReceived;
                    cx.event(Event::PeerShutdown);
                }
            }
            AssocState::ShutdownSent => {
                if self.aborts_if_incomplete(cx) {
                    return;
                }
                // Both sides began the shutdown at the same time.
                self.state = AssocState::ShutdownAckSent;
                self.pending.shutdown = false;
                self.pending.shutdown_ack = true;
                self.start_t2(cx.now);
            }
            AssocState::ShutdownAckSent => self.pending.shutdown_ack = true,
            AssocState::Closed | AssocState::CookieWait | AssocState::CookieEchoed => {}
        }
        self.guard_orphan(cx.now);
    }

    /// An INIT arrived while our SHUTDOWN ACK is unanswered, so the SHUTDOWN ACK is sent again (RFC
    /// 9260 sec 9.2).
    pub(crate) fn resend_shutdown_ack(&mut self) {
        self.pending.shutdown_ack = true;
    }

    /// The peer restarted while our SHUTDOWN ACK is under way. It must answer that first (RFC 9260
    /// sec 5.2.4 A).
    pub(crate) fn refuse_restart(&mut self) {
        self.pending.shutdown_ack = true;
        let to = self.paths.data_path();
        self.report(to, |c| c.cookie_while_shutting_down());
    }

    /// SHUTDOWN ACK.
    pub(super) fn on_shutdown_ack(&mut self, cx: &mut Cx<'_>, datagram: &Datagram) {
        if self.state == AssocState::ShutdownSent && self.aborts_if_incomplete(cx) {
            return;
        }
        if matches!(self.state, AssocState::ShutdownSent | AssocState::ShutdownAckSent) {
            let ports = (self.local_port, self.peer_port);
            cx.replies
                .push_last(datagram.from, ports, self.peer_tag, |w| w.shutdown_complete(false));
            self.graceful_end = Some(Completed::ByUs);
            self.end(cx, Event::ShutdownComplete);
        }
    }

    /// T2-shutdown expired.
    pub(super) fn on_t2(&mut self, cx: &mut Cx<'_>) {
        self.t2_expiries += 1;
        if self.t2_expiries > self.config.assoc_max_retrans {
            return self.abort_with(cx, LossReason::Unreachable, |c| {
                c.user_abort(b"no answer to the shutdown");
            });
        }
        let path = self.t2_path;
        self.path_error(cx, path);
        let config = std::sync::Arc::clone(&self.config);
        self.paths.get_mut(path).rto.back_off(&config);
        self.repeat_shutdown(cx.now);
    }

    /// Sends SHUTDOWN or SHUTDOWN ACK again, like data on another path if there is one.
    pub(super) fn repeat_shutdown(&mut self, now: Time) {
        self.t2_path = self.paths.alternate(self.t2_path);
        match self.state {
            AssocState::ShutdownSent => self.pending.shutdown = true,
            AssocState::ShutdownAckSent => self.pending.shutdown_ack = true,
            _ => return,
        }
        self.start_t2(now);
    }
}
