//! Looking up which addresses the host has, for the core.

use std::net::IpAddr;
use std::time::Duration;

use sctp_user_core::Time;
use sctp_user_core::wire::{COMMON_HEADER, chunk_type};

use crate::link::{Link, RecvBatch};

/// Looks up the addresses of the host when the core needs them, for
/// [`set_host_addrs`](sctp_user_core::Stack::set_host_addrs).
#[derive(Debug, Default)]
pub(crate) struct HostAddrs {
    last_lookup: Option<Time>,
}

impl HostAddrs {
    /// Returns the addresses of the host if the batch has an INIT or INIT ACK, in which a peer can
    /// list its addresses. `None` if it has none, or if the host's addresses were looked up a short
    /// while ago.
    pub(crate) fn look_up(
        &mut self,
        links: &[impl Link],
        batch: &RecvBatch,
        now: Time,
    ) -> Option<Vec<IpAddr>> {
        let recent = self.last_lookup.is_some_and(|at| now.since(at) < LOOKUP_INTERVAL);
        let lists = |bytes: &[u8]| {
            let first = bytes.get(COMMON_HEADER);
            first.is_some_and(|kind| matches!(*kind, chunk_type::INIT | chunk_type::INIT_ACK))
        };
        if recent || !batch.datagrams.iter().any(|d| lists(&d.bytes)) {
            return None;
        }
        self.last_lookup = Some(now);
        let mut addrs = Vec::new();
        for addr in links.iter().flat_map(Link::host_addrs).filter(|a| !a.is_unspecified()) {
            if !addrs.contains(&addr) {
                addrs.push(addr);
            }
        }
        Some(addrs)
    }
}

/// How long to wait before looking up the addresses again, so that a flood of INITs does not cause
/// many lookups.
const LOOKUP_INTERVAL: Duration = Duration::from_secs(5);
