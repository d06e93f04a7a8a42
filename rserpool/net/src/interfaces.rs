//! The interfaces that announces can leave by.

use std::net::{Ipv4Addr, Ipv6Addr};

/// An interface that is up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Interface {
    pub(crate) index: u32,
    pub(crate) loopback: bool,
    pub(crate) v4: Vec<Ipv4Addr>,
    pub(crate) v6: Vec<Ipv6Addr>,
}

/// The loopback interface, and all interfaces that are up and carry multicast.
#[cfg(unix)]
pub(crate) fn interfaces() -> Vec<Interface> {
    use std::net::IpAddr;

    let mut found = Vec::new();
    for interface in sctp_user::interfaces() {
        if !interface.up || !(interface.multicast || interface.loopback) {
            continue;
        }
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for addr in interface.addrs {
            match sctp_user::without_interface(addr) {
                IpAddr::V4(addr) => v4.push(addr),
                IpAddr::V6(addr) => v6.push(addr),
            }
        }
        found.push(Interface { index: interface.index, loopback: interface.loopback, v4, v6 });
    }
    found
}

/// If the interfaces cannot be listed, the operating system chooses one (index 0).
#[cfg(not(unix))]
pub(crate) fn interfaces() -> Vec<Interface> {
    vec![Interface {
        index: 0,
        loopback: false,
        v4: vec![Ipv4Addr::UNSPECIFIED],
        v6: vec![Ipv6Addr::UNSPECIFIED],
    }]
}
