//! Fills packets with DATA or I-DATA: first retransmissions, then new fragments (RFC 9260 sec 6.1,
//! 6.9, 6.10).

use super::SendSide;
use super::slot::window_cost;
use crate::assoc::path::PathId;
use crate::assoc::paths::PathSet;
use crate::time::Time;
use crate::wire::{CHUNK_HEADER, PacketWriter, chunk_type};

/// A chunk is cut to fit the peer's window only if that has room for at least this many user bytes
/// (sender SWS avoidance).
const LEAST_PIECE: usize = 512;

/// What may go into a packet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FillLimits {
    pub(crate) now: Time,
    /// Most user bytes in one chunk, so that it fits every path (AMDCS minus header).
    pub(crate) fragment: usize,
    /// The packet may be as large as the path allows, so large messages may be cut to fill it.
    pub(crate) full_size: bool,
    /// The packet may be larger than the path allows, because it is the first of its transmit. Then
    /// no other follows in that transmit. It is padded to this size (RFC 4820).
    pub(crate) oversize: Option<usize>,
    /// New data may go to this path.
    pub(crate) new_data: bool,
    /// Set the I bit on the last chunk in the queue (RFC 9260 sec 4, SHUTDOWN-PENDING).
    pub(crate) closing: bool,
}

/// What went into a packet.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Fill {
    /// Chunks sent for the first time.
    pub(crate) new: u32,
    /// Chunks sent again.
    pub(crate) retransmitted: u32,
    /// The lowest outstanding chunk of the path was sent again: T3 restarts.
    pub(crate) lowest: bool,
    /// The packet exceeds the path MTU because of a chunk that was made before the path MTU shrank.
    pub(crate) oversize: bool,
}

impl Fill {
    /// True when nothing was written.
    pub(crate) fn is_empty(&self) -> bool {
        self.new + self.retransmitted == 0
    }
}

/// Why no new chunk can be sent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blocked {
    /// The queue is empty, or the next message does not fit into the rest of the packet.
    NoFit,
    /// The window of the peer is too small.
    Window,
}

impl SendSide {
    /// Writes as many chunks for `path` as the limits allow. The caller decides whether cwnd lets a
    /// packet leave at all, because one packet may exceed it (RFC 9260 sec 6.1 B).
    pub(crate) fn fill(
        &mut self,
        writer: &mut PacketWriter<'_>,
        path: PathId,
        paths: &mut PathSet,
        limits: FillLimits,
    ) -> Fill {
        let mut fill = Fill::default();
        self.fill_lost(writer, path, paths, limits, &mut fill);
        if limits.new_data && !fill.oversize && paths.get(path).lost == 0 {
            self.fill_new(writer, path, paths, limits, &mut fill);
        }
        if !fill.is_empty() {
            paths.get_mut(path).on_data_sent(limits.now, fill.new > 0);
        }
        fill
    }

    fn fill_lost(
        &mut self,
        writer: &mut PacketWriter<'_>,
        path: PathId,
        paths: &mut PathSet,
        limits: FillLimits,
        fill: &mut Fill,
    ) {
        let mut from = 0;
        while let Some(index) = self.outstanding.next_lost(path, from) {
            let Some((tsn, slot)) = self.outstanding.get(index) else { break };
            if slot.size() as usize > writer.room() {
                // A chunk is never cut again. If it is too large, it goes alone in its packet and
                // without DF (RFC 9260 sec 6.9).
                let fits_path =
                    slot.payload.len() + slot.id.header_len() <= paths.get(path).pmdcs() as usize;
                let Some(least) = limits.oversize.filter(|_| writer.is_empty() && !fits_path)
                else {
                    break;
                };
                let padding = least.saturating_sub(writer.len() + slot.size() as usize);
                if padding >= CHUNK_HEADER {
                    writer.raw_chunk(chunk_type::PAD, 0, &vec![0; padding - CHUNK_HEADER]);
                }
                fill.oversize = true;
            }
            writer.user_data(tsn, slot.stream, slot.id, slot.ppid, slot.flags, &slot.payload);
            self.peer_rwnd = self.peer_rwnd.saturating_sub(window_cost(slot.payload.len()));
            fill.lowest |= self.outstanding.is_lowest_on_path(index);
            self.outstanding.retransmitted(index, limits.now, paths);
            fill.retransmitted += 1;
            if fill.oversize {
                break;
            }
            from = index + 1;
        }
    }

    fn fill_new(
        &mut self,
        writer: &mut PacketWriter<'_>,
        path: PathId,
        paths: &mut PathSet,
        limits: FillLimits,
        fill: &mut Fill,
    ) {
        let to = self.queue.head_address();
        loop {
            // Check this for each message: one with a deadline may follow one without.
            while let Some(message) = self.queue.pop_expired(limits.now) {
                self.expired.push(message);
            }
            // The next message may be meant for another path.
            if self.queue.head_address() != to {
                break;
            }
            let Ok(len) = self.next_len(writer.room(), limits.fragment, limits.full_size) else {
                break;
            };
            let probe = len > self.peer_rwnd;
            let Some(mut fragment) = self.queue.take(len) else { break };
            fragment.flags.immediate |= limits.closing && self.queue.is_empty();
            writer.user_data(
                self.outstanding.next_tsn(),
                fragment.stream,
                fragment.id,
                fragment.ppid,
                fragment.flags,
                &fragment.payload,
            );
            self.outstanding.push(fragment, path, limits.now, paths);
            self.peer_rwnd = self.peer_rwnd.saturating_sub(window_cost(len));
            self.owes_sender_dry = true;
            fill.new += 1;
            if probe {
                self.probe_window = false;
                self.window_probes = self.window_probes.saturating_add(1);
                break;
            }
        }
    }

    /// How many user bytes the next new chunk has, given the room in the packet.
    pub(crate) fn next_len(
        &self,
        room: usize,
        fragment: usize,
        full_size: bool,
    ) -> Result<usize, Blocked> {
        let (remaining, started) = self.queue.head().ok_or(Blocked::NoFit)?;
        if self.outstanding.is_full() {
            return Err(Blocked::NoFit);
        }
        let room = room.saturating_sub(self.queue.header_len());
        let len = if remaining <= room.min(fragment) {
            remaining
        } else if (started || remaining > fragment) && full_size && room >= fragment / 2 {
            // Cut it to fill the packet, but not into tiny pieces (sender SWS avoidance).
            room.min(fragment) & !3
        } else {
            return Err(Blocked::NoFit);
        };
        if len <= self.peer_rwnd {
            Ok(len)
        } else if self.peer_rwnd >= LEAST_PIECE && self.may_probe() {
            // The window is smaller than a full chunk, and nothing is under way that could open it
            // further.
            Ok(self.peer_rwnd & !3)
        } else if self.probe_window && self.may_probe() {
            Ok(len)
        } else {
            Err(Blocked::Window)
        }
    }

    /// True when nothing else is in flight. A zero-window probe is a single chunk (RFC 9260 sec 6.1
    /// A).
    pub(crate) fn may_probe(&self) -> bool {
        !self.outstanding.any_in_flight() && self.outstanding.lost() == 0
    }
}
