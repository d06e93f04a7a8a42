//! What a SACK does to the outstanding chunks (RFC 9260 sec 6.2.1, 6.3, 7.2.4).

use std::ops::Range;

use super::Outstanding;
use super::slot::{Slot, State, window_cost};
use crate::assoc::path::PathId;
use crate::assoc::paths::PathSet;
use crate::serial::Tsn;
use crate::time::{Duration, Time};
use crate::wire::SackChunk;

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

impl Outstanding {
    /// Processes the acknowledgements of a SACK, or of a SHUTDOWN (`gaps` empty and `reneging`
    /// false, because a SHUTDOWN says nothing about gaps). The results per path are in
    /// [`path_acks`](Self::path_acks).
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
        self.scratch.extend(
            paths.iter().map(|p| PathAck { flight_before: p.flight, ..PathAck::default() }),
        );
        let mut highest_newly_acked = None;
        for i in 0..advance {
            let Some(slot) = self.slots.pop_front() else { break };
            let tsn = self.cum_ack.plus(i as u32).next();
            if slot.is_outstanding() {
                self.book(Acknowledged::of(&slot, slot.state, tsn, true), now, paths);
                highest_newly_acked = Some(0);
            }
            self.payload_bytes -= slot.payload.len();
        }
        self.cum_ack = cum_tsn;
        self.forget_front(advance);

        match sack {
            Some(sack) => {
                if let Some(highest) = self.apply_gaps(sack, now, paths) {
                    highest_newly_acked = Some(highest);
                }
            }
            // Had the peer still the chunk after it, it would acknowledge that one, too. Without
            // gap blocks nothing else tells that it was taken back, and nobody would send it again.
            None => self.take_back_first(paths),
        }
        // In fast recovery an advancing cumulative TSN accuses everything that the SACK reports
        // missing.
        let accused = match highest_newly_acked {
            Some(_) if self.recovery_exit.is_some() && advance > 0 => highest_gap,
            Some(highest) => highest,
            None => 0,
        };
        self.count_misses(accused, paths);
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
    fn book(&mut self, news: Acknowledged, now: Time, paths: &mut PathSet) {
        let path = paths.get_mut(news.path);
        if news.was_lost {
            path.lost -= 1;
            self.lost -= 1;
        } else {
            path.flight -= news.size;
            self.window_used -= news.window;
            self.in_flight_chunks -= 1;
        }
        let Some(acks) = self.scratch.get_mut(news.path.index()) else { return };
        acks.newly_acked += news.size;
        acks.lowest_acked |= news.lowest;
        if !news.several_paths {
            acks.proves_path = true;
            acks.largest = acks.largest.max(news.size);
        }
        if path.rtt_tsn == Some(news.tsn) {
            path.rtt_tsn = None;
            if news.sent_once {
                acks.rtt = Some(now.since(news.sent_at));
            }
        }
    }

    /// Slots left the front: what is known by index moves along.
    fn forget_front(&mut self, advance: usize) {
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

    /// Counts the first chunk as outstanding again if gap blocks had acknowledged it.
    fn take_back_first(&mut self, paths: &mut PathSet) {
        let Some(range) = self.acked.first_mut().filter(|range| range.start == 0) else { return };
        range.start = 1;
        if range.start >= range.end {
            self.acked.remove(0);
        }
        self.take_back(0, paths);
    }

    /// The peer reneged on a chunk: it is outstanding again (RFC 9260 sec 6.2.1).
    fn take_back(&mut self, index: usize, paths: &mut PathSet) {
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

    /// Applies gap blocks to the ring. Only what differs from the last SACK is looked at. Returns
    /// the offset from the cumulative TSN of the highest chunk newly acknowledged.
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
            self.take_back(index, paths);
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
            let news = Acknowledged::of(slot, state, tsn, lowest);
            self.book(news, now, paths);
            highest = Some(index + 1);
        }
        std::mem::swap(&mut self.acked, blocks);
        self.spare = spare;
        highest
    }

    /// One miss indication for every chunk in flight below `highest` (an offset from the cumulative
    /// TSN, exclusive), and for those that the peer took back.
    fn count_misses(&mut self, highest: usize, paths: &mut PathSet) {
        let below = highest.saturating_sub(1).min(self.slots.len());
        let settled = |slot: &Slot| slot.state != State::InFlight || slot.fast_retransmitted;
        let passed =
            self.slots.iter().skip(self.miss_hint).take(below.saturating_sub(self.miss_hint));
        self.miss_hint += passed.take_while(|slot| settled(slot)).count();

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

    /// A miss indication for the chunk at `index`; the third marks it for fast retransmit.
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
        if let Some(acks) = self.scratch.get_mut(slot.path.index()) {
            acks.marked += 1;
        }
    }
}

/// Writes the parts of `these` that are not in `those` to `out`; both are in order.
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
