//! One SCTP stream as a stream of bytes, for code that knows nothing of messages.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use sctp_user_core::{Message, SendError, SendOptions};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Association;
use crate::error::Error;
use crate::shared::{Clock, Interest, Place, State};

/// One SCTP stream of an association as bytes in both directions, from [`Association::stream`].
///
/// - **Messages.** What is written leaves in ordered messages of at most 16 KiB, cut wherever the
///   writer's buffers end. Reading joins the messages of the stream in the order in which they
///   come, also unordered ones, and leaves their boundaries and payload protocol identifiers out.
/// - **Other streams.** Their messages stay for [`Association::recv`] and for byte streams of
///   their own; so do all notifications. Read a stream either as bytes or as messages, and as bytes
///   from one place only: each message goes to whoever takes it first.
/// - **Flow control.** A writer waits while the send buffer of the association is full. All streams
///   share one receive buffer: what nobody reads of one stream fills it in the end, and then the
///   peer can send on none.
/// - **End.** SCTP ends all streams of an association at once, and in both directions
///   (RFC 9260 sec 9.2). Reading gives 0 bytes when the peer has shut the association down and
///   everything of the stream was read. Shutting the writer down shuts the association down, as
///   [`Association::shutdown`] does: it waits until everything written has been delivered and the
///   association has ended. The peer can send nothing more once it knows, so say in the bytes where
///   a request ends if an answer is to follow.
/// - **Failure.** When the association is lost, reading gives what has come and then fails with the
///   error's [kind](Error::kind).
/// - **Restart of the peer.** Bytes are lost then. Reading gives what has come from the old process;
///   from then on reading and writing fail with [`io::ErrorKind::ConnectionReset`]. A new
///   [`Association::stream`] talks to the new process.
/// - **Cancelling.** A `read` that is dropped has taken nothing, and a `write` that is dropped has
///   written nothing. `read_exact` and `write_all` of tokio are not so: they may have done a part.
///
/// It holds a clone of the association, which thus lives as long. Use `tokio::io::split` to read
/// and write at the same time.
pub struct ByteStream {
    association: Association,
    stream: u16,
    ppid: u32,
    /// Restarts of the peer when this began, and how many of them were read then.
    restarts: (u64, u64),
    /// Of a message that is read in pieces.
    rest: Bytes,
    /// It was read up to a restart of the peer.
    restarted: bool,
    read_key: Option<u64>,
    write_key: Option<u64>,
    life_key: Option<u64>,
}

impl Association {
    /// The SCTP stream `stream`, of both directions, as bytes.
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
            read_key: None,
            write_key: None,
            life_key: None,
        }
    }
}

impl ByteStream {
    /// Writes messages with this payload protocol identifier in place of 0: the number on the wire,
    /// in host order.
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

    /// Waits until there are bytes in `rest`; false at the end.
    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Error>> {
        if !self.rest.is_empty() {
            return Poll::Ready(Ok(true));
        }
        if self.restarted {
            return Poll::Ready(Err(Error::Restarted));
        }
        let ByteStream { association, stream, restarts, read_key, .. } = self;
        let inner = &*association.inner;
        let waiting = (inner.socket, Interest::Read, Place::Key(read_key));
        let recv = |state: &mut State, now| {
            if state.sockets.restarts_read(inner.socket) != restarts.1 {
                return Err(Error::Restarted); // somebody else has read past it
            }
            match state.sockets.try_recv_on(now, inner.socket, *stream)? {
                Some(received) => Ok(Some(received.data)),
                None => inner.end_of_reading(state).map(|()| None),
            }
        };
        match ready!(inner.handle.shared.poll_exchange(cx, waiting, Clock::Latest, recv)) {
            Ok(Some(data)) => {
                self.rest = data;
                Poll::Ready(Ok(true))
            }
            Ok(None) => Poll::Ready(Ok(false)),
            Err(why) => {
                // What comes next is from another process.
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
        let ByteStream { association, stream, ppid, restarts, write_key, .. } = &mut *self;
        let inner = &*association.inner;
        let waiting = (inner.socket, Interest::Write, Place::Key(write_key));
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
        let sent = inner.handle.shared.poll_exchange(cx, waiting, Clock::Latest, send);
        sent.map_err(io::Error::from)
    }

    /// Ready at once: what was written is queued already.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let ended = this.association.inner.poll_shutdown(cx, Place::Key(&mut this.life_key));
        ended.map_err(io::Error::from)
    }
}

impl Drop for ByteStream {
    fn drop(&mut self) {
        let inner = &self.association.inner;
        for (interest, key) in [
            (Interest::Read, &mut self.read_key),
            (Interest::Write, &mut self.write_key),
            (Interest::Life, &mut self.life_key),
        ] {
            inner.handle.shared.forget(inner.socket, interest, key);
        }
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

/// Bytes of a message at the most, so that writers wait for little room.
const MAX_MESSAGE: usize = 16 * 1024;
