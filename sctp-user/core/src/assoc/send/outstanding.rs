//! Chunks that have a TSN and are not cumulatively acknowledged: a ring addressed by the offset from the
//! cumulative TSN, and what a SACK does to it (RFC 9260 sec 6.2.1, 6.3, 7.2.4).

use std::collections::VecDeque;
use std::sync::Arc;

use super::queue::Fragment;
use super::slot::{Slot, State, window_cost};
use crate::addr::Message;
use crate::assoc::path::PathId;
use crate::assoc::paths::PathSet;
use crate::serial::Tsn;
use crate::time::{Duration, Time};
use crate::wire::SackChunk;

/// Most chunks outstanding at a time: gap blocks reach 65 535 beyond the cumulative TSN, and so no more ordered
/// messages of a stream can be unacknowledged than SSNs can tell apart (RFC 9260 sec 6.5).
pub(crate) const MAX_OUTSTANDING: usize = 65_000;

/// Miss indications that trigger a fast retransmit.
const FAST_RETRANSMIT_MISSES: u8 = 3;

/// What a SACK did to one path.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PathAck {
    /// Bytes newly acknowledged.
    pub(crate) newly_acked: u32,
    /// Bytes in flight before.
    pub(crate) flight_before: u32,
    /// The lowest outstanding TSN of the path was acknowledged (rule R3).
    pub(crate) lowest_acked: bool,
    /// Bytes of the largest chunk acknowledged that went to this path only.
    pub(crate) largest: u32,
    /// A chunk was acknowledged that went to this path only.
    pub(crate) proves_path: bool,
    /// A round-trip time.
    pub(crate) rtt: Option<Duration>,
    /// Chunks newly marked for fast retransmit.
    pub(crate) marked: u32,
    seen_unacked: bool,
}

/// What became of a SACK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SackVerdict {
    /// Older than what is known: ignored as a whole.
    Old,
    /// It acknowledges what was never sent: protocol violation.
    Unsent,
    /// Processed.
    Taken,
}

/// The ring.
#[derive(Debug)]
pub(crate) struct Outstanding {
    pub(super) slots: VecDeque<Slot>,
    /// Highest TSN cumulatively acknowledged; slot 0 has the TSN after it.
    cum_ack: Tsn,
    pub(super) payload_bytes: usize,
    pub(super) window_used: usize,
    pub(super) in_flight_chunks: u32,
    pub(super) lost: u32,
    /// No slot before this one is marked lost.
    lost_hint: usize,
    /// Slots up to here (exclusive) may be gap-acknowledged.
    gap_end: usize,
    /// While in fast recovery: its exit point.
    recovery_exit: Option<Tsn>,
    scratch: Vec<PathAck>,
}

impl Outstanding {
    /// Empty; the first chunk will get `initial_tsn`.
    pub(crate) fn new(initial_tsn: Tsn) -> Self {
        Outstanding {
            slots: VecDeque::new(),
            cum_ack: initial_tsn.minus(1),
            payload_bytes: 0,
            window_used: 0,
            in_flight_chunks: 0,
            lost: 0,
            lost_hint: 0,
            gap_end: 0,
            recovery_exit: None,
            scratch: Vec::new(),
        }
    }

    /// The TSN the next new chunk gets.
    pub(crate) fn next_tsn(&self) -> Tsn {
        self.cum_ack.plus(self.slots.len() as u32).next()
    }

    /// Everything sent is acknowledged.
    pub(crate) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// No more chunks may be outstanding.
    pub(crate) fn is_full(&self) -> bool {
        self.slots.len() >= MAX_OUTSTANDING
    }

    /// Chunks not cumulatively acknowledged.
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// User bytes of the first chunk not cumulatively acknowledged.
    pub(crate) fn first_len(&self) -> Option<usize> {
        self.slots.front().map(|slot| slot.payload.len())
    }

    /// User bytes not cumulatively acknowledged.
    pub(crate) fn payload_bytes(&self) -> usize {
        self.payload_bytes
    }

