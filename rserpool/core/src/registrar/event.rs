//! What a registrar reports about its own doings.

use std::fmt;

use rserpool_wire::{CauseCode, PeId, PoolHandle, Problem, ServerId};
use sctp_user_core::Peer;
use sctp_user_core::interface::without_interface;

use crate::channel::{ChannelId, ConnectFailure, udp_port};

/// Addresses of a registrar that are shown.
const MAX_SHOWN: usize = 8;

/// Something happened that an operator may want to know. Its `Display` is one line for a log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RegistrarEvent {
    /// An element is new in its pool.
    Registered {
        /// The pool.
        pool: PoolHandle,
        /// The element.
        id: PeId,
        /// Over which association.
        channel: ChannelId,
    },
    /// An element renewed its registration.
    Reregistered {
        /// The pool.
        pool: PoolHandle,
        /// The element.
        id: PeId,
        /// Over which association, from now on.
        channel: ChannelId,
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
    /// Another registrar said to be the home of an element, and it is now.
    Yielded {
        /// The pool.
        pool: PoolHandle,
        /// The element.
        id: PeId,
        /// The other registrar.
        to: ServerId,
    },
    /// Another registrar goes on saying that an element is its own which has registered here and
    /// answers. Perhaps two elements use one identifier.
    Disputed {
        /// The pool.
        pool: PoolHandle,
        /// The element.
        id: PeId,
        /// The other registrar.
        with: ServerId,
    },
    /// The start phase is over: this registrar announces itself from now on.
    Started {
        /// The registrar that has told the whole handlespace; `None` when nobody has.
        mentor: Option<ServerId>,
        /// How many other registrars are there.
        others: usize,
    },
    /// Another registrar is there.
    PeerFound {
        /// The other registrar.
        server: ServerId,
    },
    /// Another registrar does not answer any more.
    PeerLost {
        /// The other registrar.
        server: ServerId,
    },
    /// A configured registrar cannot be connected with. It is tried again, and what goes wrong is
    /// told once until it can be connected with.
    PeerUnreachable {
        /// The first way to it.
        peer: Peer,
        /// Why.
        failure: ConnectFailure,
    },
    /// Two registrars say to be the same one.
    DuplicateServer {
        /// The identifier.
        server: ServerId,
        /// Where the one is that is not believed.
        channel: ChannelId,
    },
    /// Another registrar tells of more elements than there is room for. Said at most once in five
    /// minutes for each.
    CopiesNotHeld {
        /// The registrar that told of them.
        server: ServerId,
    },
    /// This registrar wants to take another one over.
    TakeoverBegun {
        /// The other registrar.
        target: ServerId,
    },
    /// A registrar that was thought dead lives.
    TakeoverCancelled {
        /// The other registrar.
        target: ServerId,
    },
    /// This registrar has taken another one over.
    TookOver {
        /// The other registrar.
        target: ServerId,
        /// Its elements.
        elements: usize,
    },
    /// Another registrar has taken over a third one.
    TakenOverBy {
        /// The one that is dead.
        target: ServerId,
        /// The one that has its elements.
        by: ServerId,
    },
    /// A message could not be decoded.
    InvalidMessage {
        /// Where it came from.
        channel: ChannelId,
        /// What was wrong.
        problem: Problem,
    },
    /// This registrar aborted an association.
    Aborted {
        /// The association.
        channel: ChannelId,
        /// Why.
        reason: &'static str,
    },
}

impl RegistrarEvent {
    /// The pool that it is about, if there is one. The handle is too long where the element was
    /// refused for that.
    pub fn pool(&self) -> Option<&PoolHandle> {
        match self {
            RegistrarEvent::Registered { pool, .. }
            | RegistrarEvent::Reregistered { pool, .. }
            | RegistrarEvent::RegistrationRefused { pool, .. }
            | RegistrarEvent::Removed { pool, .. }
            | RegistrarEvent::ReportedUnreachable { pool, .. }
            | RegistrarEvent::Yielded { pool, .. }
            | RegistrarEvent::Disputed { pool, .. } => Some(pool),
            RegistrarEvent::Started { .. }
            | RegistrarEvent::PeerFound { .. }
            | RegistrarEvent::PeerUnreachable { .. }
            | RegistrarEvent::PeerLost { .. }
            | RegistrarEvent::DuplicateServer { .. }
            | RegistrarEvent::CopiesNotHeld { .. }
            | RegistrarEvent::TakeoverBegun { .. }
            | RegistrarEvent::TakeoverCancelled { .. }
            | RegistrarEvent::TookOver { .. }
            | RegistrarEvent::TakenOverBy { .. }
            | RegistrarEvent::InvalidMessage { .. }
            | RegistrarEvent::Aborted { .. } => None,
        }
    }
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
    /// It was taken over from a dead registrar, but nothing was where it should be.
    Unreachable,
    /// Its home registrar said so.
    ToldByHome,
    /// It was taken over from a dead registrar, but says something else of itself.
    Contradicted,
}

