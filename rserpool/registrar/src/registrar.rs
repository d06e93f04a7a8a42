//! The registrar on a stack: ports, announces and a task around the state machine.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::RngExt;
use rserpool_core::channel::Protocol;
use rserpool_core::registrar::RegistrarStats;
use rserpool_core::registrar::{Advertised, RegistrarConfig, RegistrarCore, RegistrarEvent};
use rserpool_net::{Channels, Clock, End, Flow, Host, Multicast, Ports, Settings};
use rserpool_wire::{SctpTransport, ServerId, Transport};
use sctp_user::sctp_user_core::Time;
use sctp_user::{BindOptions, Endpoint, Stack, without_interface};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::error::StartError;
use crate::events::{RegistrarEvents, Subscribers};

/// A running registrar. Dropping it aborts its associations; [`Registrar::shutdown`] is the
/// graceful way.
#[derive(Debug)]
pub struct Registrar {
    id: ServerId,
    asap_port: u16,
    udp_port: Option<u16>,
    stats: Arc<Mutex<RegistrarStats>>,
    subscribers: Arc<Subscribers>,
    shutdown: mpsc::Sender<ShutDown>,
    task: JoinHandle<()>,
}

/// Associations that may wait to be accepted.
const ACCEPT_BACKLOG: usize = 1024;
/// How long elements and users have to answer the graceful shutdown of their associations.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(2);

impl Registrar {
    /// Opens the ASAP port on `stack` and starts serving. Call it within a tokio runtime.
    ///
    /// # Errors
    /// When a setting is out of range or the port cannot be bound. Announces that cannot be sent
    /// are only warned about.
    pub fn start(stack: &Stack, config: RegistrarConfig) -> Result<Registrar, StartError> {
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
        let seed = match config.seed {
            Some(seed) => seed,
            None => rserpool_net::generator(None)?.random(),
        };
        let multicast = config.announce.map(|group| {
            Multicast::new(group, config.announce_ttl, asap_port, config.asap_addrs.clone())
        });
        let settings = Settings {
            ports: vec![(Protocol::Asap, Ports::one(endpoint))],
            accepts: true,
            listeners: Vec::new(),
            multicasts: multicast.map(|to| (Protocol::Asap, to)).into_iter().collect(),
            max_backlog: config.max_backlog,
        };
        let clock = Clock::start();
        let advertised = Advertised { transports, udp_port };
        let core = RegistrarCore::new(config, advertised, seed, clock.now())?;
        let id = core.server_id();
        let stats = Arc::new(Mutex::new(core.stats()));
        let subscribers = Arc::new(Subscribers::default());
        let (shutdown, commands) = mpsc::channel(1);
        let (told, seen) = (Arc::clone(&subscribers), Arc::clone(&stats));
        let host = Serving { core, stats: seen, subscribers: told };
        tracing::info!(server = %id, asap_port, ?udp_port, "registrar started");
        let task = rserpool_net::start(host, clock, settings, commands);
        Ok(Registrar { id, asap_port, udp_port, stats, subscribers, shutdown, task })
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
    pub fn stats(&self) -> RegistrarStats {
        *lock(&self.stats)
    }

    /// What happens from now on.
    pub fn events(&self) -> RegistrarEvents {
        self.subscribers.subscribe()
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
        if self.shutdown.send(ShutDown).await.is_ok() {
            let _ = self.task.await;
        }
    }
}

fn bind(stack: &Stack, config: &RegistrarConfig) -> Result<Endpoint, StartError> {
    let assoc = config.assoc.clone().unwrap_or_else(|| {
        let mut assoc = stack.assoc_config();
        assoc.sack_frequency = 1;
        assoc
    });
    let endpoint = stack.bind(BindOptions {
        port: config.asap_port,
        addrs: config.asap_addrs.clone(),
        config: Some(assoc),
        ..BindOptions::default()
    })?;
    endpoint.listen(ACCEPT_BACKLOG)?;
    Ok(endpoint)
}

/// The only thing that a registrar can be asked for from outside.
#[derive(Debug)]
struct ShutDown;

/// What runs in the registrar's task.
struct Serving {
    core: RegistrarCore,
    stats: Arc<Mutex<RegistrarStats>>,
    subscribers: Arc<Subscribers>,
}

impl Host for Serving {
    type Core = RegistrarCore;
    type Command = ShutDown;

    fn core(&mut self) -> &mut RegistrarCore {
        &mut self.core
    }

    fn command(&mut self, _: Time, ShutDown: ShutDown) -> Flow {
        Flow::End(End::Shutdown(SHUTDOWN_PATIENCE))
    }

    fn event(&mut self, _: Time, event: RegistrarEvent, _: Channels<'_>) -> Flow {
        tracing::debug!("{event}");
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
