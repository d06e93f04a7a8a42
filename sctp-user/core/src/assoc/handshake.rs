//! The connecting side of a setup: INIT, INIT ACK, COOKIE ECHO, COOKIE ACK (RFC 9260 sec 5.1,
//! 5.2.6). Also collisions and restarts (sec 5.2.4).

use std::net::IpAddr;
use std::sync::Arc;

use rand::RngExt;

use super::path::{Path, PathId};
use super::timer::Timer;
use super::{Agreed, Association, Cx};
use crate::addr::{Datagram, Peer, Scope, scope};
use crate::config::AssocConfig;
use crate::event::{Event, LossReason, PeerAddrState};
use crate::features::Features;
use crate::interface::{interface, is_link_local, on_interface};
use crate::serial::Tsn;
use crate::stats::{AssocState, PathState};
use crate::time::{Duration, Time};
use crate::tlv::padded;
use crate::wire::{CauseWriter, InitChunk, Param, cause_code, param_type};

/// How many new INITs may follow Stale Cookie errors.
const MAX_STALE_RETRIES: u32 = 3;

/// How many other ports are tried when the peer refuses ours.
const MAX_OTHER_PORTS: u8 = 8;

/// How many bytes of unrecognized parameters are reported.
const MAX_UNRECOGNIZED: usize = 128;

/// What the connecting side remembers until COOKIE ACK.
#[derive(Debug)]
pub(crate) struct Handshake {
    /// The path for the next INIT or COOKIE ECHO.
    pub(super) target: PathId,
    /// State Cookie of the INIT ACK.
    pub(super) cookie: Vec<u8>,
    /// Unrecognized parameters of the INIT ACK, to be reported with the COOKIE ECHO.
    pub(super) unrecognized: Vec<u8>,
    /// The extra life to ask for in a Cookie Preservative, milliseconds.
    pub(super) preservative: Option<u32>,
    init_retransmits: u32,
    pub(super) cookie_retransmits: u32,
    stale_retries: u32,
    timeout: Duration,
    /// When the INIT or COOKIE ECHO that is still unanswered was first sent.
    pub(super) sent_at: Time,
    pub(super) retransmitted: bool,
    /// The user asked for a shutdown during the setup. It begins when the association is
    /// established.
    pub(super) then_shut_down: bool,
    /// When the setup began.
    begun: Time,
    /// How many other ports may still be tried if the peer refuses this one.
    other_ports: u8,
    /// The peer has refused this port, and another one is to be tried.
    wants_other_port: bool,
}

/// What an INIT or INIT ACK says about its sender.
#[derive(Clone, Debug, Default)]
pub(crate) struct PeerInit {
    /// The usable addresses that it lists, without duplicates.
    pub(crate) addresses: Vec<IpAddr>,
    /// How many of our own addresses it lists. They are ignored.
    pub(crate) own_addresses: u64,
    /// State Cookie.
    pub(crate) cookie: Option<Vec<u8>>,
    /// The extra cookie lifetime that it asks for.
    pub(crate) preservative: Option<Duration>,
    /// A whole Host Name parameter, which is not allowed any more.
    pub(crate) host_name: Option<Vec<u8>>,
    /// Whole TLVs to report. All but the last are padded.
    pub(crate) unrecognized: Vec<u8>,
}

