//! What a SACK changes about the outstanding chunks (RFC 9260 sec 6.2.1, 6.3, 7.2.4).

use std::ops::Range;

use super::Outstanding;
use super::slot::{Slot, State, window_cost};
use crate::assoc::path::PathId;
use crate::assoc::paths::PathSet;
use crate::serial::Tsn;
use crate::time::{Duration, Time};
use crate::wire::SackChunk;

/// How many miss indications trigger a fast retransmit.
const FAST_RETRANSMIT_MISSES: u8 = 3;

/// What a SACK changed about one path.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PathAck {
    /// Bytes newly acknowledged.
    pub(crate) newly_acked: u32,
    /// Bytes in flight before.
    pub(crate) flight_before: u32,
    /// The lowest outstanding TSN of the path was acknowledged (rule R3).
    pub(crate) lowest_acked: bool,
    /// Size in bytes of the largest acknowledged chunk that was sent to this path only.
    pub(crate) largest: u32,
    /// A chunk was acknowledged that was sent to this path only.
    pub(crate) proves_path: bool,
    /// A measured round-trip time.
    pub(crate) rtt: Option<Duration>,
    /// How many chunks were newly marked for fast retransmit.
    pub(crate) marked: u32,
}

/// A chunk that was acknowledged.
#[derive(Clone, Copy, Debug)]
struct Acknowledged {
    tsn: Tsn,
    path: PathId,
    size: u32,
    window: usize,
    sent_at: Time,
    was_lost: bool,
    sent_once: bool,
    several_paths: bool,
    /// No chunk before it is in flight to its path.
    lowest: bool,
}

impl Acknowledged {
    fn of(slot: &Slot, state: State, tsn: Tsn, lowest: bool) -> Self {
        Acknowledged {
            tsn,
            path: slot.path,
            size: slot.size(),
            window: window_cost(slot.payload.len()),
            sent_at: slot.sent_at,
            was_lost: state == State::Lost,
            sent_once: slot.transmissions == 1,
            several_paths: slot.several_paths,
            lowest,
        }
    }
}

/// What a SACK turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SackVerdict {
    /// It is older than what is known, so all of it is ignored.
    Old,
    /// It acknowledges something that was never sent, which is a protocol violation.
    Unsent,
    /// It was processed.
    Processed,
}

impl Outstanding {
    /// Processes the acknowledgements of a SACK or, when `sack` is absent, of a SHUTDOWN, which
    /// says nothing about gaps. [`path_acks`](Self::path_acks) has the results for each path.
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

        self.acks_by_path.clear();
        self.acks_by_path.extend(
            paths.iter().map(|p| PathAck { flight_before: p.flight, ..PathAck::default() }),
        );
        let mut highest_newly_acked = None;
        for i in 0..advance {
            let Some(slot) = self.slots.pop_front() else { break };
            let tsn = self.cum_ack.plus(i as u32).next();
            if slot.is_outstanding() {
                self.account_for(Acknowledged::of(&slot, slot.state, tsn, true), now, paths);
                highest_newly_acked = Some(0);
            }
            self.payload_bytes -= slot.payload.len();
        }
        self.cum_ack = cum_tsn;
        self.shift_indexes(advance);

