//! Notifications and which of them a socket wants (RFC 6458 sec 6).

use core::fmt;
use std::net::IpAddr;

use bytes::Bytes;

use crate::addr::{Message, Received};
use crate::event::PeerAddrState;
use crate::features::Features;

use crate::interface::Shown;

use super::error::{EndReason, write_cause};

/// What a reader gets from a socket: a message (or a part of one), or a notification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// User data.
    Message(Received),
    /// Something happened to the association. The reader gets only the kinds it has subscribed to.
    Notification(Notification),
}

/// A notification (RFC 6458 sec 6.1). Its `Display` is a sentence for a log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notification {
    /// SCTP_ASSOC_CHANGE.
    AssocChange(AssocChange),
    /// SCTP_PEER_ADDR_CHANGE.
    PeerAddrChange {
        /// The address of the peer.
        addr: IpAddr,
        /// Its new state.
        state: PeerAddrState,
    },
    /// SCTP_REMOTE_ERROR: the peer sent an ERROR chunk. It does not end the association.
    RemoteError {
        /// Cause code (RFC 9260 sec 3.3.10).
        cause: u16,
        /// Cause-specific information.
        info: Bytes,
    },
    /// SCTP_SEND_FAILED_EVENT: this message will not (or may not) reach the peer.
    SendFailed {
        /// The message as the user gave it to send.
        message: Message,
        /// True when no part of it was ever sent.
        unsent: bool,
    },
    /// SCTP_SHUTDOWN_EVENT: the peer began the graceful shutdown, and nothing more can be sent.
    PeerShutdown,
    /// SCTP_PARTIAL_DELIVERY_EVENT: the reader has got a part of a message, but the rest will not
    /// come.
    PartialDeliveryAborted {
        /// Stream of the message.
        stream: u16,
        /// Stream sequence number of the message.
        ssn: u16,
    },
    /// SCTP_SENDER_DRY_EVENT: everything sent is acknowledged and nothing is queued.
    SenderDry,
    /// SCTP_NOTIFICATIONS_STOPPED_EVENT: notifications were not read, so that some were lost at
    /// this place.
    Stopped,
}

/// What happened to an association as a whole (RFC 6458 sec 6.1.1). Its `Display` is a sentence for
/// a log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AssocChange {
    /// SCTP_COMM_UP: the association is ready.
    Up {
        /// Streams we may send on.
        outbound_streams: u16,
        /// Streams the peer may send on.
        inbound_streams: u16,
        /// Extensions that both ends support (SCTP_ASSOC_SUPPORTS_...).
        features: Features,
    },
    /// SCTP_RESTART: the peer lost its state and started again. What was in flight is lost, and the
    /// stream sequence numbers start at 0 again.
    Restart {
        /// Streams we may send on.
        outbound_streams: u16,
        /// Streams the peer may send on.
        inbound_streams: u16,
        /// Extensions that both ends support now.
        features: Features,
    },
    /// SCTP_COMM_LOST: the association ended without a graceful shutdown.
    Lost(EndReason),
    /// SCTP_CANT_STR_ASSOC: the association never came up.
    CannotStart(EndReason),
    /// SCTP_SHUTDOWN_COMP: the graceful shutdown is complete.
    ShutdownComplete,
}

/// The notifications that a reader of a socket gets (RFC 6458 sec 6.2). All are off by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Subscriptions {
    /// [`Notification::AssocChange`].
    pub assoc_change: bool,
    /// [`Notification::PeerAddrChange`].
    pub peer_addr_change: bool,
    /// [`Notification::RemoteError`].
    pub remote_error: bool,
    /// [`Notification::SendFailed`].
    pub send_failed: bool,
    /// [`Notification::PeerShutdown`].
    pub shutdown: bool,
    /// [`Notification::PartialDeliveryAborted`].
    pub partial_delivery: bool,
    /// [`Notification::SenderDry`]. If nothing is left to send when it is switched on, it comes at
    /// once (RFC 6458 sec 6.1.9).
    pub sender_dry: bool,
}

impl Subscriptions {
    /// No notifications, only messages.
    pub const NONE: Subscriptions = Subscriptions {
        assoc_change: false,
        peer_addr_change: false,
        remote_error: false,
        send_failed: false,
        shutdown: false,
        partial_delivery: false,
        sender_dry: false,
    };

    /// All notifications.
    pub const ALL: Subscriptions = Subscriptions {
        assoc_change: true,
        peer_addr_change: true,
        remote_error: true,
        send_failed: true,
        shutdown: true,
        partial_delivery: true,
        sender_dry: true,
    };

    /// Whether `notification` is wanted. Everybody who wants any is told when some have been lost.
    pub fn wants(&self, notification: &Notification) -> bool {
        match notification {
            Notification::AssocChange(_) => self.assoc_change,
            Notification::PeerAddrChange { .. } => self.peer_addr_change,
            Notification::RemoteError { .. } => self.remote_error,
            Notification::SendFailed { .. } => self.send_failed,
            Notification::PeerShutdown => self.shutdown,
            Notification::PartialDeliveryAborted { .. } => self.partial_delivery,
            Notification::SenderDry => self.sender_dry,
            Notification::Stopped => *self != Subscriptions::NONE,
        }
    }
}

