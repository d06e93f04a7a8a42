//! Options of a bound port.

use std::net::IpAddr;

use sctp_user_core::AssocConfig;
use sctp_user_core::socket::Subscriptions;

/// How to bind an SCTP port; a plain port number converts into it.
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
    /// SCTP port; 0, the default, picks a random free one in 1024..=65535 that no other process of
    /// the host has drawn and IANA has not registered for SCTP. When a peer refuses an association
    /// because of such a port, others are tried
    /// ([`Association::local_port`](crate::Association::local_port)).
    pub port: u16,
    /// Addresses to bind. Empty, the default, means all, of which none is announced to the peer
    /// beyond the one that the packets carry: the right choice behind NAT. One pins the source
    /// address, several make the port multi-homed; INITs to others are refused.
    pub addrs: Vec<IpAddr>,
    /// Settings of the associations of this port; `None` takes those of the stack
    /// ([`StackBuilder::assoc_config`](crate::StackBuilder::assoc_config)).
    pub config: Option<AssocConfig>,
    /// Notifications that its associations give until changed there. Default none.
    pub subscriptions: Subscriptions,
    /// Shares the port with other endpoints of this stack that say so too and name the same
    /// addresses (SCTP_REUSE_PORT, RFC 6458 sec 8.1.27): one of them may listen while others
    /// connect, each with settings of its own. Also lets the port be bound again while associations
    /// of a dropped endpoint that said so live on. Not for the one-to-many style. Default off.
    pub reuse_port: bool,
}

impl From<u16> for BindOptions {
    fn from(port: u16) -> Self {
        BindOptions { port, ..BindOptions::default() }
    }
}
