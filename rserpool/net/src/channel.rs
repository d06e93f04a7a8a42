//! One association: a task that reads it, and a queue of messages that wait for its send buffer.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use rserpool_core::channel::{ChannelId, ConnectFailure, Protocol};
use sctp_user::{Association, EndReason, Error, Incoming, Message, Notification, Peer, Received};
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use crate::addresses::peer_of;
use crate::assemble::Assembler;

/// What the tasks of the associations report to the driver.
#[derive(Debug)]
pub(crate) enum Report {
    /// An association was accepted. It has no name and no task yet.
    Accepted(Protocol, Association),
    /// An attempt to connect has succeeded.
    Connected(ChannelId, Protocol, Association),
    /// An attempt to connect has failed.
    Failed(ChannelId, ConnectFailure),
    /// A whole message arrived.
    Message { channel: ChannelId, ppid: u32, data: Bytes },
    /// The other end has other addresses.
    PeerChanged { channel: ChannelId, peer: Peer },
    /// The round-trip time is another one.
    Measured { channel: ChannelId, rtt: Duration },
    /// The other end has restarted, and the association now has a new name.
    Restarted { old: ChannelId, new: ChannelId, protocol: Protocol },
    /// The other end has read nothing for long, although messages wait for it.
    Stalled { channel: ChannelId },
    /// The association has ended, for this reason if it is known.
    Down { channel: ChannelId, reason: Option<EndReason> },
    /// The stack has ended.
    Stopped,
}

/// Numbers the associations that are accepted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names(Arc<AtomicU64>);

