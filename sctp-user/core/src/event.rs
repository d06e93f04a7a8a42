//! What the user learns: the notifications of RFC 6458 sec 6.1 as an enum, plus readiness to read
//! and write.

use core::fmt;
use std::net::IpAddr;

use bytes::Bytes;

use crate::addr::Message;
use crate::stack::NoRoute;

/// Something that happened to an association.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// SCTP_COMM_UP. On a listening port the new association also waits in
    /// [`Stack::accept`](crate::Stack::accept).
    Up {
        /// Streams we may send on.
        outbound_streams: u16,
        /// Streams the peer may send on.
        inbound_streams: u16,
        /// True when the peer started the association.
        incoming: bool,
    },
    /// SCTP_RESTART: the peer restarted. All data in flight is lost, and streams count from 0
    /// again.
    Restart {
        /// Streams we may send on.
        outbound_streams: u16,
        /// Streams the peer may send on.
        inbound_streams: u16,
        /// How many messages and parts [`Stack::recv`](crate::Stack::recv) still gives before the
        /// first one from the restarted peer.
        before: usize,
    },
    /// SCTP_COMM_LOST or, when the association never came up, SCTP_CANT_STR_ASSOC. Nothing more can
    /// be sent; messages received before may still be read.
    Lost(LossReason),
    /// SCTP_SHUTDOWN_COMP: the association ended gracefully. Received messages may still be read.
    ShutdownComplete,
    /// SCTP_SHUTDOWN_EVENT: the peer began the graceful shutdown; nothing more can be sent.
    PeerShutdown,
    /// SCTP_PEER_ADDR_CHANGE.
    PeerAddrChange {
        /// The address of the peer.
        addr: IpAddr,
        /// Its new state.
        state: PeerAddrState,
    },
    /// SCTP_REMOTE_ERROR: the peer sent an ERROR chunk, which does not end the association.
    RemoteError {
        /// Cause code (RFC 9260 sec 3.3.10).
        cause: u16,
        /// Cause-specific information.
        info: Bytes,
    },
    /// SCTP_SEND_FAILED_EVENT: the message will not (or may not) reach the peer.
    SendFailed {
        /// The message as it was given to `send`.
        message: Message,
        /// True when no part of it was ever sent.
        unsent: bool,
    },
    /// SCTP_SENDER_DRY_EVENT: the peer has acknowledged all data, and nothing is queued.
    SenderDry,
    /// SCTP_PARTIAL_DELIVERY_EVENT: the rest of a message that was delivered in parts will not
    /// come.
    PartialDeliveryAborted {
        /// Stream of the message.
        stream: u16,
        /// Stream sequence number of the message.
        ssn: u16,
        /// How many messages and parts [`Stack::recv`](crate::Stack::recv) still gives before those
        /// that arrived after the last part of this message.
        before: usize,
    },
    /// [`Stack::recv`](crate::Stack::recv) has something to read. Comes once, and not again until
    /// `recv` has returned `None`.
    Readable,
    /// The send buffer has room again after a
    /// [`SendError::WouldBlock`](crate::SendError::WouldBlock).
    Writable,
}

/// Why an association ended without a graceful shutdown.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LossReason {
    /// No answer to INIT or COOKIE ECHO after all retransmissions.
    SetupTimeout,
    /// The peer answered INIT or COOKIE ECHO with an ABORT: the association never came up.
    Refused {
        /// First cause code in the ABORT, 0 when there was none. Most stacks give none when nobody
        /// listens on the port.
        cause: u16,
        /// Information of that cause.
        info: Bytes,
    },
    /// The peer ended the association, which was up, with an ABORT.
    PeerAbort {
        /// First cause code in the ABORT, 0 when it has none.
        cause: u16,
        /// Information of that cause; for a user abort (cause 12), for example, the reason text.
        info: Bytes,
    },
    /// Association.Max.Retrans was exceeded.
    Unreachable,
    /// ICMP said that the peer has no SCTP (native) or that nothing is on that UDP port, and no
    /// other confirmed address of the peer worked any more.
    ProtocolUnreachable,
    /// The setup could not begin because this host has no route to any address of the peer. This
    /// never ends an association that is up; there the timers decide.
    NoRoute(NoRoute),
    /// The peer broke the protocol and was sent an ABORT. The text says how.
    ProtocolViolation(&'static str),
    /// The peer did not finish the shutdown within T5-shutdown-guard.
    ShutdownGuard,
    /// The user called abort.
    LocalAbort,
}

/// State of one address of the peer (RFC 6458 sec 6.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PeerAddrState {
    /// Reachable (again).
    Available,
    /// Path.Max.Retrans exceeded.
    Unreachable,
    /// RFC 7829 Potentially Failed.
    PotentiallyFailed,
    /// The peer returned the heartbeat nonce from this address for the first time.
    Confirmed,
    /// Now part of the association.
    Added,
    /// No longer part of the association, because the restarted peer does not have it any more.
    Removed,
    /// Now the primary path.
    MadePrimary,
}

impl fmt::Display for PeerAddrState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PeerAddrState::Available => "available",
            PeerAddrState::Unreachable => "unreachable",
            PeerAddrState::PotentiallyFailed => "potentially failed",
            PeerAddrState::Confirmed => "confirmed",
            PeerAddrState::Added => "part of the association",
            PeerAddrState::Removed => "no longer part of the association",
            PeerAddrState::MadePrimary => "the primary one",
        })
    }
}
