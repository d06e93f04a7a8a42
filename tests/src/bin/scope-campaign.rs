//! Runs random lives of whole RSerPool scopes, and says which of them went wrong.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use rserpool_core::sim::{Kind, Report, live, live_and_tell};

/// Runs random lives of operation scopes: registrars, pool elements and pool users with sessions
/// over a simulated network, with crashes, restarts, stopped processes, cuts, slow and lossy
/// networks, and strangers who send all kinds of messages. Checks every handlespace after each
/// step. When the faults stop, all registrars must soon know each other and the same elements:
/// every living one exactly once, with a living home, and no dead one. Every user must have a
/// session with a living element. Then, in some lives, one more element or registrar ends, which
/// all must hear of at once.
#[derive(Parser)]
#[command(name = "scope-campaign")]
struct Options {
    /// How many seeds to run.
    #[arg(long, default_value_t = 1000)]
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
    /// Plant this fault, 1 to 21, in the state machines; a build with the feature `plant` only.
    #[cfg(feature = "plant")]
    #[arg(long)]
    plant: Option<u8>,
    /// Print what happens in the life of the seed.
    #[arg(long, requires = "seed")]
    tell: bool,
    /// Start no further seed after this many failures.
    #[arg(long, default_value_t = 20)]
    max_failures: usize,
}

/// What came of all lives.
#[derive(Default)]
struct Summary {
    lives: u64,
    failures: Vec<(u64, String)>,
    /// In how many lives each kind of event happened.
    lives_with: BTreeMap<Kind, u64>,
    steps: u64,
    time: Duration,
    digest: u64,
    /// How long each life took, in microseconds.
    took: Vec<u64>,
}

impl Summary {
    fn add(&mut self, seed: u64, took: Duration, outcome: Result<Report, String>) {
        self.lives += 1;
        self.took.push(took.as_micros() as u64);
        match outcome {
            Ok(report) => {
                for kind in report.events.keys() {
                    *self.lives_with.entry(*kind).or_default() += 1;
                }
                self.steps += report.steps;
                self.time += report.time;
                self.digest ^= report.digest.rotate_left((seed % 64) as u32);
            }
            Err(problem) => self.failures.push((seed, problem)),
        }
    }
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
    #[cfg(feature = "plant")]
    if let Some(number) = options.plant {
        let fault = rserpool_core::plant::Fault::ALL.into_iter().find(|f| *f as u8 == number);
        println!("planted: {fault:?}");
        rserpool_core::plant::plant(fault);
    }
    // A life that panics is told like any other one that goes wrong.
    std::panic::set_hook(Box::new(|_| {}));
    let (next, summary, start) =
        (AtomicU64::new(seeds.start), Mutex::new(Summary::default()), Instant::now());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let began = Instant::now();
                    let outcome = match options.tell {
                        true => live_and_tell(seed, |line| println!("{line}")),
                        false => live(seed),
                    };
                    let mut summary = summary.lock().unwrap_or_else(|e| e.into_inner());
                    if let Err(problem) = &outcome {
                        println!("seed {seed} FAILED: {problem}");
                    }
                    summary.add(seed, began.elapsed(), outcome);
                    if summary.lives % 100 == 0 {
                        let rate = summary.lives as f64 / start.elapsed().as_secs_f64();
                        eprint!("\r{} lives, {rate:.0} per second ", summary.lives);
                        let _ = std::io::stderr().flush();
                    }
                    if summary.failures.len() >= options.max_failures {
                        return;
                    }
                }
            });
        }
    });
    let summary = summary.into_inner().unwrap_or_else(|e| e.into_inner());
    report(summary, seeds, start.elapsed())
}

fn report(mut summary: Summary, seeds: std::ops::Range<u64>, elapsed: Duration) -> ExitCode {
    eprint!("\r");
    summary.took.sort_unstable();
    let median = summary.took.get(summary.took.len() / 2).copied().unwrap_or(0);
    println!(
        "seeds {}..{}: {} lives in {:.1} s, {} failed; a median life takes {:.1} ms",
        seeds.start,
        seeds.end,
        summary.lives,
        elapsed.as_secs_f64(),
        summary.failures.len(),
        median as f64 / 1000.0
    );
    println!(
        "{} steps, {:.0} h of virtual time, digest {:016x}",
        summary.steps,
        summary.time.as_secs_f64() / 3600.0,
        summary.digest
    );
    let share = |kind| {
        let lives = summary.lives_with.get(kind).copied().unwrap_or(0);
        lives as f64 * 100.0 / summary.lives.max(1) as f64
    };
    for kind in &Kind::ALL {
        println!("  {:<18} in {:>5.1} % of the lives", format!("{kind:?}"), share(kind));
    }
    let rare: Vec<_> = Kind::ALL.iter().filter(|kind| share(kind) < 1.0).collect();
    if !rare.is_empty() {
        println!("in less than 1 % of the lives: {rare:?}");
    }
    if summary.failures.is_empty() {
        return ExitCode::SUCCESS;
    }
    let seeds: Vec<_> = summary.failures.iter().map(|(seed, _)| seed.to_string()).collect();
    println!("failed seeds: {}", seeds.join(" "));
    ExitCode::FAILURE
}
