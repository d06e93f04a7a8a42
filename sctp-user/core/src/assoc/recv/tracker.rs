//! Which TSNs have arrived: the cumulative TSN and the ranges above it.

use crate::serial::Tsn;

/// How many duplicate TSNs one SACK may report.
const MAX_DUPS: usize = 16;

/// How many received ranges are kept. With more holes than this, chunks that would open another one
/// are dropped.
const MAX_RANGES: usize = 2048;

/// What the tracker knows about a TSN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// It has not arrived before.
    New,
    /// It has arrived before.
    Duplicate,
    /// It is too far ahead to be accepted.
    TooFar,
}

/// The record of received TSNs. Offsets are relative to the cumulative TSN, so the first missing
/// TSN has offset 1.
#[derive(Debug)]
pub(crate) struct Tracker {
    cum: Tsn,
    /// The received ranges above `cum`, as pairs of first and last TSN, in order, not touching each
    /// other.
    ranges: Vec<(Tsn, Tsn)>,
    dups: Vec<Tsn>,
    /// How far beyond `cum` a chunk may lie.
    max_ahead: u32,
}

impl Tracker {
    /// Nothing has been received yet. `initial` is the peer's first TSN. Chunks more than
    /// `max_ahead` beyond the cumulative TSN are not accepted. This is at most 65 535, because gap
    /// blocks have 16 bits.
    pub(crate) fn new(initial: Tsn, max_ahead: u16) -> Self {
        Tracker {
            cum: initial.minus(1),
            ranges: Vec::new(),
            dups: Vec::new(),
            max_ahead: max_ahead.into(),
        }
    }

    /// From now on, chunks up to `max_ahead` beyond the cumulative TSN are accepted.
    pub(crate) fn allow_ahead(&mut self, max_ahead: u16) {
        self.max_ahead = max_ahead.into();
    }

    /// The highest TSN up to which everything has arrived.
    pub(crate) fn cum(&self) -> Tsn {
        self.cum
    }

    /// The highest TSN received.
    pub(crate) fn highest(&self) -> Tsn {
        self.ranges.last().map_or(self.cum, |r| r.1)
    }

    /// True while something is missing below the highest TSN.
    pub(crate) fn has_gap(&self) -> bool {
        !self.ranges.is_empty()
    }

    /// How many TSNs are missing below the highest one.
    pub(crate) fn missing(&self) -> u32 {
        let held: u32 = self.ranges.iter().map(|r| r.1.offset_from(r.0) + 1).sum();
        self.highest().offset_from(self.cum).saturating_sub(held)
    }

    /// Looks at a TSN without recording it.
    pub(crate) fn classify(&self, tsn: Tsn) -> Arrival {
        if tsn.at_or_before(self.cum) {
            return Arrival::Duplicate;
        }
        let offset = tsn.offset_from(self.cum);
        if offset > self.max_ahead {
            return Arrival::TooFar;
        }
        let at = self.position(offset);
        if self.ranges.get(at).is_some_and(|r| r.0.offset_from(self.cum) <= offset) {
            return Arrival::Duplicate;
        }
        if self.ranges.len() >= MAX_RANGES && !self.touches(at, tsn) && offset != 1 {
            return Arrival::TooFar;
        }
        Arrival::New
    }

    /// Records a TSN that [`classify`](Self::classify) called new.
    pub(crate) fn record(&mut self, tsn: Tsn) {
        if tsn == self.cum.next() {
            self.cum = tsn;
            self.absorb();
            return;
        }
        let at = self.position(tsn.offset_from(self.cum));
        let joins_left = at > 0 && self.ranges.get(at - 1).is_some_and(|r| r.1.next() == tsn);
        let joins_right = self.ranges.get(at).is_some_and(|r| r.0 == tsn.next());
        match (joins_left, joins_right) {
            (true, true) => {
                let right = self.ranges.remove(at);
                self.ranges[at - 1].1 = right.1;
            }
            (true, false) => self.ranges[at - 1].1 = tsn,
            (false, true) => self.ranges[at].0 = tsn,
            (false, false) => self.ranges.insert(at, (tsn, tsn)),
        }
    }

    /// Removes a recorded TSN above the cumulative one (reneging, only when memory is short).
    pub(crate) fn forget(&mut self, tsn: Tsn) {
        let at = self.position(tsn.offset_from(self.cum));
        let Some(&(start, end)) = self.ranges.get(at) else { return };
        if tsn.precedes(start) {
            return;
        }
        match (start == tsn, end == tsn) {
            (true, true) => drop(self.ranges.remove(at)),
            (true, false) => self.ranges[at].0 = tsn.next(),
            (false, true) => self.ranges[at].1 = tsn.minus(1),
            (false, false) => {
                self.ranges[at].1 = tsn.minus(1);
                self.ranges.insert(at + 1, (tsn.next(), end));
            }
        }
    }

