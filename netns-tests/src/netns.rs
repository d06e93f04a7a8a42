//! Network namespaces that are deleted when their value is dropped, even if the test panics.

use std::cell::Cell;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use workspace_tests::gate;

/// A network namespace. Dropping it deletes the namespace and the links inside.
#[derive(Debug)]
pub struct Namespace {
    name: String,
    disturbed: Cell<bool>,
    largest_mtu: Cell<u16>,
}

impl Namespace {
    /// Makes a namespace with its loopback interface up. Its name contains the process identifier,
    /// so that test runs do not collide. Namespaces that dead test processes left behind are
    /// removed first.
    ///
    /// # Panics
    /// When the system refuses.
    pub fn new(role: &str) -> Namespace {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        static CLEAN: std::sync::Once = std::sync::Once::new();
        CLEAN.call_once(|| {
            remove_leftovers();
            leave_a_cleaner();
        });
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}{}-{count}-{role}", std::process::id());
        ip(&["netns", "add", &name]);
        let namespace =
            Namespace { name, disturbed: Cell::new(false), largest_mtu: Cell::new(1500) };
        namespace.ip(&["link", "set", "lo", "up"]);
        namespace
    }

    /// Its name as `ip netns` knows it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs `ip` inside.
    ///
    /// # Panics
    /// When it fails.
    pub fn ip(&self, args: &[&str]) {
        if args.contains(&"down") {
            self.disturb();
        }
        ip(&[&["-n", &self.name], args].concat());
    }

    /// A command that runs inside. The program dies at the latest when the thread that started it
    /// ends or is killed.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(gate::find("setpriv").unwrap_or_else(|| "setpriv".into()));
        command.args(["--pdeathsig", "KILL", "--"]).arg(ip_program());
        command.args(["netns", "exec", &self.name, program]);
        command
    }

    /// Runs a program inside until it ends, with `input` on its standard input, and returns what it
    /// printed.
    ///
    /// # Panics
    /// When it fails.
    pub fn run(&self, program: &str, args: &[&str], input: &str) -> String {
        let path = gate::find(program).unwrap_or_else(|| program.into());
        let mut command = self.command(&path.to_string_lossy());
        command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child =
            command.spawn().unwrap_or_else(|error| panic!("{program} cannot be run: {error}"));
        if let Some(mut stdin) = child.stdin.take() {
            stdin
                .write_all(input.as_bytes())
                .unwrap_or_else(|error| panic!("{program} does not read: {error}"));
        }
        let output = child.wait_with_output().unwrap_or_else(|error| panic!("{program}: {error}"));
        assert!(
            output.status.success(),
            "{program} {} failed: {}\n{input}",
            args.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Has `nft` read `rules`.
    ///
    /// # Panics
    /// When it refuses.
    pub fn nft(&self, rules: &str) {
        if ["drop", "reject"].iter().any(|word| rules.contains(word)) {
            self.disturb();
        }
        self.run("nft", &["-f", "-"], rules);
    }

    /// Notes that something in this namespace loses packets or delays them.
    pub(crate) fn disturb(&self) {
        self.disturbed.set(true);
    }

    /// Notes that an interface in this namespace has an MTU of `bytes`.
    pub(crate) fn has_mtu(&self, bytes: u16) {
        self.largest_mtu.set(self.largest_mtu.get().max(bytes));
    }

    /// The largest MTU that any interface in this namespace has had, bytes.
    pub(crate) fn largest_mtu(&self) -> u16 {
        self.largest_mtu.get()
    }

    /// Whether something in this namespace has lost packets or delayed them: an interface was down,
    /// a rule dropped packets or limited their rate, or a NAT forgot its bindings.
    pub(crate) fn is_disturbed(&self) -> bool {
        self.disturbed.get()
    }

    /// Changes settings of the kernel that belong to the namespace, such as
    /// `net.ipv4.ip_forward=1`.
    ///
    /// # Panics
    /// When it refuses.
    pub fn sysctl(&self, settings: &[&str]) {
        self.run("sysctl", &[&["-q", "-w"], settings].concat(), "");
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // If this fails, the next run removes the namespace.
        let _ = ip_command().args(["netns", "delete", &self.name]).output();
    }
}

/// Runs `ip`.
///
/// # Panics
/// When it fails, with its error messages.
pub(crate) fn ip(args: &[&str]) -> Output {
    let output = ip_command()
        .args(args)
        .output()
        .unwrap_or_else(|error| panic!("ip cannot be run: {error}"));
    assert!(
        output.status.success(),
        "ip {} failed: {}",
        args.join(" "),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    output
}

/// Checks that namespaces can be made here; root in a container often cannot make them. The error
/// is a sentence that says why.
pub(crate) fn possible() -> Result<(), String> {
    static TRIED: OnceLock<Result<(), String>> = OnceLock::new();
    TRIED.get_or_init(try_one).clone()
}

fn try_one() -> Result<(), String> {
    let name = format!("{PREFIX}{}-try", std::process::id());
    let tried = [
        vec!["netns", "add", &name],
        vec!["-n", &name, "link", "add", "eth0", "type", "veth", "peer", "name", "eth1"],
        vec!["-n", &name, "tuntap", "add", "tap0", "mode", "tap"],
    ];
    let refused = tried.iter().find_map(|args| {
        let output = ip_command().args(args).output().map_err(|error| error.to_string());
        let why = output.map(|o| {
            (!o.status.success()).then(|| String::from_utf8_lossy(&o.stderr).trim().to_owned())
        });
        why.unwrap_or_else(Some)
    });
    let _ = ip_command().args(["netns", "delete", &name]).output();
    let sentence = |why| {
        format!(
            "this test needs to make network namespaces with veth pairs and TAP devices, and the \
             system refuses: {why}"
        )
    };
    refused.map_or(Ok(()), |why| Err(sentence(why)))
}

fn ip_program() -> PathBuf {
    gate::find("ip").unwrap_or_else(|| "ip".into())
}

fn ip_command() -> Command {
    Command::new(ip_program())
}

fn remove_leftovers() {
    let Ok(output) = ip_command().args(["netns", "list"]).output() else { return };
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let Some(name) = line.split_whitespace().next() else { continue };
        let pid = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            kill_inside(name);
            let _ = ip_command().args(["netns", "delete", name]).output();
        }
    }
}

