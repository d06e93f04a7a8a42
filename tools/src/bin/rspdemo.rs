//! `rspdemo`, see [`rsp_tools::programs::rspdemo`].

fn main() -> std::process::ExitCode {
    rsp_tools::programs::rspdemo::run(std::env::args_os())
}
