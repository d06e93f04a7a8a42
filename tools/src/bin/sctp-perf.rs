//! `sctp-perf`, see [`rsp_tools::programs::sctp_perf`].

fn main() -> std::process::ExitCode {
    rsp_tools::programs::sctp_perf::run(std::env::args_os())
}
