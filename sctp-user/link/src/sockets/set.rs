//! [`SocketLink`]: a link over one or more sockets.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use sctp_user_core::interface::{interface, is_link_local, reaches, to_socket_addr};
use sctp_user_core::{Encap, PathAddr, Scope, Transmit, Unreachable};
use socket2::Socket;

use super::datagrams::to_codepoint;
use super::errors::PendingErrors;
use super::fragment;
use super::os::IcmpSockets;
use super::socket::{LinkSocket, SendFailure, SendParams, is_unreachable, scratch_size};
use super::source::SourceCache;
use crate::{IcmpError, Link, Meter, RecvBatch, local_addresses, no_route};

/// What carries the packets of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Carrier {
    /// UDP datagrams ([`Encap::Udp`]).
    Udp,
    /// IP packets of protocol 132 ([`Encap::Native`]).
    Ip,
}

/// A link over one or more sockets, one for each local address.
///
/// A wildcard socket learns to which local address each packet was sent, and sends from the address
/// that the path names. So peers get their answers from the address to which they sent.
pub struct SocketLink {
    carrier: Carrier,
    sockets: Vec<LinkSocket>,
    icmp_sockets: IcmpSockets,
    port: u16,
    scratch: Vec<u8>,
    /// The socket to read first next time, for fairness.
    next: usize,
    pending: PendingErrors,
    sources: SourceCache,
}

impl SocketLink {
    /// A link over sockets that are already bound to these addresses. They are all UDP or all raw,
    /// as `carrier` says. `port` is the UDP port they are bound to (0 for raw sockets). Call this
    /// inside the tokio runtime that will drive the link.
    ///
    /// # Errors
    /// The system refused a socket option that the link needs: the address of that socket, and the
    /// system's error.
    pub fn new(
        carrier: Carrier,
        sockets: Vec<(IpAddr, Socket)>,
        port: u16,
    ) -> Result<Self, (IpAddr, io::Error)> {
        let addrs: Vec<IpAddr> = sockets.iter().map(|(addr, _)| *addr).collect();
        let icmp_sockets = IcmpSockets::open(carrier, &addrs);
        let opened = |addr, socket| LinkSocket::new(carrier, addr, socket);
        Self::with(carrier, sockets, opened, icmp_sockets, port)
    }

    /// Like [`new`](Self::new), but without a runtime: `Pending` means only that there is nothing
    /// now, and nobody will wake the caller.
    #[cfg(unix)]
    pub(crate) fn plain(
        carrier: Carrier,
        sockets: Vec<(IpAddr, Socket)>,
        port: u16,
    ) -> Result<Self, (IpAddr, io::Error)> {
        let opened = |addr, socket| LinkSocket::plain(carrier, addr, socket);
        Self::with(carrier, sockets, opened, IcmpSockets::none(), port)
    }

    fn with(
        carrier: Carrier,
        sockets: Vec<(IpAddr, Socket)>,
        open: impl Fn(IpAddr, Socket) -> io::Result<LinkSocket>,
        icmp_sockets: IcmpSockets,
        port: u16,
    ) -> Result<Self, (IpAddr, io::Error)> {
        let sockets = sockets
            .into_iter()
            .map(|(addr, socket)| open(addr, socket).map_err(|error| (addr, error)))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(SocketLink {
            carrier,
            sockets,
            icmp_sockets,
            port,
            scratch: vec![0; scratch_size()],
            next: 0,
            pending: PendingErrors::default(),
            sources: SourceCache::default(),
        })
    }

    /// Puts the only socket of a plain link into blocking mode. Returns false when there are
    /// several sockets, or when the system cannot wait in this way.
    #[cfg(unix)]
    pub fn make_waiting(&mut self) -> bool {
        match &mut *self.sockets {
            [only] if super::os::CAN_WAIT => only.make_waiting().is_ok(),
            _ => false,
        }
    }

    /// The longest time that [`recv_waiting`](Self::recv_waiting) waits.
    #[cfg(unix)]
    pub const RECV_WAIT: std::time::Duration = super::os::RECV_WAIT;

    /// Receives on the only socket of a link, after [`make_waiting`](Self::make_waiting). With
    /// `wait` it waits for the first datagram, for at most [`RECV_WAIT`](Self::RECV_WAIT). With
    /// `drain` it also takes the datagrams that have come in the meantime. If nothing comes in
    /// time, it appends nothing.
    ///
    /// # Errors
    /// None so far. A receive call that fails reports an error about an earlier packet, and the
    /// link goes on.
    #[cfg(unix)]
    pub fn recv_waiting(
        &mut self,
        wait: bool,
        drain: bool,
        batch: &mut RecvBatch,
    ) -> io::Result<()> {
        let held = batch.errors.len();
        self.pending.take(&mut batch.errors, std::task::Waker::noop());
        let wait = wait && batch.errors.len() == held;
        match &mut *self.sockets {
            [only] => only.recv_waiting(wait, drain, &mut self.scratch, batch),
            _ => Ok(()),
        }
    }

