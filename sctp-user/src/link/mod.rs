//! Links carry the SCTP packets of a stack over a network.
//!
//! The protocol core does not know about links. The driver owns one or more of them and picks one
//! for each packet by [`Link::handles`]. A link only moves packets: it does not check the CRC32c,
//! which the driver does, and does not look at anything after the SCTP common header.
//!
//! To write a link of your own, implement [`Link`] from this module; the crate `sctp-user-link`
//! alone is enough for that.

#[cfg(feature = "raw")]
pub mod raw;
#[cfg(feature = "sim")]
pub mod sim;

/// UDP encapsulation (RFC 6951): the crate `sctp-udp-encap`.
#[cfg(feature = "udp")]
#[doc(inline)]
pub use sctp_udp_encap as udp;
pub use sctp_user_link::sockets;
pub use sctp_user_link::{IcmpError, Link, LinkStats, Meter, RecvBatch, RecvDatagram};

use sctp_user_core::wire::Packet;
use sctp_user_core::{Datagram, Time};

/// Converts a received packet for the core; `None` if its checksum is wrong.
pub(crate) fn checked(datagram: RecvDatagram, at: Time) -> Option<Datagram> {
    let RecvDatagram { from, ecn, bytes } = datagram;
    match Packet::check(bytes) {
        Ok(packet) => Some(Datagram { at, from, ecn, packet }),
        Err(why) => {
            tracing::trace!(?from, %why, "dropped a packet");
            None
        }
    }
}
