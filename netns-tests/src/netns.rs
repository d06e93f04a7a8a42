//! Network namespaces that vanish with their value, also when a test panics.

use std::cell::Cell;
use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use workspace_tests::gate;

/// A network namespace. Dropping it deletes it and with it the links inside.
#[derive(Debug)]
pub struct Namespace {
    name: String,
    disturbed: Cell<bool>,
}

impl Namespace {
    /// Makes a namespace with its loopback interface up. The name holds the process number, so that runs do not meet; leftovers of
    /// processes that are gone are removed first.
    ///
    /// # Panics
    /// When the system refuses.
    pub fn new(role: &str) -> Namespace {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        static CLEAN: std::sync::Once = std::sync::Once::new();
        CLEAN.call_once(remove_leftovers);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}{}-{count}-{role}", std::process::id());
        ip(&["netns", "add", &name]);
        let namespace = Namespace { name, disturbed: Cell::new(false) };
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

    /// A command that will run inside.
    pub fn command(&self, program: &str) -> Command {
        let mut command = ip_command();
        command.args(["netns", "exec", &self.name, program]);
        command
    }

    /// Runs a program inside to its end, with `input` on its standard input, and gives what it printed.
    ///
    /// # Panics
    /// When it fails.
    pub fn run(&self, program: &str, args: &[&str], input: &str) -> String {
        let path = gate::find(program).unwrap_or_else(|| program.into());
        let mut command = self.command(&path.to_string_lossy());
        command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{program} cannot be run: {error}"));
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

    /// Notes that something here loses packets or holds them back.
    pub(crate) fn disturb(&self) {
        self.disturbed.set(true);
    }

    /// Whether something here has lost packets or held them back: an interface was down, or rules dropped, limited or forgot.
    pub(crate) fn is_disturbed(&self) -> bool {
        self.disturbed.get()
    }

    /// Changes settings of the kernel that belong to the namespace: `net.ipv4.ip_forward=1`.
    ///
    /// # Panics
    /// When it refuses.
    pub fn sysctl(&self, settings: &[&str]) {
        self.run("sysctl", &[&["-q", "-w"], settings].concat(), "");
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // Nothing can be done about a failure here; the next run removes what is left.
        let _ = ip_command().args(["netns", "delete", &self.name]).output();
    }
}

/// Runs `ip`.
///
/// # Panics
/// With what it said, when it fails.
pub(crate) fn ip(args: &[&str]) -> Output {
    let output = ip_command().args(args).output().unwrap_or_else(|error| panic!("ip cannot be run: {error}"));
    assert!(
        output.status.success(),
        "ip {} failed: {}",
        args.join(" "),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    output
}

fn ip_command() -> Command {
    Command::new(gate::find("ip").unwrap_or_else(|| "ip".into()))
}

fn remove_leftovers() {
    let Ok(output) = ip_command().args(["netns", "list"]).output() else { return };
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let Some(name) = line.split_whitespace().next() else { continue };
        let pid = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        if pid.is_some_and(|pid| !std::path::Path::new("/proc").join(pid).exists()) {
            let _ = ip_command().args(["netns", "delete", name]).output();
        }
    }
}

const PREFIX: &str = "sctp-user-test-";
