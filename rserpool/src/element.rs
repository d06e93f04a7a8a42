//! Pool elements: servers in a pool.

use bytes::Bytes;
use rserpool_wire::{OperationError, PeId, Policy, PoolHandle};
use sctp_user::{Association, PathAddr, Stack};

use crate::config::ElementOptions;
use crate::error::Error;
use crate::message::{Outgoing, UserMessage};

/// A server in a pool. A task of its own keeps it registered: it finds a registrar, registers, renews the registration in time, and
/// registers with another registrar as soon as the one it had is lost.
///
/// Clones mean the same element. When the last one is dropped, the association with the registrar is aborted, which ends the
/// registration; [`PoolElement::deregister`] is the polite way. Sessions live on.
#[derive(Clone, Debug)]
pub struct PoolElement {
    _private: (),
}

#[allow(unused_variables, clippy::unimplemented, clippy::unused_async)]
impl PoolElement {
    /// Binds the port of the service, starts to listen on it and begins to register, in the background:
    /// [`PoolElement::registered`] waits for it, [`PoolElement::next_event`] reports on it.
    ///
    /// # Errors
    /// When an option is out of range, a port is taken or the announce group cannot be joined.
    pub fn register(stack: &Stack, options: ElementOptions) -> Result<PoolElement, Error> {
        unimplemented!()
    }

    /// Waits until the element is registered; at once when it is.
    ///
    /// # Errors
    /// [`Error::Rejected`] when a registrar refuses it, [`Error::Closed`].
    pub async fn registered(&self) -> Result<(), Error> {
        unimplemented!()
    }

    /// Waits for the next event. Of events that nobody reads, the newest 64 are kept.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub async fn next_event(&self) -> Result<ElementEvent, Error> {
        unimplemented!()
    }

    /// Waits for the next session. Several tasks may wait at the same time.
    ///
    /// # Errors
    /// [`Error::Closed`] after the deregistration, [`Error::Sctp`] when the stack has stopped.
    pub async fn accept(&self) -> Result<ElementSession, Error> {
        unimplemented!()
    }

    /// The pool.
    pub fn pool(&self) -> &PoolHandle {
        unimplemented!()
    }

    /// The identifier in the pool.
    pub fn id(&self) -> PeId {
        unimplemented!()
    }

    /// SCTP port of the service.
    pub fn port(&self) -> u16 {
        unimplemented!()
    }

    /// SCTP port of the association with the registrar.
    pub fn asap_port(&self) -> u16 {
        unimplemented!()
    }

    /// Says how busy the element is, from 0 to 1. When the policy depends on the load and it changed by at least 1 %
    /// since the last registration, the element re-registers at once; otherwise the value goes with the next registration.
    pub fn set_load(&self, load: f64) {
        unimplemented!()
    }

    /// Changes the values of the policy and re-registers at once. The kind of policy must stay, as the pool has it.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the policy is another one.
    pub fn set_policy(&self, policy: Policy) -> Result<(), Error> {
        unimplemented!()
    }

    /// Leaves the pool: stops to listen, tells the registrar and waits for its answer. Open sessions live on.
    ///
    /// # Errors
    /// [`Error::Timeout`] or [`Error::NoRegistrar`] when the registrar could not be told; the element is closed all the same.
    pub async fn deregister(&self) -> Result<(), Error> {
        unimplemented!()
    }
}

/// What happens between a pool element and its registrar. Its `Display` is one line for a log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ElementEvent {
    /// The search for a registrar has begun.
    Hunting,
    /// Connected with a registrar.
    RegistrarFound {
        /// The address of the registrar.
        registrar: PathAddr,
        /// Its SCTP port.
        port: u16,
    },
    /// Registered; given for the first registration with each registrar only.
    Registered,
    /// The registrar refused the registration. It is tried again after the re-registration interval.
    Rejected(OperationError),
    /// The registrar did not answer, or the association with it ended; the search begins anew.
    RegistrarLost,
    /// Another registrar declared itself the home of this element.
    NewHome {
        /// The address of the registrar.
        registrar: PathAddr,
        /// Its SCTP port.
        port: u16,
    },
}

/// A session with a pool user, on the side of the pool element. It ends by [`ElementSession::shutdown`] or [`ElementSession::abort`]; dropping it
/// aborts.
#[derive(Debug)]
pub struct ElementSession {
    _private: (),
}

/// What a pool user sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ElementIncoming {
    /// Application data.
    Message(UserMessage),
    /// The newest cookie of the session, from this or another element, after a failover: continue from there. Comes
    /// before all data of the session.
    CookieEcho(Bytes),
}

#[allow(unused_variables, clippy::unimplemented, clippy::unused_async)]
impl ElementSession {
    /// Waits for the next message; `Ok(None)` when the pool user has ended the session. Cancel-safe.
    ///
    /// # Errors
    /// [`Error::Sctp`] when the association was lost, [`Error::MessageTooLong`] (the session is aborted then).
    pub async fn recv(&mut self) -> Result<Option<ElementIncoming>, Error> {
        unimplemented!()
    }

    /// Sends a message; waits while the send buffer is full.
    ///
    /// # Errors
    /// [`Error::Sctp`] when the session has ended or the message cannot be sent.
    pub async fn send(&self, message: UserMessage) -> Result<(), Error> {
        unimplemented!()
    }

    /// Gives the pool user a cookie, which replaces the one before.
    ///
    /// # Errors
    /// As [`ElementSession::send`], and [`Error::Encode`].
    pub async fn send_cookie(&self, cookie: impl Into<Bytes>) -> Result<(), Error> {
        unimplemented!()
    }

    /// Sends several messages as one unit: all or none are queued, and they share packets where they fit. A reply and the cookie that
    /// covers it belong together, so that no failure can come between them.
    ///
    /// # Errors
    /// As [`ElementSession::send_cookie`].
    pub async fn send_unit(&self, unit: Vec<Outgoing>) -> Result<(), Error> {
        unimplemented!()
    }

    /// The association below, for its addresses and statistics.
    pub fn association(&self) -> &Association {
        unimplemented!()
    }

    /// Ends the session gracefully and waits until everything queued is delivered.
    ///
    /// # Errors
    /// [`Error::Sctp`] when the association was lost before.
    pub async fn shutdown(self) -> Result<(), Error> {
        unimplemented!()
    }

    /// Ends the session at once. The pool user fails over.
    pub fn abort(self, reason: impl Into<Bytes>) {
        unimplemented!()
    }
}