impl fmt::Display for RemovalReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RemovalReason::Deregistered => "it deregistered",
            RemovalReason::AssociationLost => "its association ended",
            RemovalReason::KeepAliveTimeout => "it did not answer a keep-alive",
            RemovalReason::BadReports => "it was reported as unreachable too often",
            RemovalReason::LifeExpired => "its registration expired",
            RemovalReason::Unreachable => "it could not be reached",
            RemovalReason::ToldByHome => "its home registrar said so",
            RemovalReason::Contradicted => "it is not what was told of it",
        })
    }
}

impl fmt::Display for RegistrarEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RegistrarEvent::Registered { pool, id, channel } => {
                write!(f, "registered {id} in pool {pool} over {channel}")
            }
            RegistrarEvent::Reregistered { pool, id, channel } => {
                write!(f, "re-registered {id} in pool {pool} over {channel}")
            }
            RegistrarEvent::RegistrationRefused { pool, id, cause } => {
                write!(f, "refused to register {id} in pool {pool}: {cause}")
            }
            RegistrarEvent::Removed { pool, id, reason } => {
                write!(f, "removed {id} from pool {pool}: {reason}")
            }
            RegistrarEvent::ReportedUnreachable { pool, id, reports } => {
                write!(f, "{id} of pool {pool} was reported as unreachable, report {reports}")
            }
            RegistrarEvent::Yielded { pool, id, to } => {
                write!(f, "registrar {to} is the home of {id} in pool {pool} now")
            }
            RegistrarEvent::Disputed { pool, id, with } => {
                write!(
                    f,
                    "registrar {with} says to be the home of {id} in pool {pool}, which is \
                     registered here and lives: perhaps two elements use one identifier"
                )
            }
            RegistrarEvent::Started { mentor: Some(mentor), .. } => {
                write!(f, "the handlespace is known, from registrar {mentor}")
            }
            RegistrarEvent::Started { others: 0, .. } => {
                f.write_str("no other registrar was found; the handlespace is empty")
            }
            RegistrarEvent::Started { .. } => f.write_str(
                "no other registrar has told the whole handlespace in time; what is missing is \
                 asked for when they tell their checksums",
            ),
            RegistrarEvent::PeerFound { server } => write!(f, "found registrar {server}"),
            RegistrarEvent::PeerLost { server } => write!(f, "registrar {server} does not answer"),
            RegistrarEvent::PeerUnreachable { peer, failure } => {
                f.write_str("registrar ")?;
                for (i, (addr, _)) in peer.addrs.iter().take(MAX_SHOWN).enumerate() {
                    let addr = without_interface(*addr);
                    write!(f, "{}{addr}", if i > 0 { ", " } else { "" })?;
                }
                write!(f, ", port {}", peer.port)?;
                if let Some(udp_port) = udp_port(peer) {
                    write!(f, ", UDP port {udp_port}")?;
                }
                write!(f, ", cannot be reached: {failure}; it is tried again")
            }
            RegistrarEvent::DuplicateServer { server, channel } => {
                write!(f, "{channel} claims to be with registrar {server}, which is elsewhere")
            }
            RegistrarEvent::CopiesNotHeld { server } => {
                write!(f, "registrar {server} tells of more elements than there is room for")
            }
            RegistrarEvent::TakeoverBegun { target } => {
                write!(f, "want to take over registrar {target}")
            }
            RegistrarEvent::TakeoverCancelled { target } => write!(f, "registrar {target} lives"),
            RegistrarEvent::TookOver { target, elements } => {
                write!(f, "took over registrar {target} with {elements} elements")
            }
            RegistrarEvent::TakenOverBy { target, by } => {
                write!(f, "registrar {by} took over registrar {target}")
            }
            RegistrarEvent::InvalidMessage { channel, problem } => {
                write!(f, "invalid message over {channel}: {problem}")
            }
            RegistrarEvent::Aborted { channel, reason } => write!(f, "aborted {channel}: {reason}"),
        }
    }
}
