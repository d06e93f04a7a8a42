//! `pingpongclient`, see [`rsp_tools::programs::pingpongclient`].

fn main() -> std::process::ExitCode {
    rsp_tools::cli::main(rsp_tools::programs::pingpongclient::run)
}
