//! The registrar on a stack: associations, clock and announces around the core.
//!
//! One task owns the core. Each association has a task that reads and one that writes; all reports
//! go through one bounded queue, so a busy association slows itself down and not the others.

mod connection;
mod interfaces;
mod multicast;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rserpool_wire::{SctpTransport, ServerId, Transport};
use sctp_user::{BindOptions, Endpoint, Message, Stack, Subscriptions, without_interface};
use sctp_user_core::Time;
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use crate::config::Config;
use crate::core::{Advertised, AssociationId, Core, Input, Output};
use crate::error::StartError;
use crate::event::Event;
use crate::stats::Stats;
use connection::{Connection, Names, Report, peer_of};
use multicast::Multicast;

/// A running registrar. Dropping it aborts its associations; [`Registrar::shutdown`] is the
/// graceful way.
#[derive(Debug)]
pub struct Registrar {
    id: ServerId,
    asap_port: u16,
    udp_port: Option<u16>,
    stats: Arc<Mutex<Stats>>,
    events: broadcast::Sender<Event>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

/// Reports that may wait for the registrar's task.
const REPORTS: usize = 1024;
/// Associations that may wait to be accepted.
const ACCEPT_BACKLOG: usize = 1024;
/// Events that a slow subscriber may lag behind before it misses some.
const EVENTS: usize = 1024;
/// How long elements and users have to answer the graceful shutdown of their associations.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(2);

impl Registrar {
    /// Opens the ASAP port on `stack` and starts serving. Call it within a tokio runtime.
    ///
    /// # Errors
    /// When a setting is out of range or the port cannot be bound. Announces that cannot be sent
    /// are only warned about.
    pub fn start(stack: &Stack, config: Config) -> Result<Registrar, StartError> {
        config.check()?;
        let endpoint = bind(stack, &config)?;
        let asap_port = endpoint.port();
        let udp_port = endpoint.local_udp_port();
        let transports = match config.asap_addrs.as_slice() {
            // Bound to all addresses, the source address of the announce is the best that can be
            // named.
            [] => Vec::new(),
            addrs => {
                let addrs = addrs.iter().map(|addr| without_interface(*addr)).collect();
                vec![Transport::Sctp(SctpTransport::data_only(asap_port, addrs))]
            }
        };
        #[expect(
            clippy::disallowed_methods,
            reason = "this is the driver, which gives the core its seed"
        )]
        let seed = config.seed.unwrap_or_else(rand::random);
        let core =
            Core::new(config.clone(), Advertised { transports, udp_port }, seed, Time::ZERO)?;
        let id = core.server_id();
        let stats = Arc::new(Mutex::new(core.stats()));
        let events = broadcast::Sender::new(EVENTS);
        let multicast = config.announce.map(|group| {
            Multicast::new(group, config.announce_ttl, asap_port, config.asap_addrs.clone())
        });
        let (stop, stopped) = oneshot::channel();
        let (reports, inbox) = mpsc::channel(REPORTS);
        let driver = Driver {
            core,
            config,
            multicast,
            start: Instant::now(),
            names: Names::default(),
            connections: BTreeMap::new(),
            acceptor: tokio::spawn(accept(endpoint, reports.clone())),
            reports,
            stats: stats.clone(),
            events: events.clone(),
        };
        tracing::info!(server = %id, asap_port, ?udp_port, "registrar started");
        let task = tokio::spawn(driver.run(inbox, stopped));
        Ok(Registrar { id, asap_port, udp_port, stats, events, stop, task })
    }

    /// The identifier of this registrar.
    pub fn server_id(&self) -> ServerId {
        self.id
    }

    /// The SCTP port that it serves.
    pub fn asap_port(&self) -> u16 {
        self.asap_port
    }

    /// The UDP port that its SCTP packets are encapsulated in, `None` on a stack without
    /// encapsulation.
    pub fn udp_port(&self) -> Option<u16> {
        self.udp_port
    }

    /// Present sizes and counts.
    pub fn stats(&self) -> Stats {
        *lock(&self.stats)
    }

    /// What happens from now on. A receiver that lags more than 1024 events behind misses some.
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    /// Waits until the registrar has ended by itself, which it does only when its stack ends.
    /// Cancel-safe.
    pub async fn ended(&mut self) {
        // Polling a finished task again would panic.
        if !self.task.is_finished() {
            let _ = (&mut self.task).await;
        }
    }

    /// Shuts all associations down, gracefully for up to 2 s, and ends the registrar.
    pub async fn shutdown(self) {
        if self.stop.send(()).is_ok() {
            let _ = self.task.await;
        }
    }
}

fn bind(stack: &Stack, config: &Config) -> Result<Endpoint, StartError> {
    let assoc = config.assoc.clone().unwrap_or_else(|| {
        let mut assoc = stack.assoc_config();
        assoc.sack_frequency = 1;
        assoc
    });
    let endpoint = stack.bind(BindOptions {
        port: config.asap_port,
        addrs: config.asap_addrs.clone(),
        config: Some(assoc),
        subscriptions: Subscriptions {
            assoc_change: true,
            peer_addr_change: true,
            partial_delivery: true,
            ..Subscriptions::NONE
        },
        ..BindOptions::default()
    })?;
    endpoint.listen(ACCEPT_BACKLOG)?;
    Ok(endpoint)
}

