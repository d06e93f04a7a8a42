//! The sending half of an association: queue, outstanding chunks, packet filling.

mod abandon;
mod acknowledge;
mod outstanding;
mod packetize;
mod queue;
mod slot;

pub(crate) use acknowledge::{PathAck, SackVerdict};
pub(crate) use outstanding::Outstanding;
pub(crate) use packetize::{Blocked, FillLimits};
pub(crate) use queue::SendQueue;

use std::collections::BTreeSet;

use crate::addr::Message;
use crate::serial::Tsn;

/// Everything about data that is to reach the peer.
#[derive(Debug)]
pub(crate) struct SendSide {
    /// Messages and remainders of messages that have no TSN yet.
    pub(crate) queue: SendQueue,
    /// Chunks that have a TSN and are not cumulatively acknowledged.
    pub(crate) outstanding: Outstanding,
    /// The peer's window as last announced, minus what is in flight (RFC 9260 sec 6.2.1 C).
    pub(crate) peer_rwnd: usize,
    /// The window in the last SACK.
    pub(crate) announced_rwnd: usize,
    /// Allows one chunk to be sent as a zero-window probe. Set when the peer's window is too small
    /// for the next chunk and nothing is in flight.
    pub(crate) probe_window: bool,
    /// How many window probes were sent since the window was last open, for exponential backoff.
    pub(crate) window_probes: u32,
    /// The user was told that the buffer is full, and waits for `Writable`.
    pub(crate) writer_waits: bool,
    /// Messages whose lifetime ended while packets were filled. The user must still be told.
    pub(crate) expired: Vec<Message>,
    /// The user has sent something since the last `SenderDry`.
    pub(crate) owes_sender_dry: bool,
}

impl SendSide {
    /// Nothing has been sent yet. `initial_tsn` is the first TSN to use.
    pub(crate) fn new(initial_tsn: Tsn) -> Self {
        SendSide {
            queue: SendQueue::default(),
            outstanding: Outstanding::new(initial_tsn),
            peer_rwnd: 0,
            announced_rwnd: usize::MAX,
            probe_window: false,
            window_probes: 0,
            writer_waits: false,
            expired: Vec::new(),
            owes_sender_dry: false,
        }
    }

    /// Bytes of user data queued or not cumulatively acknowledged.
    pub(crate) fn buffered(&self) -> usize {
        self.queue.bytes() + self.outstanding.payload_bytes()
    }

    /// True when the peer has announced less room than the first unacknowledged chunk needs.
    pub(crate) fn window_is_closed(&self) -> bool {
        self.outstanding.first_len().is_some_and(|len| self.announced_rwnd < len)
    }

    /// True when nothing is queued and everything is acknowledged.
    pub(crate) fn is_drained(&self) -> bool {
        self.queue.is_empty() && self.outstanding.is_empty()
    }

    /// Removes all messages that have not been completely acknowledged, oldest first. The flag is
    /// true if no part of the message was ever sent.
    pub(crate) fn drain_failed(&mut self) -> Vec<(Message, bool)> {
        let mut failed = self.outstanding.drain_messages();
        // If the beginning of a message is outstanding and its end is queued, it appears in both
        // lists. In the queue it need not be the first.
        let sent: BTreeSet<usize> = failed.iter().filter_map(|(.., key)| *key).collect();
        let queued = self.queue.drain_messages().into_iter();
        failed.extend(queued.filter(|(.., key)| key.is_none_or(|key| !sent.contains(&key))));
        failed.into_iter().map(|(message, unsent, _)| (message, unsent)).collect()
    }
}
