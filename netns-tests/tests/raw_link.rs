//! SCTP directly in IP, with real raw sockets on real network interfaces.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use netns_tests::echo::{CLIENT, SERVER};
use netns_tests::link::Link;
use netns_tests::net::{Host, Net, Running};
use netns_tests::topology::{INTERFACE, Pair};
use netns_tests::traffic::{self, Event};
use workspace_tests::gate::{self, Need};
use workspace_tests::process::Ended;

#[test]
#[ignore = "needs namespaces: cargo test -p netns-tests -- --ignored"]
fn ten_megabytes_and_back_over_ipv4_and_ipv6() {
    let Some(pair) = Pair::open(PROGRAMS) else { return };
    for (from, to) in [(&pair.left, &pair.right), (&pair.right, &pair.left)] {
        let _server = serve(&pair.net, to, "raw", 7);
        for addr in [pair.v4(to), pair.v6(to)] {
            let seen = echo(&pair.net, from, "raw", &list(addr, 7, "/native"), 10_000_000);
            assert_eq!((seen.get("native"), seen.get("bytes")), ("true", "10000000"));
        }
    }
}

#[test]
#[ignore = "needs namespaces: cargo test -p netns-tests -- --ignored"]
fn two_stacks_of_one_host_talk_to_each_other() {
    let Some(pair) = Pair::open(PROGRAMS) else { return };
    let host = &pair.left;
    let _server = serve(&pair.net, host, "raw", 7);
    for addr in ["127.0.0.1".parse().unwrap(), "::1".parse().unwrap(), pair.v4(host), pair.v6(host)]
    {
        echo(&pair.net, host, "raw", &list(addr, 7, "/native"), 500_000);
    }
}

/// Each of the four stacks receives all SCTP packets of its host, and ignores those of the others.
#[test]
#[ignore = "needs namespaces: cargo test -p netns-tests -- --ignored"]
fn stacks_on_one_host_do_not_disturb_each_other() {
    let Some(pair) = Pair::open(PROGRAMS) else { return };
    let (left, right) = (&pair.left, &pair.right);
    let _servers = [serve(&pair.net, right, "raw", 7), serve(&pair.net, right, "raw", 8)];
    // If a stack answered packets of the other's associations, these would end at once.
    let mut clients = [7, 8].map(|port| {
        let to = list(pair.v4(right), port, "/native");
        pair.net.start(left, &[CLIENT, "raw", &to, "3000000"])
    });
    for client in &mut clients {
        let seen = Seen::of(client.ended(PATIENCE));
        assert_eq!(seen.get("bytes"), "3000000");
    }
}

/// (Not for portable code: it uses lock files, which all namespaces share.)
#[cfg(not(portable))]
#[test]
#[ignore = "needs namespaces: cargo test -p netns-tests -- --ignored"]
fn a_port_belongs_to_one_process_of_a_network_namespace() {
    let Some(pair) = Pair::open(PROGRAMS) else { return };
    let (left, right) = (&pair.left, &pair.right);
    let mut first = serve(&pair.net, right, "raw", 7);
    let refused = pair.net.start(right, &[SERVER, "raw", "7"]).ended(PATIENCE);
    assert!(!refused.status.success());
    assert_eq!(
        refused.complaints(),
        ["SCTP port 7 is in use by another process, or by another stack in this process"]
    );
    // A stack in UDP has a socket of its own, and another host has ports of its own.
    let _udp = serve(&pair.net, right, "udp", 7);
    let _elsewhere = serve(&pair.net, left, "raw", 7);
    // However the process ends, its port is free again.
    first.kill();
    let _second = serve(&pair.net, right, "raw", 7);
    echo(&pair.net, left, "raw", &list(pair.v4(right), 7, "/native"), 1000);
}

