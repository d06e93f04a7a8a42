//! The demo's traffic in the eyes of an independent dissector and of the lint.

use std::process::Command;
use std::time::Duration;

use rsp_tools::cli::ReadyLine;
use workspace_tests::gate::{self, Need};
use workspace_tests::lint;
use workspace_tests::process::{PATIENCE, Program};
use workspace_tests::tshark;

#[test]
fn tshark_finds_no_fault_with_the_demo() {
    if !gate::all_or_skip(&[
        Need::Linux,
        Need::Root,
        Need::Program("tshark"),
        Need::Program("dumpcap"),
    ]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("demo.pcapng");
    let mut capture = Command::new(gate::find("dumpcap").unwrap());
    capture.args(["-i", "lo", "-f", "udp or icmp", "-B", "64", "-w"]).arg(&file);
    let mut capture = Program::start("dumpcap", &mut capture);
    capture.wait_for_complaint("that it captures", |line| line.contains("File:").then_some(()));

    let mut demo = Program::start(
        "rspdemo",
        Command::new(env!("CARGO_BIN_EXE_programs")).args(["rspdemo", "--plain"]),
    );
    let ready = demo.wait_for("the ready line", ReadyLine::parse);
    let ended = demo.ended(Duration::from_secs(25));
    assert!(ended.status.success(), "{}", ended.text());
    capture.signal("INT");
    capture.ended(PATIENCE);

    let ports: Vec<u16> =
        ready.get("udp").unwrap().split(',').map(|port| port.parse().unwrap()).collect();
    assert_eq!(ports.len(), 5, "the ports of all five processes");
    let capture = Capture { file, ports };

    let all = capture.count("sctp");
    assert!(all > 500, "only {all} SCTP packets were captured");
    assert_eq!(capture.faults(), Vec::<String>::new());
    let report = capture.lint();
    println!("the lint saw {report}");
    assert!(report.associations >= 5 && report.packets > 500, "{report}");
    assert!(report.findings.is_empty(), "{report}: {:#?}", report.findings);
    // Registration, its answer, handle resolution, its answer, unreachable report, cookie, cookie
    // echo.
    for kind in [1, 3, 5, 6, 9, 11, 12] {
        let filter = format!("asap.message_type == {kind}");
        assert!(capture.count(&filter) > 0, "no packet with {filter}");
    }
    for kind in [1, 2] {
        let filter = format!("pingpongprotocol.message_type == {kind}");
        assert!(capture.count(&filter) > 100, "hardly a packet with {filter}");
    }
    // Pong and cookie share a packet.
    assert!(capture.count("pingpongprotocol.message_type == 2 && asap.message_type == 11") > 100);
}

struct Capture {
    file: std::path::PathBuf,
    ports: Vec<u16>,
}

impl Capture {
    fn count(&self, filter: &str) -> usize {
        self.list(filter).len()
    }

    /// One line for each packet of the demo that `filter` shows.
    fn list(&self, filter: &str) -> Vec<String> {
        let of_demo: Vec<String> =
            self.ports.iter().map(|port| format!("udp.port == {port}")).collect();
        let filter = format!("({filter}) && ({})", of_demo.join(" || "));
        self.with_ports(|ports| tshark::list(&self.file, ports, &filter))
    }

    fn faults(&self) -> Vec<String> {
        self.with_ports(|ports| tshark::faults(&self.file, ports))
    }

    /// What the lint says. Loopback delivers at once and in order, so every packet was captured at
    /// its sender as well.
    fn lint(&self) -> lint::Report {
        let mut read = lint::Capture::read(&self.file).unwrap();
        read.keep_udp(&self.ports);
        read.near = ["127.0.0.1", "::1"].map(|addr| addr.parse().unwrap()).into();
        let all = lint::Options {
            complete: true,
            reordered: false,
            disturbed: false,
            ..Default::default()
        };
        lint::report(&[read], &all)
    }

    fn with_ports<T>(&self, f: impl FnOnce(&[&str]) -> T) -> T {
        let ports: Vec<String> = self.ports.iter().map(u16::to_string).collect();
        f(&ports.iter().map(String::as_str).collect::<Vec<_>>())
    }
}
