//! Links, and what a test can do to them.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use workspace_tests::process::PATIENCE;

use crate::net::{BRIDGE, Host, addr};

/// A cable between two hosts.
#[derive(Clone, Debug)]
pub struct Link {
    ends: [End; 2],
}

/// One end of a link.
#[derive(Clone, Debug)]
pub(crate) struct End {
    pub(crate) host: Host,
    pub(crate) interface: String,
    /// Addresses with their prefix lengths.
    pub(crate) prefixes: Vec<String>,
}

impl Link {
    pub(crate) fn new(ends: [End; 2]) -> Link {
        Link { ends }
    }

    /// The name of its interface at `host`.
    ///
    /// # Panics
    /// When the link [does not lead there](Self::leads_to). The methods below panic as well then.
    pub fn interface(&self, host: &Host) -> &str {
        &self.end(host).interface
    }

    /// Whether one of its ends is at `host`.
    pub fn leads_to(&self, host: &Host) -> bool {
        self.ends.iter().any(|end| end.host.is(host))
    }

    /// The addresses of `host` on this link.
    pub fn addrs(&self, host: &Host) -> Vec<IpAddr> {
        self.end(host).prefixes.iter().map(|prefix| addr(prefix)).collect()
    }

    /// How many bytes `host` has sent into the link, and how many have reached it, including those
    /// that a rule dropped there.
    pub fn carried(&self, host: &Host) -> [u64; 2] {
        let end = self.end(host);
        ["tx_bytes", "rx_bytes"].map(|what| {
            let file = format!("/sys/class/net/{}/statistics/{what}", end.interface);
            let count = end.host.namespace().run("cat", &[&file], "");
            count.trim().parse().unwrap_or_else(|error| panic!("{file}: '{count}': {error}"))
        })
    }

    /// Cuts the cable: the interface at `host` goes down, and the other one loses its carrier.
    pub fn cut_at(&self, host: &Host) {
        self.end(host).set("down");
    }

    /// Mends what [`cut_at`](Self::cut_at) did.
    pub fn mend(&self) {
        self.ends.iter().for_each(|end| end.set("up"));
    }

    /// Drops everything in both directions without telling anybody. ARP and neighbour discovery
    /// still work, as they do when the fault lies behind the neighbour.
    pub fn silence(&self) {
        self.ends.iter().for_each(|end| end.drop_incoming(Some("")));
    }

    /// Drops everything that is sent to `host`, but nothing that `host` sends.
    pub fn silence_towards(&self, host: &Host) {
        self.end(host).drop_incoming(Some(""));
    }

    /// Drops this percentage of the packets in each direction.
    pub fn lose(&self, percent: u32) {
        let some = format!("numgen random mod 100 < {percent}");
        self.ends.iter().for_each(|end| end.drop_incoming(Some(&some)));
    }

    /// Ends what [`silence`](Self::silence), [`silence_towards`](Self::silence_towards) and
    /// [`lose`](Self::lose) did.
    pub fn heal(&self) {
        self.ends.iter().for_each(|end| end.drop_incoming(None));
    }

    /// Limits each direction to `kbits` kbit/s, behind a queue that holds `queue_ms` ms of traffic.
    pub fn limit(&self, kbits: u32, queue_ms: u32) {
        for end in &self.ends {
            end.host.namespace().disturb();
            let (rate, latency) = (format!("{kbits}kbit"), format!("{queue_ms}ms"));
            let options = ["root", "tbf", "rate", &rate, "burst", "8k", "latency", &latency];
            end.host.namespace().run(
                "tc",
                &[&["qdisc", "replace", "dev", &end.interface], options.as_slice()].concat(),
                "",
            );
        }
    }

    /// Drops packets whose source address belongs to another network, as providers do with packets
    /// from their customers (BCP 38). No correct packet has such a source.
    pub fn filter_sources(&self) {
        for (end, other) in [(&self.ends[0], &self.ends[1]), (&self.ends[1], &self.ends[0])] {
            let interface = &end.interface;
            let of =
                |v6: bool| other.prefixes.iter().filter(move |p| p.contains(':') == v6).cloned();
            let (v4, v6): (Vec<_>, Vec<_>) =
                (of(false).collect(), of(true).chain(["fe80::/10".to_owned()]).collect());
            let v4 = if v4.is_empty() { "0.0.0.0".to_owned() } else { v4.join(", ") };
            let rules = format!(
                "table netdev sources_{interface} {{ chain in {{
                    type filter hook ingress device {interface} priority 1;
                    ip saddr != {{ {v4} }} drop
                    ip6 saddr != {{ {} }} drop
                }}; }}",
                v6.join(", ")
            );
            end.host.namespace().run("nft", &["-f", "-"], &rules);
        }
    }

    /// Sets the MTU of both interfaces.
    pub fn mtu(&self, bytes: u16) {
        for end in &self.ends {
            end.host.namespace().has_mtu(bytes);
            end.host.namespace().ip(&["link", "set", &end.interface, "mtu", &bytes.to_string()]);
        }
    }

    /// How many packets `host` has received and sent on this link.
    pub fn packets(&self, host: &Host) -> [u64; 2] {
        ["rx_packets", "tx_packets"].map(|which| {
            let file = format!("/sys/class/net/{}/statistics/{which}", self.interface(host));
            host.namespace().run("cat", &[&file], "").trim().parse().expect("a number")
        })
    }

    fn end(&self, host: &Host) -> &End {
        let end = self.ends.iter().find(|end| end.host.is(host));
        end.unwrap_or_else(|| panic!("the link does not lead to {}", host.role()))
    }
}

impl End {
    /// Gives the interface its addresses and switches it on.
    pub(crate) fn configure(&self) {
        let namespace = self.host.namespace();
        if self.host.is_switch() {
            namespace.ip(&["link", "set", &self.interface, "master", BRIDGE]);
        }
        for prefix in &self.prefixes {
            let mut args = vec!["address", "add", prefix, "dev", &self.interface];
            if prefix.contains(':') {
                args.push("nodad");
            }
            namespace.ip(&args);
        }
        // Otherwise captures show datagrams that a real interface would segment, without the
        // checksums of the segments.
        namespace.ip(&["link", "set", &self.interface, "gso_max_segs", "1"]);
        self.set("up");
    }

    /// Waits until the kernel has noticed the carrier, which takes it up to 1 s. Until then, IPv6
    /// does not answer neighbours.
    pub(crate) fn wait_until_ready(&self) {
        let end = Instant::now() + PATIENCE;
        let ready = || {
            let line =
                self.host.namespace().run("ip", &["-o", "link", "show", &self.interface], "");
            // The state of a TAP device is never known.
            line.contains(" state UP ") || line.contains(" state UNKNOWN ")
        };
        while !ready() {
            assert!(
                Instant::now() < end,
                "{} of {} does not come up",
                self.interface,
                self.host.role()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn set(&self, state: &str) {
        self.host.namespace().ip(&["link", "set", &self.interface, state]);
    }

    /// Drops incoming packets that match `what`; `None` lets everything pass.
    fn drop_incoming(&self, what: Option<&str>) {
        let interface = &self.interface;
        let rule = what.map_or_else(String::new, |what| {
            format!("meta l4proto {{ sctp, udp, icmp }} {what} drop; ")
        });
        // One transaction, so that no packet slips through while the rules change.
        self.host.namespace().nft(&format!(
            "table netdev fault_{interface}\ndelete table netdev fault_{interface}\ntable netdev \
             fault_{interface} {{ chain in {{ type filter hook ingress device {interface} priority \
             0; {rule}}}; }}\n"
        ));
    }
}
