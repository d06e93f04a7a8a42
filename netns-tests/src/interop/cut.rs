//! Networks that die under the data that they carry.

use std::time::{Duration, Instant};

use crate::interop::bench::{Case, Player};
use crate::interop::scenario::Side;

impl Case<'_> {
    /// Each network dies while it carries the data of both ends, by a cut and silently. Nobody may
    /// wait long, and our end must notice.
    pub(super) fn cut(&self, ends: &mut [&mut Player<'_>; 2]) -> Result<(), String> {
        for end in ends.iter_mut() {
            // Programs on a busy machine take their time to begin.
            self.wait(end, "up")?;
        }
        self.flow(ends, "at the beginning")?;
        self.carries(0, "at the beginning")?;

        let when = "while the first network is cut";
        let since = self.history(ends);
        self.bench.cut(0, true);
        self.notices(ends, since, 0, false, when)?;
        self.flow(ends, when)?;

        let when = "after the first network was cut";
        let since = self.history(ends);
        self.bench.cut(0, false);
        self.notices(ends, since, 0, true, when)?;
        // The primary path has its data again.
        self.carries(0, when)?;
        self.flow(ends, when)?;

        let when = "while the first network is silent";
        let since = self.history(ends);
        self.bench.silence(0, true);
        self.notices(ends, since, 0, false, when)?;
        self.flow(ends, when)?;
        self.carries(1, when)?;

        // The network that carries everything dies, and the other one is not known to live again.
        let when = "while the second network is cut";
        let since = self.history(ends);
        self.bench.cut(1, true);
        self.bench.silence(0, false);
        self.notices(ends, since, 1, false, when)?;
        self.notices(ends, since, 0, true, when)?;
        self.flow(ends, when)?;

        let when = "in the end";
        let since = self.history(ends);
        self.bench.cut(1, false);
        self.notices(ends, since, 1, true, when)?;
        self.flow(ends, when)
    }

    /// Waits until both ends have got messages for most of a second.
    fn flow(&self, ends: &mut [&mut Player<'_>; 2], when: &str) -> Result<(), String> {
        for end in ends {
            for _ in 0..4 {
                self.wait_within(end, "at ", PATIENCE)
                    .map_err(|error| format!("{when}: {error}"))?;
            }
        }
        Ok(())
    }

    /// How many lines our end has said.
    fn history(&self, ends: &mut [&mut Player<'_>; 2]) -> usize {
        ours(ends).said().len()
    }

    /// Waits until our end has said that its path in this network is usable, or is not, since its
    /// line `since`.
    fn notices(
        &self,
        ends: &mut [&mut Player<'_>; 2],
        since: usize,
        network: usize,
        usable: bool,
        when: &str,
    ) -> Result<(), String> {
        let addr = self.bench.addrs(Side::Theirs, self.v6)[network];
        let path = format!("path {addr} ");
        let as_due = |line: &str| {
            let state = line.strip_prefix(&path)?;
            Some(usable == (state == "Available"))
        };
        let end = ours(ends);
        let last = end.said()[since..].iter().rev().find_map(|line| as_due(line));
        let noticed = last == Some(true)
            || end.wait_at_most(PATIENCE, |line| as_due(line).filter(|is| *is)).is_some();
        let state = if usable { "usable" } else { "unusable" };
        if noticed {
            Ok(())
        } else {
            Err(format!("{when}: our end did not say within {PATIENCE:?} that {addr} is {state}"))
        }
    }

    /// Waits until the data of both ends goes through this network.
    fn carries(&self, network: usize, when: &str) -> Result<(), String> {
        let begin = Instant::now();
        loop {
            let (before, from) = (self.bench.carried(network), Instant::now());
            // Counters can only be asked.
            std::thread::sleep(SAMPLE);
            let after = self.bench.carried(network);
            let least = (from.elapsed().as_secs_f64() * RATE) as u64;
            let gone = [0, 1].map(|direction| after[direction] - before[direction]);
            if gone.iter().all(|bytes| *bytes > least) {
                return Ok(());
            }
            if begin.elapsed() > PATIENCE {
                return Err(format!(
                    "{when}: network {network} carries {gone:?} bytes in {SAMPLE:?}, which is not \
                     the data"
                ));
            }
        }
    }
}

fn ours<'a, 'b>(ends: &'a mut [&mut Player<'b>; 2]) -> &'a mut Player<'b> {
    let number = usize::from(ends[1].side == Side::Ours);
    &mut *ends[number]
}

/// How long anything may take. Both ends have an RTO of 1 s at most: a peer that gives a path up
/// after its second timeout needs 2 s for that, and it hears of a path that works again by a
/// heartbeat, one of which comes within 0.5 s and an RTO, by half an RTO more or less. That both
/// happens one after the other takes 4 s.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long counters are watched.
const SAMPLE: Duration = Duration::from_millis(200);
/// The flows are some times faster, and heartbeats and acknowledgements much slower, bytes per
/// second.
const RATE: f64 = 50_000.0;