/// Starts a process that removes the namespaces of this process when it is gone: a test that is
/// killed drops nothing. The cleaner has a session of its own, so that a signal to the process
/// group of the test does not reach it.
fn leave_a_cleaner() {
    static INPUT: OnceLock<Option<ChildStdin>> = OnceLock::new();
    INPUT.get_or_init(|| {
        let mut cleaner = Command::new("setsid");
        cleaner.args(["sh", "-c", CLEANER, "cleaner"]).arg(ip_program());
        cleaner.arg(format!("{PREFIX}{}-", std::process::id()));
        cleaner.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        // If it cannot be started, the next run cleans up.
        cleaner.spawn().ok().and_then(|mut child| child.stdin.take())
    });
}

/// The script of the cleaner. It reads its input until the test process is gone. Its arguments are
/// the path of `ip` and the prefix of the namespaces' names.
const CLEANER: &str = r#"
    cat >/dev/null
    "$1" netns list | while read -r name rest; do
        case $name in "$2"*) ;; *) continue ;; esac
        for pid in $("$1" netns pids "$name"); do kill -KILL "$pid"; done
        "$1" netns delete "$name"
    done
"#;

/// Kills all processes in a namespace, which would keep it alive.
fn kill_inside(name: &str) {
    let Ok(output) = ip_command().args(["netns", "pids", name]).output() else { return };
    for pid in String::from_utf8_lossy(&output.stdout).split_whitespace() {
        let _ = Command::new("kill").args(["-s", "KILL", pid]).output();
    }
}

const PREFIX: &str = "sctp-user-test-";
