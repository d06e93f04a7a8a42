//! `sctp-perf`, see [`rsp_tools::programs::sctp_perf`].

fn main() -> std::process::ExitCode {
    rsp_tools::cli::main(rsp_tools::programs::sctp_perf::run)
}
