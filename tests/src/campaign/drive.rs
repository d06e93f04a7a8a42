//! One life, from its first packet to its last, and the checks at its end.

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use sctp_user_core::sim::{Fate, Host, Nat, NodeId, Sim, SimRng, Verdict};
use sctp_user_core::{AssocState, ConnectError, Event, LossReason, Time};

use super::actions::{Action, reconfigure};
use super::ledger::Process;
use super::network::{Mode, UDP_PORT};
use super::scenario::{End, MAX_COALESCE, SERVICE, Scenario};
use super::user::{User, World};
use crate::hostile::{mutate, random_chunks};

type Id = NodeId<Host<User>>;

const SEC: Duration = Duration::from_secs(1);
/// A gentle life that takes longer than this counts as stuck.
const GENTLE_LIMIT: Duration = Duration::from_secs(20 * 3600);
/// In a harsh life, all open associations are shut down when nothing has happened for this time.
const HARSH_PATIENCE: Duration = Duration::from_secs(300);
/// Those that are still open after this time are aborted.
const HARSH_LIMIT: Duration = Duration::from_secs(900);
/// The buffers are checked once in this many steps.
const STEPS_PER_LOOK: u32 = 16;

/// The results of a life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Life {
    /// Packets sent.
    pub packets: u64,
    /// Messages delivered.
    pub messages: u64,
    /// Bytes of these messages.
    pub bytes: u64,
    /// Associations that ended gracefully, counted at each end.
    pub graceful: u64,
    /// Associations that ended otherwise, counted at each end.
    pub lost: u64,
    /// Restarts that an end noticed.
    pub restarts: u64,
    /// Virtual time from begin to end.
    pub time: Duration,
    /// A hash of every packet and the time it was sent.
    pub digest: u64,
}

struct Driver {
    sim: Sim,
    rng: SimRng,
    scenario: Scenario,
    ids: [Id; 2],
    alive: [bool; 2],
    incarnations: [u32; 2],
    rounds: Vec<u32>,
    /// Associations that need not end gracefully even in a gentle life.
    excused: Vec<bool>,
    world: Rc<RefCell<World>>,
    digest: Arc<AtomicU64>,
    life: Life,
}

/// Runs the life of a seed. If `pcap` is given, the packets are written to this file.
///
/// # Panics
/// When anything is wrong, with a sentence that says what.
pub fn live(seed: u64, pcap: Option<&Path>) -> Life {
    let mut rng = SimRng::seed_from_u64(seed);
    rng.set_stream(2);
    let scenario = Scenario::draw(&mut rng);
    let mut driver = Driver::new(seed, rng, scenario, pcap);
    driver.run();
    driver.finish()
}

