//! The one-to-many style: one handle for many associations (RFC 6458 sec 3).

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sctp_user_core::socket::{Incoming, Interleave, Next, SocketId, Subscriptions, Target};
use sctp_user_core::{AssocConfig, AssocId, AssocStatus, Message, PathStatus, Peer};

use crate::association::Association;
use crate::control::Control;
use crate::error::Error;
use crate::shared::{Interest, Shared, State};
use crate::stack::StackHandle;
use crate::to_peer::{ToPeer, resolve};

/// A bound SCTP port with one handle for all of its associations, which are told apart by
/// [`AssocId`]. While it listens, it accepts incoming associations automatically.
///
/// Dropping the handle aborts the associations that were not shut down.
pub struct OneToMany {
    handle: Arc<StackHandle>,
    socket: SocketId,
    port: u16,
    freebind: bool,
}

impl OneToMany {
    pub(crate) fn new(
        handle: Arc<StackHandle>,
        socket: SocketId,
        port: u16,
        freebind: bool,
    ) -> Self {
        OneToMany { handle, socket, port, freebind }
    }

    /// The SCTP port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Starts to accept incoming associations. They are accepted automatically and none of them
    /// waits, so any `backlog` but 0 means the same (RFC 6458 sec 3.1.3). 0 stops listening.
    ///
    /// # Errors
    /// [`Error::Stopped`].
    pub fn listen(&self, backlog: usize) -> Result<(), Error> {
        let backlog = if backlog > 0 { backlog.max(BACKLOG) } else { 0 };
        self.shared().with(|state, _| {
            state.check_running()?;
            Ok(state.sockets.listen(self.socket, backlog)?)
        })
    }

    /// Starts an association from this port and waits until it is up. Dropping the future aborts
    /// the attempt. Subscribed notifications about the outcome come as well.
    ///
    /// # Errors
    /// As [`Endpoint::connect`](crate::Endpoint::connect).
    pub async fn connect(&self, peer: impl ToPeer) -> Result<AssocId, Error> {
        self.attempt(peer, None).await
    }

    /// Like [`connect`](Self::connect), with settings for this association instead of those of the
    /// port. Dropping the future aborts the attempt.
    ///
    /// # Errors
    /// As [`connect`](Self::connect), and [`Error::Config`].
    pub async fn connect_with(
        &self,
        peer: impl ToPeer,
        config: AssocConfig,
    ) -> Result<AssocId, Error> {
        self.attempt(peer, Some(config)).await
    }

    /// Starts an association and does not wait until it is up. Messages can be sent at once; the
    /// first of them travel with the COOKIE ECHO. A notification reports the outcome
    /// ([`Subscriptions::assoc_change`]).
    ///
    /// # Errors
    /// [`Error::Connect`] when it cannot be started, [`Error::Config`], [`Error::Stopped`].
    pub fn start_connect(
        &self,
        peer: &Peer,
        config: Option<AssocConfig>,
    ) -> Result<AssocId, Error> {
        let config = config.map(|config| self.handle.settings.limit(config));
        self.shared().with(|state, now| {
            state.check_running()?;
            Ok(state.sockets.connect_with(now, self.socket, peer, config)?)
        })
    }

    /// Sends on one association, waiting for room in its send buffer. Cancel-safe: a dropped
    /// future has sent nothing.
    ///
    /// # Errors
    /// As [`Association::send`], and [`Error::NoAssociation`].
    pub async fn send(&self, association: AssocId, message: Message) -> Result<(), Error> {
        self.send_over(Target::Assoc(association), message).await.map(drop)
    }

    /// Sends to a peer, over the existing association with it or else over a new one (implicit
    /// setup, RFC 6458 sec 3.3). Cancel-safe: a dropped future has sent nothing.
    ///
    /// # Errors
    /// As [`send`](Self::send) and [`start_connect`](Self::start_connect).
    pub async fn send_to(&self, peer: &Peer, message: Message) -> Result<AssocId, Error> {
        self.send_over(Target::Peer(peer), message).await
    }

