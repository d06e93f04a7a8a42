//! The ledger of a life: who sent which messages, and what happened to each. Both ends share it,
//! and every entry is checked.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use bytes::Bytes;
use rand::{Rng, SeedableRng};
use sctp_user_core::sim::SimRng;
use sctp_user_core::{Message, Received, SendOptions, Time};

use super::scenario::Planned;

/// The PPID of a message identifies it: it is this number plus the number of the message's flow and
/// its number within the flow.
const FIRST_PPID: u32 = 0x4000_0000;
const MESSAGE_BITS: u32 = 16;
/// Size of the pool of random bytes. Messages are slices of it, so that no bytes are copied to make
/// or to compare them.
const POOL: usize = 1 << 20;

/// One process of an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) end: usize,
    /// How often this end was restarted before.
    pub(super) incarnation: u32,
}

/// All messages that one process sent in one incarnation of an association.
pub(super) struct Flow {
    pub(super) process: Process,
    /// Local port and port of the peer.
    ports: (u16, u16),
    pub(super) since: Time,
    /// The number of outbound streams, once it has been negotiated.
    pub(super) streams: Option<u16>,
    messages: Vec<Entry>,
    /// Whether it ended otherwise than by a graceful shutdown.
    pub(super) broken: bool,
    receiver: Option<Process>,
    /// When the association came up for the sender.
    pub(super) up: Option<Time>,
}

struct Entry {
    stream: u16,
    unordered: bool,
    mortal: bool,
    offset: usize,
    len: usize,
    received: bool,
    /// Set if the stack gave it back to the sender; true if nothing of it had been sent.
    failed: Option<bool>,
    /// For messages that are handed over in several parts.
    parts: Option<Parts>,
}

struct Parts {
    planned: Planned,
    /// How many the stack has taken.
    taken: usize,
    /// Those that the stack gave back, one bit each.
    back: u32,
    /// Whether one of those had not been sent.
    unsent: bool,
}

/// What one process has read of one flow.
#[derive(Default)]
pub(super) struct Reading {
    flow: Option<usize>,
    /// For each stream, the last ordered message, and how many there were.
    streams: BTreeMap<u16, (usize, u16)>,
    done: Vec<usize>,
    begun: Option<Begun>,
    /// How many messages will stay incomplete and have not been skipped yet.
    abandoned: u32,
}

/// A message of which only a part has arrived.
struct Begun {
    key: (u16, u16, u32, bool),
    len: usize,
}

/// The ledger of both ends.
#[derive(Default)]
pub(super) struct Ledger {
    pub(super) flows: Vec<Flow>,
    /// When a process of each end was last killed.
    killed: [Option<Time>; 2],
    offset: usize,
    pub(super) delivered_messages: u64,
    pub(super) delivered_bytes: u64,
}

fn pool() -> &'static Bytes {
    static BYTES: OnceLock<Bytes> = OnceLock::new();
    BYTES.get_or_init(|| {
        let mut bytes = vec![0; POOL];
        SimRng::seed_from_u64(0).fill_bytes(&mut bytes);
        bytes.into()
    })
}

impl Ledger {
    /// Opens a flow and returns its number.
    pub(super) fn open(&mut self, process: Process, ports: (u16, u16), since: Time) -> usize {
        assert!(self.flows.len() < 1 << (30 - MESSAGE_BITS), "no more flows than PPIDs can name");
        self.flows.push(Flow {
            process,
            ports,
            since,
            streams: None,
            messages: Vec::new(),
            broken: false,
            receiver: None,
            up: None,
        });
        self.flows.len() - 1
    }

    /// Notes that the process of an end was killed.
    pub(super) fn kill(&mut self, end: usize, now: Time) {
        self.killed[end] = Some(now);
        self.flows.iter_mut().for_each(|flow| flow.broken |= flow.process.end == end);
    }

    /// Makes a message of a flow, `ahead` messages after the next one. It counts as sent only after
    /// a call of [`accepted`](Self::accepted).
    pub(super) fn make(&self, flow: usize, ahead: usize, planned: &Planned) -> Message {
        let number = self.flows[flow].messages.len() + ahead;
        assert!(number < 1 << MESSAGE_BITS, "no more messages than PPIDs can name");
        let offset = self.offset_for(ahead, planned.len);
        Message {
            stream: planned.stream,
            ppid: FIRST_PPID | (flow as u32) << MESSAGE_BITS | number as u32,
            data: pool().slice(offset..offset + planned.part(0).1),
            options: SendOptions {
                unordered: planned.unordered,
                sack_immediately: planned.immediate,
                lifetime: planned.lifetime,
                more_follows: planned.parts > 1,
                context: number as u32,
            },
        }
    }

