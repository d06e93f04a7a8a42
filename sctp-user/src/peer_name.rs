//! Peers as people write them.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use sctp_user_core::{Encap, Peer};
use sctp_user_link::{AddressError, ShownAddress, parse_address};

/// A peer as a text or a [`Peer`] gives it, with names that nobody has looked up yet:
/// `HOST:PORT{,HOST}[/udp:N|/native]`.
///
/// A host is an IP address or a name. IPv6 addresses stand in brackets where a port follows, and
/// link-local ones with their interface. The SCTP port, 1 to 65535, stands behind the first host
/// and holds for all. The end says how the peer is reached: `/udp:N` in UDP to that port,
/// `/native` directly in IP. Without it, that is up to the stack: see [`ToPeer`](crate::ToPeer).
/// Spaces around a host do not matter.
///
/// ```
/// use sctp_user::PeerName;
///
/// for text in [
///     "127.0.0.1:7",
///     "localhost:7",
///     "[2001:db8::1]:7/udp:9900",
///     "server.example:7,192.0.2.1,2001:db8::1/native",
/// ] {
///     let peer: PeerName = text.parse()?;
///     assert_eq!(peer.port(), 7);
///     assert_eq!(peer.to_string().parse(), Ok(peer));
/// }
/// # Ok::<(), sctp_user::PeerError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerName {
    pub(crate) hosts: Vec<Host>,
    pub(crate) port: u16,
}

/// One host of a peer, and how it is reached; `None` leaves that to the stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Host {
    pub(crate) at: At,
    pub(crate) encap: Option<Encap>,
}

/// Where a host is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum At {
    Addr(IpAddr),
    Name(String),
}

/// Why a text names no peer that can be reached.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PeerError {
    /// A host is neither an address nor a name.
    #[error(
        "'{0}' is neither an IP address nor a name; right are localhost:7, 192.0.2.1:7 and \
         [2001:db8::1]:7"
    )]
    NotAHost(String),
    /// The interface of an address is wrong or missing.
    #[error(transparent)]
    Address(AddressError),
    /// The first host has no SCTP port.
    #[error("'{given}' has no SCTP port: write {right}")]
    NoPort {
        /// The host.
        given: String,
        /// The host with a port.
        right: String,
    },
    /// The port of the first host is none.
    #[error("the SCTP port in '{0}' is not a number from 1 to 65535")]
    Port(String),
    /// A host that is not the first one has a port.
    #[error("only the first host of a peer has a port, but '{0}' has one, too")]
    SecondPort(String),
    /// A host is given twice.
    #[error("the host {0} is given twice")]
    Twice(String),
    /// The end does not say how the peer is reached.
    #[error(
        "'/{0}' does not say how a peer is reached; right are /udp:N with N from 1 to 65535, and \
         /native"
    )]
    Encap(String),
    /// The name could not be looked up, or has no address.
    #[error("the name '{name}' cannot be looked up: {why}")]
    NotFound {
        /// The name.
        name: String,
        /// What the system said.
        why: String,
    },
}

impl PeerName {
    /// The SCTP port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Adds a host that is not there yet.
    fn push(&mut self, at: At) -> Result<(), PeerError> {
        if self.hosts.iter().any(|host| host.at == at) {
            return Err(PeerError::Twice(at.to_string()));
        }
        self.hosts.push(Host { at, encap: None });
        Ok(())
    }
}

impl From<Peer> for PeerName {
    fn from(peer: Peer) -> Self {
        let host = |(addr, encap)| Host { at: At::Addr(addr), encap: Some(encap) };
        PeerName { hosts: peer.addrs.into_iter().map(host).collect(), port: peer.port }
    }
}

impl FromStr for PeerName {
    type Err = PeerError;

    fn from_str(text: &str) -> Result<Self, PeerError> {
        let (hosts, encap) = match text.split_once('/') {
            None => (text, None),
            Some((hosts, end)) => (hosts, Some(encap(end.trim())?)),
        };
        let mut texts = hosts.split(',').map(str::trim);
        let first = texts.next().unwrap_or_default();
        let (at, port) = host(first)?;
        let port = port.ok_or_else(|| no_port(first, &at))?;
        let port = port.parse().ok().filter(|port| *port != 0);
        let port = port.ok_or_else(|| PeerError::Port(first.to_owned()))?;
        let mut peer = PeerName { hosts: Vec::new(), port };
        peer.push(at)?;
        for text in texts {
            match host(text)? {
                (at, None) => peer.push(at)?,
                (_, Some(_)) => return Err(PeerError::SecondPort(text.to_owned())),
            }
        }
        for host in &mut peer.hosts {
            host.encap = encap;
        }
        Ok(peer)
    }
}

