//! `sctp-perf`: measures bulk transfer between two processes, in one direction or both, and round
//! trips, and compares this stack with others.
//!
//! The client orders a test over the association that is measured. The sender sends for the ordered
//! time. The throughput is what the receiver gets from the first message to the last.

mod alone;
#[cfg(unix)]
mod blocking;
mod client;
mod compare;
mod count;
mod latency;
mod options;
mod output;
mod protocol;
mod scale;
mod server;
mod transfer;
mod usage;

use std::ffi::OsString;
use std::process::ExitCode;

use super::CHILD_ARGUMENT;
use crate::cli;
use alone::AloneOptions;
use compare::CompareOptions;
#[cfg(unix)]
use options::Api;
use options::{ClientOptions, ServerOptions};
use scale::ScaleOptions;

/// Name of the program.
pub const NAME: &str = "sctp-perf";

/// The program.
pub fn run(args: Vec<OsString>) -> ExitCode {
    let mut args = args.into_iter();
    let executable = args.next().unwrap_or_default();
    let mut role = args.next();
    // As `compare` starts it, whatever the executable is called.
    if role.as_ref().is_some_and(|word| word == CHILD_ARGUMENT) {
        args.next();
        role = args.next();
    }
    let args: Vec<OsString> = std::iter::once(executable).chain(args).collect();
    match role.as_ref().and_then(|role| role.to_str()) {
        Some("server") => match cli::parse::<ServerOptions>(SERVER, &[], args) {
            #[cfg(unix)]
            Ok(options) if options.common.api == Api::Blocking => {
                plain(SERVER, || blocking::server(options))
            }
            Ok(options) => execute(SERVER, options.common.threads, server::run(options)),
            Err(status) => status,
        },
        Some("client") => match cli::parse::<ClientOptions>(CLIENT, &[], args) {
            #[cfg(unix)]
            Ok(options) if options.common.api == Api::Blocking => {
                plain(CLIENT, || blocking::client(options))
            }
            Ok(options) => execute(CLIENT, options.common.threads, client::run(options)),
            Err(status) => status,
        },
        Some("scale") => match cli::parse::<ScaleOptions>(SCALE, &[], args) {
            Ok(options) => execute(SCALE, options.common.threads, scale::run(options)),
            Err(status) => status,
        },
        Some("compare") => match cli::parse::<CompareOptions>(COMPARE, &[], args) {
            Ok(options) => cli::run_async(COMPARE, compare::run(options)),
            Err(status) => status,
        },
        Some("alone") => match cli::parse::<AloneOptions>(ALONE, &[], args) {
            Ok(options) => alone::run(&options),
            Err(status) => status,
        },
        Some("--help" | "-h" | "-help" | "help") => {
            println!("{HELP}");
            ExitCode::SUCCESS
        }
        Some("--version" | "-V" | "-version") => {
            println!("{NAME} {}", cli::VERSION);
            ExitCode::SUCCESS
        }
        _ => {
            cli::complain(&format!(
                "{NAME}: the first argument must be 'server' or 'client', 'scale', 'compare' or \
                 'alone'; {NAME} --help tells more"
            ));
            ExitCode::from(2)
        }
    }
}

/// Runs one role on a runtime with this number of threads.
fn execute<F>(name: &'static str, threads: usize, program: F) -> ExitCode
where
    F: Future<Output = anyhow::Result<ExitCode>> + Send + 'static,
{
    keep_freed_memory();
    // The program is a task of its own: in the future of `block_on`, each wake-up of the runtime
    // costs one more system call.
    let program = async { tokio::spawn(program).await? };
    if threads <= 1 {
        return cli::run_async(name, program);
    }
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(program),
        Err(error) => Err(anyhow::Error::new(error).context("the runtime cannot be started")),
    };
    result.unwrap_or_else(|error| {
        cli::complain(&format!("{name}: {error:#}"));
        ExitCode::FAILURE
    })
}

/// Runs one role without a runtime.
#[cfg(unix)]
fn plain(name: &'static str, program: impl FnOnce() -> anyhow::Result<ExitCode>) -> ExitCode {
    keep_freed_memory();
    program().unwrap_or_else(|error| {
        cli::complain(&format!("{name}: {error:#}"));
        ExitCode::FAILURE
    })
}

/// Makes glibc keep memory for the next messages. By default it returns the memory to the system
/// after each message, which costs a receiver a third of its time. When a large block is freed, it
/// raises the limit for that (mallopt(3), M_MMAP_THRESHOLD: at most 32 MiB). With another libc this
/// has no effect, because the memory is never touched.
fn keep_freed_memory() {
    drop(std::hint::black_box(Vec::<u8>::with_capacity((32 << 20) - 8192)));
}

const SERVER: &str = "sctp-perf server";
const CLIENT: &str = "sctp-perf client";

const SCALE: &str = "sctp-perf scale";
const COMPARE: &str = "sctp-perf compare";
const ALONE: &str = "sctp-perf alone";

const HELP: &str = "\
Measures SCTP throughput between two processes

Usage: sctp-perf server [OPTIONS]
       sctp-perf client ADDR[:PORT][/udp:N] [OPTIONS]
       sctp-perf scale ADDR[:PORT][/udp:N] [OPTIONS]
       sctp-perf compare [OPTIONS]
       sctp-perf alone bulk|setup|idle [OPTIONS]

The server prints a ready line with its ports, and what the client takes as
ADDR; the client prints the result.
'scale' opens many associations to a server, 'compare' measures this stack beside
others, 'alone' the protocol core without sockets. 'sctp-perf server --help' and
so on list the options.";
