//! Building packets: choosing the path, then control chunks, then DATA (RFC 9260 sec 6.1, 6.10).

use rand::RngExt;

use super::announce::announced;
use super::heartbeat::{HEARTBEAT_LEN, Heartbeat, Info, Try, info};
use super::path::{Path, PathId};
use super::send::{Blocked, FillLimits};
use super::timer::Timer;
use super::{Association, Cx};
use crate::addr::{SegmentLimits, Transmit};
use crate::config::PathParams;
use crate::event::Event;
use crate::stats::{AssocState, PathState};
use crate::wire::{
    CHUNK_HEADER, COMMON_HEADER, InitFixed, PacketWriter, SACK_HEADER, SHUTDOWN_LEN,
};

impl Association {
    /// Appends the next packet, or several packets of equal size for one path, to `buf`.
    pub(crate) fn poll_transmit(
        &mut self,
        cx: &mut Cx<'_>,
        limits: SegmentLimits,
        buf: &mut Vec<u8>,
    ) -> Option<Transmit> {
        let transmit = match self.state {
            AssocState::Closed => None,
            AssocState::CookieWait => self.transmit_init(cx, buf),
            _ if self.pending.cookie_echo => self.transmit_cookie_echo(cx, buf),
            _ => {
                self.expire_messages(cx);
                self.transmit_established(cx, limits, buf)
            }
        };
        match transmit {
            Some(t) => {
                let packets = t.segment_size.map_or(1, |size| t.len.div_ceil(size));
                self.stats.packets_sent += packets as u64;
                if let Some(id) = self.paths.find(t.path.remote) {
                    let stats = &mut self.paths.get_mut(id).stats;
                    stats.packets_sent += packets as u64;
                    stats.bytes_sent += t.len as u64;
                }
            }
            None => self.end_opportunity(cx),
        }
        transmit
    }

    /// Ends the opportunity to send if there clearly is nothing to send, and returns true. False
    /// means that [`poll_transmit`](Self::poll_transmit) must be asked, which costs more.
    pub(crate) fn end_if_nothing_to_send(&mut self) -> bool {
        let nothing = self.state == AssocState::Established
            && self.send.queue.is_empty()
            && !self.recv.sack_now()
            && self.pending.is_empty();
        let quiet =
            |path: &Path| path.lost == 0 && !path.heartbeat.is_due() && path.pmtud.due().is_none();
        let is_idle = nothing && self.paths.iter().all(quiet);
        if is_idle {
            for path in self.paths.iter_mut() {
                path.end_burst(&self.config, false);
            }
        }
        is_idle
    }

    /// Nothing more can be sent for now.
    fn end_opportunity(&mut self, cx: &Cx<'_>) {
        self.arm_window_probe(cx);
        let more = !self.send.queue.is_empty();
        for path in self.paths.iter_mut() {
            path.end_burst(&self.config, more && path.burst == 0);
        }
    }

