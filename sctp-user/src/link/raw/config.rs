//! What a user can choose.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Configuration of a [`RawLink`](super::RawLink).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawConfig {
    /// Addresses to bind, each with a socket of its own. Default: `0.0.0.0` and `::`, which is
    /// every address of the host. Where IPv6 is switched off, a `::` beside an IPv4 address is left
    /// out without a word. A link-local IPv6 address holds its [interface](crate::on_interface).
    pub addrs: Vec<IpAddr>,
    /// Wanted size of each socket's receive buffer, bytes. Default 4 MiB. The system may grant less
    /// (on Linux at most `net.core.rmem_max`), which is no error.
    pub recv_buffer: usize,
    /// Wanted size of each socket's send buffer, bytes. Default 4 MiB; the system may grant less.
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

impl RawConfig {
    /// These addresses.
    pub fn with_addrs(addrs: impl IntoIterator<Item = IpAddr>) -> Self {
        RawConfig { addrs: addrs.into_iter().collect(), ..RawConfig::default() }
    }
}
