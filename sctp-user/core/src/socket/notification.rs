//! Notifications and which of them a socket wants (RFC 6458 sec 6).

use std::net::IpAddr;

use bytes::Bytes;

use crate::addr::{Message, Received};
use crate::event::PeerAddrState;
use crate::features::Features;

use super::error::EndReason;

/// What reading from a socket gives: a message (or a part of one), or a notification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// User data.
    Message(Received),
    /// Something happened to the association; only the subscribed kinds are given.
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
    /// SCTP_REMOTE_ERROR: the peer sent an ERROR chunk that does not end the association.
    RemoteError {
        /// Cause code (RFC 9260 sec 3.3.10).
        cause: u16,
        /// Cause-specific information.
        info: Bytes,
    },
    /// SCTP_SEND_FAILED_EVENT: this message will not (or may not) reach the peer.
    SendFailed {
        /// The message as it was given to send.
        message: Message,
        /// True when no part of it was ever sent.
        unsent: bool,
    },
    /// SCTP_SHUTDOWN_EVENT: the peer began the graceful shutdown, nothing more can be sent.
    PeerShutdown,
    /// SCTP_PARTIAL_DELIVERY_EVENT: the rest of a message that was given in parts will not come.
    PartialDeliveryAborted {
        /// Stream of the message.
        stream: u16,
        /// Stream sequence number of the message.
        ssn: u16,
    },
    /// SCTP_SENDER_DRY_EVENT: everything sent is acknowledged and nothing is queued.
    SenderDry,
    /// SCTP_NOTIFICATIONS_STOPPED_EVENT: notifications were not read and some have been lost here.
    Stopped,
}

/// What happened to an association as a whole (RFC 6458 sec 6.1.1).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AssocChange {
    /// SCTP_COMM_UP: it is ready.
    Up {
        /// Streams we may send on.
        outbound_streams: u16,
        /// Streams the peer may send on.
        inbound_streams: u16,
        /// Extensions that both ends have (SCTP_ASSOC_SUPPORTS_...).
        features: Features,
    },
    /// SCTP_RESTART: the peer lost its state and started again; what was in flight is lost and
    /// streams count from 0.
    Restart {
        /// Streams we may send on.
        outbound_streams: u16,
        /// Streams the peer may send on.
        inbound_streams: u16,
        /// Extensions that both ends have now.
        features: Features,
    },
    /// SCTP_COMM_LOST: it ended without a graceful shutdown.
    Lost(EndReason),
    /// SCTP_CANT_STR_ASSOC: it never came up.
    CannotStart(EndReason),
    /// SCTP_SHUTDOWN_COMP: the graceful shutdown is complete.
    ShutdownComplete,
}

/// Which notifications a socket gives (RFC 6458 sec 6.2). All are off by default.
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
    /// [`Notification::SenderDry`]; given at once when it is switched on while there is nothing to
    /// send (RFC 6458 sec 6.1.9).
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

    /// Whether `notification` is wanted. The loss of notifications is told to whoever wants any.
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
    /// True for what comes last from an association.
    pub fn is_end(&self) -> bool {
        matches!(
            self,
            AssocChange::Lost(_) | AssocChange::CannotStart(_) | AssocChange::ShutdownComplete
        )
    }
}
