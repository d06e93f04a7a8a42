//! The receiving half of an association: what has arrived, memory and window, and when to send a
//! SACK.

mod reassembly;
mod tracker;

use crate::assoc::path::PathId;
use crate::config::AssocConfig;
use crate::serial::Tsn;
use crate::wire::{DataChunk, PacketWriter};

pub(crate) use reassembly::{Assembled, CutOff};
use reassembly::{Reassembly, charge};
use tracker::{Arrival, Tracker};

/// What became of a DATA chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DataVerdict {
    /// It was kept or delivered.
    New,
    /// It had arrived before.
    Duplicate,
    /// There was no room, or it was too far ahead. The peer will send it again.
    Dropped,
    /// The peer broke the protocol.
    Violation(&'static str),
}

/// How far ahead of the cumulative TSN chunks are accepted. Each chunk counts as at least
/// MIN_CHARGE bytes, so no honest sender gets further.
fn max_ahead(recv_buffer: usize) -> u16 {
    u16::try_from(recv_buffer / reassembly::MIN_CHARGE).unwrap_or(u16::MAX)
}

/// Everything about data from the peer.
#[derive(Debug)]
pub(crate) struct RecvSide {
    tracker: Tracker,
    reassembly: Reassembly,
    /// How many bytes of memory received data may take.
    limit: usize,
    /// The largest `limit` so far. Data accepted under it may still be held.
    ceiling: usize,
    partial_delivery_point: usize,
    /// The window announced last.
    announced_rwnd: usize,
    /// How many packets with DATA have arrived since the last SACK.
    packets: u32,
    /// A SACK must be sent at once.
    immediate: bool,
    /// No DATA has arrived yet. The first DATA is acknowledged at once.
    fresh: bool,
    /// The path that the last DATA came by. The SACK goes there.
    pub(crate) sack_path: PathId,
    /// The user was told `Readable`, and `recv` has not returned `None` since.
    pub(crate) reader_knows: bool,
}

impl RecvSide {
    /// Nothing has been received yet. `initial` is the peer's first TSN.
    pub(crate) fn new(initial: Tsn, config: &AssocConfig) -> Self {
        RecvSide {
            tracker: Tracker::new(initial, max_ahead(config.recv_buffer)),
            reassembly: Reassembly::new(initial),
            limit: config.recv_buffer,
            ceiling: config.recv_buffer,
            partial_delivery_point: config.partial_delivery_point.unwrap_or(config.recv_buffer / 2),
            announced_rwnd: config.recv_buffer,
            packets: 0,
            immediate: false,
            fresh: true,
            sack_path: PathId(0),
            reader_knows: false,
        }
    }

    /// The highest TSN up to which everything has arrived.
    pub(crate) fn cum_tsn(&self) -> Tsn {
        self.tracker.cum()
    }

    /// How many TSNs are missing below the highest one.
    pub(crate) fn missing(&self) -> u32 {
        self.tracker.missing()
    }

    /// True when something is missing that must exist, given what has arrived: TSNs in a gap, the
    /// rest of a message, or a message that precedes another in its stream.
    pub(crate) fn is_incomplete(&self) -> bool {
        self.tracker.has_gap() || self.reassembly.is_incomplete()
    }

    /// How many bytes received data takes.
    pub(crate) fn held(&self) -> usize {
        self.reassembly.held()
    }

    /// True when the user can read something.
    pub(crate) fn is_readable(&self) -> bool {
        self.reassembly.is_readable()
    }

    /// How many messages or parts the user can read.
    pub(crate) fn pending(&self) -> usize {
        self.reassembly.ready_len()
    }

    /// Changes the memory limit. A window already announced is not taken back.
    pub(crate) fn set_limit(&mut self, config: &AssocConfig) {
        self.limit = config.recv_buffer;
        self.ceiling = self.ceiling.max(self.limit);
        self.tracker.allow_ahead(max_ahead(self.ceiling));
        self.partial_delivery_point =
            config.partial_delivery_point.unwrap_or(config.recv_buffer / 2);
    }

    /// The window to announce. A small remainder counts as 0 (receiver SWS avoidance, RFC 9260 sec
    /// 6.2).
    pub(crate) fn a_rwnd(&self) -> usize {
        let free = self.limit.saturating_sub(self.reassembly.held());
        if free < self.least_useful_window() { 0 } else { free }
    }

    fn least_useful_window(&self) -> usize {
        (self.limit / 4).min(1452)
    }

    /// Handles a DATA chunk on a valid stream.
    pub(crate) fn on_data(&mut self, chunk: DataChunk, from: PathId) -> DataVerdict {
        let tsn = chunk.tsn;
        match self.tracker.classify(tsn) {
            Arrival::Duplicate => {
                self.tracker.note_duplicate(tsn);
                return DataVerdict::Duplicate;
            }
            Arrival::TooFar => return DataVerdict::Dropped,
            Arrival::New => {}
        }
        if !self.make_room(tsn, charge(chunk.payload.len())) {
            self.immediate = true;
            return DataVerdict::Dropped;
        }
        let had_gap = self.tracker.has_gap();
        let wants_sack = chunk.flags.immediate;
        if let Err(inconsistent) = self.reassembly.insert(chunk, from) {
            return DataVerdict::Violation(inconsistent.0);
        }
        self.tracker.record(tsn);
        if self.reassembly.front_run_len() >= self.partial_delivery_point {
            self.reassembly.deliver_partially();
        }
        self.immediate |= self.fresh || wants_sack || had_gap || self.tracker.has_gap();
        self.fresh = false;
        DataVerdict::New
    }

