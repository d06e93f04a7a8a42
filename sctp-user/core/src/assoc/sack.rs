//! What acknowledgements change: window, congestion control, T3, fast retransmit (RFC 9260 sec
//! 6.2.1, 6.3.2, 7.2).

use std::sync::Arc;

use super::cc::AckInfo;
use super::send::{PathAck, SackVerdict};
use super::timer::Timer;
use super::{Association, Cx};
use crate::event::Event;
use crate::serial::Tsn;
use crate::wire::{COMMON_HEADER, SackChunk};

impl Association {
    /// Handles a SACK or, when `sack` is absent, the cumulative TSN of a SHUTDOWN.
    pub(super) fn on_sack(&mut self, cx: &mut Cx<'_>, cum_tsn: Tsn, sack: Option<&SackChunk<'_>>) {
        let was_in_recovery = self.send.outstanding.in_fast_recovery();
        let used_before = self.send.outstanding.window_used();
        match self.send.outstanding.on_sack(cum_tsn, sack, cx.now, &mut self.paths) {
            SackVerdict::Old => return,
            SackVerdict::Unsent => {
                return self.violation(cx, "acknowledgement of a TSN that was never sent");
            }
            SackVerdict::Processed => {}
        }
        if let Some(sack) = sack {
            let used = self.send.outstanding.window_used();
            self.send.announced_rwnd = sack.a_rwnd as usize;
            self.send.peer_rwnd = (sack.a_rwnd as usize).saturating_sub(used);
            if self.send.peer_rwnd > 0 {
                self.send.window_probes = 0;
                self.send.probe_window = false;
                self.timers.stop(Timer::WindowProbe);
            }
        } else {
            // A SHUTDOWN has no a_rwnd. Assume that the peer has room again for what it
            // acknowledges.
            let freed = used_before.saturating_sub(self.send.outstanding.window_used());
            self.send.peer_rwnd = self.send.peer_rwnd.saturating_add(freed);
        }
        self.react_per_path(cx, was_in_recovery, sack.is_some());
        self.react_to_loss();
        self.signal_writable(cx);
    }

    fn react_per_path(&mut self, cx: &mut Cx<'_>, in_fast_recovery: bool, is_sack: bool) {
        let config = Arc::clone(&self.config);
        let mut any_acked = false;
        for (path, acks) in self.paths.iter_mut().zip(self.send.outstanding.path_acks()) {
            if is_sack {
                path.sack_since_t3 = true;
            }
            path.cc.on_ack(AckInfo {
                newly_acked: acks.newly_acked,
                fully_used: path.cwnd_used || acks.flight_before >= path.cc.cwnd(),
                all_acked: path.flight == 0 && path.lost == 0,
                in_fast_recovery,
            });
            path.grant_burst(&config, acks.newly_acked);
            if let Some(rtt) = acks.rtt {
                path.rto.on_sample(rtt, &config);
            }
            if acks.newly_acked > 0 {
                any_acked = true;
                // A peer that accepts data does not keep its window closed for ever.
                self.timers.stop(Timer::T5Guard);
                path.one_packet = false;
            }
            path.retransmit_now &= path.lost > 0;
            if acks.newly_acked > 0 && acks.proves_path {
                let drained = path.flight == 0 && path.lost == 0;
                path.pmtud.on_data_acked(acks.largest as usize + COMMON_HEADER, drained);
                if drained {
                    path.largest_sent = 0;
                }
            }
            if path.flight == 0 {
                path.t3 = None;
            } else if acks.lowest_acked || path.t3.is_none() {
                // Rules R3 and R4.
                path.t3 = Some(cx.now + path.rto.get());
            }
        }
        if any_acked {
            if self.error_count > 0 {
                self.clear_association_errors();
            }
            self.guard_orphan(cx.now);
        }
        for id in self.paths.ids() {
            let proven = |a: &PathAck| a.newly_acked > 0 && a.proves_path;
            if self.send.outstanding.path_acks().get(id.index()).is_some_and(proven) {
                self.path_works(cx, id);
            }
        }
    }

    fn react_to_loss(&mut self) {
        let marked: u32 = self.send.outstanding.path_acks().iter().map(|a| a.marked).sum();
        self.stats.fast_retransmits += u64::from(marked);
        // During fast recovery cwnd is not reduced again, and newly marked chunks wait for cwnd.
        if marked == 0 || self.send.outstanding.in_fast_recovery() {
            return;
        }
        for (path, acks) in self.paths.iter_mut().zip(self.send.outstanding.path_acks()) {
            if acks.marked > 0 {
                path.cc.on_fast_retransmit();
                path.retransmit_now = true;
            }
        }
        self.send.outstanding.enter_fast_recovery();
    }

    /// Tells the user when the send buffer has room again, and when everything sent is
    /// acknowledged.
    pub(super) fn signal_writable(&mut self, cx: &mut Cx<'_>) {
        let room = self.send.buffered() <= self.config.send_buffer / 4 * 3;
        if self.send.writer_waits && (room || self.send.queue.awaited_stream().is_some()) {
            self.send.writer_waits = false;
            cx.event(Event::Writable);
        }
        if self.send.owes_sender_dry && self.send.is_drained() {
            self.send.owes_sender_dry = false;
            cx.event(Event::SenderDry);
        }
    }
}
