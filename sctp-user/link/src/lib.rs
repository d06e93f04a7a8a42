//! Links carry the SCTP packets of a stack over a network.
//!
//! Programs get all of this from `sctp-user`. This crate is for those who write a link of their
//! own: [`Link`] is the trait to implement, and [`sockets`] has the parts that all links over
//! sockets of the operating system share.
//!
//! The protocol core does not know about links. The driver owns one or more of them and picks one
//! for each packet by [`Link::handles`]. A link only moves packets: it does not check the CRC32c,
//! which the driver does, and does not look at anything after the SCTP common header.
//!
//! The feature `raw` is for SCTP directly in IP. With it, this host also fragments large IPv4
//! packets itself, provided that the process may open raw sockets. Otherwise routers have to
//! fragment them, and some routers silently drop such packets instead.
#![forbid(unsafe_code)]

mod address;
#[cfg(unix)]
mod blocking;
mod interfaces;
pub mod sockets;

use std::io;
use std::iter::Sum;
use std::net::IpAddr;
use std::task::{Context, Poll};

use bytes::Bytes;
use sctp_user_core::{Ecn, Encap, NoRoute, PathAddr, Transmit, Unreachable};

pub use address::{AddressError, ShownAddress, ShownAddresses, parse_address};
#[cfg(unix)]
pub use blocking::BlockingLink;
pub use interfaces::{Interface, host_has_address, interfaces, local_addresses};

/// Sends and receives SCTP packets: over UDP, over raw IP or in a simulated network.
///
/// The trait is object-safe on purpose. One virtual call moves a whole batch of packets, so dynamic
/// dispatch costs nothing measurable.
///
/// Only one task drives a link. When a poll method returns [`Poll::Pending`], it has arranged for
/// the waker of its `cx` to be called as soon as another try makes sense. Receiving and sending
/// each keep a waker of their own.
pub trait Link: Send {
    /// Whether this link carries packets with this encapsulation.
    fn handles(&self, encap: Encap) -> bool;

    /// How many packets one [`Transmit`] for this link may hold, at least 1. Ask before each batch:
    /// the number drops to 1 when the kernel turns out to refuse segmentation offload.
    fn max_segments(&self) -> usize;

    /// The largest IP packet that the link can carry, in bytes, including the IP (and UDP) header.
    /// This is an upper limit for the path MTU. Path MTU discovery finds out what each path really
    /// carries.
    fn ip_mtu(&self) -> usize;

    /// The local UDP port, if this link encapsulates in UDP; `None` for other links.
    fn local_udp_port(&self) -> Option<u16>;

    /// Whether every stack on the host receives the packets of this link. If so, two processes must
    /// not use the same SCTP port, and each process claims the ports it uses. The default is
    /// `false`.
    fn shares_host(&self) -> bool {
        false
    }

    /// Whether other stacks on the host may send from the same addresses, so that peers can tell
    /// their associations apart only by SCTP ports. If so, processes claim the ports that the stack
    /// picks by itself. The default is `false`.
    fn shares_addresses(&self) -> bool {
        false
    }

    /// The addresses this link sends from and receives on. An unspecified one (`0.0.0.0`, `::`)
    /// stands for every address of its family that the host has. A stack asks once, when it is
    /// built; its ports can be bound to these addresses and to no others.
    fn local_addrs(&self) -> Vec<IpAddr>;

    /// All addresses that the host has now, on any interface. If a peer on another host lists one
    /// of them as its own, the stack sends nothing to it, because the packets would come back to
    /// this host. The default is [`local_addrs`](Self::local_addrs).
    fn host_addrs(&self) -> Vec<IpAddr> {
        self.local_addrs()
    }

    /// A function that reads the counters of the link and works even while a stack owns the link.
    /// `None` if the link has no counters, which is the default.
    fn meter(&self) -> Option<Meter> {
        None
    }

    /// Receives packets and appends them to `batch`. `Ready(Ok(()))` means that at least one
    /// datagram or ICMP error was appended. The caller [clears](RecvBatch::clear) the batch before
    /// it calls again.
    ///
    /// # Errors
    /// Only when the link as a whole no longer works. Errors about single packets or peers are not
    /// errors of the link.
    fn poll_recv(&mut self, cx: &mut Context<'_>, batch: &mut RecvBatch) -> Poll<io::Result<()>>;

    /// Sends what `transmit` describes. `bytes` holds its packets one after the other, `len` bytes
    /// in all.
    ///
    /// `Pending` means that there was no room. Keep `transmit` and `bytes`, and call again with the
    /// same ones when woken.
    ///
    /// `Ready(Ok(()))` means that the packets were handed to the system, which does not promise
    /// that they arrive. It is also the answer when the system refused them for a reason that an
    /// ICMP message could have given; [`poll_recv`](Self::poll_recv) then reports that reason as an
    /// [`IcmpError`].
    ///
    /// # Errors
    /// The packets were not sent, and trying again will not help now. The caller drops them, and
    /// loss recovery treats them like packets that the network lost. Errors that the link itself
    /// makes have one of these kinds: `Unsupported` (the link does not [handle](Self::handles) the
    /// encapsulation), `InvalidInput` (the lengths contradict each other) or `AddrNotAvailable`
    /// (the link does not have the source address, or has none from which the destination can be
    /// reached). The driver tells the association when the kind means that there is no way to the
    /// destination: `NetworkUnreachable`, `HostUnreachable`, `AddrNotAvailable` or `Unsupported`.
    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        transmit: &Transmit,
        bytes: &[u8],
    ) -> Poll<io::Result<()>>;
}

