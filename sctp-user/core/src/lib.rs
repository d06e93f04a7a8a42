//! SCTP (RFC 9260) as a sans-I/O protocol core.
//!
//! The core reads no clock, no socket and no global random source. Time, datagrams and a seed come
//! in as arguments; packets and events come out by polling. One [`Stack`] holds many ports and
//! associations. Whoever drives the core, be it the tokio driver or the simulation, repeats these
//! steps:
//!
//! 1. hand in what arrived: [`Stack::handle_datagram`] for each datagram of the batch,
//!    [`Stack::handle_timeout`];
//! 2. hand in what the user wants: `connect`, `send`, `recv`, `shutdown`, ...;
//! 3. drain [`Stack::poll_transmit`] and send what it gives;
//! 4. drain [`Stack::poll_event`];
//! 5. sleep until [`Stack::poll_timeout`] or the next datagram or user call.
#![forbid(unsafe_code)]

mod addr;
mod assoc;
#[cfg(feature = "bench")]
#[doc(hidden)]
pub mod bench;
mod config;
mod error;
mod event;
mod features;
#[cfg(feature = "fuzz")]
#[doc(hidden)]
pub mod fuzz;
pub mod interface;
mod own;
mod serial;
mod shown_text;
#[cfg(feature = "sim")]
pub mod sim;
pub mod socket;
mod stack;
mod stats;
mod time;
pub mod tlv;
pub mod wire;

pub use addr::{
    Datagram, Ecn, Encap, Message, NextInfo, PathAddr, Peer, Received, Scope, SegmentLimits,
    SendOptions, Transmit, common_bits, scope,
};
pub use config::{Announce, AssocConfig, Ootb, PathParams, StackConfig};
pub use error::{BindError, ConfigError, ConnectError, NotFound, SendError};
pub use event::{Event, LossReason, PeerAddrState};
pub use features::Features;
pub use serial::{Ssn, Tsn};
pub use shown_text::ShownText;
pub use stack::{AssocId, NoRoute, Stack, Unreachable};
pub use stats::{
    AssocState, AssocStats, AssocStatus, PathState, PathStats, PathStatus, PmtudState, StackStats,
};
pub use time::{Duration, Time};
