//! The program `sctp-lint`.

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use super::{Capture, Options, Report, report, rules};

/// Judges the SCTP in captures by rules that dissectors do not check, and prints a line for each
/// fault.
///
/// Several files count as captures of several links at the same time. The exit status is 1 if there
/// are faults, 2 if something cannot be read, and 3 if there are no faults but not everything could
/// be judged.
#[derive(Debug, Parser)]
#[command(name = "sctp-lint")]
struct Arguments {
    /// pcapng or pcap files.
    #[arg(required_unless_present = "rules")]
    files: Vec<PathBuf>,
    /// The largest IP packet, bytes.
    #[arg(long, default_value_t = 1500)]
    mtu: usize,
    /// The files show every packet of the associations in them.
    #[arg(long)]
    complete: bool,
    /// Packets were captured in the order in which they were sent.
    #[arg(long)]
    in_order: bool,
    /// No packets were lost or delayed on purpose.
    #[arg(long)]
    undisturbed: bool,
    /// An address of the hosts where the files were captured; may be repeated.
    #[arg(long, value_name = "ADDR")]
    near: Vec<IpAddr>,
    /// Print the rules instead, as a table.
    #[arg(long)]
    rules: bool,
}

/// Runs the program.
pub fn run() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.rules {
        print!("{}", table());
        return ExitCode::SUCCESS;
    }
    let mut captures = Vec::new();
    for file in &arguments.files {
        match Capture::read(file) {
            Ok(capture) => {
                captures
                    .push(Capture { near: arguments.near.iter().copied().collect(), ..capture });
            }
            Err(error) => {
                eprintln!("{error}");
                return ExitCode::from(2);
            }
        }
    }
    let options = Options {
        mtu: arguments.mtu,
        complete: arguments.complete,
        reordered: !arguments.in_order,
        disturbed: !arguments.undisturbed,
        ..Options::default()
    };
    let report = report(&captures, &options);
    report.findings.iter().for_each(|finding| println!("{finding}"));
    eprintln!("{report}");
    status(&report)
}

fn status(report: &Report) -> ExitCode {
    match (report.findings.is_empty(), report.unjudged.is_empty()) {
        (true, true) => ExitCode::SUCCESS,
        (true, false) => ExitCode::from(3),
        (false, _) => ExitCode::FAILURE,
    }
}

/// The rules and the exceptions, as two tables in Markdown.
pub fn table() -> String {
    let mut table =
        "| rule | says | from | not judged when |\n| --- | --- | --- | --- |\n".to_owned();
    for rule in rules::ALL {
        let unless: Vec<&str> = rule.unless.iter().map(|unless| unless.name()).collect();
        table += &format!(
            "| `{}` | {} | {} | {} |\n",
            rule.name,
            rule.says,
            rule.section,
            unless.join(", ")
        );
    }
    table += "\n| not judged when | why |\n| --- | --- |\n";
    for unless in rules::Unless::ALL {
        table += &format!("| {} | {} |\n", unless.name(), unless.reason());
    }
    table
}
