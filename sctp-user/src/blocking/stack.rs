//! Building a stack, and the functions that concern all of it.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use sctp_user_core::socket::{EndReason, Ready, Sockets, Style, Subscriptions};
use sctp_user_core::{
    AssocConfig, AssocId, AssocStats, AssocStatus, Encap, PathStatus, Peer, StackStats, Time,
};

use super::Link;
use super::engine::Engine;
use super::handles::Handle;
use crate::bind::{AnyStack, bind};
use crate::blocks::Blocks;
use crate::builder::{Builder, Parts, Settings};
use crate::claim::Claims;
use crate::error::Error;
use crate::link::LinkStats;
use crate::link::sockets::SocketLink;
use crate::options::BindOptions;
use crate::to_peer::{ToPeer, resolve_blocking};

/// Collects the links and settings of a [`Stack`].
pub type StackBuilder = Builder<SocketLink>;

impl StackBuilder {
    /// Adds a link. Each packet goes over the first link that handles its encapsulation.
    #[must_use]
    pub fn link(self, link: Link) -> Self {
        self.add(link.into_sockets())
    }

    /// Makes the stack.
    ///
    /// # Errors
    /// When there is no link, or the configuration is not valid.
    pub fn build(self) -> Result<Stack, Error> {
        let Parts { sockets, links, claims, blocks, settings } = self.parts()?;
        Ok(Stack {
            settings,
            timeout: None,
            rest: Vec::new(),
            engine: Engine::new(sockets, links, claims, blocks),
        })
    }
}

/// An SCTP stack that works inside its calls; see the [module](super).
pub struct Stack {
    pub(super) engine: Engine,
    pub(super) timeout: Option<Duration>,
    /// The unread parts of messages that were larger than the buffers they were received into.
    pub(super) rest: Vec<(AssocId, sctp_user_core::Received)>,
    settings: Settings,
}

impl Stack {
    /// Sets how long a call waits before it fails with [`Error::TimedOut`]. `None`, the default,
    /// means for ever. Nothing is lost at a timeout: what the call was waiting for is there for the
    /// next one.
    pub fn set_timeout(&mut self, timeout: Option<Duration>) {
        self.timeout = timeout;
    }

    /// Keeps the protocol going for `time`: receives, answers, retransmits.
    pub fn drive(&mut self, time: Duration) {
        let outcome = self.engine.wait(Some(time), |_, _| Err::<(), _>(Error::WouldBlock));
        debug_assert!(outcome.is_err());
    }

    /// Waits until something has become possible on a socket, and returns what. This is for
    /// programs with many associations. It reports each socket once, with everything that has
    /// become possible since the last time. It is only a hint, but a call that it reports as
    /// possible normally does not wait.
    ///
    /// # Errors
    /// [`Error::TimedOut`], [`Error::Stopped`].
    pub fn ready(&mut self) -> Result<Ready, Error> {
        self.engine.keep_up_now();
        self.engine.wait(self.timeout, |sockets, _| sockets.poll_ready().ok_or(Error::WouldBlock))
    }

    /// Looks a peer up, for calls that take a [`Peer`]. Waits for the resolver.
    ///
    /// # Errors
    /// [`Error::Peer`].
    pub fn resolve(&self, peer: impl ToPeer) -> Result<Peer, Error> {
        resolve_blocking(peer, &self.settings)
    }

    /// Runs `f` with the sockets themselves, then sends the packets that it has caused. The sockets
    /// have every option and function of RFC 6458, and never wait. [`Handle::socket`] and
    /// [`Association::id`](super::Association::id) give the identifiers that they use. The sockets
    /// know no links, so they do not check whether a link has the addresses that they are bound to.
    pub fn with<R>(&mut self, f: impl FnOnce(&mut Sockets, Time) -> R) -> R {
        self.engine.with(f)
    }

    /// The settings of associations whose port was bound without settings of its own.
    pub fn assoc_config(&self) -> AssocConfig {
        self.settings.assoc_config.clone()
    }

