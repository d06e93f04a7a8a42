//! Links on loopback, and async functions that call their poll methods.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]

use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use sctp_udp_encap::{Port, UdpEncapConfig, UdpEncapLink};
use sctp_user_core::{Encap, PathAddr, Transmit};
use sctp_user_link::{IcmpError, Link, RecvBatch, RecvDatagram};

pub fn ip(addr: &str) -> IpAddr {
    addr.parse().unwrap()
}

/// A link that is bound to these addresses, on a free port.
pub fn link(addrs: &[&str]) -> UdpEncapLink {
    UdpEncapLink::bind(&UdpEncapConfig::with_addrs(addrs.iter().map(|a| ip(a)), Port::Any)).unwrap()
}

pub fn path(local: Option<&str>, remote: &str, remote_port: u16) -> PathAddr {
    PathAddr { local: local.map(ip), remote: ip(remote), encap: Encap::Udp { remote_port } }
}

pub fn single(path: PathAddr, len: usize) -> Transmit {
    Transmit {
        path,
        ecn: None,
        dscp: 0,
        flow_label: 0,
        len,
        segment_size: None,
        may_fragment: false,
    }
}

pub async fn send(link: &mut UdpEncapLink, transmit: &Transmit, bytes: &[u8]) -> io::Result<()> {
    within(poll_fn(|cx| link.poll_send(cx, transmit, bytes))).await
}

/// Receives until there are `count` datagrams. Returns them and the errors that came with them.
pub async fn recv(link: &mut UdpEncapLink, count: usize) -> (Vec<RecvDatagram>, Vec<IcmpError>) {
    let mut batch = RecvBatch::new();
    while batch.datagrams.len() < count {
        within(poll_fn(|cx| link.poll_recv(cx, &mut batch))).await.unwrap();
    }
    (batch.datagrams, batch.errors)
}

/// Receives until there are at least one datagram and one error.
pub async fn recv_both(link: &mut UdpEncapLink) -> (Vec<RecvDatagram>, Vec<IcmpError>) {
    let mut batch = RecvBatch::new();
    while batch.datagrams.is_empty() || batch.errors.is_empty() {
        within(poll_fn(|cx| link.poll_recv(cx, &mut batch))).await.unwrap();
    }
    (batch.datagrams, batch.errors)
}

/// Receives until there is an error.
pub async fn recv_error(link: &mut UdpEncapLink) -> IcmpError {
    let mut batch = RecvBatch::new();
    while batch.errors.is_empty() {
        within(poll_fn(|cx| link.poll_recv(cx, &mut batch))).await.unwrap();
    }
    batch.errors.remove(0)
}

/// Makes a test fail instead of hanging. The time is long enough for a busy machine.
pub async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future)
        .await
        .expect("nothing happened for a minute")
}

/// A UDP port of `addr` on which nobody listens: it was bound and closed again.
pub fn closed_port(addr: &str) -> u16 {
    std::net::UdpSocket::bind((addr, 0)).unwrap().local_addr().unwrap().port()
}
