//! `rspdemo`: shows a pool and a client whose servers and registrar are killed, in about ten
//! seconds, on one machine and without privileges.

mod cast;
mod children;
mod ledger;
mod screen;
mod show;
mod summary;
mod timeline;

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use super::CHILD_ARGUMENT;
use crate::cli::{self, EndOptions};

/// Name of the program.
pub const NAME: &str = "rspdemo";

/// Shows Reliable Server Pooling at work: two registrars, three servers and a client, each a
/// process of its own, talk SCTP in UDP on the loopback interface. Twice the serving server is
/// killed, and the session goes on. Then the registrar of all servers is killed: the other one
/// takes its place, and a server that comes afterwards goes on with the session.
#[derive(Clone, Debug, Parser)]
pub(crate) struct Options {
    /// Plain lines without colours and status line, also on a terminal.
    #[arg(long)]
    pub(crate) plain: bool,
    /// Time between two pings, ms.
    #[arg(
        long,
        value_name = "MS",
        default_value = "10",
        value_parser = |s: &str| cli::millis(s, 1, 1000)
    )]
    pub(crate) interval: Duration,
    /// Time a server thinks about each ping, ms; longer than the interval keeps pings in flight all
    /// the time.
    #[arg(
        long,
        value_name = "MS",
        default_value = "15",
        value_parser = |s: &str| cli::millis(s, 0, 1000)
    )]
    pub(crate) think: Duration,
    /// Time each server serves before it is killed, ms.
    #[arg(
        long,
        value_name = "MS",
        default_value = "2000",
        value_parser = |s: &str| cli::millis(s, 100, 5000)
    )]
    pub(crate) serve: Duration,
    /// How many times longer than promised everything may take, for machines that are busy.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1,
        value_parser = cli::number("factor", 1u32..=100)
    )]
    pub(crate) patience: u32,
    #[command(flatten)]
    pub(crate) end: EndOptions,
}

/// The program.
pub fn run(args: Vec<OsString>) -> ExitCode {
    if args.get(1).is_some_and(|word| word == CHILD_ARGUMENT) {
        return super::multi_call(args);
    }
    match cli::parse::<Options>(NAME, &[], args) {
        Ok(options) => cli::run_async(NAME, show::show(options)),
        Err(status) => status,
    }
}
