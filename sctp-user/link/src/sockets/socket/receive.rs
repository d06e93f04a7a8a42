//! Receiving, both in the runtime and by calls that wait.

use std::io::{self, IoSliceMut};
use std::task::{Context, Poll, ready};

use quinn_udp::RecvMeta;
use tokio::io::Interest;

use super::{LinkSocket, MAX_CONSECUTIVE_FAILURES, Offload};
use crate::sockets::datagrams::append;
use crate::sockets::io::Io;
use crate::sockets::{Carrier, os};
use crate::{IcmpError, RecvBatch};

impl LinkSocket {
    /// Receives and appends to `batch`. `Ready(Ok(()))` means that at least one datagram or error
    /// was appended. `Pending` means that nothing was appended and that the waker of `cx` will be
    /// called. Normally the runtime calls it once there is something to read. If one call has read
    /// as many useless datagrams as it may, it has called the waker itself and leaves the rest for
    /// the next call.
    ///
    /// [`append`] drops datagrams that SCTP cannot answer. So this must not return `Pending` merely
    /// because a receive call brought nothing useful: the waker is registered only when the socket
    /// was found empty.
    pub(in crate::sockets) fn poll_recv(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut [u8],
        batch: &mut RecvBatch,
    ) -> Poll<io::Result<()>> {
        let held = batch.len();
        self.poll_errors(cx, &mut batch.errors);
        // Preparing room for many headers takes time.
        let received = if self.single || self.carrier == Carrier::Ip {
            self.poll_recv_into::<MAX_RECV_BUFFERS>(cx, scratch, batch)
        } else {
            self.poll_recv_into::<FEW_RECV_BUFFERS>(cx, scratch, batch)
        };
        match received {
            Poll::Pending if batch.len() > held => Poll::Ready(Ok(())),
            received => received,
        }
    }

