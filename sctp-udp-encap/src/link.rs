//! The link over UDP.

use std::io;
use std::net::IpAddr;
use std::task::{Context, Poll};

use sctp_user_core::interface::to_socket_addr;
use sctp_user_core::{Encap, Transmit};
#[cfg(unix)]
use sctp_user_link::BlockingLink;
use sctp_user_link::sockets::{Carrier, SocketLink};
use sctp_user_link::{Link, Meter, RecvBatch};

use crate::bind::{self, UdpBindError};
use crate::config::UdpEncapConfig;

/// SCTP over UDP on one port (RFC 6951).
///
/// A wildcard socket learns to which local address each packet was sent, and sends from the address
/// that the path names. So peers get their answers from the address to which they sent.
pub struct UdpEncapLink {
    inner: SocketLink,
    port: u16,
}

impl UdpEncapLink {
    /// Opens and binds the sockets. Call this inside the tokio runtime that will drive the link.
    ///
    /// # Errors
    /// See [`UdpBindError`].
    pub fn bind(config: &UdpEncapConfig) -> Result<Self, UdpBindError> {
        if tokio::runtime::Handle::try_current().is_err() {
            return Err(UdpBindError::NoRuntime);
        }
        let (opened, port) = bind::open(config)?;
        let inner = SocketLink::new(Carrier::Udp, opened, port).map_err(|(addr, source)| {
            UdpBindError::Socket { addr: to_socket_addr(addr, port), source }
        })?;
        tracing::debug!(port, addrs = ?config.addrs, "udp encapsulation ready");
        Ok(UdpEncapLink { inner, port })
    }

    /// Like [`bind`](Self::bind), for a stack without a runtime (`sctp_user::blocking`). If one
    /// address is enough, configure only that one: a stack with a single socket waits in the
    /// receive system call and needs no other call for it.
    ///
    /// # Errors
    /// See [`UdpBindError`].
    #[cfg(unix)]
    pub fn open_blocking(config: &UdpEncapConfig) -> Result<BlockingLink, UdpBindError> {
        let (opened, port) = bind::open(config)?;
        BlockingLink::new(Carrier::Udp, opened, port).map_err(|(addr, source)| {
            UdpBindError::Socket { addr: to_socket_addr(addr, port), source }
        })
    }

    /// The UDP port of this link. It is the same for all of its addresses.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Link for UdpEncapLink {
    #[inline]
    fn handles(&self, encap: Encap) -> bool {
        self.inner.handles(encap)
    }

    #[inline]
    fn max_segments(&self) -> usize {
        self.inner.max_segments()
    }

    #[inline]
    fn ip_mtu(&self) -> usize {
        self.inner.ip_mtu()
    }

    #[inline]
    fn local_udp_port(&self) -> Option<u16> {
        self.inner.local_udp_port()
    }

    #[inline]
    fn shares_addresses(&self) -> bool {
        self.inner.shares_addresses()
    }

    #[inline]
    fn local_addrs(&self) -> Vec<IpAddr> {
        self.inner.local_addrs()
    }

    #[inline]
    fn host_addrs(&self) -> Vec<IpAddr> {
        self.inner.host_addrs()
    }

    #[inline]
    fn meter(&self) -> Option<Meter> {
        self.inner.meter()
    }

    #[inline]
    fn poll_recv(&mut self, cx: &mut Context<'_>, batch: &mut RecvBatch) -> Poll<io::Result<()>> {
        self.inner.poll_recv(cx, batch)
    }

    #[inline]
    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        transmit: &Transmit,
        bytes: &[u8],
    ) -> Poll<io::Result<()>> {
        self.inner.poll_send(cx, transmit, bytes)
    }
}
