//! Sending, and what to do when a send call fails.

use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV4};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use quinn_udp::EcnCodepoint;
use sctp_user_core::interface::{Shown, to_socket_addr, without_interface};
use tokio::io::Interest;

use super::{LinkSocket, MAX_CONSECUTIVE_FAILURES};
use crate::sockets::errors::PendingErrors;
use crate::sockets::io::Io;
use crate::sockets::source::routed_source;
use crate::sockets::{Carrier, cut, fragment, os};

/// Packets for one destination, as [`LinkSocket::poll_send`] takes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sockets) struct SendParams {
    pub(in crate::sockets) destination: SocketAddr,
    /// The source address; `None` leaves the choice to the system.
    pub(in crate::sockets) source: Option<IpAddr>,
    pub(in crate::sockets) ecn: Option<EcnCodepoint>,
    pub(in crate::sockets) dscp: u8,
    /// The length of all packets together, in bytes.
    pub(in crate::sockets) len: usize,
    /// If there are several packets, the size in bytes of each one but the last.
    pub(in crate::sockets) segment_size: Option<usize>,
    pub(in crate::sockets) may_fragment: bool,
}

/// A send that failed for good.
#[derive(Debug)]
pub(in crate::sockets) struct SendFailure {
    pub(in crate::sockets) error: io::Error,
    /// The MTU of the interface, if the system says that a packet exceeds it.
    pub(in crate::sockets) local_mtu: Option<u16>,
}

impl From<io::Error> for SendFailure {
    fn from(error: io::Error) -> Self {
        SendFailure { error, local_mtu: None }
    }
}

impl LinkSocket {
    /// How many packets one send call can hold.
    pub(in crate::sockets) fn max_segments(&self) -> usize {
        match self.carrier {
            Carrier::Udp => os::max_segments(&self.state),
            // On a raw socket the kernel ignores the segment size and would send everything as one
            // packet that is far too large.
            Carrier::Ip => 1,
        }
    }

    /// Sends `bytes` as `out` describes them. After `Pending`, the next call goes on where this one
    /// stopped, provided that it is for the same packets.
    pub(in crate::sockets) fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        out: &SendParams,
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
                            format!("the source address {source} is not an address of this host");
                        return Poll::Ready(Err(io::Error::new(
                            io::ErrorKind::AddrNotAvailable,
                            message,
                        )
                        .into()));
                    }
                    // The kernel or the network card refuses segmentation offload, so from now on
                    // each packet takes a call of its own.
                    if batched && self.max_segments() == 1 {
                        continue;
                    }
                    return Poll::Ready(Err(failure));
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Sends one packet with no options but its destination. Returns false if it was not sent, for
    /// whatever reason.
    pub(in crate::sockets) fn send_plain(
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
            // The error may be about an earlier packet, and the system reports it only once.
            os::read_errors(&self.io, self.carrier, self.addr, |error| errors.push(error));
        }
        sent.is_ok()
    }

    /// Makes one send call, and repeats it when it fails for reasons that have nothing to do with
    /// this packet.
    fn poll_send_once(
        &mut self,
        cx: &mut Context<'_>,
        transmit: &quinn_udp::Transmit<'_>,
        out: &SendParams,
        errors: &mut PendingErrors,
    ) -> Poll<Result<(), SendFailure>> {
        let mut blocked = 0;
        let mut failures = 0;
        loop {
            if let Some(sleep) = &mut self.backoff {
                ready!(sleep.as_mut().poll(cx));
                self.backoff = None;
            }
            let headers =
                if transmit.contents.len() > cut::WHOLE { self.headers_to_cut(out) } else { None };
            let mut send = || {
                if let Some(headers) = headers
                    && let Some(sent) = self.cutter.send(headers, transmit.contents)
                {
                    return sent;
                }
                let send = || match out.dscp {
                    // With no options but the destination, the simpler system call is enough.
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
            // The first try does not wait for readiness. There is nearly always room, and a stack
            // that sends its last packets while the runtime shuts down must not depend on the
            // runtime.
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
                    // closed and always reports it ready. Then the only way is to try again a
                    // little later.
                    if blocked > 1 {
                        self.backoff = Some(Box::pin(tokio::time::sleep(FULL_BUFFER_DELAY)));
                    }
                    blocked += 1;
                    continue;
                }
                Err(error) => error,
            };
            let read =
                os::read_errors(&self.io, self.carrier, self.addr, |error| errors.push(error));
            if read.local_mtu.is_some() {
                return Poll::Ready(Err(SendFailure { error, local_mtu: read.local_mtu }));
            }
            // Each ICMP error about an earlier packet, perhaps to another peer, can make one later
            // send call fail before it sends anything.
            failures += 1;
            let too_big = quinn_udp::is_msg_size_err(&error);
            let pending_error = failures == 1 || (read.from_network > 0 && !too_big);
            if !pending_error || failures >= MAX_CONSECUTIVE_FAILURES {
                return Poll::Ready(Err(error.into()));
            }
            tracing::trace!(%error, "send call failed, trying again");
        }
    }

    /// The addresses of an IPv4 packet that may be fragmented, for cutting it here. `None` for
    /// other packets.
    fn headers_to_cut(&self, out: &SendParams) -> Option<cut::PacketHeaders> {
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
        Some(cut::PacketHeaders { carrier: self.carrier, from, to, dscp: out.dscp, ecn })
    }

    /// The requested source address, if the call failed because the host does not have it. The
    /// system reports this in two ways: as an invalid argument (IPv6) or as a missing route (IPv4).
    fn lost_source(&self, out: &SendParams, error: &io::Error) -> Option<IpAddr> {
        let source = out.source.filter(|_| is_invalid_argument(error) || is_unreachable(error))?;
        let probe = std::net::UdpSocket::bind(to_socket_addr(source, 0));
        probe.is_err().then_some(source)
    }
}

/// Whether a packet needs no options but its destination.
fn is_simple(transmit: &quinn_udp::Transmit<'_>) -> bool {
    transmit.ecn.is_none() && transmit.segment_size.is_none() && transmit.src_ip.is_none()
}

/// How many packets of `size` bytes one call may send, at least 1. Together they must fit into one
/// UDP datagram.
fn segments_per_call(size: usize, max_segments: usize) -> usize {
    (MAX_UDP_PAYLOAD / size.max(1)).min(max_segments).max(1)
}

fn is_invalid_argument(error: &io::Error) -> bool {
    // EINVAL, or EIO, which some network cards cause.
    error.kind() == io::ErrorKind::InvalidInput || error.raw_os_error() == Some(5)
}

/// Whether the error says that there is no route to the destination.
pub(in crate::sockets) fn is_unreachable(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable)
}

/// 65535 bytes less the IPv4 and UDP headers. A batch can be no larger either.
const MAX_UDP_PAYLOAD: usize = 65507;
/// How long to wait for room in a send buffer when readiness cannot be trusted.
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
