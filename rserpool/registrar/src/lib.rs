//! The RSerPool registrar: a sans-I/O core and its tokio driver.
//!
//! [`Registrar::start`] serves pool elements and pool users on a stack. The protocol, the ASAP side
//! of a registrar (RFC 5352), lives in [`Core`], which knows neither sockets nor clocks.
#![forbid(unsafe_code)]

mod config;
mod core;
mod driver;
mod error;
mod event;
mod stats;

pub use crate::core::{Advertised, AssociationId, Core, Input, Output, Peer};
pub use config::Config;
pub use driver::Registrar;
pub use error::StartError;
pub use event::{Event, RemovalReason};
pub use stats::Stats;
