//! What can go wrong when a message is decoded or encoded, and how to react.

use sctp_user_core::tlv::TlvError;
use thiserror::Error;

use crate::cause::{CauseCode, OperationError};

/// A message could not be decoded. Drop the whole message.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{problem}")]
pub struct DecodeError {
    /// What was wrong.
    pub problem: Problem,
    /// What to tell the sender.
    pub reaction: Reaction,
}

/// What to do about a message that could not be decoded, after it was dropped (RFC 5354 sec 3, RFC
/// 5352 sec 2.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reaction {
    /// Nothing.
    Silent,
    /// Send an ASAP_ERROR or ENRP_ERROR with this operation error to the sender, if the message
    /// came over an association. Datagrams to a multicast group are never answered.
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
    /// The message type is unknown.
    #[error("unknown message type {0:#04x}")]
    UnknownMessage(u8),
    /// A fixed field of the message is missing.
    #[error("the message ends within its fixed fields")]
    Truncated,
    /// There is an unknown parameter, and its type demands that the message is dropped.
    #[error("unknown parameter type {0:#06x}")]
    UnknownParameter(u16),
    /// A known parameter is where it does not belong.
    #[error("parameter {0:#06x} is out of place")]
    MisplacedParameter(u16),
    /// The message ends without a mandatory parameter.
    #[error("parameter {0:#06x} is missing")]
    MissingParameter(u16),
    /// The lengths of the parameters do not add up.
    #[error(transparent)]
    Tlv(#[from] TlvError),
    /// A parameter is too short or too long for its type.
    #[error("parameter {0:#06x} has a wrong length")]
    ParameterLength(u16),
    /// A parameter has a value that is not allowed.
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

    /// A known parameter has a wrong length.
    pub(crate) fn length(kind: u16, whole: &[u8]) -> Self {
        Self::report(Problem::ParameterLength(kind), CauseCode::INVALID_VALUES, whole)
    }

    /// A known parameter has a wrong value.
    pub(crate) fn value(kind: u16, whole: &[u8]) -> Self {
        Self::report(Problem::ParameterValue(kind), CauseCode::INVALID_PARAMETER_VALUE, whole)
    }
}

impl From<TlvError> for DecodeError {
    /// The causes are those that RSPLIB reports.
    fn from(e: TlvError) -> Self {
        let code = match e {
            TlvError::LengthTooSmall { .. } => CauseCode::INVALID_VALUES,
            _ => CauseCode::INVALID_PARAMETER_VALUE,
        };
        Self::report(Problem::Tlv(e), code, &[])
    }
}

/// A message cannot be encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The message is too long: length fields have 16 bits.
    #[error("the message would have {0} bytes, at most 65532 fit")]
    TooLong(usize),
    /// A transport has no address, but needs one.
    #[error("a transport has no address")]
    NoAddress,
    /// A cookie is empty, but needs at least one byte.
    #[error("a cookie cannot be empty")]
    EmptyCookie,
}
