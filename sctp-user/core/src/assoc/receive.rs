//! Handles received packets chunk by chunk, in the order of the packet.

use bytes::Bytes;

use super::path::PathId;
use super::recv::DataVerdict;
use super::refusal::Refusal;
use super::timer::Timer;
use super::{Association, Cx, User};
use crate::addr::Datagram;
use crate::event::{Event, LossReason};
use crate::stats::AssocState;
use crate::tlv::{TLV_HEADER, UnknownAction};
use crate::wire::{Cause, Chunk, Chunks, DataChunk};

impl Association {
    /// Handles the chunks of a packet with the right verification tag.
    pub(crate) fn handle_chunks(
        &mut self,
        cx: &mut Cx<'_>,
        datagram: &Datagram,
        from: PathId,
        chunks: Chunks<'_>,
    ) {
        self.stats.packets_received += 1;
        self.last_heard = from;
        let path = self.paths.get_mut(from);
        path.refusal = Refusal::None;
        path.stats.packets_received += 1;
        path.stats.bytes_received += datagram.packet.len() as u64;
        if path.remote() == datagram.from.remote {
            path.set_local(datagram.from.local);
        }
        let mut data = 0u32;
        let mut new = 0u32;
        let mut reported = false;
        let (mut heartbeats, mut sacks) = (0, 0);
        for raw in chunks {
            let Ok(chunk) = raw.decode(&datagram.packet) else { break };
            match chunk {
                Chunk::Data(chunk) => match self.on_data(cx, chunk, from) {
                    Some(DataVerdict::New) => {
                        data += 1;
                        new += 1;
                    }
                    Some(_) => data += 1,
                    None => {}
                },
                Chunk::Unknown { action, whole, .. } => {
                    if action.reports() && !reported {
                        reported = true;
                        self.report(from, |c| {
                            let room = c.room().saturating_sub(TLV_HEADER);
                            c.unrecognized_chunk(&whole[..whole.len().min(room)]);
                        });
                    }
                    if matches!(action, UnknownAction::Stop | UnknownAction::StopReport) {
                        break;
                    }
                }
                Chunk::InitAck(init) => {
                    // INIT ACK is alone in its packet. Handling it may add and remove paths, so
                    // `from` is invalid afterwards.
                    if self.state == AssocState::CookieWait {
                        self.on_init_ack(cx, &init, datagram);
                    }
                    return;
                }
                // One received packet gets at most one control packet in answer (RFC 9260 sec 12),
                // so only the first HEARTBEAT is answered.
                Chunk::Heartbeat(_) if heartbeats > 0 => {}
                // Nobody sends two SACKs in one packet, and the work for each grows with the
                // outstanding chunks.
                Chunk::Sack(_) if sacks > 0 => {}
                other => {
                    heartbeats += u32::from(matches!(other, Chunk::Heartbeat(_)));
                    sacks += u32::from(matches!(other, Chunk::Sack(_)));
                    self.on_control(cx, other, datagram, from);
                }
            }
            if self.is_closed() {
                return;
            }
        }
        // Any packet shows that the peer is alive (RFC 9260 sec 9.2).
        self.t2_expiries = 0;
        if data > 0 {
            self.after_data(cx, from, new == 0);
        }
        self.signal_readable(cx);
        self.advance_shutdown(cx);
    }

    /// Handles a packet that has the peer's tag instead of ours. Only ABORT and SHUTDOWN COMPLETE
    /// with the T bit may have it.
    pub(crate) fn handle_reflected(&mut self, cx: &mut Cx<'_>, datagram: &Datagram, from: PathId) {
        if !self.is_credible(from) {
            return;
        }
        for raw in datagram.packet.chunks() {
            if let Ok(
                chunk @ (Chunk::Abort { reflected: true, .. }
                | Chunk::ShutdownComplete { reflected: true }),
            ) = raw.decode(&datagram.packet)
            {
                return self.on_control(cx, chunk, datagram, from);
            }
        }
    }

