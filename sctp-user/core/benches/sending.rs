//! What sending costs: making packets from messages, and processing SACKs for outstanding chunks.
//!
//! `cargo bench -p sctp-user-core --features bench --bench sending`
#![expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sctp_user_core::bench::{Bulk, LoneSender, bulk_config};
use sctp_user_core::{SegmentLimits, Time};

/// How many SACKs are measured at a time.
const BATCH: u64 = 64;

/// How many packets one transmit may hold, as with GSO.
const LIMITS: SegmentLimits = SegmentLimits { native: 1, udp: 44 };

/// How many chunks are outstanding.
const OUTSTANDING: [u32; 3] = [1, 1000, 60_000];

/// Fills packets with waiting messages. Delivery and acknowledgements are not measured.
fn packetize(c: &mut Criterion) {
    const BYTES: usize = 32 * 1024;
    let mut group = c.benchmark_group("packetize");
    for size in [16 * 1024, 1024, 64] {
        let mut bulk = Bulk::new(&bulk_config(), size);
        let now = Time::from_millis(1);
        while bulk.pair.client.paths(bulk.sender)[0].cwnd < 4 * BYTES as u32 {
            bulk.round(now);
        }
        bulk.drain(now);
        let mut buf = Vec::with_capacity(1 << 17);
        let mut transmits = Vec::new();
        group.throughput(Throughput::Bytes(BYTES as u64));
        group.bench_function(format!("{size} B"), |b| {
            b.iter_custom(|iters| {
                let mut total = Duration::ZERO;
                for _ in 0..iters {
                    bulk.queue(now, BYTES);
                    let start = Instant::now();
                    while let Some(transmit) = bulk.pair.client.poll_transmit(now, LIMITS, &mut buf)
                    {
                        transmits.push(transmit);
                    }
                    total += start.elapsed();
                    assert!(buf.len() > BYTES, "all of it fits into cwnd");
                    bulk.pair.deliver_to_server(now, &transmits, black_box(&mut buf));
                    transmits.clear();
                    bulk.drain(now);
                }
                total
            });
        });
    }
    group.finish();
}

/// A SACK that acknowledges one chunk.
fn sack(c: &mut Criterion) {
    let mut group = c.benchmark_group("sack, one chunk acknowledged");
    for outstanding in OUTSTANDING {
        let batch = BATCH.min(outstanding.into()) as u32;
        // Use several senders where one alone would give too little to measure.
        let mut senders: Vec<_> =
            (0..BATCH as u32 / batch).map(|_| LoneSender::new(outstanding)).collect();
        group.bench_function(format!("{outstanding} outstanding"), |b| {
            b.iter_custom(|iters| {
                let mut total = Duration::ZERO;
                let rounds = iters.div_ceil(BATCH);
                for _ in 0..rounds {
                    let sacks: Vec<Vec<_>> = senders
                        .iter()
                        .map(|s| (1..=batch).map(|i| s.sack(i, &[])).collect())
                        .collect();
                    let start = Instant::now();
                    for (sender, sacks) in senders.iter_mut().zip(sacks) {
                        for sack in sacks {
                            sender.take(sack);
                        }
                    }
                    total += start.elapsed();
                    for sender in &mut senders {
                        sender.acknowledged(batch);
                        sender.send(batch);
                    }
                }
                total.mul_f64(iters as f64 / (rounds * BATCH) as f64)
            });
        });
    }
    group.finish();
}

/// One chunk is missing and all later ones arrive, so each SACK has one gap block, which grows by
/// one.
fn sack_gap(c: &mut Criterion) {
    let mut group = c.benchmark_group("sack, gap block grows by one");
    group.sample_size(10);
    for outstanding in &OUTSTANDING[1..] {
        let half = (outstanding / 2) as u16;
        let fresh = || {
            let mut sender = LoneSender::new(*outstanding);
            let known = sender.sack(0, &[(2, half)]);
            sender.take(known);
            (sender, half)
        };
        let (mut sender, mut end) = fresh();
        group.bench_function(format!("{outstanding} outstanding"), |b| {
            b.iter_custom(|iters| {
                let mut total = Duration::ZERO;
                let rounds = iters.div_ceil(BATCH);
                for _ in 0..rounds {
                    if u64::from(end) + BATCH > u64::from(*outstanding) {
                        (sender, end) = fresh();
                    }
                    let sacks: Vec<_> =
                        (1..=BATCH as u16).map(|i| sender.sack(0, &[(2, end + i)])).collect();
                    end += BATCH as u16;
                    let start = Instant::now();
                    for sack in sacks {
                        sender.take(sack);
                    }
                    total += start.elapsed();
                }
                total.mul_f64(iters as f64 / (rounds * BATCH) as f64)
            });
        });
    }
    group.finish();
}

criterion_group!(benches, packetize, sack, sack_gap);
criterion_main!(benches);
