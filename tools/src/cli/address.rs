//! Endpoint addresses on the command line: several IP addresses, one SCTP port, one encapsulation.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use sctp_user::{AddressError, parse_address};

use super::host::Host;

/// The suffix of an address list: how its addresses are reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EncapSuffix {
    /// `/udp:N`: in UDP, to this port (RFC 6951).
    Udp(u16),
    /// `/native`: directly in IP.
    Native,
}

/// One SCTP endpoint: `addr:port{,addr}[/udp:N|/native]`.
///
/// A name instead of an address means all addresses of that host. An IPv6 address with a port is in
/// brackets (`[fd00::1]:3863`), and a link-local one names its interface (`fe80::1%eth0`,
/// `[fe80::1%eth0]:3863`). Only the first address has a port. The suffix comes once, at the end,
/// and is for all addresses, because a UDP port belongs to a stack and not to one of its addresses.
/// Spaces around a host do not matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressList {
    /// The hosts, in their order. Never empty.
    pub hosts: Vec<Host>,
    /// SCTP port, if the text has one.
    pub port: Option<u16>,
    /// The suffix, if there was one.
    pub encap: Option<EncapSuffix>,
}

impl AddressList {
    /// The port, or `default` if the text has none.
    pub fn port_or(&self, default: u16) -> u16 {
        self.port.unwrap_or(default)
    }

    /// The addresses, without the hosts that are given by name.
    pub fn addrs(&self) -> impl Iterator<Item = IpAddr> {
        self.hosts.iter().filter_map(|host| match host {
            Host::Addr(addr) => Some(*addr),
            Host::Name(_) => None,
        })
    }

    /// The UDP port to send to: that of the suffix, or 9899 (RFC 6951 sec 5.1) if there is no
    /// suffix.
    /// `None` for `/native`.
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
            Some((list, suffix)) => (list, Some(encap_suffix(suffix.trim())?)),
        };
        if is_all(list.trim()) {
            return Err("'*' stands for all own addresses, but a peer needs one".to_owned());
        }
        let (hosts, port) = hosts_and_port(list)?;
        Ok(AddressList { hosts, port, encap })
    }
}

impl fmt::Display for AddressList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(f, &self.hosts, self.port)?;
        match self.encap {
            None => Ok(()),
            Some(EncapSuffix::Udp(port)) => write!(f, "/udp:{port}"),
            Some(EncapSuffix::Native) => f.write_str("/native"),
        }
    }
}

/// The endpoint of the program itself: `auto`, `*:port`, or `addr:port{,addr}`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnEndpoint {
    /// The own addresses; empty means all addresses of the host.
    pub hosts: Vec<Host>,
    /// SCTP port, if the text has one.
    pub port: Option<u16>,
}

impl OwnEndpoint {
    /// These addresses with this port. No addresses means all of the host.
    pub fn of(addrs: &[IpAddr], port: u16) -> Self {
        let hosts = addrs.iter().copied().map(Host::Addr).collect();
        OwnEndpoint { hosts, port: Some(port) }
    }
}

impl FromStr for OwnEndpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text == "auto" {
            return Ok(OwnEndpoint::default());
        }
        if text.contains('/') {
            return Err(
                "an own endpoint takes no encapsulation suffix; --encap-port= and --link= \
                        say it"
                    .to_owned(),
            );
        }
        if let Some(rest) = text.strip_prefix('*').filter(|_| is_all(text)) {
            let port = rest.strip_prefix(':').map(|number| port(number, text)).transpose()?;
            return Ok(OwnEndpoint { hosts: Vec::new(), port });
        }
        let (hosts, port) = hosts_and_port(text)?;
        Ok(OwnEndpoint { hosts, port })
    }
}

impl fmt::Display for OwnEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(f, &self.hosts, self.port)
    }
}

/// `*` or `*:port`.
fn is_all(text: &str) -> bool {
    text == "*" || text.starts_with("*:")
}

