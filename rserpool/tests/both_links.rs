//! Elements and users that speak SCTP natively and in UDP, with partners that know only one of
//! both.

use std::net::IpAddr;
use std::time::Duration;

use rserpool::wire::{PeId, Policy, PoolHandle};
use rserpool::{
    AsapConfig, ElementIncoming, ElementOptions, PoolElement, PoolUser, SessionEvent,
    SessionOptions, UserMessage, UserOptions,
};
use rserpool_registrar::{Registrar, RegistrarConfig};
use sctp_user::link::sim::SimNet;
use sctp_user::{Encap, Peer, Stack, StackBuilder};
use sctp_user_core::sim::Link;
use tokio::time::{Instant, timeout};

fn ip(last: u8) -> IpAddr {
    [10, 0, 0, last].into()
}

const MS: Duration = Duration::from_millis(1);

/// A network that says nothing of packets which nobody takes.
fn network() -> SimNet {
    let net = SimNet::new(1);
    net.with(|net| net.set_default(Link::new().delay(MS, Duration::ZERO)));
    net
}

#[derive(Clone, Copy, PartialEq)]
enum Links {
    Native,
    Udp,
    Both,
}

fn stack(net: &SimNet, last: u8, links: Links) -> Stack {
    let mut builder = StackBuilder::new().seed([last; 32]);
    if links != Links::Udp {
        builder = builder.link(net.native_link(&[ip(last)]));
    }
    if links != Links::Native {
        builder = builder.link(net.link(&[ip(last)], 9899));
    }
    builder.build().unwrap()
}

fn registrar(net: &SimNet, links: Links) -> Registrar {
    let config =
        RegistrarConfig { announce: None, seed: Some([1; 32]), ..RegistrarConfig::default() };
    Registrar::start(&stack(net, 1, links), config).unwrap()
}

/// The registrar in both ways, the native one first.
fn asap(seed: u8) -> AsapConfig {
    let ways = [Encap::Native, Encap::Udp { remote_port: 9899 }];
    let registrars = ways.map(|encap| Peer::new(ip(1), encap, 3863)).to_vec();
    AsapConfig { seed: Some([seed; 32]), ..AsapConfig::with_registrars(registrars) }
}

fn element(net: &SimNet, last: u8, links: Links) -> PoolElement {
    let options = ElementOptions {
        id: Some(PeId(last.into())),
        policy: Policy::RoundRobin,
        asap: asap(last),
        ..ElementOptions::new(PoolHandle::new("pool").unwrap())
    };
    PoolElement::register(&stack(net, last, links), options).unwrap()
}

/// Whether the packets with DATA to the registrar went in UDP.
fn data_in_udp(net: &SimNet) -> Vec<bool> {
    net.with(|net| {
        let data = net.sent().filter(|(_, p)| p.dst == ip(1) && p.chunk_kinds().contains(&0));
        data.map(|(_, p)| p.udp.is_some()).collect()
    })
}

#[tokio::test(start_paused = true)]
async fn a_registrar_that_knows_only_udp_is_reached_250_ms_later() {
    let net = network();
    let _registrar = registrar(&net, Links::Udp);
    let start = Instant::now();
    let element = element(&net, 2, Links::Both);
    timeout(Duration::from_secs(1), element.registered()).await.expect("in time").unwrap();
    assert!((250 * MS..350 * MS).contains(&start.elapsed()), "{:?}", start.elapsed());
    let ways = data_in_udp(&net);
    assert!(!ways.is_empty() && ways.iter().all(|udp| *udp));
}

#[tokio::test(start_paused = true)]
async fn icmp_makes_udp_follow_at_once() {
    let net = network();
    net.with(|net| net.icmp = true);
    let _registrar = registrar(&net, Links::Udp);
    let start = Instant::now();
    let element = element(&net, 2, Links::Both);
    timeout(Duration::from_secs(1), element.registered()).await.expect("in time").unwrap();
    assert!(start.elapsed() < 100 * MS, "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_registrar_that_knows_both_is_used_natively() {
    for links in [Links::Native, Links::Both] {
        let net = network();
        let _registrar = registrar(&net, links);
        let start = Instant::now();
        let element = element(&net, 2, Links::Both);
        timeout(Duration::from_secs(1), element.registered()).await.expect("in time").unwrap();
        assert!(start.elapsed() < 100 * MS, "{:?}", start.elapsed());
        let ways = data_in_udp(&net);
        assert!(!ways.is_empty() && ways.iter().all(|udp| !udp));
    }
}

#[tokio::test(start_paused = true)]
async fn a_user_reaches_an_element_in_the_way_that_it_knows() {
    for links in [Links::Udp, Links::Native] {
        let net = network();
        let _registrar = registrar(&net, Links::Both);
        let element = element(&net, 2, links);
        timeout(Duration::from_secs(60), element.registered()).await.expect("registered").unwrap();
        tokio::spawn(async move {
            while let Ok(mut session) = element.accept().await {
                tokio::spawn(async move {
                    while let Ok(Some(incoming)) = session.recv().await {
                        if let ElementIncoming::Message(message) = incoming {
                            session.send(message).await.unwrap();
                        }
                    }
                });
            }
        });
        let user =
            PoolUser::new(&stack(&net, 3, Links::Both), UserOptions { asap: asap(3) }).unwrap();
        let pool = PoolHandle::new("pool").unwrap();
        let mut session = user.open(pool, SessionOptions::default()).unwrap();
        let start = Instant::now();
        let connected =
            timeout(Duration::from_secs(60), session.recv()).await.expect("connected").unwrap();
        assert!(matches!(connected, SessionEvent::FailoverDone { .. }), "{connected:?}");
        session.send(UserMessage::new(7, &b"hello"[..])).await.unwrap();
        let reply =
            timeout(Duration::from_secs(60), session.recv()).await.expect("a reply").unwrap();
        let SessionEvent::Message(reply) = reply else { panic!("{reply:?}") };
        assert_eq!(&reply.data[..], b"hello");
        assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    }
}
