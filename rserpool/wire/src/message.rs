//! The frame that ASAP and ENRP messages share.
//!
//! ```text
//! type u8 | flags u8 | length u16, header included | body
//! ```
//!
//! By RFC 5354 sec 2, the length field does not count the final padding; in RSPLIB it does. We
//! count it, and accept both.

use bytes::Bytes;
use sctp_user_core::tlv::{Reader, UnknownAction, Writer};

use crate::cause::CauseCode;
use crate::error::{DecodeError, EncodeError, Problem, Reaction};

/// The longest message: the length field has 16 bits, and messages are padded to a multiple of 4.
const MAX_LEN: usize = 65532;

/// Writes a message: header, body, padding.
pub(crate) fn encode(
    kind: u8,
    flags: u8,
    body: impl FnOnce(&mut Writer<'_>) -> Result<(), EncodeError>,
) -> Result<Bytes, EncodeError> {
    let mut buf = Vec::with_capacity(128);
    let mut w = Writer::new(&mut buf);
    w.u8(kind);
    w.u8(flags);
    w.u16(0);
    body(&mut w)?;
    w.pad4();
    let len = buf.len();
    match (u16::try_from(len), buf.get_mut(2..4)) {
        (Ok(field), Some(place)) if len <= MAX_LEN => place.copy_from_slice(&field.to_be_bytes()),
        _ => return Err(EncodeError::TooLong(len)),
    }
    Ok(buf.into())
}

/// A received message taken apart.
pub(crate) struct Frame<'a> {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) body: Reader<'a>,
    /// The whole message.
    whole: &'a [u8],
}

impl<'a> Frame<'a> {
    pub(crate) fn split(message: &'a [u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(message);
        let (Ok(kind), Ok(flags), Ok(field)) = (r.u8(), r.u8(), r.u16()) else {
            return Err(DecodeError::silent(Problem::NoHeader));
        };
        let (field, actual) = (usize::from(field), message.len());
        // The message may be padded or not, and its length may count the padding or not.
        let body = message.get(4..field).filter(|_| field.next_multiple_of(4) >= actual);
        let Some(body) = body else {
            let problem = Problem::MessageLength { field, actual };
            return Err(DecodeError::report(problem, CauseCode::INVALID_MESSAGE, &[]));
        };
        Ok(Frame { kind, flags, body: Reader::new(body), whole: message })
    }

    /// The reaction to an unknown message type: the bits `01` mean report, and everything else is
    /// dropped silently (`10` and `11` are reserved).
    pub(crate) fn unknown(&self) -> DecodeError {
        let problem = Problem::UnknownMessage(self.kind);
        match UnknownAction::of_chunk(self.kind) {
            UnknownAction::StopReport => {
                DecodeError::report(problem, CauseCode::UNRECOGNIZED_MESSAGE, self.whole)
            }
            _ => DecodeError::silent(problem),
        }
    }
}

/// An ERROR message is never answered, however wrong it is.
pub(crate) fn never_answer_errors(
    error: DecodeError,
    message: &[u8],
    error_type: u8,
) -> DecodeError {
    if message.first() == Some(&error_type) {
        DecodeError { reaction: Reaction::Silent, ..error }
    } else {
        error
    }
}

/// The message ends within its fixed fields.
pub(crate) fn truncated() -> DecodeError {
    DecodeError::report(Problem::Truncated, CauseCode::INVALID_MESSAGE, &[])
}

/// A flag bit.
pub(crate) fn bit(set: bool, mask: u8) -> u8 {
    if set { mask } else { 0 }
}
