//! The places where both ends run, and the code that runs a column of scenarios there.

use std::cell::RefCell;
use std::net::IpAddr;
use std::ops::DerefMut;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use workspace_tests::process::Program;

use crate::foreign::Implementation;
use crate::interop::case::Case;
use crate::interop::limits::Limit;
use crate::interop::matrix::{self, Column, Outcome};
use crate::interop::ours;
use crate::interop::scenario::{Fault, SCENARIOS, Side};
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

/// The path of the peer's program in the machine.
const PROGRAM: &str = "/opt/kernel_peer";
/// Rate of each network, kbit/s. It keeps the captures small.
const RATE: u32 = 50_000;
/// Length of each network's queue, ms.
const QUEUE: u32 = 60;