impl PeerInit {
    /// Reads the parameters. `source` is the address that the packet came from; `is_own` tells
    /// whether an address is ours and thus not the peer's.
    pub(crate) fn read(
        init: &InitChunk<'_>,
        source: IpAddr,
        max_addresses: usize,
        is_own: impl Fn(IpAddr) -> bool,
    ) -> Self {
        let mut out = PeerInit::default();
        let address = |out: &mut PeerInit, addr: IpAddr| {
            // The peer means the link that it sends on.
            let addr = on_interface(addr, interface(source));
            let known = out.addresses.contains(&addr);
            if is_own(addr) {
                out.own_addresses += 1;
            } else if !known && out.addresses.len() < max_addresses && usable_address(addr, source)
            {
                out.addresses.push(addr);
            }
        };
        for param in init.params.iter() {
            match param {
                Param::Ipv4(a) => address(&mut out, a.into()),
                Param::Ipv6(a) => address(&mut out, a.into()),
                Param::StateCookie(cookie) if out.cookie.is_none() => {
                    out.cookie = Some(cookie.to_vec())
                }
                Param::CookiePreservative { millis } => {
                    out.preservative = Some(Duration::from_millis(millis.into()));
                }
                Param::HostName(whole) => out.host_name = Some(whole.to_vec()),
                Param::Unknown { action, whole, .. } => {
                    let start = padded(out.unrecognized.len());
                    if action.reports() && start + padded(whole.len()) <= MAX_UNRECOGNIZED {
                        out.unrecognized.resize(start, 0);
                        out.unrecognized.extend_from_slice(whole);
                    }
                    if action.stops() {
                        break;
                    }
                }
                _ => {}
            }
        }
        out
    }
}

/// Whether to use an address that a peer lists. It must be a unicast address. Loopback and
/// link-local addresses count only if the peer itself sends from there (RFC 9260 sec 5.1.2). With
/// IPv6, a link-local address needs a link-local source, because nothing else tells which interface
/// it is on.
fn usable_address(addr: IpAddr, source: IpAddr) -> bool {
    match scope(addr) {
        None => false,
        Some(Scope::Loopback) => scope(source) == Some(Scope::Loopback),
        // The address has a meaning on its own link only.
        Some(Scope::Link) if addr.is_ipv6() => is_link_local(source),
        Some(Scope::Link) => scope(source).is_some_and(|s| s <= Scope::Link),
        Some(_) => true,
    }
}

/// Draws the tie-tags of one incarnation of an association. A cookie with other tie-tags belongs to
/// another incarnation.
pub(super) fn draw_tie_tags(cx: &mut Cx<'_>) -> (u32, u32) {
    (cx.rng.random_range(1..=u32::MAX), cx.rng.random_range(1..=u32::MAX))
}

impl Association {
    /// An association that begins with our INIT to one of the addresses in `peer`.
    pub(crate) fn connecting(
        local_port: u16,
        peer: &Peer,
        config: Arc<AssocConfig>,
        local_tag: u32,
        initial_tsn: Tsn,
        local: (Vec<IpAddr>, impl Fn(IpAddr) -> Option<IpAddr>),
        cx: &mut Cx<'_>,
    ) -> Self {
        let (local_addrs, source_for) = local;
        let timeout = config.rto_initial.min(config.max_init_timeout.unwrap_or(config.rto_max));
        let mut assoc = Association::new(
            (local_port, peer.port),
            config,
            local_tag,
            initial_tsn,
            local_addrs,
            cx,
        );
        for &(remote, encap) in &peer.addrs {
            if scope(remote).is_some() && assoc.paths.len() < assoc.config.max_peer_addresses {
                let addr = crate::addr::PathAddr { local: source_for(remote), remote, encap };
                // Addresses that the user gave count as confirmed (RFC 9260 sec 5.4).
                assoc.paths.add(Path::new(addr, PathState::Active, &assoc.config, cx.now));
            }
        }
        assoc.state = AssocState::CookieWait;
        assoc.pending.init = true;
        assoc.handshake = Some(Box::new(Handshake {
            target: PathId(0),
            cookie: Vec::new(),
            unrecognized: Vec::new(),
            preservative: None,
            init_retransmits: 0,
            cookie_retransmits: 0,
            stale_retries: 0,
            timeout,
            sent_at: cx.now,
            retransmitted: false,
            then_shut_down: false,
            begun: cx.now,
            other_ports: 0,
            wants_other_port: false,
        }));
        assoc.timers.set(Timer::T1Init, cx.now + timeout);
        assoc
    }