    /// Acknowledges a chunk without keeping it (invalid stream, RFC 9260 sec 6.5).
    pub(crate) fn discard(&mut self, tsn: Tsn) -> DataVerdict {
        match self.tracker.classify(tsn) {
            Arrival::Duplicate => {
                self.tracker.note_duplicate(tsn);
                DataVerdict::Duplicate
            }
            Arrival::TooFar => DataVerdict::Dropped,
            Arrival::New => {
                self.tracker.record(tsn);
                self.reassembly.skip(tsn);
                self.immediate = true;
                DataVerdict::New
            }
        }
    }

    /// Makes room for `need` bytes of the chunk `tsn`, if possible. The next TSN in order always
    /// gets room, unless the user leaves messages unread.
    fn make_room(&mut self, tsn: Tsn, need: usize) -> bool {
        if self.reassembly.held() + need <= self.limit {
            return true;
        }
        let next = tsn == self.tracker.cum().next();
        if self.tracker.highest().precedes(tsn) && !next {
            return false;
        }
        while self.reassembly.held() + need > self.limit {
            let Some(evicted) = self.reassembly.evict_highest(tsn) else { break };
            self.tracker.forget(evicted);
        }
        if self.reassembly.held() + need <= self.limit {
            return true;
        }
        if !next || self.reassembly.is_readable() {
            return false;
        }
        // If only the beginning of one long message is held, the user gets what has arrived of it.
        // Otherwise messages held for their order wait for this very chunk, or the peer has not
        // assigned its TSNs in order. Then no more than this one chunk is accepted above the limit.
        self.reassembly.deliver_partially() || self.reassembly.held() <= self.ceiling
    }

    /// All chunks of a packet with DATA have been handled. `only_duplicates` says that none of them
    /// was new. Returns true when the delayed-SACK timer must run.
    pub(crate) fn end_of_packet(
        &mut self,
        from: PathId,
        only_duplicates: bool,
        frequency: u32,
    ) -> bool {
        self.sack_path = from;
        self.packets += 1;
        self.immediate |= only_duplicates || self.packets >= frequency;
        !self.immediate
    }

    /// True when a SACK must be sent at once.
    pub(crate) fn sack_now(&self) -> bool {
        self.immediate
    }

    /// True when a SACK is owed, at once or with the next DATA.
    pub(crate) fn sack_owed(&self) -> bool {
        self.immediate || self.packets > 0
    }

    /// Makes the next SACK leave at once.
    pub(crate) fn force_sack(&mut self) {
        self.immediate = true;
    }

    /// Writes a SACK. After that, none is owed.
    pub(crate) fn write_sack(&mut self, writer: &mut PacketWriter<'_>) {
        let a_rwnd = self.a_rwnd();
        self.announced_rwnd = a_rwnd;
        writer.sack(
            self.tracker.cum(),
            u32::try_from(a_rwnd).unwrap_or(u32::MAX),
            self.tracker.gaps(),
            self.tracker.dups(),
        );
        self.tracker.clear_dups();
        self.packets = 0;
        self.immediate = false;
    }

    /// The next message for the user, without removing it.
    pub(crate) fn front(&self) -> Option<&Assembled> {
        self.reassembly.front()
    }

    /// Removes the next message for the user. Asks for a SACK that updates the window if it has
    /// grown enough to be worth it.
    pub(crate) fn pop(&mut self) -> Option<Assembled> {
        let message = self.reassembly.pop();
        if message.is_some() {
            self.open_window();
        }
        message
    }

    /// As [`pop`](Self::pop), the first on `stream` of the `among` next messages, with how many lie
    /// before it.
    pub(crate) fn pop_on(&mut self, stream: u16, among: usize) -> Option<(usize, Assembled)> {
        let found = self.reassembly.pop_on(stream, among)?;
        self.open_window();
        Some(found)
    }

    /// The user has read something.
    fn open_window(&mut self) {
        let window = self.a_rwnd();
        let grown = window.saturating_sub(self.announced_rwnd);
        // As in RFC 1122: the window grew by a quarter of the buffer, or from closed to open.
        if grown >= self.limit / 4
            || (self.announced_rwnd < self.least_useful_window()
                && window >= self.least_useful_window())
        {
            self.immediate = true;
        }
    }

    /// Ends a partial delivery whose rest will never come.
    pub(crate) fn abort_partial(&mut self) -> Option<CutOff> {
        self.reassembly.abort_partial()
    }

    /// Starts over after the peer restarted. Complete messages stay readable. Returns the partial
    /// delivery that was cut off, if any.
    pub(crate) fn restart(&mut self, initial: Tsn, config: &AssocConfig) -> Option<CutOff> {
        let aborted = self.abort_partial();
        let ready = self.reassembly.take_ready();
        let reader_knows = self.reader_knows;
        *self = RecvSide::new(initial, config);
        self.reassembly.put_ready(ready);
        self.reader_knows = reader_knows;
        aborted
    }
}
