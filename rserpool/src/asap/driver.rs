//! Drives an [`AsapCore`] with real associations, announces and time. One task for each pool
//! element or pool user.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use rand::RngExt;
use rserpool_wire::numbers::ppid;
use rserpool_wire::{PeId, Policy, PoolElement, PoolHandle};
use sctp_user::{Association, Message, Peer, Stack, from_socket_addr, to_socket_addr};
use sctp_user_core::Duration;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::{AbortHandle, JoinSet};
use tracing::debug;

use super::ports::Ports;
use super::{AsapCore, AsapEvent, AssocKey, Output, OwnElement, RequestId};
use crate::announce::Listener;
use crate::assemble::Assembler;
use crate::clock::Clock;
use crate::config::{AsapConfig, session_profile};
use crate::error::Error;
use crate::reach::{Reach, is_native, same_place};
use crate::resolver::Resolver;
use crate::seed;

/// Commands and messages that may wait for the task.
const QUEUE: usize = 64;
/// No ASAP message is longer.
const MAX_MESSAGE: usize = 65_536;
/// How long a registrar is tried natively before it is tried in UDP, too.
const HEAD_START: Duration = Duration::from_millis(250);
/// Associations of registrars that may wait to be accepted.
const BACKLOG: usize = 8;

type Resolved = Result<Vec<PoolElement>, Error>;

enum Command {
    Resolve { pool: PoolHandle, items: u32, stale: Duration, reply: oneshot::Sender<Resolved> },
    Report { pool: PoolHandle, id: PeId },
    Deregister { reply: oneshot::Sender<Result<(), Error>> },
}

/// What the owner of a pool element wants changed; the newest counts.
#[derive(Debug, Default)]
struct Wishes {
    wanted: Mutex<(Option<u32>, Option<Policy>)>,
    changed: Notify,
}

/// Talks to the task. When the last clone is dropped, the task ends and aborts its associations.
#[derive(Clone, Debug)]
pub(crate) struct Handle {
    commands: mpsc::Sender<Command>,
    wishes: Arc<Wishes>,
    port: u16,
}

/// Something to tell the owner of the task.
#[derive(Clone, Debug)]
pub(crate) enum Notice {
    /// Something happened; with the association, where it is about one.
    Event(AsapEvent, Option<Association>),
    /// The task has ended.
    Ended,
}

impl Handle {
    /// Starts the task, with an element to keep registered or without. Its events go to `notify`.
    pub(crate) fn start(
        stack: &Stack,
        config: AsapConfig,
        element: Option<OwnElement>,
        notify: impl FnMut(Notice) + Send + 'static,
    ) -> Result<Handle, Error> {
        let mut bind = config.bind.clone();
        bind.config.get_or_insert_with(|| session_profile(stack.assoc_config()));
        let reach = Reach::of(stack);
        let mut config = config;
        let named = config.registrars.len();
        // What cannot be sent would only keep others waiting.
        config.registrars.retain(|peer| reach.includes(peer));
        if named > 0 && config.registrars.is_empty() {
            return Err(Error::Invalid("the stack has no link that reaches any of the registrars"));
        }
        let ports = Ports::bind(stack, bind, reach)?;
        if element.is_some() {
            // A new home registrar connects to us.
            ports.listen(BACKLOG)?;
        }
        let announces = config.announce.as_ref().map(Listener::open).transpose()?;
        let seed = seed::generator(config.seed)?.random();
        let clock = Clock::start();
        let (commands, command_rx) = mpsc::channel(QUEUE);
        let (input_tx, inputs) = mpsc::channel(QUEUE);
        let wishes = Arc::new(Wishes::default());
        let port = ports.port();
        let driver = Driver {
            resolver: config.resolver.clone(),
            looking_up: false,
            core: AsapCore::new(clock.now(), config.clone(), config.registrars, seed),
            clock,
            reach,
            ports: Arc::new(ports),
            announces,
            commands: command_rx,
            wishes: Arc::clone(&wishes),
            inputs,
            input_tx,
            associations: BTreeMap::new(),
            tasks: JoinSet::new(),
            resolving: BTreeMap::new(),
            deregistering: BTreeMap::new(),
            element,
            notify: Box::new(notify),
            over: false,
        };
        tokio::spawn(driver.run());
        Ok(Handle { commands, wishes, port })
    }

