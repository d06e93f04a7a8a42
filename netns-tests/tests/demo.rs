//! The demo's traffic, judged by an independent dissector and by the lint.

use std::path::PathBuf;
use std::time::Duration;

use netns_tests::net::Net;
use rsp_tools::cli::ReadyLine;
use workspace_tests::gate;
use workspace_tests::lint;
use workspace_tests::process::{PATIENCE, Program};
use workspace_tests::tshark;

#[test]
#[ignore = "needs namespaces: cargo test -p netns-tests -- --ignored"]
fn tshark_finds_no_fault_with_the_demo() {
    let Some(net) = Net::open(env!("CARGO_BIN_EXE_netns-programs")) else { return };
    // The demo runs in a namespace of its own, because the machine's loopback interface has other
    // traffic, too.
    let host = net.host("host");
    let file = net.dir().join("demo.pcapng");
    let dumpcap = gate::find("dumpcap").expect("the bench needs it as well");
    let mut capture = host.namespace().command(&dumpcap.to_string_lossy());
    capture.args(["-i", "lo", "-f", "udp or icmp", "-B", "64", "-w"]).arg(&file);
    let mut capture = Program::start("dumpcap", &mut capture);
    capture.wait_for_complaint("that it captures", |line| line.contains("File:").then_some(()));

    let mut demo = net.start(&host, &["rspdemo", "--plain", "--patience=20"]);
    let ready = demo.wait_for("the ready line", ReadyLine::parse);
    demo.finished(Duration::from_secs(300));
    capture.signal("INT");
    capture.ended(PATIENCE);

    let ports: Vec<u16> =
        ready.get("udp").unwrap().split(',').map(|port| port.parse().unwrap()).collect();
    assert_eq!(ports.len(), 6, "the ports of all processes at the start");
    let capture = Capture { file, ports };

    let all = capture.count("sctp");
    assert!(all > 500, "only {all} SCTP packets were captured");
    assert_eq!(capture.faults(), Vec::<String>::new());
    let report = capture.lint();
    println!("the lint saw {report}");
    assert!(report.associations >= 5 && report.packets > 500, "{report}");
    assert!(report.findings.is_empty(), "{report}: {:#?}", report.findings);
    // Registration and its answer, handle resolution and its answer, unreachable report, cookie,
    // cookie echo.
    for kind in [1, 3, 5, 6, 9, 11, 12] {
        let filter = format!("asap.message_type == {kind}");
        assert!(capture.count(&filter) > 0, "no packet with {filter}");
    }
    for kind in [1, 2] {
        let filter = format!("pingpongprotocol.message_type == {kind}");
        assert!(capture.count(&filter) > 100, "hardly a packet with {filter}");
    }
    // A Pong and a cookie share a packet.
    assert!(capture.count("pingpongprotocol.message_type == 2 && asap.message_type == 11") > 100);
}

struct Capture {
    file: PathBuf,
    ports: Vec<u16>,
}

impl Capture {
    /// How many packets match `filter`.
    fn count(&self, filter: &str) -> usize {
        self.with_ports(|ports| tshark::list(&self.file, ports, filter)).len()
    }

    fn faults(&self) -> Vec<String> {
        self.with_ports(|ports| tshark::faults(&self.file, ports))
    }

    /// What the lint says. Loopback delivers at once and in order, so every packet counts as
    /// captured at its sender.
    fn lint(&self) -> lint::Report {
        let mut read = lint::Capture::read(&self.file).unwrap();
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
