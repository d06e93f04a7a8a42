//! `rspterminal`, see [`rsp_tools::programs::rspterminal`].

fn main() -> std::process::ExitCode {
    rsp_tools::cli::main(rsp_tools::programs::rspterminal::run)
}
