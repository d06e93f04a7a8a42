//! One random life of a scope, from its seed: who is there, what goes wrong, and whether all is
//! well afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use rand::RngExt;
use rserpool_wire::{Life as WireLife, PeId, Policy, PoolHandle, ServerId, TransportUse};
use sctp_user_core::{Duration, Time};

use super::net::HostId;
use super::world::{Machine, Noticed, World};
use crate::asap::{AsapConfig, AsapCore, AsapEvent, OwnElement, RequestId};
use crate::channel::Protocol;
use crate::reach::Reach;
use crate::registrar::{EnrpConfig, Local, RegistrarConfig, RegistrarCore, RegistrarEvent};

/// Kinds of events, each of which some part of all lives should have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A registrar is killed, and its host says so.
    RegistrarKilled,
    /// A registrar is gone without a word.
    RegistrarSilent,
    /// A registrar ends in an orderly way.
    RegistrarQuit,
    /// A registrar starts again with the identifier it had.
    RegistrarSameId,
    /// A registrar starts again with another identifier.
    RegistrarOtherId,
    /// A registrar is stopped for a while.
    RegistrarStopped,
    /// Two registrars with one identifier.
    DuplicateId,
    /// Two hosts do not hear each other.
    Cut,
    /// One host does not hear another one.
    OneWayCut,
    /// The scope falls into two parts.
    Partition,
    /// An element is killed.
    ElementKilled,
    /// An element is gone without a word.
    ElementSilent,
    /// An element starts again.
    ElementRestarted,
    /// An element is stopped for a while.
    ElementStopped,
    /// A registrar is taken over.
    Takeover,
    /// A registrar gives an element up to another one that claims it.
    Yielded,
    /// Registrars find each other by multicast.
    Multicast,
    /// Hundreds of members.
    Large,
}

/// What a life was like.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// How often each kind of event happened.
    pub events: BTreeMap<Kind, u32>,
    /// Things that happened in the world.
    pub steps: u64,
    /// Virtual time.
    pub time: Duration,
    /// A number that is the same for the same life.
    pub digest: u64,
}

/// The pools of a scope.
const POOLS: [&str; 3] = ["alpha", "beta", "gamma"];
/// SCTP port of elements and users for ASAP.
const PORT: u16 = 5000;
/// How long all may take to be well after the last fault: longer than a registration that is
/// renewed every 30 s, a takeover that begins anew, and the pauses between audits.
const BOUND: Duration = Duration::from_secs(150);
/// More steps than any life needs.
const MAX_STEPS: u64 = 3_000_000;
const REACH: Reach = Reach { native: false, udp: true };

/// Lives through the life of a seed.
///
/// # Errors
/// What was wrong, in one sentence.
pub fn live(seed: u64) -> Result<Report, String> {
    live_and_tell(seed, |_| {})
}

/// As [`live`]; what the members were told and what went wrong comes as lines of text.
///
/// # Errors
/// As [`live`].
pub fn live_and_tell(seed: u64, tell: impl FnMut(&str)) -> Result<Report, String> {
    let outcome = catch_unwind(AssertUnwindSafe(|| Scope::new(seed, Box::new(tell)).live()));
    outcome.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
        Err(format!("panic: {}", text.unwrap_or_default()))
    })
}

struct Scope<'a> {
    world: World,
    tell: Box<dyn FnMut(&str) + 'a>,
    registrars: Vec<Registrar>,
    elements: Vec<Element>,
    users: Vec<User>,
    report: Report,
    multicast: bool,
    realtime: bool,
    next_id: u32,
}

struct Registrar {
    host: HostId,
    id: u32,
    stopped_until: Option<Time>,
}

struct Element {
    host: HostId,
    pool: &'static str,
    id: u32,
    registrars: Vec<usize>,
    stopped_until: Option<Time>,
}

struct User {
    host: HostId,
    open: BTreeSet<RequestId>,
}

/// Elements with their homes.
type Table = BTreeMap<(PoolHandle, PeId), ServerId>;

impl<'a> Scope<'a> {
    fn new(seed: u64, tell: Box<dyn FnMut(&str) + 'a>) -> Self {
        let mut world = World::new(seed);
        let multicast = world.rng().random_bool(0.3);
        let realtime = world.rng().random_bool(0.2);
        world.net.multicast = multicast;
        world.net.max_delay = Duration::from_millis(world.rng().random_range(1..20));
        let mut scope = Scope {
            world,
            tell,
            registrars: Vec::new(),
            elements: Vec::new(),
            users: Vec::new(),
            report: Report::default(),
            multicast,
            realtime,
            next_id: 1,
        };
        if multicast {
            scope.count(Kind::Multicast);
        }
        scope
    }

