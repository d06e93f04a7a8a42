//! One socket of a link: receiving and sending batches, and what to do when a call fails.

use std::future::Future;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr, SocketAddrV4};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::BytesMut;
use quinn_udp::{EcnCodepoint, RecvMeta, UdpSocketState};
use sctp_user_core::interface::{Shown, to_socket_addr, without_interface};
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::time::Sleep;

use super::cut::{self, Cutter};
use super::datagrams::append;
use super::errors::{ErrorReady, PendingErrors};
use super::io::Io;
use super::source::routed_source;
use super::{Carrier, fragment, os};
use crate::link::{IcmpError, LinkStats, Meter, RecvBatch};

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

/// Packets for one destination, as [`LinkSocket::poll_send`] takes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Outgoing {
    pub(super) destination: SocketAddr,
    /// Source address, if it is not up to the system.
    pub(super) source: Option<IpAddr>,
    pub(super) ecn: Option<EcnCodepoint>,
    pub(super) dscp: u8,
    /// Length of all packets together.
    pub(super) len: usize,
    /// Size of all packets but the last, for several packets.
    pub(super) segment_size: Option<usize>,
    pub(super) may_fragment: bool,
}

/// A send that failed for good.
#[derive(Debug)]
pub(super) struct SendFailure {
    pub(super) error: io::Error,
    /// MTU of the interface, when the system says that a packet exceeds it.
    pub(super) local_mtu: Option<u16>,
}

impl From<io::Error> for SendFailure {
    fn from(error: io::Error) -> Self {
        SendFailure { error, local_mtu: None }
    }
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

