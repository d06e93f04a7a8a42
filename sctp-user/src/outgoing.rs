//! Moving packets from the core to the links.

use std::collections::VecDeque;
use std::io;
use std::task::{Context, Poll};

use bytes::Bytes;
use sctp_user_core::socket::Sockets;
use sctp_user_core::{Encap, SegmentLimits, Time, Transmit, Unreachable};
use sctp_user_link::no_route;
use tracing::debug;

use crate::link::{IcmpError, Link};

/// Packets that are encoded but not sent yet. They stay here while their link has no room.
#[derive(Default)]
pub(crate) struct SendQueue {
    buf: Vec<u8>,
    queue: VecDeque<Queued>,
}

struct Queued {
    transmit: Transmit,
    start: usize,
    attempts: u32,
}

impl SendQueue {
    /// Whether there is nothing left to send.
    #[cfg(all(unix, feature = "blocking"))]
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Encodes packets until there are no more, or until the budget of a round is used up. Returns
    /// false in the second case.
    pub(crate) fn encode(
        &mut self,
        sockets: &mut Sockets,
        now: Time,
        limits: SegmentLimits,
    ) -> bool {
        while self.buf.len() < ENCODE_BYTES && self.queue.len() < ENCODE_TRANSMITS {
            let start = self.buf.len();
            let Some(transmit) = sockets.poll_transmit(now, limits, &mut self.buf) else {
                return true;
            };
            debug_assert_eq!(
                self.buf.len() - start,
                transmit.len,
                "the core has written as many bytes as it says"
            );
            self.queue.push_back(Queued { transmit, start, attempts: 0 });
        }
        false
    }

    /// Sends the encoded packets. Returns true if a link has no room for the rest. Adds an error to
    /// `errors` for each packet that is too large or for which there is no route.
    pub(crate) fn flush<L: Link>(
        &mut self,
        cx: &mut Context<'_>,
        links: &mut [L],
        errors: &mut Vec<IcmpError>,
    ) -> bool {
        while let Some(queued) = self.queue.front_mut() {
            let transmit = queued.transmit;
            let bytes = &self.buf[queued.start..queued.start + transmit.len];
            let link = links.iter_mut().find(|link| link.handles(transmit.path.encap));
            let result = match link {
                Some(link) => match link.poll_send(cx, &transmit, bytes) {
                    Poll::Pending => return true,
                    Poll::Ready(result) => result,
                },
                None => Err(io::ErrorKind::Unsupported.into()),
            };
            if let Err(why) = result {
                queued.attempts += 1;
                if is_pending_icmp(&why) && queued.attempts < SEND_ATTEMPTS {
                    continue; // the error was about an earlier packet, this one was not sent
                }
                if is_too_large(&why) {
                    errors.push(too_big(&transmit, bytes));
                } else if let Some(why) = no_route(&why) {
                    errors.push(send_error(&transmit, bytes, Unreachable::NoRoute(why)));
                }
                debug!(path = ?transmit.path, %why, "a packet could not be sent");
            }
            self.queue.pop_front();
        }
        self.buf.clear();
        false
    }
}

/// How many packets for one path the links take at once.
pub(crate) fn segment_limits<L: Link>(links: &[L]) -> SegmentLimits {
    let of = |encap| {
        let link = links.iter().find(|link| link.handles(encap));
        link.map_or(1, |link| link.max_segments().max(1))
    };
    SegmentLimits { native: of(Encap::Native), udp: of(Encap::Udp { remote_port: 1 }) }
}

/// Whether this may be an ICMP error about an earlier packet, which the system reports at the next
/// call.
fn is_pending_icmp(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, ConnectionReset, HostUnreachable, NetworkUnreachable};
    matches!(
        error.kind(),
        ConnectionRefused | ConnectionReset | HostUnreachable | NetworkUnreachable
    )
}

/// Whether this is EMSGSIZE: the packet is larger than the interface allows.
fn is_too_large(error: &io::Error) -> bool {
    let emsgsize = if cfg!(any(target_os = "linux", target_os = "android")) {
        90
    } else if cfg!(windows) {
        10040
    } else {
        40
    };
    error.raw_os_error() == Some(emsgsize)
}

/// The error that a router would have sent about a packet that is too large for this host's own
/// interface.
fn too_big(transmit: &Transmit, bytes: &[u8]) -> IcmpError {
    let ip = if transmit.path.remote.is_ipv4() { 20 } else { 40 };
    let udp = if matches!(transmit.path.encap, Encap::Udp { .. }) { 8 } else { 0 };
    let first = transmit.segment_size.unwrap_or(transmit.len).min(bytes.len());
    let size = first + ip + udp;
    let ip_mtu =
        COMMON_MTUS.into_iter().find(|mtu| usize::from(*mtu) < size).unwrap_or(SMALLEST_MTU);
    send_error(transmit, bytes, Unreachable::PacketTooBig { ip_mtu })
}

/// An error about the first of the packets in `bytes`, which could not be sent.
fn send_error(transmit: &Transmit, bytes: &[u8], kind: Unreachable) -> IcmpError {
    let first = transmit.segment_size.unwrap_or(transmit.len).min(bytes.len());
    let quoted = Bytes::copy_from_slice(bytes.get(..first.min(QUOTED)).unwrap_or(bytes));
    IcmpError { to: transmit.path, kind, quoted }
}

/// The most bytes to encode in one round; one transmit may exceed it.
const ENCODE_BYTES: usize = 256 * 1024;
/// The most transmits to encode in one round.
const ENCODE_TRANSMITS: usize = 64;
/// How often to try a packet while the system reports errors about earlier ones.
const SEND_ATTEMPTS: u32 = 4;
/// The MTUs to guess when the system only says "too large".
const COMMON_MTUS: [u16; 4] = [9000, 1500, 1492, 1280];
/// The smallest MTU that the core accepts for an IPv4 path.
const SMALLEST_MTU: u16 = 576;
/// How many bytes of a packet that was not sent to quote for the core.
const QUOTED: usize = 64;
