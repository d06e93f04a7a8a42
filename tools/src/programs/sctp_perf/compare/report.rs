//! The results: the table, the verdicts, and everything as JSON.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Samples;
use super::catalog::{Against, Contender, Goal, Metric, Row};
use super::machine::Machine;
use super::options::CompareOptions;
use super::peers::Peers;
use super::run::MTU_UDP;
use super::sample::{Median, Sample};
use crate::programs::sctp_perf::count::metric;

/// Everything that is written to the file.
#[derive(Debug, Serialize)]
pub(crate) struct Results {
    pub(crate) machine: Machine,
    versions: BTreeMap<&'static str, String>,
    runs: u32,
    seconds: u32,
    warmup: f64,
    /// Options of this stack.
    options: Vec<String>,
    pub(crate) rows: Vec<RowResult>,
}

impl Results {
    pub(crate) fn new(options: &CompareOptions, peers: &Peers) -> Self {
        let mut versions = peers.versions.clone();
        versions.insert("sctp-perf", env!("CARGO_PKG_VERSION").to_owned());
        Results {
            machine: Machine::look(),
            versions,
            runs: options.runs,
            seconds: options.seconds,
            warmup: options.warmup,
            options: options.ours.clone(),
            rows: Vec::new(),
        }
    }

    pub(crate) fn finish(&mut self) {
        self.machine.finish();
    }
}

/// A row with its figures.
#[derive(Debug, Serialize)]
pub(crate) struct RowResult {
    name: &'static str,
    title: &'static str,
    #[serde(skip)]
    row: &'static Row,
    samples: Samples,
    medians: Vec<(Contender, Metric, Median)>,
    /// The contenders without a figure, and why.
    missing: Vec<(Contender, String)>,
    verdicts: Vec<Verdict>,
}

/// Whether an expectation was met.
#[derive(Debug, Serialize)]
struct Verdict {
    metric: Metric,
    must: bool,
    /// What was expected, in words.
    expected: String,
    /// The ratio, or our own figure if a number is expected. Absent if a contender is missing.
    found: Option<f64>,
    holds: Option<bool>,
    text: String,
}

impl RowResult {
    pub(crate) fn new(row: &'static Row) -> Self {
        RowResult {
            name: row.name,
            title: row.title,
            row,
            samples: Vec::new(),
            medians: Vec::new(),
            missing: Vec::new(),
            verdicts: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, contender: Contender, sample: Sample) {
        match self.samples.iter_mut().find(|(known, _)| *known == contender) {
            Some((_, samples)) => samples.push(sample),
            None => self.samples.push((contender, vec![sample])),
        }
    }

    pub(crate) fn miss(&mut self, contender: Contender, why: String) {
        if !self.missing.iter().any(|known| *known == (contender, why.clone())) {
            self.missing.push((contender, why));
        }
    }

    /// Medians and verdicts, after all runs.
    pub(crate) fn judge(&mut self) {
        for (contender, samples) in &self.samples {
            for &metric in self.row.metrics {
                self.medians
                    .extend(Median::of(samples, metric).map(|median| (*contender, metric, median)));
            }
        }
        self.verdicts = self.row.goals.iter().map(|goal| self.verdict(goal)).collect();
    }

    fn median(&self, contender: Contender, metric: Metric) -> Option<f64> {
        let found = self.medians.iter().find(|(who, what, _)| (*who, *what) == (contender, metric));
        found.map(|(_, _, median)| median.median)
    }

    fn verdict(&self, goal: &Goal) -> Verdict {
        let less = goal.metric.less_is_better();
        let bound = if less { "at most" } else { "at least" };
        let ours = self.row.contenders.first().and_then(|first| self.median(*first, goal.metric));
        let (expected, found) = match goal.against {
            Against::Number => (format!("{bound} {}", figure(goal.metric, goal.value)), ours),
            Against::Best(others) => {
                let known =
                    others.iter().filter_map(|who| Some((*who, self.median(*who, goal.metric)?)));
                let order = |a: &(Contender, f64), b: &(Contender, f64)| a.1.total_cmp(&b.1);
                let best = if less { known.min_by(order) } else { known.max_by(order) };
                let names: Vec<_> = others.iter().map(|who| who.name()).collect();
                let expected = format!("{bound} {} times {}", goal.value, names.join(" or "));
                (expected, ours.zip(best).map(|(ours, (_, theirs))| ours / theirs))
            }
        };
        let holds = found.map(|found| if less { found <= goal.value } else { found >= goal.value });
        let shown = match (goal.against, found) {
            (_, None) => "cannot be said".to_owned(),
            (Against::Number, Some(found)) => figure(goal.metric, found),
            (Against::Best(_), Some(found)) => format!("{found:.2} times"),
        };
        let word = match holds {
            Some(true) => "yes",
            Some(false) => "NO",
            None => "?",
        };
        let kind = if goal.must { "must" } else { "aim" };
        let text = format!("{kind}: {} {expected}: {shown}: {word}", label(goal.metric));
        Verdict { metric: goal.metric, must: goal.must, expected, found, holds, text }
    }
}

pub(crate) fn print_row(result: &RowResult) {
    println!("{}  [--only={}]", result.title, result.name);
    for &contender in result.row.contenders {
        let figures: Vec<_> = result
            .medians
            .iter()
            .filter(|(who, ..)| *who == contender)
            .map(|(_, metric, Median { median, least, most })| {
                format!(
                    "{} ({} to {})",
                    figure(*metric, *median),
                    short(*metric, *least),
                    short(*metric, *most)
                )
            })
            .collect();
        if !figures.is_empty() {
            println!("  {:<31} {}", contender.name(), figures.join("   "));
        }
        for (_, why) in result.missing.iter().filter(|(who, _)| *who == contender) {
            println!("  {:<31} missing: {why}", contender.name());
        }
    }
    for verdict in &result.verdicts {
        println!("    {}", verdict.text);
    }
    println!();
}

pub(crate) fn print_footer(results: &Results) {
    let musts: Vec<_> =
        results.rows.iter().flat_map(|row| &row.verdicts).filter(|v| v.must).collect();
    let held = musts.iter().filter(|verdict| verdict.holds == Some(true)).count();
    println!("{held} of {} musts hold.", musts.len());
    let Machine { cpu, processors, kernel, load } = &results.machine;
    println!("{cpu}, {processors} processors, {kernel}; load {} before, {} after", load.0, load.1);
    let versions: Vec<_> =
        results.versions.iter().map(|(name, version)| format!("{name} {version}")).collect();
    println!("{}", versions.join(", "));
    let options = match results.options.is_empty() {
        true => "none".to_owned(),
        false => results.options.join(" "),
    };
    println!(
        "This stack's options: {options}; besides, in UDP, {MTU_UDP} (packets of 1452 bytes); \
         sctp-perf's own buffers are 4 MiB at each end \
        (the library's default is 256 KiB). The core alone: Max.Burst off, buffers of 4 MiB."
    );
    println!(
        "{} runs of {} s after {} s, in turns; medians, in brackets the extremes.",
        results.runs, results.seconds, results.warmup
    );
}

fn label(metric: Metric) -> &'static str {
    match metric {
        Metric::BitsPerSecond => "throughput",
        Metric::MessagesPerSecond => "messages",
        Metric::CpuSecondsPerGb => "processor time",
        Metric::P50Us => "median",
        Metric::P99Us => "99th percentile",
        Metric::BytesPerEnd => "memory",
        Metric::SetupsPerSecond => "set-ups",
    }
}

