//! Link-local IPv6 addresses and the interfaces they belong to (RFC 4007).
//!
//! `fe80::1` on one interface and `fe80::1` on another are two different hosts. So wherever this
//! stack holds such an address (in a path, an index, a cookie, an option or an event), the address
//! carries the index of its interface within itself, in the 32 bits after `fe80:0`. RFC 4291 sec
//! 2.5.6 sets these bits to zero. For example, `fe80::1` of interface 3 is `fe80::3:0:0:0:1`. Thus
//! one value names one host, and comparing two addresses compares their interfaces as well. Kernels
//! of the BSD family do the same.
//!
//! Links put the index in when they receive and take it out when they send; it never appears on the
//! wire. Users make such an address with [`on_interface`] or [`from_socket_addr`] and print it with
//! [`Shown`]. The functions here leave every other address unchanged.

use core::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// Which of the 16 bytes hold the index.
const INDEX: core::ops::Range<usize> = 4..8;

/// If `addr` is a link-local IPv6 address, the same address on the interface with this index; index
/// 0 means no interface. Any other address is returned unchanged.
pub fn on_interface(addr: IpAddr, index: u32) -> IpAddr {
    match addr {
        IpAddr::V6(v6) if v6.is_unicast_link_local() => {
            let mut octets = v6.octets();
            octets[INDEX].copy_from_slice(&index.to_be_bytes());
            Ipv6Addr::from(octets).into()
        }
        other => other,
    }
}

/// The interface index in a link-local IPv6 address. 0 if it has none, and for all other addresses.
pub fn interface(addr: IpAddr) -> u32 {
    match addr {
        IpAddr::V6(v6) if v6.is_unicast_link_local() => {
            let [_, _, _, _, a, b, c, d, ..] = v6.octets();
            u32::from_be_bytes([a, b, c, d])
        }
        _ => 0,
    }
}

/// The address as it appears on the wire.
pub fn without_interface(addr: IpAddr) -> IpAddr {
    on_interface(addr, 0)
}

/// Address and port in the form that the operating system takes: the interface becomes the scope
/// id.
pub fn to_socket_addr(addr: IpAddr, port: u16) -> SocketAddr {
    match without_interface(addr) {
        IpAddr::V6(v6) => SocketAddrV6::new(v6, port, 0, interface(addr)).into(),
        v4 => SocketAddr::new(v4, port),
    }
}

/// The address in what the operating system gave: the scope id becomes the interface.
pub fn from_socket_addr(addr: SocketAddr) -> IpAddr {
    match addr {
        SocketAddr::V6(v6) => on_interface((*v6.ip()).into(), v6.scope_id()),
        SocketAddr::V4(v4) => (*v4.ip()).into(),
    }
}

/// True for an IPv6 address that has a meaning on one interface only.
pub fn is_link_local(addr: IpAddr) -> bool {
    matches!(addr, IpAddr::V6(v6) if v6.is_unicast_link_local())
}

/// Whether packets from our address `own` may go to `remote`. From a link-local IPv6 address they
/// reach only link-local addresses on the same interface (RFC 4007 sec 9). From an address of wider
/// scope they reach link-local addresses, too.
pub fn reaches(own: IpAddr, remote: IpAddr) -> bool {
    !is_link_local(own) || (is_link_local(remote) && interface(own) == interface(remote))
}

/// Prints an address for people, with the number of its interface if it has one: `fe80::1%3`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown(pub IpAddr);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", without_interface(self.0))?;
        match interface(self.0) {
            0 => Ok(()),
            index => write!(f, "%{index}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn link_local_addresses_carry_their_interface() {
        let (one, other) = (on_interface(ip("fe80::1"), 2), on_interface(ip("fe80::1"), 3));
        assert_ne!(one, other);
        assert_eq!((interface(one), interface(other)), (2, 3));
        assert_eq!([one, other].map(without_interface), [ip("fe80::1"); 2]);
        assert_eq!(on_interface(one, 3), other);
        assert_eq!(Shown(one).to_string(), "fe80::1%2");
        assert_eq!(Shown(ip("fe80::1")).to_string(), "fe80::1");
    }

    #[test]
    fn other_addresses_stay_unchanged() {
        for text in ["10.0.0.1", "169.254.0.1", "::1", "fd00::1", "2001:db8::1", "ff02::1"] {
            assert_eq!((on_interface(ip(text), 7), interface(ip(text))), (ip(text), 0));
            assert_eq!(Shown(ip(text)).to_string(), text);
        }
    }

    #[test]
    fn sources_reach_what_their_scope_allows() {
        let [one, two] = [2, 3].map(|index| on_interface(ip("fe80::1"), index));
        assert!(reaches(one, on_interface(ip("fe80::9"), 2)));
        assert!(!reaches(one, two) && !reaches(one, ip("2001:db8::1")));
        assert!(reaches(ip("2001:db8::1"), one) && reaches(ip("10.0.0.1"), ip("10.0.0.2")));
    }

    proptest! {
        #[test]
        fn the_system_gets_back_what_it_gave(bits: u128, scope_id: u32, port: u16) {
            let any = Ipv6Addr::from_bits(bits);
            let link = Ipv6Addr::from_bits(0xfe80 << 112 | u128::from(bits as u64));
            for (addr, scope_id) in [(any, 0), (link, scope_id)] {
                let given = SocketAddr::from(SocketAddrV6::new(addr, port, 0, scope_id));
                if addr == any && any.is_unicast_link_local() {
                    continue; // the bits of the interface are set, which no system gives
                }
                prop_assert_eq!(to_socket_addr(from_socket_addr(given), port), given);
            }
        }
    }
}