/// As it is read. A [`Peer`] whose addresses are reached in different ways has no such text; the
/// way to the first one is shown then.
impl fmt::Display for PeerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, host) in self.hosts.iter().enumerate() {
            match n {
                0 => write!(f, "{}:{}", host.at, self.port)?,
                _ => write!(f, ",{}", host.at)?,
            }
        }
        match self.hosts.first().and_then(|host| host.encap) {
            None => Ok(()),
            Some(Encap::Udp { remote_port }) => write!(f, "/udp:{remote_port}"),
            Some(Encap::Native) => f.write_str("/native"),
        }
    }
}

/// An IPv6 address stands in brackets.
impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            At::Addr(IpAddr::V4(addr)) => write!(f, "{addr}"),
            At::Addr(addr) => write!(f, "[{}]", ShownAddress(*addr)),
            At::Name(name) => f.write_str(name),
        }
    }
}

fn encap(end: &str) -> Result<Encap, PeerError> {
    if end == "native" {
        return Ok(Encap::Native);
    }
    match end.strip_prefix("udp:").map(str::parse) {
        Some(Ok(remote_port)) if remote_port != 0 => Ok(Encap::Udp { remote_port }),
        _ => Err(PeerError::Encap(end.to_owned())),
    }
}

/// One host and the text of its port, if it has one.
fn host(text: &str) -> Result<(At, Option<&str>), PeerError> {
    let wrong = || PeerError::NotAHost(text.to_owned());
    if let Some(rest) = text.strip_prefix('[') {
        let (inside, rest) = rest.split_once(']').ok_or_else(wrong)?;
        let addr = address(inside)?.filter(IpAddr::is_ipv6).ok_or_else(wrong)?;
        return match rest {
            "" => Ok((At::Addr(addr), None)),
            _ => Ok((At::Addr(addr), Some(rest.strip_prefix(':').ok_or_else(wrong)?))),
        };
    }
    if let Some(addr) = address(text)? {
        return Ok((At::Addr(addr), None));
    }
    let (before, port) = match text.split_once(':') {
        Some((before, port)) if !port.contains(':') => (before, Some(port)),
        Some(_) => return Err(wrong()),
        None => (text, None),
    };
    match address(before)? {
        Some(addr) => Ok((At::Addr(addr), port)),
        None if is_name(before) => Ok((At::Name(before.to_owned()), port)),
        None => Err(wrong()),
    }
}

/// An address without anything around it, or `None` where there is more; an error where only its
/// interface is wrong.
fn address(text: &str) -> Result<Option<IpAddr>, PeerError> {
    match parse_address(text) {
        Ok(addr) => Ok(Some(addr)),
        Err(AddressError::NotAnAddress(_)) => Ok(None),
        Err(error) => Err(PeerError::Address(error)),
    }
}

/// What a resolver may be asked for. A name that ends in a number is an IPv4 address with a
/// mistake.
fn is_name(text: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty() && label.chars().all(|c| c.is_alphanumeric() || c == '-' || c == '_')
    };
    let relative = text.strip_suffix('.').unwrap_or(text);
    let number = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit());
    text.len() <= MAX_NAME
        && relative.split('.').all(label)
        && !relative.rsplit('.').next().is_some_and(number)
}

/// A text like `::1:3863` is an IPv6 address; perhaps its end was meant as the port.
fn no_port(given: &str, at: &At) -> PeerError {
    let meant = given.rsplit_once(':').filter(|(addr, port)| {
        addr.parse::<Ipv6Addr>().is_ok() && port.parse::<u16>().is_ok_and(|port| port != 0)
    });
    let right = match meant {
        Some((addr, port)) if !given.starts_with('[') => format!("[{addr}]:{port}"),
        _ => format!("{at}:7, say"),
    };
    PeerError::NoPort { given: given.to_owned(), right }
}

