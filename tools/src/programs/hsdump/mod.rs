//! `hsdump`: shows the pools that a registrar knows, as it tells them to other registrars.

mod dump;
mod options;
mod peer;
mod rsplib;

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use rserpool_wire::numbers::port;
use sctp_udp_encap::Port;
use sctp_user::{Association, Error, Stack};

use super::stack;
use crate::cli::{self, NO_CSP, Unsupported, say, time_of_day};

use dump::Dump;
use options::Options;
use peer::{Talk, Told};

/// Name of the program.
pub const NAME: &str = "hsdump";

/// How long closing the association may take.
const END_LIMIT: Duration = Duration::from_secs(1);

/// Options of RSPLIB's program that do nothing here.
const UNSUPPORTED: &[Unsupported] =
    &[("cspserver", NO_CSP), ("cspinterval", NO_CSP), ("cspidentifier", NO_CSP)];

/// The program.
pub fn run(args: Vec<OsString>) -> ExitCode {
    match cli::parse::<Options>(NAME, UNSUPPORTED, args) {
        Ok(options) => cli::run_async(NAME, show(options)),
        Err(status) => status,
    }
}

async fn show(options: Options) -> anyhow::Result<ExitCode> {
    options.common.log.start()?;
    let mut end = options.common.end.watch_output().context("signals cannot be watched")?;
    let stack = stack::open(&options.common.link, &[], Port::Any)?;
    let status = tokio::select! {
        biased;
        reason = end.wait() => Ok(reason.status()),
        shown = talk(&options, &stack) => shown.map(|()| ExitCode::SUCCESS),
    };
    let _ = tokio::time::timeout(END_LIMIT, stack.shutdown()).await;
    status
}

/// Prints the pools, once or until the program is told to end.
async fn talk(options: &Options, stack: &Stack) -> anyhow::Result<()> {
    let association = connect(options, stack).await?;
    let mut talk = Talk::new(association, rand::random(), options.timeout);
    loop {
        let told = talk.ask().await.with_context(|| {
            let list = &options.registrar;
            format!("{list} was reached, but did not tell its pools")
        })?;
        print(options, &told);
        if !options.watch {
            break;
        }
        talk.wait(options.interval).await?;
    }
    let _ = tokio::time::timeout(END_LIMIT, talk.end()).await;
    Ok(())
}

/// Connects with the registrar by the first way that leads there.
async fn connect(options: &Options, stack: &Stack) -> anyhow::Result<Association> {
    let list = &options.registrar;
    let mut failure = None;
    for way in stack::peers(stack, list, port::ENRP).await? {
        match tokio::time::timeout(options.timeout, stack.connect(&way)).await {
            Ok(Ok(association)) => return Ok(association),
            Ok(Err(error)) => failure = Some(error),
            Err(_) => {}
        }
    }
    let advice = options.common.link.advice();
    match failure {
        Some(Error::Refused(_)) => bail!(
            "nobody listens at {list}; the ENRP port of a registrar is usually {}{advice}",
            port::ENRP
        ),
        Some(error) => Err(error).with_context(|| format!("no registrar was reached at {list}")),
        None => bail!(
            "no registrar answers at {list} within {} ms (--timeout=){advice}",
            options.timeout.as_millis()
        ),
    }
}

fn print(options: &Options, told: &Told) {
    if options.json {
        return say(&Dump::new(told).json());
    }
    if options.watch {
        say(&format!("{} UTC", time_of_day(std::time::SystemTime::now())));
    }
    let lines = if options.rsplib { rsplib::lines(told) } else { Dump::new(told).table() };
    lines.iter().for_each(|line| say(line));
    if options.watch {
        say("");
    }
}
