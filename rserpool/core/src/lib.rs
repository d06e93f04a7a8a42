//! The state machines of Reliable Server Pooling (RFC 5351 to 5356), without I/O.
//!
//! | Module | What it is |
//! |---|---|
//! | [`channel`] | The words that all state machines share: what happens, and what to do |
//! | [`registrar`] | A registrar: it keeps the pools, and serves pool elements and pool users |
//! | [`asap`] | The ASAP side of pool elements and pool users: it finds a registrar and keeps it |
//! | [`metric`] | Statistics, with the name, the meaning and the unit of each number |
//! | [`session`] | The session of a pool user: it moves from element to element |
//!
//! None of them reads a clock, opens a socket or draws a random number of its own: time and seed
//! are arguments. So whole scopes of registrars, elements and users run in a simulation, and each
//! run can be repeated. The package `rserpool-net` drives them over real associations.
#![forbid(unsafe_code)]

pub mod asap;
pub mod channel;
#[cfg(feature = "fuzz")]
#[doc(hidden)]
pub mod fuzz;
mod message;
pub mod metric;
#[cfg_attr(not(feature = "plant"), allow(unreachable_pub))]
pub mod plant;
mod reach;
pub mod registrar;
mod rules;
pub mod session;
#[cfg(any(test, feature = "sim"))]
pub mod sim;

pub use message::UserMessage;
pub use reach::{DEFAULT_UDP_PORT, Reach};
pub use rules::check_rules;
