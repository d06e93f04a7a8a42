//! `sctp-agent`, see [`workspace_tests::agent`].

fn main() -> std::process::ExitCode {
    workspace_tests::agent::run()
}
