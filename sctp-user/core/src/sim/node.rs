//! What can be attached to the network.

use std::any::Any;
use std::fmt;
use std::marker::PhantomData;
use std::net::IpAddr;

use super::packet::IpPacket;
use crate::stack::Unreachable;
use crate::time::Time;

/// Something with addresses that takes and sends packets. [`Host`](super::Host) is one. Any other
/// SCTP implementation can be made a node in about fifty lines.
pub trait Node: Any {
    /// Its IP addresses.
    fn addrs(&self) -> &[IpAddr];

    /// Whether something on the node, such as a raw socket or a UDP socket with that port, takes
    /// this packet, which came to one of the node's addresses. Otherwise the sender may get an ICMP
    /// message.
    fn listens(&self, packet: &IpPacket) -> bool {
        let _ = packet;
        true
    }

    /// Takes a packet.
    fn handle_packet(&mut self, now: Time, packet: IpPacket);

    /// Takes an ICMP error about a packet that this node sent.
    fn handle_icmp(&mut self, now: Time, error: &IcmpError) {
        let _ = (now, error);
    }

    /// Fires the timers that are due.
    fn handle_timeout(&mut self, now: Time);

    /// When [`handle_timeout`](Self::handle_timeout) must be called next.
    fn poll_timeout(&mut self) -> Option<Time>;

    /// The next packet to send.
    fn poll_transmit(&mut self, now: Time) -> Option<IpPacket>;

    /// Lets the script of the node react to what happened. True when the script had anything to do.
    fn run_app(&mut self, now: Time) -> bool {
        let _ = now;
        false
    }

    /// Checks the node's invariants.
    ///
    /// # Errors
    /// A sentence that names the first violated invariant.
    fn verify(&self) -> Result<(), String> {
        Ok(())
    }
}

/// An ICMP error message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IcmpError {
    /// What it says.
    pub kind: Unreachable,
    /// The packet that it is about, as the sender sent it, cut to what the message quotes of it.
    pub quoted: IpPacket,
}

/// Names a node of a [`Sim`](super::Sim) and knows its type.
pub struct NodeId<N> {
    pub(super) index: usize,
    pub(super) node: PhantomData<fn() -> N>,
}

impl<N> Clone for NodeId<N> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<N> Copy for NodeId<N> {}

impl<N> fmt::Debug for NodeId<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node {}", self.index)
    }
}
