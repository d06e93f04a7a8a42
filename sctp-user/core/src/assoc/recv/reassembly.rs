//! Makes user messages from DATA chunks: reassembly by TSN, order within streams, partial delivery.

use std::collections::{BTreeMap, VecDeque};

use bytes::{Bytes, BytesMut};

use crate::assoc::path::PathId;
use crate::event::Event;
use crate::serial::Tsn;
use crate::wire::{DataChunk, DataFlags, MessageId};

/// Every chunk counts as at least this many bytes of receive memory.
pub(crate) const MIN_CHARGE: usize = 32;

/// Smaller payloads are copied out of their datagram when they must be held for a while. Otherwise
/// a few bytes would keep a whole received batch in memory.
const COPY_BELOW: usize = 512;

/// When more chunks or messages than this wait, payloads of any size are copied. This bounds the
/// memory that received batches take, whatever else they contain.
const BACKLOG: usize = 64;

/// How many bytes of receive memory a chunk counts as.
pub(crate) fn charge(len: usize) -> usize {
    len.max(MIN_CHARGE)
}

/// A complete message, or a part of one in partial delivery.
#[derive(Debug)]
pub(crate) struct Assembled {
    pub(crate) stream: u16,
    pub(crate) id: MessageId,
    pub(crate) ppid: u32,
    pub(crate) tsn: Tsn,
    pub(crate) unordered: bool,
    pub(crate) end_of_record: bool,
    pub(crate) from: PathId,
    pub(crate) data: Bytes,
    /// How much receive memory it counts as.
    pub(crate) charge: usize,
    /// `data` is a slice of a received batch, and keeps that in memory.
    shared: bool,
}

impl Assembled {
    /// Copies the data, so that the received batch can be freed.
    fn detach(mut self) -> Self {
        if std::mem::take(&mut self.shared) {
            self.data = Bytes::copy_from_slice(&self.data);
        }
        self
    }
}

/// Why a chunk does not fit its neighbours: the peer broke RFC 9260 sec 6.9.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Inconsistent(pub(crate) &'static str);

#[derive(Debug)]
struct Fragment {
    payload: Bytes,
    stream: u16,
    id: MessageId,
    ppid: u32,
    flags: DataFlags,
    from: PathId,
    /// A run is a sequence of neighbouring fragments of one message. In the first slot of a run
    /// this is the TSN of its last slot; in the last slot, the TSN of the first.
    other_end: Tsn,
    /// In the first slot of a run: the user bytes of the whole run.
    run_len: usize,
}

#[derive(Debug)]
enum Slot {
    /// Its chunk has not arrived, or was evicted.
    Empty,
    /// The fragment waits for the rest of its message.
    Held(Fragment),
    /// The chunk was handed on. The flags are kept to check its neighbours.
    Done { begin: bool, end: bool },
}

#[derive(Debug, Default)]
struct Stream {
    /// Number of the next message. With DATA, its low half is the SSN.
    next: u32,
    /// Complete messages that arrived before their turn, by their numbers. (A map frees its
    /// memory.)
    early: BTreeMap<u32, Assembled>,
}

/// A message that is being delivered to the user in parts.
#[derive(Clone, Copy, Debug)]
struct Partial {
    stream: u16,
    id: MessageId,
    unordered: bool,
    next: Tsn,
}

/// A message that was delivered in parts and remains incomplete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CutOff {
    pub(crate) stream: u16,
    pub(crate) ssn: u16,
    /// How many messages and parts the user can read before it is cut off.
    pub(crate) before: usize,
}

impl From<CutOff> for Event {
    fn from(CutOff { stream, ssn, before }: CutOff) -> Event {
        Event::PartialDeliveryAborted { stream, ssn, before }
    }
}

