//! What a registrar reports about its own doings.

use std::fmt;

use rserpool_wire::{CauseCode, PeId, PoolHandle};

use crate::core::AssociationId;

/// Something happened that an operator may want to know. Its `Display` is one line for a log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// An element is new in its pool.
    Registered {
        /// The pool.
        pool: PoolHandle,
        /// The element.
        id: PeId,
        /// Over which association.
        association: AssociationId,
    },
    /// An element renewed its registration.
    Reregistered {
        /// The pool.
        pool: PoolHandle,
        /// The element.
        id: PeId,
        /// Over which association, from now on.
        association: AssociationId,
    },
    /// A registration was refused.
    RegistrationRefused {
        /// The pool.
        pool: PoolHandle,
        /// The element.
        id: PeId,
        /// Why, as the element was told.
        cause: CauseCode,
    },
    /// An element is gone.
    Removed {
        /// The pool.
        pool: PoolHandle,
        /// The element.
        id: PeId,
        /// Why.
        reason: RemovalReason,
    },
    /// A pool user could not reach an element.
    ReportedUnreachable {
        /// The pool.
        pool: PoolHandle,
        /// The element.
        id: PeId,
        /// Number of reports about it so far.
        reports: u32,
    },
    /// A message could not be decoded.
    InvalidMessage {
        /// Where it came from.
        association: AssociationId,
        /// What was wrong.
        problem: String,
    },
    /// This registrar aborted an association.
    Aborted {
        /// The association.
        association: AssociationId,
        /// Why.
        reason: &'static str,
    },
}

/// Why an element was removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RemovalReason {
    /// It asked for it.
    Deregistered,
    /// The association that it was registered over ended.
    AssociationLost,
    /// It did not answer a keep-alive.
    KeepAliveTimeout,
    /// Pool users reported it as unreachable too often.
    BadReports,
    /// Its registration was not renewed.
    LifeExpired,
}

impl fmt::Display for RemovalReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RemovalReason::Deregistered => "it deregistered",
            RemovalReason::AssociationLost => "its association ended",
            RemovalReason::KeepAliveTimeout => "it did not answer a keep-alive",
            RemovalReason::BadReports => "it was reported as unreachable too often",
            RemovalReason::LifeExpired => "its registration expired",
        })
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Registered { pool, id, association } => {
                write!(f, "registered {id} in pool {pool} over {association}")
            }
            Event::Reregistered { pool, id, association } => {
                write!(f, "re-registered {id} in pool {pool} over {association}")
            }
            Event::RegistrationRefused { pool, id, cause } => {
                write!(f, "refused to register {id} in pool {pool}: {cause}")
            }
            Event::Removed { pool, id, reason } => {
                write!(f, "removed {id} from pool {pool}: {reason}")
            }
            Event::ReportedUnreachable { pool, id, reports } => {
                write!(f, "{id} of pool {pool} was reported as unreachable, report {reports}")
            }
            Event::InvalidMessage { association, problem } => {
                write!(f, "invalid message over {association}: {problem}")
            }
            Event::Aborted { association, reason } => write!(f, "aborted {association}: {reason}"),
        }
    }
}
