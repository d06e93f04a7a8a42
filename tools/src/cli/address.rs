//! Endpoint addresses on the command line: several IP addresses, one SCTP port, one encapsulation.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use sctp_user::{AddressError, ShownAddress, parse_address};

/// How an address list says its addresses are reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EncapSuffix {
    /// `/udp:N`: in UDP, to this port (RFC 6951).
    Udp(u16),
    /// `/native`: directly in IP.
    Native,
}

/// One SCTP endpoint: `addr:port{,addr}[/udp:N|/native]`.
///
/// IPv6 addresses stand in brackets where a port follows (`[fd00::1]:3863`), and link-local ones
/// with their interface (`fe80::1%eth0`, `[fe80::1%eth0]:3863`); only the first address has a port.
/// The suffix stands once, at the end, and holds for all addresses: a UDP port belongs to a stack,
/// not to one of its addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressList {
    /// The addresses in the order given; never empty.
    pub addrs: Vec<IpAddr>,
    /// SCTP port; `None` where the text had none.
    pub port: Option<u16>,
    /// The suffix, if there was one.
    pub encap: Option<EncapSuffix>,
}

impl AddressList {
    /// The port, or `default` where the text had none.
    pub fn port_or(&self, default: u16) -> u16 {
        self.port.unwrap_or(default)
    }

    /// The UDP port to send to: the suffix, or 9899 (RFC 6951 sec 5.1) without one; `None` for
    /// `/native`.
    pub fn udp_port(&self) -> Option<u16> {
        match self.encap {
            None => Some(WELL_KNOWN_UDP_PORT),
            Some(EncapSuffix::Udp(port)) => Some(port),
            Some(EncapSuffix::Native) => None,
        }
    }
}

impl FromStr for AddressList {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (list, encap) = match text.split_once('/') {
            None => (text, None),
            Some((list, suffix)) => (list, Some(encap_suffix(suffix)?)),
        };
        let mut parts = list.split(',');
        let (first, port) = address_and_port(parts.next().unwrap_or_default())?;
        let mut addrs = vec![first];
        for part in parts {
            let (addr, extra) = address_and_port(part)?;
            if extra.is_some() {
                return Err(format!(
                    "only the first address of an endpoint has a port, but '{part}' has one, too"
                ));
            }
            if addrs.contains(&addr) {
                let addr = ShownAddress(addr);
                return Err(format!("the address {addr} is given twice"));
            }
            addrs.push(addr);
        }
        Ok(AddressList { addrs, port, encap })
    }
}

impl fmt::Display for AddressList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, addr) in self.addrs.iter().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            match addr {
                IpAddr::V4(addr) => write!(f, "{addr}")?,
                IpAddr::V6(_) => write!(f, "[{}]", ShownAddress(*addr))?,
            }
            if let (0, Some(port)) = (i, self.port) {
                write!(f, ":{port}")?;
            }
        }
        match self.encap {
            None => Ok(()),
            Some(EncapSuffix::Udp(port)) => write!(f, "/udp:{port}"),
            Some(EncapSuffix::Native) => f.write_str("/native"),
        }
    }
}

fn encap_suffix(suffix: &str) -> Result<EncapSuffix, String> {
    if suffix == "native" {
        return Ok(EncapSuffix::Native);
    }
    match suffix.strip_prefix("udp:").map(str::parse::<u16>) {
        Some(Ok(port)) if port != 0 => Ok(EncapSuffix::Udp(port)),
        _ => Err(format!(
            "'/{suffix}' is no encapsulation; right are /udp:N with N from 1 to 65535, and /native"
        )),
    }
}

