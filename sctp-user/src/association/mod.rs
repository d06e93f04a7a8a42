//! An association: messages and notifications in both directions.

mod byte_stream;
#[cfg(feature = "futures")]
mod messages;
mod poll;
mod waker_keys;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sctp_user_core::socket::{
    EndReason, How, Incoming, Next, SocketError, SocketId, Subscriptions, Target,
};
use sctp_user_core::{
    AssocConfig, AssocId, AssocStats, AssocStatus, Message, PathAddr, PathStatus, Received,
    SendOptions, Time,
};

use crate::control::Control;
use crate::error::Error;
use crate::shared::{Interest, Shared, State, TimeSource};
use crate::stack::StackHandle;

pub use byte_stream::ByteStream;
#[cfg(feature = "futures")]
pub use messages::Messages;

/// An SCTP association. All clones are the same association, and all methods take `&self`, so one
/// task can receive while another sends.
///
/// If the last clone is dropped before [`shutdown`](Self::shutdown) or
/// [`start_shutdown`](Self::start_shutdown) was called, the association is aborted, so that the
/// peer learns that nobody is there any more. After `start_shutdown` the shutdown goes on in the
/// background, as long as the stack lives.
#[derive(Clone)]
pub struct Association {
    inner: Arc<Inner>,
}

struct Inner {
    handle: Arc<StackHandle>,
    socket: SocketId,
    assoc: AssocId,
    local_port: u16,
    peer_port: u16,
}

impl Association {
    pub(crate) fn new(
        handle: Arc<StackHandle>,
        socket: SocketId,
        assoc: AssocId,
        local_port: u16,
        peer_port: u16,
    ) -> Self {
        Association { inner: Arc::new(Inner { handle, socket, assoc, local_port, peer_port }) }
    }

    /// The identifier of the association in its stack. The stack never uses it for another one.
    pub fn id(&self) -> AssocId {
        self.inner.assoc
    }

    /// Sends a message: waits until the send buffer has room and queues it. `Ok` means queued, not
    /// delivered. Cancel-safe: a dropped future has sent nothing.
    ///
    /// # Errors
    /// [`Error::Ended`], [`Error::ShuttingDown`], [`Error::Message`], [`Error::Stopped`].
    pub async fn send(&self, message: Message) -> Result<(), Error> {
        let inner = &*self.inner;
        let source = time_source_for(std::slice::from_ref(&message));
        self.shared()
            .wait_exchange(inner.socket, Interest::Write, source, |state, now| {
                inner.try_send(state, now, message.clone())
            })
            .await
    }

    /// Sends messages one after the other, as many at a time as the send buffer has room for: what
    /// [`send`](Self::send) in a loop does, at a fraction of the cost per message. Not cancel-safe:
    /// a dropped future may have sent the first of them. [`send_unit`](Self::send_unit) sends all
    /// or none.
    ///
    /// # Errors
    /// As [`send`](Self::send). The messages before the one that failed are sent.
    pub async fn send_many(&self, messages: Vec<Message>) -> Result<(), Error> {
        let inner = &*self.inner;
        let source = time_source_for(&messages);
        let mut messages = messages.into_iter().peekable();
        self.shared()
            .wait_exchange(inner.socket, Interest::Write, source, |state, now| {
                while let Some(message) = messages.peek() {
                    inner.try_send(state, now, message.clone())?;
                    messages.next();
                }
                Ok(())
            })
            .await
    }

