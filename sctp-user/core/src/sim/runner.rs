//! The event loop of a simulation.

use core::marker::PhantomData;
use core::ops::{Index, IndexMut};
use core::time::Duration;
use std::any::Any;
use std::fmt::Write as _;
use std::net::IpAddr;

use rand::{Rng, SeedableRng};

use super::app::App;
use super::host::Host;
use super::model::SimRng;
use super::net::{Arrival, DropReason, Fate, Net};
use super::node::{Node, NodeId};
use super::packet::IpPacket;
use crate::config::StackConfig;
use crate::time::Time;
use crate::wire::chunk_type;

/// If more steps than this happen at one time, a node keeps itself busy for ever.
const MAX_STEPS_AT_ONE_TIME: u32 = 200_000;
/// How many log lines are printed when a run panics.
const LAST_WORDS: usize = 40;

/// A network with nodes and a clock.
///
/// Every method that runs the simulation panics when a node breaks an invariant. The message names
/// the seed.
pub struct Sim {
    /// The network.
    pub net: Net,
    /// Whether [`Node::verify`] of a node is called after every step that touched the node. Default
    /// on.
    pub verify: bool,
    /// Whether to check that a node sends at most one packet with control chunks in reaction to one
    /// received packet (RFC 9260 sec 12). SACK, DATA, SHUTDOWN and HEARTBEAT do not count: the RFC
    /// exempts the first two, the third acknowledges DATA as a SACK does, and the last is never a
    /// reply. Default on.
    pub check_replies: bool,
    /// Whether to print the last packets when a run panics. Default on.
    pub last_words: bool,
    seed: u64,
    seeder: SimRng,
    nodes: Vec<Slot>,
    now: Time,
    steps_now: u32,
    unsettled: bool,
}

struct Slot {
    node: Box<dyn Node>,
    alive: bool,
}

impl Sim {
    /// A simulation at time zero, without nodes, over perfect links.
    pub fn new(seed: u64) -> Self {
        let mut seeder = SimRng::seed_from_u64(seed);
        let net = Net::new(seed);
        // The network and the stacks draw from different random streams, so that neither disturbs
        // the other.
        seeder.set_stream(1);
        Sim {
            net,
            verify: true,
            check_replies: true,
            last_words: true,
            seed,
            seeder,
            nodes: Vec::new(),
            now: Time::ZERO,
            steps_now: 0,
            unsettled: false,
        }
    }

    /// The seed.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The virtual time.
    pub fn now(&self) -> Time {
        self.now
    }

    /// Attaches a node.
    pub fn add<N: Node>(&mut self, node: N) -> NodeId<N> {
        self.unsettled = true;
        self.nodes.push(Slot { node: Box::new(node), alive: true });
        NodeId { index: self.nodes.len() - 1, node: PhantomData }
    }

    /// Makes and attaches a [`Host`] with the default configuration.
    ///
    /// # Panics
    /// When a text is not an IP address.
    pub fn host<A: App>(&mut self, addrs: &[&str], app: A) -> NodeId<Host<A>> {
        self.host_with(StackConfig::default(), addrs, app)
    }

    /// Makes and attaches a [`Host`].
    ///
    /// # Panics
    /// When a text is not an IP address.
    pub fn host_with<A: App>(
        &mut self,
        config: StackConfig,
        addrs: &[&str],
        app: A,
    ) -> NodeId<Host<A>> {
        let addrs: Vec<IpAddr> = addrs.iter().map(|a| a.parse().expect("an IP address")).collect();
        let seed = self.stack_seed();
        self.add(Host::new(config, seed, &addrs, app))
    }

    /// Draws the seed for a stack.
    pub fn stack_seed(&mut self) -> [u8; 32] {
        let mut seed = [0; 32];
        self.seeder.fill_bytes(&mut seed);
        seed
    }

    /// Runs code on a node, then lets the node send and its script react.
    pub fn with<N: Node, R>(&mut self, id: NodeId<N>, f: impl FnOnce(&mut N, Time) -> R) -> R {
        self.settle();
        let now = self.now;
        let result = f(&mut self[id], now);
        self.settle();
        result
    }

    /// Ends a node as SIGKILL ends a process. It falls silent at once, but its machine and
    /// addresses stay.
    pub fn kill<N>(&mut self, id: NodeId<N>) {
        self.settle();
        self.nodes[id.index].alive = false;
    }

