//! The RSerPool registrar as a task on a userland SCTP stack.
//!
//! [`Registrar::start`] serves pool elements and pool users on a stack. The protocol, the ASAP side
//! of a registrar (RFC 5352), lives in [`rserpool_core::registrar`], which knows neither sockets nor
//! clocks.
#![forbid(unsafe_code)]

mod error;
mod events;
mod registrar;
#[cfg(test)]
mod tests;

pub use error::StartError;
pub use events::{Notice, RegistrarEvents};
pub use registrar::Registrar;
pub use rserpool_core::metric;
pub use rserpool_core::registrar::{
    RegistrarConfig, RegistrarEvent, RegistrarStats, RemovalReason,
};
