//! What the user can do with an association: send, receive, configure it and look at it.

use std::net::IpAddr;
use std::sync::Arc;

use super::path::{Path, PathId};
use super::recv::Assembled;
use super::{Association, Cx, User};
use crate::addr::{Message, NextInfo, Received};
use crate::config::AssocConfig;
use crate::error::{ConfigError, SendError};
use crate::event::{Event, PeerAddrState};
use crate::stats::{AssocState, AssocStats, AssocStatus, PathStatus};

impl Association {
    /// Checks and queues messages, all of them or none. They go to the address `to` or, with
    /// `None`, to the data path.
    pub(crate) fn send(
        &mut self,
        cx: &mut Cx<'_>,
        messages: impl AsRef<[Message]> + IntoIterator<Item = Message>,
        to: Option<IpAddr>,
    ) -> Result<(), SendError> {
        use AssocState::*;
        match self.state {
            CookieWait | CookieEchoed | Established if !self.is_shutting_down_after_setup() => {}
            Closed => return Err(SendError::NotFound),
            // The peer is shutting down, but a message that was begun may still be finished.
            ShutdownReceived if self.send.queue.continues(messages.as_ref()) => {}
            _ => return Err(SendError::ShuttingDown),
        }
        let mut total = 0;
        for message in messages.as_ref() {
            if message.data.is_empty() {
                return Err(SendError::Empty);
            }
            if message.data.len() > self.config.max_message_size {
                return Err(SendError::TooLarge);
            }
            if self.config.disable_fragments && message.data.len() > self.fragment_size() {
                return Err(SendError::NeedsFragments { most: self.fragment_size() });
            }
            if message.stream >= self.out_streams {
                return Err(SendError::InvalidStream {
                    stream: message.stream,
                    streams: self.out_streams,
                });
            }
            total += message.data.len();
        }
        if self.send.queue.take_interrupted(messages.as_ref()) {
            return Err(SendError::CutOff);
        }
        if !self.send.queue.agrees(messages.as_ref()) {
            return Err(SendError::PartsDiffer);
        }
        let confirmed =
            |a: &IpAddr| self.paths.find(*a).is_some_and(|id| self.paths.get(id).is_confirmed());
        if let Some(addr) = to.filter(|a| !confirmed(a)) {
            return Err(SendError::NoSuchAddress(addr));
        }
        // If everything else waits for the next part of a message, that part must find room even in
        // a full buffer. Otherwise nothing would ever move again.
        let awaited = self.send.queue.awaited_stream().is_some_and(|stream| {
            messages.as_ref().first().is_some_and(|message| message.stream == stream)
        });
        let buffered =
            if awaited { self.send.outstanding.payload_bytes() } else { self.send.buffered() };
        if buffered > 0 && buffered + total > self.config.send_buffer {
            self.send.writer_waits = true;
            return Err(SendError::WouldBlock);
        }
        for message in messages {
            self.stats.messages_sent += 1;
            self.stats.bytes_sent += message.data.len() as u64;
            self.send.owes_sender_dry = true;
            self.send.queue.push(message, to, cx.now);
        }
        Ok(())
    }

    /// From now on drops everything received and not yet read. So the peer can deliver everything
    /// it has, and the shutdown goes on.
    pub(crate) fn discard(&mut self, cx: &mut Cx<'_>) {
        if self.user == User::Reads {
            self.user = User::Writes;
        }
        self.signal_readable(cx);
    }

    /// The next received message.
    pub(crate) fn recv(&mut self) -> Option<Received> {
        let Some(message) = self.recv.pop() else {
            self.recv.reader_knows = false;
            return None;
        };
        Some(self.received(message))
    }

    /// Takes the first on `stream` of the `among` next messages, with how many lie before it. When
    /// there is none, the next arrival is told as [`Event::Readable`] whatever else waits.
    pub(crate) fn recv_on(&mut self, stream: u16, among: usize) -> Option<(usize, Received)> {
        let Some((before, message)) = self.recv.pop_on(stream, among) else {
            self.recv.reader_knows = false;
            return None;
        };
        Some((before, self.received(message)))
    }

    fn received(&mut self, m: Assembled) -> Received {
        if m.end_of_record {
            self.stats.messages_received += 1;
        }
        self.stats.bytes_received += m.data.len() as u64;
        Received {
            stream: m.stream,
            ssn: m.id.ssn().0,
            ppid: m.ppid,
            tsn: m.tsn.0,
            cumtsn: self.recv.cum_tsn().0,
            context: self.config.context,
            unordered: m.unordered,
            end_of_record: m.end_of_record,
            from: self
                .paths
                .try_get(m.from)
                .map_or_else(|| self.path_addr(self.paths.primary()), Path::addr),
            data: m.data,
        }
    }

