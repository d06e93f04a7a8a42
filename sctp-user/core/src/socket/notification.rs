//! Notifications and which of them a socket wants (RFC 6458 sec 6).

use std::net::IpAddr;

use bytes::Bytes;

use crate::addr::{Message, Received};
use crate::event::PeerAddrState;
use crate::features::Features;

use super::error::EndReason;

/// What a reader gets from a socket: a message (or a part of one), or a notification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// User data.
    Message(Received),
    /// Something happened to the association. The reader gets only the kinds it has subscribed to.
    Notification(Notification),
}

/// A notification (RFC 6458 sec 6.1).
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

/// What happened to an association as a whole (RFC 6458 sec 6.1.1).
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
