//! Many associations between two stacks: some busy, most idle, and some that come and go.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Parser;
use sctp_udp_encap::Port;
use sctp_user::{Association, Peer, Stack};
use serde::Serialize;
use tokio::task::JoinSet;

use super::count::{bytes, metric};
use super::options::{CommonOptions, DEFAULT_PORT, Direction};
use super::protocol::{Control, MAX_MESSAGE, Order, Report};
use super::transfer::{Expect, Transfer};
use super::usage;
use crate::cli::{self, AddressList, number};
use crate::programs::stack;

/// Opens many associations to a server, sends on some of them at once, and says how they shared
/// what there was.
#[derive(Clone, Debug, Parser)]
pub(crate) struct ScaleOptions {
    /// The server, ADDR:PORT{,ADDR}[/udp:N|/native], where a name may stand for ADDR. Default SCTP
    /// port 5201, default UDP port 9899.
    #[arg(value_name = "SERVER")]
    server: AddressList,
    /// Associations open all the time.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 10_000,
        value_parser = number("number of associations", 1u32..=16_000)
    )]
    associations: u32,
    /// How many of them send.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1000,
        value_parser = number("number of associations", 0u32..=16_000)
    )]
    busy: u32,
    /// Associations that come and go meanwhile, per second.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 100,
        value_parser = number("number of associations", 0u32..=1000)
    )]
    churn: u32,
    /// Size of each message, bytes.
    #[arg(
        long,
        value_name = "BYTES",
        default_value = "1k",
        value_parser = |s: &str| bytes(s, 1, MAX_MESSAGE)
    )]
    size: usize,
    /// How long to send, s.
    #[arg(
        long,
        value_name = "S",
        default_value_t = 10,
        value_parser = number("number of seconds", 1u64..=3600)
    )]
    duration: u64,
    /// Time at the beginning that does not count, s.
    #[arg(
        long,
        value_name = "S",
        default_value_t = 2,
        value_parser = number("number of seconds", 0u64..=3600)
    )]
    warmup: u64,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pub(crate) common: CommonOptions,
}

/// How it went.
#[derive(Debug, Serialize)]
struct Outcome {
    associations: u32,
    busy: usize,
    /// Associations per second that were set up side by side before the test.
    set_up_per_second: f64,
    bits_per_second: f64,
    /// Jain's index of the throughputs: 1 when all are equal, 1/n when one has everything.
    fairness: f64,
    least_bits_per_second: f64,
    most_bits_per_second: f64,
    came_and_went: u64,
    /// How many could not be set up, or did not end in time.
    failed: u64,
    retransmitted: u64,
    /// How many packets were lost because a socket buffer was full.
    overflows_client: u64,
    overflows_server: u64,
    /// Resident memory of this process before the test, for each association.
    bytes_per_association: Option<f64>,
    cpu_client_s: Option<f64>,
    cpu_server_s: Option<f64>,
    /// The UDP port of this process. Each association has an SCTP port of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    udp_port: Option<u16>,
}

pub(crate) async fn run(options: ScaleOptions) -> anyhow::Result<ExitCode> {
    options.common.log.start()?;
    if options.busy > options.associations {
        bail!(
            "no more associations can be busy than there are: {} of {}",
            options.busy,
            options.associations
        );
    }
    let own = cli::resolve(&options.common.own).await?;
    let stack = options.common.open(&own, Port::Any)?;
    let peers = stack::peers(&stack, &options.server, DEFAULT_PORT).await?;
    let peer = peers.first().context("the server has no address")?.clone();
    let before = usage::resident();
    let begin = Instant::now();
    let associations = connect(&options, &stack, &peer).await?;
    let seconds = begin.elapsed().as_secs_f64();
    let grown =
        before.zip(usage::resident()).map(|(before, after)| after.saturating_sub(before) as f64);
    let order = Order {
        direction: Direction::Send,
        size: options.size,
        duration_ms: options.duration * 1000,
        warmup_ms: options.warmup * 1000,
        batch: 1,
        streams: 1,
        unordered: false,
    };
    let overflows = stack.link_stats().overflows;
    let churn = tokio::spawn(come_and_go(options.clone(), stack.clone(), peer));
    let mut tests = JoinSet::new();
    for association in associations.iter().take(options.busy as usize) {
        tests.spawn(test(association.clone(), order));
    }
    let mut reports = Vec::new();
    while let Some(result) = tests.join_next().await {
        reports.push(result??);
    }
    let (came_and_went, failed) = tokio::time::timeout(LEAVE_TIMEOUT, churn)
        .await
        .context("the associations that come and go do not go")??;
    let outcome = Outcome {
        associations: options.associations,
        busy: reports.len(),
        set_up_per_second: f64::from(options.associations) / seconds,
        came_and_went,
        failed,
        overflows_client: stack.link_stats().overflows - overflows,
        bytes_per_association: grown.map(|grown| grown / f64::from(options.associations)),
        udp_port: stack.local_udp_port(),
        ..summary(&reports)
    };
    if options.json {
        println!("{}", serde_json::to_string_pretty(&outcome)?);
    } else {
        print(&outcome);
    }
    if tokio::time::timeout(LEAVE_TIMEOUT, stack.shutdown()).await.is_err() {
        stack.abort("the test is over").await;
    }
    Ok(ExitCode::SUCCESS)
}

