//! The bench itself: it notices what it should, and leaves nothing.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;

use netns_tests::echo::SERVER;
use netns_tests::net::Net;
use netns_tests::topology::Pair;
use workspace_tests::gate::{self, Need};

#[test]
fn a_broken_packet_on_a_link_fails_the_test_and_is_kept() {
    let Some(pair) = Pair::open(PROGRAMS) else { return };
    if !gate::all_or_skip(&[Need::Program("bash")]) {
        return;
    }
    let dir = pair.net.dir().to_owned();
    let mut server = pair.net.start(&pair.right, &[SERVER, "udp", "7"]);
    server.ready();
    // No SCTP packet has such a checksum.
    let send = format!("echo 'no checksum here, only text' > /dev/udp/{}/9899", pair.v4(&pair.right));
    pair.left.namespace().run("bash", &["-c", &send], "");
    let judged = catch_unwind(AssertUnwindSafe(|| drop((server, pair))));
    let said = judged.unwrap_err();
    let said = said.downcast_ref::<String>().expect("a sentence");
    assert!(said.contains("CRC32c") || said.contains("malformed"), "{said}");
    let kept = std::fs::read_dir(&dir).expect("the directory is kept").count();
    assert!(kept > 0);
    std::fs::remove_dir_all(dir).expect("it can be removed");
}

#[test]
fn a_panic_leaves_logs_and_captures_and_neither_namespaces_nor_programs() {
    let Some(net) = Net::open(PROGRAMS) else { return };
    let dir = net.dir().to_owned();
    let mut seen = None;
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let (host, other) = (net.host("host"), net.host("other"));
        net.link(&host, "10.3.0.1/24", &other, "10.3.0.2/24");
        let mut server = net.start(&host, &[SERVER, "udp", "7"]);
        server.ready();
        seen = Some((host.namespace().name().to_owned(), server.id()));
        let _net = net;
        panic!("on purpose");
    }));
    assert!(panicked.is_err());
    let (namespace, pid) = seen.expect("it came so far");
    let listed = Command::new("ip").args(["netns", "list"]).output().expect("a list of namespaces");
    assert!(!String::from_utf8_lossy(&listed.stdout).contains(&namespace));
    assert!(!std::path::Path::new("/proc").join(pid.to_string()).exists());
    let kept: Vec<String> = std::fs::read_dir(&dir)
        .expect("the directory is kept")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    for end in [".pcapng", ".log"] {
        assert!(kept.iter().any(|name| name.ends_with(end)), "{kept:?}");
    }
    std::fs::remove_dir_all(dir).expect("it can be removed");
}

const PROGRAMS: &str = env!("CARGO_BIN_EXE_netns-programs");
