//! The RSerPool registrar as a task on a userland SCTP stack.
//!
//! [`Registrar::start`] serves pool elements and pool users on a stack (ASAP, RFC 5352), and keeps
//! the handlespace in step with other registrars (ENRP, RFC 5353). The protocols live in
//! [`rserpool_core::registrar`], which knows neither sockets nor clocks.
#![forbid(unsafe_code)]

mod error;
mod events;
mod names;
mod network;
mod registrar;
#[cfg(test)]
mod scope_tests;
#[cfg(test)]
mod tests;

pub use error::StartError;
pub use events::{Notice, RegistrarEvents};
pub use registrar::Registrar;
pub use rserpool_core::metric;
pub use rserpool_core::registrar::{
    EnrpConfig, Rates, RegistrarConfig, RegistrarEvent, RegistrarStats, RemovalReason, TakeoverRule,
};
