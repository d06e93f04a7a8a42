//! All programs in one binary, so that tests find them by `CARGO_BIN_EXE_netns-programs`: the first argument names the program.

use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().collect();
    if args.get(1).is_some_and(|name| name == "sctp-agent") {
        return workspace_tests::agent::run();
    }
    netns_tests::echo::run(&args).unwrap_or_else(|| rsp_tools::programs::multi_call(args))
}