    /// The local UDP port of the link that encapsulates in UDP; `None` when there is no such link.
    pub fn local_udp_port(&self) -> Option<u16> {
        self.settings.local_udp_port
    }

    /// Whether the stack has a link for native SCTP (IP protocol 132).
    pub fn has_native(&self) -> bool {
        self.settings.has_link(Encap::Native)
    }

    /// The counters of the stack.
    pub fn stats(&self) -> StackStats {
        self.engine.sockets.stack().stats()
    }

    /// The sum of the counters of all links.
    pub fn link_stats(&self) -> LinkStats {
        self.engine.link_stats()
    }

    /// The state and basic data of an association, also after its end. `None` when its handle was
    /// closed.
    pub fn status(&self, association: AssocId) -> Option<AssocStatus> {
        self.engine.sockets.stack().status(association)
    }

    /// All paths of an association.
    pub fn paths(&self, association: AssocId) -> Vec<PathStatus> {
        self.engine.sockets.stack().paths(association)
    }

    /// The counters of an association.
    pub fn assoc_stats(&self, association: AssocId) -> AssocStats {
        self.engine.sockets.stack().assoc_stats(association).unwrap_or_default()
    }

    /// Why an association ended; `None` while it lives.
    pub fn end_reason(&self, association: AssocId) -> Option<EndReason> {
        self.engine.sockets.end_reason(association).cloned()
    }

    /// Chooses which notifications a socket delivers among its messages. Default none.
    ///
    /// # Errors
    /// [`Error::NoAssociation`] when the handle was closed.
    pub fn subscribe(
        &mut self,
        handle: impl Handle,
        subscriptions: Subscriptions,
    ) -> Result<(), Error> {
        Ok(self.with(|sockets, _| sockets.set_subscriptions(handle.socket(), subscriptions))?)
    }

    /// Closes a handle. An endpoint stops listening and aborts the associations that were not
    /// accepted yet; accepted ones live on. An association is aborted, unless one side has begun to
    /// shut it down; then the shutdown goes on while the stack is used. A one-to-many handle does
    /// the same with all of its associations.
    pub fn close(&mut self, handle: impl Handle) {
        let members = self.engine.sockets.assocs_of(handle.socket());
        self.rest.retain(|(assoc, _)| !members.contains(assoc));
        self.with(|sockets, now| {
            // Closing a handle twice does no harm, because identifiers are never used again.
            let _ = sockets.abandon(now, handle.socket());
        });
    }

    /// Shuts every association down gracefully, accepts no new ones, and waits until the last one
    /// has ended. After that, ports cannot be bound and associations cannot be started.
    ///
    /// # Errors
    /// [`Error::TimedOut`]. The remaining associations are aborted when the stack is dropped.
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

    /// Aborts every association with `reason`. After that, ports cannot be bound and associations
    /// cannot be started.
    pub fn abort_all(&mut self, reason: impl Into<Bytes>) {
        self.engine.abort_all(reason.into());
    }

    pub(super) fn check_running(&self) -> Result<(), Error> {
        self.engine.check_running()
    }

    /// `config`, with its MTUs limited to what the links can carry.
    pub(super) fn limit(&self, config: AssocConfig) -> AssocConfig {
        self.settings.limit(config)
    }

    pub(super) fn bind_socket(
        &mut self,
        style: Style,
        options: BindOptions,
    ) -> Result<(super::SocketId, u16), Error> {
        bind(&mut self.engine, &self.settings, style, options)
    }
}

impl AnyStack for Engine {
    fn with<R>(&mut self, f: impl FnOnce(&mut Sockets, Time) -> R) -> Result<R, Error> {
        self.check_running()?;
        Ok(Engine::with(self, f))
    }

    fn claims(&self) -> Option<&Claims> {
        self.claims.as_ref()
    }

    fn blocks(&self) -> Option<&Blocks> {
        self.blocks.as_ref()
    }
}

impl fmt::Debug for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stack")
            .field("local_udp_port", &self.settings.local_udp_port)
            .finish_non_exhaustive()
    }
}