    /// SCTP port of the associations with registrars.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) async fn resolve(&self, pool: &PoolHandle, items: u32, stale: Duration) -> Resolved {
        let (reply, answer) = oneshot::channel();
        let command = Command::Resolve { pool: pool.clone(), items, stale, reply };
        self.commands.send(command).await.map_err(|_| Error::Closed)?;
        answer.await.map_err(|_| Error::Closed)?
    }

    /// A report is a hint; when too much waits already, it is left out.
    pub(crate) fn report_unreachable(&self, pool: &PoolHandle, id: PeId) {
        let _ = self.commands.try_send(Command::Report { pool: pool.clone(), id });
    }

    /// Deregisters the element and ends the task.
    pub(crate) async fn deregister(&self) -> Result<(), Error> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::Deregister { reply }).await.map_err(|_| Error::Closed)?;
        answer.await.map_err(|_| Error::Closed)?
    }

    pub(crate) fn set_load(&self, load: u32) {
        self.wishes.wanted.lock().unwrap_or_else(PoisonError::into_inner).0 = Some(load);
        self.wishes.changed.notify_one();
    }

    pub(crate) fn set_policy(&self, policy: Policy) {
        // A load that was wished before belonged to the policy before.
        *self.wishes.wanted.lock().unwrap_or_else(PoisonError::into_inner) = (None, Some(policy));
        self.wishes.changed.notify_one();
    }
}

/// What the tasks of the associations report.
enum Input {
    Up(AssocKey, Association),
    Message(AssocKey, Bytes),
    Restarted(AssocKey),
    /// It did not come up.
    Failed(AssocKey, sctp_user::Error),
    Down(AssocKey),
    /// The names of registrars have been looked up.
    Named(Vec<Peer>),
    /// The stack has stopped.
    Stopped,
}

struct Entry {
    task: AbortHandle,
    association: Option<Association>,
    /// The attempt that it began with, if it is one of ours.
    attempt: Option<Attempt>,
}

/// An attempt to reach a registrar.
struct Attempt {
    peer: Peer,
    /// Closed when the attempt is over.
    goes_on: watch::Receiver<()>,
}

struct Driver {
    core: AsapCore,
    resolver: Option<Resolver>,
    /// The resolver is at work.
    looking_up: bool,
    clock: Clock,
    reach: Reach,
    ports: Arc<Ports>,
    announces: Option<Listener>,
    commands: mpsc::Receiver<Command>,
    wishes: Arc<Wishes>,
    inputs: mpsc::Receiver<Input>,
    input_tx: mpsc::Sender<Input>,
    associations: BTreeMap<AssocKey, Entry>,
    tasks: JoinSet<()>,
    resolving: BTreeMap<RequestId, oneshot::Sender<Resolved>>,
    deregistering: BTreeMap<RequestId, oneshot::Sender<Result<(), Error>>>,
    element: Option<OwnElement>,
    notify: Box<dyn FnMut(Notice) + Send>,
    over: bool,
}

impl Driver {
    async fn run(mut self) {
        if let Some(element) = &self.element {
            self.core.register(self.clock.now(), element.clone());
        }
        loop {
            self.drain();
            if self.over {
                break;
            }
            let listening = self.element.is_some();
            tokio::select! {
                biased;
                command = self.commands.recv() => match command {
                    Some(command) => self.command(command),
                    None => break,
                },
                () = self.wishes.changed.notified() => self.grant_wishes(),
                Some(input) = self.inputs.recv() => self.input(input),
                incoming = self.ports.accept(), if listening => match incoming {
                    Ok(association) => self.accept(association),
                    Err(_) => break,
                },
                (from, announce) = next_announce(&mut self.announces) => {
                    let peers = self.reach.registrar(from, &announce);
                    self.core.handle_announce(self.clock.now(), peers);
                }
                Some(_) = self.tasks.join_next(), if !self.tasks.is_empty() => {}
                () = self.clock.wait(self.core.poll_timeout()) => {
                    self.core.handle_timeout(self.clock.now());
                }
            }
        }
        (self.notify)(Notice::Ended);
    }

