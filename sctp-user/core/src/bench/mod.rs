//! Two stacks back to back, for measuring the core alone: one thread, no sockets, no driver. The
//! clock is the caller's.
//!
//! Client and server have many addresses each, so that any number of associations fits a port:
//! association `n` goes from 10.x.y.z to 11.x.y.z, UDP-encapsulated.

mod bulk;
mod lone;
mod pair;

pub use bulk::{Bulk, bulk_config};
pub use lone::{LoneReceiver, LoneSender};
pub use pair::{Carried, PORT, Pair};
