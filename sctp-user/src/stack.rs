//! Building a stack, and the handle to it.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use sctp_user_core::socket::{SocketId, SocketOptions, Sockets, Style};
use sctp_user_core::{AssocConfig, BindError, Encap, Peer, Scope, StackConfig, StackStats};

use crate::association::Association;
use crate::claim::Claims;
use crate::driver::Driver;
use crate::endpoint::Endpoint;
use crate::error::Error;
use crate::interfaces::local_addresses;
use crate::link::Link;
use crate::one_to_many::OneToMany;
use crate::options::BindOptions;
use crate::shared::{Phase, Shared};

/// Collects what a [`Stack`] is made of.
#[derive(Default)]
pub struct StackBuilder {
    links: Vec<Box<dyn Link>>,
    config: StackConfig,
    assoc_config: AssocConfig,
    seed: Option<[u8; 32]>,
    announce: Option<Scope>,
}

impl StackBuilder {
    /// No links yet, default settings, and a seed from the operating system.
    pub fn new() -> Self {
        StackBuilder::default()
    }

    /// Adds a link. A packet goes by the first link that handles its encapsulation.
    #[must_use]
    pub fn link(mut self, link: impl Link + 'static) -> Self {
        self.links.push(Box::new(link));
        self
    }

    /// Settings of the stack.
    #[must_use]
    pub fn config(mut self, config: StackConfig) -> Self {
        self.config = config;
        self
    }

    /// Has every wildcard-bound port announce the addresses that the host has when the stack is built, without those narrower
    /// than `narrowest` ([`local_addresses`]), in place of [`StackConfig::local_addresses`]. Default: none is
    /// announced, which is the only right choice behind NAT.
    #[must_use]
    pub fn announce_local_addresses(mut self, narrowest: Scope) -> Self {
        self.announce = Some(narrowest);
        self
    }

    /// Settings of associations for ports that are bound without their own. MTUs larger than a link's are cut to that.
    #[must_use]
    pub fn assoc_config(mut self, config: AssocConfig) -> Self {
        self.assoc_config = config;
        self
    }

    /// Fixes all randomness, for tests that must be repeatable. Without it the operating system gives the seed, and nothing else
    /// is safe on a network: tags, TSNs and keys follow from it.
    #[must_use]
    pub fn seed(mut self, seed: [u8; 32]) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Starts the stack's task on the current tokio runtime.
    ///
    /// # Errors
    /// Without a link, outside of a tokio runtime, or with a configuration that is not valid.
    pub fn build(self) -> Result<Stack, Error> {
        self.assoc_config.check()?;
        if self.links.is_empty() {
            return Err(Error::Invalid("a stack needs at least one link to send and receive packets by"));
        }
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| {
            Error::Invalid("a stack must be built inside a tokio runtime, which runs its task")
        })?;
        let mut config = self.config;
        if let Some(narrowest) = self.announce {
            config.local_addresses = local_addresses(narrowest);
        }
        let sockets = Sockets::new(config, self.seed.unwrap_or_else(rand::random));
        let claims = self.links.iter().any(|link| link.shares_host()).then(Claims::default);
        let shared = Arc::new(Shared::new(sockets, claims));
        let mtus = Mtus::of(&self.links);
        let handle = Handle {
            shared: Arc::clone(&shared),
            assoc_config: mtus.limit(self.assoc_config),
            mtus,
            local_udp_port: self.links.iter().find_map(|l| l.local_udp_port()),
        };
        runtime.spawn(Driver::new(shared, self.links));
        Ok(Stack { handle: Arc::new(handle) })
    }
}

impl fmt::Debug for StackBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let StackBuilder { links, config, assoc_config, seed: _, announce } = self;
        f.debug_struct("StackBuilder")
            .field("links", &links.len())
            .field("config", config)
            .field("assoc_config", assoc_config)
            .field("announce", announce)
            .finish_non_exhaustive()
    }
}

/// What every handle of a stack holds; the last one to go aborts what is open.
pub(crate) struct Handle {
    pub(crate) shared: Arc<Shared>,
    pub(crate) local_udp_port: Option<u16>,
    assoc_config: AssocConfig,
    mtus: Mtus,
}

impl Handle {
    /// A link carries packets in this way.
    pub(crate) fn has_link(&self, encap: Encap) -> bool {
        self.mtus.has(encap)
    }

    /// Settings that the links can carry.
    pub(crate) fn limit(&self, config: AssocConfig) -> AssocConfig {
        self.mtus.limit(config)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.enter(Phase::Aborting(Bytes::new()));
    }
}

/// The largest IP packets of the links; `None` where there is no such link.
#[derive(Clone, Copy)]
pub(crate) struct Mtus {
    native: Option<usize>,
    udp: Option<usize>,
}

impl Mtus {
    pub(crate) fn of<L: Link>(links: &[L]) -> Self {
        let mtu = |encap| links.iter().find(|l| l.handles(encap)).map(|l| l.ip_mtu());
        Mtus { native: mtu(Encap::Native), udp: mtu(Encap::Udp { remote_port: 1 }) }
    }

    /// A link carries packets in this way.
    pub(crate) fn has(self, encap: Encap) -> bool {
        match encap {
            Encap::Native => self.native.is_some(),
            Encap::Udp { .. } => self.udp.is_some(),
        }
    }

    pub(crate) fn limit(self, mut config: AssocConfig) -> AssocConfig {
        config.ip_mtu = config.ip_mtu.min(self.native.unwrap_or(usize::MAX));
        config.ip_mtu_udp = config.ip_mtu_udp.min(self.udp.unwrap_or(usize::MAX));
        config
    }
}