    /// Bytes of the peer's window that the chunks in flight are taken to need.
    pub(crate) fn window_used(&self) -> usize {
        self.window_used
    }

    /// True when at least one chunk is in flight.
    pub(crate) fn any_in_flight(&self) -> bool {
        self.in_flight_chunks > 0
    }

    /// Chunks marked for retransmission.
    pub(crate) fn lost(&self) -> u32 {
        self.lost
    }

    /// In fast recovery (RFC 9260 sec 7.2.4).
    pub(crate) fn in_fast_recovery(&self) -> bool {
        self.recovery_exit.is_some()
    }

    /// A new chunk was sent to `path`.
    pub(crate) fn push(&mut self, fragment: Fragment, path: PathId, now: Time, paths: &mut PathSet) -> Tsn {
        let tsn = self.next_tsn();
        let slot = Slot::sent(fragment, path, now);
        let p = paths.get_mut(path);
        p.flight += slot.size();
        if p.rtt_tsn.is_none() {
            p.rtt_tsn = Some(tsn);
        }
        self.payload_bytes += slot.payload.len();
        self.window_used += window_cost(slot.payload.len());
        self.in_flight_chunks += 1;
        self.slots.push_back(slot);
        tsn
    }

    /// The next chunk marked for retransmission to `path` at index `from` or later.
    pub(crate) fn next_lost(&mut self, path: PathId, from: usize) -> Option<usize> {
        if self.lost == 0 {
            return None;
        }
        let mut i = from.max(self.lost_hint);
        let mut skipped_lost = from > self.lost_hint;
        while let Some(slot) = self.slots.get(i) {
            if slot.state == State::Lost {
                if slot.path == path {
                    return Some(i);
                }
                skipped_lost = true;
            } else if !skipped_lost {
                self.lost_hint = i + 1;
            }
            i += 1;
        }
        None
    }

    /// The chunk at an index and its TSN.
    pub(crate) fn get(&self, index: usize) -> Option<(Tsn, &Slot)> {
        self.slots.get(index).map(|slot| (self.cum_ack.plus(index as u32).next(), slot))
    }

    /// The lost chunk at `index` was sent again, to the path it is marked for.
    pub(crate) fn retransmitted(&mut self, index: usize, now: Time, paths: &mut PathSet) {
        let Some(slot) = self.slots.get_mut(index) else { return };
        slot.state = State::InFlight;
        slot.sent_at = now;
        slot.misses = 0;
        slot.transmissions = slot.transmissions.saturating_add(1);
        self.lost -= 1;
        self.window_used += window_cost(slot.payload.len());
        self.in_flight_chunks += 1;
        let (path, size) = (slot.path, slot.size());
        let p = paths.get_mut(path);
        p.flight += size;
        p.lost -= 1;
        // Karn: nothing outstanding gives a usable round-trip time any more.
        for p in paths.iter_mut() {
            p.rtt_tsn = None;
        }
    }

    /// Index of the lowest chunk in flight on a path.
    pub(crate) fn is_lowest_on_path(&self, index: usize) -> bool {
        let Some(slot) = self.slots.get(index) else { return false };
        !self.slots.iter().take(index).any(|s| s.path == slot.path && s.state == State::InFlight)
    }

    /// T3-rtx of `from` expired: all its chunks in flight are to be sent to `to` (rule E3). Fast recovery ends.
    pub(crate) fn on_t3(&mut self, from: PathId, to: PathId, paths: &mut PathSet) {
        for (i, slot) in self.slots.iter_mut().enumerate() {
            if slot.path != from || !slot.is_outstanding() {
                continue;
            }
            if slot.state == State::InFlight {
                paths.get_mut(from).flight -= slot.size();
                self.window_used -= window_cost(slot.payload.len());
                self.in_flight_chunks -= 1;
                self.lost += 1;
                slot.state = State::Lost;
                self.lost_hint = self.lost_hint.min(i);
            } else {
                paths.get_mut(from).lost -= 1;
            }
            slot.misses = 0;
            slot.several_paths |= from != to;
            slot.path = to;
            paths.get_mut(to).lost += 1;
        }
        paths.get_mut(from).rtt_tsn = None;
        self.recovery_exit = None;
    }

