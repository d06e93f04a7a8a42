//! The receiving half of an association: what has arrived, receive memory and window, when to SACK.

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
pub(crate) enum Taken {
    /// Kept or delivered.
    New,
    /// Had it already.
    Duplicate,
    /// No room, or too far ahead; the peer will send it again.
    Dropped,
    /// The peer broke the protocol.
    Violation(&'static str),
}

/// How far ahead of the cumulative TSN chunks are taken: each counts as at least MIN_CHARGE bytes,
/// so no honest sender gets further.
fn max_ahead(recv_buffer: usize) -> u16 {
    u16::try_from(recv_buffer / reassembly::MIN_CHARGE).unwrap_or(u16::MAX)
}

/// Everything about data from the peer.
#[derive(Debug)]
pub(crate) struct RecvSide {
    tracker: Tracker,
    reassembly: Reassembly,
    /// Receive memory.
    limit: usize,
    /// The largest `limit` so far: what was accepted under it may still be held.
    ceiling: usize,
    partial_delivery_point: usize,
    /// Window announced last.
    announced: usize,
    /// Packets with DATA since the last SACK.
    packets: u32,
    /// A SACK must leave at once.
    immediate: bool,
    /// No DATA has come yet: the first is acknowledged at once.
    fresh: bool,
    /// Where the last DATA came from; the SACK goes there.
    pub(crate) sack_path: PathId,
    /// `Readable` was given and `recv` has not returned `None` since.
    pub(crate) reader_knows: bool,
}

impl RecvSide {
    /// Nothing received; the peer's first TSN is `initial`.
    pub(crate) fn new(initial: Tsn, config: &AssocConfig) -> Self {
        RecvSide {
            tracker: Tracker::new(initial, max_ahead(config.recv_buffer)),
            reassembly: Reassembly::new(initial),
            limit: config.recv_buffer,
            ceiling: config.recv_buffer,
            partial_delivery_point: config.partial_delivery_point.unwrap_or(config.recv_buffer / 2),
            announced: config.recv_buffer,
            packets: 0,
            immediate: false,
            fresh: true,
            sack_path: PathId(0),
            reader_knows: false,
        }
    }

    /// Highest TSN up to which everything has arrived.
    pub(crate) fn cum_tsn(&self) -> Tsn {
        self.tracker.cum()
    }

    /// TSNs missing below the highest one.
    pub(crate) fn missing(&self) -> u32 {
        self.tracker.missing()
    }

    /// Something is missing that what is here makes necessary: TSNs, the rest of a message, or a
    /// message before one that is held for its order.
    pub(crate) fn is_incomplete(&self) -> bool {
        self.tracker.has_gap() || self.reassembly.is_incomplete()
    }

    /// Bytes of receive memory in use.
    pub(crate) fn held(&self) -> usize {
        self.reassembly.held()
    }

    /// The user can read something.
    pub(crate) fn is_readable(&self) -> bool {
        self.reassembly.is_readable()
    }

    /// Messages or parts the user can read.
    pub(crate) fn pending(&self) -> usize {
        self.reassembly.ready_len()
    }

    /// Changes the receive memory; what was announced is not taken back.
    pub(crate) fn set_limit(&mut self, config: &AssocConfig) {
        self.limit = config.recv_buffer;
        self.ceiling = self.ceiling.max(self.limit);
        self.tracker.allow_ahead(max_ahead(self.ceiling));
        self.partial_delivery_point =
            config.partial_delivery_point.unwrap_or(config.recv_buffer / 2);
    }

    /// The window to announce. Small remainders count as nothing (receiver SWS avoidance, RFC 9260
    /// sec 6.2).
    pub(crate) fn a_rwnd(&self) -> usize {
        let free = self.limit.saturating_sub(self.reassembly.held());
        if free < self.worthwhile() { 0 } else { free }
    }

    fn worthwhile(&self) -> usize {
        (self.limit / 4).min(1452)
    }