impl Link for Box<dyn Link> {
    #[inline]
    fn handles(&self, encap: Encap) -> bool {
        (**self).handles(encap)
    }

    #[inline]
    fn max_segments(&self) -> usize {
        (**self).max_segments()
    }

    #[inline]
    fn ip_mtu(&self) -> usize {
        (**self).ip_mtu()
    }

    #[inline]
    fn local_udp_port(&self) -> Option<u16> {
        (**self).local_udp_port()
    }

    #[inline]
    fn shares_host(&self) -> bool {
        (**self).shares_host()
    }

    #[inline]
    fn shares_addresses(&self) -> bool {
        (**self).shares_addresses()
    }

    #[inline]
    fn local_addrs(&self) -> Vec<IpAddr> {
        (**self).local_addrs()
    }

    #[inline]
    fn host_addrs(&self) -> Vec<IpAddr> {
        (**self).host_addrs()
    }

    #[inline]
    fn meter(&self) -> Option<Meter> {
        (**self).meter()
    }

    #[inline]
    fn poll_recv(&mut self, cx: &mut Context<'_>, batch: &mut RecvBatch) -> Poll<io::Result<()>> {
        (**self).poll_recv(cx, batch)
    }

    #[inline]
    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        transmit: &Transmit,
        bytes: &[u8],
    ) -> Poll<io::Result<()>> {
        (**self).poll_send(cx, transmit, bytes)
    }
}

/// What one link, or several, counted since they were opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LinkStats {
    /// Packets that the system dropped on arrival because the receive buffer of the socket was
    /// full: the stack did not read as fast as they came. To the peers they look lost in the
    /// network. UDP datagrams that receive offload has joined into one count once. On Linux,
    /// packets with a wrong UDP checksum count as well. Other systems do not tell, and the number
    /// stays 0.
    pub overflows: u64,
}

impl Sum for LinkStats {
    fn sum<I: Iterator<Item = LinkStats>>(all: I) -> LinkStats {
        all.fold(LinkStats::default(), |sum, one| LinkStats {
            overflows: sum.overflows + one.overflows,
        })
    }
}

/// Reads the counters of a link. They are all zero once the link is closed. See [`Link::meter`].
pub type Meter = Box<dyn Fn() -> LinkStats + Send + Sync>;

/// What one [`Link::poll_recv`] received.
#[derive(Debug, Default)]
pub struct RecvBatch {
    /// SCTP packets, unchecked.
    pub datagrams: Vec<RecvDatagram>,
    /// ICMP errors, and failures to send that mean the same.
    pub errors: Vec<IcmpError>,
}

impl RecvBatch {
    /// An empty batch.
    #[inline]
    pub fn new() -> Self {
        RecvBatch::default()
    }

    /// Empties the batch and keeps its capacity.
    #[inline]
    pub fn clear(&mut self) {
        self.datagrams.clear();
        self.errors.clear();
    }

    /// The number of datagrams plus the number of errors.
    #[inline]
    pub fn len(&self) -> usize {
        self.datagrams.len() + self.errors.len()
    }

    /// True when there is neither a datagram nor an error.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// One received SCTP packet as the network delivered it. Nothing in it has been checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecvDatagram {
    /// Where it came from, and which local address it was sent to (if the system tells).
    pub from: PathAddr,
    /// ECN bits of its IP header; `None` when they were zero.
    pub ecn: Option<Ecn>,
    /// The packet, beginning with the SCTP common header.
    pub bytes: Bytes,
}

/// Why there is no way to the destination, if that is what the error of a send call means.
pub fn no_route(error: &io::Error) -> Option<NoRoute> {
    match error.kind() {
        io::ErrorKind::HostUnreachable => Some(NoRoute::Host),
        io::ErrorKind::NetworkUnreachable
        | io::ErrorKind::AddrNotAvailable
        | io::ErrorKind::Unsupported => Some(NoRoute::Network),
        _ => None,
    }
}

/// An ICMP error about a packet that was sent earlier, or this host's own reason not to send one.
/// The driver passes it to
/// [`Stack::handle_unreachable`](sctp_user_core::Stack::handle_unreachable).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IcmpError {
    /// The path of the packet that caused the error; for UDP, with the peer's UDP port.
    pub to: PathAddr,
    /// What the error says.
    pub kind: Unreachable,
    /// The quoted part of the SCTP packet, beginning with the common header. Often it is no more
    /// than the first 8 bytes, and sometimes there are bytes after the end of the packet. Compare
    /// the verification tag in it before you believe the error.
    pub quoted: Bytes,
}