    fn rng(&mut self) -> &mut rand_chacha::ChaCha12Rng {
        self.world.rng()
    }

    fn chance(&mut self, probability: f64) -> bool {
        self.rng().random_bool(probability)
    }

    fn below(&mut self, n: usize) -> usize {
        self.rng().random_range(0..n)
    }

    fn count(&mut self, kind: Kind) {
        (self.tell)(&format!("{} {kind:?}", self.world.now));
        *self.report.events.entry(kind).or_default() += 1;
    }

    fn new_id(&mut self) -> u32 {
        self.next_id += 1;
        // Not in the order of starting, as the smaller one has rights.
        let high: u32 = self.rng().random_range(0..1 << 20);
        (high << 12) | (self.next_id & 0xfff)
    }

    fn live(mut self) -> Result<Report, String> {
        let large = self.chance(0.01);
        if large {
            self.count(Kind::Large);
        }
        let registrars = self.rng().random_range(1..=7);
        for _ in 0..registrars {
            let host = self.world.add_host(&[(3863, Protocol::Asap), (9901, Protocol::Enrp)]);
            let id = self.new_id();
            self.registrars.push(Registrar { host, id, stopped_until: None });
        }
        for index in 0..registrars {
            let wait = Duration::from_millis(self.rng().random_range(0..3000));
            self.pass(wait)?;
            self.start_registrar(index);
        }
        let elements = if large { 300 } else { self.rng().random_range(0..12) };
        for _ in 0..elements {
            self.add_element();
        }
        let users = if large { 100 } else { self.rng().random_range(0..4) };
        for _ in 0..users {
            self.add_user();
        }
        self.pass(Duration::from_secs(5))?;
        let faults = self.rng().random_range(0..12);
        for _ in 0..faults {
            self.fault();
            let wait = Duration::from_millis(self.rng().random_range(0..12_000));
            self.pass(wait)?;
            if self.chance(0.3) {
                self.heal();
            }
        }
        self.repair();
        self.until_well()?;
        // And it stays well.
        self.pass(Duration::from_secs(40))?;
        self.is_well().map_err(|problem| format!("not well for long: {problem}"))?;
        self.report.steps = self.world.steps();
        self.report.time = self.world.now.since(Time::ZERO);
        self.report.digest = self.digest();
        Ok(self.report)
    }

    // Members.

    fn start_registrar(&mut self, index: usize) {
        let (host, id) = (self.registrars[index].host, self.registrars[index].id);
        let mut peers = Vec::new();
        if !self.multicast {
            for other in &self.registrars {
                if other.host != host {
                    peers.push(self.world.peer(other.host, 9901));
                }
            }
        }
        let mut enrp = EnrpConfig { peers, ..EnrpConfig::default() };
        if !self.multicast {
            enrp.announce = None;
        }
        let mut config = RegistrarConfig {
            server_id: Some(ServerId(id)),
            announce: None,
            enrp: Some(if self.realtime { enrp.realtime() } else { enrp }),
            ..RegistrarConfig::default()
        };
        if self.realtime {
            config.keep_alive_interval = Duration::from_millis(500);
            config.keep_alive_timeout = Duration::from_millis(500);
        }
        let enrp_addrs = vec![self.world.addr(host)];
        let local = Local { reach: REACH, enrp_port: 9901, enrp_addrs, ..Local::default() };
        let mut seed = [0; 32];
        self.rng().fill(&mut seed);
        let core = RegistrarCore::new(config, local, seed, self.world.now);
        let core = core.expect("the settings are right");
        self.world.start(host, Machine::Registrar(Box::new(core)));
    }

    fn add_element(&mut self) {
        let host = self.world.add_host(&[(PORT, Protocol::Asap)]);
        let pool = POOLS[self.below(POOLS.len())];
        let id = self.new_id();
        // Some know one registrar only.
        let all: Vec<usize> = (0..self.registrars.len()).collect();
        let registrars = match self.chance(0.3) {
            true => vec![self.below(all.len())],
            false => all,
        };
        self.elements.push(Element { host, pool, id, registrars, stopped_until: None });
        self.start_element(self.elements.len() - 1);
    }