/// A figure with its unit.
fn figure(metric: Metric, value: f64) -> String {
    let unit = match metric {
        Metric::BitsPerSecond => "bit/s",
        Metric::MessagesPerSecond => "messages/s",
        Metric::CpuSecondsPerGb => " CPU s/GB",
        Metric::P50Us => " us median",
        Metric::P99Us => " us p99",
        Metric::BytesPerEnd => " bytes",
        Metric::SetupsPerSecond => "/s",
    };
    format!("{}{unit}", short(metric, value))
}

/// A figure without its unit.
fn short(what: Metric, value: f64) -> String {
    match what {
        Metric::BitsPerSecond | Metric::MessagesPerSecond | Metric::SetupsPerSecond => {
            metric(value)
        }
        Metric::CpuSecondsPerGb => format!("{value:.2}"),
        Metric::P50Us | Metric::P99Us => format!("{value:.1}"),
        Metric::BytesPerEnd => format!("{value:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::programs::sctp_perf::compare::catalog::ROWS;
    use serde_json::json;

    fn row(name: &str) -> RowResult {
        RowResult::new(ROWS.iter().find(|row| row.name == name).unwrap())
    }

    #[test]
    fn ratios_of_medians_decide() {
        let mut result = row("pingpong");
        for (p50, p99) in [(10.0, 20.0), (12.0, 30.0), (11.0, 10.0)] {
            result.add(
                Contender::OursBlocking,
                Sample::single(&json!({ "p50_us": p50, "p99_us": p99 })).unwrap(),
            );
            result.add(
                Contender::Udp,
                Sample::single(&json!({ "p50_us": 10.0, "p99_us": 10.0 })).unwrap(),
            );
        }
        result.judge();
        let found: Vec<_> =
            result.verdicts.iter().map(|v| (v.found.unwrap(), v.holds.unwrap(), v.must)).collect();
        assert_eq!(
            found,
            [(1.1, true, true), (2.0, false, true), (1.1, true, false), (2.0, false, false)]
        );
    }

    #[test]
    fn somebody_missing_is_no_verdict() {
        let mut result = row("bulk1k");
        result.miss(Contender::Usrsctp, "not built".into());
        result.judge();
        assert!(
            result
                .verdicts
                .iter()
                .all(|verdict| verdict.holds.is_none() && verdict.text.ends_with('?'))
        );
    }

    #[test]
    fn the_best_of_several_counts() {
        let mut result = row("core");
        let sample = |bits: f64| {
            Sample::single(&json!({ "bytes": bits / 8.0, "messages": 1, "seconds": 1.0 })).unwrap()
        };
        result.add(Contender::Ours, sample(24e9));
        result.add(Contender::SctpProto, sample(8e9));
        result.add(Contender::Usrsctp, sample(4e9));
        result.judge();
        assert_eq!(result.verdicts[0].found, Some(3.0));
        assert_eq!(result.verdicts[0].holds, Some(true));
        assert_eq!(result.verdicts[1].holds, Some(false));
    }
}