impl Driver {
    fn new(seed: u64, mut rng: SimRng, scenario: Scenario, pcap: Option<&Path>) -> Self {
        let mut sim = Sim::new(seed);
        sim.last_words = pcap.is_some();
        if let Some(path) = pcap {
            sim.net
                .capture(path)
                .unwrap_or_else(|e| panic!("cannot write {}: {e}", path.display()));
        }
        sim.net.log_limit = 200;
        sim.net.icmp = scenario.icmp;
        let digest = Arc::new(AtomicU64::new(0));
        let world = Rc::new(RefCell::new(World::default()));
        if let Some(outside) = scenario.topology.nat {
            sim.net.add_nat(Nat::new(scenario.topology.addrs[0].iter().copied(), outside));
        }
        // Packets cannot go from an address of one family to one of the other.
        let sum = Arc::clone(&digest);
        sim.net.tap(move |now, packet| {
            // The common header is enough: it has the ports, the tag and the checksum.
            let header = packet.sctp.iter().take(12);
            let hash = header
                .fold(now.as_nanos(), |h, &b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
            sum.store(sum.load(Relaxed).rotate_left(5) ^ hash, Relaxed);
            if packet.src.is_ipv4() == packet.dst.is_ipv4() { Verdict::Pass } else { Verdict::Drop }
        });
        let processes = [0, 1].map(|end| Process { end, incarnation: 0 });
        let ids = processes.map(|process| {
            let host = host(&mut sim, &scenario, process, &world);
            sim.add(host)
        });
        set_links(&mut sim, &mut rng, &scenario);
        let (rounds, excused) =
            (vec![0; scenario.assocs.len()], vec![false; scenario.assocs.len()]);
        Driver {
            sim,
            rng,
            scenario,
            ids,
            alive: [true; 2],
            incarnations: [0; 2],
            rounds,
            excused,
            world,
            digest,
            life: Life::default(),
        }
    }

    fn run(&mut self) {
        let mut actions = std::mem::take(&mut self.scenario.actions).into_iter().peekable();
        let mut calm_since = Time::ZERO;
        let mut hung_up = false;
        loop {
            let next = actions.peek().map(|(at, _)| *at);
            let limit = match next {
                Some(at) => at,
                None if self.scenario.gentle => calm_since + GENTLE_LIMIT,
                None if hung_up => calm_since + HARSH_LIMIT,
                None => calm_since + HARSH_PATIENCE,
            };
            if next.is_none() && self.all_over() {
                // A packet in flight may still start an association.
                let world = Rc::clone(&self.world);
                let quiet = |sim: &mut Sim| sim.net.poll_timeout().is_none();
                self.sim.run_until(HARSH_LIMIT, |sim| world.borrow().news || quiet(sim));
                // The last packets to arrive may be held back for a batch.
                self.sim.run_for(2 * MAX_COALESCE);
                if !self.world.borrow().news {
                    if quiet(&mut self.sim) {
                        return;
                    }
                    continue;
                }
            }
            if !self.advance(limit) {
                match next {
                    Some(_) => {}
                    None if self.scenario.gentle => {
                        panic!("the life is stuck: {}", self.describe())
                    }
                    None if !hung_up => {
                        hung_up = true;
                        self.for_all_open(|driver, end, at| driver.shut_down(end, at));
                    }
                    None => {
                        self.for_all_open(Self::abort);
                        assert!(
                            self.all_over(),
                            "associations go on after an ABORT: {}",
                            self.describe()
                        );
                    }
                }
            }
            while let Some((at, action)) = actions.next_if(|(at, _)| *at <= self.sim.now()) {
                self.act(action);
                calm_since = at;
            }
            if std::mem::take(&mut self.world.borrow_mut().news) {
                self.react();
            }
        }
    }

    /// Runs until there is news, and then returns true, or until `limit`.
    fn advance(&mut self, limit: Time) -> bool {
        let world = Rc::clone(&self.world);
        let (ids, alive) = (self.ids, self.alive);
        let mut steps = 0;
        let time = limit.since(self.sim.now());
        self.sim.run_until(time, |sim| {
            steps += 1;
            if steps % STEPS_PER_LOOK == 0 {
                let living = [0, 1].into_iter().filter(|&end| alive[end]);
                living.for_each(|end| sim[ids[end]].app.check_bounds(&sim[ids[end]].stack));
            }
            world.borrow().news
        })
    }

    fn all_over(&self) -> bool {
        [0, 1]
            .into_iter()
            .filter(|&end| self.alive[end])
            .all(|end| self.sim[self.ids[end]].app.conns.iter().all(|c| c.end.is_some()))
    }

    fn describe(&self) -> String {
        let mut text = String::new();
        for end in [0, 1] {
            let host = &self.sim[self.ids[end]];
            for conn in &host.app.conns {
                let status = host.stack.status(conn.id);
                let status = status.map(|s| {
                    format!(
                        "{:?} {} queued, {} unacked, {} to read, rwnd {}",
                        s.state, s.send_buffered, s.unacked_chunks, s.recv_buffered, s.peer_rwnd
                    )
                });
                text += &format!(
                    "[end {end} no. {}: {} {:?}] ",
                    conn.number,
                    status.unwrap_or_default(),
                    conn.end
                );
            }
        }
        text
    }

    fn for_all_open(&mut self, what: impl Fn(&mut Self, usize, usize)) {
        for end in [0, 1].into_iter().filter(|&end| self.alive[end]).collect::<Vec<_>>() {
            for at in 0..self.sim[self.ids[end]].app.conns.len() {
                if self.sim[self.ids[end]].app.conns[at].end.is_none() {
                    what(self, end, at);
                }
            }
        }
    }

    /// Shuts down associations that are done, and starts their next rounds.
    fn react(&mut self) {
        for number in 0..self.scenario.assocs.len() {
            let plan = &self.scenario.assocs[number];
            let (closers, callers, rounds) = (plan.closers, plan.callers, plan.rounds);
            let state = [0, 1].map(|end| {
                let conn =
                    self.alive[end].then(|| self.sim[self.ids[end]].app.conn(number)).flatten();
                conn.map(|c| (c.is_done(), c.end.is_some()))
            });
            if let [Some((true, over_a)), Some((true, over_b))] = state {
                // If the end that should shut down is gone already, the other one does.
                let over = [over_a, over_b];
                let willing = [0, 1].into_iter().any(|end| closers[end] && !over[end]);
                for end in [0, 1] {
                    if !over[end] && (closers[end] || !willing) {
                        let at = self.newest(end, number).expect("it is there");
                        self.shut_down(end, at);
                    }
                }
            }
            let caller = usize::from(!callers[0]);
            if callers != [true, true] && self.rounds[number] > 0 && self.rounds[number] < rounds {
                let is_over = self.alive[caller] && matches!(state[caller], Some((_, true)));
                if is_over {
                    self.call(caller, number);
                }
            }
        }
    }

    fn newest(&self, end: usize, number: usize) -> Option<usize> {
        self.sim[self.ids[end]].app.conns.iter().rposition(|c| c.number == number)
    }

    fn open(&self, end: usize, number: usize) -> Option<usize> {
        let at = self.newest(end, number).filter(|_| self.alive[end])?;
        self.sim[self.ids[end]].app.conns[at].end.is_none().then_some(at)
    }

    fn shut_down(&mut self, end: usize, at: usize) {
        if self.scenario.gentle && self.sim[self.ids[end]].app.finish_first(at) {
            // A shutdown in the middle of a message would abort the association.
            return;
        }
        let host = &self.sim[self.ids[end]];
        let conn = &host.app.conns[at];
        if host.stack.status(conn.id).is_some_and(|s| s.state == AssocState::CookieWait) {
            // The association is not set up yet, so it ends at once (RFC 9260 sec 4).
            self.excused[conn.number] = true;
        }
        self.sim.with(self.ids[end], |h, now| {
            h.stack.shutdown(now, h.app.conns[at].id).expect("it is open");
        });
    }

    fn abort(&mut self, end: usize, at: usize) {
        self.sim.with(self.ids[end], |h, now| {
            h.stack.abort(now, h.app.conns[at].id, "enough".into()).expect("it is open");
        });
    }

    /// The end calls the other one, unless the association is open already. An earlier, ended one
    /// is released.
    fn call(&mut self, end: usize, number: usize) {
        if !self.alive[end] || self.open(end, number).is_some() {
            return;
        }
        self.rounds[number] += 1;
        let plan = &self.scenario.assocs[number];
        let port = plan.port(number, end);
        let mut peer = self.scenario.topology.peer(&mut self.rng, end, plan.port(number, 1 - end));
        if peer.addrs.is_empty() {
            return;
        }
        peer.addrs.truncate(4);
        let config = plan.config.clone();
        let old = self.newest(end, number);
        self.sim.with(self.ids[end], |h, now| {
            h.script(now, |app, cx| {
                if let Some(at) = old {
                    app.release(cx, at);
                }
                match cx.stack.connect(now, port, &peer, Some(config)) {
                    Ok(id) => app.begin(cx, id, number),
                    Err(ConnectError::AlreadyConnected) => {
                        panic!("a call is refused for an association that ended")
                    }
                    Err(error) => panic!("connect: {error}"),
                }
            });
        });
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Call(end, number) => self.call(end, number),
            Action::Cut(pairs) => {
                pairs.into_iter().for_each(|(a, b)| self.sim.net.cut_one_way(a, b))
            }
            Action::Heal(pairs) => pairs.into_iter().for_each(|(a, b)| self.sim.net.heal(a, b)),
            Action::Links => set_links(&mut self.sim, &mut self.rng, &self.scenario),
            Action::Rebind => self.sim.net.nats.iter_mut().for_each(Nat::rebind),
            Action::Kill(end) => self.kill(end),
            Action::Revive(end) => self.revive(end),
            Action::Abort(end, number) => {
                if let Some(at) = self.open(end, number) {
                    self.abort(end, at);
                }
            }
            Action::Shutdown(end, number) => {
                if let Some(at) = self.open(end, number) {
                    self.shut_down(end, at);
                }
            }
            Action::Replay(count) => {
                let delivered = self.sim.net.log().filter(|e| e.fate == Fate::Delivered);
                let delivered: Vec<_> = delivered.map(|e| e.packet.clone()).collect();
                for _ in 0..count.min(delivered.len() as u32) {
                    let packet = delivered[self.rng.random_range(0..delivered.len())].clone();
                    let now = self.sim.now();
                    self.sim.net.inject(now, packet);
                }
            }
            Action::Garbage(count) => self.garbage(count),
            action => self.poke(action),
        }
    }

