//! Networks of namespaces.

use std::net::Ipv4Addr;

use workspace_tests::gate;

use crate::netns::{Namespace, ip};

/// Two hosts and the cable between them.
#[derive(Debug)]
pub struct Pair {
    /// One host.
    pub left: Host,
    /// The other one.
    pub right: Host,
}

/// A namespace with one Ethernet interface.
#[derive(Debug)]
pub struct Host {
    /// Where it is.
    pub namespace: Namespace,
    /// Its address on the cable.
    pub addr: Ipv4Addr,
}

/// Name of the interface in each host.
pub const INTERFACE: &str = "eth0";

impl Pair {
    /// Builds both hosts. The addresses are private and seen only inside the namespaces.
    ///
    /// # Panics
    /// When the system refuses.
    pub fn new() -> Pair {
        let host =
            |role, last| Host { namespace: Namespace::new(role), addr: Ipv4Addr::new(10, 99, 0, last) };
        let pair = Pair { left: host("left", 1), right: host("right", 2) };
        let (left, right) = (pair.left.namespace.name(), pair.right.namespace.name());
        // Both ends are born inside, so no interface appears in the namespace of the tests themselves.
        ip(&[
            "link", "add", INTERFACE, "netns", left, "type", "veth", "peer", "name", INTERFACE, "netns",
            right,
        ]);
        for host in [&pair.left, &pair.right] {
            host.namespace.ip(&["address", "add", &format!("{}/24", host.addr), "dev", INTERFACE]);
            host.namespace.ip(&["link", "set", INTERFACE, "up"]);
        }
        pair
    }
}

impl Default for Pair {
    fn default() -> Self {
        Pair::new()
    }
}

impl Host {
    /// Drops all ICMP that arrives here, as firewalls do.
    ///
    /// # Panics
    /// When the system refuses.
    pub fn drop_icmp(&self) {
        let rules =
            "table ip quiet { chain input { type filter hook input priority 0; ip protocol icmp drop; }; }";
        let nft = gate::find("nft").unwrap_or_else(|| "nft".into());
        let output = self.namespace.command(&nft.to_string_lossy()).arg(rules).output();
        let output = output.unwrap_or_else(|error| panic!("nft cannot be run: {error}"));
        assert!(output.status.success(), "nft failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }

    /// Cuts the cable at this host, or joins it again.
    ///
    /// # Panics
    /// When the system refuses.
    pub fn set_link(&self, up: bool) {
        self.namespace.ip(&["link", "set", INTERFACE, if up { "up" } else { "down" }]);
    }
}
