//! Registrars that replace each other, over the simulated network.

use rserpool_wire::{
    EnrpBody, EnrpMessage, HandleTableResponse, HandleUpdate, Life, PoolHandle, Presence,
    UpdateAction,
};
use sctp_user_core::socket::EndReason;
use sctp_user_core::{Duration, LossReason};

use super::*;
use crate::asap::{AsapConfig, AsapCore, AsapEvent, OwnElement};
use crate::channel::ConnectFailure;
use crate::reach::Reach;
use crate::sim::{HostId, Machine, Noticed, World};

pub(super) const REACH: Reach = Reach { native: false, udp: true };

/// A scope of registrars that know each other, and its elements.
pub(super) struct Scope {
    pub(super) world: World,
    pub(super) registrars: Vec<HostId>,
    pub(super) elements: Vec<HostId>,
    noticed: Vec<(Time, HostId, Noticed)>,
}

impl Scope {
    /// Registrars with the identifiers 1, 2, ..., each of which knows all others by configuration.
    pub(super) fn new(registrars: usize) -> Self {
        Scope::with(registrars, |_| {})
    }

    pub(super) fn with(registrars: usize, change: impl Fn(&mut RegistrarConfig)) -> Self {
        let mut world = World::new(7);
        let ports = [(3863, Protocol::Asap), (9901, Protocol::Enrp)];
        let hosts: Vec<HostId> = (0..registrars).map(|_| world.add_host(&ports)).collect();
        let (elements, noticed) = (Vec::new(), Vec::new());
        let mut scope = Scope { world, registrars: hosts, elements, noticed };
        for index in 0..registrars {
            scope.start(index, index as u32 + 1, &change);
        }
        scope.pass(2000);
        scope
    }

    pub(super) fn start(&mut self, index: usize, id: u32, change: impl Fn(&mut RegistrarConfig)) {
        let host = self.registrars[index];
        let others = self.registrars.iter().filter(|other| **other != host);
        let peers = others.map(|other| self.world.peer(*other, 9901)).collect();
        let mut config = RegistrarConfig {
            server_id: Some(ServerId(id)),
            announce: None,
            enrp: Some(EnrpConfig::with_peers(peers)),
            ..RegistrarConfig::default()
        };
        change(&mut config);
        let local = Local { reach: REACH, enrp_port: 9901, ..Local::default() };
        let core = RegistrarCore::new(config, local, [id as u8; 32], self.world.now).unwrap();
        self.world.start(host, Machine::Registrar(Box::new(core)));
    }

    /// An element with this identifier in the pool "pool", which knows only one registrar.
    pub(super) fn element(&mut self, id: u32, registrar: usize) -> HostId {
        let port = 5000;
        let host = self.world.add_host(&[(port, Protocol::Asap)]);
        let config = AsapConfig {
            announce: None,
            registrars: vec![self.world.peer(self.registrars[registrar], 3863)],
            ..AsapConfig::default()
        };
        let mut core = AsapCore::new(self.world.now, config, REACH, [id as u8; 32]);
        core.register(
            self.world.now,
            OwnElement {
                pool: handle("pool"),
                id: PeId(id),
                policy: Policy::RoundRobin,
                port: 7,
                addrs: Vec::new(),
                transport_use: TransportUse::DataControl,
                udp_port: None,
                life: Life(90_000),
                interval: Duration::from_secs(30),
            },
        );
        self.world.start(host, Machine::Asap(Box::new(core)));
        self.elements.push(host);
        host
    }

    /// A user that knows these registrars.
    pub(super) fn user(&mut self, registrars: &[usize]) -> HostId {
        let host = self.world.add_host(&[]);
        let peer = |index: &usize| self.world.peer(self.registrars[*index], 3863);
        let registrars = registrars.iter().map(peer).collect();
        let core = AsapCore::new(
            self.world.now,
            AsapConfig::with_registrars(registrars),
            REACH,
            [host.0 as u8; 32],
        );
        self.world.start(host, Machine::Asap(Box::new(core)));
        host
    }

