//! One chunk that has a TSN and is not yet cumulatively acknowledged.

use std::sync::Arc;

use bytes::Bytes;

use super::queue::Fragment;
use crate::addr::{Message, SendOptions};
use crate::assoc::path::PathId;
use crate::time::Time;
use crate::wire::{DataFlags, MessageId};

/// The least that a chunk in flight costs of the peer's window, in bytes. Receivers charge
/// something for each chunk and drop what they have no room for. Our receiver charges the same.
pub(super) const MIN_WINDOW_COST: usize = 32;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Sent, and counted as in flight.
    InFlight,
    /// Acknowledged by a gap block. Kept, because the peer may still renege.
    Acked,
    /// Must be sent again.
    Lost,
    /// Given up. It is never sent again and counts nowhere. It stays until the cumulative TSN has
    /// passed it (RFC 3758 sec 3.5 A3).
    Abandoned,
}

/// One chunk.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) payload: Bytes,
    pub(super) whole: Option<Arc<Message>>,
    pub(super) sent_at: Time,
    pub(crate) ppid: u32,
    pub(super) options: SendOptions,
    pub(crate) stream: u16,
    pub(crate) id: MessageId,
    pub(crate) flags: DataFlags,
    pub(super) path: PathId,
    pub(super) state: State,
    pub(super) misses: u8,
    /// How many times it was sent, saturating.
    pub(super) transmissions: u8,
    pub(super) fast_retransmitted: bool,
    /// It was sent to more than one address, so an acknowledgement does not tell which of them
    /// works (RFC 7829 sec 5 rule 9).
    pub(super) several_paths: bool,
}

impl Slot {
    /// A chunk that is sent for the first time.
    pub(super) fn sent(fragment: Fragment, path: PathId, now: Time) -> Self {
        Slot {
            payload: fragment.payload,
            whole: fragment.whole,
            sent_at: now,
            ppid: fragment.ppid,
            options: fragment.options,
            stream: fragment.stream,
            id: fragment.id,
            flags: fragment.flags,
            path,
            state: State::InFlight,
            misses: 0,
            transmissions: 1,
            fast_retransmitted: false,
            several_paths: false,
        }
    }

    /// Size on the wire in bytes: header, data and padding.
    pub(super) fn size(&self) -> u32 {
        u32::try_from((self.id.header_len() + self.payload.len() + 3) & !3).unwrap_or(u32::MAX)
    }

    /// True when the peer has not acknowledged it yet.
    pub(super) fn is_outstanding(&self) -> bool {
        matches!(self.state, State::InFlight | State::Lost)
    }

    /// The whole message that the chunk is a part of.
    pub(super) fn message(&self) -> Message {
        match &self.whole {
            Some(whole) => Message::clone(whole),
            None => Message {
                stream: self.stream,
                ppid: self.ppid,
                data: self.payload.clone(),
                options: self.options,
            },
        }
    }
}

/// How many bytes of the peer's window a chunk with `payload` user bytes is assumed to need.
pub(crate) fn window_cost(payload: usize) -> usize {
    payload.max(MIN_WINDOW_COST)
}