    /// Says whether datagrams are expected one at a time, each to be answered, or many in a row.
    /// Receive offload helps only with many; without it a simpler system call is enough.
    #[cfg(unix)]
    #[inline]
    pub fn expect_single(&mut self, single: bool) {
        self.sockets.iter_mut().for_each(|socket| socket.expect_single(single));
    }

    /// Whether sending has found errors that the next poll will report.
    #[cfg(unix)]
    #[inline]
    pub fn has_news(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Counters of all sockets.
    #[cfg(unix)]
    pub fn stats(&self) -> crate::LinkStats {
        self.sockets.iter().map(LinkSocket::stats).sum()
    }

    /// The sockets, for a caller that waits for them.
    #[cfg(unix)]
    #[inline]
    pub fn fds(&self) -> impl Iterator<Item = std::os::fd::BorrowedFd<'_>> {
        self.sockets.iter().map(LinkSocket::fd)
    }

    /// The index of the socket for a path. If the path names a source address, this is the socket
    /// bound to it, or else the wildcard socket. If it names none, this is the wildcard socket, or
    /// else the one whose address the system's routes choose for the destination: a provider's
    /// network forwards only packets whose source address belongs to it.
    fn choose_socket(&mut self, path: &PathAddr) -> Option<usize> {
        if is_link_local(path.remote) && interface(path.remote) == 0 {
            return None;
        }
        let SocketLink { sockets, sources, .. } = self;
        let find = |wanted: &dyn Fn(IpAddr) -> bool| {
            let usable = |addr: IpAddr| addr.is_ipv4() == path.remote.is_ipv4() && wanted(addr);
            sockets.iter().position(|socket| usable(socket.addr()))
        };
        let wildcard = find(&|addr| addr.is_unspecified());
        if let Some(local) = path.local.filter(|local| !local.is_unspecified()) {
            return find(&|addr| addr == local).or(wildcard);
        }
        if wildcard.is_some() {
            return wildcard;
        }
        let alike = |addr: &IpAddr| {
            addr.is_ipv4() == path.remote.is_ipv4()
                && addr.is_loopback() == path.remote.is_loopback()
                && reaches(*addr, path.remote)
        };
        let own = || sockets.iter().map(LinkSocket::addr).filter(alike);
        match own().count() {
            0 => find(&|_| true),
            1 => find(&|addr| alike(&addr)),
            _ => {
                let source = sources.choose(own(), path.remote)?;
                find(&|addr| addr == source)
            }
        }
    }

