//! The task of a pool element or pool user that deals with the registrars.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use rand::RngExt;
use rserpool_core::asap::{AsapConfig, AsapCore, AsapEvent, OwnElement, RequestError, RequestId};
use rserpool_core::channel::Protocol;
use rserpool_core::session::session_profile;
use rserpool_net::{Channels, Clock, End, Flow, Host, Listener, Ports, Settings, generator, reach};
use rserpool_wire::{PeId, Policy, PoolElement, PoolHandle};
use sctp_user::sctp_user_core::{Duration, Time};
use sctp_user::{Association, BindOptions, EndReason, Peer, Stack};
use tokio::sync::{mpsc, oneshot, watch};

use crate::error::Error;
use crate::subscription::Known;

/// How many commands may wait for the task.
const QUEUE: usize = 64;
/// How many bytes may wait for a registrar that does not read.
const MAX_BACKLOG: usize = 256 * 1024;
/// How many associations of registrars may wait to be accepted.
const BACKLOG: usize = 8;

type Resolved = Result<Vec<PoolElement>, RequestError>;
type Deregistered = Result<(), RequestError>;
type Subscribed = Result<watch::Receiver<Known>, RequestError>;

enum Command {
    Resolve {
        pool: PoolHandle,
        items: u32,
        stale: Duration,
        reply: oneshot::Sender<Resolved>,
    },
    Report {
        pool: PoolHandle,
        id: PeId,
    },
    Deregister {
        reply: oneshot::Sender<Deregistered>,
    },
    Subscribe {
        pool: PoolHandle,
        reply: oneshot::Sender<Subscribed>,
    },
    /// A subscription has ended.
    Unsubscribed,
    /// The names of registrars have been looked up.
    Named(Vec<Peer>),
    /// There are new wishes.
    Wishes,
}

/// What the owner of a pool element wants changed. A newer wish replaces an older one.
#[derive(Debug, Default)]
struct Wishes {
    load: Option<u32>,
    policy: Option<Policy>,
}

/// Talks to the task. When the last clone is dropped, the task ends and aborts its associations.
#[derive(Clone, Debug)]
pub(crate) struct Handle {
    commands: mpsc::Sender<Command>,
    wishes: Arc<Mutex<Wishes>>,
    port: u16,
}

/// The task has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gone;

impl From<Gone> for Error {
    fn from(Gone: Gone) -> Self {
        Error::Closed
    }
}

/// Something to tell the owner of the task.
#[derive(Clone, Debug)]
pub(crate) enum Notice {
    /// Something happened.
    Event {
        event: AsapEvent,
        /// The association that it is about, if there is one.
        association: Option<Association>,
        /// Why an association has ended, if that is what happened.
        reason: Option<EndReason>,
    },
    /// The task has ended.
    Ended,
}

impl Handle {
    /// Starts the task, which keeps `element` registered if there is one. Events go to `notify`.
    pub(crate) fn start(
        stack: &Stack,
        config: AsapConfig,
        element: Option<OwnElement>,
        notify: impl FnMut(Notice) + Send + 'static,
    ) -> Result<Handle, Error> {
        let reach = reach(stack);
        if !config.registrars.is_empty() && !config.registrars.iter().any(|r| reach.includes(r)) {
            return Err(Error::Invalid("the stack has no link that reaches any of the registrars"));
        }
        let assoc = config.assoc.clone().unwrap_or_else(|| session_profile(stack.assoc_config()));
        let bind = BindOptions {
            port: config.port,
            addrs: config.addrs.clone(),
            config: Some(assoc),
            ..BindOptions::default()
        };
        let ports = Ports::bind(stack, bind)?;
        let port = ports.port();
        if element.is_some() {
            // A new home registrar connects to us.
            ports.listen(BACKLOG)?;
        }
        let listener = match &config.announce {
            Some(announce) => Some(Listener::open(announce).map_err(|error| Error::Announce {
                group: announce.group,
                reason: error.to_string(),
            })?),
            None => None,
        };
        let settings = Settings {
            ports: vec![(Protocol::Asap, ports)],
            accepts: element.is_some(),
            listeners: listener.map(|l| (Protocol::Asap, l)).into_iter().collect(),
            multicasts: Vec::new(),
            max_backlog: MAX_BACKLOG,
            max_total_backlog: usize::MAX,
        };
        let seed = generator(config.seed)?.random();
        let clock = Clock::start();
        let (commands, receiver) = mpsc::channel(QUEUE);
        let wishes = Arc::new(Mutex::new(Wishes::default()));
        let resolver = config.resolver.clone();
        let mut core = AsapCore::new(clock.now(), config, reach, seed);
        let own = element.as_ref().map(|element| (element.pool.clone(), element.id));
        if let Some(element) = element {
            core.register(clock.now(), element);
        }
        let asking = Asking {
            core,
            own,
            resolver,
            looking_up: false,
            commands: commands.downgrade(),
            wishes: Arc::clone(&wishes),
            resolving: BTreeMap::new(),
            deregistering: BTreeMap::new(),
            subscribed: BTreeMap::new(),
            notify: Box::new(notify),
        };
        rserpool_net::start(asking, clock, settings, receiver);
        Ok(Handle { commands, wishes, port })
    }