    /// Like [`send`](Self::send), with the fields of the message as arguments. `ppid` is the number
    /// on the wire, in host byte order. Cancel-safe: a dropped future has sent nothing.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub async fn send_bytes(
        &self,
        stream: u16,
        ppid: u32,
        options: SendOptions,
        data: impl Into<Bytes>,
    ) -> Result<(), Error> {
        self.send(Message { stream, ppid, data: data.into(), options }).await
    }

    /// Sends several messages as one unit: all are queued at once or, with an error, none. They
    /// share packets where they fit. Waits until the send buffer has room for all.
    /// [`send_many`](Self::send_many) sends them one after the other. Cancel-safe: a dropped future
    /// has sent nothing.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub async fn send_unit(&self, messages: Vec<Message>) -> Result<(), Error> {
        let inner = &*self.inner;
        self.wait(Interest::Write, |state, now| {
            let sent =
                state.sockets.try_send_unit(now, inner.socket, Target::Only, messages.clone());
            sent.map(drop).map_err(|why| inner.send_error(state, why))
        })
        .await
    }

    /// Like [`send`](Self::send), but to the address `via` of the peer instead of the primary path
    /// (SCTP_ADDR_OVER). If the path to `via` has failed, the message takes the usual path.
    /// Retransmissions always do. Cancel-safe: a dropped future has sent nothing.
    ///
    /// # Errors
    /// As [`send`](Self::send); [`Error::NoSuchAddress`], also when it is not confirmed.
    pub async fn send_via(&self, via: IpAddr, message: Message) -> Result<(), Error> {
        let inner = &*self.inner;
        self.wait(Interest::Write, |state, now| {
            let sent =
                state.sockets.try_send_via(now, inner.socket, Target::Only, via, message.clone());
            sent.map(drop).map_err(|why| inner.send_error(state, why))
        })
        .await
    }

    /// Like [`send`](Self::send), on the stream and with the options that were set with
    /// [`Control::set_send_defaults`]. Cancel-safe: a dropped future has sent nothing.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub async fn send_default(&self, data: impl Into<Bytes>) -> Result<(), Error> {
        let message = self.control().send_defaults()?.message(data);
        self.send(message).await
    }

    /// Queues a message without waiting.
    ///
    /// # Errors
    /// [`Error::WouldBlock`] when the send buffer is full, else as [`send`](Self::send).
    pub fn try_send(&self, message: Message) -> Result<(), Error> {
        let source = time_source_for(std::slice::from_ref(&message));
        self.shared().exchange(source, |state, now| self.inner.try_send(state, now, message))
    }

    /// Waits for the next message or subscribed notification. `Ok(None)` is the end: the peer has
    /// shut down and everything was read (with the notification of the end, if association changes
    /// are subscribed). Cancel-safe: a dropped future has taken nothing.
    ///
    /// # Errors
    /// [`Error::Ended`] when the association was lost (after everything received was read),
    /// [`Error::Stopped`]. [`Error::Restarted`] once when the peer has restarted, after everything
    /// received from its old process and before what its new one sends; if
    /// [`AssocChange::Restart`](crate::AssocChange::Restart) is subscribed, this notification comes
    /// instead of the error.
    pub async fn recv(&self) -> Result<Option<Incoming>, Error> {
        let inner = &*self.inner;
        self.shared()
            .wait_exchange(inner.socket, Interest::Read, TimeSource::LastRead, |state, now| {
                inner.try_recv(state, now)
            })
            .await
    }

    /// Waits until there is something to receive and appends what there is, at most `limit`
    /// messages and notifications, to `into`: what [`recv`](Self::recv) in a loop does, at a
    /// fraction of the cost per message. Returns how many there were; 0 is the end (or a `limit` of
    /// 0). Cancel-safe: a dropped future has taken nothing.
    ///
    /// # Errors
    /// As [`recv`](Self::recv), when there is nothing else. [`Error::Restarted`] comes whether or
    /// not notifications are subscribed, and before the notification.
    pub async fn recv_many(&self, into: &mut Vec<Incoming>, limit: usize) -> Result<usize, Error> {
        let inner = &*self.inner;
        let before = into.len();
        self.shared()
            .wait_exchange(inner.socket, Interest::Read, TimeSource::LastRead, |state, now| {
                inner.try_recv_many(state, now, into, before, limit)
            })
            .await
    }

    /// Like [`recv`](Self::recv), but skips notifications. Cancel-safe: a dropped future has taken
    /// no message, but it may have skipped notifications.
    ///
    /// # Errors
    /// As [`recv`](Self::recv). [`Error::Restarted`] comes whether or not notifications are
    /// subscribed.
    pub async fn recv_message(&self) -> Result<Option<Received>, Error> {
        let inner = &*self.inner;
        self.shared()
            .wait_exchange(inner.socket, Interest::Read, TimeSource::LastRead, |state, now| {
                inner.try_recv_message(state, now)
            })
            .await
    }

    /// Like [`recv`](Self::recv), without waiting.
    ///
    /// # Errors
    /// [`Error::WouldBlock`] when there is nothing, else as [`recv`](Self::recv).
    pub fn try_recv(&self) -> Result<Option<Incoming>, Error> {
        self.shared().exchange(TimeSource::LastRead, |state, now| self.inner.try_recv(state, now))
    }

    /// What the next [`recv`](Self::recv) will return (SCTP_NXTINFO); `None` if there is nothing to
    /// read.
    pub fn next_info(&self) -> Option<Next> {
        self.shared().peek(|state| state.sockets.next_info(self.inner.socket)).map(|(_, next)| next)
    }

    /// More settings and statistics: those of single paths, the defaults for sending, the
    /// notifications.
    pub fn control(&self) -> Control<'_> {
        Control::new(&self.inner.handle, self.inner.socket, self.inner.assoc)
    }

    /// Chooses which notifications [`recv`](Self::recv) returns.
    pub fn subscribe(&self, subscriptions: Subscriptions) {
        self.shared().with(|state, _| {
            let _ = state.sockets.set_subscriptions(self.inner.socket, subscriptions);
        });
    }

    /// Waits until the association is up. Returns at once if it is up already. Cancel-safe: the
    /// setup goes on without a waiter.
    ///
    /// # Errors
    /// [`Error::Refused`] or [`Error::Ended`] when it could not be set up, [`Error::Stopped`].
    pub async fn established(&self) -> Result<(), Error> {
        let inner = &*self.inner;
        self.wait(Interest::Lifecycle, |state, _| Ok(state.sockets.connect_result(inner.socket)?))
            .await
    }

    /// Shuts down gracefully: delivers everything that is queued, ends the association, and waits
    /// until it has ended. Messages that the peer sends in the meantime can still be read with
    /// [`recv`](Self::recv). If they are more than the receive buffer holds, the shutdown cannot
    /// complete until they are read. Dropping the future does not stop the shutdown; calling this
    /// again goes on waiting.
    ///
    /// # Errors
    /// [`Error::Ended`] when the association was lost before the shutdown was complete,
    /// [`Error::Stopped`].
    pub async fn shutdown(&self) -> Result<(), Error> {
        self.start_shutdown();
        Inner::shutdown_outcome(self.wait_end().await?)
    }

    /// Begins the graceful shutdown and does not wait for its end. Does nothing if the shutdown has
    /// begun already or the association has ended.
    pub fn start_shutdown(&self) {
        self.inner.start_shutdown();
    }

    /// Stops receiving (SHUT_RD, RFC 6458 sec 4.1.7): drops unread messages and all later ones, and
    /// makes [`recv`](Self::recv) report the end. The peer does not learn of it.
    pub fn stop_receiving(&self) {
        self.shared().with(|state, now| {
            let _ = state.sockets.shutdown(now, self.inner.socket, How::Read);
        });
    }

    /// Ends the association with an ABORT that carries `reason` (cause 12). The peer sees it as
    /// [`LossReason::PeerAbort`](crate::LossReason::PeerAbort). Queued messages are lost.
    pub fn abort(&self, reason: impl Into<Bytes>) {
        self.shared().with(|state, now| {
            let _ =
                state.sockets.abort_assoc(now, self.inner.socket, self.inner.assoc, reason.into());
        });
    }

    /// Waits until the association has ended, for whatever reason, and returns that reason. `None`
    /// if the stack was stopped first. Cancel-safe.
    pub async fn ended(&self) -> Option<EndReason> {
        self.wait_end().await.ok()
    }

    /// Why the association ended; `None` while it lives.
    pub fn end_reason(&self) -> Option<EndReason> {
        self.shared().peek(|state| state.sockets.end_reason(self.inner.assoc).cloned())
    }

    /// The state and basic data of the association (SCTP_STATUS), also after its end. `None` when
    /// the stack has forgotten the association.
    pub fn status(&self) -> Option<AssocStatus> {
        self.control().status()
    }

    /// All paths, with their addresses, states, round-trip times and congestion windows
    /// (SCTP_GET_PEER_ADDR_INFO).
    pub fn paths(&self) -> Vec<PathStatus> {
        self.control().paths()
    }

    /// The primary path.
    pub fn primary_path(&self) -> Option<PathStatus> {
        self.paths().into_iter().find(|path| path.primary)
    }

    /// The smoothed round-trip time of the primary path; `None` before the first measurement.
    pub fn srtt(&self) -> Option<Duration> {
        self.primary_path()?.srtt
    }

    /// The counters of the association.
    pub fn stats(&self) -> AssocStats {
        self.control().stats()
    }

    /// The addresses of the peer, each with its encapsulation, which includes the peer's UDP port.
    /// The primary address comes first.
    pub fn peer_addrs(&self) -> Vec<PathAddr> {
        self.control().peer_addrs()
    }

    /// The SCTP port of the peer.
    pub fn peer_port(&self) -> u16 {
        self.inner.peer_port
    }

    /// The local addresses: those that the peer was told, or, if it was told none, those that the
    /// paths use.
    pub fn local_addrs(&self) -> Vec<IpAddr> {
        self.control().local_addrs()
    }

    /// The local SCTP port. If the stack chose it, it may change until the association is up: when
    /// the peer refuses the port, the stack tries another one.
    pub fn local_port(&self) -> u16 {
        self.status().map_or(self.inner.local_port, |status| status.local_port)
    }

    /// The local UDP port of the stack's link for UDP; `None` if there is no such link.
    pub fn local_udp_port(&self) -> Option<u16> {
        self.inner.handle.settings.local_udp_port
    }

    /// Changes settings of the live association: timers, limits, buffers, heartbeats. The numbers
    /// of streams and the MTUs cannot be changed.
    ///
    /// # Errors
    /// [`Error::Config`] when the new settings are not valid; then nothing changes.
    /// [`Error::NoAssociation`] after the end.
    pub fn configure(&self, change: impl FnOnce(&mut AssocConfig)) -> Result<(), Error> {
        self.control().configure(change)
    }

    /// Makes the path to `addr` the primary one.
    ///
    /// # Errors
    /// [`Error::NoSuchAddress`] when the peer has no such address, or it is not confirmed yet;
    /// [`Error::NoAssociation`] after the end.
    pub fn set_primary(&self, addr: IpAddr) -> Result<(), Error> {
        self.control().set_primary(addr)
    }

    /// Sends a heartbeat to `addr` at once.
    ///
    /// # Errors
    /// [`Error::NoSuchAddress`]; [`Error::NoAssociation`] after the end.
    pub fn request_heartbeat(&self, addr: IpAddr) -> Result<(), Error> {
        self.control().request_heartbeat(addr)
    }

    /// Says that the peer may be dead. Until a packet arrives from it, ICMP errors that say so end
    /// the association when they have continued for `patience`, and heartbeats ask for them; see
    /// [`Control::suspect`].
    ///
    /// # Errors
    /// [`Error::NoAssociation`] after the end.
    pub fn suspect(&self, patience: Duration) -> Result<(), Error> {
        self.control().suspect(patience)
    }

    async fn wait_end(&self) -> Result<EndReason, Error> {
        let inner = &*self.inner;
        self.wait(Interest::Lifecycle, |state, _| inner.try_end(state)).await
    }

    async fn wait<R>(
        &self,
        interest: Interest,
        op: impl FnMut(&mut State, Time) -> Result<R, Error> + Unpin,
    ) -> Result<R, Error> {
        self.shared().wait(self.inner.socket, interest, op).await
    }

    fn shared(&self) -> &Shared {
        &self.inner.handle.shared
    }
}

