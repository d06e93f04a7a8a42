//! The public core: many ports and associations over any number of links.

mod cookie;
mod demux;
mod limit;
mod listen;
mod messages;
mod ootb;
mod ports;
mod receive;
mod recent_tags;
mod replies;
mod settings;
mod table;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use rand::RngExt;
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::addr::{Encap, PathAddr, Peer, Scope, SegmentLimits, Transmit, scope, source_among};
use crate::assoc::{Association, Cx};
use crate::config::{AssocConfig, StackConfig};
use crate::error::{ConfigError, ConnectError, NotFound};
use crate::event::Event;
use crate::interface::reaches;
use crate::own::OwnAddrs;
use crate::serial::Tsn;
use crate::stats::{AssocStats, AssocStatus, PathStatus, StackStats};
use crate::time::{Duration, Time};

use cookie::CookieJar;
use demux::{Demux, Pair};
use limit::TokenBucket;
use ports::Port;
use recent_tags::{Ending, RecentTags};
pub(crate) use replies::Replies;
pub use table::AssocId;
use table::Table;

/// An SCTP stack: ports, associations and the routing between them.
#[derive(Debug)]
pub struct Stack {
    config: StackConfig,
    rng: ChaCha12Rng,
    ports: BTreeMap<u16, Port>,
    /// Ports that [`bind`](Self::bind) with port 0 takes before any others.
    granted: VecDeque<u16>,
    table: Table,
    demux: Demux,
    cookies: CookieJar,
    recent_tags: RecentTags,
    replies: Replies,
    events: VecDeque<(AssocId, Event)>,
    init_limit: TokenBucket,
    /// Refused INITs have a limit of their own, so that a flood of them does not use up the answers
    /// for ports that listen.
    refusal_limit: TokenBucket,
    ootb_limit: TokenBucket,
    own: OwnAddrs,
    stats: StackStats,
}

/// What an ICMP error said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unreachable {
    /// ICMP protocol unreachable, ICMPv6 unrecognized next header or, under UDP encapsulation, port
    /// unreachable.
    Protocol,
    /// Any other "destination unreachable".
    Destination,
    /// Fragmentation needed or Packet Too Big: the largest IP packet that fits.
    PacketTooBig {
        /// MTU of the next hop, bytes.
        ip_mtu: u16,
    },
    /// Not an ICMP message: a packet that was to be cut into fragments ([`Transmit::may_fragment`])
    /// has left whole, because the interface of this host takes it.
    NotCut {
        /// The largest IP packet that the interface takes, bytes.
        ip_mtu: u16,
    },
    /// Not an ICMP message: this host itself knew no way there when a packet was to be sent, so
    /// nothing has left.
    NoRoute(NoRoute),
}

/// What this host lacks to send to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoRoute {
    /// A route to the network of the address, or an own address or link to send from (ENETUNREACH).
    Network,
    /// A way to the host itself: neighbour discovery gets no answer, or a route says that the host
    /// is unreachable (EHOSTUNREACH).
    Host,
}

impl Stack {
    /// Makes a stack. All randomness (tags, TSNs, nonces, keys, jitter) comes from `seed`.
    pub fn new(config: StackConfig, seed: [u8; 32]) -> Self {
        let mut rng = ChaCha12Rng::from_seed(seed);
        let cookies = CookieJar::new(config.cookie_key_life, config.cookie_life, &mut rng);
        let init_limit = TokenBucket::new(config.init_ack_rate);
        let refusal_limit = TokenBucket::new(config.init_ack_rate);
        let ootb_limit = TokenBucket::new(config.ootb_rate);
        Stack {
            config,
            rng,
            ports: BTreeMap::new(),
            granted: VecDeque::new(),
            table: Table::default(),
            demux: Demux::default(),
            cookies,
            recent_tags: RecentTags::default(),
            replies: Replies::default(),
            events: VecDeque::new(),
            init_limit,
            refusal_limit,
            ootb_limit,
            own: OwnAddrs::default(),
            stats: StackStats::default(),
        }
    }

