//! The chunks that have a TSN and are not yet cumulatively acknowledged. They form a ring that is
//! addressed by the offset from the cumulative TSN (RFC 9260 sec 6.2.1, 6.3, 7.2.4).

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use super::acknowledge::PathAck;
use super::queue::Fragment;
use super::slot::{Slot, State, window_cost};
use crate::addr::Message;
use crate::assoc::path::PathId;
use crate::assoc::paths::PathSet;
use crate::serial::Tsn;
use crate::time::Time;

/// How many chunks may be outstanding at a time. Gap blocks reach 65 535 beyond the cumulative TSN.
/// The limit also keeps the unacknowledged ordered messages of a stream below the number of SSNs
/// (RFC 9260 sec 6.5).
pub(crate) const MAX_OUTSTANDING: usize = 65_000;

/// The ring of outstanding chunks.
#[derive(Debug)]
pub(crate) struct Outstanding {
    pub(super) slots: VecDeque<Slot>,
    /// Highest TSN that is cumulatively acknowledged. Slot 0 has the next TSN.
    pub(super) cum_ack: Tsn,
    pub(super) payload_bytes: usize,
    pub(super) window_used: usize,
    pub(super) in_flight_chunks: u32,
    pub(super) lost: u32,
    /// No slot before this one is marked lost.
    pub(super) lost_hint: usize,
    /// The slots acknowledged by the gap blocks of the last SACK, as ranges of indexes in order.
    pub(super) acked: Vec<Range<usize>>,
    /// No slot before this one can get a miss indication that has an effect.
    pub(super) miss_hint: usize,
    /// For each path: no slot before this one is in flight to it.
    pub(super) lowest: Vec<usize>,
    /// Indexes of chunks on which the peer reneged in the SACK that is being processed.
    pub(super) reneged: Vec<usize>,
    /// Reused memory for ranges while a SACK is processed.
    pub(super) spare: [Vec<Range<usize>>; 2],
    /// The exit point of fast recovery, while in it.
    pub(super) recovery_exit: Option<Tsn>,
    pub(super) acks_by_path: Vec<PathAck>,
}

impl Outstanding {
    /// An empty ring. The first chunk will get `initial_tsn`.
    pub(crate) fn new(initial_tsn: Tsn) -> Self {
        Outstanding {
            slots: VecDeque::new(),
            cum_ack: initial_tsn.minus(1),
            payload_bytes: 0,
            window_used: 0,
            in_flight_chunks: 0,
            lost: 0,
            lost_hint: 0,
            acked: Vec::new(),
            miss_hint: 0,
            lowest: Vec::new(),
            reneged: Vec::new(),
            spare: [Vec::new(), Vec::new()],
            recovery_exit: None,
            acks_by_path: Vec::new(),
        }
    }

    /// The TSN that the next new chunk will get.
    pub(crate) fn next_tsn(&self) -> Tsn {
        self.cum_ack.plus(self.slots.len() as u32).next()
    }

    /// True when everything sent is acknowledged.
    pub(crate) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// True when no more chunks may be outstanding.
    pub(crate) fn is_full(&self) -> bool {
        self.slots.len() >= MAX_OUTSTANDING
    }

    /// How many chunks are not cumulatively acknowledged.
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// User bytes of the first chunk that is not cumulatively acknowledged.
    pub(crate) fn first_len(&self) -> Option<usize> {
        self.slots.front().map(|slot| slot.payload.len())
    }

    /// How many user bytes are not cumulatively acknowledged.
    pub(crate) fn payload_bytes(&self) -> usize {
        self.payload_bytes
    }

    /// How many bytes of the peer's window the chunks in flight are assumed to need.
    pub(crate) fn window_used(&self) -> usize {
        self.window_used
    }

    /// True when at least one chunk is in flight.
    pub(crate) fn any_in_flight(&self) -> bool {
        self.in_flight_chunks > 0
    }

    /// How many chunks are marked for retransmission.
    pub(crate) fn lost(&self) -> u32 {
        self.lost
    }

    /// True while in fast recovery (RFC 9260 sec 7.2.4).
    pub(crate) fn in_fast_recovery(&self) -> bool {
        self.recovery_exit.is_some()
    }

    /// A new chunk was sent to `path`.
    pub(crate) fn push(
        &mut self,
        fragment: Fragment,
        path: PathId,
        now: Time,
        paths: &mut PathSet,
    ) -> Tsn {
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

    /// The index of the first chunk at `from` or later that is marked for retransmission to `path`.
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

    /// The lost chunk at `index` was sent again, to the path that it was marked for.
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
        if !slot.fast_retransmitted {
            self.miss_hint = self.miss_hint.min(index);
        }
        self.in_flight_again(path, index);
        let p = paths.get_mut(path);
        p.flight += size;
        p.lost -= 1;
        // Karn's rule: no outstanding chunk gives a usable round-trip time any more.
        for p in paths.iter_mut() {
            p.rtt_tsn = None;
        }
    }

