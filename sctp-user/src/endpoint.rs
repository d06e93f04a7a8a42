//! A bound SCTP port.

use sctp_user_core::{AssocConfig, Peer};

use crate::association::Association;
use crate::error::Error;

/// A bound SCTP port, from which associations are started and on which they are accepted, both at the same time if
/// wanted.
///
/// Dropping it gives the port up: it stops listening and aborts what was not accepted yet. Its associations live on, and
/// the port is free again when the last of them is gone.
#[derive(Debug)]
pub struct Endpoint {
    _private: (),
}

#[allow(unused_variables, clippy::unimplemented, clippy::unused_async)]
impl Endpoint {
    /// The SCTP port.
    pub fn port(&self) -> u16 {
        unimplemented!()
    }

    /// Own UDP port of the stack's encapsulating link; `None` when there is none.
    pub fn local_udp_port(&self) -> Option<u16> {
        unimplemented!()
    }

    /// Accepts new associations, of which at most `backlog` wait for [`accept`](Self::accept); 0 stops listening.
    ///
    /// # Errors
    /// [`Error::Stopped`].
    pub fn listen(&self, backlog: usize) -> Result<(), Error> {
        unimplemented!()
    }

    /// Waits for the next incoming association. Cancel-safe. Several tasks may wait at the same time.
    ///
    /// # Errors
    /// [`Error::Stopped`], and [`Error::Invalid`] when the endpoint does not listen.
    pub async fn accept(&self) -> Result<Association, Error> {
        unimplemented!()
    }

    /// Starts an association from this port and waits until it is up. Dropping the future aborts the attempt.
    ///
    /// # Errors
    /// [`Error::Connect`] when it cannot be started, [`Error::Ended`] when the peer refuses or does not answer.
    pub async fn connect(&self, peer: &Peer) -> Result<Association, Error> {
        unimplemented!()
    }

    /// As [`connect`](Self::connect), with settings for this association in place of those of the port.
    ///
    /// # Errors
    /// As [`connect`](Self::connect), and [`Error::Config`].
    pub async fn connect_with(&self, peer: &Peer, config: AssocConfig) -> Result<Association, Error> {
        unimplemented!()
    }

    /// Starts an association without waiting: messages sent before it is up travel with the COOKIE ECHO. Wait with
    /// [`Association::established`].
    ///
    /// # Errors
    /// [`Error::Connect`] when it cannot be started, [`Error::Config`].
    pub fn start_connect(&self, peer: &Peer, config: Option<AssocConfig>) -> Result<Association, Error> {
        unimplemented!()
    }

    /// Changes the settings of future associations of this port.
    ///
    /// # Errors
    /// [`Error::Config`], [`Error::Stopped`].
    pub fn set_config(&self, config: AssocConfig) -> Result<(), Error> {
        unimplemented!()
    }
}
