//! The same sockets without a runtime: calls that wait in the calling thread.
//!
//! A [`Stack`] here has no task. It runs inside its calls: one that has to wait receives, lets the
//! protocol work and sends until it has what it waits for. Nothing is shared, so nothing is locked,
//! and a message takes no more system calls than over a bare UDP socket: one to wait and receive,
//! one to send. It is meant for programs without a runtime, and where latency counts.
//!
//! Handles ([`Endpoint`], [`Association`], [`OneToMany`]) are plain names that can be copied;
//! everything is done through the stack.
//!
//! ```
//! use std::net::{IpAddr, Ipv4Addr};
//! use std::time::Duration;
//!
//! use sctp_user::blocking::{Link, StackBuilder};
//! use sctp_user::{Encap, Error, Message, Peer};
//!
//! # fn main() -> Result<(), Error> {
//! # let udp = || {
//! #     let socket = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
//! #     Link::udp(socket).unwrap()
//! # };
//! // Links over UDP are opened by `sctp_udp_encap::UdpEncapLink::open_blocking`.
//! let (here, there) = (udp(), udp());
//! let udp_port = there.local_udp_port().unwrap_or_default();
//!
//! let mut server = StackBuilder::new().link(there).build()?;
//! let endpoint = server.bind(7)?;
//! server.listen(endpoint, 16)?;
//! let server = std::thread::spawn(move || -> Result<(), Error> {
//!     let association = server.accept(endpoint)?;
//!     loop {
//!         match server.recv_message(association) {
//!             Ok(Some(message)) => {
//!                 let echo = Message::new(message.stream, message.ppid, message.data);
//!                 server.send(association, echo)?;
//!             }
//!             // The client is a new process now; an echo remembers nothing of the old one.
//!             Err(Error::Restarted) => {}
//!             Ok(None) => return server.shutdown(association),
//!             Err(why) => return Err(why),
//!         }
//!     }
//! });
//!
//! let mut client = StackBuilder::new().link(here).build()?;
//! client.set_timeout(Some(Duration::from_secs(10)));
//! let peer = Peer::new(IpAddr::V4(Ipv4Addr::LOCALHOST), Encap::Udp { remote_port: udp_port }, 7);
//! let association = client.connect(&peer)?;
//! client.send(association, Message::new(0, 0, "hello"))?;
//! let mut buffer = [0; 100];
//! let received = client.recv_into(association, &mut buffer)?;
//! let (len, info) = received.expect("the server does not shut down first");
//! assert_eq!((&buffer[..len], info.end_of_record), (&b"hello"[..], true));
//! client.shutdown(association)?;
//! server.join().expect("the server does not panic")
//! # }
//! ```
//!
//! # Who keeps the protocol going
//!
//! Packets are answered and timers fire while a call waits, and in passing when a call comes after
//! a while. A program that does other things for long calls [`Stack::drive`] in between; a peer
//! that hears nothing for seconds sends again and finally gives up. Packets that arrive meanwhile
//! wait in the buffers of the system.
//!
//! # Who ends what
//!
//! [`Stack::close`] gives a handle up: an association that was not shut down is aborted then.
//! Dropping the stack aborts every association that is still open.

mod engine;
mod handles;
mod one_to_many;
mod one_to_one;
mod stack;

pub use handles::{Association, Endpoint, Handle, OneToMany};
pub use sctp_user_core::socket::{Ready, SocketId, Sockets};
pub use sctp_user_link::BlockingLink as Link;
pub use stack::{Stack, StackBuilder};
