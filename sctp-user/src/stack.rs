//! Building a stack, and the handle to it.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use sctp_user_core::socket::{SocketId, Sockets, Style};
use sctp_user_core::{AssocConfig, Encap, Peer, StackConfig, StackStats, Time};

use crate::association::Association;
use crate::bind::{AnyStack, bind};
use crate::blocks::Blocks;
use crate::builder::{Builder, Parts, Settings};
use crate::claim::Claims;
use crate::driver::Driver;
use crate::endpoint::Endpoint;
use crate::error::Error;
use crate::link::{Link, LinkStats};
use crate::one_to_many::OneToMany;
use crate::options::BindOptions;
use crate::shared::{Phase, Shared};
use crate::to_peer::{ToPeer, Ways, resolve};

/// Collects the links and settings of a [`Stack`].
pub type StackBuilder = Builder<Box<dyn Link>>;

impl StackBuilder {
    /// Adds a link. Each packet goes over the first link that handles its encapsulation.
    #[must_use]
    pub fn link(self, link: impl Link + 'static) -> Self {
        self.add(Box::new(link))
    }

    /// Starts the stack's task on the current tokio runtime.
    ///
    /// # Errors
    /// When there is no link, when the call is made outside a tokio runtime, or when the
    /// configuration is not valid.
    pub fn build(self) -> Result<Stack, Error> {
        let Parts { sockets, links, claims, blocks, settings } = self.parts()?;
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| {
            Error::Invalid("a stack must be built inside a tokio runtime, which runs its task")
        })?;
        let meters = links.iter().filter_map(|link| link.meter()).collect();
        let shared = Arc::new(Shared::new(sockets, claims, blocks, meters));
        runtime.spawn(Driver::new(Arc::clone(&shared), links));
        Ok(Stack { handle: Arc::new(StackHandle { shared, settings }) })
    }
}

/// Shared by all handles of a stack. When the last handle is dropped, all open associations are
/// aborted.
pub(crate) struct StackHandle {
    pub(crate) shared: Arc<Shared>,
    pub(crate) settings: Settings,
}

impl Drop for StackHandle {
    fn drop(&mut self) {
        self.shared.enter_phase(Phase::Aborting(Bytes::new()));
    }
}

/// A running SCTP stack. It is cheap to clone, and all clones are the same stack.
#[derive(Clone)]
pub struct Stack {
    handle: Arc<StackHandle>,
}

impl Stack {
    /// Binds an SCTP port: `stack.bind(7)`, or with other options in [`BindOptions`].
    ///
    /// # Errors
    /// When the port is in use, either by this stack ([`Error::Bind`]) or, with a raw link, by
    /// another stack on the host ([`Error::PortInUse`]). When an address cannot be bound, because
    /// no link has it ([`Error::NotOfALink`]), because the host does not have it
    /// ([`Error::NotLocal`]), or because it is not unicast ([`Error::Bind`]). When the
    /// configuration is not valid ([`Error::Config`]).
    pub fn bind(&self, options: impl Into<BindOptions>) -> Result<Endpoint, Error> {
        let options = options.into();
        let freebind = options.freebind;
        let (socket, port) = self.bind_socket(Style::OneToOne, options)?;
        Ok(Endpoint::new(Arc::clone(&self.handle), socket, port, freebind))
    }

    /// Binds an SCTP port for the one-to-many style.
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
    pub fn bind_one_to_many(&self, options: impl Into<BindOptions>) -> Result<OneToMany, Error> {
        let options = options.into();
        let freebind = options.freebind;
        let (socket, port) = self.bind_socket(Style::OneToMany, options)?;
        Ok(OneToMany::new(Arc::clone(&self.handle), socket, port, freebind))
    }

    /// Connects from a free port and waits until the association is up. The peer is a [`Peer`] or a
    /// text such as `"server.example:7"`, see [`ToPeer`]. Dropping the future aborts the attempt.
    ///
    /// The association has one address at this end, the one that its packets come from, unless the
    /// stack announces its addresses ([`StackBuilder::announce_local_addresses`]). To choose
    /// several, [`bind`](Self::bind) a port to them and use [`Endpoint::connect`]: see
    /// [several addresses](crate#several-addresses).
    ///
    /// # Errors
    /// [`Error::Peer`] when the text is wrong or its name is not found, [`Error::Connect`] when the
    /// association cannot be started, [`Error::Refused`] when the peer refuses, [`Error::Ended`] or
    /// [`Error::NoNativeAnswer`] when it does not answer.
    pub async fn connect(&self, peer: impl ToPeer) -> Result<Association, Error> {
        self.connect_with(peer, self.assoc_config()).await
    }