    /// Like [`send_to`](Self::send_to), with settings that apply if the association is a new one
    /// (SCTP_INIT). Cancel-safe: a dropped future has sent nothing.
    ///
    /// # Errors
    /// As [`send_to`](Self::send_to), and [`Error::Config`].
    pub async fn send_to_with(
        &self,
        peer: &Peer,
        config: AssocConfig,
        message: Message,
    ) -> Result<AssocId, Error> {
        let config = self.handle.settings.limit(config);
        self.send_over(Target::NewPeer(peer, &config), message).await
    }

    /// Sends on one association to the address `via` of the peer (SCTP_ADDR_OVER); see
    /// [`Association::send_via`]. Cancel-safe: a dropped future has sent nothing.
    ///
    /// # Errors
    /// As [`Association::send_via`], and [`Error::NoAssociation`].
    pub async fn send_via(
        &self,
        association: AssocId,
        via: IpAddr,
        message: Message,
    ) -> Result<(), Error> {
        let target = Target::Assoc(association);
        let send = |state: &mut State, now| {
            Ok(state
                .sockets
                .try_send_via(now, self.socket, target, via, message.clone())
                .map(drop)?)
        };
        self.shared().wait(self.socket, Interest::Write, send).await
    }

    /// Sends a message on every association that is not shutting down (SCTP_SENDALL), without
    /// waiting. Returns [`Error::WouldBlock`] for those whose send buffer is full; use
    /// [`send`](Self::send) for them.
    pub fn try_send_to_all(&self, message: &Message) -> Vec<(AssocId, Result<(), Error>)> {
        let sent = self
            .shared()
            .with(|state, now| state.sockets.try_send_to_all(now, self.socket, message));
        let sent = sent.unwrap_or_default().into_iter();
        sent.map(|(association, sent)| (association, sent.map_err(Error::from))).collect()
    }

    /// What the next [`recv`](Self::recv) will return (SCTP_NXTINFO); `None` if there is nothing to
    /// read.
    pub fn next_info(&self) -> Option<(AssocId, Next)> {
        self.shared().peek(|state| state.sockets.next_info(self.socket))
    }

