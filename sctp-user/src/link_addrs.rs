//! The addresses that the links of a stack have, and to which its ports can be bound.

use std::net::IpAddr;

use sctp_user_core::{Scope, scope};
use sctp_user_link::{host_has_address, local_addresses};

use crate::error::Error;
use crate::link::Link;

/// What [`Link::local_addrs`] of all links said when the stack was built.
pub(crate) struct LinkAddrs(Vec<IpAddr>);

impl LinkAddrs {
    pub(crate) fn of(links: &[impl Link]) -> Self {
        let mut all = Vec::new();
        for addr in links.iter().flat_map(Link::local_addrs) {
            if !all.contains(&addr) {
                all.push(addr);
            }
        }
        LinkAddrs(all)
    }

    /// Whether a link has all addresses of this one's family that the host has.
    fn has_all_like(&self, addr: IpAddr) -> bool {
        self.0.iter().any(|own| own.is_unspecified() && own.is_ipv4() == addr.is_ipv4())
    }

    /// Checks that packets can be sent from each of `addrs`, and received there. Addresses that are
    /// not unicast pass: the core says what is wrong with them.
    pub(crate) fn check(&self, addrs: &[IpAddr]) -> Result<(), Error> {
        let unicast = addrs.iter().copied().filter(|addr| scope(*addr).is_some());
        for addr in unicast.filter(|addr| !self.0.contains(addr)) {
            if !self.has_all_like(addr) {
                return Err(Error::NotOfALink { addr, links: self.0.clone() });
            }
            if !host_has_address(addr) {
                return Err(Error::NotLocal { addr, host: local_addresses(Scope::Loopback) });
            }
        }
        Ok(())
    }

    /// The addresses that can be announced to peers, without those of narrower scope than
    /// `narrowest`.
    pub(crate) fn announceable(&self, narrowest: Scope) -> Vec<IpAddr> {
        let host = local_addresses(narrowest).into_iter().filter(|addr| self.has_all_like(*addr));
        let mut all: Vec<IpAddr> = host.collect();
        for addr in &self.0 {
            if scope(*addr).is_some_and(|scope| scope >= narrowest) && !all.contains(addr) {
                all.push(*addr);
            }
        }
        all
    }
}
