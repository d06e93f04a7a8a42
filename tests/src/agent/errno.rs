//! The error numbers of Linux, which the agent answers when a call fails.

use sctp_user_core::socket::{EndReason, SocketError};
use sctp_user_core::{BindError, ConnectError, LossReason, NoRoute, SendError};

/// A Linux error number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Errno(pub(crate) u16);

impl Errno {
    pub(crate) const EBADF: Errno = Errno(9);
    pub(crate) const EAGAIN: Errno = Errno(11);
    pub(crate) const EINVAL: Errno = Errno(22);
    pub(crate) const EPIPE: Errno = Errno(32);
    pub(crate) const EPROTO: Errno = Errno(71);
    pub(crate) const EMSGSIZE: Errno = Errno(90);
    pub(crate) const ENOPROTOOPT: Errno = Errno(92);
    pub(crate) const EOPNOTSUPP: Errno = Errno(95);
    pub(crate) const EADDRINUSE: Errno = Errno(98);
    pub(crate) const EADDRNOTAVAIL: Errno = Errno(99);
    pub(crate) const ENETUNREACH: Errno = Errno(101);
    pub(crate) const ECONNABORTED: Errno = Errno(103);
    pub(crate) const ECONNRESET: Errno = Errno(104);
    pub(crate) const ENOBUFS: Errno = Errno(105);
    pub(crate) const EISCONN: Errno = Errno(106);
    pub(crate) const ENOTCONN: Errno = Errno(107);
    pub(crate) const ETIMEDOUT: Errno = Errno(110);
    pub(crate) const ECONNREFUSED: Errno = Errno(111);
    pub(crate) const EHOSTUNREACH: Errno = Errno(113);
    pub(crate) const EALREADY: Errno = Errno(114);
    pub(crate) const EINPROGRESS: Errno = Errno(115);

    /// The number that a C caller gets when its association ends.
    pub(crate) fn of_end(reason: &EndReason) -> Errno {
        let EndReason::Lost(reason) = reason else { return Errno::EPIPE };
        match reason {
            LossReason::SetupTimeout | LossReason::Unreachable | LossReason::ShutdownGuard => {
                Errno::ETIMEDOUT
            }
            LossReason::NoRoute(NoRoute::Network) => Errno::ENETUNREACH,
            LossReason::NoRoute(NoRoute::Host) => Errno::EHOSTUNREACH,
            LossReason::PeerAbort { .. } => Errno::ECONNRESET,
            LossReason::Refused { .. } | LossReason::ProtocolUnreachable => Errno::ECONNREFUSED,
            LossReason::LocalAbort => Errno::ECONNABORTED,
            _ => Errno::EPROTO,
        }
    }

    /// The number for an error of a socket.
    pub(crate) fn of(error: &SocketError) -> Errno {
        match error {
            SocketError::WouldBlock => Errno::EAGAIN,
            SocketError::InProgress => Errno::EINPROGRESS,
            SocketError::BadSocket => Errno::EBADF,
            SocketError::NotConnected => Errno::ENOTCONN,
            SocketError::AlreadyConnected
            | SocketError::Connect(ConnectError::AlreadyConnected) => Errno::EISCONN,
            SocketError::ShutDown => Errno::EPIPE,
            SocketError::NotSupported(_) => Errno::EOPNOTSUPP,
            SocketError::Ended(reason) => Errno::of_end(reason),
            SocketError::Bind(BindError::PortInUse(_) | BindError::NoPort) => Errno::EADDRINUSE,
            SocketError::Bind(BindError::Address(_)) => Errno::EADDRNOTAVAIL,
            SocketError::Connect(ConnectError::TooMany) => Errno::ENOBUFS,
            SocketError::Message(SendError::TooLarge) => Errno::EMSGSIZE,
            _ => Errno::EINVAL,
        }
    }
}
