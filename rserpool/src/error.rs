//! What can go wrong, in one sentence each.

use std::net::SocketAddr;
use std::time::Duration;

use rserpool_core::asap::RequestError;
use rserpool_core::session::FailoverProblem;
use rserpool_wire::{EncodeError, OperationError, PoolHandle};
use sctp_user::ConfigError;
use thiserror::Error;

/// Why a call on a pool element, pool user or session failed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Error {
    /// SCTP refused or failed.
    #[error(transparent)]
    Sctp(#[from] sctp_user::Error),
    /// The multicast group of the announces could not be joined.
    #[error("cannot listen for registrar announces on {group}: {reason}")]
    Announce {
        /// Group and port.
        group: SocketAddr,
        /// What the operating system said.
        reason: String,
    },
    /// No registrar could be reached in time.
    #[error("no registrar could be found or reached")]
    NoRegistrar,
    /// The registrar did not answer in time.
    #[error("the registrar did not answer in time")]
    Timeout,
    /// The registrar refused the request.
    #[error("the registrar refused the request: {0}")]
    Rejected(OperationError),
    /// The pool is not known, or has no usable element.
    #[error("pool \"{0}\" has no available element")]
    NoElement(PoolHandle),
    /// The session has no element right now; send again after
    /// [`SessionEvent::FailoverDone`](crate::SessionEvent::FailoverDone).
    #[error("the session is not connected to a pool element")]
    NotConnected,
    /// The session was not connected with an element of the pool in time.
    #[error(
        "the session with pool \"{pool}\" was not connected within {limit:?}{}",
        .problem.as_ref().map(|problem| format!(": {problem}")).unwrap_or_default()
    )]
    NotReady {
        /// The pool.
        pool: PoolHandle,
        /// The time that was allowed.
        limit: Duration,
        /// What has stood in the way last, as far as it is known.
        problem: Option<Box<FailoverProblem>>,
    },
    /// The pool element was not registered in time.
    #[error(
        "no registrar has registered the element in pool \"{pool}\" within {limit:?}{}",
        .problem.as_ref().map(|problem| format!("; {problem}")).unwrap_or_default()
    )]
    NotRegistered {
        /// The pool.
        pool: PoolHandle,
        /// The time that was allowed.
        limit: Duration,
        /// What has stood in the way last, in one sentence, as far as it is known.
        problem: Option<String>,
    },
    /// So many requests wait for the registrar already that no more are taken.
    #[error("too many requests are waiting for the registrar")]
    TooManyRequests,
    /// The message has no wire form.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// A message of the peer is longer than allowed.
    #[error("the peer sent a message of more than {0} bytes")]
    MessageTooLong(usize),
    /// The pool element, pool user or session has been closed, or the stack has been shut down.
    #[error("it has been closed")]
    Closed,
    /// An option or argument that does not fit; the sentence says what is right.
    #[error("{0}")]
    Invalid(&'static str),
}

impl From<RequestError> for Error {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::NoRegistrar => Error::NoRegistrar,
            RequestError::Timeout => Error::Timeout,
            RequestError::Rejected(error) => Error::Rejected(error),
            RequestError::NoElement(pool) => Error::NoElement(pool),
            RequestError::Encode(error) => Error::Encode(error),
            _ => Error::TooManyRequests,
        }
    }
}

impl From<ConfigError> for Error {
    fn from(ConfigError(rule): ConfigError) -> Self {
        Error::Invalid(rule)
    }
}
