//! Receiving: in the runtime, and by calls that wait.

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
    /// was appended. `Pending` means that nothing was, and that the waker of `cx` will be called:
    /// by the runtime once there is something, or already, when this call has read as many useless
    /// datagrams as one call may and leaves the rest for the next one.
    ///
    /// What arrives is not always of use ([`append`] drops what SCTP cannot answer), so a receive
    /// call that succeeds proves nothing: only a socket that was found empty registers the waker.
    pub(in crate::sockets) fn poll_recv(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut [u8],
        batch: &mut RecvBatch,
    ) -> Poll<io::Result<()>> {
        let held = batch.len();
        self.poll_errors(cx, &mut batch.errors);
        // Room for many headers takes time to make.
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

    fn poll_recv_into<const MOST: usize>(
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
            let mut metas = [RecvMeta::default(); MOST];
            let mut parts = scratch.chunks_mut(RECV_BUFFER_SIZE);
            let mut buffers: [IoSliceMut<'_>; MOST] =
                std::array::from_fn(|_| IoSliceMut::new(parts.next().unwrap_or_default()));
            let most = MOST.min(os::RECV_BATCH);
            let mut recv = || {
                let buffers = buffers.get_mut(..most).unwrap_or_default();
                self.state.recv(self.io.udp(), buffers, &mut metas)
            };
            let received = match &self.io {
                // Fewer than there was room for: the socket is empty, and asking once more to hear
                // that would cost a system call. "Would block" makes the runtime wait for news. A
                // receive call also ends early before an error, but that brings a wake-up of its
                // own, see `poll_errors`.
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
                    // A full batch has not emptied the socket.
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
                // An ICMP error makes one receive call fail; what arrived is still there.
                Err(error) => {
                    // Asked without readiness, the answer is still owed.
                    self.must_read = must_read;
                    tracing::trace!(%error, "receive call failed");
                    os::drain(&self.io, self.carrier, self.addr, |error| batch.errors.push(error));
                }
            }
        }
        // A flood of ICMP errors, or of datagrams that nobody can answer: let others run and go on
        // later.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Reads the error queue if the system says that there is something in it.
    fn poll_errors(&mut self, cx: &mut Context<'_>, errors: &mut Vec<IcmpError>) {
        let (Some(error_ready), Io::Watched(io)) = (&mut self.error_ready, &self.io) else {
            return;
        };
        while error_ready.as_mut().poll(cx).is_ready() {
            self.must_read = true;
            os::on_ready(io, self.carrier, self.addr, |error| errors.push(error));
            *error_ready = os::wait(io);
            if errors.len() >= MAX_ERRORS_PER_POLL {
                cx.waker().wake_by_ref();
                break;
            }
        }
    }

    /// Says whether datagrams will come one by one, to be answered, or many of them. Receive
    /// offload is for the latter; without it a simpler system call does, where the socket is bound
    /// to an address.
    pub(in crate::sockets) fn expect_single(&mut self, single: bool) {
        let possible = self.carrier == Carrier::Udp && !self.addr.is_unspecified();
        match (self.offload, single) {
            (Offload::On, true) if possible && os::set_offload(&self.io, false).is_ok() => {
                self.offload = Offload::Ending;
            }
            (Offload::Ending | Offload::Off, false) => {
                self.offload = Offload::On;
                // Without it there are more system calls, no other result.
                let _ = os::set_offload(&self.io, true);
            }
            _ => {}
        }
    }

    /// Receives by calls that wait for the first datagram, and with `drain` takes what has come
    /// meanwhile as well. Nothing is appended when nothing came in time.
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
                // An ICMP error makes one receive call fail; what arrived is still there.
                Err(error) => {
                    failures += 1;
                    tracing::trace!(%error, "receive call failed");
                    os::drain(&self.io, self.carrier, self.addr, |error| batch.errors.push(error));
                }
            }
        }
        Ok(())
    }
}

/// Size of the scratch memory that [`LinkSocket::poll_recv`] needs. What the network does not fill
/// costs address space only.
pub(in crate::sockets) fn scratch_size() -> usize {
    MAX_RECV_BUFFERS.min(os::RECV_BATCH) * RECV_BUFFER_SIZE
}

/// Buffers of one receive call at the most.
const MAX_RECV_BUFFERS: usize = quinn_udp::BATCH_SIZE;
/// With receive offload each buffer takes up to 64 UDP datagrams, so few are enough to begin with.
const FEW_RECV_BUFFERS: usize = 4;
/// The largest IP packet, also the largest row of UDP datagrams that receive offload makes.
const RECV_BUFFER_SIZE: usize = 65535;
/// Receive calls of one poll that may bring nothing of use: they fail because of an ICMP error, or
/// everything they give is dropped.
const MAX_USELESS_CALLS: u32 = 16;
const MAX_ERRORS_PER_POLL: usize = 1024;