#[test]
#[ignore = "needs namespaces: cargo test -p netns-tests -- --ignored"]
fn nobody_speaks_sctp_there() {
    let Some(pair) = Pair::open(PROGRAMS) else { return };
    if !no_kernel_sctp() {
        return;
    }
    for addr in [pair.v4(&pair.right), pair.v6(&pair.right)] {
        let to = list(addr, 7, "/native");
        let mut client = pair.net.start(&pair.left, &[CLIENT, "raw", &to, "1"]);
        let start = Instant::now();
        let ended = client.ended(PATIENCE);
        assert!(!ended.status.success());
        let complaint = ended.complaints().join(" ");
        assert!(complaint.contains("nothing speaks SCTP there"), "{complaint}");
        // Without ICMP, nine INITs would be sent in vain, which takes more than four minutes.
        assert!(start.elapsed() < Duration::from_secs(10), "{:?}: {complaint}", start.elapsed());
    }
}

#[test]
#[ignore = "needs namespaces: cargo test -p netns-tests -- --ignored"]
fn a_server_that_dies_is_noticed_by_icmp() {
    let Some(pair) = Pair::open(PROGRAMS) else { return };
    if !no_kernel_sctp() {
        return;
    }
    let mut server = serve(&pair.net, &pair.right, "raw", 7);
    let to = list(pair.v4(&pair.right), 7, "/native");
    let mut client = pair.net.start(&pair.left, &[CLIENT, "raw", &to, "4000000000"]);
    client.wait_for("that it is connected", |line| (line == "connected").then_some(()));
    server.kill();
    // Without ICMP, data would be sent eleven times in vain, which takes more than six minutes.
    let ended = client.ended(Duration::from_secs(30));
    assert!(!ended.status.success(), "{}", ended.text());
    let complaint = ended.complaints().join(" ");
    assert!(complaint.contains("nothing speaks SCTP there"), "{complaint}");
}

#[test]
#[ignore = "needs namespaces: cargo test -p netns-tests -- --ignored"]
fn without_privileges_a_sentence_says_what_is_missing() {
    let Some(pair) = Pair::open(PROGRAMS) else { return };
    if !gate::all_or_skip(&[Need::Program("setpriv")]) {
        return;
    }
    for args in [&[SERVER, "raw", "7"][..], &["sctp-perf", "server", "--link=raw"]] {
        let mut command = pair.left.namespace().command("setpriv");
        command.args(["--bounding-set=-net_raw", "--inh-caps=-net_raw", PROGRAMS]).args(args);
        let ended =
            pair.net.start_command(&pair.left, "unprivileged", &mut command).ended(PATIENCE);
        assert!(!ended.status.success());
        let complaint = ended.complaints().join(" ");
        for word in ["CAP_NET_RAW", "root", "UDP encapsulation"] {
            assert!(complaint.contains(word), "{complaint}");
        }
    }
}

#[test]
#[ignore = "needs namespaces: cargo test -p netns-tests -- --ignored"]
fn answers_come_from_the_address_that_was_asked() {
    let Some(pair) = Pair::open(PROGRAMS) else { return };
    let (left, right) = (&pair.left, &pair.right);
    for second in ["10.99.0.77/24", "fd99::77/64"] {
        right.namespace().ip(&["address", "add", second, "dev", INTERFACE, "nodad"]);
    }
    let server = serve(&pair.net, right, "raw", 7);
    for addr in ["10.99.0.77", "fd99::77"] {
        let seen =
            echo(&pair.net, left, "raw", &list(addr.parse().unwrap(), 7, "/native"), 100_000);
        assert_eq!(seen.get("remote"), addr);
    }
    // The same with sockets that are bound to single addresses.
    drop(server);
    let link = format!("raw:{},fd99::77", pair.v4(right));
    let _server = serve(&pair.net, right, &link, 7);
    for addr in [pair.v4(right), "fd99::77".parse().unwrap()] {
        echo(&pair.net, left, "raw", &list(addr, 7, "/native"), 100_000);
    }
}