    fn command(&mut self, command: Command) {
        let now = self.clock.now();
        match command {
            Command::Resolve { pool, items, stale, reply } => {
                // Whoever does not wait any more needs no answer.
                self.resolving.retain(|_, reply| !reply.is_closed());
                let request = self.core.resolve(now, &pool, items, stale);
                self.resolving.insert(request, reply);
            }
            Command::Report { pool, id } => self.core.report_unreachable(now, &pool, id),
            Command::Deregister { reply } => match &self.element {
                Some(element) => {
                    let request = self.core.deregister(now, &element.pool, element.id);
                    self.deregistering.insert(request, reply);
                }
                None => drop(reply),
            },
        }
    }

    fn grant_wishes(&mut self) {
        let wanted =
            std::mem::take(&mut *self.wishes.wanted.lock().unwrap_or_else(PoisonError::into_inner));
        let (now, Some(element)) = (self.clock.now(), &self.element) else { return };
        let (load, policy) = wanted;
        if let Some(policy) = policy {
            self.core.set_policy(now, &element.pool, element.id, policy);
        }
        if let Some(load) = load {
            self.core.set_load(now, &element.pool, element.id, load);
        }
    }

    fn input(&mut self, input: Input) {
        let now = self.clock.now();
        match input {
            Input::Up(assoc, association) => {
                // An attempt that was given up has no entry; its association is aborted by being
                // dropped.
                if let Some(entry) = self.associations.get_mut(&assoc) {
                    let local = own_addresses(&association);
                    entry.association = Some(association);
                    self.core.handle_up(now, assoc, local);
                }
            }
            Input::Message(assoc, bytes) => self.core.handle_message(now, assoc, &bytes),
            Input::Restarted(assoc) => self.core.handle_restarted(now, assoc),
            Input::Failed(assoc, error) => {
                self.associations.remove(&assoc);
                self.core.handle_failed(now, assoc, error);
            }
            Input::Down(assoc) => {
                self.associations.remove(&assoc);
                self.core.handle_down(now, assoc);
            }
            Input::Named(peers) => {
                self.looking_up = false;
                let peers: Vec<Peer> =
                    peers.into_iter().filter(|peer| self.reach.includes(peer)).collect();
                // A name that cannot be looked up right now meant something before.
                if !peers.is_empty() {
                    self.core.handle_named(now, peers);
                }
            }
            Input::Stopped => self.over = true,
        }
    }

    fn accept(&mut self, association: Association) {
        let local = own_addresses(&association);
        let Some(assoc) = self.core.handle_incoming(self.clock.now(), local) else { return };
        let task = self.tasks.spawn(read(association.clone(), assoc, self.input_tx.clone()));
        self.associations
            .insert(assoc, Entry { task, association: Some(association), attempt: None });
    }

    fn drain(&mut self) {
        while let Some(output) = self.core.poll_output() {
            match output {
                Output::Connect { assoc, peer } => {
                    let (going_on, goes_on) = watch::channel(());
                    let first = self.native_attempt(&peer);
                    let inputs = self.input_tx.clone();
                    let task = connect(
                        Arc::clone(&self.ports),
                        peer.clone(),
                        assoc,
                        first,
                        going_on,
                        inputs,
                    );
                    let task = self.tasks.spawn(task);
                    let attempt = Some(Attempt { peer, goes_on });
                    self.associations.insert(assoc, Entry { task, association: None, attempt });
                }
                Output::Send { assoc, message } => {
                    let entry = self.associations.get(&assoc).and_then(|e| e.association.as_ref());
                    let sent = entry.map(|a| a.try_send(Message::new(0, ppid::ASAP, message)));
                    if let Some(Err(error)) = sent {
                        // A registrar that does not read is as good as none.
                        debug!(%error, "cannot send to the registrar");
                        self.abort(assoc, "cannot send");
                        self.core.handle_down(self.clock.now(), assoc);
                    }
                }
                Output::Abort { assoc, reason } => self.abort(assoc, reason),
                Output::Resolved { request, result } => {
                    if let Some(reply) = self.resolving.remove(&request) {
                        let _ = reply.send(result);
                    }
                }
                Output::Deregistered { request, result } => {
                    for entry in self.associations.values() {
                        entry.association.iter().for_each(Association::start_shutdown);
                    }
                    if let Some(reply) = self.deregistering.remove(&request) {
                        let _ = reply.send(result);
                    }
                    self.over = true;
                }
                Output::Event(event) => {
                    if event == AsapEvent::Hunting {
                        self.look_up();
                    }
                    let association = match event {
                        AsapEvent::RegistrarFound(assoc) | AsapEvent::NewHome(assoc) => {
                            self.associations.get(&assoc).and_then(|e| e.association.clone())
                        }
                        _ => None,
                    };
                    (self.notify)(Notice::Event(event, association));
                }
            }
        }
    }