fn show(f: &mut fmt::Formatter<'_>, hosts: &[Host], port: Option<u16>) -> fmt::Result {
    if hosts.is_empty() {
        f.write_str("*")?;
    }
    for (i, host) in hosts.iter().enumerate() {
        if i > 0 {
            write!(f, ",{host}")?;
            continue;
        }
        write!(f, "{host}")?;
        if let Some(port) = port {
            write!(f, ":{port}")?;
        }
    }
    match (hosts, port) {
        ([], Some(port)) => write!(f, ":{port}"),
        _ => Ok(()),
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

fn hosts_and_port(list: &str) -> Result<(Vec<Host>, Option<u16>), String> {
    let mut parts = list.split(',').map(str::trim);
    let (first, port) = host_and_port(parts.next().unwrap_or_default())?;
    let mut hosts = vec![first];
    for part in parts {
        let (host, extra) = host_and_port(part)?;
        if extra.is_some() {
            return Err(format!(
                "only the first address of an endpoint has a port, but '{part}' has one, too"
            ));
        }
        if hosts.contains(&host) {
            return Err(format!("the address {host} is given twice"));
        }
        hosts.push(host);
    }
    Ok((hosts, port))
}

fn host_and_port(text: &str) -> Result<(Host, Option<u16>), String> {
    let wrong = || {
        format!(
            "'{text}' is not an address with or without port; right are 192.0.2.1:3863, \
             [2001:db8::1]:3863, server.example:3863 and 192.0.2.1"
        )
    };
    if text.starts_with('[') {
        let (addr, rest) = text.split_once(']').ok_or_else(wrong)?;
        let addr = bare(&addr[1..])?.filter(IpAddr::is_ipv6).ok_or_else(wrong)?;
        return match rest {
            "" => Ok((Host::Addr(addr), None)),
            _ => {
                let number = rest.strip_prefix(':').ok_or_else(wrong)?;
                Ok((Host::Addr(addr), Some(port(number, text)?)))
            }
        };
    }
    if let Some((addr, number)) = text.rsplit_once(':')
        && addr.contains(':')
        && number.bytes().all(|digit| digit.is_ascii_digit())
        && addr.split('%').next().is_some_and(|addr| addr.parse::<Ipv6Addr>().is_ok())
    {
        return Err(format!(
            "'{text}' leaves open where the address ends; an IPv6 address with a port is written \
             [{addr}]:{number}, and one without a port [{text}]"
        ));
    }
    if let Some(addr) = bare(text)? {
        return Ok((Host::Addr(addr), None));
    }
    let (host, number) = match text.rsplit_once(':') {
        Some((host, number)) => (host, Some(number)),
        None => (text, None),
    };
    if host.contains([':', '[']) {
        return Err(wrong());
    }
    let host = host.parse().map_err(|_| wrong())?;
    Ok((host, number.map(|number| port(number, text)).transpose()?))
}

/// An address with nothing around it, or `None` if there is anything else. An error if only the
/// interface of the address is wrong.
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
        assert_eq!(one.hosts, [host("127.0.0.1")]);
        assert_eq!(
            (one.port, one.encap, one.udp_port()),
            (Some(3863), Some(EncapSuffix::Udp(9898)), Some(9898))
        );

        let two: AddressList = "10.88.0.11:3863,[fd88::11],fd88::12/native".parse().unwrap();
        assert_eq!(two.hosts.len(), 3);
        assert_eq!((two.port_or(1), two.udp_port()), (3863, None));

        let bare: AddressList = "[::1]".parse().unwrap();
        assert_eq!((bare.port, bare.port_or(3863), bare.udp_port()), (None, 3863, Some(9899)));

        let named: AddressList = "localhost:3863,10.0.0.1,a.example".parse().unwrap();
        assert_eq!(named.hosts, [host("localhost"), host("10.0.0.1"), host("a.example")]);
        assert_eq!(named.port, Some(3863));
        let spaced = " localhost:3863, 10.0.0.1 ,a.example ".parse();
        assert_eq!(spaced, Ok(named));
    }

    fn host(text: &str) -> Host {
        text.parse().unwrap()
    }

    #[test]
    fn own_endpoints() {
        let own = |text: &str| text.parse::<OwnEndpoint>();
        let all = |port| Ok(OwnEndpoint { hosts: Vec::new(), port });
        assert_eq!(own("auto"), all(None));
        assert_eq!(own("*"), all(None));
        assert_eq!(own("*:3863"), all(Some(3863)));
        assert_eq!(own("*:0"), all(Some(0)));
        assert_eq!(own(" auto "), all(None));
        assert_eq!(own("10.0.0.1:7, 10.0.0.2"), own("10.0.0.1:7,10.0.0.2"));
        for text in ["*", "*:3863", "localhost:1", "10.0.0.1:0,[fd88::1]", "a.example"] {
            assert_eq!(own(text).unwrap().to_string(), text);
        }
        for (text, hint) in [
            ("*:", "not a number"),
            ("*:65536", "0 to 65535"),
            ("*,10.0.0.1", "right are"),
            ("127.0.0.1:1/udp:5", "--encap-port"),
            ("::1:3863", "[::1]:3863"),
        ] {
            assert!(own(text).unwrap_err().contains(hint), "{text}: {:?}", own(text));
        }
    }

    #[test]
    fn printing_gives_back_what_was_read() {
        for text in [
            "127.0.0.1:0",
            "[::1]:7,10.0.0.1/udp:1",
            "10.0.0.1,[fd88::1]/native",
            "localhost:3863,a.example/udp:9898",
            "[2001:db8::1]:65535",
            "[fe80::1%lo]:7,[fe80::2%lo]/udp:1",
        ] {
            assert_eq!(text.parse::<AddressList>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (text, hint) in [
            ("", "is not an address"),
            ("local host:3863", "'local host:3863'"),
            ("localhost:", "not a number"),
            ("localhost:http", "0 to 65535"),
            ("*:3863", "a peer needs one"),
            ("::1:3863", "[::1]:3863"),
            ("2001:db8::1:2", "[2001:db8::1]:2"),
            ("fe80::1%lo:3863", "[fe80::1%lo]:3863"),
            ("10.0.0.256:1", "right are"),
            ("127.0.0.1:", "not a number"),
            ("127.0.0.1:65536", "0 to 65535"),
            ("[::1", "'[::1'"),
            ("[::1]3863", "'[::1]3863'"),
            ("10.0.0.1:1,10.0.0.2:1", "only the first"),
            ("10.0.0.1:1,10.0.0.1", "twice"),
            ("fe80::1%lo,fe80::1%1", "[fe80::1%lo] is given twice"),
            ("fe80::1", "fe80::1 needs an interface"),
            ("[fe80::1]:7", "fe80::1 needs an interface"),
            ("[fe80::1%nowhere]:7", "no interface 'nowhere'"),
            ("[10.0.0.1]:7", "'[10.0.0.1]:7'"),
            ("10.0.0.1:1,", "''"),
            ("10.0.0.1:1, ", "''"),
            ("10.0.0.1:1, a b", "'a b'"),
            (" *:3863", "a peer needs one"),
            ("10.0.0.1/udp", "/udp:N"),
            ("10.0.0.1/udp:0", "/udp:N"),
            ("10.0.0.1/udp:1/native", "/udp:N"),
        ] {
            let complaint = text.parse::<AddressList>().unwrap_err();
            assert!(complaint.contains(hint), "{text}: {complaint}");
        }
    }
}
