//! The registrar on real stacks over a simulated network, with a paused clock.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use rserpool_wire::numbers::ppid;
use rserpool_wire::{
    AsapMessage, CauseCode, EndpointKeepAliveAck, HandleResolution, Life, PeId, Policy,
    PoolElement, PoolHandle, Registration, Resolution, SctpTransport, ServerId, Transport,
    TransportUse,
};
use sctp_user::link::sim::SimNet;
use sctp_user::{Association, Encap, EndReason, LossReason, Message, Peer, Stack, StackBuilder};
use tokio::time::Instant;

use crate::{Notice, Registrar, RegistrarConfig, RegistrarEvent, RemovalReason, StartError};

const REGISTRAR: [u8; 4] = [10, 0, 0, 1];
/// So long that elements need not answer keep-alives.
const LONG: Duration = Duration::from_secs(300);

fn ip(addr: [u8; 4]) -> IpAddr {
    addr.into()
}

fn stack(net: &SimNet, addr: [u8; 4], udp_port: u16) -> Stack {
    let seed = [addr[3].wrapping_mul(7); 32];
    StackBuilder::new().link(net.link(&[ip(addr)], udp_port)).seed(seed).build().unwrap()
}

fn config() -> RegistrarConfig {
    RegistrarConfig {
        announce: None,
        seed: Some([9; 32]),
        keep_alive_jitter: 0.0,
        ..RegistrarConfig::default()
    }
}

/// A network with a registrar at 10.0.0.1.
struct Lab {
    net: SimNet,
    registrar: Registrar,
    _stack: Stack,
}

impl Lab {
    fn new(config: RegistrarConfig) -> Self {
        let net = SimNet::new(1);
        let stack = stack(&net, REGISTRAR, 9899);
        let registrar = Registrar::start(&stack, config).unwrap();
        Lab { net, registrar, _stack: stack }
    }

    /// A peer at 10.0.0.x with an association to the registrar.
    async fn peer(&self, last: u8, udp_port: u16) -> Client {
        let stack = stack(&self.net, [10, 0, 0, last], udp_port);
        let peer =
            Peer::new(ip(REGISTRAR), Encap::Udp { remote_port: 9899 }, self.registrar.asap_port());
        let association = stack.connect(&peer).await.unwrap();
        Client { addr: ip([10, 0, 0, last]), association, _stack: stack }
    }
}

/// A pool element or user that speaks ASAP by hand.
struct Client {
    addr: IpAddr,
    association: Association,
    _stack: Stack,
}

impl Client {
    async fn send(&self, message: AsapMessage) {
        self.association
            .send(Message::new(0, ppid::ASAP, message.encode().unwrap()))
            .await
            .unwrap();
    }

    async fn recv(&self) -> AsapMessage {
        let received =
            self.association.recv_message().await.unwrap().expect("a message, not the end");
        assert_eq!((received.ppid, received.stream), (ppid::ASAP, 0));
        AsapMessage::decode(&received.data).unwrap()
    }

    async fn register(&self, id: u32) {
        let transport = SctpTransport {
            port: 7,
            transport_use: TransportUse::DataControl,
            addrs: vec![self.addr],
        };
        let element = PoolElement {
            id: PeId(id),
            home: ServerId::UNDEFINED,
            life: Life::INFINITE,
            user_transport: Transport::Sctp(transport),
            policy: Policy::RoundRobin,
            asap_transport: None,
            udp_port: None,
        };
        self.send(AsapMessage::Registration(Registration { pool: pool(), element })).await;
        match self.recv().await {
            AsapMessage::RegistrationResponse(response) => {
                assert!(!response.rejected, "{:?}", response.error)
            }
            other => panic!("{other:?}"),
        }
    }

    async fn resolve(&self) -> Result<Vec<PoolElement>, CauseCode> {
        let request = HandleResolution { subscribe: false, pool: pool(), items: Some(128) };
        self.send(AsapMessage::HandleResolution(request)).await;
        match self.recv().await {
            AsapMessage::HandleResolutionResponse(response) => match response.resolution {
                Resolution::Elements { elements, .. } => Ok(elements),
                Resolution::Error(error) => Err(error.code()),
            },
            other => panic!("{other:?}"),
        }
    }
}

fn pool() -> PoolHandle {
    PoolHandle::new("pool").unwrap()
}