impl Inner {
    fn try_send(&self, state: &mut State, now: Time, message: Message) -> Result<(), Error> {
        let sent = state.sockets.try_send(now, self.socket, Target::Only, message);
        sent.map(drop).map_err(|why| self.send_error(state, why))
    }

    /// The socket reports a lost association only once. This API reports it every time.
    fn send_error(&self, state: &State, why: SocketError) -> Error {
        match (why, state.sockets.end_reason(self.assoc)) {
            (SocketError::ShutDown, Some(reason)) => reason.clone().into(),
            (why, _) => why.into(),
        }
    }

    /// Like [`try_recv`](Self::try_recv), but returns an error for every restart of the peer.
    fn try_recv_or_restart(&self, state: &mut State, now: Time) -> Result<Option<Incoming>, Error> {
        if state.sockets.take_restart(self.socket) {
            return Err(Error::Restarted);
        }
        self.try_recv(state, now)
    }

    /// Receives the next message and skips notifications.
    fn try_recv_message(&self, state: &mut State, now: Time) -> Result<Option<Received>, Error> {
        loop {
            match self.try_recv_or_restart(state, now)? {
                Some(Incoming::Message(received)) => return Ok(Some(received)),
                Some(Incoming::Notification(_)) => {}
                None => return Ok(None),
            }
        }
    }

