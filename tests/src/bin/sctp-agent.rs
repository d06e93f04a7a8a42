//! `sctp-agent`, see [`workspace_tests::agent`].

fn main() -> std::process::ExitCode {
    rsp_tools::cli::main(|_| workspace_tests::agent::run())
}