/// The interface has a smaller MTU than the stack assumes, and the system says what it is. (The
/// other end has the same MTU, because a cable drops packets that are too large for one end.)
#[test]
#[ignore = "needs namespaces: cargo test -p netns-tests -- --ignored"]
fn a_smaller_interface_mtu_is_learnt() {
    let Some(pair) = Pair::open(PROGRAMS) else { return };
    let (left, right) = (&pair.left, &pair.right);
    for host in [left, right] {
        host.namespace().ip(&["link", "set", INTERFACE, "mtu", "1300"]);
    }
    let _server = serve(&pair.net, right, "raw", 7);
    for addr in [pair.v4(right), pair.v6(right)] {
        let seen = echo(&pair.net, left, "raw", &list(addr, 7, "/native"), 1_000_000);
        assert!(seen.number("ms") < 15_000, "{seen:?}");
    }
}

/// The MTU behind a router is smaller, and the router's ICMP messages say what it is.
#[test]
#[ignore = "needs namespaces: cargo test -p netns-tests -- --ignored"]
fn a_smaller_mtu_behind_a_router_is_learnt() {
    let Some(net) = Net::open(PROGRAMS) else { return };
    let (near, router, far) = (net.host("near"), net.router("router"), net.host("far"));
    net.link(&near, "10.99.0.1/24 fd99::1/64", &router, "10.99.0.2/24 fd99::2/64");
    net.link(&router, "10.98.0.1/24 fd98::1/64", &far, "10.98.0.2/24 fd98::2/64").mtu(1300);
    for (host, gateways) in [(&near, ["10.99.0.2", "fd99::2"]), (&far, ["10.98.0.1", "fd98::1"])] {
        gateways.iter().for_each(|gateway| host.default_route(gateway));
    }
    let _server = serve(&net, &far, "raw", 7);
    // Portable code does not set IPV6_RECVERR, and without that, Linux does not fragment raw IPv6
    // packets for the path.
    let addrs = if cfg!(portable) { &["10.98.0.2"][..] } else { &["10.98.0.2", "fd98::2"] };
    for addr in addrs {
        let seen = echo(&net, &near, "raw", &list(addr.parse().unwrap(), 7, "/native"), 1_000_000);
        assert!(seen.number("ms") < 15_000, "{seen:?}");
    }
}

/// The same with a router that sends no ICMP: it fragments packets that allow it and drops the
/// rest.
#[test]
#[ignore = "needs namespaces: cargo test -p netns-tests -- --ignored"]
fn a_black_hole_for_large_packets_is_left() {
    let Some(net) = Net::open(PROGRAMS) else { return };
    let (near, router, far) = (net.host("near"), net.router("router"), net.host("far"));
    net.link(&near, "10.99.0.1/24", &router, "10.99.0.2/24");
    net.link(&router, "10.98.0.1/24", &far, "10.98.0.2/24").mtu(1300);
    near.default_route("10.99.0.2");
    far.default_route("10.98.0.1");
    hush(&router);
    let _server = serve(&net, &far, "raw", 7);
    let seen = echo(&net, &near, "raw", "10.98.0.2:7/native", 300_000);
    // T3 expires three times, for the first time after 1 s, and then probes are sent.
    assert!((6000..20_000).contains(&seen.number("ms")), "{seen:?}");
}

