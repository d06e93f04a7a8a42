//! `rspdemo`, see [`rsp_tools::programs::rspdemo`].

fn main() -> std::process::ExitCode {
    rsp_tools::cli::main(rsp_tools::programs::rspdemo::run)
}
