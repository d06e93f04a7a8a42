//! Scopes of registrars on real stacks over a simulated network, with a paused clock.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use rserpool_core::asap::Resolver;
use rserpool_wire::numbers::ppid;
use rserpool_wire::{
    AsapMessage, EndpointKeepAlive, EndpointKeepAliveAck, Life, PeId, Policy, PoolElement,
    PoolHandle, Registration, SctpTransport, ServerId, Transport, TransportUse,
};
use sctp_user::link::sim::SimNet;
use sctp_user::{Association, Encap, Message, Peer, Stack, StackBuilder};
use tokio::time::Instant;

use crate::{EnrpConfig, Registrar, RegistrarConfig};

fn ip(last: u8) -> IpAddr {
    [10, 0, 0, last].into()
}

/// The registrar that it knows by name dies, and another one takes its name some time later.
#[tokio::test(start_paused = true)]
async fn a_name_that_gets_another_address_later_leads_there() {
    let net = SimNet::new(4);
    let start = |last: u8, enrp: EnrpConfig| {
        let link = net.link(&[ip(last)], 9899);
        let stack = StackBuilder::new().link(link).seed([last; 32]).build().unwrap();
        let config = RegistrarConfig {
            server_id: Some(ServerId(last.into())),
            announce: None,
            seed: Some([last; 32]),
            enrp: Some(enrp),
            ..RegistrarConfig::default()
        };
        let registrar = Registrar::start(&stack, config).unwrap();
        (stack, registrar)
    };
    let alone = || EnrpConfig::with_peers(Vec::new());
    let address = Arc::new(AtomicU8::new(2));
    let told = Arc::clone(&address);
    let resolver = Resolver::new(move || {
        let at = ip(told.load(Ordering::Relaxed));
        async move { vec![Peer::new(at, Encap::Udp { remote_port: 9899 }, 9901)] }
    });
    let (_stack, first) = start(1, EnrpConfig { resolver: Some(resolver), ..alone() });
    let knows = async |peers| {
        let start = Instant::now();
        while first.stats().peers != peers {
            assert!(start.elapsed() < Duration::from_secs(120), "{:?}", first.stats());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let (_old_stack, old) = start(2, alone());
    knows(1).await;
    drop(old);
    knows(0).await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    let (_new_stack, _new) = start(9, alone());
    address.store(9, Ordering::Relaxed);
    knows(1).await;
}

/// Registrars at 10.0.0.1, 10.0.0.2, ... with these numbers as identifiers.
struct Scope {
    net: SimNet,
    registrars: Vec<(Stack, Registrar)>,
}

impl Scope {
    async fn new(count: u8) -> Self {
        let net = SimNet::new(3);
        let registrars = (1..=count)
            .map(|this| {
                let stack = StackBuilder::new()
                    .link(net.link(&[ip(this)], 9899))
                    .seed([this; 32])
                    .build()
                    .unwrap();
                let others = (1..=count).filter(|other| *other != this);
                let peers = others
                    .map(|other| Peer::new(ip(other), Encap::Udp { remote_port: 9899 }, 9901));
                let config = RegistrarConfig {
                    server_id: Some(ServerId(this.into())),
                    announce: None,
                    seed: Some([this; 32]),
                    enrp: Some(EnrpConfig::with_peers(peers.collect())),
                    ..RegistrarConfig::default()
                };
                let registrar = Registrar::start(&stack, config).unwrap();
                (stack, registrar)
            })
            .collect();
        let scope = Scope { net, registrars };
        scope
            .until(|scope| {
                scope.registrars.iter().all(|(_, r)| r.stats().peers == usize::from(count) - 1)
            })
            .await;
        scope
    }

    async fn until(&self, holds: impl Fn(&Scope) -> bool) -> Duration {
        let start = Instant::now();
        while !holds(self) {
            assert!(start.elapsed() < Duration::from_secs(60), "not within a minute");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        start.elapsed()
    }

    fn elements(&self, registrar: usize) -> (usize, usize) {
        let stats = self.registrars[registrar].1.stats();
        (stats.pool_elements, stats.owned_pool_elements)
    }
}

/// A pool element that speaks ASAP by hand and knows one registrar only.
struct Element {
    _stack: Stack,
    endpoint: sctp_user::Endpoint,
    _home: Association,
}

impl Element {
    async fn register(scope: &Scope, last: u8, registrar: u8) -> Self {
        let addr = ip(last);
        let link = scope.net.link(&[addr], 9899);
        let stack = StackBuilder::new().link(link).seed([last; 32]).build().unwrap();
        let endpoint = stack.bind(5000).unwrap();
        endpoint.listen(4).unwrap();
        let peer = Peer::new(ip(registrar), Encap::Udp { remote_port: 9899 }, 3863);
        let home = endpoint.connect(&peer).await.unwrap();
        let transport =
            SctpTransport { port: 7, transport_use: TransportUse::DataControl, addrs: vec![addr] };
        let element = PoolElement {
            id: PeId(last.into()),
            home: ServerId::UNDEFINED,
            life: Life::INFINITE,
            user_transport: Transport::Sctp(transport),
            policy: Policy::RoundRobin,
            asap_transport: None,
            udp_port: None,
        };
        let pool = PoolHandle::new("pool").unwrap();
        let message = AsapMessage::Registration(Registration { pool, element }).encode().unwrap();
        home.send(Message::new(0, ppid::ASAP, message)).await.unwrap();
        let response = home.recv_message().await.unwrap().unwrap();
        match AsapMessage::decode(&response.data).unwrap() {
            AsapMessage::RegistrationResponse(m) => assert!(!m.rejected),
            other => panic!("{other:?}"),
        }
        Element { _stack: stack, endpoint, _home: home }
    }

    /// Waits for a new home and answers it; says which registrar that is.
    async fn new_home(&self) -> ServerId {
        let association = self.endpoint.accept().await.unwrap();
        let m = answer(&association).await.unwrap();
        assert!(m.home);
        // It goes on answering until the end of the test.
        tokio::spawn(async move { while answer(&association).await.is_some() {} });
        m.server
    }
}

/// Answers the next keep-alive.
async fn answer(association: &Association) -> Option<EndpointKeepAlive> {
    let message = association.recv_message().await.ok()??;
    let AsapMessage::EndpointKeepAlive(m) = AsapMessage::decode(&message.data).unwrap() else {
        panic!("no keep-alive")
    };
    let ack = EndpointKeepAliveAck { pool: m.pool.clone(), id: m.id.unwrap() };
    let ack = AsapMessage::EndpointKeepAliveAck(ack).encode().unwrap();
    association.send(Message::new(0, ppid::ASAP, ack)).await.ok()?;
    Some(m)
}

#[tokio::test(start_paused = true)]
async fn a_registrar_that_ends_is_taken_over_at_once() {
    for count in [2, 3] {
        let mut scope = Scope::new(count).await;
        let last = usize::from(count) - 1;
        let element = Element::register(&scope, 20, count).await;
        scope.until(|scope| scope.elements(0) == (1, 0)).await;
        // Its host answers on: nobody listens there.
        let (_stack, registrar) = scope.registrars.pop().unwrap();
        let start = Instant::now();
        drop(registrar);
        let server = element.new_home().await;
        assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
        let home = usize::try_from(server.0).unwrap() - 1;
        assert!(home < last);
        scope.until(|scope| scope.elements(home) == (1, 1)).await;
        tokio::time::sleep(Duration::from_secs(20)).await;
        assert_eq!(scope.elements(home).0, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_registrar_that_is_cut_off_is_taken_over_within_six_seconds() {
    let scope = Scope::new(3).await;
    let element = Element::register(&scope, 20, 3).await;
    scope.until(|scope| scope.elements(0) == (1, 0) && scope.elements(1) == (1, 0)).await;
    for other in [1, 2, 20] {
        scope.net.with(|net| net.cut(ip(3), ip(other)));
    }
    let start = Instant::now();
    let server = element.new_home().await;
    assert!(start.elapsed() < Duration::from_secs(6), "{:?}", start.elapsed());
    assert_ne!(server, ServerId(3));
}