    fn start_element(&mut self, index: usize) {
        let element = &self.elements[index];
        let (host, id, pool) = (element.host, element.id, element.pool);
        let known = element.registrars.clone();
        let mut core = self.asap_core(&known);
        // A registration that lasts hides nothing that should have been told.
        let (life, interval) = match self.chance(0.2) {
            true => (WireLife(90_000), Duration::from_secs(30)),
            false => (WireLife(7_200_000), Duration::from_secs(2400)),
        };
        let own = OwnElement {
            pool: handle(pool),
            id: PeId(id),
            policy: Policy::RoundRobin,
            port: 7,
            addrs: Vec::new(),
            transport_use: TransportUse::DataControl,
            udp_port: None,
            life,
            interval,
        };
        core.register(self.world.now, own);
        self.world.start(host, Machine::Asap(Box::new(core)));
    }

    fn add_user(&mut self) {
        let host = self.world.add_host(&[]);
        let known: Vec<usize> = (0..self.registrars.len()).collect();
        let core = self.asap_core(&known);
        self.world.start(host, Machine::Asap(Box::new(core)));
        self.users.push(User { host, open: BTreeSet::new() });
    }

    fn asap_core(&mut self, known: &[usize]) -> AsapCore {
        let hosts: Vec<HostId> = known.iter().map(|index| self.registrars[*index].host).collect();
        let registrars = hosts.into_iter().map(|host| self.world.peer(host, 3863)).collect();
        let config = AsapConfig::with_registrars(registrars);
        let mut seed = [0; 32];
        self.rng().fill(&mut seed);
        AsapCore::new(self.world.now, config, REACH, seed)
    }

    // Faults.

    fn fault(&mut self) {
        match self.below(15) {
            0 | 1 => self.end_registrar(Kind::RegistrarKilled),
            2 => self.end_registrar(Kind::RegistrarSilent),
            3 => self.end_registrar(Kind::RegistrarQuit),
            4 | 5 => self.restart_registrar(),
            6 => self.stop_registrar(),
            7 => self.cut(false),
            8 => self.cut(true),
            9 => self.partition(),
            10 => self.end_element(Kind::ElementKilled),
            11 => self.end_element(Kind::ElementSilent),
            12 => self.restart_element(),
            13 => self.stop_element(),
            _ => self.ask(),
        }
    }

    fn end_registrar(&mut self, kind: Kind) {
        let index = self.below(self.registrars.len());
        let host = self.registrars[index].host;
        if self.world.registrar(host).is_none() {
            return;
        }
        self.count(kind);
        match kind {
            Kind::RegistrarQuit => self.world.quit(host),
            kind => self.world.kill(host, kind == Kind::RegistrarSilent),
        }
        self.registrars[index].stopped_until = None;
    }

    fn restart_registrar(&mut self) {
        let index = self.below(self.registrars.len());
        let host = self.registrars[index].host;
        if self.world.registrar(host).is_some() {
            self.world.kill(host, false);
            self.registrars[index].stopped_until = None;
            let pause = Duration::from_millis(self.rng().random_range(0..4000));
            let _ = self.pass(pause);
        }
        if self.chance(0.5) {
            self.count(Kind::RegistrarSameId);
        } else if self.registrars.len() > 1 && self.chance(0.1) {
            self.count(Kind::DuplicateId);
            let other = (index + 1) % self.registrars.len();
            self.registrars[index].id = self.registrars[other].id;
        } else {
            self.count(Kind::RegistrarOtherId);
            self.registrars[index].id = self.new_id();
        }
        self.start_registrar(index);
    }

    fn stop_registrar(&mut self) {
        let index = self.below(self.registrars.len());
        let host = self.registrars[index].host;
        if self.world.registrar(host).is_none() || self.registrars[index].stopped_until.is_some() {
            return;
        }
        self.count(Kind::RegistrarStopped);
        self.world.stop(host);
        let pause = Duration::from_millis(self.rng().random_range(100..15_000));
        self.registrars[index].stopped_until = Some(self.world.now + pause);
    }

    fn stop_element(&mut self) {
        if self.elements.is_empty() {
            return;
        }
        let index = self.below(self.elements.len());
        let host = self.elements[index].host;
        if !self.world.is_alive(host) || self.elements[index].stopped_until.is_some() {
            return;
        }
        self.count(Kind::ElementStopped);
        self.world.stop(host);
        let pause = Duration::from_millis(self.rng().random_range(100..15_000));
        self.elements[index].stopped_until = Some(self.world.now + pause);
    }

    fn any_host(&mut self) -> HostId {
        let hosts: Vec<HostId> = self.world.hosts().collect();
        let registrars = self.registrars.len();
        // Mostly registrars.
        let most = if self.chance(0.7) { registrars } else { hosts.len() };
        hosts[self.below(most)]
    }

