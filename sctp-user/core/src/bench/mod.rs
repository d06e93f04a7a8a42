//! Two stacks back to back, to measure the core alone: one thread, no sockets, no driver. The
//! caller passes the time.
//!
//! Client and server have many addresses each, so that one port has room for any number of
//! associations: association `n` goes from 10.x.y.z to 11.x.y.z, UDP-encapsulated.

mod bulk;
mod lone;
mod pair;

pub use bulk::{Bulk, bulk_config};
pub use lone::{LoneReceiver, LoneSender};
pub use pair::{Carried, PORT, Pair};
