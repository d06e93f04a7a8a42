//! A whole operation scope in one seeded world (feature `sim`): registrars, pool elements and pool
//! users over an abstract network of associations with delay, cuts, crashes and restarts.
//!
//! [`World`] moves messages and time; whoever uses it decides what goes wrong, and checks what
//! becomes of it. [`live`] does that by chance. The same seed gives the same run.

mod life;
mod net;
mod world;

pub use life::{Kind, Report, live, live_and_tell};
pub use net::{HostId, Network};
pub use world::{Machine, Noticed, World};
