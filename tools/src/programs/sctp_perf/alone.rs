//! `sctp-perf alone bulk|setup|idle`: the core alone, with both ends in one thread and without
//! sockets and driver. The figures are JSON.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use sctp_user::AssocConfig;
use sctp_user_core::Time;
use sctp_user_core::bench::{Bulk, Pair, bulk_config};
use serde_json::{Value, json};

use super::count::bytes;
use super::protocol::MAX_MESSAGE;
use super::usage::{self, CpuTime};
use crate::cli::number;

/// Measures the protocol core alone, both ends in one thread, and prints the figures as JSON.
#[derive(Clone, Debug, Parser)]
pub(crate) struct AloneOptions {
    /// What to measure: bulk transfer, associations set up per second, memory of idle associations.
    #[arg(value_name = "bulk|setup|idle")]
    pub(crate) task: Task,
    /// Size of each message, bytes.
    #[arg(
        long,
        value_name = "BYTES",
        default_value = "16k",
        value_parser = |s: &str| bytes(s, 1, MAX_MESSAGE)
    )]
    pub(crate) size: usize,
    /// Time that counts, s.
    #[arg(
        long,
        value_name = "S",
        default_value_t = 2.0,
        value_parser = number("number of seconds", 0.0..=3600.0)
    )]
    pub(crate) duration: f64,
    /// Time before that, s.
    #[arg(
        long,
        value_name = "S",
        default_value_t = 0.5,
        value_parser = number("number of seconds", 0.0..=3600.0)
    )]
    pub(crate) warmup: f64,
    /// Idle associations.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 20_000,
        value_parser = number("number of associations", 1u32..=1_000_000)
    )]
    pub(crate) count: u32,
}

/// What to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Task {
    /// Bulk transfer.
    Bulk,
    /// Associations set up per second.
    Setup,
    /// Memory of idle associations.
    Idle,
}

pub(crate) fn run(options: &AloneOptions) -> ExitCode {
    // But not if memory itself is measured.
    if options.task != Task::Idle {
        super::keep_freed_memory();
    }
    let seconds = |s: f64| Duration::try_from_secs_f64(s).unwrap_or_default();
    let duration = seconds(options.duration);
    let result = match options.task {
        Task::Bulk => bulk(options.size, seconds(options.warmup), duration),
        Task::Setup => setup(duration),
        Task::Idle => idle(options.count),
    };
    println!("{result}");
    ExitCode::SUCCESS
}

fn bulk(size: usize, warmup: Duration, duration: Duration) -> Value {
    let mut bulk = Bulk::new(&bulk_config(), size);
    let begin = Instant::now();
    let run_until = |bulk: &mut Bulk, end: Duration| {
        while begin.elapsed() < end {
            bulk.round(Time::ZERO + begin.elapsed());
        }
    };
    run_until(&mut bulk, warmup);
    let (start, cpu, bytes, messages) = (Instant::now(), CpuTime::now(), bulk.bytes, bulk.messages);
    run_until(&mut bulk, warmup + duration);
    let cpu = CpuTime::now().zip(cpu).map(|(now, start)| now.since(start));
    json!({
        "bytes": bulk.bytes - bytes,
        "messages": bulk.messages - messages,
        "seconds": start.elapsed().as_secs_f64(),
        "cpu_s": cpu.map(|cpu| (cpu.user + cpu.system).as_secs_f64()),
    })
}

/// Sets associations up in batches. Ending them is not measured.
fn setup(duration: Duration) -> Value {
    const BATCH: u32 = 1000;
    let batch = || {
        let mut pair = Pair::new(&AssocConfig::default());
        let mut now = Time::ZERO;
        for n in 0..BATCH {
            now += Duration::from_micros(5);
            pair.set_up(now, n);
        }
        pair
    };
    drop(batch());
    let (mut spent, mut count) = (Duration::ZERO, 0u64);
    while spent < duration || count == 0 {
        let start = Instant::now();
        let pair = batch();
        spent += start.elapsed();
        count += u64::from(BATCH);
        drop(pair);
    }
    json!({ "per_second": count as f64 / spent.as_secs_f64() })
}

fn idle(count: u32) -> Value {
    let mut pair = Pair::new(&AssocConfig::default());
    let mut now = Time::ZERO;
    // The first one allocates what all share.
    pair.set_up(now, 0);
    let before = usage::resident();
    for n in 1..=count {
        now += Duration::from_micros(5);
        pair.set_up(now, n);
    }
    let after = usage::resident();
    let bytes = before
        .zip(after)
        .map(|(before, after)| after.saturating_sub(before) as f64 / (2.0 * f64::from(count)));
    json!({ "bytes_per_end": bytes })
}
