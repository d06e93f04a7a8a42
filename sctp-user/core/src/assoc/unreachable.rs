//! What ICMP errors change in an association (RFC 9260 sec 10, RFC 6951 sec 5.5), and errors with
//! which our own host refuses to send.

use super::heartbeat::Heartbeat;
use super::path::PathId;
use super::refusal::Patience;
use super::{Association, Cx};
use crate::addr::{Encap, PathAddr, Scope, scope};
use crate::event::{Event, LossReason, PeerAddrState};
use crate::stack::{NoRoute, Unreachable};
use crate::stats::{AssocState, PathState};
use crate::time::{Duration, Time};

impl Association {
    /// Handles an ICMP error about a packet that went to an address of the peer.
    pub(crate) fn on_unreachable(&mut self, cx: &mut Cx<'_>, id: PathId, kind: Unreachable) {
        if !self.is_credible(id) {
            return;
        }
        match kind {
            Unreachable::Protocol => {
                if self.refused_for_good(cx.now, id) {
                    self.on_refused(cx, id);
                }
            }
            // Such errors come and go with routes, so the timers decide.
            Unreachable::Destination => {}
            Unreachable::NotCut { ip_mtu } => self.on_not_cut(id, ip_mtu),
            Unreachable::NoRoute(why) => self.on_no_route(cx, id, why),
            Unreachable::PacketTooBig { ip_mtu } => {
                self.paths.get_mut(id).on_packet_too_big(usize::from(ip_mtu), cx.now);
            }
        }
    }

    /// ICMP says that SCTP is gone at the other end of a path. Whether to believe it at once.
    ///
    /// A NAT that has lost its bindings says the same about the UDP port of a caller. The caller
    /// gets a new port with the next packet that it sends, a heartbeat at the latest. Linux says it
    /// about a raw socket whose receive buffer is full; its owner is soon heard again. So on a
    /// native path that is up, a timeout must confirm the message, before or
    /// [after](Self::ends_if_refused) it. In both cases another such message confirms it, too, when
    /// it comes late enough, and nothing has arrived meanwhile; a heartbeat asks for it.
    fn refused_for_good(&mut self, now: Time, id: PathId) -> bool {
        let timed = self.may_probe();
        let set_up_by_peer = self.set_up_by_peer;
        let path = self.paths.get_mut(id);
        path.refusal.on_error(now);
        let PathAddr { remote, encap, .. } = path.addr();
        // There is no NAT within one host.
        let final_word = match encap {
            Encap::Native => !timed || path.error_count > 0,
            Encap::Udp { .. } => !set_up_by_peer || scope(remote) == Some(Scope::Loopback),
        };
        if final_word {
            return true;
        }
        let Some(at) = self.believes_refusal_at(id) else { return false };
        if at > now && timed {
            self.paths.get_mut(id).heartbeat.bring_forward(at);
        }
        at <= now
    }

    /// When it will be believed that SCTP is gone at the other end of a path, if nothing arrives
    /// from there before. `None` where nothing says that it is gone, and where a timeout decides.
    pub(super) fn believes_refusal_at(&self, id: PathId) -> Option<Time> {
        let config = &self.config;
        let path = self.paths.get(id);
        let since = path.refusal.since()?;
        let suspected = path.refusal.suspected().map(Patience::get);
        let patience = [suspected, config.refusal_patience].into_iter().flatten().min();
        let patience = match path.addr().encap {
            Encap::Native => patience?,
            Encap::Udp { .. } => {
                // By then, a peer behind a NAT has sent a heartbeat, also if one gets lost.
                let interval = config.hb_interval_udp.min(config.hb_interval);
                let most = 2 * interval.max(config.rto_initial);
                patience.map_or(most, |patience| patience.min(most))
            }
        };
        Some(since + patience)
    }

    /// The timer of a path expired. If ICMP has said that SCTP is gone there, and nothing has
    /// arrived from there since, that is now believed. True when the association has ended.
    pub(super) fn ends_if_refused(&mut self, cx: &mut Cx<'_>, id: PathId) -> bool {
        let path = self.paths.get(id);
        let is_native = path.addr().encap == Encap::Native && path.refusal.since().is_some();
        if is_native || self.believes_refusal_at(id).is_some_and(|at| at <= cx.now) {
            self.on_refused(cx, id);
        }
        self.is_closed()
    }

