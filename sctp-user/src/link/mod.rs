//! Links: what carries SCTP packets below the stack.
//!
//! The core knows no link; the driver owns one or several and picks one for each packet by
//! [`Link::handles`]. A link moves packets and nothing else: it neither checks the CRC32c (the
//! driver does that) nor looks behind the SCTP common header.
//!
//! Who writes a link needs this module, or the package `sctp-user-link` alone.

#[cfg(feature = "raw")]
pub mod raw;
#[cfg(feature = "sim")]
pub mod sim;

/// UDP encapsulation (RFC 6951): the package `sctp-udp-encap`.
#[cfg(feature = "udp")]
pub use sctp_udp_encap as udp;
pub use sctp_user_link::sockets;
pub use sctp_user_link::{IcmpError, Link, LinkStats, Meter, RecvBatch, RecvDatagram};

use sctp_user_core::wire::Packet;
use sctp_user_core::{Datagram, Time};

/// For the core, if the checksum is right.
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
