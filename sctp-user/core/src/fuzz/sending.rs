//! Fuzzes both ends with any sequence of user calls and packet losses, and compares with a model:
//! what was sent is received.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;

use super::input::Input;
use crate::sim::{Host, Link, NodeId, Recorder, Sim, Verdict};
use crate::{AssocConfig, AssocId, Event, Message, SendError, SendOptions, StackConfig};

const MOST_CALLS: usize = 150;
const MOST_BYTES: usize = 60_000;
const HOUR: Duration = Duration::from_secs(3600);

/// One end, and what the model knows about it.
struct End {
    host: NodeId<Host<Recorder>>,
    id: AssocId,
    /// Messages that the stack has taken: stream, number, unordered, length.
    sent: Vec<(u16, u32, bool, usize)>,
    send_buffer: usize,
}

/// First the delay and two bytes of settings for each end. Then calls: a byte that says what to do
/// and at which end, and its arguments.
pub(super) fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let mut sim = Sim::new(1);
    sim.last_words = false;
    sim.net.log_limit = 1;
    let delay = Duration::from_millis(u64::from(input.u8() % 50));
    sim.net.set_default(Link::new().delay(delay, Duration::ZERO));
    // A bit for each of the next packets, the lowest bit first; 1 loses the packet.
    let losses = Arc::new(AtomicU32::new(0));
    let mask = Arc::clone(&losses);
    sim.net.tap(move |_, _| {
        let bits = mask.load(Relaxed);
        mask.store(bits >> 1, Relaxed);
        if bits & 1 != 0 { Verdict::Drop } else { Verdict::Pass }
    });
    let configs = [settings(&mut input), settings(&mut input)];
    let hosts = ["198.18.0.1", "198.18.0.2"].map(|addr| {
        let stack = StackConfig {
            ootb_native: true,
            initial_tsn: Some(u32::MAX - 5),
            ..StackConfig::default()
        };
        sim.host_with(stack, &[addr], Recorder::default())
    });
    for (host, config) in hosts.iter().zip(&configs) {
        sim[*host].config = config.clone();
    }
    let peer = sim.with(hosts[1], |h, _| h.listen(5000));
    let caller = sim.with(hosts[0], |h, now| h.connect(now, &peer));
    assert!(
        sim.run_until(HOUR, |sim| !sim[hosts[1]].app.accepted.is_empty()),
        "the setup takes too long"
    );
    let callee = sim[hosts[1]].app.accepted[0];
    let mut ends = [(0, caller), (1, callee)].map(|(n, id)| End {
        host: hosts[n],
        id,
        sent: Vec::new(),
        send_buffer: configs[n].send_buffer,
    });

    let mut total = 0;
    for _ in 0..MOST_CALLS {
        if input.is_empty() {
            break;
        }
        let what = input.u8();
        let end = &mut ends[usize::from(what >> 7)];
        match what & 15 {
            0..=5 => {
                let (stream, len) = (
                    u16::from(input.u8() % 12),
                    usize::from(input.u16()) * if what & 64 != 0 { 3 } else { 1 },
                );
                if total + len <= MOST_BYTES {
                    total += len;
                    send(&mut sim, end, stream, what & 32 != 0, len);
                }
            }
            6 | 7 => sim.run_for(Duration::from_millis(input.u8().into())),
            8 => sim.run_for(Duration::from_secs(u64::from(input.u8() % 8))),
            9 | 10 => losses.store(input.u32(), Relaxed),
            11 => {
                let reading = input.u8() & 1 != 0;
                set_reading(&mut sim, end, reading);
            }
            12 => {
                let value = input.u8();
                let id = end.id;
                sim.with(end.host, |h, now| {
                    drop(h.stack.configure(now, id, |c| reconfigure(c, value)))
                });
            }
            _ => {
                let id = end.id;
                let status = sim[end.host].stack.status(id).expect("it lives");
                let largest = end.sent.iter().map(|m| m.3).max().unwrap_or(0);
                assert!(status.send_buffered <= end.send_buffer.max(largest));
                assert!(status.recv_buffered <= 2 * (65_536 + 4_096));
            }
        }
    }
    losses.store(0, Relaxed);
    ends.iter_mut().for_each(|end| set_reading(&mut sim, end, true));
    for end in &ends {
        let id = end.id;
        sim.with(end.host, |h, now| h.stack.shutdown(now, id).expect("it is open"));
    }
    let over = |sim: &mut Sim| ends.iter().all(|e| sim[e.host].app.ended(e.id));
    assert!(sim.run_until(10 * HOUR, over), "the associations do not end");
    for (end, other) in [(&ends[0], &ends[1]), (&ends[1], &ends[0])] {
        assert!(sim[end.host].app.saw(end.id, &Event::ShutdownComplete), "not a graceful end");
        check(&sim[end.host].app, &other.sent);
    }
    for end in &ends {
        sim.with(end.host, |h, now| h.stack.release(now, end.id));
        assert_eq!(sim[end.host].stack.stats().associations, 0);
    }
    assert!(sim.run_until_idle(HOUR), "timers left");
}