    fn send_params(
        &self,
        transmit: &Transmit,
        bytes: &[u8],
        socket_addr: IpAddr,
    ) -> Result<SendParams, &'static str> {
        let remote_port = match (self.carrier, transmit.path.encap) {
            (Carrier::Udp, Encap::Udp { remote_port: 0 }) => {
                return Err("the UDP port of the path is not known yet");
            }
            (Carrier::Udp, Encap::Udp { remote_port }) => remote_port,
            // A raw IPv6 socket takes the port for a protocol number, and refuses any but 0 and its
            // own.
            (Carrier::Ip, Encap::Native) => 0,
            (Carrier::Udp, Encap::Native) => {
                return Err("this link carries only UDP-encapsulated packets");
            }
            (Carrier::Ip, Encap::Udp { .. }) => {
                return Err("this link carries no UDP-encapsulated packets");
            }
        };
        if bytes.is_empty() || bytes.len() != transmit.len || transmit.segment_size == Some(0) {
            return Err("the lengths in the transmit contradict each other");
        }
        Ok(SendParams {
            destination: destination(transmit.path.remote, remote_port, transmit.flow_label),
            // A socket bound to one address sends from there anyway.
            source: transmit
                .path
                .local
                .filter(|local| socket_addr.is_unspecified() && !local.is_unspecified()),
            ecn: transmit.ecn.map(to_codepoint),
            dscp: transmit.dscp,
            len: transmit.len,
            segment_size: transmit.segment_size,
            may_fragment: transmit.may_fragment,
        })
    }

    /// The fast way to send a packet: for a UDP link with one socket, and a packet that needs no
    /// options but its destination. Returns false when the packet is of another kind or was not
    /// sent.
    fn send_plain(&mut self, transmit: &Transmit, bytes: &[u8]) -> bool {
        let (Carrier::Udp, Encap::Udp { remote_port }, [only]) =
            (self.carrier, transmit.path.encap, &*self.sockets)
        else {
            return false;
        };
        let source = only.addr();
        let plain = transmit.ecn.is_none()
            && transmit.dscp == 0
            && transmit.segment_size.is_none()
            && !transmit.may_fragment
            && remote_port != 0
            && !bytes.is_empty()
            && bytes.len() == transmit.len
            && !source.is_unspecified()
            && source.is_ipv4() == transmit.path.remote.is_ipv4()
            && transmit.path.local.is_none_or(|local| local == source);
        let to = destination(transmit.path.remote, remote_port, transmit.flow_label);
        plain && only.send_plain(to, bytes, &mut self.pending)
    }

    /// If the failure says something about the path, queues it like an ICMP error and returns true.
    fn report_failure(&mut self, transmit: &Transmit, bytes: &[u8], failure: &SendFailure) -> bool {
        let no_way = is_unreachable(&failure.error).then(|| no_route(&failure.error)).flatten();
        let kind = match (&failure.error, no_way) {
            (_, Some(why)) => Unreachable::NoRoute(why),
            (error, None) if quinn_udp::is_msg_size_err(error) => {
                let packet = transmit.segment_size.unwrap_or(transmit.len).min(transmit.len);
                Unreachable::PacketTooBig {
                    ip_mtu: failure
                        .local_mtu
                        .unwrap_or_else(|| plateau_below(&transmit.path, packet)),
                }
            }
            (_, None) => return false,
        };
        self.queue_error(transmit, bytes, kind);
        true
    }

    /// Reports a packet that should have been cut but left the interface whole.
    fn report_whole(&mut self, transmit: &Transmit, bytes: &[u8], to: SocketAddr) {
        if let Some(ip_mtu) = fragment::left_whole(to, bytes.len() + overhead(&transmit.path)) {
            self.queue_error(transmit, bytes, Unreachable::NotCut { ip_mtu });
        }
    }

    fn queue_error(&mut self, transmit: &Transmit, bytes: &[u8], kind: Unreachable) {
        let quoted = Bytes::copy_from_slice(bytes.get(..QUOTE).unwrap_or(bytes));
        self.pending.push(IcmpError { to: transmit.path, kind, quoted });
    }
}

impl Link for SocketLink {
    #[inline]
    fn handles(&self, encap: Encap) -> bool {
        matches!(
            (self.carrier, encap),
            (Carrier::Udp, Encap::Udp { .. }) | (Carrier::Ip, Encap::Native)
        )
    }

    #[inline]
    fn max_segments(&self) -> usize {
        let segments = self.sockets.iter().map(LinkSocket::max_segments).min().unwrap_or(1);
        segments.clamp(1, MAX_SEGMENTS)
    }

    fn ip_mtu(&self) -> usize {
        MAX_IP_PACKET
    }

    fn local_udp_port(&self) -> Option<u16> {
        (self.carrier == Carrier::Udp).then_some(self.port)
    }

    fn local_addrs(&self) -> Vec<IpAddr> {
        self.sockets.iter().map(LinkSocket::addr).collect()
    }

    fn host_addrs(&self) -> Vec<IpAddr> {
        local_addresses(Scope::Loopback)
    }

    fn shares_host(&self) -> bool {
        self.carrier == Carrier::Ip
    }

    fn shares_addresses(&self) -> bool {
        true
    }

    fn meter(&self) -> Option<Meter> {
        let meters: Vec<_> = self.sockets.iter().filter_map(LinkSocket::meter).collect();
        (!meters.is_empty())
            .then(|| -> Meter { Box::new(move || meters.iter().map(|m| m()).sum()) })
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>, batch: &mut RecvBatch) -> Poll<io::Result<()>> {
        let held = batch.len();
        self.pending.take(&mut batch.errors, cx.waker());
        self.icmp_sockets.poll(cx, &mut batch.errors);
        let first = self.next.min(self.sockets.len());
        let (before, from) = self.sockets.split_at_mut(first);
        self.next = if from.len() > 1 { self.next + 1 } else { 0 };
        for socket in from.iter_mut().chain(before) {
            if let Poll::Ready(result) = socket.poll_recv(cx, &mut self.scratch, batch) {
                result?;
            }
        }
        // If nothing was appended, every socket has answered `Pending` and registered the waker.
        if batch.len() == held { Poll::Pending } else { Poll::Ready(Ok(())) }
    }

    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        transmit: &Transmit,
        bytes: &[u8],
    ) -> Poll<io::Result<()>> {
        if self.send_plain(transmit, bytes) {
            return Poll::Ready(Ok(()));
        }
        let Some(index) = self.choose_socket(&transmit.path) else {
            return Poll::Ready(Err(io::Error::new(
                io::ErrorKind::AddrNotAvailable,
                format!(
                    "no socket of this link reaches {} from {:?}",
                    transmit.path.remote, transmit.path.local
                ),
            )));
        };
        let Some(socket_addr) = self.sockets.get(index).map(LinkSocket::addr) else {
            return Poll::Ready(Ok(()));
        };
        let out = match self.send_params(transmit, bytes, socket_addr) {
            Ok(out) => out,
            Err(reason) if !self.handles(transmit.path.encap) => {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::Unsupported, reason)));
            }
            Err(reason) => {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidInput, reason)));
            }
        };
        let Some(socket) = self.sockets.get_mut(index) else { return Poll::Ready(Ok(())) };
        match ready!(socket.poll_send(cx, &out, bytes, &mut self.pending)) {
            Ok(()) => {
                if transmit.may_fragment {
                    self.report_whole(transmit, bytes, out.destination);
                }
                Poll::Ready(Ok(()))
            }
            Err(failure) => {
                tracing::debug!(error = %failure.error, path = ?transmit.path, "packets not sent");
                if self.report_failure(transmit, bytes, &failure) {
                    Poll::Ready(Ok(()))
                } else {
                    Poll::Ready(Err(failure.error))
                }
            }
        }
    }
}

