//! `rspregistrar`

mod options;

use std::ffi::OsString;
use std::process::ExitCode;

use crate::cli;

use options::{Options, UNSUPPORTED};

/// Name of the program.
pub const NAME: &str = "rspregistrar";

/// The program.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    match cli::parse::<Options>(NAME, UNSUPPORTED, args) {
        Ok(options) => cli::run_async(NAME, async move { anyhow::bail!("{options:?}") }),
        Err(status) => status,
    }
}
