//! Links: what carries SCTP packets below the stack.
//!
//! Programs find all of this in `sctp-user`. This package is for those who write a link: `Link` is
//! the trait, [`sockets`] what links over sockets of the system have in common.
//!
//! The core knows no link; the driver owns one or several and picks one for each packet by
//! [`Link::handles`]. A link moves packets and nothing else: it neither checks the CRC32c (the
//! driver does that) nor looks behind the SCTP common header.
//!
//! The feature `raw` has this host cut large IPv4 packets itself where it may open raw sockets;
//! without it the routers do, of which some drop such packets in silence.
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

pub use address::{AddressError, ShownAddress, parse_address};
#[cfg(unix)]
pub use blocking::BlockingLink;
pub use interfaces::{Interface, interfaces, local_addresses};

/// Something that sends and receives SCTP packets: UDP encapsulation, raw IP, a simulated network.
///
/// Object-safe on purpose: one virtual call moves a whole batch, so it costs nothing that could be
/// measured.
///
/// A link is driven by one task. When a poll method returns [`Poll::Pending`], it has arranged for
/// the waker of its `cx` to be called once another try makes sense; receiving and sending are
/// independent of each other in this.
pub trait Link: Send {
    /// Whether packets for paths of this encapsulation travel over this link.
    fn handles(&self, encap: Encap) -> bool;

    /// How many packets one [`Transmit`] may hold for this link, at least 1. May shrink to 1 while
    /// running, when the kernel turns out to refuse segmentation offload; ask again before each
    /// batch.
    fn max_segments(&self) -> usize;

    /// The largest IP packet the link can carry, in bytes including IP (and UDP) headers. It is an
    /// upper limit for the path MTU; what a path really carries is for path MTU discovery to find
    /// out.
    fn ip_mtu(&self) -> usize;

    /// The own UDP port of a link that encapsulates in UDP; `None` for other links.
    fn local_udp_port(&self) -> Option<u16>;

    /// Whether every stack of the host gets the packets of this link, so that SCTP ports must be
    /// claimed among processes. `false` unless said otherwise.
    fn shares_host(&self) -> bool {
        false
    }

    /// Whether other stacks of the host may send from the same addresses, so that peers tell their
    /// associations apart by SCTP ports alone. Then the ports that nobody chose are claimed among
    /// processes. `false` unless said otherwise.
    fn shares_addresses(&self) -> bool {
        false
    }

    /// The addresses this link sends from and receives on. Unspecified ones (`0.0.0.0`, `::`) stand
    /// for "every address of this family that the host has".
    fn local_addrs(&self) -> Vec<IpAddr>;

    /// All addresses that the host has now, on whichever interface. A peer elsewhere that lists one
    /// of them as its own gets no packets there: they would come back to this host. Those of
    /// [`local_addrs`](Self::local_addrs) unless said otherwise.
    fn host_addrs(&self) -> Vec<IpAddr> {
        self.local_addrs()
    }

    /// Something that reads the counters of the link, also while a stack owns it. `None` unless
    /// said otherwise, for a link that has none.
    fn meter(&self) -> Option<Meter> {
        None
    }

    /// Receives a batch into `batch`, appending to what it holds. `Ready(Ok(()))` means that at
    /// least one datagram or ICMP error was appended; the caller [`clear`](RecvBatch::clear)s the
    /// batch before it calls again.
    ///
    /// # Errors
    /// Only when the link has become useless; errors that concern single packets or peers are no
    /// errors of the link.
    fn poll_recv(&mut self, cx: &mut Context<'_>, batch: &mut RecvBatch) -> Poll<io::Result<()>>;

    /// Sends what `transmit` describes; `bytes` are its `len` bytes, the packets one after the
    /// other.
    ///
    /// `Pending` means that nothing was sent: keep transmit and bytes and call again with the same
    /// ones when woken. `Ready(Ok(()))` means handed to the system, which is no promise of
    /// delivery; also when the system refused it in words that an ICMP message could have used:
    /// [`poll_recv`](Self::poll_recv) then gives them as an [`IcmpError`].
    ///
    /// # Errors
    /// The packets were not sent and trying again will not help now. The caller drops them, as the
    /// network could have; loss recovery repairs it. An error of the link's own making has kind
    /// `Unsupported` (an encapsulation that is not [`handles`](Self::handles)-d), `InvalidInput`
    /// (lengths that contradict each other) or `AddrNotAvailable` (a source address the link does
    /// not have, or none from which the destination can be reached). The association learns of
    /// those that mean that there is no way to the destination: `NetworkUnreachable`,
    /// `HostUnreachable`, `AddrNotAvailable` and `Unsupported`.
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

/// Counters of links, since they were opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkStats {
    /// Packets that arrived and that the system dropped, because the receive buffer of the socket
    /// was full: the stack did not read as fast as they came. To the peers they are lost in the
    /// network. A row of UDP datagrams that receive offload has joined counts once. Linux counts
    /// packets with a wrong UDP checksum here as well; other systems tell nothing, which gives 0.
    pub overflows: u64,
}

impl Sum for LinkStats {
    fn sum<I: Iterator<Item = LinkStats>>(all: I) -> LinkStats {
        all.fold(LinkStats::default(), |sum, one| LinkStats {
            overflows: sum.overflows + one.overflows,
        })
    }
}

/// Reads the counters of a link; all zero once it is closed. See [`Link::meter`].
pub type Meter = Box<dyn Fn() -> LinkStats + Send + Sync>;

/// What one [`Link::poll_recv`] received.
#[derive(Debug, Default)]
pub struct RecvBatch {
    /// SCTP packets, unchecked.
    pub datagrams: Vec<RecvDatagram>,
    /// ICMP errors, and errors of sending that mean the same.
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

    /// Number of datagrams and errors together.
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

/// One received SCTP packet as the network delivered it: nothing about its content has been
/// checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecvDatagram {
    /// Where it came from, and to which own address (if the system tells).
    pub from: PathAddr,
    /// ECN bits of its IP header; `None` when they were zero.
    pub ecn: Option<Ecn>,
    /// From the SCTP common header on.
    pub bytes: Bytes,
}

/// What a failed send call says about the way to the destination, if anything.
pub fn no_route(error: &io::Error) -> Option<NoRoute> {
    match error.kind() {
        io::ErrorKind::HostUnreachable => Some(NoRoute::Host),
        io::ErrorKind::NetworkUnreachable
        | io::ErrorKind::AddrNotAvailable
        | io::ErrorKind::Unsupported => Some(NoRoute::Network),
        _ => None,
    }
}

/// An ICMP error about a packet sent earlier, or what the own host said instead of sending it, for
/// [`Stack::handle_unreachable`](sctp_user_core::Stack::handle_unreachable).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IcmpError {
    /// The path the offending packet was sent to, for UDP with the peer's UDP port.
    pub to: PathAddr,
    /// What the error said.
    pub kind: Unreachable,
    /// The SCTP packet as quoted, from the common header on: often no more than its first 8 bytes,
    /// perhaps with bytes beyond its end. Whoever wants to believe the error compares the
    /// verification tag in it.
    pub quoted: Bytes,
}