    /// Like [`connect`](Self::connect), with settings for this association. Dropping the future
    /// aborts the attempt.
    ///
    /// # Errors
    /// As [`connect`](Self::connect), and [`Error::Config`].
    pub async fn connect_with(
        &self,
        peer: impl ToPeer,
        config: AssocConfig,
    ) -> Result<Association, Error> {
        match resolve(peer, &self.handle.settings).await? {
            Ways { native: None, peer } => self.connect_one(&peer, config).await,
            Ways { native: Some(native), peer } => {
                self.connect_first(&[native, peer], config).await
            }
        }
    }

    /// Looks a peer up, for calls that take a [`Peer`] and do not wait. Cancel-safe.
    ///
    /// # Errors
    /// [`Error::Peer`].
    pub async fn resolve(&self, peer: impl ToPeer) -> Result<Peer, Error> {
        Ok(resolve(peer, &self.handle.settings).await?.peer)
    }

    /// One attempt, from a port of its own.
    pub(crate) async fn connect_one(
        &self,
        peer: &Peer,
        config: AssocConfig,
    ) -> Result<Association, Error> {
        let options = BindOptions { config: Some(config), ..BindOptions::default() };
        let (socket, port) = self.bind_socket(Style::OneToOne, options)?;
        let started = self.handle.shared.with(|state, now| {
            let running = state.check_running();
            let started = running.and_then(|()| Ok(state.sockets.connect(now, socket, peer)?));
            if started.is_err() {
                let _ = state.sockets.abandon(now, socket);
            }
            started
        })?;
        let association =
            Association::new(Arc::clone(&self.handle), socket, started, port, peer.port);
        association
            .established()
            .await
            .map_err(|error| error.of_setup(std::slice::from_ref(peer)))?;
        Ok(association)
    }

    /// The settings of associations whose port was bound without settings of its own.
    pub fn assoc_config(&self) -> AssocConfig {
        self.handle.settings.assoc_config.clone()
    }

    /// The settings of the stack.
    pub fn config(&self) -> StackConfig {
        self.handle.shared.peek(|state| state.sockets.stack().config().clone())
    }

    /// The local UDP port of the link that encapsulates in UDP; `None` when there is no such link.
    pub fn local_udp_port(&self) -> Option<u16> {
        self.handle.settings.local_udp_port
    }

    /// Whether the stack has a link for native SCTP (IP protocol 132).
    pub fn has_native(&self) -> bool {
        self.handle.settings.has_link(Encap::Native)
    }

    /// The counters of the stack.
    pub fn stats(&self) -> StackStats {
        self.handle.shared.peek(|state| state.sockets.stack().stats())
    }

    /// The sum of the counters of all links.
    pub fn link_stats(&self) -> LinkStats {
        self.handle.shared.link_stats()
    }

    /// Shuts every association down gracefully, accepts no new ones, waits until the last one has
    /// ended and ends the stack's task. After that, calls on other handles that would have to wait
    /// fail with [`Error::Stopped`]. This takes as long as the slowest peer needs, at most
    /// T5-shutdown-guard. To be done sooner, wrap it in [`tokio::time::timeout`] and then call
    /// [`abort`](Self::abort). Dropping the future does not stop the shutdown.
    pub async fn shutdown(&self) {
        self.handle.shared.enter_phase(Phase::Closing);
        self.handle.shared.stopped().await;
    }

    /// Aborts every association with `reason`, hands the ABORTs to the links and ends the stack's
    /// task. Dropping the future does not stop that.
    pub async fn abort(&self, reason: impl Into<Bytes>) {
        self.handle.shared.enter_phase(Phase::Aborting(reason.into()));
        self.handle.shared.stopped().await;
    }

    fn bind_socket(&self, style: Style, options: BindOptions) -> Result<(SocketId, u16), Error> {
        bind(&mut &*self.handle.shared, &self.handle.settings, style, options)
    }
}

impl AnyStack for &Shared {
    fn with<R>(&mut self, f: impl FnOnce(&mut Sockets, Time) -> R) -> Result<R, Error> {
        Shared::with(self, |state, now| {
            state.check_running()?;
            Ok(f(&mut state.sockets, now))
        })
    }

    fn claims(&self) -> Option<&Claims> {
        Shared::claims(self)
    }

    fn blocks(&self) -> Option<&Blocks> {
        Shared::blocks(self)
    }
}

impl fmt::Debug for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stack")
            .field("local_udp_port", &self.local_udp_port())
            .finish_non_exhaustive()
    }
}
