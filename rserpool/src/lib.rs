//! Reliable Server Pooling (RFC 5351 to 5356) for tokio: servers that register in a pool, clients whose sessions survive the
//! death of a server.
//!
//! Both are values made from a [`sctp_user::Stack`]; there is no global state. A [`PoolElement`] is a server in a pool and yields
//! incoming [`ElementSession`]s. A [`PoolUser`] resolves pool handles and opens [`Session`]s, each of which talks to one
//! element at a time and moves on to another when that one is gone.
#![forbid(unsafe_code)]

mod announce;
mod asap;
mod assemble;
mod clock;
mod config;
mod element;
mod error;
mod message;
mod reach;
mod seed;
mod session;
mod user;

pub use config::{AnnounceConfig, AsapConfig, ElementOptions, SessionOptions, UserOptions, session_profile};
pub use element::{ElementEvent, ElementIncoming, ElementSession, PoolElement};
pub use error::Error;
pub use message::{Outgoing, UserMessage};
pub use session::{FailoverCause, FailoverProblem, Session, SessionEvent};
pub use user::{PoolUser, ResolvedElement};

pub use rserpool_wire as wire;
