//! Drives one state machine over real associations, multicast and time, in a task of its own.
//!
//! Each association has a task that reads it. All these tasks report through one bounded queue, so
//! a busy association slows itself down, and not the others.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use rserpool_core::channel::{ChannelId, Core, Input, Output, Protocol};
use sctp_user::sctp_user_core::Time;
use sctp_user::{Association, EndReason, Error, Message, Peer};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinHandle, JoinSet};
use tracing::debug;

use crate::addresses::{connect_failure, own_addresses, peer_of};
use crate::channel::{Channel, Names, Report, Total};
use crate::clock::Clock;
use crate::listener::Listener;
use crate::multicast::Multicast;
use crate::ports::Ports;
use crate::race::connect_first;

/// What runs in the task: a state machine, with its user's commands and the events for its user.
///
/// No call may block.
pub trait Host: Send + 'static {
    /// The state machine.
    type Core: Core<Event: Send> + Send;
    /// What the user can ask for.
    type Command: Send + 'static;

    /// The state machine.
    fn core(&mut self) -> &mut Self::Core;

    /// The user asks for something.
    fn command(&mut self, now: Time, command: Self::Command) -> Flow;

    /// The state machine has an event for the user.
    fn event(
        &mut self,
        now: Time,
        event: <Self::Core as Core>::Event,
        channels: Channels<'_>,
    ) -> Flow;

    /// The state machine has nothing left to do at the moment.
    fn settled(&mut self) {}

    /// The task ends, and calls nothing any more.
    fn ended(&mut self) {}
}

/// Whether the task continues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// It continues.
    GoOn,
    /// It ends.
    End(End),
}

/// How the task ends its associations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With an ABORT that carries this reason.
    Abort(&'static str),
    /// With a graceful shutdown, without waiting for its end.
    Leave,
    /// With a graceful shutdown. The task waits for its end, and aborts what takes longer.
    Shutdown(Duration),
}

/// What a driver needs.
#[derive(Debug)]
pub struct Settings {
    /// The SCTP ports.
    pub ports: Vec<(Protocol, Ports)>,
    /// Whether the driver accepts associations at these ports, which must listen then.
    pub accepts: bool,
    /// The sockets that receive datagrams to multicast groups.
    pub listeners: Vec<(Protocol, Listener)>,
    /// The sockets that send datagrams to multicast groups.
    pub multicasts: Vec<(Protocol, Multicast)>,
    /// How many bytes may wait for one peer that reads too slowly. If there are more, the state
    /// machine gets [`Input::Congested`].
    pub max_backlog: usize,
    /// Bytes that may wait for all associations together, with the send buffers that are full
    /// because of that; beyond, the one for which most wait is [`Input::Congested`].
    pub max_total_backlog: usize,
}

/// The established associations of a driver.
#[derive(Clone, Copy, Debug)]
pub struct Channels<'a> {
    entries: &'a BTreeMap<ChannelId, Entry>,
    ended: Option<&'a EndReason>,
}

impl Channels<'_> {
    /// The association with this name.
    pub fn get(&self, channel: ChannelId) -> Option<&Association> {
        match self.entries.get(&channel) {
            Some(Entry::Up(channel)) => Some(channel.association()),
            _ => None,
        }
    }

    /// Why the association has ended whose end has led to the event, if one has and the reason is
    /// known.
    pub fn end_reason(&self) -> Option<&EndReason> {
        self.ended
    }
}

/// How many reports of associations may wait for the task. Every report waits for those before it,
/// so there are few.
const REPORTS: usize = 64;
/// How many reports are handled before the task looks at the clock again.
const BATCH: usize = 64;

#[derive(Debug)]
enum Entry {
    /// An association that is being set up.
    Connecting(AbortHandle),
    Up(Channel),
}

