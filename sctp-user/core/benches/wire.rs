//! Reading and writing packets.
//!
//! `cargo bench -p sctp-user-core --bench wire`

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sctp_user_core::wire::{DataFlags, Packet, PacketWriter};
use sctp_user_core::{Ssn, Tsn};

/// User bytes of a full packet with one chunk: 1452 bytes with the headers.
const FULL: usize = 1424;

/// The packets measured: name, number of chunks, user bytes of each chunk.
const SHAPES: [(&str, usize, usize); 3] = [("1x1424", 1, FULL), ("1x16", 1, 16), ("17x64", 17, 64)];

const WHOLE: DataFlags = DataFlags { begin: true, end: true, unordered: false, immediate: false };

fn write(buf: &mut Vec<u8>, chunks: usize, payload: &[u8]) -> usize {
    let mut writer = PacketWriter::new(buf, 1472, 1, 2, 0x0102_0304);
    for i in 0..chunks {
        writer.data(Tsn(i as u32), 0, Ssn(i as u16), 0, WHOLE, payload);
    }
    writer.finish()
}

fn packets(c: &mut Criterion) {
    let mut group = c.benchmark_group("packet");
    for (name, chunks, size) in SHAPES {
        let payload = vec![7; size];
        let mut buf = Vec::new();
        let len = write(&mut buf, chunks, &payload);
        group.throughput(Throughput::Bytes(len as u64));
        let bytes = Bytes::from(buf.clone());
        group.bench_function(format!("check/{name}"), |b| {
            b.iter(|| Packet::check(black_box(bytes.clone())))
        });
        let packet = Packet::check(bytes).expect("our own packet");
        group.bench_function(format!("parse/{name}"), |b| {
            b.iter(|| {
                for chunk in packet.chunks() {
                    let _ = black_box(chunk.decode(&packet));
                }
            });
        });
        group.bench_function(format!("write/{name}"), |b| {
            b.iter(|| {
                buf.clear();
                write(black_box(&mut buf), chunks, black_box(&payload))
            });
        });
    }
    group.finish();
}

fn sacks(c: &mut Criterion) {
    let mut group = c.benchmark_group("sack");
    for gaps in [0u16, 1, 300] {
        let blocks: Vec<_> = (1..=gaps).map(|i| (4 * i, 4 * i + 1)).collect();
        let mut buf = Vec::new();
        let mut write = || {
            buf.clear();
            let mut writer = PacketWriter::new(&mut buf, 1472, 1, 2, 3);
            writer.sack(Tsn(1), 1 << 20, blocks.iter().copied(), &[]);
            writer.finish();
            Bytes::copy_from_slice(&buf)
        };
        group.bench_function(format!("write/{gaps} gaps"), |b| b.iter(|| black_box(write())));
        let packet = Packet::check(write()).expect("our own packet");
        group.bench_function(format!("parse/{gaps} gaps"), |b| {
            b.iter(|| {
                let chunk = packet.chunks().next().expect("one chunk");
                match chunk.decode(black_box(&packet)) {
                    Ok(sctp_user_core::wire::Chunk::Sack(sack)) => {
                        sack.gaps().map(|(_, end)| u32::from(end)).sum()
                    }
                    _ => 0,
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, packets, sacks);
criterion_main!(benches);
