//! The results, which are files beside the tests, and the matrix in `docs/interop.md` that is made
//! from them.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::interop::scenario::{SCENARIOS, Side};

/// A peer over a link: a column of the matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    /// usrsctp, directly in IP.
    UsrsctpRaw,
    /// usrsctp in UDP.
    UsrsctpUdp,
    /// Linux' own SCTP, directly in IP.
    LinuxRaw,
    /// Linux' own SCTP in UDP.
    LinuxUdp,
    /// sctp-proto in UDP.
    ProtoUdp,
}

impl Column {
    /// All of them, in their order.
    pub const ALL: [Column; 5] = [
        Column::LinuxRaw,
        Column::LinuxUdp,
        Column::UsrsctpRaw,
        Column::UsrsctpUdp,
        Column::ProtoUdp,
    ];

    /// True when SCTP goes directly in IP.
    pub fn is_raw(self) -> bool {
        matches!(self, Column::UsrsctpRaw | Column::LinuxRaw)
    }

    /// Name of the file with the results.
    fn file(self) -> &'static str {
        match self {
            Column::UsrsctpRaw => "usrsctp-raw",
            Column::UsrsctpUdp => "usrsctp-udp",
            Column::LinuxRaw => "linux-raw",
            Column::LinuxUdp => "linux-udp",
            Column::ProtoUdp => "sctp-proto-udp",
        }
    }

    /// Its heading.
    fn title(self) -> &'static str {
        match self {
            Column::UsrsctpRaw => "usrsctp, IP",
            Column::UsrsctpUdp => "usrsctp, UDP",
            Column::LinuxRaw => "Linux, IP",
            Column::LinuxUdp => "Linux, UDP",
            Column::ProtoUdp => "sctp-proto, UDP",
        }
    }

    fn path(self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/interop")
            .join(format!("{}.txt", self.file()))
    }
}

/// The result of one variant of a scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Key of the scenario.
    pub scenario: String,
    /// "we call, IPv4" and the like.
    pub variant: String,
    /// Why it cannot pass; `None` when it passed.
    pub cannot: Option<String>,
}

/// Names a variant.
pub fn variant(caller: Side, v6: bool) -> String {
    let caller = if caller == Side::Ours { "we call" } else { "the peer calls" };
    format!("{caller}, IPv{}", if v6 { 6 } else { 4 })
}

