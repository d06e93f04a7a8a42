//! QEMU, and the commands for its monitor.

use std::fmt;
use std::path::{Path, PathBuf};

use serde_json::Value;
use workspace_tests::gate;
use workspace_tests::process::Program;

use super::image::Image;
use super::shell;
use crate::net::{BRIDGE, Host};

/// A running QEMU. Its monitor (QMP) is at its standard input and output.
#[derive(Debug)]
pub(super) struct Machine {
    program: Program,
    log: PathBuf,
    accelerator: Accelerator,
    /// Which cables are plugged in.
    cables: [bool; 2],
}

/// The part that executes the machine's instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Accelerator {
    /// The processor.
    Kvm,
    /// QEMU.
    Tcg,
}

impl Accelerator {
    /// The accelerators to try, in this order. `PEER_VM_ACCEL` may name the only one to try.
    ///
    /// # Panics
    /// When it names something else.
    pub(super) fn candidates() -> Vec<Accelerator> {
        match std::env::var("PEER_VM_ACCEL").as_deref() {
            Ok("kvm") => vec![Accelerator::Kvm],
            Ok("tcg") => vec![Accelerator::Tcg],
            Ok(other) => panic!("'{other}' is not an accelerator; PEER_VM_ACCEL may be kvm or tcg"),
            // The device alone proves nothing: some kernels offer it without hardware for it.
            Err(_) => {
                let vendor = |name: &str| Path::new("/sys/module").join(name).exists();
                let kvm =
                    Path::new("/dev/kvm").exists() && (vendor("kvm_intel") || vendor("kvm_amd"));
                let kvm = kvm.then_some(Accelerator::Kvm);
                kvm.into_iter().chain([Accelerator::Tcg]).collect()
            }
        }
    }
}

impl fmt::Display for Accelerator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Accelerator::Kvm => "KVM",
            Accelerator::Tcg => "emulation (TCG)",
        })
    }
}

impl Machine {
    /// Starts QEMU in the namespace of the first switch, plugs its NICs into the switches and lets
    /// it boot.
    ///
    /// # Panics
    /// When it or the system refuses.
    pub(super) fn start(
        image: &Image,
        accelerator: Accelerator,
        switches: &[Host; 2],
        dir: &Path,
    ) -> Machine {
        let qemu = gate::find("qemu-system-x86_64").unwrap_or_else(|| "qemu-system-x86_64".into());
        let mut command = switches[0].namespace().command("setpriv");
        // However the test ends, QEMU ends with it.
        command.args(["--pdeathsig", "KILL", "--"]).arg(qemu);
        let (accel, cpu) = match accelerator {
            Accelerator::Kvm => ("kvm", "host"),
            Accelerator::Tcg => ("tcg", "max"),
        };
        command.args(["-accel", accel, "-cpu", cpu, "-m", "512", "-nodefaults", "-no-user-config"]);
        command.args(["-display", "none", "-qmp", "stdio", "-S", "-device", "virtio-rng-pci"]);
        command.arg("-kernel").arg(&image.kernel).arg("-initrd").arg(&image.initrd);
        // Show the kernel's warnings on the console: the loss of a network card is one.
        command.args(["-append", "console=ttyS0 loglevel=5 net.ifnames=0 random.trust_cpu=on"]);
        command.arg("-serial").arg(format!("file:{}", Self::console(dir).display()));
        for (nic, tap) in TAPS.iter().enumerate() {
            command
                .args(["-netdev", &format!("tap,id=n{nic},ifname={tap},script=no,downscript=no")]);
            let device =
                format!("virtio-net-pci,netdev=n{nic},id=nic{nic},mac=52:54:00:00:00:0{nic}");
            command.args(["-device", &format!("{device},romfile=,{NO_OFFLOAD}")]);
        }
        let forward = format!("hostfwd=tcp:127.0.0.1:{0}-10.0.2.15:{0}", shell::PORT);
        command.args(["-netdev", &format!("user,id=n2,restrict=on,{forward}")]);
        command.args(["-device", "virtio-net-pci,netdev=n2,romfile="]);
        let mut machine = Machine {
            program: Program::start("qemu", &mut command),
            log: dir.join("vm-qemu.log"),
            accelerator,
            cables: [true; 2],
        };
        machine
            .program
            .wait_for("that its monitor listens", |line| line.contains("QMP").then_some(()));
        machine.command("qmp_capabilities", "{}");
        // QEMU runs in one namespace. A TAP device still works after it was moved to another.
        let (here, there) = (switches[0].namespace(), switches[1].namespace());
        here.ip(&["link", "set", TAPS[1], "netns", there.name()]);
        for (namespace, tap) in [here, there].into_iter().zip(TAPS) {
            namespace.ip(&["link", "set", tap, "master", BRIDGE, "up"]);
        }
        machine.command("cont", "{}");
        machine
    }

    /// Cuts the machine's power and switches it on again.
    ///
    /// # Panics
    /// When QEMU or the system refuses; so do all methods below.
    pub(super) fn power_cycle(&mut self, image: &Image, switches: &[Host; 2], dir: &Path) {
        // This needs a new process: after a reset of the old one, devices may still write to the
        // memory in which the next kernel starts.
        self.program.kill();
        let cables = self.cables;
        *self = Machine::start(image, self.accelerator, switches, dir);
        for (nic, plugged) in cables.into_iter().enumerate().filter(|(_, plugged)| !plugged) {
            self.cable(nic, plugged);
        }
    }

    /// Plugs a cable in or unplugs it.
    pub(super) fn cable(&mut self, nic: usize, plugged: bool) {
        self.cables[nic] = plugged;
        self.command("set_link", &format!(r#"{{ "name": "nic{nic}", "up": {plugged} }}"#));
    }

    /// Has the monitor execute a command. `arguments` is a JSON object.
    fn command(&mut self, name: &str, arguments: &str) {
        self.program.type_line(&format!(r#"{{ "execute": "{name}", "arguments": {arguments} }}"#));
        let error = self.program.wait_for("its answer", |line| {
            let answer: Value = serde_json::from_str(line).ok()?;
            // Events may come before the answer.
            answer
                .get("return")
                .map(|_| None)
                .or_else(|| answer.get("error").map(|error| Some(error.clone())))
        });
        assert!(error.is_none(), "QEMU refuses {name} {arguments}: {error:?}");
    }

    /// The file that the machine's console is written to.
    pub(super) fn console(dir: &Path) -> PathBuf {
        dir.join("vm-console.log")
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.program.keep_log(&self.log);
        }
    }
}

const TAPS: [&str; 2] = ["vm-tap0", "vm-tap1"];
/// Without offloading, packets leave complete, and captures show what a network would carry.
const NO_OFFLOAD: &str =
    "csum=off,guest_csum=off,gso=off,guest_tso4=off,guest_tso6=off,guest_ecn=off,guest_ufo=off";
