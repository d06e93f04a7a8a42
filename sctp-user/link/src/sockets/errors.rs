//! What errors from the network mean, and the queue in which they wait for the next receive call.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::Waker;

use sctp_user_core::Unreachable;

use super::Carrier;
use crate::IcmpError;

/// Errors that were found while sending, and that the next receive call reports.
#[derive(Debug, Default)]
pub(super) struct PendingErrors {
    queue: VecDeque<IcmpError>,
    reader: Option<Waker>,
}

impl PendingErrors {
    /// Adds an error and wakes the reader. Drops it when the queue is full: errors are only hints.
    pub(super) fn push(&mut self, error: IcmpError) {
        if self.queue.len() < MAX_PENDING {
            self.queue.push_back(error);
        }
        if let Some(waker) = self.reader.take() {
            waker.wake();
        }
    }

    /// Whether the queue is empty.
    #[cfg(unix)]
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Moves everything into `errors`, and arranges for `waker` to be called when the next one
    /// comes.
    pub(super) fn take(&mut self, errors: &mut Vec<IcmpError>, waker: &Waker) {
        errors.extend(self.queue.drain(..));
        if self.reader.as_ref().is_none_or(|old| !old.will_wake(waker)) {
            self.reader = Some(waker.clone());
        }
    }
}

/// What reading the error queue of a socket found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ErrorsRead {
    /// All entries, whatever their origin.
    pub(super) entries: usize,
    /// Entries caused by ICMP messages. Each of these may have made one send or receive call fail.
    pub(super) from_network: usize,
    /// This host adds an entry when a packet is too big for its interface. This is the MTU in the
    /// latest of them.
    pub(super) local_mtu: Option<u16>,
}

/// Completes when the system reports an error on a socket.
pub(super) type ErrorReady = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What an ICMP message about a packet sent over `carrier` means to SCTP (RFC 9260 sec 10, RFC 6951
/// sec 5.5); `None` if it means nothing. `info` is the MTU, in messages that carry one.
#[cfg_attr(
    not(feature = "raw"),
    allow(dead_code, reason = "without error queues, only raw links hear of ICMP")
)]
pub(super) fn meaning(
    carrier: Carrier,
    v6: bool,
    icmp_type: u8,
    code: u8,
    info: u32,
) -> Option<Unreachable> {
    let too_big = || Unreachable::PacketTooBig { ip_mtu: u16::try_from(info).unwrap_or(u16::MAX) };
    // If the peer's UDP port is closed, nobody speaks SCTP there. Without UDP, "port unreachable"
    // means nothing to SCTP (RFC 9260 sec 10, rule 3).
    let no_port = match carrier {
        Carrier::Udp => Some(Unreachable::Protocol),
        Carrier::Ip => None,
    };
    match (v6, icmp_type, code) {
        // Destination unreachable: protocol, port.
        (false, 3, 2) => Some(Unreachable::Protocol),
        (false, 3, 3) => no_port,
        // Fragmentation needed. Routers older than RFC 1191 name no MTU, and then there is nothing
        // to learn.
        (false, 3, 4) => (info != 0).then(too_big),
        (false, 3, _) => Some(Unreachable::Destination),
        // Destination unreachable: port.
        (true, 1, 4) => no_port,
        (true, 1, _) => Some(Unreachable::Destination),
        (true, 2, _) => (info != 0).then(too_big),
        // Parameter problem: unrecognized next header.
        (true, 4, 1) => Some(Unreachable::Protocol),
        _ => None,
    }
}

const MAX_PENDING: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meaning_of_icmp_types() {
        let udp = |v6, t, c, info| meaning(Carrier::Udp, v6, t, c, info);
        assert_eq!(udp(false, 3, 3, 0), Some(Unreachable::Protocol));
        assert_eq!(udp(false, 3, 2, 0), Some(Unreachable::Protocol));
        assert_eq!(udp(false, 3, 1, 0), Some(Unreachable::Destination));
        assert_eq!(udp(false, 3, 13, 0), Some(Unreachable::Destination));
        assert_eq!(udp(false, 3, 4, 1400), Some(Unreachable::PacketTooBig { ip_mtu: 1400 }));
        assert_eq!(udp(false, 3, 4, 0), None);
        assert_eq!(udp(false, 11, 0, 0), None, "time exceeded");
        assert_eq!(udp(true, 1, 4, 0), Some(Unreachable::Protocol));
        assert_eq!(udp(true, 1, 0, 0), Some(Unreachable::Destination));
        assert_eq!(udp(true, 2, 0, 1280), Some(Unreachable::PacketTooBig { ip_mtu: 1280 }));
        assert_eq!(udp(true, 2, 0, 1 << 20), Some(Unreachable::PacketTooBig { ip_mtu: u16::MAX }));
        assert_eq!(udp(true, 4, 1, 0), Some(Unreachable::Protocol));
        assert_eq!(udp(true, 4, 0, 0), None);
        assert_eq!(udp(true, 3, 0, 0), None, "time exceeded");
    }

    #[test]
    fn ports_mean_nothing_directly_in_ip() {
        assert_eq!(meaning(Carrier::Ip, false, 3, 3, 0), None);
        assert_eq!(meaning(Carrier::Ip, true, 1, 4, 0), None);
        assert_eq!(meaning(Carrier::Ip, false, 3, 2, 0), Some(Unreachable::Protocol));
        assert_eq!(meaning(Carrier::Ip, true, 4, 1, 0), Some(Unreachable::Protocol));
    }
}
