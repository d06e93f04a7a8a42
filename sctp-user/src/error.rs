//! What can go wrong, in one sentence each.

use sctp_user_core::socket::{EndReason, SocketError};
use sctp_user_core::{BindError, ConfigError, ConnectError, Encap, LossReason, Peer, SendError};
use thiserror::Error;

/// Why a call on a stack, endpoint or association failed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Error {
    /// The association has ended; the reason says how. Sending on a gracefully ended association
    /// gives [`EndReason::Graceful`] here, receiving from it gives `Ok(None)` instead.
    #[error(transparent)]
    Ended(EndReason),
    /// Nothing at the other end took part in a setup directly in IP. Perhaps nobody is there;
    /// perhaps a box on the way does not know protocol 132.
    #[error("{0}; many NATs and firewalls let SCTP pass only inside UDP: try UDP encapsulation")]
    NoNativeAnswer(EndReason),
    /// The peer's process has started anew (RFC 9260 sec 5.2.4 case A): everything read before was
    /// from the old one, everything read from now on is from the new one. What was sent to the old
    /// one and not acknowledged is lost. The association goes on; receiving tells this once.
    #[error("the peer has restarted, and the association goes on with its new process")]
    Restarted,
    /// The shutdown has begun, by either side, and nothing more can be sent.
    #[error("the association is shutting down, nothing more can be sent")]
    ShuttingDown,
    /// The stack has been shut down or aborted, or its task is gone.
    #[error("the stack has been shut down")]
    Stopped,
    /// A `try_` call would have to wait.
    #[error("the operation would block")]
    WouldBlock,
    /// A call of the `blocking` API waited as long as it may.
    #[error("the operation has timed out")]
    TimedOut,
    /// The handle has no such association (any more).
    #[error("there is no such association (any more)")]
    NoAssociation,
    /// Another stack on this host, which gets the same packets from its raw link, has bound the
    /// SCTP port.
    #[error("SCTP port {0} is in use by another process, or by another stack of this one")]
    PortInUse(u16),
    /// The SCTP port could not be bound.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The association could not be started; nothing was sent.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The message cannot be sent as it is: empty, too large or for a stream that does not exist.
    #[error(transparent)]
    Message(SendError),
    /// A configuration value is out of range.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The call does not fit; the sentence says why and what would.
    #[error("{0}")]
    Invalid(&'static str),
}

impl Error {
    /// The outcome of a setup, when it is known which ways to the peer were tried.
    pub(crate) fn of_setup(self, peers: &[Peer]) -> Error {
        let native =
            peers.iter().flat_map(|peer| &peer.addrs).all(|(_, encap)| *encap == Encap::Native);
        match self {
            Error::Ended(
                reason
                @ EndReason::Lost(LossReason::SetupTimeout | LossReason::ProtocolUnreachable),
            ) if native => Error::NoNativeAnswer(reason),
            Error::NoNativeAnswer(reason) if !native => Error::Ended(reason),
            other => other,
        }
    }
}

impl From<SocketError> for Error {
    fn from(error: SocketError) -> Self {
        match error {
            SocketError::WouldBlock | SocketError::InProgress => Error::WouldBlock,
            SocketError::BadSocket | SocketError::NotConnected => Error::NoAssociation,
            SocketError::AlreadyConnected => Error::Connect(ConnectError::AlreadyConnected),
            SocketError::Restarted => Error::Restarted,
            SocketError::ShutDown => Error::ShuttingDown,
            SocketError::Invalid(what) | SocketError::NotSupported(what) => Error::Invalid(what),
            SocketError::Ended(reason) => Error::Ended(reason),
            SocketError::Bind(e) => Error::Bind(e),
            SocketError::Connect(e) => Error::Connect(e),
            SocketError::Message(e) => Error::Message(e),
            SocketError::Config(e) => Error::Config(e),
            _ => {
                Error::Invalid("the socket layer reported an error that this version does not know")
            }
        }
    }
}
