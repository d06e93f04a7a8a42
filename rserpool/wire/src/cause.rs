//! Operation errors and their causes (RFC 5354 sec 3.10, RFC 5352 sec 2.2.14).

use bytes::Bytes;
use sctp_user_core::tlv::{Reader, Writer};
use std::fmt;

use crate::error::DecodeError;
use crate::numbers::param;

/// Why an operation failed. Codes below 0x100 are those of RFC 5354 and two of RSPLIB, and those
/// from 0x1000 on are RSPLIB's. All other values are kept as they are.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CauseCode(pub u16);

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $text:literal;)*) => {
        impl CauseCode {
            $($(#[$doc])* pub const $name: CauseCode = CauseCode($code);)*

            /// A short English description, or "unknown cause".
            pub const fn description(self) -> &'static str {
                match self.0 {
                    $($code => $text,)*
                    _ => "unknown cause",
                }
            }
        }
    };
}

codes! {
    /// Unspecified error.
    UNSPECIFIED = 0x0000, "unspecified error";
    /// Unrecognized parameter; info = the parameter.
    UNRECOGNIZED_PARAMETER = 0x0001, "unrecognized parameter";
    /// Unrecognized message; info = the message.
    UNRECOGNIZED_MESSAGE = 0x0002, "unrecognized message";
    /// Invalid values: a parameter is missing or has a wrong length; info = the parameter, if there
    /// is one.
    INVALID_VALUES = 0x0003, "invalid values";
    /// Non-unique pool element identifier.
    NON_UNIQUE_PE_ID = 0x0004, "pool element identifier is not unique";
    /// Inconsistent pool policy; info = the policy of the pool.
    INCONSISTENT_POLICY = 0x0005, "policy differs from that of the pool";
    /// Lack of resources.
    LACK_OF_RESOURCES = 0x0006, "lack of resources";
    /// Inconsistent transport type. RSPLIB uses [`CauseCode::WRONG_PROTOCOL`] instead.
    INCONSISTENT_TRANSPORT = 0x0007, "transport type differs from that of the pool";
    /// Inconsistent data/control configuration.
    INCONSISTENT_TRANSPORT_USE = 0x0008, "data/control configuration differs from that of the pool";
    /// Unknown pool handle.
    UNKNOWN_POOL = 0x0009, "unknown pool handle";
    /// Rejected for security reasons.
    SECURITY = 0x000a, "rejected for security reasons";
    /// RSPLIB: the message as a whole is invalid (its length is wrong, or a part is left over).
    INVALID_MESSAGE = 0x0010, "invalid message";
    /// RSPLIB: a parameter has an invalid value; info = the parameter.
    INVALID_PARAMETER_VALUE = 0x0011, "invalid parameter value";
    /// RSPLIB: no registrar was found.
    NO_REGISTRAR = 0x1007, "no registrar found";
    /// RSPLIB: timeout.
    TIMEOUT = 0x1008, "timeout";
    /// RSPLIB: the transport protocol differs from that of the pool.
    WRONG_PROTOCOL = 0x100a, "wrong transport protocol for the pool";
    /// RSPLIB: the policy is not supported.
    UNSUPPORTED_POLICY = 0x100b, "unsupported policy";
    /// RSPLIB: invalid identifier, for example 0.
    INVALID_ID = 0xf000, "invalid identifier";
    /// RSPLIB: the identifier is that of the receiver itself.
    OWN_ID = 0xf001, "own identifier";
    /// RSPLIB: duplicate identifier.
    DUPLICATE_ID = 0xf002, "duplicate identifier";
    /// RSPLIB: invalid pool policy.
    INVALID_POLICY = 0xf003, "invalid pool policy";
    /// RSPLIB: invalid pool handle.
    INVALID_POOL_HANDLE = 0xf004, "invalid pool handle";
    /// RSPLIB: invalid addresses or port 0.
    INVALID_ADDRESSES = 0xf005, "invalid addresses";
    /// RSPLIB: the ASAP transport is missing or invalid.
    INVALID_ASAP_TRANSPORT = 0xf006, "no or invalid ASAP transport";
    /// RSPLIB: no address of the association is usable as ASAP transport.
    NO_USABLE_ASAP_ADDRESSES = 0xf007, "no usable ASAP addresses";
    /// RSPLIB: no address of the user transport is usable.
    NO_USABLE_USER_ADDRESSES = 0xf008, "no usable user addresses";
}

impl fmt::Debug for CauseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl fmt::Display for CauseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:#x})", self.description(), self.0)
    }
}

/// One cause of an operation error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// What went wrong.
    pub code: CauseCode,
    /// Data about the cause, often the offending parameter. May be empty.
    pub info: Bytes,
}

/// Operation error parameter: a list of causes, usually one. A cause is encoded as code u16, length
/// u16 (which counts these four bytes), data and padding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationError {
    /// The causes in wire order.
    pub causes: Vec<Cause>,
}

/// How much of an offending parameter or message is sent back, bytes.
const MAX_INFO: usize = 16 * 1024;

impl OperationError {
    /// One cause without data.
    pub fn new(code: CauseCode) -> Self {
        Self::with_info(code, &[])
    }

    /// One cause with data, of which at most the first 16 KiB are kept.
    pub fn with_info(code: CauseCode, info: &[u8]) -> Self {
        let info = info.get(..MAX_INFO).unwrap_or(info);
        OperationError { causes: vec![Cause { code, info: Bytes::copy_from_slice(info) }] }
    }

    /// Code of the first cause; [`CauseCode::UNSPECIFIED`] when the list is empty.
    pub fn code(&self) -> CauseCode {
        self.causes.first().map_or(CauseCode::UNSPECIFIED, |c| c.code)
    }

    pub(crate) fn encode(&self, w: &mut Writer<'_>) {
        let mark = w.begin_tlv(param::OPERATION_ERROR);
        for cause in &self.causes {
            let mark = w.begin_tlv(cause.code.0);
            w.bytes(&cause.info);
            w.end_tlv(mark);
        }
        w.end_tlv(mark);
    }

    pub(crate) fn decode(value: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(value);
        let mut causes = Vec::new();
        while let Some(tlv) = r.tlv()? {
            causes
                .push(Cause { code: CauseCode(tlv.kind), info: Bytes::copy_from_slice(tlv.value) });
        }
        Ok(OperationError { causes })
    }
}

impl fmt::Display for OperationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code())
    }
}
