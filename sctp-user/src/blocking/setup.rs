//! Listening and connecting, which work in the same way for both styles.

use bytes::Bytes;
use sctp_user_core::socket::{SocketId, Sockets};
use sctp_user_core::{AssocConfig, AssocId, Peer, Time};

use super::handles::{Association, Port};
use super::stack::Stack;
use crate::error::Error;
use crate::options::BindOptions;
use crate::to_peer::ToPeer;

impl Stack {
    /// Lets peers start associations. At an endpoint, at most `backlog` of them wait for
    /// [`accept`](Self::accept); those that have ended in the meantime do not count. A one-to-many
    /// socket accepts them automatically, so any `backlog` but 0 means the same. 0 stops listening:
    /// [`accept`](Self::accept) still returns the associations that have come, and then fails.
    ///
    /// # Errors
    /// [`Error::Stopped`]; [`Error::NoAssociation`] when the handle was closed.
    pub fn listen(&mut self, port: impl Port, backlog: usize) -> Result<(), Error> {
        self.check_running()?;
        Ok(self.with(|sockets, _| sockets.listen(port.socket(), backlog))?)
    }

    /// Connects from a free port and waits until the association is up. The peer is a [`Peer`] or a
    /// text such as `"server.example:7"`, see [`ToPeer`]. If connecting takes longer than the
    /// timeout, aborts the attempt.
    ///
    /// # Errors
    /// [`Error::Peer`] when the text is wrong or its name is not found, [`Error::Connect`] when the
    /// association cannot be started, [`Error::Refused`] when the peer refuses, [`Error::Ended`] or
    /// [`Error::NoNativeAnswer`] when it does not answer,
    /// [`Error::TimedOut`].
    pub fn connect(&mut self, peer: impl ToPeer) -> Result<Association, Error> {
        self.connect_with(peer, self.assoc_config())
    }

    /// Like [`connect`](Self::connect), with settings for this association.
    ///
    /// # Errors
    /// As [`connect`](Self::connect), and [`Error::Config`].
    pub fn connect_with(
        &mut self,
        peer: impl ToPeer,
        config: AssocConfig,
    ) -> Result<Association, Error> {
        let peer = &self.resolve(peer)?;
        let endpoint = self.bind(BindOptions { config: Some(config), ..BindOptions::default() })?;
        let socket = endpoint.socket;
        let started = self.with(|sockets, now| sockets.connect(now, socket, peer));
        let started = started.inspect_err(|_| self.close(endpoint));
        let association = Association {
            socket,
            assoc: started?,
            local_port: endpoint.port,
            peer_port: peer.port,
        };
        match self.outcome(socket, association.assoc, peer) {
            Ok(local_port) => Ok(Association { local_port, ..association }),
            Err(why) => {
                self.close(association);
                Err(why)
            }
        }
    }

    /// Starts an association from a bound port, which may listen, and waits until it is up. If that
    /// takes longer than the timeout, aborts the attempt. `config` replaces the settings of the
    /// port.
    ///
    /// # Errors
    /// As [`connect_with`](Self::connect_with).
    pub fn connect_from<P: Port>(
        &mut self,
        port: P,
        peer: impl ToPeer,
        config: Option<AssocConfig>,
    ) -> Result<P::Connected, Error> {
        self.check_running()?;
        let peer = &self.resolve(peer)?;
        let connected = self.start_connect(port, peer, config)?;
        let (socket, assoc) = port.socket_and_assoc(connected);
        let local_port = self.outcome(socket, assoc, peer).inspect_err(|_| {
            self.with(|sockets, now| {
                if socket == port.socket() {
                    let _ = sockets.abort_assoc(now, socket, assoc, Bytes::new());
                } else {
                    let _ = sockets.abandon(now, socket);
                }
            });
        })?;
        Ok(port.with_local_port(connected, local_port))
    }

    /// Starts an association from a bound port and does not wait until it is up. Messages can be
    /// sent at once; the first of them travel with the COOKIE ECHO. `config` replaces the settings
    /// of the port. For an endpoint, [`established`](Self::established) reports the outcome. For a
    /// one-to-many socket, notifications do
    /// ([`Subscriptions::assoc_change`](crate::Subscriptions::assoc_change)).
    ///
    /// # Errors
    /// [`Error::Connect`] when it cannot be started, [`Error::Config`], [`Error::Stopped`].
    pub fn start_connect<P: Port>(
        &mut self,
        port: P,
        peer: &Peer,
        config: Option<AssocConfig>,
    ) -> Result<P::Connected, Error> {
        self.check_running()?;
        let config = config.map(|config| self.limit(config));
        self.with(|sockets, now| port.start(sockets, now, peer, config))
    }

    /// Waits until the association is up. Returns at once if it is up already.
    ///
    /// # Errors
    /// [`Error::Refused`] or [`Error::Ended`] when it could not be set up, [`Error::TimedOut`],
    /// [`Error::Stopped`].
    pub fn established(&mut self, association: Association) -> Result<(), Error> {
        self.set_up(association.socket, association.assoc)
    }

    /// Waits until an association is up and returns its local port. If the stack chose the port, it
    /// may have changed until then.
    fn outcome(&mut self, socket: SocketId, assoc: AssocId, peer: &Peer) -> Result<u16, Error> {
        self.set_up(socket, assoc).map_err(|why| why.of_setup(std::slice::from_ref(peer)))?;
        let status = self.engine.sockets.stack().status(assoc);
        Ok(status.ok_or(Error::NoAssociation)?.local_port)
    }

    fn set_up(&mut self, socket: SocketId, assoc: AssocId) -> Result<(), Error> {
        let outcome = |sockets: &mut Sockets, _: Time| Ok(sockets.setup_result(socket, assoc)?);
        self.engine.wait(self.timeout, outcome)
    }
}