    /// What [`recv`](Self::recv) would give.
    pub(crate) fn next_info(&self) -> Option<NextInfo> {
        let m = self.recv.front()?;
        Some(NextInfo {
            stream: m.stream,
            unordered: m.unordered,
            ppid: m.ppid,
            len: m.data.len(),
            end_of_record: m.end_of_record,
        })
    }

    /// Whether a call of the user left something to send: a queued message or a window update.
    pub(crate) fn wants_to_send(&self) -> bool {
        !self.send.queue.is_empty() || self.recv.sack_now()
    }

    /// How many messages or parts `recv` would give at present.
    pub(crate) fn recv_pending(&self) -> usize {
        self.recv.pending()
    }

    /// Changes the configuration of the live association.
    pub(crate) fn configure(
        &mut self,
        cx: &mut Cx<'_>,
        change: impl FnOnce(&mut AssocConfig),
    ) -> Result<(), ConfigError> {
        let mut config = AssocConfig::clone(&self.config);
        change(&mut config);
        config.check()?;
        self.recv.set_limit(&config);
        let old = std::mem::replace(&mut self.config, Arc::new(config));
        self.inherit_path_params(cx, &old);
        let heartbeat = |c: &AssocConfig| (c.hb_enabled, c.hb_interval, c.hb_interval_udp);
        if heartbeat(&old) != heartbeat(&self.config) {
            self.reschedule_heartbeats(cx);
        }
        Ok(())
    }

    /// Makes `addr` the primary address. False if it is not a confirmed address of the peer.
    pub(crate) fn set_primary(&mut self, cx: &mut Cx<'_>, addr: IpAddr) -> bool {
        match self.paths.find(addr) {
            Some(id) if self.paths.get(id).is_confirmed() => {
                if self.paths.primary() != id {
                    self.paths.set_primary(id);
                    cx.event(Event::PeerAddrChange { addr, state: PeerAddrState::MadePrimary });
                }
                true
            }
            _ => false,
        }
    }

    /// RFC 6458 SCTP_STATUS.
    pub(crate) fn status(&self) -> AssocStatus {
        AssocStatus {
            state: self.state,
            peer_rwnd: u32::try_from(self.send.peer_rwnd).unwrap_or(u32::MAX),
            local_rwnd: u32::try_from(self.recv.a_rwnd()).unwrap_or(u32::MAX),
            unacked_chunks: u32::try_from(self.send.outstanding.len()).unwrap_or(u32::MAX),
            missing_chunks: self.recv.missing(),
            send_buffered: self.send.buffered(),
            recv_buffered: self.recv.held(),
            outbound_streams: self.out_streams,
            inbound_streams: self.in_streams,
            fragmentation_point: u32::try_from(self.fragment_size()).unwrap_or(u32::MAX),
            primary: Some(self.paths.get(self.paths.primary()).remote()),
            peer_port: self.peer_port,
            local_port: self.local_port,
            local_tag: self.local_tag,
            peer_tag: self.peer_tag,
            features: self.features,
        }
    }

    /// Our addresses that the peer was told about.
    pub(crate) fn announced_addrs(&self) -> Vec<IpAddr> {
        super::announced(
            self.config.announce,
            &self.local_addrs,
            self.path_addr(self.paths.primary()),
        )
    }

    /// All paths.
    pub(crate) fn path_status(&self) -> Vec<PathStatus> {
        let primary = self.paths.primary();
        let status = |id: PathId| {
            let p = self.paths.get(id);
            PathStatus {
                addr: p.addr(),
                state: p.state,
                primary: id == primary,
                cwnd: p.cc.cwnd(),
                ssthresh: p.cc.ssthresh(),
                flight: p.flight,
                srtt: p.rto.srtt(),
                rto: p.rto.get(),
                pmtu: u32::try_from(p.pmtu()).unwrap_or(u32::MAX),
                pmtud: p.pmtud.state(),
                error_count: p.error_count,
                stats: p.stats,
            }
        };
        self.paths.ids().map(status).collect()
    }

    /// Counters.
    pub(crate) fn stats(&self) -> AssocStats {
        self.stats
    }
}
