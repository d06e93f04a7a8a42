//! The first inputs for the fuzzer, taken from simulated associations.

use std::collections::BTreeSet;
use std::time::Duration;

use rand::{Rng, RngExt, SeedableRng};

use crate::sim::{Fate, Link, Recorder, Sim, SimRng};
use crate::wire::{RawChunk, chunk_type};

/// An input for a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seed {
    /// Name of the target.
    pub target: &'static str,
    /// The bytes.
    pub data: Vec<u8>,
}

/// Longer packets would only make the seeds larger.
const LONGEST: usize = 700;

/// The seeds of all targets. They are the same at every call.
pub fn seeds() -> Vec<Seed> {
    let mut all = Vec::new();
    let packets = packets();
    for packet in &packets {
        all.push(Seed { target: "packet", data: packet.clone() });
        let chunks = &packet[12..];
        match chunks[0] {
            chunk_type::INIT | chunk_type::INIT_ACK => {
                all.push(Seed { target: "init", data: chunks[4..].to_vec() });
            }
            chunk_type::COOKIE_ECHO => {
                // The chunk header and the number of the key come first, then what the seal
                // protects.
                let len = usize::from(u16::from_be_bytes([chunks[2], chunks[3]]));
                for how in 0..4 {
                    all.push(Seed {
                        target: "cookie",
                        data: [&[how], &chunks[5..len - 16]].concat(),
                    });
                }
            }
            _ => {}
        }
    }
    let mut rng = SimRng::seed_from_u64(1);
    let known: Vec<&[u8]> = packets.iter().map(|p| &p[12..]).collect();
    for state in 0..24_u8 {
        let mut data = vec![(state % 6) | if state > 12 { 0x80 } else { 0 }];
        for _ in 0..4 {
            let mut chunks = known[rng.random_range(0..known.len())].to_vec();
            // TSNs are relative in this target.
            if matches!(chunks[0], chunk_type::DATA | chunk_type::SACK | chunk_type::SHUTDOWN) {
                chunks[4..8].copy_from_slice(&rng.random_range(0..4_u32).to_be_bytes());
            }
            data.push(rng.random_range(0..16));
            data.extend_from_slice(&(chunks.len() as u16).to_be_bytes());
            data.extend_from_slice(&chunks);
        }
        all.push(Seed { target: "established", data });
    }
    for len in 1..40 {
        let mut data = vec![0; len * 6];
        rng.fill_bytes(&mut data);
        all.push(Seed { target: "sending", data });
    }
    all
}

/// Packets of simulated associations: one for each sequence of shapes of the first three chunks.
fn packets() -> Vec<Vec<u8>> {
    let mut seen = BTreeSet::new();
    let mut packets = Vec::new();
    for seed in 0..12 {
        let mut sim = Sim::new(seed);
        sim.last_words = false;
        let ms = Duration::from_millis(1);
        sim.net.set_default(
            Link::new()
                .delay(5 * ms, 5 * ms)
                .loss(0.1)
                .duplicate(0.1, 30 * ms)
                .reorder(0.2, 20 * ms),
        );
        let addrs: [&[&str]; 2] = match seed % 3 {
            0 => [&["198.18.0.1"], &["198.18.0.2"]],
            1 => [&["198.18.1.1", "198.18.2.1"], &["198.18.1.2", "198.18.2.2"]],
            _ if seed > 6 => {
                [&["2001:db8:1::1"], &["2001:db8:1::2", "2001:db8:2::2", "198.18.2.2"]]
            }
            _ => [&["2001:db8:1::1", "198.18.2.1"], &["2001:db8:1::2", "198.18.2.2"]],
        };
        let hosts = addrs.map(|a| sim.host(a, Recorder::default()));
        for host in hosts {
            sim[host].config.out_streams = seed as u16 + 1;
            sim[host].config.hb_interval = 500 * ms;
            sim[host].use_udp(9899);
        }
        let peer = sim.with(hosts[1], |h, _| h.listen(5000));
        let id = sim.with(hosts[0], |h, now| h.connect(now, &peer));
        for n in 0..6_usize {
            sim.with(hosts[0], |h, now| {
                drop(h.send(now, id, n as u16 % 3, vec![n as u8; 40 * n + 1]))
            });
            sim.run_for(30 * ms);
            if let Some(&back) = sim[hosts[1]].app.accepted.first() {
                sim.with(hosts[1], |h, now| drop(h.send(now, back, 0, vec![n as u8; 700 * n + 1])));
            }
        }
        sim.run_for(3_000 * ms);
        sim.with(hosts[0], |h, now| match seed % 4 {
            3 => drop(h.stack.abort(now, id, "enough".into())),
            _ => drop(h.stack.shutdown(now, id)),
        });
        sim.run_for(3_000 * ms);
        for entry in sim.net.log().filter(|e| e.fate == Fate::Sent) {
            let Some(packet) = entry.packet.packet() else { continue };
            let shape: Vec<_> = packet.chunks().take(3).map(shape_of).collect();
            if packet.len() <= LONGEST && seen.insert(shape) {
                packets.push(packet.bytes().to_vec());
            }
        }
    }
    packets
}

/// Chunks with the same shape look alike: they have the same type and flags and about the same
/// length. Chunks of the setup must have exactly the same length, because their parameters differ.
fn shape_of(chunk: RawChunk<'_>) -> (u8, u8, usize) {
    let setup =
        matches!(chunk.kind, chunk_type::INIT | chunk_type::INIT_ACK | chunk_type::COOKIE_ECHO);
    (chunk.kind, chunk.flags, chunk.value.len() / if setup { 1 } else { 64 })
}