#[tokio::test(start_paused = true)]
async fn elements_are_registered_found_and_forgotten_when_they_end() {
    let lab = Lab::new(config());
    assert_eq!((lab.registrar.asap_port(), lab.registrar.udp_port()), (3863, Some(9899)));
    let mut events = lab.registrar.events();
    let near = lab.peer(2, 9899).await;
    let far = lab.peer(3, 4444).await;
    near.register(1).await;
    far.register(2).await;
    let user = lab.peer(4, 5555).await;
    let found = user.resolve().await.unwrap();
    let seen: Vec<_> =
        found.iter().map(|e| (e.id.0, e.user_transport.addrs().to_vec(), e.udp_port)).collect();
    // The registrar has learnt the UDP port of the second one from its packets.
    assert_eq!(seen, [(1, vec![near.addr], None), (2, vec![far.addr], Some(4444))]);
    assert!(found.iter().all(|element| element.home == lab.registrar.server_id()));

    near.association.abort("killed");
    far.association.shutdown().await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(user.resolve().await, Err(CauseCode::UNKNOWN_POOL));
    let stats = lab.registrar.stats();
    assert_eq!((stats.registrations, stats.removals, stats.handle_resolutions), (2, 2, 2));
    assert_eq!((stats.pool_elements, stats.associations), (0, 1));
    let mut removed = 0;
    while let Some(notice) = events.try_recv() {
        if let Notice::Event(RegistrarEvent::Removed { reason, .. }) = notice {
            assert_eq!(reason, RemovalReason::AssociationLost);
            removed += 1;
        }
    }
    assert_eq!(removed, 2);
}

#[tokio::test(start_paused = true)]
async fn no_event_is_lost_when_many_elements_end_at_once() {
    const ELEMENTS: u32 = 1500;
    let lab = Lab::new(config());
    let element = lab.peer(2, 9899).await;
    for id in 1..=ELEMENTS {
        element.register(id).await;
    }
    // Nobody reads while it happens.
    let mut events = lab.registrar.events();
    element.association.abort("killed");
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut gone = std::collections::BTreeSet::new();
    while let Some(notice) = events.try_recv() {
        match notice {
            Notice::Event(RegistrarEvent::Removed { id, .. }) => assert!(gone.insert(id.0)),
            other => panic!("{other:?}"),
        }
    }
    assert!(gone.into_iter().eq(1..=ELEMENTS));
}

#[tokio::test(start_paused = true)]
async fn keep_alives_go_out_and_must_be_answered() {
    let lab = Lab::new(config());
    let element = lab.peer(2, 9899).await;
    element.register(1).await;
    for _ in 0..3 {
        match element.recv().await {
            AsapMessage::EndpointKeepAlive(keep_alive) => {
                assert_eq!(keep_alive.server, lab.registrar.server_id())
            }
            other => panic!("{other:?}"),
        }
        element
            .send(AsapMessage::EndpointKeepAliveAck(EndpointKeepAliveAck {
                pool: pool(),
                id: PeId(1),
            }))
            .await;
    }
    assert_eq!(lab.registrar.stats().pool_elements, 1);
    // It still receives, but it does not answer any more.
    match element.association.ended().await {
        Some(EndReason::Lost(LossReason::PeerAbort { cause: 12, info })) => {
            assert_eq!(&info[..], b"no answer to ASAP_ENDPOINT_KEEP_ALIVE");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(lab.registrar.stats().pool_elements, 0);
}

#[tokio::test(start_paused = true)]
async fn enrp_on_the_asap_port_is_answered_with_an_abort() {
    let lab = Lab::new(config());
    let client = lab.peer(2, 9899).await;
    client
        .association
        .send(Message::new(0, ppid::ENRP, Bytes::from_static(b"\x01\0\0\x04")))
        .await
        .unwrap();
    assert!(matches!(
        client.association.ended().await,
        Some(EndReason::Lost(LossReason::PeerAbort { cause: 12, .. }))
    ));
    assert_eq!(lab.registrar.stats().aborts, 1);
}

#[tokio::test(start_paused = true)]
async fn idle_associations_are_closed() {
    let lab = Lab::new(RegistrarConfig { autoclose: Some(Duration::from_secs(5)), ..config() });
    let user = lab.peer(2, 9899).await;
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_secs(4)).await;
        assert_eq!(user.resolve().await, Err(CauseCode::UNKNOWN_POOL));
    }
    let idle = Instant::now();
    assert_eq!(user.association.recv_message().await, Ok(None));
    assert!((4900..6000).contains(&idle.elapsed().as_millis()), "{:?}", idle.elapsed());
    user.association.shutdown().await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(lab.registrar.stats().associations, 0);
}

