//! `rspterminal`: sends lines to a server of a pool, and shows the answers.

mod course;
mod input;
mod options;
mod output;
mod terminal;

use std::ffi::OsString;
use std::io::{self, ErrorKind, IsTerminal};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, anyhow};
use rserpool::{PoolUser, SessionOptions, UserOptions};
use sctp_udp_encap::Port;

use super::{asap, stack};
use crate::cli::{self, EndOptions, EndReason, Ready, banner_lines, complain};

use course::Over;
use options::Options;
use output::Output;
use terminal::{Stop, Terminal};

/// Name of the program.
pub const NAME: &str = "rspterminal";

/// The longest answer, bytes. Answers that cannot be written yet must not fill the memory.
const MAX_ANSWER: usize = 1024 * 1024;
/// A shorter search for a registrar is not mentioned.
const QUICK: Duration = Duration::from_secs(1);
/// How long closing the session, and writing the rest when the program is asked to end, may take.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);

/// The program.
pub fn run(args: Vec<OsString>) -> ExitCode {
    match cli::parse::<Options>(NAME, cli::CLIENT_UNSUPPORTED, args) {
        Ok(options) => cli::run_async(NAME, converse(options)),
        Err(status) => status,
    }
}

async fn converse(options: Options) -> anyhow::Result<ExitCode> {
    options.common.log.start()?;
    // The end of the input ends this program anyway, but only after the last answers.
    let mut end = EndOptions::default().watch_output().context("signals cannot be watched")?;
    let link = &options.common.link;
    let own = cli::resolve(&options.local).await?;
    let stack = stack::open(link, &own, Port::Any)?;
    let asap = asap::config(&stack, &options.registrars, link.profile, Vec::new()).await?;
    let (user, search) = asap::start(asap, &options.registrars, link, |asap| {
        PoolUser::new(&stack, UserOptions { asap })
    })?;
    let mut output = Output::new(options.pipe);
    if !options.quiet {
        let title = format!("RSerPool Terminal - Version {}", env!("CARGO_PKG_VERSION"));
        let rows = [("Pool handle", options.poolhandle.to_string())];
        banner_lines(&title, &rows).iter().for_each(|line| output.words(line));
    }
    let session_options = SessionOptions {
        assoc: link.profile.rserpool(stack.assoc_config()),
        max_message_size: MAX_ANSWER,
        ..SessionOptions::default()
    };
    let session = user.open(options.poolhandle.clone(), session_options)?;
    let ready = Ready::new(NAME).with("sctp", user.port());
    output.words(ready.with_known("udp", stack.local_udp_port()).as_str());

    let limit = options.pool_timeout(std::io::stdin().is_terminal());
    let (to_write, written) = cli::write();
    let search = search.silent_for(QUICK);
    let mut terminal =
        Terminal::new(user, session, search, output, to_write, options.linger, limit);
    let stop = tokio::select! {
        biased;
        reason = end.wait() => match reason {
            EndReason::OutputClosed => Stop::NoReader,
            _ => Stop::Over(Over::Asked),
        },
        stop = terminal.converse() => stop,
    };
    let (session, status) = match stop {
        Stop::Over(over) => {
            let verdict = terminal.verdict(over);
            let (session, rest) = terminal.finish();
            let written = async {
                rest.await;
                written.await.unwrap_or(Ok(()))
            };
            let written = tokio::select! {
                biased;
                written = written => written,
                _ = end.wait(), if over != Over::Asked => Ok(()),
                () = tokio::time::sleep(CLOSE_LIMIT), if over == Over::Asked => {
                    Err(io::Error::other("its reader does not take the rest"))
                }
            };
            match (written, verdict) {
                (Err(error), _) if error.kind() != ErrorKind::BrokenPipe => {
                    return Err(anyhow!(error).context("standard output cannot be written"));
                }
                (Err(_), _) => (session, EndReason::OutputClosed.status()),
                (Ok(()), None) => (session, ExitCode::SUCCESS),
                (Ok(()), Some(sentence)) => {
                    complain(&format!("{NAME}: {sentence}"));
                    (session, ExitCode::FAILURE)
                }
            }
        }
        Stop::NoReader => {
            let session = terminal.into_session();
            // The writer may still be busy, if it is standard error that nobody reads.
            match tokio::time::timeout(CLOSE_LIMIT, written).await {
                Ok(Ok(Err(error))) if error.kind() != ErrorKind::BrokenPipe => {
                    return Err(anyhow!(error).context("standard output cannot be written"));
                }
                _ => (session, EndReason::OutputClosed.status()),
            }
        }
        Stop::Failed(error) => {
            let (_, rest) = terminal.finish();
            let written = async {
                rest.await;
                let _ = written.await;
            };
            let _ = tokio::time::timeout(CLOSE_LIMIT, written).await;
            return Err(error);
        }
    };
    let _ = tokio::time::timeout(CLOSE_LIMIT, session.close()).await;
    let _ = tokio::time::timeout(CLOSE_LIMIT, stack.shutdown()).await;
    Ok(status)
}