    /// Has the names of registrars looked up.
    fn look_up(&mut self) {
        let Some(resolver) = self.resolver.clone().filter(|_| !self.looking_up) else { return };
        self.looking_up = true;
        let inputs = self.input_tx.clone();
        self.tasks.spawn(async move {
            let _ = inputs.send(Input::Named(resolver.look_up().await)).await;
        });
    }

    /// The native attempt that goes on for a peer which is to be reached in UDP as well.
    fn native_attempt(&self, peer: &Peer) -> Option<watch::Receiver<()>> {
        let open = self.associations.values().filter(|entry| entry.association.is_none());
        let mut attempts = open.filter_map(|entry| entry.attempt.as_ref());
        let native =
            attempts.find(|attempt| is_native(&attempt.peer) && same_place(&attempt.peer, peer));
        native.filter(|_| !is_native(peer)).map(|attempt| attempt.goes_on.clone())
    }

    fn abort(&mut self, assoc: AssocKey, reason: &'static str) {
        if let Some(entry) = self.associations.remove(&assoc) {
            entry.task.abort();
            if let Some(association) = entry.association {
                association.abort(reason);
            }
        }
    }
}

async fn next_announce(
    listener: &mut Option<Listener>,
) -> (SocketAddr, rserpool_wire::ServerAnnounce) {
    match listener {
        Some(listener) => listener.recv().await,
        None => std::future::pending().await,
    }
}

/// Connects once the attempt `first` has had its head start or has failed.
async fn connect(
    ports: Arc<Ports>,
    peer: Peer,
    assoc: AssocKey,
    first: Option<watch::Receiver<()>>,
    going_on: watch::Sender<()>,
    inputs: mpsc::Sender<Input>,
) {
    if let Some(mut first) = first {
        // Nothing is ever sent: it changes by being closed.
        let _ = tokio::time::timeout(HEAD_START, first.changed()).await;
    }
    let outcome = ports.connect(&peer).await;
    drop(going_on);
    match outcome {
        Ok(association) => {
            if inputs.send(Input::Up(assoc, association.clone())).await.is_ok() {
                read(association, assoc, inputs).await;
            }
        }
        Err(error) => {
            debug!(%error, ?peer, "registrar not reached");
            let stopped = error == sctp_user::Error::Stopped;
            let input = if stopped { Input::Stopped } else { Input::Failed(assoc, error) };
            let _ = inputs.send(input).await;
        }
    }
}

async fn read(association: Association, assoc: AssocKey, inputs: mpsc::Sender<Input>) {
    let mut assembler = Assembler::new(MAX_MESSAGE);
    loop {
        let received = match association.recv_message().await {
            Ok(Some(received)) => received,
            Err(sctp_user::Error::Restarted) => {
                assembler.clear();
                if inputs.send(Input::Restarted(assoc)).await.is_err() {
                    return;
                }
                continue;
            }
            Ok(None) | Err(_) => break,
        };
        match assembler.push(received) {
            Ok(Some(message)) if message.ppid == ppid::ASAP => {
                if inputs.send(Input::Message(assoc, message.data)).await.is_err() {
                    return;
                }
            }
            Ok(_) => {}
            Err(_) => {
                association.abort("message too long");
                break;
            }
        }
    }
    let _ = inputs.send(Input::Down(assoc)).await;
}

/// Own addresses of an association. Where the stack leaves the choice to the routes of the system,
/// they are asked here.
fn own_addresses(association: &Association) -> Vec<IpAddr> {
    let local = association.local_addrs();
    if !local.is_empty() {
        return local;
    }
    let mut sources: Vec<IpAddr> =
        association.peer_addrs().iter().filter_map(|path| source_towards(path.remote)).collect();
    sources.sort_unstable();
    sources.dedup();
    sources
}

/// The source address that the system would take; a connected UDP socket knows it without sending
/// anything.
fn source_towards(remote: IpAddr) -> Option<IpAddr> {
    let any: IpAddr = if remote.is_ipv4() { [0u8; 4].into() } else { [0u16; 8].into() };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect(to_socket_addr(remote, 9)).ok()?;
    Some(from_socket_addr(socket.local_addr().ok()?))
}