    /// INIT ACK in COOKIE-WAIT (RFC 9260 sec 5.1.3 C, 3.3.3).
    pub(super) fn on_init_ack(
        &mut self,
        cx: &mut Cx<'_>,
        init: &InitChunk<'_>,
        datagram: &Datagram,
    ) {
        let ports = (self.local_port, self.peer_port);
        let to = datagram.from;
        let refuse = |cx: &mut Cx<'_>, cause: &dyn Fn(&mut CauseWriter<'_>)| {
            cx.replies.push(to, ports, init.initiate_tag, |w| w.abort(false, cause));
        };
        if init.initiate_tag == 0 {
            let own = self.local_tag;
            cx.replies.push(to, ports, own, |w| w.abort(true, |_| {}));
            return self.end(
                cx,
                Event::Lost(LossReason::ProtocolViolation("INIT ACK with initiate tag 0")),
            );
        }
        if init.outbound_streams == 0 || init.inbound_streams == 0 {
            refuse(cx, &|c| c.invalid_mandatory_param());
            return self
                .end(cx, Event::Lost(LossReason::ProtocolViolation("INIT ACK with no streams")));
        }
        if init.a_rwnd < 1500 {
            return refuse(cx, &|c| c.invalid_mandatory_param());
        }
        let remote = datagram.from.remote;
        let is_own = cx.own.among_listed(remote, &self.local_addrs, datagram.from.local);
        let peer = PeerInit::read(init, remote, self.config.max_peer_addresses, is_own);
        cx.own.add_left_out(peer.own_addresses);
        if let Some(param) = &peer.host_name {
            refuse(cx, &|c| c.unresolvable_address(param));
            return self
                .end(cx, Event::Lost(LossReason::ProtocolViolation("INIT ACK with a host name")));
        }
        let Some(cookie) = peer.cookie else {
            refuse(cx, &|c| c.missing_mandatory_param(&[param_type::STATE_COOKIE]));
            return self.end(
                cx,
                Event::Lost(LossReason::ProtocolViolation("INIT ACK without a State Cookie")),
            );
        };

        let agreed = Agreed {
            local_tag: self.local_tag,
            peer_tag: init.initiate_tag,
            local_tsn: self.initial_tsn,
            peer_tsn: init.initial_tsn,
            peer_rwnd: init.a_rwnd,
            out_streams: self.config.out_streams.min(init.inbound_streams),
            in_streams: self.config.max_in_streams.min(init.outbound_streams),
            features: Features::OURS.both(Features::announced_by(init)),
        };
        let source = datagram.from;
        let asked = self.handshake.as_deref().map(|h| self.paths.get(h.target).remote());
        // Drop addresses that the peer neither listed nor answered from, because it does not know
        // them. Drop those as well to which we cannot send from any address of ours that the peer
        // knows.
        let usable: Vec<IpAddr> = peer
            .addresses
            .iter()
            .copied()
            .filter(|&a| self.source_for(source, a).is_ok())
            .collect();
        self.paths.retain(|p| p.remote() == source.remote || usable.contains(&p.remote()));
        for id in self.paths.ids() {
            let remote = self.paths.get(id).remote();
            if let Ok(local) = self.source_for(source, remote) {
                self.paths.get_mut(id).set_local(local);
            }
        }
        self.adopt(&agreed, source, &peer.addresses, cx.now);
        let from = self.paths.find(source.remote).unwrap_or(PathId(0));
        self.paths.get_mut(from).revive();
        // An INIT ACK does not confirm its source unless the user named that address.
        let target =
            if self.paths.get(from).is_confirmed() { from } else { self.paths.data_path() };
        self.last_heard = from;
        self.pending = super::Pending::default();
        self.send.outstanding.resend_all_to(target, &mut self.paths);
        self.drop_invalid_streams(cx);