struct Driver<H: Host> {
    host: H,
    clock: Clock,
    ports: Vec<(Protocol, Arc<Ports>)>,
    listeners: Vec<(Protocol, Listener)>,
    multicasts: Vec<(Protocol, Multicast)>,
    max_backlog: usize,
    max_total_backlog: usize,
    total: Total,
    channels: BTreeMap<ChannelId, Entry>,
    names: Names,
    reports: mpsc::Sender<Report>,
    /// The tasks that connect, and those that accept.
    tasks: JoinSet<()>,
    end: Option<End>,
    /// Why the association has ended whose end is being handled.
    ended: Option<EndReason>,
}

/// Starts the task. It ends when the host says so, when all senders of `commands` are dropped, or
/// when the stack ends. `clock` is the clock that gave the state machine its first time.
pub fn start<H: Host>(
    host: H,
    clock: Clock,
    settings: Settings,
    commands: mpsc::Receiver<H::Command>,
) -> JoinHandle<()> {
    let (reports, inbox) = mpsc::channel(REPORTS);
    let ports = settings.ports.into_iter().map(|(p, ports)| (p, Arc::new(ports))).collect();
    let mut driver = Driver {
        host,
        clock,
        ports,
        listeners: settings.listeners,
        multicasts: settings.multicasts,
        max_backlog: settings.max_backlog,
        max_total_backlog: settings.max_total_backlog,
        total: Total::default(),
        channels: BTreeMap::new(),
        names: Names::default(),
        reports,
        tasks: JoinSet::new(),
        end: None,
        ended: None,
    };
    if settings.accepts {
        for (protocol, ports) in &driver.ports {
            let accept = accept(Arc::clone(ports), *protocol, driver.reports.clone());
            driver.tasks.spawn(accept);
        }
    }
    tokio::spawn(driver.run(inbox, commands))
}

impl<H: Host> Driver<H> {
    async fn run(
        mut self,
        mut inbox: mpsc::Receiver<Report>,
        mut commands: mpsc::Receiver<H::Command>,
    ) {
        let mut batch = Vec::with_capacity(BATCH);
        self.drain();
        while self.end.is_none() {
            self.host.settled();
            let due = self.host.core().poll_timeout();
            tokio::select! {
                biased;
                command = commands.recv() => match command {
                    Some(command) => {
                        let flow = self.host.command(self.clock.now(), command);
                        self.follow(flow);
                    }
                    None => self.end = Some(End::Abort("the user has ended")),
                },
                _ = inbox.recv_many(&mut batch, BATCH) => {
                    for report in batch.drain(..) {
                        self.on_report(report);
                        self.drain();
                    }
                }
                (index, from, length) = next_datagram(&mut self.listeners) => {
                    self.on_datagram(index, from, length);
                }
                Some(_) = self.tasks.join_next(), if !self.tasks.is_empty() => {}
                () = self.clock.wait(due) => {}
            }
            let now = self.clock.now();
            if self.host.core().poll_timeout().is_some_and(|at| at <= now) {
                self.host.core().handle(now, Input::Timeout);
            }
            self.drain();
        }
        inbox.close();
        self.finish().await;
    }

    fn follow(&mut self, flow: Flow) {
        if let Flow::End(end) = flow {
            self.end.get_or_insert(end);
        }
    }

    /// Ends all associations.
    async fn finish(mut self) {
        self.tasks.abort_all();
        // The ports must be free before anybody hears of the end.
        self.ports.clear();
        let up = self.channels.into_values().filter_map(|entry| match entry {
            Entry::Up(channel) => Some(channel),
            Entry::Connecting(_) => None,
        });
        match self.end.unwrap_or(End::Leave) {
            End::Abort(reason) => up.for_each(|channel| channel.abort(reason)),
            End::Leave => up.for_each(|channel| channel.start_shutdown()),
            End::Shutdown(patience) => {
                let shutdowns: JoinSet<()> = up.map(|channel| channel.shutdown(patience)).collect();
                shutdowns.join_all().await;
            }
        }
        self.host.ended();
    }

