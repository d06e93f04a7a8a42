//! The lint for captured SCTP as a program. `docs/testing.md` describes it.

use std::process::ExitCode;

fn main() -> ExitCode {
    rsp_tools::cli::main(|_| workspace_tests::lint::run())
}
