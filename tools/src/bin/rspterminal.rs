//! `rspterminal`, see [`rsp_tools::programs::rspterminal`].

fn main() -> std::process::ExitCode {
    rsp_tools::programs::rspterminal::run(std::env::args_os())
}
