//! A pool on one host and its user on another, with UDP encapsulation on the cable between them.

use std::time::{Duration, Instant};

use netns_tests::net::Running;
use netns_tests::pool;
use netns_tests::topology::{INTERFACE, Pair};

#[test]
#[ignore = "needs namespaces: cargo test -p netns-tests -- --ignored"]
fn a_session_survives_its_server_across_a_cable() {
    let Some(pair) = Pair::open(PROGRAMS) else { return };
    // The kernel of the host answers for the killed server with ICMP. SCTP alone would notice after
    // 2.4 s, and the reply timeout after 10 s.
    let failover = failover_across(&pair, "--replytimeout=10000");
    assert!(failover < Duration::from_secs(2), "the failover took {failover:?}");
}

#[test]
#[ignore = "needs namespaces: cargo test -p netns-tests -- --ignored"]
fn without_icmp_the_reply_timeout_notices() {
    let Some(pair) = Pair::open(PROGRAMS) else { return };
    pair.right.refuse("meta l4proto icmp");
    let failover = failover_across(&pair, "--replytimeout=700");
    assert!(failover > Duration::from_millis(500), "{failover:?}: was ICMP really dropped?");
    // SCTP alone would notice after 2.4 s.
    assert!(failover < Duration::from_secs(2), "the failover took {failover:?}");
}

/// Starts a registrar and two servers on the left host and a client on the right one. Kills the
/// server that the client uses and measures the time until the next Pong.
fn failover_across(pair: &Pair, timeout: &str) -> Duration {
    let (net, left) = (&pair.net, &pair.left);
    let addr = pair.v4(left);
    let mut registrar = net.start(
        left,
        &["rspregistrar", &format!("-asap={addr}:0"), "-asapannounce=off", "-enrp=off", "-quiet"],
    );
    let ready = registrar.ready();
    assert_eq!(ready.udp(), Some(9899), "a registrar takes the well-known port");
    // An address without a suffix stands for UDP port 9899, too.
    let option = format!("-registrar={}", ready.get("asap").unwrap());
    let local = format!("-local={addr}:0");
    let mut servers: Vec<(u32, Running)> =
        (0..2).map(|_| pool::server(net, left, &["-pingpong", &local, &option])).collect();

    let args = [
        "pingpongclient",
        "--events",
        "--interval=20",
        timeout,
        "--quiet",
        "-asapannounce=off",
        &option,
    ];
    let mut client = net.start(&pair.right, &args);
    let first = pool::pongs_of_another(&mut client, None, 10);
    let (_, serving) =
        servers.iter_mut().find(|(id, _)| *id == first).expect("one of the servers answered");
    serving.kill();
    let killed = Instant::now();
    let second = pool::pongs_of_another(&mut client, Some(first), 1);
    let failover = killed.elapsed();
    assert_ne!(second, first);
    pool::finish(client);
    failover
}

#[test]
#[ignore = "needs namespaces: cargo test -p netns-tests -- --ignored"]
fn the_registrar_is_found_by_its_announces() {
    let Some(pair) = Pair::open(PROGRAMS) else { return };
    let (net, left, right) = (&pair.net, &pair.left, &pair.right);
    for host in [left, right] {
        host.namespace().ip(&["route", "add", "default", "dev", INTERFACE]);
    }
    let asap = format!("-asap={}:3863", pair.v4(left));
    let mut registrar =
        net.start(left, &["rspregistrar", &asap, "-serverannouncecycle=100", "-quiet"]);
    registrar.ready();
    let (id, _server) =
        pool::server(net, left, &["-pingpong", &format!("-local={}:0", pair.v4(left))]);
    let mut client = net.start(right, &["pingpongclient", "--events", "--interval=20", "--quiet"]);
    assert_eq!(pool::pongs_of_another(&mut client, None, 1), id);
    pool::finish(client);
}

const PROGRAMS: &str = env!("CARGO_BIN_EXE_netns-programs");
