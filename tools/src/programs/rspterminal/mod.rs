//! `rspterminal`: lines typed go to a server of a pool, what comes back is shown.

mod options;

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::BufRead;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use rserpool::{
    FailoverProblem, PoolUser, Session, SessionEvent, SessionOptions, UserMessage, UserOptions,
};
use rserpool_wire::PeId;
use sctp_udp_encap::Port;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{asap, stack};
use crate::cli::{self, EndOptions, Ready, banner, harmless, say, say_with_time};

use options::Options;

/// Name of the program.
pub const NAME: &str = "rspterminal";

/// Lines that may wait for a server; while there are so many, no input is read.
const MAX_WAITING: usize = 64;
/// How long closing the session may take.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);

/// The program.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    match cli::parse::<Options>(NAME, cli::CLIENT_UNSUPPORTED, args) {
        Ok(options) => cli::run_async(NAME, converse(options)),
        Err(status) => status,
    }
}

async fn converse(options: Options) -> anyhow::Result<ExitCode> {
    options.common.log.start()?;
    // The end of the input ends this program anyway, but only after the last answers.
    let mut end = EndOptions::default().watch().context("signals cannot be watched")?;
    let stack = stack::open(&options.common.link, &options.local, Port::Any)?;
    let profile = options.common.link.profile;
    let asap = asap::config(&stack, &options.registrars, profile, Vec::new())?;
    let user =
        asap::start(asap, &options.registrars, |asap| PoolUser::new(&stack, UserOptions { asap }))?;
    if !options.quiet {
        let title = format!("RSerPool Terminal - Version {}", env!("CARGO_PKG_VERSION"));
        banner(&title, &[("Pool handle", options.poolhandle.to_string())]);
    }
    let session_options = SessionOptions {
        assoc: profile.rserpool(stack.assoc_config()),
        ..SessionOptions::default()
    };
    let session = user.open(options.poolhandle.clone(), session_options)?;
    Ready::new(NAME).with_known("udp", stack.local_udp_port()).print();

    let mut terminal = Terminal {
        session,
        element: None,
        last_element: None,
        waiting: VecDeque::new(),
        advice: options.common.link.advice(),
    };
    let mut input = read_input();
    let mut input_open = true;
    let mut leave_at: Option<Instant> = None;
    loop {
        // After the end of the input, the time for answers begins when the last line has been sent.
        if !input_open && terminal.waiting.is_empty() && leave_at.is_none() {
            leave_at = Some(Instant::now() + options.draintimeout);
        }
        tokio::select! {
            biased;
            _ = end.wait() => break,
            event = terminal.session.recv() => terminal.event(event?).await?,
            line = input.recv(), if input_open && terminal.waiting.len() < MAX_WAITING => {
                match line {
                    Some(line) => terminal.line(line).await?,
                    None => input_open = false,
                }
            }
            () = tokio::time::sleep_until(leave_at.unwrap_or_else(Instant::now)),
                if leave_at.is_some() => break,
        }
    }
    let _ = tokio::time::timeout(CLOSE_LIMIT, terminal.session.close()).await;
    let _ = tokio::time::timeout(CLOSE_LIMIT, stack.shutdown()).await;
    Ok(ExitCode::SUCCESS)
}

struct Terminal {
    session: Session,
    /// With whom the session is now.
    element: Option<PeId>,
    /// With whom it was before.
    last_element: Option<PeId>,
    /// Lines that no server has been sent yet.
    waiting: VecDeque<Bytes>,
    /// What to try when there is no registrar.
    advice: &'static str,
}

impl Terminal {
    async fn line(&mut self, line: String) -> anyhow::Result<()> {
        // With its line end, because SCTP has no empty messages.
        self.waiting.push_back(Bytes::from(line + "\n"));
        self.send_waiting().await
    }

    async fn send_waiting(&mut self) -> anyhow::Result<()> {
        while self.element.is_some() {
            let Some(line) = self.waiting.front() else { break };
            match self.session.send(UserMessage::new(0, line.clone())).await {
                Ok(()) => {
                    self.waiting.pop_front();
                }
                // The next event is the failover; the line waits for it.
                Err(rserpool::Error::NotConnected | rserpool::Error::Sctp(_)) => {
                    self.element = None
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    async fn event(&mut self, event: SessionEvent) -> anyhow::Result<()> {
        match event {
            SessionEvent::Message(message) => {
                let id = self.last_element.map_or(0, |id| id.0);
                say(&format!("from PE ${id:08x}> {}", harmless(&message.data)));
            }
            SessionEvent::FailoverNeeded(cause) => {
                let id = self.element.take().or(self.last_element).map_or(0, |id| id.0);
                say_with_time(&format!("Lost PE ${id:08x}: {cause}"));
            }
            SessionEvent::FailoverProblem(FailoverProblem::Resolution(
                error @ rserpool::Error::NoRegistrar,
            )) if self.last_element.is_none() => {
                bail!("{error}; --registrar=ADDR:PORT names one{}", self.advice);
            }
            SessionEvent::FailoverProblem(problem) => {
                say_with_time(&format!("Looking for a PE: {problem}"))
            }
            SessionEvent::FailoverDone { element, number, .. } => {
                self.element = Some(element);
                self.last_element = Some(element);
                match number {
                    0 => say_with_time(&format!("Connected to PE ${:08x}", element.0)),
                    n => say_with_time(&format!(
                        "FAILOVER #{n} ... connected to PE ${:08x}",
                        element.0
                    )),
                }
                self.send_waiting().await?;
            }
            _ => {}
        }
        Ok(())
    }
}

/// Reads lines in a thread of its own: the runtime could not end while it reads.
fn read_input() -> mpsc::Receiver<String> {
    let (tx, rx) = mpsc::channel(1);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let Ok(line) = line else { return };
            if tx.blocking_send(line).is_err() {
                return;
            }
        }
    });
    rx
}
