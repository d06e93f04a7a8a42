//! Sending heartbeats: probing idle paths, confirming addresses, detecting path failures (RFC 9260
//! sec 5.4, 8.1-8.3).

use std::sync::Arc;

use bytes::Bytes;
use rand::RngExt;

use super::heartbeat::{Heartbeat, Info, Try, parse_info};
use super::path::PathId;
use super::refusal::Refusal;
use super::{Association, Cx, MAX_HEARTBEAT_ACKS};
use crate::addr::{Datagram, Encap};
use crate::event::{Event, LossReason, PeerAddrState};
use crate::stats::{AssocState, PathState};
use crate::time::Duration;
use crate::wire::{CHUNK_HEADER, COMMON_HEADER, heartbeat_info};

/// Room that a packet with HEARTBEAT ACK leaves for COOKIE ACK, SHUTDOWN and SHUTDOWN ACK.
const SMALL_CONTROLS: usize = 16;

impl Association {
    /// The association is up. Confirmed paths will be probed when idle; unconfirmed ones are probed
    /// at once.
    pub(super) fn start_heartbeats(&mut self, cx: &mut Cx<'_>) {
        for id in self.paths.ids() {
            let path = self.paths.get_mut(id);
            match (path.state, path.heartbeat) {
                // The heartbeat that went with the COOKIE ECHO is under way.
                (PathState::Unconfirmed, Heartbeat::Waiting { .. }) => {}
                (PathState::Unconfirmed, _) => {
                    path.heartbeat = Heartbeat::Idle { next: cx.now, late: None };
                }
                _ => self.schedule_heartbeat(cx, id),
            }
            self.update_discovery(cx, id);
        }
    }

    /// The user changed when heartbeats are to be sent.
    pub(super) fn reschedule_heartbeats(&mut self, cx: &mut Cx<'_>) {
        for id in self.paths.ids() {
            self.reschedule_heartbeat(cx, id);
        }
    }

    /// Like [`reschedule_heartbeats`](Self::reschedule_heartbeats), for one path.
    pub(super) fn reschedule_heartbeat(&mut self, cx: &mut Cx<'_>, id: PathId) {
        let path = self.paths.get(id);
        if self.may_probe()
            && path.is_confirmed()
            && matches!(path.heartbeat, Heartbeat::Off | Heartbeat::Idle { .. })
        {
            self.schedule_heartbeat(cx, id);
        }
    }

    /// Stops heartbeats and MTU probes, because from this point of the shutdown on T2 watches the
    /// peer.
    pub(super) fn stop_heartbeats(&mut self) {
        for path in self.paths.iter_mut() {
            path.heartbeat = Heartbeat::Off;
            path.pmtud.stop();
        }
    }

    /// Probes an address now (RFC 9260 sec 11.1.9). False if that is not possible.
    pub(crate) fn request_heartbeat(&mut self, addr: std::net::IpAddr) -> bool {
        let Some(id) = self.paths.find(addr) else { return false };
        if !self.may_probe() {
            return false;
        }
        let heartbeat = &mut self.paths.get_mut(id).heartbeat;
        // A heartbeat under way must time out first. Otherwise frequent requests would keep a dead
        // path alive.
        if !matches!(heartbeat, Heartbeat::Waiting { .. }) {
            heartbeat.make_due();
        }
        true
    }

    pub(super) fn may_probe(&self) -> bool {
        matches!(
            self.state,
            AssocState::Established | AssocState::ShutdownPending | AssocState::ShutdownReceived
        )
    }

    /// The RTO with a jitter of half of it, plus HB.interval.
    fn heartbeat_period(&self, cx: &mut Cx<'_>, id: PathId) -> Duration {
        let rto = self.paths.get(id).rto.get();
        self.heartbeat_interval(id).saturating_add(rto.mul_f64(cx.rng.random_range(0.5..1.5)))
    }

    fn heartbeat_interval(&self, id: PathId) -> Duration {
        let path = self.paths.get(id);
        match path.addr().encap {
            Encap::Native => path.params.hb_interval,
            Encap::Udp { .. } => path.params.hb_interval.min(self.config.hb_interval_udp),
        }
    }

    fn schedule_heartbeat(&mut self, cx: &mut Cx<'_>, id: PathId) {
        self.schedule_heartbeat_after(cx, id, None);
    }

    /// Like [`schedule_heartbeat`](Self::schedule_heartbeat) while the heartbeat `late` may still
    /// be answered.
    fn schedule_heartbeat_after(&mut self, cx: &mut Cx<'_>, id: PathId, late: Option<Try>) {
        let period = self.heartbeat_period(cx, id);
        let next = cx.now + period;
        let path = self.paths.get_mut(id);
        path.heartbeat =
            if path.params.hb_enabled { Heartbeat::Idle { next, late } } else { Heartbeat::Off };
    }

