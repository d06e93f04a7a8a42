//! The bench itself: it notices what it should, and leaves nothing.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;

use netns_tests::echo::SERVER;
use netns_tests::foreign::Implementation;
use netns_tests::net::Net;
use netns_tests::topology::Pair;
use workspace_tests::gate::{self, Need};
use workspace_tests::lint::rules;

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

/// Its checksum is right, and no dissector has anything against it; but nobody has that tag.
#[test]
fn a_packet_that_breaks_a_rule_fails_the_test() {
    let Some(pair) = Pair::open(PROGRAMS) else { return };
    if !gate::all_or_skip(&[Need::Program("bash")]) {
        return;
    }
    let judged = |prepare: &dyn Fn(&Pair)| {
        let net = Net::named(PROGRAMS, &format!("{}-again", pair.net.name()));
        let (left, right) = (net.host("left"), net.host("right"));
        let cable = net.link(&left, "10.99.0.1/24", &right, "10.99.0.2/24");
        let pair = Pair { left, right, cable, net };
        let dir = pair.net.dir().to_owned();
        prepare(&pair);
        let mut server = pair.net.start(&pair.right, &[SERVER, "udp", "7"]);
        server.ready();
        let stray = r"\x13\x88\x23\x29\xaa\xbb\xcc\xdd\xb1\x15\x95\x81\x00\x03\x00\x15\xff\xff\xff\xfe\x00\x01\x00\x00\x00\x00\x00\x00hello\x00\x00\x00";
        let send = format!("printf '{stray}' > /dev/udp/{}/9899", pair.v4(&pair.right));
        pair.left.namespace().run("bash", &["-c", &send], "");
        let judged = catch_unwind(AssertUnwindSafe(|| drop((server, pair))));
        let kept = dir.exists();
        if kept {
            std::fs::remove_dir_all(dir).expect("it can be removed");
        }
        assert_eq!(judged.is_err(), kept);
        judged.err().map(|said| said.downcast_ref::<String>().expect("a sentence").clone())
    };
    let said = judged(&|_| ()).expect("a fault");
    assert!(said.contains("lint: receiver-tag") && said.contains("0xaabbccdd"), "{said}");
    // Others may not but for what is listed, and tests may that say so.
    let foreign = |pair: &Pair| pair.left.foreign_at(pair.cable.addrs(&pair.left), Implementation::SctpProto);
    let said = judged(&foreign).expect("a fault");
    assert!(said.contains("lint: receiver-tag"), "{said}");
    assert_eq!(judged(&|pair| pair.net.allow(&rules::RECEIVER_TAG)), None);
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