    /// Starts an association from a bound port. The outcome is an [`Event::Up`] or [`Event::Lost`].
    /// Messages may be queued at once; they travel with the COOKIE ECHO. `config` overrides that of
    /// the port.
    ///
    /// # Errors
    /// When the port is not bound, the peer has no usable address or port, the configuration is not
    /// valid, the stack is full or there already is such an association.
    pub fn connect(
        &mut self,
        now: Time,
        port: u16,
        peer: &Peer,
        config: Option<AssocConfig>,
    ) -> Result<AssocId, ConnectError> {
        let entry = self.ports.get(&port).filter(|p| !p.unbound).ok_or(ConnectError::NotBound)?;
        if peer.port == 0 || !peer.addrs.iter().any(|(a, _)| scope(*a).is_some()) {
            return Err(ConnectError::NoAddress);
        }
        if self.table.len() >= self.config.max_associations {
            return Err(ConnectError::TooMany);
        }
        if peer.addrs.iter().any(|&(a, encap)| self.by_pair(a, encap, (peer.port, port)).is_some())
        {
            return Err(ConnectError::AlreadyConnected);
        }
        if let Some(config) = &config {
            config.check()?;
        }
        let automatic = entry.automatic;
        let config = config.map_or_else(|| Arc::clone(&entry.config), Arc::new);
        let bound = entry.addrs.clone();
        let announced = self.addrs_to_announce(&bound);
        let tag = self.draw_tag(now, port);
        let tsn = self.draw_tsn();
        let source = move |remote| pinned_source(&bound, remote);
        let id = self.table.next_id();
        let (_, mut cx) = self.table_and_cx(now, id);
        let mut assoc =
            Association::connecting(port, peer, config, tag, tsn, (announced, source), &mut cx);
        if automatic {
            assoc.may_change_port();
        }
        Ok(self.add_association(assoc))
    }

    /// Fires every timer that is due at `now`.
    pub fn handle_timeout(&mut self, now: Time) {
        while let Some(id) = self.table.pop_due(now) {
            self.with(now, id, |assoc, cx| assoc.handle_timeout(cx));
        }
    }

    /// Appends the next packet(s) to `buf` and says where they go. `None` when there is nothing to
    /// send now.
    pub fn poll_transmit(
        &mut self,
        now: Time,
        limits: SegmentLimits,
        buf: &mut Vec<u8>,
    ) -> Option<Transmit> {
        if let Some(transmit) = self.replies.poll_transmit(buf) {
            self.stats.packets_sent += 1;
            return Some(transmit);
        }
        while let Some(id) = self.table.next_dirty() {
            let transmit =
                self.with(now, id, |assoc, cx| assoc.poll_transmit(cx, limits, buf)).flatten();
            // If the association has sent, it may have more to send, and `with` has put it at the
            // end of the queue. If it has not, it leaves the queue until `touch` puts it there
            // again.
            match transmit {
                Some(transmit) => {
                    self.stats.packets_sent +=
                        transmit.segment_size.map_or(1, |s| transmit.len.div_ceil(s) as u64);
                    return Some(transmit);
                }
                None => self.table.unmark_dirty(id),
            }
            if let Some(transmit) = self.replies.poll_transmit(buf) {
                self.stats.packets_sent += 1;
                return Some(transmit);
            }
        }
        None
    }

    /// The latest time for the next call of [`handle_timeout`](Self::handle_timeout).
    pub fn poll_timeout(&mut self) -> Option<Time> {
        self.table.next_deadline().map(|(at, _)| at)
    }

