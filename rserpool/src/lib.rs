//! Reliable Server Pooling (RFC 5351 to 5356) for tokio: servers that register in a pool, clients
//! whose sessions survive the death of a server.
//!
//! Both are values made from a [`sctp_user::Stack`]; there is no global state. A [`PoolElement`] is
//! a server in a pool and yields incoming [`ElementSession`]s. A [`PoolUser`] resolves pool handles
//! and opens [`Session`]s, each of which talks to one element at a time and moves on to another
//! when that one is gone.
//!
//! A server keeps the state of a session in a cookie, which the client holds for it and hands to
//! the next server after a failover, before anything else:
//!
//! ```
//! use rserpool::{ElementIncoming, ElementOptions, Error, Outgoing, PoolElement, UserMessage};
//!
//! async fn serve(stack: &sctp_user::Stack, options: ElementOptions) -> Result<(), Error> {
//!     let element = PoolElement::register(stack, options)?;
//!     loop {
//!         let mut session = element.accept().await?;
//!         tokio::spawn(async move {
//!             let mut count = 0u64;
//!             while let Some(incoming) = session.recv().await? {
//!                 match incoming {
//!                     ElementIncoming::CookieEcho(cookie) => {
//!                         count = cookie.as_ref().try_into().map_or(0, u64::from_be_bytes);
//!                     }
//!                     // The client is a new process, which begins a new session.
//!                     ElementIncoming::Restarted => count = 0,
//!                     ElementIncoming::Message(request) => {
//!                         count += 1;
//!                         let reply = UserMessage::new(request.ppid, format!("request {count}"));
//!                         let cookie = count.to_be_bytes().to_vec().into();
//!                         // As one unit: no failure can come between the reply and its cookie.
//!                         let unit = vec![Outgoing::Data(reply), Outgoing::Cookie(cookie)];
//!                         session.send_unit(unit).await?;
//!                     }
//!                 }
//!             }
//!             Ok::<_, Error>(())
//!         });
//!     }
//! }
//! ```
//!
//! The client sends again what was not answered when its server died:
//!
//! ```
//! use rserpool::{Error, PoolUser, SessionEvent, SessionOptions, UserMessage, UserOptions};
//!
//! async fn ask(stack: &sctp_user::Stack, options: UserOptions) -> Result<(), Error> {
//!     let user = PoolUser::new(stack, options)?;
//!     let mut session = user.open("MyPool".parse().unwrap(), SessionOptions::default())?;
//!     loop {
//!         match session.recv().await? {
//!             SessionEvent::FailoverDone { .. } => {
//!                 session.send(UserMessage::new(0, "hello")).await?;
//!             }
//!             SessionEvent::Message(reply) => {
//!                 println!("{}", reply.data.escape_ascii());
//!                 return session.close().await;
//!             }
//!             _ => {}
//!         }
//!     }
//! }
//! ```
//!
//! The protocol itself stands in state machines without I/O, in the package `rserpool-core`.
#![forbid(unsafe_code)]

mod asap;
mod config;
mod element;
mod error;
mod events;
mod message;
mod names;
mod session;
mod subscription;
mod user;

pub use config::{ElementOptions, UserOptions};
pub use element::{ElementEvent, ElementIncoming, ElementSession, PoolElement};
pub use error::Error;
pub use message::Outgoing;
pub use names::with_registrar_names;
#[doc(inline)]
pub use rserpool_core::UserMessage;
#[doc(inline)]
pub use rserpool_core::asap::{AnnounceConfig, AsapConfig, RequestError, Resolver};
#[doc(inline)]
pub use rserpool_core::channel::ConnectFailure;
#[doc(inline)]
pub use rserpool_core::session::{
    FailoverCause, FailoverProblem, SessionEvent, SessionOptions, session_profile,
};
pub use session::{Session, SessionSender};
pub use subscription::Subscription;
pub use user::{PoolUser, ResolvedElement, UserEvent};

/// All messages and parameters of ASAP and ENRP.
pub use rserpool_wire as wire;
#[doc(inline)]
pub use rserpool_wire::{CauseCode, OperationError, PeId, Policy, PoolHandle};
