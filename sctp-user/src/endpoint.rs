//! A bound SCTP port.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use sctp_user_core::socket::SocketId;
use sctp_user_core::{AssocConfig, Peer};

use crate::association::Association;
use crate::error::Error;
use crate::shared::{Interest, Shared, State};
use crate::stack::StackHandle;
use crate::to_peer::{ToPeer, resolve};

/// A bound SCTP port. It can accept associations, and associations can be started from it, both at
/// the same time.
///
/// ```
/// # use sctp_user::{Encap, Error, Peer, StackBuilder, link::sim::SimNet};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Error> {
/// # let net = SimNet::new(1);
/// # let link = |host: u8| net.link(&[[192, 0, 2, host].into()], 9899);
/// # let start = |host: u8| StackBuilder::new().link(link(host)).build();
/// # let (one, two) = (start(1)?, start(2)?);
/// let here = one.bind(4000)?;
/// here.listen(16)?;
/// # let there = two.bind(5000)?;
/// # there.listen(16)?;
/// let peer = Peer::new([192, 0, 2, 2].into(), Encap::Udp { remote_port: 9899 }, 5000);
/// let association = here.connect(&peer).await?;
/// assert_eq!(association.local_port(), 4000);
///
/// // The other side may connect to the same port; a second association between the same two ports
/// // is refused.
/// # let other = two.bind(0)?;
/// # let back = Peer::new([192, 0, 2, 1].into(), Encap::Udp { remote_port: 9899 }, 4000);
/// # let (connected, accepted) = tokio::join!(other.connect(&back), here.accept());
/// # connected?;
/// # let accepted = accepted?;
/// assert_eq!(accepted.local_port(), 4000);
/// # Ok(())
/// # }
/// ```
///
/// Dropping an endpoint stops listening and aborts the associations that were not accepted yet. Its
/// other associations live on, and the port is free again when the last of them has ended. If this
/// endpoint had [`reuse_port`](crate::BindOptions::reuse_port), another endpoint with that option
/// can bind the port at once.
pub struct Endpoint {
    handle: Arc<StackHandle>,
    socket: SocketId,
    port: u16,
    freebind: bool,
}

impl Endpoint {
    pub(crate) fn new(
        handle: Arc<StackHandle>,
        socket: SocketId,
        port: u16,
        freebind: bool,
    ) -> Self {
        Endpoint { handle, socket, port, freebind }
    }

    /// The SCTP port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The local UDP port of the stack's link for UDP; `None` if there is no such link.
    pub fn local_udp_port(&self) -> Option<u16> {
        self.handle.settings.local_udp_port
    }

    /// Lets peers start associations. At most `backlog` of them wait for [`accept`](Self::accept);
    /// those that have ended in the meantime do not count. 0 stops listening:
    /// [`accept`](Self::accept) still returns the associations that have come, and then fails.
    ///
    /// # Errors
    /// [`Error::Stopped`].
    pub fn listen(&self, backlog: usize) -> Result<(), Error> {
        self.handle.shared.with(|state, _| {
            state.check_running()?;
            Ok(state.sockets.listen(self.socket, backlog)?)
        })
    }

    /// Waits for the next incoming association, which may have ended already. Several tasks may
    /// wait at the same time. Cancel-safe: a dropped future has taken none.
    ///
    /// # Errors
    /// [`Error::Stopped`], and [`Error::Invalid`] when the endpoint does not listen, or stops.
    pub async fn accept(&self) -> Result<Association, Error> {
        let accept = |state: &mut State, now| {
            state.check_running()?;
            let socket = state.sockets.accept(now, self.socket)?;
            let assoc =
                state.sockets.assocs_of(socket).first().copied().ok_or(Error::NoAssociation)?;
            let peer_port =
                state.sockets.stack().status(assoc).map_or(0, |status| status.peer_port);
            Ok((socket, assoc, peer_port))
        };
        let (socket, assoc, peer_port) =
            self.handle.shared.wait(self.socket, Interest::Accept, accept).await?;
        Ok(Association::new(Arc::clone(&self.handle), socket, assoc, self.port, peer_port))
    }