/// No router fragments IPv6 packets, so a chunk that is too large for the path would never arrive.
/// That is why packets stay small until probes show that larger ones arrive.
#[test]
#[ignore = "needs namespaces: cargo test -p netns-tests -- --ignored"]
fn a_silent_router_on_an_ipv6_path_stops_nothing() {
    let Some(net) = Net::open(PROGRAMS) else { return };
    let (near, router, far) = (net.host("near"), net.router("router"), net.host("far"));
    let wide = net.link(&near, "fd99::1/64", &router, "fd99::2/64");
    wide.limit(5000, 60);
    net.link(&router, "fd98::1/64", &far, "fd98::2/64").mtu(1300);
    near.default_route("fd99::2");
    far.default_route("fd98::1");
    hush(&router);
    let window = ["--window", "32768"];
    let serve = [&[traffic::NAME, "serve", "--link", "raw", "--port", "7"], &window[..]].concat();
    let mut server = net.start(&far, &serve);
    server.ready();
    let peer = list("fd98::2".parse().unwrap(), 7, "/native");
    let bulk = [&[traffic::NAME, "bulk", "--link", "raw", "--peer", &peer], &window[..]].concat();
    let mut client = net.start(&near, &bulk);
    let event = |line: &str| Event::parse(line);
    client.wait_for("that traffic flows", |line| {
        event(line).filter(|e| matches!(e, Event::Begun { .. }))
    });
    // Probes of 1500 bytes get no answer, while those that fit the router's MTU do.
    let last = pmtu(&mut client, |_, state| state == "Complete");
    assert!((1200..=1260).contains(&last), "packets of {last} bytes for an MTU of 1300");
    client.close_stdin();
    let end =
        |line: &str| event(line).filter(|e| matches!(e, Event::End { .. } | Event::Wrong { .. }));
    let sent = client.wait_at_most(PATIENCE, end);
    let Some(Event::End { messages: sent, .. }) = sent else {
        panic!("the sender ended with {sent:?}")
    };
    let received = server.wait_at_most(PATIENCE, end);
    let Some(Event::End { messages, longest_ms, .. }) = received else { panic!("{received:?}") };
    assert_eq!(messages, sent);
    // A message that is retransmitted after a timeout would be 1 s late.
    assert!(longest_ms < 1000.0, "{longest_ms} ms without a message");
}

/// Chunks that are in flight when the MTU of an IPv6 path shrinks still arrive, in IP fragments.
/// (On systems other than Linux, the system decides how long the fragments are.)
#[test]
#[ignore = "needs namespaces: cargo test -p netns-tests -- --ignored"]
fn an_ipv6_path_becomes_narrow_in_silence() {
    becomes_narrow(true, |router, narrow| {
        hush(router);
        narrow.mtu(1300);
    });
}

/// The same with a router that drops large IPv4 packets, whether they may be fragmented or not.
#[cfg(any(target_os = "linux", target_os = "android"))]
#[test]
#[ignore = "needs namespaces: cargo test -p netns-tests -- --ignored"]
fn an_ipv4_path_drops_by_size_in_silence() {
    becomes_narrow(false, |router, _| {
        router.namespace().nft(
            "table inet narrow { chain forward {
                type filter hook forward priority 0;
                meta length > 1300 drop
            }; }",
        );
    });
}

