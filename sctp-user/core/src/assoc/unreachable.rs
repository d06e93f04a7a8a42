//! What ICMP errors change in an association (RFC 9260 sec 10, RFC 6951 sec 5.5), and errors with
//! which our own host refuses to send.

use super::path::PathId;
use super::{Association, Cx};
use crate::addr::{Encap, PathAddr, Scope, scope};
use crate::event::{Event, LossReason, PeerAddrState};
use crate::stack::{NoRoute, Unreachable};
use crate::stats::{AssocState, PathState};
use crate::time::Time;

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
    /// [after](Self::ends_if_refused) it.
    fn refused_for_good(&mut self, now: Time, id: PathId) -> bool {
        let timed = self.may_probe();
        let config = &self.config;
        let interval = config.hb_interval_udp.min(config.hb_interval).max(config.rto_initial);
        let next_heartbeats = 2 * interval;
        let path = self.paths.get_mut(id);
        let PathAddr { remote, encap, .. } = path.addr();
        // There is no NAT within one host.
        let final_word = match encap {
            Encap::Native => !timed || path.error_count > 0,
            Encap::Udp { .. } => !self.set_up_by_peer || scope(remote) == Some(Scope::Loopback),
        };
        let since = *path.refused_since.get_or_insert(now);
        final_word || (encap != Encap::Native && now.since(since) >= next_heartbeats)
    }

    /// The timer of a path expired. If ICMP has said that SCTP is gone there, and nothing has
    /// arrived from there since, that is now believed. True when the association has ended.
    pub(super) fn ends_if_refused(&mut self, cx: &mut Cx<'_>, id: PathId) -> bool {
        let path = self.paths.get(id);
        if path.addr().encap == Encap::Native && path.refused_since.is_some() {
            self.on_refused(cx, id);
        }
        self.is_closed()
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
