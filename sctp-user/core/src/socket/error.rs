//! Why a socket call fails, and why an association ends.

use core::fmt;
use std::net::IpAddr;

use thiserror::Error;

use crate::error::{BindError, ConfigError, ConnectError, NotFound, SendError};
use crate::event::LossReason;
use crate::interface::Shown;
use crate::shown_text::ShownText;
use crate::stack::NoRoute;

/// Why a socket call failed. Each variant names the Linux error number that a C caller would see.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SocketError {
    /// There is nothing to read or accept now, or no room to send (EAGAIN).
    /// [`Sockets::poll_ready`](super::Sockets::poll_ready) says when to try again.
    #[error("the operation would block")]
    WouldBlock,
    /// The association is still being set up (EINPROGRESS).
    #[error("the association is still being set up")]
    InProgress,
    /// The socket handle is not open (EBADF).
    #[error("the socket is closed")]
    BadSocket,
    /// The socket has no such association (ENOTCONN).
    #[error("the socket has no such association")]
    NotConnected,
    /// A one-to-one socket has an association already (EISCONN).
    #[error("the socket has an association already; a one-to-one socket has only one")]
    AlreadyConnected,
    /// The peer has no such address, or it is not confirmed and the call needs one that is
    /// (EINVAL).
    #[error("the peer has no address {}, or it is not confirmed yet", Shown(*.0))]
    NoSuchAddress(IpAddr),
    /// The shutdown has begun, and nothing more can be sent (EPIPE).
    #[error("the association is shutting down, nothing more can be sent")]
    ShutDown,
    /// The call makes no sense for this socket in its present state (EINVAL).
    #[error("{0}")]
    Invalid(&'static str),
    /// The call is not for this style of socket (EOPNOTSUPP).
    #[error("{0}")]
    NotSupported(&'static str),
    /// The association ended without a graceful shutdown. [`EndReason`] names the error numbers.
    #[error(transparent)]
    Ended(#[from] EndReason),
    /// The peer's process has restarted. What is read next comes from the new process. What was
    /// sent to the old one and not acknowledged is lost. The association goes on. Each restart is
    /// reported once (ECONNRESET; RFC 6458 has only the notification SCTP_RESTART, sec 6.1.1).
    #[error("the peer has restarted, and the association goes on with its new process")]
    Restarted,
    /// The port could not be bound (EADDRINUSE, EADDRNOTAVAIL, EINVAL).
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The association could not be started (EINVAL, EISCONN, ENOBUFS).
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The message is not acceptable: EMSGSIZE when it is too large, else EINVAL.
    #[error(transparent)]
    Message(SendError),
    /// An option value is out of range (EINVAL).
    #[error(transparent)]
    Config(#[from] ConfigError),
}

impl From<SendError> for SocketError {
    fn from(error: SendError) -> Self {
        match error {
            SendError::WouldBlock => SocketError::WouldBlock,
            SendError::NotFound => SocketError::NotConnected,
            SendError::ShuttingDown => SocketError::ShutDown,
            SendError::NoSuchAddress(addr) => SocketError::NoSuchAddress(addr),
            other => SocketError::Message(other),
        }
    }
}

impl From<NotFound> for SocketError {
    fn from(_: NotFound) -> Self {
        SocketError::NotConnected
    }
}

/// Why an association ended. Its `Display` is a sentence for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// A graceful shutdown, by either side.
    Graceful,
    /// Anything else. A C caller sees ENETUNREACH or EHOSTUNREACH when this host has no way to the
    /// peer, ECONNREFUSED when the peer refused the setup, ECONNRESET when it aborted later,
    /// ETIMEDOUT when it stopped answering, ECONNABORTED when this side aborted, and EPROTO when
    /// the peer broke the protocol.
    Lost(LossReason),
}

impl EndReason {
    /// True for a graceful shutdown.
    pub fn is_graceful(&self) -> bool {
        matches!(self, EndReason::Graceful)
    }
}

impl std::error::Error for EndReason {}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = match self {
            EndReason::Graceful => return f.write_str("the association was shut down gracefully"),
            EndReason::Lost(reason) => reason,
        };
        match reason {
            LossReason::SetupTimeout => {
                f.write_str("the peer did not answer the association setup")
            }
            LossReason::Refused { cause: 0, .. } => f.write_str(
                "the peer refused the association, probably because nothing listens on its port",
            ),
            LossReason::Refused { cause, info } => {
                f.write_str("the peer refused the association")?;
                write_cause(f, *cause, info)
            }
            LossReason::PeerAbort { cause, info } => {
                f.write_str("the peer aborted the association")?;
                write_cause(f, *cause, info)
            }
            LossReason::Unreachable => f.write_str("the peer does not answer any more"),
            LossReason::ProtocolUnreachable => {
                f.write_str("the peer's host says that nothing speaks SCTP there")
            }
            LossReason::NoRoute(NoRoute::Network) => {
                f.write_str("this host has no route to the network of the peer")
            }
            LossReason::NoRoute(NoRoute::Host) => {
                f.write_str("this host finds no way to the host of the peer")
            }
            LossReason::ProtocolViolation(what) => write!(f, "the peer broke the protocol: {what}"),
            LossReason::ShutdownGuard => {
                f.write_str("the peer did not finish the shutdown in time")
            }
            LossReason::LocalAbort => f.write_str("the association was aborted by this side"),
        }
    }
}

/// Says after a sentence why the peer did it.
pub(super) fn write_cause(f: &mut fmt::Formatter<'_>, cause: u16, info: &[u8]) -> fmt::Result {
    match (cause, cause_name(cause)) {
        (12, _) if !info.is_empty() => write!(f, ": \"{}\"", ShownText(info)),
        (_, Some(name)) => write!(f, ": {name}"),
        (0, None) => Ok(()),
        (_, None) => write!(f, " with cause {cause}"),
    }
}

/// Causes that end an association, in words (RFC 9260 sec 3.3.10).
fn cause_name(cause: u16) -> Option<&'static str> {
    Some(match cause {
        1 => "invalid stream identifier",
        2 => "missing mandatory parameter",
        3 => "stale cookie",
        4 => "out of resource",
        5 => "unresolvable address",
        6 => "unrecognized chunk type",
        7 => "invalid mandatory parameter",
        8 => "unrecognized parameters",
        9 => "no user data",
        10 => "cookie received while shutting down",
        11 => "restart with new addresses",
        12 => "its user asked for it",
        13 => "protocol violation",
        14 => "restart with another encapsulation port",
        _ => return None,
    })
}
