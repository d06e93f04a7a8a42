//! One variant of a scenario: its two ends, its fault, and how long each step may take.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};
use std::time::{Duration, Instant};

use workspace_tests::process::Program;

use crate::interop::bench::{Bench, End};
use crate::interop::extensions;
use crate::interop::matrix::Column;
use crate::interop::scenario::{Fault, Scenario, Side};
use crate::interop::script::Setup;

/// An end in a case. Its last lines are kept in the case when it is dropped.
pub(super) struct Player<'a> {
    end: End,
    pub(super) side: Side,
    said: &'a RefCell<Vec<String>>,
}

impl Deref for Player<'_> {
    type Target = Program;

    fn deref(&self) -> &Program {
        &self.end
    }
}

impl DerefMut for Player<'_> {
    fn deref_mut(&mut self) -> &mut Program {
        &mut self.end
    }
}

impl Drop for Player<'_> {
    fn drop(&mut self) {
        let said = self.end.said();
        let last = &said[said.len().saturating_sub(8)..];
        // A panic message may stand far before the last lines, because a backtrace follows it.
        let panicked = said.iter().find(|line| line.contains("panicked at")).cloned();
        let told = panicked.iter().chain(last).cloned().collect::<Vec<_>>().join("; ");
        self.said.borrow_mut().push(format!("{:?} said at last: {told}", self.side));
    }
}

/// A variant of a scenario.
pub(super) struct Case<'a> {
    pub(super) bench: &'a dyn Bench,
    pub(super) column: Column,
    pub(super) scenario: &'a Scenario,
    pub(super) caller: Side,
    pub(super) v6: bool,
    pub(super) port: u16,
    /// It is the first variant of the scenario.
    pub(super) first: bool,
    /// Whether it should pass. If it is known to fail, a success is not waited for as long.
    pub(super) expected: bool,
    /// The last lines of ends that are gone.
    pub(super) said: RefCell<Vec<String>>,
}

