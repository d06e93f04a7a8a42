//! Rules about DATA.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, HashMap};
use std::hash::{Hash as _, Hasher as _};
use std::net::IpAddr;

use super::events::Seen;
use super::flows::{Flows, Key};
use super::packet::{Chunk, ahead, be16, be32};
use super::{Judge, Place, rules};

/// The DATA of a flow.
#[derive(Debug, Default)]
pub(super) struct Sent {
    /// The TSN of offset 0: the initial one, or the first one that was captured.
    base: Option<u32>,
    /// Whether the base is the initial TSN.
    begun: bool,
    pub(super) chunks: BTreeMap<i64, Record>,
    /// The cumulative acknowledgements that went further than those before, with their times.
    acks: BTreeMap<i64, u64>,
}

/// A DATA chunk, as it was first sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record {
    pub(super) place: Place,
    to: IpAddr,
    /// Bytes of user data.
    pub(super) len: usize,
    content: Content,
}

/// The fields that a retransmission must not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Content {
    stream: u16,
    ssn: u16,
    ppid: u32,
    flags: u8,
    hash: u64,
}

const END: u8 = 1;
const BEGIN: u8 = 2;
const UNORDERED: u8 = 4;

impl Content {
    fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    fn is_ordered(self) -> bool {
        !self.has(UNORDERED)
    }
}

impl Sent {
    /// Sets the initial TSN. Returns true if it is new.
    pub(super) fn begin(&mut self, tsn: u32) -> bool {
        if self.begun && self.base == Some(tsn) {
            return false;
        }
        *self = Sent { base: Some(tsn), begun: true, ..Sent::default() };
        true
    }

    /// The place of a TSN in the flow; `None` if the initial TSN is not known.
    pub(super) fn offset(&self, tsn: u32) -> Option<i64> {
        self.base.filter(|_| self.begun).map(|base| ahead(base, tsn))
    }

    /// The offset of the highest TSN that was sent; -1 before the first.
    pub(super) fn highest(&self) -> i64 {
        self.chunks.last_key_value().map_or(-1, |(offset, _)| *offset)
    }

    pub(super) fn tsn(&self, offset: i64) -> u32 {
        self.base.unwrap_or(0).wrapping_add(offset as u32)
    }

    /// Notes a cumulative acknowledgement.
    pub(super) fn acknowledged(&mut self, offset: i64, time: u64) {
        if self.acks.last_key_value().is_none_or(|(last, _)| *last < offset) {
            self.acks.insert(offset, time);
        }
    }
}

/// Judges a DATA chunk.
pub(super) fn take(
    flows: &mut Flows,
    judge: &mut Judge<'_>,
    seen: &Seen,
    key: Key,
    chunk: Chunk<'_>,
) {
    let value = chunk.value;
    let (Some(tsn), Some(stream), Some(ssn), Some(ppid), Some(bytes)) =
        (be32(value, 0), be16(value, 4), be16(value, 6), be32(value, 8), value.get(12..))
    else {
        return;
    };
    let limits = flows.offer_of_sender(key).zip(flows.offers.get(&key));
    let streams = limits.map(|(sender, receiver)| sender.outbound.min(receiver.inbound));
    judge.fault_if(streams.is_some_and(|n| stream >= n), &rules::STREAMS_NEGOTIATED, seen, || {
        format!("stream {stream}, although there are only {}", streams.unwrap_or(0))
    });
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    let flags = chunk.flags & (BEGIN | END | UNORDERED);
    let content = Content { stream, ssn, ppid, flags, hash: hasher.finish() };
    let record = Record { place: seen.into(), to: seen.dst, len: bytes.len(), content };

    let flow = flows.flow(key);
    let sent = &mut flow.sent;
    let offset = ahead(*sent.base.get_or_insert(tsn), tsn);
    if sent.begun && offset < 0 {
        judge.fault(&rules::INITIAL_TSN, seen, format!("TSN {tsn} is before the initial one"));
        return;
    }
    if let Some(first) = sent.chunks.get(&offset) {
        judge.fault_if(
            first.content != content || first.len != record.len,
            &rules::SAME_RETRANSMISSION,
            seen,
            || format!("TSN {tsn} carries something else than in packet {}", first.place.number),
        );
        if first.place.file == seen.file || (first.place.from, first.to) != (seen.src, seen.dst) {
            flow.window.sent_again();
        }
        // Several links may each capture the same packet. It was sent again only if it is in the
        // same capture twice.
        let acked = sent.acks.range(offset..).next().map(|(_, time)| *time);
        let again = first.place.file == seen.file
            && acked.is_some_and(|acked| acked + 1_000_000 < seen.time);
        judge.fault_if(again, &rules::NOT_AGAIN, seen, || {
            format!("TSN {tsn} was acknowledged long ago")
        });
    } else {
        let highest = sent.highest();
        let hole = (sent.begun || highest >= 0) && offset > highest + 1;
        judge.fault_if(hole, &rules::TSNS_CONSECUTIVE, seen, || {
            format!("TSN {tsn} follows {}", sent.tsn(highest))
        });
        sent.chunks.insert(offset, record);
        if sent.begun {
            flow.window.sent(judge, sent, seen, bytes.len());
        }
    }
    if judge.is_near(seen.file, seen.dst) && !judge.options.disturbed {
        flow.timing.received(offset, seen);
    }
}

/// Judges how messages were fragmented and numbered.
pub(super) fn end(judge: &mut Judge<'_>, sent: &Sent) {
    let mut numbers: HashMap<u16, u16> = HashMap::new();
    // While no TSN is missing, the first message of a new stream must have number 0.
    let mut from_begin = sent.begun;
    let mut last: Option<(i64, Content)> = None;
    for (&offset, record) in &sent.chunks {
        let content = record.content;
        let tsn = sent.tsn(offset);
        let previous = last.filter(|(at, _)| at + 1 == offset).map(|(_, content)| content);
        if previous.is_none() && !(from_begin && offset == 0) {
            (from_begin, numbers) = (false, HashMap::new());
        }
        last = Some((offset, content));
        let begins = previous.map_or(from_begin && offset == 0, |previous| previous.has(END));
        if let Some(what) = wrong_fragment(previous, content, begins) {
            judge.fault(&rules::FRAGMENTS, record.place, format!("TSN {tsn} {what}"));
        }
        if content.is_ordered() && content.has(BEGIN) {
            let due = numbers.get(&content.stream).copied().or(from_begin.then_some(0));
            judge.fault_if(
                due.is_some_and(|due| due != content.ssn),
                &rules::SSNS_CONSECUTIVE,
                record.place,
                || {
                    format!(
                        "TSN {tsn}: number {} in stream {}, where {due:?} is due",
                        content.ssn, content.stream
                    )
                },
            );
            numbers.insert(content.stream, content.ssn.wrapping_add(1));
        }
    }
}

fn wrong_fragment(
    previous: Option<Content>,
    content: Content,
    begins: bool,
) -> Option<&'static str> {
    if begins {
        return (!content.has(BEGIN)).then_some("begins no message, and the one before has ended");
    }
    let previous = previous?;
    if content.has(BEGIN) {
        return Some("begins a message before the last one has ended");
    }
    let of = |c: Content| (c.stream, c.ppid, c.is_ordered(), c.is_ordered().then_some(c.ssn));
    (of(previous) != of(content)).then_some("goes on with another message than the TSN before")
}
