//! What tshark and the lint say about the captures of a bench.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use workspace_tests::gate;
use workspace_tests::lint::rules::Rule;
use workspace_tests::lint::{Capture, Options, report};
use workspace_tests::tshark;

/// A capture that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) file: PathBuf,
    /// Addresses of the host where it was made.
    pub(crate) near: BTreeSet<IpAddr>,
}

/// What a bench knows of itself.
#[derive(Debug)]
pub(crate) struct Known {
    /// All links were captured from then on; `None` when this was from before anything was sent. (What a host sends to itself passes none of them.)
    pub(crate) from: Option<SystemTime>,
    /// The last moment at which all captures ran, and after which they had the time to fetch what there was.
    pub(crate) until: SystemTime,
    pub(crate) reordered: bool,
    pub(crate) disturbed: bool,
    /// Where other implementations send from.
    pub(crate) foreign: BTreeSet<IpAddr>,
    /// Rules that the test breaks on purpose.
    pub(crate) allowed: Vec<&'static Rule>,
}

/// Everything that is wrong in these captures, a line for each fault, at most ten of each judge and capture. What other implementations
/// do wrong is only printed.
pub(crate) fn faults(name: &str, captures: &[Ended], known: &Known) -> String {
    std::thread::scope(|scope| {
        let judges: Vec<_> = captures.iter().map(|capture| scope.spawn(|| by_tshark(capture))).collect();
        let lint = by_lint(name, captures, known);
        let tshark = judges.into_iter().map(|judge| judge.join());
        let tshark: String = tshark
            .map(|verdict| verdict.unwrap_or_else(|_| "a capture could not be judged\n".to_owned()))
            .collect();
        tshark + &lint
    })
}

fn by_tshark(capture: &Ended) -> String {
    let faults = tshark::faults(&capture.file, &[tshark::EVERY_UDP_PORT]);
    faults.iter().take(MOST).map(|fault| format!("tshark: {}: {fault}\n", capture.file.display())).collect()
}

fn by_lint(name: &str, captures: &[Ended], known: &Known) -> String {
    let mut read = Vec::new();
    for capture in captures {
        match Capture::read(&capture.file) {
            Ok(found) => read.push(Capture { near: capture.near.clone(), ..found }),
            Err(error) => return format!("lint: {error}\n"),
        }
    }
    let Known { reordered, disturbed, .. } = *known;
    let micros =
        |time: SystemTime| time.duration_since(UNIX_EPOCH).map_or(u64::MAX, |t| t.as_micros() as u64);
    let (from, until) = (known.from.map_or(0, micros), micros(known.until));
    let options = Options { complete: true, from, until, reordered, disturbed, ..Options::default() };
    let report = report(&read, &options);
    println!("{name}: the lint saw {report}");
    if let Some(missed) = read.iter().find(|capture| capture.dropped > 0) {
        let (missed, number) = (&missed.name, missed.dropped);
        gate::say(&format!(
            "{name}: {missed} lacks {number} packets, so rules that need all of them were not judged"
        ));
    }
    let mut findings = report.findings;
    findings.retain(|finding| !known.allowed.contains(&finding.rule));
    let (foreign, ours): (Vec<_>, Vec<_>) =
        findings.iter().partition(|finding| known.foreign.contains(&finding.from));
    for finding in foreign.iter().take(MOST) {
        println!("{name}: another implementation: {finding}");
    }
    ours.iter().take(MOST).map(|finding| format!("lint: {finding}\n")).collect()
}

/// Lines of a judge about one capture, or about one bench.
const MOST: usize = 10;