    /// Marks everything in flight to be sent again, to `target`, without blaming the network. For the time before
    /// the association is established, when paths may still come and go: what the chunks knew about paths is void.
    pub(crate) fn rehome(&mut self, target: PathId, paths: &mut PathSet) {
        for path in paths.iter_mut() {
            path.flight = 0;
            path.lost = 0;
            path.t3 = None;
            path.rtt_tsn = None;
        }
        self.window_used = 0;
        self.in_flight_chunks = 0;
        self.lost = 0;
        self.lost_hint = 0;
        self.recovery_exit = None;
        for slot in &mut self.slots {
            slot.path = target;
            slot.misses = 0;
            if slot.is_outstanding() {
                slot.state = State::Lost;
                self.lost += 1;
            }
        }
        let path = paths.get_mut(target);
        path.lost = self.lost;
        path.retransmit_now = self.lost > 0;
    }

    /// Processes the acknowledgements of a SACK, or of a SHUTDOWN (`gaps` empty and `reneging` false, because a
    /// SHUTDOWN says nothing about gaps). The results per path are in [`path_acks`](Self::path_acks).
    pub(crate) fn on_sack(
        &mut self,
        cum_tsn: Tsn,
        sack: Option<&SackChunk<'_>>,
        now: Time,
        paths: &mut PathSet,
    ) -> SackVerdict {
        if cum_tsn.precedes(self.cum_ack) {
            return SackVerdict::Old;
        }
        let advance = cum_tsn.offset_from(self.cum_ack) as usize;
        if advance > self.slots.len() {
            return SackVerdict::Unsent;
        }
        let highest_gap =
            sack.map_or(0, |s| valid_gaps(s).map(|(_, end)| usize::from(end)).max().unwrap_or(0));
        if advance + highest_gap > self.slots.len() {
            return SackVerdict::Unsent;
        }

        self.scratch.clear();
        self.scratch.extend(paths.iter().map(|p| PathAck { flight_before: p.flight, ..PathAck::default() }));
        let mut highest_newly_acked = None;
        for i in 0..advance {
            let Some(mut slot) = self.slots.pop_front() else { break };
            let tsn = self.cum_ack.plus(i as u32).next();
            if slot.is_outstanding() {
                self.ack(&mut slot, tsn, now, paths);
                highest_newly_acked = Some(0);
            }
            self.payload_bytes -= slot.payload.len();
        }
        self.cum_ack = cum_tsn;
        self.lost_hint = self.lost_hint.saturating_sub(advance);
        self.gap_end = self.gap_end.saturating_sub(advance);

        let reneged_end = match sack {
            Some(sack) => self.apply_gaps(sack, highest_gap, &mut highest_newly_acked, now, paths),
            // Had the peer still the chunk after it, it would acknowledge that one, too. Without gap blocks nothing else
            // tells that it was taken back, and nobody would send it again.
            None => usize::from(self.take_back_first(paths)),
        };
        // In fast recovery an advancing cumulative TSN accuses everything that the SACK reports missing.
        let accused = match highest_newly_acked {
            Some(_) if self.recovery_exit.is_some() && advance > 0 => highest_gap,
            Some(highest) => highest,
            None => 0,
        };
        self.count_misses(accused, reneged_end, paths);
        if self.recovery_exit.is_some_and(|exit| exit.at_or_before(self.cum_ack)) {
            self.recovery_exit = None;
        }
        SackVerdict::Taken
    }

    /// What the last SACK did, indexed by path.
    pub(crate) fn path_acks(&self) -> &[PathAck] {
        &self.scratch
    }

    /// Starts fast recovery; it ends when everything sent so far is acknowledged.
    pub(crate) fn enter_fast_recovery(&mut self) {
        self.recovery_exit = Some(self.next_tsn().minus(1));
    }

