//! A server lists an address by which the client does not reach it, because somebody else near the
//! client has the same one. This happens with containers: their bridge has the same address on
//! every host.

use std::time::Duration;

use netns_tests::net::{Host, Net, Running};
use netns_tests::traffic::{self, Event};

#[test]
#[ignore = "needs namespaces: cargo test -p netns-tests -- --ignored"]
fn both_hosts_have_a_bridge_with_the_same_address() {
    let Some((net, hosts)) = open() else { return };
    hosts.iter().for_each(bridge);
    served(&net, &hosts);
}

/// The router has that address, and answers heartbeats with ICMP: port unreachable in UDP, protocol
/// unreachable directly in IP.
#[test]
#[ignore = "needs namespaces: cargo test -p netns-tests -- --ignored"]
fn somebody_else_has_the_address_and_says_that_nobody_is_there() {
    let Some((net, hosts)) = open() else { return };
    let [_client, router, server] = &hosts;
    [router, server].into_iter().for_each(bridge);
    served(&net, &hosts);
}

/// A client, a router and a server.
fn open() -> Option<(Net, [Host; 3])> {
    let net = Net::open(PROGRAMS)?;
    let (client, router, server) = (net.host("client"), net.router("router"), net.host("server"));
    net.link(&client, "10.10.0.1/24", &router, "10.10.0.254/24");
    net.link(&router, "10.11.0.254/24", &server, "10.11.0.2/24");
    client.default_route("10.10.0.254");
    server.default_route("10.11.0.254");
    Some((net, [client, router, server]))
}

/// Gives a host the address of a container bridge.
fn bridge(host: &Host) {
    host.namespace().ip(&["addr", "add", "172.17.0.1/16", "dev", "lo"]);
}

/// Checks that associations in UDP and directly in IP work, although the server lists its bridge
/// address.
fn served(net: &Net, [client, _, server]: &[Host; 3]) {
    let ways = [("raw", "raw", "native"), ("udp=9899", "udp=0", "udp:9899")];
    let mut running: Vec<(Running, Running)> = ways
        .iter()
        .map(|(there, here, way)| {
            let link = format!("{there}:10.11.0.2,172.17.0.1");
            let serve = [traffic::NAME, "serve", "--link", &link, "--port", "7", "--echo"];
            let mut server = net.start(server, &serve);
            server.ready();
            let peer = format!("10.11.0.2:7/{way}");
            let ask = [traffic::NAME, "ask", "--link", here, "--peer", &peer, "--messages", "400"];
            (net.start(client, &ask), server)
        })
        .collect();
    for ((client, server), (.., way)) in running.iter_mut().zip(ways) {
        let ended = client.ended(Duration::from_secs(30));
        let messages = ended.lines.iter().find_map(|line| match Event::parse(line) {
            Some(Event::End { messages, .. }) => Some(messages),
            _ => None,
        });
        assert_eq!(messages, Some(400), "{way}: {}", ended.complaints().join(" "));
        assert_eq!(traffic::received(server, 1), [400], "{way}");
    }
}

const PROGRAMS: &str = env!("CARGO_BIN_EXE_netns-programs");
