//! The agent as a child process, and what its lines say.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// A running agent. Dropping it kills it.
pub(crate) struct Agent {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Agent {
    /// Starts an agent with these environment variables and no others that it knows.
    pub(crate) fn start(env: &[(&str, &str)]) -> Agent {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sctp-agent"));
        for name in ["SUT_VIRTUAL", "SUT_UDP_PORT", "SUT_UDP_ADDRS", "SUT_SYSCTL"] {
            command.env_remove(name);
        }
        command.envs(env.iter().copied()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Agent { child, input, output }
    }

    /// Starts an agent in virtual mode without encapsulation.
    pub(crate) fn start_virtual() -> Agent {
        Agent::start(&[("SUT_VIRTUAL", "1")])
    }

    /// Sends a request and waits for its reply.
    pub(crate) fn ask(&mut self, request: &str) -> String {
        writeln!(self.input, "{request}").unwrap();
        let mut reply = String::new();
        self.output.read_line(&mut reply).unwrap();
        reply.trim_end().to_owned()
    }

    /// Sends a request that must get this reply.
    #[track_caller]
    pub(crate) fn expect(&mut self, request: &str, reply: &str) {
        assert_eq!(self.ask(request), reply, "{request}");
    }

    /// Sends a request that must succeed.
    #[track_caller]
    pub(crate) fn ok(&mut self, request: &str) -> String {
        let reply = self.ask(request);
        assert!(reply == "ok" || reply.starts_with("ok "), "{request}: {reply}");
        reply
    }

    /// Repeats a request until it gets another reply than `err 11`.
    #[track_caller]
    pub(crate) fn wait(&mut self, request: &str) -> String {
        let start = Instant::now();
        loop {
            let reply = self.ask(request);
            if reply != "err 11" {
                return reply;
            }
            assert!(start.elapsed() < Duration::from_secs(20), "{request}: nothing happens");
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
#[track_caller]
pub(crate) fn value<'a>(reply: &'a str, key: &str) -> &'a str {
    reply
        .split(' ')
        .find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
        .unwrap_or_else(|| panic!("no {key} in {reply:?}"))
}

/// Bytes from hexadecimal digits.
pub(crate) fn unhex(digits: &str) -> Vec<u8> {
    (0..digits.len()).step_by(2).map(|i| u8::from_str_radix(&digits[i..i + 2], 16).unwrap()).collect()
}

/// Bytes as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
