//! Networks that fail while they carry data.

use std::time::{Duration, Instant};

use crate::interop::case::{Case, Player};
use crate::interop::scenario::Side;

impl Case<'_> {
    /// Makes each network fail while it carries the data of both ends: once by a cut cable, once
    /// silently. Data must soon flow again, and our end must notice the failure.
    pub(super) fn cut(&self, ends: &mut [&mut Player<'_>; 2]) -> Result<(), String> {
        for end in ends.iter_mut() {
            // On a busy machine, programs take a while to start.
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
        // The data has returned to the primary path.
        self.carries(0, when)?;
        self.flow(ends, when)?;

        let when = "while the first network is silent";
        let since = self.history(ends);
        self.bench.silence(0, true);
        self.notices(ends, since, 0, false, when)?;
        self.flow(ends, when)?;
        self.carries(1, when)?;

        // The network that carries everything fails before the ends know that the other one works
        // again.
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

    /// Waits until both ends have received messages for most of a second.
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

    /// Waits until our end has said, after its line number `since`, that its path in this network
    /// is usable, or that it is not.
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
            // Counters can only be polled.
            std::thread::sleep(SAMPLE);
            let after = self.bench.carried(network);
            let least = (from.elapsed().as_secs_f64() * RATE) as u64;
            let gone = [0, 1].map(|direction| after[direction] - before[direction]);
            if gone.iter().all(|bytes| *bytes > least) {
                return Ok(());
            }
            if begin.elapsed() > PATIENCE {
                return Err(format!(
                    "{when}: network {network} carries {gone:?} bytes in {SAMPLE:?}, too few to be \
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

/// How long each step may take. Both ends have an RTO of 1 s at most. A peer that gives up a path
/// after its second timeout takes 2 s for that. It learns by a heartbeat that a path works again,
/// and the next one is sent after 0.5 s plus an RTO, give or take half an RTO. If one comes after
/// the other, that makes 4 s.
const PATIENCE: Duration = Duration::from_secs(5);
/// Time between two looks at the counters.
const SAMPLE: Duration = Duration::from_millis(200);
/// The rate that tells data from the rest, bytes per second: the flows are several times faster,
/// heartbeats and acknowledgements much slower.
const RATE: f64 = 50_000.0;
