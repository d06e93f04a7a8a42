//! Builders with the usual links, and peers as texts, over real sockets on loopback.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use sctp_user::link::raw::{RawBindError, RawConfig};
use sctp_user::link::udp::{Port, UdpBindError, UdpEncapConfig};
use sctp_user::{
    Association, Encap, Error, LinkError, Message, Peer, PeerError, PeerName, Stack, StackBuilder,
    ToPeer,
};

const HOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn at(port: u16) -> SocketAddr {
    (HOST, port).into()
}

/// A stack that sends back what it gets at SCTP port 7, on 127.0.0.1 and nowhere else.
fn echo_server() -> Stack {
    let stack = StackBuilder::udp(at(0)).unwrap().build().unwrap();
    let endpoint = stack.bind(7).unwrap();
    endpoint.listen(16).unwrap();
    tokio::spawn(async move {
        while let Ok(association) = endpoint.accept().await {
            tokio::spawn(async move {
                while let Ok(Some(message)) = association.recv_message().await {
                    let echo = Message::new(message.stream, message.ppid, message.data);
                    association.send(echo).await.unwrap();
                }
                association.shutdown().await
            });
        }
    });
    stack
}

async fn converse(association: Association) {
    association.send(Message::new(0, 0, "hello")).await.unwrap();
    let reply = association.recv_message().await.unwrap().unwrap();
    assert_eq!(reply.data, b"hello"[..]);
    association.shutdown().await.unwrap();
}

/// A test that hangs is a test that fails, be the machine as busy as it may.
async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("nothing for a minute")
}

#[tokio::test]
async fn names_are_looked_up_without_a_stack() {
    let look_up = async |text: &str| within(text.parse::<PeerName>().unwrap().look_up()).await;
    let ways = look_up("localhost:7,192.0.2.1").await.unwrap();
    let [native, udp] = [Encap::Native, Encap::Udp { remote_port: 9899 }];
    assert_eq!(ways.len(), 2);
    for (way, by) in ways.iter().zip([native, udp]) {
        assert_eq!(way.port, 7);
        assert!(way.addrs.iter().any(|(addr, _)| addr.is_loopback()), "{way:?}");
        assert_eq!(way.addrs.last(), Some(&([192, 0, 2, 1].into(), by)));
        assert!(way.addrs.iter().all(|(_, encap)| *encap == by), "{way:?}");
    }
    let ways = look_up("192.0.2.1:7/udp:5").await.unwrap();
    assert_eq!(ways, [Peer::udp("192.0.2.1:5".parse().unwrap(), 7)]);
    let missing = look_up("nobody.invalid:7").await.unwrap_err();
    assert!(matches!(missing, PeerError::NotFound { .. }), "{missing}");
}

#[tokio::test]
async fn peers_in_every_form() {
    let server = echo_server();
    let udp_port = server.local_udp_port().unwrap();
    let client = StackBuilder::udp(0).unwrap().build().unwrap();
    let text = format!("127.0.0.1:7/udp:{udp_port}");
    converse(within(client.connect(&text)).await.unwrap()).await;
    converse(within(client.connect(text.as_str())).await.unwrap()).await;
    converse(within(client.connect(text)).await.unwrap()).await;
    let peer = Peer::udp(at(udp_port), 7);
    converse(within(client.connect(&peer)).await.unwrap()).await;
    let endpoint = client.bind(0).unwrap();
    converse(within(endpoint.connect(&peer)).await.unwrap()).await;
    let config = client.assoc_config();
    converse(within(endpoint.connect_with(peer, config)).await.unwrap()).await;
    let many = client.bind_one_to_many(0).unwrap();
    let text = format!("127.0.0.1:7/udp:{udp_port}");
    let association = within(many.connect(text)).await.unwrap();
    converse(many.peel_off(association).unwrap()).await;
}

