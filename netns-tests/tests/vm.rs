//! The peer VM does what the tests with peers rely on.

use std::time::{Duration, Instant};

use netns_tests::sections::Sections;
use netns_tests::vm::HostAndVm;
use netns_tests::vm::health::Health as _;
use workspace_tests::process::PATIENCE;

#[test]
#[ignore = "needs namespaces: cargo test -p netns-tests -- --ignored"]
fn the_machine_obeys() {
    let Some(place) = HostAndVm::open(PROGRAMS) else { return };
    let vm = &place.vm;
    let mut sections = Sections::new();

    sections.run("scripts", || {
        assert_eq!(vm.run("echo out; echo err >&2"), "out\nerr");
        assert_eq!(vm.run("printf 'no newline'"), "no newline");
        assert_eq!(vm.status("echo why; exit 3", Duration::from_secs(20)), (3, "why".to_owned()));
        assert!(vm.run("cat /proc/net/protocols").contains("SCTP"), "the kernel's SCTP is loaded");
    });

    sections.run("a program with input and signals, which is killed when it is dropped", || {
        let mut cat = vm.start(
            "cat",
            "trap 'echo interrupted' INT\necho ready\n\
             while read -r line; do echo \"got $line\"; done; echo end",
        );
        cat.wait_for("its first line", |line| (line == "ready").then_some(()));
        cat.type_line("one  two\\");
        cat.wait_for("its input", |line| (line == "got one  two\\").then_some(()));
        cat.signal("INT");
        cat.wait_for("the signal", |line| (line == "interrupted").then_some(()));
        cat.close_stdin();
        assert_eq!(cat.finished(Duration::from_secs(20)).last().map(String::as_str), Some("end"));

        let alive = || vm.status("pgrep -f 'sleep 1234' >&2", Duration::from_secs(20)).0 == 0;
        let mut killed = vm.start("sleep", "sleep 1234 & sleep 1234 & echo here; wait");
        killed.wait_for("that it runs", |line| (line == "here").then_some(()));
        assert!(alive());
        killed.kill();
        assert!(!alive(), "a killed script and what it started are dead");

        let mut dropped = vm.start("sleep", "echo here; exec sleep 1234");
        dropped.wait_for("that it runs", |line| (line == "here").then_some(()));
        assert!(alive());
        drop(dropped);
        vm.run("while pgrep -f 'sleep 1234'; do sleep 0.05; done");
    });

    sections.run("both networks with both IP versions, and their cables", || {
        place.net.ready();
        let ping = |from: &str, to: &str| {
            let family = if to.contains(':') { "-6" } else { "-4" };
            vm.status(
                &format!("ping {family} -c 1 -W 1 -I {from} {to} >&2"),
                Duration::from_secs(20),
            )
            .0 == 0
        };
        for (from, to) in
            [("eth0", "10.1.0.1"), ("eth1", "10.2.0.1"), ("eth0", "fd01::1"), ("eth1", "fd02::1")]
        {
            assert!(ping(from, to), "{to} is not reached from {from}");
        }
        vm.cable(0, false);
        vm.run("while [ \"$(cat /sys/class/net/eth0/carrier)\" = 1 ]; do sleep 0.05; done");
        assert!(!ping("eth0", "10.1.0.1"));
        assert!(ping("eth1", "10.2.0.1"));
        vm.cable(0, true);
        vm.run("until [ \"$(cat /sys/class/net/eth0/carrier)\" = 1 ]; do sleep 0.05; done");
        assert!(ping("eth0", "10.1.0.1"));
        place.cables[0].silence();
        assert!(!ping("eth0", "10.1.0.1"), "the link loses what comes from the machine");
        place.cables[0].heal();
        assert!(ping("eth0", "10.1.0.1"));
    });

    sections.run("files and addresses, which are there again after a reboot", || {
        let file = place.net.dir().join("bytes");
        let bytes: Vec<u8> = (0..300_000u32).map(|n| (n % 251) as u8).collect();
        std::fs::write(&file, &bytes).expect("a file");
        vm.push(&file, "/opt/bytes");
        vm.setup("sysctl -qw net.sctp.rto_min=321");
        let sum = vm.run("sha256sum /opt/bytes; stat -c %a /opt/bytes");
        let own = place.host.namespace().run("sha256sum", &[&file.to_string_lossy()], "");
        assert_eq!(sum.split_whitespace().next(), own.split_whitespace().next());
        assert!(sum.ends_with("755"));
        let mut program = vm.start("sleep", "echo here; exec sleep 1234");
        program.wait_for("that it runs", |line| (line == "here").then_some(()));
        vm.run("touch /tmp/before");
        vm.cable(0, false);

        vm.reboot();
        assert!(!program.ended(Duration::from_secs(20)).status.success(), "it is gone");
        assert_eq!(vm.run("cat /sys/class/net/eth0/carrier /sys/class/net/eth1/carrier"), "0\n1");
        vm.cable(0, true);
        assert_eq!(
            vm.run("ls /tmp/before 2>/dev/null; sha256sum /opt/bytes; stat -c %a /opt/bytes"),
            sum
        );
        assert_eq!(vm.run("sysctl -n net.sctp.rto_min"), "321");
        assert!(vm.run("ip address show eth1").contains("10.2.0.2/24"));
    });

    sections.run("RSPLIB's programs are there", || {
        for program in
            ["rspregistrar", "rspserver", "rspterminal", "pingpongclient", "hsdump", "sctp_test"]
        {
            vm.run(&format!("command -v {program}"));
        }
    });
    sections.run("a machine that has failed is noticed, and works again after a reboot", || {
        assert_eq!(place.trouble(), None);
        vm.run("ip link set eth1 down");
        let trouble = place.trouble();
        assert_eq!(trouble.as_deref(), Some("the peer machine has lost its network card 1"));
        // This script kills the program that takes scripts, and itself with it.
        vm.status("kill -KILL $(pgrep -x nc)", Duration::from_secs(20));
        assert_eq!(place.trouble().as_deref(), Some("the peer machine does not answer"));
        place.revive();
        assert_eq!(place.trouble(), None);
        assert_eq!(place.complaint(), None);
        // This is how its kernel would say it.
        let words = "NETDEV WATCHDOG: eth0 (virtio_net): transmit queue 0 timed out";
        vm.run(&format!("echo '<4>{words}' >/dev/kmsg"));
        let begin = Instant::now();
        while place.complaint().is_none() {
            assert!(begin.elapsed() < PATIENCE, "nobody reads its console");
            std::thread::sleep(Duration::from_millis(20));
        }
        let complaint = place.complaint().expect("it does not vanish");
        assert!(complaint.starts_with("the peer machine is ill: ["), "{complaint}");
        assert!(complaint.ends_with(words), "{complaint}");
        assert_eq!(place.trouble(), Some(complaint));
    });
    println!("the VM took {:.1} s to boot Linux {}", vm.boot_time().as_secs_f64(), vm.kernel());
    sections.end();
}

const PROGRAMS: &str = env!("CARGO_BIN_EXE_netns-programs");
