//! A registrar that is fed with anything: messages, datagrams, ends of associations, time.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rserpool_wire::numbers::ppid;
use rserpool_wire::{AsapMessage, EnrpMessage, ServerId};
use sctp_user_core::{Encap, Peer, Time};

use crate::channel::{ChannelId, ConnectFailure, Core, Input, Output, Protocol};
use crate::reach::Reach;
use crate::registrar::{EnrpConfig, Local, RegistrarConfig, RegistrarCore};

/// Who may have an association: addresses and SCTP port. They are those of the seeds.
const PEERS: [(&[&str], u16); 6] = [
    (&["10.1.0.11", "fd00:10:1::11"], 5000),
    (&["10.1.0.21"], 5000),
    (&["127.0.0.1"], 5001),
    (&["10.1.0.1"], 9901),
    (&["10.1.0.21"], 7001),
    (&["10.1.0.2"], 9901),
];
/// From this peer on they are registrars.
const FIRST_REGISTRAR: usize = 3;
/// The identifier of the registrar.
pub(super) const OWN: ServerId = ServerId(0x2222_2222);
/// Inputs that are taken; more take too long.
const MAX_STEPS: usize = 400;
/// What follows from one input, at most: outputs and their bytes.
const MAX_OUTPUTS: usize = 300;
const MAX_BYTES: usize = 1 << 20;
/// Timeouts in a row while 65 s pass, at most.
const MAX_TIMEOUTS: usize = 20_000;

/// What a step of the input is.
pub(super) mod step {
    pub(crate) const UP: u8 = 0;
    pub(crate) const DOWN: u8 = 1;
    /// Peer, length (two bytes), message.
    pub(crate) const MESSAGE: u8 = 2;
    /// Length (two bytes), datagram.
    pub(crate) const DATAGRAM: u8 = 3;
    /// Milliseconds (two bytes).
    pub(crate) const PASS: u8 = 4;
    /// An attempt to connect fails.
    pub(crate) const FAIL: u8 = 5;
    /// An attempt to connect succeeds; with whom.
    pub(crate) const SUCCEED: u8 = 6;
    /// Peer, protocol (four bytes), length (two bytes), message.
    pub(crate) const OTHER_PROTOCOL: u8 = 7;
    pub(crate) const CONGESTED: u8 = 8;
    pub(crate) const MEASURED: u8 = 9;
    /// Peer, and the peer that has its addresses.
    pub(crate) const PEER_CHANGED: u8 = 10;
    pub(crate) const COUNT: u8 = 11;
}

struct Bench {
    core: RegistrarCore,
    now: Time,
    /// The association of each peer that has one.
    up: [Option<ChannelId>; PEERS.len()],
    next: u64,
    /// All that are up, also those that the registrar opened, and attempts.
    living: BTreeSet<ChannelId>,
    attempts: Vec<(ChannelId, Protocol)>,
}

/// Takes steps out of the bytes. After each the registrar is whole, and what it wants done is
/// bounded.
pub(super) fn run(data: &[u8]) {
    let mut bench = Bench::new();
    let mut input = Bytes(data);
    for _ in 0..MAX_STEPS {
        if input.0.is_empty() {
            break;
        }
        bench.step(&mut input);
    }
    // When everybody has gone, so has what they registered, within a while.
    for channel in std::mem::take(&mut bench.living) {
        if !bench.attempts.iter().any(|(attempt, _)| *attempt == channel) {
            bench.handle(Input::Down { channel });
        }
    }
    bench.pass(Duration::from_secs(65));
    let space = bench.core.handlespace();
    let owned = space.elements_of_home(OWN).filter_map(|key| space.get(key));
    for owner in owned.filter_map(|element| element.owner()) {
        let channel = ChannelId::from_u64(owner);
        assert!(bench.living.contains(&channel), "an element of {channel}, which has ended");
    }
}

impl Bench {
    fn new() -> Self {
        let config = RegistrarConfig {
            server_id: Some(OWN),
            announce: None,
            keep_alive_interval: Duration::from_millis(2000),
            keep_alive_timeout: Duration::from_millis(1000),
            max_elements: 12,
            max_elements_per_association: 8,
            max_pools: 4,
            max_associations: 8,
            max_associations_per_address: 3,
            enrp: Some(EnrpConfig { max_peers: 3, announce: None, ..EnrpConfig::default() }),
            ..RegistrarConfig::default()
        };
        let reach = Reach { native: true, udp: true };
        let local = Local { reach, enrp_port: 9901, ..Local::default() };
        let core = RegistrarCore::new(config, local, [5; 32], Time::ZERO).expect("it is valid");
        let (living, attempts) = (BTreeSet::new(), Vec::new());
        Bench { core, now: Time::ZERO, up: [None; PEERS.len()], next: 0, living, attempts }
    }