    /// Takes an acknowledged chunk off the books and notes it for its path.
    fn ack(&mut self, slot: &mut Slot, tsn: Tsn, now: Time, paths: &mut PathSet) {
        let path = paths.get_mut(slot.path);
        let size = slot.size();
        match slot.state {
            State::InFlight => {
                path.flight -= size;
                self.window_used -= window_cost(slot.payload.len());
                self.in_flight_chunks -= 1;
            }
            State::Lost => {
                path.lost -= 1;
                self.lost -= 1;
            }
            State::Acked | State::Abandoned => {}
        }
        slot.state = State::Acked;
        let Some(acks) = self.scratch.get_mut(slot.path.index()) else { return };
        acks.newly_acked += size;
        acks.lowest_acked |= !acks.seen_unacked;
        if !slot.several_paths {
            acks.proves_path = true;
            acks.largest = acks.largest.max(size);
        }
        if path.rtt_tsn == Some(tsn) {
            path.rtt_tsn = None;
            if slot.transmissions == 1 {
                acks.rtt = Some(now.since(slot.sent_at));
            }
        }
    }

    /// Counts the first chunk as outstanding again if gap blocks had acknowledged it; true if so.
    fn take_back_first(&mut self, paths: &mut PathSet) -> bool {
        let Some(slot) = self.slots.front_mut().filter(|slot| slot.state == State::Acked) else {
            return false;
        };
        slot.state = State::InFlight;
        slot.misses = 0;
        slot.reneged = true;
        self.window_used += window_cost(slot.payload.len());
        self.in_flight_chunks += 1;
        paths.get_mut(slot.path).flight += slot.size();
        true
    }

    /// Applies gap blocks to the ring; work is bounded by what is outstanding, not by the width of the blocks.
    /// Returns the offset of the highest chunk that the peer took back, 0 when there is none.
    fn apply_gaps(
        &mut self,
        sack: &SackChunk<'_>,
        highest_gap: usize,
        highest_newly_acked: &mut Option<usize>,
        now: Time,
        paths: &mut PathSet,
    ) -> usize {
        let end = highest_gap.max(self.gap_end);
        let mut reneged_end = 0;
        if end == 0 {
            return reneged_end;
        }
        let mut slots = std::mem::take(&mut self.slots);
        let mut gaps = valid_gaps(sack);
        let mut block = gaps.next();
        for (i, slot) in slots.iter_mut().take(end).enumerate() {
            let offset = i + 1;
            while block.is_some_and(|(_, e)| usize::from(e) < offset) {
                block = gaps.next();
            }
            let covered = block.is_some_and(|(s, e)| usize::from(s) <= offset && offset <= usize::from(e));
            if covered {
                if slot.is_outstanding() {
                    let tsn = self.cum_ack.plus(offset as u32);
                    self.ack(slot, tsn, now, paths);
                    *highest_newly_acked = Some(offset);
                }
                continue;
            }
            if slot.state == State::Acked {
                // The peer reneged: outstanding again (RFC 9260 sec 6.2.1).
                slot.state = State::InFlight;
                slot.misses = 0;
                slot.reneged = true;
                reneged_end = offset;
                self.window_used += window_cost(slot.payload.len());
                self.in_flight_chunks += 1;
                paths.get_mut(slot.path).flight += slot.size();
            }
            if slot.state == State::InFlight
                && let Some(acks) = self.scratch.get_mut(slot.path.index())
            {
                acks.seen_unacked = true;
            }
        }
        self.slots = slots;
        self.gap_end = highest_gap;
        reneged_end
    }