impl AssocChange {
    /// True if this is the last change of an association.
    pub fn is_end(&self) -> bool {
        matches!(
            self,
            AssocChange::Lost(_) | AssocChange::CannotStart(_) | AssocChange::ShutdownComplete
        )
    }
}

impl fmt::Display for Notification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Notification::AssocChange(change) => change.fmt(f),
            Notification::PeerAddrChange { addr, state } => {
                write!(f, "the address {} of the peer is now {state}", Shown(*addr))
            }
            Notification::RemoteError { cause, info } => {
                f.write_str("the peer reports an error")?;
                write_cause(f, *cause, info)
            }
            Notification::SendFailed { message, unsent } => {
                let Message { stream, data, .. } = message;
                let outcome = if *unsent { "was not sent" } else { "may not have arrived" };
                write!(f, "a message of {} bytes on stream {stream} {outcome}", data.len())
            }
            Notification::PeerShutdown => {
                f.write_str("the peer shuts the association down, nothing more can be sent")
            }
            Notification::PartialDeliveryAborted { stream, ssn } => {
                write!(f, "the rest of message {ssn} on stream {stream} will not come")
            }
            Notification::SenderDry => {
                f.write_str("everything that was sent is acknowledged, and nothing is queued")
            }
            Notification::Stopped => {
                f.write_str("notifications are missing here, because too many were not read")
            }
        }
    }
}

impl fmt::Display for AssocChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AssocChange::Up { outbound_streams: out, inbound_streams: inbound, .. } => write!(
                f,
                "the association is up, with {out} streams to the peer and {inbound} from it"
            ),
            AssocChange::Restart { outbound_streams: out, inbound_streams: inbound, .. } => write!(
                f,
                "the peer has restarted, and the association goes on with its new process, with \
                 {out} streams to it and {inbound} from it"
            ),
            AssocChange::Lost(reason) => write!(f, "the association was lost: {reason}"),
            AssocChange::CannotStart(reason) => {
                write!(f, "the association could not be set up: {reason}")
            }
            AssocChange::ShutdownComplete => EndReason::Graceful.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::event::LossReason;

    #[test]
    fn a_notification_reads_as_one_sentence() {
        let addr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
        let lost = EndReason::Lost(LossReason::Unreachable);
        let text = Bytes::from_static(b"bye");
        let refused = EndReason::Lost(LossReason::Refused { cause: 12, info: text.clone() });
        let features = Features::default();
        let (outbound_streams, inbound_streams) = (10, 5);
        let message = Message::new(3, 0, "abcd");
        for (notification, sentence) in [
            (
                Notification::AssocChange(AssocChange::Up {
                    outbound_streams,
                    inbound_streams,
                    features,
                }),
                "the association is up, with 10 streams to the peer and 5 from it",
            ),
            (
                Notification::AssocChange(AssocChange::Restart {
                    outbound_streams,
                    inbound_streams,
                    features,
                }),
                "the peer has restarted, and the association goes on with its new process, with \
                 10 streams to it and 5 from it",
            ),
            (
                Notification::AssocChange(AssocChange::Lost(lost)),
                "the association was lost: the peer does not answer any more",
            ),
            (
                Notification::AssocChange(AssocChange::CannotStart(refused)),
                "the association could not be set up: the peer refused the association: \"bye\"",
            ),
            (
                Notification::AssocChange(AssocChange::ShutdownComplete),
                "the association was shut down gracefully",
            ),
            (
                Notification::PeerAddrChange { addr, state: PeerAddrState::PotentiallyFailed },
                "the address 192.0.2.1 of the peer is now potentially failed",
            ),
            (
                Notification::RemoteError { cause: 8, info: text.clone() },
                "the peer reports an error: unrecognized parameters",
            ),
            (
                Notification::RemoteError { cause: 0x7777, info: text },
                "the peer reports an error with cause 30583",
            ),
            (
                Notification::SendFailed { message: message.clone(), unsent: true },
                "a message of 4 bytes on stream 3 was not sent",
            ),
            (
                Notification::SendFailed { message, unsent: false },
                "a message of 4 bytes on stream 3 may not have arrived",
            ),
            (
                Notification::PartialDeliveryAborted { stream: 1, ssn: 2 },
                "the rest of message 2 on stream 1 will not come",
            ),
        ] {
            assert_eq!(notification.to_string(), sentence);
        }
    }

    #[test]
    fn what_an_abort_says_neither_steers_a_terminal_nor_fills_a_log() {
        let info = Bytes::from(b"\x1b[2J\r\n\xff\"".repeat(7_500));
        let reason = EndReason::Lost(LossReason::PeerAbort { cause: 12, info: info.clone() });
        for text in [reason.to_string(), Notification::RemoteError { cause: 12, info }.to_string()]
        {
            let (_, told) = text.split_once(": ").unwrap();
            assert!(told.starts_with(r#""\u{1b}[2J\r\n\xff\"\u{1b}[2J"#), "{told}");
            assert!(told.is_ascii() && told.len() <= 102 && told.ends_with("...\""), "{told}");
        }
    }
}
