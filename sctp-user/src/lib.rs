//! SCTP (RFC 9260) in user space for tokio, in the terms of the socket API of RFC 6458.
//!
//! A [`Stack`] owns one or more [links](link::Link), which carry its packets: over UDP
//! ([`link::udp`]), over raw IP (`link::raw`, feature `raw`), or in a simulated network
//! (`link::sim`, feature `sim`). [`Endpoint`]s are SCTP ports that are bound on a stack. They
//! accept and start [`Association`]s, and an association sends and receives whole [`Message`]s.
//! [`OneToMany`] is one handle for many associations (the one-to-many style). The module
//! [`blocking`] has the same for programs without a runtime.
//!
//! [`StackBuilder::udp`] builds a stack in UDP, and [`Stack::connect`] takes a text such as
//! `"server.example:7"`:
//!
//! ```
//! use sctp_user::{Message, StackBuilder};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), sctp_user::Error> {
//! # let server = StackBuilder::udp(std::net::SocketAddr::from(([127, 0, 0, 1], 0)))?.build()?;
//! # let endpoint = server.bind(7)?;
//! # endpoint.listen(1)?;
//! # let udp_port = server.local_udp_port().unwrap_or_default();
//! let stack = StackBuilder::udp(0)?.build()?;
//! let association = stack.connect(format!("localhost:7/udp:{udp_port}")).await?;
//! association.send(Message::new(0, 0, "hello")).await?;
//! association.shutdown().await?;
//! # Ok(()) }
//! ```
//!
//! The same with a server, both ends in a simulated network:
//!
//! ```
//! use std::net::IpAddr;
//!
//! use sctp_user::link::sim::SimNet;
//! use sctp_user::{Encap, Error, Message, Peer, StackBuilder};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), sctp_user::Error> {
//! let net = SimNet::new(1);
//! let (a, b): (IpAddr, IpAddr) = ([192, 0, 2, 1].into(), [192, 0, 2, 2].into());
//!
//! // A server that sends back what it gets.
//! let server = StackBuilder::new().link(net.link(&[b], 9899)).build()?;
//! let endpoint = server.bind(7)?;
//! endpoint.listen(16)?;
//! tokio::spawn(async move {
//!     while let Ok(association) = endpoint.accept().await {
//!         tokio::spawn(async move {
//!             loop {
//!                 match association.recv_message().await {
//!                     Ok(Some(received)) => {
//!                         let echo = Message::new(received.stream, received.ppid, received.data);
//!                         association.send(echo).await?;
//!                     }
//!                     // The client is a new process; an echo remembers nothing of the old.
//!                     Err(Error::Restarted) => {}
//!                     Ok(None) => return association.shutdown().await,
//!                     Err(why) => return Err(why),
//!                 }
//!             }
//!         });
//!     }
//! });
//!
//! // A client.
//! let client = StackBuilder::new().link(net.link(&[a], 9899)).build()?;
//! let association = client.connect(&Peer::new(b, Encap::Udp { remote_port: 9899 }, 7)).await?;
//! association.send(Message::new(0, 0, "hello")).await?;
//! let reply = association.recv_message().await?.expect("the server does not shut down first");
//! assert_eq!(&reply.data[..], b"hello");
//! association.shutdown().await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Several addresses
//!
//! For multi-homing (RFC 9260 sec 6.4), give the same addresses to the link, which sends and
//! receives there, and to the port, which tells peers of them:
//!
//! ```no_run
//! use std::net::IpAddr;
//!
//! use sctp_user::link::udp::{Port, UdpEncapConfig};
//! use sctp_user::{BindOptions, StackBuilder};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), sctp_user::Error> {
//! let own: [IpAddr; 2] = [[192, 0, 2, 1].into(), [198, 51, 100, 1].into()];
//! let stack = StackBuilder::udp(UdpEncapConfig::with_addrs(own, Port::Any))?.build()?;
//! let options = BindOptions { addrs: own.to_vec(), ..BindOptions::default() };
//! let endpoint = stack.bind(options)?;
//! let association = endpoint.connect("192.0.2.9:7,198.51.100.9").await?;
//! # Ok(()) }
//! ```
//!
//! [`Stack::connect`] binds no address: its associations tell the peer of none, unless the stack
//! was built with [`announce_local_addresses`](StackBuilder::announce_local_addresses). The example
//! `multihoming` of this crate is a whole program with both ends, and docs/multihoming.md in the
//! repository says how paths fail and recover.
//!
//! # Features
//!
//! | feature | what it adds |
//! | --- | --- |
//! | `blocking`, on by default | calls without a runtime, on Unix: module [`blocking`] |
//! | `udp`, on by default | UDP encapsulation: [`link::udp`], [`StackBuilder::udp`] |
//! | `raw` | SCTP directly in IP: `link::raw`, `StackBuilder::raw`, `StackBuilder::both` |
//! | `sim` | the simulated network: `link::sim` |
//!
//! # Link-local addresses
//!
//! `fe80::1` means different hosts on different interfaces. So everywhere in this crate, a
//! link-local IPv6 address holds its interface. [`parse_address`] reads `fe80::1%eth0`,
//! [`from_socket_addr`] converts an address from a resolver or a socket, and [`on_interface`] sets
//! the index of the interface. [`ShownAddress`] prints the address with its interface, and
//! [`to_socket_addr`] converts it back.
//!
//! # Cancelling
//!
//! Each `async` call says what a dropped future has done, for `select!` and timeouts. Calls that
//! receive or accept have taken nothing then, and calls that send have sent nothing, with one
//! exception: [`Association::send_many`]. A call that connects aborts its attempt. A shutdown that
//! has begun goes on.
//!
//! # Who ends what
//!
//! - If the last clone of an [`Association`] is dropped before it was shut down, the association is
//!   aborted: the peer learns at once that nobody is there any more. [`Association::shutdown`] is
//!   the graceful way.
//! - [`Stack::shutdown`] shuts all associations down gracefully and ends the stack's task.
//!   [`Stack::abort`] aborts them and ends the task at once.
//! - When the last handle of a stack ([`Stack`], [`Endpoint`], [`Association`], [`OneToMany`]) is
//!   dropped, or when the tokio runtime ends, an ABORT is sent for every association that is still
//!   open. This also happens while a panic unwinds.
#![forbid(unsafe_code)]

