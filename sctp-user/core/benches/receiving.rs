//! What receiving costs: the record of received TSNs, and making messages from chunks.
//!
//! `cargo bench -p sctp-user-core --features bench --bench receiving`
#![expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]

use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sctp_user_core::bench::{Bulk, LoneReceiver, bulk_config};
use sctp_user_core::{Datagram, Time};

/// How many packets are measured at a time.
const BATCH: u32 = 64;

/// Everything arrives in order: packets in, messages out.
fn in_order(c: &mut Criterion) {
    let mut group = c.benchmark_group("in order");
    let now = Time::from_millis(1);
    for size in [16 * 1024, 1024, 64] {
        let mut bulk = Bulk::new(&bulk_config(), size);
        (0..50).for_each(|_| bulk.round(now));
        bulk.drain(now);
        let bytes = 64 * 1024;
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function(format!("{size} B"), |b| {
            b.iter_custom(|iters| {
                let mut total = Duration::ZERO;
                for _ in 0..iters {
                    bulk.queue(now, bytes);
                    let packets = bulk.pair.take_from_client(now);
                    let start = Instant::now();
                    for packet in packets {
                        bulk.pair.server.handle_datagram(packet);
                    }
                    let read = bulk.read(now);
                    total += start.elapsed();
                    assert_eq!(read, bytes as u64, "all of it fits into cwnd");
                    bulk.drain(now);
                }
                total
            });
        });
    }
    group.finish();
}

fn take(receiver: &mut LoneReceiver, packets: Vec<Datagram>) -> Duration {
    let start = Instant::now();
    for packet in packets {
        receiver.take(packet);
    }
    start.elapsed()
}

/// A receiver that has every second TSN up to `2 * holes`, so it misses `holes` TSNs.
fn with_holes(holes: u32) -> LoneReceiver {
    let mut receiver = LoneReceiver::new();
    for i in 1..=holes {
        receiver.take(receiver.message(2 * i, 16));
    }
    receiver.read();
    receiver.acknowledge();
    receiver
}

/// The record of received TSNs when some are missing: a packet after all the holes, and a packet
/// that fills the first hole.
fn tracker(c: &mut Criterion) {
    let mut group = c.benchmark_group("tracker");
    group.sample_size(20);
    for holes in [0, 1, 1000] {
        let mut receiver = with_holes(holes);
        let mut next = 2 * holes + 1;
        group.bench_function(format!("behind {holes} holes"), |b| {
            b.iter_custom(|iters| {
                let mut total = Duration::ZERO;
                let rounds = iters.div_ceil(BATCH.into());
                for _ in 0..rounds {
                    if next > 60_000 {
                        receiver = with_holes(holes);
                        next = 2 * holes + 1;
                    }
                    let packets =
                        (next..next + BATCH).map(|tsn| receiver.message(tsn, 16)).collect();
                    next += BATCH;
                    total += take(&mut receiver, packets);
                    receiver.read();
                    receiver.acknowledge();
                }
                total.mul_f64(iters as f64 / (rounds * u64::from(BATCH)) as f64)
            });
        });
    }
    let mut receiver = with_holes(1000);
    let mut filled = 0;
    group.bench_function("first of 1000 holes", |b| {
        b.iter_custom(|iters| {
            let mut total = Duration::ZERO;
            let rounds = iters.div_ceil(BATCH.into());
            for _ in 0..rounds {
                if filled + BATCH > 1000 {
                    receiver = with_holes(1000);
                    filled = 0;
                }
                let packets =
                    (filled..filled + BATCH).map(|i| receiver.message(2 * i + 1, 16)).collect();
                filled += BATCH;
                total += take(&mut receiver, packets);
                receiver.read();
                receiver.acknowledge();
            }
            total.mul_f64(iters as f64 / (rounds * u64::from(BATCH)) as f64)
        });
    });
    group.finish();
}

/// Messages in many chunks that arrive in three different orders.
fn reassembly(c: &mut Criterion) {
    let mut group = c.benchmark_group("reassembly of 64 chunks");
    for order in ["in order", "backwards", "first chunk last"] {
        let mut receiver = LoneReceiver::new();
        let mut next = 1;
        group.bench_function(order, |b| {
            b.iter_custom(|iters| {
                let mut total = Duration::ZERO;
                for _ in 0..iters {
                    let mut packets = receiver.fragments(next, 64, 1024);
                    match order {
                        "backwards" => packets.reverse(),
                        "first chunk last" => packets.rotate_left(1),
                        _ => {}
                    }
                    next += 64;
                    let start = Instant::now();
                    for packet in packets {
                        receiver.take(packet);
                    }
                    let read = receiver.read();
                    total += start.elapsed();
                    assert_eq!(read, 64 * 1024);
                    receiver.acknowledge();
                }
                total
            });
        });
    }
    group.finish();
}

criterion_group!(benches, in_order, tracker, reassembly);
criterion_main!(benches);
