//! Destinations to which the own host has no route.

use std::time::{Duration, Instant};

use netns_tests::echo::{CLIENT, SERVER};
use netns_tests::topology::{INTERFACE, Pair};

#[test]
#[ignore = "needs namespaces: cargo test -p netns-tests -- --ignored"]
fn connecting_fails_at_once_and_says_why() {
    let Some(pair) = Pair::open(PROGRAMS) else { return };
    let host = &pair.left;
    host.namespace().ip(&["route", "add", "unreachable", "198.51.100.0/24"]);
    let network = "this host has no route to the network of the peer";
    let no_way = "this host finds no way to the host of the peer";
    let blocking = ["--api=blocking", "--direction=pingpong"];
    let mut clients = Vec::new();
    for link in ["raw", "udp"] {
        for (addr, own, sentence) in [
            ("192.0.2.1", None, network),
            ("[2001:db8::1]", None, network),
            ("192.0.2.1", Some("--own=10.99.0.1"), network),
            // No link has an address of this family.
            ("[fd99::2]", Some("--own=10.99.0.1"), network),
            ("198.51.100.1", None, no_way),
            ("192.0.2.1,2001:db8::1", None, network),
        ] {
            for api in [&[][..], &blocking] {
                let link = format!("--link={link}");
                let mut args = vec!["sctp-perf", "client", &link, addr];
                args.extend(own);
                args.extend(api);
                let start = Instant::now();
                clients.push((pair.net.start(host, &args), sentence, args.join(" "), start));
            }
        }
    }
    for (mut client, sentence, args, start) in clients {
        let ended = client.ended(PATIENCE);
        assert!(!ended.status.success(), "{args}");
        let complaint = ended.complaints().join(" ");
        assert!(complaint.contains(sentence), "{args}: {complaint}");
        // Waiting for all nine INITs would take more than four minutes.
        assert!(start.elapsed() < Duration::from_secs(20), "{args}: {:?}", start.elapsed());
    }
}

/// The own host reports after some seconds that a neighbour does not answer. (Only Linux has error
/// queues, which report it to every socket.)
#[cfg(not(portable))]
#[test]
#[ignore = "needs namespaces: cargo test -p netns-tests -- --ignored"]
fn a_host_that_is_not_there_is_told_as_tcp_tells_it() {
    let Some(pair) = Pair::open(PROGRAMS) else { return };
    let clients = ["raw", "udp"].map(|link| {
        ["10.99.0.77", "[fd99::77]"].map(|addr| {
            let link = format!("--link={link}");
            pair.net.start(&pair.left, &["sctp-perf", "client", &link, addr])
        })
    });
    for mut client in clients.into_iter().flatten() {
        let ended = client.ended(Duration::from_secs(30));
        assert!(!ended.status.success());
        let complaint = ended.complaints().join(" ");
        assert!(complaint.contains("finds no way to the host of the peer"), "{complaint}");
    }
}

#[test]
#[ignore = "needs namespaces: cargo test -p netns-tests -- --ignored"]
fn one_address_with_a_way_is_enough() {
    let Some(pair) = Pair::open(PROGRAMS) else { return };
    let mut server = pair.net.start(&pair.right, &[SERVER, "both", "7"]);
    server.ready();
    for (link, suffix) in [("raw", "/native"), ("udp=0", "/udp:9899")] {
        let peer = format!("192.0.2.1:7,2001:db8::1,{}{suffix}", pair.v4(&pair.right));
        let start = Instant::now();
        let ended = pair.net.start(&pair.left, &[CLIENT, link, &peer, "1000"]).ended(PATIENCE);
        assert!(ended.status.success(), "{}", ended.text());
        assert!(start.elapsed() < Duration::from_secs(1), "no timer was waited for");
    }
}

#[test]
#[ignore = "needs namespaces: cargo test -p netns-tests -- --ignored"]
fn an_association_survives_a_route_that_is_missing_for_a_while() {
    let Some(pair) = Pair::open(PROGRAMS) else { return };
    pair.cable.limit(8000, 100);
    let mut server = pair.net.start(&pair.right, &[SERVER, "both", "7"]);
    server.ready();
    let mut clients = [("raw", "/native"), ("udp=0", "/udp:9899")].map(|(link, suffix)| {
        let peer = format!("{}:7{suffix}", pair.v4(&pair.right));
        let mut client = pair.net.start(&pair.left, &[CLIENT, link, &peer, "1000000"]);
        client.wait_for("that it is connected", |line| (line == "connected").then_some(()));
        client
    });
    let route = |verb| {
        let route = ["route", verb, "10.99.0.0/24", "dev", INTERFACE];
        pair.left.namespace().ip(&route);
    };
    route("del");
    std::thread::sleep(Duration::from_millis(1500));
    route("add");
    for client in &mut clients {
        let ended = client.ended(PATIENCE);
        assert!(ended.status.success(), "{}", ended.text());
    }
}

const PROGRAMS: &str = env!("CARGO_BIN_EXE_netns-programs");
const PATIENCE: Duration = Duration::from_secs(60);