/// Of the addresses of the name one may be `::1`, where this server is not.
#[tokio::test]
async fn names_are_looked_up() {
    let server = echo_server();
    let udp_port = server.local_udp_port().unwrap();
    let client = StackBuilder::udp(0).unwrap().build().unwrap();
    let text = format!("localhost:7/udp:{udp_port}");
    let peer = within(client.resolve(&text)).await.unwrap();
    assert!(peer.addrs.contains(&(HOST, Encap::Udp { remote_port: udp_port })), "{peer:?}");
    assert!(peer.addrs.iter().all(|(addr, _)| addr.is_loopback()), "{peer:?}");
    converse(within(client.connect(&text)).await.unwrap()).await;
    converse(within(client.bind(0).unwrap().connect(&text)).await.unwrap()).await;
}

#[tokio::test]
async fn without_a_way_peers_are_at_the_well_known_port() {
    let client = StackBuilder::udp(at(0)).unwrap().build().unwrap();
    let well_known = |addrs: &[&str]| Peer {
        addrs: addrs
            .iter()
            .map(|addr| (addr.parse().unwrap(), Encap::Udp { remote_port: 9899 }))
            .collect(),
        port: 7,
    };
    let one = well_known(&["192.0.2.1"]);
    assert_eq!(client.resolve("192.0.2.1:7").await, Ok(one.clone()));
    assert_eq!(client.resolve(("192.0.2.1", 7)).await, Ok(one.clone()));
    assert_eq!(client.resolve((one.addrs[0].0, 7)).await, Ok(one));
    let two = well_known(&["2001:db8::1", "192.0.2.1"]);
    assert_eq!(client.resolve("[2001:db8::1]:7,192.0.2.1").await, Ok(two));
    assert_eq!(client.resolve(("2001:db8::1", 7)).await, Ok(well_known(&["2001:db8::1"])));
    // What a text says counts, also where the stack has no link for it.
    let native = Peer::new([192, 0, 2, 1].into(), Encap::Native, 7);
    assert_eq!(client.resolve("192.0.2.1:7/native").await, Ok(native));
}

