//! One SCTP stream as a stream of bytes, for code that does not use messages.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use sctp_user_core::{Message, SendError, SendOptions};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Association;
use super::waker_keys::WakerKeys;
use crate::error::Error;
use crate::shared::{Interest, State, TimeSource, WakerSlot};

/// One SCTP stream of an association, as bytes in both directions. [`Association::stream`] makes
/// one.
///
/// - **Messages.** Writing sends ordered messages of at most 16 KiB, and their boundaries mean
///   nothing. Reading joins the messages of the stream in the order in which they come, including
///   unordered ones. Their boundaries and payload protocol identifiers are lost.
/// - **Other streams.** Their messages stay for [`Association::recv`] and for their own byte
///   streams. Notifications stay for [`Association::recv`]. Read a stream either as bytes or as
///   messages, and as bytes in one place only: each message goes to the reader that takes it first.
/// - **Flow control.** A writer waits while the send buffer of the association is full. All streams
///   share one receive buffer. If nobody reads one of the streams, its messages may fill that
///   buffer, and then the peer cannot send on any stream.
/// - **End.** SCTP ends all streams of an association at once, and in both directions (RFC 9260 sec
///   9.2). Reading returns 0 bytes when the peer has shut the association down and everything on
///   the stream was read. Shutting the writer down shuts the association down, as
///   [`Association::shutdown`] does: it waits until everything written has been delivered and the
///   association has ended. The peer cannot send any more after that, so if it is to answer a
///   request, the bytes themselves must show where the request ends.
/// - **Failure.** When the association is lost, reading returns what has come and then fails with
///   an error of this [kind](Error::kind).
/// - **Restart of the peer.** Bytes are lost when the peer restarts. Reading returns what has come
///   from the old process. After that, reading and writing fail with
///   [`io::ErrorKind::ConnectionReset`]. A new [`Association::stream`] talks to the new process.
/// - **Cancelling.** A `read` that is dropped has taken nothing, and a `write` that is dropped has
///   written nothing. `read_exact` and `write_all` of tokio are different: they may have read or
///   written a part.
///
/// It holds a clone of the association and so keeps it alive. Use `tokio::io::split` to read and
/// write at the same time.
pub struct ByteStream {
    association: Association,
    stream: u16,
    ppid: u32,
    /// How often the peer had restarted when this was made, and how many of these restarts the user
    /// had read.
    restarts: (u64, u64),
    /// The unread part of a message.
    rest: Bytes,
    /// Everything from before a restart of the peer was read.
    restarted: bool,
    keys: WakerKeys,
}

impl Association {
    /// The SCTP stream `stream` of both directions, as bytes.
    ///
    /// ```
    /// # use sctp_user::{Encap, Error, Peer, StackBuilder, link::sim::SimNet};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
    /// # let net = SimNet::new(1);
    /// # let link = |host: u8| net.link(&[[192, 0, 2, host].into()], 9899);
    /// # let start = |host: u8| StackBuilder::new().link(link(host)).build();
    /// # let (one, two) = (start(1)?, start(2)?);
    /// # let endpoint = two.bind(7)?;
    /// # endpoint.listen(1)?;
    /// # let peer = Peer::new([192, 0, 2, 2].into(), Encap::Udp { remote_port: 9899 }, 7);
    /// let association = one.connect(&peer).await?;
    /// association.stream(3).write_all(b"one line\nand another\n").await?;
    ///
    /// # let server = endpoint.accept().await?;
    /// let mut lines = BufReader::new(server.stream(3)).lines();
    /// assert_eq!(lines.next_line().await?.as_deref(), Some("one line"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn stream(&self, stream: u16) -> ByteStream {
        let socket = self.inner.socket;
        ByteStream {
            association: self.clone(),
            stream,
            ppid: 0,
            restarts: self.shared().peek(|state| {
                (state.sockets.restarts(socket), state.sockets.restarts_read(socket))
            }),
            rest: Bytes::new(),
            restarted: false,
            keys: WakerKeys::default(),
        }
    }
}

