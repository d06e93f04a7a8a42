//! Pool users: clients of a pool.

use std::time::Duration;

use rserpool_wire::{PeId, PoolElement, PoolHandle};
use sctp_user::Stack;
use tracing::debug;

use crate::asap::driver::{Handle, Notice};
use crate::config::{SessionOptions, UserOptions};
use crate::error::Error;
use crate::session::Session;

/// A client of pools. It keeps an association with a registrar and a cache of resolved pool
/// elements, both shared by its sessions.
///
/// Clones mean the same pool user. Sessions keep it alive.
#[derive(Clone, Debug)]
pub struct PoolUser {
    stack: Stack,
    asap: Handle,
}

/// An element that a resolution gave, with all that is known about it.
pub type ResolvedElement = PoolElement;

impl PoolUser {
    /// Begins to look for a registrar, in the background.
    ///
    /// # Errors
    /// When an option is out of range, a port is taken or the announce group cannot be joined.
    pub fn new(stack: &Stack, options: UserOptions) -> Result<PoolUser, Error> {
        options.asap.check()?;
        let asap = Handle::start(stack, options.asap, None, |notice| {
            if let Notice::Event(event, _) = notice {
                debug!(?event, "registrar");
            }
        })?;
        Ok(PoolUser { stack: stack.clone(), asap })
    }

    /// Opens a session with a pool. It connects in the background; the first event of
    /// [`Session::recv`] is [`SessionEvent::FailoverDone`](crate::SessionEvent::FailoverDone) when
    /// it has.
    ///
    /// # Errors
    /// When an option is out of range.
    pub fn open(&self, pool: PoolHandle, options: SessionOptions) -> Result<Session, Error> {
        options.check()?;
        Ok(Session::start(&self.stack, self, pool, options))
    }

    /// Resolves a pool handle to at least one and at most `items` elements (0 leaves the number to
    /// the registrar), best first. Elements that were resolved less than `stale` ago are taken from
    /// the cache and selected by the policy of the pool.
    ///
    /// # Errors
    /// [`Error::NoElement`], [`Error::NoRegistrar`], [`Error::Timeout`], [`Error::Rejected`],
    /// [`Error::Closed`].
    pub async fn resolve(
        &self,
        pool: &PoolHandle,
        items: u32,
        stale: Duration,
    ) -> Result<Vec<ResolvedElement>, Error> {
        self.asap.resolve(pool, items, stale).await
    }

    /// Tells the registrar that an element could not be reached and drops it from the cache. There
    /// is no answer.
    pub fn report_unreachable(&self, pool: &PoolHandle, id: PeId) {
        self.asap.report_unreachable(pool, id);
    }
}
