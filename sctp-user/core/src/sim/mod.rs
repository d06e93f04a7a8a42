//! A deterministic network in memory, with virtual time, one seeded random generator and an ordered
//! queue of events.
//!
//! [`Net`] carries packets between addresses over links that delay, lose, repeat, reorder, corrupt
//! and shape them, through NAT boxes and partitions. [`Sim`] drives [`Node`]s over a `Net`. A
//! [`Host`] is a node made of a [`Stack`](crate::Stack) and an [`App`], the script that reacts to
//! the events of the stack. The same seed gives the same run, packet by packet.
//!
//! ```
//! use sctp_user_core::sim::{Link, Recorder, Sim};
//! use std::time::Duration;
//!
//! let mut sim = Sim::new(1);
//! let (delay, jitter) = (Duration::from_millis(10), Duration::from_millis(5));
//! sim.net.set_default(Link::new().loss(0.1).delay(delay, jitter));
//! let a = sim.host(&["10.0.0.1"], Recorder::default());
//! let b = sim.host(&["10.0.0.2"], Recorder::default());
//! let peer = sim.with(b, |host, _| host.listen(5001));
//! let id = sim.with(a, |host, now| host.connect(now, &peer));
//! sim.with(a, |host, now| host.send(now, id, 0, b"hello").unwrap());
//! assert!(sim.run_until(Duration::from_secs(10), |sim| !sim[b].app.received.is_empty()));
//! ```
//!
//! These environment variables help to look into a run:
//!
//! - `SCTP_SIM_SEED=n` makes [`for_each_seed`] run seed `n` alone.
//! - `SCTP_SIM_PCAP=file` writes what the nodes send to a capture file that Wireshark opens. Use it
//!   with a seed and a single test.
//! - `SCTP_SIM_TRACE=1` prints every packet and what became of it.
//!
//! A run that panics prints its seed and its last packets.

mod app;
mod capture;
mod host;
mod inspector;
mod model;
mod nat;
mod net;
mod node;
mod packet;
mod runner;
mod seeds;
#[cfg(test)]
mod tests;

pub use app::{App, Cx, Recorder};
pub use host::Host;
pub use model::{
    Burst, Corrupt, Delay, Duplicate, Link, Loss, Model, Outage, Passage, Rate, Reorder, SimRng,
};
pub use nat::Nat;
pub use net::{Arrival, DropReason, Fate, LogEntry, Net, Verdict};
pub use node::{IcmpError, Node, NodeId};
pub use packet::{IpPacket, UdpPorts};
pub use runner::Sim;
pub use seeds::for_each_seed;