async fn accept(endpoint: Endpoint, reports: mpsc::Sender<Report>) {
    let last = loop {
        match endpoint.accept().await {
            Ok(association) => {
                if reports.send(Report::Accepted(association)).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                tracing::debug!(%error, "no more associations are accepted");
                break Report::Stopped;
            }
        }
    };
    let _ = reports.send(last).await;
}

/// The registrar's own task.
struct Driver {
    core: Core,
    config: Config,
    multicast: Option<Multicast>,
    start: Instant,
    names: Names,
    connections: BTreeMap<AssociationId, Connection>,
    acceptor: JoinHandle<()>,
    reports: mpsc::Sender<Report>,
    stats: Arc<Mutex<Stats>>,
    events: broadcast::Sender<Event>,
}

impl Driver {
    async fn run(mut self, mut inbox: mpsc::Receiver<Report>, mut stop: oneshot::Receiver<()>) {
        let graceful = loop {
            let timeout = self.core.poll_timeout();
            tokio::select! {
                biased;
                asked = &mut stop => break asked.is_ok(),
                () = self.sleep_until(timeout) => self.handle(Input::Timeout),
                report = inbox.recv() => match report {
                    Some(Report::Stopped) | None => break false,
                    Some(report) => self.on_report(report),
                },
            }
            *lock(&self.stats) = self.core.stats();
        };
        self.acceptor.abort();
        inbox.close();
        self.end(graceful).await;
    }

    async fn end(self, graceful: bool) {
        if !graceful {
            for connection in self.connections.values() {
                connection.abort("the registrar ends");
            }
            return;
        }
        let mut shutdowns = JoinSet::new();
        for connection in self.connections.into_values() {
            shutdowns.spawn(connection.shutdown(SHUTDOWN_PATIENCE));
        }
        shutdowns.join_all().await;
    }

    fn on_report(&mut self, report: Report) {
        match report {
            Report::Accepted(association) => {
                let (id, peer) = (self.names.next(), peer_of(&association));
                tracing::debug!(
                    association = %id,
                    addrs = ?peer.addrs,
                    port = peer.port,
                    "association up"
                );
                let (names, reports) = (self.names.clone(), self.reports.clone());
                let connection =
                    Connection::start(association, id, names, reports, self.config.autoclose);
                self.connections.insert(id, connection);
                self.handle(Input::AssociationUp { association: id, peer });
            }
            Report::Message { id, ppid, data } => {
                self.handle(Input::Message { association: id, ppid, data: &data });
            }
            Report::PeerChanged { id, peer } => {
                self.handle(Input::PeerChanged { association: id, peer })
            }
            Report::Restarted { old, new, peer } => {
                tracing::debug!(association = %old, name_now = %new, "the other end has restarted");
                self.handle(Input::AssociationDown { association: old });
                // Without a connection the core has just aborted it.
                if let Some(connection) = self.connections.remove(&old) {
                    self.connections.insert(new, connection);
                    self.handle(Input::AssociationUp { association: new, peer });
                }
            }
            Report::Down { id } => {
                tracing::debug!(association = %id, "association down");
                self.connections.remove(&id);
                self.handle(Input::AssociationDown { association: id });
            }
            Report::Stopped => {}
        }
    }

    fn handle(&mut self, input: Input<'_>) {
        let now = self.now();
        self.core.handle(now, input);
        while let Some(output) = self.core.poll_output() {
            match output {
                Output::Send { association, ppid, data } => {
                    let Some(connection) = self.connections.get(&association) else { continue };
                    let queued = connection.send(Message::new(0, ppid, data));
                    if queued > self.config.max_backlog {
                        self.core.handle(now, Input::BacklogFull { association });
                    }
                }
                Output::Abort { association, reason } => {
                    if let Some(connection) = self.connections.remove(&association) {
                        connection.abort(reason);
                    }
                }
                Output::Multicast(datagram) => {
                    if let Some(multicast) = &mut self.multicast {
                        multicast.send(&datagram);
                    }
                }
                Output::Event(event) => {
                    tracing::debug!("{event}");
                    // Nobody may be listening.
                    let _ = self.events.send(event);
                }
            }
        }
    }

    fn now(&self) -> Time {
        Time::ZERO + self.start.elapsed()
    }

    async fn sleep_until(&self, at: Option<Time>) {
        match at {
            Some(at) => tokio::time::sleep_until(self.start + at.since(Time::ZERO)).await,
            None => std::future::pending().await,
        }
    }
}

fn lock(stats: &Mutex<Stats>) -> MutexGuard<'_, Stats> {
    stats.lock().unwrap_or_else(PoisonError::into_inner)
}
