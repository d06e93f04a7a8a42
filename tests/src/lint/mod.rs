//! A lint for captured SCTP: it judges what ends send by rules that dissectors do not check.
//!
//! It reads captures of one or several links, parses packets on its own, follows associations by
//! ports and tags, and judges each packet by its [rules]. A finding is a fault of the end that sent
//! the packet, wherever the capture was made. Some captures make a good sender look like a bad one:
//! each rule says [when](rules::Unless) it is not judged for that reason, and [`Options`] say what
//! is known about the captures.
//!
//! ```no_run
//! use workspace_tests::lint::{Capture, Options, lint};
//!
//! let read = |name: &str| Capture::read(name.as_ref());
//! let captures = [read("first.pcapng")?, read("second.pcapng")?];
//! for finding in lint(&captures, &Options::default()) {
//!     println!("{finding}");
//! }
//! # Ok::<(), workspace_tests::lint::ReadError>(())
//! ```

pub mod rules;

mod capture;
mod closing;
mod data;
mod events;
mod flows;
mod form;
mod handshake;
mod offers;
mod packet;
mod parameters;
mod paths;
mod program;
mod sack;
#[cfg(test)]
mod tests;
mod timing;
mod unjudged;
mod window;

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

pub use capture::{Capture, Frame, LinkType, ReadError};
pub use offers::{Offered, offered};
pub use program::{run, table};
use rules::{Rule, Unless};
pub use unjudged::Unjudged;

use events::{Event, Seen};
use unjudged::Doubts;

/// What is known about captures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// The largest IP packet, bytes.
    pub mtu: usize,
    /// The captures show every packet of the associations in them.
    pub complete: bool,
    /// They do so from this time on, µs since 1970. Parts of associations that began earlier are
    /// missing. 0 if the captures show everything.
    pub from: u64,
    /// Packets may have been reordered or duplicated before they were captured.
    pub reordered: bool,
    /// Something lost packets, limited their rate or cut links on purpose.
    pub disturbed: bool,
    /// They are complete until this time, µs since 1970. Captures end one after the other, so those
    /// that end last show answers to packets that the others have missed.
    pub until: u64,
}

impl Default for Options {
    /// Nothing is known: the MTU is 1500, and captures may be incomplete, reordered and disturbed.
    fn default() -> Self {
        Options {
            mtu: 1500,
            complete: false,
            from: 0,
            reordered: true,
            disturbed: true,
            until: u64::MAX,
        }
    }
}

/// A fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The rule that was broken.
    pub rule: &'static Rule,
    /// Name of the capture.
    pub capture: String,
    /// The packet that broke it, counted from 1 as other tools do.
    pub packet: u32,
    /// Its sender, according to the capture.
    pub from: IpAddr,
    /// What was wrong, in a sentence.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Finding { rule, capture, packet, from, what } = self;
        write!(
            f,
            "{}: {capture}, packet {packet} from {from}: {what} ({})",
            rule.name, rule.section
        )
    }
}

/// What the lint saw, and the faults that it found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The faults, in the order of the packets.
    pub findings: Vec<Finding>,
    /// The number of SCTP packets. A packet counts once for each capture that shows it.
    pub packets: usize,
    /// The number of associations of which both ends and their offers were captured.
    pub associations: usize,
    /// The number of different DATA chunks.
    pub chunks: usize,
    /// How many packets were not judged although they are or may be SCTP. If there are any, rules
    /// that need all packets are not judged either.
    pub unjudged: BTreeMap<Unjudged, u64>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { findings, packets, associations, chunks, unjudged } = self;
        let findings = findings.len();
        write!(
            f,
            "{packets} packets, {associations} associations, {chunks} DATA chunks, {findings} \
             faults"
        )?;
        for (index, (why, count)) in unjudged.iter().enumerate() {
            let begin = if index == 0 { "; not judged: " } else { ", " };
            write!(f, "{begin}{count} {}", why.what())?;
        }
        Ok(())
    }
}

/// Judges captures that were made at the same time, by clocks that agree. The findings come in the
/// order of the packets.
pub fn lint(captures: &[Capture], options: &Options) -> Vec<Finding> {
    report(captures, options).findings
}

/// Like [`lint`], but also returns what was seen.
pub fn report(captures: &[Capture], options: &Options) -> Report {
    let mut packets = 0;
    let mut judge = Judge { captures, options: *options, findings: Vec::new(), whole: true };
    let mut flows = flows::Flows::default();
    let mut doubts = Doubts::default();
    for event in events::events(captures, &mut doubts) {
        match event {
            Event::Sctp(seen) => {
                packets += 1;
                form::judge(&mut judge, &seen);
                flows.take(&mut judge, &seen);
            }
            Event::TooBig(message) => flows.too_big(message),
        }
    }
    flows.end(&mut judge);
    let unjudged = doubts.counts();
    if !unjudged.is_empty() {
        judge.findings.retain(|finding| !finding.rule.unless.contains(&Unless::Partial));
    }
    judge.findings.sort_by_key(|finding| {
        let capture = captures.iter().position(|capture| capture.name == finding.capture);
        (capture, finding.packet)
    });
    let (associations, chunks) = flows.count();
    Report { findings: judge.findings, packets, associations, chunks, unjudged }
}

/// Where a packet was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    file: usize,
    number: u32,
    time: u64,
    from: IpAddr,
}

impl From<&Seen> for Place {
    fn from(seen: &Seen) -> Place {
        Place { file: seen.file, number: seen.number, time: seen.time, from: seen.src }
    }
}

/// Collects findings and knows which rules can be judged where.
struct Judge<'a> {
    captures: &'a [Capture],
    options: Options,
    findings: Vec<Finding>,
    /// Whether the association that is being judged began after [`Options::from`].
    whole: bool,
}

impl Judge<'_> {
    /// Whether the packet was captured at its sender.
    fn is_near(&self, file: usize, from: IpAddr) -> bool {
        self.captures.get(file).is_some_and(|capture| capture.near.contains(&from))
    }

    fn applies(&self, rule: &Rule, place: Place) -> bool {
        let near = self.is_near(place.file, place.from);
        !rule.unless.iter().any(|unless| match unless {
            Unless::Partial => {
                !self.options.complete || !self.whole || place.time > self.options.until
            }
            // A capture at the sender shows packets in the order in which they were sent.
            Unless::Reordered => self.options.reordered && !near,
            Unless::Far => !near,
            Unless::Disturbed => self.options.disturbed,
        })
    }

    /// Notes a fault, unless the rule is not judged in this place.
    fn fault(&mut self, rule: &'static Rule, place: impl Into<Place>, what: impl Into<String>) {
        let place = place.into();
        if self.applies(rule, place) {
            let capture =
                self.captures.get(place.file).map_or_else(String::new, |c| c.name.clone());
            let (packet, from) = (place.number, place.from);
            self.findings.push(Finding { rule, capture, packet, from, what: what.into() });
        }
    }

    /// Like [`fault`](Self::fault), if `bad` is true.
    fn fault_if(
        &mut self,
        bad: bool,
        rule: &'static Rule,
        place: impl Into<Place>,
        what: impl FnOnce() -> String,
    ) {
        if bad {
            self.fault(rule, place, what());
        }
    }
}
