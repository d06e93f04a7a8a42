//! What can go wrong, in one sentence each.

use std::io;
use std::net::IpAddr;

use sctp_user_core::socket::{EndReason, SocketError};
use sctp_user_core::{
    BindError, ConfigError, ConnectError, Encap, LossReason, NoRoute, Peer, SendError,
};
use sctp_user_link::{ShownAddress, ShownAddresses};
use thiserror::Error;

use crate::open::LinkError;
use crate::peer_name::PeerError;

/// Why a call on a stack, endpoint or association failed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Error {
    /// The association has ended; the reason says how. After a graceful end, sending fails with
    /// [`EndReason::Graceful`] in here, but receiving returns `Ok(None)`.
    #[error(transparent)]
    Ended(EndReason),
    /// The peer answered the setup with an ABORT ([`LossReason::Refused`] has its cause). Usually
    /// nothing listens on that SCTP port, or the listener takes no more associations.
    #[error(transparent)]
    Refused(EndReason),
    /// An association without UDP encapsulation could not be set up because nobody answered.
    /// Perhaps nobody is there, or perhaps a box on the way does not know protocol 132.
    #[error("{0}; many NATs and firewalls let SCTP pass only inside UDP: try UDP encapsulation")]
    NoNativeAnswer(EndReason),
    /// The peer's process has restarted (RFC 9260 sec 5.2.4 case A). Everything read before came
    /// from the old process, and everything read from now on comes from the new one. Messages that
    /// the old one has not acknowledged are lost. The association goes on, and receiving reports
    /// this only once.
    #[error("the peer has restarted, and the association goes on with its new process")]
    Restarted,
    /// One side has begun the shutdown, so nothing more can be sent.
    #[error("the association is shutting down, nothing more can be sent")]
    ShuttingDown,
    /// The stack was shut down or aborted, or its task has ended.
    #[error("the stack has been shut down")]
    Stopped,
    /// A `try_` call would have to wait.
    #[error("the operation would block")]
    WouldBlock,
    /// A call of the `blocking` API has waited as long as it may.
    #[error("the operation has timed out")]
    TimedOut,
    /// The handle has no such association, or no longer has it.
    #[error("there is no such association, or no longer")]
    NoAssociation,
    /// The peer has no such address, or the call needs a confirmed address and this one is not
    /// confirmed yet.
    #[error("the peer has no address {}, or it is not confirmed yet", ShownAddress(*.0))]
    NoSuchAddress(IpAddr),
    /// Another stack on this host has bound the SCTP port. Both stacks have raw links, so they
    /// would receive the same packets.
    #[error("SCTP port {0} is in use by another process, or by another stack in this process")]
    PortInUse(u16),
    /// A port was to be bound to an address that no link of the stack has. The links have the
    /// addresses that they were opened with.
    #[error(
        "{} is not an address of any link of this stack, which has {}",
        ShownAddress(*.addr),
        ShownAddresses(.links)
    )]
    NotOfALink {
        /// The address.
        addr: IpAddr,
        /// The addresses of the links, as in [`Link::local_addrs`](crate::link::Link::local_addrs).
        links: Vec<IpAddr>,
    },
    /// A port was to be bound to an address that this host does not have, and the links of the
    /// stack have all addresses of the host. With
    /// [`BindOptions::freebind`](crate::BindOptions::freebind) it can be bound nevertheless.
    #[error(
        "{} is not an address of this host, which has {}; BindOptions::freebind binds one that the \
         host does not have yet",
        ShownAddress(*.addr),
        ShownAddresses(.host)
    )]
    NotLocal {
        /// The address.
        addr: IpAddr,
        /// The addresses of the host.
        host: Vec<IpAddr>,
    },
    /// The SCTP port could not be bound.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The association could not be started; nothing was sent.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The message cannot be sent as it is, for instance because it is empty, too large or for a
    /// stream that does not exist.
    #[error(transparent)]
    Message(SendError),
    /// A configuration value is out of range.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A link could not be opened.
    #[error(transparent)]
    Link(LinkError),
    /// The peer that was given to `connect` is none, or its name cannot be looked up.
    #[error(transparent)]
    Peer(#[from] PeerError),
    /// The call is not possible here; the sentence says why, and what to do instead.
    #[error("{0}")]
    Invalid(&'static str),
}

impl Error {
    /// Makes this error more precise if it is the outcome of a setup that tried `peers`.
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

impl From<EndReason> for Error {
    fn from(reason: EndReason) -> Self {
        match reason {
            EndReason::Lost(LossReason::Refused { .. }) => Error::Refused(reason),
            reason => Error::Ended(reason),
        }
    }
}

/// The `io::Error` holds this error; [`io::Error::downcast`] gives it back.
impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        io::Error::new(error.kind(), error)
    }
}

impl Error {
    /// The kind of the [`io::Error`] that this error converts into. It is as close to the error
    /// numbers of RFC 6458 as the kinds of the standard library allow.
    pub fn kind(&self) -> io::ErrorKind {
        use io::ErrorKind;
        match self {
            Error::Ended(reason) | Error::Refused(reason) | Error::NoNativeAnswer(reason) => {
                kind_of_end(reason)
            }
            Error::Restarted => ErrorKind::ConnectionReset,
            Error::ShuttingDown => ErrorKind::BrokenPipe,
            Error::Stopped | Error::NoAssociation => ErrorKind::NotConnected,
            Error::WouldBlock => ErrorKind::WouldBlock,
            Error::TimedOut => ErrorKind::TimedOut,
            Error::PortInUse(_) | Error::Bind(BindError::PortInUse(_)) => ErrorKind::AddrInUse,
            Error::NoSuchAddress(_)
            | Error::NotOfALink { .. }
            | Error::NotLocal { .. }
            | Error::Bind(BindError::NoPort | BindError::Address(_)) => ErrorKind::AddrNotAvailable,
            Error::Link(why) => why.kind(),
            Error::Peer(PeerError::NotFound { .. }) => ErrorKind::NotFound,
            Error::Connect(ConnectError::AlreadyConnected) => ErrorKind::AlreadyExists,
            Error::Connect(ConnectError::TooMany) => ErrorKind::QuotaExceeded,
            Error::Bind(_)
            | Error::Connect(_)
            | Error::Message(_)
            | Error::Config(_)
            | Error::Peer(_)
            | Error::Invalid(_) => ErrorKind::InvalidInput,
        }
    }
}

fn kind_of_end(reason: &EndReason) -> io::ErrorKind {
    use io::ErrorKind;
    let EndReason::Lost(reason) = reason else { return ErrorKind::BrokenPipe };
    match reason {
        LossReason::SetupTimeout | LossReason::Unreachable | LossReason::ShutdownGuard => {
            ErrorKind::TimedOut
        }
        LossReason::Refused { .. } | LossReason::ProtocolUnreachable => {
            ErrorKind::ConnectionRefused
        }
        LossReason::PeerAbort { .. } => ErrorKind::ConnectionReset,
        LossReason::NoRoute(NoRoute::Network) => ErrorKind::NetworkUnreachable,
        LossReason::NoRoute(NoRoute::Host) => ErrorKind::HostUnreachable,
        LossReason::ProtocolViolation(_) => ErrorKind::InvalidData,
        LossReason::LocalAbort => ErrorKind::ConnectionAborted,
        _ => ErrorKind::Other,
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
            SocketError::Ended(reason) => reason.into(),
            SocketError::NoSuchAddress(addr) => Error::NoSuchAddress(addr),
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
