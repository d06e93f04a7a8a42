//! User messages that have no TSN yet, in the order in which the user gave them (first come, first
//! served).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;

use crate::addr::{Message, SendOptions};
use crate::serial::Ssn;
use crate::time::Time;
use crate::wire::{DATA_HEADER, DataFlags, I_DATA_HEADER, MessageId};

/// One fragment that goes into a packet.
#[derive(Debug)]
pub(crate) struct Fragment {
    pub(crate) payload: Bytes,
    pub(crate) stream: u16,
    pub(crate) id: MessageId,
    pub(crate) ppid: u32,
    pub(crate) flags: DataFlags,
    pub(crate) options: SendOptions,
    /// The whole message, if the fragment is only a part of it.
    pub(crate) whole: Option<Arc<Message>>,
}

#[derive(Debug)]
struct Item {
    message: Message,
    /// How many bytes earlier fragments have taken.
    offset: usize,
    /// The number of the next fragment, assigned when the first one is taken.
    id: MessageId,
    whole: Option<Arc<Message>>,
    expires: Option<Time>,
    /// The address it must go to, instead of the data path (SCTP_ADDR_OVER).
    to: Option<IpAddr>,
    /// It begins a user message, so it is not a later part of a message given in parts.
    first: bool,
}

impl Item {
    /// True when it ends its user message.
    fn is_last(&self) -> bool {
        !self.message.options.more_follows
    }
}

/// Whether a stream may be used (RFC 6525 sec 5.1.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum ResetState {
    /// It may be used as usual.
    #[default]
    Open,
    /// The peer was asked to reset it. Messages get no numbers and wait for its answer.
    Asked,
}

/// What is kept for a stream.
#[derive(Clone, Copy, Debug, Default)]
struct Stream {
    /// Number of the next ordered message. The SSN is its low half.
    next_ordered: u32,
    /// Number of the next unordered message. It appears only in I-DATA.
    next_unordered: u32,
    reset: ResetState,
}

/// The queue of messages to send.
#[derive(Debug, Default)]
pub(crate) struct SendQueue {
    items: VecDeque<Item>,
    bytes: usize,
    /// Grows with the highest stream number used.
    streams: Vec<Stream>,
    /// How many streams wait to be reset.
    held_streams: usize,
    /// Messages are sent as I-DATA.
    interleaved: bool,
    /// Streams on which the peer's restart interrupted a message, as long as the user has not been
    /// told.
    interrupted: BTreeSet<u16>,
    /// Streams with a message that the user has not given completely, and what its parts must agree
    /// in.
    open: BTreeMap<u16, Agreement>,
    /// A message of which all parts given so far were sent: its stream and the number of its next
    /// fragment. No other message may be sent before its end, because its TSNs must be consecutive
    /// (RFC 9260 sec 6.9).
    unfinished: Option<(u16, MessageId)>,
}

/// What the parts of one message must agree in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Agreement {
    ppid: u32,
    unordered: bool,
}

impl From<&Message> for Agreement {
    fn from(message: &Message) -> Self {
        Agreement { ppid: message.ppid, unordered: message.options.unordered }
    }
}

impl SendQueue {
    /// Bytes in the queue.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// True when there is nothing to send.
    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Whether `messages` may be pushed: later parts of a message must agree with the earlier ones.
    pub(crate) fn agrees(&self, messages: &[Message]) -> bool {
        let mut begun: BTreeMap<u16, Option<Agreement>> = BTreeMap::new();
        messages.iter().all(|message| {
            let this = Agreement::from(message);
            let known = begun.get(&message.stream).copied();
            let before = known.unwrap_or_else(|| self.open.get(&message.stream).copied());
            if before.is_some() || message.options.more_follows || known.is_some() {
                begun.insert(message.stream, message.options.more_follows.then_some(this));
            }
            before.is_none_or(|agreement| agreement == this)
        })
    }

    /// Whether `messages` consist only of further parts of messages that have been begun.
    pub(crate) fn continues(&self, messages: &[Message]) -> bool {
        let mut ended = BTreeSet::new();
        messages.iter().all(|message| {
            let goes_on =
                self.open.contains_key(&message.stream) && !ended.contains(&message.stream);
            if !message.options.more_follows {
                ended.insert(message.stream);
            }
            goes_on
        })
    }

