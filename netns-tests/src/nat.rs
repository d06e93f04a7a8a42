//! Network address translators like those in homes and at providers.

use std::net::IpAddr;

use crate::net::Host;

/// A router that translates addresses and ports with nftables.
#[derive(Debug)]
pub struct Nat {
    router: Host,
    outside: String,
}

impl Nat {
    pub(crate) fn new(router: &Host, outside: &str) -> Nat {
        router.namespace().nft(&format!(
            "table inet nat {{
                chain in {{ type nat hook prerouting priority dstnat; }}
                chain out {{
                    type nat hook postrouting priority srcnat;
                    oifname {outside} meta l4proto {{ tcp, udp, icmp, ipv6-icmp }} masquerade;
                }}
            }}"
        ));
        Nat { router: router.clone(), outside: outside.to_owned() }
    }

    /// From now on it also translates protocol 132 (SCTP), as few real NATs do.
    ///
    /// # Panics
    /// When the system refuses; so do all methods below.
    pub fn knows_sctp(&self) {
        let rule =
            format!("add rule inet nat out oifname {} meta l4proto sctp masquerade", self.outside);
        self.router.namespace().nft(&rule);
    }

    /// From now on, the outer port of a binding differs from the port that the sender uses.
    pub fn changes_ports(&self) {
        self.router.namespace().nft(&format!(
            "flush chain inet nat out
             add rule inet nat out oifname {0} meta l4proto {{ tcp, udp }} \
             masquerade to :20000-60000 random
             add rule inet nat out oifname {0} meta l4proto {{ icmp, ipv6-icmp }} masquerade",
            self.outside
        ));
    }

    /// Forwards a UDP port on its outer side to a host behind it.
    pub fn forwards_udp(&self, port: u16, to: IpAddr, to_port: u16) {
        let (family, to) = match to {
            IpAddr::V4(_) => ("ip", format!("{to}:{to_port}")),
            IpAddr::V6(_) => ("ip6", format!("[{to}]:{to_port}")),
        };
        let rule = format!(
            "add rule inet nat in iifname {} udp dport {port} dnat {family} to {to}",
            self.outside
        );
        self.router.namespace().nft(&rule);
    }

    /// From now on it neither forwards nor sends ICMP.
    pub fn blocks_icmp(&self) {
        self.router.namespace().nft(
            "table inet quiet {
                chain forward {
                    type filter hook forward priority 0;
                    meta l4proto { icmp, ipv6-icmp } drop;
                }
                chain output {
                    type filter hook output priority 0;
                    meta l4proto icmp drop;
                    icmpv6 type {
                        destination-unreachable, packet-too-big, time-exceeded, parameter-problem
                    } drop;
                }
            }",
        );
    }

    /// From now on it silently drops packets from outside that belong to no binding, as nearly all
    /// real NATs do. (Otherwise the router answers them with ICMP errors.)
    pub fn drops_strangers(&self) {
        self.router.namespace().nft(&format!(
            "table inet wall {{ chain input {{ type filter hook input priority 0; iifname {} meta \
             l4proto {{ tcp, udp, sctp }} drop; }}; }}",
            self.outside
        ));
    }

    /// Forgets all bindings, as a NAT does when it restarts.
    pub fn forgets(&self) {
        self.router.namespace().disturb();
        self.router.namespace().run("conntrack", &["-F"], "");
    }

    /// The bindings, one line each.
    pub fn bindings(&self) -> Vec<String> {
        let table = self.router.namespace().run("conntrack", &["-L"], "");
        table.lines().map(str::to_owned).collect()
    }
}
