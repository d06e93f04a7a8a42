//! The places where both ends run, and the code that runs a column of scenarios there.

use std::cell::RefCell;
use std::net::IpAddr;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use workspace_tests::process::Program;

use crate::foreign::Implementation;
use crate::interop::extensions;
use crate::interop::limits::Limit;
use crate::interop::matrix::{self, Column, Outcome};
use crate::interop::ours;
use crate::interop::scenario::{Fault, SCENARIOS, Scenario, Side};
use crate::interop::script::Setup;
use crate::link::Link;
use crate::net::Net;
use crate::topology::{TwoNetworks, Versions};
use crate::vm::HostAndVm;
use crate::vm::health::{Health, Nurse};

/// A running end. Dropping it kills it.
pub type End = Box<dyn DerefMut<Target = Program>>;

/// A place with both ends and two networks between them. If the peer is a virtual machine, the
/// machine itself may fail, which is what [`Health`] is for.
pub trait Bench: Health {
    /// The bench of network namespaces below.
    fn net(&self) -> &Net;
    /// The addresses of an end, by network.
    fn addrs(&self, side: Side, v6: bool) -> [IpAddr; 2];
    /// Starts an end.
    fn start(&self, side: Side, args: &[String]) -> End;
    /// Kills an end with all its state, without any packet to its peer.
    fn kill(&self, side: Side, end: &mut Program);
    /// Drops this percentage of the packets of both networks in each direction; 0 ends that.
    fn lose(&self, percent: u32);
    /// Makes network 0 or 1 drop everything silently, or ends that.
    fn silence(&self, network: usize, silent: bool);
    /// Cuts the cable of network 0 or 1, or mends it.
    fn cut(&self, network: usize, cut: bool);
    /// How many bytes our end has sent into network 0 or 1, and how many have arrived from there.
    fn carried(&self, network: usize) -> [u64; 2];
    /// Whether it takes long until an end can be started again after it was killed. If so, restarts
    /// are tried over one IP version only.
    fn revives_slowly(&self, side: Side) -> bool {
        let _ = side;
        false
    }
    /// How long traffic flows in the first variant of a scenario that says 5 s.
    fn bulk_seconds(&self) -> u32 {
        5
    }
}

/// Both ends in network namespaces.
#[derive(Debug)]
pub struct Namespaces {
    networks: TwoNetworks,
    /// The program of the other end, with its first arguments.
    peer: Vec<String>,
}

impl Namespaces {
    /// Builds networks and hosts. `peer` is the command of the other end, and `of` is its
    /// implementation.
    ///
    /// # Panics
    /// When the system refuses.
    pub fn new(net: Net, peer: Vec<String>, of: Implementation) -> Namespaces {
        let networks = TwoNetworks::new(net, Versions::Dual);
        networks.cables.iter().for_each(|cable| {
            cable.limit(RATE, QUEUE);
            networks.right.foreign_at(cable.addrs(&networks.right), of);
        });
        Namespaces { networks, peer }
    }
}

impl Health for Namespaces {}

impl Bench for Namespaces {
    fn net(&self) -> &Net {
        &self.networks.net
    }

    fn addrs(&self, side: Side, v6: bool) -> [IpAddr; 2] {
        let host = if side == Side::Ours { &self.networks.left } else { &self.networks.right };
        [0, 1].map(|network: usize| self.networks.cables[network].addrs(host)[usize::from(v6)])
    }

    fn start(&self, side: Side, args: &[String]) -> End {
        let net = &self.networks.net;
        if side == Side::Ours {
            let args: Vec<&str> =
                [ours::NAME].into_iter().chain(args.iter().map(String::as_str)).collect();
            return Box::new(net.start(&self.networks.left, &args));
        }
        let mut command = self.networks.right.namespace().command(&self.peer[0]);
        command.args(&self.peer[1..]).args(args);
        Box::new(net.start_command(&self.networks.right, "peer", &mut command))
    }

    fn kill(&self, _: Side, end: &mut Program) {
        end.kill();
    }

    fn lose(&self, percent: u32) {
        lose(&self.networks.cables, percent);
    }