    /// Puts a new node in the place of another, as a restart does, and returns the old one.
    ///
    /// # Panics
    /// Never: the handle knows the type.
    pub fn replace<N: Node>(&mut self, id: NodeId<N>, node: N) -> N {
        self.settle();
        self.unsettled = true;
        let slot = &mut self.nodes[id.index];
        slot.alive = true;
        let old: Box<dyn Node> = core::mem::replace(&mut slot.node, Box::new(node));
        let old: Box<dyn Any> = old;
        *old.downcast().expect("a node keeps its type")
    }

    /// Hands a packet to its destination now and returns what the node sends in reaction. The
    /// returned packets do not enter the network. `None` when no node takes the packet.
    pub fn provoke(&mut self, packet: IpPacket) -> Option<Vec<IpPacket>> {
        self.settle();
        let index = self.listener(&packet).ok()?;
        let now = self.now;
        self.net.log_packet(now, Fate::Delivered, &packet);
        self.nodes[index].node.handle_packet(now, packet);
        let mut sent = Vec::new();
        while let Some(reply) = self.nodes[index].node.poll_transmit(now) {
            self.net.log_packet(now, Fate::Sent, &reply);
            sent.push(reply);
        }
        self.check_reaction(&sent);
        self.settle_node(index);
        Some(sent)
    }

    /// When the next thing happens.
    pub fn next_at(&mut self) -> Option<Time> {
        self.settle();
        let timer = self.next_timer().map(|(at, _)| at);
        timer.into_iter().chain(self.net.poll_timeout()).min()
    }

    /// Lets the next thing happen. False when nothing will ever happen again. At the same time,
    /// packets come first, in the order in which they were sent, and then timers, in the order in
    /// which the nodes were added.
    pub fn step(&mut self) -> bool {
        let Some(at) = self.next_at() else { return false };
        if at > self.now {
            self.now = at;
            self.steps_now = 0;
        }
        self.steps_now += 1;
        if self.steps_now > MAX_STEPS_AT_ONE_TIME {
            self.fail("the nodes keep each other busy without end");
        }
        match self.net.poll_arrival(self.now) {
            Some((_, Arrival::Packet(packet))) => self.deliver(packet),
            Some((_, Arrival::Icmp(error))) => {
                let to = error.quoted.src;
                if let Some(index) = (0..self.nodes.len()).find(|&i| self.lives_at(i, to)) {
                    self.nodes[index].node.handle_icmp(self.now, &error);
                    self.settle_node(index);
                }
            }
            None => {
                if let Some((at, index)) = self.next_timer()
                    && at <= self.now
                {
                    self.nodes[index].node.handle_timeout(self.now);
                    self.settle_node(index);
                }
            }
        }
        true
    }

    /// Runs for this long.
    pub fn run_for(&mut self, time: Duration) {
        self.run_until(time, |_| false);
    }

    /// Runs until `done` returns true, which it asks before every step, and returns true. Returns
    /// false when that took longer than `limit`.
    pub fn run_until(&mut self, limit: Duration, mut done: impl FnMut(&mut Sim) -> bool) -> bool {
        let end = self.now + limit;
        loop {
            if done(self) {
                return true;
            }
            match self.next_at() {
                Some(at) if at <= end => self.step(),
                _ => {
                    self.now = self.now.max(end);
                    self.steps_now = 0;
                    return done(self);
                }
            };
        }
    }

    /// Runs until nothing is under way and no timer runs, and returns true. Returns false when that
    /// took longer than `limit`.
    pub fn run_until_idle(&mut self, limit: Duration) -> bool {
        let end = self.now + limit;
        while let Some(at) = self.next_at() {
            if at > end {
                return false;
            }
            self.step();
        }
        true
    }

    fn deliver(&mut self, packet: IpPacket) {
        let index = match self.listener(&packet) {
            Ok(index) => index,
            Err(why) => return self.net.refuse(self.now, packet, why),
        };
        self.net.log_packet(self.now, Fate::Delivered, &packet);
        self.nodes[index].node.handle_packet(self.now, packet);
        // Whatever is sent before the script sees the event is the reaction to this one packet.
        let sent = self.transmit(index);
        self.check_reaction(&sent);
        self.settle_node(index);
    }