    fn on_report(&mut self, report: Report) {
        match report {
            Report::Accepted(protocol, association) => {
                let channel = self.names.next();
                self.up(channel, protocol, association);
            }
            Report::Connected(channel, protocol, association) => {
                // An attempt that was given up has no entry. Dropping its association aborts it.
                if self.channels.contains_key(&channel) {
                    self.up(channel, protocol, association);
                }
            }
            Report::Failed(channel, failure) => {
                if self.channels.remove(&channel).is_some() {
                    self.handle(Input::Failed { channel, failure });
                }
            }
            Report::Message { channel, ppid, data } => {
                self.handle(Input::Message { channel, ppid, data: &data });
            }
            Report::PeerChanged { channel, peer } => {
                self.handle(Input::PeerChanged { channel, peer });
            }
            Report::Measured { channel, rtt } => self.handle(Input::Measured { channel, rtt }),
            Report::Restarted { old, new, protocol } => self.restarted(old, new, protocol),
            Report::Stalled { channel } => {
                if self.channels.contains_key(&channel) {
                    self.handle(Input::Congested { channel });
                }
            }
            Report::Down { channel, reason } => {
                if self.channels.remove(&channel).is_some() {
                    debug!(%channel, "association down");
                    self.handle(Input::Down { channel });
                    self.ended = reason;
                    self.drain();
                    self.ended = None;
                }
            }
            Report::Stopped => {
                self.end.get_or_insert(End::Abort("the stack has ended"));
            }
        }
    }

    fn up(&mut self, channel: ChannelId, protocol: Protocol, association: Association) {
        let (peer, local) = (peer_of(&association), own_addresses(&association));
        let local_port = association.local_port();
        debug!(%channel, addrs = ?peer.addrs, port = peer.port, "association up");
        let (names, reports) = (self.names.clone(), self.reports.clone());
        let entry =
            Channel::start(association, channel, protocol, names, reports, self.total.clone());
        self.channels.insert(channel, Entry::Up(entry));
        self.handle(Input::Up { channel, protocol, peer, local, local_port });
    }

    /// The other end has restarted: what its old process said counts no more, and the new one has
    /// said nothing yet.
    fn restarted(&mut self, old: ChannelId, new: ChannelId, protocol: Protocol) {
        debug!(channel = %old, name_now = %new, "the other end has restarted");
        self.handle(Input::Down { channel: old });
        self.drain();
        // If there is no entry, the state machine has just aborted the association.
        if let Some(Entry::Up(channel)) = self.channels.remove(&old) {
            let association = channel.association();
            let (peer, local) = (peer_of(association), own_addresses(association));
            let local_port = association.local_port();
            self.channels.insert(new, Entry::Up(channel));
            self.handle(Input::Up { channel: new, protocol, peer, local, local_port });
        }
    }

    fn on_datagram(&mut self, index: usize, from: SocketAddr, length: usize) {
        let Some((protocol, listener)) = self.listeners.get(index) else { return };
        let input = Input::Datagram { protocol: *protocol, from, data: listener.datagram(length) };
        self.host.core().handle(self.clock.now(), input);
    }

    fn handle(&mut self, input: Input<'_>) {
        self.host.core().handle(self.clock.now(), input);
    }