/// Received chunks on their way to the user.
#[derive(Debug)]
pub(crate) struct Reassembly {
    /// Slots of consecutive TSNs. The first belongs to `base`.
    slots: VecDeque<Slot>,
    base: Tsn,
    streams: BTreeMap<u16, Stream>,
    partial: Option<Partial>,
    /// Complete messages that wait for the end of a partial delivery.
    blocked: VecDeque<Assembled>,
    /// Messages that the user can read.
    ready: VecDeque<Assembled>,
    /// Receive memory taken by everything above.
    held: usize,
}

impl Reassembly {
    /// Nothing has been received yet. `initial` is the peer's first TSN.
    pub(crate) fn new(initial: Tsn) -> Self {
        Reassembly {
            slots: VecDeque::new(),
            base: initial,
            streams: BTreeMap::new(),
            partial: None,
            blocked: VecDeque::new(),
            ready: VecDeque::new(),
            held: 0,
        }
    }

    /// How much receive memory is in use.
    pub(crate) fn held(&self) -> usize {
        self.held
    }

    /// True when the user can read something.
    pub(crate) fn is_readable(&self) -> bool {
        !self.ready.is_empty()
    }

    /// True when a part of a message, or a message held for its order, waits for chunks.
    pub(crate) fn is_incomplete(&self) -> bool {
        !self.slots.is_empty()
            || self.partial.is_some()
            || self.streams.values().any(|stream| !stream.early.is_empty())
    }

    /// How many messages or parts the user can read.
    pub(crate) fn ready_len(&self) -> usize {
        self.ready.len()
    }

    /// The next message for the user, without removing it.
    pub(crate) fn front(&self) -> Option<&Assembled> {
        self.ready.front()
    }

    /// Removes the next message for the user.
    pub(crate) fn pop(&mut self) -> Option<Assembled> {
        let message = self.ready.pop_front()?;
        self.held -= message.charge;
        Some(message)
    }

    /// Takes the first of the `among` next messages that came on `stream`, with how many lie before
    /// it.
    pub(crate) fn pop_on(&mut self, stream: u16, among: usize) -> Option<(usize, Assembled)> {
        let before = self.ready.iter().take(among).position(|m| m.stream == stream)?;
        let message = self.ready.remove(before)?;
        self.held -= message.charge;
        Some((before, message))
    }

    /// Inserts a chunk that the tracker called new.
    pub(crate) fn insert(&mut self, chunk: DataChunk, from: PathId) -> Result<(), Inconsistent> {
        let tsn = chunk.tsn;
        if tsn.precedes(self.base) {
            return Ok(());
        }
        let whole = chunk.flags.begin && chunk.flags.end;
        match chunk.id {
            MessageId::Ssn(_) => self.check_neighbours(&chunk)?,
            // Fragments of interleaved messages need not be neighbours. Whole messages are treated
            // alike in both forms.
            MessageId::Mid { .. } if whole => {}
            MessageId::Mid { .. } => {
                return Err(Inconsistent("interleaved fragments were not negotiated"));
            }
        }
        self.held += charge(chunk.payload.len());
        if whole {
            if tsn == self.base && self.slots.is_empty() {
                // The usual case needs no slot: in order, complete, nothing held.
                self.base = tsn.next();
            } else {
                *self.slot_mut(tsn) = Slot::Done { begin: true, end: true };
            }
            let charge = charge(chunk.payload.len());
            self.complete(Assembled {
                stream: chunk.stream,
                id: chunk.id,
                ppid: chunk.ppid,
                tsn,
                unordered: chunk.flags.unordered,
                end_of_record: true,
                from,
                data: chunk.payload,
                charge,
                shared: true,
            });
        } else {
            self.hold(chunk, from);
        }
        self.trim();
        Ok(())
    }

    /// Delivers to the user what has arrived of the first incomplete message. It must be the next
    /// in its stream, and everything before it must have arrived. True when something became
    /// readable.
    pub(crate) fn deliver_partially(&mut self) -> bool {
        if self.partial.is_none() {
            let Some(Slot::Held(first)) = self.slots.front() else { return false };
            let (stream, id, unordered) = (first.stream, first.id, first.flags.unordered);
            let next = self.streams.get(&stream).map_or(0, |s| s.next);
            let in_order = id.distance_from(next) == 0;
            if !first.flags.begin || (!unordered && !in_order) {
                return false;
            }
            self.partial = Some(Partial { stream, id, unordered, next: self.base });
        }
        let delivered = self.continue_partial();
        self.trim();
        delivered
    }