    /// Makes a call of a user that does not change which messages must be delivered.
    fn poke(&mut self, action: Action) {
        let (Action::SetPrimary(end, number)
        | Action::Heartbeat(end, number)
        | Action::Configure(end, number, _)
        | Action::Misuse(end, number)) = action
        else {
            unreachable!("{action:?} is done elsewhere")
        };
        let Some(at) = self.open(end, number) else { return };
        let choice: usize = self.rng.random_range(0..4);
        self.sim.with(self.ids[end], |h, now| {
            h.script(now, |app, cx| {
                let id = app.conns[at].id;
                let paths = cx.stack.paths(id);
                let addr = paths[choice % paths.len()].addr.remote;
                // The calls may be refused, because the address is unconfirmed or because the
                // association is in a state without heartbeats.
                match action {
                    Action::SetPrimary(..) => drop(cx.stack.set_primary(now, id, addr)),
                    Action::Heartbeat(..) => drop(cx.stack.request_heartbeat(now, id, addr)),
                    Action::Configure(_, _, what) => {
                        let result = cx.stack.configure(now, id, |c| reconfigure(what, c));
                        assert_eq!(result, Ok(Ok(())), "a valid change is taken");
                    }
                    _ => app.misuse(cx, at),
                }
            });
        });
    }

