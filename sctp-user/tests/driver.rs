//! How the driver copes with links that misbehave.

mod common;

use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use common::*;
use sctp_user::link::sim::SimLink;
use sctp_user::link::{Link, RecvBatch};
use sctp_user::{
    Announce, AssocConfig, BindOptions, Encap, EndReason, Error, LossReason, Message, Stack,
    StackBuilder, Transmit,
};

/// What a [`FaultyLink`] does next.
#[derive(Default)]
struct Faults {
    /// The errors that the next send calls return, the last one first.
    errors: Vec<fn() -> io::Error>,
    /// Whether there is no room for packets.
    full: bool,
    waker: Option<Waker>,
    /// Whether receiving fails for good.
    broken: bool,
    /// The first bytes and the number of packets of each send call.
    tried: Vec<(Vec<u8>, usize)>,
}

struct FaultyLink {
    link: SimLink,
    faults: Arc<Mutex<Faults>>,
    polls: Arc<AtomicUsize>,
}

impl Link for FaultyLink {
    fn handles(&self, encap: Encap) -> bool {
        self.link.handles(encap)
    }
    fn max_segments(&self) -> usize {
        self.link.max_segments()
    }
    fn ip_mtu(&self) -> usize {
        self.link.ip_mtu()
    }
    fn local_udp_port(&self) -> Option<u16> {
        self.link.local_udp_port()
    }
    fn local_addrs(&self) -> Vec<IpAddr> {
        self.link.local_addrs()
    }
    fn poll_recv(&mut self, cx: &mut Context<'_>, batch: &mut RecvBatch) -> Poll<io::Result<()>> {
        self.polls.fetch_add(1, Ordering::Relaxed);
        if self.faults.lock().unwrap().broken {
            return Poll::Ready(Err(io::Error::other("unplugged")));
        }
        self.link.poll_recv(cx, batch)
    }
    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        transmit: &Transmit,
        bytes: &[u8],
    ) -> Poll<io::Result<()>> {
        {
            let mut faults = self.faults.lock().unwrap();
            let segments = transmit.segment_size.map_or(1, |size| bytes.len().div_ceil(size));
            faults.tried.push((bytes[..bytes.len().min(64)].to_vec(), segments));
            if faults.full {
                faults.waker = Some(cx.waker().clone());
                return Poll::Pending;
            }
            if let Some(error) = faults.errors.pop() {
                return Poll::Ready(Err(error()));
            }
        }
        self.link.poll_send(cx, transmit, bytes)
    }
}

/// Stack A over a faulty link, stack B, the faults of the link, and how often the link was polled.
fn faulty() -> (Stack, Stack, Arc<Mutex<Faults>>, Arc<AtomicUsize>) {
    let net = net();
    let faults = Arc::new(Mutex::new(Faults::default()));
    let polls = Arc::new(AtomicUsize::new(0));
    let link = FaultyLink {
        link: net.link(&[A], PORT),
        faults: Arc::clone(&faults),
        polls: Arc::clone(&polls),
    };
    let a = StackBuilder::new().link(link).seed([1; 32]).build().unwrap();
    (a, stack(&net, B), faults, polls)
}