    pub(super) fn on_control(
        &mut self,
        cx: &mut Cx<'_>,
        chunk: Chunk<'_>,
        datagram: &Datagram,
        from: PathId,
    ) {
        use AssocState::*;
        let state = self.state;
        match chunk {
            Chunk::CookieAck if state == CookieEchoed => self.on_cookie_ack(cx, from),
            Chunk::Sack(sack)
                if matches!(
                    state,
                    CookieEchoed | Established | ShutdownPending | ShutdownReceived
                ) =>
            {
                self.stats.sacks_received += 1;
                self.on_sack(cx, sack.cum_tsn, Some(&sack));
            }
            Chunk::Heartbeat(tlvs)
                if matches!(
                    state,
                    CookieEchoed | Established | ShutdownPending | ShutdownSent | ShutdownReceived
                ) =>
            {
                self.on_heartbeat(tlvs, datagram, from);
            }
            Chunk::HeartbeatAck(tlvs) => self.on_heartbeat_ack(cx, tlvs),
            Chunk::Abort { reflected, causes } => {
                if reflected && state == ShutdownAckSent {
                    // The peer has finished and has forgotten us. Nothing is missing but its
                    // SHUTDOWN COMPLETE, which was lost or is late.
                    return self.end(cx, Event::ShutdownComplete);
                }
                self.on_abort(cx, causes.iter().next());
            }
            Chunk::Error { causes } => {
                for cause in causes.iter() {
                    self.on_error(cx, &cause);
                    if self.is_closed() {
                        return;
                    }
                }
            }
            Chunk::Shutdown { cum_tsn } => self.on_shutdown(cx, cum_tsn),
            Chunk::ShutdownAck => self.on_shutdown_ack(cx, datagram),
            Chunk::ShutdownComplete { .. } if state == ShutdownAckSent => {
                self.end(cx, Event::ShutdownComplete);
            }
            // Every other chunk has no meaning in this state.
            _ => {}
        }
    }

    pub(super) fn on_data(
        &mut self,
        cx: &mut Cx<'_>,
        chunk: DataChunk,
        from: PathId,
    ) -> Option<DataVerdict> {
        use AssocState::*;
        if !matches!(self.state, Established | ShutdownPending | ShutdownSent) {
            return None;
        }
        self.stats.data_chunks_received += 1;
        if chunk.payload.is_empty() {
            let reason = LossReason::ProtocolViolation("DATA without user data");
            self.abort_with(cx, reason, |c| c.no_user_data(chunk.tsn));
            return None;
        }
        self.data_exchanged = true;
        let taken = if chunk.stream < self.in_streams {
            self.recv.on_data(chunk, from)
        } else {
            self.report(from, |c| c.invalid_stream(chunk.stream));
            self.recv.discard(chunk.tsn)
        };
        match taken {
            DataVerdict::New => {}
            DataVerdict::Duplicate => self.stats.duplicates_received += 1,
            DataVerdict::Dropped => self.stats.data_chunks_dropped += 1,
            DataVerdict::Violation(what) => {
                self.violation(cx, what);
                return None;
            }
        }
        Some(taken)
    }

    pub(super) fn after_data(&mut self, cx: &mut Cx<'_>, from: PathId, only_old: bool) {
        let wants_timer = self.recv.end_of_packet(from, only_old, self.config.sack_frequency);
        if self.state == AssocState::ShutdownSent {
            // Every packet with DATA is answered at once with a SHUTDOWN. The SACK beside it
            // reports gaps, duplicates and the window; without these, a peer with much to send
            // would stop.
            self.pending.shutdown = true;
            self.start_t2(cx.now);
            self.timers.stop(Timer::Sack);
            self.recv.force_sack();
        } else if self.config.sack_delay.is_zero() {
            self.recv.force_sack();
        } else if wants_timer && self.timers.get(Timer::Sack).is_none() {
            self.timers.set(Timer::Sack, cx.now + self.config.sack_delay);
        }
    }

    pub(super) fn signal_readable(&mut self, cx: &mut Cx<'_>) {
        if self.user != User::Reads {
            while self.recv.pop().is_some() {}
            return;
        }
        if self.recv.is_readable() && !self.recv.reader_knows {
            self.recv.reader_knows = true;
            cx.event(Event::Readable);
        }
    }

    pub(super) fn on_abort(&mut self, cx: &mut Cx<'_>, cause: Option<Cause<'_>>) {
        let (cause, info) = match cause {
            Some(c) => (c.code(), Bytes::copy_from_slice(c.info())),
            None => (0, Bytes::new()),
        };
        if self.tries_other_port(cx.now, cause) {
            return;
        }
        let reason = match self.state {
            AssocState::CookieWait | AssocState::CookieEchoed => {
                LossReason::Refused { cause, info }
            }
            _ => LossReason::PeerAbort { cause, info },
        };
        self.end(cx, Event::Lost(reason));
    }

    pub(super) fn on_error(&mut self, cx: &mut Cx<'_>, cause: &Cause<'_>) {
        if let Cause::StaleCookie { micros, .. } = cause {
            if self.state == AssocState::CookieEchoed {
                self.on_stale_cookie(cx, *micros);
            }
            return;
        }
        cx.event(Event::RemoteError {
            cause: cause.code(),
            info: Bytes::copy_from_slice(cause.info()),
        });
    }
}
