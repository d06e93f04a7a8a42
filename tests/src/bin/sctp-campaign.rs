//! Runs random lives of associations, from setup to end, and says which of them went wrong.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use workspace_tests::campaign::{Campaign, Failure, Summary, run};

/// Runs random lives of associations, from setup to end, over a simulated network. Checks that
/// every message arrives exactly once, that every association ends as it should, and that nothing
/// is left behind.
#[derive(Parser)]
#[command(name = "sctp-campaign")]
struct Options {
    /// How many seeds to run.
    #[arg(long, default_value_t = 10_000)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// How many seeds to run at the same time; 0 for as many as there are processors.
    #[arg(long, default_value_t = 0)]
    threads: usize,
    /// Run this seed alone.
    #[arg(long, conflicts_with_all = ["seeds", "from"])]
    seed: Option<u64>,
    /// Write the packets of the seed to this file, for Wireshark.
    #[arg(long, value_name = "FILE", requires = "seed")]
    pcap: Option<PathBuf>,
    /// Start no further seed after this many failures.
    #[arg(long, default_value_t = 20)]
    max_failures: usize,
}

fn main() -> ExitCode {
    rsp_tools::cli::main(|_| campaign())
}

fn campaign() -> ExitCode {
    let options = Options::parse();
    let seeds = match options.seed {
        Some(seed) => seed..seed.saturating_add(1),
        None => options.from..options.from.saturating_add(options.seeds),
    };
    let threads = match options.threads {
        0 => std::thread::available_parallelism().map_or(1, |n| n.get()),
        n => n,
    };
    let campaign = Campaign { seeds: seeds.clone(), threads, max_failures: options.max_failures };
    let summary = run(&campaign, options.pcap.as_deref(), |so_far, failure| match failure {
        Some(Failure { seed, reason }) => {
            println!("seed {seed} FAILED: {reason}");
            println!(
                "    replay: cargo run --release -p workspace-tests --bin sctp-campaign -- --seed \
                 {seed} --pcap {seed}.pcap"
            );
        }
        None => {
            eprint!(
                "\r{} seeds, {:.0} per second, {} failed ",
                so_far.seeds,
                so_far.rate(),
                so_far.failures.len()
            );
            let _ = std::io::stderr().flush();
        }
    });
    report(&summary, seeds);
    if summary.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn report(summary: &Summary, seeds: std::ops::Range<u64>) {
    eprint!("\r");
    let total = &summary.total;
    println!(
        "seeds {}..{}: {} run in {:.1} s, {:.0} seeds/s, {} failed",
        seeds.start,
        seeds.end,
        summary.seeds,
        summary.elapsed.as_secs_f64(),
        summary.rate(),
        summary.failures.len()
    );
    println!(
        "{} packets, {} messages with {} bytes delivered, {} graceful ends, {} others, {} \
         restarts, {:.0} h of virtual time, digest {:016x}",
        total.packets,
        total.messages,
        total.bytes,
        total.graceful,
        total.lost,
        total.restarts,
        total.time.as_secs_f64() / 3600.0,
        total.digest
    );
    if !summary.failures.is_empty() {
        let seeds: Vec<_> = summary.failures.iter().map(|f| f.seed.to_string()).collect();
        println!("failed seeds: {}", seeds.join(" "));
    }
}