    pub(super) fn pass(&mut self, millis: u64) {
        let end = self.world.now + ms(millis);
        while let Some(host) = self.world.step(end) {
            if let Some(registrar) = host.and_then(|host| self.world.registrar(host)) {
                registrar.handlespace().verify().unwrap();
            }
        }
        self.noticed.extend(std::iter::from_fn(|| self.world.poll_noticed()));
    }

    /// Lets time pass until something holds; how long that took.
    #[track_caller]
    pub(super) fn until(&mut self, limit: u64, holds: impl Fn(&Scope) -> bool) -> u64 {
        for passed in 0..limit {
            if holds(self) {
                return passed;
            }
            self.pass(1);
        }
        panic!("not within {limit} ms: {:?}", self.tables());
    }

    pub(super) fn core(&self, index: usize) -> &RegistrarCore {
        self.world.registrar(self.registrars[index]).unwrap()
    }

    /// What a registrar knows: elements with their homes.
    pub(super) fn table(&self, index: usize) -> Vec<(u32, u32)> {
        let space = self.core(index).handlespace();
        let all = space.elements_after(None).filter_map(|key| space.get(key));
        all.map(|element| (element.info().id.0, element.info().home.0)).collect()
    }

    pub(super) fn tables(&self) -> Vec<Vec<(u32, u32)>> {
        let alive = |index: &usize| self.world.is_alive(self.registrars[*index]);
        (0..self.registrars.len()).filter(alive).map(|index| self.table(index)).collect()
    }

    /// All living registrars know exactly these.
    pub(super) fn all_know(&self, expected: &[(u32, u32)]) -> bool {
        self.tables().iter().all(|table| table == expected)
    }

    pub(super) fn events(&self, index: usize) -> Vec<RegistrarEvent> {
        let of = |(_, host, noticed): &(Time, HostId, Noticed)| match noticed {
            Noticed::Registrar(event) if *host == self.registrars[index] => Some(event.clone()),
            _ => None,
        };
        self.noticed.iter().filter_map(of).collect()
    }

    pub(super) fn element_events(&self, host: HostId) -> Vec<AsapEvent> {
        let of = |(_, at, noticed): &(Time, HostId, Noticed)| match noticed {
            Noticed::Asap(event) if *at == host => Some(event.clone()),
            _ => None,
        };
        self.noticed.iter().filter_map(of).collect()
    }
}

#[test]
fn all_registrars_know_all_elements() {
    let mut scope = Scope::new(3);
    let started = |event: &RegistrarEvent| match event {
        RegistrarEvent::Started { mentor, .. } => Some(*mentor),
        _ => None,
    };
    let mentors: Vec<_> = (0..3).filter_map(|i| scope.events(i).iter().find_map(started)).collect();
    assert_eq!(mentors.len(), 3);
    assert!(mentors.iter().any(Option::is_some), "{mentors:?}");
    scope.element(11, 0);
    scope.element(12, 1);
    scope.element(13, 2);
    let took = scope.until(1000, |scope| scope.all_know(&[(11, 1), (12, 2), (13, 3)]));
    assert!(took < 100, "{took} ms");
    // And forget those that end.
    let gone = scope.elements[1];
    scope.world.quit(gone);
    let took = scope.until(1000, |scope| scope.all_know(&[(11, 1), (13, 3)]));
    assert!(took < 100, "{took} ms");
    // Nothing more is got: updates suffice.
    scope.pass(30_000);
    let audits: u64 = (0..3).map(|index| scope.core(index).stats().audits).sum();
    assert_eq!(audits, 0);
}

#[test]
fn a_registrar_that_starts_gets_everything_from_its_mentor() {
    let mut scope = Scope::new(2);
    let hosts = 300;
    for id in 1..=hosts {
        scope.element(100 + id, (id % 2) as usize);
    }
    scope.pass(2000);
    let expected = scope.table(0);
    assert_eq!(expected.len(), hosts as usize);
    let ports = [(3863, Protocol::Asap), (9901, Protocol::Enrp)];
    let host = scope.world.add_host(&ports);
    scope.registrars.push(host);
    scope.start(2, 3, |_| {});
    let took = scope.until(2000, |scope| scope.core(2).enrp.is_running());
    assert!(took < 500, "{took} ms");
    assert_eq!(scope.table(2), expected);
}

