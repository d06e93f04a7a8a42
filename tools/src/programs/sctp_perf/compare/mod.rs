//! `sctp-perf compare`: this stack beside others on one machine, run in turns.
//!
//! Small programs (`tools/peers`) drive the other stacks. They are built when they are first
//! needed.

mod affinity;
mod catalog;
mod machine;
mod netns;
mod options;
mod peers;
mod progress;
mod report;
mod run;
mod sample;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;

use catalog::{Contender, Row};
pub(crate) use options::CompareOptions;
use peers::Peers;
use progress::Progress;
use report::{Results, RowResult};
use run::Runner;
use sample::Sample;

pub(crate) async fn run(options: CompareOptions) -> anyhow::Result<ExitCode> {
    if cfg!(debug_assertions) && !options.debug {
        bail!(
            "this is a build without optimisation, whose figures mean nothing: use cargo run \
             --release"
        );
    }
    let rows = options.rows();
    let contenders: usize = rows.iter().map(|row| row.contenders.len()).sum();
    let total = u32::try_from(contenders).unwrap_or(u32::MAX).saturating_mul(options.runs);
    // This includes the time to start and end the processes.
    let each = Duration::from_secs_f64(f64::from(options.seconds) + options.warmup + 0.5);
    let mut progress = Progress::new(total, each);
    let peers = Peers::prepare(&options, &rows, &progress).await?;
    let mut results = Results::new(&options, &peers);
    let runner = Runner { options: &options, peers: &peers };
    for row in rows {
        let result = measure(&runner, row, &mut progress).await;
        progress.aside(|| report::print_row(&result));
        results.rows.push(result);
    }
    drop(progress);
    results.finish();
    report::print_footer(&results);
    if let Some(file) = &options.json {
        std::fs::write(file, serde_json::to_string_pretty(&results)?)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs the contenders of a row in turns.
async fn measure(runner: &Runner<'_>, row: &'static Row, progress: &mut Progress) -> RowResult {
    let mut result = RowResult::new(row);
    for _ in 0..runner.options.runs {
        for &contender in row.contenders {
            progress.run(&format!("{}, {}", row.name, contender.name()));
            match runner.run(row, contender).await {
                Ok(sample) => result.add(contender, sample),
                Err(why) => result.miss(contender, format!("{why:#}")),
            }
        }
    }
    result.judge();
    result
}

/// What the files of this module share.
type Samples = Vec<(Contender, Vec<Sample>)>;