    /// Says whether datagrams will come one by one, to be answered, or many of them. Receive
    /// offload is for the latter; without it a simpler system call does, where the socket is bound
    /// to an address.
    pub(super) fn expect_single(&mut self, single: bool) {
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
    pub(super) fn recv_waiting(
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

    /// How many packets one send call can hold.
    pub(super) fn max_segments(&self) -> usize {
        match self.carrier {
            Carrier::Udp => os::max_segments(&self.state),
            // What the kernel does with a segment size there is to send one packet that is far too
            // large.
            Carrier::Ip => 1,
        }
    }

    /// Receives and appends to `batch`. `Ready(Ok(()))` means that at least one datagram or error
    /// was appended. `Pending` means that nothing was, and that the waker of `cx` will be called:
    /// by the runtime once there is something, or already, when this call has read as many useless
    /// datagrams as one call may and leaves the rest for the next one.
    ///
    /// What arrives is not always of use ([`append`] drops what SCTP cannot answer), so a receive
    /// call that succeeds proves nothing: only a socket that was found empty registers the waker.
    pub(super) fn poll_recv(
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

    /// Sends `bytes` as `out` describes them. After `Pending` it goes on where it stopped, provided
    /// that the next call is for the same packets.
    pub(super) fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        out: &Outgoing,
        bytes: &[u8],
        errors: &mut PendingErrors,
    ) -> Poll<Result<(), SendFailure>> {
        let mut done = match self.progress.take() {
            Some((unfinished, done)) if unfinished == *out => done,
            _ => 0,
        };
        let segment_size = out.segment_size.filter(|size| *size < bytes.len() && *size > 0);
        while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
            let batched =
                segment_size.is_some_and(|size| size < rest.len()) && self.max_segments() > 1;
            let take = match segment_size {
                Some(size) => (size * segments_per_call(size, self.max_segments())).min(rest.len()),
                None => rest.len(),
            };
            let transmit = quinn_udp::Transmit {
                destination: out.destination,
                ecn: out.ecn,
                contents: rest.get(..take).unwrap_or(rest),
                segment_size: segment_size.filter(|size| *size < take),
                src_ip: out.source.map(without_interface),
            };
            match self.poll_send_once(cx, &transmit, out, errors) {
                Poll::Pending => {
                    self.progress = Some((*out, done));
                    return Poll::Pending;
                }
                Poll::Ready(Ok(())) => done += take,
                Poll::Ready(Err(failure)) => {
                    if let Some(source) = self.lost_source(out, &failure.error) {
                        self.forget_failures();
                        let source = Shown(source);
                        let message =
                            format!("the source address {source} is no address of this host");
                        return Poll::Ready(Err(io::Error::new(
                            io::ErrorKind::AddrNotAvailable,
                            message,
                        )
                        .into()));
                    }
                    // The kernel or the network card refuses segmentation: from now on packet by
                    // packet.
                    if batched && self.max_segments() == 1 {
                        continue;
                    }
                    return Poll::Ready(Err(failure));
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// One packet and no more than its destination; false when it was not sent, for whatever
    /// reason.
    pub(super) fn send_plain(
        &self,
        destination: SocketAddr,
        bytes: &[u8],
        errors: &mut PendingErrors,
    ) -> bool {
        if self.backoff.is_some() || self.progress.is_some() {
            return false;
        }
        let sent = self.io.send_to(bytes, destination);
        if let Err(error) = &sent
            && error.kind() != io::ErrorKind::WouldBlock
        {
            // Perhaps about an earlier packet, and told once.
            os::drain(&self.io, self.carrier, self.addr, |error| errors.push(error));
        }
        sent.is_ok()
    }

    /// One send call, repeated when it failed for reasons that have nothing to do with this packet.
    fn poll_send_once(
        &mut self,
        cx: &mut Context<'_>,
        transmit: &quinn_udp::Transmit<'_>,
        out: &Outgoing,
        errors: &mut PendingErrors,
    ) -> Poll<Result<(), SendFailure>> {
        let mut blocked = 0;
        let mut failures = 0;
        loop {
            if let Some(sleep) = &mut self.backoff {
                ready!(sleep.as_mut().poll(cx));
                self.backoff = None;
            }
            let way = if transmit.contents.len() > cut::WHOLE { self.way(out) } else { None };
            let mut send = || {
                if let Some(way) = way
                    && let Some(sent) = self.cutter.send(way, transmit.contents)
                {
                    return sent;
                }
                let send = || match out.dscp {
                    // What has nothing to say but where it goes needs no message header.
                    0 if is_simple(transmit) => {
                        self.io.send_to(transmit.contents, transmit.destination)
                    }
                    0 => self.state.try_send(self.io.udp(), transmit),
                    dscp => os::send_marked(&self.io, &self.state, transmit, dscp),
                };
                if out.may_fragment {
                    fragment::allowed(&self.io, transmit.destination.is_ipv6(), send)
                } else {
                    send()
                }
            };
            // The first try does not ask: there is nearly always room, and a stack that says
            // good-bye while its runtime goes away must not depend on it.
            let sent = match &self.io {
                Io::Watched(io) if blocked > 0 => {
                    ready!(io.poll_send_ready(cx))?;
                    io.try_io(Interest::WRITABLE, send)
                }
                _ => send(),
            };
            let error = match sent {
                Ok(()) => return Poll::Ready(Ok(())),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if matches!(self.io, Io::Plain(_)) {
                        return Poll::Pending;
                    }
                    // Once a socket has seen an ICMP error, the runtime takes its write half for
                    // closed and reports it ready for ever. Then only time tells when there is room
                    // again.
                    if blocked > 1 {
                        self.backoff = Some(Box::pin(tokio::time::sleep(FULL_BUFFER_DELAY)));
                    }
                    blocked += 1;
                    continue;
                }
                Err(error) => error,
            };
            let drained = os::drain(&self.io, self.carrier, self.addr, |error| errors.push(error));
            if drained.local_mtu.is_some() {
                return Poll::Ready(Err(SendFailure { error, local_mtu: drained.local_mtu }));
            }
            // ICMP errors about earlier packets, perhaps for other peers, make a later send call
            // fail before it sends anything (each at most one).
            failures += 1;
            let too_big = quinn_udp::is_msg_size_err(&error);
            let pending_error = failures == 1 || (drained.from_network > 0 && !too_big);
            if !pending_error || failures >= MAX_CONSECUTIVE_FAILURES {
                return Poll::Ready(Err(error.into()));
            }
            tracing::trace!(%error, "send call failed, trying again");
        }
    }

    /// How an IPv4 packet goes that may be fragmented, to be cut here.
    fn way(&self, out: &Outgoing) -> Option<cut::Way> {
        let SocketAddr::V4(to) = out.destination else { return None };
        if !out.may_fragment || out.segment_size.is_some() {
            return None;
        }
        let bound = Some(self.addr).filter(|addr| !addr.is_unspecified());
        let source = out.source.or(bound).or_else(|| routed_source((*to.ip()).into()))?;
        let IpAddr::V4(source) = source else { return None };
        let local = self.io.sock().local_addr().ok()?.as_socket_ipv4()?;
        let ecn = out.ecn.map_or(0, |ecn| ecn as u8);
        let from = SocketAddrV4::new(source, local.port());
        Some(cut::Way { carrier: self.carrier, from, to, dscp: out.dscp, ecn })
    }

    /// The wanted source address, if that is what made a call fail. The system's own words for it
    /// differ: IPv6 calls the argument invalid, IPv4 finds no route.
    fn lost_source(&self, out: &Outgoing, error: &io::Error) -> Option<IpAddr> {
        let source = out.source.filter(|_| is_invalid_argument(error) || is_unreachable(error))?;
        let probe = std::net::UdpSocket::bind(to_socket_addr(source, 0));
        probe.is_err().then_some(source)
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

/// There is nothing to tell the system but the destination.
fn is_simple(transmit: &quinn_udp::Transmit<'_>) -> bool {
    transmit.ecn.is_none() && transmit.segment_size.is_none() && transmit.src_ip.is_none()
}

/// Size of the scratch memory that [`LinkSocket::poll_recv`] needs. What the network does not fill
/// costs address space only.
pub(super) fn scratch_size() -> usize {
    MAX_RECV_BUFFERS.min(os::RECV_BATCH) * RECV_BUFFER_SIZE
}

/// How many packets of `size` bytes one call may send, at least 1: together they must fit one UDP
/// datagram.
fn segments_per_call(size: usize, max_segments: usize) -> usize {
    (MAX_UDP_PAYLOAD / size.max(1)).min(max_segments).max(1)
}

fn is_invalid_argument(error: &io::Error) -> bool {
    // EINVAL, and EIO as some network cards say it.
    error.kind() == io::ErrorKind::InvalidInput || error.raw_os_error() == Some(5)
}

/// True for the errors that say there is no way to the destination.
pub(super) fn is_unreachable(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable)
}

/// Buffers of one receive call at the most.
const MAX_RECV_BUFFERS: usize = quinn_udp::BATCH_SIZE;
/// With receive offload each buffer takes up to 64 UDP datagrams, so few are enough to begin with.
const FEW_RECV_BUFFERS: usize = 4;
/// The largest IP packet, also the largest row of UDP datagrams that receive offload makes.
const RECV_BUFFER_SIZE: usize = 65535;
/// 65535 bytes less the IPv4 and UDP headers, which bounds a batch as well.
const MAX_UDP_PAYLOAD: usize = 65507;
/// Receive calls of one poll that may bring nothing of use: they fail because of an ICMP error, or
/// everything they give is dropped.
const MAX_USELESS_CALLS: u32 = 16;
/// Calls that may fail in a row because of errors that are pending on a socket.
const MAX_CONSECUTIVE_FAILURES: u32 = 16;
const MAX_ERRORS_PER_POLL: usize = 1024;
/// How long a waiting send call waits for room before the stack looks after other things.
const SEND_WAIT: Duration = Duration::from_millis(10);
/// How long to wait for room in a send buffer when the system will not say.
const FULL_BUFFER_DELAY: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_fits_one_udp_datagram() {
        assert_eq!(segments_per_call(1472, 64), 44);
        assert_eq!(segments_per_call(1472, 10), 10);
        assert_eq!(segments_per_call(60000, 64), 1);
        assert_eq!(segments_per_call(70000, 64), 1);
        assert_eq!(segments_per_call(100, 64), 64);
    }
}
