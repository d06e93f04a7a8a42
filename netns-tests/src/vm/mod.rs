//! An independent peer on the bench: a virtual machine with the SCTP of the Linux kernel,
//! lksctp-tools and RSPLIB.
//!
//! `peer-vm/build` makes its kernel and initrd from Debian's packages; the first test that needs
//! them runs it. The machine has two NICs, each at a switch of its own. Hosts are linked to these
//! switches as to any other, so that the machine's traffic is captured and judged like theirs.
//! Commands reach the machine through a control channel that no capture shows.
//!
//! ```no_run
//! use netns_tests::vm::Vm;
//!
//! # let programs = "netns-programs";
//! let Some(net) = Vm::net(programs) else { return };
//! let vm = Vm::boot(&net);
//! let host = net.host("host");
//! let cable = net.link(&host, "10.1.0.1/24 fd01::1/64", vm.switch(0), "");
//! vm.address(0, "10.1.0.2/24 fd01::2/64");
//! vm.setup("sysctl -qw net.sctp.udp_port=9899 net.sctp.encap_port=9899");
//! let mut server = vm.start("server", "exec rspserver -echo");
//! server.wait_for("that it is registered", |line| line.contains("Identifier").then_some(()));
//! vm.cable(0, false);
//! vm.reboot();
//! ```

pub mod health;
mod image;
mod machine;
pub mod shell;

use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use workspace_tests::gate::{self, Need};
use workspace_tests::process::Program;

use crate::foreign::Implementation;
use crate::link::Link;
use crate::net::{Host, Net, addr};
use health::Health;
use image::Image;
use machine::{Accelerator, Machine};
pub use shell::Guest;

/// A booted machine. Dropping it switches it off, even after a panic.
#[derive(Debug)]
pub struct Vm {
    machine: RefCell<Machine>,
    switches: [Host; 2],
    net: NetParts,
    image: Image,
    boot_time: Cell<Duration>,
    /// The steps that are repeated after every boot.
    setup: RefCell<Vec<Step>>,
    scripts: Cell<usize>,
}

/// What a machine needs to know about its bench.
#[derive(Debug)]
struct NetParts {
    programs: PathBuf,
    dir: PathBuf,
}

#[derive(Clone, Debug)]
enum Step {
    Script(String),
    Push { file: PathBuf, destination: String },
}

impl Vm {
    /// Makes a bench on which machines can be booted. If something is missing, prints a sentence
    /// about it and returns `None`. Builds kernel and initrd unless they exist already. `programs`
    /// is as for [`Net::open`].
    ///
    /// # Panics
    /// With `CI=true` when something is missing.
    pub fn net(programs: &str) -> Option<Net> {
        if !gate::all_or_skip(&NEEDS) || !gate::or_skip(Image::build().map(drop)) {
            return None;
        }
        Net::open(programs)
    }

    /// Boots a machine and waits until it answers. That takes some seconds, because QEMU emulates
    /// the processor where there is no hardware virtualisation. The NICs have only link-local
    /// addresses at first.
    ///
    /// # Panics
    /// When it does not answer. All methods below panic when the machine or the system refuses.
    pub fn boot(net: &Net) -> Vm {
        let image = Image::build().unwrap_or_else(|problem| panic!("{problem}"));
        let switches = [0, 1].map(|nic| net.switch(&format!("vm-nic{nic}")));
        let parts = NetParts { programs: net.programs().to_owned(), dir: net.dir().to_owned() };
        net.ready();
        let mut candidates = Accelerator::candidates().into_iter().peekable();
        while let Some(accelerator) = candidates.next() {
            let started = Instant::now();
            let machine = Machine::start(&image, accelerator, &switches, &parts.dir);
            let vm = Vm {
                machine: RefCell::new(machine),
                switches: switches.clone(),
                net: NetParts { programs: parts.programs.clone(), dir: parts.dir.clone() },
                image: image.clone(),
                boot_time: Cell::default(),
                setup: RefCell::default(),
                scripts: Cell::new(0),
            };
            // Nested hardware virtualisation may be offered and hang nevertheless.
            let limit = if candidates.peek().is_some() { KVM_LIMIT } else { BOOT_LIMIT };
            if vm.answers(limit) {
                vm.boot_time.set(started.elapsed());
                println!(
                    "the VM answered after {:.1} s, by {accelerator}",
                    started.elapsed().as_secs_f64()
                );
                return vm;
            }
        }
        panic!(
            "the VM does not answer; its console is in {}",
            Machine::console(&parts.dir).display()
        );
    }