    /// Does what the state machine wants done.
    fn drain(&mut self) {
        while let Some(output) = self.host.core().poll_output() {
            match output {
                Output::Connect { channel, protocol, ways } => {
                    self.connect(channel, protocol, ways)
                }
                Output::Send { channel, ppid, data } => {
                    let Some(Entry::Up(to)) = self.channels.get(&channel) else { continue };
                    let waiting = to.send(Message::new(0, ppid, data));
                    if waiting > self.max_backlog {
                        self.handle(Input::Congested { channel });
                    } else if waiting > 0 && self.total.bytes() > self.max_total_backlog {
                        self.give_up_slowest();
                    }
                }
                Output::Watch { channel, interval } => {
                    if let Some(Entry::Up(channel)) = self.channels.get(&channel) {
                        channel.watch(interval);
                    }
                }
                Output::Suspect { channel, patience } => {
                    if let Some(Entry::Up(channel)) = self.channels.get(&channel) {
                        // When the association has ended, its reader reports that.
                        let _ = channel.association().suspect(patience);
                    }
                }
                Output::Shutdown { channel } => {
                    if let Some(Entry::Up(channel)) = self.channels.get(&channel) {
                        channel.start_shutdown();
                    }
                }
                Output::Abort { channel, reason } => match self.channels.remove(&channel) {
                    Some(Entry::Up(channel)) => channel.abort(reason),
                    Some(Entry::Connecting(task)) => task.abort(),
                    None => {}
                },
                Output::Multicast { protocol, data } => {
                    for (_, multicast) in self.multicasts.iter_mut().filter(|m| m.0 == protocol) {
                        multicast.send(&data);
                    }
                }
                Output::Event(event) => {
                    let now = self.clock.now();
                    let channels = Channels { entries: &self.channels, ended: self.ended.as_ref() };
                    let flow = self.host.event(now, event, channels);
                    self.follow(flow);
                }
            }
        }
    }

    /// Has the association given up for which most bytes wait.
    fn give_up_slowest(&mut self) {
        let waiting = |entry: &Entry| match entry {
            Entry::Up(channel) => channel.waiting(),
            Entry::Connecting(_) => 0,
        };
        let slowest = self.channels.iter().max_by_key(|(_, entry)| waiting(entry));
        if let Some(channel) = slowest.map(|(channel, _)| *channel) {
            self.handle(Input::Congested { channel });
        }
    }

    fn connect(&mut self, channel: ChannelId, protocol: Protocol, ways: Vec<Peer>) {
        let ports = self.ports.iter().find(|(p, _)| *p == protocol);
        let Some((_, ports)) = ports else { return };
        let connect = connect(Arc::clone(ports), protocol, ways, channel, self.reports.clone());
        let task = self.tasks.spawn(connect);
        self.channels.insert(channel, Entry::Connecting(task));
    }
}

async fn connect(
    ports: Arc<Ports>,
    protocol: Protocol,
    ways: Vec<Peer>,
    channel: ChannelId,
    reports: mpsc::Sender<Report>,
) {
    let report = match connect_first(&ports, &ways).await {
        Ok(association) => Report::Connected(channel, protocol, association),
        Err(Error::Stopped) => Report::Stopped,
        Err(error) => {
            let first = ways.first().and_then(|way| Some((way.addrs.first()?, way.port)));
            debug!(%error, ways = ways.len(), ?first, "not connected");
            Report::Failed(channel, connect_failure(error, &ways))
        }
    };
    let _ = reports.send(report).await;
}

/// Accepts associations until the stack ends.
async fn accept(ports: Arc<Ports>, protocol: Protocol, reports: mpsc::Sender<Report>) {
    loop {
        let report = match ports.accept().await {
            Ok(association) => Report::Accepted(protocol, association),
            Err(error) => {
                debug!(%error, "no more associations are accepted");
                Report::Stopped
            }
        };
        let last = matches!(report, Report::Stopped);
        if reports.send(report).await.is_err() || last {
            return;
        }
    }
}

/// Waits for the next datagram, and returns the index of the listener, the source and the length.
/// Without listeners it waits for ever.
async fn next_datagram(listeners: &mut [(Protocol, Listener)]) -> (usize, SocketAddr, usize) {
    poll_fn(|cx| {
        for (index, (_, listener)) in listeners.iter_mut().enumerate() {
            if let Poll::Ready((from, length)) = listener.poll_recv(cx) {
                return Poll::Ready((index, from, length));
            }
        }
        Poll::Pending
    })
    .await
}
