//! `hsdump`, see [`rsp_tools::programs::hsdump`].

fn main() -> std::process::ExitCode {
    rsp_tools::cli::main(rsp_tools::programs::hsdump::run)
}
