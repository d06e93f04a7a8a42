//! The link over raw sockets.

use std::io;
use std::net::IpAddr;
use std::task::{Context, Poll};

use sctp_user_core::{Encap, Transmit};

use super::bind::{self, RawBindError};
use super::{KernelSctp, RawConfig};
use crate::link::sockets::{Carrier, SocketLink};
use crate::link::{Link, Meter, RecvBatch};

/// Carries SCTP directly in IP (protocol 132), without UDP.
///
/// ```no_run
/// use sctp_user::StackBuilder;
/// use sctp_user::link::raw::{RawConfig, RawLink};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let link = RawLink::open(&RawConfig::default())?;
/// if let Some(warning) = link.kernel_sctp() {
///     eprintln!("{warning}");
/// }
/// let stack = StackBuilder::new().link(link).build()?;
/// # drop(stack); Ok(()) }
/// ```
pub struct RawLink {
    inner: SocketLink,
    kernel_sctp: Option<KernelSctp>,
}

impl RawLink {
    /// Opens the raw sockets. Call this inside the tokio runtime that will drive the link.
    ///
    /// # Errors
    /// See [`RawBindError`].
    pub fn open(config: &RawConfig) -> Result<Self, RawBindError> {
        if tokio::runtime::Handle::try_current().is_err() {
            return Err(RawBindError::NoRuntime);
        }
        let sockets = bind::open(config)?;
        let inner = SocketLink::new(Carrier::Ip, sockets, 0)
            .map_err(|(addr, source)| RawBindError::Socket { addr, source })?;
        let kernel_sctp = KernelSctp::detect();
        if let Some(warning) = kernel_sctp {
            tracing::warn!("{warning}");
        }
        tracing::debug!(addrs = ?config.addrs, "raw link ready");
        Ok(RawLink { inner, kernel_sctp })
    }

    /// Like [`open`](Self::open), for a [stack without a runtime](crate::blocking).
    ///
    /// # Errors
    /// See [`RawBindError`].
    #[cfg(all(unix, feature = "blocking"))]
    pub fn open_blocking(config: &RawConfig) -> Result<crate::blocking::Link, RawBindError> {
        let sockets = bind::open(config)?;
        let link = crate::blocking::Link::new(Carrier::Ip, sockets, 0)
            .map_err(|(addr, source)| RawBindError::Socket { addr, source })?;
        if let Some(warning) = KernelSctp::detect() {
            tracing::warn!("{warning}");
        }
        Ok(link)
    }

    /// A warning to show the user, if the kernel's own SCTP was active when the link was opened.
    /// The link works, but the kernel will abort its associations.
    pub fn kernel_sctp(&self) -> Option<KernelSctp> {
        self.kernel_sctp
    }
}

impl Link for RawLink {
    fn handles(&self, encap: Encap) -> bool {
        self.inner.handles(encap)
    }

    fn max_segments(&self) -> usize {
        self.inner.max_segments()
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
