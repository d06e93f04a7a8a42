//! One association: its state, and what concerns all of it. The submodules hold the protocol rules.

mod announce;
mod calls;
mod cc;
mod handshake;
mod heartbeat;
mod path;
mod path_params;
mod paths;
mod pmtud;
mod pmtud_probing;
mod probing;
mod receive;
mod recv;
mod refusal;
mod rto;
mod sack;
mod send;
mod shutdown;
mod timeout;
mod timer;
mod transmit;
mod unreachable;

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use rand_chacha::ChaCha12Rng;

use crate::addr::{Encap, PathAddr, source_among};
use crate::config::AssocConfig;
use crate::event::{Event, LossReason};
use crate::features::Features;
use crate::interface::reaches;
use crate::own::OwnAddrs;
use crate::serial::Tsn;
use crate::stack::{AssocId, Replies};
use crate::stats::{AssocState, AssocStats, PathState};
use crate::time::{Duration, Time, earlier};
use crate::tlv::TLV_HEADER;
use crate::wire::{CHUNK_HEADER, COMMON_HEADER, CauseWriter};

pub(crate) use announce::announced;
use handshake::Handshake;
pub(crate) use handshake::PeerInit;
use path::Path;
pub(crate) use path::PathId;
use paths::PathSet;
use recv::RecvSide;
use send::SendSide;
use timer::{Timer, TimerTable};

/// What an association may use from its stack during a call.
pub(crate) struct Cx<'a> {
    pub(crate) now: Time,
    pub(crate) id: AssocId,
    pub(crate) rng: &'a mut ChaCha12Rng,
    pub(crate) events: &'a mut VecDeque<(AssocId, Event)>,
    pub(crate) replies: &'a mut Replies,
    pub(crate) own: &'a mut OwnAddrs,
}

impl Cx<'_> {
    fn event(&mut self, event: Event) {
        self.events.push_back((self.id, event));
    }
}

/// Control chunks that wait for the next packet.
#[derive(Debug, Default)]
struct Pending {
    init: bool,
    cookie_echo: bool,
    cookie_ack: Option<PathId>,
    /// HEARTBEATs to answer: the path to answer on, and the TLVs to return.
    heartbeat_acks: Vec<(PathId, Bytes)>,
    /// Encoded error causes to report in an ERROR chunk.
    errors: Vec<u8>,
    errors_to: FirstByDefault,
    shutdown: bool,
    shutdown_ack: bool,
}

impl Pending {
    fn is_empty(&self) -> bool {
        let Pending {
            init,
            cookie_echo,
            cookie_ack,
            heartbeat_acks,
            errors,
            errors_to: _,
            shutdown,
            shutdown_ack,
        } = self;
        !(*init || *cookie_echo || *shutdown || *shutdown_ack)
            && cookie_ack.is_none()
            && heartbeat_acks.is_empty()
            && errors.is_empty()
    }
}

/// A path id whose default is the first path.
#[derive(Clone, Copy, Debug)]
struct FirstByDefault(PathId);

impl Default for FirstByDefault {
    fn default() -> Self {
        FirstByDefault(PathId(0))
    }
}

/// How many HEARTBEATs are answered in one batch. More are dropped.
const MAX_HEARTBEAT_ACKS: usize = 8;

/// How many bytes of error causes one packet may report.
const MAX_ERROR_BYTES: usize = 256;

/// Who sent the SHUTDOWN COMPLETE that ended the association.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Completed {
    ByUs,
    ByPeer,
}

/// What both sides agreed on during the setup.
#[derive(Clone, Debug)]
pub(crate) struct Agreed {
    pub(crate) local_tag: u32,
    pub(crate) peer_tag: u32,
    pub(crate) local_tsn: Tsn,
    pub(crate) peer_tsn: Tsn,
    pub(crate) peer_rwnd: u32,
    pub(crate) out_streams: u16,
    pub(crate) in_streams: u16,
    /// The extensions that both ends use.
    pub(crate) features: Features,
}

/// What the user still expects from an association.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum User {
    Reads,
    /// Nobody reads any more. Received messages are dropped.
    Writes,
    /// Nothing. The association only finishes its shutdown.
    Gone,
}

/// None of our addresses can be used with an address of the peer.
struct NoSource;

