//! `rspserver`, see [`rsp_tools::programs::rspserver`].

fn main() -> std::process::ExitCode {
    rsp_tools::cli::main(rsp_tools::programs::rspserver::run)
}