    /// Takes a DATA chunk on a valid stream.
    pub(crate) fn on_data(&mut self, chunk: DataChunk, from: PathId) -> Taken {
        let tsn = chunk.tsn;
        match self.tracker.classify(tsn) {
            Arrival::Duplicate => {
                self.tracker.note_duplicate(tsn);
                return Taken::Duplicate;
            }
            Arrival::TooFar => return Taken::Dropped,
            Arrival::New => {}
        }
        if !self.make_room(tsn, charge(chunk.payload.len())) {
            self.immediate = true;
            return Taken::Dropped;
        }
        let had_gap = self.tracker.has_gap();
        let wants_sack = chunk.flags.immediate;
        if let Err(inconsistent) = self.reassembly.insert(chunk, from) {
            return Taken::Violation(inconsistent.0);
        }
        self.tracker.record(tsn);
        if self.reassembly.front_run_len() >= self.partial_delivery_point {
            self.reassembly.deliver_partially();
        }
        self.immediate |= self.fresh || wants_sack || had_gap || self.tracker.has_gap();
        self.fresh = false;
        Taken::New
    }

    /// Acknowledges a chunk without keeping it (invalid stream, RFC 9260 sec 6.5).
    pub(crate) fn discard(&mut self, tsn: Tsn) -> Taken {
        match self.tracker.classify(tsn) {
            Arrival::Duplicate => {
                self.tracker.note_duplicate(tsn);
                Taken::Duplicate
            }
            Arrival::TooFar => Taken::Dropped,
            Arrival::New => {
                self.tracker.record(tsn);
                self.reassembly.skip(tsn);
                self.immediate = true;
                Taken::New
            }
        }
    }

    /// Sees to it that `need` bytes may be taken for `tsn`. The next TSN in order always finds
    /// room, except while the user leaves readable messages unread.
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
        // Only the head of one long message is left: the user gets what is there. Or this chunk is
        // what messages held for their order wait for. With any other content the peer did not keep
        // the order of its TSNs, and no more than this one chunk is taken above the limit.
        self.reassembly.deliver_partially() || self.reassembly.held() <= self.ceiling
    }

    /// All chunks of a packet that had DATA were taken; `only_duplicates` says that nothing in it
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

    /// A SACK must leave at once.
    pub(crate) fn sack_now(&self) -> bool {
        self.immediate
    }

    /// A SACK is owed, at once or with the next DATA.
    pub(crate) fn sack_owed(&self) -> bool {
        self.immediate || self.packets > 0
    }

    /// Makes the next SACK leave at once.
    pub(crate) fn force_sack(&mut self) {
        self.immediate = true;
    }

    /// Writes a SACK; nothing is owed then.
    pub(crate) fn write_sack(&mut self, writer: &mut PacketWriter<'_>) {
        let a_rwnd = self.a_rwnd();
        self.announced = a_rwnd;
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

    /// The next message for the user, which stays where it is.
    pub(crate) fn front(&self) -> Option<&Assembled> {
        self.reassembly.front()
    }

    /// The next message for the user. Asks for a window update SACK when the window grew
    /// worthwhile.
    pub(crate) fn pop(&mut self) -> Option<Assembled> {
        let message = self.reassembly.pop();
        if message.is_some() {
            let window = self.a_rwnd();
            let grown = window.saturating_sub(self.announced);
            // RFC 1122 style: a quarter of the buffer, or from closed to open.
            if grown >= self.limit / 4
                || (self.announced < self.worthwhile() && window >= self.worthwhile())
            {
                self.immediate = true;
            }
        }
        message
    }

    /// Ends a partial delivery, of which nothing more will come.
    pub(crate) fn abort_partial(&mut self) -> Option<CutOff> {
        self.reassembly.abort_partial()
    }

    /// Starts over after a restart of the peer; messages already complete stay readable. Returns a
    /// partial delivery that was cut off.
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
