//! From arguments to an exit status: 0 done, 1 failed (one sentence on stderr), 2 wrong usage.

use std::error::Error;
use std::ffi::OsString;
use std::future::Future;
use std::process::ExitCode;
use std::time::Duration;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, FromArgMatches};

use super::normalize::{Unsupported, normalize};
use super::{lossy, screen};

/// What `--version` shows after the name of a program: version, commit, features.
pub(crate) const VERSION: &str =
    concat!(env!("CARGO_PKG_VERSION"), " (", env!("RSP_TOOLS_BUILD"), ")");

/// How long the last lines of a program may take to be written.
const FLUSH_LIMIT: Duration = Duration::from_secs(1);

/// Exit status for wrong usage.
const USAGE: u8 = 2;

/// The `main` of every binary: `program` gets the arguments of the process.
///
/// When the reader of its output goes away, a program is killed by SIGPIPE, like most programs
/// (`PROGRAM | head -1`). Rust's default would be a panic in `println!`. Programs that must clean
/// up first handle the signal, and end in order. Sockets do not raise it: UDP and raw sockets never
/// do, and the standard library suppresses it for TCP sockets.
///
/// At the end of the program, a reader that stalls has 1 s to read the rest.
pub fn main(program: impl FnOnce(Vec<OsString>) -> ExitCode) -> ExitCode {
    sigpipe::reset();
    let status = program(std::env::args_os().collect());
    lossy::flush(FLUSH_LIMIT);
    status
}

/// Parses the arguments of program `name`. The first argument is the name of the executable, as in
/// `std::env::args_os`.
///
/// # Errors
/// The status to exit with, after help, version or a complaint has been printed.
pub(crate) fn parse<O: CommandFactory + FromArgMatches>(
    name: &'static str,
    unsupported: &[Unsupported],
    args: Vec<OsString>,
) -> Result<O, ExitCode> {
    // As in RSPLIB, the last of several values counts: scripts override defaults in this way.
    let command = O::command().name(name).bin_name(name).version(VERSION).args_override_self(true);
    let complain = |sentence: &str| {
        screen::complain(&format!("{name}: {sentence}; {name} --help lists the options"));
        ExitCode::from(USAGE)
    };
    let args = normalize(&command, unsupported, args).map_err(|sentence| complain(&sentence))?;
    let parsed =
        command.try_get_matches_from(args).and_then(|matches| O::from_arg_matches(&matches));
    parsed.map_err(|error| match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            // An error means that the reader has gone away.
            let _ = error.print();
            ExitCode::SUCCESS
        }
        _ => complain(&sentence(&error)),
    })
}

/// Runs a program on a runtime of its own and turns its result into an exit status.
pub(crate) fn run_async<F>(name: &'static str, program: F) -> ExitCode
where
    F: Future<Output = anyhow::Result<ExitCode>>,
{
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            screen::complain(&format!("{name}: the runtime cannot be started: {error}"));
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(program) {
        Ok(status) => status,
        Err(error) => {
            screen::complain(&format!("{name}: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// The paragraphs of clap's complaint before the usage, as one line.
fn sentence(error: &clap::Error) -> String {
    // If the message about a value quotes it, clap need not quote it again.
    if let (Some(why), Some(ContextValue::String(option)), Some(ContextValue::String(value))) = (
        error.source().map(ToString::to_string),
        error.get(ContextKind::InvalidArg),
        error.get(ContextKind::InvalidValue),
    ) && why.starts_with(&format!("'{value}'"))
    {
        return format!("{option}: {why}");
    }
    let text = error.render().to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let paragraphs = text.split("\n\n").map(|p| p.split_whitespace().collect::<Vec<_>>().join(" "));
    let wanted: Vec<String> = paragraphs
        .filter(|p| !p.is_empty() && !p.starts_with("Usage:") && !p.starts_with("For more"))
        .collect();
    wanted.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Options {
        #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..))]
        interval: u64,
        #[arg(long)]
        quiet: bool,
    }

    fn words(words: &[&str]) -> Vec<OsString> {
        std::iter::once("program").chain(words.iter().copied()).map(OsString::from).collect()
    }

    #[test]
    fn all_three_notations_and_the_last_value_counts() {
        for args in [
            &["--interval=7"][..],
            &["--interval", "7"],
            &["-interval=7"],
            &["-interval=3", "-interval=7"],
        ] {
            let options: Options = parse("program", &[], words(args)).unwrap();
            assert_eq!(options.interval, 7, "{args:?}");
            assert!(!options.quiet);
        }
    }

    #[test]
    fn complaints_are_one_line_and_name_the_value() {
        let complaint =
            |args: &[&str]| sentence(&Options::try_parse_from(words(args)).unwrap_err());
        let text = complaint(&["--interval=0"]);
        assert!(
            text.contains("'0'") && text.contains("--interval") && !text.contains('\n'),
            "{text}"
        );
        let text = complaint(&["--intervall=1"]);
        assert!(text.contains("--intervall") && text.contains("'--interval'"), "{text}");
        assert!(!text.contains("Usage"), "{text}");
    }
}
