//! All programs in one binary, so that tests find them by `CARGO_BIN_EXE_programs`: the first
//! argument names the program.

use std::process::ExitCode;

fn main() -> ExitCode {
    rsp_tools::programs::multi_call(std::env::args_os())
}
