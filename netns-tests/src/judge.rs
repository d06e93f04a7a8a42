//! Has tshark and the lint judge the captures of a bench.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use workspace_tests::gate;
use workspace_tests::lint::rules::Rule;
use workspace_tests::lint::{Capture, Finding, Offered, Options, offered, report};
use workspace_tests::tshark;

use crate::foreign::{Exception, Implementation};

/// A capture that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) file: PathBuf,
    /// The addresses of the host where it was captured.
    pub(crate) near: BTreeSet<IpAddr>,
}

/// What a bench knows about itself.
#[derive(Debug)]
pub(crate) struct Known {
    /// When the captures of all links had begun; `None` if that was before anything was sent. (A
    /// packet that a host sends to itself passes no link.)
    pub(crate) from: Option<SystemTime>,
    /// The last moment at which all captures were running. Afterwards each had time to fetch the
    /// packets of before.
    pub(crate) until: SystemTime,
    pub(crate) reordered: bool,
    pub(crate) disturbed: bool,
    /// The largest MTU that any interface has had, bytes.
    pub(crate) mtu: u16,
    /// The addresses that other implementations send from.
    pub(crate) foreign: BTreeMap<IpAddr, Implementation>,
    /// Rules that the test breaks on purpose.
    pub(crate) allowed: Vec<&'static Rule>,
    /// What INITs must have offered.
    pub(crate) offers: Vec<Offered>,
}

/// Everything that is wrong in these captures, one line for each fault: at most ten from tshark for
/// each capture, and at most ten from the lint. Also prints how often other implementations broke a
/// rule that they may break.
pub(crate) fn faults(name: &str, captures: &[Ended], known: &Known) -> String {
    std::thread::scope(|scope| {
        let judges: Vec<_> =
            captures.iter().map(|capture| scope.spawn(|| by_tshark(capture))).collect();
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
    faults
        .iter()
        .take(MOST)
        .map(|fault| format!("tshark: {}: {fault}\n", capture.file.display()))
        .collect()
}

fn by_lint(name: &str, captures: &[Ended], known: &Known) -> String {
    let mut read = Vec::new();
    for capture in captures {
        match Capture::read(&capture.file) {
            Ok(found) => read.push(Capture { near: capture.near.clone(), ..found }),
            Err(error) => return format!("lint: {error}\n"),
        }
    }
    let Known { reordered, disturbed, mtu, .. } = *known;
    let mtu = mtu.into();
    let micros = |time: SystemTime| {
        time.duration_since(UNIX_EPOCH).map_or(u64::MAX, |t| t.as_micros() as u64)
    };
    let (from, until) = (known.from.map_or(0, micros), micros(known.until));
    let options = Options { mtu, complete: true, from, until, reordered, disturbed };
    let report = report(&read, &options);
    println!("{name}: the lint saw {report}");
    if !report.unjudged.is_empty() {
        gate::say(&format!("{name}: rules that need all packets were not judged: {report}"));
    }
    let mut findings = report.findings;
    findings.retain(|finding| !known.allowed.contains(&finding.rule));
    let excused = |finding: &Finding| {
        known.foreign.get(&finding.from).and_then(|of| Exception::of(*of, finding))
    };
    let mut faults = missing_offers(&read, &known.offers);
    let mut excuses = BTreeMap::new();
    for finding in &findings {
        match excused(finding) {
            Some(Exception { of, rule, .. }) => {
                *excuses.entry((of.name(), rule.name)).or_insert(0) += 1
            }
            None => faults.push(format!("lint: {finding}\n")),
        }
    }
    for ((of, rule), count) in excuses {
        println!("{name}: {of} breaks {rule} {count} times, as it may");
    }
    faults.truncate(MOST);
    faults.concat()
}

/// A line for each address and port whose INITs do not offer what they should.
fn missing_offers(captures: &[Capture], due: &[Offered]) -> Vec<String> {
    let found = if due.is_empty() { Vec::new() } else { offered(captures) };
    let bad = |due: &Offered| {
        let there: Vec<_> =
            found.iter().filter(|f| (f.from, f.port) == (due.from, due.port)).collect();
        let right = !there.is_empty() && there.iter().all(|offer| *offer == due);
        let told = |offer: &Offered| format!("{:x?} with {:x?}", offer.parameters, offer.chunks);
        let there: Vec<String> = there.into_iter().map(told).collect();
        let (from, port) = (due.from, due.port);
        let due = told(due);
        (!right).then(|| {
            format!("INITs from {from}, port {port}, should offer {due} but offer {there:?}\n")
        })
    };
    due.iter().filter_map(bad).collect()
}

/// The most lines that tshark may say about a capture, or the lint about a bench.
const MOST: usize = 10;
