//! Networks that several tests use.

use std::net::IpAddr;

use crate::link::Link;
use crate::net::{Host, Net};

/// Two hosts and a cable between them, with both IP versions.
#[derive(Debug)]
pub struct Pair {
    /// One host.
    pub left: Host,
    /// The other one.
    pub right: Host,
    /// The cable.
    pub cable: Link,
    /// The bench.
    pub net: Net,
}

impl Pair {
    /// Builds both hosts, or says what is missing and returns `None`. The addresses are private and
    /// visible only inside the namespaces.
    ///
    /// # Panics
    /// When the system refuses.
    pub fn open(programs: &str) -> Option<Pair> {
        let net = Net::open(programs)?;
        let (left, right) = (net.host("left"), net.host("right"));
        let cable = net.link(&left, "10.99.0.1/24 fd99::1/64", &right, "10.99.0.2/24 fd99::2/64");
        Some(Pair { left, right, cable, net })
    }

    /// The IPv4 address of a host.
    ///
    /// # Panics
    /// When the host is not one of the two.
    pub fn v4(&self, host: &Host) -> IpAddr {
        self.cable.addrs(host)[0]
    }

    /// The IPv6 address of a host.
    ///
    /// # Panics
    /// When the host is not one of the two.
    pub fn v6(&self, host: &Host) -> IpAddr {
        self.cable.addrs(host)[1]
    }
}

/// Name of the first interface of each host.
pub const INTERFACE: &str = "eth0";

/// Two hosts with two providers each: two disjoint networks, each of which drops packets whose
/// source is not in it.
#[derive(Debug)]
pub struct TwoNetworks {
    /// One host.
    pub left: Host,
    /// The other one.
    pub right: Host,
    /// The cables; the first is that of the primary path.
    pub cables: [Link; 2],
    /// The bench.
    pub net: Net,
}

/// The IP versions of the two networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Versions {
    /// IPv4 in both.
    V4,
    /// IPv6 in both.
    V6,
    /// IPv4 in the first, IPv6 in the second.
    Mixed,
    /// Both in both: four paths.
    Dual,
}

impl TwoNetworks {
    /// Builds hosts and cables.
    ///
    /// # Panics
    /// When the system refuses.
    pub fn new(net: Net, versions: Versions) -> TwoNetworks {
        let (left, right) = (net.host("left"), net.host("right"));
        let networks = match versions {
            Versions::V4 => ["10.1.0.N/24", "10.2.0.N/24"],
            Versions::V6 => ["fd01::N/64", "fd02::N/64"],
            Versions::Mixed => ["10.1.0.N/24", "fd02::N/64"],
            Versions::Dual => ["10.1.0.N/24 fd01::N/64", "10.2.0.N/24 fd02::N/64"],
        };
        let cables = networks.map(|network| {
            net.link(&left, &network.replace('N', "1"), &right, &network.replace('N', "2"))
        });
        cables.iter().for_each(Link::filter_sources);
        TwoNetworks { left, right, cables, net }
    }

    /// All addresses of a host, in the syntax of the programs.
    ///
    /// # Panics
    /// When the host is not one of the two.
    pub fn addrs(&self, host: &Host) -> String {
        let addrs: Vec<String> = self
            .cables
            .iter()
            .flat_map(|cable| cable.addrs(host))
            .map(|addr| addr.to_string())
            .collect();
        addrs.join(",")
    }

    /// The address list of a host, with this port and suffix.
    ///
    /// # Panics
    /// When the host is not one of the two.
    pub fn peer(&self, host: &Host, port: u16, suffix: &str) -> String {
        let addrs: Vec<IpAddr> = self.cables.iter().flat_map(|cable| cable.addrs(host)).collect();
        let first = std::net::SocketAddr::new(addrs[0], port);
        let others: String = addrs[1..].iter().map(|addr| format!(",{addr}")).collect();
        format!("{first}{others}{suffix}")
    }
}