/// The bytes of the longest name (RFC 1035 sec 2.3.4).
const MAX_NAME: usize = 255;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn peer(text: &str) -> PeerName {
        text.parse().unwrap_or_else(|why| panic!("{text}: {why}"))
    }

    #[test]
    fn hosts_ports_and_ways() {
        let one = peer("127.0.0.1:7");
        let at = At::Addr([127, 0, 0, 1].into());
        assert_eq!(one, PeerName { hosts: vec![Host { at, encap: None }], port: 7 });

        let many = peer("server.example:3863,[2001:db8::1],2001:db8::2,192.0.2.1/udp:5");
        let hosts: Vec<String> = many.hosts.iter().map(|host| host.at.to_string()).collect();
        assert_eq!(hosts, ["server.example", "[2001:db8::1]", "[2001:db8::2]", "192.0.2.1"]);
        assert!(many.hosts.iter().all(|h| h.encap == Some(Encap::Udp { remote_port: 5 })));
        assert_eq!(many.port(), 3863);

        let spaced = peer(" server.example:3863, [2001:db8::1],2001:db8::2 , 192.0.2.1 /udp:5 ");
        assert_eq!(spaced, many);

        assert_eq!(peer("a:1/native").hosts[0].encap, Some(Encap::Native));
    }

    #[test]
    fn printing_gives_back_what_was_read() {
        for text in [
            "127.0.0.1:1",
            "localhost:65535",
            "a-b_c.example.:7,[::1]",
            "[::1]:7,10.0.0.1/udp:1",
            "bücher.example:7/native",
            "[fe80::1%lo]:7,[fe80::2%lo]/udp:65535",
        ] {
            assert_eq!(peer(text).to_string(), text);
        }
    }

    #[test]
    fn a_peer_is_its_own_name() {
        let native = Peer::new([192, 0, 2, 1].into(), Encap::Native, 7);
        assert_eq!(PeerName::from(native), peer("192.0.2.1:7/native"));
        let udp = Peer::udp("[2001:db8::1]:9899".parse().unwrap(), 7);
        assert_eq!(PeerName::from(udp), peer("[2001:db8::1]:7/udp:9899"));
    }

    #[test]
    fn what_is_wrong_is_said_in_a_sentence_that_says_what_is_right() {
        let hosts = "is neither an IP address nor a name; right are localhost:7, 192.0.2.1:7 and \
                     [2001:db8::1]:7";
        let ways = "does not say how a peer is reached; right are /udp:N with N from 1 to 65535, \
                    and /native";
        let port = "is not a number from 1 to 65535";
        for (text, sentence) in [
            ("", format!("'' {hosts}")),
            (":7", format!("':7' {hosts}")),
            ("a b:7", format!("'a b:7' {hosts}")),
            ("a..b:7", format!("'a..b:7' {hosts}")),
            ("10.0.0.256:7", format!("'10.0.0.256:7' {hosts}")),
            ("7", format!("'7' {hosts}")),
            ("a:7:8", format!("'a:7:8' {hosts}")),
            ("[::1", format!("'[::1' {hosts}")),
            ("[::1]7", format!("'[::1]7' {hosts}")),
            ("[10.0.0.1]:7", format!("'[10.0.0.1]:7' {hosts}")),
            ("[localhost]:7", format!("'[localhost]:7' {hosts}")),
            ("10.0.0.1:1,", format!("'' {hosts}")),
            ("10.0.0.1:1, , a", format!("'' {hosts}")),
            ("10.0.0.1:1, a b", format!("'a b' {hosts}")),
            ("localhost", "'localhost' has no SCTP port: write localhost:7, say".to_owned()),
            ("10.0.0.1", "'10.0.0.1' has no SCTP port: write 10.0.0.1:7, say".to_owned()),
            ("[::1]", "'[::1]' has no SCTP port: write [::1]:7, say".to_owned()),
            ("::1:3863", "'::1:3863' has no SCTP port: write [::1]:3863".to_owned()),
            ("2001:db8::", "'2001:db8::' has no SCTP port: write [2001:db8::]:7, say".to_owned()),
            ("a:", format!("the SCTP port in 'a:' {port}")),
            ("a:0", format!("the SCTP port in 'a:0' {port}")),
            ("[::1]:65536", format!("the SCTP port in '[::1]:65536' {port}")),
            ("10.0.0.1:http", format!("the SCTP port in '10.0.0.1:http' {port}")),
            (
                "a:7,b:7",
                "only the first host of a peer has a port, but 'b:7' has one, too".to_owned(),
            ),
            ("a:7,b,b", "the host b is given twice".to_owned()),
            ("10.0.0.1:1,10.0.0.1", "the host 10.0.0.1 is given twice".to_owned()),
            ("fe80::1%lo:7,fe80::1%1", "this host has no interface 'lo:7'".to_owned()),
            (
                "[fe80::1]:7",
                "the link-local address fe80::1 needs an interface, as in fe80::1%eth0".to_owned(),
            ),
            ("[fe80::1%nowhere]:7", "this host has no interface 'nowhere'".to_owned()),
            ("a:7/udp", format!("'/udp' {ways}")),
            ("a:7/udp:0", format!("'/udp:0' {ways}")),
            ("a:7/native/native", format!("'/native/native' {ways}")),
        ] {
            assert_eq!(text.parse::<PeerName>().map_err(|why| why.to_string()), Err(sentence));
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_peer_or_a_mistake(text in "[a1:.,/%\\[\\]]{0,20}|.{0,40}") {
            if let Ok(peer) = text.parse::<PeerName>() {
                prop_assert_eq!(peer.to_string().parse(), Ok(peer));
            }
        }
    }
}
