//! Tests of the bench itself: it notices faults, and leaves nothing behind.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::time::{Duration, Instant};

use netns_tests::echo::SERVER;
use netns_tests::foreign::Implementation;
use netns_tests::net::Net;
use netns_tests::topology::Pair;
use netns_tests::wire::Model;
use workspace_tests::gate::{self, Need};
use workspace_tests::lint::rules;
use workspace_tests::process::{PATIENCE, Program};

#[test]
#[ignore = "needs namespaces: cargo test -p netns-tests -- --ignored"]
fn a_broken_packet_on_a_link_fails_the_test_and_is_kept() {
    let Some(pair) = Pair::open(PROGRAMS) else { return };
    if !gate::all_or_skip(&[Need::Program("bash")]) {
        return;
    }
    let dir = pair.net.dir().to_owned();
    let mut server = pair.net.start(&pair.right, &[SERVER, "udp", "7"]);
    server.ready();
    // This packet has no valid checksum.
    let send =
        format!("echo 'no checksum here, only text' > /dev/udp/{}/9899", pair.v4(&pair.right));
    pair.left.namespace().run("bash", &["-c", &send], "");
    let judged = catch_unwind(AssertUnwindSafe(|| drop((server, pair))));
    let said = judged.unwrap_err();
    let said = said.downcast_ref::<String>().expect("a sentence");
    assert!(said.contains("CRC32c") || said.contains("malformed"), "{said}");
    let kept = std::fs::read_dir(&dir).expect("the directory is kept").count();
    assert!(kept > 0);
    std::fs::remove_dir_all(dir).expect("it can be removed");
}

/// The checksum of the packet is right, and no dissector finds a fault, but nobody has offered its
/// verification tag.
#[test]
#[ignore = "needs namespaces: cargo test -p netns-tests -- --ignored"]
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
        let stray = concat!(
            r"\x13\x88\x23\x29\xaa\xbb\xcc\xdd\xb1\x15\x95\x81\x00\x03\x00\x15",
            r"\xff\xff\xff\xfe\x00\x01\x00\x00\x00\x00\x00\x00hello\x00\x00\x00"
        );
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
    // Other implementations may break only the rules on their list. A test may break a rule if it
    // says so.
    let foreign =
        |pair: &Pair| pair.left.foreign_at(pair.cable.addrs(&pair.left), Implementation::SctpProto);
    let said = judged(&foreign).expect("a fault");
    assert!(said.contains("lint: receiver-tag"), "{said}");
    assert_eq!(judged(&|pair| pair.net.allow(&rules::RECEIVER_TAG)), None);
}

#[test]
#[ignore = "needs namespaces: cargo test -p netns-tests -- --ignored"]
fn a_panic_leaves_logs_and_captures_and_neither_namespaces_nor_programs() {
    let Some(net) = Net::open(PROGRAMS) else { return };
    let dir = net.dir().to_owned();
    let mut seen = None;
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let (host, other, third) = (net.host("host"), net.host("other"), net.host("third"));
        net.link(&host, "10.3.0.1/24", &other, "10.3.0.2/24");
        let _wire = net.wire(&host, "10.4.0.1/24", &third, "10.4.0.2/24", &Model::default());
        let mut server = net.start(&host, &[SERVER, "udp", "7"]);
        server.ready();
        let namespaces = [&host, &other, &third].map(|host| host.namespace().name().to_owned());
        let programs: Vec<String> = namespaces.iter().flat_map(|name| programs_in(name)).collect();
        assert!(programs.contains(&server.id().to_string()), "{programs:?}");
        assert!(programs.len() >= 3, "the server and two captures: {programs:?}");
        seen = Some((namespaces, programs));
        let _net = net;
        panic!("on purpose");
    }));
    assert!(panicked.is_err());
    let (namespaces, programs) = seen.expect("it came this far");
    let left: Vec<_> = namespaces.iter().filter(|name| is_listed(name)).collect();
    assert!(left.is_empty(), "{left:?}");
    let left: Vec<_> = programs.iter().filter(|pid| runs(pid)).collect();
    assert!(left.is_empty(), "{left:?}");
    let kept: Vec<String> = std::fs::read_dir(&dir)
        .expect("the directory is kept")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    for end in [".pcapng", ".log"] {
        assert!(kept.iter().any(|name| name.ends_with(end)), "{kept:?}");
    }
    std::fs::remove_dir_all(dir).expect("it can be removed");
}

/// Nothing is dropped when a test is killed, or when a thread forgets its programs.
#[test]
#[ignore = "needs namespaces: cargo test -p netns-tests -- --ignored"]
fn programs_end_with_the_thread_that_started_them() {
    let Some(net) = Net::open(PROGRAMS) else { return };
    let host = net.host("host");
    let mut command = host.namespace().command("sleep");
    let pid = std::thread::spawn(move || {
        let child = command.arg("1000").spawn().expect("sleep runs");
        let pid = child.id().to_string();
        let is_sleep = || {
            std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "sleep\n")
        };
        wait_until("sleep is started", is_sleep);
        std::mem::forget(child);
        pid
    });
    let pid = pid.join().expect("a process");
    wait_until("it has ended", || !runs(&pid));
}

/// The captures are gone, too: they are processes inside the namespaces and would keep them alive.
#[test]
#[ignore = "needs namespaces: cargo test -p netns-tests -- --ignored"]
fn a_killed_test_leaves_no_namespaces() {
    let Some(net) = Net::open(PROGRAMS) else { return };
    if std::env::var_os(VICTIM).is_some() {
        let (left, right) = (net.host("left"), net.host("right"));
        net.link(&left, "10.3.0.1/24", &right, "10.3.0.2/24");
        net.ready();
        println!("directory {}", net.dir().display());
        println!("namespaces {} {}", left.namespace().name(), right.namespace().name());
        std::thread::sleep(10 * PATIENCE);
        return;
    }
    let mut victim = Command::new(std::env::current_exe().expect("this program"));
    victim.args(["a_killed_test_leaves_no_namespaces", "--ignored", "--exact", "--nocapture"]);
    let mut victim = Program::start("a test", victim.env(VICTIM, "1"));
    let after = |word: &'static str| {
        move |line: &str| line.split_once(word).map(|(_, rest)| rest.trim().to_owned())
    };
    let dir = victim.wait_for("its directory", after("directory "));
    let names = victim.wait_for("its namespaces", after("namespaces "));
    let names: Vec<&str> = names.split(' ').collect();
    assert!(names.iter().all(|name| is_listed(name)), "{names:?}");
    victim.kill();
    wait_until("they are gone", || !names.iter().any(|name| is_listed(name)));
    std::fs::remove_dir_all(dir).expect("it can be removed");
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < PATIENCE, "{what}: that did not happen");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn programs_in(namespace: &str) -> Vec<String> {
    let listed = Command::new("ip")
        .args(["netns", "pids", namespace])
        .output()
        .expect("a list of processes");
    String::from_utf8_lossy(&listed.stdout).split_whitespace().map(str::to_owned).collect()
}

fn is_listed(namespace: &str) -> bool {
    let listed = Command::new("ip").args(["netns", "list"]).output().expect("a list of namespaces");
    String::from_utf8_lossy(&listed.stdout).split_whitespace().any(|word| word == namespace)
}

/// Whether a process runs. One that has ended but was not waited for (a zombie) does not.
fn runs(pid: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

/// Set in the environment of the test process that is to be killed.
const VICTIM: &str = "NETNS_TESTS_VICTIM";
const PROGRAMS: &str = env!("CARGO_BIN_EXE_netns-programs");