    /// One miss indication for every chunk in flight below `highest` (an offset from the cumulative TSN, exclusive), and
    /// for those that the peer took back, `reneged_end` being the last of them.
    fn count_misses(&mut self, highest: usize, reneged_end: usize, paths: &mut PathSet) {
        let below = highest.saturating_sub(1);
        for (i, slot) in self.slots.iter_mut().take(below.max(reneged_end)).enumerate() {
            let reneged = std::mem::take(&mut slot.reneged);
            if slot.state != State::InFlight || (i >= below && !reneged) {
                continue;
            }
            slot.misses = slot.misses.saturating_add(1);
            if slot.misses >= FAST_RETRANSMIT_MISSES && !slot.fast_retransmitted {
                slot.fast_retransmitted = true;
                slot.state = State::Lost;
                self.lost += 1;
                self.lost_hint = self.lost_hint.min(i);
                self.window_used -= window_cost(slot.payload.len());
                self.in_flight_chunks -= 1;
                let path = paths.get_mut(slot.path);
                path.flight -= slot.size();
                path.lost += 1;
                if let Some(acks) = self.scratch.get_mut(slot.path.index()) {
                    acks.marked += 1;
                }
            }
        }
    }

    /// Takes everything out, one entry per message not completely acknowledged. What only gap blocks acknowledged counts
    /// as not acknowledged: it may wait behind a hole for what will never come.
    pub(super) fn drain_messages(&mut self) -> Vec<(Message, bool, Option<usize>)> {
        let mut out: Vec<(Message, bool, Option<usize>)> = Vec::new();
        for slot in self.slots.drain(..) {
            let key = slot.whole.as_ref().map(|w| Arc::as_ptr(w) as usize);
            if key.is_some() && out.last().is_some_and(|last| last.2 == key) {
                continue;
            }
            // The user has an abandoned message back already.
            if slot.state != State::Abandoned {
                out.push((slot.message(), false, key));
            }
        }
        self.payload_bytes = 0;
        self.window_used = 0;
        self.in_flight_chunks = 0;
        self.lost = 0;
        self.lost_hint = 0;
        self.gap_end = 0;
        self.recovery_exit = None;
        out
    }

    /// Checks the books against the ring; for tests.
    pub(crate) fn verify(&self, paths: &PathSet) -> Result<(), String> {
        let mut flight = vec![0u32; paths.len()];
        let mut lost = vec![0u32; paths.len()];
        let (mut payload, mut window, mut chunks) = (0, 0, 0);
        for (i, slot) in self.slots.iter().enumerate() {
            payload += slot.payload.len();
            match slot.state {
                State::InFlight => {
                    flight[slot.path.index()] += slot.size();
                    window += window_cost(slot.payload.len());
                    chunks += 1;
                }
                State::Lost => {
                    lost[slot.path.index()] += 1;
                    if i < self.lost_hint {
                        return Err(format!("lost chunk {i} lies before the hint {}", self.lost_hint));
                    }
                }
                State::Acked if i >= self.gap_end => {
                    return Err(format!(
                        "chunk {i} is acknowledged beyond the last gap block {}",
                        self.gap_end
                    ));
                }
                State::Acked | State::Abandoned => {}
            }
        }
        for (i, path) in paths.iter().enumerate() {
            if path.flight != flight[i] {
                return Err(format!(
                    "flight of path {i} is {}, its chunks sum up to {}",
                    path.flight, flight[i]
                ));
            }
            if path.lost != lost[i] {
                return Err(format!("path {i} counts {} lost chunks, there are {}", path.lost, lost[i]));
            }
        }
        if (payload, window, chunks) != (self.payload_bytes, self.window_used, self.in_flight_chunks) {
            return Err("byte counters of outstanding chunks are off".into());
        }
        if lost.iter().sum::<u32>() != self.lost {
            return Err("counter of lost chunks is off".into());
        }
        Ok(())
    }
}

/// Gap blocks that make sense: in order, not empty, not touching cum + 1.
fn valid_gaps<'a>(sack: &'a SackChunk<'_>) -> impl Iterator<Item = (u16, u16)> + 'a {
    let mut last = 1;
    sack.gaps().filter(move |&(start, end)| {
        let good = start > last && start <= end;
        if good {
            last = end;
        }
        good
    })
}

#[cfg(test)]
pub(super) mod tests;