    /// Makes a later part of a message.
    pub(super) fn part(
        &self,
        flow: usize,
        number: usize,
        part: usize,
        planned: &Planned,
    ) -> Message {
        let (from, len) = planned.part(part);
        let from = self.flows[flow].messages[number].offset + from;
        Message {
            stream: planned.stream,
            ppid: FIRST_PPID | (flow as u32) << MESSAGE_BITS | number as u32,
            data: pool().slice(from..from + len),
            options: SendOptions {
                unordered: planned.unordered,
                sack_immediately: planned.immediate,
                lifetime: None,
                more_follows: part + 1 < planned.parts,
                context: number as u32 | (part as u32) << MESSAGE_BITS,
            },
        }
    }

    /// Notes that the stack took the next part of a message.
    pub(super) fn part_accepted(&mut self, flow: usize, number: usize) {
        let parts = self.flows[flow].messages[number].parts.as_mut();
        parts.expect("it has parts").taken += 1;
    }

    fn offset_for(&self, ahead: usize, len: usize) -> usize {
        (self.offset + ahead * 7_919) % (POOL - len)
    }

    /// Notes that the stack took these messages, or their first parts. Returns the number of the
    /// first message.
    pub(super) fn accepted(&mut self, flow: usize, taken: &[Planned]) -> usize {
        let first = self.flows[flow].messages.len();
        for (ahead, planned) in taken.iter().enumerate() {
            let offset = self.offset_for(ahead, planned.len);
            self.flows[flow].messages.push(Entry {
                stream: planned.stream,
                unordered: planned.unordered,
                mortal: planned.lifetime.is_some(),
                offset,
                len: planned.len,
                received: false,
                failed: None,
                parts: (planned.parts > 1).then(|| Parts {
                    planned: planned.clone(),
                    taken: 1,
                    back: 0,
                    unsent: false,
                }),
            });
        }
        self.offset += taken.len() * 7_919;
        first
    }

    /// Notes that the stack gave a message back.
    pub(super) fn failed(&mut self, process: Process, message: &Message, unsent: bool) {
        let (flow, number) = name(message.ppid);
        let flow = self.flows.get_mut(flow).expect("a message of no flow came back");
        assert_eq!(flow.process, process, "a message came back to somebody else");
        let entry = flow.messages.get_mut(number).expect("a message that was not taken came back");
        let context = message.options.context as usize % (1 << MESSAGE_BITS);
        assert_eq!(context, number, "the context of a message came back changed");
        let (from, len) = match &mut entry.parts {
            None => {
                assert!(entry.failed.is_none(), "message {number} came back twice");
                entry.failed = Some(unsent);
                (0, entry.len)
            }
            Some(parts) => {
                let part = part_of(message);
                assert!(part < parts.taken, "a part that was not taken came back");
                assert!(
                    parts.back & 1 << part == 0,
                    "part {part} of message {number} came back twice"
                );
                parts.back |= 1 << part;
                parts.unsent |= unsent;
                entry.failed = Some(unsent && entry.failed.unwrap_or(true));
                parts.planned.part(part)
            }
        };
        let from = entry.offset + from;
        assert!(message.data == pool().slice(from..from + len), "a message came back changed");
        assert!(
            !(unsent && entry.received),
            "message {number} came back as unsent but was received"
        );
    }

