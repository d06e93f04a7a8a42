//! Reading and printing IP addresses the way people write them.

use std::fmt;
use std::net::IpAddr;

use sctp_user_core::interface::{interface, is_link_local, on_interface, without_interface};

use crate::interfaces::interfaces;

/// Why [`parse_address`] did not accept a text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// The text is not an IP address.
    #[error("'{0}' is not an IP address")]
    NotAnAddress(String),
    /// The host has no interface of this name or number.
    #[error("this host has no interface '{0}'")]
    NoSuchInterface(String),
    /// A link-local IPv6 address does not say which host is meant until an interface is named with
    /// it.
    #[error("the link-local address {0} needs an interface, as in {0}%eth0")]
    NeedsInterface(IpAddr),
    /// An interface is named with an address that is not link-local; for those the routes decide.
    #[error("{0} is not link-local, so no interface can be named for it")]
    NotLinkLocal(IpAddr),
}

/// Reads an address as people write it (RFC 4007 sec 11): `192.0.2.1` or `2001:db8::1`. A
/// link-local IPv6 address must name its interface, by name or number: `fe80::1%eth0`, `fe80::1%3`.
///
/// # Errors
/// See [`AddressError`].
pub fn parse_address(text: &str) -> Result<IpAddr, AddressError> {
    let (addr, wanted) = match text.split_once('%') {
        Some((addr, wanted)) => (addr, Some(wanted)),
        None => (text, None),
    };
    let addr: IpAddr = addr.parse().map_err(|_| AddressError::NotAnAddress(text.to_owned()))?;
    match wanted {
        None if is_link_local(addr) => Err(AddressError::NeedsInterface(without_interface(addr))),
        None => Ok(addr),
        Some(_) if !is_link_local(addr) => Err(AddressError::NotLinkLocal(addr)),
        Some(wanted) => Ok(on_interface(addr, index_of(wanted)?)),
    }
}

/// The index of the interface with this name or number.
fn index_of(wanted: &str) -> Result<u32, AddressError> {
    let number = wanted.parse::<u32>().ok();
    interfaces()
        .into_iter()
        .find(|interface| interface.name == wanted || Some(interface.index) == number)
        .map(|interface| interface.index)
        .ok_or_else(|| AddressError::NoSuchInterface(wanted.to_owned()))
}

/// Prints an address in the form that [`parse_address`] reads. If the address has an interface, its
/// name is printed too, or its number when the interface no longer exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShownAddress(pub IpAddr);

impl fmt::Display for ShownAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let index = interface(self.0);
        if index == 0 {
            return write!(f, "{}", self.0);
        }
        let named = interfaces().into_iter().find(|interface| interface.index == index);
        match named {
            Some(named) => write!(f, "{}%{}", without_interface(self.0), named.name),
            None => write!(f, "{}%{index}", without_interface(self.0)),
        }
    }
}

/// Prints a list of addresses for a sentence: the first ten as [`ShownAddress`], and the number of
/// the others. An unspecified address (`0.0.0.0`, `::`) stands for all of its family, as in
/// [`Link::local_addrs`](crate::Link::local_addrs).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShownAddresses<'a>(pub &'a [IpAddr]);

impl fmt::Display for ShownAddresses<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (shown, more) = self.0.split_at(self.0.len().min(MOST_SHOWN));
        for (n, addr) in shown.iter().enumerate() {
            f.write_str(if n == 0 { "" } else { ", " })?;
            match addr {
                IpAddr::V4(addr) if addr.is_unspecified() => {
                    f.write_str("all IPv4 addresses of this host")?;
                }
                IpAddr::V6(addr) if addr.is_unspecified() => {
                    f.write_str("all IPv6 addresses of this host")?;
                }
                addr => write!(f, "{}", ShownAddress(*addr))?,
            }
        }
        match (shown.len(), more.len()) {
            (0, _) => f.write_str("none"),
            (_, 0) => Ok(()),
            (_, more) => write!(f, " and {more} more"),
        }
    }
}

/// How many addresses a sentence names.
const MOST_SHOWN: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_are_named_or_numbered() {
        let loopback = interfaces().into_iter().find(|i| i.loopback).unwrap();
        let addr = on_interface("fe80::9".parse().unwrap(), loopback.index);
        for text in [format!("fe80::9%{}", loopback.name), format!("fe80::9%{}", loopback.index)] {
            assert_eq!(parse_address(&text), Ok(addr), "{text}");
        }
        assert_eq!(ShownAddress(addr).to_string(), format!("fe80::9%{}", loopback.name));
        let gone = on_interface(addr, u32::MAX);
        assert_eq!(ShownAddress(gone).to_string(), format!("fe80::9%{}", u32::MAX));
        for plain in ["10.0.0.1", "169.254.0.1", "::1", "2001:db8::1"] {
            assert_eq!(ShownAddress(parse_address(plain).unwrap()).to_string(), plain);
        }
    }

    #[test]
    fn a_list_of_addresses_fits_into_a_sentence() {
        let shown = |texts: &[&str]| {
            let addrs: Vec<IpAddr> = texts.iter().map(|text| text.parse().unwrap()).collect();
            ShownAddresses(&addrs).to_string()
        };
        assert_eq!(shown(&[]), "none");
        assert_eq!(shown(&["10.0.0.1", "::1"]), "10.0.0.1, ::1");
        assert_eq!(shown(&["0.0.0.0", "::1"]), "all IPv4 addresses of this host, ::1");
        assert_eq!(shown(&["::"]), "all IPv6 addresses of this host");
        let twelve = shown(&["10.0.0.1"; 12]);
        assert_eq!(twelve, format!("{} and 2 more", ["10.0.0.1"; 10].join(", ")));
    }

    #[test]
    fn errors_say_what_is_wrong_with_an_address() {
        for (text, sentence) in [
            ("fe80::1", "the link-local address fe80::1 needs an interface, as in fe80::1%eth0"),
            ("fe80::1%nowhere", "this host has no interface 'nowhere'"),
            ("fe80::1%", "this host has no interface ''"),
            ("fe80::1%4294967295", "this host has no interface '4294967295'"),
            ("10.0.0.1%lo", "10.0.0.1 is not link-local, so no interface can be named for it"),
            ("localhost", "'localhost' is not an IP address"),
        ] {
            assert_eq!(parse_address(text).unwrap_err().to_string(), sentence);
        }
    }
}