    fn step(&mut self, input: &mut Bytes<'_>) {
        match input.u8() % step::COUNT {
            step::UP => {
                let who = input.peer();
                self.next += 1;
                let channel = ChannelId::incoming(self.next);
                if let Some(slot) = self.up.get_mut(who) {
                    // The one before lives on; nobody speaks over it any more.
                    *slot = Some(channel);
                }
                self.up(channel, protocol_of(who), who);
            }
            step::DOWN => {
                let who = input.peer();
                if let Some(channel) = self.up.get_mut(who).and_then(Option::take) {
                    self.living.remove(&channel);
                    self.handle(Input::Down { channel });
                }
            }
            step::MESSAGE => {
                let (who, data) = (input.peer(), input.sized());
                self.message(who, protocol_of(who).ppid(), data);
            }
            step::OTHER_PROTOCOL => {
                let (who, ppid) = (input.peer(), input.u32());
                let data = input.sized();
                self.message(who, ppid, data);
            }
            step::DATAGRAM => {
                let data = input.sized();
                let from = SocketAddr::new([10, 1, 0, 2].into(), 9901);
                self.handle(Input::Datagram { protocol: Protocol::Enrp, from, data });
            }
            step::PASS => self.pass(Duration::from_millis(input.u16().into())),
            step::FAIL => {
                if let Some((channel, _)) = self.attempts.pop() {
                    self.living.remove(&channel);
                    self.handle(Input::Failed { channel, failure: ConnectFailure::TimedOut });
                }
            }
            step::SUCCEED => {
                let who = input.peer();
                if let Some((channel, protocol)) = self.attempts.pop() {
                    if let Some(slot) = self.up.get_mut(who) {
                        *slot = Some(channel);
                    }
                    self.up(channel, protocol, who);
                }
            }
            step::CONGESTED => {
                let who = input.peer();
                if let Some(channel) = self.channel(who) {
                    self.handle(Input::Congested { channel });
                }
            }
            step::MEASURED => {
                let (who, rtt) = (input.peer(), Duration::from_millis(input.u16().into()));
                if let Some(channel) = self.channel(who) {
                    self.handle(Input::Measured { channel, rtt });
                }
            }
            _ => {
                let (who, whose) = (input.peer(), input.peer());
                if let Some(channel) = self.channel(who) {
                    self.handle(Input::PeerChanged { channel, peer: peer(whose) });
                }
            }
        }
    }

    fn channel(&self, who: usize) -> Option<ChannelId> {
        self.up.get(who).copied().flatten().filter(|channel| self.living.contains(channel))
    }

    fn up(&mut self, channel: ChannelId, protocol: Protocol, who: usize) {
        self.living.insert(channel);
        let (peer, local, local_port) =
            (peer(who), vec![[10, 1, 0, 100].into()], protocol.default_port());
        self.handle(Input::Up { channel, protocol, peer, local, local_port });
    }

    fn message(&mut self, who: usize, ppid: u32, data: &[u8]) {
        if let Some(channel) = self.channel(who) {
            self.handle(Input::Message { channel, ppid, data });
        }
    }

    /// Lets time pass, with every timeout at its very moment.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        let mut rounds = 0;
        while let Some(next) = self.core.poll_timeout().filter(|next| *next <= end) {
            rounds += 1;
            assert!(rounds < MAX_TIMEOUTS, "time does not go on");
            self.now = next.max(self.now);
            self.handle(Input::Timeout);
        }
        self.now = end;
    }

    fn handle(&mut self, input: Input<'_>) {
        self.core.handle(self.now, input);
        let (mut count, mut bytes) = (0, 0);
        while let Some(output) = self.core.poll_output() {
            count += 1;
            match output {
                Output::Connect { channel, protocol, ways } => {
                    assert!(!ways.is_empty(), "somewhere to connect to");
                    assert!(self.living.insert(channel), "a name is used twice");
                    self.attempts.push((channel, protocol));
                }
                Output::Send { ppid, data, .. } => {
                    bytes += data.len();
                    let valid = match ppid {
                        ppid::ASAP => AsapMessage::decode(&data).is_ok(),
                        ppid::ENRP => EnrpMessage::decode(&data).is_ok(),
                        _ => false,
                    };
                    assert!(valid, "what is sent can be read: {data:02x?}");
                }
                Output::Abort { channel, .. } => {
                    self.living.remove(&channel);
                    self.attempts.retain(|(attempt, _)| *attempt != channel);
                }
                Output::Multicast { data, .. } => bytes += data.len(),
                Output::Event(event) => {
                    let line = event.to_string();
                    assert!(line.len() < 400 && !line.contains(char::is_control), "{line}");
                }
                Output::Shutdown { .. } | Output::Watch { .. } | Output::Suspect { .. } => {}
            }
        }
        assert!(count <= MAX_OUTPUTS && bytes <= MAX_BYTES, "{count} outputs, {bytes} bytes");
        let stats = self.core.stats();
        assert!(stats.pool_elements <= 12 && stats.peers <= 3, "{stats:?}");
        if let Err(problem) = self.core.handlespace().verify() {
            panic!("the handlespace is not whole: {problem:?}");
        }
    }
}

fn protocol_of(who: usize) -> Protocol {
    if who < FIRST_REGISTRAR { Protocol::Asap } else { Protocol::Enrp }
}

fn peer(who: usize) -> Peer {
    let (addrs, port) = PEERS.get(who).copied().unwrap_or((&[], 0));
    let encap = Encap::Udp { remote_port: 9899 };
    let addr = |text: &&str| Some((text.parse::<IpAddr>().ok()?, encap));
    Peer { addrs: addrs.iter().filter_map(addr).collect(), port }
}

/// The bytes that are left. Reading past the end gives zeros.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn u8(&mut self) -> u8 {
        let Some((&byte, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        byte
    }

    fn u16(&mut self) -> u16 {
        u16::from_be_bytes([self.u8(), self.u8()])
    }

    fn u32(&mut self) -> u32 {
        u32::from(self.u16()) << 16 | u32::from(self.u16())
    }

    fn peer(&mut self) -> usize {
        usize::from(self.u8()) % PEERS.len()
    }

    /// A length and so many bytes.
    fn sized(&mut self) -> &'a [u8] {
        let len = usize::from(self.u16());
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }
}
