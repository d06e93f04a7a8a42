//! What whole stacks do: find the association of a packet, set up associations, transfer bulk data
//! in one thread.
//!
//! `cargo bench -p sctp-user-core --features bench --bench stack`
#![expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]

use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sctp_user_core::bench::{Bulk, PORT, Pair, bulk_config};
use sctp_user_core::wire::{Packet, PacketWriter};
use sctp_user_core::{AssocConfig, Datagram, Time, Tsn};

/// Hands in a SACK that acknowledges nothing new. Each packet is for a different association.
fn demultiplexing(c: &mut Criterion) {
    const BATCH: usize = 1024;
    let now = Time::from_millis(1);
    let mut group = c.benchmark_group("demultiplexing");
    for associations in [1u32, 1000, 100_000] {
        let mut pair = Pair::new(&AssocConfig::default());
        let mut sacks = Vec::with_capacity(associations as usize);
        for n in 0..associations {
            let (_, id) = pair.set_up(now, n);
            let tag = pair.server.status(id).expect("the association is up").local_tag;
            let mut bytes = Vec::new();
            let mut writer = PacketWriter::new(&mut bytes, 1472, PORT, PORT, tag);
            // The first TSN is 1.
            writer.sack(Tsn(0), 1 << 18, std::iter::empty(), &[]);
            writer.finish();
            let packet = Packet::check(bytes.into()).expect("our own packet");
            sacks.push(Datagram { at: now, from: Pair::from_client(n), ecn: None, packet });
        }
        let mut server = pair.server;
        let mut at = 0usize;
        let dropped = server.stats().packets_dropped;
        group.bench_function(format!("{associations} associations"), |b| {
            b.iter_custom(|iters| {
                let mut total = Duration::ZERO;
                let rounds = iters.div_ceil(BATCH as u64);
                for _ in 0..rounds {
                    // A prime step, so that consecutive packets do not belong to neighbours in
                    // memory.
                    let batch: Vec<_> = (0..BATCH)
                        .map(|_| {
                            at = (at + 7919) % sacks.len();
                            sacks[at].clone()
                        })
                        .collect();
                    let start = Instant::now();
                    for datagram in batch {
                        server.handle_datagram(datagram);
                    }
                    total += start.elapsed();
                    let mut buf = Vec::new();
                    while server
                        .poll_transmit(
                            now,
                            sctp_user_core::SegmentLimits { native: 1, udp: 44 },
                            &mut buf,
                        )
                        .is_some()
                    {}
                    assert!(buf.is_empty(), "no association answers");
                }
                total.mul_f64(iters as f64 / (rounds * BATCH as u64) as f64)
            });
        });
        assert_eq!(server.stats().packets_dropped, dropped, "every packet finds its association");
    }
    group.finish();
}

/// Sets up an association: four packets, work of both ends. Ending it is not measured.
fn set_up(c: &mut Criterion) {
    const BATCH: u64 = 256;
    let mut group = c.benchmark_group("association");
    group.throughput(Throughput::Elements(1));
    let mut pair = Pair::new(&AssocConfig::default());
    let mut now = Time::from_millis(1);
    group.bench_function("set-up, both ends", |b| {
        b.iter_custom(|iters| {
            let mut total = Duration::ZERO;
            let rounds = iters.div_ceil(BATCH);
            for _ in 0..rounds {
                let start = Instant::now();
                let ids: Vec<_> = (0..BATCH).map(|n| pair.set_up(now, n as u32)).collect();
                total += start.elapsed();
                ids.into_iter().for_each(|ids| pair.tear_down(now, ids));
                now += Duration::from_secs(1);
            }
            total.mul_f64(iters as f64 / (rounds * BATCH) as f64)
        });
    });
    group.finish();
}

/// Bulk transfer with the whole work of both ends, except sockets and driver.
fn bulk(c: &mut Criterion) {
    const BYTES: u64 = 4 << 20;
    let mut group = c.benchmark_group("bulk, both ends in one thread");
    for size in [16 * 1024, 1024, 64] {
        let mut bulk = Bulk::new(&bulk_config(), size);
        let start = Instant::now();
        group.throughput(Throughput::Bytes(BYTES));
        group.bench_function(format!("{size} B"), |b| {
            b.iter(|| {
                let until = bulk.bytes + BYTES;
                while bulk.bytes < until {
                    bulk.round(Time::from_nanos(start.elapsed().as_nanos() as u64));
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, demultiplexing, set_up, bulk);
criterion_main!(benches);