#[test]
fn a_registrar_that_stood_still_goes_on_and_nothing_is_lost() {
    let mut scope = Scope::new(3);
    scope.element(21, 2);
    scope.element(22, 0);
    scope.until(1000, |scope| scope.table(0).len() == 2);
    // Less than it takes to be given up.
    scope.world.stop(scope.registrars[2]);
    scope.pass(1000);
    scope.world.go_on(scope.registrars[2]);
    scope.pass(20_000);
    assert!(scope.all_know(&[(21, 3), (22, 1)]), "{:?}", scope.tables());
    let lost = |e: &RegistrarEvent| matches!(e, RegistrarEvent::PeerLost { .. });
    assert!(!scope.events(0).iter().any(lost));
}

#[test]
fn after_a_partition_all_agree_again_without_losing_an_element() {
    let mut scope = Scope::new(3);
    for (id, registrar) in [(21, 0), (22, 1), (23, 2)] {
        scope.element(id, registrar);
    }
    scope.until(1000, |scope| scope.table(0).len() == 3);
    // The elements reach everybody, but the third registrar hears no other one.
    let lonely = scope.registrars[2];
    for other in 0..2 {
        scope.world.net.cut(lonely, scope.registrars[other]);
    }
    scope.pass(20_000);
    assert!(scope.table(0).len() == 3 && scope.table(2).len() == 3, "{:?}", scope.tables());
    scope.world.net.heal_all();
    scope.until(60_000, |scope| {
        let tables = scope.tables();
        tables.iter().all(|table| *table == tables[0]) && tables[0].len() == 3
    });
    // And it stays like that.
    let agreed = scope.table(0);
    scope.pass(60_000);
    assert!(scope.all_know(&agreed), "{:?}", scope.tables());
    let updates = scope.core(0).stats().handle_updates_sent;
    assert!(updates < 60, "{updates} updates");
}

/// What somebody says who is no registrar changes nothing.
#[test]
fn strangers_are_not_believed() {
    let mut lab = Lab::with(|c| c.enrp = Some(EnrpConfig::with_peers(Vec::new())));
    let pe = lab.up(&["10.0.0.1"]);
    lab.register(pe, "pool", element(1)).unwrap();
    let known =
        lab.core.handlespace().get(lab.core.handlespace().find(&handle("pool"), PeId(1)).unwrap());
    let known = known.unwrap().info().clone();
    let channel = ChannelId::incoming(500);
    let (protocol, local, local_port) = (Protocol::Enrp, Vec::new(), 9901);
    let peer = peer(&["10.0.0.66"], Some(9899));
    lab.handle(Input::Up { channel, protocol, peer, local, local_port });
    let says = |lab: &mut Lab, body| {
        let message = EnrpMessage { sender: ServerId(66), receiver: SERVER, body };
        lab.bytes(channel, ppid::ENRP, &message.encode().unwrap());
    };
    for action in [UpdateAction::DelPe, UpdateAction::AddPe] {
        let stolen = PoolElement { home: ServerId(66), ..known.clone() };
        let update = HandleUpdate {
            takeover_suggested: true,
            action,
            pool: handle("pool"),
            element: stolen,
        };
        says(&mut lab, EnrpBody::HandleUpdate(update));
    }
    says(&mut lab, EnrpBody::InitTakeover(SERVER));
    says(&mut lab, EnrpBody::TakeoverServer(SERVER));
    let space = lab.core.handlespace();
    let element = space.get(space.find(&handle("pool"), PeId(1)).unwrap()).unwrap();
    assert_eq!((element.info().home, element.owner()), (SERVER, Some(pe.as_u64())));
    let unused: PoolHandle = handle("other");
    assert!(space.pool(&unused).is_none());
}

