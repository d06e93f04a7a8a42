//! What the user learns: the notifications of RFC 6458 sec 6.1 as an enum, plus readiness.

use bytes::Bytes;
use std::net::IpAddr;

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
        /// True when the peer started it.
        incoming: bool,
    },
    /// SCTP_RESTART: the peer restarted; all that was in flight is lost, streams count from 0
    /// again.
    Restart {
        /// Streams we may send on.
        outbound_streams: u16,
        /// Streams the peer may send on.
        inbound_streams: u16,
        /// Messages and parts that [`Stack::recv`](crate::Stack::recv) gives before those of the
        /// restarted peer.
        before: usize,
    },
    /// SCTP_COMM_LOST or, when it never came up, SCTP_CANT_STR_ASSOC. The association is gone for
    /// sending; received messages may still be read.
    Lost(LossReason),
    /// SCTP_SHUTDOWN_COMP: graceful end. Received messages may still be read.
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
    /// SCTP_REMOTE_ERROR: an ERROR chunk that does not end the association.
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
    /// SCTP_SENDER_DRY_EVENT: all that was sent is acknowledged and nothing is queued.
    SenderDry,
    /// SCTP_PARTIAL_DELIVERY_EVENT: the rest of a message given in parts will not come.
    PartialDeliveryAborted {
        /// Stream of the message.
        stream: u16,
        /// Stream sequence number of the message.
        ssn: u16,
        /// Messages and parts that [`Stack::recv`](crate::Stack::recv) gives before those that came
        /// after the last part.
        before: usize,
    },
    /// [`Stack::recv`](crate::Stack::recv) has something. Given once until `recv` returned `None`.
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
    /// The peer refused or ended it with an ABORT.
    PeerAbort {
        /// First cause code in the ABORT, 0 when there was none.
        cause: u16,
        /// Information of that cause: the reason text of a user abort (cause 12), for example.
        info: Bytes,
    },
    /// Association.Max.Retrans was exceeded.
    Unreachable,
    /// ICMP said that the peer has no SCTP (native) or nothing on that UDP port, at the last of its
    /// confirmed addresses that still worked.
    ProtocolUnreachable,
    /// The setup could not begin: the own host has no way to any address of the peer. An
    /// association that is up never ends by this; its timers decide.
    NoRoute(NoRoute),
    /// The peer broke the protocol and was sent an ABORT.
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
    /// Its heartbeat nonce came back for the first time.
    Confirmed,
    /// Now part of the association.
    Added,
    /// No longer part of the association: a restarted peer does not have it any more.
    Removed,
    /// Now the primary path.
    MadePrimary,
}
