//! IPv6 link-local addresses: `fe80::9` may be one host on one cable and another on the next.

use std::time::Duration;

use netns_tests::echo::{CLIENT, SERVER};
use netns_tests::net::{Host, Net, Running};

/// A host between two others, which both have the same link-local address.
struct Middle {
    middle: Host,
    outer: [Host; 2],
    net: Net,
}

impl Middle {
    fn open() -> Option<Middle> {
        let net = Net::open(PROGRAMS)?;
        let (middle, one, other) = (net.host("middle"), net.host("one"), net.host("other"));
        for outer in [&one, &other] {
            net.link(&middle, "fe80::1/64", outer, "fe80::9/64");
        }
        Some(Middle { middle, outer: [one, other], net })
    }

    fn serve(&self, host: &Host, link: &str) -> Running {
        let mut server = self.net.start(host, &[SERVER, link, "7"]);
        server.ready();
        server
    }

    fn call(&self, host: &Host, link: &str, peer: &str) -> Running {
        self.net.start(host, &[CLIENT, link, peer, "100000"])
    }
}

/// Waits until the clients have ended successfully, and returns the peer addresses that they print.
fn remotes(clients: impl IntoIterator<Item = Running>) -> Vec<String> {
    let ended = clients.into_iter().map(|mut client| client.ended(PATIENCE));
    let remote = |text: &str| Some(text.split_once("remote=")?.1.split(' ').next()?.to_owned());
    ended
        .map(|ended| {
            assert!(ended.status.success(), "{}", ended.text());
            remote(&ended.text()).expect("a result")
        })
        .collect()
}

#[test]
#[ignore = "needs namespaces: cargo test -p netns-tests -- --ignored"]
fn the_interface_chooses_the_host() {
    let Some(net) = Middle::open() else { return };
    let _servers = net.outer.each_ref().map(|host| net.serve(host, "both"));
    for (link, suffix) in [("raw", "/native"), ("udp=0", "/udp:9899")] {
        let clients = ["eth0", "eth1"].map(|interface| {
            net.call(&net.middle, link, &format!("[fe80::9%{interface}]:7{suffix}"))
        });
        assert_eq!(remotes(clients), ["fe80::9%eth0", "fe80::9%eth1"]);
    }
}

/// The server is bound to all addresses, and both clients have the same address.
#[test]
#[ignore = "needs namespaces: cargo test -p netns-tests -- --ignored"]
fn a_wildcard_server_tells_callers_apart_by_interface() {
    let Some(net) = Middle::open() else { return };
    let _server = net.serve(&net.middle, "both");
    for suffix in ["/native", "/udp:9899"] {
        let peer = format!("[fe80::1%eth0]:7{suffix}");
        let clients = net.outer.each_ref().map(|host| net.call(host, "both", &peer));
        assert_eq!(remotes(clients), ["fe80::1%eth0", "fe80::1%eth0"]);
    }
}

#[test]
#[ignore = "needs namespaces: cargo test -p netns-tests -- --ignored"]
fn both_ends_can_be_bound_to_link_local_addresses() {
    let Some(net) = Middle::open() else { return };
    let [one, other] = net.outer.each_ref();
    let own = "fe80::1%eth0,fe80::1%eth1";
    for (server, client, suffix) in [("raw", "raw", "/native"), ("udp", "udp=0", "/udp:9899")] {
        let _server = net.serve(&net.middle, &format!("{server}:{own}"));
        let clients = [one, other].map(|host| {
            let link = format!("{client}:fe80::9%eth0");
            net.call(host, &link, &format!("fe80::1%eth0{suffix}"))
        });
        assert_eq!(remotes(clients), ["fe80::1%eth0", "fe80::1%eth0"]);
    }
}

#[test]
#[ignore = "needs namespaces: cargo test -p netns-tests -- --ignored"]
fn programs_say_what_is_wrong_with_an_interface() {
    let Some(net) = Middle::open() else { return };
    for (args, sentence) in [
        (["fe80::9", "--own=::"], "needs an interface, as in fe80::9%eth0"),
        (["fe80::9%eth7", "--own=::"], "this host has no interface 'eth7'"),
        (["[fe80::9%77]:5201", "--own=::"], "this host has no interface '77'"),
        (["fe80::9%eth0", "--own=fe80::1%eth7"], "this host has no interface 'eth7'"),
        (["fe80::9%eth0", "--own=fe80::5%eth0"], "fe80::5%2 is not an address of this host"),
    ] {
        let args = [&["sctp-perf", "client"], &args[..]].concat();
        let ended = net.net.start(&net.middle, &args).ended(PATIENCE);
        assert!(!ended.status.success());
        assert!(ended.complaints().join(" ").contains(sentence), "{}", ended.text());
    }
}

const PROGRAMS: &str = env!("CARGO_BIN_EXE_netns-programs");
const PATIENCE: Duration = Duration::from_secs(30);