/// The destination of a packet; for IPv6, with the flow label.
fn destination(addr: IpAddr, port: u16, flow_label: u32) -> SocketAddr {
    let mut destination = to_socket_addr(addr, port);
    if let SocketAddr::V6(v6) = &mut destination {
        // The system takes the label as it stands in the IPv6 header (RFC 3493 sec 3.3).
        v6.set_flowinfo(flow_label.to_be());
    }
    destination
}

/// A guess at the MTU when the system does not name it: the next common MTU below the size of the
/// packet that did not fit (RFC 1191 sec 7).
fn plateau_below(path: &PathAddr, sctp_packet: usize) -> u16 {
    let floor = if path.remote.is_ipv4() { 576 } else { 1280 };
    let packet = sctp_packet + overhead(path);
    let fits = PLATEAUS.iter().find(|&&mtu| usize::from(mtu) < packet);
    fits.copied().unwrap_or(floor).max(floor)
}

/// Bytes of the headers around an SCTP packet.
fn overhead(path: &PathAddr) -> usize {
    let udp = if matches!(path.encap, Encap::Udp { .. }) { 8 } else { 0 };
    udp + if path.remote.is_ipv4() { 20 } else { 40 }
}

const PLATEAUS: [u16; 8] = [32000, 17914, 9000, 4352, 2002, 1500, 1492, 1280];
/// The largest packet that the length fields of IPv4 and UDP allow.
const MAX_IP_PACKET: usize = 65535;
/// How many packets one send call can hold when the MTU is 1500 bytes.
const MAX_SEGMENTS: usize = 44;
/// How many bytes of a packet to quote in an error.
const QUOTE: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    /// On Linux every address in 127.0.0.0/8 is local, and the system's source for them is
    /// 127.0.0.1.
    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn the_routes_choose_among_bound_sources() {
        use socket2::{Domain, Type};

        let addrs: [IpAddr; 2] = ["127.0.0.2".parse().unwrap(), "127.0.0.1".parse().unwrap()];
        let sockets = addrs.map(|addr| {
            let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
            socket.set_nonblocking(true).unwrap();
            socket.bind(&SocketAddr::new(addr, 0).into()).unwrap();
            (addr, socket)
        });
        let mut link = SocketLink::new(Carrier::Udp, sockets.into(), 9).unwrap();
        let path = PathAddr {
            local: None,
            remote: "127.0.0.9".parse().unwrap(),
            encap: Encap::Udp { remote_port: 1 },
        };
        assert_eq!(link.choose_socket(&path), Some(1));
        assert_eq!(link.choose_socket(&PathAddr { local: Some(addrs[0]), ..path }), Some(0));
    }

    #[test]
    fn plateaus() {
        let v4 = PathAddr {
            local: None,
            remote: "127.0.0.1".parse().unwrap(),
            encap: Encap::Udp { remote_port: 1 },
        };
        let v6 = PathAddr { remote: "::1".parse().unwrap(), ..v4 };
        assert_eq!(plateau_below(&v4, 60000), 32000);
        assert_eq!(plateau_below(&v4, 1473), 1500);
        assert_eq!(plateau_below(&v4, 1472), 1492);
        assert_eq!(plateau_below(&v4, 600), 576);
        assert_eq!(plateau_below(&v6, 600), 1280);
        let native = PathAddr { encap: Encap::Native, ..v4 };
        assert_eq!(plateau_below(&native, 1480), 1492);
        assert_eq!(plateau_below(&native, 1481), 1500);
    }
}
