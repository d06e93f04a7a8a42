//! The ASAP core in virtual time, against a scripted registrar.

mod claims;
mod elements;
mod hunt;
mod others;
mod pools;
mod random;
mod registrars;
mod subscriptions;

use bytes::Bytes;
use rserpool_wire::{
    CauseCode, Deregistration, EndpointUnreachable, HandleResolution, Policy, PoolHandle,
    Registration, ServerAnnounce,
};
use rserpool_wire::{
    DeregistrationResponse, EndpointKeepAlive, EndpointKeepAliveAck, HandleResolutionResponse,
    Life, RegistrationResponse, Resolution, SctpTransport, ServerId, Transport, TransportUse,
};
use sctp_user_core::socket::EndReason;
use sctp_user_core::{Duration, Encap, LossReason, NoRoute};

use super::claims::MAX_INCOMING;
use super::home::MAX_LOSSES;
use super::requests::MAX_REQUESTS;
use super::*;

/// A core with its clock, and what it wanted so far.
struct Bench {
    core: AsapCore,
    now: Time,
    next_incoming: u64,
    /// Where the core connects to.
    ways: BTreeMap<ChannelId, Peer>,
}

const SEED: [u8; 32] = [7; 32];

/// What the stack of the core can send.
const REACH: Reach = Reach { native: false, udp: true };

fn no_route() -> ConnectFailure {
    ConnectFailure::Ended(EndReason::Lost(LossReason::NoRoute(NoRoute::Network)))
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn registrar(last: u8) -> Peer {
    Peer::new([10, 0, 0, last].into(), Encap::Udp { remote_port: 9899 }, 3863)
}

fn local() -> Vec<IpAddr> {
    vec![[10, 0, 0, 200].into()]
}

fn pool() -> PoolHandle {
    PoolHandle::new("pool").unwrap()
}

fn own(id: u32, policy: Policy) -> OwnElement {
    OwnElement {
        pool: pool(),
        id: PeId(id),
        policy,
        port: 7000,
        addrs: Vec::new(),
        transport_use: TransportUse::DataControl,
        udp_port: None,
        life: Life(90_000),
        interval: ms(30_000),
    }
}

/// An element as a registrar names it.
fn element(id: u32) -> PoolElement {
    let transport =
        SctpTransport { port: 7000, transport_use: TransportUse::DataControl, addrs: local() };
    PoolElement {
        id: PeId(id),
        home: ServerId(1),
        life: Life(90_000),
        user_transport: Transport::Sctp(transport),
        policy: Policy::RoundRobin,
        asap_transport: None,
        udp_port: None,
    }
}

impl Bench {
    fn new(registrars: &[Peer]) -> Self {
        Self::with(AsapConfig::default(), registrars)
    }

    fn with(config: AsapConfig, registrars: &[Peer]) -> Self {
        let now = Time::from_millis(1000);
        let config = AsapConfig { registrars: registrars.to_vec(), ..config };
        Self::of(AsapCore::new(now, config, REACH, SEED), now)
    }

    fn of(core: AsapCore, now: Time) -> Self {
        Bench { core, now, next_incoming: 0, ways: BTreeMap::new() }
    }

    fn handle(&mut self, input: Input<'_>) {
        self.core.handle(self.now, input);
    }

    /// An attempt succeeds.
    fn connected(&mut self, channel: ChannelId) {
        let peer = self.ways.get(&channel).cloned().unwrap_or(registrar(1));
        self.up_with(channel, peer);
    }

    fn up_with(&mut self, channel: ChannelId, peer: Peer) {
        let (protocol, local) = (Protocol::Asap, local());
        self.handle(Input::Up { channel, protocol, peer, local, local_port: 5000 });
    }

    /// A registrar that is not known opens an association.
    fn incoming(&mut self) -> ChannelId {
        self.incoming_from(registrar(100))
    }

    /// A registrar opens an association.
    fn incoming_from(&mut self, peer: Peer) -> ChannelId {
        self.next_incoming += 1;
        let channel = ChannelId::incoming(self.next_incoming);
        self.up_with(channel, peer);
        channel
    }

    fn down(&mut self, channel: ChannelId) {
        self.handle(Input::Down { channel });
    }

    /// A registrar announces itself from its ASAP port.
    fn announce(&mut self, last: u8) {
        self.announce_from([10, 0, 0, last]);
    }

    fn announce_from(&mut self, addr: [u8; 4]) {
        let announce =
            ServerAnnounce { server: ServerId(9), transports: Vec::new(), udp_port: None };
        let data = AsapMessage::ServerAnnounce(announce).encode().unwrap();
        let from = (addr, 3863).into();
        self.handle(Input::Datagram { protocol: Protocol::Asap, from, data: &data });
    }

    fn bytes(&mut self, channel: ChannelId, data: &[u8]) {
        self.handle(Input::Message { channel, ppid: ppid::ASAP, data });
    }

    /// All outputs so far.
    fn outputs(&mut self) -> Vec<Output> {
        let outputs: Vec<Output> = std::iter::from_fn(|| self.core.poll_output()).collect();
        for output in &outputs {
            if let Output::Connect { channel, ways, .. } = output {
                self.ways.insert(*channel, ways[0].clone());
            }
        }
        outputs
    }

    /// The attempts to connect among the outputs so far, in order.
    fn connects(&mut self) -> Vec<(ChannelId, Peer)> {
        connects_in(&self.outputs())
    }

    /// The messages among the outputs so far; anything but messages, events and the end of a hunt
    /// fails the test.
    fn sent(&mut self) -> Vec<AsapMessage> {
        let message = |o| match o {
            Output::Send { data, .. } => Some(AsapMessage::decode(&data).unwrap()),
            Output::Event(_) | Output::Abort { reason: "another registrar was faster", .. } => None,
            other => panic!("{other:?}"),
        };
        self.outputs().into_iter().filter_map(message).collect()
    }

    /// Lets time pass, serving all timeouts on the way.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.core.poll_timeout().filter(|at| *at <= end) {
            assert!(
                at >= self.now || self.now.since(at) < ms(1),
                "a timeout lies in the past: {at} at {}",
                self.now
            );
            self.now = self.now.max(at);
            self.handle(Input::Timeout);
        }
        self.now = end;
    }

    /// Connects with the first registrar that is tried.
    fn up(&mut self) -> ChannelId {
        let (channel, _) = self.connects()[0];
        self.connected(channel);
        channel
    }

    /// An attempt fails, which is told before anything comes of it.
    fn failed(&mut self, channel: ChannelId) {
        self.handle(Input::Failed { channel, failure: no_route() });
        match self.core.poll_output() {
            Some(Output::Event(AsapEvent::Unreachable { failure, .. })) => {
                assert_eq!(failure, no_route());
            }
            other => panic!("{other:?}"),
        }
    }

    fn receive(&mut self, channel: ChannelId, message: AsapMessage) {
        self.bytes(channel, &message.encode().unwrap());
    }

    fn register(&mut self, id: u32, policy: Policy) {
        self.core.register(self.now, own(id, policy));
    }

    /// A core with a registered element 1.
    fn registered(registrars: &[Peer], policy: Policy) -> (Self, ChannelId) {
        let mut bench = Bench::new(registrars);
        bench.register(1, policy);
        let channel = bench.up();
        assert_eq!(registrations(&bench.sent()), [1]);
        bench.receive(channel, accepted(1));
        assert_eq!(bench.outputs(), [Output::Event(AsapEvent::Registered { id: PeId(1) })]);
        (bench, channel)
    }
}

