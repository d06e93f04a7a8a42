//! A registrar on real sockets of the loopback interface: found by its announce, used over
//! UDP-encapsulated SCTP.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use rserpool_registrar::{Registrar, RegistrarConfig};
use rserpool_wire::numbers::ppid;
use rserpool_wire::{
    AsapMessage, HandleResolution, Life, PeId, Policy, PoolElement, PoolHandle, Registration,
    Resolution, SctpTransport, ServerAnnounce, ServerId, Transport, TransportUse,
};
use sctp_udp_encap::{Port, UdpEncapConfig, UdpEncapLink};
use sctp_user::{Association, Encap, Message, Peer, Stack, StackBuilder};

/// Longer than anything takes, be the machine as busy as it may.
const PATIENCE: Duration = Duration::from_secs(60);
const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn stack() -> Stack {
    let link = UdpEncapLink::bind(&UdpEncapConfig::with_addrs([LOCALHOST], Port::Any)).unwrap();
    StackBuilder::new().link(link).build().unwrap()
}

/// A socket in a group of its own port, so that tests do not hear each other.
fn listener() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    let group = Ipv4Addr::new(239, 0, 0, 50);
    socket.join_multicast_v4(&group, &Ipv4Addr::LOCALHOST).unwrap();
    socket.set_nonblocking(true).unwrap();
    let port = socket.local_addr().unwrap().port();
    (socket, SocketAddr::new(group.into(), port))
}

async fn hear_announce(socket: UdpSocket) -> (ServerAnnounce, SocketAddr) {
    let socket = tokio::net::UdpSocket::from_std(socket).unwrap();
    let mut buffer = [0; 1500];
    let heard = tokio::time::timeout(PATIENCE, socket.recv_from(&mut buffer));
    let (length, from) = heard.await.expect("no announce within a minute").unwrap();
    match AsapMessage::decode(&buffer[..length]).unwrap() {
        AsapMessage::ServerAnnounce(announce) => (announce, from),
        other => panic!("{other:?}"),
    }
}

async fn ask(association: &Association, request: AsapMessage) -> AsapMessage {
    association.send(Message::new(0, ppid::ASAP, request.encode().unwrap())).await.unwrap();
    let reply = tokio::time::timeout(PATIENCE, association.recv_message());
    let reply =
        reply.await.expect("no answer within a minute").unwrap().expect("the association ended");
    AsapMessage::decode(&reply.data).unwrap()
}

#[tokio::test]
async fn found_by_its_announce_and_used() {
    let (listener, group) = listener();
    let registrar_stack = stack();
    let config = RegistrarConfig {
        asap_port: 0,
        asap_addrs: vec![LOCALHOST],
        announce: Some(group),
        ..RegistrarConfig::default()
    };
    let registrar = Registrar::start(&registrar_stack, config).unwrap();

    let (announce, from) = hear_announce(listener).await;
    assert_eq!(announce.server, registrar.server_id());
    assert_eq!(announce.udp_port, registrar.udp_port());
    // Those who know RSPLIB's way only take it from here.
    assert_eq!(from, SocketAddr::new(LOCALHOST, registrar.asap_port()));
    let transport = SctpTransport::data_only(registrar.asap_port(), vec![LOCALHOST]);
    assert_eq!(announce.transports, [Transport::Sctp(transport)]);

    let element_stack = stack();
    let encap = Encap::Udp { remote_port: announce.udp_port.unwrap() };
    let peer = Peer::new(from.ip(), encap, from.port());
    let association = element_stack.connect(&peer).await.unwrap();
    let pool = PoolHandle::new("EchoPool").unwrap();
    let transport =
        SctpTransport { port: 7, transport_use: TransportUse::DataControl, addrs: vec![LOCALHOST] };
    let element = PoolElement {
        id: PeId(1),
        home: ServerId::UNDEFINED,
        life: Life(90_000),
        user_transport: Transport::Sctp(transport),
        policy: Policy::RoundRobin,
        asap_transport: None,
        udp_port: None,
    };
    let request = Registration { pool: pool.clone(), element: element.clone() };
    match ask(&association, AsapMessage::Registration(request)).await {
        AsapMessage::RegistrationResponse(response) => {
            assert!(!response.rejected, "{:?}", response.error)
        }
        other => panic!("{other:?}"),
    }
    let request = HandleResolution { subscribe: false, pool, items: Some(1) };
    match ask(&association, AsapMessage::HandleResolution(request)).await {
        AsapMessage::HandleResolutionResponse(response) => {
            let udp_port = element_stack.local_udp_port();
            let shown = PoolElement { home: registrar.server_id(), udp_port, ..element };
            let expected =
                Resolution::Elements { policy: Some(Policy::RoundRobin), elements: vec![shown] };
            assert_eq!(response.resolution, expected);
        }
        other => panic!("{other:?}"),
    }
    association.shutdown().await.unwrap();
    registrar.shutdown().await;
    registrar_stack.shutdown().await;
}
