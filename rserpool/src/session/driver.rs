//! Drives a [`SessionCore`] with real associations. One task for each session.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use rserpool_core::asap::RequestError;
use rserpool_core::session::{
    Attempt, Output, SessionCore, SessionEvent, SessionOptions, session_profile,
};
use rserpool_net::{Assembler, Clock, connect_failure, reach};
use rserpool_wire::numbers::ppid;
use rserpool_wire::{PeId, PoolElement, PoolHandle};
use sctp_user::{AssocConfig, Association, EndReason, Message, Peer, Stack};
use tokio::sync::{Notify, mpsc, oneshot, watch};

use super::ready::Standing;
use crate::asap::Gone;
use crate::error::Error;
use crate::user::PoolUser;

/// How many events may wait for the application; beyond, nothing more is read from the element.
pub(super) const QUEUE: usize = 64;

/// What the task and the [`Session`](super::Session) share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    state: Mutex<Visible>,
    standing: watch::Sender<Standing>,
    sent: Notify,
    forced: Notify,
}

#[derive(Debug, Default)]
struct Visible {
    connection: Option<(Association, PeId)>,
    cookie: Option<Bytes>,
    card: Vec<PoolElement>,
    /// The application wants a failover; `true` with a report to the registrar.
    force: Option<bool>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Visible> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.subscribe()
    }

    /// Lets the application send to an element, or to none.
    fn connect(&self, connection: Option<(Association, PeId)>) {
        let element = connection.as_ref().map(|(_, element)| *element);
        self.lock().connection = connection;
        self.standing.send_replace(element.map_or_else(Standing::default, Standing::Connected));
    }

    pub(super) fn association(&self) -> Option<Association> {
        self.lock().connection.as_ref().map(|(association, _)| association.clone())
    }

    pub(super) fn element(&self) -> Option<PeId> {
        self.lock().connection.as_ref().map(|(_, element)| *element)
    }

    pub(super) fn cookie(&self) -> Option<Bytes> {
        self.lock().cookie.clone()
    }

    pub(super) fn business_card(&self) -> Vec<PoolElement> {
        self.lock().card.clone()
    }

    pub(super) fn force_failover(&self, report: bool) {
        let mut state = self.lock();
        state.force = Some(report || state.force == Some(true));
        drop(state);
        self.forced.notify_one();
    }

    pub(super) fn sent(&self) {
        self.sent.notify_one();
    }
}

pub(super) type CloseReply = oneshot::Sender<Result<(), Error>>;
/// The answer of the registrar, unless the task that asks it has ended.
type Resolution = Result<Result<Vec<PoolElement>, RequestError>, Gone>;
/// An association, or why none of these ways led to one.
type Connection = Result<Association, (sctp_user::Error, Vec<Peer>)>;
type Task<T> = Option<Pin<Box<dyn Future<Output = T> + Send>>>;

pub(super) struct Driver {
    core: SessionCore,
    clock: Clock,
    stack: Stack,
    user: PoolUser,
    pool: PoolHandle,
    assoc_config: AssocConfig,
    max_message_size: usize,
    shared: Arc<Shared>,
    events: mpsc::Sender<SessionEvent>,
    close: mpsc::Receiver<CloseReply>,
    /// Events that did not fit into the queue yet.
    pending: VecDeque<SessionEvent>,
    resolving: Task<(Attempt, Resolution)>,
    connecting: Task<(Attempt, Connection)>,
    association: Option<(Association, Assembler)>,
}

impl Driver {
    pub(super) fn new(
        stack: Stack,
        user: PoolUser,
        pool: PoolHandle,
        options: SessionOptions,
        shared: Arc<Shared>,
        events: mpsc::Sender<SessionEvent>,
        close: mpsc::Receiver<CloseReply>,
    ) -> Self {
        let assoc_config =
            options.assoc.clone().unwrap_or_else(|| session_profile(stack.assoc_config()));
        Driver {
            max_message_size: options.max_message_size,
            core: SessionCore::new(pool.clone(), options),
            clock: Clock::start(),
            stack,
            user,
            pool,
            assoc_config,
            shared,
            events,
            close,
            pending: VecDeque::new(),
            resolving: None,
            connecting: None,
            association: None,
        }
    }

