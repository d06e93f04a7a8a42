//! Pool elements: servers in a pool.

mod registered;
mod session;

use std::fmt;
use std::sync::Arc;

use rand::RngExt;
use rserpool_core::DEFAULT_UDP_PORT;
use rserpool_core::asap::{AsapEvent, OwnElement};
use rserpool_core::channel::{ConnectFailure, udp_port};
use rserpool_net::generator;
use rserpool_wire::{Life, OperationError, PeId, Policy, PoolHandle, TransportUse};
use sctp_user::{Encap, EndReason, Endpoint, PathAddr, Peer, ShownAddress, Stack};
use tokio::sync::watch;

use crate::asap::{Handle, Notice};
use crate::config::ElementOptions;
use crate::error::Error;
use crate::events::EventQueue;

pub use session::{ElementIncoming, ElementSession};

/// A server in a pool. A task of its own keeps it registered: it finds a registrar, registers,
/// renews the registration in time, and registers with another registrar as soon as the one it had
/// is lost.
///
/// A clone is the same element. When the last one is dropped, the association with the registrar is
/// aborted, which ends the registration; [`PoolElement::deregister`] is the polite way. Sessions go
/// on.
#[derive(Clone, Debug)]
pub struct PoolElement {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    endpoint: Endpoint,
    asap: Handle,
    pool: PoolHandle,
    id: PeId,
    policy: u32,
    control_channel: bool,
    max_message_size: usize,
    standing: watch::Receiver<Standing>,
    events: Arc<EventQueue<ElementEvent>>,
    closed: watch::Sender<bool>,
}

/// How the element stands with the registrars.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Standing {
    /// Not registered, with the last problem if there was one.
    Pending(Option<String>),
    Registered,
    Rejected(OperationError),
    Closed,
}

impl PoolElement {
    /// Binds the port of the service, listens on it, and registers in the background:
    /// [`PoolElement::registered`] waits for that, [`PoolElement::next_event`] reports on it.
    ///
    /// # Errors
    /// When an option is out of range, a port is taken or the announce group cannot be joined.
    pub fn register(stack: &Stack, options: ElementOptions) -> Result<PoolElement, Error> {
        options.check()?;
        let endpoint = stack.bind(options.bind.clone())?;
        endpoint.listen(options.backlog)?;
        let id = match options.id {
            Some(id) => id,
            None => PeId(generator(options.asap.seed)?.random_range(1..=u32::MAX)),
        };
        let life = options.life.unwrap_or(options.reregistration_interval.saturating_mul(3));
        let element = OwnElement {
            pool: options.pool.clone(),
            id,
            policy: options.policy.clone(),
            port: endpoint.port(),
            addrs: options.bind.addrs.clone(),
            transport_use: if options.control_channel {
                TransportUse::DataControl
            } else {
                TransportUse::DataOnly
            },
            // The usual port need not be named, except by an element behind NAT, whose association
            // shows another one.
            udp_port: options
                .announced_udp_port
                .or_else(|| stack.local_udp_port().filter(|port| *port != DEFAULT_UDP_PORT)),
            life: Life::new(Some(life), options.asap.life_unit),
            interval: options.reregistration_interval,
        };
        let (standing_tx, standing) = watch::channel(Standing::Pending(None));
        let events = Arc::new(EventQueue::new(ElementEvent::Missed));
        let queue = Arc::clone(&events);
        let asap = Handle::start(stack, options.asap, Some(element), move |notice| {
            on_notice(notice, &standing_tx, &queue);
        })?;
        Ok(PoolElement {
            inner: Arc::new(Inner {
                endpoint,
                asap,
                pool: options.pool,
                id,
                policy: options.policy.number(),
                control_channel: options.control_channel,
                max_message_size: options.max_message_size,
                standing,
                events,
                closed: watch::channel(false).0,
            }),
        })
    }

