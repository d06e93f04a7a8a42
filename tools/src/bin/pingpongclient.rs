//! `pingpongclient`, see [`rsp_tools::programs::pingpongclient`].

fn main() -> std::process::ExitCode {
    rsp_tools::programs::pingpongclient::run(std::env::args_os())
}