    /// Runs until the session is closed or dropped, or the stack has stopped.
    pub(super) async fn run(mut self) {
        loop {
            self.drain();
            let quiet = self.pending.is_empty();
            let (shared, events) = (Arc::clone(&self.shared), self.events.clone());
            tokio::select! {
                biased;
                reply = self.close.recv() => {
                    if let Some(reply) = reply {
                        let _ = reply.send(self.finish().await);
                    }
                    break;
                }
                () = shared.forced.notified() => {
                    if let Some(report) = shared.lock().force.take() {
                        self.core.force_failover(self.clock.now(), report);
                    }
                }
                () = shared.sent.notified() => self.core.handle_sent(self.clock.now()),
                permit = events.reserve(), if !quiet => match (permit, self.pending.pop_front()) {
                    (Ok(permit), Some(event)) => permit.send(event),
                    _ => break,
                },
                (attempt, result) = finished(&mut self.resolving) => match result {
                    Ok(result) => self.core.handle_resolved(self.clock.now(), attempt, result),
                    Err(Gone) => break,
                },
                (attempt, result) = finished(&mut self.connecting) => match result {
                    Ok(association) => {
                        let assembler = Assembler::new(self.max_message_size);
                        self.association = Some((association, assembler));
                        self.core.handle_connected(self.clock.now(), attempt);
                    }
                    Err((sctp_user::Error::Stopped, _)) => break,
                    Err((error, ways)) => {
                        let failure = connect_failure(error, &ways);
                        self.core.handle_connect_failed(self.clock.now(), attempt, failure);
                    }
                },
                incoming = receive(&mut self.association), if quiet => self.incoming(incoming),
                () = self.clock.wait(self.core.poll_timeout()) => {
                    self.core.handle_timeout(self.clock.now());
                }
            }
        }
    }

    fn incoming(&mut self, incoming: Result<Option<sctp_user::Received>, sctp_user::Error>) {
        let now = self.clock.now();
        let Some((association, assembler)) = &mut self.association else { return };
        match incoming {
            Ok(Some(received)) => match assembler.push(received) {
                Ok(Some(message)) => {
                    let control = message.ppid == ppid::ASAP;
                    self.core.handle_message(message);
                    if control {
                        let mut visible = self.shared.lock();
                        visible.cookie = self.core.cookie().cloned();
                        visible.card = self.core.business_card().to_vec();
                    }
                }
                Ok(None) => {}
                Err(_) => self.core.handle_too_long(now),
            },
            Ok(None) => self.core.handle_ended(now, EndReason::Graceful),
            Err(sctp_user::Error::Restarted) => self.core.handle_restarted(now),
            Err(sctp_user::Error::Ended(reason)) => self.core.handle_ended(now, reason),
            Err(_) => {
                let reason = association.end_reason().unwrap_or(EndReason::Graceful);
                self.core.handle_ended(now, reason);
            }
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.core.poll_output() {
            match output {
                Output::Resolve { attempt, items, stale } => {
                    let (user, pool) = (self.user.clone(), self.pool.clone());
                    let task = async move {
                        (attempt, user.resolve_for_session(&pool, items, stale).await)
                    };
                    self.resolving = Some(Box::pin(task));
                }
                Output::Connect { attempt, element } => {
                    let ways = reach(&self.stack).element(&element);
                    let (stack, config) = (self.stack.clone(), self.assoc_config.clone());
                    self.connecting = Some(Box::pin(async move {
                        let outcome = stack.connect_first(&ways, config).await;
                        (attempt, outcome.map_err(|error| (error, ways)))
                    }));
                }
                Output::Cancel => (self.resolving, self.connecting) = (None, None),
                Output::Abort { reason } => {
                    if let Some((association, _)) = self.association.take() {
                        association.abort(reason);
                    }
                }
                Output::Send(message) => {
                    // The send buffer of a new association has room; if it has ended already,
                    // reading says so.
                    if let Some((association, _)) = &self.association {
                        let _ = association.try_send(Message::new(0, ppid::ASAP, message));
                    }
                }
                Output::Ready { element } => {
                    let association = self.association.as_ref().map(|(a, _)| a.clone());
                    self.shared.connect(association.map(|a| (a, element)));
                }
                Output::NotReady => {
                    self.shared.connect(None);
                    self.association = None;
                }
                Output::Report(element) => self.user.report_unreachable(&self.pool, element),
                Output::Event(event) => {
                    if let SessionEvent::FailoverProblem(problem) = &event {
                        let problem = Standing::Connecting(Some(problem.clone()));
                        self.shared.standing.send_replace(problem);
                    }
                    self.pending.push_back(event);
                }
            }
        }
    }

    /// Shuts down gracefully. What the element still sends is dropped.
    async fn finish(&mut self) -> Result<(), Error> {
        let Some((association, _)) = self.association.take() else { return Ok(()) };
        association.start_shutdown();
        association.stop_receiving();
        Ok(association.shutdown().await?)
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.shared.lock().connection = None;
        self.shared.standing.send_replace(Standing::Closed);
    }
}

/// Waits for a task and takes it out; for ever without one.
async fn finished<T>(task: &mut Task<T>) -> T {
    match task {
        Some(running) => {
            let result = running.await;
            *task = None;
            result
        }
        None => std::future::pending().await,
    }
}

async fn receive(
    association: &mut Option<(Association, Assembler)>,
) -> Result<Option<sctp_user::Received>, sctp_user::Error> {
    match association {
        Some((association, _)) => association.recv_message().await,
        None => std::future::pending().await,
    }
}