/// An association.
#[derive(Debug)]
pub(crate) struct Association {
    pub(crate) local_port: u16,
    pub(crate) peer_port: u16,
    pub(crate) config: Arc<AssocConfig>,
    state: AssocState,
    local_tag: u32,
    peer_tag: u32,
    /// Our and the peer's tie-tags. In cookies that others can ask for, they stand for the
    /// verification tags (RFC 9260 sec 5.2.2).
    tie_tags: (u32, u32),
    /// Our first TSN.
    initial_tsn: Tsn,
    /// The addresses that may be announced to the peer. Empty when there is nothing to choose from.
    local_addrs: Vec<IpAddr>,
    out_streams: u16,
    in_streams: u16,
    features: Features,
    paths: PathSet,
    send: SendSide,
    recv: RecvSide,
    timers: TimerTable,
    pending: Pending,
    /// Exists until the association that we set up is established.
    handshake: Option<Box<Handshake>>,
    /// The peer set up this association, perhaps from behind a NAT.
    set_up_by_peer: bool,
    /// Consecutive errors of the association (RFC 9260 sec 8.1).
    error_count: u32,
    /// How many times in a row T2-shutdown has expired.
    t2_expiries: u32,
    /// The path that SHUTDOWN or SHUTDOWN ACK is sent on.
    t2_path: PathId,
    /// Before this time no heartbeat goes to another unconfirmed address (HB.Max.Burst).
    unconfirmed_probe_at: Time,
    /// The path that the last packet came by.
    last_heard: PathId,
    /// DATA has been sent or received.
    data_exchanged: bool,
    /// Set when the association ended by a graceful shutdown.
    graceful_end: Option<Completed>,
    /// Tags or addresses have changed, so the stack must update its lookup tables.
    pub(crate) reroute: bool,
    user: User,
    stats: AssocStats,
}

impl Association {
    /// The association that a valid COOKIE ECHO of the peer creates (RFC 9260 sec 5.1.5).
    pub(crate) fn from_cookie(
        ports: (u16, u16),
        config: Arc<AssocConfig>,
        agreed: &Agreed,
        source: PathAddr,
        addresses: &[IpAddr],
        local_addrs: Vec<IpAddr>,
        cx: &mut Cx<'_>,
    ) -> Self {
        let mut assoc =
            Association::new(ports, config, agreed.local_tag, agreed.local_tsn, local_addrs, cx);
        // Confirmed: the INIT ACK went to this address, and its cookie came back (RFC 9260 sec
        // 5.4).
        assoc.paths.add(Path::new(source, PathState::Active, &assoc.config, cx.now));
        assoc.adopt(agreed, source, addresses, cx.now);
        assoc.state = AssocState::Established;
        assoc.set_up_by_peer = true;
        assoc
    }

    fn new(
        (local_port, peer_port): (u16, u16),
        config: Arc<AssocConfig>,
        local_tag: u32,
        initial_tsn: Tsn,
        local_addrs: Vec<IpAddr>,
        cx: &mut Cx<'_>,
    ) -> Self {
        Association {
            local_port,
            peer_port,
            state: AssocState::Closed,
            local_tag,
            peer_tag: 0,
            tie_tags: handshake::draw_tie_tags(cx),
            initial_tsn,
            local_addrs,
            out_streams: config.out_streams,
            in_streams: config.max_in_streams,
            features: Features::default(),
            paths: PathSet::default(),
            send: SendSide::new(initial_tsn),
            recv: RecvSide::new(Tsn(0), &config),
            timers: TimerTable::default(),
            pending: Pending::default(),
            handshake: None,
            set_up_by_peer: false,
            error_count: 0,
            t2_expiries: 0,
            t2_path: PathId(0),
            unconfirmed_probe_at: Time::ZERO,
            last_heard: PathId(0),
            data_exchanged: false,
            graceful_end: None,
            reroute: true,
            user: User::Reads,
            stats: AssocStats::default(),
            config,
        }
    }

    /// Takes over what both sides agreed on: tags, TSNs, streams, window, and the addresses of the
    /// peer. New addresses are unconfirmed (RFC 9260 sec 5.4).
    fn adopt(&mut self, agreed: &Agreed, source: PathAddr, addresses: &[IpAddr], now: Time) {
        self.reroute = true;
        self.local_tag = agreed.local_tag;
        self.peer_tag = agreed.peer_tag;
        self.initial_tsn = agreed.local_tsn;
        self.out_streams = agreed.out_streams;
        self.in_streams = agreed.in_streams;
        self.features = agreed.features;
        self.send.queue.set_interleaved(agreed.features.contains(Features::I_DATA));
        self.recv = RecvSide::new(agreed.peer_tsn, &self.config);
        self.send.peer_rwnd = agreed.peer_rwnd as usize;
        self.paths.add(Path::new(source, PathState::Unconfirmed, &self.config, now));
        self.add_unconfirmed(source, addresses, now);
    }

