//! Own addresses, which no peer elsewhere can have.

use std::net::IpAddr;

use crate::addr::{Scope, scope};

/// The addresses of the host, as far as they were told, and what came of knowing them.
#[derive(Debug, Default)]
pub(crate) struct OwnAddrs {
    /// Sorted.
    host: Vec<IpAddr>,
    /// Own addresses that peers have listed as theirs.
    left_out: u64,
}

impl OwnAddrs {
    /// The host has these addresses now.
    pub(crate) fn set_host(&mut self, mut addrs: Vec<IpAddr>) {
        addrs.sort_unstable();
        self.host = addrs;
    }

    /// How many own addresses were left out of what peers listed.
    pub(crate) fn left_out(&self) -> u64 {
        self.left_out
    }

    /// So many more were left out.
    pub(crate) fn count(&mut self, left_out: u64) {
        self.left_out += left_out;
    }

    /// Says of addresses that a peer at `source` lists whether they are own ones. Packets to them
    /// would come back to this host: both hosts may have a container bridge with the same address.
    /// A peer on this host has the same addresses rightly, so none is meant then. `bound` are those
    /// of the port, `local` is the one that the list came to.
    pub(crate) fn among_listed<'a>(
        &'a self,
        source: IpAddr,
        bound: &'a [IpAddr],
        local: Option<IpAddr>,
    ) -> impl Fn(IpAddr) -> bool + 'a {
        let is_own = move |addr: IpAddr| {
            scope(addr) == Some(Scope::Loopback)
                || local == Some(addr)
                || bound.contains(&addr)
                || self.host.binary_search(&addr).is_ok()
        };
        let is_here = is_own(source);
        move |addr| !is_here && is_own(addr)
    }
}