    /// The heartbeat deadline of a path has passed.
    pub(super) fn on_heartbeat_timer(&mut self, cx: &mut Cx<'_>, id: PathId) {
        if self.state == AssocState::CookieEchoed {
            // T1-cookie sends it again together with the COOKIE ECHO.
            self.paths.get_mut(id).heartbeat = Heartbeat::Off;
            return;
        }
        let path = self.paths.get(id);
        match path.heartbeat {
            Heartbeat::Idle { next, .. } if next <= cx.now => {
                let unproven = path.state == PathState::Unconfirmed
                    && path.error_count <= path.params.max_retrans;
                if unproven {
                    if cx.now < self.unconfirmed_probe_at {
                        let next = self.unconfirmed_probe_at;
                        self.paths.get_mut(id).heartbeat.put_off(next);
                        return;
                    }
                    self.unconfirmed_probe_at = cx.now + path.rto.get();
                } else if matches!(path.state, PathState::Active | PathState::Inactive)
                    && !self.is_doubtful(id)
                    && path.refusal == Refusal::None
                {
                    // The path has been used since. What was sent there serves as a probe.
                    let period = self.heartbeat_period(cx, id);
                    let last_used = self.paths.get(id).last_used;
                    if last_used + period > cx.now {
                        let next = last_used + period;
                        self.paths.get_mut(id).heartbeat.put_off(next);
                        return;
                    }
                }
                self.paths.get_mut(id).heartbeat.make_due();
            }
            Heartbeat::Waiting { deadline, .. } if deadline <= cx.now => {
                self.on_heartbeat_lost(cx, id)
            }
            _ => {}
        }
    }

    fn on_heartbeat_lost(&mut self, cx: &mut Cx<'_>, id: PathId) {
        let config = Arc::clone(&self.config);
        let path = self.paths.get_mut(id);
        path.rto.back_off(&config);
        let error_counted =
            matches!(path.heartbeat, Heartbeat::Waiting { error_counted: true, .. });
        let late = path.heartbeat.expected();
        let carries_data = id == self.paths.data_path();
        self.path_error(cx, id);
        let counts = carries_data && !error_counted && self.paths.get(id).is_confirmed();
        if self.ends_if_refused(cx, id) || (counts && self.association_error(cx)) {
            return;
        }
        let path = self.paths.get_mut(id);
        let unproven =
            path.state == PathState::Unconfirmed && path.error_count <= path.params.max_retrans;
        // The RTO has doubled. The next probe of a doubtful path waits for nothing else.
        if unproven || self.is_doubtful(id) {
            self.paths.get_mut(id).heartbeat = Heartbeat::Idle { next: cx.now, late };
        } else {
            self.schedule_heartbeat_after(cx, id, late);
            if let Some(at) = self.believes_refusal_at(id) {
                self.paths.get_mut(id).heartbeat.bring_forward(at);
            }
        }
    }

    /// True when the path has missed answers and must be probed every RTO until it answers or
    /// fails. That is so while it is potentially failed (RFC 7829), and where HB.interval is 0:
    /// then a heartbeat is due once per RTO (RFC 9260 sec 8.3), and the last one has already waited
    /// that long for its answer.
    fn is_doubtful(&self, id: PathId) -> bool {
        let path = self.paths.get(id);
        path.params.hb_enabled
            && match path.state {
                PathState::PotentiallyFailed => true,
                PathState::Active => path.error_count > 0 && self.heartbeat_interval(id).is_zero(),
                PathState::Unconfirmed | PathState::Inactive => false,
            }
    }

    /// Counts a timeout of a path, and takes the path out of use step by step (RFC 9260 sec 8.2,
    /// RFC 7829 sec 3).
    pub(super) fn path_error(&mut self, cx: &mut Cx<'_>, id: PathId) {
        let several = self.paths.iter().filter(|p| p.is_confirmed()).count() > 1;
        let path = self.paths.get_mut(id);
        path.error_count = path.error_count.saturating_add(1);
        let count = path.error_count;
        let addr = path.remote();
        let usable = matches!(path.state, PathState::Active | PathState::PotentiallyFailed);
        if usable && count > path.params.max_retrans {
            path.state = PathState::Inactive;
            cx.event(Event::PeerAddrChange { addr, state: PeerAddrState::Unreachable });
        } else if several
            && path.state == PathState::Active
            && path.params.pf_max_retrans.is_some_and(|limit| count > limit)
        {
            path.state = PathState::PotentiallyFailed;
            if path.params.hb_enabled {
                // From now on probe it every RTO, and for the first time at once.
                path.heartbeat.put_off(cx.now);
            }
            if self.config.expose_potentially_failed {
                cx.event(Event::PeerAddrChange { addr, state: PeerAddrState::PotentiallyFailed });
            }
        }
        self.switch_primary(cx, id, count);
    }