#[tokio::test(start_paused = true)]
async fn whoever_never_reads_is_aborted() {
    let lab = Lab::new(RegistrarConfig { keep_alive_interval: LONG, ..config() });
    let element = lab.peer(2, 9899).await;
    for id in 1..=128 {
        element.register(id).await;
    }
    let lazy = lab.peer(3, 9899).await;
    let request = HandleResolution { subscribe: false, pool: pool(), items: Some(128) };
    let request = AsapMessage::HandleResolution(request).encode().unwrap();
    let mut sent = 0;
    while lazy.association.send(Message::new(0, ppid::ASAP, request.clone())).await.is_ok() {
        sent += 1;
        assert!(sent < 100_000, "the answers of {sent} requests wait somewhere");
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    let stats = lab.registrar.stats();
    assert_eq!((stats.associations, stats.aborts, stats.pool_elements), (1, 1, 128));
}

#[tokio::test(start_paused = true)]
async fn many_who_never_read_take_little_memory_together() {
    let total = 900_000;
    let lab = Lab::new(RegistrarConfig { max_total_backlog: total, ..config() });
    let element = lab.peer(2, 9899).await;
    for id in 1..=128 {
        element.register(id).await;
    }
    let request = HandleResolution { subscribe: false, pool: pool(), items: Some(128) };
    let request = AsapMessage::HandleResolution(request).encode().unwrap();
    let mut lazy = Vec::new();
    for last in 3..13 {
        let client = lab.peer(last, 9899).await;
        // Far less than one alone may have, but too much together.
        for _ in 0..100 {
            let message = Message::new(0, ppid::ASAP, request.clone());
            let _ = client.association.send(message).await;
        }
        lazy.push(client);
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let stats = lab.registrar.stats();
    assert!(stats.aborts >= 1, "{stats:?}");
    assert!(stats.associations >= 2, "not all of them: {stats:?}");
    assert_eq!(stats.pool_elements, 128, "the one that reads is served");
}

/// Sends resolutions whose answers are more than `beyond` bytes longer than the buffers of both
/// ends.
async fn ask_for_more_than_fits(client: &Client, beyond: usize) {
    let request = HandleResolution { subscribe: false, pool: pool(), items: Some(128) };
    let request = AsapMessage::HandleResolution(request).encode().unwrap();
    // The length of an answer with 128 elements of `Client::register`.
    let answer = 128 * 44;
    for _ in 0..(256 * 1024 + 64 * 1024 + beyond) / answer {
        let message = Message::new(0, ppid::ASAP, request.clone());
        let _ = client.association.send(message).await;
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
}

#[tokio::test(start_paused = true)]
async fn whoever_reads_nothing_for_long_is_aborted() {
    let lab = Lab::new(RegistrarConfig { keep_alive_interval: LONG, ..config() });
    let element = lab.peer(2, 9899).await;
    for id in 1..=128 {
        element.register(id).await;
    }
    let lazy = lab.peer(3, 9899).await;
    ask_for_more_than_fits(&lazy, 200_000).await;
    assert_eq!(lab.registrar.stats().aborts, 0, "it may have so much wait for a while");
    tokio::time::sleep(Duration::from_secs(12)).await;
    assert_eq!(lab.registrar.stats().aborts, 1);
    assert!(matches!(
        lazy.association.ended().await,
        Some(EndReason::Lost(LossReason::PeerAbort { .. }))
    ));
}

/// Many who leave little unread fill the send buffers of their associations, and these count.
#[tokio::test(start_paused = true)]
async fn send_buffers_of_those_who_do_not_read_count() {
    // Ten times what waits is less than that, but not with the buffers.
    let lab = Lab::new(RegistrarConfig { max_total_backlog: 600_000, ..config() });
    let element = lab.peer(2, 9899).await;
    for id in 1..=128 {
        element.register(id).await;
    }
    let mut lazy = Vec::new();
    for last in 3..13 {
        let client = lab.peer(last, 9899).await;
        ask_for_more_than_fits(&client, 40_000).await;
        lazy.push(client);
    }
    let stats = lab.registrar.stats();
    assert!((1..=6).contains(&stats.aborts), "{stats:?}");
}

/// Whoever does not read its answers is not read; when it reads, it goes on.
#[tokio::test(start_paused = true)]
async fn requests_wait_while_answers_are_not_read() {
    let lab = Lab::new(config());
    let element = lab.peer(2, 9899).await;
    for id in 1..=128 {
        element.register(id).await;
    }
    let user = lab.peer(3, 9899).await;
    ask_for_more_than_fits(&user, 3_000_000).await;
    let asked = (256 * 1024 + 64 * 1024 + 3_000_000) / (128 * 44);
    let served = lab.registrar.stats().handle_resolutions;
    assert!(served < asked / 2, "{served} of {asked}");
    for _ in 0..asked {
        assert!(matches!(user.recv().await, AsapMessage::HandleResolutionResponse(_)));
    }
    assert_eq!(lab.registrar.stats().handle_resolutions, asked);
    assert_eq!(lab.registrar.stats().aborts, 0);
    // The end of an association whose requests wait is noticed.
    let gone = lab.peer(4, 9899).await;
    ask_for_more_than_fits(&gone, 500_000).await;
    gone.association.abort("gone");
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(lab.registrar.stats().associations, 2);
}

#[tokio::test(start_paused = true)]
async fn messages_beyond_the_asap_limit_end_the_association() {
    let lab = Lab::new(config());
    let client = lab.peer(2, 9899).await;
    client.association.send(Message::new(0, ppid::ASAP, vec![0; 70_000])).await.unwrap();
    assert!(matches!(
        client.association.ended().await,
        Some(EndReason::Lost(LossReason::PeerAbort { .. }))
    ));
}

#[tokio::test(start_paused = true)]
async fn shutdown_is_graceful_and_drop_is_not() {
    let lab = Lab::new(config());
    let client = lab.peer(2, 9899).await;
    client.register(1).await;
    let Lab { net, registrar, _stack } = lab;
    let waiting = async {
        assert_eq!(client.association.recv_message().await, Ok(None));
        client.association.start_shutdown();
    };
    tokio::join!(waiting, registrar.shutdown());
    assert_eq!(client.association.ended().await, Some(EndReason::Graceful));

    // The port is free again.
    let registrar = Registrar::start(&_stack, config()).unwrap();
    let lab = Lab { net, registrar, _stack };
    let client = lab.peer(3, 9899).await;
    client.register(1).await;
    drop(lab.registrar);
    assert!(matches!(
        client.association.ended().await,
        Some(EndReason::Lost(LossReason::PeerAbort { .. }))
    ));
}

#[tokio::test(start_paused = true)]
async fn a_port_in_use_is_named() {
    let net = SimNet::new(1);
    let stack = stack(&net, REGISTRAR, 9899);
    let _first = Registrar::start(&stack, config()).unwrap();
    let error = Registrar::start(&stack, config()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot open the ASAP endpoint: SCTP port 3863 is already in use"
    );
    let second = Registrar::start(&stack, RegistrarConfig { asap_port: 0, ..config() }).unwrap();
    assert_ne!(second.asap_port(), 0);
    let wrong = RegistrarConfig { max_bad_pe_reports: 0, ..config() };
    assert!(matches!(Registrar::start(&stack, wrong), Err(StartError::Config(_))));
}

#[tokio::test(start_paused = true)]
async fn a_registrar_ends_with_its_stack() {
    let mut lab = Lab::new(config());
    let client = lab.peer(2, 9899).await;
    client.register(1).await;
    lab._stack.abort("the end").await;
    lab.registrar.ended().await;
    assert!(matches!(
        client.association.ended().await,
        Some(EndReason::Lost(LossReason::PeerAbort { .. }))
    ));
}

/// A process that was killed and started again has the same address and ports, but knows nothing of
/// its elements.
#[tokio::test(start_paused = true)]
async fn elements_of_a_restarted_peer_are_removed_at_once() {
    let lab = Lab::new(config());
    let user = lab.peer(3, 9899).await;
    let addr = [10, 0, 0, 2];
    let peer = Peer::new(ip(REGISTRAR), Encap::Udp { remote_port: 9899 }, 3863);
    let first = stack(&lab.net, addr, 9899);
    let element = Client {
        addr: ip(addr),
        association: first.bind(5000).unwrap().connect(&peer).await.unwrap(),
        _stack: first.clone(),
    };
    element.register(1).await;
    // Its ABORT gets lost.
    lab.net.with(|net| net.cut(ip(REGISTRAR), ip(addr)));
    drop(element);
    first.abort("killed").await;
    drop(first);
    lab.net.with(|net| net.heal(ip(REGISTRAR), ip(addr)));
    let second =
        StackBuilder::new().link(lab.net.link(&[ip(addr)], 9899)).seed([77; 32]).build().unwrap();
    let association = second.bind(5000).unwrap().connect(&peer).await.unwrap();
    let element = Client { addr: ip(addr), association, _stack: second };
    assert_eq!(user.resolve().await, Err(CauseCode::UNKNOWN_POOL));
    element.register(2).await;
    assert_eq!(user.resolve().await.map(|found| found[0].id), Ok(PeId(2)));
    let stats = lab.registrar.stats();
    assert_eq!((stats.associations, stats.registrations, stats.removals), (2, 2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_silent_death_is_noticed_by_the_keep_alive() {
    let lab = Lab::new(config());
    let element = lab.peer(2, 9899).await;
    element.register(1).await;
    let user = lab.peer(3, 9899).await;
    lab.net.with(|net| net.cut(ip(REGISTRAR), element.addr));
    tokio::time::sleep(Duration::from_millis(9900)).await;
    assert_eq!(user.resolve().await.map(|found| found.len()), Ok(1));
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(user.resolve().await, Err(CauseCode::UNKNOWN_POOL));
}