    /// SCTP port of the associations with registrars.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) async fn resolve(
        &self,
        pool: &PoolHandle,
        items: u32,
        stale: Duration,
    ) -> Result<Resolved, Gone> {
        let (reply, answer) = oneshot::channel();
        let command = Command::Resolve { pool: pool.clone(), items, stale, reply };
        self.commands.send(command).await.map_err(|_| Gone)?;
        answer.await.map_err(|_| Gone)
    }

    /// Reports an element that could not be reached. A report is a hint, so it is left out when too
    /// many commands wait already.
    pub(crate) fn report_unreachable(&self, pool: &PoolHandle, id: PeId) {
        let _ = self.commands.try_send(Command::Report { pool: pool.clone(), id });
    }

    pub(crate) async fn subscribe(&self, pool: &PoolHandle) -> Result<Subscribed, Gone> {
        let (reply, answer) = oneshot::channel();
        let command = Command::Subscribe { pool: pool.clone(), reply };
        self.commands.send(command).await.map_err(|_| Gone)?;
        answer.await.map_err(|_| Gone)
    }

    /// A subscription has ended. When the queue is full, the task sees it with the next command.
    pub(crate) fn unsubscribed(&self) {
        let _ = self.commands.try_send(Command::Unsubscribed);
    }

    /// Deregisters the element and ends the task.
    pub(crate) async fn deregister(&self) -> Result<Deregistered, Gone> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::Deregister { reply }).await.map_err(|_| Gone)?;
        answer.await.map_err(|_| Gone)
    }

    pub(crate) fn set_load(&self, load: u32) {
        self.wish(|wishes| wishes.load = Some(load));
    }

    pub(crate) fn set_policy(&self, policy: Policy) {
        // A load that was set before belongs to the policy before.
        self.wish(|wishes| *wishes = Wishes { load: None, policy: Some(policy) });
    }

    fn wish(&self, change: impl FnOnce(&mut Wishes)) {
        change(&mut self.wishes.lock().unwrap_or_else(PoisonError::into_inner));
        // When the queue is full, the task sees the wishes with the next command.
        let _ = self.commands.try_send(Command::Wishes);
    }
}

/// What runs in the task.
struct Asking {
    core: AsapCore,
    /// The element that is kept registered.
    own: Option<(PoolHandle, PeId)>,
    resolver: Option<rserpool_core::asap::Resolver>,
    /// The resolver is at work.
    looking_up: bool,
    commands: mpsc::WeakSender<Command>,
    wishes: Arc<Mutex<Wishes>>,
    resolving: BTreeMap<RequestId, oneshot::Sender<Resolved>>,
    deregistering: BTreeMap<RequestId, oneshot::Sender<Deregistered>>,
    /// Who hears of which pool.
    subscribed: BTreeMap<PoolHandle, watch::Sender<Known>>,
    notify: Box<dyn FnMut(Notice) + Send>,
}