    /// Notes a duplicate for the next SACK.
    pub(crate) fn note_duplicate(&mut self, tsn: Tsn) {
        if self.dups.len() < MAX_DUPS {
            self.dups.push(tsn);
        }
    }

    /// Gap blocks for a SACK, lowest first.
    pub(crate) fn gaps(&self) -> impl Iterator<Item = (u16, u16)> + '_ {
        let cum = self.cum;
        self.ranges.iter().map(move |&(start, end)| {
            let offset = |t: Tsn| u16::try_from(t.offset_from(cum)).unwrap_or(u16::MAX);
            (offset(start), offset(end))
        })
    }

    /// The duplicates since the last SACK.
    pub(crate) fn dups(&self) -> &[Tsn] {
        &self.dups
    }

    /// A SACK with the duplicates has been sent.
    pub(crate) fn clear_dups(&mut self) {
        self.dups.clear();
    }

    /// Index of the first range that does not end before `offset`.
    fn position(&self, offset: u32) -> usize {
        // The common cases need no search: arrival in order, and arrival after the end.
        match self.ranges.last() {
            None => 0,
            Some(last) if last.1.offset_from(self.cum) < offset => self.ranges.len(),
            Some(_) => self.ranges.partition_point(|r| r.1.offset_from(self.cum) < offset),
        }
    }

    fn touches(&self, at: usize, tsn: Tsn) -> bool {
        (at > 0 && self.ranges.get(at - 1).is_some_and(|r| r.1.next() == tsn))
            || self.ranges.get(at).is_some_and(|r| r.0 == tsn.next())
    }

    fn absorb(&mut self) {
        if let Some(&(start, end)) = self.ranges.first()
            && start == self.cum.next()
        {
            self.cum = end;
            self.ranges.remove(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn take(t: &mut Tracker, tsn: u32) -> Arrival {
        let a = t.classify(Tsn(tsn));
        if a == Arrival::New {
            t.record(Tsn(tsn));
        }
        a
    }

    #[test]
    fn in_order_and_gaps_across_the_wrap() {
        let mut t = Tracker::new(Tsn(0xffff_fffe), 65_535);
        for tsn in [0xffff_fffe, 0, 1, 3] {
            assert_eq!(take(&mut t, tsn), Arrival::New);
        }
        assert_eq!(t.cum(), Tsn(0xffff_fffe));
        assert_eq!(t.gaps().collect::<Vec<_>>(), [(2, 3), (5, 5)]);
        assert_eq!(take(&mut t, 1), Arrival::Duplicate);
        assert_eq!(take(&mut t, 0xffff_ffff), Arrival::New);
        assert_eq!(t.cum(), Tsn(1));
        assert_eq!(t.gaps().collect::<Vec<_>>(), [(2, 2)]);
        assert_eq!(take(&mut t, 2), Arrival::New);
        assert!(!t.has_gap());
        assert_eq!(t.highest(), Tsn(3));
    }

    #[test]
    fn too_far_ahead() {
        let mut t = Tracker::new(Tsn(1), 65_535);
        assert_eq!(t.classify(Tsn(65_536)), Arrival::TooFar);
        assert_eq!(t.classify(Tsn(65_535)), Arrival::New);
        // Every second TSN: the number of ranges is limited, but the first hole can always be
        // filled.
        for i in 0..20_000u32 {
            take(&mut t, 3 + 2 * i);
        }
        assert!(t.gaps().count() <= MAX_RANGES);
        assert_eq!(take(&mut t, 1), Arrival::New);
        assert_eq!(take(&mut t, 2), Arrival::New);
    }

    proptest! {
        #[test]
        fn agrees_with_a_set(
            start in any::<u32>(),
            steps in prop::collection::vec((0u32..60, any::<bool>()), 1..200),
        ) {
            let mut t = Tracker::new(Tsn(start), 65_535);
            let mut set = std::collections::BTreeSet::new();
            for (offset, forget) in steps {
                let tsn = start.wrapping_add(offset);
                if forget {
                    if offset >= t.cum().next().offset_from(Tsn(start)) {
                        t.forget(Tsn(tsn));
                        set.remove(&offset);
                    }
                } else {
                    let new = take(&mut t, tsn) == Arrival::New;
                    prop_assert_eq!(new, set.insert(offset));
                }
                let missing = (0..).find(|o| !set.contains(o)).unwrap();
                prop_assert_eq!(t.cum(), Tsn(start.wrapping_add(missing)).minus(1));
                let mut listed = Vec::new();
                for (s, e) in t.gaps() {
                    listed.extend((s..=e).map(|o| u32::from(o) + missing - 1));
                }
                let held: Vec<u32> = set.range(missing..).copied().collect();
                prop_assert_eq!(listed, held);
            }
        }
    }
}
