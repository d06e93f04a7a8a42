//! The lint for captured SCTP as a program of its own; `docs/testing.md` describes it.

use std::process::ExitCode;

fn main() -> ExitCode {
    workspace_tests::lint::run()
}