    /// The settings, status and statistics of one association.
    pub fn control(&self, association: AssocId) -> Control<'_> {
        Control::new(&self.handle, self.socket, association)
    }

    /// Changes the settings of future associations (SCTP_FUTURE_ASSOC).
    ///
    /// # Errors
    /// [`Error::Config`].
    pub fn set_config(&self, config: AssocConfig) -> Result<(), Error> {
        let config = self.handle.settings.limit(config);
        self.shared().with(|state, _| Ok(state.sockets.set_config(self.socket, config)?))
    }

    /// Sets what may come between the parts of a message that is delivered in parts
    /// (SCTP_FRAGMENT_INTERLEAVE). By default, messages of other associations may.
    pub fn set_interleave(&self, interleave: Interleave) {
        self.shared().with(|state, _| {
            let _ = state.sockets.set_interleave(self.socket, interleave);
        });
    }

    /// Replaces the local addresses (`sctp_bindx`). Possible only while there are no associations.
    ///
    /// # Errors
    /// [`Error::Invalid`] when there are associations; [`Error::NotOfALink`], [`Error::NotLocal`]
    /// or [`Error::Bind`] when one of them cannot be bound.
    pub fn set_addrs(&self, addrs: &[IpAddr]) -> Result<(), Error> {
        if !self.freebind {
            self.handle.settings.link_addrs.check(addrs)?;
        }
        self.shared().with(|state, _| Ok(state.sockets.set_addrs(self.socket, addrs)?))
    }

    /// Waits for the next message or subscribed notification of any association. Cancel-safe. Only
    /// notifications tell that an association has ended or that a peer has restarted
    /// ([`Subscriptions::assoc_change`]).
    ///
    /// # Errors
    /// [`Error::Stopped`].
    pub async fn recv(&self) -> Result<(AssocId, Incoming), Error> {
        let recv = |state: &mut State, now| {
            state.sockets.try_recv(now, self.socket)?.ok_or(Error::NoAssociation)
        };
        self.shared().wait(self.socket, Interest::Read, recv).await
    }

    /// Chooses which notifications [`recv`](Self::recv) returns, for all associations.
    /// [`Control::subscribe`] does this for one association.
    pub fn subscribe(&self, subscriptions: Subscriptions) {
        self.shared().with(|state, _| {
            let _ = state.sockets.set_subscriptions(self.socket, subscriptions);
        });
    }

    /// Sets after what time without user data an association is shut down (SCTP_AUTOCLOSE). `None`
    /// means never.
    pub fn set_autoclose(&self, idle: Option<Duration>) {
        self.shared().with(|state, _| {
            let _ = state.sockets.set_autoclose(self.socket, idle);
        });
    }

    /// Begins the graceful shutdown of one association (SCTP_EOF). A notification tells when it has
    /// ended.
    ///
    /// # Errors
    /// [`Error::NoAssociation`].
    pub fn start_shutdown(&self, association: AssocId) -> Result<(), Error> {
        Ok(self
            .shared()
            .with(|state, now| state.sockets.shutdown_assoc(now, self.socket, association))?)
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

    /// Gives one association a handle of its own (RFC 6458 sec 9.2). Unread messages go with it.
    ///
    /// # Errors
    /// [`Error::NoAssociation`].
    pub fn peel_off(&self, association: AssocId) -> Result<Association, Error> {
        let (socket, peer_port) = self.shared().with(|state, _| {
            let socket = state.sockets.peel_off(self.socket, association)?;
            let peer_port =
                state.sockets.stack().status(association).map_or(0, |status| status.peer_port);
            Ok::<_, Error>((socket, peer_port))
        })?;
        Ok(Association::new(Arc::clone(&self.handle), socket, association, self.port, peer_port))
    }

    /// The associations of this handle.
    pub fn associations(&self) -> Vec<AssocId> {
        self.shared().peek(|state| state.sockets.assocs_of(self.socket))
    }

    /// The state and basic data of one association.
    pub fn status(&self, association: AssocId) -> Option<AssocStatus> {
        self.shared().peek(|state| state.sockets.stack().status(association))
    }

    /// All paths of one association.
    pub fn paths(&self, association: AssocId) -> Vec<PathStatus> {
        self.shared().peek(|state| state.sockets.stack().paths(association))
    }

    async fn attempt(
        &self,
        peer: impl ToPeer,
        config: Option<AssocConfig>,
    ) -> Result<AssocId, Error> {
        let peer = &resolve(peer, &self.handle.settings).await?.peer;
        let assoc = self.start_connect(peer, config)?;
        let mut attempt = Attempt { many: self, assoc, decided: false };
        self.shared().with(|state, now| state.sockets.keep(now, self.socket, assoc, true))?;
        let outcome = |state: &mut State, _| Ok(state.sockets.setup_result(self.socket, assoc)?);
        let outcome = self.shared().wait(self.socket, Interest::Lifecycle, outcome).await;
        attempt.decided = true;
        outcome.map_err(|error| error.of_setup(std::slice::from_ref(peer)))?;
        Ok(assoc)
    }

    async fn send_over(&self, target: Target<'_>, message: Message) -> Result<AssocId, Error> {
        let send = |state: &mut State, now| {
            if !matches!(target, Target::Assoc(_)) {
                state.check_running()?; // it may begin an association
            }
            Ok(state.sockets.try_send(now, self.socket, target, message.clone())?)
        };
        self.shared().wait(self.socket, Interest::Write, send).await
    }

    fn shared(&self) -> &Shared {
        &self.handle.shared
    }
}

/// An association that a call waits for. Dropping this before the outcome is known aborts the
/// association.
struct Attempt<'a> {
    many: &'a OneToMany,
    assoc: AssocId,
    decided: bool,
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        let Attempt { many, assoc, decided } = *self;
        many.shared().with(|state, now| {
            if !decided {
                let _ = state.sockets.abort_assoc(now, many.socket, assoc, Bytes::new());
            }
            let _ = state.sockets.keep(now, many.socket, assoc, false);
        });
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

/// How many associations can come up in one batch of packets before the socket takes them.
pub(crate) const BACKLOG: usize = 128;
