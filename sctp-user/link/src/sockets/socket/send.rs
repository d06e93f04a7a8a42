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
pub(in crate::sockets) struct Outgoing {
    pub(in crate::sockets) destination: SocketAddr,
    /// Source address, if it is not up to the system.
    pub(in crate::sockets) source: Option<IpAddr>,
    pub(in crate::sockets) ecn: Option<EcnCodepoint>,
    pub(in crate::sockets) dscp: u8,
    /// Length of all packets together.
    pub(in crate::sockets) len: usize,
    /// Size of all packets but the last, for several packets.
    pub(in crate::sockets) segment_size: Option<usize>,
    pub(in crate::sockets) may_fragment: bool,
}

/// A send that failed for good.
#[derive(Debug)]
pub(in crate::sockets) struct SendFailure {
    pub(in crate::sockets) error: io::Error,
    /// MTU of the interface, when the system says that a packet exceeds it.
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
            // What the kernel does with a segment size there is to send one packet that is far too
            // large.
            Carrier::Ip => 1,
        }
    }

    /// Sends `bytes` as `out` describes them. After `Pending` it goes on where it stopped, provided
    /// that the next call is for the same packets.
    pub(in crate::sockets) fn poll_send(
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
}

/// There is nothing to tell the system but the destination.
fn is_simple(transmit: &quinn_udp::Transmit<'_>) -> bool {
    transmit.ecn.is_none() && transmit.segment_size.is_none() && transmit.src_ip.is_none()
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
pub(in crate::sockets) fn is_unreachable(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable)
}

/// 65535 bytes less the IPv4 and UDP headers, which bounds a batch as well.
const MAX_UDP_PAYLOAD: usize = 65507;
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