    fn check_reaction(&mut self, sent: &[IpPacket]) {
        let exempt = [
            chunk_type::DATA,
            chunk_type::SACK,
            chunk_type::SHUTDOWN,
            chunk_type::HEARTBEAT,
            chunk_type::PAD,
        ];
        let controls = sent.iter().filter(|p| p.chunk_kinds().iter().any(|k| !exempt.contains(k)));
        if self.check_replies && controls.count() > 1 {
            self.fail(&format!(
                "more than one control packet in reaction to one packet: {sent:#?}"
            ));
        }
    }

    /// The node that takes a packet, or why there is none.
    fn listener(&self, packet: &IpPacket) -> Result<usize, DropReason> {
        let takes =
            |i: &usize| self.lives_at(*i, packet.dst) && self.nodes[*i].node.listens(packet);
        if let Some(index) = (0..self.nodes.len()).find(takes) {
            Ok(index)
        } else if self.nodes.iter().any(|slot| slot.node.addrs().contains(&packet.dst)) {
            Err(DropReason::NoListener)
        } else {
            Err(DropReason::NoHost)
        }
    }

    fn lives_at(&self, index: usize, addr: IpAddr) -> bool {
        let slot = &self.nodes[index];
        slot.alive && slot.node.addrs().contains(&addr)
    }

    fn next_timer(&mut self) -> Option<(Time, usize)> {
        let alive = self.nodes.iter_mut().enumerate().filter(|(_, slot)| slot.alive);
        alive.filter_map(|(index, slot)| Some((slot.node.poll_timeout()?, index))).min()
    }

    /// Lets all nodes send and react if the test has changed any from outside.
    fn settle(&mut self) {
        if core::mem::take(&mut self.unsettled) {
            for index in 0..self.nodes.len() {
                if self.nodes[index].alive {
                    self.settle_node(index);
                }
            }
        }
    }

    fn settle_node(&mut self, index: usize) {
        let mut rounds = 0;
        loop {
            self.transmit(index);
            if !self.nodes[index].node.run_app(self.now) {
                break;
            }
            rounds += 1;
            if rounds > MAX_STEPS_AT_ONE_TIME {
                self.fail("a script keeps itself busy without end");
            }
        }
        if self.verify
            && let Err(broken) = self.nodes[index].node.verify()
        {
            self.fail(&format!("node {index}: {broken}"));
        }
    }

    fn transmit(&mut self, index: usize) -> Vec<IpPacket> {
        let mut sent = Vec::new();
        while let Some(packet) = self.nodes[index].node.poll_transmit(self.now) {
            sent.push(packet.clone());
            self.net.send(self.now, packet);
            if let Some(broken) = self.net.take_violation() {
                self.fail(&format!("node {index}: {broken}"));
            }
            if sent.len() > MAX_STEPS_AT_ONE_TIME as usize {
                self.fail(&format!("node {index} sends without end"));
            }
        }
        sent
    }

    fn fail(&self, what: &str) -> ! {
        panic!("seed {} at {}: {what}", self.seed, self.now)
    }
}

impl<N: Node> Index<NodeId<N>> for Sim {
    type Output = N;
    fn index(&self, id: NodeId<N>) -> &N {
        let node: &dyn Any = &*self.nodes[id.index].node;
        node.downcast_ref().expect("a node keeps its type")
    }
}

/// Changes made this way take effect with the next step.
impl<N: Node> IndexMut<NodeId<N>> for Sim {
    fn index_mut(&mut self, id: NodeId<N>) -> &mut N {
        self.unsettled = true;
        let node: &mut dyn Any = &mut *self.nodes[id.index].node;
        node.downcast_mut().expect("a node keeps its type")
    }
}

/// When a run panics, wherever that is, this says how to repeat it.
impl Drop for Sim {
    fn drop(&mut self) {
        if self.last_words && std::thread::panicking() {
            let mut words = format!(
                "simulation with seed {} ended at {}; the last packets were:\n",
                self.seed, self.now
            );
            let skip = self.net.log().count().saturating_sub(LAST_WORDS);
            for entry in self.net.log().skip(skip) {
                let _ = writeln!(words, "  {entry}");
            }
            let _ = writeln!(
                words,
                "repeat it with SCTP_SIM_SEED={} (and SCTP_SIM_TRACE=1)",
                self.seed
            );
            eprint!("{words}");
        }
    }
}
