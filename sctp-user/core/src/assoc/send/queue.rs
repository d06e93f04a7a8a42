//! User messages that have no TSN yet, in the order they were given (first come, first served).

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use crate::addr::{Message, SendOptions};
use crate::serial::Ssn;
use crate::time::Time;
use crate::wire::DataFlags;

/// One fragment on its way into a packet.
#[derive(Debug)]
pub(crate) struct Fragment {
    pub(crate) payload: Bytes,
    pub(crate) stream: u16,
    pub(crate) ssn: Ssn,
    pub(crate) ppid: u32,
    pub(crate) flags: DataFlags,
    pub(crate) options: SendOptions,
    /// The whole message when this is only a part of it.
    pub(crate) whole: Option<Arc<Message>>,
}

#[derive(Debug)]
struct Item {
    message: Message,
    /// Bytes that have left in earlier fragments.
    offset: usize,
    ssn: Ssn,
    whole: Option<Arc<Message>>,
    expires: Option<Time>,
}

/// The queue.
#[derive(Debug, Default)]
pub(crate) struct SendQueue {
    items: VecDeque<Item>,
    bytes: usize,
    /// Next ordered message of each stream used so far; the SSN is its low half. Grows with the highest stream number used.
    next_number: Vec<u32>,
}

impl SendQueue {
    /// Bytes in the queue.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Nothing to send.
    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Appends a message.
    pub(crate) fn push(&mut self, message: Message, now: Time) {
        self.bytes += message.data.len();
        let expires = message.options.lifetime.map(|life| now + life);
        self.items.push_back(Item { message, offset: 0, ssn: Ssn(0), whole: None, expires });
    }

    /// Bytes still to send of the first message, and whether a part of it has left already.
    pub(crate) fn head(&self) -> Option<(usize, bool)> {
        self.items.front().map(|item| (item.message.data.len() - item.offset, item.offset > 0))
    }

    /// Removes the first message if its lifetime ended before it got a TSN (RFC 9260 sec 6.1).
    pub(crate) fn pop_expired(&mut self, now: Time) -> Option<Message> {
        let item = self.items.front()?;
        if item.offset > 0 || item.expires.is_none_or(|at| at > now) {
            return None;
        }
        let item = self.items.pop_front()?;
        self.bytes -= item.message.data.len();
        Some(item.message)
    }

    /// Cuts the next fragment of at most `max` bytes, `max` > 0. The SSN is assigned with the first one.
    pub(crate) fn take(&mut self, max: usize) -> Option<Fragment> {
        let item = self.items.front_mut()?;
        let left = item.message.data.len() - item.offset;
        let len = left.min(max);
        let begin = item.offset == 0;
        let end = len == left;
        if begin {
            if !item.message.options.unordered {
                let stream = usize::from(item.message.stream);
                if self.next_number.len() <= stream {
                    self.next_number.resize(stream + 1, 0);
                }
                let number = &mut self.next_number[stream];
                item.ssn = Ssn(*number as u16);
                *number = number.wrapping_add(1);
            }
            if !end {
                item.whole = Some(Arc::new(item.message.clone()));
            }
        }
        let message = &item.message;
        let flags = DataFlags {
            begin,
            end,
            unordered: message.options.unordered,
            immediate: end && message.options.sack_immediately,
        };
        let fragment = Fragment {
            payload: message.data.slice(item.offset..item.offset + len),
            stream: message.stream,
            ssn: item.ssn,
            ppid: message.ppid,
            flags,
            options: message.options,
            whole: item.whole.clone(),
        };
        self.bytes -= len;
        if end {
            self.items.pop_front();
        } else {
            item.offset += len;
        }
        Some(fragment)
    }

    /// Removes messages on streams that the peer does not have.
    pub(crate) fn drain_streams_from(&mut self, streams: u16) -> Vec<Message> {
        let mut out = Vec::new();
        let mut kept = VecDeque::with_capacity(self.items.len());
        for item in self.items.drain(..) {
            if item.message.stream >= streams && item.offset == 0 {
                self.bytes -= item.message.data.len();
                out.push(item.message);
            } else {
                kept.push_back(item);
            }
        }
        self.items = kept;
        out
    }

    /// Takes everything out; see [`SendSide::drain_failed`](super::SendSide::drain_failed).
    pub(super) fn drain_messages(&mut self) -> Vec<(Message, bool, Option<usize>)> {
        self.bytes = 0;
        self.items
            .drain(..)
            .map(|item| {
                let key = item.whole.as_ref().map(|w| Arc::as_ptr(w) as usize);
                (item.message, item.offset == 0, key)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(stream: u16, len: usize) -> Message {
        Message { stream, ppid: 1, data: vec![7; len].into(), options: SendOptions::default() }
    }

    #[test]
    fn fragments_cover_the_message_and_share_an_ssn() {
        let mut q = SendQueue::default();
        q.push(message(3, 25), Time::ZERO);
        q.push(message(3, 5), Time::ZERO);
        let parts: Vec<_> = std::iter::from_fn(|| q.take(10)).collect();
        let lens: Vec<_> = parts.iter().map(|f| f.payload.len()).collect();
        assert_eq!(lens, [10, 10, 5, 5]);
        let ssns: Vec<_> = parts.iter().map(|f| f.ssn.0).collect();
        assert_eq!(ssns, [0, 0, 0, 1]);
        let bits: Vec<_> = parts.iter().map(|f| (f.flags.begin, f.flags.end)).collect();
        assert_eq!(bits, [(true, false), (false, false), (false, true), (true, true)]);
        assert!(parts[0].whole.is_some() && parts[3].whole.is_none());
        assert_eq!(q.bytes(), 0);
    }

    #[test]
    fn unordered_messages_use_no_ssn() {
        let mut q = SendQueue::default();
        let mut m = message(0, 1);
        m.options.unordered = true;
        q.push(m, Time::ZERO);
        q.push(message(0, 1), Time::ZERO);
        assert!(q.take(10).unwrap().flags.unordered);
        assert_eq!(q.take(10).unwrap().ssn, Ssn(0));
    }

    #[test]
    fn lifetime_counts_until_the_first_tsn() {
        let mut q = SendQueue::default();
        let mut m = message(0, 20);
        m.options.lifetime = Some(core::time::Duration::from_millis(10));
        q.push(m.clone(), Time::ZERO);
        assert!(q.pop_expired(Time::from_millis(9)).is_none());
        assert_eq!(q.pop_expired(Time::from_millis(10)).unwrap(), m);
        q.push(m, Time::ZERO);
        q.take(10).unwrap();
        assert!(q.pop_expired(Time::from_millis(100)).is_none());
    }

    #[test]
    fn ssn_wraps() {
        let mut q = SendQueue::default();
        for i in 0..65_537u32 {
            q.push(message(0, 1), Time::ZERO);
            assert_eq!(q.take(10).unwrap().ssn, Ssn(i as u16));
        }
    }
}
