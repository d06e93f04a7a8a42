//! The associations between hosts: how they come up, carry messages, and end.

use std::collections::VecDeque;

use bytes::Bytes;
use sctp_user_core::socket::EndReason;
use sctp_user_core::{Duration, LossReason, Peer, Time};

use super::{Happening, World};
use crate::channel::{ChannelId, ConnectFailure, Input, Output, Protocol};
use crate::sim::machine::Noticed;
use crate::sim::net::HostId;

/// An association, or an attempt.
#[derive(Debug)]
pub(super) struct Pipe {
    pub(super) ends: [End; 2],
    pub(super) up: [bool; 2],
    /// When a message may arrive at the earliest, so that order is kept.
    pub(super) clear: [Time; 2],
    pub(super) protocol: Protocol,
    /// The port that was called.
    pub(super) port: u16,
    /// Messages on their way to either end, in the order in which they were sent.
    pub(super) queues: [VecDeque<(u32, Bytes)>; 2],
    /// How many of them wait for a cut to heal.
    pub(super) held: [u32; 2],
    pub(super) dying: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    pub(super) host: HostId,
    pub(super) life: u64,
    pub(super) channel: Option<ChannelId>,
}

impl World {
    pub(super) fn is_same_life(&self, end: End) -> bool {
        let host = &self.hosts[end.host.0];
        host.machine.is_some() && host.life == end.life
    }

    pub(super) fn on_call(&mut self, pipe: u64, port: u16) -> Option<HostId> {
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
        let delay = self.net.transit(&mut self.rng, to.host, from.host);
        let host = &self.hosts[to.host.0];
        let protocol = host.ports.iter().find(|(listening, _)| *listening == port).map(|p| p.1);
        let Some(protocol) = protocol.filter(|_| host.machine.is_some()) else {
            self.later(delay, Happening::Answer { pipe, failure: Some(refused()) });
            return None;
        };
        // Calls that cross between the same ports become one association.
        let ports = (self.port_of(from.host, protocol), self.port_of(to.host, protocol));
        let crossing = self.pipes.iter().find_map(|(id, other)| {
            let crosses = other.protocol == protocol
                && (other.port, port) == ports
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
        // No message overtakes the answer.
        state.clear[0] = self.now + delay;
        self.later(delay, Happening::Answer { pipe, failure: None });
        let (peer, local) = (self.peer(from.host, peer_port), vec![self.addr(to.host)]);
        self.feed(to.host, Input::Up { channel, protocol, peer, local, local_port: port });
        Some(to.host)
    }

    pub(super) fn on_answer(
        &mut self,
        pipe: u64,
        failure: Option<ConnectFailure>,
    ) -> Option<HostId> {
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
                let (protocol, far) = (state.protocol, state.port);
                let near = self.port_of(from.host, protocol);
                let (peer, local) = (self.peer(to.host, far), vec![self.addr(from.host)]);
                let input = Input::Up { channel, protocol, peer, local, local_port: near };
                self.feed(from.host, input);
            }
        }
        Some(from.host)
    }

    /// Whether an association between two ports is up at both ends.
    fn are_connected(&self, one: (HostId, u16), other: (HostId, u16)) -> bool {
        self.hosts[one.0.0].ends.values().any(|id| {
            let Some(pipe) = self.pipes.get(id).filter(|pipe| pipe.up == [true; 2]) else {
                return false;
            };
            let caller = (pipe.ends[0].host, self.port_of(pipe.ends[0].host, pipe.protocol));
            let called = (pipe.ends[1].host, pipe.port);
            !pipe.dying && ((caller, called) == (one, other) || (caller, called) == (other, one))
        })
    }

    /// The host that has the address of a peer.
    fn host_at(&self, peer: &Peer) -> Option<HostId> {
        let (addr, _) = peer.addrs.first()?;
        self.hosts().find(|id| self.addr(*id) == *addr)
    }

    /// Whether a process listens on a port of a host.
    fn listens(&self, host: HostId, port: u16) -> bool {
        let at = &self.hosts[host.0];
        at.machine.is_some() && at.ports.iter().any(|(listening, _)| *listening == port)
    }

    /// The port of a host for a protocol.
    pub(super) fn port_of(&self, host: HostId, protocol: Protocol) -> u16 {
        let ports = &self.hosts[host.0].ports;
        let of = ports.iter().find(|(_, p)| *p == protocol);
        of.map_or(50_000, |(port, _)| *port)
    }

    pub(super) fn send(&mut self, pipe: u64, side: usize, ppid: u32, data: Bytes) {
        if let Some(state) = self.pipes.get_mut(&pipe) {
            state.queues[side].push_back((ppid, data));
            self.deliver_next(pipe, side);
        }
    }

