//! Collecting the links and settings of a stack.

use std::fmt;

use sctp_user_core::socket::Sockets;
use sctp_user_core::{AssocConfig, Encap, Scope, StackConfig};

use crate::blocks::Blocks;
use crate::claim::Claims;
use crate::error::Error;
use crate::link::Link;
use crate::link_addrs::LinkAddrs;

/// Collects the links and settings of a stack. [`StackBuilder`](crate::StackBuilder) makes a stack
/// that runs on tokio, `blocking::StackBuilder` one that works inside its calls.
pub struct Builder<L> {
    links: Vec<L>,
    config: StackConfig,
    assoc_config: AssocConfig,
    seed: Option<[u8; 32]>,
    announce: Option<Scope>,
}

impl<L> Builder<L> {
    /// No links yet, default settings, and a seed from the operating system.
    pub fn new() -> Self {
        Builder {
            links: Vec::new(),
            config: StackConfig::default(),
            assoc_config: AssocConfig::default(),
            seed: None,
            announce: None,
        }
    }

    /// Settings of the stack.
    #[must_use]
    pub fn config(mut self, config: StackConfig) -> Self {
        self.config = config;
        self
    }

    /// Makes every wildcard-bound port, and so [`Stack::connect`](crate::Stack::connect), announce
    /// the addresses that the links have when the stack is built. For links that have all addresses
    /// of the host, these are the [`local_addresses`](crate::local_addresses). Addresses of
    /// narrower scope than `narrowest` are left out. This replaces
    /// [`StackConfig::local_addresses`]. By default, no address is announced, which is the only
    /// right choice behind a NAT.
    #[must_use]
    pub fn announce_local_addresses(mut self, narrowest: Scope) -> Self {
        self.announce = Some(narrowest);
        self
    }

    /// The settings of associations whose port was bound without settings of its own. MTUs are
    /// limited to what the links can carry.
    #[must_use]
    pub fn assoc_config(mut self, config: AssocConfig) -> Self {
        self.assoc_config = config;
        self
    }

    /// Sets the seed of all random numbers, for tests that must be repeatable. Do not use this on a
    /// network: tags, TSNs and keys follow from the seed, so it must be secret. By default, the
    /// operating system provides the seed.
    #[must_use]
    pub fn seed(mut self, seed: [u8; 32]) -> Self {
        self.seed = Some(seed);
        self
    }

    pub(crate) fn add(mut self, link: L) -> Self {
        self.links.push(link);
        self
    }
}

impl<L: Link> Builder<L> {
    /// Checks the settings, and makes the parts that both kinds of stack need.
    pub(crate) fn parts(self) -> Result<Parts<L>, Error> {
        let Builder { links, mut config, assoc_config, seed, announce } = self;
        assoc_config.check()?;
        if links.is_empty() {
            return Err(Error::Invalid(
                "a stack needs at least one link to send and receive packets",
            ));
        }
        let link_addrs = LinkAddrs::of(&links);
        if let Some(narrowest) = announce {
            config.local_addresses = link_addrs.announceable(narrowest);
        }
        let mtu = |encap| links.iter().find(|l| l.handles(encap)).map(|l| l.ip_mtu());
        let mut settings = Settings {
            assoc_config,
            local_udp_port: links.iter().find_map(|l| l.local_udp_port()),
            native_mtu: mtu(Encap::Native),
            udp_mtu: mtu(Encap::Udp { remote_port: 1 }),
            link_addrs,
        };
        settings.assoc_config = settings.limit(settings.assoc_config.clone());
        Ok(Parts {
            sockets: Sockets::new(config, seed.unwrap_or_else(rand::random)),
            claims: links.iter().any(|link| link.shares_host()).then(Claims::default),
            blocks: links.iter().any(|link| link.shares_addresses()).then(Blocks::default),
            settings,
            links,
        })
    }
}

impl<L> Default for Builder<L> {
    fn default() -> Self {
        Self::new()
    }
}

impl<L> fmt::Debug for Builder<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Builder { links, config, assoc_config, seed: _, announce } = self;
        f.debug_struct("Builder")
            .field("links", &links.len())
            .field("config", config)
            .field("assoc_config", assoc_config)
            .field("announce", announce)
            .finish_non_exhaustive()
    }
}

/// The parts that both kinds of stack are made of.
pub(crate) struct Parts<L> {
    pub(crate) sockets: Sockets,
    pub(crate) links: Vec<L>,
    /// For stacks that must claim every SCTP port they use among the processes of the host.
    pub(crate) claims: Option<Claims>,
    /// For stacks that must claim the ports they choose by themselves.
    pub(crate) blocks: Option<Blocks>,
    pub(crate) settings: Settings,
}

/// The settings that do not change after the stack was built.
pub(crate) struct Settings {
    /// For associations whose port was bound without settings of its own.
    pub(crate) assoc_config: AssocConfig,
    /// The local UDP port of the link that encapsulates in UDP.
    pub(crate) local_udp_port: Option<u16>,
    /// The largest IP packet that the link for native SCTP carries; `None` if there is no such
    /// link. `udp_mtu` is the same for UDP.
    native_mtu: Option<usize>,
    udp_mtu: Option<usize>,
    /// What ports can be bound to.
    pub(crate) link_addrs: LinkAddrs,
}

impl Settings {
    /// Whether there is a link for this encapsulation.
    pub(crate) fn has_link(&self, encap: Encap) -> bool {
        match encap {
            Encap::Native => self.native_mtu.is_some(),
            Encap::Udp { .. } => self.udp_mtu.is_some(),
        }
    }

    /// `config`, with its MTUs limited to what the links can carry.
    pub(crate) fn limit(&self, mut config: AssocConfig) -> AssocConfig {
        config.ip_mtu = config.ip_mtu.min(self.native_mtu.unwrap_or(usize::MAX));
        config.ip_mtu_udp = config.ip_mtu_udp.min(self.udp_mtu.unwrap_or(usize::MAX));
        config
    }
}