    /// Appends what there is to `into`, which had `before` entries, until it has `limit` more.
    fn try_recv_many(
        &self,
        state: &mut State,
        now: Time,
        into: &mut Vec<Incoming>,
        before: usize,
        limit: usize,
    ) -> Result<usize, Error> {
        let has_notes = state.sockets.has_notes(self.socket);
        while into.len() - before < limit {
            // A restart is reported only once, so it waits for a call that reports nothing else.
            if has_notes && state.sockets.restart_is_next(self.socket) {
                if into.len() > before {
                    break;
                }
                state.sockets.take_restart(self.socket);
                return Err(Error::Restarted);
            }
            match self.try_recv(state, now) {
                Ok(Some(incoming)) => into.push(incoming),
                Ok(None) => break,
                // The next call reports this error again.
                Err(_) if into.len() > before => break,
                Err(why) => return Err(why),
            }
        }
        Ok(into.len() - before)
    }

    fn try_recv(&self, state: &mut State, now: Time) -> Result<Option<Incoming>, Error> {
        match state.sockets.try_recv(now, self.socket)? {
            Some((_, incoming)) => Ok(Some(incoming)),
            None => self.end_of_reading(state).map(|()| None),
        }
    }

    /// What a reader gets after it has read everything: `Ok` after a graceful end.
    fn end_of_reading(&self, state: &State) -> Result<(), Error> {
        match state.sockets.end_reason(self.assoc) {
            Some(reason) if !reason.is_graceful() => Err(reason.clone().into()),
            _ => Ok(()),
        }
    }

