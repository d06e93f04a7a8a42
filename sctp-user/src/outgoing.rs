//! Packets on their way from the core to the links.

use std::collections::VecDeque;
use std::io;
use std::task::{Context, Poll};

use bytes::Bytes;
use sctp_user_core::socket::Sockets;
use sctp_user_core::{Encap, SegmentLimits, Time, Transmit, Unreachable};
use sctp_user_link::no_route;
use tracing::debug;

use crate::link::{IcmpError, Link};

/// Packets encoded and not sent yet. They are kept while their link has no room.
#[derive(Default)]
pub(crate) struct Outgoing {
    buf: Vec<u8>,
    queue: VecDeque<Queued>,
}

struct Queued {
    transmit: Transmit,
    start: usize,
    attempts: u32,
}

impl Outgoing {
    /// Nothing waits.
    #[cfg(all(unix, feature = "blocking"))]
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Encodes packets until there are no more (true) or the budget of a round is used up (false).
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
                "the core announces what it wrote"
            );
            self.queue.push_back(Queued { transmit, start, attempts: 0 });
        }
        false
    }

    /// Sends what is encoded; true when a link has no room for the rest. `errors` tells what turns
    /// out too large, and what there is no way for.
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
                    errors.push(told(&transmit, bytes, Unreachable::NoRoute(why)));
                }
                debug!(path = ?transmit.path, %why, "a packet could not be sent");
            }
            self.queue.pop_front();
        }
        self.buf.clear();
        false
    }
}

/// How many packets of one path may be handed to the links at once.
pub(crate) fn segment_limits<L: Link>(links: &[L]) -> SegmentLimits {
    let of = |encap| {
        let link = links.iter().find(|link| link.handles(encap));
        link.map_or(1, |link| link.max_segments().max(1))
    };
    SegmentLimits { native: of(Encap::Native), udp: of(Encap::Udp { remote_port: 1 }) }
}

/// An error that ICMP has caused for an earlier packet and that the system reports on the next
/// occasion.
fn is_pending_icmp(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, ConnectionReset, HostUnreachable, NetworkUnreachable};
    matches!(
        error.kind(),
        ConnectionRefused | ConnectionReset | HostUnreachable | NetworkUnreachable
    )
}

/// EMSGSIZE: larger than the interface takes.
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

/// What a router would have said about a packet that the own interface does not take.
fn too_big(transmit: &Transmit, bytes: &[u8]) -> IcmpError {
    let ip = if transmit.path.remote.is_ipv4() { 20 } else { 40 };
    let udp = if matches!(transmit.path.encap, Encap::Udp { .. }) { 8 } else { 0 };
    let first = transmit.segment_size.unwrap_or(transmit.len).min(bytes.len());
    let size = first + ip + udp;
    let ip_mtu =
        COMMON_MTUS.into_iter().find(|mtu| usize::from(*mtu) < size).unwrap_or(SMALLEST_MTU);
    told(transmit, bytes, Unreachable::PacketTooBig { ip_mtu })
}

/// What is said about the first of the packets that could not be sent.
fn told(transmit: &Transmit, bytes: &[u8], kind: Unreachable) -> IcmpError {
    let first = transmit.segment_size.unwrap_or(transmit.len).min(bytes.len());
    let quoted = Bytes::copy_from_slice(bytes.get(..first.min(QUOTED)).unwrap_or(bytes));
    IcmpError { to: transmit.path, kind, quoted }
}

/// Bytes encoded in one round.
const ENCODE_BYTES: usize = 256 * 1024;
/// Transmits encoded in one round.
const ENCODE_TRANSMITS: usize = 64;
/// How often a packet is tried while the system reports errors of earlier ones.
const SEND_ATTEMPTS: u32 = 4;
/// MTUs to try when the system only says "too large".
const COMMON_MTUS: [u16; 4] = [9000, 1500, 1492, 1280];
/// The least that every IPv4 path carries as the core allows it.
const SMALLEST_MTU: u16 = 576;
/// Bytes of a packet that was not sent that the core gets to see.
const QUOTED: usize = 64;
