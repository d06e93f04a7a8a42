//! Stacks report what their links count.
#![cfg(all(target_os = "linux", not(portable)))]

use std::net::{IpAddr, Ipv4Addr, UdpSocket};

use sctp_user::link::Link as _;
use sctp_user::link::udp::{Port, UdpEncapConfig, UdpEncapLink};
use sctp_user::{StackBuilder, blocking};

const HOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const SENT: u64 = 2000;

/// The receive buffer is too small for the packets that are sent before anybody reads.
fn config() -> UdpEncapConfig {
    UdpEncapConfig { recv_buffer: 4096, ..UdpEncapConfig::with_addrs([HOST], Port::Any) }
}

fn flood(port: u16) {
    let sender = UdpSocket::bind((HOST, 0)).unwrap();
    for _ in 0..SENT {
        sender.send_to(&[7; 100], (HOST, port)).unwrap();
    }
}

#[tokio::test]
async fn packets_dropped_by_a_full_socket_are_counted() {
    let link = UdpEncapLink::bind(&config()).unwrap();
    flood(link.port());
    let lost = link.meter().expect("links over sockets have counters")().overflows;
    assert!((1..SENT).contains(&lost), "{lost} of {SENT}");
    let stack = StackBuilder::new().link(link).build().unwrap();
    assert_eq!(stack.link_stats().overflows, lost);
    stack.abort("").await;
}

#[test]
fn packets_dropped_by_a_full_socket_are_counted_without_a_runtime() {
    let link = UdpEncapLink::open_blocking(&config()).unwrap();
    flood(link.local_udp_port().unwrap());
    let stack = blocking::StackBuilder::new().link(link).build().unwrap();
    assert!((1..SENT).contains(&stack.link_stats().overflows));
}
