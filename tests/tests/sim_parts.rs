//! Messages that are handed over in parts (explicit EOR). The peer gets whole messages, in whatever
//! order the parts for several streams are given and whatever the network does.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use rand::{RngExt, SeedableRng};
use sctp_user_core::sim::{Link, Recorder, Sim, SimRng, for_each_seed};
use sctp_user_core::{AssocConfig, Message, SendError, SendOptions};

const MS: Duration = Duration::from_millis(1);
const STREAMS: u16 = 4;

/// A message that is being handed to the stack.
struct Writing {
    parts: VecDeque<Bytes>,
    unordered: bool,
    ppid: u32,
}

fn message(rng: &mut SimRng, ppid: u32) -> Writing {
    let count = [1, 1, 2, 3, 20][rng.random_range(0..5)];
    let parts = (0..count).map(|_| {
        let len = [1, 7, 500, 1400, 5000][rng.random_range(0..5)];
        (0..len).map(|n: u32| (n ^ ppid) as u8).collect::<Vec<u8>>().into()
    });
    Writing { parts: parts.collect(), unordered: rng.random_bool(0.2), ppid }
}

#[test]
fn messages_in_parts_arrive_whole() {
    for_each_seed(0..150, |seed| {
        let mut rng = SimRng::seed_from_u64(seed);
        let mut sim = Sim::new(seed);
        let loss = [0.0, 0.02, 0.1][rng.random_range(0..3)];
        let link = Link::new().delay(5 * MS, 5 * MS).loss(loss).duplicate(0.02, 20 * MS);
        sim.net.set_default(link);
        let a = sim.host(&["10.0.0.1"], Recorder::default());
        let b = sim.host(&["10.0.0.2"], Recorder::default());
        // The buffers are small, so that parts of different streams compete for room.
        sim[a].config =
            AssocConfig { send_buffer: 8192, out_streams: STREAMS, ..AssocConfig::default() };
        let peer = sim.with(b, |host, _| host.listen(5001));
        let id = sim.with(a, |host, now| host.connect(now, &peer));

        let mut ppid = 0;
        let mut writing: Vec<VecDeque<Writing>> = (0..STREAMS).map(|_| VecDeque::new()).collect();
        let mut expected: Vec<(u32, u16, bool, Vec<u8>)> = Vec::new();
        for (stream, queue) in writing.iter_mut().enumerate() {
            for _ in 0..rng.random_range(1..12) {
                ppid += 1;
                let m = message(&mut rng, ppid);
                expected.push((
                    ppid,
                    stream as u16,
                    m.unordered,
                    m.parts.iter().flatten().copied().collect(),
                ));
                queue.push_back(m);
            }
        }
        let mut idle = 0;
        while writing.iter().any(|queue| !queue.is_empty()) {
            let stream = rng.random_range(0..STREAMS);
            let queue = &mut writing[usize::from(stream)];
            let Some(m) = queue.front_mut() else { continue };
            let options = SendOptions {
                unordered: m.unordered,
                more_follows: m.parts.len() > 1,
                ..SendOptions::default()
            };
            let part = Message { stream, ppid: m.ppid, data: m.parts[0].clone(), options };
            match sim.with(a, |host, now| host.stack.send(now, id, part)) {
                Ok(()) => {
                    idle = 0;
                    m.parts.pop_front();
                    if m.parts.is_empty() {
                        queue.pop_front();
                    }
                }
                Err(why) => {
                    assert_eq!(why, SendError::WouldBlock);
                    idle += 1;
                    assert!(idle < 10_000, "the sender is stuck");
                    sim.run_for(10 * MS);
                }
            }
        }
        let all = expected.len();
        let complete = |sim: &mut Sim| {
            sim[b].app.received.iter().filter(|(_, r)| r.end_of_record).count() == all
        };
        assert!(sim.run_until(Duration::from_secs(300), complete), "everything arrives");

        // Join the parts of partial delivery. With DATA chunks, those of a message come one after
        // the other.
        let mut got: Vec<(u32, u16, bool, Vec<u8>)> = Vec::new();
        let mut whole = Vec::new();
        for (_, r) in &sim[b].app.received {
            whole.extend_from_slice(&r.data);
            if r.end_of_record {
                got.push((r.ppid, r.stream, r.unordered, std::mem::take(&mut whole)));
            }
        }
        for stream in 0..STREAMS {
            let ordered = |list: &[(u32, u16, bool, Vec<u8>)]| {
                let of_stream = list.iter().filter(|m| m.1 == stream && !m.2);
                of_stream.map(|m| m.0).collect::<Vec<_>>()
            };
            assert_eq!(ordered(&got), ordered(&expected), "stream {stream}");
        }
        got.sort();
        expected.sort();
        assert!(got == expected, "no message is changed, lost or duplicated");
    });
}