fn settings(input: &mut Input<'_>) -> AssocConfig {
    let (bits, sizes) = (input.u8(), input.u8());
    let mut config = AssocConfig {
        nodelay: bits & 1 != 0,
        sack_delay: Duration::from_millis(u64::from(bits >> 1 & 3) * 150),
        sack_frequency: u32::from(bits >> 3 & 3) + 1,
        max_burst: u32::from(bits >> 5) * 2,
        recv_buffer: 4_096 + usize::from(sizes & 15) * 4_096,
        send_buffer: 1 + usize::from(sizes >> 4) * 5_000,
        assoc_max_retrans: 10_000,
        max_init_retransmits: 10_000,
        shutdown_guard: Some(100 * HOUR),
        close_timeout: None,
        ..AssocConfig::default()
    };
    if bits & 0x40 != 0 {
        config.max_segment = Some(100);
    }
    config
}

fn reconfigure(config: &mut AssocConfig, value: u8) {
    match value % 4 {
        0 => config.recv_buffer = 4_096 + usize::from(value) * 128,
        1 => config.max_segment = Some(40 + usize::from(value)),
        2 => config.partial_delivery_point = Some(usize::from(value) + 1),
        _ => config.max_burst = u32::from(value) / 16,
    }
}

fn send(sim: &mut Sim, end: &mut End, stream: u16, unordered: bool, len: usize) {
    let number = end.sent.len() as u32;
    let data = pattern(number, len);
    let options = SendOptions { unordered, ..SendOptions::default() };
    let message = Message { stream, ppid: number, data, options };
    let id = end.id;
    let buffered = sim[end.host].stack.status(id).expect("it lives").send_buffered;
    let result = sim.with(end.host, |h, now| h.stack.send(now, id, message));
    let full = buffered > 0 && buffered + len > end.send_buffer;
    let expected = match (len, stream) {
        (0, _) => Err(SendError::Empty),
        (_, 10..) => Err(SendError::InvalidStream { stream, streams: 10 }),
        _ if full => Err(SendError::WouldBlock),
        _ => Ok(()),
    };
    assert_eq!(
        result, expected,
        "{len} bytes on stream {stream} with {buffered} bytes in the buffer"
    );
    if result.is_ok() {
        end.sent.push((stream, number, unordered, len));
    }
}

fn set_reading(sim: &mut Sim, end: &End, reading: bool) {
    let id = end.id;
    sim.with(end.host, |h, now| {
        h.script(now, |app, cx| {
            app.reading = reading;
            if reading {
                app.read_all(cx, id);
            }
        });
    });
}

/// The bytes of a message.
fn pattern(number: u32, len: usize) -> Bytes {
    (0..len)
        .map(|at| (at as u32).wrapping_mul(31).wrapping_add(number) as u8)
        .collect::<Vec<_>>()
        .into()
}

/// Every message has arrived once, unchanged and in order.
fn check(reader: &Recorder, sent: &[(u16, u32, bool, usize)]) {
    let mut got: Vec<(u16, u32, bool, Vec<u8>)> = Vec::new();
    let mut whole = true;
    for (_, part) in &reader.received {
        match got.last_mut().filter(|_| !whole) {
            Some(message) => {
                assert_eq!(
                    (message.0, message.1),
                    (part.stream, part.ppid),
                    "a part of another message"
                );
                message.3.extend_from_slice(&part.data);
            }
            None => got.push((part.stream, part.ppid, part.unordered, part.data.to_vec())),
        }
        whole = part.end_of_record;
    }
    assert!(whole, "the end of a message is missing");
    for (stream, number, unordered, data) in &got {
        let model = sent.get(*number as usize).expect("a message that was sent");
        assert_eq!(
            (*stream, *unordered, data.len()),
            (model.0, model.2, model.3),
            "message {number}"
        );
        assert_eq!(*data, pattern(*number, data.len()), "message {number}");
    }
    for stream in 0..10 {
        let order =
            |number: &u32, unordered: bool, s: u16| (s == stream && !unordered).then_some(*number);
        let want: Vec<u32> = sent.iter().filter_map(|m| order(&m.1, m.2, m.0)).collect();
        let have: Vec<u32> = got.iter().filter_map(|m| order(&m.1, m.2, m.0)).collect();
        assert_eq!(have, want, "stream {stream}");
    }
    let mut all: VecDeque<u32> = got.iter().map(|m| m.1).collect();
    all.make_contiguous().sort_unstable();
    assert!(all.into_iter().eq(sent.iter().map(|m| m.1)), "each message once");
}
