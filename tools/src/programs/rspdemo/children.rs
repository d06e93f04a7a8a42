//! The child processes of the demo: its own executable, which runs another program.
//!
//! No child outlives the demo. To end in order, the demo closes the standard input of its children.
//! Dropping a [`Child`] kills it, also while a panic unwinds. If the demo itself is killed, the
//! system closes the pipes, and that ends the children as well.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{ChildStdin, Command};
use tokio::sync::mpsc;

use crate::cli::ReadyLine;
use crate::programs::CHILD_ARGUMENT;

/// A running child.
#[derive(Debug)]
pub(crate) struct Child {
    /// Its name in the time line.
    pub(crate) name: String,
    process: tokio::process::Child,
    stdin: Option<ChildStdin>,
}

/// Something a child said.
#[derive(Debug)]
pub(crate) struct ChildLine {
    /// Name of the child.
    pub(crate) child: String,
    /// What.
    pub(crate) line: Line,
}

/// A line, or the end of the output.
#[derive(Debug)]
pub(crate) enum Line {
    /// A line on its standard output.
    Out(String),
    /// A line on its standard error.
    Err(String),
    /// Its standard output was closed, so it has ended.
    End,
}

impl Child {
    /// Starts `program` with `args` by running this executable again. Its lines go to `lines`.
    ///
    /// # Errors
    /// When the executable cannot be started.
    pub(crate) fn start(
        name: &str,
        program: &str,
        args: &[OsString],
        lines: &Lines,
    ) -> anyhow::Result<Child> {
        let executable =
            std::env::current_exe().context("the demo's own executable cannot be found")?;
        let mut process = Command::new(executable)
            .arg(CHILD_ARGUMENT)
            .arg(program)
            .args(args)
            .arg("--end-with-stdin")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{program} cannot be started"))?;
        if let Some(stdout) = process.stdout.take() {
            tokio::spawn(read_lines(
                name.to_owned(),
                stdout,
                Line::Out,
                Some(Line::End),
                lines.to.clone(),
            ));
        }
        if let Some(stderr) = process.stderr.take() {
            tokio::spawn(read_lines(name.to_owned(), stderr, Line::Err, None, lines.to.clone()));
        }
        let stdin = process.stdin.take();
        Ok(Child { name: name.to_owned(), process, stdin })
    }

    /// Kills it with SIGKILL.
    ///
    /// # Errors
    /// When the system refuses.
    pub(crate) fn kill(&mut self) -> anyhow::Result<()> {
        self.process.start_kill().with_context(|| format!("{} cannot be killed", self.name))
    }

    /// Asks it to end.
    pub(crate) fn ask_to_end(&mut self) {
        self.stdin = None;
    }

    /// Waits for its end, and kills it when it takes longer than `limit`.
    ///
    /// # Errors
    /// When it had to be killed.
    pub(crate) async fn ended(&mut self, limit: Duration) -> anyhow::Result<ExitStatus> {
        match tokio::time::timeout(limit, self.process.wait()).await {
            Ok(status) => {
                status.with_context(|| format!("the end of {} cannot be seen", self.name))
            }
            Err(_) => {
                self.process.kill().await.ok();
                bail!("{} did not end within {} ms when asked to", self.name, limit.as_millis())
            }
        }
    }
}

async fn read_lines(
    child: String,
    from: impl AsyncRead + Unpin,
    wrap: fn(String) -> Line,
    end: Option<Line>,
    to: mpsc::Sender<ChildLine>,
) {
    let mut reader = BufReader::new(from).lines();
    // A line that is not UTF-8 ends the loop, like the end of the pipe.
    while let Ok(Some(text)) = reader.next_line().await {
        if to.send(ChildLine { child: child.clone(), line: wrap(text) }).await.is_err() {
            return;
        }
    }
    if let Some(end) = end {
        let _ = to.send(ChildLine { child, line: end }).await;
    }
}

/// The lines of all children.
#[derive(Debug)]
pub(crate) struct Lines {
    to: mpsc::Sender<ChildLine>,
    from: mpsc::Receiver<ChildLine>,
    /// Lines that came while the demo waited for the ready line of another child.
    held: VecDeque<ChildLine>,
}

impl Lines {
    /// No lines yet.
    pub(crate) fn new() -> Lines {
        let (to, from) = mpsc::channel(1024);
        Lines { to, from, held: VecDeque::new() }
    }

    /// Waits for the next line. Never `None`, because there is always a sender. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Option<ChildLine> {
        match self.held.pop_front() {
            Some(line) => Some(line),
            None => self.from.recv().await,
        }
    }

    /// Waits for the ready line of child `name`. The error contains the child's complaint. Lines of
    /// other children wait for [`next`](Self::next).
    ///
    /// # Errors
    /// When the child ends, or takes too long.
    pub(crate) async fn ready(&mut self, name: &str, limit: Duration) -> anyhow::Result<ReadyLine> {
        let mut complaint = String::new();
        let wait = async {
            while let Some(ChildLine { child, line }) = self.from.recv().await {
                if child != name {
                    self.held.push_back(ChildLine { child, line });
                    continue;
                }
                match line {
                    Line::Out(text) => {
                        if let Some(ready) = ReadyLine::parse(&text) {
                            return Some(ready);
                        }
                    }
                    Line::Err(text) => complaint = format!(": {text}"),
                    Line::End => return None,
                }
            }
            None
        };
        match tokio::time::timeout(limit, wait).await {
            Ok(Some(ready)) => Ok(ready),
            Ok(None) => bail!("{name} ended before it was ready{complaint}"),
            Err(_) => bail!("{name} was not ready within {} ms{complaint}", limit.as_millis()),
        }
    }
}
