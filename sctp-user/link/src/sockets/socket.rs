//! One socket of a link.

mod receive;
mod send;

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use quinn_udp::UdpSocketState;
use tokio::net::UdpSocket;
use tokio::time::Sleep;

use super::cut::Cutter;
use super::errors::ErrorReady;
use super::io::Io;
use super::{Carrier, os};
use crate::{LinkStats, Meter};

pub(super) use receive::scratch_size;
pub(super) use send::{SendFailure, SendParams, is_unreachable};

/// A bound socket of a link.
pub(super) struct LinkSocket {
    carrier: Carrier,
    /// The address the socket is bound to; unspecified for a wildcard socket.
    addr: IpAddr,
    io: Io,
    state: UdpSocketState,
    /// `None` if no runtime watches the socket. Then errors show only when receive calls fail.
    error_ready: Option<ErrorReady>,
    /// Set while write readiness cannot be trusted; see [`Self::poll_send_once`].
    backoff: Option<Pin<Box<Sleep>>>,
    /// A transmit that was sent only in part, and how many of its bytes were sent.
    progress: Option<(SendParams, usize)>,
    /// Each buffer received only one datagram last time: there is no receive offload, or the
    /// senders do not send in batches.
    single: bool,
    cutter: Cutter,
    /// Read even if the runtime does not say that the socket is readable; see
    /// [`Self::poll_errors`]. Stays set until a receive call finds the socket empty.
    must_read: bool,
    /// Small datagrams are copied here and share its allocation.
    pool: BytesMut,
    /// Memory for the control messages that come with a datagram.
    control: os::Control,
    /// Whether the socket is in blocking mode; see [`Self::make_waiting`].
    waiting: bool,
    offload: Offload,
}

/// Receive offload, which joins several datagrams into one; see [`LinkSocket::expect_single`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Offload {
    On,
    /// Switched off, but the socket may still hold datagrams that were joined before.
    Ending,
    Off,
}

impl LinkSocket {
    /// Takes over a bound socket. Call this inside the tokio runtime that is to watch it.
    pub(super) fn new(carrier: Carrier, addr: IpAddr, socket: socket2::Socket) -> io::Result<Self> {
        let io = Arc::new(UdpSocket::from_std(socket.into())?);
        let error_ready = os::error_event(&io);
        Self::with(carrier, addr, Io::Watched(io), Some(error_ready))
    }

    /// Takes over a bound socket without a runtime: `Pending` means only that there is nothing now,
    /// and nobody will wake the caller.
    pub(super) fn plain(
        carrier: Carrier,
        addr: IpAddr,
        socket: socket2::Socket,
    ) -> io::Result<Self> {
        Self::with(carrier, addr, Io::Plain(socket.into()), None)
    }

    fn with(
        carrier: Carrier,
        addr: IpAddr,
        io: Io,
        error_ready: Option<ErrorReady>,
    ) -> io::Result<Self> {
        let state = prepare(&io, addr)?;
        os::enable_errors(&io, addr.is_ipv6())?;
        if addr.is_ipv6() {
            os::enable_flow_labels(&io);
        }
        Ok(LinkSocket {
            carrier,
            addr,
            state,
            error_ready,
            io,
            backoff: None,
            progress: None,
            single: false,
            cutter: Cutter::default(),
            must_read: false,
            pool: BytesMut::new(),
            control: os::Control::default(),
            waiting: false,
            offload: Offload::On,
        })
    }

    /// Puts a plain socket into blocking mode. Receive calls then wait for at most
    /// [`os::RECV_WAIT`], send calls for at most [`SEND_WAIT`].
    pub(super) fn make_waiting(&mut self) -> io::Result<()> {
        let socket = self.io.sock();
        socket.set_read_timeout(Some(os::RECV_WAIT))?;
        socket.set_write_timeout(Some(SEND_WAIT))?;
        socket.set_nonblocking(false)?;
        self.waiting = true;
        Ok(())
    }

    /// The file descriptor, for a caller that waits for the socket.
    #[cfg(unix)]
    pub(super) fn fd(&self) -> std::os::fd::BorrowedFd<'_> {
        std::os::fd::AsFd::as_fd(&self.io)
    }

    pub(super) fn addr(&self) -> IpAddr {
        self.addr
    }

    /// Counters of this socket.
    #[cfg(unix)]
    pub(super) fn stats(&self) -> LinkStats {
        LinkStats { overflows: os::overflows(&self.io) }
    }

    /// Reads what [`stats`](Self::stats) reads, from any thread, without keeping the socket open.
    pub(super) fn meter(&self) -> Option<Meter> {
        let Io::Watched(socket) = &self.io else { return None };
        let socket = Arc::downgrade(socket);
        let overflows = move || socket.upgrade().map_or(0, |socket| os::overflows(&*socket));
        Some(Box::new(move || LinkStats { overflows: overflows() }))
    }

    /// When a send call fails with "invalid argument", `quinn_udp` assumes that the kernel lacks
    /// segmentation offload and ECN, and stops using them. Call this when there was another reason:
    /// it starts afresh.
    fn forget_failures(&mut self) {
        if let Ok(state) = prepare(&self.io, self.addr) {
            self.state = state;
        }
        if self.waiting {
            let _ = self.io.sock().set_nonblocking(false);
            self.offload = Offload::On;
        }
    }
}

/// Switches on the socket options that the link needs, and switches off the others.
fn prepare(io: &Io, addr: IpAddr) -> io::Result<UdpSocketState> {
    let state = UdpSocketState::new(io.udp())?;
    os::disable_unused_info(io, addr);
    Ok(state)
}

/// How many calls in a row may fail because of errors pending on a socket.
const MAX_CONSECUTIVE_FAILURES: u32 = 16;
/// How long a send call in blocking mode waits for room before the stack goes on with other work.
const SEND_WAIT: Duration = Duration::from_millis(10);
