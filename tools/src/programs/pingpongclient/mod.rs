//! `pingpongclient`: sends numbered pings, and gives the user exactly one pong for each, however
//! many servers that takes.

mod client;
mod event;
mod options;
mod pings;

use std::ffi::OsString;
use std::process::ExitCode;

use crate::cli;

pub use event::ClientEvent;
use options::Options;

/// Name of the program.
pub const NAME: &str = "pingpongclient";

/// The program.
pub fn run(args: Vec<OsString>) -> ExitCode {
    match cli::parse::<Options>(NAME, cli::CLIENT_UNSUPPORTED, args) {
        Ok(options) => cli::run_async(NAME, client::run(options)),
        Err(status) => status,
    }
}
