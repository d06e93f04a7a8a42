//! Blocking stacks talk to each other and to asynchronous ones, over real sockets on loopback.
#![cfg(unix)]

mod ends;
mod messages;
mod several;

use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use sctp_user::blocking::{self, Handle as _, StackBuilder};
use sctp_user::link::udp::{Port, UdpEncapConfig, UdpEncapLink};
use sctp_user::{
    AssocConfig, AssocState, BindOptions, Encap, EndReason, Error, Incoming, LossReason, Message,
    Notification, Peer, Subscriptions,
};

const HOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// A call that waits longer than this hangs.
const LIMIT: Option<Duration> = Some(Duration::from_secs(60));

fn config(addrs: &[IpAddr]) -> UdpEncapConfig {
    UdpEncapConfig::with_addrs(addrs.iter().copied(), Port::Any)
}

/// A stack with one socket, which waits in the receive call.
fn stack() -> blocking::Stack {
    stack_at(&[HOST])
}

fn stack_at(addrs: &[IpAddr]) -> blocking::Stack {
    let link =
        UdpEncapLink::open_blocking(&config(addrs)).expect("loopback addresses can be bound");
    let mut stack = StackBuilder::new().link(link).build().expect("the defaults are valid");
    stack.set_timeout(LIMIT);
    stack
}

fn peer(udp_port: Option<u16>, port: u16) -> Peer {
    Peer::new(HOST, Encap::Udp { remote_port: udp_port.expect("a UDP link has a port") }, port)
}

/// Makes `stack` listen on port 7, and runs `serve` with it in a thread of its own.
fn server(
    mut stack: blocking::Stack,
    serve: impl FnOnce(&mut blocking::Stack, blocking::Endpoint) + Send + 'static,
) -> (Peer, JoinHandle<()>) {
    let endpoint = stack.bind(7).unwrap();
    stack.listen(endpoint, 16).unwrap();
    let to = peer(stack.local_udp_port(), 7);
    (to, thread::spawn(move || serve(&mut stack, endpoint)))
}

/// Accepts an association and sends every message back until the peer shuts down.
fn echo(stack: &mut blocking::Stack, endpoint: blocking::Endpoint) {
    let association = stack.accept(endpoint).unwrap();
    while let Some(received) = stack.recv_message(association).unwrap() {
        stack
            .send(association, Message::new(received.stream, received.ppid, received.data))
            .unwrap();
    }
    stack.shutdown(association).unwrap();
}

/// Runs an asynchronous stack that listens on port 7, in a thread of its own.
fn tokio_server<F>(
    serve: impl FnOnce(sctp_user::Association) -> F + Send + 'static,
) -> (Peer, JoinHandle<()>)
where
    F: Future<Output = ()>,
{
    let (tell, told) = std::sync::mpsc::channel();
    let thread = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let link = UdpEncapLink::bind(&config(&[HOST])).unwrap();
            let stack = sctp_user::StackBuilder::new().link(link).build().unwrap();
            let endpoint = stack.bind(7).unwrap();
            endpoint.listen(16).unwrap();
            tell.send(stack.local_udp_port()).unwrap();
            let association = endpoint.accept().await.unwrap();
            serve(association).await;
        });
    });
    (peer(told.recv().unwrap(), 7), thread)
}
