//! Why a registrar does not start.

use sctp_user::ConfigError;
use thiserror::Error;

/// A registrar could not be started.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// A setting is out of range.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The ASAP port could not be bound.
    #[error("cannot open the ASAP endpoint: {0}")]
    Endpoint(#[source] sctp_user::Error),
    /// The ENRP port could not be bound.
    #[error("cannot open the ENRP endpoint: {0}")]
    EnrpEndpoint(#[source] sctp_user::Error),
}
