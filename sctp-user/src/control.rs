//! Settings and figures of one association.

use std::net::IpAddr;

use sctp_user_core::socket::{SendDefaults, SocketId, Subscriptions};
use sctp_user_core::{
    AssocConfig, AssocId, AssocStats, AssocStatus, Encap, PathAddr, PathParams, PathStatus,
};

use crate::error::Error;
use crate::shared::Shared;
use crate::stack::Handle;

/// What can be looked at and changed of one living association, from
/// [`Association::control`](crate::Association::control) or
/// [`OneToMany::control`](crate::OneToMany::control).
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
    handle: &'a Handle,
    socket: SocketId,
    assoc: AssocId,
}

impl<'a> Control<'a> {
    pub(crate) fn new(handle: &'a Handle, socket: SocketId, assoc: AssocId) -> Self {
        Control { handle, socket, assoc }
    }

    /// Names the association.
    pub fn id(&self) -> AssocId {
        self.assoc
    }

    /// State and figures (SCTP_STATUS); also after the end. `None` when the association was
    /// forgotten.
    pub fn status(&self) -> Option<AssocStatus> {
        self.shared().peek(|state| state.sockets.stack().status(self.assoc))
    }

    /// All paths, with addresses, state, round-trip times and congestion windows
    /// (SCTP_GET_PEER_ADDR_INFO).
    pub fn paths(&self) -> Vec<PathStatus> {
        self.shared().peek(|state| state.sockets.stack().paths(self.assoc))
    }

    /// Counters.
    pub fn stats(&self) -> AssocStats {
        self.shared()
            .peek(|state| state.sockets.stack().assoc_stats(self.assoc))
            .unwrap_or_default()
    }

    /// The addresses of the peer with their encapsulation, which holds the peer's UDP port
    /// (`sctp_getpaddrs`). The primary comes first.
    pub fn peer_addrs(&self) -> Vec<PathAddr> {
        let mut paths = self.paths();
        paths.sort_by_key(|path| !path.primary);
        paths.into_iter().map(|path| path.addr).collect()
    }

    /// Own addresses (`sctp_getladdrs`): those that the peer was told of, or else those that the
    /// paths use.
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

    /// The settings now (SCTP_RTOINFO, SCTP_ASSOCINFO, SCTP_DELAYED_SACK and more in one).
    ///
    /// # Errors
    /// [`Error::NoAssociation`] after the end.
    pub fn config(&self) -> Result<AssocConfig, Error> {
        let Control { socket, assoc, .. } = *self;
        Ok(self.shared().with(|state, now| state.sockets.assoc_config(now, socket, assoc))?)
    }

    /// Changes settings: timers, limits, buffers, heartbeat. Numbers of streams and MTUs stay.
    ///
    /// # Errors
    /// [`Error::Config`] when the result is not valid (nothing changes then),
    /// [`Error::NoAssociation`] after the end.
    pub fn configure(&self, change: impl FnOnce(&mut AssocConfig)) -> Result<(), Error> {
        let Control { socket, assoc, .. } = *self;
        // The caller's code runs without the lock.
        let mut config = self.config()?;
        change(&mut config);
        let config = self.handle.settings.limit(config);
        Ok(self
            .shared()
            .with(|state, now| state.sockets.set_assoc_config(now, socket, assoc, config))?)
    }

    /// Makes the path to `addr` the primary one (SCTP_PRIMARY_ADDR).
    ///
    /// # Errors
    /// [`Error::NoAssociation`] when there is no such confirmed address.
    pub fn set_primary(&self, addr: IpAddr) -> Result<(), Error> {
        let Control { socket, assoc, .. } = *self;
        Ok(self.shared().with(|state, now| state.sockets.set_primary(now, socket, assoc, addr))?)
    }

    /// Sends a heartbeat to `addr` at once (SPP_HB_DEMAND).
    ///
    /// # Errors
    /// [`Error::NoAssociation`] when there is no such address.
    pub fn request_heartbeat(&self, addr: IpAddr) -> Result<(), Error> {
        let Control { socket, assoc, .. } = *self;
        Ok(self
            .shared()
            .with(|state, now| state.sockets.request_heartbeat(now, socket, assoc, addr))?)
    }

    /// The settings of the path to `addr` (SCTP_PEER_ADDR_PARAMS, SCTP_PEER_ADDR_THLDS).
    ///
    /// # Errors
    /// [`Error::NoAssociation`] when there is no such address.
    pub fn path_params(&self, addr: IpAddr) -> Result<PathParams, Error> {
        let Control { socket, assoc, .. } = *self;
        Ok(self.shared().with(|state, _| state.sockets.path_params(socket, assoc, addr))?)
    }

    /// Changes the settings of the path to `addr`.
    ///
    /// # Errors
    /// [`Error::NoAssociation`] when there is no such address; [`Error::Config`] as
    /// [`PathParams::check`] says, and nothing changes then.
    pub fn set_path_params(&self, addr: IpAddr, params: PathParams) -> Result<(), Error> {
        let Control { socket, assoc, .. } = *self;
        let set = |state: &mut crate::shared::State, now| {
            state.sockets.set_path_params(now, socket, assoc, addr, params)
        };
        Ok(self.shared().with(set)?)
    }

    /// Changes how packets travel to `addr`: natively or to this UDP port
    /// (SCTP_REMOTE_UDP_ENCAPS_PORT). The next valid packet of the peer that comes in another way
    /// changes it again.
    ///
    /// # Errors
    /// [`Error::NoAssociation`] when there is no such address; [`Error::Config`] for UDP port 0;
    /// [`Error::Invalid`] when the stack has no link for it.
    pub fn set_path_encap(&self, addr: IpAddr, encap: Encap) -> Result<(), Error> {
        if !self.handle.settings.has_link(encap) {
            return Err(Error::Invalid("the stack has no link that carries packets in this way"));
        }
        let Control { socket, assoc, .. } = *self;
        Ok(self
            .shared()
            .with(|state, now| state.sockets.set_path_encap(now, socket, assoc, addr, encap))?)
    }

    /// The notifications that the association gives (SCTP_EVENT).
    ///
    /// # Errors
    /// [`Error::NoAssociation`] after the end.
    pub fn subscriptions(&self) -> Result<Subscriptions, Error> {
        let Control { socket, assoc, .. } = *self;
        Ok(self.shared().with(|state, _| state.sockets.assoc_subscriptions(socket, assoc))?)
    }

    /// Chooses the notifications of this association.
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

    /// What messages are sent with that say nothing else (SCTP_DEFAULT_SNDINFO);
    /// [`SendDefaults::message`] makes one.
    ///
    /// # Errors
    /// [`Error::NoAssociation`] after the end.
    pub fn send_defaults(&self) -> Result<SendDefaults, Error> {
        let Control { socket, assoc, .. } = *self;
        Ok(self.shared().with(|state, _| state.sockets.send_defaults(socket, Some(assoc)))?)
    }

    /// Chooses what messages are sent with that say nothing else.
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
