//! What can go wrong when messages are decoded or encoded, and how to react to it.

use sctp_user_core::tlv::TlvError;
use thiserror::Error;

use crate::cause::{CauseCode, OperationError};

/// A message that could not be decoded. The message as a whole is to be dropped.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{problem}")]
pub struct DecodeError {
    /// What was wrong.
    pub problem: Problem,
    /// What the sender is to be told.
    pub reaction: Reaction,
}

/// What to do about a message that could not be decoded, besides dropping it (RFC 5354 sec 3, RFC
/// 5352 sec 2.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reaction {
    /// Nothing.
    Silent,
    /// Send an ASAP_ERROR or ENRP_ERROR with this operation error to the sender. Only sensible over
    /// an association: datagrams from a multicast group are never answered.
    Report(OperationError),
}

/// What was wrong with a message.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Problem {
    /// Shorter than a message header.
    #[error("the message is shorter than its header")]
    NoHeader,
    /// The length field does not fit the size of the message.
    #[error("the length field says {field} bytes, the message has {actual}")]
    MessageLength {
        /// Value of the length field.
        field: usize,
        /// Bytes received.
        actual: usize,
    },
    /// A message type that is not known.
    #[error("unknown message type {0:#04x}")]
    UnknownMessage(u8),
    /// A fixed field of the message is missing.
    #[error("the message ends within its fixed fields")]
    Truncated,
    /// An unknown parameter whose type demands to drop the message.
    #[error("unknown parameter type {0:#06x}")]
    UnknownParameter(u16),
    /// A known parameter where it does not belong.
    #[error("parameter {0:#06x} is out of place")]
    MisplacedParameter(u16),
    /// A mandatory parameter is missing at the end of the message.
    #[error("parameter {0:#06x} is missing")]
    MissingParameter(u16),
    /// The lengths of the parameters do not add up.
    #[error(transparent)]
    Tlv(#[from] TlvError),
    /// A parameter is too short or too long for its type.
    #[error("parameter {0:#06x} has a wrong length")]
    ParameterLength(u16),
    /// A parameter with a value that is not allowed.
    #[error("parameter {0:#06x} has an invalid value")]
    ParameterValue(u16),
}

impl DecodeError {
    pub(crate) fn silent(problem: Problem) -> Self {
        DecodeError { problem, reaction: Reaction::Silent }
    }

    pub(crate) fn report(problem: Problem, code: CauseCode, info: &[u8]) -> Self {
        DecodeError { problem, reaction: Reaction::Report(OperationError::with_info(code, info)) }
    }

    /// A known parameter of wrong length.
    pub(crate) fn length(kind: u16, whole: &[u8]) -> Self {
        Self::report(Problem::ParameterLength(kind), CauseCode::INVALID_VALUES, whole)
    }

    /// A known parameter with a wrong value.
    pub(crate) fn value(kind: u16, whole: &[u8]) -> Self {
        Self::report(Problem::ParameterValue(kind), CauseCode::INVALID_PARAMETER_VALUE, whole)
    }
}

impl From<TlvError> for DecodeError {
    /// As RSPLIB reports: a length below 4 is an invalid parameter, one beyond the end an invalid
    /// value.
    fn from(e: TlvError) -> Self {
        let code = match e {
            TlvError::LengthTooSmall { .. } => CauseCode::INVALID_VALUES,
            _ => CauseCode::INVALID_PARAMETER_VALUE,
        };
        Self::report(Problem::Tlv(e), code, &[])
    }
}

/// A message that cannot be put on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// Length fields have 16 bits.
    #[error("the message would have {0} bytes, at most 65532 fit")]
    TooLong(usize),
    /// A transport needs an address.
    #[error("a transport has no address")]
    NoAddress,
    /// A cookie has at least one byte.
    #[error("a cookie cannot be empty")]
    EmptyCookie,
}
