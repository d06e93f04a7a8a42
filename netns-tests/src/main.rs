//! All programs in one binary, which tests find by `CARGO_BIN_EXE_netns-programs`. The first
//! argument names the program.

use std::ffi::OsString;
use std::process::ExitCode;

fn main() -> ExitCode {
    rsp_tools::cli::main(program)
}

fn program(args: Vec<OsString>) -> ExitCode {
    let rest = || args[1..].to_vec();
    match args.get(1).and_then(|name| name.to_str()) {
        Some("sctp-agent") => workspace_tests::agent::run(),
        Some(netns_tests::soak::NAME) => netns_tests::soak::run(rest()),
        Some(netns_tests::traffic::NAME) => netns_tests::traffic::run(rest()),
        Some(netns_tests::vm::shell::NAME) => netns_tests::vm::shell::run(rest()),
        Some(netns_tests::interop::ours::NAME) => netns_tests::interop::ours::run(rest()),
        Some(netns_tests::interop::proto::NAME) => netns_tests::interop::proto::run(rest()),
        #[cfg(target_os = "linux")]
        Some(netns_tests::wire::NAME) => netns_tests::wire::run(rest()),
        _ => netns_tests::echo::run(&args).unwrap_or_else(|| rsp_tools::programs::multi_call(args)),
    }
}
