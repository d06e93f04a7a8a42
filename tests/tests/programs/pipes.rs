//! Programs whose output nobody reads any more end, and quietly.
#![cfg(unix)]

use std::io::{BufRead, BufReader, pipe};
use std::os::unix::process::ExitStatusExt;
use std::process::{ChildStdout, Command, ExitStatus, Stdio};

use workspace_tests::process::PATIENCE;

use crate::pool::{Pool, command};

/// SIGPIPE, as the status of a process that it killed, and as a shell and the programs say it.
const SIGPIPE: i32 = 13;
const ENDED_IN_ORDER: i32 = 141;

/// A pipe whose other end is closed.
fn nobody() -> Stdio {
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    writer.into()
}

#[test]
fn help_that_nobody_reads_is_no_panic() {
    let programs = env!("CARGO_BIN_EXE_programs");
    let mut commands: Vec<Command> = Vec::new();
    for args in [
        &["rspregistrar", "--help"][..],
        &["rspserver", "--help"],
        &["rspterminal", "--help"],
        &["pingpongclient", "--help"],
        &["rspdemo", "--help"],
        &["sctp-perf", "--help"],
        &["sctp-perf", "--version"],
        &["sctp-perf", "server", "--help"],
    ] {
        commands.push(Command::new(programs));
        commands.last_mut().unwrap().args(args);
    }
    for (program, option) in [
        (env!("CARGO_BIN_EXE_sctp-lint"), "--rules"),
        (env!("CARGO_BIN_EXE_sctp-lint"), "--help"),
        (env!("CARGO_BIN_EXE_sctp-campaign"), "--seeds=1"),
    ] {
        commands.push(Command::new(program));
        commands.last_mut().unwrap().arg(option);
    }
    for mut command in commands {
        let output = command.stdout(nobody()).output().unwrap();
        assert_eq!(output.status.signal(), Some(SIGPIPE), "{command:?}: {}", output.status);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!said.contains("panicked"), "{command:?}: {said}");
    }
}

#[test]
fn complaints_that_nobody_reads_are_no_panic() {
    for args in [&["rspserver", "-nonsense"][..], &["sctp-perf"], &["no-such-program"]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_programs"));
        let status = command.args(args).stderr(nobody()).status().unwrap();
        assert_eq!(status.signal(), Some(SIGPIPE), "{args:?}: {status}");
    }
}

#[test]
fn programs_that_run_end_in_order_when_their_reader_goes() {
    let pool = Pool::start();
    let registrar = pool.registrar_option();
    let _server = pool.server(&["-pingpong"]);
    let common = ["-asapannounce=off", "-quiet"];
    let start = |name: &str, args: &[&str]| Piped::start(name, &[&common[..], args].concat());

    let mut client = start("pingpongclient", &["--interval=1", &registrar]);
    client.read_ready_line();
    assert_eq!(client.ended_without_reader().code(), Some(ENDED_IN_ORDER));

    // A registrar speaks when a server comes, a server when its registrar goes.
    let mut events =
        start("rspregistrar", &["-asap=127.0.0.1:0", "--encap-port=0", "-enrp=off", "--events"]);
    let ready = events.read_ready_line();
    let (asap, udp) = (ready.get("asap").unwrap(), ready.udp().unwrap());
    let at = format!("-registrar={asap}/udp:{udp}");
    let mut server = start("rspserver", &["-local=127.0.0.1:0", &at]);
    // The first words were said before anybody was connected with.
    server.line();
    assert_eq!(events.ended_without_reader().code(), Some(ENDED_IN_ORDER));
    assert_eq!(server.ended_without_reader().code(), Some(ENDED_IN_ORDER));
}

/// A program with a pipe for its output.
struct Piped {
    child: std::process::Child,
    out: Option<BufReader<ChildStdout>>,
}

impl Piped {
    fn start(name: &str, args: &[&str]) -> Piped {
        let mut command = command(name, args);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let out = child.stdout.take().map(BufReader::new);
        Piped { child, out }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.out.as_mut().expect("a reader").read_line(&mut line).unwrap();
        assert!(!line.is_empty(), "it has ended");
        line
    }

    fn read_ready_line(&mut self) -> rsp_tools::cli::ReadyLine {
        loop {
            if let Some(ready) = rsp_tools::cli::ReadyLine::parse(&self.line()) {
                return ready;
            }
        }
    }

    fn ended_without_reader(&mut self) -> ExitStatus {
        self.out = None;
        let begin = std::time::Instant::now();
        loop {
            match self.child.try_wait().unwrap() {
                Some(status) => return status,
                None => assert!(begin.elapsed() < PATIENCE, "it goes on without a reader"),
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }
}

impl Drop for Piped {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