mod association;
mod bind;
#[cfg(all(unix, feature = "blocking"))]
pub mod blocking;
mod blocks;
mod builder;
mod claim;
mod control;
mod driver;
mod endpoint;
mod error;
mod host_addrs;
pub mod link;
mod link_addrs;
mod one_to_many;
mod open;
mod options;
mod outgoing;
mod peer_name;
mod race;
mod shared;
mod stack;
mod to_peer;

#[cfg(feature = "futures")]
pub use association::Messages;
pub use association::{Association, ByteStream};
pub use builder::Builder;
pub use control::Control;
pub use endpoint::Endpoint;
pub use error::Error;
pub use one_to_many::OneToMany;
pub use open::LinkError;
pub use options::BindOptions;
pub use peer_name::{PeerError, PeerName};
/// The protocol without sockets and runtime, which names all types of
/// [`Sockets`](sctp_user_core::socket::Sockets).
pub use sctp_user_core;
pub use sctp_user_core::interface::{
    from_socket_addr, interface, on_interface, to_socket_addr, without_interface,
};
pub use sctp_user_core::socket::{
    AssocChange, EndReason, Incoming, Interleave, Linger, Next, Notification, SendDefaults,
    Subscriptions,
};
pub use sctp_user_core::{
    Announce, AssocConfig, AssocId, AssocState, AssocStats, AssocStatus, BindError, ConfigError,
    ConnectError, Ecn, Encap, Features, LossReason, Message, NextInfo, NoRoute, Ootb, PathAddr,
    PathParams, PathState, PathStats, PathStatus, Peer, PeerAddrState, PmtudState, Received, Scope,
    SendError, SendOptions, ShownText, StackConfig, StackStats, Transmit, Unreachable,
};
pub use sctp_user_link::{
    AddressError, Interface, ShownAddress, interfaces, local_addresses, parse_address,
};
pub use stack::{Stack, StackBuilder};
pub use to_peer::ToPeer;