    /// How many bytes of the incomplete message at the front have arrived without a gap.
    pub(crate) fn front_run_len(&self) -> usize {
        match self.slots.front() {
            Some(Slot::Held(first)) => first.run_len,
            _ => 0,
        }
    }

    /// Ends a partial delivery that cannot continue. Messages that waited for its end become
    /// readable.
    pub(crate) fn abort_partial(&mut self) -> Option<CutOff> {
        let p = self.partial.take()?;
        let before = self.ready.len();
        self.ready.append(&mut self.blocked);
        Some(CutOff { stream: p.stream, ssn: p.id.ssn().0, before })
    }

    /// Drops the held fragment with the highest TSN, if that is above `above`, to make room for a
    /// lower one.
    pub(crate) fn evict_highest(&mut self, above: Tsn) -> Option<Tsn> {
        for i in (0..self.slots.len()).rev() {
            let tsn = self.base.plus(i as u32);
            if tsn.at_or_before(above) {
                return None;
            }
            if matches!(self.slots[i], Slot::Held(_))
                && let Slot::Held(fragment) = std::mem::replace(&mut self.slots[i], Slot::Empty)
            {
                self.held -= charge(fragment.payload.len());
                // Shorten the run. This was its last slot, because nothing above it is held.
                let start = fragment.other_end;
                if start != tsn {
                    let left = self.run_len(start) - fragment.payload.len();
                    self.set_run(start, tsn.minus(1), left);
                }
                while matches!(self.slots.back(), Some(Slot::Empty)) {
                    self.slots.pop_back();
                }
                return Some(tsn);
            }
        }
        None
    }

    /// Skips a TSN that is acknowledged but has nothing for the user.
    pub(crate) fn skip(&mut self, tsn: Tsn) {
        if !tsn.precedes(self.base) {
            *self.slot_mut(tsn) = Slot::Done { begin: true, end: true };
            self.trim();
        }
    }

    /// Removes the readable messages, so that they survive a restart of the peer.
    pub(crate) fn take_ready(&mut self) -> VecDeque<Assembled> {
        std::mem::take(&mut self.ready)
    }

    /// Puts readable messages back.
    pub(crate) fn put_ready(&mut self, ready: VecDeque<Assembled>) {
        let charge: usize = ready.iter().map(|m| m.charge).sum();
        self.held += charge;
        self.ready = ready;
    }

    fn index(&self, tsn: Tsn) -> usize {
        tsn.offset_from(self.base) as usize
    }

    fn slot(&self, tsn: Tsn) -> Option<&Slot> {
        if tsn.precedes(self.base) { None } else { self.slots.get(self.index(tsn)) }
    }

    fn fragment(&self, tsn: Tsn) -> Option<&Fragment> {
        match self.slot(tsn) {
            Some(Slot::Held(f)) => Some(f),
            _ => None,
        }
    }

    /// The slot of a TSN at or after `base`. The tracker accepts nothing more than 65 535 ahead,
    /// which limits the ring.
    fn slot_mut(&mut self, tsn: Tsn) -> &mut Slot {
        let i = self.index(tsn);
        while self.slots.len() <= i {
            self.slots.push_back(Slot::Empty);
        }
        &mut self.slots[i]
    }

