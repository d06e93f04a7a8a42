//! The blocking API: the same sockets without a runtime. Calls that have to wait block the calling
//! thread.
//!
//! A [`Stack`] here has no task and no thread. It works inside its calls: while a call waits, it
//! receives packets, runs the protocol and sends packets. Nothing is shared, so nothing is locked.
//! A message takes no more system calls than over a bare UDP socket: one to wait and receive, and
//! one to send. This API is for programs without a runtime, and for those that need low latency.
//!
//! Handles ([`Endpoint`], [`Association`], [`OneToMany`]) are only names and can be copied. All
//! functions that use them are methods of the stack.
//!
//! ```
//! use std::net::{Ipv4Addr, SocketAddr};
//! use std::time::Duration;
//!
//! use sctp_user::blocking::StackBuilder;
//! use sctp_user::{Error, Message};
//!
//! # fn main() -> Result<(), Error> {
//! // One address each, on a free UDP port.
//! let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
//! let mut server = StackBuilder::udp(any_port)?.build()?;
//! let udp_port = server.local_udp_port().unwrap_or_default();
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
//! let mut client = StackBuilder::udp(any_port)?.build()?;
//! client.set_timeout(Some(Duration::from_secs(10)));
//! let association = client.connect(format!("127.0.0.1:7/udp:{udp_port}"))?;
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
//! The stack answers packets and runs its timers while one of its calls waits. Calls that do not
//! wait also do this, if the last time was a while ago. Between calls, received packets wait in the
//! buffers of the system. A peer that gets no answer for seconds sends again, and finally gives up.
//! So a program that does other work for a long time should call [`Stack::drive`] now and then.
//!
//! # Who ends what
//!
//! [`Stack::close`] closes a handle and aborts its association if that was not shut down. Dropping
//! the stack aborts every association that is still open.

mod engine;
mod handles;
mod one_to_many;
mod one_to_one;
mod setup;
mod stack;

pub use handles::{Association, Endpoint, Handle, OneToMany, Port};
pub use sctp_user_core::socket::{Ready, SocketId, Sockets};
pub use sctp_user_link::BlockingLink as Link;
pub use stack::{Stack, StackBuilder};
