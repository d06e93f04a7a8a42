//! `rspregistrar`, see [`rsp_tools::programs::rspregistrar`].

fn main() -> std::process::ExitCode {
    rsp_tools::cli::main(rsp_tools::programs::rspregistrar::run)
}