/// A running SCTP stack. Cheap to clone; every clone means the same stack.
#[derive(Clone)]
pub struct Stack {
    handle: Arc<Handle>,
}

impl Stack {
    /// Binds an SCTP port: `stack.bind(7)`, or with more said in [`BindOptions`].
    ///
    /// # Errors
    /// When the port is taken, by this stack ([`Error::Bind`]) or with a raw link by another one of the host
    /// ([`Error::PortInUse`]), an address cannot be bound or the configuration is not valid.
    pub fn bind(&self, options: impl Into<BindOptions>) -> Result<Endpoint, Error> {
        let (socket, port) = self.bind_socket(Style::OneToOne, options.into())?;
        Ok(Endpoint::new(Arc::clone(&self.handle), socket, port))
    }

    /// Binds an SCTP port for the one-to-many style.
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
    pub fn bind_one_to_many(&self, options: impl Into<BindOptions>) -> Result<OneToMany, Error> {
        let (socket, port) = self.bind_socket(Style::OneToMany, options.into())?;
        Ok(OneToMany::new(Arc::clone(&self.handle), socket, port))
    }

    /// Connects from a free port of its own and waits until the association is up. Dropping the future aborts the attempt.
    ///
    /// # Errors
    /// [`Error::Connect`] when it cannot be started, [`Error::Ended`] or [`Error::NoNativeAnswer`] when the peer refuses or
    /// does not answer.
    pub async fn connect(&self, peer: &Peer) -> Result<Association, Error> {
        self.connect_with(peer, self.assoc_config()).await
    }

    /// As [`connect`](Self::connect), with settings for this association.
    ///
    /// # Errors
    /// As [`connect`](Self::connect), and [`Error::Config`].
    pub async fn connect_with(&self, peer: &Peer, config: AssocConfig) -> Result<Association, Error> {
        let options = BindOptions { config: Some(config), ..BindOptions::default() };
        let (socket, port) = self.bind_socket(Style::OneToOne, options)?;
        let started = self.handle.shared.with(|state, now| {
            let started = state.sockets.connect(now, socket, peer);
            if started.is_err() {
                let _ = state.sockets.abandon(now, socket);
            }
            started
        })?;
        let association = Association::new(Arc::clone(&self.handle), socket, started, port, peer.port);
        association.established().await.map_err(|error| error.of_setup(std::slice::from_ref(peer)))?;
        Ok(association)
    }

    /// The settings for associations of ports that are bound without their own.
    pub fn assoc_config(&self) -> AssocConfig {
        self.handle.assoc_config.clone()
    }

    /// The settings of the stack.
    pub fn config(&self) -> StackConfig {
        self.handle.shared.peek(|state| state.sockets.stack().config().clone())
    }

    /// Own UDP port of the link that encapsulates in UDP; `None` when there is none.
    pub fn local_udp_port(&self) -> Option<u16> {
        self.handle.local_udp_port
    }

    /// Whether the stack has a link for native SCTP (IP protocol 132).
    pub fn has_native(&self) -> bool {
        self.handle.has_link(Encap::Native)
    }

    /// Counters of the stack.
    pub fn stats(&self) -> StackStats {
        self.handle.shared.peek(|state| state.sockets.stack().stats())
    }

    /// Shuts every association down gracefully, accepts no new ones, waits until the last is gone and ends the stack's task. What
    /// would have to wait on other handles then gives [`Error::Stopped`]. It can take as long as the slowest peer
    /// (T5-shutdown-guard at the most); wrap it in [`tokio::time::timeout`] and call [`abort`](Self::abort) to be done sooner.
    pub async fn shutdown(&self) {
        self.handle.shared.enter(Phase::Closing);
        self.handle.shared.stopped().await;
    }

    /// Aborts every association with `reason`, hands the ABORTs to the links and ends the stack's task.
    pub async fn abort(&self, reason: impl Into<Bytes>) {
        self.handle.shared.enter(Phase::Aborting(reason.into()));
        self.handle.shared.stopped().await;
    }

    fn bind_socket(&self, style: Style, options: BindOptions) -> Result<(SocketId, u16), Error> {
        let BindOptions { port, addrs, config, subscriptions, reuse_port } = options;
        let config = config.map_or_else(|| self.assoc_config(), |config| self.handle.limit(config));
        let options = SocketOptions { subscriptions, config, reuse_port, ..SocketOptions::default() };
        for _ in 0..CLAIM_TRIES {
            let (socket, bound) = self.handle.shared.with(|state, now| {
                state.check_running()?;
                let socket = state.sockets.open(style, options.clone());
                match state.sockets.bind(socket, port, &addrs) {
                    Ok(port) => Ok((socket, port)),
                    Err(why) => {
                        let _ = state.sockets.close(now, socket);
                        Err(Error::from(why))
                    }
                }
            })?;
            let Err(why) = self.handle.shared.claim(bound) else { return Ok((socket, bound)) };
            self.handle.shared.with(|state, now| drop(state.sockets.close(now, socket)));
            if port != 0 {
                return Err(why);
            }
        }
        Err(BindError::NoPort.into())
    }
}

impl fmt::Debug for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stack").field("local_udp_port", &self.local_udp_port()).finish_non_exhaustive()
    }
}

/// Free ports tried that turn out to belong to others on this host.
pub(crate) const CLAIM_TRIES: usize = 64;
