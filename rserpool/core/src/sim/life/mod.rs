//! One random life of a scope, from its seed: who is there, what goes wrong, and whether all is
//! well afterwards.

mod calm;
mod faults;
mod members;
mod truth;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use rand::RngExt;
use rserpool_wire::{PoolHandle, ServerId};
use sctp_user_core::{Duration, Time};

use super::machine::Noticed;
use super::net::HostId;
use super::world::World;
use crate::asap::{AsapEvent, RequestId};
use crate::channel::Protocol;
use crate::registrar::RegistrarEvent;
use truth::Forgetful;

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
    /// Packets of a host take long.
    Slow,
    /// Packets of a host get lost.
    Lossy,
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
    /// An element answers keep-alives, but does not renew its registration.
    ElementForgetful,
    /// A user is stopped for a while.
    UserStopped,
    /// A user starts again.
    UserRestarted,
    /// Somebody who does not belong to the scope sends all kinds of messages.
    Stranger,
    /// An element is killed while all is well otherwise.
    CalmRemoval,
    /// A registrar is killed while all is well otherwise.
    CalmTakeover,
    /// A registrar is taken over.
    Takeover,
    /// A registrar gives an element up to another one that claims it.
    Yielded,
    /// Registrars find each other by multicast.
    Multicast,
    /// Hundreds of members.
    Large,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 26] = [
        Kind::RegistrarKilled,
        Kind::RegistrarSilent,
        Kind::RegistrarQuit,
        Kind::RegistrarSameId,
        Kind::RegistrarOtherId,
        Kind::RegistrarStopped,
        Kind::DuplicateId,
        Kind::Slow,
        Kind::Lossy,
        Kind::Cut,
        Kind::OneWayCut,
        Kind::Partition,
        Kind::ElementKilled,
        Kind::ElementSilent,
        Kind::ElementRestarted,
        Kind::ElementStopped,
        Kind::ElementForgetful,
        Kind::UserStopped,
        Kind::UserRestarted,
        Kind::Stranger,
        Kind::CalmRemoval,
        Kind::CalmTakeover,
        Kind::Takeover,
        Kind::Yielded,
        Kind::Multicast,
        Kind::Large,
    ];
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
/// How long all may take to be well after the last fault: longer than a registration that is
/// renewed every 30 s, a takeover that begins anew, and the pauses between audits.
const BOUND: Duration = Duration::from_secs(150);
/// More steps than any life needs.
const MAX_STEPS: u64 = 3_000_000;

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
    /// Who has taken over whom: where it was told, the dead one, and the one that has its elements.
    takeovers: Vec<(HostId, ServerId, ServerId)>,
    strangers: Vec<HostId>,
    problem: Option<String>,
}

struct Registrar {
    host: HostId,
    id: u32,
    stopped_until: Option<Time>,
    /// It is dead for good.
    gone: bool,
}

struct Element {
    host: HostId,
    pool: &'static str,
    id: u32,
    registrars: Vec<usize>,
    stopped_until: Option<Time>,
    /// It does not renew its registration.
    forgetful: bool,
}

struct User {
    host: HostId,
    pool: &'static str,
    open: BTreeSet<RequestId>,
    stopped_until: Option<Time>,
}

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
            takeovers: Vec::new(),
            strangers: Vec::new(),
            problem: None,
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
        let large = self.chance(0.015);
        if large {
            self.count(Kind::Large);
        }
        let registrars = self.rng().random_range(1..=7);
        for _ in 0..registrars {
            let host = self.world.add_host(&[(3863, Protocol::Asap), (9901, Protocol::Enrp)]);
            let id = self.new_id();
            self.registrars.push(Registrar { host, id, stopped_until: None, gone: false });
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
        self.change_in_calm()?;
        // And it stays well.
        self.pass(Duration::from_secs(40))?;
        self.is_well(Forgetful::Perhaps)
            .map_err(|problem| format!("not well for long: {problem}"))?;
        self.report.steps = self.world.steps();
        self.report.time = self.world.now.since(Time::ZERO);
        self.report.digest = self.digest();
        Ok(self.report)
    }

    // Time.

    fn pass(&mut self, time: Duration) -> Result<(), String> {
        let end = self.world.now + time;
        loop {
            let stops = self.registrars.iter().map(|r| r.stopped_until);
            let stops = stops.chain(self.elements.iter().map(|e| e.stopped_until));
            let stops = stops.chain(self.users.iter().map(|u| u.stopped_until));
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
                if let Some(problem) = self.problem.take() {
                    return Err(problem);
                }
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
        for user in &mut self.users {
            if user.stopped_until.take_if(|at| *at <= now).is_some() {
                hosts.push(user.host);
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
                Noticed::Session(event) => format!("{at} host {}: {event:?}", host.0),
            });
            match noticed {
                Noticed::Asap(AsapEvent::Resolved { request, .. }) => {
                    if let Some(user) = self.users.iter_mut().find(|user| user.host == host) {
                        user.open.remove(&request);
                    }
                }
                Noticed::Registrar(event) => self.hear_registrar(host, event),
                _ => {}
            }
        }
    }

    fn hear_registrar(&mut self, host: HostId, event: RegistrarEvent) {
        match event {
            RegistrarEvent::TookOver { target, .. } => {
                self.count(Kind::Takeover);
                let by = self.world.registrar(host).map(|core| core.server_id());
                self.takeovers.extend(by.map(|by| (host, target, by)));
            }
            RegistrarEvent::TakenOverBy { target, by } => {
                self.takeovers.push((host, target, by));
            }
            RegistrarEvent::Yielded { pool, id, to } => {
                self.count(Kind::Yielded);
                // What is given up is known from then on as the other one's.
                let core = self.world.registrar(host);
                let known = core.is_none_or(|core| core.handlespace().find(&pool, id).is_some());
                if !known && self.problem.is_none() {
                    self.problem = Some(format!("{pool} {id} was yielded to {to} and forgotten"));
                }
            }
            _ => {}
        }
    }
}

fn handle(pool: &str) -> PoolHandle {
    PoolHandle::new(pool).expect("pool handles of a life are short")
}
