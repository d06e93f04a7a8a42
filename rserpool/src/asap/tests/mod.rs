//! The ASAP core in virtual time, against a scripted registrar.

mod elements;
mod hunt;
mod pools;
mod random;

use rserpool_wire::{
    DeregistrationResponse, EndpointKeepAlive, EndpointKeepAliveAck, HandleResolutionResponse,
    Life, RegistrationResponse, Resolution, SctpTransport, ServerId, Transport, TransportUse,
};
use sctp_user::{Encap, EndReason, LossReason, NoRoute};

use super::*;

/// A core with its clock, and what it wanted so far.
struct Bench {
    core: AsapCore,
    now: Time,
}

const SEED: [u8; 32] = [7; 32];

fn no_route() -> sctp_user::Error {
    sctp_user::Error::Ended(EndReason::Lost(LossReason::NoRoute(NoRoute::Network)))
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
        Bench { core: AsapCore::new(now, config, registrars.to_vec(), SEED), now }
    }

    /// All outputs so far.
    fn outputs(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.core.poll_output()).collect()
    }

    /// The attempts to connect among the outputs so far, in order.
    fn connects(&mut self) -> Vec<(AssocKey, Peer)> {
        let connect = |o| match o {
            Output::Connect { assoc, peer } => Some((assoc, peer)),
            _ => None,
        };
        self.outputs().into_iter().filter_map(connect).collect()
    }

    /// The messages among the outputs so far; anything but messages, events and the end of a hunt
    /// fails the test.
    fn sent(&mut self) -> Vec<AsapMessage> {
        let message = |o| match o {
            Output::Send { message, .. } => Some(AsapMessage::decode(&message).unwrap()),
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
            self.core.handle_timeout(self.now);
        }
        self.now = end;
    }

    /// Connects with the first registrar that is tried.
    fn up(&mut self) -> AssocKey {
        let (assoc, _) = self.connects()[0];
        self.core.handle_up(self.now, assoc, local());
        assoc
    }

    /// An attempt fails, which is told before anything comes of it.
    fn failed(&mut self, assoc: AssocKey) {
        self.core.handle_failed(self.now, assoc, no_route());
        match self.core.poll_output() {
            Some(Output::Event(AsapEvent::Unreachable { error, .. })) => {
                assert_eq!(error, Error::Sctp(no_route()));
            }
            other => panic!("{other:?}"),
        }
    }

    fn receive(&mut self, assoc: AssocKey, message: AsapMessage) {
        self.core.handle_message(self.now, assoc, &message.encode().unwrap());
    }

    fn register(&mut self, id: u32, policy: Policy) {
        self.core.register(self.now, own(id, policy));
    }

    /// A core with a registered element 1.
    fn registered(registrars: &[Peer], policy: Policy) -> (Self, AssocKey) {
        let mut bench = Bench::new(registrars);
        bench.register(1, policy);
        let assoc = bench.up();
        assert_eq!(registrations(&bench.sent()), [1]);
        bench.receive(assoc, accepted(1));
        assert_eq!(bench.outputs(), [Output::Event(AsapEvent::Registered { id: PeId(1) })]);
        (bench, assoc)
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

fn ack(assoc: AssocKey, id: u32) -> Output {
    let ack =
        AsapMessage::EndpointKeepAliveAck(EndpointKeepAliveAck { pool: pool(), id: PeId(id) });
    Output::Send { assoc, message: ack.encode().unwrap() }
}

fn is_lost(outputs: &[Output]) -> bool {
    outputs.contains(&Output::Event(AsapEvent::RegistrarLost))
}