    /// The switch at NIC 0 or 1: link hosts to it by [`Net::link`], without addresses on its side.
    pub fn switch(&self, nic: usize) -> &Host {
        &self.switches[nic]
    }

    /// Gives a NIC these addresses, now and after each [`reboot`](Self::reboot). They have prefix
    /// lengths and are separated by spaces.
    pub fn address(&self, nic: usize, prefixes: &str) {
        self.switches[nic].foreign_at(prefixes.split_whitespace().map(addr), Implementation::Linux);
        for prefix in prefixes.split_whitespace() {
            let nodad = if prefix.contains(':') { "nodad" } else { "" };
            self.setup(&format!("ip address add {prefix} dev eth{nic} {nodad}"));
        }
    }

    /// Runs a script like [`run`](Self::run), now and after each [`reboot`](Self::reboot).
    pub fn setup(&self, script: &str) {
        let step = Step::Script(script.to_owned());
        self.step(&step);
        self.setup.borrow_mut().push(step);
    }

    /// Copies a file into the machine and makes it executable, now and after each
    /// [`reboot`](Self::reboot).
    pub fn push(&self, file: &Path, destination: &str) {
        let step = Step::Push { file: file.to_owned(), destination: destination.to_owned() };
        self.step(&step);
        self.setup.borrow_mut().push(step);
    }

    /// Runs a bash script, which must end with status 0 within a minute, and returns what it
    /// printed on both outputs.
    pub fn run(&self, script: &str) -> String {
        let (status, said) = self.status(script, RUN_LIMIT);
        assert!(
            status == 0,
            "a script in the VM ended with status {status}:\n{script}\nIt said:\n{said}"
        );
        said
    }

    /// Runs a bash script, which must end within `limit`, and returns its status and what it
    /// printed on both outputs.
    pub fn status(&self, script: &str, limit: Duration) -> (i32, String) {
        let ended = self.shell("script", script, None, &[]).ended(limit);
        (ended.status.code().unwrap_or(-1), ended.text())
    }

    /// Starts a bash script. Its lines on both outputs can be awaited as they are printed. If the
    /// script ends with `exec PROGRAM`, signals reach the program, and its status is that of the
    /// script. Dropping the value kills the script.
    pub fn start(&self, name: &str, script: &str) -> Guest {
        let program = self.shell(name, script, None, &[]);
        let log = self.net.dir.join(format!("{}-vm-{name}.log", self.scripts.get()));
        Guest::new(program, log)
    }

    /// Plugs in the cable of NIC 0 or 1, or unplugs it. The machine sees the carrier of its NIC
    /// come or go. The cable stays as it is when the machine reboots.
    pub fn cable(&self, nic: usize, plugged: bool) {
        self.switches[nic].namespace().disturb();
        self.machine.borrow_mut().cable(nic, plugged);
    }

    /// Cuts the machine's power and switches it on again. Waits until it answers and has its
    /// addresses, files and settings again. Programs that ran in it are gone and have sent nothing
    /// to their peers.
    pub fn reboot(&self) {
        self.switches.iter().for_each(|switch| switch.namespace().disturb());
        self.machine.borrow_mut().power_cycle(&self.image, &self.switches, &self.net.dir);
        let console = Machine::console(&self.net.dir);
        assert!(
            self.answers(BOOT_LIMIT),
            "the VM did not come back; its console is in {}",
            console.display()
        );
        let steps = self.setup.borrow().clone();
        steps.iter().for_each(|step| self.step(step));
    }

    /// How long the first boot took, from QEMU's start to the first answer.
    pub fn boot_time(&self) -> Duration {
        self.boot_time.get()
    }

    /// The version of its kernel, according to `uname -r`.
    pub fn kernel(&self) -> String {
        self.run("uname -r").trim().to_owned()
    }

    /// Checks a NIC whose cable is plugged in. If it cannot reach `host` behind its switch, returns
    /// a sentence about it.
    pub fn trouble_of_nic(&self, nic: usize, host: &str) -> Option<String> {
        let ping =
            format!("for n in 1 2 3 4 5; do ping -c 1 -W 1 -I eth{nic} {host} && exit; done");
        let (status, _) = self.status(&format!("{ping}; exit 1"), RUN_LIMIT);
        (status != 0).then(|| format!("the peer machine has lost its network card {nic}"))
    }

    fn step(&self, step: &Step) {
        match step {
            Step::Script(script) => drop(self.run(script)),
            Step::Push { file, destination } => {
                let script = format!(
                    "mkdir -p \"$(dirname '{destination}')\" && cp \"$PAYLOAD\" '{destination}' && \
                     chmod 755 '{destination}'"
                );
                let ended = self.shell("push", &script, Some(file), &[]).ended(RUN_LIMIT);
                assert!(
                    ended.status.success(),
                    "{} did not reach the VM: {}",
                    file.display(),
                    ended.text()
                );
            }
        }
    }