    fn cut(&mut self, one_way: bool) {
        let (a, b) = (self.any_host(), self.any_host());
        if a == b {
            return;
        }
        self.count(if one_way { Kind::OneWayCut } else { Kind::Cut });
        match one_way {
            true => self.world.net.cut_one_way(a, b),
            false => self.world.net.cut(a, b),
        }
        self.world.net_changed();
    }

    /// Every host falls to one of two sides.
    fn partition(&mut self) {
        self.count(Kind::Partition);
        let hosts: Vec<HostId> = self.world.hosts().collect();
        let sides: Vec<bool> = hosts.iter().map(|_| self.chance(0.5)).collect();
        // Some partitions divide registrars only.
        let most = if self.chance(0.5) { self.registrars.len() } else { hosts.len() };
        for (a, left) in hosts.iter().zip(&sides).take(most) {
            for (b, right) in hosts.iter().zip(&sides).take(most) {
                if left != right {
                    self.world.net.cut(*a, *b);
                }
            }
        }
        self.world.net_changed();
    }

    fn heal(&mut self) {
        self.world.net.heal_all();
        self.world.net_changed();
    }

    fn end_element(&mut self, kind: Kind) {
        if self.elements.is_empty() {
            return;
        }
        let index = self.below(self.elements.len());
        let host = self.elements[index].host;
        if self.world.is_alive(host) {
            self.count(kind);
            self.world.kill(host, kind == Kind::ElementSilent);
            self.elements[index].stopped_until = None;
        }
    }

    fn restart_element(&mut self) {
        if self.elements.is_empty() {
            return;
        }
        let index = self.below(self.elements.len());
        let host = self.elements[index].host;
        self.count(Kind::ElementRestarted);
        if self.world.is_alive(host) {
            self.world.kill(host, false);
            self.elements[index].stopped_until = None;
        }
        if self.chance(0.5) {
            self.elements[index].id = self.new_id();
        }
        self.start_element(index);
    }

    /// A user asks for a pool.
    fn ask(&mut self) {
        if self.users.is_empty() {
            return;
        }
        let index = self.below(self.users.len());
        let host = self.users[index].host;
        let pool = handle(POOLS[self.below(POOLS.len())]);
        let asked =
            self.world.with_asap(host, |core, now| core.resolve(now, &pool, 1, Duration::ZERO));
        self.users[index].open.extend(asked);
    }

    /// No more faults; every registrar runs, and so do most elements.
    fn repair(&mut self) {
        self.heal();
        for index in 0..self.registrars.len() {
            let host = self.registrars[index].host;
            if self.registrars[index].stopped_until.take().is_some() {
                self.world.go_on(host);
            }
            // No two with one identifier any more.
            let id = self.registrars[index].id;
            let twice = self.registrars.iter().filter(|other| other.id == id).count() > 1;
            if twice {
                if self.world.registrar(host).is_some() {
                    self.world.kill(host, false);
                }
                self.registrars[index].id = self.new_id();
            }
            if self.world.registrar(host).is_none() {
                self.start_registrar(index);
            }
        }
        for index in 0..self.elements.len() {
            if self.elements[index].stopped_until.take().is_some() {
                self.world.go_on(self.elements[index].host);
            }
        }
        self.ask();
    }

    // Time and truth.

    fn pass(&mut self, time: Duration) -> Result<(), String> {
        let end = self.world.now + time;
        loop {
            let stops = self.registrars.iter().map(|r| r.stopped_until);
            let stops = stops.chain(self.elements.iter().map(|e| e.stopped_until));
            let next = stops.flatten().min().filter(|at| *at <= end);
            let until = next.unwrap_or(end);
            while let Some(host) = self.world.step(until) {
                if let Some(registrar) = host.and_then(|host| self.world.registrar(host)) {
                    // The whole check costs as much as all the rest of a large scope.
                    if registrar.handlespace().len() < 50 || self.world.steps().is_multiple_of(64) {
                        registrar.handlespace().verify()?;
                    }
                }
                if self.world.steps() > MAX_STEPS {
                    return Err(format!("it never ends: {}", self.world.outlook()));
                }
                self.hear();
            }
            self.hear();
            if next.is_none() {
                return Ok(());
            }
            self.let_go_on();
        }
    }

    fn let_go_on(&mut self) {
        let now = self.world.now;
        let mut hosts = Vec::new();
        for registrar in &mut self.registrars {
            if registrar.stopped_until.take_if(|at| *at <= now).is_some() {
                hosts.push(registrar.host);
            }
        }
        for element in &mut self.elements {
            if element.stopped_until.take_if(|at| *at <= now).is_some() {
                hosts.push(element.host);
            }
        }
        for host in hosts {
            self.world.go_on(host);
        }
    }