fn address_and_port(text: &str) -> Result<(IpAddr, Option<u16>), String> {
    let wrong = || {
        format!(
            "'{text}' is not an IP address with or without port; right are 192.0.2.1:3863, \
             [2001:db8::1]:3863 and 192.0.2.1"
        )
    };
    if let Some(rest) = text.strip_prefix('[') {
        let (addr, rest) = rest.split_once(']').ok_or_else(wrong)?;
        let addr = bare(addr)?.filter(IpAddr::is_ipv6).ok_or_else(wrong)?;
        return match rest {
            "" => Ok((addr, None)),
            _ => Ok((addr, Some(port(rest.strip_prefix(':').ok_or_else(wrong)?, text)?))),
        };
    }
    if let Some(addr) = bare(text)? {
        return Ok((addr, None));
    }
    let (addr, number) = text.rsplit_once(':').ok_or_else(wrong)?;
    let addr: std::net::Ipv4Addr = addr.parse().map_err(|_| wrong())?;
    Ok((addr.into(), Some(port(number, text)?)))
}

/// An address without anything around it, or `None` where there is more; an error where only its
/// interface is wrong.
fn bare(text: &str) -> Result<Option<IpAddr>, String> {
    match parse_address(text) {
        Ok(addr) => Ok(Some(addr)),
        Err(AddressError::NotAnAddress(_)) => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

fn port(number: &str, whole: &str) -> Result<u16, String> {
    number.parse().map_err(|_| format!("the port in '{whole}' is not a number from 0 to 65535"))
}

/// The UDP port of SCTP over UDP (RFC 6951 sec 5.1).
const WELL_KNOWN_UDP_PORT: u16 = 9899;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_with_ports_and_suffixes() {
        let one: AddressList = "127.0.0.1:3863/udp:9898".parse().unwrap();
        assert_eq!(one.addrs, ["127.0.0.1".parse::<IpAddr>().unwrap()]);
        assert_eq!(
            (one.port, one.encap, one.udp_port()),
            (Some(3863), Some(EncapSuffix::Udp(9898)), Some(9898))
        );

        let two: AddressList = "10.88.0.11:3863,[fd88::11],fd88::12/native".parse().unwrap();
        assert_eq!(two.addrs.len(), 3);
        assert_eq!((two.port_or(1), two.udp_port()), (3863, None));

        let bare: AddressList = "[::1]".parse().unwrap();
        assert_eq!((bare.port, bare.port_or(3863), bare.udp_port()), (None, 3863, Some(9899)));
    }

    #[test]
    fn printing_gives_back_what_was_read() {
        for text in [
            "127.0.0.1:0",
            "[::1]:7,10.0.0.1/udp:1",
            "10.0.0.1,[fd88::1]/native",
            "[2001:db8::1]:65535",
            "[fe80::1%lo]:7,[fe80::2%lo]/udp:1",
        ] {
            assert_eq!(text.parse::<AddressList>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (text, hint) in [
            ("", "is not an IP address"),
            ("localhost:3863", "'localhost:3863'"),
            ("127.0.0.1:", "not a number"),
            ("127.0.0.1:65536", "0 to 65535"),
            ("[::1", "'[::1'"),
            ("[::1]3863", "'[::1]3863'"),
            ("10.0.0.1:1,10.0.0.2:1", "only the first"),
            ("10.0.0.1:1,10.0.0.1", "twice"),
            ("fe80::1%lo,fe80::1%1", "fe80::1%lo is given twice"),
            ("fe80::1", "fe80::1 needs an interface"),
            ("[fe80::1]:7", "fe80::1 needs an interface"),
            ("[fe80::1%nowhere]:7", "no interface 'nowhere'"),
            ("[10.0.0.1]:7", "'[10.0.0.1]:7'"),
            ("10.0.0.1:1,", "''"),
            ("10.0.0.1/udp", "/udp:N"),
            ("10.0.0.1/udp:0", "/udp:N"),
            ("10.0.0.1/udp:1/native", "/udp:N"),
        ] {
            let complaint = text.parse::<AddressList>().unwrap_err();
            assert!(complaint.contains(hint), "{text}: {complaint}");
        }
    }
}
