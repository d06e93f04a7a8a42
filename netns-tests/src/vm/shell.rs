//! Commands in the machine: the program that carries a command over the control channel, and the
//! test's handle of it.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::ops::{Deref, DerefMut};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use workspace_tests::process::{PATIENCE, Program};

/// Name of the program.
pub const NAME: &str = "vm-shell";
/// TCP port of the control channel, at both of its ends.
pub(super) const PORT: u16 = 2323;

/// A script that runs in the machine. Its lines arrive as they are printed, and are kept when the
/// test fails. Dropping it kills the script and every process that it started.
#[derive(Debug)]
pub struct Guest {
    program: Program,
    log: PathBuf,
}

impl Guest {
    pub(super) fn new(program: Program, log: PathBuf) -> Guest {
        Guest { program, log }
    }

    /// Writes a line to its standard input.
    ///
    /// # Panics
    /// When the script is gone; so do all methods below.
    pub fn type_line(&mut self, text: &str) {
        self.program.type_line(&format!("<{text}"));
    }

    /// Ends its standard input.
    pub fn close_stdin(&mut self) {
        self.program.type_line("<");
    }

    /// Sends a signal to the script and every process that it started. `signal` is a name that
    /// `kill -s` takes.
    pub fn signal(&mut self, signal: &str) {
        self.program.type_line(&format!("!{signal}"));
    }

    /// Kills it with SIGKILL; when this returns, it is dead.
    pub fn kill(&mut self) {
        self.signal("KILL");
        self.program.ended(PATIENCE);
    }

    /// Waits until it ends with status 0 and returns all its lines.
    pub fn finished(&mut self, limit: Duration) -> Vec<String> {
        let ended = self.program.ended(limit);
        assert!(
            ended.status.success(),
            "{}: {} {}",
            self.log.display(),
            ended.status,
            ended.text()
        );
        ended.lines
    }
}

impl Deref for Guest {
    type Target = Program;

    fn deref(&self) -> &Program {
        &self.program
    }
}

impl DerefMut for Guest {
    fn deref_mut(&mut self) -> &mut Program {
        &mut self.program
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        // Wait until it is dead: the next program may need its ports at once. When the machine is
        // off, there is nothing to wait for.
        if self.program.try_ended(Duration::ZERO).is_none() && self.program.try_type_line("!KILL") {
            self.program.try_ended(DEATH);
        }
        // The log of a test that passes is removed with its directory.
        self.program.keep_log(&self.log);
    }
}

#[derive(Debug, Parser)]
struct Options {
    /// How long to wait for the machine to answer, seconds.
    #[arg(long, default_value_t = 20)]
    patience: u64,
    /// The script to run.
    script: PathBuf,
    /// A file for the script.
    payload: Option<PathBuf>,
}

/// The program: runs a script in the machine and ends with its status. Lines on standard input go
/// to the agent there, which understands them; the end of standard input ends that of the script.
pub fn run(args: Vec<OsString>) -> ExitCode {
    let options = match Options::try_parse_from(args) {
        Ok(options) => options,
        Err(error) => error.exit(),
    };
    match converse(&options) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            eprintln!("the machine cannot run a script: {error}");
            ExitCode::from(LOST)
        }
    }
}

fn converse(options: &Options) -> Result<u8, String> {
    let read = |file: &PathBuf| {
        std::fs::read(file).map_err(|error| format!("{}: {error}", file.display()))
    };
    let script = read(&options.script)?;
    let payload = options.payload.as_ref().map(read).transpose()?.unwrap_or_default();
    let mut agent = connect(options)?;
    let lost = |error: std::io::Error| format!("the connection is lost: {error}");
    let mut head = format!("{} {}\n", script.len(), payload.len()).into_bytes();
    head.extend(script);
    head.extend(payload);
    agent.get_mut().write_all(&head).map_err(lost)?;
    let mut input = agent.get_ref().try_clone().map_err(lost)?;
    std::thread::spawn(move || {
        // If this fails, reading fails, too, and reports the error.
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut input);
        let _ = input.shutdown(std::net::Shutdown::Write);
    });
    let mut output = std::io::stdout().lock();
    let mut line = Vec::new();
    loop {
        line.clear();
        if agent.read_until(b'\n', &mut line).map_err(lost)? == 0 {
            return Err("it disconnected while the script ran".to_owned());
        }
        let (text, end) = split_end(&line);
        output.write_all(text).and_then(|()| output.flush()).map_err(|error| error.to_string())?;
        if let Some(status) = end {
            return Ok(status);
        }
    }
}

/// Separates the last words of the agent, which are the status of the script, from the output of
/// the script.
fn split_end(line: &[u8]) -> (&[u8], Option<u8>) {
    let Some(at) = line.iter().position(|byte| *byte == EOT) else { return (line, None) };
    let (text, end) = line.split_at(at);
    let end = std::str::from_utf8(&end[1..]).ok().and_then(|end| end.strip_prefix("exit "));
    match end.and_then(|status| status.trim_end().parse().ok()) {
        Some(status) => (text, Some(status)),
        None => (line, None),
    }
}

/// Connects again and again until the agent greets.
fn connect(options: &Options) -> Result<BufReader<TcpStream>, String> {
    let end = Instant::now() + Duration::from_secs(options.patience);
    loop {
        if let Some(agent) = greeted() {
            return Ok(agent);
        }
        if Instant::now() > end {
            return Err(format!("it did not answer within {} s", options.patience));
        }
        // QEMU accepts connections long before the machine does, and nothing shows when it is
        // ready.
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn greeted() -> Option<BufReader<TcpStream>> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, PORT)).ok()?;
    stream.set_nodelay(true).ok()?;
    stream.set_read_timeout(Some(GREETING)).ok()?;
    let mut agent = BufReader::new(stream);
    let mut greeting = String::new();
    agent.by_ref().take(100).read_line(&mut greeting).ok()?;
    if greeting != "agent\n" {
        return None;
    }
    agent.get_ref().set_read_timeout(None).ok()?;
    Some(agent)
}

/// How long to wait for the greeting of the agent. Even on a busy machine it needs less.
const GREETING: Duration = Duration::from_secs(2);
/// How long to wait until a program is killed. Even a busy machine needs less.
const DEATH: Duration = Duration::from_secs(5);
/// The byte before the agent's last words.
const EOT: u8 = 4;
/// Exit status when the machine is gone.
const LOST: u8 = 255;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_is_told_from_output() {
        assert_eq!(split_end(b"text\n"), (&b"text\n"[..], None));
        assert_eq!(split_end(b"\x04exit 3\n"), (&b""[..], Some(3)));
        assert_eq!(split_end(b"no newline\x04exit 0\n"), (&b"no newline"[..], Some(0)));
        assert_eq!(split_end(b"\x04other\n"), (&b"\x04other\n"[..], None));
    }
}
