//! The addresses of the host.

use std::net::IpAddr;

use pnet::datalink;
use sctp_user_core::{Scope, scope};

/// The unicast addresses of all interfaces that are up, each once, in the order of the interfaces;
/// those of narrower scope than `narrowest` are left out.
///
/// [`Scope::Private`] is the choice for announcing addresses to peers: it leaves out loopback and
/// link-local ones. The list is a snapshot; interfaces come and go. Bind them with
/// [`BindOptions::addrs`](crate::BindOptions::addrs), or have every wildcard-bound port announce
/// them with
/// [`StackBuilder::announce_local_addresses`](crate::StackBuilder::announce_local_addresses).
pub fn local_addresses(narrowest: Scope) -> Vec<IpAddr> {
    let up = datalink::interfaces().into_iter().filter(|interface| interface.is_up());
    select(up.flat_map(|interface| interface.ips).map(|network| network.ip()), narrowest)
}

fn select(addrs: impl Iterator<Item = IpAddr>, narrowest: Scope) -> Vec<IpAddr> {
    let mut selected = Vec::new();
    for addr in addrs {
        if scope(addr).is_some_and(|scope| scope >= narrowest) && !selected.contains(&addr) {
            selected.push(addr);
        }
    }
    selected
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn narrow_and_doubled_addresses_are_left_out() {
        let all = [
            "127.0.0.1",
            "::1",
            "fe80::1",
            "10.0.0.1",
            "fd00::1",
            "2001:db8::1",
            "10.0.0.1",
            "224.0.0.1",
        ];
        let all = || all.iter().map(|a| a.parse::<IpAddr>().unwrap());
        let texts =
            |narrowest| select(all(), narrowest).iter().map(IpAddr::to_string).collect::<Vec<_>>();
        assert_eq!(texts(Scope::Global), ["2001:db8::1"]);
        assert_eq!(texts(Scope::Private), ["10.0.0.1", "fd00::1", "2001:db8::1"]);
        assert_eq!(
            texts(Scope::Loopback),
            ["127.0.0.1", "::1", "fe80::1", "10.0.0.1", "fd00::1", "2001:db8::1"]
        );
    }

    #[test]
    fn the_host_has_its_loopback_address() {
        let addrs = local_addresses(Scope::Loopback);
        assert!(addrs.iter().any(IpAddr::is_loopback), "{addrs:?}");
        assert!(!local_addresses(Scope::Private).iter().any(IpAddr::is_loopback));
    }
}
