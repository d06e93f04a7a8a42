//! Why a program ends in order: SIGINT, SIGTERM, or the end of its standard input or of its reader.

use std::io::Read;
use std::process::ExitCode;

use clap::Args;
#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{oneshot, watch};

/// Options about ending.
#[derive(Args, Clone, Debug, Default)]
pub struct EndOptions {
    /// End when standard input is closed. So a child never outlives the process that holds the
    /// other end of the pipe, even if that process is killed.
    #[arg(long = "end-with-stdin", hide = true)]
    pub end_with_stdin: bool,
}

/// Why a program was asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// Ctrl-C.
    Interrupt,
    /// SIGTERM.
    Terminate,
    /// Standard input was closed.
    StdinClosed,
    /// Nobody reads standard output or standard error any more (SIGPIPE).
    OutputClosed,
}

impl EndReason {
    /// The exit status after an end in order. Without a reader it is 141, which a shell shows for a
    /// program that SIGPIPE has killed.
    pub(crate) fn status(self) -> ExitCode {
        match self {
            EndReason::Interrupt | EndReason::Terminate | EndReason::StdinClosed => {
                ExitCode::SUCCESS
            }
            EndReason::OutputClosed => ExitCode::from(141),
        }
    }
}

/// Tells when the program has to end. It can be cloned, so several tasks can wait.
#[derive(Clone, Debug)]
pub(crate) struct End(watch::Receiver<Option<EndReason>>);

impl End {
    /// Waits for the first reason to end.
    pub(crate) async fn wait(&mut self) -> EndReason {
        let reason = self.0.wait_for(Option::is_some).await.map(|reason| *reason);
        match reason {
            Ok(reason) => reason.unwrap_or(EndReason::Terminate),
            // The watching task lives as long as the runtime.
            Err(_) => std::future::pending().await,
        }
    }
}

impl EndOptions {
    /// Starts a task of the current runtime that watches. A second signal ends the process at once,
    /// with status 130.
    ///
    /// # Errors
    /// When the system refuses the signal handlers.
    pub(crate) fn watch(&self) -> std::io::Result<End> {
        self.watch_with(None)
    }

    /// As [`watch`](Self::watch), but SIGPIPE is a reason to end as well, and no longer kills the
    /// process. After this call, do not print with `println!`, which panics without a reader.
    ///
    /// # Errors
    /// As [`watch`](Self::watch).
    pub(crate) fn watch_output(&self) -> std::io::Result<End> {
        self.watch_with(Some(Pipe::new()?))
    }

    fn watch_with(&self, pipe: Option<Pipe>) -> std::io::Result<End> {
        let (tx, rx) = watch::channel(None);
        let mut signals = Signals::new()?;
        let stdin = self.end_with_stdin.then(stdin_closed);
        tokio::spawn(async move {
            let reason = tokio::select! {
                biased;
                reason = signals.next() => reason,
                () = broken(pipe) => EndReason::OutputClosed,
                () = closed(stdin) => EndReason::StdinClosed,
            };
            tracing::debug!(?reason, "asked to end");
            // If nobody waits any more, the program is ending anyway.
            let _ = tx.send(Some(reason));
            signals.next().await;
            std::process::exit(130);
        });
        Ok(End(rx))
    }
}

/// Reads standard input to its end, and then drops the sending half. It uses a plain thread,
/// because a runtime that shuts down would wait for a blocked read.
fn stdin_closed() -> oneshot::Receiver<()> {
    let (tx, rx) = oneshot::channel();
    std::thread::spawn(move || {
        let mut sink = [0u8; 256];
        let mut stdin = std::io::stdin().lock();
        while !matches!(stdin.read(&mut sink), Ok(0) | Err(_)) {}
        drop(tx);
    });
    rx
}

async fn closed(stdin: Option<oneshot::Receiver<()>>) {
    match stdin {
        Some(stdin) => {
            let _ = stdin.await;
        }
        None => std::future::pending().await,
    }
}

async fn broken(pipe: Option<Pipe>) {
    match pipe {
        Some(pipe) => pipe.broken().await,
        None => std::future::pending().await,
    }
}

#[cfg(unix)]
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) -> EndReason {
        tokio::select! {
            biased;
            _ = self.interrupt.recv() => EndReason::Interrupt,
            _ = self.terminate.recv() => EndReason::Terminate,
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Signals)
    }

    async fn next(&mut self) -> EndReason {
        match tokio::signal::ctrl_c().await {
            Ok(()) => EndReason::Interrupt,
            Err(_) => std::future::pending().await,
        }
    }
}

/// SIGPIPE.
#[cfg(unix)]
struct Pipe(Signal);

#[cfg(unix)]
impl Pipe {
    fn new() -> std::io::Result<Self> {
        Ok(Pipe(signal(SignalKind::pipe())?))
    }

    async fn broken(mut self) {
        if self.0.recv().await.is_none() {
            std::future::pending().await
        }
    }
}

/// This system has no such signal.
#[cfg(not(unix))]
struct Pipe;

#[cfg(not(unix))]
impl Pipe {
    fn new() -> std::io::Result<Self> {
        Ok(Pipe)
    }

    async fn broken(self) {
        std::future::pending().await
    }
}
