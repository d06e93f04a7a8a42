//! Telling the core which addresses the host has.

use std::net::IpAddr;
use std::time::Duration;

use sctp_user_core::Time;
use sctp_user_core::wire::{COMMON_HEADER, chunk_type};

use crate::link::{Link, RecvBatch};

/// Looks up which addresses the host has, for
/// [`set_host_addrs`](sctp_user_core::Stack::set_host_addrs), when that begins to matter.
#[derive(Debug, Default)]
pub(crate) struct HostAddrs {
    looked: Option<Time>,
}

impl HostAddrs {
    /// The addresses of the host, if a datagram of the batch may list addresses of a peer and they
    /// were not looked up a short while ago.
    pub(crate) fn look(
        &mut self,
        links: &[impl Link],
        batch: &RecvBatch,
        now: Time,
    ) -> Option<Vec<IpAddr>> {
        let fresh = self.looked.is_some_and(|at| now.since(at) < FRESH);
        let lists = |bytes: &[u8]| {
            let first = bytes.get(COMMON_HEADER);
            first.is_some_and(|kind| matches!(*kind, chunk_type::INIT | chunk_type::INIT_ACK))
        };
        if fresh || !batch.datagrams.iter().any(|d| lists(&d.bytes)) {
            return None;
        }
        self.looked = Some(now);
        let mut addrs = Vec::new();
        for addr in links.iter().flat_map(Link::host_addrs).filter(|a| !a.is_unspecified()) {
            if !addrs.contains(&addr) {
                addrs.push(addr);
            }
        }
        Some(addrs)
    }
}

/// How long the addresses of the host are believed to stay the same. A flood of INITs must not make
/// the system list them without end.
const FRESH: Duration = Duration::from_secs(5);