    /// Sends packets with wrong tags, either broken or random.
    fn garbage(&mut self, count: u32) {
        let delivered = self.sim.net.log().filter(|e| e.fate == Fate::Delivered);
        let genuine: Vec<_> =
            delivered.map(|e| e.packet.clone()).filter(|p| p.packet().is_some()).collect();
        for _ in 0..if genuine.is_empty() { 0 } else { count } {
            let mut packet = genuine[self.rng.random_range(0..genuine.len())].clone();
            let wrong: u32 = self.rng.random_range(1..=u32::MAX);
            if self.rng.random() {
                let ports = packet
                    .packet()
                    .map(|p| (p.src_port(), p.dst_port()))
                    .expect("a genuine packet");
                packet.sctp = random_chunks(&mut self.rng, ports.0, ports.1, wrong).into();
            } else {
                mutate(&mut self.rng, &mut packet, true);
                packet.edit(|bytes| bytes[4..8].copy_from_slice(&wrong.to_be_bytes()));
                packet.fix_crc();
            }
            let now = self.sim.now();
            self.sim.net.inject(now, packet);
        }
    }

    fn kill(&mut self, end: usize) {
        if self.alive[end] {
            self.sim.kill(self.ids[end]);
            self.alive[end] = false;
            self.world.borrow_mut().ledger.kill(end, self.sim.now());
            self.count(end);
        }
    }

    fn revive(&mut self, end: usize) {
        if self.alive[end] {
            return;
        }
        self.incarnations[end] += 1;
        let process = Process { end, incarnation: self.incarnations[end] };
        let again = host(&mut self.sim, &self.scenario, process, &self.world);
        self.sim.replace(self.ids[end], again);
        self.alive[end] = true;
        for number in 0..self.scenario.assocs.len() {
            if self.scenario.assocs[number].callers[end] {
                self.call(end, number);
            }
        }
    }