impl Names {
    pub(crate) fn next(&self) -> ChannelId {
        ChannelId::incoming(self.0.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

/// The longest message that is accepted: the length fields of ASAP and ENRP have 16 bits.
const MAX_MESSAGE: usize = 65_536;

/// How long a message may wait for room in the send buffer.
const STALL: Duration = Duration::from_secs(10);

/// While more bytes than this wait for somebody who came here with requests, no more of them are
/// read: whoever does not read the answers is not given more of them.
const PAUSE: usize = 16 * 1024;

/// How old the known addresses may be when the driver handles a message.
const PEER_REFRESH: Duration = Duration::from_secs(1);

/// The driver's end of an association.
#[derive(Debug)]
pub(crate) struct Channel {
    association: Association,
    outbox: Arc<Outbox>,
}

/// Bytes that wait for the send buffers of all associations of a driver, and these buffers, which
/// are full where something waits.
#[derive(Clone, Debug, Default)]
pub(crate) struct Total(Arc<AtomicUsize>);

impl Total {
    pub(crate) fn bytes(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// Messages that wait for room in the send buffer of the association.
#[derive(Debug)]
struct Outbox {
    waiting: Mutex<Waiting>,
    filled: Notify,
    /// Few bytes wait, or none.
    drained: Notify,
    total: Total,
    /// The size of the send buffer.
    buffer: usize,
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.clear();
    }
}

#[derive(Debug, Default)]
struct Waiting {
    messages: VecDeque<Message>,
    bytes: usize,
}

impl Outbox {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a message, and gives the bytes that wait then.
    fn push(&self, waiting: &mut Waiting, message: Message) -> usize {
        let buffer = if waiting.messages.is_empty() { self.buffer } else { 0 };
        self.total.0.fetch_add(buffer + message.data.len(), Ordering::Relaxed);
        waiting.bytes += message.data.len();
        waiting.messages.push_back(message);
        self.filled.notify_one();
        waiting.bytes
    }

    /// Takes the first message out, which was sent. There is none when all were dropped meanwhile.
    fn pop(&self) {
        let mut waiting = self.lock();
        let Some(message) = waiting.messages.pop_front() else { return };
        waiting.bytes -= message.data.len();
        let buffer = if waiting.messages.is_empty() { self.buffer } else { 0 };
        self.total.0.fetch_sub(buffer + message.data.len(), Ordering::Relaxed);
        if waiting.bytes <= PAUSE {
            self.drained.notify_one();
        }
    }

    /// Whether so much waits that nothing more shall be asked for.
    fn is_long(&self) -> bool {
        self.lock().bytes > PAUSE
    }

    /// Waits until less waits.
    async fn short(&self) {
        while self.is_long() {
            self.drained.notified().await;
        }
    }

    /// Drops all messages.
    fn clear(&self) {
        let mut waiting = self.lock();
        let buffer = if waiting.messages.is_empty() { 0 } else { self.buffer };
        self.total.0.fetch_sub(buffer + waiting.bytes, Ordering::Relaxed);
        *waiting = Waiting::default();
        self.drained.notify_one();
    }

    /// Sends the messages that wait, until the other end reads nothing for too long. Nothing is
    /// lost when the future is dropped.
    async fn send_all(&self, association: &Association) {
        loop {
            let next = self.lock().messages.front().cloned();
            match next {
                Some(message) => {
                    match tokio::time::timeout(STALL, association.send(message)).await {
                        Ok(Ok(())) => self.pop(),
                        // The association has ended, and its reader reports that.
                        Ok(Err(_)) => {
                            self.clear();
                            return std::future::pending().await;
                        }
                        Err(_) => return,
                    }
                }
                None => self.filled.notified().await,
            }
        }
    }
}

impl Channel {
    /// Starts the task that reads the association.
    pub(crate) fn start(
        association: Association,
        id: ChannelId,
        protocol: Protocol,
        names: Names,
        reports: mpsc::Sender<Report>,
        total: Total,
    ) -> Self {
        let mut subscriptions = sctp_user::Subscriptions::NONE;
        subscriptions.peer_addr_change = true;
        association.subscribe(subscriptions);
        let (waiting, filled, drained) = (Mutex::default(), Notify::new(), Notify::new());
        let mut buffer = 0;
        let _ = association.configure(|config| buffer = config.send_buffer);
        let outbox = Arc::new(Outbox { waiting, filled, drained, total, buffer });
        let reader = Reader {
            peer: peer_of(&association),
            rtt: None,
            association: association.clone(),
            id,
            protocol,
            names,
            reports,
            peer_seen: Instant::now(),
            assembler: Assembler::new(MAX_MESSAGE),
        };
        tokio::spawn(reader.run(Arc::clone(&outbox)));
        Channel { association, outbox }
    }

    pub(crate) fn association(&self) -> &Association {
        &self.association
    }

    /// Sends a message, or queues it behind those that wait. Returns how many bytes wait now.
    pub(crate) fn send(&self, message: Message) -> usize {
        let mut waiting = self.outbox.lock();
        if waiting.messages.is_empty() {
            match self.association.try_send(message.clone()) {
                Err(Error::WouldBlock) => {}
                // When the association has ended, its reader reports that.
                Ok(()) | Err(_) => return 0,
            }
        }
        self.outbox.push(&mut waiting, message)
    }

    /// How many bytes wait now.
    pub(crate) fn waiting(&self) -> usize {
        self.outbox.lock().bytes
    }

    /// Probes each path that has been idle for this long, if it would be probed later otherwise.
    pub(crate) fn watch(&self, interval: Duration) {
        let control = self.association.control();
        for path in self.association.peer_addrs() {
            // Both fail only when the association has ended, which its reader reports.
            let Ok(mut params) = control.path_params(path.remote) else { continue };
            if params.hb_interval > interval {
                params.hb_interval = interval;
                let _ = control.set_path_params(path.remote, params);
            }
        }
    }

    pub(crate) fn abort(&self, reason: &'static str) {
        self.association.abort(reason);
        self.outbox.clear();
    }

    /// Starts a graceful shutdown. The association is read until it has ended.
    pub(crate) fn start_shutdown(&self) {
        self.association.start_shutdown();
    }

    /// Shuts the association down gracefully, and aborts it if that takes longer than `patience`.
    pub(crate) async fn shutdown(self, patience: Duration) {
        if tokio::time::timeout(patience, self.association.shutdown()).await.is_err() {
            self.association.abort("the shutdown took too long");
        }
    }
}

struct Reader {
    association: Association,
    id: ChannelId,
    protocol: Protocol,
    names: Names,
    reports: mpsc::Sender<Report>,
    peer: Peer,
    /// What was told last.
    rtt: Option<Duration>,
    peer_seen: Instant,
    assembler: Assembler,
}

/// The driver has ended.
struct Gone;

impl Reader {
    async fn run(mut self, outbox: Arc<Outbox>) {
        // This is a handle of its own, because `reader` changes while the future waits.
        let association = self.association.clone();
        let sending = outbox.send_all(&association);
        tokio::pin!(sending);
        let mut stalled = false;
        // Not at both ends of an association, where each would wait for the other.
        let asks = self.protocol == Protocol::Asap && self.id.is_incoming();
        let reason = loop {
            let paused = asks && outbox.is_long();
            let incoming = tokio::select! {
                biased;
                // First, or somebody who asks without end would never be sent what waits.
                () = &mut sending, if !stalled => {
                    stalled = true;
                    // It is up to the state machine what to do about it.
                    if self.report(Report::Stalled { channel: self.id }).await.is_err() {
                        return;
                    }
                    continue;
                }
                () = outbox.short(), if paused => continue,
                incoming = association.recv(), if !paused => incoming,
            };
            let reported = match incoming {
                Ok(Some(Incoming::Message(received))) => self.on_message(received).await,
                Ok(Some(Incoming::Notification(Notification::PeerAddrChange { .. }))) => {
                    self.refresh_peer().await
                }
                Ok(Some(Incoming::Notification(_))) => Ok(()),
                Err(Error::Restarted) => self.on_restart().await,
                Ok(None) => break Some(EndReason::Graceful),
                Err(Error::Ended(reason)) => break Some(reason),
                Err(_) => break None,
            };
            if reported.is_err() {
                return;
            }
        };
        // This does nothing unless the other side has shut the association down gracefully.
        self.association.start_shutdown();
        let _ = self.report(Report::Down { channel: self.id, reason }).await;
    }

    async fn on_message(&mut self, received: Received) -> Result<(), Gone> {
        let message = match self.assembler.push(received) {
            Ok(Some(message)) => message,
            Ok(None) => return Ok(()),
            Err(_) => {
                self.association.abort("the message is too long");
                return Ok(());
            }
        };
        // A NAT may change the UDP port without notice.
        if self.peer_seen.elapsed() >= PEER_REFRESH {
            self.refresh_peer().await?;
        }
        let (channel, ppid, data) = (self.id, message.ppid, message.data);
        self.report(Report::Message { channel, ppid, data }).await
    }

    /// The other end has restarted, so what its old process sent counts no more.
    async fn on_restart(&mut self) -> Result<(), Gone> {
        self.assembler.clear();
        self.peer = peer_of(&self.association);
        let (old, new) = (self.id, self.names.next());
        self.id = new;
        self.report(Report::Restarted { old, new, protocol: self.protocol }).await
    }

    async fn refresh_peer(&mut self) -> Result<(), Gone> {
        self.peer_seen = Instant::now();
        let rtt = self.association.srtt().filter(|rtt| self.is_news(*rtt));
        if let Some(rtt) = rtt {
            self.rtt = Some(rtt);
            self.report(Report::Measured { channel: self.id, rtt }).await?;
        }
        let peer = peer_of(&self.association);
        // An association that has just ended has no addresses.
        if peer == self.peer || peer.addrs.is_empty() {
            return Ok(());
        }
        self.peer = peer.clone();
        self.report(Report::PeerChanged { channel: self.id, peer }).await
    }

    /// A change by less than a millisecond or a tenth matters to nobody.
    fn is_news(&self, rtt: Duration) -> bool {
        self.rtt.is_none_or(|told| rtt.abs_diff(told) > Duration::from_millis(1).max(told / 10))
    }

    async fn report(&self, report: Report) -> Result<(), Gone> {
        self.reports.send(report).await.map_err(|_| Gone)
    }
}
