//! The agent as a child process, for tests, and functions that read its lines.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// A running agent. Dropping it kills it.
#[derive(Debug)]
pub struct Agent {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Agent {
    /// Starts an agent. `command` must be the command that runs it.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(command: &mut Command) -> Agent {
        for name in VARIABLES {
            if !command.get_envs().any(|(set, _)| set == *name) {
                command.env_remove(name);
            }
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the agent starts");
        let input = child.stdin.take().expect("a pipe");
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        Agent { child, input, output }
    }

    /// Sends a request and waits for its reply.
    ///
    /// # Panics
    /// When the agent is gone.
    pub fn ask(&mut self, request: &str) -> String {
        writeln!(self.input, "{request}").expect("the agent reads");
        let mut reply = String::new();
        self.output.read_line(&mut reply).expect("the agent answers");
        reply.trim_end().to_owned()
    }

    /// Sends a request that must get this reply.
    ///
    /// # Panics
    /// When it gets another one.
    #[track_caller]
    pub fn expect(&mut self, request: &str, reply: &str) {
        assert_eq!(self.ask(request), reply, "{request}");
    }

    /// Sends a request that must succeed.
    ///
    /// # Panics
    /// When it does not.
    #[track_caller]
    pub fn ok(&mut self, request: &str) -> String {
        let reply = self.ask(request);
        assert!(reply == "ok" || reply.starts_with("ok "), "{request}: {reply}");
        reply
    }

    /// Repeats a request until it gets another reply than `err 11`.
    ///
    /// # Panics
    /// When it gets none for a minute.
    #[track_caller]
    pub fn wait(&mut self, request: &str) -> String {
        let start = Instant::now();
        loop {
            let reply = self.ask(request);
            if reply != "err 11" {
                return reply;
            }
            assert!(start.elapsed() < Duration::from_secs(60), "{request}: nothing happens");
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The value of a key in a reply.
///
/// # Panics
/// When there is no such key.
#[track_caller]
pub fn value<'a>(reply: &'a str, key: &str) -> &'a str {
    reply
        .split(' ')
        .find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
        .unwrap_or_else(|| panic!("no {key} in {reply:?}"))
}

/// Bytes from hexadecimal digits.
///
/// # Panics
/// When the text has anything else.
pub fn unhex(digits: &str) -> Vec<u8> {
    (0..digits.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&digits[i..i + 2], 16).expect("hexadecimal digits"))
        .collect()
}

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// The environment variables of the agent. A test sets those that it needs; none is inherited.
const VARIABLES: &[&str] = &["SUT_VIRTUAL", "SUT_UDP_PORT", "SUT_UDP_ADDRS", "SUT_SYSCTL"];
