//! Connecting with and without UDP encapsulation at the same time, and stacks with both kinds of
//! link.

mod common;

use std::time::Duration;

use common::*;
use sctp_user::link::sim::SimNet;
use sctp_user::{
    AssocState, Encap, EndReason, Endpoint, Error, LossReason, Peer, Stack, StackBuilder,
};
use sctp_user_core::sim::{IpPacket, Verdict};
use tokio::time::Instant;

const NATIVE: Encap = Encap::Native;
const UDP: Encap = Encap::Udp { remote_port: PORT };

fn ways() -> [Peer; 2] {
    [NATIVE, UDP].map(|encap| Peer::new(B, encap, 7))
}

/// A stack with a native link and a UDP link.
fn both(net: &SimNet, addr: std::net::IpAddr, seed: u8) -> Stack {
    let builder = StackBuilder::new().link(net.native_link(&[addr])).link(net.link(&[addr], PORT));
    builder.seed([seed; 32]).build().unwrap()
}

fn server(stack: &Stack) -> Endpoint {
    let endpoint = stack.bind(7).unwrap();
    endpoint.listen(16).unwrap();
    endpoint
}

/// For each INIT that A has sent: whether it was in UDP, the time in ms, the SCTP port and the tag.
fn inits(net: &SimNet) -> Vec<(bool, u64, [u8; 2], [u8; 4])> {
    net.with(|n| {
        let inits = n.sent().filter(|(_, p)| p.src == A && p.sctp.get(12) == Some(&1));
        inits
            .map(|(at, p)| {
                let port = p.sctp[0..2].try_into().unwrap();
                (
                    p.udp.is_some(),
                    at.as_nanos() / 1_000_000,
                    port,
                    p.sctp[16..20].try_into().unwrap(),
                )
            })
            .collect()
    })
}

#[tokio::test(start_paused = true)]
async fn the_preferred_way_wins_where_it_works() {
    let net = net();
    let (a, b) = (both(&net, A, 1), both(&net, B, 2));
    let endpoint = server(&b);
    let ways = ways();
    let (client, server) =
        tokio::join!(a.connect_first(&ways, a.assoc_config()), endpoint.accept());
    let (client, server) = (client.unwrap(), server.unwrap());
    assert_eq!(client.paths()[0].addr.encap, NATIVE);
    client.send(text("natively")).await.unwrap();
    assert_eq!(&server.recv_message().await.unwrap().unwrap().data[..], b"natively");
    assert!(inits(&net).iter().all(|(udp, ..)| !udp), "no second attempt is needed");
}

