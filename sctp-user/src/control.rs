//! The settings and status of one association.

use std::net::IpAddr;
use std::time::Duration;

use sctp_user_core::socket::{SendDefaults, SocketId, Subscriptions};
use sctp_user_core::{
    AssocConfig, AssocId, AssocStats, AssocStatus, Encap, PathAddr, PathParams, PathStatus,
};

use crate::error::Error;
use crate::shared::Shared;
use crate::stack::StackHandle;

/// Reads and changes the settings of an association, and reads its status and statistics.
/// [`Association::control`](crate::Association::control) and
/// [`OneToMany::control`](crate::OneToMany::control) give one.
///
/// ```
/// # use sctp_user::{Encap, Error, Peer, StackBuilder, link::sim::SimNet};
/// # use std::time::Duration;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Error> {
/// # let net = SimNet::new(1);
/// # let link = |host: u8| net.link(&[[192, 0, 2, host].into()], 9899);
/// # let start = |host: u8| StackBuilder::new().link(link(host)).build();
/// # let (one, two) = (start(1)?, start(2)?);
/// # let endpoint = two.bind(7)?;
/// # endpoint.listen(1)?;
/// # let peer = Peer::new([192, 0, 2, 2].into(), Encap::Udp { remote_port: 9899 }, 7);
/// let association = one.connect(&peer).await?;
/// let control = association.control();
/// let addr = control.paths()[0].addr.remote;
/// let mut params = control.path_params(addr)?;
/// params.hb_interval = Duration::from_secs(5);
/// control.set_path_params(addr, params)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy)]
pub struct Control<'a> {
    handle: &'a StackHandle,
    socket: SocketId,
    assoc: AssocId,
}

impl<'a> Control<'a> {
    pub(crate) fn new(handle: &'a StackHandle, socket: SocketId, assoc: AssocId) -> Self {
        Control { handle, socket, assoc }
    }

    /// The identifier of the association.
    pub fn id(&self) -> AssocId {
        self.assoc
    }

    /// The state and basic data of the association (SCTP_STATUS), also after its end. `None` when
    /// the stack has forgotten the association.
    pub fn status(&self) -> Option<AssocStatus> {
        self.shared().peek(|state| state.sockets.stack().status(self.assoc))
    }

    /// All paths, with their addresses, states, round-trip times and congestion windows
    /// (SCTP_GET_PEER_ADDR_INFO).
    pub fn paths(&self) -> Vec<PathStatus> {
        self.shared().peek(|state| state.sockets.stack().paths(self.assoc))
    }

    /// The counters of the association.
    pub fn stats(&self) -> AssocStats {
        self.shared()
            .peek(|state| state.sockets.stack().assoc_stats(self.assoc))
            .unwrap_or_default()
    }

    /// The addresses of the peer (`sctp_getpaddrs`), each with its encapsulation, which includes
    /// the peer's UDP port. The primary address comes first.
    pub fn peer_addrs(&self) -> Vec<PathAddr> {
        let mut paths = self.paths();
        paths.sort_by_key(|path| !path.primary);
        paths.into_iter().map(|path| path.addr).collect()
    }

    /// The local addresses (`sctp_getladdrs`): those that the peer was told, or, if it was told
    /// none, those that the paths use.
    pub fn local_addrs(&self) -> Vec<IpAddr> {
        let announced = self.shared().peek(|state| state.sockets.stack().local_addrs(self.assoc));
        if !announced.is_empty() {
            return announced;
        }
        let mut used = Vec::new();
        for local in self.peer_addrs().into_iter().filter_map(|path| path.local) {
            if !used.contains(&local) {
                used.push(local);
            }
        }
        used
    }

    /// The current settings (SCTP_RTOINFO, SCTP_ASSOCINFO, SCTP_DELAYED_SACK and more in one).
    ///
    /// # Errors
    /// [`Error::NoAssociation`] after the end.
    pub fn config(&self) -> Result<AssocConfig, Error> {
        let Control { socket, assoc, .. } = *self;
        Ok(self.shared().with(|state, now| state.sockets.assoc_config(now, socket, assoc))?)
    }

    /// Changes the settings: timers, limits, buffers, heartbeats. The numbers of streams and the
    /// MTUs cannot be changed.
    ///
    /// # Errors
    /// [`Error::Config`] when the new settings are not valid; then nothing changes.
    /// [`Error::NoAssociation`] after the end.
    pub fn configure(&self, change: impl FnOnce(&mut AssocConfig)) -> Result<(), Error> {
        let Control { socket, assoc, .. } = *self;
        // The caller's code must run without the lock.
        let mut config = self.config()?;
        change(&mut config);
        let config = self.handle.settings.limit(config);
        Ok(self
            .shared()
            .with(|state, now| state.sockets.set_assoc_config(now, socket, assoc, config))?)
    }

    /// Makes the path to `addr` the primary path (SCTP_PRIMARY_ADDR).
    ///
    /// # Errors
    /// [`Error::NoSuchAddress`] when the peer has no such address, or it is not confirmed yet;
    /// [`Error::NoAssociation`] after the end.
    pub fn set_primary(&self, addr: IpAddr) -> Result<(), Error> {
        let Control { socket, assoc, .. } = *self;
        Ok(self.shared().with(|state, now| state.sockets.set_primary(now, socket, assoc, addr))?)
    }