    /// Notes that a process read a message, or a part of one. Its association began at `since`.
    /// `switches` is the number of restarts that the messages have not shown yet.
    pub(super) fn received(
        &mut self,
        reading: &mut Reading,
        process: Process,
        (ports, since): ((u16, u16), Time),
        part: &Received,
        switches: &mut u32,
    ) {
        let (number, at) = name(part.ppid);
        if reading.flow != Some(number) {
            let flow = self.flows.get_mut(number).expect("a message of no flow was received");
            assert_eq!(flow.process.end, 1 - process.end, "a message of this end was received");
            assert_eq!(
                (flow.ports.1, flow.ports.0),
                ports,
                "a message of another association was received"
            );
            if reading.flow.is_some() {
                assert!(
                    *switches > 0,
                    "messages of another incarnation of the association were received"
                );
                *switches -= 1;
            }
            assert!(
                !reading.done.contains(&number),
                "messages of an earlier incarnation were received"
            );
            if let Some(before) = flow.receiver.replace(process) {
                // Data in the packet of a COOKIE ECHO is sent again if the setup has to start over,
                // because the peer died or gave up meanwhile.
                assert!(
                    flow.up.is_none_or(|up| up >= since),
                    "messages of one incarnation were received in two: {before:?} and {process:?}"
                );
                flow.messages.iter_mut().for_each(|m| m.received = false);
            }
            reading.done.extend(reading.flow.replace(number));
            reading.streams.clear();
            // The rest of an unfinished message is lost with its incarnation.
            if reading.begun.take().is_some() {
                assert!(reading.abandoned > 0, "an incarnation ends in the middle of a message");
                reading.abandoned -= 1;
            }
        }
        let flow = &mut self.flows[number];
        let entry = flow.messages.get(at).expect("a message that was never sent was received");
        let what = format_args!(
            "flow {number}, message {at}, {} bytes on stream {}",
            entry.len, entry.stream
        );
        let key = (part.stream, part.ssn, part.ppid, part.unordered);
        let before = match reading.begun.take() {
            None => 0,
            Some(begun) if begun.key == key => begun.len,
            Some(begun) => {
                assert!(
                    reading.abandoned > 0,
                    "{what}: in the middle of message {:x}",
                    begun.key.2
                );
                reading.abandoned -= 1;
                0
            }
        };
        assert_eq!((part.stream, part.unordered), (entry.stream, entry.unordered), "{what}");
        assert!(!entry.received, "{what}: received twice");
        let len = before + part.data.len();
        assert!(len <= entry.len, "{what}: longer than it was sent");
        let sent = &pool()[entry.offset + before..entry.offset + len];
        assert!(
            part.data == sent,
            "{what}: its bytes from {before} on are not those that were sent"
        );
        // The first part of a message in parts may have been sent nevertheless.
        assert!(
            entry.parts.is_some() || entry.failed != Some(true),
            "{what}: it had come back as unsent"
        );
        if !part.end_of_record {
            reading.begun = Some(Begun { key, len });
            return;
        }
        assert_eq!(len, entry.len, "{what}: shorter than it was sent");
        let unsent = entry.parts.as_ref().is_some_and(|parts| parts.unsent);
        assert!(!unsent, "{what}: a part of it had come back as unsent");
        if !entry.unordered {
            let (last, count) = match reading.streams.get(&part.stream) {
                Some(&(last, count)) => (Some(last), count),
                None => (None, 0),
            };
            assert_eq!(part.ssn, count, "{what}: its stream sequence number");
            assert!(last.is_none_or(|last| last < at), "{what}: after message {last:?}");
            let from = last.map_or(0, |last| last + 1);
            let skipped = flow.messages[from..at]
                .iter()
                .position(|e| e.stream == part.stream && !e.unordered && e.failed != Some(true));
            assert!(skipped.is_none(), "{what}: before message {}", from + skipped.unwrap_or(0));
            reading.streams.insert(part.stream, (at, count.wrapping_add(1)));
        }
        flow.messages[at].received = true;
        self.delivered_messages += 1;
        self.delivered_bytes += len as u64;
    }

    /// Checks what must hold when everybody has read everything.
    pub(super) fn check(&self) {
        for (number, flow) in self.flows.iter().enumerate() {
            let (own, peer) = (flow.process.end, 1 - flow.process.end);
            let dies = |end: usize| self.killed[end].is_some_and(|at| at >= flow.since);
            for (at, entry) in flow.messages.iter().enumerate() {
                let what =
                    format_args!("flow {number} of end {own}, message {at} of {} bytes", entry.len);
                let bad_stream = flow.streams.is_some_and(|streams| entry.stream >= streams);
                if entry.parts.as_ref().is_some_and(|parts| parts.taken < parts.planned.parts) {
                    assert!(
                        flow.broken || bad_stream || dies(own) || dies(peer),
                        "{what} was never completed, and the end was graceful"
                    );
                    assert!(!entry.received, "{what} was never completed, but received");
                    continue;
                }
                if !flow.broken
                    && let Some(unsent) = entry.failed
                {
                    assert!(
                        unsent && (entry.mortal || bad_stream),
                        "{what} was given back although the end was graceful"
                    );
                }
                if !entry.received && entry.failed.is_none() && !dies(own) && !dies(peer) {
                    panic!("{what} on stream {} was neither received nor came back", entry.stream);
                }
            }
        }
    }
}

impl Reading {
    /// Whether the rest of a message is still to come.
    pub(super) fn is_within_message(&self) -> bool {
        self.begun.is_some() && self.abandoned == 0
    }

    /// Notes that the rest of a message will not come, after the part that was delivered is read.
    pub(super) fn abandon(&mut self) {
        self.abandoned += 1;
    }
}

/// The number of a part within its message, taken from the context.
fn part_of(message: &Message) -> usize {
    (message.options.context >> MESSAGE_BITS) as usize
}

fn name(ppid: u32) -> (usize, usize) {
    assert_eq!(ppid >> 30, 1, "the PPID {ppid:#x} is not one of ours");
    let rest = ppid & ((1 << 30) - 1);
    ((rest >> MESSAGE_BITS) as usize, (rest & ((1 << MESSAGE_BITS) - 1)) as usize)
}
