//! A link that limits how many packets it hands to the system at once.

use std::io;
use std::net::IpAddr;
use std::task::{Context, Poll};

use sctp_user::link::{Link, Meter, RecvBatch};
use sctp_user::{Encap, Transmit};

/// A link that takes only a limited number of packets at once.
pub(crate) struct Limited {
    pub(crate) inner: Box<dyn Link>,
    /// `usize::MAX` leaves the number to the link inside.
    pub(crate) segments: usize,
}

impl Link for Limited {
    fn handles(&self, encap: Encap) -> bool {
        self.inner.handles(encap)
    }

    fn max_segments(&self) -> usize {
        self.inner.max_segments().min(self.segments)
    }

    fn ip_mtu(&self) -> usize {
        self.inner.ip_mtu()
    }

    fn local_udp_port(&self) -> Option<u16> {
        self.inner.local_udp_port()
    }

    fn shares_host(&self) -> bool {
        self.inner.shares_host()
    }

    fn shares_addresses(&self) -> bool {
        self.inner.shares_addresses()
    }

    fn local_addrs(&self) -> Vec<IpAddr> {
        self.inner.local_addrs()
    }

    fn host_addrs(&self) -> Vec<IpAddr> {
        self.inner.host_addrs()
    }

    fn meter(&self) -> Option<Meter> {
        self.inner.meter()
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>, batch: &mut RecvBatch) -> Poll<io::Result<()>> {
        self.inner.poll_recv(cx, batch)
    }

    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        transmit: &Transmit,
        bytes: &[u8],
    ) -> Poll<io::Result<()>> {
        self.inner.poll_send(cx, transmit, bytes)
    }
}
