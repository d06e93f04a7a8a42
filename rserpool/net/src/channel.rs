//! One association: a task that reads it, and a queue for what it does not take at once.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use rserpool_core::channel::{ChannelId, ConnectFailure, Protocol};
use sctp_user::{Association, Error, Incoming, Message, Notification, Peer, Received};
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use crate::addresses::peer_of;
use crate::assemble::Assembler;

/// What the tasks of associations tell the driver.
#[derive(Debug)]
pub(crate) enum Report {
    /// A new association that came in; it has no name and no task yet.
    Accepted(Protocol, Association),
    /// An attempt has succeeded.
    Connected(ChannelId, Protocol, Association),
    /// An attempt has failed.
    Failed(ChannelId, ConnectFailure),
    /// A complete message.
    Message { channel: ChannelId, ppid: u32, data: Bytes },
    /// The other end has other addresses.
    PeerChanged { channel: ChannelId, peer: Peer },
    /// The round-trip time is another one.
    Measured { channel: ChannelId, rtt: Duration },
    /// The other end has started anew. The association has a new name now.
    Restarted { old: ChannelId, new: ChannelId, protocol: Protocol },
    /// It ended.
    Down { channel: ChannelId },
    /// The stack has ended.
    Stopped,
}

/// Draws the names of associations that come in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names(Arc<AtomicU64>);

impl Names {
    pub(crate) fn next(&self) -> ChannelId {
        ChannelId::incoming(self.0.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

/// Longest message taken: the length field of ASAP and ENRP has 16 bits.
const MAX_MESSAGE: usize = 65_536;

/// How old addresses may be when a message is handled.
const PEER_REFRESH: Duration = Duration::from_secs(1);

/// The driver's end of an association.
#[derive(Debug)]
pub(crate) struct Channel {
    association: Association,
    outbox: Arc<Outbox>,
}

/// Messages that the association did not take at once.
#[derive(Debug, Default)]
struct Outbox {
    waiting: Mutex<Waiting>,
    filled: Notify,
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

    /// Sends what waits, for ever. Dropping the future loses nothing.
    async fn send_all(&self, association: &Association) {
        loop {
            let next = self.lock().messages.front().cloned();
            match next {
                Some(message) => {
                    let length = message.data.len();
                    if association.send(message).await.is_err() {
                        // It has ended, which reading tells.
                        return std::future::pending().await;
                    }
                    let mut waiting = self.lock();
                    waiting.messages.pop_front();
                    waiting.bytes -= length;
                }
                None => self.filled.notified().await,
            }
        }
    }
}

impl Channel {
    /// Starts the task of an association.
    pub(crate) fn start(
        association: Association,
        id: ChannelId,
        protocol: Protocol,
        names: Names,
        reports: mpsc::Sender<Report>,
    ) -> Self {
        let mut subscriptions = sctp_user::Subscriptions::NONE;
        subscriptions.peer_addr_change = true;
        association.subscribe(subscriptions);
        let outbox = Arc::new(Outbox::default());
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

    /// Sends a message, or queues it behind others; gives the bytes that are waiting now.
    pub(crate) fn send(&self, message: Message) -> usize {
        let mut waiting = self.outbox.lock();
        if waiting.messages.is_empty() {
            match self.association.try_send(message.clone()) {
                Err(Error::WouldBlock) => {}
                // When it has ended, reading tells it.
                Ok(()) | Err(_) => return 0,
            }
        }
        waiting.bytes += message.data.len();
        waiting.messages.push_back(message);
        self.outbox.filled.notify_one();
        waiting.bytes
    }

    pub(crate) fn abort(&self, reason: &'static str) {
        self.association.abort(reason);
    }

    /// Begins to shut the association down; reading goes on until it has ended.
    pub(crate) fn start_shutdown(&self) {
        self.association.start_shutdown();
    }

    /// Ends the association gracefully, or after `patience` by an ABORT.
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
    /// As told last.
    rtt: Option<Duration>,
    peer_seen: Instant,
    assembler: Assembler,
}

/// The driver has ended.
struct Gone;

impl Reader {
    async fn run(mut self, outbox: Arc<Outbox>) {
        // A handle of its own, as the reader changes while this waits.
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
        // Does nothing when the end was not a graceful shutdown by the other side.
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
        // A NAT gives a new UDP port without notice.
        if self.peer_seen.elapsed() >= PEER_REFRESH {
            self.refresh_peer().await?;
        }
        let (channel, ppid, data) = (self.id, message.ppid, message.data);
        self.report(Report::Message { channel, ppid, data }).await
    }

    /// What the old process of the other end said is void.
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
        // An association that has just ended has no addresses any more.
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
