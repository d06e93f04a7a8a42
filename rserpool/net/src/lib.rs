//! RSerPool's only way to the network: it drives the state machines of `rserpool-core` over SCTP
//! associations and multicast, with tokio.
//!
//! [`start`] runs a [`Host`], which holds a state machine, in a task of its own. The task sets up
//! and accepts associations, reassembles messages, sends and receives announces, runs the timers,
//! and limits what may wait. The other items are parts for drivers that have a loop of their own,
//! such as the driver of a session.
//!
//! This package serves `rserpool` and `rserpool-registrar`; programs use those.
#![forbid(unsafe_code)]

mod addresses;
mod assemble;
mod channel;
mod clock;
mod driver;
mod interfaces;
mod listener;
mod multicast;
mod ports;
mod race;
mod seed;

pub use addresses::{connect_failure, reach};
pub use assemble::{Assembler, TooLong};
pub use clock::Clock;
pub use driver::{Channels, End, Flow, Host, Settings, start};
pub use listener::Listener;
pub use multicast::Multicast;
pub use ports::Ports;
pub use seed::generator;
