//! The options for binding a port.

use std::net::IpAddr;

use sctp_user_core::AssocConfig;
use sctp_user_core::socket::Subscriptions;

/// How to bind an SCTP port. A plain port number converts into this.
///
/// ```
/// use sctp_user::{BindOptions, Subscriptions};
///
/// let subscriptions = Subscriptions::ALL;
/// let options = BindOptions { port: 3863, subscriptions, ..BindOptions::default() };
/// assert_eq!(BindOptions::from(3863).port, options.port);
/// ```
#[derive(Clone, Debug, Default)]
pub struct BindOptions {
    /// The SCTP port. 0, the default, picks a random free port in 1024..=65535 that no other
    /// process on the host has picked and that IANA has not registered for SCTP. If a peer refuses
    /// an association because of such a port, the stack tries others;
    /// [`Association::local_port`](crate::Association::local_port) gives the final one.
    pub port: u16,
    /// The addresses to bind. Empty, the default, means all addresses of the host; peers then see
    /// only the one that the packets come from, which is right behind a NAT. One address fixes the
    /// source address. Several addresses make the port multi-homed; the
    /// [crate's documentation](crate#several-addresses) has an example. If addresses are given,
    /// INITs to other addresses are refused.
    ///
    /// A link of the stack must have each of them. A link that was opened with named addresses has
    /// exactly these. One that was opened with all addresses (`0.0.0.0`, `::`) has those of the
    /// host: see [`freebind`](Self::freebind).
    pub addrs: Vec<IpAddr>,
    /// Binds `addrs` without asking whether a link or the host has them (as IP_FREEBIND of Linux).
    /// This is for addresses that the host gets later, such as one that moves between two servers.
    /// Open the link with all addresses of the host then. Until the host has the address, nothing
    /// arrives there, and peers that are told of it have a path that nobody answers. Default off.
    pub freebind: bool,
    /// The settings for associations of this port. `None`, the default, means those of the stack
    /// ([`StackBuilder::assoc_config`](crate::StackBuilder::assoc_config)).
    pub config: Option<AssocConfig>,
    /// The notifications that associations of this port deliver. Default none. They can be changed
    /// for each association.
    pub subscriptions: Subscriptions,
    /// Shares the port with other endpoints of this stack that also set this and bind the same
    /// addresses (SCTP_REUSE_PORT, RFC 6458 sec 8.1.27). One of them may listen while others
    /// connect, each with its own settings. The port can also be bound again while associations of
    /// a dropped endpoint that had set this live on. Not for the one-to-many style. Default off.
    pub reuse_port: bool,
}

impl From<u16> for BindOptions {
    fn from(port: u16) -> Self {
        BindOptions { port, ..BindOptions::default() }
    }
}