    /// Appends a message or a part of one. With `to`, it may be sent to this address only.
    pub(crate) fn push(&mut self, message: Message, to: Option<IpAddr>, now: Time) {
        self.bytes += message.data.len();
        let more = message.options.more_follows;
        let first = match more {
            true => self.open.insert(message.stream, Agreement::from(&message)).is_none(),
            false => self.open.is_empty() || self.open.remove(&message.stream).is_none(),
        };
        // A part cannot expire alone.
        let life = message.options.lifetime.filter(|_| first && !more);
        let expires = life.map(|life| now + life);
        let id = MessageId::Ssn(Ssn(0));
        self.items.push_back(Item { message, offset: 0, id, whole: None, expires, to, first });
    }

    /// Takes over from `before`, the queue before the peer's restart, on which streams a message
    /// was interrupted.
    pub(crate) fn inherit_interrupted(&mut self, before: &SendQueue) {
        self.interrupted = before.open.keys().chain(&before.interrupted).copied().collect();
    }

    /// Whether one of `messages` continues a message that a restart interrupted. True only once for
    /// each stream.
    pub(crate) fn take_interrupted(&mut self, messages: &[Message]) -> bool {
        !self.interrupted.is_empty()
            && messages.iter().any(|message| self.interrupted.remove(&message.stream))
    }

    /// True when the user has not given the rest of some message yet.
    pub(crate) fn has_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// The stream of a message whose next part must be sent before anything else, if the user has
    /// not given that part yet.
    pub(crate) fn awaited_stream(&self) -> Option<u16> {
        let (stream, _) = self.unfinished?;
        self.next_index().is_none().then_some(stream)
    }

    /// How many bytes of the next message are still to be sent, and whether a part of it has been
    /// sent.
    pub(crate) fn head(&self) -> Option<(usize, bool)> {
        let item = self.items.get(self.next_index()?)?;
        Some((item.message.data.len() - item.offset, item.offset > 0 || !item.first))
    }

    /// The address that the next message must go to, if it is meant for a certain one.
    pub(crate) fn head_address(&self) -> Option<IpAddr> {
        self.items.get(self.next_index()?)?.to
    }

    /// Removes the next message if its lifetime ended before it got a TSN (RFC 9260 sec 6.1).
    pub(crate) fn pop_expired(&mut self, now: Time) -> Option<Message> {
        let index = self.next_index()?;
        let item = self.items.get(index)?;
        if item.offset > 0 || item.expires.is_none_or(|at| at > now) {
            return None;
        }
        let item = self.items.remove(index)?;
        self.bytes -= item.message.data.len();
        Some(item.message)
    }

    /// The index of the message whose turn it is: the first one whose stream does not wait for a
    /// reset.
    fn next_index(&self) -> Option<usize> {
        if let Some((stream, _)) = self.unfinished {
            return self.items.iter().position(|item| item.message.stream == stream && !item.first);
        }
        if self.held_streams == 0 {
            return if self.items.is_empty() { None } else { Some(0) };
        }
        // A message that has been begun continues, because it got its number before its stream was
        // held.
        self.items.iter().position(|item| {
            let stream = self.streams.get(usize::from(item.message.stream));
            item.offset > 0 || stream.is_none_or(|s| s.reset == ResetState::Open)
        })
    }

    /// How many bytes come before the user data in each chunk, chunk header included.
    pub(crate) fn header_len(&self) -> usize {
        if self.interleaved { I_DATA_HEADER } else { DATA_HEADER }
    }

    /// Sets whether messages are sent as I-DATA (RFC 8260). This is decided together with the
    /// extensions, before anything is sent.
    pub(crate) fn set_interleaved(&mut self, interleaved: bool) {
        self.interleaved = interleaved;
    }

    fn stream_mut(&mut self, stream: u16) -> &mut Stream {
        let stream = usize::from(stream);
        if self.streams.len() <= stream {
            self.streams.resize(stream + 1, Stream::default());
        }
        &mut self.streams[stream]
    }

