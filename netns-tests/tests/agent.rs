//! `sctp-agent` in real time over raw IP. Each agent runs in a network namespace of its own, as
//! testers run it.

use netns_tests::net::Host;
use netns_tests::topology::{INTERFACE, Pair};
use workspace_tests::agent::process::{Agent, value};

#[test]
#[ignore = "needs namespaces: cargo test -p netns-tests -- --ignored"]
fn handshake_data_shutdown_and_abort_over_raw_ip() {
    let Some(pair) = Pair::open(PROGRAMS) else { return };
    let (mut client, mut server) = (start(&pair, &pair.left), start(&pair, &pair.right));
    let (near, far) = (pair.v4(&pair.left), pair.v4(&pair.right));
    server.expect("socket fam=4 type=stream", "ok id=1");
    server.expect(&format!("bind id=1 addr={far}:2000"), "ok");
    server.expect("listen id=1 backlog=5", "ok");
    for round in 0..2 {
        let (own, accepted) = (round + 1, round + 2);
        client.expect("socket fam=4 type=stream", &format!("ok id={own}"));
        client.expect(&format!("bind id={own} addr={near}:{}", 1000 + round), "ok");
        client.expect(&format!("connect id={own} addr={far}:2000"), "err 115");
        assert_eq!(client.wait(&format!("connected id={own}")), "ok");
        let peer = server.wait("accept id=1");
        assert_eq!(peer, format!("ok id={accepted} peer={near}:{}", 1000 + round));
        client.expect(&format!("send id={own} sid=1 data=c0ffee"), "ok len=3");
        let message = server.wait(&format!("recv id={accepted} max=100"));
        assert_eq!((value(&message, "sid"), value(&message, "data")), ("1", "c0ffee"));
        if round == 0 {
            client.expect(&format!("shutdown id={own} how=1"), "ok");
            assert!(server.wait(&format!("recv id={accepted} max=100")).starts_with("ok len=0 "));
        } else {
            client.expect(&format!("send id={own} flags=abort data=6e6f"), "ok len=2");
            assert_eq!(server.wait(&format!("recv id={accepted} max=100")), "err 104");
        }
    }
    // Nobody listens at port 2001.
    client.expect("socket fam=4 type=stream", "ok id=3");
    client.expect(&format!("connect id=3 addr={far}:2001"), "err 115");
    assert_eq!(client.wait("connected id=3"), "err 111");
}

fn start(pair: &Pair, host: &Host) -> Agent {
    Agent::start(&mut pair.net.command(host, &["sctp-agent"]))
}

const PROGRAMS: &str = env!("CARGO_BIN_EXE_netns-programs");

/// An endpoint bound to all addresses lists those of its host that can reach the peer.
#[test]
#[ignore = "needs namespaces: cargo test -p netns-tests -- --ignored"]
fn a_wildcard_endpoint_announces_the_addresses_of_its_host() {
    let Some(pair) = Pair::open(PROGRAMS) else { return };
    pair.left.namespace().ip(&["address", "add", "10.99.0.77/24", "dev", INTERFACE]);
    let (mut client, mut server) = (start(&pair, &pair.left), start(&pair, &pair.right));
    let far = pair.v4(&pair.right);
    server.expect("socket fam=4 type=stream", "ok id=1");
    server.expect(&format!("bind id=1 addr={far}:2000"), "ok");
    server.expect("listen id=1 backlog=5", "ok");
    client.expect("socket fam=4 type=stream", "ok id=1");
    client.expect("bind id=1 addr=0.0.0.0:1000", "ok");
    client.expect(&format!("connect id=1 addr={far}:2000"), "err 115");
    assert_eq!(client.wait("connected id=1"), "ok");
    server.wait("accept id=1");
    let paths = server.ok("paddrs id=2");
    let mut addrs: Vec<&str> = value(&paths, "addrs").split(',').collect();
    addrs.sort_unstable();
    assert_eq!(addrs, [format!("{}:1000", pair.v4(&pair.left)), "10.99.0.77:1000".to_owned()]);
}