    /// Sends a heartbeat to `addr` at once (SPP_HB_DEMAND).
    ///
    /// # Errors
    /// [`Error::NoSuchAddress`]; [`Error::NoAssociation`] after the end.
    pub fn request_heartbeat(&self, addr: IpAddr) -> Result<(), Error> {
        let Control { socket, assoc, .. } = *self;
        Ok(self
            .shared()
            .with(|state, now| state.sockets.request_heartbeat(now, socket, assoc, addr))?)
    }

    /// Says that the peer may be dead, because the application has a reason to suspect it.
    ///
    /// A heartbeat goes to each path at once, unless one is under way, or the path was used within
    /// the last RTO. If the peer is dead, its host answers by ICMP that nobody is there. Until a
    /// packet arrives from the peer, such errors end the association when they have continued for
    /// `patience` (whole milliseconds, at most 65 s); maybe they have already, and it ends in this
    /// call. With 0, a single error is enough. A peer that answers is in no danger. One behind a
    /// NAT that has lost its binding, and answers by ICMP in its place, is lost; so is one that has
    /// no room for packets in its raw socket all the time. Errors that do not quote the
    /// association's verification tag count for nothing here, either.
    ///
    /// # Errors
    /// [`Error::NoAssociation`] after the end.
    pub fn suspect(&self, patience: Duration) -> Result<(), Error> {
        let Control { socket, assoc, .. } = *self;
        Ok(self.shared().with(|state, now| state.sockets.suspect(now, socket, assoc, patience))?)
    }

    /// The settings of the path to `addr` (SCTP_PEER_ADDR_PARAMS, SCTP_PEER_ADDR_THLDS).
    ///
    /// # Errors
    /// [`Error::NoSuchAddress`]; [`Error::NoAssociation`] when the association was forgotten.
    pub fn path_params(&self, addr: IpAddr) -> Result<PathParams, Error> {
        let Control { socket, assoc, .. } = *self;
        Ok(self.shared().with(|state, _| state.sockets.path_params(socket, assoc, addr))?)
    }

    /// Changes the settings of the path to `addr`.
    ///
    /// # Errors
    /// [`Error::NoSuchAddress`], or [`Error::NoAssociation`] after the end. [`Error::Config`] when
    /// [`PathParams::check`] rejects the settings; then nothing changes.
    pub fn set_path_params(&self, addr: IpAddr, params: PathParams) -> Result<(), Error> {
        let Control { socket, assoc, .. } = *self;
        let set = |state: &mut crate::shared::State, now| {
            state.sockets.set_path_params(now, socket, assoc, addr, params)
        };
        Ok(self.shared().with(set)?)
    }

    /// Changes how packets travel to `addr`: directly in IP, or in UDP to the given port
    /// (SCTP_REMOTE_UDP_ENCAPS_PORT). A later valid packet from the peer that comes in another way
    /// changes this again.
    ///
    /// # Errors
    /// [`Error::NoSuchAddress`]; [`Error::NoAssociation`] after the end. [`Error::Config`] for UDP
    /// port 0, and [`Error::Invalid`] when the stack has no link for this encapsulation.
    pub fn set_path_encap(&self, addr: IpAddr, encap: Encap) -> Result<(), Error> {
        if !self.handle.settings.has_link(encap) {
            return Err(Error::Invalid("the stack has no link that carries packets in this way"));
        }
        let Control { socket, assoc, .. } = *self;
        Ok(self
            .shared()
            .with(|state, now| state.sockets.set_path_encap(now, socket, assoc, addr, encap))?)
    }

    /// The notifications that the association delivers (SCTP_EVENT).
    ///
    /// # Errors
    /// [`Error::NoAssociation`] after the end.
    pub fn subscriptions(&self) -> Result<Subscriptions, Error> {
        let Control { socket, assoc, .. } = *self;
        Ok(self.shared().with(|state, _| state.sockets.assoc_subscriptions(socket, assoc))?)
    }

    /// Chooses which notifications this association delivers.
    ///
    /// # Errors
    /// [`Error::NoAssociation`] after the end.
    pub fn subscribe(&self, subscriptions: Subscriptions) -> Result<(), Error> {
        let Control { socket, assoc, .. } = *self;
        let set = |state: &mut crate::shared::State, _| {
            state.sockets.set_assoc_subscriptions(socket, assoc, subscriptions)
        };
        Ok(self.shared().with(set)?)
    }

    /// The default options for sending messages (SCTP_DEFAULT_SNDINFO). [`SendDefaults::message`]
    /// makes a message with them.
    ///
    /// # Errors
    /// [`Error::NoAssociation`] after the end.
    pub fn send_defaults(&self) -> Result<SendDefaults, Error> {
        let Control { socket, assoc, .. } = *self;
        Ok(self.shared().with(|state, _| state.sockets.send_defaults(socket, Some(assoc)))?)
    }

    /// Sets the default options for sending messages.
    ///
    /// # Errors
    /// [`Error::NoAssociation`] after the end.
    pub fn set_send_defaults(&self, defaults: SendDefaults) -> Result<(), Error> {
        let Control { socket, assoc, .. } = *self;
        Ok(self
            .shared()
            .with(|state, _| state.sockets.set_send_defaults(socket, Some(assoc), defaults))?)
    }

    fn shared(&self) -> &'a Shared {
        &self.handle.shared
    }
}

impl std::fmt::Debug for Control<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Control").field("id", &self.assoc).finish_non_exhaustive()
    }
}
