//! Network address translation between inside addresses and one outside address.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::packet::IpPacket;

/// A NAT box. UDP packets get the outside address and a mapped port, with endpoint-independent
/// mapping. As with common boxes, that is the sender's own port if it is free. Native SCTP packets
/// only get the outside address: the box knows nothing of SCTP, so it forwards what comes back to
/// the inside host that last sent to that peer.
pub struct Nat {
    inside: BTreeSet<IpAddr>,
    outside: IpAddr,
    /// The outside port for each inside address and port.
    ports: BTreeMap<(IpAddr, u16), u16>,
    /// Outside ports that `rebind` gave up. They are not used again.
    retired: BTreeSet<u16>,
    /// The inside address for each peer, for native packets.
    natives: BTreeMap<IpAddr, IpAddr>,
    next_port: u16,
}

impl Nat {
    /// A box that hides the `inside` addresses behind the one `outside` address.
    pub fn new(inside: impl IntoIterator<Item = IpAddr>, outside: IpAddr) -> Self {
        Nat {
            inside: inside.into_iter().collect(),
            outside,
            ports: BTreeMap::new(),
            retired: BTreeSet::new(),
            natives: BTreeMap::new(),
            next_port: 30_000,
        }
    }

    /// Loses the mapping table, as when the box reboots or the entries expire. Every flow gets
    /// another outside port with its next packet from inside. Until then nothing comes in.
    pub fn rebind(&mut self) {
        self.retired.extend(self.ports.values());
        self.ports.clear();
        self.natives.clear();
    }

    /// Changes the outside address. The mapped ports stay.
    pub fn move_to(&mut self, outside: IpAddr) {
        self.outside = outside;
    }

    /// The outside port of an inside address and port, if it has one now.
    pub fn outside_port(&self, inside: IpAddr, port: u16) -> Option<u16> {
        self.ports.get(&(inside, port)).copied()
    }

    /// Rewrites a packet on its way out. Packets that do not come from inside, or that stay there,
    /// are left as they are.
    pub(super) fn outbound(&mut self, packet: &mut IpPacket) {
        if !self.inside.contains(&packet.src) || self.inside.contains(&packet.dst) {
            return;
        }
        match &mut packet.udp {
            Some(udp) => udp.src = self.map(packet.src, udp.src),
            None => {
                self.natives.insert(packet.dst, packet.src);
            }
        }
        packet.src = self.outside;
    }

    /// Rewrites a packet that came to the outside address. False when there is no mapping for it.
    pub(super) fn inbound(&self, packet: &mut IpPacket) -> bool {
        if packet.dst != self.outside {
            return true;
        }
        let Some(inside) = self.inside_of(packet.udp.map(|u| u.dst), packet.src) else {
            return false;
        };
        packet.dst = inside.0;
        if let (Some(udp), Some(port)) = (&mut packet.udp, inside.1) {
            udp.dst = port;
        }
        true
    }

    /// Rewrites the packet quoted by an ICMP message that came to the outside address. False when
    /// there is no mapping for it.
    pub(super) fn inbound_quote(&self, quoted: &mut IpPacket) -> bool {
        if quoted.src != self.outside {
            return true;
        }
        let Some(inside) = self.inside_of(quoted.udp.map(|u| u.src), quoted.dst) else {
            return false;
        };
        quoted.src = inside.0;
        if let (Some(udp), Some(port)) = (&mut quoted.udp, inside.1) {
            udp.src = port;
        }
        true
    }

    fn inside_of(&self, outside_port: Option<u16>, peer: IpAddr) -> Option<(IpAddr, Option<u16>)> {
        match outside_port {
            Some(port) => self.ports.iter().find_map(|(&(ip, inside), &outside)| {
                (outside == port).then_some((ip, Some(inside)))
            }),
            None => self.natives.get(&peer).map(|&ip| (ip, None)),
        }
    }

    fn map(&mut self, inside: IpAddr, port: u16) -> u16 {
        if let Some(&mapped) = self.ports.get(&(inside, port)) {
            return mapped;
        }
        let mut outside = port;
        while self.retired.contains(&outside) || self.ports.values().any(|&p| p == outside) {
            outside = self.next_port;
            self.next_port = self.next_port.checked_add(1).unwrap_or(30_000);
        }
        self.ports.insert((inside, port), outside);
        outside
    }
}
