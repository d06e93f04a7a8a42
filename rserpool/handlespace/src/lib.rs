//! The RSerPool handlespace: pools, pool elements, member selection policies and the handlespace
//! checksum.
//!
//! A registrar keeps the pools that it knows in a [`Handlespace`], and a pool user keeps its cache
//! in one (RFC 5352, RFC 5356). A handlespace does no I/O and reads no clock: its user sets
//! deadlines and asks which are due, and all randomness comes from the seed in [`Config`].
#![forbid(unsafe_code)]

mod arena;
mod audit;
mod checksum;
mod element;
mod error;
mod handlespace;
mod lists;
mod policy;
mod pool;
mod registration;
#[cfg(test)]
mod tests;
mod timers;
mod verify;

pub use arena::ElementKey;
pub use audit::Swept;
pub use checksum::PeChecksum;
pub use element::{Element, OwnerId, Timer};
pub use error::RegisterError;
pub use handlespace::{Config, Handlespace};
pub use lists::Cursor;
pub use policy::{UserPlace, supports};
pub use pool::Pool;
pub use registration::{Misfit, OtherHome, RegisterRules, Registration};
