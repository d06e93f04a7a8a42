//! Hosts with their state machines, the associations between them, and time.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

use bytes::Bytes;
use rand::SeedableRng;
use rand_chacha::ChaCha12Rng;
use rserpool_wire::ServerId;
use sctp_user_core::socket::EndReason;
use sctp_user_core::{Duration, Encap, LossReason, Peer, Time};

use super::net::{HostId, Network};
use crate::asap::{AsapCore, AsapEvent};
use crate::channel::{ChannelId, ConnectFailure, Core, Input, Output, Protocol};
use crate::registrar::{RegistrarCore, RegistrarEvent};

/// What runs on a host.
#[derive(Debug)]
pub enum Machine {
    /// A registrar.
    Registrar(Box<RegistrarCore>),
    /// The ASAP side of a pool element or pool user.
    Asap(Box<AsapCore>),
}

/// Something that a state machine told its user.
#[derive(Clone, Debug)]
pub enum Noticed {
    /// A registrar told it.
    Registrar(RegistrarEvent),
    /// A pool element or pool user told it.
    Asap(AsapEvent),
}

/// A scope. See the [module documentation](super).
#[derive(Debug)]
pub struct World {
    /// The time now.
    pub now: Time,
    /// Delays and cuts.
    pub net: Network,
    rng: ChaCha12Rng,
    hosts: Vec<Host>,
    pipes: BTreeMap<u64, Pipe>,
    queue: BTreeMap<(Time, u64), Happening>,
    next: u64,
    noticed: VecDeque<(Time, HostId, Noticed)>,
    steps: u64,
}

#[derive(Debug)]
struct Host {
    addr: IpAddr,
    /// SCTP ports that are listened on.
    ports: BTreeMap<u16, Protocol>,
    machine: Option<Machine>,
    /// Its life; what was on its way to an earlier one is lost.
    life: u64,
    /// It does nothing until then, as a process that is stopped.
    stopped: bool,
    ends: BTreeMap<ChannelId, u64>,
    incoming: u64,
    /// The wake-up that is queued.
    wake: Option<(Time, u64)>,
    /// What came while it was stopped.
    backlog: VecDeque<Happening>,
}

/// An association, or an attempt.
#[derive(Debug)]
struct Pipe {
    ends: [End; 2],
    up: [bool; 2],
    /// When a message may arrive at the earliest, so that order is kept.
    clear: [Time; 2],
    protocol: Protocol,
    /// Messages that wait for a cut to heal, to either end.
    stuck: [Vec<(u32, Bytes)>; 2],
    dying: bool,
}

#[derive(Clone, Copy, Debug)]
struct End {
    host: HostId,
    life: u64,
    channel: Option<ChannelId>,
}

#[derive(Clone, Debug)]
enum Happening {
    Wake(HostId),
    /// INIT arrives.
    Call {
        pipe: u64,
        port: u16,
    },
    /// The answer to it.
    Answer {
        pipe: u64,
        failure: Option<ConnectFailure>,
    },
    Message {
        pipe: u64,
        side: usize,
        ppid: u32,
        data: Bytes,
    },
    Datagram {
        to: HostId,
        life: u64,
        protocol: Protocol,
        from: (IpAddr, u16),
        data: Bytes,
    },
    /// One end learns that the association is over.
    Down {
        pipe: u64,
        side: usize,
    },
    /// A cut has lasted so long that SCTP gives up.
    GiveUp {
        pipe: u64,
    },
}

impl World {
    /// An empty world.
    pub fn new(seed: u64) -> Self {
        World {
            now: Time::ZERO,
            net: Network::default(),
            rng: ChaCha12Rng::seed_from_u64(seed),
            hosts: Vec::new(),
            pipes: BTreeMap::new(),
            queue: BTreeMap::new(),
            next: 0,
            noticed: VecDeque::new(),
            steps: 0,
        }
    }

    /// The generator of the world, for decisions of its user.
    pub fn rng(&mut self) -> &mut ChaCha12Rng {
        &mut self.rng
    }

