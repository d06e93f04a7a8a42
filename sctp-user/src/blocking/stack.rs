//! Building a stack, and what concerns all of it.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use sctp_user_core::socket::{EndReason, Ready, SocketOptions, Sockets, Style, Subscriptions};
use sctp_user_core::{
    AssocConfig, AssocId, AssocStats, AssocStatus, BindError, Encap, PathStatus, Scope, StackConfig,
    StackStats, Time,
};

use super::engine::Engine;
use super::handles::Handle;
use super::link::Link;
use crate::claim::Claims;
use crate::error::Error;
use crate::interfaces::local_addresses;
use crate::link::Link as _;
use crate::options::BindOptions;
use crate::stack::{CLAIM_TRIES, Mtus};

/// Collects what a [`Stack`] is made of.
#[derive(Default)]
pub struct StackBuilder {
    links: Vec<Link>,
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
    pub fn link(mut self, link: Link) -> Self {
        self.links.push(link);
        self
    }

    /// Settings of the stack.
    #[must_use]
    pub fn config(mut self, config: StackConfig) -> Self {
        self.config = config;
        self
    }

    /// Has every wildcard-bound port announce the addresses that the host has when the stack is built; see
    /// [`StackBuilder::announce_local_addresses`](crate::StackBuilder::announce_local_addresses).
    #[must_use]
    pub fn announce_local_addresses(mut self, narrowest: Scope) -> Self {
        self.announce = Some(narrowest);
        self
    }

    /// Settings of associations for ports that are bound without their own.
    #[must_use]
    pub fn assoc_config(mut self, config: AssocConfig) -> Self {
        self.assoc_config = config;
        self
    }

    /// Fixes all randomness, for tests that must be repeatable. Without it the operating system gives the seed, and nothing else
    /// is safe on a network.
    #[must_use]
    pub fn seed(mut self, seed: [u8; 32]) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Makes the stack.
    ///
    /// # Errors
    /// Without a link, or with a configuration that is not valid.
    pub fn build(self) -> Result<Stack, Error> {
        self.assoc_config.check()?;
        if self.links.is_empty() {
            return Err(Error::Invalid("a stack needs at least one link to send and receive packets by"));
        }
        let mut config = self.config;
        if let Some(narrowest) = self.announce {
            config.local_addresses = local_addresses(narrowest);
        }
        let sockets = Sockets::new(config, self.seed.unwrap_or_else(rand::random));
        let links: Vec<_> = self.links.into_iter().map(|link| link.inner).collect();
        let claims = links.iter().any(|link| link.shares_host()).then(Claims::default);
        let mtus = Mtus::of(&links);
        Ok(Stack {
            mtus,
            assoc_config: mtus.limit(self.assoc_config),
            local_udp_port: links.iter().find_map(|l| l.local_udp_port()),
            timeout: None,
            rest: Vec::new(),
            engine: Engine::new(sockets, links, claims),
        })
    }
}

impl fmt::Debug for StackBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StackBuilder").field("links", &self.links.len()).finish_non_exhaustive()
    }
}

/// An SCTP stack that runs inside its calls; see the [module](super).
pub struct Stack {
    pub(super) engine: Engine,
    pub(super) timeout: Option<Duration>,
    /// Of messages that were larger than the buffers they were received into.
    pub(super) rest: Vec<(AssocId, sctp_user_core::Received)>,
    assoc_config: AssocConfig,
    mtus: Mtus,
    local_udp_port: Option<u16>,
}

impl Stack {
    /// How long calls that wait do so before they fail with [`Error::TimedOut`]; `None`, the default, for ever. Nothing is lost by
    /// that: what a call waited for is there for the next one.
    pub fn set_timeout(&mut self, timeout: Option<Duration>) {
        self.timeout = timeout;
    }

    /// Keeps the protocol going for `time`: receives, answers, sends again.
    pub fn drive(&mut self, time: Duration) {
        let outcome = self.engine.wait(Some(time), |_, _| Err::<(), _>(Error::WouldBlock));
        debug_assert!(outcome.is_err());
    }

    /// Waits until something has become possible on a socket, and says what: for programs with many associations. Each
    /// socket comes up once with everything new about it, and it is a hint only. Calls on a socket then do not wait, or little.
    ///
    /// # Errors
    /// [`Error::TimedOut`], [`Error::Stopped`].
    pub fn ready(&mut self) -> Result<Ready, Error> {
        self.engine.keep_up_now();
        self.engine.wait(self.timeout, |sockets, _| sockets.poll_ready().ok_or(Error::WouldBlock))
    }

    /// Does something with the sockets themselves, which have every option and every function of RFC 6458 and never wait, then sends what
    /// that has caused. Handles give the names that they go by ([`Handle::socket`], [`Association::id`](super::Association::id)).
    pub fn with<R>(&mut self, f: impl FnOnce(&mut Sockets, Time) -> R) -> R {
        let now = self.engine.now();
        let result = f(&mut self.engine.sockets, now);
        self.engine.flush();
        result
    }

