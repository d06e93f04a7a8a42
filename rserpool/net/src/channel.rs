//! One association: a task that reads it, and a queue of messages that wait for its send buffer.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use rserpool_core::channel::{ChannelId, ConnectFailure, Protocol};
use sctp_user::{Association, Error, Incoming, Message, Notification, Peer, Received};
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
    /// The association has ended.
    Down { channel: ChannelId },
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

/// How old the known addresses may be when the driver handles a message.
const PEER_REFRESH: Duration = Duration::from_secs(1);

/// The driver's end of an association.
#[derive(Debug)]
pub(crate) struct Channel {
    association: Association,
    outbox: Arc<Outbox>,
}

/// Bytes that wait for the send buffers of all associations of a driver.
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
    total: Total,
}

impl Drop for Outbox {
    fn drop(&mut self) {
        let left = self.lock().bytes;
        self.total.0.fetch_sub(left, Ordering::Relaxed);
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

    /// Sends the messages that wait, without end. Nothing is lost when the future is dropped.
    async fn send_all(&self, association: &Association) {
        loop {
            let next = self.lock().messages.front().cloned();
            match next {
                Some(message) => {
                    let length = message.data.len();
                    if association.send(message).await.is_err() {
                        // The association has ended, and its reader reports that.
                        return std::future::pending().await;
                    }
                    let mut waiting = self.lock();
                    waiting.messages.pop_front();
                    waiting.bytes -= length;
                    self.total.0.fetch_sub(length, Ordering::Relaxed);
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
        let (waiting, filled) = (Mutex::default(), Notify::new());
        let outbox = Arc::new(Outbox { waiting, filled, total });
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
        waiting.bytes += message.data.len();
        self.outbox.total.0.fetch_add(message.data.len(), Ordering::Relaxed);
        waiting.messages.push_back(message);
        self.outbox.filled.notify_one();
        waiting.bytes
    }

    /// How many bytes wait now.
    pub(crate) fn waiting(&self) -> usize {
        self.outbox.lock().bytes
    }

    pub(crate) fn abort(&self, reason: &'static str) {
        self.association.abort(reason);
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
        loop {
            let incoming = tokio::select! {
                biased;
                incoming = association.recv() => incoming,
                () = &mut sending => break,
            };
            let reported = match incoming {
                Ok(Some(Incoming::Message(received))) => self.on_message(received).await,
                Ok(Some(Incoming::Notification(Notification::PeerAddrChange { .. }))) => {
                    self.refresh_peer().await
                }
                Ok(Some(Incoming::Notification(_))) => Ok(()),
                Err(Error::Restarted) => self.on_restart().await,
                Ok(None) | Err(_) => break,
            };
            if reported.is_err() {
                return;
            }
        }
        // This does nothing unless the other side has shut the association down gracefully.
        self.association.start_shutdown();
        let _ = self.report(Report::Down { channel: self.id }).await;
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