    /// One more message of those on their way arrives after the time of a transit.
    pub(super) fn deliver_next(&mut self, pipe: u64, side: usize) {
        let Some(state) = self.pipes.get_mut(&pipe) else { return };
        let (from, to) = (state.ends[1 - side].host, state.ends[side].host);
        let at = self.now + self.net.transit(&mut self.rng, from, to);
        let at = at.max(state.clear[side]);
        state.clear[side] = at;
        self.at(at, Happening::Message { pipe, side });
    }

    pub(super) fn act(&mut self, host: HostId, output: Output<Noticed>) {
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
            // How soon the end of a process is noticed has been drawn when it ended.
            Output::Watch { .. } | Output::Suspect { .. } => {}
            Output::Shutdown { channel } => {
                let Some(pipe) = self.hosts[host.0].ends.get(&channel).copied() else { return };
                let Some(other) = self.other_end(pipe, host) else { return };
                let delay = self.net.transit(&mut self.rng, host, other)
                    + self.net.transit(&mut self.rng, other, host);
                if let Some(state) = self.pipes.get_mut(&pipe) {
                    state.dying = true;
                }
                for side in 0..2 {
                    self.later(delay, Happening::Down { pipe, side });
                }
            }
            Output::Abort { channel, .. } => {
                let Some(pipe) = self.hosts[host.0].ends.remove(&channel) else { return };
                if let Some(side) = self.side_of(pipe, host, channel)
                    && let Some(state) = self.pipes.get_mut(&pipe)
                {
                    state.dying = true;
                    state.up[side] = false;
                    let other = state.ends[1 - side];
                    let delay = self.net.transit(&mut self.rng, host, other.host);
                    // An ABORT that is lost shows when SCTP gives up.
                    let wait = match self.net.is_open(host, other.host) {
                        true => delay,
                        false => self.net.detection(&mut self.rng),
                    };
                    self.later(wait, Happening::Down { pipe, side: 1 - side });
                }
            }
            Output::Multicast { protocol, data } => self.multicast(host, protocol, &data),
            Output::Event(noticed) => self.noticed.push_back((self.now, host, noticed)),
        }
    }

    pub(super) fn side_of(&self, pipe: u64, host: HostId, channel: ChannelId) -> Option<usize> {
        let ends = &self.pipes.get(&pipe)?.ends;
        ends.iter().position(|end| end.host == host && end.channel == Some(channel))
    }

    pub(super) fn call(
        &mut self,
        host: HostId,
        channel: ChannelId,
        protocol: Protocol,
        ways: &[Peer],
    ) {
        self.next += 1;
        let pipe = self.next;
        let near = End { host, life: self.hosts[host.0].life, channel: Some(channel) };
        self.hosts[host.0].ends.insert(channel, pipe);
        // A driver tries them all, and takes the first one that works.
        let works = |way: &&Peer| {
            let to = self.host_at(way).filter(|to| self.net.is_open(host, *to));
            to.is_some_and(|to| self.listens(to, way.port))
        };
        let way = ways.iter().find(works).or(ways.first());
        let to = way.and_then(|way| self.host_at(way));
        let near_port = self.port_of(host, protocol);
        let far = End { host: to.unwrap_or(host), life: 0, channel: None };
        let state = Pipe {
            ends: [near, far],
            up: [false, false],
            clear: [Time::ZERO; 2],
            protocol,
            port: way.map_or(0, |way| way.port),
            queues: [VecDeque::new(), VecDeque::new()],
            held: [0; 2],
            dying: false,
        };
        self.pipes.insert(pipe, state);
        match (to, way) {
            (Some(to), Some(way)) if self.are_connected((host, near_port), (to, way.port)) => {
                let failure = "there is an association between these ports".to_owned();
                let failure = Some(ConnectFailure::Other(failure));
                self.later(Duration::ZERO, Happening::Answer { pipe, failure });
            }
            (Some(to), Some(way)) => {
                let delay = self.net.transit(&mut self.rng, host, to);
                self.later(delay, Happening::Call { pipe, port: way.port });
            }
            _ => {
                let failure =
                    Some(ConnectFailure::Ended(EndReason::Lost(LossReason::SetupTimeout)));
                self.later(self.net.setup_timeout, Happening::Answer { pipe, failure });
            }
        }
    }

    pub(super) fn multicast(&mut self, from: HostId, protocol: Protocol, data: &Bytes) {
        if !self.net.multicast {
            return;
        }
        let source = (self.addr(from), self.port_of(from, protocol));
        for to in self.hosts().filter(|to| *to != from) {
            if self.hosts[to.0].machine.is_some() && self.net.hears(to, from) {
                let (life, data) = (self.hosts[to.0].life, data.clone());
                if self.net.is_lost(&mut self.rng, from, to) {
                    continue;
                }
                let delay = self.net.once(&mut self.rng, from, to);
                self.later(delay, Happening::Datagram { to, life, protocol, from: source, data });
            }
        }
    }
}

pub(super) fn refused() -> ConnectFailure {
    let info = Bytes::new();
    ConnectFailure::Ended(EndReason::Lost(LossReason::Refused { cause: 0, info }))
}