impl ByteStream {
    /// Writes messages with this payload protocol identifier instead of 0. `ppid` is the number on
    /// the wire, in host byte order.
    #[must_use]
    pub fn with_ppid(mut self, ppid: u32) -> Self {
        self.ppid = ppid;
        self
    }

    /// The association.
    pub fn association(&self) -> &Association {
        &self.association
    }

    /// The number of the SCTP stream.
    pub fn id(&self) -> u16 {
        self.stream
    }

    /// Waits until there are bytes in `rest`. Returns false at the end.
    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Error>> {
        if !self.rest.is_empty() {
            return Poll::Ready(Ok(true));
        }
        if self.restarted {
            return Poll::Ready(Err(Error::Restarted));
        }
        let ByteStream { association, stream, restarts, keys, .. } = self;
        let inner = &*association.inner;
        let waiting = (inner.socket, Interest::Read, WakerSlot::Key(&mut keys.read));
        let recv = |state: &mut State, now| {
            if state.sockets.restarts_read(inner.socket) != restarts.1 {
                return Err(Error::Restarted); // somebody else has read past it
            }
            match state.sockets.try_recv_on(now, inner.socket, *stream)? {
                Some(received) => Ok(Some(received.data)),
                None => inner.end_of_reading(state).map(|()| None),
            }
        };
        match ready!(inner.handle.shared.poll_exchange(cx, waiting, TimeSource::LastRead, recv)) {
            Ok(Some(data)) => {
                self.rest = data;
                Poll::Ready(Ok(true))
            }
            Ok(None) => Poll::Ready(Ok(false)),
            Err(why) => {
                // The next bytes come from the peer's new process.
                self.restarted |= why == Error::Restarted;
                Poll::Ready(Err(why))
            }
        }
    }
}

impl AsyncRead for ByteStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if buf.remaining() > 0 && ready!(self.poll_rest(cx))? {
            let len = buf.remaining().min(self.rest.len());
            buf.put_slice(&self.rest.split_to(len));
        }
        Poll::Ready(Ok(()))
    }
}

impl tokio::io::AsyncBufRead for ByteStream {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        ready!(this.poll_rest(cx))?;
        Poll::Ready(Ok(&this.rest))
    }

    fn consume(mut self: Pin<&mut Self>, amount: usize) {
        let amount = amount.min(self.rest.len());
        self.rest.advance(amount);
    }
}

impl AsyncWrite for ByteStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut len = buf.len().min(MAX_MESSAGE);
        if len == 0 {
            return Poll::Ready(Ok(0));
        }
        let data = Bytes::copy_from_slice(buf.get(..len).unwrap_or_default());
        let ByteStream { association, stream, ppid, restarts, keys, .. } = &mut *self;
        let inner = &*association.inner;
        let waiting = (inner.socket, Interest::Write, WakerSlot::Key(&mut keys.write));
        let send = |state: &mut State, now| {
            if state.sockets.restarts(inner.socket) != restarts.0 {
                return Err(Error::Restarted);
            }
            loop {
                let (stream, ppid, data) = (*stream, *ppid, data.slice(..len));
                let message = Message { stream, ppid, data, options: SendOptions::default() };
                len = match inner.try_send(state, now, message) {
                    Err(Error::Message(SendError::TooLarge)) if len > 1 => len / 2,
                    Err(Error::Message(SendError::NeedsFragments { most })) if most < len => most,
                    sent => return sent.map(|()| len),
                };
            }
        };
        let sent = inner.handle.shared.poll_exchange(cx, waiting, TimeSource::LastRead, send);
        sent.map_err(io::Error::from)
    }

    /// Ready at once: what was written is queued already.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let ended =
            this.association.inner.poll_shutdown(cx, WakerSlot::Key(&mut this.keys.lifecycle));
        ended.map_err(io::Error::from)
    }
}

impl Drop for ByteStream {
    fn drop(&mut self) {
        self.keys.forget(&self.association.inner);
    }
}

impl fmt::Debug for ByteStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByteStream")
            .field("association", &self.association)
            .field("stream", &self.stream)
            .finish_non_exhaustive()
    }
}

/// The most bytes in one message, so that writers do not have to wait for much room.
const MAX_MESSAGE: usize = 16 * 1024;
