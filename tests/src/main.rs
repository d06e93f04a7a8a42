//! All programs in one binary, which tests find by `CARGO_BIN_EXE_programs`. The first argument
//! names the program.

use std::process::ExitCode;

fn main() -> ExitCode {
    rsp_tools::cli::main(|args| {
        workspace_tests::crowd::run(&args).unwrap_or_else(|| rsp_tools::programs::multi_call(args))
    })
}