/// Compares results with the file of their column. With `UPDATE_INTEROP=1`, writes the file
/// instead.
///
/// # Errors
/// With a sentence when they differ.
///
/// # Panics
/// When the file cannot be written.
pub fn settle(column: Column, outcomes: &[Outcome]) -> Result<(), String> {
    let text: String = outcomes
        .iter()
        .map(|outcome| {
            let result = outcome
                .cannot
                .as_ref()
                .map_or("passed".to_owned(), |reason| format!("cannot: {reason}"));
            format!("{} | {} | {result}\n", outcome.scenario, outcome.variant)
        })
        .collect();
    let path = column.path();
    if update() {
        std::fs::write(&path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        return Ok(());
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    if there == text {
        return Ok(());
    }
    Err(format!(
        "{} does not hold the results any more; UPDATE_INTEROP=1 rewrites it. Now:\n{text}",
        path.display()
    ))
}

/// Compares the matrix in `docs/interop.md` with the files of all columns. With `UPDATE_INTEROP=1`,
/// rewrites it instead.
///
/// # Errors
/// With a sentence when it differs.
///
/// # Panics
/// When a file cannot be read or written, or the document has no place for the matrix.
pub fn settle_document() -> Result<(), String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/interop.md");
    let document = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let (before, rest) =
        document.split_once(BEGIN).expect("the document has a place for the matrix");
    let (_, after) = rest.split_once(END).expect("the matrix in the document has an end");
    let columns: Vec<(Column, Vec<Outcome>)> =
        Column::ALL.iter().filter_map(|column| Some((*column, read(*column)?))).collect();
    let right = format!("{before}{BEGIN}\n{}{END}{after}", matrix(&columns));
    if right == document {
        return Ok(());
    }
    if update() {
        std::fs::write(&path, right).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        return Ok(());
    }
    Err("the matrix in docs/interop.md differs from the results in netns-tests/tests/interop; \
         UPDATE_INTEROP=1 rewrites it"
        .to_owned())
}

fn read(column: Column) -> Option<Vec<Outcome>> {
    let text = std::fs::read_to_string(column.path()).ok()?;
    let outcome = |line: &str| {
        let mut fields = line.splitn(3, " | ").map(str::to_owned);
        let (scenario, variant, result) = (fields.next()?, fields.next()?, fields.next()?);
        let cannot = (result != "passed").then(|| result.trim_start_matches("cannot: ").to_owned());
        Some(Outcome { scenario, variant, cannot })
    };
    text.lines().map(outcome).collect()
}

/// The table and its footnotes.
fn matrix(columns: &[(Column, Vec<Outcome>)]) -> String {
    let mut notes: Vec<String> = Vec::new();
    let mut table = String::from("| ");
    for (column, _) in columns {
        let _ = write!(table, "| {} ", column.title());
    }
    table.push_str("|\n| --- ");
    columns.iter().for_each(|_| table.push_str("| --- "));
    table.push_str("|\n");
    for scenario in SCENARIOS {
        let _ = write!(table, "| {} ", scenario.title);
        for (_, outcomes) in columns {
            let outcomes: Vec<&Outcome> =
                outcomes.iter().filter(|o| o.scenario == scenario.key).collect();
            let _ = write!(table, "| {} ", cell(&outcomes, &mut notes));
        }
        table.push_str("|\n");
    }
    if !notes.is_empty() {
        table.push('\n');
    }
    for (number, note) in notes.iter().enumerate() {
        let _ = writeln!(table, "{}. {note}", number + 1);
    }
    table
}

/// One cell: the results of all variants of a scenario.
fn cell(outcomes: &[&Outcome], notes: &mut Vec<String>) -> String {
    let bad: Vec<&&Outcome> = outcomes.iter().filter(|outcome| outcome.cannot.is_some()).collect();
    if outcomes.is_empty() {
        return "-".to_owned();
    }
    let mut numbers = Vec::new();
    for outcome in &bad {
        let mut reason = outcome.cannot.clone().unwrap_or_default();
        if bad.len() < outcomes.len() {
            let _ = write!(reason, " ({})", outcome.variant);
        }
        let place = notes.iter().position(|note| *note == reason).unwrap_or_else(|| {
            notes.push(reason);
            notes.len() - 1
        });
        let number = format!("{}", place + 1);
        if !numbers.contains(&number) {
            numbers.push(number);
        }
    }
    match (bad.len(), outcomes.len()) {
        (0, _) => "yes".to_owned(),
        (bad, all) if bad == all => format!("no ({})", numbers.join(", ")),
        _ => format!("partly ({})", numbers.join(", ")),
    }
}

fn update() -> bool {
    std::env::var_os("UPDATE_INTEROP").is_some_and(|value| value == "1")
}

const BEGIN: &str = "<!-- interop matrix: written by the tests -->";
const END: &str = "<!-- end of the interop matrix -->";

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(variant: &str, cannot: Option<&str>) -> Outcome {
        Outcome {
            scenario: "sizes".into(),
            variant: variant.into(),
            cannot: cannot.map(str::to_owned),
        }
    }

    #[test]
    fn cells_say_what_variants_gave() {
        let mut notes = Vec::new();
        let (good, bad) =
            (outcome("we call, IPv4", None), outcome("we call, IPv6", Some("It is old.")));
        assert_eq!(cell(&[&good], &mut notes), "yes");
        assert_eq!(cell(&[], &mut notes), "-");
        assert_eq!(cell(&[&bad, &bad], &mut notes), "no (1)");
        assert_eq!(cell(&[&good, &bad], &mut notes), "partly (2)");
        assert_eq!(notes, ["It is old.", "It is old. (we call, IPv6)"]);
        let table = matrix(&[(Column::LinuxRaw, vec![good]), (Column::ProtoUdp, vec![bad])]);
        assert!(table.starts_with(
            "| | Linux, IP | sctp-proto, UDP |\n| --- | --- | --- |\n| messages of 1 byte"
        ));
        assert!(
            table.contains("| yes | no (1) |") && table.ends_with("\n1. It is old.\n"),
            "{table}"
        );
    }
}