    fn silence(&self, network: usize, silent: bool) {
        silence(&self.networks.cables[network], silent);
    }

    fn cut(&self, network: usize, cut: bool) {
        let cable = &self.networks.cables[network];
        if cut { cable.cut_at(&self.networks.right) } else { cable.mend() }
    }

    fn carried(&self, network: usize) -> [u64; 2] {
        self.networks.cables[network].carried(&self.networks.left)
    }
}

/// Our end in a network namespace, and the other one in a virtual machine, whose kernel is the
/// peer.
#[derive(Debug)]
pub struct InVm {
    place: HostAndVm,
}

impl InVm {
    /// Puts the program of the other end into the machine.
    ///
    /// # Panics
    /// When the system refuses.
    pub fn new(place: HostAndVm, peer: &Path) -> InVm {
        place.vm.push(peer, PROGRAM);
        place.cables.iter().for_each(|cable| cable.limit(RATE, QUEUE));
        println!("the peer is Linux {}", place.vm.kernel());
        InVm { place }
    }
}

impl Health for InVm {
    fn complaint(&self) -> Option<String> {
        self.place.complaint()
    }

    fn trouble(&self) -> Option<String> {
        self.place.trouble()
    }

    fn revive(&self) {
        self.place.revive();
    }
}

impl Bench for InVm {
    fn net(&self) -> &Net {
        &self.place.net
    }

    fn addrs(&self, side: Side, v6: bool) -> [IpAddr; 2] {
        let number = if side == Side::Ours { 1 } else { 2 };
        [1, 2].map(|network| {
            let text = if v6 {
                format!("fd0{network}::{number}")
            } else {
                format!("10.{network}.0.{number}")
            };
            crate::net::addr(&text)
        })
    }

    fn start(&self, side: Side, args: &[String]) -> End {
        if side == Side::Ours {
            let args: Vec<&str> =
                [ours::NAME].into_iter().chain(args.iter().map(String::as_str)).collect();
            return Box::new(self.place.net.start(&self.place.host, &args));
        }
        self.place.net.ready();
        let args: Vec<String> = args.iter().map(|arg| format!("'{arg}'")).collect();
        Box::new(self.place.vm.start("peer", &format!("exec {PROGRAM} {}", args.join(" "))))
    }

    /// Reboots the machine if the peer is to die: its kernel would shut down the associations of a
    /// program that is killed.
    fn kill(&self, side: Side, end: &mut Program) {
        match side {
            Side::Ours => end.kill(),
            Side::Theirs => self.place.vm.reboot(),
        }
    }

    fn lose(&self, percent: u32) {
        lose(&self.place.cables, percent);
    }

    fn silence(&self, network: usize, silent: bool) {
        silence(&self.place.cables[network], silent);
    }

    fn cut(&self, network: usize, cut: bool) {
        self.place.vm.cable(network, !cut);
    }

    fn carried(&self, network: usize) -> [u64; 2] {
        self.place.cables[network].carried(&self.place.host)
    }

    fn revives_slowly(&self, side: Side) -> bool {
        side == Side::Theirs
    }

    fn bulk_seconds(&self) -> u32 {
        60
    }
}

fn lose(cables: &[Link], percent: u32) {
    for cable in cables {
        match percent {
            0 => cable.heal(),
            percent => cable.lose(percent),
        }
    }
}

fn silence(cable: &Link, silent: bool) {
    if silent { cable.silence() } else { cable.heal() }
}

