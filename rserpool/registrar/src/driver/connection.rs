//! One association of the registrar: two tasks that carry messages between it and the registrar's
//! own task.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use sctp_user::{
    AssocChange, Association, Encap, Error, Incoming, Message, Notification, Received,
};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::core::{AssociationId, Peer};

/// What the tasks of associations tell the registrar.
#[derive(Debug)]
pub(super) enum Report {
    /// A new association; it has no tasks yet.
    Accepted(Association),
    /// A complete message.
    Message { id: AssociationId, ppid: u32, data: Bytes },
    /// The other end has other addresses.
    PeerChanged { id: AssociationId, peer: Peer },
    /// The other end started anew: what it registered before is void. The association has a new
    /// name now.
    Restarted { old: AssociationId, new: AssociationId, peer: Peer },
    /// It ended.
    Down { id: AssociationId },
    /// No more associations are accepted: the stack has ended.
    Stopped,
}

/// Gives names to associations.
#[derive(Clone, Debug, Default)]
pub(super) struct Names(Arc<AtomicU64>);

impl Names {
    pub(super) fn next(&self) -> AssociationId {
        AssociationId(self.0.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

/// The registrar's end of an association. Dropping it ends the sending task; the association itself
/// ends with [`Connection::abort`] or [`Connection::shutdown`].
#[derive(Debug)]
pub(super) struct Connection {
    association: Association,
    queue: mpsc::UnboundedSender<Message>,
    queued: Arc<AtomicUsize>,
}

/// What the tasks share.
#[derive(Clone, Debug)]
struct Activity {
    start: Instant,
    /// Milliseconds after `start` at which the last message was sent or received.
    last: Arc<AtomicU64>,
}

impl Activity {
    fn new() -> Self {
        Activity { start: Instant::now(), last: Arc::default() }
    }

    fn touch(&self) {
        let millis = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(millis, Ordering::Relaxed);
    }

    /// When it has been idle for `idle`.
    fn idle_at(&self, idle: Duration) -> Instant {
        self.start + Duration::from_millis(self.last.load(Ordering::Relaxed)) + idle
    }
}

/// Longest message taken: the length field of ASAP has 16 bits.
const MAX_MESSAGE: usize = 65_536;

/// How old addresses may be when a message is handled.
const PEER_REFRESH: Duration = Duration::from_secs(1);

impl Connection {
    /// Starts the tasks of an association.
    pub(super) fn start(
        association: Association,
        id: AssociationId,
        names: Names,
        reports: mpsc::Sender<Report>,
        autoclose: Option<Duration>,
    ) -> Self {
        let (queue, queue_end) = mpsc::unbounded_channel();
        let queued = Arc::new(AtomicUsize::new(0));
        let activity = Activity::new();
        tokio::spawn(write(association.clone(), queue_end, queued.clone(), activity.clone()));
        let reader = Reader {
            peer: peer_of(&association),
            association: association.clone(),
            id,
            names,
            reports,
            activity,
            peer_seen: Instant::now(),
            partial: BytesMut::new(),
        };
        tokio::spawn(reader.run(autoclose));
        Connection { association, queue, queued }
    }

    /// Queues a message; gives the bytes that are waiting now.
    pub(super) fn send(&self, message: Message) -> usize {
        let length = message.data.len();
        // The other end is gone when the association has ended; the reading task reports that.
        if self.queue.send(message).is_err() {
            return 0;
        }
        self.queued.fetch_add(length, Ordering::Relaxed) + length
    }

    pub(super) fn abort(&self, reason: &'static str) {
        self.association.abort(reason);
    }

    /// Ends the association gracefully, or after `patience` by an ABORT.
    pub(super) async fn shutdown(self, patience: Duration) {
        if tokio::time::timeout(patience, self.association.shutdown()).await.is_err() {
            self.association.abort("the registrar ends");
        }
    }
}

/// The other end of an association, as the core wants to know it.
pub(super) fn peer_of(association: &Association) -> Peer {
    let paths = association.peer_addrs();
    let udp_port = paths.iter().find_map(|path| match path.encap {
        Encap::Udp { remote_port } => Some(remote_port),
        Encap::Native => None,
    });
    Peer {
        addrs: paths.iter().map(|path| path.remote).collect(),
        port: association.peer_port(),
        udp_port,
    }
}

async fn write(
    association: Association,
    mut queue: mpsc::UnboundedReceiver<Message>,
    queued: Arc<AtomicUsize>,
    activity: Activity,
) {
    while let Some(message) = queue.recv().await {
        let length = message.data.len();
        activity.touch();
        if association.send(message).await.is_err() {
            return;
        }
        queued.fetch_sub(length, Ordering::Relaxed);
    }
}

struct Reader {
    association: Association,
    id: AssociationId,
    names: Names,
    reports: mpsc::Sender<Report>,
    activity: Activity,
    peer: Peer,
    peer_seen: Instant,
    /// Parts of a message that is not complete.
    partial: BytesMut,
}

impl Reader {
    async fn run(mut self, autoclose: Option<Duration>) {
        let mut autoclose = autoclose;
        loop {
            let idle_at = autoclose.map(|idle| self.activity.idle_at(idle));
            let incoming = tokio::select! {
                biased;
                incoming = self.association.recv() => incoming,
                () = sleep_until(idle_at) => {
                    if idle_at == autoclose.map(|idle| self.activity.idle_at(idle)) {
                        // From here on it is the shutdown that must come to an end.
                        autoclose = None;
                        self.association.start_shutdown();
                    }
                    continue;
                }
            };
            let reported = match incoming {
                Ok(Some(Incoming::Message(received))) => self.on_message(received).await,
                Ok(Some(Incoming::Notification(notification))) => {
                    self.on_notification(notification).await
                }
                // Before the subscription it comes like this.
                Err(Error::Restarted) => self.on_restart().await,
                Ok(None) | Err(_) => break,
            };
            if reported.is_err() {
                return;
            }
        }
        // Does nothing when the end was not a graceful shutdown by the other side.
        self.association.start_shutdown();
        let _ = self.reports.send(Report::Down { id: self.id }).await;
    }

    async fn on_message(&mut self, received: Received) -> Result<(), Gone> {
        self.activity.touch();
        if self.partial.len() + received.data.len() > MAX_MESSAGE {
            self.partial = BytesMut::new();
            self.association.abort("message too long for ASAP");
            return Ok(());
        }
        let complete = received.end_of_record;
        let data = if self.partial.is_empty() && complete {
            received.data
        } else {
            self.partial.extend_from_slice(&received.data);
            if !complete {
                return Ok(());
            }
            self.partial.split().freeze()
        };
        // A NAT gives a new UDP port without notice.
        if self.peer_seen.elapsed() >= PEER_REFRESH {
            self.refresh_peer().await?;
        }
        self.report(Report::Message { id: self.id, ppid: received.ppid, data }).await
    }

    async fn on_notification(&mut self, notification: Notification) -> Result<(), Gone> {
        match notification {
            Notification::AssocChange(AssocChange::Restart { .. }) => self.on_restart().await,
            Notification::PartialDeliveryAborted { .. } => {
                self.partial.clear();
                Ok(())
            }
            Notification::PeerAddrChange { .. } => self.refresh_peer().await,
            _ => Ok(()),
        }
    }

    /// What the old process of the other end registered is void.
    async fn on_restart(&mut self) -> Result<(), Gone> {
        self.partial.clear();
        self.peer = peer_of(&self.association);
        let (old, new) = (self.id, self.names.next());
        self.id = new;
        self.report(Report::Restarted { old, new, peer: self.peer.clone() }).await
    }

    async fn refresh_peer(&mut self) -> Result<(), Gone> {
        self.peer_seen = Instant::now();
        let peer = peer_of(&self.association);
        // An association that has just ended has no addresses any more.
        if peer == self.peer || peer.addrs.is_empty() {
            return Ok(());
        }
        self.peer = peer.clone();
        self.report(Report::PeerChanged { id: self.id, peer }).await
    }

    async fn report(&self, report: Report) -> Result<(), Gone> {
        self.reports.send(report).await.map_err(|_| Gone)
    }
}

/// The registrar has ended.
struct Gone;

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
