//! `rspload`, see [`rsp_tools::programs::rspload`].

fn main() -> std::process::ExitCode {
    rsp_tools::cli::main(rsp_tools::programs::rspload::run)
}
