//! What is measured, the same for all transports.

use std::time::{Duration, Instant};

use anyhow::Context;
use nix::sys::resource::{UsageWho, getrusage};
use serde_json::json;

use crate::options::Options;

/// An end goes on for so long after its window, because that of the other end may begin a little
/// later.
const GRACE: Duration = Duration::from_millis(300);

/// Counts what happens in the time window after the warm-up, which begins with the first message.
pub(crate) struct Window {
    warmup: Duration,
    length: Duration,
    begin: Option<Instant>,
    start: Option<(Instant, f64)>,
    bytes: u64,
    messages: u64,
    printed: Option<Instant>,
}

impl Window {
    pub(crate) fn new(options: &Options) -> Self {
        Window {
            warmup: options.warmup,
            length: options.window,
            begin: None,
            start: None,
            bytes: 0,
            messages: 0,
            printed: None,
        }
    }

    /// Counts; reads the clock, so it is called for batches. True when the end may stop.
    pub(crate) fn add(&mut self, bytes: u64, messages: u64) -> bool {
        if messages == 0 && self.begin.is_none() {
            return false;
        }
        let now = Instant::now();
        let begin = *self.begin.get_or_insert(now);
        match self.start {
            None if now - begin >= self.warmup => self.start = Some((now, cpu())),
            None => {}
            Some((start, cpu_before)) if self.printed.is_none() => {
                self.bytes += bytes;
                self.messages += messages;
                let elapsed = now - start;
                if elapsed >= self.length {
                    self.printed = Some(now);
                    println!(
                        "{}",
                        json!({
                            "bytes": self.bytes,
                            "messages": self.messages,
                            "seconds": elapsed.as_secs_f64(),
                            "cpu_s": cpu() - cpu_before,
                        })
                    );
                }
            }
            Some(_) => {}
        }
        self.printed.is_some_and(|at| now - at >= GRACE)
    }

    /// The figures are out; whatever goes wrong now is the other end leaving.
    pub(crate) fn is_over(&self) -> bool {
        self.printed.is_some()
    }
}

/// Round-trip times of one message at a time.
pub(crate) struct Latency {
    options: Options,
    begin: Instant,
    nanos: Vec<u64>,
}

impl Latency {
    pub(crate) fn new(options: &Options) -> Self {
        Latency { options: options.clone(), begin: Instant::now(), nanos: Vec::new() }
    }

    /// Notes that a message left at `sent` is back; prints the result and returns true when the
    /// time is over.
    pub(crate) fn add(&mut self, sent: Instant) -> bool {
        let now = Instant::now();
        let elapsed = now - self.begin;
        if elapsed < self.options.warmup {
            return false;
        }
        self.nanos.push((now - sent).as_nanos() as u64);
        if elapsed < self.options.warmup + self.options.window {
            return false;
        }
        self.nanos.sort_unstable();
        let quantile =
            |q: f64| self.nanos[((self.nanos.len() - 1) as f64 * q) as usize] as f64 / 1e3;
        println!(
            "{}",
            json!({ "count": self.nanos.len(), "p50_us": quantile(0.5), "p99_us": quantile(0.99) })
        );
        true
    }
}

/// Sets associations up in batches, until the time is over; only setting up is measured. `batch`
/// sets that many up and gives back what keeps them alive.
pub(crate) fn setups<T>(
    options: &Options,
    mut batch: impl FnMut(u32) -> anyhow::Result<T>,
) -> anyhow::Result<()> {
    const BATCH: u32 = 1000;
    drop(batch(BATCH)?);
    let (mut spent, mut count) = (Duration::ZERO, 0u64);
    while spent < options.window {
        let start = Instant::now();
        let kept = batch(BATCH)?;
        spent += start.elapsed();
        count += u64::from(BATCH);
        drop(kept);
    }
    println!("{}", json!({ "per_second": count as f64 / spent.as_secs_f64() }));
    Ok(())
}

/// Sets `options.count` associations up, both ends in this process, and prints what each end
/// occupies.
pub(crate) fn idle<T>(
    options: &Options,
    mut batch: impl FnMut(u32) -> anyhow::Result<T>,
) -> anyhow::Result<()> {
    drop(batch(1)?);
    let before = resident()?;
    let kept = batch(options.count)?;
    let bytes = (resident()? - before) as f64;
    drop(kept);
    println!("{}", json!({ "bytes_per_end": bytes / (2.0 * f64::from(options.count)) }));
    Ok(())
}

/// Resident memory of this process, bytes.
fn resident() -> anyhow::Result<usize> {
    let statm = std::fs::read_to_string("/proc/self/statm")?;
    let pages: usize = statm.split(' ').nth(1).context("statm has a second field")?.parse()?;
    Ok(pages * 4096)
}

/// Processor time of this process, s.
fn cpu() -> f64 {
    let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) else { return 0.0 };
    [usage.user_time(), usage.system_time()]
        .iter()
        .map(|t| t.tv_sec() as f64 + t.tv_usec() as f64 / 1e6)
        .sum()
}
