//! How fast the core is by itself: two stacks back to back in one thread, no sockets, no driver.
//!
//! `cargo run --release -p sctp-user-core --example core_bulk [message size] [seconds]`. Prints the user data that arrived per
//! second, both ends, checksums and the copy into and out of datagrams included, and the packets it took.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use sctp_user_core::wire::Packet;
use sctp_user_core::{
    AssocConfig, AssocId, Datagram, Encap, Message, PathAddr, Peer, SegmentLimits, Stack, StackConfig, Time,
};

const PORT: u16 = 5001;
const UDP: Encap = Encap::Udp { remote_port: 9899 };

/// Carries everything that `from` has to send to `to`, a batch of up to 44 packets at a time as GSO and GRO would.
fn carry(now: Time, from: &mut Stack, to: &mut Stack, source: PathAddr, buf: &mut Vec<u8>) -> u64 {
    let limits = SegmentLimits { native: 1, udp: 44 };
    let mut packets = 0;
    while let Some(transmit) = from.poll_transmit(now, limits, buf) {
        // One allocation per batch, as the driver makes it.
        let mut batch = BytesMut::from(&buf[..]).freeze();
        buf.clear();
        let size = transmit.segment_size.unwrap_or(transmit.len);
        while !batch.is_empty() {
            let packet =
                Packet::check(batch.split_to(size.min(batch.len()))).expect("our own packets are valid");
            to.handle_datagram(Datagram { at: now, from: source, ecn: None, packet });
            packets += 1;
        }
    }
    packets
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
fn run(size: usize, time: Duration) {
    let config = AssocConfig {
        ip_mtu_udp: 1500,
        send_buffer: 4 << 20,
        recv_buffer: 4 << 20,
        max_burst: 0,
        ..AssocConfig::default()
    };
    let ip = |n| IpAddr::from([10, 0, 0, n]);
    let addr = |own, peer| PathAddr { local: Some(ip(own)), remote: ip(peer), encap: UDP };
    let mut a = Stack::new(StackConfig::default(), [1; 32]);
    let mut b = Stack::new(StackConfig::default(), [2; 32]);
    a.bind(PORT, &[], config.clone()).expect("the port is free");
    b.bind(PORT, &[], config).expect("the port is free");
    b.listen(PORT, 1).expect("the port is bound");
    let start = Instant::now();
    let id =
        a.connect(Time::ZERO, PORT, &Peer::new(ip(2), UDP, PORT), None).expect("there is no association yet");
    let mut accepted: Option<AssocId> = None;
    let message = Message::new(0, 0, Bytes::from(vec![7; size]));
    let mut buf = Vec::with_capacity(1 << 17);
    let (mut bytes, mut packets, mut sacks, mut now) = (0u64, 0u64, 0u64, Time::ZERO);
    while now.as_nanos() < time.as_nanos() as u64 {
        now = Time::from_nanos(start.elapsed().as_nanos() as u64);
        // A sender keeps a send buffer's worth of small messages waiting, as programs do.
        let mut queued = 0;
        while queued < 256 * 1024 && a.send(now, id, message.clone()).is_ok() {
            queued += size;
        }
        packets += carry(now, &mut a, &mut b, addr(2, 1), &mut buf);
        accepted = accepted.or_else(|| b.accept(PORT));
        if let Some(id) = accepted {
            while let Some(message) = b.recv(now, id) {
                bytes += message.data.len() as u64;
            }
        }
        sacks += carry(now, &mut b, &mut a, addr(1, 2), &mut buf);
        a.handle_timeout(now);
        b.handle_timeout(now);
        while a.poll_event().is_some() {}
        while b.poll_event().is_some() {}
    }
    let seconds = start.elapsed().as_secs_f64();
    let stats = a.assoc_stats(id).expect("the association lives");
    println!(
        "{size:6} B: {:7.2} Gbit/s  {:9.0} messages/s  {:7.0} packets/s  {:6.0} SACK packets/s  {} of {} chunks sent again  cwnd {}",
        bytes as f64 * 8.0 / seconds / 1e9,
        bytes as f64 / size as f64 / seconds,
        packets as f64 / seconds,
        sacks as f64 / seconds,
        stats.data_chunks_retransmitted,
        stats.data_chunks_sent,
        a.paths(id)[0].cwnd,
    );
}

fn main() {
    let mut args =
        std::env::args().skip(1).map(|a| a.parse::<u64>().expect("message size and seconds are numbers"));
    let size = args.next();
    let time = Duration::from_secs(args.next().unwrap_or(3));
    match size {
        Some(size) => run((size as usize).max(1), time),
        None => [16 * 1024, 64, 1024, 1 << 20].into_iter().for_each(|size| run(size, time)),
    }
}