    /// How many things have happened so far.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// A host without a process, which listens on these SCTP ports as soon as it has one.
    pub fn add_host(&mut self, ports: &[(u16, Protocol)]) -> HostId {
        let id = HostId(self.hosts.len());
        let [high, low] = (id.0 as u16 + 1).to_be_bytes();
        self.hosts.push(Host {
            addr: [10, 0, high, low].into(),
            ports: ports.iter().copied().collect(),
            machine: None,
            life: 0,
            stopped: false,
            ends: BTreeMap::new(),
            incoming: 0,
            wake: None,
            backlog: VecDeque::new(),
        });
        id
    }

    /// The address of a host.
    pub fn addr(&self, host: HostId) -> IpAddr {
        self.hosts[host.0].addr
    }

    /// A port of a host, as others connect with it.
    pub fn peer(&self, host: HostId, port: u16) -> Peer {
        Peer::new(self.addr(host), Encap::Udp { remote_port: 9899 }, port)
    }

    /// Starts a process on a host that has none.
    pub fn start(&mut self, host: HostId, machine: Machine) {
        let at = &mut self.hosts[host.0];
        assert!(at.machine.is_none(), "there is a process already");
        at.life += 1;
        at.machine = Some(machine);
        self.settle(host);
    }

    /// Kills the process of a host. The host tells whoever sends something that nobody is there, or
    /// it says nothing any more.
    pub fn kill(&mut self, host: HostId, silently: bool) {
        let at = &mut self.hosts[host.0];
        at.machine = None;
        at.stopped = false;
        at.backlog.clear();
        let pipes: Vec<u64> = std::mem::take(&mut at.ends).into_values().collect();
        for id in pipes {
            let wait = match silently {
                true => self.net.detection(&mut self.rng),
                false => self.net.notice(&mut self.rng),
            };
            self.end_other(id, host, wait);
        }
    }

    /// Ends the process of a host with an ABORT for each association, as at an orderly end.
    pub fn quit(&mut self, host: HostId) {
        let at = &mut self.hosts[host.0];
        at.machine = None;
        at.stopped = false;
        at.backlog.clear();
        let pipes: Vec<u64> = std::mem::take(&mut at.ends).into_values().collect();
        for id in pipes {
            let delay = self.net.delay(&mut self.rng);
            self.end_other(id, host, delay);
        }
    }

    fn end_other(&mut self, pipe: u64, host: HostId, wait: Duration) {
        let Some(state) = self.pipes.get_mut(&pipe) else { return };
        state.dying = true;
        let side = usize::from(state.ends[0].host == host);
        self.later(wait, Happening::Down { pipe, side });
    }

    /// Stops a process, as SIGSTOP does; what comes for it waits.
    pub fn stop(&mut self, host: HostId) {
        self.hosts[host.0].stopped = true;
    }

    /// Lets a stopped process go on.
    pub fn go_on(&mut self, host: HostId) {
        let at = &mut self.hosts[host.0];
        at.stopped = false;
        let backlog = std::mem::take(&mut at.backlog);
        for happening in backlog {
            self.later(Duration::ZERO, happening);
        }
        self.later(Duration::ZERO, Happening::Wake(host));
    }

    /// To be called after cuts and heals: SCTP gives associations up over a cut that lasts, whether
    /// something is sent or not.
    pub fn net_changed(&mut self) {
        let cut =
            |pipe: &Pipe| !pipe.dying && !self.net.is_open(pipe.ends[0].host, pipe.ends[1].host);
        let cut: Vec<u64> = self.pipes.iter().filter(|(_, p)| cut(p)).map(|(id, _)| *id).collect();
        for pipe in cut {
            let wait = self.net.detection(&mut self.rng);
            self.later(wait, Happening::GiveUp { pipe });
        }
    }

    /// Whether a host has a process.
    pub fn is_alive(&self, host: HostId) -> bool {
        self.hosts[host.0].machine.is_some()
    }

