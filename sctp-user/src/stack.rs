//! Building a stack, and the handle to it.

use std::sync::Arc;

use bytes::Bytes;
use sctp_user_core::{AssocConfig, ConfigError, Peer, StackConfig, StackStats};

use crate::association::Association;
use crate::endpoint::Endpoint;
use crate::error::Error;
use crate::link::Link;
use crate::one_to_many::OneToMany;
use crate::options::BindOptions;

/// Collects what a [`Stack`] is made of.
#[derive(Default)]
pub struct StackBuilder {
    links: Vec<Box<dyn Link>>,
    config: StackConfig,
    assoc_config: AssocConfig,
    seed: Option<[u8; 32]>,
}

#[allow(unused_variables, clippy::unimplemented)]
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

    /// Settings of associations for ports that are bound without their own.
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
        unimplemented!()
    }
}

/// A running SCTP stack. Cheap to clone; every clone means the same stack.
#[derive(Clone)]
pub struct Stack {
    _handle: Arc<()>,
}

#[allow(unused_variables, clippy::unimplemented, clippy::unused_async)]
impl Stack {
    /// Binds an SCTP port: `stack.bind(7)`, or with more said in [`BindOptions`].
    ///
    /// # Errors
    /// When the port is taken, an address cannot be bound or the configuration is not valid.
    pub fn bind(&self, options: impl Into<BindOptions>) -> Result<Endpoint, Error> {
        unimplemented!()
    }

    /// Binds an SCTP port for the one-to-many style.
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
    pub fn bind_one_to_many(&self, options: impl Into<BindOptions>) -> Result<OneToMany, Error> {
        unimplemented!()
    }

    /// Connects from a free port of its own and waits until the association is up. Dropping the future aborts the attempt.
    ///
    /// # Errors
    /// [`Error::Connect`] when it cannot be started, [`Error::Ended`] when the peer refuses or does not answer.
    pub async fn connect(&self, peer: &Peer) -> Result<Association, Error> {
        unimplemented!()
    }

    /// As [`connect`](Self::connect), with settings for this association.
    ///
    /// # Errors
    /// As [`connect`](Self::connect), and [`Error::Config`].
    pub async fn connect_with(&self, peer: &Peer, config: AssocConfig) -> Result<Association, Error> {
        unimplemented!()
    }

    /// The settings for associations of ports that are bound without their own.
    pub fn assoc_config(&self) -> AssocConfig {
        unimplemented!()
    }

    /// Own UDP port of the link that encapsulates in UDP; `None` when there is none.
    pub fn local_udp_port(&self) -> Option<u16> {
        unimplemented!()
    }

    /// Whether the stack has a link for native SCTP (IP protocol 132).
    pub fn has_native(&self) -> bool {
        unimplemented!()
    }

    /// Counters of the stack.
    pub fn stats(&self) -> StackStats {
        unimplemented!()
    }

    /// Shuts every association down gracefully, accepts no new ones, waits until the last is gone and ends the stack's task. Calls
    /// on other handles then give [`Error::Stopped`]. It can take as long as the slowest peer (T5-shutdown-guard at the
    /// most); wrap it in [`tokio::time::timeout`] and call [`abort`](Self::abort) to be done sooner.
    pub async fn shutdown(&self) {
        unimplemented!()
    }

    /// Aborts every association with `reason`, hands the ABORTs to the links and ends the stack's task.
    pub async fn abort(&self, reason: impl Into<Bytes>) {
        unimplemented!()
    }
}

const _: Option<ConfigError> = None;
