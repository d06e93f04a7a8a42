//! The way of RSerPool to the network: it drives the state machines of `rserpool-core` over SCTP
//! associations, multicast and tokio.
//!
//! [`start`] runs a [`Host`], which holds a state machine, in a task of its own. That task sets
//! associations up and accepts them, puts messages together, sends and hears announces, keeps the
//! time, and bounds what waits. The rest are parts for drivers with a loop of their own, as that of
//! a session.
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
