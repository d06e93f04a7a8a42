//! `rspserver`, see [`rsp_tools::programs::rspserver`].

fn main() -> std::process::ExitCode {
    rsp_tools::programs::rspserver::run(std::env::args_os())
}