    /// Primary path switchover (RFC 7829 sec 5): if the primary path has too many errors, an active
    /// path takes its place.
    pub(super) fn switch_primary(&mut self, cx: &mut Cx<'_>, id: PathId, errors: u32) {
        let Some(limit) = self.paths.get(id).params.primary_switchover_max_retrans else { return };
        let next = self.paths.data_path();
        if id == self.paths.primary()
            && errors > limit
            && next != id
            && self.paths.get(next).state == PathState::Active
        {
            self.paths.set_primary(next);
            let addr = self.paths.get(next).remote();
            cx.event(Event::PeerAddrChange { addr, state: PeerAddrState::MadePrimary });
        }
    }

    /// The path has shown that it works.
    pub(super) fn path_works(&mut self, cx: &mut Cx<'_>, id: PathId) {
        let expose = self.config.expose_potentially_failed;
        let path = self.paths.get_mut(id);
        path.error_count = 0;
        let new_state = match std::mem::replace(&mut path.state, PathState::Active) {
            PathState::Unconfirmed => Some(PeerAddrState::Confirmed),
            PathState::Inactive => Some(PeerAddrState::Available),
            PathState::PotentiallyFailed => expose.then_some(PeerAddrState::Available),
            PathState::Active => None,
        };
        let addr = path.remote();
        if let Some(state) = new_state {
            cx.event(Event::PeerAddrChange { addr, state });
        }
        self.update_discovery(cx, id);
        self.paths.get_mut(id).pmtud.on_path_works(cx.now);
    }

    /// Counts a timeout of the association. True when it was one too many and the association has
    /// ended. Other timers that run now will not count when they expire. If they did, T3 and
    /// heartbeats together would end the association in half the time.
    pub(super) fn association_error(&mut self, cx: &mut Cx<'_>) -> bool {
        self.error_count += 1;
        for path in self.paths.iter_mut() {
            path.t3_error_counted = path.t3.is_some();
            if let Heartbeat::Waiting { error_counted, .. } = &mut path.heartbeat {
                *error_counted = true;
            }
        }
        if self.error_count <= self.config.assoc_max_retrans {
            return false;
        }
        // One ABORT is customary, because the peer may hear us although we do not hear it.
        self.abort_with(cx, LossReason::Unreachable, |c| c.user_abort(b"too many timeouts"));
        true
    }

    /// The peer has acknowledged something, so it is alive (RFC 9260 sec 8.1).
    pub(super) fn clear_association_errors(&mut self) {
        self.error_count = 0;
        for path in self.paths.iter_mut() {
            path.t3_error_counted = false;
            if let Heartbeat::Waiting { error_counted, .. } = &mut path.heartbeat {
                *error_counted = false;
            }
        }
    }

    /// HEARTBEAT: queues it to be returned unchanged, unless the answer would not fit into one
    /// packet with other small control chunks.
    pub(super) fn on_heartbeat(&mut self, tlvs: &[u8], datagram: &Datagram, from: PathId) {
        let fits = tlvs.len() + COMMON_HEADER + CHUNK_HEADER + SMALL_CONTROLS
            <= self.paths.get(from).pmtu();
        if fits && self.pending.heartbeat_acks.len() < MAX_HEARTBEAT_ACKS {
            let tlvs: Bytes = datagram.packet.bytes().slice_ref(tlvs);
            self.pending.heartbeat_acks.push((from, tlvs));
        }
    }

    /// HEARTBEAT ACK: counts only with the nonce that is outstanding for this very path.
    pub(super) fn on_heartbeat_ack(&mut self, cx: &mut Cx<'_>, tlvs: &[u8]) {
        let Some(info) = heartbeat_info(tlvs).and_then(parse_info) else { return };
        let Info { nonce, path, number, probe } = info;
        let id = PathId(path);
        if id.index() >= self.paths.len() {
            return;
        }
        if probe != 0 {
            return self.on_probe_ack(cx, id, nonce, usize::from(probe));
        }
        let config = Arc::clone(&self.config);
        let path = self.paths.get_mut(id);
        if path.heartbeat.expected().is_none_or(|expected| expected.nonce() != nonce) {
            return;
        }
        // A late answer proves that the path works but measures nothing, so the RTO stays backed
        // off.
        if let Heartbeat::Waiting { this, sent, .. } = path.heartbeat
            && this.number == number
        {
            path.rto.on_sample(cx.now.since(sent), &config);
        }
        path.stats.heartbeats_acked += 1;
        self.path_works(cx, id);
        self.clear_association_errors();
        self.schedule_heartbeat(cx, id);
        self.on_small_packet_acked(cx, id);
    }
}
