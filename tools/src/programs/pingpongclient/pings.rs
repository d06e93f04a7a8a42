//! Keeps account of Pings: which numbers are unanswered, and what a Pong means.

use std::collections::BTreeMap;
use std::time::Duration;

/// How many numbers may be unanswered at the same time. Then there is no new Ping.
pub(crate) const MAX_OPEN: usize = 1024;

/// Pings by number, from 1.
#[derive(Debug, Default)]
pub(crate) struct Pings {
    last: u64,
    answered: u64,
    /// The unanswered numbers, and when each was last sent.
    open: BTreeMap<u64, Duration>,
}

/// What a Pong means.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The first for its number, this long after the Ping.
    First(Duration),
    /// Its number had a Pong already.
    Second,
    /// Its number was never sent.
    NeverSent,
}

impl Pings {
    /// The number of the next Ping; `None` while too many are unanswered.
    pub(crate) fn next(&mut self, now: Duration) -> Option<u64> {
        if self.open.len() >= MAX_OPEN {
            return None;
        }
        self.last += 1;
        self.open.insert(self.last, now);
        Some(self.last)
    }

    /// The unanswered numbers in ascending order. They count as sent again.
    pub(crate) fn again(&mut self, now: Duration) -> Vec<u64> {
        self.open.values_mut().for_each(|sent| *sent = now);
        self.open.keys().copied().collect()
    }

    /// Takes a Pong.
    pub(crate) fn pong(&mut self, number: u64, now: Duration) -> Verdict {
        match self.open.remove(&number) {
            Some(sent) => {
                self.answered += 1;
                Verdict::First(now.saturating_sub(sent))
            }
            None if number >= 1 && number <= self.last => Verdict::Second,
            None => Verdict::NeverSent,
        }
    }

    /// How many Pings are unanswered.
    pub(crate) fn open(&self) -> usize {
        self.open.len()
    }

    /// How many numbers were used so far.
    pub(crate) fn sent(&self) -> u64 {
        self.last
    }

    /// How many numbers were answered so far.
    pub(crate) fn answered(&self) -> u64 {
        self.answered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn each_number_is_answered_once() {
        let mut pings = Pings::default();
        assert_eq!((pings.next(MS), pings.next(2 * MS)), (Some(1), Some(2)));
        assert_eq!(pings.pong(2, 5 * MS), Verdict::First(3 * MS));
        assert_eq!(pings.pong(2, 5 * MS), Verdict::Second);
        assert_eq!(pings.pong(3, 5 * MS), Verdict::NeverSent);
        assert_eq!(pings.pong(0, 5 * MS), Verdict::NeverSent);
        assert_eq!((pings.open(), pings.sent(), pings.answered()), (1, 2, 1));
    }

    #[test]
    fn unanswered_numbers_are_sent_again_in_order() {
        let mut pings = Pings::default();
        for _ in 0..4 {
            pings.next(MS);
        }
        pings.pong(2, 2 * MS);
        assert_eq!(pings.again(10 * MS), [1, 3, 4]);
        assert_eq!(pings.pong(3, 11 * MS), Verdict::First(MS));
    }

    #[test]
    fn open_pings_are_bounded() {
        let mut pings = Pings::default();
        assert_eq!((0..MAX_OPEN + 5).filter_map(|_| pings.next(MS)).count(), MAX_OPEN);
        pings.pong(1, MS);
        assert_eq!(pings.next(MS), Some(MAX_OPEN as u64 + 1));
    }
}
