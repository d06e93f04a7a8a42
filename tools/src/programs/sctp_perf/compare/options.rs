//! Options of the comparison.

use std::path::PathBuf;

use clap::Parser;

use super::catalog::{ROWS, Row};
use crate::cli::number;

/// Measures this stack beside others: usrsctp, sctp-proto, dcsctp, quinn, TCP and bare UDP, in
/// turns on this machine.
#[derive(Clone, Debug, Parser)]
pub(crate) struct CompareOptions {
    /// Runs of each contender; medians are compared.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 3,
        value_parser = number("number of runs", 1u32..=100)
    )]
    pub(crate) runs: u32,
    /// Only these rows, separated by commas; see the list below.
    #[arg(long, value_name = "ROW,...", value_delimiter = ',', value_parser = row)]
    pub(crate) only: Vec<&'static Row>,
    /// Write everything, single runs included, to this file.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Time of a run that counts, s.
    #[arg(
        long,
        value_name = "S",
        default_value_t = 2,
        value_parser = number("number of seconds", 1u32..=60)
    )]
    pub(crate) seconds: u32,
    /// Time of a run before that, s.
    #[arg(
        long,
        value_name = "S",
        default_value_t = 0.5,
        value_parser = number("number of seconds", 0.0..=60.0)
    )]
    pub(crate) warmup: f64,
    /// Further options for both ends of this stack, separated by commas, such as
    /// --maxburst=44,--sendbuffer=1M.
    #[arg(long, value_name = "OPTION,...", value_delimiter = ',', allow_hyphen_values = true)]
    pub(crate) ours: Vec<String>,
    /// The drivers' sources.
    #[arg(long, value_name = "DIR", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/peers"))]
    pub(crate) peers: PathBuf,
    /// Where the drivers are built.
    #[arg(
        long,
        value_name = "DIR",
        default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/peers")
    )]
    pub(crate) build: PathBuf,
    /// Run also in a build without optimisation, for trying the program itself.
    #[arg(long, hide = true)]
    pub(crate) debug: bool,
}

impl CompareOptions {
    /// The rows wanted.
    pub(super) fn rows(&self) -> Vec<&'static Row> {
        if self.only.is_empty() { ROWS.iter().collect() } else { self.only.clone() }
    }
}

fn row(name: &str) -> Result<&'static Row, String> {
    let names: Vec<_> = ROWS.iter().map(|row| row.name).collect();
    ROWS.iter()
        .find(|row| row.name == name)
        .ok_or_else(|| format!("the rows are {}", names.join(", ")))
}
