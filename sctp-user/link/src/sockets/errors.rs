//! What errors from the network mean, and where they wait until somebody asks.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::Waker;

use sctp_user_core::Unreachable;

use super::Carrier;
use crate::IcmpError;

/// Errors read from a queue while sending, waiting for the next receive call.
#[derive(Debug, Default)]
pub(super) struct PendingErrors {
    queue: VecDeque<IcmpError>,
    reader: Option<Waker>,
}

impl PendingErrors {
    /// Adds an error and wakes the reader. Beyond a bound the newest ones are dropped: they are
    /// hints.
    pub(super) fn push(&mut self, error: IcmpError) {
        if self.queue.len() < MAX_PENDING {
            self.queue.push_back(error);
        }
        if let Some(waker) = self.reader.take() {
            waker.wake();
        }
    }

    /// Nothing waits.
    #[cfg(unix)]
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Moves everything into `errors`, and wakes `waker` when more arrives.
    pub(super) fn take(&mut self, errors: &mut Vec<IcmpError>, waker: &Waker) {
        errors.extend(self.queue.drain(..));
        if self.reader.as_ref().is_none_or(|old| !old.will_wake(waker)) {
            self.reader = Some(waker.clone());
        }
    }
}

/// What reading an error queue found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Drained {
    /// Entries of any origin.
    pub(super) entries: usize,
    /// Entries caused by ICMP messages. Each of them can have made one send or receive call fail.
    pub(super) from_network: usize,
    /// The MTU in the latest entry made by the own host because a packet was too big for its
    /// interface.
    pub(super) local_mtu: Option<u16>,
}

/// Completes when the system reports an error on a socket.
pub(super) type ErrorReady = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What an ICMP message about a packet of `carrier` means to SCTP (RFC 9260 sec 10, RFC 6951 sec
/// 5.5); `None` for those that mean nothing. `info` is the MTU in messages that carry one.
pub(super) fn meaning(
    carrier: Carrier,
    v6: bool,
    icmp_type: u8,
    code: u8,
    info: u32,
) -> Option<Unreachable> {
    let too_big = || Unreachable::PacketTooBig { ip_mtu: u16::try_from(info).unwrap_or(u16::MAX) };
    // Nobody is at the UDP port, so nobody speaks SCTP there. SCTP itself has no use for ports in
    // ICMP (RFC 9260 sec 10, rule 3).
    let no_port = match carrier {
        Carrier::Udp => Some(Unreachable::Protocol),
        Carrier::Ip => None,
    };
    match (v6, icmp_type, code) {
        // Destination unreachable: protocol, port.
        (false, 3, 2) => Some(Unreachable::Protocol),
        (false, 3, 3) => no_port,
        // Fragmentation needed. Routers older than RFC 1191 name no MTU, which teaches nothing.
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