    /// As [`poll_timeout`](Self::poll_timeout), but cheaper and perhaps too early: a deadline that
    /// has moved to a later time may still count as it was. (Retransmission deadlines move with
    /// every acknowledgement.) Use it to set a timer that may fire once in vain.
    pub fn poll_wakeup(&mut self) -> Option<Time> {
        self.table.next_wakeup()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<(AssocId, Event)> {
        self.events.pop_front()
    }

    /// Begins the graceful shutdown (RFC 9260 sec 9.2). What is queued is still sent, even if the
    /// setup is not complete. An association that is still in COOKIE-WAIT and has nothing queued
    /// just ends. An association with a message given only in part is aborted.
    ///
    /// # Errors
    /// When there is no such association.
    pub fn shutdown(&mut self, now: Time, id: AssocId) -> Result<(), NotFound> {
        let entry = self.table.get(id).ok_or(NotFound)?;
        if entry.assoc.is_closed() {
            return Err(NotFound);
        }
        self.with(now, id, |assoc, cx| assoc.shutdown(cx)).ok_or(NotFound)
    }

    /// Ends the association with an ABORT that carries `reason` (cause 12). Gives [`Event::Lost`]
    /// with `LocalAbort`.
    ///
    /// # Errors
    /// When there is no such association.
    pub fn abort(&mut self, now: Time, id: AssocId, reason: Bytes) -> Result<(), NotFound> {
        let entry = self.table.get(id).ok_or(NotFound)?;
        if entry.assoc.is_closed() {
            return Err(NotFound);
        }
        self.with(now, id, |assoc, cx| assoc.abort(cx, &reason)).ok_or(NotFound)
    }

    /// Says that the user is done with an association. Unread data is dropped, and so is whatever
    /// still arrives. The slot is freed once the association has ended. A shutdown that has begun
    /// ends within [`close_timeout`](AssocConfig::close_timeout) of its last progress. An
    /// association that is still alive goes on, so shut it down or abort it first.
    ///
    /// Call this once for every association that `connect`, `accept` or an event has given out. If
    /// an association ends before it is accepted, the stack itself may release it to make room for
    /// others.
    pub fn release(&mut self, now: Time, id: AssocId) {
        let Some(entry) = self.table.get_mut(id) else { return };
        entry.released = true;
        if std::mem::take(&mut entry.waiting)
            && let Some(port) = self.ports.get_mut(&entry.assoc.local_port)
        {
            port.waiting.remove(id);
        }
        self.with(now, id, |assoc, cx| {
            assoc.discard(cx);
            assoc.orphan(cx.now);
        });
    }

    /// Drops everything unread and everything that arrives from now on (SHUT_RD). The peer learns
    /// nothing of it.
    pub fn discard(&mut self, now: Time, id: AssocId) {
        self.with(now, id, |assoc, cx| assoc.discard(cx));
    }

    /// Sends a heartbeat on the path to `addr` at once (RFC 9260 sec 11.1.9).
    ///
    /// # Errors
    /// When there is no such association or address.
    pub fn request_heartbeat(
        &mut self,
        now: Time,
        id: AssocId,
        addr: IpAddr,
    ) -> Result<(), NotFound> {
        match self.with(now, id, |assoc, _| assoc.request_heartbeat(addr)) {
            Some(true) => Ok(()),
            _ => Err(NotFound),
        }
    }

    /// The user has a reason to suspect that the peer is dead, as when somebody else says so.
    ///
    /// Sends a heartbeat on each path, so that a host without the peer has something to refuse. It
    /// sends none where one is under way, or where the path was used within the last RTO. So it may
    /// be called often.
    ///
    /// Until a packet arrives from the peer, ICMP errors are believed when they have continued for
    /// `patience` (whole milliseconds, at most 65 s), as with a smaller
    /// [`refusal_patience`](AssocConfig::refusal_patience). If they have already, the association
    /// ends in this call. A peer that answers is in no danger, whatever errors come.
    ///
    /// # Errors
    /// When there is no such association.
    pub fn suspect(&mut self, now: Time, id: AssocId, patience: Duration) -> Result<(), NotFound> {
        self.with(now, id, |assoc, cx| assoc.suspect(cx, patience)).ok_or(NotFound)
    }

    /// Makes the path to `addr` the primary one.
    ///
    /// # Errors
    /// When there is no such association or confirmed address.
    pub fn set_primary(&mut self, now: Time, id: AssocId, addr: IpAddr) -> Result<(), NotFound> {
        match self.with(now, id, |assoc, cx| assoc.set_primary(cx, addr)) {
            Some(true) => Ok(()),
            _ => Err(NotFound),
        }
    }

    /// Changes settings of a living association: timers, limits, buffers, heartbeat. Stream counts
    /// and MTUs stay.
    ///
    /// # Errors
    /// The outer error when there is no such association, the inner one when the settings are not
    /// valid.
    pub fn configure(
        &mut self,
        now: Time,
        id: AssocId,
        change: impl FnOnce(&mut AssocConfig),
    ) -> Result<Result<(), ConfigError>, NotFound> {
        self.with(now, id, |assoc, cx| assoc.configure(cx, change)).ok_or(NotFound)
    }

    /// State and figures of an association. They stay available after its end until it is released.
    pub fn status(&self, id: AssocId) -> Option<AssocStatus> {
        Some(self.table.get(id)?.assoc.status())
    }

    /// All paths of an association.
    pub fn paths(&self, id: AssocId) -> Vec<PathStatus> {
        self.table.get(id).map(|e| e.assoc.path_status()).unwrap_or_default()
    }

    /// Counters of an association.
    pub fn assoc_stats(&self, id: AssocId) -> Option<AssocStats> {
        Some(self.table.get(id)?.assoc.stats())
    }

    /// The own addresses that the peer of an association was told. Empty when it was told none.
    pub fn local_addrs(&self, id: AssocId) -> Vec<IpAddr> {
        self.table.get(id).map(|e| e.assoc.announced_addrs()).unwrap_or_default()
    }

    /// Tells the stack all addresses that the host has now. If a peer on another host lists one of
    /// them as its own, the stack sends no packets there. Addresses that a port is bound to need
    /// not be in the list.
    pub fn set_host_addrs(&mut self, addrs: Vec<IpAddr>) {
        self.own.set_host(addrs);
    }

    /// The settings of the stack.
    pub fn config(&self) -> &StackConfig {
        &self.config
    }

    /// Counters of the stack.
    pub fn stats(&self) -> StackStats {
        StackStats { own_addresses_left_out: self.own.left_out(), ..self.stats }
    }

    /// Aborts every association because the stack is going away. Drain `poll_transmit` once more
    /// afterwards.
    pub fn abort_all(&mut self, now: Time, reason: Bytes) {
        for id in self.table.ids() {
            let _ = self.abort(now, id, reason.clone());
        }
    }

    /// Checks the invariants of every association: data outstanding on a path implies that its T3
    /// runs, the flight size equals the sum of the outstanding chunks, and so on. This is for
    /// tests; it costs time proportional to everything outstanding.
    ///
    /// # Errors
    /// A sentence that names the first violated invariant.
    pub fn verify(&self) -> Result<(), String> {
        for id in self.table.ids() {
            let Some(entry) = self.table.get(id) else { continue };
            entry.assoc.verify().map_err(|e| format!("association {}: {e}", id.index))?;
            if !entry.assoc.is_closed()
                && self.demux.by_tag(entry.assoc.local_tag(), entry.assoc.local_port)
                    != Some(id.index)
            {
                return Err(format!("association {} is not found by its tag", id.index));
            }
        }
        Ok(())
    }

    /// True when [`poll_transmit`](Self::poll_transmit) may have something.
    pub fn has_transmit(&self) -> bool {
        !self.replies.is_empty() || self.table.any_dirty()
    }

    /// The associations, and what one of them may use during a call. The two borrow different parts
    /// of the stack.
    fn table_and_cx(&mut self, now: Time, id: AssocId) -> (&mut Table, Cx<'_>) {
        let Stack { table, rng, events, replies, own, .. } = self;
        (table, Cx { now, id, rng, events, replies, own })
    }

    /// Runs a call that hands a message in or out. There is such a call for every message. It moves
    /// neither deadlines nor addresses and ends nothing, so the follow-up of [`with`](Self::with)
    /// would only waste time.
    fn exchange<R>(
        &mut self,
        now: Time,
        id: AssocId,
        run: impl FnOnce(&mut Association, &mut Cx<'_>) -> R,
    ) -> Option<R> {
        let (table, mut cx) = self.table_and_cx(now, id);
        let entry = table.get_mut(id)?;
        let result = run(&mut entry.assoc, &mut cx);
        if entry.assoc.wants_to_send() {
            table.mark_dirty(id);
        }
        Some(result)
    }

    /// Runs a call on an association and follows up: brings the indexes, the queue of senders and
    /// the deadlines up to date, and removes the association if it has ended and was released.
    fn with<R>(
        &mut self,
        now: Time,
        id: AssocId,
        run: impl FnOnce(&mut Association, &mut Cx<'_>) -> R,
    ) -> Option<R> {
        let (table, mut cx) = self.table_and_cx(now, id);
        let entry = table.get_mut(id)?;
        let result = run(&mut entry.assoc, &mut cx);
        let closed = entry.assoc.is_closed();
        let gone = closed && entry.released;
        if std::mem::take(&mut entry.assoc.reroute) {
            self.reroute(now, id);
        }
        if gone {
            let port = self.table.get(id).map(|e| e.assoc.local_port);
            self.table.remove(id.index);
            if let Some(port) = port {
                if let Some(entry) = self.ports.get_mut(&port) {
                    entry.users -= 1;
                }
                self.drop_unused_port(port);
            }
        } else {
            self.table.touch(id);
        }
        Some(result)
    }

    /// Adds an association to the table, its port and the indexes.
    fn add_association(&mut self, assoc: Association) -> AssocId {
        if let Some(port) = self.ports.get_mut(&assoc.local_port) {
            port.users += 1;
        }
        let id = self.table.insert(assoc);
        self.reroute(Time::ZERO, id);
        self.table.touch(id);
        id
    }

    /// Brings the indexes up to date with the tag and the addresses of an association.
    fn reroute(&mut self, now: Time, id: AssocId) {
        let Some(entry) = self.table.get_mut(id) else { return };
        let (local, peer) = (entry.assoc.local_port, entry.assoc.peer_port);
        for pair in std::mem::take(&mut entry.indexed_pairs) {
            self.demux.remove_pair(pair, id.index);
        }
        if let Some(tag) = entry.indexed_tag.take() {
            self.demux.remove_tag(tag, local);
            self.stats.associations -= 1;
            if entry.waiting
                && entry.assoc.is_closed()
                && let Some(port) = self.ports.get_mut(&local)
            {
                port.waiting.ended(id);
            }
            if entry.assoc.is_closed() || entry.assoc.local_tag() != tag {
                let until = now + self.config.tag_reuse_guard;
                // After a restart the association has the peer's new tag already.
                let closed = entry.assoc.is_closed();
                let peer_tag = if closed { entry.assoc.peer_tag() } else { entry.indexed_peer_tag };
                let peer_tag = (peer_tag != 0).then_some((local, peer, peer_tag));
                let peer_tag = peer_tag.map(|peer| (peer, now));
                let ending = Ending {
                    gracefully: closed && entry.assoc.ended_gracefully(),
                    complete_under_way: entry.assoc.complete_under_way(),
                    complete_sent: now,
                };
                self.recent_tags.add(until, tag, peer_tag, ending);
            }
        }
        entry.assoc.reroute = false;
        if entry.assoc.is_closed() {
            return;
        }
        if entry.assoc.wants_other_port() {
            self.move_to_other_port(now, id);
        }
        let Some(entry) = self.table.get_mut(id) else { return };
        let local = entry.assoc.local_port;
        entry.indexed_tag = Some(entry.assoc.local_tag());
        entry.indexed_peer_tag = entry.assoc.peer_tag();
        self.demux.add_tag(entry.assoc.local_tag(), local, id.index);
        self.stats.associations += 1;
        let key = self.config.nat_port_key;
        let pair = |p: PathAddr| Pair {
            remote: p.remote,
            encap: key.then_some(p.encap),
            peer_port: peer,
            local_port: local,
        };
        entry.indexed_pairs = entry.assoc.path_addrs().map(pair).collect();
        for &pair in &entry.indexed_pairs {
            self.demux.add_pair(pair, id.index);
        }
    }

    /// The association with a peer at this address. `ports` are SCTP ports, the peer's first.
    fn by_pair(&self, remote: IpAddr, encap: Encap, ports: (u16, u16)) -> Option<AssocId> {
        self.table.id(self.demux.by_pair(self.pair(remote, encap, ports))?)
    }

    /// As [`by_pair`](Self::by_pair), but all of them: several peers may have given the same
    /// address if it was never confirmed.
    pub(crate) fn all_by_pair(
        &self,
        remote: IpAddr,
        encap: Encap,
        ports: (u16, u16),
    ) -> impl Iterator<Item = AssocId> {
        let slots = self.demux.all_by_pair(self.pair(remote, encap, ports));
        slots.filter_map(|slot| self.table.id(slot))
    }

    fn pair(&self, remote: IpAddr, encap: Encap, (peer_port, local_port): (u16, u16)) -> Pair {
        Pair { remote, encap: self.config.nat_port_key.then_some(encap), peer_port, local_port }
    }

    /// Draws a verification tag that no association has or recently had. All our tags come from
    /// here.
    fn draw_tag(&mut self, now: Time, port: u16) -> u32 {
        self.recent_tags.expire(now);
        loop {
            let tag = self.rng.random_range(1..=u32::MAX);
            if self.demux.by_tag(tag, port).is_none() && !self.recent_tags.contains(tag) {
                return tag;
            }
        }
    }

    fn draw_tsn(&mut self) -> Tsn {
        Tsn(self.config.initial_tsn.unwrap_or_else(|| self.rng.random()))
    }

    /// Addresses that a port bound to `bound` may announce.
    fn addrs_to_announce(&self, bound: &[IpAddr]) -> Vec<IpAddr> {
        if bound.is_empty() { self.config.local_addresses.clone() } else { bound.to_vec() }
    }
}

/// The source address to use towards `remote` for a port bound to these addresses. `None` when they
/// leave it open; then the routes of the system decide.
fn pinned_source(bound: &[IpAddr], remote: IpAddr) -> Option<IpAddr> {
    let loopback = |a: IpAddr| scope(a) == Some(Scope::Loopback);
    let fitting = bound.iter().copied().filter(|a| {
        a.is_ipv4() == remote.is_ipv4() && loopback(*a) == loopback(remote) && reaches(*a, remote)
    });
    source_among(fitting, remote)
}