    pub(super) fn writer<'b>(
        &self,
        buf: &'b mut Vec<u8>,
        limit: usize,
        tag: u32,
    ) -> PacketWriter<'b> {
        PacketWriter::new(buf, limit, self.local_port, self.peer_port, tag)
    }

    fn single(&mut self, cx: &Cx<'_>, to: PathId, len: usize) -> Transmit {
        let path = self.paths.get_mut(to);
        path.last_used = cx.now;
        path.transmit(len, len > path.pmtu())
    }

    fn transmit_init(&mut self, cx: &mut Cx<'_>, buf: &mut Vec<u8>) -> Option<Transmit> {
        if !self.pending.init {
            return None;
        }
        self.pending.init = false;
        let handshake = self.handshake.as_deref_mut()?;
        if !handshake.retransmitted {
            handshake.sent_at = cx.now;
        }
        let (target, preservative) = (handshake.target, handshake.preservative);
        let path = self.paths.get(target);
        let addresses = announced(self.config.announce, &self.local_addrs, path.addr());
        let fixed = InitFixed {
            initiate_tag: self.local_tag,
            a_rwnd: u32::try_from(self.config.recv_buffer).unwrap_or(u32::MAX),
            outbound_streams: self.config.out_streams,
            inbound_streams: self.config.max_in_streams,
            initial_tsn: self.initial_tsn,
        };
        // A packet with INIT has verification tag 0 (RFC 9260 sec 8.5.1 A).
        let mut writer = self.writer(buf, path.pmtu(), 0);
        writer.init(false, &fixed, |params| {
            for addr in addresses {
                params.address(addr);
            }
            if let Some(millis) = preservative {
                params.cookie_preservative(millis);
            }
        });
        let len = writer.finish();
        Some(self.single(cx, target, len))
    }

    fn transmit_cookie_echo(&mut self, cx: &mut Cx<'_>, buf: &mut Vec<u8>) -> Option<Transmit> {
        self.pending.cookie_echo = false;
        let handshake = self.handshake.as_deref_mut()?;
        if !handshake.retransmitted {
            handshake.sent_at = cx.now;
        }
        let target = handshake.target;
        let again = handshake.cookie_retransmits > 0;
        let cookie = std::mem::take(&mut handshake.cookie);
        let unrecognized = std::mem::take(&mut handshake.unrecognized);
        let limit = self.paths.get(target).setup_limit(again);
        let mut writer = self.writer(buf, limit, self.peer_tag);
        writer.cookie_echo(&cookie);
        if !unrecognized.is_empty() && writer.room() >= unrecognized.len() + 8 {
            writer.error(|causes| causes.unrecognized_params(&unrecognized));
        }
        self.write_heartbeat(cx, &mut writer, target);
        if self.paths.get(target).is_confirmed() {
            self.fill(cx, &mut writer, target, true, true);
        }
        let len = writer.finish();
        if let Some(handshake) = self.handshake.as_deref_mut() {
            handshake.cookie = cookie;
            handshake.unrecognized = unrecognized;
        }
        Some(self.single(cx, target, len))
    }

    fn transmit_established(
        &mut self,
        cx: &mut Cx<'_>,
        limits: SegmentLimits,
        buf: &mut Vec<u8>,
    ) -> Option<Transmit> {
        loop {
            let Some(id) = self.next_path(cx) else { return self.transmit_probe(cx, buf) };
            let start = buf.len();
            let path = self.paths.get(id);
            let (addr, pmtu) = (path.addr(), path.pmtu());
            let PathParams { dscp, flow_label, .. } = path.params;
            let max = limits.of(addr.encap);
            let mut first = 0;
            let mut oversize = false;
            let mut segments = 0;
            loop {
                let segment = buf.len();
                let limit = if segments == 0 { pmtu } else { first };
                let mut writer = self.writer(buf, limit, self.peer_tag);
                if segments == 0 {
                    self.write_control(cx, &mut writer, id);
                }
                // Later segments must not be longer than the first. So large messages may only be
                // cut to fill them if the first segment is full.
                let full_size = segments == 0 || first + 4 > pmtu;
                // Before the COOKIE ACK arrives, only the packet with the COOKIE ECHO may carry
                // DATA.
                let more = self.state != AssocState::CookieEchoed
                    && self.fill(cx, &mut writer, id, full_size, segments == 0);
                if writer.is_empty() {
                    writer.abandon();
                    break;
                }
                let len = writer.finish();
                segments += 1;
                if segments == 1 {
                    first = len;
                }
                oversize |= buf.len() - segment > pmtu;
                if !more || len < first || segments >= max || oversize {
                    break;
                }
            }
            let len = buf.len() - start;
            if segments == 0 {
                // Something was due, but nothing was written, because a control chunk is not wanted
                // any more. So look again.
                if self.next_path(cx) == Some(id) {
                    return self.transmit_probe(cx, buf);
                }
                continue;
            }
            return Some(Transmit {
                path: addr,
                ecn: None,
                dscp,
                flow_label,
                len,
                segment_size: (segments > 1).then_some(first),
                may_fragment: oversize,
            });
        }
    }

    /// The path that has something to send now.
    fn next_path(&mut self, cx: &Cx<'_>) -> Option<PathId> {
        if let Some(id) = self.pending.cookie_ack {
            return Some(id);
        }
        if let Some(&(id, _)) = self.pending.heartbeat_acks.first() {
            return Some(id);
        }
        let setup = self.state == AssocState::CookieEchoed;
        if !self.pending.errors.is_empty() && !setup {
            return Some(self.pending.errors_to.0);
        }
        if let Some(id) = self.paths.ids().find(|&id| self.paths.get(id).heartbeat.is_due()) {
            return Some(id);
        }
        if setup {
            // Nothing else may be sent before the COOKIE ACK arrives.
            return None;
        }
        if self.pending.shutdown || self.pending.shutdown_ack {
            return Some(self.shutdown_path());
        }
        let data =
            self.paths.ids().find(|&id| self.may_send_lost(id)).or_else(|| self.new_data_path(cx));
        if data.is_some() {
            return data;
        }
        self.recv.sack_now().then(|| self.sack_path())
    }

    /// The path for SACKs: the one that the last DATA came by (RFC 9260 sec 6.4), if it is
    /// confirmed.
    fn sack_path(&self) -> PathId {
        let id = self.recv.sack_path;
        if id.index() < self.paths.len() && self.paths.get(id).is_confirmed() {
            id
        } else {
            self.paths.data_path()
        }
    }

    fn may_send_lost(&self, id: PathId) -> bool {
        let path = self.paths.get(id);
        path.lost > 0 && path.is_confirmed() && (path.retransmit_now || path.may_carry_more())
    }

    /// The path for new DATA, if some can be sent on it now.
    fn new_data_path(&mut self, cx: &Cx<'_>) -> Option<PathId> {
        let id = self.new_data_target();
        self.may_send_new(cx, id).then_some(id)
    }

    /// The path for new DATA. The user may have chosen one for the next message; if that has failed
    /// or there is none, the data path.
    fn new_data_target(&self) -> PathId {
        let wanted = self.send.queue.head_address().and_then(|addr| self.paths.find(addr));
        let usable = |id: &PathId| self.paths.get(*id).state == PathState::Active;
        wanted.filter(usable).unwrap_or_else(|| self.paths.data_path())
    }

    fn may_send_new(&mut self, cx: &Cx<'_>, id: PathId) -> bool {
        use AssocState::*;
        if !matches!(self.state, Established | ShutdownPending | ShutdownReceived)
            || self.send.queue.is_empty()
        {
            return false;
        }
        let fragment = self.fragment_size();
        let config = &*self.config;
        let path = self.paths.get_mut(id);
        if !path.is_confirmed() || path.lost > 0 {
            return false;
        }
        if path.flight == 0 {
            path.decay_idle(cx.now);
            if path.burst == 0 {
                path.end_burst(config, false);
            }
        }
        if !path.may_carry_more() || path.burst == 0 {
            return false;
        }
        let room = path.pmtu() - COMMON_HEADER;
        // Nagle: a small packet waits for an acknowledgement. The rest of a message that has begun
        // to leave does not wait.
        let begun = self.send.queue.head().is_some_and(|(_, begun)| begun);
        if !config.nodelay
            && !begun
            && self.send.outstanding.any_in_flight()
            && self.send.queue.bytes() < fragment
        {
            return false;
        }
        self.send.next_len(room, fragment, true).is_ok()
    }

    /// Most user bytes in one chunk that fits every path.
    pub(super) fn fragment_size(&self) -> usize {
        let fits = (self.paths.min_pmtu() - COMMON_HEADER - self.send.queue.header_len()) & !3;
        self.config.max_segment.map_or(fits, |most| most.min(fits))
    }

    /// Writes the control chunks that are due on a path, in the order that receivers expect.
    fn write_control(&mut self, cx: &mut Cx<'_>, writer: &mut PacketWriter<'_>, id: PathId) {
        if self.pending.cookie_ack == Some(id) {
            self.pending.cookie_ack = None;
            writer.cookie_ack();
        }
        let acks = &mut self.pending.heartbeat_acks;
        while let Some(i) = acks
            .iter()
            .position(|(to, tlvs)| *to == id && tlvs.len() + CHUNK_HEADER <= writer.room())
        {
            let (_, tlvs) = acks.remove(i);
            writer.heartbeat_ack(&tlvs);
        }
        // Drop an answer that does not fit any more, because the path has become narrower. It would
        // block the path.
        acks.retain(|(to, tlvs)| {
            *to != id || tlvs.len() + CHUNK_HEADER <= writer.room() || !writer.is_empty()
        });
        let setup = self.state == AssocState::CookieEchoed;
        if !self.pending.errors.is_empty() && self.pending.errors_to.0 == id && !setup {
            let causes = std::mem::take(&mut self.pending.errors);
            // Causes that do not fit are not reported. They would need a second control packet in
            // answer to the same received one.
            if causes.len() + CHUNK_HEADER <= writer.room() {
                writer.raw_chunk(crate::wire::chunk_type::ERROR, 0, &causes);
            }
        }
        self.write_heartbeat(cx, writer, id);
        if !self.paths.get(id).is_confirmed() || self.state == AssocState::CookieEchoed {
            return;
        }
        // A SACK for data that came by another path goes to that path, because the way to this
        // address may be broken (RFC 9260 sec 6.4). It may go here if this path has no errors.
        let reliable = id == self.sack_path() || self.paths.get(id).error_count == 0;
        // A SACK that is owed goes before a SHUTDOWN, not after it when the SACK timer expires.
        let closing = self.pending.shutdown || self.pending.shutdown_ack;
        if self.recv.sack_owed()
            && reliable
            && writer.room() >= SACK_HEADER
            && (self.recv.sack_now()
                || closing
                || self.may_send_lost(id)
                || self.may_send_new(cx, id))
        {
            self.recv.write_sack(writer);
            self.stats.sacks_sent += 1;
            self.timers.stop(Timer::Sack);
        }
        if self.pending.shutdown && writer.room() >= SHUTDOWN_LEN {
            self.pending.shutdown = false;
            writer.shutdown(self.recv.cum_tsn());
        }
        if self.pending.shutdown_ack && writer.room() >= CHUNK_HEADER {
            self.pending.shutdown_ack = false;
            writer.shutdown_ack();
        }
    }

    fn write_heartbeat(&mut self, cx: &mut Cx<'_>, writer: &mut PacketWriter<'_>, id: PathId) {
        let path = self.paths.get_mut(id);
        let Heartbeat::Due { late } = path.heartbeat else { return };
        if !writer.is_empty() && writer.room() < HEARTBEAT_LEN {
            return;
        }
        let fresh = Try::first(cx.rng.random());
        let this = late.map_or(fresh, Try::next);
        let (nonce, number) = (this.nonce(), this.number);
        writer.heartbeat(&info(Info { nonce, path: id.0, number, probe: 0 }));
        let deadline = cx.now + path.rto.get();
        path.heartbeat = Heartbeat::Waiting { this, sent: cx.now, deadline, error_counted: false };
        path.last_used = cx.now;
    }

    /// Adds DATA for a path to a packet. True when more could follow in another packet.
    fn fill(
        &mut self,
        cx: &mut Cx<'_>,
        writer: &mut PacketWriter<'_>,
        id: PathId,
        full_size: bool,
        oversize: bool,
    ) -> bool {
        let setup = self.state == AssocState::CookieEchoed;
        let lost = self.may_send_lost(id);
        // During the setup, the one packet with the COOKIE ECHO takes whatever fits. Later cwnd,
        // burst limit and window decide.
        let new_data = if setup { !lost } else { self.may_send_new(cx, id) };
        if !lost && !new_data {
            return false;
        }
        let limits = FillLimits {
            now: cx.now,
            fragment: self.fragment_size(),
            full_size,
            oversize: oversize.then(|| self.paths.get(id).least_oversize()),
            new_data: new_data && id == self.new_data_target(),
            closing: self.state == AssocState::ShutdownPending,
        };
        let flight = self.paths.get(id).flight;
        let fill = self.send.fill(writer, id, &mut self.paths, limits);
        if !self.send.expired.is_empty() {
            self.give_back_expired(cx);
        }
        if fill.is_empty() {
            return false;
        }
        self.data_exchanged = true;
        self.stats.data_chunks_sent += u64::from(fill.new + fill.retransmitted);
        self.stats.data_chunks_retransmitted += u64::from(fill.retransmitted);
        let path = self.paths.get_mut(id);
        path.stats.data_chunks_retransmitted += u64::from(fill.retransmitted);
        path.retransmit_now &= fill.retransmitted == 0;
        if writer.len() <= path.pmtu() {
            path.largest_sent = path.largest_sent.max(writer.len());
        }
        if fill.new > 0 {
            path.burst = path.burst.saturating_sub(path.flight.saturating_sub(flight));
        }
        if path.t3.is_none() || fill.lowest {
            path.t3 = Some(cx.now + path.rto.get());
            path.sack_since_t3 = false;
            path.t3_error_counted = false;
        }
        !setup
            && (self.may_send_lost(id)
                || (id == self.new_data_target() && self.may_send_new(cx, id)))
    }

    /// Drops messages whose lifetime has ended from the front of the queue.
    fn expire_messages(&mut self, cx: &mut Cx<'_>) {
        while let Some(message) = self.send.queue.pop_expired(cx.now) {
            self.send.expired.push(message);
        }
        if !self.send.expired.is_empty() {
            self.give_back_expired(cx);
            self.advance_shutdown(cx);
        }
    }

    /// Tells the user about messages whose lifetime has ended, and about the room they leave.
    fn give_back_expired(&mut self, cx: &mut Cx<'_>) {
        for message in std::mem::take(&mut self.send.expired) {
            cx.event(Event::SendFailed { message, unsent: true });
        }
        self.signal_writable(cx);
    }

    /// If the window is closed and nothing is in flight, starts the timer for the next window
    /// probe.
    fn arm_window_probe(&mut self, cx: &Cx<'_>) {
        use AssocState::*;
        if !matches!(self.state, Established | ShutdownPending | ShutdownReceived)
            || self.timers.get(Timer::WindowProbe).is_some()
            || self.send.probe_window
            || !self.send.may_probe()
        {
            return;
        }
        let path = self.paths.get(self.new_data_target());
        let room = path.pmtu() - COMMON_HEADER;
        if self.send.next_len(room, self.fragment_size(), true) == Err(Blocked::Window) {
            let wait = path.rto.get() * (1 << self.send.window_probes.min(6));
            self.timers.set(Timer::WindowProbe, cx.now + wait.min(self.config.rto_max));
        }
    }
}
