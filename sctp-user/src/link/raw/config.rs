//! The settings of a raw link.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Configuration of a [`RawLink`](super::RawLink).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawConfig {
    /// The addresses to bind, each with a socket of its own. Default: `0.0.0.0` and `::`, which
    /// means every address of the host. If the host has no IPv6 and the list has an IPv4 address as
    /// well, `::` is silently left out. A link-local IPv6 address must hold its
    /// [interface](crate::on_interface).
    pub addrs: Vec<IpAddr>,
    /// The size of each socket's receive buffer to ask for, in bytes. Default 4 MiB. The system may
    /// grant less (on Linux at most `net.core.rmem_max`), which is not an error.
    pub recv_buffer: usize,
    /// The size of each socket's send buffer to ask for, in bytes. Default 4 MiB. The system may
    /// grant less.
    pub send_buffer: usize,
}

impl Default for RawConfig {
    fn default() -> Self {
        RawConfig {
            addrs: vec![Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()],
            recv_buffer: 4 << 20,
            send_buffer: 4 << 20,
        }
    }
}

impl From<IpAddr> for RawConfig {
    fn from(addr: IpAddr) -> Self {
        RawConfig::with_addrs([addr])
    }
}

impl<const N: usize> From<[IpAddr; N]> for RawConfig {
    fn from(addrs: [IpAddr; N]) -> Self {
        RawConfig::with_addrs(addrs)
    }
}

impl RawConfig {
    /// The default settings, but with these addresses.
    pub fn with_addrs(addrs: impl IntoIterator<Item = IpAddr>) -> Self {
        RawConfig { addrs: addrs.into_iter().collect(), ..RawConfig::default() }
    }
}
