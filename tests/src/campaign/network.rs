//! The network between the two ends: addresses, encapsulation, links.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use rand::RngExt;
use sctp_user_core::sim::{Link, SimRng};
use sctp_user_core::{Encap, Peer, Time};

/// The UDP port of every host that speaks UDP.
pub(super) const UDP_PORT: u16 = 9899;

/// The protocol that carries SCTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Native,
    Udp,
    /// Both ends accept both; each path starts with one or the other.
    Mixed,
}

/// The addresses of both ends. Addresses with the same index are on the same network.
#[derive(Clone, Debug)]
pub(super) struct Topology {
    pub(super) addrs: [Vec<IpAddr>; 2],
    pub(super) mode: Mode,
    /// For each network, whether its path starts with UDP in mixed mode.
    pub(super) udp: [bool; 4],
    /// The outer address of the NAT, if the first end is behind one.
    pub(super) nat: Option<IpAddr>,
    /// IP MTU of all links.
    pub(super) mtu: usize,
    /// If given, the links have this smaller MTU. The flag says whether packets that are too big
    /// are answered with ICMP.
    pub(super) hidden_mtu: Option<(usize, bool)>,
}

impl Topology {
    pub(super) fn draw(rng: &mut SimRng) -> Self {
        let mode = match rng.random_range(0..10) {
            0..4 => Mode::Native,
            4..8 => Mode::Udp,
            _ => Mode::Mixed,
        };
        let mtu = [576, 1280, 1500, 1500, 1500, 9000][rng.random_range(0..6)];
        if rng.random_bool(0.15) {
            let servers = if rng.random_bool(0.7) { 1 } else { rng.random_range(2..=3) };
            let server = |n: u8| IpAddr::from(Ipv4Addr::new(203, 0, 113 + n, 9));
            return Topology {
                addrs: [
                    vec![Ipv4Addr::new(192, 168, 1, 1).into()],
                    (0..servers).map(server).collect(),
                ],
                mode: if mode == Mode::Mixed { Mode::Udp } else { mode },
                udp: [true; 4],
                nat: Some(Ipv4Addr::new(198, 51, 100, 1).into()),
                mtu,
                hidden_mtu: None,
            };
        }
        let count = |rng: &mut SimRng| [1, 1, 1, 2, 2, 3, 4][rng.random_range(0..7)];
        let counts = {
            let first = count(rng);
            [first, if rng.random_bool(0.6) { first } else { count(rng) }]
        };
        let families: Vec<bool> = match rng.random_range(0..4) {
            0 | 1 => vec![false; 4],
            2 => vec![true; 4],
            _ => (0..4).map(|_| rng.random()).collect(),
        };
        let addrs = [0, 1].map(|end| {
            (0..counts[end])
                .map(|net| address(families[net], net as u8 + 1, end as u8 + 1))
                .collect::<Vec<_>>()
        });
        let v6 = addrs.iter().flatten().any(IpAddr::is_ipv6);
        let least = if v6 { 1280 } else { 576 };
        Topology {
            addrs,
            mode,
            udp: std::array::from_fn(|_| rng.random()),
            nat: None,
            mtu: mtu.max(least),
            // An ICMP message about one encapsulation does not count for the other.
            hidden_mtu: (mode != Mode::Mixed && rng.random_bool(0.08))
                .then(|| (least, rng.random())),
        }
    }

    /// How the end `from` reaches a port of the other end: at its first address, or at all that can
    /// be reached.
    pub(super) fn peer(&self, rng: &mut SimRng, from: usize, port: u16) -> Peer {
        let udp = Encap::Udp { remote_port: UDP_PORT };
        let reachable = self.addrs[1 - from]
            .iter()
            .zip(self.udp)
            .filter(|(to, _)| self.addrs[from].iter().any(|own| own.is_ipv4() == to.is_ipv4()));
        let count = if rng.random() { 1 } else { 4 };
        let addrs = reachable.take(count).map(|(&addr, as_udp)| match self.mode {
            Mode::Mixed if as_udp => (addr, udp),
            Mode::Mixed | Mode::Native => (addr, Encap::Native),
            Mode::Udp => (addr, udp),
        });
        Peer { addrs: addrs.collect(), port }
    }

    /// The addresses of an end that packets on the links carry.
    pub(super) fn on_the_wire(&self, end: usize) -> Vec<IpAddr> {
        match self.nat {
            Some(outside) if end == 0 => vec![outside],
            _ => self.addrs[end].clone(),
        }
    }

    /// A link with some of the usual faults.
    pub(super) fn link(&self, rng: &mut SimRng, quality: Quality) -> Link {
        let link = match self.hidden_mtu {
            Some((mtu, answer)) => Link::new().hidden_mtu(mtu, answer),
            None => Link::new().mtu(self.mtu),
        };
        let longest = if rng.random_bool(0.8) { 40 } else { 300 };
        let base = millis(rng, longest);
        let link = match quality {
            Quality::Good => link,
            Quality::Bad => {
                let link = match rng.random_range(0..4) {
                    0 => link.bursts(rng.random_range(0.0..0.04), rng.random_range(0.2..0.8)),
                    1 => link.loss(rng.random_range(0.0..=0.2)),
                    _ => link.loss(rng.random_range(0.0..=0.05)),
                };
                let link = if rng.random_bool(0.2) {
                    link.rate(
                        rng.random_range(300_000..20_000_000),
                        rng.random_range(4 * self.mtu..64 * self.mtu),
                    )
                } else {
                    link
                };
                let link = if rng.random_bool(0.1) {
                    let from = Time::ZERO + millis(rng, 3_000);
                    link.outage(from, from + millis(rng, 15_000))
                } else {
                    link
                };
                let link = if rng.random() {
                    link.duplicate(rng.random_range(0.0..0.1), millis(rng, 50))
                } else {
                    link
                };
                if rng.random_bool(0.3) { link.corrupt(rng.random_range(0.0..0.02)) } else { link }
            }
        };
        let link = link.delay(base, millis(rng, 20));
        match quality {
            Quality::Bad if rng.random() => {
                link.reorder(rng.random_range(0.0..0.2), millis(rng, 40))
            }
            _ => link,
        }
    }
}

/// How bad a link is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quality {
    /// Nothing is lost.
    Good,
    /// Up to 20 % loss and every other fault.
    Bad,
}

/// A random time up to `max` milliseconds.
pub(super) fn millis(rng: &mut SimRng, max: u64) -> Duration {
    Duration::from_micros(rng.random_range(0..=max * 1000))
}

fn address(v6: bool, net: u8, host: u8) -> IpAddr {
    if v6 {
        Ipv6Addr::new(0x2001, 0xdb8, net.into(), 0, 0, 0, 0, host.into()).into()
    } else {
        // The address is global, like the IPv6 ones: one of a narrower scope would not be announced
        // to peers of a wider scope.
        Ipv4Addr::new(198, 18, net, host).into()
    }
}