async fn pair(a: &Stack, b: &Stack) -> (sctp_user::Association, sctp_user::Association) {
    let endpoint = b.bind(7).unwrap();
    endpoint.listen(1).unwrap();
    let client = a.connect(&peer(B, 7)).await.unwrap();
    (client, endpoint.accept().await.unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_full_link_keeps_the_packets_and_gets_them_later() {
    let (a, b, faults, _) = faulty();
    let (client, server) = pair(&a, &b).await;
    faults.lock().unwrap().full = true;
    client.send(text("waits")).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(server.try_recv(), Err(Error::WouldBlock));
    let waker = {
        let mut faults = faults.lock().unwrap();
        faults.full = false;
        faults.tried.clear();
        faults.waker.take().unwrap()
    };
    waker.wake();
    assert_eq!(&server.recv_message().await.unwrap().unwrap().data[..], b"waits");
    assert_eq!(client.stats().data_chunks_retransmitted, 0);
    // Later messages get through too.
    client.send(text("next")).await.unwrap();
    assert_eq!(&server.recv_message().await.unwrap().unwrap().data[..], b"next");
}

#[tokio::test(start_paused = true)]
async fn an_error_about_an_earlier_packet_does_not_lose_this_one() {
    let (a, b, faults, _) = faulty();
    let (client, server) = pair(&a, &b).await;
    faults.lock().unwrap().errors = vec![|| io::ErrorKind::ConnectionRefused.into()];
    client.send(text("sent again at once")).await.unwrap();
    let start = tokio::time::Instant::now();
    server.recv_message().await.unwrap().unwrap();
    assert!(start.elapsed() < Duration::from_millis(50));
    assert_eq!(client.stats().data_chunks_retransmitted, 0);
}

#[tokio::test(start_paused = true)]
async fn packets_that_the_system_drops_are_retransmitted() {
    let (a, b, faults, _) = faulty();
    let (client, server) = pair(&a, &b).await;
    faults.lock().unwrap().errors = vec![|| io::Error::other("no buffer space")];
    client.send(text("lost at first")).await.unwrap();
    assert_eq!(&server.recv_message().await.unwrap().unwrap().data[..], b"lost at first");
    assert_eq!(client.stats().data_chunks_retransmitted, 1);
}

#[cfg(target_os = "linux")]
#[tokio::test(start_paused = true)]
async fn a_packet_too_large_for_the_interface_shrinks_the_path_mtu() {
    let (a, b, faults, _) = faulty();
    let (client, server) = pair(&a, &b).await;
    let before = client.primary_path().unwrap().pmtu;
    faults.lock().unwrap().errors = vec![|| io::Error::from_raw_os_error(90)];
    client.send(Message::new(0, 0, vec![1; 1_200])).await.unwrap();
    assert_eq!(server.recv_message().await.unwrap().unwrap().data.len(), 1_200);
    let after = client.primary_path().unwrap().pmtu;
    assert!(after < before, "{after} < {before}");
}

#[tokio::test(start_paused = true)]
async fn a_broken_link_ends_everything_that_needs_it() {
    let (a, b, faults, _) = faulty();
    let (client, server) = pair(&a, &b).await;
    faults.lock().unwrap().broken = true;
    server.send(text("wakes the driver")).await.unwrap();
    assert_eq!(client.ended().await, Some(EndReason::Lost(LossReason::LocalAbort)));
    a.abort("").await;
    assert!(matches!(a.bind(0), Err(Error::Stopped)));
}

#[tokio::test(start_paused = true)]
async fn an_idle_stack_does_nothing() {
    let (a, b, _, polls) = faulty();
    let (client, server) = pair(&a, &b).await;
    client.send(text("last")).await.unwrap();
    server.recv_message().await.unwrap();
    tokio::time::sleep(Duration::from_secs(10)).await;
    let before = polls.load(Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(600)).await;
    let rounds = polls.load(Ordering::Relaxed) - before;
    // There is a heartbeat each way about every 16 s. Each takes a few rounds, and nothing else
    // does.
    assert!((20..1_000).contains(&rounds), "{rounds} rounds in 10 minutes");
}

#[tokio::test(start_paused = true)]
async fn bulk_data_goes_in_runs_of_packets() {
    let (a, b, faults, _) = faulty();
    let (client, server) = pair(&a, &b).await;
    client.configure(|c| c.max_burst = 0).unwrap();
    let sending = tokio::spawn(async move {
        for _ in 0..100 {
            client.send(Message::new(0, 0, vec![1; 20_000])).await.unwrap();
        }
        client
    });
    for _ in 0..100 {
        server.recv_message().await.unwrap().unwrap();
    }
    let longest = faults.lock().unwrap().tried.iter().map(|(_, segments)| *segments).max();
    assert!(longest.is_some_and(|n| (4..=16).contains(&n)), "{longest:?}");
    drop(sending.await.unwrap());
}

/// Both hosts have a bridge with the same address, and the server lists that address.
#[tokio::test(start_paused = true)]
async fn the_core_learns_the_addresses_of_the_host_before_a_peer_lists_them() {
    let bridge = IpAddr::from([172, 17, 0, 1]);
    let net = net();
    let server_link = net.link(&[B, bridge], PORT);
    let client_link = net.link(&[A, bridge], PORT);
    let (a, b) = (
        StackBuilder::new().link(client_link).build().unwrap(),
        StackBuilder::new().link(server_link).build().unwrap(),
    );
    let config = Some(AssocConfig { announce: Announce::All, ..AssocConfig::default() });
    let options = BindOptions { port: 7, addrs: vec![B, bridge], config, ..BindOptions::default() };
    let endpoint = b.bind(options).unwrap();
    endpoint.listen(4).unwrap();
    let to = peer(B, 7);
    let (client, _server) = tokio::join!(a.connect(&to), endpoint.accept());
    let addrs = client.unwrap().control().peer_addrs().iter().map(|p| p.remote).collect();
    let known: (Vec<IpAddr>, u64) = (addrs, a.stats().own_addresses_left_out);
    assert_eq!(known, (vec![B], 1));
}
