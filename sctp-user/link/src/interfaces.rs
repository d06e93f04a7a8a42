//! The interfaces of the host and their addresses.

use std::io;
use std::net::{IpAddr, UdpSocket};

use sctp_user_core::interface::{on_interface, to_socket_addr};
use sctp_user_core::{Scope, scope};

/// An interface of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Interface {
    /// Its name, such as `eth0`.
    pub name: String,
    /// Its number; never 0.
    pub index: u32,
    /// Whether it is up.
    pub up: bool,
    /// Whether it is a loopback interface, which leads only to this host.
    pub loopback: bool,
    /// Whether it supports multicast. On Windows, which does not say, this is always true.
    pub multicast: bool,
    /// Its IP addresses. A link-local IPv6 address holds the
    /// [interface](sctp_user_core::interface).
    pub addrs: Vec<IpAddr>,
}

/// The interfaces that the host has now, in the system's order. Empty when the system cannot list
/// them.
pub fn interfaces() -> Vec<Interface> {
    let mut found: Vec<Interface> = Vec::new();
    list(|seen| match found.iter_mut().find(|known| known.name == seen.name) {
        Some(known) => known.addrs.extend(seen.addrs),
        None => found.push(seen),
    });
    for interface in &mut found {
        for addr in &mut interface.addrs {
            *addr = on_interface(*addr, interface.index);
        }
    }
    found
}

/// Calls `each` with every entry of the system's list, which has one for each address of an
/// interface.
#[cfg(unix)]
fn list(mut each: impl FnMut(Interface)) {
    use nix::net::if_::{InterfaceFlags, if_nametoindex};

    let Ok(entries) = nix::ifaddrs::getifaddrs() else { return };
    for entry in entries {
        let Ok(index) = if_nametoindex(&*entry.interface_name) else { continue };
        let addr = entry.address.and_then(|addr| {
            let v4 = addr.as_sockaddr_in().map(|v4| v4.ip().into());
            v4.or_else(|| addr.as_sockaddr_in6().map(|v6| v6.ip().into()))
        });
        each(Interface {
            name: entry.interface_name,
            index,
            up: entry.flags.contains(InterfaceFlags::IFF_UP),
            loopback: entry.flags.contains(InterfaceFlags::IFF_LOOPBACK),
            multicast: entry.flags.contains(InterfaceFlags::IFF_MULTICAST),
            addrs: addr.into_iter().collect(),
        });
    }
}

/// Calls `each` with every entry of the system's list, which has one for each address of an
/// interface.
#[cfg(not(unix))]
fn list(mut each: impl FnMut(Interface)) {
    for entry in if_addrs::get_if_addrs().unwrap_or_default() {
        let Some(index) = entry.index else { continue };
        each(Interface {
            index,
            up: entry.is_oper_up(),
            loopback: entry.is_loopback(),
            multicast: true,
            addrs: vec![entry.ip()],
            name: entry.name,
        });
    }
}

/// The unicast addresses of all interfaces that are up, in the order of the interfaces. Addresses
/// of narrower scope than `narrowest` are left out, and no address is listed twice.
///
/// To list addresses for peers, use [`Scope::Private`], which leaves out loopback and link-local
/// addresses. The list is a snapshot: interfaces come and go. Bind a port to these addresses with
/// `BindOptions::addrs` of `sctp-user`, or have every wildcard-bound port announce them with
/// `StackBuilder::announce_local_addresses`.
pub fn local_addresses(narrowest: Scope) -> Vec<IpAddr> {
    let up = interfaces().into_iter().filter(|interface| interface.up);
    select(up.flat_map(|interface| interface.addrs), narrowest)
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

/// Whether this unicast address belongs to the host now.
///
/// To find out, this binds a UDP socket to the address, because the interfaces do not list
/// everything: on Linux, all of 127.0.0.0/8 is local, and so is what local routes and the setting
/// `net.ipv4.ip_nonlocal_bind` add. An address that an interface lists counts even if it cannot be
/// bound yet: IPv6 first tests a new address for duplicates (RFC 4862 sec 5.4). Where the system
/// tells neither, for instance in a sandbox, the answer is `true`.
pub fn host_has_address(addr: IpAddr) -> bool {
    let Err(error) = UdpSocket::bind(to_socket_addr(addr, 0)) else { return true };
    let mut listed = interfaces().into_iter().flat_map(|interface| interface.addrs).peekable();
    let nobody_tells = error.kind() != io::ErrorKind::AddrNotAvailable && listed.peek().is_none();
    nobody_tells || listed.any(|own| own == addr)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_narrow_scope_and_duplicates_are_left_out() {
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

    #[test]
    fn the_host_has_the_addresses_of_its_interfaces_and_no_others() {
        for addr in local_addresses(Scope::Loopback) {
            assert!(host_has_address(addr), "{addr}");
        }
        // These are for documents (RFC 5737, RFC 3849), and no host has them.
        for addr in ["192.0.2.1", "2001:db8::1"] {
            assert!(!host_has_address(addr.parse().unwrap()), "{addr}");
        }
    }

    /// No interface lists this address.
    #[test]
    #[cfg(target_os = "linux")]
    fn all_of_127_belongs_to_the_host() {
        assert!(host_has_address([127, 1, 2, 3].into()));
    }

    #[test]
    fn the_loopback_interface_is_known_by_its_flags_and_number() {
        let all = interfaces();
        let loopback = all.iter().find(|i| i.loopback).expect("every host has one");
        assert!(loopback.index != 0 && !loopback.name.is_empty());
        assert!(loopback.addrs.iter().any(IpAddr::is_loopback), "{loopback:?}");
        let names = all.iter().filter(|i| i.name == loopback.name).count();
        assert_eq!(names, 1, "one entry for all of its addresses: {all:?}");
    }
}