    fn check_neighbours(&self, chunk: &DataChunk) -> Result<(), Inconsistent> {
        let same = |f: &Fragment| {
            f.stream == chunk.stream
                && f.flags.unordered == chunk.flags.unordered
                && (f.flags.unordered || f.id.same_message(chunk.id))
        };
        // Everything before `base` was handed on as whole messages, except the one in partial
        // delivery.
        if chunk.tsn == self.base
            && !chunk.flags.begin
            && self.partial.is_none_or(|p| p.next != chunk.tsn)
        {
            return Err(Inconsistent("a fragment continues a message that never began"));
        }
        match self.slot(chunk.tsn.minus(1)) {
            Some(Slot::Held(f)) if !f.flags.end && chunk.flags.begin => {
                return Err(Inconsistent("a message begins before the one before it has ended"));
            }
            Some(Slot::Held(f)) if !f.flags.end && !same(f) => {
                return Err(Inconsistent(
                    "fragments of one message differ in stream, SSN or order",
                ));
            }
            Some(Slot::Held(f)) if f.flags.end && !chunk.flags.begin => {
                return Err(Inconsistent("a message continues after its end"));
            }
            Some(Slot::Done { end: true, .. }) if !chunk.flags.begin => {
                return Err(Inconsistent("a message continues after its end"));
            }
            Some(Slot::Done { end: false, .. }) if chunk.flags.begin => {
                return Err(Inconsistent("a message begins before the one before it has ended"));
            }
            _ => {}
        }
        if let Some(p) = self.partial
            && p.next == chunk.tsn
            && (chunk.flags.begin
                || chunk.stream != p.stream
                || chunk.flags.unordered != p.unordered
                || (!p.unordered && !chunk.id.same_message(p.id)))
        {
            return Err(Inconsistent("fragments of one message differ in stream, SSN or order"));
        }
        match self.slot(chunk.tsn.next()) {
            Some(Slot::Held(f)) if !chunk.flags.end && (f.flags.begin || !same(f)) => {
                Err(Inconsistent("fragments of one message differ in stream, SSN or order"))
            }
            Some(Slot::Held(f)) if chunk.flags.end && !f.flags.begin => {
                Err(Inconsistent("a message continues after its end"))
            }
            Some(Slot::Done { begin: true, .. }) if !chunk.flags.end => {
                Err(Inconsistent("a message begins before the one before it has ended"))
            }
            Some(Slot::Done { begin: false, .. }) if chunk.flags.end => {
                Err(Inconsistent("a message continues after its end"))
            }
            _ => Ok(()),
        }
    }

    /// Keeps a fragment and joins it with its neighbours. Hands the message on when it is complete.
    fn hold(&mut self, chunk: DataChunk, from: PathId) {
        let tsn = chunk.tsn;
        let payload = if chunk.payload.len() < COPY_BELOW || self.slots.len() >= BACKLOG {
            Bytes::copy_from_slice(&chunk.payload)
        } else {
            chunk.payload
        };
        let flags = chunk.flags;
        let mut len = payload.len();
        *self.slot_mut(tsn) = Slot::Held(Fragment {
            payload,
            stream: chunk.stream,
            id: chunk.id,
            ppid: chunk.ppid,
            flags,
            from,
            other_end: tsn,
            run_len: len,
        });
        let mut first = tsn;
        let mut last = tsn;
        if !flags.begin
            && let Some(left) = self.fragment(tsn.minus(1))
        {
            first = left.other_end;
            len += self.run_len(first);
        }
        if !flags.end
            && let Some(right) = self.fragment(tsn.next())
        {
            last = right.other_end;
            len += right.run_len;
        }
        self.set_run(first, last, len);
        let begins = self.fragment(first).is_some_and(|f| f.flags.begin);
        let ends = self.fragment(last).is_some_and(|f| f.flags.end);
        if self.partial.is_some_and(|p| p.next == first) {
            self.continue_partial();
        } else if begins
            && ends
            && let Some(message) = self.collect(first, last)
        {
            self.complete(message);
        }
    }

    /// User bytes of the run that begins with `first`.
    fn run_len(&self, first: Tsn) -> usize {
        self.fragment(first).map_or(0, |f| f.run_len)
    }

    fn set_run(&mut self, first: Tsn, last: Tsn, len: usize) {
        if let Slot::Held(f) = self.slot_mut(first) {
            f.other_end = last;
            f.run_len = len;
        }
        if let Slot::Held(f) = self.slot_mut(last) {
            f.other_end = first;
        }
    }