    /// Makes messages on this stream wait, because the peer is asked to reset it.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "stream reconfiguration (RFC 6525) holds streams")
    )]
    pub(crate) fn hold_stream(&mut self, stream: u16) {
        let s = self.stream_mut(stream);
        let newly_held = s.reset == ResetState::Open;
        s.reset = ResetState::Asked;
        self.held_streams += usize::from(newly_held);
    }

    /// The peer has answered, so messages continue. Their numbers begin at 0 again if it reset the
    /// stream.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "stream reconfiguration (RFC 6525) releases them")
    )]
    pub(crate) fn release_stream(&mut self, stream: u16, performed: bool) {
        let s = self.stream_mut(stream);
        let was_held = s.reset == ResetState::Asked;
        if performed {
            *s = Stream::default();
        }
        s.reset = ResetState::Open;
        self.held_streams -= usize::from(was_held);
    }

    /// The number for a message whose first fragment is taken.
    fn number(&mut self, stream: u16, unordered: bool) -> MessageId {
        let interleaved = self.interleaved;
        if unordered && !interleaved {
            return MessageId::Ssn(Ssn(0));
        }
        let s = self.stream_mut(stream);
        let next = if unordered { &mut s.next_unordered } else { &mut s.next_ordered };
        let number = *next;
        *next = number.wrapping_add(1);
        if interleaved {
            MessageId::Mid { mid: number, fsn: 0 }
        } else {
            MessageId::Ssn(Ssn(number as u16))
        }
    }

    /// Cuts off the next fragment, of at most `max` bytes; `max` > 0. The first fragment gives the
    /// message its number.
    pub(crate) fn take(&mut self, max: usize) -> Option<Fragment> {
        let index = self.next_index()?;
        let item = self.items.get(index)?;
        let id = if let Some((_, id)) = self.unfinished {
            id
        } else if item.offset == 0 {
            let (stream, unordered) = (item.message.stream, item.message.options.unordered);
            self.number(stream, unordered)
        } else {
            item.id
        };
        let item = self.items.get_mut(index)?;
        let left = item.message.data.len() - item.offset;
        let len = left.min(max);
        let used_up = len == left;
        if item.offset == 0 && !used_up {
            item.whole = Some(Arc::new(item.message.clone()));
        }
        item.id = match id {
            MessageId::Mid { mid, fsn } => MessageId::Mid { mid, fsn: fsn.wrapping_add(1) },
            MessageId::Ssn(_) => id,
        };
        let end = used_up && item.is_last();
        self.unfinished = match (end, used_up || self.unfinished.is_some()) {
            (false, true) => Some((item.message.stream, item.id)),
            _ => None,
        };
        let message = &item.message;
        let flags = DataFlags {
            begin: item.first && item.offset == 0,
            end,
            unordered: message.options.unordered,
            immediate: used_up && message.options.sack_immediately,
        };
        let fragment = Fragment {
            payload: message.data.slice(item.offset..item.offset + len),
            stream: message.stream,
            id,
            ppid: message.ppid,
            flags,
            options: message.options,
            whole: item.whole.clone(),
        };
        self.bytes -= len;
        if used_up {
            self.items.remove(index);
        } else {
            item.offset += len;
        }
        Some(fragment)
    }

    /// Removes messages for streams that the peer does not have.
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
        self.open.retain(|stream, _| *stream < streams);
        out
    }

    /// Removes everything; see [`SendSide::drain_failed`](super::SendSide::drain_failed).
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
        q.push(message(3, 25), None, Time::ZERO);
        q.push(message(3, 5), None, Time::ZERO);
        let parts: Vec<_> = std::iter::from_fn(|| q.take(10)).collect();
        let lens: Vec<_> = parts.iter().map(|f| f.payload.len()).collect();
        assert_eq!(lens, [10, 10, 5, 5]);
        let ssns: Vec<_> = parts.iter().map(|f| f.id.ssn().0).collect();
        assert_eq!(ssns, [0, 0, 0, 1]);
        let bits: Vec<_> = parts.iter().map(|f| (f.flags.begin, f.flags.end)).collect();
        assert_eq!(bits, [(true, false), (false, false), (false, true), (true, true)]);
        assert!(parts[0].whole.is_some() && parts[3].whole.is_none());
        assert_eq!(q.bytes(), 0);
    }

    fn part(stream: u16, len: usize) -> Message {
        let options = SendOptions { more_follows: true, ..SendOptions::default() };
        Message { options, ..message(stream, len) }
    }

    /// Stream, B and E bits, and length of every fragment that can be sent.
    fn leaving(q: &mut SendQueue) -> Vec<(u16, bool, bool, usize)> {
        let fragments = std::iter::from_fn(|| q.take(10));
        fragments.map(|f| (f.stream, f.flags.begin, f.flags.end, f.payload.len())).collect()
    }

    #[test]
    fn nothing_comes_between_the_parts_of_a_message() {
        let mut q = SendQueue::default();
        q.push(part(1, 12), None, Time::ZERO);
        q.push(message(2, 1), None, Time::ZERO);
        q.push(part(3, 4), None, Time::ZERO);
        assert_eq!(leaving(&mut q), [(1, true, false, 10), (1, false, false, 2)]);
        assert_eq!((q.head(), q.awaited_stream(), q.has_open()), (None, Some(1), true));
        q.push(part(1, 3), None, Time::ZERO);
        q.push(message(1, 5), None, Time::ZERO);
        assert_eq!((q.head(), q.awaited_stream()), (Some((3, true)), None));
        assert_eq!(
            leaving(&mut q),
            [(1, false, false, 3), (1, false, true, 5), (2, true, true, 1), (3, true, false, 4)]
        );
        q.push(message(3, 1), None, Time::ZERO);
        assert_eq!(leaving(&mut q), [(3, false, true, 1)]);
        assert!(!q.has_open() && q.is_empty() && q.bytes() == 0 && q.awaited_stream().is_none());
    }

    #[test]
    fn parts_share_the_number_of_their_message() {
        for interleaved in [false, true] {
            let mut q = SendQueue::default();
            q.set_interleaved(interleaved);
            for m in [part(1, 15), part(1, 5), message(1, 5), message(1, 5)] {
                q.push(m, None, Time::ZERO);
            }
            let ids: Vec<MessageId> = std::iter::from_fn(|| q.take(10)).map(|f| f.id).collect();
            let id = |number: u32, fsn| match interleaved {
                true => MessageId::Mid { mid: number, fsn },
                false => MessageId::Ssn(Ssn(number as u16)),
            };
            assert_eq!(ids, [id(0, 0), id(0, 1), id(0, 2), id(0, 3), id(1, 0)]);
        }
    }

    #[test]
    fn unordered_messages_use_no_ssn() {
        let mut q = SendQueue::default();
        let mut m = message(0, 1);
        m.options.unordered = true;
        q.push(m, None, Time::ZERO);
        q.push(message(0, 1), None, Time::ZERO);
        assert!(q.take(10).unwrap().flags.unordered);
        assert_eq!(q.take(10).unwrap().id, MessageId::Ssn(Ssn(0)));
    }

    #[test]
    fn lifetime_counts_until_the_first_tsn() {
        let mut q = SendQueue::default();
        let mut m = message(0, 20);
        m.options.lifetime = Some(core::time::Duration::from_millis(10));
        q.push(m.clone(), None, Time::ZERO);
        assert!(q.pop_expired(Time::from_millis(9)).is_none());
        assert_eq!(q.pop_expired(Time::from_millis(10)).unwrap(), m);
        q.push(m, None, Time::ZERO);
        q.take(10).unwrap();
        assert!(q.pop_expired(Time::from_millis(100)).is_none());
    }

    #[test]
    fn interleaved_messages_number_fragments_and_both_orders_separately() {
        let mut q = SendQueue::default();
        assert_eq!(q.header_len(), 16);
        q.set_interleaved(true);
        assert_eq!(q.header_len(), 20);
        let mut unordered = message(3, 10);
        unordered.options.unordered = true;
        for m in [message(3, 25), unordered.clone(), message(3, 5), unordered] {
            q.push(m, None, Time::ZERO);
        }
        let ids: Vec<_> = std::iter::from_fn(|| q.take(10)).map(|f| f.id).collect();
        let expected = [(0, 0), (0, 1), (0, 2), (0, 0), (1, 0), (1, 0)];
        assert_eq!(ids, expected.map(|(mid, fsn)| MessageId::Mid { mid, fsn }));
    }

    #[test]
    fn a_held_stream_waits_and_starts_over() {
        let mut q = SendQueue::default();
        for m in [message(1, 5), message(1, 20), message(1, 6), message(2, 7), message(1, 8)] {
            q.push(m, None, Time::ZERO);
        }
        let next =
            |q: &mut SendQueue| q.take(10).map(|f| (f.stream, f.payload.len(), f.id.ssn().0));
        assert_eq!(next(&mut q), Some((1, 5, 0)));
        assert_eq!(next(&mut q), Some((1, 10, 1)));
        q.hold_stream(1);
        q.hold_stream(1);
        q.hold_stream(60_000);
        assert_eq!(next(&mut q), Some((1, 10, 1)), "a message that has been begun continues");
        assert_eq!(q.head(), Some((7, false)));
        assert_eq!(next(&mut q), Some((2, 7, 0)));
        assert_eq!((q.head(), next(&mut q), q.bytes()), (None, None, 14));
        q.release_stream(1, true);
        assert_eq!(next(&mut q), Some((1, 6, 0)));
        q.hold_stream(1);
        q.release_stream(1, false);
        q.release_stream(60_000, true);
        assert_eq!(next(&mut q), Some((1, 8, 1)), "the peer refused, so numbering continues");
        assert!(q.is_empty());
    }

    #[test]
    fn ssn_wraps() {
        let mut q = SendQueue::default();
        for i in 0..65_537u32 {
            q.push(message(0, 1), None, Time::ZERO);
            assert_eq!(q.take(10).unwrap().id, MessageId::Ssn(Ssn(i as u16)));
        }
    }
}