/// Opens all associations, a hundred at a time.
async fn connect(
    options: &ScaleOptions,
    stack: &Stack,
    peer: &Peer,
) -> anyhow::Result<Vec<Association>> {
    let config = options.common.transport.config(stack.assoc_config());
    let mut opening = JoinSet::new();
    let mut open = Vec::new();
    for _ in 0..options.associations {
        let (stack, peer, config) = (stack.clone(), peer.clone(), config.clone());
        opening.spawn(async move { stack.connect_with(&peer, config).await });
        if opening.len() >= 100
            && let Some(result) = opening.join_next().await
        {
            open.push(result?.with_context(|| format!("cannot connect to {}", options.server))?);
        }
    }
    while let Some(result) = opening.join_next().await {
        open.push(result?.with_context(|| format!("cannot connect to {}", options.server))?);
    }
    Ok(open)
}

/// One busy association.
async fn test(association: Association, order: Order) -> anyhow::Result<(Report, Report)> {
    let transfer = Transfer::new(association, &order);
    transfer.control(&Control::Order(order)).await?;
    let (sent, arrived) = tokio::try_join!(
        transfer.send(&order),
        transfer.receive(Expect { data: false, report: true })
    )?;
    let theirs = arrived.report.context("the server did not report")?;
    Ok((transfer.report(sent, arrived.received), theirs))
}

/// Sets associations up and shuts them down at a steady rate during the test. Returns how many
/// there were, and how many failed.
async fn come_and_go(options: ScaleOptions, stack: Stack, peer: Peer) -> (u64, u64) {
    let end = tokio::time::Instant::now() + Duration::from_secs(options.warmup + options.duration);
    let mut done = JoinSet::new();
    let (mut went, mut failed) = (0, 0);
    let mut count = |result: Result<bool, _>| match result {
        Ok(true) => went += 1,
        _ => failed += 1,
    };
    if options.churn > 0 {
        let mut ticks = tokio::time::interval(Duration::from_secs(1) / options.churn);
        while ticks.tick().await < end {
            let (stack, peer) = (stack.clone(), peer.clone());
            done.spawn(async move {
                match stack.connect(&peer).await {
                    Ok(association) => association.shutdown().await.is_ok(),
                    Err(_) => false,
                }
            });
            while let Some(result) = done.try_join_next() {
                count(result);
            }
        }
    }
    while let Some(result) = done.join_next().await {
        count(result);
    }
    (went, failed)
}

fn summary(reports: &[(Report, Report)]) -> Outcome {
    let rates: Vec<f64> = reports
        .iter()
        .map(|(_, server)| server.received)
        .map(|received| {
            if received.seconds > 0.0 {
                received.bytes as f64 * 8.0 / received.seconds
            } else {
                0.0
            }
        })
        .collect();
    let cpu = |end: fn(&(Report, Report)) -> &Report| {
        // Each report counts the whole process, so the one over the longest time has everything.
        reports
            .iter()
            .filter_map(|both| Some(end(both).cpu_user_s? + end(both).cpu_system_s?))
            .reduce(f64::max)
    };
    Outcome {
        associations: 0,
        busy: reports.len(),
        set_up_per_second: 0.0,
        bits_per_second: rates.iter().sum(),
        fairness: jain(&rates),
        least_bits_per_second: rates.iter().copied().reduce(f64::min).unwrap_or_default(),
        most_bits_per_second: rates.iter().copied().reduce(f64::max).unwrap_or_default(),
        came_and_went: 0,
        failed: 0,
        retransmitted: reports.iter().map(|(client, _)| client.chunks_retransmitted).sum(),
        overflows_client: 0,
        // Each report counts the whole process.
        overflows_server: reports
            .iter()
            .map(|(_, server)| server.socket_overflows)
            .max()
            .unwrap_or_default(),
        bytes_per_association: None,
        cpu_client_s: cpu(|both| &both.0),
        cpu_server_s: cpu(|both| &both.1),
        udp_port: None,
    }
}

/// The limit for the last of those that come and go.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(60);

/// Jain's fairness index.
fn jain(rates: &[f64]) -> f64 {
    let sum: f64 = rates.iter().sum();
    let squares: f64 = rates.iter().map(|rate| rate * rate).sum();
    if squares > 0.0 { sum * sum / (rates.len() as f64 * squares) } else { 0.0 }
}

fn print(outcome: &Outcome) {
    println!(
        "{} associations, set up at {}/s; {} of them busy",
        outcome.associations,
        metric(outcome.set_up_per_second),
        outcome.busy,
    );
    println!(
        "{}bit/s together; one had {}bit/s at least and {}bit/s at most; fairness (Jain) {:.3}; {} \
         chunks sent again",
        metric(outcome.bits_per_second),
        metric(outcome.least_bits_per_second),
        metric(outcome.most_bits_per_second),
        outcome.fairness,
        outcome.retransmitted,
    );
    println!(
        "{} associations came and went meanwhile, {} failed",
        outcome.came_and_went, outcome.failed
    );
    println!(
        "{} packets found the socket buffer full here, {} at the server",
        outcome.overflows_client, outcome.overflows_server
    );
    if let Some(bytes) = outcome.bytes_per_association {
        println!("{bytes:.0} bytes of resident memory for each association here, before the test");
    }
    if let (Some(client), Some(server)) = (outcome.cpu_client_s, outcome.cpu_server_s) {
        println!("{client:.2} s of processor time here, {server:.2} s at the server");
    }
    if let Some(port) = outcome.udp_port {
        println!("own UDP port {port}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fairness() {
        assert_eq!(jain(&[]), 0.0);
        assert_eq!(jain(&[5.0, 5.0, 5.0]), 1.0);
        assert_eq!(jain(&[8.0, 0.0, 0.0, 0.0]), 0.25);
    }
}