#[tokio::test]
async fn mistakes_are_told_in_a_sentence() {
    let client = StackBuilder::udp(at(0)).unwrap().build().unwrap();
    let why = client.connect("localhost").await.unwrap_err();
    assert_eq!(why.to_string(), "'localhost' has no SCTP port: write localhost:7, say");
    assert!(matches!(client.bind(0).unwrap().connect("").await, Err(Error::Peer(_))));
    // RFC 6761: nobody has this name.
    match within(client.connect("nobody.invalid:7")).await.unwrap_err() {
        Error::Peer(PeerError::NotFound { name, why }) => {
            assert!(name == "nobody.invalid" && !why.is_empty(), "{why}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(
        within(client.connect("nobody.invalid:7")).await.unwrap_err().kind(),
        ErrorKind::NotFound
    );
    assert_eq!(client.connect("a").await.unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(client.stats().associations, 0);
}

/// Other tasks run while the resolver is asked.
#[tokio::test]
async fn the_future_of_connect_can_be_sent_to_another_thread() {
    fn is_send<T: Send>(value: T) -> T {
        value
    }
    let client = StackBuilder::udp(at(0)).unwrap().build().unwrap();
    let refused = is_send(client.connect("nobody.invalid:7"));
    assert!(within(refused).await.is_err());
    assert!("a:7".to_peer_name().is_ok());
}

#[tokio::test]
async fn what_keeps_a_link_from_opening_is_told() {
    let first = StackBuilder::udp(at(0)).unwrap().build().unwrap();
    let port = first.local_udp_port().unwrap();
    match StackBuilder::udp(UdpEncapConfig::with_addrs([HOST], Port::Fixed(port))).unwrap_err() {
        Error::Link(LinkError::Udp(why)) => {
            assert!(matches!(&*why, UdpBindError::PortInUse { .. }), "{why}");
        }
        other => panic!("{other:?}"),
    }
    let again = StackBuilder::udp(at(port)).unwrap_err();
    assert_eq!(again, StackBuilder::udp(at(port)).unwrap_err());
    assert!(again.to_string().contains("is in use by another process"), "{again}");
    assert_eq!(again.kind(), ErrorKind::AddrInUse);
    let elsewhere = StackBuilder::udp(SocketAddr::from(([192, 0, 2, 1], 0))).unwrap_err();
    assert_eq!(elsewhere.kind(), ErrorKind::AddrNotAvailable);
}

/// With privileges both links are there, and a peer is reached by whichever way it answers.
#[tokio::test]
async fn raw_and_both_links() {
    let opened = [StackBuilder::raw(HOST), StackBuilder::both(at(0))];
    for (n, builder) in opened.into_iter().enumerate() {
        match builder {
            Err(Error::Link(LinkError::Raw(why))) => {
                assert!(matches!(&*why, RawBindError::Privileges), "{why}");
                eprintln!("no raw sockets here: {why}");
            }
            Err(other) => panic!("{other:?}"),
            Ok(builder) => {
                let stack = builder.build().unwrap();
                assert!(stack.has_native());
                assert_eq!(stack.local_udp_port().is_some(), n == 1);
                let peer = stack.resolve("192.0.2.1:7").await.unwrap();
                let udp = Encap::Udp { remote_port: 9899 };
                assert_eq!(peer.addrs[0].1, if n == 1 { udp } else { Encap::Native });
            }
        }
    }
    assert_eq!(RawConfig::from([HOST]), RawConfig::from(HOST));
}

/// A peer without a native stack is reached in UDP; this needs privileges, and the well-known port.
#[tokio::test]
async fn a_stack_with_both_links_tries_both_ways() {
    let Ok(client) = StackBuilder::both(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))) else {
        eprintln!("no raw sockets here");
        return;
    };
    let client = client.build().unwrap();
    let server: SocketAddr = "127.0.0.2:9899".parse().unwrap();
    let Ok(server) = StackBuilder::udp(server) else {
        eprintln!("somebody has port 9899 of 127.0.0.2, or there is no such address");
        return;
    };
    let server = server.build().unwrap();
    let endpoint = server.bind(7).unwrap();
    endpoint.listen(1).unwrap();
    let association = within(client.connect("127.0.0.2:7")).await.unwrap();
    assert_eq!(association.peer_addrs()[0].encap, Encap::Udp { remote_port: 9899 });
}

#[cfg(unix)]
#[test]
fn the_same_without_a_runtime() {
    use sctp_user::blocking::StackBuilder;

    let mut server = StackBuilder::udp(at(0)).unwrap().build().unwrap();
    let udp_port = server.local_udp_port().unwrap();
    let endpoint = server.bind(7).unwrap();
    server.listen(endpoint, 1).unwrap();
    server.set_timeout(Some(Duration::from_secs(60)));
    let server = std::thread::spawn(move || {
        for _ in 0..2 {
            let association = server.accept(endpoint).unwrap();
            let message = server.recv_message(association).unwrap().unwrap();
            server.send(association, Message::new(0, 0, message.data)).unwrap();
            assert_eq!(server.recv_message(association), Ok(None));
        }
    });
    let mut client = StackBuilder::udp(0).unwrap().build().unwrap();
    client.set_timeout(Some(Duration::from_secs(60)));
    for host in ["localhost", "127.0.0.1"] {
        let association = client.connect(format!("{host}:7/udp:{udp_port}")).unwrap();
        client.send(association, Message::new(0, 0, "hello")).unwrap();
        let reply = client.recv_message(association).unwrap().unwrap();
        assert_eq!(reply.data, b"hello"[..]);
        client.shutdown(association).unwrap();
    }
    assert!(matches!(client.connect("localhost"), Err(Error::Peer(PeerError::NoPort { .. }))));
    let unknown = client.connect("nobody.invalid:7");
    assert!(matches!(unknown, Err(Error::Peer(PeerError::NotFound { .. }))), "{unknown:?}");
    let why = client.resolve("a:0").unwrap_err().to_string();
    assert_eq!(why, "the SCTP port in 'a:0' is not a number from 1 to 65535");
    server.join().unwrap();
}