impl Host for Asking {
    type Core = AsapCore;
    type Command = Command;

    fn core(&mut self) -> &mut AsapCore {
        &mut self.core
    }

    fn command(&mut self, now: Time, command: Command) -> Flow {
        self.grant_wishes(now);
        match command {
            Command::Resolve { pool, items, stale, reply } => {
                // The core answers each request, so entries of callers who have gone do not stay.
                let request = self.core.resolve(now, &pool, items, stale);
                self.resolving.insert(request, reply);
            }
            Command::Report { pool, id } => self.core.report_unreachable(now, &pool, id),
            Command::Deregister { reply } => {
                if let Some((pool, id)) = &self.own {
                    let request = self.core.deregister(now, pool, *id);
                    self.deregistering.insert(request, reply);
                }
            }
            Command::Named(peers) => {
                self.looking_up = false;
                self.core.set_named(now, peers);
            }
            Command::Subscribe { pool, reply } => {
                let _ = reply.send(self.subscribe(now, pool));
            }
            Command::Wishes | Command::Unsubscribed => {}
        }
        self.forget_unheard();
        Flow::GoOn
    }

    fn event(&mut self, _: Time, event: AsapEvent, channels: Channels<'_>) -> Flow {
        let association = match event {
            AsapEvent::Resolved { request, result } => {
                if let Some(reply) = self.resolving.remove(&request) {
                    let _ = reply.send(result);
                }
                return Flow::GoOn;
            }
            AsapEvent::Deregistered { request, result } => {
                if let Some(reply) = self.deregistering.remove(&request) {
                    let _ = reply.send(result);
                }
                return Flow::End(End::Leave);
            }
            AsapEvent::PoolChanged { pool, elements } => {
                if let Some(known) = self.subscribed.get(&pool) {
                    known.send_replace(Some(elements));
                }
                self.forget_unheard();
                return Flow::GoOn;
            }
            AsapEvent::RegistrarFound(channel) | AsapEvent::NewHome(channel) => {
                channels.get(channel).cloned()
            }
            AsapEvent::Hunting => {
                self.look_up();
                None
            }
            _ => None,
        };
        let reason = channels.end_reason().cloned();
        (self.notify)(Notice::Event { event, association, reason });
        Flow::GoOn
    }

    fn ended(&mut self) {
        (self.notify)(Notice::Ended);
    }
}

impl Asking {
    fn grant_wishes(&mut self, now: Time) {
        let Some((pool, id)) = &self.own else { return };
        let mut wishes = self.wishes.lock().unwrap_or_else(PoisonError::into_inner);
        let Wishes { load, policy } = std::mem::take(&mut *wishes);
        drop(wishes);
        if let Some(policy) = policy {
            self.core.set_policy(now, pool, *id, policy);
        }
        if let Some(load) = load {
            self.core.set_load(now, pool, *id, load);
        }
    }

    fn subscribe(&mut self, now: Time, pool: PoolHandle) -> Subscribed {
        self.core.subscribe(now, &pool)?;
        let known = self.subscribed.entry(pool).or_insert_with(|| watch::channel(None).0);
        let mut listener = known.subscribe();
        // What is known already is news to this one.
        listener.mark_changed();
        Ok(listener)
    }

    /// Ends the subscriptions that nobody listens to.
    fn forget_unheard(&mut self) {
        let unheard = self.subscribed.extract_if(.., |_, known| known.receiver_count() == 0);
        unheard.for_each(|(pool, _)| self.core.unsubscribe(&pool));
    }

    /// Has the names of registrars looked up.
    fn look_up(&mut self) {
        let Some(resolver) = self.resolver.clone().filter(|_| !self.looking_up) else { return };
        self.looking_up = true;
        let commands = self.commands.clone();
        tokio::spawn(async move {
            let peers = resolver.look_up().await;
            if let Some(commands) = commands.upgrade() {
                let _ = commands.send(Command::Named(peers)).await;
            }
        });
    }
}
