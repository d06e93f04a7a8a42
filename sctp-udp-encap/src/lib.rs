//! UDP encapsulation of SCTP (RFC 6951): the link that needs no privileges and passes NATs.
//!
//! Programs find all of this in `sctp-user`, module `link::udp`.
//!
//! [`UdpEncapLink`] carries each SCTP packet as the payload of one UDP datagram, over IPv4 and IPv6
//! from the same UDP port number. One link belongs to one SCTP stack: every association of the
//! stack shares it, and which process gets a packet is decided by the UDP port.
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
//! Learning the UDP port of a peer, answering an INIT from an unexpected port and the 8 bytes that
//! UDP takes from the path MTU are matters of the core; this crate moves datagrams. Of ICMP it
//! delivers what the system tells: on Linux every error together with the head of the packet that
//! caused it, so that the core can believe or discard it. What it shares with the raw link is
//! in [`sctp_user_link::sockets`]; here are the configuration and the binding of UDP ports.
#![forbid(unsafe_code)]

mod bind;
mod config;
mod link;

pub use bind::UdpBindError;
pub use config::{Port, UdpEncapConfig, WELL_KNOWN_PORT};
pub use link::UdpEncapLink;