    fn answers(&self, limit: Duration) -> bool {
        let mut program =
            self.shell("boot", "true", None, &["--patience", &limit.as_secs().to_string()]);
        let status = program.try_ended(limit + Duration::from_secs(5));
        status.is_some_and(|status| status.success())
    }

    fn shell(&self, name: &str, script: &str, payload: Option<&Path>, options: &[&str]) -> Program {
        self.scripts.set(self.scripts.get() + 1);
        let file = self.net.dir.join(format!("{}-vm-{name}.sh", self.scripts.get()));
        std::fs::write(&file, script).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        // QEMU listens in the namespace of the first switch.
        let mut command =
            self.switches[0].namespace().command(&self.net.programs.to_string_lossy());
        command.arg(shell::NAME).args(options).arg(&file).args(payload);
        Program::start(name, &mut command)
    }
}

impl Health for Vm {
    /// A fatal message that its kernel has printed on the console since the last boot.
    fn complaint(&self) -> Option<String> {
        let console = std::fs::read(Machine::console(&self.net.dir)).unwrap_or_default();
        let console = String::from_utf8_lossy(&console);
        let said = console.lines().find(|line| FATAL.iter().any(|words| line.contains(words)))?;
        Some(format!("the peer machine is ill: {}", said.trim()))
    }

    fn trouble(&self) -> Option<String> {
        let silent = || {
            let text = "the peer machine does not answer";
            (!self.answers(ANSWER_LIMIT)).then(|| text.to_owned())
        };
        self.complaint().or_else(silent)
    }

    fn revive(&self) {
        self.reboot();
    }
}

/// A host and a machine with two networks between them, of both IP versions:
/// `10.1.0.N/24 fd01::N/64` at NIC 0 and `10.2.0.N/24 fd02::N/64` at NIC 1, where the host is 1 and
/// the machine 2.
#[derive(Debug)]
pub struct HostAndVm {
    /// The machine.
    pub vm: Vm,
    /// The host.
    pub host: Host,
    /// The cables of the host. [`Vm::cable`] controls those of the machine.
    pub cables: [Link; 2],
    /// The bench.
    pub net: Net,
}

impl HostAndVm {
    /// Builds it, or says what is missing and returns `None`.
    ///
    /// # Panics
    /// As [`Vm::net`] and [`Vm::boot`].
    pub fn open(programs: &str) -> Option<HostAndVm> {
        let net = Vm::net(programs)?;
        let vm = Vm::boot(&net);
        let host = net.host("host");
        let networks = ["10.1.0.N/24 fd01::N/64", "10.2.0.N/24 fd02::N/64"];
        let cables = [0, 1].map(|nic: usize| {
            vm.address(nic, &networks[nic].replace('N', "2"));
            net.link(&host, &networks[nic].replace('N', "1"), vm.switch(nic), "")
        });
        Some(HostAndVm { vm, host, cables, net })
    }
}

impl Health for HostAndVm {
    fn complaint(&self) -> Option<String> {
        self.vm.complaint()
    }

    fn trouble(&self) -> Option<String> {
        let cards = || [0, 1].into_iter().find_map(|nic| self.trouble_of_nic(nic));
        self.vm.trouble().or_else(cards)
    }

    fn revive(&self) {
        self.vm.revive();
    }
}

impl HostAndVm {
    fn trouble_of_nic(&self, nic: usize) -> Option<String> {
        self.vm.trouble_of_nic(nic, &format!("10.{}.0.1", nic + 1))
    }
}

/// What is needed to make a machine and to run it.
const NEEDS: [Need; 6] = [
    Need::Linux,
    Need::Root,
    Need::Program("qemu-system-x86_64"),
    Need::Program("setpriv"),
    Need::Program("cpio"),
    Need::Program("depmod"),
];

/// How long a boot may take. With emulation, on a busy host, it takes some ten seconds.
const BOOT_LIMIT: Duration = Duration::from_secs(90);
/// The same with hardware virtualisation, where a boot takes a second.
const KVM_LIMIT: Duration = Duration::from_secs(15);
const RUN_LIMIT: Duration = Duration::from_secs(60);
/// How long a machine may take to answer. Even a very busy one needs less.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// What a kernel prints when it stops, or loses a network card.
const FATAL: [&str; 4] =
    ["NETDEV WATCHDOG", "TX timeout on queue", "Kernel panic", "Out of memory"];
