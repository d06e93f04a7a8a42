//! The words that all state machines share: what happens to associations, and what to do.
//!
//! A driver takes each [`Input`] to [`Core::handle`], does what [`Core::poll_output`] gives until
//! that is empty, and hands in [`Input::Timeout`] when the time of [`Core::poll_timeout`] has come.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use rserpool_wire::numbers::{port, ppid};
use sctp_user_core::socket::EndReason;
use sctp_user_core::{Duration, Encap, LossReason, Peer, Time};
use thiserror::Error;

/// Names an association (or an attempt to set one up) between a state machine and its driver. It is
/// never used again for another one.
///
/// Whoever begins an association draws its name: the state machine names those that it opens, and
/// the driver names those that come in. The two kinds never meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelId(u64);

impl ChannelId {
    /// Set in the names of associations that came in.
    const INCOMING: u64 = 1 << 63;

    /// The association that a state machine opens as its number `n`, below 2^63.
    pub const fn outgoing(n: u64) -> Self {
        ChannelId(n & !Self::INCOMING)
    }

    /// The association that came in as number `n`, below 2^63.
    pub const fn incoming(n: u64) -> Self {
        ChannelId(n | Self::INCOMING)
    }

    /// Whether the other end opened it.
    pub const fn is_incoming(self) -> bool {
        self.0 & Self::INCOMING != 0
    }

    /// The name as one number, for tables that know nothing of associations.
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// The name that [`as_u64`](Self::as_u64) gave.
    pub const fn from_u64(number: u64) -> Self {
        ChannelId(number)
    }
}

/// `association 3` for one that came in, `own association 3` for one that was opened here.
impl fmt::Display for ChannelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let own = if self.is_incoming() { "" } else { "own " };
        write!(f, "{own}association {}", self.0 & !Self::INCOMING)
    }
}

/// Which of its SCTP ports an association or a multicast group of a host belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// Between pool elements or pool users and registrars (RFC 5352).
    Asap,
    /// Between registrars (RFC 5353).
    Enrp,
}

impl Protocol {
    /// The payload protocol identifier, host order.
    pub const fn ppid(self) -> u32 {
        match self {
            Protocol::Asap => ppid::ASAP,
            Protocol::Enrp => ppid::ENRP,
        }
    }

    /// The SCTP port that registrars serve it at by default.
    pub const fn default_port(self) -> u16 {
        match self {
            Protocol::Asap => port::ASAP,
            Protocol::Enrp => port::ENRP,
        }
    }
}

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Input<'a> {
    /// An association is up: one that [`Output::Connect`] asked for, or one that came in.
    Up {
        /// Its name.
        channel: ChannelId,
        /// The own SCTP port that it uses.
        protocol: Protocol,
        /// All addresses and the SCTP port of the other end.
        peer: Peer,
        /// The own addresses that the other end knows.
        local: Vec<IpAddr>,
        /// The own SCTP port.
        local_port: u16,
    },
    /// An association that [`Output::Connect`] asked for did not come up.
    Failed {
        /// Its name.
        channel: ChannelId,
        /// Why.
        failure: ConnectFailure,
    },
    /// The other end has other addresses or another UDP port than before.
    PeerChanged {
        /// The association.
        channel: ChannelId,
        /// Its other end now.
        peer: Peer,
    },
    /// The round-trip time of an association was measured anew.
    Measured {
        /// The association.
        channel: ChannelId,
        /// The smoothed round-trip time of the path that data takes.
        rtt: Duration,
    },
    /// A complete message arrived.
    Message {
        /// The association.
        channel: ChannelId,
        /// Its payload protocol identifier, host order.
        ppid: u32,
        /// The message.
        data: &'a [u8],
    },
    /// Too much that was sent waits for the other end to read it.
    Congested {
        /// The association.
        channel: ChannelId,
    },
    /// An association ended, in whatever way. Its name means nothing any more.
    ///
    /// When the process at the other end has started anew (RFC 9260 sec 5.2.4), the driver says
    /// `Down` as well, since the new process knows nothing of what the old one said. Then it says
    /// `Up` with a new name, unless the answer to `Down` was [`Output::Abort`].
    Down {
        /// The association.
        channel: ChannelId,
    },
    /// A datagram to the multicast group of a protocol was heard.
    Datagram {
        /// The protocol.
        protocol: Protocol,
        /// Where it came from.
        from: SocketAddr,
        /// The datagram.
        data: &'a [u8],
    },
    /// Time has passed.
    Timeout,
}