    /// Starts an association from this port and waits until it is up. The peer is a [`Peer`] or a
    /// text such as `"server.example:7"`, see [`ToPeer`]. Dropping the future aborts the attempt.
    ///
    /// # Errors
    /// [`Error::Peer`] when the text is wrong or its name is not found, [`Error::Connect`] when the
    /// association cannot be started, [`Error::Refused`] when the peer refuses, [`Error::Ended`] or
    /// [`Error::NoNativeAnswer`] when it does not answer.
    pub async fn connect(&self, peer: impl ToPeer) -> Result<Association, Error> {
        self.connect_one(peer, None).await
    }

    /// Like [`connect`](Self::connect), with settings for this association instead of those of the
    /// port. Dropping the future aborts the attempt.
    ///
    /// # Errors
    /// As [`connect`](Self::connect), and [`Error::Config`].
    pub async fn connect_with(
        &self,
        peer: impl ToPeer,
        config: AssocConfig,
    ) -> Result<Association, Error> {
        self.connect_one(peer, Some(config)).await
    }

    async fn connect_one(
        &self,
        peer: impl ToPeer,
        config: Option<AssocConfig>,
    ) -> Result<Association, Error> {
        let peer = resolve(peer, &self.handle.settings).await?.peer;
        let association = self.start_connect(&peer, config)?;
        let outcome = association.established().await;
        outcome.map_err(|error| error.of_setup(std::slice::from_ref(&peer)))?;
        Ok(association)
    }

    /// Starts an association and does not wait until it is up. Messages can be sent at once; the
    /// first of them travel with the COOKIE ECHO. Wait with [`Association::established`].
    ///
    /// # Errors
    /// [`Error::Connect`] when it cannot be started, [`Error::Config`].
    pub fn start_connect(
        &self,
        peer: &Peer,
        config: Option<AssocConfig>,
    ) -> Result<Association, Error> {
        let config = config.map(|config| self.handle.settings.limit(config));
        let (socket, assoc) = self.handle.shared.with(|state, now| {
            state.check_running()?;
            let socket = state.sockets.connect_from(now, self.socket, peer, config)?;
            let assoc =
                state.sockets.assocs_of(socket).first().copied().ok_or(Error::NoAssociation)?;
            Ok::<_, Error>((socket, assoc))
        })?;
        Ok(Association::new(Arc::clone(&self.handle), socket, assoc, self.port, peer.port))
    }

    /// Replaces the local addresses (`sctp_bindx`) for future associations. See
    /// [`BindOptions::addrs`](crate::BindOptions::addrs) for what an empty list, one address and
    /// several addresses mean, and which of them can be bound.
    ///
    /// # Errors
    /// [`Error::NotOfALink`], [`Error::NotLocal`] or [`Error::Bind`] when one of them cannot be
    /// bound.
    pub fn set_addrs(&self, addrs: &[IpAddr]) -> Result<(), Error> {
        if !self.freebind {
            self.handle.settings.link_addrs.check(addrs)?;
        }
        self.handle.shared.with(|state, _| Ok(state.sockets.set_addrs(self.socket, addrs)?))
    }

    /// The local addresses; empty if the port is bound to all addresses.
    pub fn addrs(&self) -> Vec<IpAddr> {
        self.handle.shared.peek(|state| state.sockets.local_addrs(self.socket))
    }

    /// Changes the settings of future associations of this port.
    ///
    /// # Errors
    /// [`Error::Config`], [`Error::Stopped`].
    pub fn set_config(&self, config: AssocConfig) -> Result<(), Error> {
        let config = self.handle.settings.limit(config);
        self.handle.shared.with(|state, _| Ok(state.sockets.set_config(self.socket, config)?))
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.handle.shared.with(|state, now| {
            let _ = state.sockets.abandon(now, self.socket);
            Shared::forget_waiters(state, self.socket);
        });
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("port", &self.port).finish_non_exhaustive()
    }
}
