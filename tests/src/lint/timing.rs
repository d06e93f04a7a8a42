//! Rules about how soon DATA is acknowledged.

use std::collections::{BTreeMap, BTreeSet};

use super::events::Seen;
use super::{Judge, Place, rules};

/// DATA that was captured at its receiver and waits for an acknowledgement.
#[derive(Debug, Default)]
pub(super) struct Timing {
    /// For each offset: when the chunk last arrived, and in which packet.
    waiting: BTreeMap<i64, (u64, u32)>,
    /// The offset up to which everything was acknowledged.
    done: Option<i64>,
    acknowledgements: u32,
    late: u32,
    last_late: Option<Place>,
}

impl Timing {
    pub(super) fn received(&mut self, offset: i64, seen: &Seen) {
        if self.done.is_none_or(|done| offset > done) {
            self.waiting.insert(offset, (seen.time, seen.number));
        }
    }

    /// Judges an acknowledgement that was captured at its sender.
    pub(super) fn acknowledged(
        &mut self,
        judge: &mut Judge<'_>,
        seen: &Seen,
        cum: i64,
        gaps: &[(i64, i64)],
    ) {
        self.done = self.done.max(Some(cum));
        self.acknowledgements += 1;
        let covered = |offset: i64| {
            offset <= cum || gaps.iter().any(|(from, to)| (*from..=*to).contains(&offset))
        };
        let mut packets = BTreeSet::new();
        self.waiting.retain(|&offset, arrival| {
            let covered = covered(offset);
            if covered {
                packets.insert(*arrival);
            }
            !covered
        });
        let waited = |arrival: &(u64, u32)| seen.time.saturating_sub(arrival.0);
        if let Some(longest) = packets.first().map(waited).filter(|waited| *waited > LONGEST) {
            judge.fault(
                &rules::SACK_SOON,
                seen,
                format!("DATA waited {} ms for its SACK", longest / 1000),
            );
        }
        if packets.iter().nth(1).map(waited).is_some_and(|waited| waited > BATCH) {
            self.late += 1;
            self.last_late = Some(seen.into());
        }
    }

    pub(super) fn end(&self, judge: &mut Judge<'_>) {
        let habit = self.late >= 10 && self.late * 2 > self.acknowledgements;
        if let (true, Some(place)) = (habit, self.last_late) {
            let (late, all) = (self.late, self.acknowledgements);
            let what = format!(
                "{late} of {all} SACKs came long after the second packet that they acknowledge"
            );
            judge.fault(&rules::SACK_EVERY_SECOND, place, what);
        }
    }
}

/// How long DATA may wait for its SACK, µs: 500 ms by the RFC, and as much again for machines on
/// which several programs share two processors.
const LONGEST: u64 = 1_000_000;
/// How long the second packet may wait for its SACK, µs. It must not wait for the timer of 200 ms,
/// but packets that are read in one batch are acknowledged together.
const BATCH: u64 = 150_000;
