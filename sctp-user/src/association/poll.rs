//! Sending and receiving for code that polls, such as your own futures, streams and sinks.

use std::task::{Context, Poll};

use sctp_user_core::socket::Incoming;
use sctp_user_core::{Message, Received};

use super::{Association, Inner, time_source_for};
use crate::error::Error;
use crate::shared::{Interest, State, TimeSource, WakerSlot};

/// If several tasks poll for the same thing, only the one that polled last is woken. Tasks that
/// wait in an `async` call are always woken.
impl Association {
    /// Polls for what [`recv`](Self::recv) returns. When it answers [`Poll::Pending`], it has taken
    /// nothing.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub fn poll_recv(&self, cx: &mut Context<'_>) -> Poll<Result<Option<Incoming>, Error>> {
        let inner = &*self.inner;
        let waiting = (inner.socket, Interest::Read, WakerSlot::Polled);
        self.shared().poll_exchange(cx, waiting, TimeSource::LastRead, |state, now| {
            inner.try_recv(state, now)
        })
    }

    /// Polls for what [`recv_message`](Self::recv_message) returns. When it answers
    /// [`Poll::Pending`], it has taken no message, but may have skipped notifications.
    ///
    /// # Errors
    /// As [`recv_message`](Self::recv_message).
    pub fn poll_recv_message(&self, cx: &mut Context<'_>) -> Poll<Result<Option<Received>, Error>> {
        self.inner.poll_message(cx, WakerSlot::Polled)
    }

    /// Polls for what [`recv_many`](Self::recv_many) returns. When it answers [`Poll::Pending`], it
    /// has taken nothing.
    ///
    /// # Errors
    /// As [`recv_many`](Self::recv_many).
    pub fn poll_recv_many(
        &self,
        cx: &mut Context<'_>,
        into: &mut Vec<Incoming>,
        limit: usize,
    ) -> Poll<Result<usize, Error>> {
        let inner = &*self.inner;
        let waiting = (inner.socket, Interest::Read, WakerSlot::Polled);
        let before = into.len();
        self.shared().poll_exchange(cx, waiting, TimeSource::LastRead, |state, now| {
            inner.try_recv_many(state, now, into, before, limit)
        })
    }

    /// The polled form of [`send`](Self::send). Clones the message, which shares its bytes. When it
    /// answers [`Poll::Pending`], the message is not queued.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn poll_send(&self, cx: &mut Context<'_>, message: &Message) -> Poll<Result<(), Error>> {
        self.inner.poll_send(cx, WakerSlot::Polled, message)
    }

    /// The polled form of [`established`](Self::established).
    ///
    /// # Errors
    /// As [`established`](Self::established).
    pub fn poll_established(&self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let inner = &*self.inner;
        let waiting = (inner.socket, Interest::Lifecycle, WakerSlot::Polled);
        let outcome = |state: &mut State, _| Ok(state.sockets.connect_result(inner.socket)?);
        self.shared().poll_wait(cx, waiting, outcome)
    }

    /// The polled form of [`shutdown`](Self::shutdown). The first call begins the shutdown.
    ///
    /// # Errors
    /// As [`shutdown`](Self::shutdown).
    pub fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_shutdown(cx, WakerSlot::Polled)
    }
}

impl Inner {
    pub(super) fn poll_message(
        &self,
        cx: &mut Context<'_>,
        slot: WakerSlot<'_>,
    ) -> Poll<Result<Option<Received>, Error>> {
        let waiting = (self.socket, Interest::Read, slot);
        self.handle.shared.poll_exchange(cx, waiting, TimeSource::LastRead, |state, now| {
            self.try_recv_message(state, now)
        })
    }

    pub(super) fn poll_send(
        &self,
        cx: &mut Context<'_>,
        slot: WakerSlot<'_>,
        message: &Message,
    ) -> Poll<Result<(), Error>> {
        let waiting = (self.socket, Interest::Write, slot);
        let source = time_source_for(std::slice::from_ref(message));
        self.handle.shared.poll_exchange(cx, waiting, source, |state, now| {
            self.try_send(state, now, message.clone())
        })
    }

    pub(super) fn poll_shutdown(
        &self,
        cx: &mut Context<'_>,
        slot: WakerSlot<'_>,
    ) -> Poll<Result<(), Error>> {
        self.start_shutdown();
        let waiting = (self.socket, Interest::Lifecycle, slot);
        let end = self.handle.shared.poll_wait(cx, waiting, |state, _| self.try_end(state));
        end.map(|end| Inner::shutdown_outcome(end?))
    }
}
