//! Options that belong to a socket rather than to the protocol.

use core::time::Duration;

use crate::config::AssocConfig;

use super::notification::Subscriptions;

/// The two socket styles of RFC 6458.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// SOCK_STREAM: a listener, or a socket with one association (RFC 6458 sec 4).
    OneToOne,
    /// SOCK_SEQPACKET: one socket with many associations (RFC 6458 sec 3).
    OneToMany,
}

/// SO_LINGER: what closing a one-to-one socket does (RFC 6458 sec 8.1.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Linger {
    /// Closing begins the graceful shutdown, which goes on without the socket.
    #[default]
    Graceful,
    /// Closing sends an ABORT (SO_LINGER on, 0 seconds).
    Abort,
}

/// How much messages of different associations may mix on a one-to-many socket (RFC 6458 sec 8.1.20).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Interleave {
    /// Nothing else is given while a message that is given in parts is not complete.
    None,
    /// Other associations may come in between, nothing of the same association.
    #[default]
    Associations,
}

/// Options of one socket; an accepted or peeled-off socket inherits those of its parent.
#[derive(Clone, Debug, Default)]
pub struct SocketOptions {
    /// Notifications wanted. Default none.
    pub subscriptions: Subscriptions,
    /// What closing does. Default graceful. Unread messages make it an ABORT in any case.
    pub linger: Linger,
    /// SCTP_AUTOCLOSE, one-to-many sockets only: an association without user data in either direction for this long is shut
    /// down gracefully. Default `None`, never.
    pub autoclose: Option<Duration>,
    /// SCTP_FRAGMENT_INTERLEAVE. Default between associations.
    pub interleave: Interleave,
    /// Settings of future associations of the socket.
    pub config: AssocConfig,
}