        match sack {
            Some(sack) => {
                if let Some(highest) = self.apply_gaps(sack, now, paths) {
                    highest_newly_acked = Some(highest);
                }
            }
            // If the peer still had the next chunk, it would acknowledge that one, too. A SHUTDOWN
            // has no gap blocks that could tell that the peer reneged on it, and otherwise nobody
            // would send it again.
            None => self.renege_first(paths),
        }
        // In fast recovery, a SACK that advances the cumulative TSN counts as a miss for everything
        // that it reports missing.
        let accused = match highest_newly_acked {
            Some(_) if self.recovery_exit.is_some() && advance > 0 => highest_gap,
            Some(highest) => highest,
            None => 0,
        };
        self.count_misses(accused, paths);
        if self.recovery_exit.is_some_and(|exit| exit.at_or_before(self.cum_ack)) {
            self.recovery_exit = None;
        }
        SackVerdict::Processed
    }

    /// What the last SACK changed, indexed by path.
    pub(crate) fn path_acks(&self) -> &[PathAck] {
        &self.acks_by_path
    }

    /// Starts fast recovery. It ends when everything sent so far is acknowledged.
    pub(crate) fn enter_fast_recovery(&mut self) {
        self.recovery_exit = Some(self.next_tsn().minus(1));
    }

    /// Removes an acknowledged chunk from the counters and notes it for its path.
    fn account_for(&mut self, acked: Acknowledged, now: Time, paths: &mut PathSet) {
        let path = paths.get_mut(acked.path);
        if acked.was_lost {
            path.lost -= 1;
            self.lost -= 1;
        } else {
            path.flight -= acked.size;
            self.window_used -= acked.window;
            self.in_flight_chunks -= 1;
        }
        let Some(acks) = self.acks_by_path.get_mut(acked.path.index()) else { return };
        acks.newly_acked += acked.size;
        acks.lowest_acked |= acked.lowest;
        if !acked.several_paths {
            acks.proves_path = true;
            acks.largest = acks.largest.max(acked.size);
        }
        if path.rtt_tsn == Some(acked.tsn) {
            path.rtt_tsn = None;
            if acked.sent_once {
                acks.rtt = Some(now.since(acked.sent_at));
            }
        }
    }

    /// Slots were removed from the front, so adjusts everything that refers to slots by index.
    fn shift_indexes(&mut self, advance: usize) {
        self.lost_hint = self.lost_hint.saturating_sub(advance);
        self.miss_hint = self.miss_hint.saturating_sub(advance);
        for hint in &mut self.lowest {
            *hint = hint.saturating_sub(advance);
        }
        self.acked.retain_mut(|range| {
            *range = range.start.saturating_sub(advance)..range.end.saturating_sub(advance);
            range.start < range.end
        });
    }

    /// If a gap block had acknowledged the first chunk, it counts as outstanding again.
    fn renege_first(&mut self, paths: &mut PathSet) {
        let Some(range) = self.acked.first_mut().filter(|range| range.start == 0) else { return };
        range.start = 1;
        if range.start >= range.end {
            self.acked.remove(0);
        }
        self.renege(0, paths);
    }

    /// The peer reneged on a chunk, so it is outstanding again (RFC 9260 sec 6.2.1).
    fn renege(&mut self, index: usize, paths: &mut PathSet) {
        let Some(slot) = self.slots.get_mut(index).filter(|slot| slot.state == State::Acked) else {
            return;
        };
        slot.state = State::InFlight;
        slot.misses = 0;
        if !slot.fast_retransmitted {
            self.miss_hint = self.miss_hint.min(index);
        }
        self.window_used += window_cost(slot.payload.len());
        self.in_flight_chunks += 1;
        let path = slot.path;
        paths.get_mut(path).flight += slot.size();
        self.in_flight_again(path, index);
        self.reneged.push(index);
    }

    /// Applies gap blocks to the ring. Looks only at the differences from the last SACK. Returns
    /// the offset from the cumulative TSN of the highest newly acknowledged chunk.
    fn apply_gaps(
        &mut self,
        sack: &SackChunk<'_>,
        now: Time,
        paths: &mut PathSet,
    ) -> Option<usize> {
        if self.acked.is_empty() && sack.gaps().len() == 0 {
            return None;
        }
        let mut spare = std::mem::take(&mut self.spare);
        let [blocks, changed] = &mut spare;
        // Offset 1 from the cumulative TSN is index 0.
        blocks.clear();
        blocks
            .extend(valid_gaps(sack).map(|(start, end)| usize::from(start) - 1..usize::from(end)));
        subtract(&self.acked, blocks, changed);
        for index in changed.drain(..).flatten() {
            self.renege(index, paths);
        }
        subtract(blocks, &self.acked, changed);
        let mut highest = None;
        for index in changed.drain(..).flatten() {
            let lowest = self.is_lowest_on_path(index);
            let tsn = self.cum_ack.plus(index as u32).next();
            let Some(slot) = self.slots.get_mut(index).filter(|slot| slot.is_outstanding()) else {
                continue;
            };
            let state = std::mem::replace(&mut slot.state, State::Acked);
            let acked = Acknowledged::of(slot, state, tsn, lowest);
            self.account_for(acked, now, paths);
            highest = Some(index + 1);
        }
        std::mem::swap(&mut self.acked, blocks);
        self.spare = spare;
        highest
    }

    /// Counts a miss indication for every chunk in flight below `highest` (an offset from the
    /// cumulative TSN, exclusive), and for those on which the peer reneged.
    fn count_misses(&mut self, highest: usize, paths: &mut PathSet) {
        let below = highest.saturating_sub(1).min(self.slots.len());
        let ignores_misses = |slot: &Slot| slot.state != State::InFlight || slot.fast_retransmitted;
        let passed =
            self.slots.iter().skip(self.miss_hint).take(below.saturating_sub(self.miss_hint));
        self.miss_hint += passed.take_while(|slot| ignores_misses(slot)).count();

        let acked = std::mem::take(&mut self.acked);
        let mut index = self.miss_hint;
        for range in acked.iter().chain([&(below..below)]) {
            while index < range.start.min(below) {
                self.miss(index, paths);
                index += 1;
            }
            index = index.max(range.end);
        }
        self.acked = acked;
        let mut reneged = std::mem::take(&mut self.reneged);
        for index in reneged.drain(..).filter(|index| *index >= below) {
            self.miss(index, paths);
        }
        self.reneged = reneged;
    }

    /// Counts a miss indication for the chunk at `index`. The third one marks it for fast
    /// retransmit.
    fn miss(&mut self, index: usize, paths: &mut PathSet) {
        let Some(slot) = self.slots.get_mut(index).filter(|slot| slot.state == State::InFlight)
        else {
            return;
        };
        slot.misses = slot.misses.saturating_add(1);
        if slot.misses < FAST_RETRANSMIT_MISSES || slot.fast_retransmitted {
            return;
        }
        slot.fast_retransmitted = true;
        slot.state = State::Lost;
        self.lost += 1;
        self.lost_hint = self.lost_hint.min(index);
        self.window_used -= window_cost(slot.payload.len());
        self.in_flight_chunks -= 1;
        let path = paths.get_mut(slot.path);
        path.flight -= slot.size();
        path.lost += 1;
        if let Some(acks) = self.acks_by_path.get_mut(slot.path.index()) {
            acks.marked += 1;
        }
    }
}

/// Writes the parts of `these` that are not in `those` to `out`. Both must be in order.
pub(super) fn subtract(
    these: &[Range<usize>],
    those: &[Range<usize>],
    out: &mut Vec<Range<usize>>,
) {
    out.clear();
    let mut those = those.iter().peekable();
    for range in these {
        let mut start = range.start;
        while let Some(other) = those.peek() {
            if other.end > range.end {
                break;
            }
            if start < other.start {
                out.push(start..other.start);
            }
            start = start.max(other.end);
            those.next();
        }
        let end = those.peek().map_or(range.end, |other| other.start.clamp(start, range.end));
        if start < end {
            out.push(start..end);
        }
    }
}

/// The valid gap blocks: they are in order, not empty, and do not touch cum + 1.
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