    /// True when no chunk before this one is in flight to the same path.
    pub(crate) fn is_lowest_on_path(&mut self, index: usize) -> bool {
        let Some(slot) = self.slots.get(index) else { return false };
        let path = slot.path;
        if self.lowest.len() <= path.index() {
            self.lowest.resize(path.index() + 1, 0);
        }
        let Some(hint) = self.lowest.get_mut(path.index()) else { return false };
        // The hint passes each slot only once, so over time this costs nothing.
        let passed = self.slots.iter().skip(*hint).take(index.saturating_sub(*hint));
        *hint += passed.take_while(|s| s.path != path || s.state != State::InFlight).count();
        *hint >= index
    }

    /// The slot at `index` is in flight to `path` again.
    pub(super) fn in_flight_again(&mut self, path: PathId, index: usize) {
        if let Some(hint) = self.lowest.get_mut(path.index()) {
            *hint = index.min(*hint);
        }
    }

    /// T3-rtx of `from` expired. All its chunks in flight are to be sent again, to `to` (rule E3).
    /// Ends fast recovery.
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

    /// Marks everything in flight to be sent again, to `target`, without treating it as lost by
    /// congestion. Used before the association is established, while paths may still come and go,
    /// so that what the chunks say about paths is invalid.
    pub(crate) fn resend_all_to(&mut self, target: PathId, paths: &mut PathSet) {
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

    /// Removes everything. Returns one entry for each message that is not completely acknowledged.
    /// Chunks that only gap blocks acknowledged count as not acknowledged: the peer may hold them
    /// behind a missing chunk that will never come.
    pub(super) fn drain_messages(&mut self) -> Vec<(Message, bool, Option<usize>)> {
        let mut out: Vec<(Message, bool, Option<usize>)> = Vec::new();
        for slot in self.slots.drain(..) {
            let key = slot.whole.as_ref().map(|w| Arc::as_ptr(w) as usize);
            if key.is_some() && out.last().is_some_and(|last| last.2 == key) {
                continue;
            }
            // The user has already got an abandoned message back.
            if slot.state != State::Abandoned {
                out.push((slot.message(), false, key));
            }
        }
        self.payload_bytes = 0;
        self.window_used = 0;
        self.in_flight_chunks = 0;
        self.lost = 0;
        self.lost_hint = 0;
        self.acked.clear();
        self.miss_hint = 0;
        self.lowest.clear();
        self.recovery_exit = None;
        out
    }

    /// Compares the counters with the slots. For tests.
    pub(crate) fn verify(&self, paths: &PathSet) -> Result<(), String> {
        let mut flight = vec![0u32; paths.len()];
        let mut lost = vec![0u32; paths.len()];
        let (mut payload, mut window, mut chunks) = (0, 0, 0);
        for (i, slot) in self.slots.iter().enumerate() {
            payload += slot.payload.len();
            match slot.state {
                State::InFlight => {
                    if self.acked.iter().any(|range| range.contains(&i)) {
                        return Err(format!("chunk {i} is in flight inside the last gap blocks"));
                    }
                    if i < self.miss_hint && !slot.fast_retransmitted {
                        return Err(format!(
                            "chunk {i} lies before the miss hint {}",
                            self.miss_hint
                        ));
                    }
                    if self.lowest.get(slot.path.index()).is_some_and(|hint| i < *hint) {
                        return Err(format!(
                            "chunk {i} is in flight before the lowest of its path"
                        ));
                    }
                    flight[slot.path.index()] += slot.size();
                    window += window_cost(slot.payload.len());
                    chunks += 1;
                }
                State::Lost => {
                    lost[slot.path.index()] += 1;
                    if i < self.lost_hint {
                        return Err(format!(
                            "lost chunk {i} lies before the hint {}",
                            self.lost_hint
                        ));
                    }
                }
                State::Acked if !self.acked.iter().any(|range| range.contains(&i)) => {
                    return Err(format!(
                        "chunk {i} is acknowledged outside of the last gap blocks"
                    ));
                }
                State::Acked | State::Abandoned => {}
            }
        }
        for (i, path) in paths.iter().enumerate() {
            if path.flight != flight[i] {
                return Err(format!(
                    "the flight of path {i} is {}, but its chunks sum up to {}",
                    path.flight, flight[i]
                ));
            }
            if path.lost != lost[i] {
                return Err(format!(
                    "path {i} counts {} lost chunks, but there are {}",
                    path.lost, lost[i]
                ));
            }
        }
        if (payload, window, chunks)
            != (self.payload_bytes, self.window_used, self.in_flight_chunks)
        {
            return Err("the byte counters of outstanding chunks are wrong".into());
        }
        if lost.iter().sum::<u32>() != self.lost {
            return Err("the counter of lost chunks is wrong".into());
        }
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests;