#[tokio::test(start_paused = true)]
async fn udp_follows_after_250_ms_where_native_packets_vanish() {
    let net = net();
    net.with(|n| n.tap(|_, p| if p.udp.is_none() { Verdict::Drop } else { Verdict::Pass }));
    let (a, b) = (both(&net, A, 1), both(&net, B, 2));
    let endpoint = server(&b);
    let ways = ways();
    let start = Instant::now();
    let client = a.connect_first(&ways, a.assoc_config()).await.unwrap();
    // 250 ms and two round trips of 20 ms.
    assert_eq!(start.elapsed().as_millis(), 290);
    assert_eq!(client.paths()[0].addr.encap, UDP);
    let server = endpoint.accept().await.unwrap();
    client.send(text("in UDP")).await.unwrap();
    assert_eq!(&server.recv_message().await.unwrap().unwrap().data[..], b"in UDP");

    let inits = inits(&net);
    let [(false, 0, port, tag), (true, 250, other_port, other_tag)] = inits[..] else {
        panic!("{inits:?}")
    };
    assert_ne!(port, other_port, "an SCTP port of its own");
    assert_ne!(tag, other_tag, "a tag of its own");
    // The other attempt was aborted.
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(a.stats().associations, 1);
    assert_eq!(self::inits(&net).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn udp_follows_at_once_when_icmp_refuses_native_packets() {
    let net = net();
    net.with(|n| n.icmp = true);
    let a = both(&net, A, 1);
    let b = StackBuilder::new().link(net.link(&[B], PORT)).seed([2; 32]).build().unwrap();
    let _endpoint = server(&b);
    let start = Instant::now();
    let client = a.connect_first(&ways(), a.assoc_config()).await.unwrap();
    // The ICMP message and then two round trips, each of 20 ms. The 250 ms are not waited for.
    assert!(start.elapsed() < Duration::from_millis(65), "{:?}", start.elapsed());
    assert_eq!(client.paths()[0].addr.encap, UDP);
}

#[tokio::test(start_paused = true)]
async fn the_losing_attempt_is_aborted_at_the_server_too() {
    let net = net();
    // The native COOKIE ACK is lost: only the server believes that this association is up.
    let native_cookie_ack = |p: &IpPacket| p.udp.is_none() && p.sctp.get(12) == Some(&11);
    net.with(|n| {
        n.tap(move |_, p| if native_cookie_ack(p) { Verdict::Drop } else { Verdict::Pass })
    });
    let (a, b) = (both(&net, A, 1), both(&net, B, 2));
    let endpoint = server(&b);
    let client = a.connect_first(&ways(), a.assoc_config()).await.unwrap();
    assert_eq!(client.paths()[0].addr.encap, UDP);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(client.status().unwrap().state, AssocState::Established);
    assert_eq!((a.stats().associations, b.stats().associations), (1, 1));
    // Both associations were up at the server. Only the one that the client has must be left.
    let mut left = Vec::new();
    while let Ok(accepted) = tokio::time::timeout(Duration::from_millis(1), endpoint.accept()).await
    {
        left.push(accepted.unwrap().end_reason());
    }
    assert_eq!(left.iter().filter(|end| end.is_none()).count(), 1, "{left:?}");
}

#[tokio::test(start_paused = true)]
async fn nobody_answers() {
    let net = net();
    net.with(|n| n.icmp = true);
    let a = both(&net, A, 1);
    let _b = StackBuilder::new().link(net.link(&[B], PORT + 1)).seed([2; 32]).build().unwrap();
    let refused = a.connect_first(&ways(), a.assoc_config()).await.unwrap_err();
    assert_eq!(refused, Error::Ended(EndReason::Lost(LossReason::ProtocolUnreachable)));
    assert!(matches!(a.connect_first(&[], a.assoc_config()).await, Err(Error::Invalid(_))));
    assert_eq!(a.stats().associations, 0);
}

#[tokio::test(start_paused = true)]
async fn dropping_the_race_aborts_every_attempt() {
    let net = net();
    net.with(|n| n.tap(|_, _| Verdict::Drop));
    let a = both(&net, A, 1);
    let ways = ways();
    let race = a.connect_first(&ways, a.assoc_config());
    assert!(tokio::time::timeout(Duration::from_millis(300), race).await.is_err());
    assert_eq!(inits(&net).len(), 2, "both were under way");
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(a.stats().associations, 0);
}

/// Each path of an association has its own encapsulation.
#[tokio::test(start_paused = true)]
async fn one_stack_serves_native_and_encapsulated_peers() {
    let net = net();
    let b = both(&net, B, 2);
    let endpoint = server(&b);
    let a = both(&net, A, 1);
    for way in ways() {
        let (client, server) = tokio::join!(a.connect(&way), endpoint.accept());
        let (client, server) = (client.unwrap(), server.unwrap());
        assert_eq!(client.paths()[0].addr.encap, way.addrs[0].1);
        server.send(text("hello")).await.unwrap();
        assert_eq!(&client.recv_message().await.unwrap().unwrap().data[..], b"hello");
        let back = server.paths()[0].addr.encap;
        assert_eq!(matches!(back, Encap::Native), matches!(way.addrs[0].1, Encap::Native));
    }
}
