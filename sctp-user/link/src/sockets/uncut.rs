//! Without the feature `raw` no IPv4 packet is cut by this host: the same names as in `cut.rs`.

use std::io;
use std::net::SocketAddrV4;

use super::Carrier;

/// The largest SCTP packet that is never cut: there are no larger ones.
pub(super) const WHOLE: usize = u16::MAX as usize;

/// Cuts nothing.
#[derive(Debug, Default)]
pub(super) struct Cutter {}

/// Where a packet goes, and what its headers say.
#[derive(Clone, Copy, Debug)]
#[expect(dead_code, reason = "nobody reads it here")]
pub(super) struct Way {
    pub(super) carrier: Carrier,
    pub(super) from: SocketAddrV4,
    pub(super) to: SocketAddrV4,
    pub(super) dscp: u8,
    pub(super) ecn: u8,
}

impl Cutter {
    /// Leaves every packet to be sent whole.
    pub(super) fn send(&mut self, _: Way, _: &[u8]) -> Option<io::Result<()>> {
        None
    }
}
