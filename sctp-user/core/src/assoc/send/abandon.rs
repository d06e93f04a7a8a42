//! Giving up messages that have already been sent (RFC 3758 sec 3.5).

use std::sync::Arc;

use super::Outstanding;
use super::slot::{State, window_cost};
use crate::addr::Message;
use crate::assoc::paths::PathSet;

impl Outstanding {
    /// Gives up the message that the chunk at `index` belongs to. None of its chunks is sent or
    /// counted any more, and their memory is freed. They keep their TSNs until the peer's
    /// cumulative TSN has passed them. Returns the message, and whether its last fragment had been
    /// sent; `None` if it was given up before.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "partial reliability (RFC 3758) decides what to give up")
    )]
    pub(crate) fn abandon(&mut self, index: usize, paths: &mut PathSet) -> Option<(Message, bool)> {
        let slot = self.slots.get(index).filter(|slot| slot.state != State::Abandoned)?;
        let message = slot.message();
        let key = slot.whole.as_ref().map(Arc::as_ptr);
        let same = |i: usize| {
            i == index
                || (key.is_some()
                    && self.slots.get(i).is_some_and(|s| s.whole.as_ref().map(Arc::as_ptr) == key))
        };
        // Fragments of other messages may lie in between, so the B and E bits tell where to stop.
        let begins = |i: usize| same(i) && self.slots.get(i).is_some_and(|s| s.flags.begin);
        let ends = |i: usize| same(i) && self.slots.get(i).is_some_and(|s| s.flags.end);
        let first = (0..=index).rev().find(|&i| begins(i)).unwrap_or(0);
        let last = (index..self.slots.len()).find(|&i| ends(i));
        let end = last.unwrap_or(self.slots.len() - 1);
        let chosen: Vec<usize> = (first..=end).filter(|&i| same(i)).collect();
        for i in chosen {
            let Some(slot) = self.slots.get_mut(i) else { continue };
            let path = paths.get_mut(slot.path);
            match slot.state {
                State::InFlight => {
                    path.flight -= slot.size();
                    self.window_used -= window_cost(slot.payload.len());
                    self.in_flight_chunks -= 1;
                }
                State::Lost => {
                    path.lost -= 1;
                    self.lost -= 1;
                }
                State::Acked | State::Abandoned => {}
            }
            self.payload_bytes -= slot.payload.len();
            slot.payload.clear();
            slot.whole = None;
            slot.state = State::Abandoned;
        }
        Some((message, last.is_some()))
    }

    /// How many chunks at the front the peer must be told to skip. The Advanced.Peer.Ack.Point lies
    /// this far beyond the cumulative TSN (RFC 3758 sec 3.5 C2).
    #[cfg_attr(not(test), expect(dead_code, reason = "FORWARD TSN (RFC 3758) announces it"))]
    pub(crate) fn skippable(&self) -> usize {
        self.slots.iter().take_while(|slot| slot.state == State::Abandoned).count()
    }
}

#[cfg(test)]
mod tests {
    use super::super::outstanding::tests::{fragment, paths, with_sack};
    use super::super::slot::Slot;
    use super::*;
    use crate::addr::SendOptions;
    use crate::assoc::path::PathId;
    use crate::serial::Tsn;
    use crate::time::Time;

    /// Five chunks of 10 bytes on path 0: a message in one chunk, one in three fragments, and one
    /// in one chunk. With `cut`, the message in fragments has a fourth one that was not sent yet.
    fn sent(cut: bool, paths: &mut PathSet) -> Outstanding {
        let mut out = Outstanding::new(Tsn(1));
        let whole = Arc::new(Message {
            stream: 4,
            ppid: 5,
            data: vec![0; 30].into(),
            options: SendOptions::default(),
        });
        for i in 0..5 {
            let mut f = fragment(10);
            if (1..=3).contains(&i) {
                f.flags.begin = i == 1;
                f.flags.end = i == 3 && !cut;
                f.whole = Some(Arc::clone(&whole));
            }
            out.push(f, PathId(0), Time::ZERO, paths);
        }
        out
    }

    #[test]
    fn a_message_is_abandoned_as_a_whole() {
        for (cut, index) in [(false, 1), (false, 2), (false, 3), (true, 2)] {
            let mut set = paths();
            let mut out = sent(cut, &mut set);
            let (message, complete) = out.abandon(index, &mut set).unwrap();
            assert_eq!((message.stream, message.data.len(), complete), (4, 30, !cut));
            out.verify(&set).unwrap();
            assert_eq!((out.payload_bytes(), out.len()), (20, 5));
            let given_up: Vec<_> = (0..5).map(|i| out.slots[i].state == State::Abandoned).collect();
            assert_eq!(given_up, [false, true, true, true, false]);
            assert!(out.abandon(index, &mut set).is_none());
        }
    }

    #[test]
    fn an_abandoned_message_is_neither_sent_again_nor_returned_twice() {
        let mut set = paths();
        let mut out = sent(false, &mut set);
        out.on_t3(PathId(0), PathId(1), &mut set);
        out.abandon(2, &mut set).unwrap();
        out.verify(&set).unwrap();
        assert_eq!(out.lost(), 2);
        assert_eq!(out.next_lost(PathId(1), 1), Some(4));
        // A second timeout must not mark the abandoned chunks again.
        out.on_t3(PathId(1), PathId(0), &mut set);
        out.resend_all_to(PathId(0), &mut set);
        out.verify(&set).unwrap();
        assert_eq!(out.lost(), 2);
        assert_eq!(out.drain_messages().len(), 2);
    }

    #[test]
    fn acknowledgements_pass_over_abandoned_chunks() {
        let mut set = paths();
        let mut out = sent(false, &mut set);
        assert_eq!(out.skippable(), 0);
        out.abandon(1, &mut set).unwrap();
        assert_eq!(out.skippable(), 0, "the first chunk is still wanted");
        // A gap block acknowledges it nevertheless. That gives no credit, and reneging on it
        // changes nothing.
        for gaps in [&[(3, 3), (5, 5)][..], &[(5, 5)]] {
            with_sack(Tsn(0), gaps, |sack| out.on_sack(Tsn(0), Some(sack), Time::ZERO, &mut set));
            out.verify(&set).unwrap();
        }
        with_sack(Tsn(1), &[], |sack| out.on_sack(Tsn(1), Some(sack), Time::ZERO, &mut set));
        assert_eq!(out.skippable(), 3);
        with_sack(Tsn(4), &[], |sack| out.on_sack(Tsn(4), Some(sack), Time::ZERO, &mut set));
        out.verify(&set).unwrap();
        assert_eq!(out.slots.front().map(Slot::is_outstanding), Some(true));
        with_sack(Tsn(5), &[], |sack| out.on_sack(Tsn(5), Some(sack), Time::ZERO, &mut set));
        assert!(out.is_empty() && out.payload_bytes() == 0);
    }
}
