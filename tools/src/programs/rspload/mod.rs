//! `rspload`: puts load on a registrar, honest or hostile, and measures what honest users notice.

mod figures;
mod honest;
mod hostile;
mod options;
mod target;

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use serde::Serialize;
use tokio::time::Instant;

use crate::cli::{self, Ready, say};

use figures::{Counts, Memory, Summary};
use options::{Kind, Options};
use target::Target;

/// Name of the program.
pub const NAME: &str = "rspload";

/// How long closing the associations may take.
const END_LIMIT: Duration = Duration::from_secs(1);

/// The program.
pub fn run(args: Vec<OsString>) -> ExitCode {
    match cli::parse::<Options>(NAME, &[], args) {
        Ok(options) => cli::run_async(NAME, load(options)),
        Err(status) => status,
    }
}

/// How it went.
#[derive(Debug, Serialize)]
struct Outcome {
    #[serde(skip_serializing_if = "Option::is_none")]
    hostile: Option<String>,
    seconds: f64,
    /// Elements, and how long it took to register them.
    #[serde(skip_serializing_if = "Option::is_none")]
    elements: Option<(u32, f64)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resolutions: Option<Summary>,
    counts: Counts,
    /// Resident memory of the registrar.
    #[serde(skip_serializing_if = "Option::is_none")]
    memory: Option<Memory>,
}

async fn load(options: Options) -> anyhow::Result<ExitCode> {
    options.common.log.start()?;
    let mut end = options.common.end.watch_output().context("signals cannot be watched")?;
    let target = Arc::new(Target::open(&options).await?);
    let outcome = tokio::select! {
        biased;
        reason = end.wait() => return Ok(reason.status()),
        outcome = measure(&options, &target) => outcome?,
    };
    if options.json {
        say(&serde_json::to_string_pretty(&outcome)?);
    } else {
        lines(&outcome).iter().for_each(|line| say(line));
    }
    let _ = tokio::time::timeout(END_LIMIT, target.abort()).await;
    Ok(ExitCode::SUCCESS)
}

async fn measure(options: &Options, target: &Arc<Target>) -> anyhow::Result<Outcome> {
    let duration = Duration::from_secs_f64(options.duration);
    let watch = |end| async move {
        match options.registrar_pid {
            None => Ok(None),
            Some(pid) => match Memory::watch(pid, end).await {
                None => bail!("the memory of process {pid} cannot be read (--registrar-pid=)"),
                memory => Ok(memory),
            },
        }
    };
    if let Some(kind) = options.hostile {
        Ready::new(NAME).with("clients", options.clients).print();
        let (begin, end) = (Instant::now(), Instant::now() + duration);
        let (counts, memory) =
            tokio::try_join!(hostile::flood(options, kind, target, end), watch(end))?;
        let (hostile, seconds) = (Some(name_of(kind)), begin.elapsed().as_secs_f64());
        return Ok(Outcome { hostile, seconds, elements: None, resolutions: None, counts, memory });
    }
    let mut elements = None;
    // Those that registered answer keep-alives until the end.
    let _registered = match options.elements {
        0 => None,
        count => {
            let (registered, took) = honest::register(options, target).await?;
            elements = Some((count, took.as_secs_f64()));
            Some(registered)
        }
    };
    Ready::new(NAME).with("elements", options.elements).with("users", options.users).print();
    let (begin, end) = (Instant::now(), Instant::now() + duration);
    let idle = async {
        tokio::time::sleep_until(end).await;
        Ok(())
    };
    let ((latencies, counts), memory, ()) =
        tokio::try_join!(honest::ask(options, target, end), watch(end), idle)?;
    let seconds = begin.elapsed().as_secs_f64();
    let resolutions = (options.users > 0).then(|| latencies.summary(seconds));
    Ok(Outcome { hostile: None, seconds, elements, resolutions, counts, memory })
}

fn name_of(kind: Kind) -> String {
    use clap::ValueEnum;
    kind.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

fn lines(outcome: &Outcome) -> Vec<String> {
    let mut lines = Vec::new();
    let counts = &outcome.counts;
    if let Some(kind) = &outcome.hostile {
        lines.push(format!(
            "{kind} for {:.1} s: {} messages sent; {} associations opened, {} not, {} ended by the \
             registrar",
            outcome.seconds, counts.sent, counts.opened, counts.not_opened, counts.ended
        ));
        lines.push(format!("{} accepted, {}", counts.accepted, counts.refusals()));
    }
    if let Some((elements, seconds)) = outcome.elements {
        lines.push(format!("{elements} pool elements registered in {seconds:.3} s"));
    }
    if let Some(figures) = &outcome.resolutions {
        let ms = |micros: u32| f64::from(micros) / 1000.0;
        lines.push(format!(
            "{:.0} resolutions/s; median {:.3} ms, 99 % {:.3} ms, 99.9 % {:.3} ms, worst {:.3} ms",
            figures.per_second,
            ms(figures.median_us),
            ms(figures.p99_us),
            ms(figures.p999_us),
            ms(figures.worst_us)
        ));
        lines.push(format!(
            "{} with pool elements, {}; {} associations opened, {} not, {} lost",
            counts.accepted,
            counts.refusals(),
            counts.opened,
            counts.not_opened,
            counts.ended
        ));
    }
    if let Some(memory) = outcome.memory {
        let mb = |bytes: u64| bytes as f64 / 1e6;
        lines.push(format!(
            "registrar: {:.1} MB resident at first, {:.1} MB at most, {:.1} MB in the end",
            mb(memory.first),
            mb(memory.most),
            mb(memory.last)
        ));
    }
    lines
}
