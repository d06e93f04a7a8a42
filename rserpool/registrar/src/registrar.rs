//! The registrar on a stack: the state machine with its ports, announces and task.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::RngExt;
use rserpool_core::channel::Protocol;
use rserpool_core::registrar::{RegistrarConfig, RegistrarCore, RegistrarEvent, RegistrarStats};
use rserpool_net::{Channels, Clock, End, Flow, Host, Ports, Settings};
use rserpool_wire::ServerId;
use sctp_user::sctp_user_core::Time;
use sctp_user::{Peer, Stack};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::error::StartError;
use crate::events::{RegistrarEvents, Subscribers};
use crate::names::Names;
use crate::network;

/// A running registrar. Dropping it aborts its associations; [`Registrar::shutdown`] is the
/// graceful way.
#[derive(Debug)]
pub struct Registrar {
    id: ServerId,
    asap_port: u16,
    enrp_port: Option<u16>,
    udp_port: Option<u16>,
    stats: Arc<Mutex<RegistrarStats>>,
    subscribers: Arc<Subscribers>,
    commands: mpsc::Sender<Command>,
    task: JoinHandle<()>,
}

/// Commands that may wait for the task.
const QUEUE: usize = 4;
/// How long pool elements and users may take to answer a graceful shutdown.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(2);

impl Registrar {
    /// Opens the port of ASAP on `stack`, and that of ENRP if the configuration has it, and starts
    /// to serve. Call it in a tokio runtime.
    ///
    /// # Errors
    /// When a setting is out of range or a port cannot be bound. When multicast cannot be sent or
    /// heard, there is a warning only.
    pub fn start(stack: &Stack, config: RegistrarConfig) -> Result<Registrar, StartError> {
        config.check()?;
        let asap = network::asap(stack, &config)?;
        let enrp = config.enrp.as_ref().map(|enrp| network::enrp(stack, enrp)).transpose()?;
        let asap_port = asap.port();
        let enrp_port = enrp.as_ref().map(Ports::port);
        let udp_port = stack.local_udp_port();
        let local = network::local(stack, &config, asap_port, enrp_port);
        let seed = match config.seed {
            Some(seed) => seed,
            None => rserpool_net::generator(None)?.random(),
        };
        let mut settings = Settings {
            ports: vec![(Protocol::Asap, asap)],
            accepts: true,
            listeners: Vec::new(),
            multicasts: network::announces(&config, asap_port),
            max_backlog: config.max_backlog,
            max_total_backlog: config.max_total_backlog,
        };
        let mut resolver = None;
        if let (Some(enrp), Some(ports)) = (&config.enrp, enrp) {
            settings.multicasts.extend(network::presences(enrp, ports.port()));
            settings.listeners.extend(network::listener(enrp));
            settings.ports.push((Protocol::Enrp, ports));
            resolver = enrp.resolver.clone();
        }
        let clock = Clock::start();
        let core = RegistrarCore::new(config, local, seed, clock.now())?;
        let id = core.server_id();
        let stats = Arc::new(Mutex::new(core.stats()));
        let subscribers = Arc::new(Subscribers::default());
        let (commands, receiver) = mpsc::channel(QUEUE);
        let names = Names::new(resolver, commands.downgrade());
        let (told, seen) = (Arc::clone(&subscribers), Arc::clone(&stats));
        let host = Serving { core, names, stats: seen, subscribers: told };
        tracing::info!(server = %id, asap_port, ?enrp_port, ?udp_port, "registrar started");
        let task = rserpool_net::start(host, clock, settings, receiver);
        Ok(Registrar { id, asap_port, enrp_port, udp_port, stats, subscribers, commands, task })
    }

    /// The identifier of this registrar.
    pub fn server_id(&self) -> ServerId {
        self.id
    }

    /// The SCTP port that it serves.
    pub fn asap_port(&self) -> u16 {
        self.asap_port
    }

    /// The SCTP port for other registrars, `None` without ENRP.
    pub fn enrp_port(&self) -> Option<u16> {
        self.enrp_port
    }

    /// The UDP port of its SCTP packets; `None` when the stack has no UDP link.
    pub fn udp_port(&self) -> Option<u16> {
        self.udp_port
    }

    /// The present sizes and counts.
    pub fn stats(&self) -> RegistrarStats {
        *lock(&self.stats)
    }

    /// Everything that happens from now on.
    pub fn events(&self) -> RegistrarEvents {
        self.subscribers.subscribe()
    }

    /// Waits until the registrar ends by itself, which happens only when its stack ends.
    /// Cancel-safe.
    pub async fn ended(&mut self) {
        // Polling a finished task again would panic.
        if !self.task.is_finished() {
            let _ = (&mut self.task).await;
        }
    }

    /// Shuts all associations down gracefully, aborts what takes longer than 2 s, and ends the
    /// registrar.
    pub async fn shutdown(self) {
        if self.commands.send(Command::ShutDown).await.is_ok() {
            let _ = self.task.await;
        }
    }
}

/// What others can ask the task of a registrar for.
#[derive(Debug)]
pub(crate) enum Command {
    ShutDown,
    /// The names of other registrars have been looked up.
    Named(Vec<Peer>),
}

/// What runs in the registrar's task.
struct Serving {
    core: RegistrarCore,
    names: Names,
    stats: Arc<Mutex<RegistrarStats>>,
    subscribers: Arc<Subscribers>,
}

impl Host for Serving {
    type Core = RegistrarCore;
    type Command = Command;

    fn core(&mut self) -> &mut RegistrarCore {
        &mut self.core
    }

    fn command(&mut self, _: Time, command: Command) -> Flow {
        match command {
            Command::ShutDown => return Flow::End(End::Shutdown(SHUTDOWN_PATIENCE)),
            Command::Named(peers) => self.core.set_named_peers(peers),
        }
        Flow::GoOn
    }

    fn event(&mut self, _: Time, event: RegistrarEvent, _: Channels<'_>) -> Flow {
        tracing::debug!("{event}");
        if matches!(event, RegistrarEvent::PeerLost { .. }) {
            // It may have moved to another address.
            self.names.look_up();
        }
        self.subscribers.tell(&event);
        Flow::GoOn
    }

    fn settled(&mut self) {
        *lock(&self.stats) = self.core.stats();
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.subscribers.end();
    }
}

fn lock(stats: &Mutex<RegistrarStats>) -> MutexGuard<'_, RegistrarStats> {
    stats.lock().unwrap_or_else(PoisonError::into_inner)
}
