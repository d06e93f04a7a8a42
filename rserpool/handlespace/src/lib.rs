//! The RSerPool handlespace: pools, pool elements, member selection policies and the handlespace
//! checksum.
//!
//! Registrars keep the pools they know in a [`Handlespace`], pool users keep their cache in one
//! (RFC 5352, RFC 5356). It does no I/O and reads no clock: times are deadlines given and asked
//! for, randomness comes from the seed in [`Config`].
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
