//! A whole operation scope in one seeded world (feature `sim`): registrars, pool elements and pool
//! users over an abstract network of associations with delay, loss, cuts, crashes and restarts, and
//! strangers who mean harm.
//!
//! [`World`] moves messages and time; whoever uses it decides what goes wrong, and checks what
//! becomes of it. [`live`] does that by chance. The same seed gives the same run.

mod client;
mod life;
mod machine;
mod net;
mod server;
mod stranger;
mod world;

pub use client::Client;
pub use life::{Kind, Report, live, live_and_tell};
pub use machine::{Machine, Noticed};
pub use net::{HostId, Network};
pub use server::Server;
pub use stranger::{Knowledge, Stranger};
pub use world::World;