    /// Waits for the next event. The newest 64 events wait for a reader; [`ElementEvent::Missed`]
    /// says how many older ones were dropped. Cancel-safe.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub async fn next_event(&self) -> Result<ElementEvent, Error> {
        self.inner.events.next().await
    }

    /// Waits for the next session. Several tasks may wait at the same time. Cancel-safe.
    ///
    /// # Errors
    /// [`Error::Closed`] after the deregistration, [`Error::Sctp`] when the stack has stopped.
    pub async fn accept(&self) -> Result<ElementSession, Error> {
        let mut closed = self.inner.closed.subscribe();
        let association = tokio::select! {
            biased;
            _ = closed.wait_for(|closed| *closed) => return Err(Error::Closed),
            association = self.inner.endpoint.accept() => association?,
        };
        Ok(ElementSession::new(
            association,
            self.inner.pool.clone(),
            self.inner.control_channel,
            self.inner.max_message_size,
        ))
    }

    /// The pool.
    pub fn pool(&self) -> &PoolHandle {
        &self.inner.pool
    }

    /// The identifier in the pool.
    pub fn id(&self) -> PeId {
        self.inner.id
    }

    /// SCTP port of the service.
    pub fn port(&self) -> u16 {
        self.inner.endpoint.port()
    }

    /// SCTP port of the associations with registrars. In a stack with both links it is that of the
    /// native ones; those in UDP have another one.
    pub fn asap_port(&self) -> u16 {
        self.inner.asap.port()
    }

    /// Says how busy the element is, from 0 to 1. When the policy depends on the load and it
    /// changed by at least 1 % since the last registration, the element re-registers at once;
    /// otherwise the value goes with the next registration.
    pub fn set_load(&self, load: f64) {
        self.inner.asap.set_load(Policy::fraction(load));
    }

    /// Changes the values of the policy and re-registers at once. The kind of policy must stay, as
    /// the pool has it.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the policy is another one.
    pub fn set_policy(&self, policy: Policy) -> Result<(), Error> {
        if policy.number() != self.inner.policy {
            return Err(Error::Invalid(
                "a registered pool element cannot change to another kind of policy",
            ));
        }
        self.inner.asap.set_policy(policy);
        Ok(())
    }

    /// Leaves the pool: stops listening, tells the registrar and waits for its answer. Open
    /// sessions go on. Dropping the future closes the element all the same.
    ///
    /// # Errors
    /// [`Error::Timeout`] or [`Error::NoRegistrar`] when the registrar could not be told; the
    /// element is closed all the same.
    pub async fn deregister(&self) -> Result<(), Error> {
        self.inner.closed.send_replace(true);
        // Only fails with a stack that has stopped, which does not listen either.
        let _ = self.inner.endpoint.listen(0);
        Ok(self.inner.asap.deregister().await??)
    }
}

/// Tells the user of the element what its task says.
fn on_notice(
    notice: Notice,
    standing: &watch::Sender<Standing>,
    events: &EventQueue<ElementEvent>,
) {
    let Notice::Event { event, association, reason } = notice else {
        standing.send_replace(Standing::Closed);
        events.close();
        return;
    };
    let at = association.and_then(|a| Some((a.peer_addrs().first().copied()?, a.peer_port())));
    let event = match (event, at) {
        (AsapEvent::Hunting, _) => ElementEvent::Hunting,
        (AsapEvent::RegistrarFound(_), Some((registrar, port))) => {
            let shown = ShownAddress(registrar.remote);
            hinder(standing, format!("registrar {shown}, port {port}, has not answered"));
            ElementEvent::RegistrarFound { registrar, port }
        }
        (AsapEvent::Unreachable { registrar, failure }, _) => {
            let event = ElementEvent::RegistrarUnreachable { registrar, failure };
            hinder(standing, event.to_string());
            event
        }
        (AsapEvent::NewHome(_), Some((registrar, port))) => {
            ElementEvent::NewHome { registrar, port }
        }
        (AsapEvent::Registered { .. }, _) => {
            standing.send_replace(Standing::Registered);
            ElementEvent::Registered
        }
        (AsapEvent::Rejected { error, .. }, _) => {
            standing.send_replace(Standing::Rejected(error.clone()));
            ElementEvent::Rejected(error)
        }
        (AsapEvent::RegistrarLost, _) => {
            let why = reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
            // A registrar that has never answered was told as the problem already.
            standing.send_if_modified(|standing| {
                let was_decided = !matches!(standing, Standing::Pending(_));
                if was_decided {
                    *standing = Standing::Pending(Some(format!("the registrar was lost{why}")));
                }
                was_decided
            });
            ElementEvent::RegistrarLost(reason)
        }
        // The association has ended already, which is told next, or the event answers a request.
        _ => return,
    };
    events.push(event);
}

/// Something stands in the way of an element that waits to be registered.
fn hinder(standing: &watch::Sender<Standing>, problem: String) {
    standing.send_if_modified(|standing| {
        let pending = matches!(standing, Standing::Pending(_));
        if pending {
            *standing = Standing::Pending(Some(problem));
        }
        pending
    });
}

/// What happens between a pool element and its registrar. Its `Display` is one line for a log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ElementEvent {
    /// The search for a registrar has begun, or has been in vain so far and goes on.
    Hunting,
    /// Connected with a registrar.
    RegistrarFound {
        /// The address of the registrar.
        registrar: PathAddr,
        /// Its SCTP port.
        port: u16,
    },
    /// A registrar could not be connected with; the search goes on.
    RegistrarUnreachable {
        /// The preferred way to the registrar.
        registrar: Peer,
        /// Why; [`ConnectFailure::TimedOut`] when it did not accept within
        /// [`AsapConfig::connect_timeout`](crate::AsapConfig::connect_timeout).
        failure: ConnectFailure,
    },
    /// Registered; given for the first registration with each registrar only.
    Registered,
    /// The registrar refused the registration. It is tried again after 2 s, and from then on after
    /// twice the time, up to 60 s or the re-registration interval; a refusal for the same reason is
    /// not given again.
    Rejected(OperationError),
    /// The registrar did not answer, or the association with it ended, for this reason if it is
    /// known; the search begins anew.
    RegistrarLost(Option<EndReason>),
    /// Another registrar said that it is the home of this element, and is believed: it is known, or
    /// the one before is lost or silent. The element registers there at once.
    NewHome {
        /// The address of the registrar.
        registrar: PathAddr,
        /// Its SCTP port.
        port: u16,
    },
    /// So many events before the next one were dropped, because nobody read them in time.
    Missed(u64),
}

