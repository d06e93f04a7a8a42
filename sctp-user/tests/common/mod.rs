//! Helpers for tests with two stacks on a simulated network.
#![allow(dead_code, unreachable_pub)]

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use sctp_user::link::sim::SimNet;
use sctp_user::{Association, Encap, Endpoint, Message, Peer, Stack, StackBuilder};
use sctp_user_core::sim;

pub const A: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
pub const B: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));
pub const PORT: u16 = 9899;

/// A network with a delay of 10 ms each way.
pub fn net() -> SimNet {
    let net = SimNet::new(1);
    net.with(|n| n.set_default(sim::Link::new().delay(Duration::from_millis(10), Duration::ZERO)));
    net
}

pub fn stack(net: &SimNet, addr: IpAddr) -> Stack {
    let IpAddr::V4(v4) = addr else { unreachable!("the tests use IPv4") };
    StackBuilder::new().link(net.link(&[addr], PORT)).seed([v4.octets()[3]; 32]).build().unwrap()
}

pub fn peer(addr: IpAddr, port: u16) -> Peer {
    Peer::new(addr, Encap::Udp { remote_port: PORT }, port)
}

pub fn text(message: &str) -> Message {
    Message::new(0, 0, message.as_bytes().to_vec())
}

/// The client's stack, the server's stack and endpoint, and both ends of an association.
pub struct Connected {
    pub net: SimNet,
    pub a: Stack,
    pub b: Stack,
    pub endpoint: Endpoint,
    pub client: Association,
    pub server: Association,
}

pub async fn connected() -> Connected {
    let net = net();
    let (a, b) = (stack(&net, A), stack(&net, B));
    let endpoint = b.bind(7).unwrap();
    endpoint.listen(16).unwrap();
    let to = peer(B, 7);
    let (client, server) = tokio::join!(a.connect(&to), endpoint.accept());
    Connected { net, a, b, endpoint, client: client.unwrap(), server: server.unwrap() }
}
