//! Hosts with their processes, and time.

mod pipes;

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

use bytes::Bytes;
use rand::SeedableRng;
use rand_chacha::ChaCha12Rng;
use rserpool_wire::ServerId;
use sctp_user_core::{Duration, Encap, Peer, Time};

use super::client::Client;
use super::machine::{Machine, Noticed};
use super::net::{HostId, Network};
use crate::asap::AsapCore;
use crate::channel::{ChannelId, ConnectFailure, Input, Protocol};
use crate::registrar::RegistrarCore;
use pipes::{Pipe, refused};

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
    /// SCTP ports that are listened on. Associations are opened from the first one of a protocol.
    ports: Vec<(u16, Protocol)>,
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
    /// The next message arrives.
    Message {
        pipe: u64,
        side: usize,
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
            ports: ports.to_vec(),
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
            let Some(other) = self.other_end(id, host) else { continue };
            let delay = self.net.transit(&mut self.rng, host, other);
            self.end_other(id, host, delay);
        }
    }

    fn other_end(&self, pipe: u64, host: HostId) -> Option<HostId> {
        let [a, b] = self.pipes.get(&pipe)?.ends;
        Some(if a.host == host { b.host } else { a.host })
    }

    fn end_other(&mut self, pipe: u64, host: HostId, wait: Duration) {
        let Some(state) = self.pipes.get_mut(&pipe) else { return };
        state.dying = true;
        let side = usize::from(state.ends[0].host == host);
        state.up[1 - side] = false;
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
        let due = at.machine.as_ref().and_then(Machine::poll_timeout);
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
        self.with_machine(host, |machine, now| match machine {
            Machine::Asap(core) => Some(act(core, now)),
            _ => None,
        })
    }

    /// Does something with what runs on a host, which then goes on if it was of the right kind.
    fn with_machine<T>(
        &mut self,
        host: HostId,
        act: impl FnOnce(&mut Machine, Time) -> Option<T>,
    ) -> Option<T> {
        let now = self.now;
        let result = self.hosts[host.0].machine.as_mut().and_then(|machine| act(machine, now))?;
        self.settle(host);
        Some(result)
    }

    /// The user of a host.
    pub fn client(&self, host: HostId) -> Option<&Client> {
        match &self.hosts[host.0].machine {
            Some(Machine::Client(client)) => Some(client),
            _ => None,
        }
    }

    /// Does something with the user on a host, which then goes on.
    pub fn with_client<T>(
        &mut self,
        host: HostId,
        act: impl FnOnce(&mut Client, Time) -> T,
    ) -> Option<T> {
        self.with_machine(host, |machine, now| match machine {
            Machine::Client(client) => Some(act(client, now)),
            _ => None,
        })
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
            Happening::Message { pipe, side } => {
                let state = self.pipes.get_mut(&pipe)?;
                let (to, from) = (state.ends[side], state.ends[1 - side]);
                if state.dying {
                    return None;
                }
                if !self.net.is_open(to.host, from.host) {
                    state.held[side] += 1;
                    let wait = self.net.detection(&mut self.rng);
                    self.later(wait, Happening::GiveUp { pipe });
                    return None;
                }
                let (ppid, data) = state.queues[side].pop_front()?;
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
                if state.up == [false; 2] {
                    self.pipes.remove(&pipe);
                }
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
                        let held = std::mem::take(&mut self.pipes.get_mut(&pipe)?.held[side]);
                        for _ in 0..held {
                            self.deliver_next(pipe, side);
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
            Happening::Message { pipe, side } | Happening::Down { pipe, side } => end(pipe, *side),
            Happening::GiveUp { .. } => None,
        }
    }

    /// Hands an input to the process of a host, if it has one, and does what it wants.
    fn feed(&mut self, host: HostId, input: Input<'_>) {
        let now = self.now;
        let Some(machine) = &mut self.hosts[host.0].machine else { return };
        machine.handle(now, input);
        self.settle(host);
    }

    fn settle(&mut self, host: HostId) {
        loop {
            let Some(machine) = &mut self.hosts[host.0].machine else { return };
            let Some(output) = machine.poll_output() else { break };
            self.act(host, output);
        }
        let at = &self.hosts[host.0];
        let due = at.machine.as_ref().and_then(Machine::poll_timeout);
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
}