impl Case<'_> {
    pub(super) fn run(&self) -> Result<(), String> {
        let result = self.play();
        match self.scenario.fault {
            Fault::Loss(_) => self.bench.lose(0),
            Fault::Cut => {
                for network in 0..2 {
                    self.bench.silence(network, false);
                    self.bench.cut(network, false);
                }
            }
            Fault::Crossing => self.bench.silence(0, false),
            Fault::None | Fault::Restart { .. } => {}
        }
        if result.is_ok() {
            self.expect_offer();
        }
        result.map_err(|error| format!("{error}. {}", self.said.borrow().join(". ")))
    }

    fn play(&self) -> Result<(), String> {
        let scenario = self.scenario;
        let mut callee = self.start(self.caller.other(), scenario.steps(self.caller.other()));
        self.wait(&mut callee, "ready")?;
        let mut caller = self.start(self.caller, scenario.steps(self.caller));
        match scenario.fault {
            Fault::None => {}
            Fault::Loss(percent) => {
                self.wait(&mut caller, "up")?;
                self.bench.lose(percent);
                // The last packet of the shutdown may get lost, so our end must stay to send it
                // again.
                let (mut ours, mut theirs) =
                    if self.caller == Side::Ours { (caller, callee) } else { (callee, caller) };
                if self.column == Column::ProtoUdp {
                    // When a SHUTDOWN COMPLETE is lost, the next one has the T bit set, which
                    // sctp-proto does not understand. So nothing may get lost from here on.
                    self.wait(&mut ours, "closing")?;
                    self.bench.lose(0);
                }
                self.wait(&mut ours, "holding")?;
                return self.finish(&mut theirs);
            }
            Fault::Cut => self.cut(&mut [&mut callee, &mut caller])?,
            Fault::Crossing => self.cross(&mut [&mut callee, &mut caller])?,
            Fault::Restart { who, steps, other } => {
                let (dying, living) =
                    if who == self.caller { (caller, callee) } else { (callee, caller) };
                return self.restart(who, steps, other, dying, living);
            }
        }
        self.finish(&mut caller)?;
        self.finish(&mut callee)
    }

    /// When Linux calls, its INIT must offer what its settings say.
    fn expect_offer(&self) {
        let linux = matches!(self.column, Column::LinuxRaw | Column::LinuxUdp);
        let setup = self.scenario.setup.split_whitespace();
        let which = setup.filter_map(|word| word.strip_prefix("extensions=")).next();
        if let Some(which) = which.filter(|_| linux && self.caller == Side::Theirs) {
            let from = self.bench.addrs(Side::Theirs, self.v6)[0];
            self.bench.net().expect_offer(extensions::offer(which, from, self.port));
        }
    }

    /// Has both ends send their first SHUTDOWN into a silent network.
    fn cross(&self, ends: &mut [&mut Player<'_>; 2]) -> Result<(), String> {
        for end in ends.iter_mut() {
            self.wait(end, "got")?;
            self.wait_sent(end)?;
        }
        self.bench.silence(0, true);
        for end in ends.iter_mut() {
            if end.said().iter().any(|line| line == "closing") {
                return Err(format!("{:?} has shut down before its link was silent", end.side));
            }
        }
        for end in ends.iter_mut() {
            self.wait(end, "closing")?;
        }
        // The packet leaves after the line `closing`. Nothing shows when.
        std::thread::sleep(Duration::from_millis(100));
        self.bench.silence(0, false);
        Ok(())
    }

    fn restart(
        &self,
        who: Side,
        steps: &str,
        other: &str,
        mut dying: Player<'_>,
        mut living: Player<'_>,
    ) -> Result<(), String> {
        self.wait(&mut dying, "holding")?;
        // The living end has received all it should.
        self.wait(&mut living, "got")?;
        self.wait_sent(&mut living)?;
        self.bench.kill(who, &mut dying);
        drop(dying);
        let mut reborn = self.start(who, steps);
        if other.is_empty() {
            self.finish(&mut reborn)?;
            return self.finish(&mut living);
        }
        self.wait(&mut reborn, "ready")?;
        self.finish(&mut living)?;
        drop(living);
        let mut again = self.start(who.other(), other);
        self.finish(&mut again)?;
        self.finish(&mut reborn)
    }

    fn start(&self, side: Side, steps: &str) -> Player<'_> {
        let homes = if self.scenario.multi_homed { 2 } else { 1 };
        let setup = Setup {
            raw: self.column.is_raw(),
            port: self.port,
            peer_port: self.port,
            own: self.bench.addrs(side, self.v6)[..homes].to_vec(),
            peer: self.bench.addrs(side.other(), self.v6)[..homes].to_vec(),
            ..Setup::default()
        };
        let mut args = setup.args();
        args.extend(self.scenario.setup.split_whitespace().map(str::to_owned));
        let begin: &[&str] = if side == self.caller { &["connect"] } else { &["listen", "accept"] };
        args.extend(begin.iter().map(|&step| step.to_owned()));
        let seconds = if self.first { self.bench.bulk_seconds() } else { 5 };
        args.extend(
            steps
                .split_whitespace()
                .map(|step| step.replace("seconds=5:", &format!("seconds={seconds}:"))),
        );
        Player { end: self.bench.start(side, &args), side, said: &self.said }
    }

    /// How long a line may take.
    fn limit(&self) -> Duration {
        let seconds = match self.scenario.fault {
            _ if !self.expected && self.scenario.blocked.is_some() => 12,
            _ if !self.expected => 6,
            // Some peers retransmit only after timeouts, which has taken half a minute.
            Fault::Loss(_) => u64::from(self.bench.bulk_seconds()) + 80,
            // Some peers do not announce that their window has opened and must be probed.
            Fault::None if self.scenario.blocked.is_some() => 60,
            Fault::None => 20,
            // The flows go on while networks come and go.
            Fault::Cut => 60,
            Fault::Crossing => 20,
            Fault::Restart { .. } => 60,
        };
        Duration::from_secs(seconds)
    }

    pub(super) fn wait(&self, end: &mut Player<'_>, what: &str) -> Result<(), String> {
        self.wait_within(end, what, self.limit())
    }

    pub(super) fn wait_within(
        &self,
        end: &mut Player<'_>,
        what: &str,
        limit: Duration,
    ) -> Result<(), String> {
        let begin = Instant::now();
        loop {
            let left = limit.saturating_sub(begin.elapsed());
            let found = end.wait_at_most(left.min(LOOK), |line| {
                (line.starts_with(what) || line.starts_with("wrong:")).then(|| line.to_owned())
            });
            match found {
                Some(line) if line.starts_with(what) => return Ok(()),
                Some(line) => return Err(format!("{:?}: {line}", end.side)),
                // It makes no sense to wait longer if the end is gone or the machine has failed.
                None if left > LOOK && end.try_ended(Duration::ZERO).is_none() => {
                    self.bench.complaint().map_or(Ok(()), Err)?;
                }
                None => {
                    return Err(format!("{:?} did not say '{what}' within {limit:?}", end.side));
                }
            }
        }
    }

    /// Waits for `sent`, unless the end has said it already.
    fn wait_sent(&self, end: &mut Player<'_>) -> Result<(), String> {
        if end.said().iter().any(|line| line.starts_with("sent")) {
            Ok(())
        } else {
            self.wait(end, "sent")
        }
    }

    /// Waits until the end has done all its steps.
    fn finish(&self, end: &mut Player<'_>) -> Result<(), String> {
        self.wait(end, "done")?;
        let side = end.side;
        let took = end.said().iter().find_map(|line| line.split_once(" ms=")?.1.parse().ok());
        if let Some((blocked, least)) = self.scenario.blocked
            && blocked == side
            && took.is_none_or(|ms: u64| u128::from(ms) < least.as_millis())
        {
            return Err(format!(
                "{side:?} sent everything within {took:?} ms although nobody read"
            ));
        }
        Ok(())
    }
}

/// How often the peer's machine is checked while waiting.
const LOOK: Duration = Duration::from_secs(2);
