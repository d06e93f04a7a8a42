//! Paths with delay, jitter, reordering, duplication and loss.

use std::time::Duration;

use netns_tests::net::Net;
use netns_tests::traffic::{self, Event};
use netns_tests::wire::Model;

#[test]
#[ignore = "needs namespaces: cargo test -p netns-tests -- --ignored"]
fn a_long_way_takes_its_time() {
    let seen = run(&Model { delay: 40, ..Model::default() }, 150);
    // A request and its echo take 80 ms. They would take more than 1 s if one of them had to be
    // retransmitted after a timeout.
    assert!(seen.iter().all(|way| (80.0..1000.0).contains(&way.longest_ms)), "{seen:?}");
    assert!(seen.iter().all(|way| way.retransmitted == 0), "{seen:?}");
}

#[test]
#[ignore = "needs namespaces: cargo test -p netns-tests -- --ignored"]
fn jitter_reordering_duplication_and_loss() {
    run(
        &Model { delay: 10, jitter: 10, reorder: 5, late: 15, duplicate: 3, loss: 2, seed: 7 },
        400,
    );
}

#[test]
#[ignore = "needs namespaces: cargo test -p netns-tests -- --ignored"]
fn reordering_alone_loses_nothing() {
    run(&Model { delay: 5, reorder: 10, late: 4, ..Model::default() }, 400);
}

#[derive(Debug)]
struct Way {
    longest_ms: f64,
    retransmitted: u64,
}

/// Sends verified requests and bulk traffic over a wire, in IP and in UDP, over IPv4 and IPv6.
/// Returns the measurements of the requests.
fn run(model: &Model, messages: u64) -> Vec<Way> {
    let Some(net) = Net::open(PROGRAMS) else { return Vec::new() };
    let (left, right) = (net.host("left"), net.host("right"));
    let (_link, _wire) =
        net.wire(&left, "10.9.0.1/24 fd09::1/64", &right, "10.9.0.2/24 fd09::2/64", model);
    let mut pairs = Vec::new();
    for (number, (link, suffix, addr)) in
        [("raw", "/native", "10.9.0.2"), ("udp", "/udp:9899", "[fd09::2]")].iter().enumerate()
    {
        // There is one server for each link. Servers that see the same packets tell them apart by
        // their SCTP ports.
        for (echo, kind) in [(true, "ask"), (false, "bulk")] {
            let port = (7 + 2 * number + usize::from(echo)).to_string();
            let (own, suffix) = match (*link, echo) {
                ("udp", true) => ("udp=9900", "/udp:9900"),
                _ => (*link, *suffix),
            };
            let mut args = vec![traffic::NAME, "serve", "--link", own, "--port", &port];
            args.extend(echo.then_some("--echo"));
            let mut server = net.start(&right, &args);
            server.ready();
            let own = if *link == "udp" { "udp=0" } else { "raw" };
            let peer = format!("{addr}:{port}{suffix}");
            let count = if echo { messages / 10 } else { messages }.to_string();
            let args = [traffic::NAME, kind, "--link", own, "--peer", &peer, "--messages", &count];
            pairs.push((echo, server, net.start(&left, &args)));
        }
    }
    let mut seen = Vec::new();
    for (echo, mut server, mut client) in pairs {
        let lines = client.finished(Duration::from_secs(60));
        let end = lines.iter().find_map(|line| match Event::parse(line) {
            Some(Event::End { messages, longest_ms, retransmitted, .. }) => {
                Some((messages, Way { longest_ms, retransmitted }))
            }
            _ => None,
        });
        let (count, way) = end.expect("a good end");
        assert_eq!(count, if echo { messages / 10 } else { messages });
        assert_eq!(traffic::received(&mut server, 1), [count], "messages received and sent");
        println!("{}: {count} messages, {way:?}", net.name());
        if echo {
            seen.push(way);
        }
    }
    seen
}

const PROGRAMS: &str = env!("CARGO_BIN_EXE_netns-programs");