    /// The settings for associations of ports that are bound without their own.
    pub fn assoc_config(&self) -> AssocConfig {
        self.assoc_config.clone()
    }

    /// Own UDP port of the link that encapsulates in UDP; `None` when there is none.
    pub fn local_udp_port(&self) -> Option<u16> {
        self.local_udp_port
    }

    /// Whether the stack has a link for native SCTP (IP protocol 132).
    pub fn has_native(&self) -> bool {
        self.mtus.has(Encap::Native)
    }

    /// Counters of the stack.
    pub fn stats(&self) -> StackStats {
        self.engine.sockets.stack().stats()
    }

    /// State and figures of an association; also after its end. `None` when it was closed.
    pub fn status(&self, association: AssocId) -> Option<AssocStatus> {
        self.engine.sockets.stack().status(association)
    }

    /// All paths of an association.
    pub fn paths(&self, association: AssocId) -> Vec<PathStatus> {
        self.engine.sockets.stack().paths(association)
    }

    /// Counters of an association.
    pub fn assoc_stats(&self, association: AssocId) -> AssocStats {
        self.engine.sockets.stack().assoc_stats(association).unwrap_or_default()
    }

    /// Why an association ended; `None` while it lives.
    pub fn end_reason(&self, association: AssocId) -> Option<EndReason> {
        self.engine.sockets.end_reason(association).cloned()
    }

    /// Chooses which notifications a socket gives among its messages. Default none.
    ///
    /// # Errors
    /// [`Error::NoAssociation`] when the handle was closed.
    pub fn subscribe(&mut self, handle: impl Handle, subscriptions: Subscriptions) -> Result<(), Error> {
        Ok(self.with(|sockets, _| sockets.set_subscriptions(handle.socket(), subscriptions))?)
    }

    /// Gives a socket up. An endpoint stops listening and aborts what was not accepted; its associations live on. Associations that were not shut
    /// down are aborted; a shutdown that has begun goes on while the stack is used.
    pub fn close(&mut self, handle: impl Handle) {
        let members = self.engine.sockets.assocs_of(handle.socket());
        self.rest.retain(|(assoc, _)| !members.contains(assoc));
        self.with(|sockets, now| {
            // Closing twice closes nothing else: names are not used again.
            let _ = sockets.abandon(now, handle.socket());
        });
    }

    /// Shuts every association down gracefully, accepts no new ones and waits until the last is gone. Nothing new can be begun after that.
    ///
    /// # Errors
    /// [`Error::TimedOut`]: the rest is aborted when the stack is dropped.
    pub fn shutdown_all(&mut self) -> Result<(), Error> {
        self.with(|sockets, now| sockets.shutdown_all(now));
        let gone = |sockets: &mut Sockets, _: Time| match sockets.stack().stats().associations {
            0 => Ok(()),
            _ => Err(Error::WouldBlock),
        };
        self.engine.wait(self.timeout, gone)?;
        self.engine.stopped = true;
        Ok(())
    }

    /// Aborts every association with `reason`. Nothing new can be begun after that.
    pub fn abort_all(&mut self, reason: impl Into<Bytes>) {
        self.engine.abort_all(reason.into());
    }

    pub(super) fn check_running(&self) -> Result<(), Error> {
        if self.engine.stopped { Err(Error::Stopped) } else { Ok(()) }
    }

    /// Settings that the links can carry.
    pub(super) fn limit(&self, config: AssocConfig) -> AssocConfig {
        self.mtus.limit(config)
    }

    pub(super) fn bind_socket(
        &mut self,
        style: Style,
        options: BindOptions,
    ) -> Result<(super::SocketId, u16), Error> {
        self.check_running()?;
        let BindOptions { port, addrs, config, subscriptions, reuse_port } = options;
        let config = config.map_or_else(|| self.assoc_config(), |config| self.limit(config));
        let options = SocketOptions { subscriptions, config, reuse_port, ..SocketOptions::default() };
        for _ in 0..CLAIM_TRIES {
            let (socket, bound) = self.with(|sockets, now| {
                let socket = sockets.open(style, options.clone());
                sockets.bind(socket, port, &addrs).map(|port| (socket, port)).inspect_err(|_| {
                    let _ = sockets.close(now, socket);
                })
            })?;
            let claimed = self.engine.claims.as_ref().map_or(Ok(()), |claims| claims.claim(bound));
            let Err(why) = claimed else { return Ok((socket, bound)) };
            self.with(|sockets, now| drop(sockets.close(now, socket)));
            if port != 0 {
                return Err(why);
            }
        }
        Err(BindError::NoPort.into())
    }
}

impl fmt::Debug for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stack").field("local_udp_port", &self.local_udp_port).finish_non_exhaustive()
    }
}
