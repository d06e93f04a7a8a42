//! Sessions of pool users: an association with one element of a pool, moved to another one when
//! that one is gone.

mod driver;
mod ready;

use std::sync::Arc;

use bytes::Bytes;
use rserpool_core::UserMessage;
use rserpool_core::session::{SessionEvent, SessionOptions};
use rserpool_wire::{PeId, PoolHandle};
use sctp_user::Stack;
use tokio::sync::{mpsc, oneshot};

use crate::error::Error;
use crate::message::user_message;
use crate::user::{PoolUser, ResolvedElement};
use driver::{Driver, Shared};

/// A session with a pool, on the side of the pool user.
///
/// Read it in a loop; failover happens while you wait:
///
/// ```no_run
/// # async fn f(mut session: rserpool::Session) -> Result<(), rserpool::Error> {
/// use rserpool::SessionEvent;
/// loop {
///     match session.recv().await? {
///         SessionEvent::Message(message) => println!("{} bytes", message.data.len()),
///         SessionEvent::FailoverNeeded(cause) => println!("lost the server: {cause}"),
///         SessionEvent::FailoverProblem(problem) => println!("still looking: {problem}"),
///         SessionEvent::FailoverDone { element, .. } => println!("now served by {element}"),
///         _ => {}
///     }
/// }
/// # }
/// ```
///
/// Dropping it aborts the association; [`Session::close`] is the polite way.
#[derive(Debug)]
pub struct Session {
    pool: PoolHandle,
    sender: SessionSender,
    events: mpsc::Receiver<SessionEvent>,
    close: mpsc::Sender<driver::CloseReply>,
}

impl Session {
    pub(crate) fn start(
        stack: &Stack,
        user: &PoolUser,
        pool: PoolHandle,
        options: SessionOptions,
    ) -> Session {
        let shared = Arc::new(Shared::default());
        let (event_tx, events) = mpsc::channel(driver::QUEUE);
        let (close, close_rx) = mpsc::channel(1);
        let driver = Driver::new(
            stack.clone(),
            user.clone(),
            pool.clone(),
            options,
            Arc::clone(&shared),
            event_tx,
            close_rx,
        );
        tokio::spawn(driver.run());
        Session { pool, sender: SessionSender { shared }, events, close }
    }

    /// Waits for the next event. Cancel-safe.
    ///
    /// # Errors
    /// [`Error::Closed`] when the pool user's link to the registrars or the stack has stopped.
    pub async fn recv(&mut self) -> Result<SessionEvent, Error> {
        self.events.recv().await.ok_or(Error::Closed)
    }

    /// Sends a message; waits while the send buffer is full. `Ok` means queued, not delivered.
    /// Cancel-safe: a dropped future has sent nothing.
    ///
    /// # Errors
    /// [`Error::NotConnected`] before [`Session::ready`] and during a failover, [`Error::Sctp`]
    /// when the message cannot be sent as it is, [`Error::Invalid`] with the PPID of ASAP.
    pub async fn send(&self, message: UserMessage) -> Result<(), Error> {
        self.sender.send(message).await
    }

    /// Sends several messages as one unit: all or none are queued, and they share packets where
    /// they fit. Cancel-safe: a dropped future has sent nothing.
    ///
    /// # Errors
    /// As [`Session::send`].
    pub async fn send_unit(&self, messages: Vec<UserMessage>) -> Result<(), Error> {
        self.sender.send_unit(messages).await
    }

    /// A handle that sends in this session. With it another task can send, or one task can wait for
    /// room in the send buffer and for events at the same time. A program that does not read while
    /// it waits for room may wait for ever: an element whose answers nobody reads stops reading.
    pub fn sender(&self) -> SessionSender {
        self.sender.clone()
    }

    /// Gives the element up and fails over; with `report`, the registrar is told that it could not
    /// be reached. A failover that waits for this call begins; one that is going on just goes on.
    pub fn force_failover(&self, report: bool) {
        self.sender.shared.force_failover(report);
    }

    /// The pool.
    pub fn pool(&self) -> &PoolHandle {
        &self.pool
    }

    /// The element that the session is connected with; `None` during a failover.
    pub fn element(&self) -> Option<PeId> {
        self.sender.shared.element()
    }

    /// The newest cookie that an element of the session sent.
    pub fn cookie(&self) -> Option<Bytes> {
        self.sender.shared.cookie()
    }

    /// The elements that the newest business card of the session names, see
    /// [`ElementSession::send_business_card`](crate::ElementSession::send_business_card).
    pub fn business_card(&self) -> Vec<ResolvedElement> {
        self.sender.shared.business_card()
    }

    /// Shuts the association down gracefully and waits until it has ended. During a failover there
    /// is nothing to wait for. When the future is dropped, a shutdown that has begun goes on, and
    /// otherwise the association is aborted.
    ///
    /// # Errors
    /// [`Error::Sctp`] when the association was lost before everything was delivered.
    pub async fn close(self) -> Result<(), Error> {
        let (reply, answer) = oneshot::channel();
        // A task that has ended has nothing to close any more.
        if self.close.send(reply).await.is_err() {
            return Ok(());
        }
        answer.await.unwrap_or(Ok(()))
    }
}

/// Sends in a [`Session`], see [`Session::sender`]. It does not keep the session alive.
#[derive(Clone, Debug)]
pub struct SessionSender {
    shared: Arc<Shared>,
}

impl SessionSender {
    /// As [`Session::send`]. A dropped future has sent nothing.
    ///
    /// # Errors
    /// As [`Session::send`]; [`Error::NotConnected`], too, when the session has been closed.
    pub async fn send(&self, message: UserMessage) -> Result<(), Error> {
        self.send_unit(vec![message]).await
    }

    /// As [`Session::send_unit`]. A dropped future has sent nothing.
    ///
    /// # Errors
    /// As [`SessionSender::send`].
    pub async fn send_unit(&self, messages: Vec<UserMessage>) -> Result<(), Error> {
        let unit = messages.into_iter().map(user_message).collect::<Result<_, _>>()?;
        let association = self.shared.association().ok_or(Error::NotConnected)?;
        match association.send_unit(unit).await {
            Ok(()) => {
                self.shared.sent();
                Ok(())
            }
            // The session notices it, too, and fails over.
            Err(sctp_user::Error::Ended(_) | sctp_user::Error::ShuttingDown) => {
                Err(Error::NotConnected)
            }
            Err(error) => Err(error.into()),
        }
    }
}