    fn add_unconfirmed(&mut self, source: PathAddr, addresses: &[IpAddr], now: Time) {
        for &remote in addresses {
            if self.paths.len() >= self.config.max_peer_addresses {
                break;
            }
            let Ok(local) = self.source_for(source, remote) else { continue };
            let addr = PathAddr { local, remote, encap: source.encap };
            self.paths.add(Path::new(addr, PathState::Unconfirmed, &self.config, now));
        }
    }

    /// Our address to use for packets to `remote`. Fails if there is none that the peer knows. If
    /// we announced no addresses, the peer knows only the one that the handshake used. Packets from
    /// any other address, and thus all packets to the other address family, would be out of the
    /// blue for it.
    fn source_for(&self, handshake: PathAddr, remote: IpAddr) -> Result<Option<IpAddr>, NoSource> {
        let announced = announced(self.config.announce, &self.local_addrs, handshake);
        let known = handshake.local.unwrap_or(handshake.remote);
        if announced.is_empty() {
            return if known.is_ipv4() == remote.is_ipv4() && reaches(known, remote) {
                Ok(handshake.local)
            } else {
                Err(NoSource)
            };
        }
        let own = handshake.local.filter(|a| !announced.contains(a));
        let fitting = announced
            .iter()
            .copied()
            .chain(own)
            .filter(|a| a.is_ipv4() == remote.is_ipv4() && reaches(*a, remote));
        if fitting.clone().next().is_none() {
            return Err(NoSource);
        }
        Ok(source_among(fitting, remote))
    }

    /// Whether a path to `remote` is possible. A handshake over `handshake` told us this address of
    /// the peer.
    pub(crate) fn can_reach(&self, handshake: PathAddr, remote: IpAddr) -> bool {
        self.source_for(handshake, remote).is_ok()
    }

    pub(crate) fn state(&self) -> AssocState {
        self.state
    }

    /// The association has ended; only unread messages are left.
    pub(crate) fn is_closed(&self) -> bool {
        self.state == AssocState::Closed
    }

    /// The association ended by a graceful shutdown.
    pub(crate) fn ended_gracefully(&self) -> bool {
        self.graceful_end.is_some()
    }

    /// How long the SHUTDOWN COMPLETE that we sent at the end may be under way. Zero if the peer
    /// sent it.
    pub(crate) fn complete_under_way(&self) -> Duration {
        match self.graceful_end {
            Some(Completed::ByUs) => self.paths.get(self.t2_path).rto.get(),
            Some(Completed::ByPeer) | None => Duration::ZERO,
        }
    }

    /// Our verification tag.
    pub(crate) fn local_tag(&self) -> u32 {
        self.local_tag
    }

    /// Verification tag of the peer. 0 while it is unknown.
    pub(crate) fn peer_tag(&self) -> u32 {
        self.peer_tag
    }

    /// The tie-tags for a cookie that answers an INIT during this association.
    pub(crate) fn tie_tags(&self) -> (u32, u32) {
        self.tie_tags
    }

    /// Our first TSN.
    pub(crate) fn initial_tsn(&self) -> Tsn {
        self.initial_tsn
    }

    /// The addresses that may be announced to the peer.
    pub(crate) fn local_addrs(&self) -> &[IpAddr] {
        &self.local_addrs
    }

    /// Addresses and encapsulation of all paths.
    pub(crate) fn path_addrs(&self) -> impl Iterator<Item = PathAddr> {
        self.paths.iter().map(Path::addr)
    }

    /// The path that a packet from `remote` came by, if this is an address of the peer.
    pub(crate) fn path_of(&self, remote: IpAddr) -> Option<PathId> {
        self.paths.find(remote)
    }

    /// Addresses and encapsulation of a path.
    pub(crate) fn path_addr(&self, id: PathId) -> PathAddr {
        self.paths.get(id).addr()
    }

    /// True when the address of a path has proven to be the peer's.
    pub(crate) fn is_confirmed(&self, id: PathId) -> bool {
        self.paths.get(id).is_confirmed()
    }

    /// Whether to believe that packets from the address of a path come from the peer, even if they
    /// lack the tag that only the peer knows. That is so if the path is confirmed, or if no path
    /// is. Otherwise the address may be somebody else's (RFC 9260 sec 5.4).
    fn is_credible(&self, id: PathId) -> bool {
        self.is_confirmed(id) || !self.paths.iter().any(Path::is_confirmed)
    }

    /// Any path, for a packet from an address that is not known yet.
    pub(crate) fn any_path(&self) -> PathId {
        self.paths.primary()
    }