    fn hear(&mut self) {
        while let Some((at, host, noticed)) = self.world.poll_noticed() {
            (self.tell)(&match &noticed {
                Noticed::Registrar(event) => format!("{at} host {}: {event}", host.0),
                Noticed::Asap(event) => format!("{at} host {}: {event:?}", host.0),
            });
            match noticed {
                Noticed::Asap(AsapEvent::Resolved { request, .. }) => {
                    if let Some(user) = self.users.iter_mut().find(|user| user.host == host) {
                        user.open.remove(&request);
                    }
                }
                Noticed::Registrar(RegistrarEvent::TookOver { .. }) => self.count(Kind::Takeover),
                Noticed::Registrar(RegistrarEvent::Yielded { .. }) => self.count(Kind::Yielded),
                _ => {}
            }
        }
    }

    /// Lets time pass until all is well, which must not take longer than the bound.
    fn until_well(&mut self) -> Result<(), String> {
        let end = self.world.now + BOUND;
        loop {
            self.pass(Duration::from_secs(2))?;
            match self.is_well() {
                Ok(()) => return Ok(()),
                Err(problem) if self.world.now >= end => {
                    return Err(format!("not well after {BOUND:?}: {problem}"));
                }
                Err(_) => {}
            }
        }
    }

    /// All registrars know the same, which is what lives.
    fn is_well(&self) -> Result<(), String> {
        let mut expected: BTreeSet<(PoolHandle, PeId)> = BTreeSet::new();
        for element in self.elements.iter().filter(|element| self.world.is_alive(element.host)) {
            expected.insert((handle(element.pool), PeId(element.id)));
        }
        let homes: BTreeSet<u32> = self.registrars.iter().map(|registrar| registrar.id).collect();
        let mut tables: Vec<(u32, Table)> = Vec::new();
        for registrar in &self.registrars {
            let core = self.world.registrar(registrar.host).ok_or("a registrar is dead")?;
            if !core.is_running() {
                return Err(format!(
                    "registrar {:08x} has not started: {}",
                    registrar.id,
                    self.world.describe(registrar.host)
                ));
            }
            let space = core.handlespace();
            let mut table = BTreeMap::new();
            for key in space.elements_after(None) {
                let Some(element) = space.get(key) else { continue };
                let (name, home) =
                    ((element.handle().clone(), element.info().id), element.info().home);
                if home.0 == registrar.id && element.owner().is_none() {
                    return Err(format!("nobody leads to {name:?} at its home {home}"));
                }
                table.insert(name, home);
            }
            tables.push((registrar.id, table));
        }
        for (id, table) in &tables {
            for (name, home) in table {
                if !expected.contains(name) {
                    return Err(format!("{id:08x} knows {name:?} of {home}, which is dead"));
                }
                if !homes.contains(&home.0) {
                    return Err(format!("{id:08x} knows {name:?} with the dead home {home}"));
                }
            }
            if let Some(missing) = expected.iter().find(|name| !table.contains_key(name)) {
                return Err(format!("{id:08x} does not know {missing:?}"));
            }
        }
        if let Some(((a, first), (b, other))) =
            tables.first().and_then(|one| Some((one, tables.iter().find(|t| t.1 != one.1)?)))
        {
            let differs = first.iter().find(|(name, home)| other.get(name) != Some(home));
            return Err(format!("{a:08x} and {b:08x} disagree: {differs:?}"));
        }
        match self.users.iter().find(|user| !user.open.is_empty()) {
            Some(user) => Err(format!("a user waits on {:?}", user.host)),
            None => Ok(()),
        }
    }

    /// What all registrars know in the end, and how much happened until then.
    fn digest(&self) -> u64 {
        use std::hash::{DefaultHasher, Hash, Hasher};

        let mut hasher = DefaultHasher::new();
        self.world.steps().hash(&mut hasher);
        for registrar in &self.registrars {
            let Some(core) = self.world.registrar(registrar.host) else { continue };
            for key in core.handlespace().elements_after(None) {
                let Some(element) = core.handlespace().get(key) else { continue };
                (element.info().id.0, element.info().home.0).hash(&mut hasher);
            }
        }
        hasher.finish()
    }
}

fn handle(pool: &str) -> PoolHandle {
    PoolHandle::new(pool).expect("pool handles of a life are short")
}
