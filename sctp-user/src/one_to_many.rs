//! The one-to-many style: one handle, many associations (RFC 6458 sec 3).

use std::time::Duration;

use bytes::Bytes;
use sctp_user_core::socket::{Incoming, Subscriptions};
use sctp_user_core::{AssocId, AssocStatus, Message, PathStatus, Peer};

use crate::association::Association;
use crate::error::Error;

/// A bound SCTP port whose associations are all served through one handle, told apart by [`AssocId`]. Incoming ones are accepted
/// by themselves once it listens.
///
/// Dropping it aborts the associations that were not shut down.
#[derive(Debug)]
pub struct OneToMany {
    _private: (),
}

#[allow(unused_variables, clippy::unimplemented, clippy::unused_async)]
impl OneToMany {
    /// The SCTP port.
    pub fn port(&self) -> u16 {
        unimplemented!()
    }

    /// Accepts incoming associations, or with `false` no more of them.
    ///
    /// # Errors
    /// [`Error::Stopped`].
    pub fn listen(&self, on: bool) -> Result<(), Error> {
        unimplemented!()
    }

    /// Starts an association without waiting for it; messages can be sent at once.
    ///
    /// # Errors
    /// [`Error::Connect`], [`Error::Stopped`].
    pub fn connect(&self, peer: &Peer) -> Result<AssocId, Error> {
        unimplemented!()
    }

    /// Sends on one association, waiting for room in its send buffer. Cancel-safe.
    ///
    /// # Errors
    /// As [`Association::send`], and [`Error::NoAssociation`].
    pub async fn send(&self, association: AssocId, message: Message) -> Result<(), Error> {
        unimplemented!()
    }

    /// Sends to a peer, over the association with it or over a new one (implicit setup, RFC 6458 sec 3.3).
    ///
    /// # Errors
    /// As [`send`](Self::send) and [`connect`](Self::connect).
    pub async fn send_to(&self, peer: &Peer, message: Message) -> Result<AssocId, Error> {
        unimplemented!()
    }

    /// Waits for the next message or subscribed notification of any association. Cancel-safe.
    ///
    /// # Errors
    /// [`Error::Stopped`].
    pub async fn recv(&self) -> Result<(AssocId, Incoming), Error> {
        unimplemented!()
    }

    /// Chooses which notifications [`recv`](Self::recv) gives.
    pub fn subscribe(&self, subscriptions: Subscriptions) {
        unimplemented!()
    }

    /// SCTP_AUTOCLOSE: shuts associations down that carried no user data for this long; `None` never.
    pub fn set_autoclose(&self, idle: Option<Duration>) {
        unimplemented!()
    }

    /// Begins the graceful shutdown of one association (SCTP_EOF). Its end comes as a notification.
    ///
    /// # Errors
    /// [`Error::NoAssociation`].
    pub fn start_shutdown(&self, association: AssocId) -> Result<(), Error> {
        unimplemented!()
    }

    /// Aborts one association (SCTP_ABORT).
    ///
    /// # Errors
    /// [`Error::NoAssociation`].
    pub fn abort(&self, association: AssocId, reason: impl Into<Bytes>) -> Result<(), Error> {
        unimplemented!()
    }

    /// Takes one association out into a handle of its own (RFC 6458 sec 9.2); what is unread goes with it.
    ///
    /// # Errors
    /// [`Error::NoAssociation`].
    pub fn peel_off(&self, association: AssocId) -> Result<Association, Error> {
        unimplemented!()
    }

    /// The associations of this handle.
    pub fn associations(&self) -> Vec<AssocId> {
        unimplemented!()
    }

    /// State and figures of one association.
    pub fn status(&self, association: AssocId) -> Option<AssocStatus> {
        unimplemented!()
    }

    /// All paths of one association.
    pub fn paths(&self, association: AssocId) -> Vec<PathStatus> {
        unimplemented!()
    }
}