    /// How a host stands, for messages about lives that went wrong.
    pub(super) fn describe(&self, host: HostId) -> String {
        let at = &self.hosts[host.0];
        let due = match &at.machine {
            Some(Machine::Registrar(core)) => core.poll_timeout(),
            Some(Machine::Asap(core)) => core.poll_timeout(),
            None => None,
        };
        format!(
            "stopped {}, wake {:?} queued {}, due {due:?}, now {:?}, backlog {}",
            at.stopped,
            at.wake,
            at.wake.is_some_and(|wake| self.queue.contains_key(&wake)),
            self.now,
            at.backlog.len()
        )
    }

    /// What comes next, for messages about lives that went wrong.
    pub(super) fn outlook(&self) -> String {
        let next: Vec<_> = self.queue.iter().take(4).collect();
        format!("at {:?}, {} things wait, next {next:?}", self.now, self.queue.len())
    }

    /// All hosts.
    pub fn hosts(&self) -> impl Iterator<Item = HostId> + use<> {
        (0..self.hosts.len()).map(HostId)
    }

    /// The registrar of a host.
    pub fn registrar(&self, host: HostId) -> Option<&RegistrarCore> {
        match &self.hosts[host.0].machine {
            Some(Machine::Registrar(core)) => Some(core),
            _ => None,
        }
    }

    /// The host of a living registrar.
    pub fn host_of(&self, server: ServerId) -> Option<HostId> {
        self.hosts().find(|host| self.registrar(*host).is_some_and(|r| r.server_id() == server))
    }

    /// Does something with the ASAP side on a host, which then goes on.
    pub fn with_asap<T>(
        &mut self,
        host: HostId,
        act: impl FnOnce(&mut AsapCore, Time) -> T,
    ) -> Option<T> {
        let now = self.now;
        let Some(Machine::Asap(core)) = &mut self.hosts[host.0].machine else { return None };
        let result = act(core, now);
        self.settle(host);
        Some(result)
    }

    /// The next thing that somebody was told, with its time.
    pub fn poll_noticed(&mut self) -> Option<(Time, HostId, Noticed)> {
        self.noticed.pop_front()
    }

    /// The next time at which something happens.
    pub fn next_time(&self) -> Option<Time> {
        self.queue.keys().next().map(|(at, _)| *at)
    }

    /// Lets one thing happen that is due until `end`. Says on which host, if it concerned one; when
    /// nothing is left, the time is `end`.
    pub fn step(&mut self, end: Time) -> Option<Option<HostId>> {
        let due = self.queue.first_entry().filter(|entry| entry.key().0 <= end);
        let Some(due) = due else {
            self.now = self.now.max(end);
            return None;
        };
        let ((at, _), happening) = due.remove_entry();
        self.now = self.now.max(at);
        self.steps += 1;
        Some(self.happen(happening))
    }

