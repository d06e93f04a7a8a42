//! Why a registration is refused.

use rserpool_wire::{ServerId, TransportProtocol};
use thiserror::Error;

/// A registration that the handlespace does not take; nothing has changed then.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// Identifier 0 means "undefined" and names no element.
    #[error("0 is not a pool element identifier, it must be 1 to 0xffffffff")]
    InvalidIdentifier,
    /// The pool handle is longer than the configured limit.
    #[error("the pool handle has {length} bytes, but at most {limit} are allowed")]
    HandleTooLong {
        /// Bytes in the handle.
        length: usize,
        /// [`Config::max_handle_length`](crate::Config::max_handle_length).
        limit: usize,
    },
    /// This handlespace cannot select by the policy.
    #[error("policy {0:#010x} is not supported")]
    UnsupportedPolicy(u32),
    /// The members of the pool have another policy.
    #[error("the pool has policy {pool:#010x}, but the element has {element:#010x}")]
    PolicyMismatch {
        /// Policy number of the pool.
        pool: u32,
        /// Policy number of the element.
        element: u32,
    },
    /// The members of the pool use another transport protocol.
    #[error("the pool uses {pool:?} as transport protocol, but the element uses {element:?}")]
    TransportProtocolMismatch {
        /// What the pool uses.
        pool: TransportProtocol,
        /// What the element uses.
        element: TransportProtocol,
    },
    /// The members of the pool do have a control channel and the element does not, or the other way
    /// round.
    #[error("the members of the pool {} a control channel, but the element {}",
        if *.pool_has_control_channel { "have" } else { "do not have" },
        if *.pool_has_control_channel { "does not have one" } else { "has one" })]
    TransportUseMismatch {
        /// Whether the pool's members have one.
        pool_has_control_channel: bool,
    },
    /// The element is known with another home registrar, and the rules say that it stays there.
    #[error("the element belongs to registrar {home}")]
    OtherHome {
        /// The home registrar that the element has and keeps.
        home: ServerId,
    },
    /// The configured number of elements is reached.
    #[error("the handlespace already holds {0} elements, the configured limit")]
    Full(usize),
}
