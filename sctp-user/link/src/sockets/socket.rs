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
pub(super) use send::{Outgoing, SendFailure, is_unreachable};

/// A bound socket of a link.
pub(super) struct LinkSocket {
    carrier: Carrier,
    /// The address it is bound to, perhaps the unspecified one.
    addr: IpAddr,
    io: Io,
    state: UdpSocketState,
    /// `None` where nobody watches: then receive calls tell of errors.
    error_ready: Option<ErrorReady>,
    /// Set while write readiness cannot be trusted, see [`Self::poll_send_once`].
    backoff: Option<Pin<Box<Sleep>>>,
    /// Bytes of the current transmit that are sent already, with what identifies that transmit.
    progress: Option<(Outgoing, usize)>,
    /// Each buffer gets one datagram only: the senders do not batch, or the system does not.
    single: bool,
    cutter: Cutter,
    /// There may be something to receive though the runtime does not say so, see
    /// [`Self::poll_errors`]. It stays set until a receive call finds the socket empty.
    must_read: bool,
    /// Where small datagrams are copied to: they share an allocation.
    pool: BytesMut,
    /// What a receive call says beside the datagram.
    control: os::Control,
    /// System calls wait, see [`Self::make_waiting`].
    waiting: bool,
    offload: Offload,
}

/// Whether several datagrams may come as one, see [`LinkSocket::expect_single`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Offload {
    On,
    /// Switched off, but what came before may still be there.
    Ending,
    Off,
}

impl LinkSocket {
    /// Takes over a bound socket. Must be called inside a tokio runtime, which watches it.
    pub(super) fn new(carrier: Carrier, addr: IpAddr, socket: socket2::Socket) -> io::Result<Self> {
        let io = Arc::new(UdpSocket::from_std(socket.into())?);
        let error_ready = os::wait(&io);
        Self::with(carrier, addr, Io::Watched(io), Some(error_ready))
    }

    /// Takes over a bound socket that nobody watches: polling tells what there is, and `Pending`
    /// promises nothing.
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

    /// Makes system calls on a plain socket wait: receive calls for [`os::RECV_WAIT`] at most, send
    /// calls a little.
    pub(super) fn make_waiting(&mut self) -> io::Result<()> {
        let socket = self.io.sock();
        socket.set_read_timeout(Some(os::RECV_WAIT))?;
        socket.set_write_timeout(Some(SEND_WAIT))?;
        socket.set_nonblocking(false)?;
        self.waiting = true;
        Ok(())
    }

    /// To wait for it.
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

    /// As [`stats`](Self::stats), from wherever; it does not keep the socket open.
    pub(super) fn meter(&self) -> Option<Meter> {
        let Io::Watched(socket) = &self.io else { return None };
        let socket = Arc::downgrade(socket);
        let overflows = move || socket.upgrade().map_or(0, |socket| os::overflows(&*socket));
        Some(Box::new(move || LinkStats { overflows: overflows() }))
    }

    /// The send code takes "invalid argument" for a kernel that lacks segmentation and ECN and
    /// stops using them. Where the argument was at fault, start afresh.
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

/// Switches on what the link uses of a socket, and off what it does not.
fn prepare(io: &Io, addr: IpAddr) -> io::Result<UdpSocketState> {
    let state = UdpSocketState::new(io.udp())?;
    os::spare(io, addr);
    Ok(state)
}

/// Calls that may fail in a row because of errors that are pending on a socket.
const MAX_CONSECUTIVE_FAILURES: u32 = 16;
/// How long a waiting send call waits for room before the stack looks after other things.
const SEND_WAIT: Duration = Duration::from_millis(10);
