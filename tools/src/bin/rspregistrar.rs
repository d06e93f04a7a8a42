//! `rspregistrar`, see [`rsp_tools::programs::rspregistrar`].

fn main() -> std::process::ExitCode {
    rsp_tools::programs::rspregistrar::run(std::env::args_os())
}
