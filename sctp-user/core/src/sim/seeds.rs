//! Running one scenario with many seeds.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Runs a scenario once for each seed, on all processors. With `SCTP_SIM_SEED=n` in the
/// environment, runs it only for seed `n`.
///
/// # Panics
/// When a run panics. The message names the seed, and no further seeds are begun.
pub fn for_each_seed(seeds: Range<u64>, run: impl Fn(u64) + Sync) {
    if let Some(seed) = seed_from_env() {
        eprintln!("running seed {seed} alone");
        return run(seed);
    }
    let next = AtomicU64::new(seeds.start);
    let stop = AtomicBool::new(false);
    let failed = Mutex::new(Vec::new());
    let work = || {
        while !stop.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                break;
            }
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run(seed))) {
                stop.store(true, Ordering::Relaxed);
                failed.lock().unwrap_or_else(|e| e.into_inner()).push((seed, panic));
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(work);
        }
        work();
    });
    let mut failed = failed.into_inner().unwrap_or_else(|e| e.into_inner());
    failed.sort_by_key(|(seed, _)| *seed);
    if let Some((seed, panic)) = failed.into_iter().next() {
        eprintln!("seed {seed} failed; run it alone with SCTP_SIM_SEED={seed}");
        resume_unwind(panic);
    }
}

fn seed_from_env() -> Option<u64> {
    let value = std::env::var("SCTP_SIM_SEED").ok()?;
    Some(
        value.parse().unwrap_or_else(|_| panic!("SCTP_SIM_SEED must be a number, it is {value:?}")),
    )
}
