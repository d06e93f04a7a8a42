//! Pool users: clients of a pool.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rserpool_core::asap::{AsapEvent, RequestError};
use rserpool_core::channel::ConnectFailure;
use rserpool_core::session::SessionOptions;
use rserpool_wire::{PeId, PoolElement, PoolHandle};
use sctp_user::{EndReason, PathAddr, Peer, Stack};

use crate::asap::{Gone, Handle, Notice};
use crate::config::UserOptions;
use crate::element::{lost, missed, place, unreachable};
use crate::error::Error;
use crate::events::EventQueue;
use crate::session::Session;
use crate::subscription::Subscription;

/// A client of pools. Its sessions share an association with a registrar and a cache of resolved
/// pool elements.
///
/// A clone is the same pool user. It lives until the last clone, session and subscription are gone.
#[derive(Clone, Debug)]
pub struct PoolUser {
    stack: Stack,
    asap: Handle,
    events: Arc<EventQueue<UserEvent>>,
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
        let events = Arc::new(EventQueue::new(UserEvent::Missed));
        let queue = Arc::clone(&events);
        let asap =
            Handle::start(stack, options.asap, None, move |notice| on_notice(notice, &queue))?;
        Ok(PoolUser { stack: stack.clone(), asap, events })
    }

    /// Waits for the next event between this pool user and its registrars. Clones share the events:
    /// each goes to one reader. The newest 64 events wait for a reader; [`UserEvent::Missed`] says
    /// how many older ones were dropped. Cancel-safe.
    ///
    /// # Errors
    /// [`Error::Closed`] when the stack has stopped.
    pub async fn next_event(&self) -> Result<UserEvent, Error> {
        self.events.next().await
    }

    /// SCTP port of the associations with registrars.
    pub fn port(&self) -> u16 {
        self.asap.port()
    }

    /// Opens a session with a pool. It connects in the background; the first event of
    /// [`Session::recv`] is [`SessionEvent::FailoverDone`](crate::SessionEvent::FailoverDone) when
    /// it has, and [`Session::ready`] waits for that.
    ///
    /// # Errors
    /// When an option is out of range.
    pub fn open(&self, pool: PoolHandle, options: SessionOptions) -> Result<Session, Error> {
        options.check()?;
        Ok(Session::start(&self.stack, self, pool, options))
    }

    /// Resolves a pool handle to at least one and at most `items` elements (0 leaves the number to
    /// the registrar), best first. Elements that were resolved less than `stale` ago are taken from
    /// the cache and selected by the policy of the pool. When the registrar knows no element of the
    /// pool, others are asked, as
    /// [`AsapConfig::other_registrars`](crate::AsapConfig::other_registrars) says. Cancel-safe.
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
        Ok(self.asap.resolve(pool, items, stale).await??)
    }

    /// Subscribes to the changes of a pool (RFC 5352 sec 2.2.5): [`Subscription::changed`] tells
    /// the elements now and whenever they change. Registrars that know no subscriptions, as
    /// RSPLIB's, are asked every 5 s. Several subscriptions to a pool share what the registrar
    /// tells.
    ///
    /// While the registrar tells the changes of a pool, [`PoolUser::resolve`] and sessions with a
    /// stale cache value take elements of this pool from the cache, however small the value is.
    ///
    /// Cancel-safe: a dropped future has subscribed to nothing.
    ///
    /// # Errors
    /// [`Error::Invalid`] when there are subscriptions to 16 other pools, [`Error::Closed`].
    pub async fn subscribe(&self, pool: &PoolHandle) -> Result<Subscription, Error> {
        match self.asap.subscribe(pool).await? {
            Ok(known) => Ok(Subscription::new(pool.clone(), known, self.asap.clone())),
            Err(_) => Err(Error::Invalid("a pool user can subscribe to at most 16 pools")),
        }
    }

    /// As [`PoolUser::resolve`], for a session.
    pub(crate) async fn resolve_for_session(
        &self,
        pool: &PoolHandle,
        items: u32,
        stale: Duration,
    ) -> Result<Result<Vec<ResolvedElement>, RequestError>, Gone> {
        self.asap.resolve(pool, items, stale).await
    }

    /// Tells the registrar that an element could not be reached, and drops the element from the
    /// cache. The registrar does not answer.
    pub fn report_unreachable(&self, pool: &PoolHandle, id: PeId) {
        self.asap.report_unreachable(pool, id);
    }
}

/// What happens between a pool user and its registrar. Its `Display` is one line for a log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UserEvent {
    /// The search for a registrar has begun, or has been in vain so far and goes on.
    Hunting,
    /// A registrar could not be connected with; the search goes on.
    RegistrarUnreachable {
        /// The preferred way to the registrar.
        registrar: Peer,
        /// Why; [`ConnectFailure::TimedOut`] when it did not accept within
        /// [`AsapConfig::connect_timeout`](crate::AsapConfig::connect_timeout).
        failure: ConnectFailure,
    },
    /// Connected with a registrar.
    RegistrarFound {
        /// The address of the registrar.
        registrar: PathAddr,
        /// Its SCTP port.
        port: u16,
    },
    /// The registrar did not answer, or the association with it ended, for this reason if it is
    /// known.
    RegistrarLost(Option<EndReason>),
    /// So many events before the next one were dropped, because nobody read them in time.
    Missed(u64),
}

impl fmt::Display for UserEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UserEvent::Hunting => f.write_str("looking for a registrar"),
            UserEvent::RegistrarUnreachable { registrar, failure } => {
                unreachable(f, registrar, failure)
            }
            UserEvent::RegistrarFound { registrar, port } => {
                f.write_str("connected with ")?;
                place(f, registrar, *port)
            }
            UserEvent::RegistrarLost(reason) => lost(f, reason.as_ref()),
            UserEvent::Missed(count) => missed(f, *count),
        }
    }
}

fn on_notice(notice: Notice, events: &EventQueue<UserEvent>) {
    let Notice::Event { event, association, reason } = notice else { return events.close() };
    let at = association.and_then(|a| Some((a.peer_addrs().first().copied()?, a.peer_port())));
    events.push(match (event, at) {
        (AsapEvent::Hunting, _) => UserEvent::Hunting,
        (AsapEvent::Unreachable { registrar, failure }, _) => {
            UserEvent::RegistrarUnreachable { registrar, failure }
        }
        (AsapEvent::RegistrarFound(_), Some((registrar, port))) => {
            UserEvent::RegistrarFound { registrar, port }
        }
        (AsapEvent::RegistrarLost, _) => UserEvent::RegistrarLost(reason),
        // The association has ended already, or the event is about elements, which a pool user has
        // none of.
        _ => return,
    });
}