    fn poll_recv_into<const BUFFERS: usize>(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut [u8],
        batch: &mut RecvBatch,
    ) -> Poll<io::Result<()>> {
        for _ in 0..MAX_USELESS_CALLS {
            let must_read = std::mem::take(&mut self.must_read);
            if let Io::Watched(io) = &self.io
                && !must_read
            {
                ready!(io.poll_recv_ready(cx))?;
            }
            let mut metas = [RecvMeta::default(); BUFFERS];
            let mut parts = scratch.chunks_mut(RECV_BUFFER_SIZE);
            let mut buffers: [IoSliceMut<'_>; BUFFERS] =
                std::array::from_fn(|_| IoSliceMut::new(parts.next().unwrap_or_default()));
            let most = BUFFERS.min(os::RECV_BATCH);
            let mut recv = || {
                let buffers = buffers.get_mut(..most).unwrap_or_default();
                self.state.recv(self.io.udp(), buffers, &mut metas)
            };
            let received = match &self.io {
                // A receive call that fills fewer buffers than it could has emptied the socket.
                // Reporting "would block" then makes the runtime wait for more, and saves the
                // system call that would have said so. A pending error also ends a receive call
                // early, but it causes a wake-up of its own; see `poll_errors`.
                Io::Watched(io) if !must_read => {
                    let mut some = None;
                    let answer = io.try_io(Interest::READABLE, || match recv() {
                        Ok(count) if count < most => {
                            some = Some(count);
                            Err(io::ErrorKind::WouldBlock.into())
                        }
                        other => other,
                    });
                    some.map_or(answer, Ok)
                }
                _ => recv(),
            };
            match received {
                Ok(count) => {
                    let filled = buffers.iter().zip(&metas).take(count);
                    self.single =
                        count > 1 && metas.iter().take(count).all(|meta| meta.stride >= meta.len);
                    // If the batch is full, the socket may hold more.
                    self.must_read = must_read && count >= most;
                    let held = batch.datagrams.len();
                    append(
                        self.carrier,
                        self.addr,
                        filled.map(|(buffer, meta)| (&**buffer, meta)),
                        &mut self.pool,
                        &mut batch.datagrams,
                    );
                    if batch.datagrams.len() > held {
                        return Poll::Ready(Ok(()));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if matches!(self.io, Io::Plain(_)) {
                        return Poll::Pending;
                    }
                }
                // An ICMP error makes one receive call fail. Received datagrams are still in the
                // socket.
                Err(error) => {
                    // The failed call has not said whether the socket is empty, so ask again.
                    self.must_read = must_read;
                    tracing::trace!(%error, "receive call failed");
                    os::read_errors(&self.io, self.carrier, self.addr, |error| {
                        batch.errors.push(error)
                    });
                }
            }
        }
        // There is a flood of ICMP errors, or of useless datagrams. Let other tasks run, and go on
        // later.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Reads the error queue if the system reports an error.
    fn poll_errors(&mut self, cx: &mut Context<'_>, errors: &mut Vec<IcmpError>) {
        let (Some(error_ready), Io::Watched(io)) = (&mut self.error_ready, &self.io) else {
            return;
        };
        while error_ready.as_mut().poll(cx).is_ready() {
            self.must_read = true;
            os::read_ready_errors(io, self.carrier, self.addr, |error| errors.push(error));
            *error_ready = os::error_event(io);
            if errors.len() >= MAX_ERRORS_PER_POLL {
                cx.waker().wake_by_ref();
                break;
            }
        }
    }

    /// Says whether datagrams are expected one at a time, each to be answered, or many in a row.
    /// Receive offload helps only with many. Without it a simpler system call is enough, provided
    /// that the socket is bound to one address.
    pub(in crate::sockets) fn expect_single(&mut self, single: bool) {
        let possible = self.carrier == Carrier::Udp && !self.addr.is_unspecified();
        match (self.offload, single) {
            (Offload::On, true) if possible && os::set_offload(&self.io, false).is_ok() => {
                self.offload = Offload::Ending;
            }
            (Offload::Ending | Offload::Off, false) => {
                self.offload = Offload::On;
                // If this fails, there will be more system calls, but nothing else changes.
                let _ = os::set_offload(&self.io, true);
            }
            _ => {}
        }
    }

    /// Receives on a socket in blocking mode. With `wait` it waits for the first datagram; with
    /// `drain` it also takes the datagrams that have come in the meantime. If nothing comes in
    /// time, it appends nothing.
    pub(in crate::sockets) fn recv_waiting(
        &mut self,
        wait: bool,
        drain: bool,
        scratch: &mut [u8],
        batch: &mut RecvBatch,
    ) -> io::Result<()> {
        let buffer = scratch.get_mut(..RECV_BUFFER_SIZE).unwrap_or_default();
        let may_wait = wait;
        let mut failures = 0;
        let mut received = 0;
        while failures < MAX_CONSECUTIVE_FAILURES && received < MAX_RECV_BUFFERS {
            let wait = wait && received == 0 && failures == 0 && self.offload != Offload::Ending;
            let answer = match self.offload {
                Offload::Off if wait => self.io.recv_from(buffer),
                _ => os::recv_one(&self.io, &self.state, buffer, &mut self.control, wait),
            };
            match answer {
                Ok(meta) => {
                    received += 1;
                    let one = std::iter::once((&*buffer, &meta));
                    append(self.carrier, self.addr, one, &mut self.pool, &mut batch.datagrams);
                    if !drain {
                        return Ok(());
                    }
                }
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                    ) =>
                {
                    if self.offload == Offload::Ending && error.kind() == io::ErrorKind::WouldBlock
                    {
                        self.offload = Offload::Off;
                        if received == 0 && may_wait {
                            continue;
                        }
                    }
                    return Ok(());
                }
                // An ICMP error makes one receive call fail. Received datagrams are still in the
                // socket.
                Err(error) => {
                    failures += 1;
                    tracing::trace!(%error, "receive call failed");
                    os::read_errors(&self.io, self.carrier, self.addr, |error| {
                        batch.errors.push(error)
                    });
                }
            }
        }
        Ok(())
    }
}

/// The size in bytes of the scratch memory that [`LinkSocket::poll_recv`] needs. The part that no
/// datagram ever fills costs only address space.
pub(in crate::sockets) fn scratch_size() -> usize {
    MAX_RECV_BUFFERS.min(os::RECV_BATCH) * RECV_BUFFER_SIZE
}

/// The most buffers that one receive call fills.
const MAX_RECV_BUFFERS: usize = quinn_udp::BATCH_SIZE;
/// With receive offload each buffer takes up to 64 UDP datagrams, so a few are enough to begin
/// with.
const FEW_RECV_BUFFERS: usize = 4;
/// The size of the largest IP packet, and the most that receive offload joins.
const RECV_BUFFER_SIZE: usize = 65535;
/// How many receive calls of one poll may bring nothing useful, because they fail with an ICMP
/// error or because everything they return is dropped.
const MAX_USELESS_CALLS: u32 = 16;
const MAX_ERRORS_PER_POLL: usize = 1024;
