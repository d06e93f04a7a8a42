//! What the association does when a timer expires.

use std::sync::Arc;

use super::path::PathId;
use super::timer::{Timer, TimerTable};
use super::{Association, Cx};
use crate::event::LossReason;
use crate::stats::AssocState;

impl Association {
    /// Handles all timers that are due.
    pub(crate) fn handle_timeout(&mut self, cx: &mut Cx<'_>) {
        for timer in TimerTable::ALL {
            if self.timers.take_due(timer, cx.now) {
                self.on_timer(cx, timer);
                if self.is_closed() {
                    return;
                }
            }
        }
        for id in self.paths.ids() {
            if self.paths.get(id).t3.is_some_and(|at| at <= cx.now) {
                self.on_t3(cx, id);
            }
            if self.is_closed() {
                return;
            }
            if self.paths.get(id).heartbeat.deadline().is_some_and(|at| at <= cx.now) {
                self.on_heartbeat_timer(cx, id);
            }
            self.on_probe_timer(cx, id);
            if self.is_closed() {
                return;
            }
        }
    }

    fn on_timer(&mut self, cx: &mut Cx<'_>, timer: Timer) {
        match timer {
            Timer::T1Init | Timer::T1Cookie => self.on_t1(cx, timer),
            Timer::T2Shutdown => self.on_t2(cx),
            Timer::T5Guard => {
                self.abort_with(cx, LossReason::ShutdownGuard, |c| {
                    c.user_abort(b"shutdown took too long");
                });
            }
            Timer::Sack => self.recv.force_sack(),
            Timer::WindowProbe => self.send.probe_window = true,
        }
    }

    /// T3-rtx of a path expired (RFC 9260 sec 6.3.3).
    fn on_t3(&mut self, cx: &mut Cx<'_>, id: PathId) {
        let config = Arc::clone(&self.config);
        if self.state == AssocState::CookieEchoed {
            // Sent DATA waits for the COOKIE ACK. T1-cookie repeats both COOKIE ECHO and DATA.
            let path = self.paths.get_mut(id);
            path.t3 = Some(cx.now + path.rto.get());
            return;
        }
        self.stats.t3_expiries += 1;
        let path = self.paths.get_mut(id);
        path.t3 = None;
        path.stats.t3_expiries += 1;
        path.rto.back_off(&config);
        // If the peer's window is closed but the peer still answers, the timeout is no sign of
        // failure (sec 6.1 A).
        let peer_is_alive = path.sack_since_t3 && self.send.window_is_closed();
        if peer_is_alive {
            self.guard_shutdown(cx.now);
        }
        let path = self.paths.get_mut(id);
        if !peer_is_alive {
            path.cc.on_timeout();
            path.one_packet = true;
            let largest = std::mem::take(&mut path.largest_sent);
            path.pmtud.on_timeout(largest);
            let error_counted = std::mem::take(&mut path.t3_error_counted);
            self.path_error(cx, id);
            if self.ends_if_refused(cx, id) || (!error_counted && self.association_error(cx)) {
                return;
            }
        }
        let target = self.paths.alternate(id);
        self.send_again(id, target);
    }

    /// The peer sends from a new UDP port after the old one was silent, as behind a NAT that has
    /// lost its bindings. Repeat what was sent to the old port now, instead of waiting for a timer
    /// that has backed off.
    pub(crate) fn on_new_udp_port(&mut self, id: PathId) {
        let path = self.paths.get_mut(id);
        if path.t3.is_some() && path.error_count > 0 {
            path.t3 = None;
            path.rto.end_backoff(&self.config);
            self.send_again(id, id);
        }
    }

    /// Sends everything that is outstanding on one path again, on another path or on the same.
    pub(super) fn send_again(&mut self, from: PathId, to: PathId) {
        let before = self.send.outstanding.window_used();
        self.send.outstanding.on_t3(from, to, &mut self.paths);
        self.send.peer_rwnd += before - self.send.outstanding.window_used();
        let path = self.paths.get_mut(to);
        path.retransmit_now = true;
        path.grant_burst(&self.config, 0);
    }
}