    /// The user has a reason to suspect that the peer is dead. Until something arrives from there,
    /// ICMP is believed when it says so for as long as `patience`; maybe it has said so already. A
    /// dead peer's host must have something to refuse, so a heartbeat goes to each path, unless one
    /// is under way, or anything else that would be refused, too, was sent within the last RTO.
    pub(crate) fn suspect(&mut self, cx: &mut Cx<'_>, patience: Duration) {
        if !self.may_probe() {
            return;
        }
        let data_path = self.paths.data_path();
        for id in self.paths.ids() {
            let path = self.paths.get_mut(id);
            if !path.is_confirmed() {
                continue;
            }
            path.refusal.suspect(Patience::new(patience));
            if let Some(at) = self.believes_refusal_at(id) {
                if at <= cx.now {
                    self.on_refused(cx, id);
                } else {
                    self.paths.get_mut(id).heartbeat.bring_forward(at);
                }
                if self.is_closed() {
                    return;
                }
                continue;
            }
            let is_about_to_send = id == data_path && !self.send.queue.is_empty();
            let path = self.paths.get_mut(id);
            let used = if is_about_to_send { cx.now } else { path.last_used };
            let next = used + path.rto.get();
            if matches!(path.heartbeat, Heartbeat::Waiting { .. }) {
                // It must time out, or frequent suspicions would keep a dead path alive.
            } else if next <= cx.now {
                path.heartbeat.make_due();
            } else {
                path.heartbeat.bring_forward(next);
            }
        }
    }

    /// The interface takes larger packets than was known. Packets that it should have fragmented
    /// were too small for that and got lost on a narrow path. Send them again now, with more
    /// padding.
    fn on_not_cut(&mut self, id: PathId, ip_mtu: u16) {
        let path = self.paths.get_mut(id);
        if path.set_interface_mtu(ip_mtu) && path.t3.is_some() {
            path.t3 = None;
            self.send_again(id, id);
        }
    }

    /// Our host has no route to an address of the peer. During the setup, another address is tried
    /// at once; if there is none, the setup fails, as connect() of TCP does. An association that is
    /// up ignores this, because routes come and go; its timers decide.
    fn on_no_route(&mut self, cx: &mut Cx<'_>, id: PathId, why: NoRoute) {
        if self.state != AssocState::CookieWait {
            return;
        }
        if self.another_works(id) {
            self.fail_path(cx, id);
        } else {
            self.end(cx, Event::Lost(LossReason::NoRoute(why)));
        }
    }

    /// True when another path than this one may still work.
    fn another_works(&self, id: PathId) -> bool {
        let works = |id| {
            matches!(self.paths.get(id).state, PathState::Active | PathState::PotentiallyFailed)
        };
        self.paths.ids().any(|other| other != id && works(other))
    }

    /// SCTP is gone at the other end of a path. RFC 9260 sec 10 treats that like an ABORT of the
    /// peer. But the message is about one address, so the association ends only when no other path
    /// works.
    fn on_refused(&mut self, cx: &mut Cx<'_>, id: PathId) {
        if self.another_works(id) {
            self.fail_path(cx, id);
        } else {
            self.end(cx, Event::Lost(LossReason::ProtocolUnreachable));
        }
    }

    /// Makes a path fail at once, as after Path.Max.Retrans timeouts (RFC 9260 sec 8.2), while
    /// another one works. The other one takes over what was sent. Heartbeats continue and may bring
    /// the path back.
    fn fail_path(&mut self, cx: &mut Cx<'_>, id: PathId) {
        let path = self.paths.get_mut(id);
        path.error_count = path.error_count.max(path.params.max_retrans.saturating_add(1));
        let (errors, addr) = (path.error_count, path.remote());
        let was_usable =
            std::mem::replace(&mut path.state, PathState::Inactive) != PathState::Inactive;
        if matches!(self.state, AssocState::CookieWait | AssocState::CookieEchoed) {
            return self.leave_failed_target(id);
        }
        if was_usable {
            cx.event(Event::PeerAddrChange { addr, state: PeerAddrState::Unreachable });
        }
        self.switch_primary(cx, id, errors);
        let path = self.paths.get_mut(id);
        path.t3 = None;
        if path.flight > 0 || path.lost > 0 {
            let target = self.paths.alternate(id);
            self.send_again(id, target);
        }
        if self.shutdown_path() == id {
            self.repeat_shutdown(cx.now);
        }
    }
}
