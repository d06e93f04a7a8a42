//! The addresses of this host, which no peer on another host can have.

use std::net::IpAddr;

use crate::addr::{Scope, scope};

/// The addresses of this host, as far as the user has given them.
#[derive(Debug, Default)]
pub(crate) struct OwnAddrs {
    /// Sorted.
    host: Vec<IpAddr>,
    /// How many of our addresses peers have listed as theirs.
    left_out: u64,
}

impl OwnAddrs {
    /// Replaces the addresses of the host.
    pub(crate) fn set_host(&mut self, mut addrs: Vec<IpAddr>) {
        addrs.sort_unstable();
        self.host = addrs;
    }

    /// How many of our addresses were ignored because a peer listed them as its own.
    pub(crate) fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Adds to [`left_out`](Self::left_out).
    pub(crate) fn add_left_out(&mut self, left_out: u64) {
        self.left_out += left_out;
    }

    /// Returns a test for the addresses that a peer at `source` lists: is the address one of ours?
    /// If so, packets to it would come back to this host. That happens when both hosts have, say, a
    /// container bridge with the same address. A peer on this very host rightly has the same
    /// addresses, so for such a peer the test is always false. `bound` are the addresses of the
    /// port, `local` is the address at which the list arrived.
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