    /// A packet with the right tag came by a path, so the path now has the encapsulation of this
    /// packet. True if that is a change.
    pub(crate) fn learn_encap(&mut self, id: PathId, encap: Encap) -> bool {
        let changed = self.paths.get(id).addr().encap != encap;
        if changed {
            self.paths.get_mut(id).set_encap(encap);
            self.reroute = true;
        }
        changed
    }

    /// True when DATA has been sent or received.
    pub(crate) fn data_exchanged(&self) -> bool {
        self.data_exchanged
    }

    // ---- received packets ----

    /// Queues an error cause for an ERROR chunk. Drops it if there is no room, because reports must
    /// stay small. `cause` finds room for at least 4 bytes of information and cuts quotations to
    /// [`CauseWriter::room`].
    fn report(&mut self, to: PathId, cause: impl FnOnce(&mut CauseWriter<'_>)) {
        let mut causes = CauseWriter::append_to(&mut self.pending.errors, MAX_ERROR_BYTES);
        if causes.room() < TLV_HEADER + 4 {
            return;
        }
        cause(&mut causes);
        // Only probes may go to an unconfirmed address (RFC 9260 sec 5.4).
        let to = if self.paths.get(to).is_confirmed() { to } else { self.paths.data_path() };
        self.pending.errors_to = FirstByDefault(to);
    }

    // ---- the end ----

    /// Ends the association with an ABORT, because the peer broke the protocol.
    fn violation(&mut self, cx: &mut Cx<'_>, what: &'static str) {
        let reason = LossReason::ProtocolViolation(what);
        self.abort_with(cx, reason, |c| c.protocol_violation(what.as_bytes()));
    }

    /// Sends an ABORT with one cause and ends the association.
    fn abort_with(
        &mut self,
        cx: &mut Cx<'_>,
        reason: LossReason,
        cause: impl FnOnce(&mut CauseWriter<'_>),
    ) {
        if self.peer_tag != 0 {
            let to = self.last_path().addr();
            cx.replies.push_last(to, (self.local_port, self.peer_port), self.peer_tag, |w| {
                w.abort(false, cause);
            });
        }
        self.end(cx, Event::Lost(reason));
    }

    /// The user aborts the association (RFC 9260 sec 9.1).
    pub(crate) fn abort(&mut self, cx: &mut Cx<'_>, reason: &[u8]) {
        if !self.is_closed() {
            let pmtu = self.last_path().pmtu();
            self.abort_with(cx, LossReason::LocalAbort, |c| {
                let room = c.room().min(pmtu - COMMON_HEADER - CHUNK_HEADER) - TLV_HEADER;
                c.user_abort(&reason[..reason.len().min(room)]);
            });
        }
    }

    /// The path for the last packet: the one that the peer was last heard on, if it is confirmed.
    fn last_path(&self) -> &Path {
        let heard = self.paths.get(self.last_heard);
        if heard.is_confirmed() { heard } else { self.paths.get(self.paths.data_path()) }
    }

    /// Ends the association. The user gets back the messages that were not acknowledged.
    fn end(&mut self, cx: &mut Cx<'_>, last: Event) {
        if let Some(cut_off) = self.recv.abort_partial() {
            cx.event(cut_off.into());
        }
        self.signal_readable(cx);
        for (message, unsent) in self.send.drain_failed() {
            cx.event(Event::SendFailed { message, unsent });
        }
        for path in self.paths.iter_mut() {
            path.t3 = None;
            path.flight = 0;
            path.lost = 0;
            path.heartbeat = heartbeat::Heartbeat::Off;
            path.pmtud.stop();
        }
        self.timers.stop_all();
        self.pending = Pending::default();
        self.handshake = None;
        self.state = AssocState::Closed;
        let completed = self.graceful_end.unwrap_or(Completed::ByPeer);
        self.graceful_end = (last == Event::ShutdownComplete).then_some(completed);
        self.reroute = true;
        cx.event(last);
    }

    /// The earliest deadline.
    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        earlier(self.timers.next(), self.paths.deadline())
    }

    /// Checks invariants. For tests.
    pub(crate) fn verify(&self) -> Result<(), String> {
        if self.is_closed() {
            return match self.poll_timeout() {
                Some(at) => Err(format!("a closed association has a timer at {at}")),
                None => Ok(()),
            };
        }
        self.send.outstanding.verify(&self.paths)?;
        for id in self.paths.ids() {
            let path = self.paths.get(id);
            if path.flight > 0 && path.t3.is_none() {
                return Err(format!(
                    "{} bytes are in flight on path {} and T3 does not run",
                    path.flight, id.0
                ));
            }
        }
        if self.timers.get(Timer::Sack).is_some() && !self.recv.sack_owed() {
            return Err("the SACK timer runs and no SACK is owed".into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
