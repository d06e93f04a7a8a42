//! Programs as child processes. A test reads their lines as they are printed, and no program
//! outlives its test, even if the test panics.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use rsp_tools::cli::ReadyLine;

use crate::gate;

/// Long enough for everything that should happen at once, even on a busy machine. Only failing
/// tests wait this long.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A running program. Dropping it kills it with SIGKILL.
#[derive(Debug)]
pub struct Program {
    name: String,
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<Line>,
    /// All lines so far, for failure messages.
    seen: Vec<String>,
}

#[derive(Debug)]
enum Line {
    Out(String),
    Err(String),
}

impl Program {
    /// Starts `command` with pipes on all three standard streams.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(name: &str, command: &mut Command) -> Program {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child =
            command.spawn().unwrap_or_else(|error| panic!("{name} cannot be started: {error}"));
        let (tx, lines) = channel();
        if let Some(out) = child.stdout.take() {
            read_lines(out, Line::Out, tx.clone());
        }
        if let Some(err) = child.stderr.take() {
            read_lines(err, Line::Err, tx);
        }
        let stdin = child.stdin.take();
        Program { name: name.to_owned(), child, stdin, lines, seen: Vec::new() }
    }

    /// Process identifier.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The ready line, which is waited for if it has not been read already.
    ///
    /// # Panics
    /// When none comes.
    pub fn ready(&mut self) -> ReadyLine {
        match self.seen.iter().find_map(|line| ReadyLine::parse(line)) {
            Some(ready) => ready,
            None => self.wait_for("its ready line", ReadyLine::parse),
        }
    }

    /// Waits for a line on standard output for which `wanted` returns a value, and returns that
    /// value.
    ///
    /// # Panics
    /// When none comes; the message holds all lines so far.
    pub fn wait_for<T>(&mut self, what: &str, wanted: impl FnMut(&str) -> Option<T>) -> T {
        match self.wait_at_most(PATIENCE, wanted) {
            Some(found) => found,
            None => panic!("{} did not show {what}; it said:\n{}", self.name, self.seen.join("\n")),
        }
    }

    /// Like [`wait_for`](Self::wait_for), for a line on standard error.
    ///
    /// # Panics
    /// When none comes.
    pub fn wait_for_complaint<T>(
        &mut self,
        what: &str,
        mut wanted: impl FnMut(&str) -> Option<T>,
    ) -> T {
        let found = self.wait_line(PATIENCE, |line| match line {
            Line::Err(text) => wanted(text),
            Line::Out(_) => None,
        });
        match found {
            Some(found) => found,
            None => panic!("{} did not show {what}; it said:\n{}", self.name, self.seen.join("\n")),
        }
    }

    /// Like [`wait_for`](Self::wait_for), for at most `limit`. Returns `None` when no such line
    /// came.
    pub fn wait_at_most<T>(
        &mut self,
        limit: Duration,
        mut wanted: impl FnMut(&str) -> Option<T>,
    ) -> Option<T> {
        self.wait_line(limit, |line| match line {
            Line::Out(text) => wanted(text),
            Line::Err(_) => None,
        })
    }

    fn wait_line<T>(
        &mut self,
        limit: Duration,
        mut wanted: impl FnMut(&Line) -> Option<T>,
    ) -> Option<T> {
        let end = Instant::now() + limit;
        loop {
            match self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    let found = wanted(&line);
                    self.seen.push(match line {
                        Line::Out(text) => text,
                        Line::Err(text) => format!("(stderr) {text}"),
                    });
                    if found.is_some() {
                        return found;
                    }
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return None,
            }
        }
    }

    /// Writes a line to its standard input.
    ///
    /// # Panics
    /// When the program no longer reads.
    pub fn type_line(&mut self, text: &str) {
        let name = &self.name;
        let stdin =
            self.stdin.as_mut().unwrap_or_else(|| panic!("the standard input of {name} is closed"));
        writeln!(stdin, "{text}")
            .unwrap_or_else(|error| panic!("{name} does not read its input: {error}"));
    }

    /// Like [`type_line`](Self::type_line), but returns false when the program no longer reads.
    pub fn try_type_line(&mut self, text: &str) -> bool {
        self.stdin.as_mut().is_some_and(|stdin| writeln!(stdin, "{text}").is_ok())
    }

    /// Closes its standard input.
    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Kills it with SIGKILL and waits for its end.
    pub fn kill(&mut self) {
        // An error means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Sends it a signal. `signal` is a name that `kill -s` takes.
    ///
    /// # Panics
    /// When it cannot be sent.
    pub fn signal(&self, signal: &str) {
        assert!(self.try_signal(signal), "{} cannot be sent {signal}", self.name);
    }

    /// Like [`signal`](Self::signal), but returns false when it cannot be sent.
    pub fn try_signal(&self, signal: &str) -> bool {
        let status = Command::new("kill").args(["-s", signal, &self.id().to_string()]).status();
        status.is_ok_and(|status| status.success())
    }

    /// Waits until it ends, and returns its status and all its lines.
    ///
    /// # Panics
    /// When it does not end within `limit`.
    pub fn ended(&mut self, limit: Duration) -> Ended {
        let Some(status) = self.try_ended(limit) else {
            let said = self.said().join("\n");
            panic!("{} did not end within {limit:?}; it said:\n{said}", self.name)
        };
        // Read the rest. The pipes are closed now, unless grandchildren still have them open.
        self.wait_at_most(Duration::from_secs(2), |_| None::<()>);
        Ended { status, lines: self.seen.clone() }
    }

    /// Waits until it ends. Returns `None` when it does not end within `limit`.
    pub fn try_ended(&mut self, limit: Duration) -> Option<ExitStatus> {
        let end = Instant::now() + limit;
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return Some(status),
                Ok(None) if Instant::now() < end => std::thread::sleep(Duration::from_millis(5)),
                _ => return None,
            }
        }
    }

    /// All its lines so far; those on standard error begin with "(stderr) ".
    pub fn said(&mut self) -> &[String] {
        self.wait_at_most(Duration::ZERO, |_| None::<()>);
        &self.seen
    }

    /// Writes all lines so far to `log`. When this fails, standard error says why; a panic here
    /// would hide the failure that the log is kept for. If the directory has been removed, nobody
    /// needs the log any more, and nothing is said.
    pub fn keep_log(&mut self, log: &Path) {
        if let Err(error) = self.write_log(log) {
            gate::say(&error);
        }
    }

    fn write_log(&mut self, log: &Path) -> Result<(), String> {
        match std::fs::write(log, self.said().join("\n") + "\n") {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(format!(
                "the log of {} cannot be written to {}: {error}",
                self.name,
                log.display()
            )),
            _ => Ok(()),
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Runs `command` with these bytes on its standard input, for at most `limit`. Status and all bytes
/// of its output.
///
/// # Panics
/// When it cannot be started or does not end within `limit`.
pub fn filter(command: &mut Command, input: Vec<u8>, limit: Duration) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    // A program may end before it has read everything.
    std::thread::spawn(move || stdin.write_all(&input).is_ok());
    let (done, outcome) = channel();
    let pid = child.id().to_string();
    std::thread::spawn(move || done.send(child.wait_with_output()));
    match outcome.recv_timeout(limit) {
        Ok(output) => output.expect("its output can be read"),
        Err(_) => {
            let _ = Command::new("kill").args(["-s", "KILL", &pid]).status();
            let said = outcome.recv().expect("it ends now").expect("its output can be read");
            let (out, err) = (said.stdout.len(), String::from_utf8_lossy(&said.stderr));
            panic!(
                "{command:?} did not end within {limit:?}; it wrote {out} bytes, and said:\n{err}"
            )
        }
    }
}

/// How a program ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Exit status.
    pub status: ExitStatus,
    /// All its lines; those on standard error begin with "(stderr) ".
    pub lines: Vec<String>,
}

impl Ended {
    /// The lines on standard error.
    pub fn complaints(&self) -> Vec<&str> {
        self.lines.iter().filter_map(|line| line.strip_prefix("(stderr) ")).collect()
    }

    /// All lines in one text.
    pub fn text(&self) -> String {
        self.lines.join("\n")
    }
}

fn read_lines(from: impl Read + Send + 'static, wrap: fn(String) -> Line, to: Sender<Line>) {
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines() {
            let Ok(line) = line else { return };
            if to.send(wrap(line)).is_err() {
                return;
            }
        }
    });
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_does_not_fit_on_the_disk_is_reported_with_the_reason() {
        let mut program = Program::start("echo", Command::new("echo").arg("hello"));
        program.ended(PATIENCE);
        assert_eq!(
            program.write_log(Path::new("/dev/full")).unwrap_err(),
            "the log of echo cannot be written to /dev/full: No space left on device (os error 28)"
        );
        assert_eq!(program.write_log(Path::new("/no/such/directory/echo.log")), Ok(()));
    }
}