/// The end of an association that the other registrar shuts down is heard a moment before its ports
/// are free again.
#[test]
fn a_registrar_that_shuts_down_is_asked_again_soon() {
    let mut lab = Lab::with(|config| config.enrp = Some(EnrpConfig::with_peers(Vec::new())));
    let (channel, protocol) = (ChannelId::incoming(1), Protocol::Enrp);
    let (peer, local) = (peer(&["10.0.0.2"], Some(9899)), Vec::new());
    lab.handle(Input::Up { channel, protocol, peer, local, local_port: 9901 });
    let presence = Presence { reply_required: false, checksum: None, info: None };
    let (sender, body) = (ServerId(2), EnrpBody::Presence(presence));
    let message = EnrpMessage { sender, receiver: SERVER, body };
    lab.bytes(channel, ppid::ENRP, &message.encode().unwrap());
    assert!(lab.events().contains(&RegistrarEvent::PeerFound { server: sender }));
    let attempt = |lab: &mut Lab| {
        let connect = |output| match output {
            Output::Connect { channel, .. } => Some(channel),
            _ => None,
        };
        std::mem::take(&mut lab.outputs).into_iter().find_map(connect).expect("an attempt")
    };
    lab.down(channel);
    let channel = attempt(&mut lab);
    let failure = ConnectFailure::Other("the ports are in use".to_owned());
    lab.handle(Input::Failed { channel, failure });
    lab.pass(ms(50));
    let channel = attempt(&mut lab);
    let failure = ConnectFailure::Ended(EndReason::Lost(LossReason::ProtocolUnreachable));
    lab.handle(Input::Failed { channel, failure });
    assert!(lab.events().contains(&RegistrarEvent::PeerLost { server: sender }));
}

/// Somebody who tells nothing of the handlespace, as `hsdump`, is no mentor.
#[test]
fn a_mentor_that_refuses_is_replaced() {
    // It waits for others, as it listens to their group.
    let mut lab = Lab::with(|config| config.enrp = Some(EnrpConfig::default()));
    let answer = |rejected| {
        EnrpBody::HandleTableResponse(HandleTableResponse { rejected, more: false, pools: vec![] })
    };
    let first = meet(&mut lab, 2);
    assert_eq!(asked_for_tables(&mut lab), [first]);
    let second = meet(&mut lab, 3);
    assert_eq!(asked_for_tables(&mut lab), []);
    say(&mut lab, first, 2, answer(true));
    assert_eq!(asked_for_tables(&mut lab), [second]);
    assert!(!lab.core.is_running());
    say(&mut lab, second, 3, answer(false));
    assert!(lab.core.is_running());
}

/// Somebody used the identifier of a registrar while that one was not connected. As soon as there
/// is an association with the registrar itself, it counts again: over this association, and over
/// another one, as when calls cross.
#[test]
fn an_identifier_that_was_abused_goes_back_to_its_owner() {
    for crossed in [false, true] {
        let mut lab = Lab::with(|config| config.enrp = Some(EnrpConfig::with_peers(Vec::new())));
        let real = meet(&mut lab, 3);
        lab.down(real);
        let impostor = meet_at(&mut lab, ChannelId::incoming(66), 3, 66);
        lab.down(impostor);
        let connect = |output| match output {
            Output::Connect { channel, ways, .. } => Some((channel, ways)),
            _ => None,
        };
        let tried = std::mem::take(&mut lab.outputs).into_iter().filter_map(connect);
        let (channel, ways) = tried.last().unwrap();
        assert!(ways.contains(&peer(&["10.0.0.3"], Some(9899))), "{ways:?}");
        enrp_up(&mut lab, channel, 3);
        let heard_over = match crossed {
            true => ChannelId::incoming(67),
            false => channel,
        };
        if crossed {
            enrp_up(&mut lab, heard_over, 3);
        }
        let presence = Presence { reply_required: false, checksum: None, info: None };
        say(&mut lab, heard_over, 3, EnrpBody::Presence(presence));
        let (server, events) = (ServerId(3), lab.events());
        let doubted = |e: &RegistrarEvent| matches!(e, RegistrarEvent::DuplicateServer { .. });
        assert!(!events.iter().any(doubted), "{events:?}");
        // It is taken at its word from now on.
        lab.pass(ms(2000));
        say(&mut lab, heard_over, 3, EnrpBody::ListRequest);
        lab.pass(ms(1400));
        assert!(!lab.events().contains(&RegistrarEvent::PeerLost { server }));
    }
}

