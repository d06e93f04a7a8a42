//! Builders that begin with the usual links.

use std::io;
#[cfg(any(feature = "raw", feature = "udp"))]
use std::sync::Arc;

#[cfg(all(unix, feature = "blocking"))]
use crate::blocking;
#[cfg(any(feature = "raw", feature = "udp"))]
use crate::error::Error;
#[cfg(feature = "raw")]
use crate::link::raw::{RawBindError, RawConfig, RawLink};
#[cfg(feature = "udp")]
use crate::link::udp::{UdpBindError, UdpEncapConfig, UdpEncapLink};
use crate::stack::StackBuilder;

/// A link could not be opened. Two such errors are equal when they say the same.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// The one in UDP.
    #[cfg(feature = "udp")]
    #[error(transparent)]
    Udp(Arc<UdpBindError>),
    /// The one directly in IP.
    #[cfg(feature = "raw")]
    #[error(transparent)]
    Raw(Arc<RawBindError>),
}

impl LinkError {
    /// The kind of the [`io::Error`] that this error converts into.
    pub(crate) fn kind(&self) -> io::ErrorKind {
        match *self {
            #[cfg(feature = "udp")]
            LinkError::Udp(ref why) => match &**why {
                UdpBindError::WellKnownPortInUse { .. }
                | UdpBindError::PortInUse { .. }
                | UdpBindError::NoFreePort { .. } => io::ErrorKind::AddrInUse,
                UdpBindError::NotLocal { .. } => io::ErrorKind::AddrNotAvailable,
                UdpBindError::Socket { source, .. } => source.kind(),
                _ => io::ErrorKind::InvalidInput,
            },
            #[cfg(feature = "raw")]
            LinkError::Raw(ref why) => match &**why {
                RawBindError::Privileges => io::ErrorKind::PermissionDenied,
                RawBindError::NotLocal { .. } => io::ErrorKind::AddrNotAvailable,
                RawBindError::Socket { source, .. } => source.kind(),
                _ => io::ErrorKind::InvalidInput,
            },
        }
    }
}

impl PartialEq for LinkError {
    fn eq(&self, other: &Self) -> bool {
        self.to_string() == other.to_string()
    }
}

impl Eq for LinkError {}

#[cfg(feature = "udp")]
impl From<UdpBindError> for Error {
    fn from(why: UdpBindError) -> Self {
        Error::Link(LinkError::Udp(Arc::new(why)))
    }
}

#[cfg(feature = "raw")]
impl From<RawBindError> for Error {
    fn from(why: RawBindError) -> Self {
        Error::Link(LinkError::Raw(Arc::new(why)))
    }
}

impl StackBuilder {
    /// A stack in UDP (RFC 6951): `udp(9899)` where peers look for it, `udp(0)` on any free port
    /// for a program that only calls. Both take all addresses of the host; a
    /// [`SocketAddr`](std::net::SocketAddr) or a [`UdpEncapConfig`] say more. Must be called inside
    /// a tokio runtime.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), sctp_user::Error> {
    /// use sctp_user::StackBuilder;
    ///
    /// let stack = StackBuilder::udp(0)?.build()?;
    /// println!("peers reach this stack at UDP port {:?}", stack.local_udp_port());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Error::Link`], for instance when another process has the port.
    #[cfg(feature = "udp")]
    pub fn udp(config: impl Into<UdpEncapConfig>) -> Result<Self, Error> {
        Ok(StackBuilder::new().link(UdpEncapLink::bind(&config.into())?))
    }

    /// A stack directly in IP, which needs CAP_NET_RAW or root: `RawConfig::default()` takes all
    /// addresses of the host. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`Error::Link`], for instance without privileges.
    #[cfg(feature = "raw")]
    pub fn raw(config: impl Into<RawConfig>) -> Result<Self, Error> {
        Ok(StackBuilder::new().link(RawLink::open(&config.into())?))
    }

    /// A stack directly in IP and in UDP, on the same addresses: as [`udp`](Self::udp) and
    /// [`raw`](Self::raw).
    ///
    /// # Errors
    /// As these.
    #[cfg(all(feature = "raw", feature = "udp"))]
    pub fn both(config: impl Into<UdpEncapConfig>) -> Result<Self, Error> {
        let config = config.into();
        Ok(StackBuilder::raw(beside(&config))?.link(UdpEncapLink::bind(&config)?))
    }
}

#[cfg(all(unix, feature = "blocking"))]
impl blocking::StackBuilder {
    /// A stack in UDP (RFC 6951): `udp(9899)` where peers look for it, `udp(0)` on any free port
    /// for a program that only calls. Both take all addresses of the host; a
    /// [`SocketAddr`](std::net::SocketAddr) or a [`UdpEncapConfig`] say more. With one address a
    /// stack waits in the receive call itself, which is faster.
    ///
    /// # Errors
    /// [`Error::Link`], for instance when another process has the port.
    #[cfg(feature = "udp")]
    pub fn udp(config: impl Into<UdpEncapConfig>) -> Result<Self, Error> {
        Ok(blocking::StackBuilder::new().link(UdpEncapLink::open_blocking(&config.into())?))
    }

    /// A stack directly in IP, which needs CAP_NET_RAW or root: `RawConfig::default()` takes all
    /// addresses of the host.
    ///
    /// # Errors
    /// [`Error::Link`], for instance without privileges.
    #[cfg(feature = "raw")]
    pub fn raw(config: impl Into<RawConfig>) -> Result<Self, Error> {
        Ok(blocking::StackBuilder::new().link(RawLink::open_blocking(&config.into())?))
    }

    /// A stack directly in IP and in UDP, on the same addresses: as [`udp`](Self::udp) and
    /// [`raw`](Self::raw).
    ///
    /// # Errors
    /// As these.
    #[cfg(all(feature = "raw", feature = "udp"))]
    pub fn both(config: impl Into<UdpEncapConfig>) -> Result<Self, Error> {
        let config = config.into();
        let udp = UdpEncapLink::open_blocking(&config)?;
        Ok(blocking::StackBuilder::raw(beside(&config))?.link(udp))
    }
}

/// The same addresses and buffers directly in IP.
#[cfg(all(feature = "raw", feature = "udp"))]
fn beside(config: &UdpEncapConfig) -> RawConfig {
    RawConfig {
        addrs: config.addrs.clone(),
        recv_buffer: config.recv_buffer,
        send_buffer: config.send_buffer,
    }
}