/// Something to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output<E> {
    /// Set an association up, and report with [`Input::Up`] or [`Input::Failed`].
    Connect {
        /// Its name.
        channel: ChannelId,
        /// The own SCTP port to use.
        protocol: Protocol,
        /// The ways to reach the other end, the preferred one first; the first that works is taken.
        ways: Vec<Peer>,
    },
    /// Send a message, ordered on stream 0.
    Send {
        /// The association.
        channel: ChannelId,
        /// Payload protocol identifier, host order.
        ppid: u32,
        /// The message.
        data: Bytes,
    },
    /// Watch an association over which elements are registered: probe it when it has been idle for
    /// `interval`, if it would be probed later otherwise. If the process at the other end is gone,
    /// its host says so then.
    Watch {
        /// The association.
        channel: ChannelId,
        /// The longest time without a probe, apart from a jitter of the RTO.
        interval: Duration,
    },
    /// There is a reason to suspect that the other end is dead. Probe it, and until it is heard
    /// again believe its host when that says for as long as `patience` that nobody is there.
    Suspect {
        /// The association.
        channel: ChannelId,
        /// Zero believes the first word.
        patience: Duration,
    },
    /// Shut an association down gracefully; [`Input::Down`] tells the end of it.
    Shutdown {
        /// The association.
        channel: ChannelId,
    },
    /// Abort an association or an attempt. The state machine has forgotten it already and wants to
    /// hear nothing more about it.
    Abort {
        /// The association.
        channel: ChannelId,
        /// Why; goes into the ABORT.
        reason: &'static str,
    },
    /// Send a datagram to the multicast group of a protocol.
    Multicast {
        /// The protocol.
        protocol: Protocol,
        /// The datagram.
        data: Bytes,
    },
    /// Tell the user of the state machine.
    Event(E),
}

/// A state machine over associations. See the [module documentation](self) for how to drive it.
pub trait Core {
    /// What it tells its user.
    type Event;

    /// Takes one input. [`Core::poll_output`] then gives what follows from it.
    fn handle(&mut self, now: Time, input: Input<'_>);

    /// The next thing to do, in order; `None` when all is done.
    fn poll_output(&mut self) -> Option<Output<Self::Event>>;

    /// When to handle [`Input::Timeout`] next; `None` when nothing is waited for.
    fn poll_timeout(&self) -> Option<Time>;
}

/// Why an association did not come up.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConnectFailure {
    /// The other end did not accept in the time that it was given.
    #[error("it did not accept in time")]
    TimedOut,
    /// SCTP gave up or was refused.
    #[error(transparent)]
    Ended(EndReason),
    /// Nobody answered packets without UDP encapsulation, and nothing else was tried. Either nobody
    /// is there, or a box on the way does not know protocol 132.
    #[error("{0}; many NATs and firewalls let SCTP pass only inside UDP: try UDP encapsulation")]
    NoNativeAnswer(EndReason),
    /// Something else, in one sentence.
    #[error("{0}")]
    Other(String),
}

impl ConnectFailure {
    /// Whether the host of the other end has said that nobody is there.
    pub fn is_refusal(&self) -> bool {
        let (ConnectFailure::Ended(reason) | ConnectFailure::NoNativeAnswer(reason)) = self else {
            return false;
        };
        matches!(
            reason,
            EndReason::Lost(LossReason::Refused { .. } | LossReason::ProtocolUnreachable)
        )
    }
}

/// The UDP port of a peer whose association is encapsulated (RFC 6951), `None` where it is native.
pub fn udp_port(peer: &Peer) -> Option<u16> {
    peer.addrs.iter().find_map(|(_, encap)| match encap {
        Encap::Udp { remote_port } => Some(*remote_port),
        Encap::Native => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_both_kinds_are_different() {
        let (out, incoming) = (ChannelId::outgoing(3), ChannelId::incoming(3));
        assert_ne!(out, incoming);
        assert!(incoming.is_incoming() && !out.is_incoming());
        assert_eq!(ChannelId::from_u64(incoming.as_u64()), incoming);
        assert_eq!(incoming.to_string(), "association 3");
        assert_eq!(out.to_string(), "own association 3");
    }
}
