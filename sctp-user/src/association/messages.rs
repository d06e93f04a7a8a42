//! Messages as a `Stream` and a `Sink`, for the combinators of the `futures` crates.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::{FusedStream, Stream};
use futures_sink::Sink;
use sctp_user_core::{Message, Received};

use super::Association;
use super::waker_keys::WakerKeys;
use crate::error::Error;
use crate::shared::WakerSlot;

/// The messages of an association: a [`Stream`] of received messages and a [`Sink`] for messages to
/// send. [`Association::messages`] makes one.
///
/// - The stream gives what [`Association::recv_message`] returns, and ends when the association has
///   ended. If that was not graceful, an error comes first. [`Error::Restarted`] does not end the
///   stream: after it come the messages of the peer's new process.
/// - The sink puts messages into the send buffer of the association. While that is full, it keeps
///   one message. Flushing waits until it keeps none; then all messages are queued, but perhaps not
///   delivered. Closing also shuts the association down and waits as [`Association::shutdown`]
///   does, which delivers everything.
/// - It may be dropped at any time. Messages that the stream has not given stay for other readers
///   of the association. Of the messages to send, only the one that the sink still keeps is lost.
///
/// It holds a clone of the association and so keeps it alive.
#[must_use = "a stream gives nothing and a sink takes nothing unless they are polled"]
pub struct Messages {
    association: Association,
    /// A message that waits for room in the send buffer.
    kept: Option<Message>,
    ended: bool,
    keys: WakerKeys,
}

impl Association {
    /// The messages as a [`Stream`] and a [`Sink`]. `split` of the `futures` crates separates the
    /// two.
    pub fn messages(&self) -> Messages {
        Messages { association: self.clone(), kept: None, ended: false, keys: WakerKeys::default() }
    }
}

impl Messages {
    /// The association.
    pub fn association(&self) -> &Association {
        &self.association
    }

    /// Waits until no message is kept.
    fn poll_kept(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let Some(message) = &self.kept else { return Poll::Ready(Ok(())) };
        let slot = WakerSlot::Key(&mut self.keys.write);
        let sent = ready!(self.association.inner.poll_send(cx, slot, message));
        // Do not try again if there was an error: it would come again.
        self.kept = None;
        Poll::Ready(sent)
    }
}

impl Stream for Messages {
    type Item = Result<Received, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if this.ended {
            return Poll::Ready(None);
        }
        let slot = WakerSlot::Key(&mut this.keys.read);
        let next = ready!(this.association.inner.poll_message(cx, slot));
        this.ended = !matches!(next, Ok(Some(_)) | Err(Error::Restarted));
        Poll::Ready(next.transpose())
    }
}

impl FusedStream for Messages {
    fn is_terminated(&self) -> bool {
        self.ended
    }
}

impl Sink<Message> for Messages {
    type Error = Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll_kept(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<(), Error> {
        if self.kept.is_some() {
            return Err(Error::Invalid("a sink must be ready before it takes a message"));
        }
        match self.association.try_send(message.clone()) {
            Err(Error::WouldBlock) => {
                self.kept = Some(message);
                Ok(())
            }
            sent => sent,
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll_kept(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        ready!(self.poll_kept(cx))?;
        let this = &mut *self;
        let slot = WakerSlot::Key(&mut this.keys.lifecycle);
        this.association.inner.poll_shutdown(cx, slot)
    }
}

impl Drop for Messages {
    fn drop(&mut self) {
        self.keys.forget(&self.association.inner);
    }
}

impl fmt::Debug for Messages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Messages")
            .field("association", &self.association)
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}