    fn start_shutdown(&self) {
        self.handle.shared.with(|state, now| {
            let _ = state.sockets.shutdown_assoc(now, self.socket, self.assoc);
        });
    }

    fn try_end(&self, state: &State) -> Result<EndReason, Error> {
        state.sockets.end_reason(self.assoc).cloned().ok_or(Error::WouldBlock)
    }

    /// What a call that has shut the association down returns at its end.
    fn shutdown_outcome(end: EndReason) -> Result<(), Error> {
        if end.is_graceful() { Ok(()) } else { Err(end.into()) }
    }
}

/// Only a message with a lifetime needs the current time.
fn time_source_for(messages: &[Message]) -> TimeSource {
    if messages.iter().any(|m| m.options.lifetime.is_some()) {
        TimeSource::Clock
    } else {
        TimeSource::LastRead
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.handle.shared.with(|state, now| {
            let _ = state.sockets.abandon(now, self.socket);
            Shared::forget_waiters(state, self.socket);
        });
    }
}

impl fmt::Debug for Association {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { handle: _, socket: _, assoc, local_port, peer_port } = &*self.inner;
        f.debug_struct("Association")
            .field("id", assoc)
            .field("local_port", local_port)
            .field("peer_port", peer_port)
            .finish_non_exhaustive()
    }
}
