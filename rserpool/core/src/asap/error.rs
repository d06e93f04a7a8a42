//! Why a request to the registrars failed.

use rserpool_wire::{EncodeError, OperationError, PoolHandle};
use thiserror::Error;

/// Why a request to the registrars failed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RequestError {
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
    /// The message has no wire form.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// So many requests wait already that no more are taken.
    #[error("too many requests are waiting for the registrar")]
    TooMany,
}
