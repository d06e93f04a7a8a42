//! Measures the asynchronous API and the driver without sockets: two stacks on one thread exchange
//! packets through queues in memory.
//!
//! `cargo bench -p sctp-user --bench driver`

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sctp_user::link::{Link, RecvBatch, RecvDatagram};
use sctp_user::{
    AssocConfig, Association, Encap, Message, PathAddr, Peer, Stack, StackBuilder, Transmit,
};
use tokio::runtime::Runtime;

const PORT: u16 = 7;
const UDP: Encap = Encap::Udp { remote_port: 9899 };

/// The packets under way in one direction.
#[derive(Default)]
struct Queue {
    packets: VecDeque<RecvDatagram>,
    reader: Option<Waker>,
}

/// One end of a network with no delay and unlimited room.
struct Wire {
    own: IpAddr,
    to_peer: Arc<Mutex<Queue>>,
    from_peer: Arc<Mutex<Queue>>,
}

impl Link for Wire {
    fn handles(&self, encap: Encap) -> bool {
        encap != Encap::Native
    }

    fn max_segments(&self) -> usize {
        44
    }

    fn ip_mtu(&self) -> usize {
        1500
    }

    fn local_udp_port(&self) -> Option<u16> {
        Some(9899)
    }

    fn local_addrs(&self) -> Vec<IpAddr> {
        vec![self.own]
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>, batch: &mut RecvBatch) -> Poll<io::Result<()>> {
        let mut queue = self.from_peer.lock().expect("nobody panics with it");
        if queue.packets.is_empty() {
            queue.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let count = queue.packets.len().min(64);
        batch.datagrams.extend(queue.packets.drain(..count));
        Poll::Ready(Ok(()))
    }

    fn poll_send(
        &mut self,
        _: &mut Context<'_>,
        transmit: &Transmit,
        bytes: &[u8],
    ) -> Poll<io::Result<()>> {
        let mut rest = Bytes::copy_from_slice(bytes);
        let from = PathAddr { local: Some(transmit.path.remote), remote: self.own, encap: UDP };
        let size = transmit.segment_size.unwrap_or(transmit.len);
        let mut queue = self.to_peer.lock().expect("nobody panics with it");
        while !rest.is_empty() {
            let bytes = rest.split_to(size.min(rest.len()));
            queue.packets.push_back(RecvDatagram { from, ecn: None, bytes });
        }
        let reader = queue.reader.take();
        drop(queue);
        reader.into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(()))
    }
}

/// Two stacks, and both ends of an association between them. Keep the stacks while you use the
/// ends.
async fn pair() -> ([Stack; 2], Association, Association) {
    let queues = [Arc::<Mutex<Queue>>::default(), Arc::default()];
    let address = |n| IpAddr::from(Ipv4Addr::new(10, 0, 0, n));
    let config = AssocConfig {
        ip_mtu_udp: 1500,
        send_buffer: 1 << 20,
        recv_buffer: 1 << 20,
        ..AssocConfig::default()
    };
    let stack = |n: usize| {
        let (to_peer, from_peer) = (Arc::clone(&queues[n]), Arc::clone(&queues[1 - n]));
        let link = Wire { own: address(n as u8 + 1), to_peer, from_peer };
        StackBuilder::new()
            .link(link)
            .assoc_config(config.clone())
            .build()
            .expect("the configuration is valid")
    };
    let stacks = [stack(0), stack(1)];
    let server = stacks[1].bind(PORT).expect("the port is free");
    server.listen(1).expect("it is bound");
    let client =
        stacks[0].connect(&Peer::new(address(2), UDP, PORT)).await.expect("the server listens");
    let accepted = server.accept().await.expect("the client has come");
    (stacks, client, accepted)
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime can be built")
}

/// Sends `count` messages, `batch` in each call, and receives them at the other end.
async fn transfer(
    client: &Association,
    server: &Association,
    message: &Message,
    count: u64,
    batch: u64,
) -> Duration {
    let start = Instant::now();
    let send = async {
        for _ in 0..count / batch {
            match batch {
                1 => client.send(message.clone()).await.expect("it is up"),
                _ => {
                    client.send_many(vec![message.clone(); batch as usize]).await.expect("it is up")
                }
            }
        }
    };
    let receive = async {
        let mut parts = Vec::new();
        let mut missing = count / batch * batch * message.data.len() as u64;
        while missing > 0 {
            server.recv_many(&mut parts, 256).await.expect("it is up");
            for incoming in parts.drain(..) {
                if let sctp_user::Incoming::Message(part) = incoming {
                    missing -= part.data.len() as u64;
                }
            }
        }
    };
    tokio::join!(send, receive);
    start.elapsed()
}

fn bulk(c: &mut Criterion) {
    let runtime = runtime();
    let mut group = c.benchmark_group("transfer");
    for (size, batch) in [(16 * 1024, 1u64), (1024, 1), (64, 1), (64, 64)] {
        let (_stacks, client, server) = runtime.block_on(pair());
        let message = Message::new(0, 0, Bytes::from(vec![7; size]));
        let count = (256 * 1024 / size as u64).next_multiple_of(batch);
        group.throughput(Throughput::Bytes(count * size as u64));
        group.bench_function(format!("{size} B, {batch} a call"), |b| {
            b.iter_custom(|iters| {
                runtime.block_on(transfer(&client, &server, &message, iters * count, batch))
            });
        });
    }
    group.finish();
}

fn ping_pong(c: &mut Criterion) {
    let runtime = runtime();
    let (_stacks, client, server) = runtime.block_on(pair());
    let message = Message::new(0, 0, Bytes::from(vec![7; 64]));
    c.bench_function("ping-pong of 64 B", |b| {
        b.iter_custom(|iters| {
            runtime.block_on(async {
                let start = Instant::now();
                let ping = async {
                    for _ in 0..iters {
                        client.send(message.clone()).await.expect("it is up");
                        client.recv_message().await.expect("it is up");
                    }
                };
                let pong = async {
                    for _ in 0..iters {
                        let part = server
                            .recv_message()
                            .await
                            .expect("it is up")
                            .expect("the client is there");
                        server.send(Message::new(0, 0, part.data)).await.expect("it is up");
                    }
                };
                tokio::join!(ping, pong);
                start.elapsed()
            })
        });
    });
}

criterion_group!(benches, bulk, ping_pong);
criterion_main!(benches);