/// A registrar that stood still reads old messages first, and tells all that an element is its own.
/// Those that believed it, as the element is not theirs, hear the truth at once.
#[test]
fn all_hear_that_a_claim_was_wrong() {
    let mut lab = Lab::with(|config| config.enrp = Some(EnrpConfig::with_peers(Vec::new())));
    let pe = lab.up(&["10.0.0.1"]);
    lab.register(pe, "pool", element(1)).unwrap();
    let channels = [2, 3].map(|id| meet(&mut lab, id));
    let asap_transport = Some(SctpTransport::data_only(5000, vec![[10, 0, 0, 1].into()]));
    let element = PoolElement { home: ServerId(2), asap_transport, ..element(1) };
    let (action, pool) = (UpdateAction::AddPe, handle("pool"));
    let update = HandleUpdate { takeover_suggested: false, action, pool, element };
    say(&mut lab, channels[0], 2, EnrpBody::HandleUpdate(update));
    lab.outputs.clear();
    lab.ack(pe, "pool", 1);
    let told = std::mem::take(&mut lab.outputs).into_iter().filter_map(|output| match output {
        Output::Send { channel, ppid: ppid::ENRP, data } => {
            let body = EnrpMessage::decode(&data).unwrap().body;
            let EnrpBody::HandleUpdate(update) = body else { return None };
            assert_eq!((update.action, update.element.home), (UpdateAction::AddPe, SERVER));
            Some(channel)
        }
        _ => None,
    });
    assert_eq!(told.collect::<Vec<_>>(), channels);
}

/// The registrar with an identifier from 2 to 9 is there.
pub(super) fn meet(lab: &mut Lab, id: u32) -> ChannelId {
    meet_at(lab, ChannelId::incoming(id.into()), id, id)
}

/// Somebody at 10.0.0.`host` says to be a registrar.
pub(super) fn meet_at(lab: &mut Lab, channel: ChannelId, id: u32, host: u32) -> ChannelId {
    enrp_up(lab, channel, host);
    let presence = Presence { reply_required: false, checksum: None, info: None };
    say(lab, channel, id, EnrpBody::Presence(presence));
    channel
}

/// An association with 10.0.0.`host` is up.
pub(super) fn enrp_up(lab: &mut Lab, channel: ChannelId, host: u32) {
    let (peer, local) = (peer(&[&format!("10.0.0.{host}")], Some(9899)), Vec::new());
    let protocol = Protocol::Enrp;
    lab.handle(Input::Up { channel, protocol, peer, local, local_port: 9901 });
}

/// The attempts to set associations with elements up.
pub(super) fn asap_attempts(lab: &mut Lab) -> Vec<ChannelId> {
    let attempt = |output| match output {
        Output::Connect { channel, protocol: Protocol::Asap, .. } => Some(channel),
        _ => None,
    };
    std::mem::take(&mut lab.outputs).into_iter().filter_map(attempt).collect()
}

/// An attempt has led to an element at this address.
pub(super) fn asap_up(lab: &mut Lab, channel: ChannelId, addr: &str) {
    let (protocol, local, local_port) = (Protocol::Asap, Vec::new(), 3863);
    lab.handle(Input::Up { channel, protocol, peer: peer(&[addr], Some(9899)), local, local_port });
}

/// Where handle tables were asked for.
pub(super) fn asked_for_tables(lab: &mut Lab) -> Vec<ChannelId> {
    let request = |output| match output {
        Output::Send { channel, ppid: ppid::ENRP, data } => {
            let body = EnrpMessage::decode(&data).unwrap().body;
            matches!(body, EnrpBody::HandleTableRequest(_)).then_some(channel)
        }
        _ => None,
    };
    std::mem::take(&mut lab.outputs).into_iter().filter_map(request).collect()
}

pub(super) fn say(lab: &mut Lab, channel: ChannelId, sender: u32, body: EnrpBody) {
    let message = EnrpMessage { sender: ServerId(sender), receiver: SERVER, body };
    lab.bytes(channel, ppid::ENRP, &message.encode().unwrap());
}

/// Random lives; whoever wants more runs `scope-campaign`.
#[test]
fn a_thousand_random_lives_end_well() {
    const LIVES: u64 = 1000;
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
    std::thread::scope(|scope| {
        for first in 0..threads {
            scope.spawn(move || {
                for seed in (first..LIVES).step_by(threads as usize) {
                    if let Err(problem) = crate::sim::live(seed) {
                        panic!("seed {seed}: {problem}");
                    }
                }
            });
        }
    });
}