    /// Lets time pass.
    pub fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while self.step(end).is_some() {}
    }

    fn later(&mut self, wait: Duration, happening: Happening) {
        self.at(self.now + wait, happening);
    }

    fn at(&mut self, at: Time, happening: Happening) {
        self.next += 1;
        self.queue.insert((at, self.next), happening);
    }

    fn happen(&mut self, happening: Happening) -> Option<HostId> {
        if let Some(host) = self.target(&happening)
            && self.hosts[host.0].stopped
        {
            self.hosts[host.0].backlog.push_back(happening);
            return None;
        }
        match happening {
            Happening::Wake(host) => {
                self.hosts[host.0].wake = None;
                self.feed(host, Input::Timeout);
                Some(host)
            }
            Happening::Call { pipe, port } => self.on_call(pipe, port),
            Happening::Answer { pipe, failure } => self.on_answer(pipe, failure),
            Happening::Message { pipe, side, ppid, data } => {
                let state = self.pipes.get_mut(&pipe)?;
                let (to, from) = (state.ends[side], state.ends[1 - side]);
                if state.dying {
                    return None;
                }
                if !self.net.is_open(to.host, from.host) {
                    state.stuck[side].push((ppid, data));
                    let wait = self.net.detection(&mut self.rng);
                    self.later(wait, Happening::GiveUp { pipe });
                    return None;
                }
                let channel = to.channel.filter(|_| state.up[side])?;
                if !self.is_same_life(to) {
                    return None;
                }
                self.feed(to.host, Input::Message { channel, ppid, data: &data });
                Some(to.host)
            }
            Happening::Datagram { to, life, protocol, from, data } => {
                if self.hosts[to.0].life != life {
                    return None;
                }
                self.feed(to, Input::Datagram { protocol, from: from.into(), data: &data });
                Some(to)
            }
            Happening::Down { pipe, side } => {
                let state = self.pipes.get_mut(&pipe)?;
                let end = state.ends[side];
                let was_up = std::mem::replace(&mut state.up[side], false);
                let channel = end.channel?;
                if !self.is_same_life(end) || self.hosts[end.host.0].ends.remove(&channel).is_none()
                {
                    return None;
                }
                let input = match was_up {
                    true => Input::Down { channel },
                    false => Input::Failed { channel, failure: refused() },
                };
                self.feed(end.host, input);
                Some(end.host)
            }
            Happening::GiveUp { pipe } => {
                let state = self.pipes.get_mut(&pipe)?;
                let [a, b] = state.ends;
                if state.dying {
                    return None;
                }
                if self.net.is_open(a.host, b.host) {
                    // Retransmissions get through now.
                    for side in 0..2 {
                        let stuck = std::mem::take(&mut self.pipes.get_mut(&pipe)?.stuck[side]);
                        for (ppid, data) in stuck {
                            self.send(pipe, side, ppid, data);
                        }
                    }
                    return None;
                }
                state.dying = true;
                for side in 0..2 {
                    self.later(Duration::ZERO, Happening::Down { pipe, side });
                }
                None
            }
        }
    }

    /// The host whose process has to run for this.
    fn target(&self, happening: &Happening) -> Option<HostId> {
        let end = |pipe: &u64, side: usize| Some(self.pipes.get(pipe)?.ends[side].host);
        match happening {
            Happening::Wake(host) | Happening::Datagram { to: host, .. } => Some(*host),
            Happening::Call { pipe, .. } => end(pipe, 1),
            Happening::Answer { pipe, .. } => end(pipe, 0),
            Happening::Message { pipe, side, .. } | Happening::Down { pipe, side } => {
                end(pipe, *side)
            }
            Happening::GiveUp { .. } => None,
        }
    }

    fn is_same_life(&self, end: End) -> bool {
        let host = &self.hosts[end.host.0];
        host.machine.is_some() && host.life == end.life
    }

    fn on_call(&mut self, pipe: u64, port: u16) -> Option<HostId> {
        let state = self.pipes.get(&pipe)?;
        let [from, to] = state.ends;
        if !self.is_same_life(from) || !self.hosts[from.host.0].ends.contains_key(&from.channel?) {
            self.pipes.remove(&pipe);
            return None;
        }
        if !self.net.is_open(from.host, to.host) {
            let failure = Some(ConnectFailure::Ended(EndReason::Lost(LossReason::SetupTimeout)));
            self.later(self.net.setup_timeout, Happening::Answer { pipe, failure });
            return None;
        }
        let delay = self.net.delay(&mut self.rng);
        let host = &self.hosts[to.host.0];
        let protocol = host.ports.get(&port).copied();
        let Some(protocol) = protocol.filter(|_| host.machine.is_some()) else {
            self.later(delay, Happening::Answer { pipe, failure: Some(refused()) });
            return None;
        };
        // Calls that cross between two such ports become one association.
        let crossing = self.pipes.iter().find_map(|(id, other)| {
            let crosses = protocol == Protocol::Enrp
                && other.protocol == Protocol::Enrp
                && other.ends[0].host == to.host
                && other.ends[1].host == from.host
                && other.ends[1].channel.is_none()
                && !other.dying
                && self.is_same_life(other.ends[0])
                && self.hosts[to.host.0].ends.get(&other.ends[0].channel?) == Some(id);
            crosses.then_some(*id)
        });
        let life = self.hosts[to.host.0].life;
        let channel = match crossing {
            Some(other) => {
                let other = self.pipes.remove(&other)?;
                let channel = other.ends[0].channel?;
                self.hosts[to.host.0].ends.insert(channel, pipe);
                channel
            }
            None => {
                self.hosts[to.host.0].incoming += 1;
                ChannelId::incoming(self.hosts[to.host.0].incoming)
            }
        };
        self.hosts[to.host.0].ends.insert(channel, pipe);
        let peer_port = self.port_of(from.host, protocol);
        let state = self.pipes.get_mut(&pipe)?;
        state.ends[1] = End { host: to.host, life, channel: Some(channel) };
        state.up[1] = true;
        self.later(delay, Happening::Answer { pipe, failure: None });
        let (peer, local) = (self.peer(from.host, peer_port), vec![self.addr(to.host)]);
        self.feed(to.host, Input::Up { channel, protocol, peer, local, local_port: port });
        Some(to.host)
    }

    fn on_answer(&mut self, pipe: u64, failure: Option<ConnectFailure>) -> Option<HostId> {
        let state = self.pipes.get_mut(&pipe)?;
        let [from, to] = state.ends;
        let channel = from.channel?;
        if !self.is_same_life(from) || !self.hosts[from.host.0].ends.contains_key(&channel) {
            return None;
        }
        match failure {
            Some(failure) => {
                self.pipes.remove(&pipe);
                self.hosts[from.host.0].ends.remove(&channel);
                self.feed(from.host, Input::Failed { channel, failure });
            }
            None => {
                let state = self.pipes.get_mut(&pipe)?;
                state.up[0] = true;
                let protocol = state.protocol;
                let (near, far) =
                    (self.port_of(from.host, protocol), self.port_of(to.host, protocol));
                let (peer, local) = (self.peer(to.host, far), vec![self.addr(from.host)]);
                let input = Input::Up { channel, protocol, peer, local, local_port: near };
                self.feed(from.host, input);
            }
        }
        Some(from.host)
    }

    /// The port of a host for a protocol.
    fn port_of(&self, host: HostId, protocol: Protocol) -> u16 {
        let ports = &self.hosts[host.0].ports;
        let of = ports.iter().find(|(_, p)| **p == protocol);
        of.map_or(50_000, |(port, _)| *port)
    }

    fn send(&mut self, pipe: u64, side: usize, ppid: u32, data: Bytes) {
        let at = self.now + self.net.delay(&mut self.rng);
        let Some(state) = self.pipes.get_mut(&pipe) else { return };
        let at = at.max(state.clear[side]);
        state.clear[side] = at;
        self.at(at, Happening::Message { pipe, side, ppid, data });
    }

    /// Hands an input to the process of a host, if it has one, and does what it wants.
    fn feed(&mut self, host: HostId, input: Input<'_>) {
        let now = self.now;
        match &mut self.hosts[host.0].machine {
            Some(Machine::Registrar(core)) => core.handle(now, input),
            Some(Machine::Asap(core)) => core.handle(now, input),
            None => return,
        }
        self.settle(host);
    }

    fn settle(&mut self, host: HostId) {
        loop {
            let at = &mut self.hosts[host.0];
            match &mut at.machine {
                Some(Machine::Registrar(core)) => match core.poll_output() {
                    Some(output) => self.act(host, output, Noticed::Registrar),
                    None => break,
                },
                Some(Machine::Asap(core)) => match core.poll_output() {
                    Some(output) => self.act(host, output, Noticed::Asap),
                    None => break,
                },
                None => return,
            }
        }
        let at = &self.hosts[host.0];
        let due = match &at.machine {
            Some(Machine::Registrar(core)) => core.poll_timeout(),
            Some(Machine::Asap(core)) => core.poll_timeout(),
            None => None,
        };
        let due = due.map(|due| due.max(self.now));
        if at.wake.map(|(at, _)| at) == due {
            return;
        }
        if let Some(wake) = self.hosts[host.0].wake.take() {
            self.queue.remove(&wake);
        }
        if let Some(due) = due {
            self.at(due, Happening::Wake(host));
            self.hosts[host.0].wake = Some((due, self.next));
        }
    }

    fn act<E>(&mut self, host: HostId, output: Output<E>, notice: impl Fn(E) -> Noticed) {
        match output {
            Output::Connect { channel, protocol, ways } => {
                self.call(host, channel, protocol, &ways)
            }
            Output::Send { channel, ppid, data } => {
                let Some(pipe) = self.hosts[host.0].ends.get(&channel).copied() else { return };
                if let Some(side) = self.side_of(pipe, host, channel) {
                    self.send(pipe, 1 - side, ppid, data);
                }
            }
            Output::Shutdown { channel } => {
                let Some(pipe) = self.hosts[host.0].ends.get(&channel).copied() else { return };
                let delay = self.net.delay(&mut self.rng) + self.net.delay(&mut self.rng);
                if let Some(state) = self.pipes.get_mut(&pipe) {
                    state.dying = true;
                }
                for side in 0..2 {
                    self.later(delay, Happening::Down { pipe, side });
                }
            }
            Output::Abort { channel, .. } => {
                let Some(pipe) = self.hosts[host.0].ends.remove(&channel) else { return };
                let delay = self.net.delay(&mut self.rng);
                if let Some(side) = self.side_of(pipe, host, channel)
                    && let Some(state) = self.pipes.get_mut(&pipe)
                {
                    state.dying = true;
                    let other = state.ends[1 - side];
                    // An ABORT that is lost shows when SCTP gives up.
                    let wait = match self.net.is_open(host, other.host) {
                        true => delay,
                        false => self.net.detection(&mut self.rng),
                    };
                    self.later(wait, Happening::Down { pipe, side: 1 - side });
                }
            }
            Output::Multicast { protocol, data } => self.multicast(host, protocol, &data),
            Output::Event(event) => self.noticed.push_back((self.now, host, notice(event))),
        }
    }

    fn side_of(&self, pipe: u64, host: HostId, channel: ChannelId) -> Option<usize> {
        let ends = &self.pipes.get(&pipe)?.ends;
        ends.iter().position(|end| end.host == host && end.channel == Some(channel))
    }

    fn call(&mut self, host: HostId, channel: ChannelId, protocol: Protocol, ways: &[Peer]) {
        self.next += 1;
        let pipe = self.next;
        let near = End { host, life: self.hosts[host.0].life, channel: Some(channel) };
        self.hosts[host.0].ends.insert(channel, pipe);
        let way = ways.first();
        let addr = way.and_then(|way| way.addrs.first()).map(|(addr, _)| *addr);
        let to = addr.and_then(|addr| self.hosts().find(|id| self.addr(*id) == addr));
        let far = End { host: to.unwrap_or(host), life: 0, channel: None };
        let state = Pipe {
            ends: [near, far],
            up: [false, false],
            clear: [Time::ZERO; 2],
            protocol,
            stuck: [Vec::new(), Vec::new()],
            dying: false,
        };
        self.pipes.insert(pipe, state);
        let delay = self.net.delay(&mut self.rng);
        match (to, way) {
            (Some(_), Some(way)) => self.later(delay, Happening::Call { pipe, port: way.port }),
            _ => {
                let failure =
                    Some(ConnectFailure::Ended(EndReason::Lost(LossReason::SetupTimeout)));
                self.later(self.net.setup_timeout, Happening::Answer { pipe, failure });
            }
        }
    }

    fn multicast(&mut self, from: HostId, protocol: Protocol, data: &Bytes) {
        if !self.net.multicast {
            return;
        }
        let source = (self.addr(from), self.port_of(from, protocol));
        for to in self.hosts().filter(|to| *to != from) {
            if self.hosts[to.0].machine.is_some() && self.net.hears(to, from) {
                let (life, data) = (self.hosts[to.0].life, data.clone());
                let delay = self.net.delay(&mut self.rng);
                self.later(delay, Happening::Datagram { to, life, protocol, from: source, data });
            }
        }
    }
}

fn refused() -> ConnectFailure {
    let info = Bytes::new();
    ConnectFailure::Ended(EndReason::Lost(LossReason::Refused { cause: 0, info }))
}
