//! The one-to-many style: one handle, many associations (RFC 6458 sec 3).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sctp_user_core::socket::{Incoming, SocketId, Subscriptions, Target};
use sctp_user_core::{AssocId, AssocStatus, Message, PathStatus, Peer};

use crate::association::Association;
use crate::error::Error;
use crate::shared::{Interest, Shared, State};
use crate::stack::Handle;

/// A bound SCTP port whose associations are all served through one handle, told apart by [`AssocId`]. Incoming ones are accepted
/// by themselves once it listens.
///
/// Dropping it aborts the associations that were not shut down.
pub struct OneToMany {
    handle: Arc<Handle>,
    socket: SocketId,
    port: u16,
}

impl OneToMany {
    pub(crate) fn new(handle: Arc<Handle>, socket: SocketId, port: u16) -> Self {
        OneToMany { handle, socket, port }
    }

    /// The SCTP port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Accepts incoming associations, or with `false` no more of them.
    ///
    /// # Errors
    /// [`Error::Stopped`].
    pub fn listen(&self, on: bool) -> Result<(), Error> {
        let backlog = if on { BACKLOG } else { 0 };
        self.shared().with(|state, _| {
            state.check_running()?;
            Ok(state.sockets.listen(self.socket, backlog)?)
        })
    }

    /// Starts an association without waiting for it; messages can be sent at once.
    ///
    /// # Errors
    /// [`Error::Connect`], [`Error::Stopped`].
    pub fn connect(&self, peer: &Peer) -> Result<AssocId, Error> {
        self.shared().with(|state, now| {
            state.check_running()?;
            Ok(state.sockets.connect(now, self.socket, peer)?)
        })
    }

    /// Sends on one association, waiting for room in its send buffer. Cancel-safe.
    ///
    /// # Errors
    /// As [`Association::send`], and [`Error::NoAssociation`].
    pub async fn send(&self, association: AssocId, message: Message) -> Result<(), Error> {
        self.send_over(Target::Assoc(association), message).await.map(drop)
    }

    /// Sends to a peer, over the association with it or over a new one (implicit setup, RFC 6458 sec 3.3).
    ///
    /// # Errors
    /// As [`send`](Self::send) and [`connect`](Self::connect).
    pub async fn send_to(&self, peer: &Peer, message: Message) -> Result<AssocId, Error> {
        self.send_over(Target::Peer(peer), message).await
    }

    /// Waits for the next message or subscribed notification of any association. Cancel-safe.
    ///
    /// # Errors
    /// [`Error::Stopped`].
    pub async fn recv(&self) -> Result<(AssocId, Incoming), Error> {
        let recv =
            |state: &mut State, now| state.sockets.try_recv(now, self.socket)?.ok_or(Error::NoAssociation);
        self.shared().wait(self.socket, Interest::Read, recv).await
    }

    /// Chooses which notifications [`recv`](Self::recv) gives.
    pub fn subscribe(&self, subscriptions: Subscriptions) {
        self.shared().with(|state, _| {
            let _ = state.sockets.set_subscriptions(self.socket, subscriptions);
        });
    }

    /// SCTP_AUTOCLOSE: shuts associations down that carried no user data for this long; `None` never.
    pub fn set_autoclose(&self, idle: Option<Duration>) {
        self.shared().with(|state, _| {
            let _ = state.sockets.set_autoclose(self.socket, idle);
        });
    }

    /// Begins the graceful shutdown of one association (SCTP_EOF). Its end comes as a notification.
    ///
    /// # Errors
    /// [`Error::NoAssociation`].
    pub fn start_shutdown(&self, association: AssocId) -> Result<(), Error> {
        Ok(self.shared().with(|state, now| state.sockets.shutdown_assoc(now, self.socket, association))?)
    }

    /// Aborts one association (SCTP_ABORT).
    ///
    /// # Errors
    /// [`Error::NoAssociation`].
    pub fn abort(&self, association: AssocId, reason: impl Into<Bytes>) -> Result<(), Error> {
        let reason = reason.into();
        Ok(self
            .shared()
            .with(|state, now| state.sockets.abort_assoc(now, self.socket, association, reason))?)
    }

    /// Takes one association out into a handle of its own (RFC 6458 sec 9.2); what is unread goes with it.
    ///
    /// # Errors
    /// [`Error::NoAssociation`].
    pub fn peel_off(&self, association: AssocId) -> Result<Association, Error> {
        let (socket, peer_port) = self.shared().with(|state, _| {
            let socket = state.sockets.peel_off(self.socket, association)?;
            let peer_port = state.sockets.stack().status(association).map_or(0, |status| status.peer_port);
            Ok::<_, Error>((socket, peer_port))
        })?;
        Ok(Association::new(Arc::clone(&self.handle), socket, association, self.port, peer_port))
    }

    /// The associations of this handle.
    pub fn associations(&self) -> Vec<AssocId> {
        self.shared().peek(|state| state.sockets.assocs_of(self.socket))
    }

    /// State and figures of one association.
    pub fn status(&self, association: AssocId) -> Option<AssocStatus> {
        self.shared().peek(|state| state.sockets.stack().status(association))
    }

    /// All paths of one association.
    pub fn paths(&self, association: AssocId) -> Vec<PathStatus> {
        self.shared().peek(|state| state.sockets.stack().paths(association))
    }

    async fn send_over(&self, target: Target<'_>, message: Message) -> Result<AssocId, Error> {
        let send =
            |state: &mut State, now| Ok(state.sockets.try_send(now, self.socket, target, message.clone())?);
        self.shared().wait(self.socket, Interest::Write, send).await
    }

    fn shared(&self) -> &Shared {
        &self.handle.shared
    }
}

impl Drop for OneToMany {
    fn drop(&mut self) {
        self.shared().with(|state, now| {
            let _ = state.sockets.abandon(now, self.socket);
            Shared::forget_waiters(state, self.socket);
        });
    }
}

impl fmt::Debug for OneToMany {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OneToMany").field("port", &self.port).finish_non_exhaustive()
    }
}

/// Associations that may come up in one batch of packets before the socket takes them.
const BACKLOG: usize = 128;