/// Bulk data flows from two hosts through a router to a third one, directly in IP and in UDP.
/// `narrow` then shrinks the MTU of the router or of its cable to the third host.
fn becomes_narrow(v6: bool, narrow: impl Fn(&Host, &Link)) {
    let Some(net) = Net::open(PROGRAMS) else { return };
    let (near, router, far) = (net.host("near"), net.router("router"), net.host("far"));
    let net_of = |n: u8, host: u8| match v6 {
        true => (format!("fd{n}::{host}"), format!("fd{n}::{host}/64")),
        false => (format!("10.{n}.0.{host}"), format!("10.{n}.0.{host}/24")),
    };
    let link = |left: &Host, n, right: &Host| {
        let cable = net.link(left, &net_of(n, 1).1, right, &net_of(n, 2).1);
        left.default_route(&net_of(n, 2).0);
        cable
    };
    link(&near, 99, &router).limit(5000, 60);
    // The interface of this host takes larger packets than the path, which the stack does not
    // expect.
    let jumbo = net.host("jumbo");
    let large = link(&jumbo, 97, &router);
    large.mtu(9000);
    large.limit(5000, 60);
    let cable = link(&far, 98, &router);
    let window = ["--window", "32768"];
    let event = |line: &str| Event::parse(line);
    let ways = [
        (&near, 7, "raw", "raw", "/native"),
        (&near, 7, "udp=9899", "udp=0", "/udp:9899"),
        (&jumbo, 8, "raw", "raw", "/native"),
        (&jumbo, 8, "udp=9900", "udp=0", "/udp:9900"),
    ];
    let mut pairs = ways.map(|(host, port, there, here, suffix)| {
        let number = port.to_string();
        let serve =
            [&[traffic::NAME, "serve", "--link", there, "--port", &number], &window[..]].concat();
        let mut server = net.start(&far, &serve);
        server.ready();
        let peer = list(net_of(98, 1).0.parse().unwrap(), port, suffix);
        let bulk =
            [&[traffic::NAME, "bulk", "--link", here, "--peer", &peer], &window[..]].concat();
        let mut client = net.start(host, &bulk);
        client.wait_for("that traffic flows", |line| {
            event(line).filter(|e| matches!(e, Event::Begun { .. }))
        });
        (server, client)
    });
    let ip = if v6 { 40 } else { 20 };
    for ((_, client), headers) in pairs.iter_mut().zip([ip, ip + 8, ip, ip + 8]) {
        // Directly in IPv4, there is no search for the MTU.
        if headers == 20 {
            continue;
        }
        pmtu(client, |bytes, _| bytes == 1500 - headers);
    }
    narrow(&router, &cable);
    // The clients notice because packets do not arrive.
    for (_, client) in &mut pairs {
        pmtu(client, |bytes, _| bytes <= 1280);
    }
    pairs.iter_mut().for_each(|(_, client)| client.close_stdin());
    let end =
        |line: &str| event(line).filter(|e| matches!(e, Event::End { .. } | Event::Wrong { .. }));
    for (mut server, mut client) in pairs {
        let sent = client.wait_at_most(PATIENCE, end);
        let Some(Event::End { messages: sent, retransmitted, .. }) = sent else {
            panic!("the sender ended with {sent:?}")
        };
        assert_ne!(retransmitted, 0, "the path was wide when it became narrow");
        let received = server.wait_at_most(PATIENCE, end);
        assert!(
            matches!(received, Some(Event::End { messages, .. }) if messages == sent),
            "{received:?}"
        );
    }
}

/// Waits until a `traffic` client reports a packet size and a state of the search for it that
/// satisfy `wanted`, and returns the size.
fn pmtu(client: &mut Running, wanted: impl Fn(u32, &str) -> bool) -> u32 {
    client.wait_for("the right size of packets", |line| match Event::parse(line) {
        Some(Event::Pmtu { bytes, state, .. }) if wanted(bytes, &state) => Some(bytes),
        _ => None,
    })
}

/// Makes a router send no ICMP messages.
fn hush(router: &Host) {
    router.namespace().nft(
        "table inet quiet { chain output {
            type filter hook output priority 0;
            meta l4proto icmp drop
            icmpv6 type packet-too-big drop
        }; }",
    );
}