    /// Adds the ends of the associations of a process to the result.
    fn count(&mut self, end: usize) {
        let host = &self.sim[self.ids[end]];
        self.life.packets += host.stack.stats().packets_sent;
        self.life.restarts += host.app.restarts;
        for conn in &host.app.conns {
            match conn.end {
                Some(Event::ShutdownComplete) => self.life.graceful += 1,
                _ => self.life.lost += 1,
            }
        }
    }

    /// Checks, after everything has ended, that nothing is left and that the ledger is in order.
    fn finish(mut self) -> Life {
        for end in [0, 1] {
            if !self.alive[end] {
                continue;
            }
            self.sim.with(self.ids[end], |h, now| {
                h.script(now, |app, cx| {
                    (0..app.conns.len()).for_each(|at| app.release(cx, at));
                });
            });
            let host = &self.sim[self.ids[end]];
            if self.scenario.gentle {
                // When a SHUTDOWN COMPLETE is lost and the NAT has forgotten its binding, this end
                // cannot reach the other one to get it again.
                let rebound = self.scenario.topology.nat.is_some() && end == 1;
                let unreachable = Event::Lost(LossReason::Unreachable);
                for conn in host.app.conns.iter().filter(|c| !self.excused[c.number]) {
                    if !(rebound && conn.end.as_ref() == Some(&unreachable)) {
                        assert_eq!(
                            conn.end,
                            Some(Event::ShutdownComplete),
                            "the end of a gentle life"
                        );
                    }
                }
            }
            assert_eq!(host.stack.stats().associations, 0, "associations left at end {end}");
            self.count(end);
        }
        assert!(self.sim.run_until_idle(3600 * SEC), "something goes on after the end");
        for end in [0, 1].into_iter().filter(|&end| self.alive[end]) {
            self.sim.with(self.ids[end], |h, now| {
                for (number, plan) in self.scenario.assocs.iter().enumerate() {
                    h.stack.unbind(now, plan.port(number, end));
                }
                h.stack.unbind(now, SERVICE);
                assert_eq!(h.stack.ports_in_use(), 0, "ports in use at the end");
                assert_eq!(h.stack.poll_timeout(), None, "a timer runs for nobody");
                assert!(!h.stack.has_transmit(), "something to send for nobody");
            });
        }
        let ledger = &self.world.borrow().ledger;
        ledger.check();
        Life {
            messages: ledger.delivered_messages,
            bytes: ledger.delivered_bytes,
            time: self.sim.now().since(Time::ZERO),
            digest: self.digest.load(Relaxed),
            ..self.life
        }
    }
}

/// A host with its ports bound.
fn host(
    sim: &mut Sim,
    scenario: &Scenario,
    process: Process,
    world: &Rc<RefCell<World>>,
) -> Host<User> {
    let end = process.end;
    let End { stack, config, coalesce, limits } = &scenario.ends[end];
    let plans = scenario.assocs.iter().map(|a| a.sides[end].clone()).collect();
    let user = User::new(process, Rc::clone(world), plans);
    let seed = sim.stack_seed();
    let mut host = Host::new(stack.clone(), seed, &scenario.topology.addrs[end], user);
    match scenario.topology.mode {
        Mode::Native => {}
        Mode::Udp => host.use_udp(UDP_PORT),
        Mode::Mixed => host.use_both(UDP_PORT),
    }
    host.set_coalescing(*coalesce);
    host.set_segment_limits(*limits);
    host.config = config.clone();
    host.listen(SERVICE);
    for (number, assoc) in scenario.assocs.iter().enumerate().filter(|(_, a)| a.callers[end]) {
        let port = assoc.port(number, end);
        host.config = assoc.config.clone();
        match assoc.callers {
            [true, true] => drop(host.listen(port)),
            _ => assert_eq!(host.bind(port), port),
        }
    }
    host
}

fn set_links(sim: &mut Sim, rng: &mut SimRng, scenario: &Scenario) {
    let link = scenario.topology.link(rng, scenario.quality[0]);
    sim.net.set_default(link);
    let second = [0, 1].map(|end| scenario.topology.on_the_wire(end).get(1).copied());
    if let [Some(one), Some(other)] = second
        && one.is_ipv4() == other.is_ipv4()
    {
        let link = scenario.topology.link(rng, scenario.quality[1]);
        sim.net.set_links(one, other, link);
    }
}
