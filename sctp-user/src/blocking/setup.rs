//! Listening and connecting, which are the same in both styles.

use bytes::Bytes;
use sctp_user_core::socket::{SocketId, Sockets};
use sctp_user_core::{AssocConfig, AssocId, Peer, Time};

use super::handles::{Association, Port};
use super::stack::Stack;
use crate::error::Error;
use crate::options::BindOptions;

impl Stack {
    /// Accepts new associations. At most `backlog` of an endpoint wait for
    /// [`accept`](Self::accept), those not counted that have ended meanwhile; a one-to-many socket
    /// accepts by itself, and there any `backlog` but 0 means the same. 0 stops listening:
    /// [`accept`](Self::accept) gives what has come and then fails.
    ///
    /// # Errors
    /// [`Error::Stopped`]; [`Error::NoAssociation`] when the handle was closed.
    pub fn listen(&mut self, port: impl Port, backlog: usize) -> Result<(), Error> {
        self.check_running()?;
        Ok(self.with(|sockets, _| sockets.listen(port.socket(), backlog))?)
    }

    /// Connects from a free port of its own and waits until the association is up. When that takes
    /// too long, the attempt is given up.
    ///
    /// # Errors
    /// [`Error::Connect`] when it cannot be started, [`Error::Refused`] when the peer refuses,
    /// [`Error::Ended`] or [`Error::NoNativeAnswer`] when it does not answer, [`Error::TimedOut`].
    pub fn connect(&mut self, peer: &Peer) -> Result<Association, Error> {
        self.connect_with(peer, self.assoc_config())
    }

    /// As [`connect`](Self::connect), with settings for this association.
    ///
    /// # Errors
    /// As [`connect`](Self::connect), and [`Error::Config`].
    pub fn connect_with(&mut self, peer: &Peer, config: AssocConfig) -> Result<Association, Error> {
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

    /// Starts an association from a bound port, which may listen, and waits until it is up. When
    /// that takes too long, the attempt is given up. `config` replaces the settings of the port.
    ///
    /// # Errors
    /// As [`connect_with`](Self::connect_with).
    pub fn connect_from<P: Port>(
        &mut self,
        port: P,
        peer: &Peer,
        config: Option<AssocConfig>,
    ) -> Result<P::Connected, Error> {
        let connected = self.start_connect(port, peer, config)?;
        let (socket, assoc) = port.meant(connected);
        let local_port = self.outcome(socket, assoc, peer).inspect_err(|_| {
            self.with(|sockets, now| {
                if socket == port.socket() {
                    let _ = sockets.abort_assoc(now, socket, assoc, Bytes::new());
                } else {
                    let _ = sockets.abandon(now, socket);
                }
            });
        })?;
        Ok(port.renamed(connected, local_port))
    }

    /// Starts an association from a bound port without waiting for it: messages sent before it is
    /// up travel with the COOKIE ECHO. `config` replaces the settings of the port. Of an
    /// endpoint's, [`established`](Self::established) tells the outcome; of a one-to-many socket's,
    /// notifications do ([`Subscriptions::assoc_change`](crate::Subscriptions::assoc_change)).
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

    /// Waits until the association is up; at once for one that is.
    ///
    /// # Errors
    /// [`Error::Refused`] or [`Error::Ended`] when it could not be set up, [`Error::TimedOut`], [`Error::Stopped`].
    pub fn established(&mut self, association: Association) -> Result<(), Error> {
        self.set_up(association.socket, association.assoc)
    }

    /// The own port of an association, once it is up: one that nobody chose may change until then.
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