/// The server's stack has both links, and the client is not told which one to use.
#[test]
#[ignore = "needs namespaces: cargo test -p netns-tests -- --ignored"]
fn raw_and_udp_are_raced() {
    let Some(pair) = Pair::open(PROGRAMS) else { return };
    let (left, right) = (&pair.left, &pair.right);
    let to = list(pair.v4(right), 7, "");
    {
        let _server = serve(&pair.net, right, "both", 7);
        let seen = echo(&pair.net, left, "both", &to, 100_000);
        assert_eq!(seen.get("native"), "true");
        let seen = echo(&pair.net, left, "both", &format!("{to}/udp:9899"), 100_000);
        assert_eq!(seen.get("native"), "false");
        echo(&pair.net, left, "raw", &format!("{to}/native"), 100_000);
        let seen = echo(&pair.net, left, "udp", &format!("{to}/udp:9899"), 100_000);
        assert_eq!(seen.get("native"), "false");
    }
    let server = serve(&pair.net, right, "udp", 7);
    // Other tests may slow down one of the attempts, but not all.
    let fastest = || {
        let seen = (0..5).map(|_| echo(&pair.net, left, "both", &to, 100_000));
        let times = seen.map(|seen| {
            assert_eq!(seen.get("native"), "false");
            seen.number("connect_ms")
        });
        times.min().expect("five of them")
    };
    // UDP is tried after 250 ms, or as soon as ICMP refuses SCTP in IP. Directly in IP, the next
    // INIT would be sent after 1 s.
    if no_kernel_sctp() {
        let ms = fastest();
        assert!(ms < 200, "ICMP refused SCTP in IP, but connecting took {ms} ms");
    }
    right.refuse("meta l4proto sctp");
    let ms = fastest();
    assert!((250..1000).contains(&ms), "connecting took {ms} ms");
    drop(server);
}

#[test]
#[ignore = "needs namespaces: cargo test -p netns-tests -- --ignored"]
fn the_tools_measure_over_raw_ip() {
    let Some(pair) = Pair::open(PROGRAMS) else { return };
    let (left, right) = (&pair.left, &pair.right);
    let mut server = pair.net.start(right, &["sctp-perf", "server", "--link=raw"]);
    assert_eq!(server.ready().udp(), None);
    for suffix in ["", "/native"] {
        let to = list(pair.v4(right), 5201, suffix);
        let args = ["sctp-perf", "client", "--link=raw", "--duration=1", "--direction=both", &to];
        let ended = pair.net.start(left, &args).ended(PATIENCE);
        assert!(ended.status.success(), "{}", ended.text());
    }
    let to = list(pair.v4(right), 5201, "/udp:9899");
    let ended = pair.net.start(left, &["sctp-perf", "client", "--link=raw", &to]).ended(PATIENCE);
    let complaint = ended.complaints().join(" ");
    assert!(complaint.contains("--link=udp or --link=both"), "{complaint}");
}

const PROGRAMS: &str = env!("CARGO_BIN_EXE_netns-programs");
const PATIENCE: Duration = Duration::from_secs(60);

fn list(addr: IpAddr, port: u16, suffix: &str) -> String {
    format!("{}{suffix}", std::net::SocketAddr::new(addr, port))
}

/// A server that is ready.
fn serve(net: &Net, host: &Host, link: &str, port: u16) -> Running {
    let mut server = net.start(host, &[SERVER, link, &port.to_string()]);
    server.ready();
    server
}

/// Runs a client, which must end successfully.
fn echo(net: &Net, host: &Host, link: &str, peer: &str, bytes: usize) -> Seen {
    Seen::of(net.start(host, &[CLIENT, link, peer, &bytes.to_string()]).ended(PATIENCE))
}

/// The last line of a client, with words `key=value`.
#[derive(Debug)]
struct Seen(String);

impl Seen {
    fn of(ended: Ended) -> Seen {
        assert!(ended.status.success(), "{}", ended.text());
        Seen(ended.lines.into_iter().find(|line| line.starts_with("echoed ")).expect("a result"))
    }

    fn get(&self, key: &str) -> &str {
        let value = self.0.split(' ').find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
        value.unwrap_or_else(|| panic!("no {key} in {self:?}"))
    }

    fn number(&self, key: &str) -> u64 {
        self.get(key).parse().expect("a number")
    }
}

/// Whether SCTP packets get no answer where no stack of ours runs. If the kernel has SCTP, it
/// answers in all namespaces, and a part of the test must be skipped.
fn no_kernel_sctp() -> bool {
    let there = std::path::Path::new("/proc/net/sctp").exists();
    let missing =
        || "this test needs a kernel without SCTP, and the module sctp is loaded".to_owned();
    gate::or_skip(if there { Err(missing()) } else { Ok(()) })
}