impl fmt::Display for ElementEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ElementEvent::Hunting => f.write_str("looking for a registrar"),
            ElementEvent::RegistrarFound { registrar, port } => {
                f.write_str("connected with ")?;
                place(f, registrar, *port)
            }
            ElementEvent::RegistrarUnreachable { registrar, failure } => {
                unreachable(f, registrar, failure)
            }
            ElementEvent::Registered => f.write_str("registered"),
            ElementEvent::Rejected(error) => write!(f, "registration refused: {error}"),
            ElementEvent::RegistrarLost(reason) => lost(f, reason.as_ref()),
            ElementEvent::NewHome { registrar, port } => {
                f.write_str("taken over by ")?;
                place(f, registrar, *port)
            }
            ElementEvent::Missed(count) => missed(f, *count),
        }
    }
}

/// The sentence on events that were dropped.
pub(crate) fn missed(f: &mut fmt::Formatter<'_>, count: u64) -> fmt::Result {
    write!(f, "missed {count} event{}", if count == 1 { "" } else { "s" })
}

/// Where a registrar is, in words.
pub(crate) fn place(f: &mut fmt::Formatter<'_>, at: &PathAddr, port: u16) -> fmt::Result {
    write!(f, "registrar {}, port {port}", ShownAddress(at.remote))?;
    match at.encap {
        Encap::Udp { remote_port } => write!(f, ", UDP port {remote_port}"),
        Encap::Native => Ok(()),
    }
}

/// The sentence on a registrar that was there.
pub(crate) fn lost(f: &mut fmt::Formatter<'_>, reason: Option<&EndReason>) -> fmt::Result {
    f.write_str("lost the registrar")?;
    reason.map_or(Ok(()), |reason| write!(f, ": {reason}"))
}

/// Addresses of a registrar that are shown; an announce can name thousands.
const MAX_SHOWN: usize = 8;

/// The sentence on a registrar that could not be connected with.
pub(crate) fn unreachable(
    f: &mut fmt::Formatter<'_>,
    registrar: &Peer,
    failure: &ConnectFailure,
) -> fmt::Result {
    f.write_str("registrar ")?;
    for (i, (addr, _)) in registrar.addrs.iter().take(MAX_SHOWN).enumerate() {
        write!(f, "{}{}", if i > 0 { ", " } else { "" }, ShownAddress(*addr))?;
    }
    match registrar.addrs.len().saturating_sub(MAX_SHOWN) {
        0 => {}
        more => write!(f, " and {more} more addresses")?,
    }
    write!(f, ", port {}", registrar.port)?;
    if let Some(udp_port) = udp_port(registrar) {
        write!(f, ", UDP port {udp_port}")?;
    }
    write!(f, ", cannot be reached: {failure}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registrar_is_named_with_its_ports() {
        let at = |encap| PathAddr { local: None, remote: "192.0.2.1".parse().unwrap(), encap };
        let found = |registrar| ElementEvent::RegistrarFound { registrar, port: 3863 }.to_string();
        assert_eq!(
            found(at(Encap::Udp { remote_port: 9900 })),
            "connected with registrar 192.0.2.1, port 3863, UDP port 9900"
        );
        assert_eq!(found(at(Encap::Native)), "connected with registrar 192.0.2.1, port 3863");
    }

    #[test]
    fn a_registrar_that_cannot_be_reached_is_named_with_its_ports() {
        let shown = |registrar| {
            let failure = ConnectFailure::TimedOut;
            ElementEvent::RegistrarUnreachable { registrar, failure }.to_string()
        };
        let addr = "192.0.2.1".parse().unwrap();
        let end = "cannot be reached: it did not accept in time";
        assert_eq!(
            shown(Peer::new(addr, Encap::Udp { remote_port: 9900 }, 3863)),
            format!("registrar 192.0.2.1, port 3863, UDP port 9900, {end}")
        );
        assert_eq!(
            shown(Peer::new(addr, Encap::Native, 3863)),
            format!("registrar 192.0.2.1, port 3863, {end}")
        );
        let many = Peer { addrs: vec![(addr, Encap::Native); 10], port: 3863 };
        assert!(shown(many).contains(" and 2 more addresses, port 3863, "));
    }
}