    /// Removes the run `first..=last` from the ring and returns it as one message or a part of one.
    fn collect(&mut self, first: Tsn, last: Tsn) -> Option<Assembled> {
        let count = last.offset_from(first) + 1;
        let total: usize =
            (0..count).filter_map(|i| self.fragment(first.plus(i))).map(|f| f.payload.len()).sum();
        let mut data = BytesMut::with_capacity(total);
        let mut message: Option<Assembled> = None;
        let mut charged = 0;
        for i in 0..count {
            let Slot::Held(f) = std::mem::replace(self.slot_mut(first.plus(i)), Slot::Empty) else {
                continue;
            };
            *self.slot_mut(first.plus(i)) = Slot::Done { begin: f.flags.begin, end: f.flags.end };
            charged += charge(f.payload.len());
            data.extend_from_slice(&f.payload);
            let m = message.get_or_insert_with(|| Assembled {
                stream: f.stream,
                id: f.id,
                ppid: f.ppid,
                tsn: first,
                unordered: f.flags.unordered,
                end_of_record: false,
                from: f.from,
                data: Bytes::new(),
                charge: 0,
                shared: false,
            });
            m.from = f.from;
            m.end_of_record = f.flags.end;
        }
        let mut message = message?;
        message.data = data.freeze();
        message.charge = charged;
        Some(message)
    }

    /// Hands on the next part of the message in partial delivery.
    fn continue_partial(&mut self) -> bool {
        let Some(p) = self.partial else { return false };
        let Some(last) = self.fragment(p.next).map(|f| f.other_end) else { return false };
        let Some(part) = self.collect(p.next, last) else { return false };
        let ends = part.end_of_record;
        self.partial = Some(Partial { next: last.next(), ..p });
        self.make_ready(part);
        if ends {
            self.partial = None;
            if !p.unordered {
                self.advance_stream(p.stream);
            }
            while let Some(message) = self.blocked.pop_front() {
                self.make_ready(message);
            }
        }
        true
    }

    /// A message is complete. Delivers it now, or keeps it until its turn.
    fn complete(&mut self, message: Assembled) {
        if message.unordered {
            self.deliver(message);
            return;
        }
        let id = message.stream;
        let stream = self.streams.entry(id).or_default();
        if message.id.distance_from(stream.next) == 0
            && self.partial.is_none_or(|p| p.unordered || p.stream != id)
        {
            self.deliver(message);
            self.advance_stream(id);
            return;
        }
        let number = stream.next.wrapping_add(message.id.distance_from(stream.next));
        // If the peer used a number twice, one of the messages is lost, and nobody can say which.
        if let Some(doubled) = stream.early.insert(number, message.detach()) {
            self.held -= doubled.charge;
        }
    }

    /// The message with the next SSN of a stream was delivered. Counts it, and delivers those that
    /// waited for it.
    fn advance_stream(&mut self, id: u16) {
        loop {
            let stream = self.streams.entry(id).or_default();
            stream.next = stream.next.wrapping_add(1);
            let Some(message) = stream.early.remove(&stream.next) else { return };
            self.deliver(message);
        }
    }

    fn deliver(&mut self, message: Assembled) {
        if self.partial.is_some() {
            self.blocked.push_back(message.detach());
        } else {
            self.make_ready(message);
        }
    }

    fn make_ready(&mut self, message: Assembled) {
        // A reader that keeps up gets slices of the datagrams. A backlog must not keep them in
        // memory.
        self.ready.push_back(if self.ready.len() >= BACKLOG { message.detach() } else { message });
    }

    /// Removes finished slots from the front. Then `base` is the first TSN that was not handed on.
    fn trim(&mut self) {
        while let Some(Slot::Done { .. }) = self.slots.front() {
            self.slots.pop_front();
            self.base = self.base.next();
        }
    }
}

#[cfg(test)]
mod tests;
