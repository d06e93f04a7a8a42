//! Runs many lives, one after the other and in parallel.

use std::cell::RefCell;
use std::ops::Range;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, Once, PoisonError};
use std::time::{Duration, Instant};

use super::drive::{Life, live};

/// A campaign to run.
pub struct Campaign {
    /// The seeds.
    pub seeds: Range<u64>,
    /// How many seeds run at the same time.
    pub threads: usize,
    /// No further seed is started after this many failures.
    pub max_failures: usize,
}

/// A seed whose life went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// What was wrong, in one line.
    pub reason: String,
}

/// The results of a campaign.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Seeds run.
    pub seeds: u64,
    /// Sums over all lives that went well.
    pub total: Life,
    /// The lives that went wrong, by seed.
    pub failures: Vec<Failure>,
    /// How long it took.
    pub elapsed: Duration,
}

impl Summary {
    /// Seeds per second of real time.
    pub fn rate(&self) -> f64 {
        self.seeds as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }
}

thread_local! {
    /// The reason of the panic, if the life that runs in this thread has panicked.
    static REASON: RefCell<Option<String>> = const { RefCell::new(None) };
    static QUIET: RefCell<bool> = const { RefCell::new(false) };
}

/// Runs the life of a seed. If it panics, returns the reason as one line instead.
fn attempt(seed: u64, pcap: Option<&Path>) -> Result<Life, Failure> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !QUIET.with_borrow(|quiet| *quiet) {
                return usual(info);
            }
            let what = info.payload_as_str().unwrap_or("a panic without words");
            let place = info
                .location()
                .map_or_else(String::new, |l| format!(" ({}:{})", l.file(), l.line()));
            let line = what.lines().map(str::trim).collect::<Vec<_>>().join(" ");
            let line: String = line.chars().take(600).collect();
            REASON.set(Some(line + &place));
        }));
    });
    QUIET.set(true);
    let result = panic::catch_unwind(AssertUnwindSafe(|| live(seed, pcap)));
    QUIET.set(false);
    result.map_err(|_| Failure { seed, reason: REASON.take().unwrap_or_default() })
}

/// Runs all lives of a campaign. Calls `progress` with the results so far from time to time, and
/// with each failure.
pub fn run(
    campaign: &Campaign,
    pcap: Option<&Path>,
    progress: impl Fn(&Summary, Option<&Failure>) + Sync,
) -> Summary {
    let begun = Instant::now();
    let next = AtomicU64::new(campaign.seeds.start);
    let stop = AtomicBool::new(false);
    let summary = Mutex::new((Summary::default(), begun));
    let work = || {
        while !stop.load(Relaxed) {
            let seed = next.fetch_add(1, Relaxed);
            if seed >= campaign.seeds.end {
                break;
            }
            let result = attempt(seed, pcap);
            let (sum, reported) = &mut *summary.lock().unwrap_or_else(PoisonError::into_inner);
            sum.seeds += 1;
            sum.elapsed = begun.elapsed();
            match result {
                Ok(life) => add(&mut sum.total, &life),
                Err(failure) => {
                    progress(sum, Some(&failure));
                    sum.failures.push(failure);
                    if sum.failures.len() >= campaign.max_failures {
                        stop.store(true, Relaxed);
                    }
                }
            }
            if reported.elapsed() >= Duration::from_secs(2) {
                *reported = Instant::now();
                progress(sum, None);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..campaign.threads {
            scope.spawn(work);
        }
        work();
    });
    let (mut summary, _) = summary.into_inner().unwrap_or_else(PoisonError::into_inner);
    summary.elapsed = begun.elapsed();
    summary.failures.sort_by_key(|f| f.seed);
    summary
}

fn add(sum: &mut Life, life: &Life) {
    sum.packets += life.packets;
    sum.messages += life.messages;
    sum.bytes += life.bytes;
    sum.graceful += life.graceful;
    sum.lost += life.lost;
    sum.restarts += life.restarts;
    sum.time += life.time;
    // A sum does not depend on the order in which lives end.
    sum.digest = sum.digest.wrapping_add(life.digest);
}
