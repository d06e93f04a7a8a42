//! The programs. The `run` of each module is the `main` of a program: it takes the arguments, with
//! the name of the executable first, and returns the exit status.

use std::ffi::OsString;
use std::process::ExitCode;

use crate::cli::complain;

pub mod hsdump;
pub mod pingpongclient;
pub mod rspdemo;
pub mod rspload;
pub mod rspregistrar;
pub mod rspserver;
pub mod rspterminal;
pub mod sctp_perf;

mod asap;
mod endpoints;
mod limited_link;
mod stack;

/// A first argument that makes an executable run another program:
/// `EXECUTABLE CHILD_ARGUMENT PROGRAM ARGUMENT...`. Nobody types it by accident.
pub const CHILD_ARGUMENT: &str = "--run-as-program";

/// Runs the program that the first argument after the name of the executable names. This is the
/// whole `main` of a multi-call binary.
pub fn multi_call(args: Vec<OsString>) -> ExitCode {
    let mut args = args.into_iter();
    let executable = args.next().unwrap_or_default();
    let mut first = args.next();
    if first.as_ref().is_some_and(|word| word == CHILD_ARGUMENT) {
        first = args.next();
    }
    let Some(name) = first else {
        complain(&format!("the first argument must name a program: {}", NAMES.join(", ")));
        return ExitCode::from(2);
    };
    let args = std::iter::once(executable).chain(args).collect();
    match name.to_str() {
        Some(hsdump::NAME) => hsdump::run(args),
        Some(pingpongclient::NAME) => pingpongclient::run(args),
        Some(rspdemo::NAME) => rspdemo::run(args),
        Some(rspload::NAME) => rspload::run(args),
        Some(rspregistrar::NAME) => rspregistrar::run(args),
        Some(rspserver::NAME) => rspserver::run(args),
        Some(rspterminal::NAME) => rspterminal::run(args),
        Some(sctp_perf::NAME) => sctp_perf::run(args),
        _ => {
            let (name, names) = (name.display(), NAMES.join(", "));
            complain(&format!("there is no program '{name}', there are {names}"));
            ExitCode::from(2)
        }
    }
}

/// The names that [`multi_call`] knows.
pub const NAMES: [&str; 8] = [
    hsdump::NAME,
    pingpongclient::NAME,
    rspdemo::NAME,
    rspload::NAME,
    rspregistrar::NAME,
    rspserver::NAME,
    rspterminal::NAME,
    sctp_perf::NAME,
];

#[cfg(test)]
mod tests {
    use super::*;

    /// `cargo install` installs the programs, and nothing that is for tests.
    #[test]
    fn the_package_has_the_binaries_of_the_programs_only() {
        let manifest = include_str!("../../Cargo.toml");
        let mut installed: Vec<&str> = manifest
            .split("[[bin]]")
            .skip(1)
            .filter_map(|target| target.split('"').nth(1))
            .collect();
        installed.sort_unstable();
        assert_eq!(installed, NAMES);
    }
}
