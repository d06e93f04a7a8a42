//! Hosts on the command line: addresses, and names that are looked up.

use std::fmt;
use std::net::{IpAddr, ToSocketAddrs};
use std::str::FromStr;

use anyhow::{Context, bail};
use sctp_user::{AddressError, ShownAddress, from_socket_addr, parse_address};
use tokio::sync::oneshot;

/// A host: one of its addresses, or its name, which means all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// An IP address.
    Addr(IpAddr),
    /// A name for the system's resolver, which knows DNS and the hosts file.
    Name(String),
}

impl FromStr for Host {
    type Err = String;

    /// Reads an address, an IPv6 address in brackets, or a name. Spaces around it do not matter.
    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let bracketed = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        match parse_address(bracketed.unwrap_or(text)) {
            Ok(addr) if bracketed.is_none() || addr.is_ipv6() => Ok(Host::Addr(addr)),
            Ok(_) | Err(AddressError::NotAnAddress(_)) => match text {
                name if is_name(name) => Ok(Host::Name(name.to_owned())),
                _ => Err(format!(
                    "'{text}' is neither an IP address nor a name; right are 192.0.2.1, \
                     2001:db8::1 and server.example"
                )),
            },
            Err(error) => Err(error.to_string()),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Addr(addr @ IpAddr::V4(_)) => write!(f, "{addr}"),
            Host::Addr(addr @ IpAddr::V6(_)) => write!(f, "[{}]", ShownAddress(*addr)),
            Host::Name(name) => f.write_str(name),
        }
    }
}

/// The addresses of all hosts, each address once. Another thread looks the names up; a program that
/// ends does not wait for it.
///
/// # Errors
/// A sentence for the user: a name is not known, or the resolver does not answer.
pub(crate) async fn resolve(hosts: &[Host]) -> anyhow::Result<Vec<IpAddr>> {
    if hosts.iter().all(|host| matches!(host, Host::Addr(_))) {
        return resolve_blocking(hosts);
    }
    let (reply, answer) = oneshot::channel();
    let hosts = hosts.to_vec();
    std::thread::spawn(move || {
        // The caller may have stopped waiting.
        let _ = reply.send(resolve_blocking(&hosts));
    });
    answer.await.context("the thread that looks up names has ended")?
}

/// As [`resolve`], in the calling thread.
///
/// # Errors
/// As [`resolve`].
pub(crate) fn resolve_blocking(hosts: &[Host]) -> anyhow::Result<Vec<IpAddr>> {
    let mut addrs: Vec<IpAddr> = Vec::new();
    for host in hosts {
        let found = match host {
            Host::Addr(addr) => vec![*addr],
            Host::Name(name) => look_up(name)?,
        };
        for addr in found {
            if !addrs.contains(&addr) {
                addrs.push(addr);
            }
        }
    }
    Ok(addrs)
}

fn look_up(name: &str) -> anyhow::Result<Vec<IpAddr>> {
    let found = (name, 0)
        .to_socket_addrs()
        .with_context(|| format!("the address of '{name}' cannot be found"))?;
    let addrs: Vec<IpAddr> = found.map(from_socket_addr).collect();
    if addrs.is_empty() {
        bail!("the name '{name}' has no address");
    }
    Ok(addrs)
}

/// Whether this can be a name: letters, digits and hyphens between dots (RFC 1123 sec 2.1), and
/// underscores, which are in use. If the last part is a number, it is a wrong IPv4 address.
fn is_name(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let label = |label: &str| (1..=63).contains(&label.len()) && label.chars().all(plain);
    let relative = text.strip_suffix('.').unwrap_or(text);
    let last = relative.rsplit('.').next().unwrap_or_default();
    relative.len() <= 253
        && relative.split('.').all(label)
        && !last.chars().all(|c| c.is_ascii_digit())
        && !text.starts_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_names() {
        let addr = |text: &str| Ok(Host::Addr(text.parse().unwrap()));
        assert_eq!("192.0.2.1".parse(), addr("192.0.2.1"));
        assert_eq!("2001:db8::1".parse(), addr("2001:db8::1"));
        assert_eq!("[2001:db8::1]".parse(), addr("2001:db8::1"));
        assert_eq!(" 192.0.2.1 ".parse(), addr("192.0.2.1"));
        for name in ["localhost", "a.example", "a-b_c.example.", "1a"] {
            assert_eq!(name.parse(), Ok(Host::Name(name.to_owned())));
        }
        let long = "a".repeat(64);
        for bad in
            ["", ".", "*", "a b", "192.0.2.256", "1.2", "[192.0.2.1]", "a..b", "-x", "a:1", &long]
        {
            assert!(bad.parse::<Host>().unwrap_err().contains("right are"), "{bad}");
        }
        assert!("fe80::1".parse::<Host>().unwrap_err().contains("needs an interface"));
    }

    #[tokio::test]
    async fn names_stand_for_all_addresses_and_each_counts_once() {
        let hosts = ["127.0.0.1", "localhost", "127.0.0.1"].map(|host| host.parse().unwrap());
        let addrs = resolve(&hosts).await.unwrap();
        assert!(addrs.iter().all(IpAddr::is_loopback), "{addrs:?}");
        assert_eq!(addrs.iter().filter(|addr| addr.is_ipv4()).count(), 1, "{addrs:?}");
        // RFC 6761: no host has this name.
        let error = resolve(&["nobody.invalid".parse().unwrap()]).await.unwrap_err();
        assert!(error.to_string().contains("'nobody.invalid'"), "{error:#}");
    }
}