        let config = Arc::clone(&self.config);
        let Some(handshake) = self.handshake.as_deref_mut() else { return };
        if !handshake.retransmitted && asked == Some(source.remote) {
            self.paths.get_mut(from).rto.on_sample(cx.now.since(handshake.sent_at), &config);
        }
        let path = self.paths.get_mut(target);
        path.probe_if_unconfirmed();
        handshake.timeout = path.rto.get();
        handshake.target = target;
        handshake.cookie = cookie;
        handshake.unrecognized = peer.unrecognized;
        handshake.cookie_retransmits = 0;
        handshake.sent_at = cx.now;
        handshake.retransmitted = false;
        let timeout = handshake.timeout;
        self.state = AssocState::CookieEchoed;
        self.pending.cookie_echo = true;
        self.timers.stop(Timer::T1Init);
        self.timers.set(Timer::T1Cookie, cx.now + timeout);
    }

    /// COOKIE ACK in COOKIE-ECHOED.
    pub(super) fn on_cookie_ack(&mut self, cx: &mut Cx<'_>, from: PathId) {
        if let Some(handshake) = self.handshake.as_deref()
            && !handshake.retransmitted
            && handshake.target == from
        {
            let config = Arc::clone(&self.config);
            let rtt = cx.now.since(handshake.sent_at);
            self.paths.get_mut(from).rto.on_sample(rtt, &config);
        }
        self.established(cx, false);
    }

    /// Enters ESTABLISHED and starts the heartbeats. Tells the user, unless the association was
    /// established before.
    pub(crate) fn established(&mut self, cx: &mut Cx<'_>, incoming: bool) {
        let tells_user = incoming || self.state != AssocState::Established;
        self.timers.stop(Timer::T1Init);
        self.timers.stop(Timer::T1Cookie);
        self.timers.stop(Timer::T5Guard);
        self.pending.init = false;
        self.pending.cookie_echo = false;
        let then_shut_down = self.is_shutting_down_after_setup();
        self.handshake = None;
        self.error_count = 0;
        self.state = AssocState::Established;
        self.drop_invalid_streams(cx);
        self.start_heartbeats(cx);
        if tells_user {
            cx.event(Event::Up {
                outbound_streams: self.out_streams,
                inbound_streams: self.in_streams,
                incoming,
            });
        }
        self.signal_writable(cx);
        if then_shut_down {
            self.shutdown(cx);
        }
    }

    /// True when the user asked for a shutdown before the setup was complete.
    pub(super) fn is_shutting_down_after_setup(&self) -> bool {
        self.handshake.as_deref().is_some_and(|h| h.then_shut_down)
    }

    /// A COOKIE ECHO was accepted. The next packet to its source carries the COOKIE ACK.
    pub(crate) fn acknowledge_cookie(&mut self, to: PathId) {
        self.pending.cookie_ack = Some(to);
        // To an unconfirmed address it may go only together with a probe (RFC 9260 sec 5.4).
        self.paths.get_mut(to).probe_if_unconfirmed();
    }

    /// Drops messages for streams that do not exist. They were queued before the peer said how many
    /// streams it allows.
    fn drop_invalid_streams(&mut self, cx: &mut Cx<'_>) {
        for message in self.send.queue.drain_streams_from(self.out_streams) {
            cx.event(Event::SendFailed { message, unsent: true });
        }
    }

    /// T1-init or T1-cookie expired (RFC 9260 sec 5.1.6).
    pub(super) fn on_t1(&mut self, cx: &mut Cx<'_>, timer: Timer) {
        let limit = self.config.max_init_retransmits;
        let cap =
            self.config.max_init_timeout.unwrap_or(self.config.rto_max).min(self.config.rto_max);
        let Some(handshake) = self.handshake.as_deref_mut() else { return };
        let count = match timer {
            Timer::T1Init => &mut handshake.init_retransmits,
            _ => &mut handshake.cookie_retransmits,
        };
        *count += 1;
        if *count > limit {
            return self.end(cx, Event::Lost(LossReason::SetupTimeout));
        }
        handshake.timeout = (handshake.timeout * 2).min(cap);
        handshake.retransmitted = true;
        // Take turns if there are several addresses.
        handshake.target = self.paths.next_active(handshake.target);
        let (target, timeout) = (handshake.target, handshake.timeout);
        self.timers.set(timer, cx.now + timeout);
        if timer == Timer::T1Init {
            self.pending.init = true;
        } else {
            // DATA that went with the COOKIE ECHO goes with it again.
            self.send.outstanding.resend_all_to(target, &mut self.paths);
            self.paths.get_mut(target).probe_if_unconfirmed();
            self.pending.cookie_echo = true;
        }
    }

    /// A path failed during the setup. Whatever was sent there goes to the next address at once.
    pub(super) fn leave_failed_target(&mut self, failed: PathId) {
        let target = self.paths.data_path();
        let Some(handshake) = self.handshake.as_deref_mut().filter(|h| h.target == failed) else {
            return;
        };
        handshake.target = target;
        handshake.retransmitted = true;
        if self.state == AssocState::CookieWait {
            self.pending.init = true;
        } else {
            // DATA that went with the COOKIE ECHO goes with it again.
            self.send.outstanding.resend_all_to(target, &mut self.paths);
            self.pending.cookie_echo = true;
        }
    }

    /// The peer says that our cookie came too late (RFC 9260 sec 5.2.6). A new INIT asks for a
    /// longer life.
    pub(super) fn on_stale_cookie(&mut self, cx: &mut Cx<'_>, _staleness_micros: u32) {
        let Some(handshake) = self.handshake.as_deref_mut() else { return };
        handshake.stale_retries += 1;
        if handshake.stale_retries > MAX_STALE_RETRIES {
            return self.end(cx, Event::Lost(LossReason::SetupTimeout));
        }
        // The RFC allows asking for at most one second more than the measured round trip.
        let rtt = cx.now.since(handshake.sent_at);
        let ask = rtt + Duration::from_millis(500);
        handshake.preservative = Some(u32::try_from(ask.as_millis()).unwrap_or(u32::MAX));
        handshake.retransmitted = false;
        handshake.timeout = self.config.rto_initial;
        self.send_init_again(cx.now);
    }

    /// Goes back to COOKIE-WAIT with a new INIT.
    fn send_init_again(&mut self, now: Time) {
        let Some(handshake) = self.handshake.as_deref_mut() else { return };
        // An INIT may only go to an address that the user gave or that is confirmed.
        if !self.paths.get(handshake.target).is_confirmed() {
            handshake.target = self.paths.data_path();
        }
        let (target, timeout) = (handshake.target, handshake.timeout);
        self.send.outstanding.resend_all_to(target, &mut self.paths);
        self.state = AssocState::CookieWait;
        self.peer_tag = 0;
        self.pending.cookie_echo = false;
        self.pending.init = true;
        self.timers.stop(Timer::T1Cookie);
        self.timers.set(Timer::T1Init, now + timeout);
    }

    /// The user did not choose the local port, so others may be tried if the peer refuses it.
    pub(crate) fn may_change_port(&mut self) {
        if let Some(handshake) = self.handshake.as_deref_mut() {
            handshake.other_ports = MAX_OTHER_PORTS;
        }
    }

    /// The peer has refused the setup with an ABORT. True if the setup is to begin again from
    /// another port of ours. That is so when the peer says that it has an association with this
    /// port. It is also so when the peer gives no cause; but then perhaps nobody listens, so the
    /// peer is asked again only within RTO.Initial.
    pub(super) fn tries_other_port(&mut self, now: Time, cause: u16) -> bool {
        let Some(handshake) = self.handshake.as_deref_mut() else { return false };
        let in_use = match cause {
            cause_code::RESTART_WITH_NEW_ADDRESSES
            | cause_code::RESTART_WITH_NEW_ENCAPSULATION_PORT => true,
            0 => now.since(handshake.begun) < self.config.rto_initial,
            _ => false,
        };
        let tries_other = in_use && handshake.other_ports > 0;
        if tries_other {
            handshake.other_ports -= 1;
            handshake.wants_other_port = true;
            self.reroute = true;
        }
        tries_other
    }

    /// True when the stack shall call [`start_over_from`](Self::start_over_from) with another port.
    pub(crate) fn wants_other_port(&self) -> bool {
        self.handshake.as_deref().is_some_and(|handshake| handshake.wants_other_port)
    }

    /// Begins the setup again from another port.
    pub(crate) fn start_over_from(&mut self, now: Time, port: u16) {
        self.local_port = port;
        if let Some(handshake) = self.handshake.as_deref_mut() {
            handshake.wants_other_port = false;
            handshake.retransmitted = false;
            handshake.sent_at = now;
            handshake.timeout = self.config.rto_initial;
        }
        self.send_init_again(now);
    }

    /// Collision, RFC 9260 sec 5.2.4 case B: the peer's cookie has our tag, but a different tag of
    /// the peer.
    pub(crate) fn on_collision(
        &mut self,
        cx: &mut Cx<'_>,
        agreed: &Agreed,
        source: crate::PathAddr,
        addrs: &[IpAddr],
    ) {
        self.paths.retain(|p| p.remote() == source.remote || addrs.contains(&p.remote()));
        self.adopt(agreed, source, addrs, cx.now);
        let target = self.paths.find(source.remote).unwrap_or(PathId(0));
        // Confirmed: the INIT ACK went to this address, and its cookie came back (RFC 9260 sec
        // 5.4).
        self.paths.get_mut(target).state = PathState::Active;
        self.last_heard = target;
        self.pending = super::Pending::default();
        self.send.outstanding.resend_all_to(target, &mut self.paths);
        self.established(cx, false);
    }

    /// Restart, RFC 9260 sec 5.2.4 case A: the peer is the same, everything else begins anew.
    pub(crate) fn on_restart(
        &mut self,
        cx: &mut Cx<'_>,
        agreed: &Agreed,
        source: crate::PathAddr,
        addrs: &[IpAddr],
    ) {
        for (message, unsent) in self.send.drain_failed() {
            cx.event(Event::SendFailed { message, unsent });
        }
        let config: Arc<AssocConfig> = Arc::clone(&self.config);
        for path in self.paths.iter_mut() {
            path.reset(&config, cx.now);
        }
        let writer_waits = self.send.writer_waits;
        let mut fresh = super::SendSide::new(agreed.local_tsn);
        fresh.queue.inherit_interrupted(&self.send.queue);
        self.send = fresh;
        self.send.peer_rwnd = agreed.peer_rwnd as usize;
        let aborted = self.recv.restart(agreed.peer_tsn, &config);
        // Drop the addresses that the restarted peer no longer has. This frees their slots for new
        // ones.
        let before: Vec<IpAddr> = self.paths.iter().map(Path::remote).collect();
        let primary = self.paths.get(self.paths.primary()).remote();
        self.paths.retain(|p| p.remote() == source.remote || addrs.contains(&p.remote()));
        if let Some(id) = self.paths.find(source.remote) {
            let path = self.paths.get_mut(id);
            path.set_encap(source.encap);
            path.state = PathState::Active;
        }
        self.add_unconfirmed(source, addrs, cx.now);
        self.last_heard = self.paths.find(source.remote).unwrap_or(PathId(0));
        self.reroute = true;
        self.local_tag = agreed.local_tag;
        self.peer_tag = agreed.peer_tag;
        self.initial_tsn = agreed.local_tsn;
        self.tie_tags = draw_tie_tags(cx);
        self.out_streams = agreed.out_streams;
        self.in_streams = agreed.in_streams;
        self.features = agreed.features;
        self.send.queue.set_interleaved(agreed.features.contains(Features::I_DATA));
        self.timers.stop_all();
        self.pending = super::Pending::default();
        self.handshake = None;
        self.error_count = 0;
        self.t2_expiries = 0;
        self.data_exchanged = false;
        self.state = AssocState::Established;
        if let Some(cut_off) = aborted {
            cx.event(cut_off.into());
        }
        self.start_heartbeats(cx);
        let (outbound_streams, inbound_streams) = (self.out_streams, self.in_streams);
        cx.event(Event::Restart { outbound_streams, inbound_streams, before: self.recv.pending() });
        for addr in before.into_iter().filter(|&addr| self.paths.find(addr).is_none()) {
            cx.event(Event::PeerAddrChange { addr, state: PeerAddrState::Removed });
        }
        let addr = self.paths.get(self.paths.primary()).remote();
        if addr != primary {
            cx.event(Event::PeerAddrChange { addr, state: PeerAddrState::MadePrimary });
        }
        if writer_waits {
            cx.event(Event::Writable);
        }
    }
}