/// Runs all scenarios of a column and compares the results with the known ones.
/// `INTEROP_ONLY=key,key` runs only these scenarios and skips the comparison.
///
/// # Panics
/// When a scenario fails that should pass, or passes that should fail, or when the results have
/// changed. Panics at once when the peer's machine fails again after it was rebooted.
pub fn run_column(column: Column, bench: &dyn Bench) {
    let only = std::env::var("INTEROP_ONLY").ok();
    let only: Option<Vec<&str>> = only.as_deref().map(|keys| keys.split(',').collect());
    let (mut outcomes, mut bad, mut nurse) = (Vec::new(), Vec::new(), Nurse::default());
    let mut port = 5000;
    for scenario in SCENARIOS {
        let wanted = only.as_ref().is_none_or(|keys| keys.contains(&scenario.key));
        if !wanted || !scenario.columns.contains(&column) {
            continue;
        }
        let slow =
            matches!(scenario.fault, Fault::Restart { who, .. } if bench.revives_slowly(who));
        let variants = scenario.variants.list().into_iter().enumerate();
        for (number, (caller, v6)) in
            variants.filter(|(_, (_, v6))| !slow || *v6 != column.is_raw())
        {
            let limit = Limit::of(column, scenario.key, caller, v6);
            let begin = Instant::now();
            let result = nurse.run(bench, || {
                port += 1;
                let case = Case {
                    bench,
                    column,
                    scenario,
                    caller,
                    v6,
                    port,
                    first: number == 0,
                    expected: limit.is_none(),
                    said: RefCell::default(),
                };
                case.run()
            });
            let variant = matrix::variant(caller, v6);
            let told = result.as_ref().map_or_else(|error| error.as_str(), |()| "passed");
            println!(
                "{column:?} {} ({variant}, port {port}, {:.1} s): {told}",
                scenario.key,
                begin.elapsed().as_secs_f32()
            );
            match (&result, limit) {
                (Err(error), None) => bad.push(format!("{} ({variant}): {error}", scenario.key)),
                (Err(error), Some(limit)) if !limit.is_cause_of(error) => {
                    bad.push(format!(
                        "{} ({variant}) fails, but not by its known limit: {error}",
                        scenario.key
                    ));
                }
                (Ok(()), Some(limit)) => {
                    bad.push(format!(
                        "{} ({variant}) passes in spite of a known limit: {}",
                        scenario.key, limit.reason
                    ));
                }
                _ => {}
            }
            outcomes.push(Outcome {
                scenario: scenario.key.to_owned(),
                variant,
                cannot: limit.map(|limit| limit.reason.to_owned()),
            });
        }
    }
    assert!(bad.is_empty(), "{column:?}:\n{}", bad.join("\n"));
    if only.is_none()
        && let Err(error) = matrix::settle(column, &outcomes)
    {
        panic!("{error}");
    }
}

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
    column: Column,
    scenario: &'a Scenario,
    caller: Side,
    pub(super) v6: bool,
    port: u16,
    first: bool,
    /// Whether it should pass. If it is known to fail, a success is not waited for as long.
    expected: bool,
    /// The last lines of ends that are gone.
    said: RefCell<Vec<String>>,
}

impl Case<'_> {
    fn run(&self) -> Result<(), String> {
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

/// Compiles a peer in `peers/` with `cc` and returns the path of the program.
///
/// # Panics
/// When that fails.
pub fn compile(source: &str, options: &[&str]) -> PathBuf {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    let stem = source.trim_end_matches(".c");
    // Another test may compile the same program at the same time, hence the temporary name.
    let out = dir.join("../target/peers");
    std::fs::create_dir_all(&out).unwrap_or_else(|error| panic!("{}: {error}", out.display()));
    let (program, fresh) = (
        out.join(stem),
        out.join(format!("{stem}-{}-{:?}", std::process::id(), std::thread::current().id())),
    );
    let mut cc = Command::new("cc");
    cc.args(["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-O2", "-o"])
        .arg(&fresh)
        .arg(dir.join("peers").join(source));
    let output =
        cc.args(options).output().unwrap_or_else(|error| panic!("cc cannot be run: {error}"));
    assert!(output.status.success(), "{source}: {}", String::from_utf8_lossy(&output.stderr));
    std::fs::rename(&fresh, &program)
        .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
    program
}

/// How often the peer's machine is checked while waiting.
const LOOK: Duration = Duration::from_secs(2);
/// The path of the peer's program in the machine.
const PROGRAM: &str = "/opt/kernel_peer";
/// Rate of each network, kbit/s. It keeps the captures small.
const RATE: u32 = 50_000;
/// Length of each network's queue, ms.
const QUEUE: u32 = 60;