/// The elements that are registered by these messages.
fn registrations(messages: &[AsapMessage]) -> Vec<u32> {
    let id = |m: &AsapMessage| match m {
        AsapMessage::Registration(m) => m.element.id.0,
        other => panic!("{other:?}"),
    };
    messages.iter().map(id).collect()
}

fn response(id: u32, error: Option<CauseCode>) -> AsapMessage {
    AsapMessage::RegistrationResponse(RegistrationResponse {
        rejected: error.is_some(),
        pool: pool(),
        id: PeId(id),
        error: error.map(OperationError::new),
    })
}

fn accepted(id: u32) -> AsapMessage {
    response(id, None)
}

fn keep_alive(home: bool, id: Option<u32>) -> AsapMessage {
    AsapMessage::EndpointKeepAlive(EndpointKeepAlive {
        home,
        server: ServerId(9),
        pool: pool(),
        id: id.map(PeId),
    })
}

fn ack(channel: ChannelId, id: u32) -> Output {
    let ack =
        AsapMessage::EndpointKeepAliveAck(EndpointKeepAliveAck { pool: pool(), id: PeId(id) });
    Output::Send { channel, ppid: ppid::ASAP, data: ack.encode().unwrap() }
}

/// The attempts to connect among these outputs, in order.
fn connects_in(outputs: &[Output]) -> Vec<(ChannelId, Peer)> {
    let connect = |o: &Output| match o {
        Output::Connect { channel, ways, .. } => Some((*channel, ways[0].clone())),
        _ => None,
    };
    outputs.iter().filter_map(connect).collect()
}

/// The messages among these outputs, each with its association.
fn messages_in(outputs: &[Output]) -> Vec<(ChannelId, AsapMessage)> {
    let message = |o: &Output| match o {
        Output::Send { channel, data, .. } => Some((*channel, AsapMessage::decode(data).unwrap())),
        _ => None,
    };
    outputs.iter().filter_map(message).collect()
}

fn is_lost(outputs: &[Output]) -> bool {
    outputs.contains(&Output::Event(AsapEvent::RegistrarLost))
}
