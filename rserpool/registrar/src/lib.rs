//! The RSerPool registrar: a sans-I/O core and its tokio driver.
//!
//! [`Core`] knows the protocol (ASAP, RFC 5352) and nothing else.
#![forbid(unsafe_code)]

mod config;
mod core;
mod event;
mod stats;

pub use crate::core::{Advertised, AssociationId, Core, Input, Output, Peer};
pub use config::Config;
pub use event::{Event, RemovalReason};
pub use stats::Stats;
