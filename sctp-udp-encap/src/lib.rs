//! UDP encapsulation of SCTP (RFC 6951): a link that needs no privileges and works through NATs.
//!
//! Programs get all of this from `sctp-user`, in the module `link::udp`.
//!
//! [`UdpEncapLink`] carries each SCTP packet as the payload of one UDP datagram, over IPv4 and
//! IPv6, and uses the same UDP port for both. One link belongs to one SCTP stack, and all
//! associations of the stack share it. The UDP port decides which process receives a packet.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), sctp_udp_encap::UdpBindError> {
//! use sctp_udp_encap::{Port, UdpEncapConfig, UdpEncapLink};
//! use sctp_user_link::Link;
//!
//! let config = UdpEncapConfig { port: Port::Any, ..UdpEncapConfig::default() };
//! let link = UdpEncapLink::bind(&config)?;
//! println!("peers reach this stack at UDP port {}", link.local_udp_port().unwrap_or_default());
//! # Ok(()) }
//! ```
//!
//! This crate only moves datagrams. The protocol core learns the UDP port of each peer, answers
//! INITs from unexpected ports and allows for the 8 bytes that UDP takes from the path MTU. The
//! link also reports the ICMP errors that it gets from the system. On Linux it gets all of them,
//! each with the beginning of the packet that caused it, so that the core can check whether to
//! believe it. The code that this link shares with the raw link is in [`sctp_user_link::sockets`];
//! this crate adds the configuration and binds the UDP ports.
#![forbid(unsafe_code)]

mod bind;
mod config;
mod link;

pub use bind::UdpBindError;
pub use config::{Port, UdpEncapConfig, WELL_KNOWN_PORT};
pub use link::UdpEncapLink;
