//! Stands in for `cut.rs` when the feature `raw` is off. This host then cuts no IPv4 packets.

use std::io;
use std::net::SocketAddrV4;

use super::Carrier;

/// The largest SCTP packet that is never cut. No packet is larger than this.
pub(super) const WHOLE: usize = u16::MAX as usize;

/// Does nothing; see `cut.rs`.
#[derive(Debug, Default)]
pub(super) struct Cutter {}

/// The addresses of a packet, and what else its headers say.
#[derive(Clone, Copy, Debug)]
#[expect(dead_code, reason = "nobody reads it here")]
pub(super) struct PacketHeaders {
    pub(super) carrier: Carrier,
    pub(super) from: SocketAddrV4,
    pub(super) to: SocketAddrV4,
    pub(super) dscp: u8,
    pub(super) ecn: u8,
}

impl Cutter {
    /// Cuts nothing: the caller sends the packet whole.
    pub(super) fn send(&mut self, _: PacketHeaders, _: &[u8]) -> Option<io::Result<()>> {
        None
    }
}
