//! One line of the protocol: `verb key=value ...`.

use std::net::{IpAddr, SocketAddr};

use sctp_user::from_socket_addr;

use super::errno::Errno;

/// A parsed request.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    pub(crate) verb: &'a str,
    pairs: Vec<(&'a str, &'a str)>,
}

impl<'a> Request<'a> {
    /// Reads a line. An argument that is not of the form `key=value` gives EINVAL.
    pub(crate) fn parse(line: &'a str) -> Result<Self, Errno> {
        let mut words = line.split_ascii_whitespace();
        let verb = words.next().unwrap_or_default();
        let pairs = words
            .map(|word| word.split_once('=').ok_or(Errno::EINVAL))
            .collect::<Result<_, _>>()?;
        Ok(Request { verb, pairs })
    }

    /// The value of a key; `None` when it is absent or empty.
    pub(crate) fn get(&self, key: &str) -> Option<&'a str> {
        self.pairs.iter().find(|(k, v)| *k == key && !v.is_empty()).map(|(_, v)| *v)
    }

    /// The value of a key that must be there.
    pub(crate) fn need(&self, key: &str) -> Result<&'a str, Errno> {
        self.get(key).ok_or(Errno::EINVAL)
    }

    /// A number, decimal or hexadecimal with `0x`; `None` when it is absent.
    pub(crate) fn number<T: TryFrom<u64>>(&self, key: &str) -> Result<Option<T>, Errno> {
        let Some(text) = self.get(key) else { return Ok(None) };
        let number = match text.strip_prefix("0x") {
            Some(hex) => u64::from_str_radix(hex, 16),
            None => text.parse(),
        };
        number.ok().and_then(|n| T::try_from(n).ok()).map(Some).ok_or(Errno::EINVAL)
    }

    /// A number that must be there.
    pub(crate) fn need_number<T: TryFrom<u64>>(&self, key: &str) -> Result<T, Errno> {
        self.number(key)?.ok_or(Errno::EINVAL)
    }

    /// A number, 0 when it is absent.
    pub(crate) fn number_or_zero<T: TryFrom<u64> + Default>(&self, key: &str) -> Result<T, Errno> {
        Ok(self.number(key)?.unwrap_or_default())
    }

    /// A switch: 0 or 1.
    pub(crate) fn switch(&self, key: &str) -> Result<bool, Errno> {
        match self.need(key)? {
            "0" => Ok(false),
            "1" => Ok(true),
            _ => Err(Errno::EINVAL),
        }
    }

    /// A list separated by commas; empty when it is absent. It may end with a comma.
    pub(crate) fn list(&self, key: &str) -> impl Iterator<Item = &'a str> + use<'a> {
        self.get(key).unwrap_or_default().split(',').filter(|item| !item.is_empty())
    }

    /// An address with a port, which must be there.
    pub(crate) fn addr(&self, key: &str) -> Result<SocketAddr, Errno> {
        parse_addr(self.need(key)?)
    }

    /// A list of at least one address, all with the same port.
    pub(crate) fn addrs(&self, key: &str) -> Result<(Vec<IpAddr>, u16), Errno> {
        let addrs = self.list(key).map(parse_addr).collect::<Result<Vec<_>, _>>()?;
        let port = addrs.first().ok_or(Errno::EINVAL)?.port();
        if addrs.iter().any(|a| a.port() != port) {
            return Err(Errno::EINVAL);
        }
        Ok((addrs.iter().map(SocketAddr::ip).collect(), port))
    }

    /// Bytes from hexadecimal digits; empty when they are absent.
    pub(crate) fn hex(&self, key: &str) -> Result<Vec<u8>, Errno> {
        let digits = self.get(key).unwrap_or_default().as_bytes();
        let digit = |d: u8| {
            char::from(d).to_digit(16).and_then(|d| u8::try_from(d).ok()).ok_or(Errno::EINVAL)
        };
        if !digits.len().is_multiple_of(2) {
            return Err(Errno::EINVAL);
        }
        digits.chunks_exact(2).map(|two| Ok(digit(two[0])? << 4 | digit(two[1])?)).collect()
    }
}

/// `a.b.c.d:port` or `[v6]:port`, for link-local addresses `[v6%index]:port`; IPv4-mapped IPv6
/// addresses are IPv4 addresses.
fn parse_addr(text: &str) -> Result<SocketAddr, Errno> {
    let addr: SocketAddr = text.parse().map_err(|_| Errno::EINVAL)?;
    Ok(SocketAddr::new(from_socket_addr(addr).to_canonical(), addr.port()))
}

/// Bytes as lower-case hexadecimal digits.
pub(crate) fn to_hex(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        for digit in [byte >> 4, byte & 15] {
            out.push(char::from_digit(digit.into(), 16).unwrap_or('0'));
        }
    }
    out
}

/// The items, separated by commas.
pub(crate) fn join<T: std::fmt::Display>(items: impl IntoIterator<Item = T>) -> String {
    items.into_iter().map(|item| item.to_string()).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_a_line_apart() {
        let r =
            Request::parse("send id=3 to=[::1]:5 flags=unord,eof, data=00fFa1 ppid=0x10").unwrap();
        assert_eq!((r.verb, r.need_number("id")), ("send", Ok(3u32)));
        assert_eq!(r.addr("to"), Ok("[::1]:5".parse().unwrap()));
        assert_eq!(r.list("flags").collect::<Vec<_>>(), ["unord", "eof"]);
        assert_eq!(r.hex("data"), Ok(vec![0x00, 0xff, 0xa1]));
        assert_eq!(r.number::<u32>("ppid"), Ok(Some(16)));
        assert_eq!(r.number::<u32>("sid"), Ok(None));
        assert_eq!(to_hex(&[0x00, 0xff, 0xa1]), "00ffa1");
    }

    #[test]
    fn refuses_what_it_does_not_understand() {
        assert!(Request::parse("send data").is_err());
        let r = Request::parse("x a=1 b=abc c=-1 d=70000 addrs=1.2.3.4:5,1.2.3.4:6 on=2").unwrap();
        assert_eq!(r.hex("b"), Err(Errno::EINVAL));
        assert_eq!(r.number::<u32>("c"), Err(Errno::EINVAL));
        assert_eq!(r.number::<u16>("d"), Err(Errno::EINVAL));
        assert_eq!(r.addrs("addrs"), Err(Errno::EINVAL));
        assert_eq!(r.switch("on"), Err(Errno::EINVAL));
        assert_eq!(r.addr("a"), Err(Errno::EINVAL));
    }

    #[test]
    fn mapped_addresses_are_ipv4() {
        assert_eq!(parse_addr("[::ffff:1.2.3.4]:5"), Ok("1.2.3.4:5".parse().unwrap()));
    }

    #[test]
    fn link_local_addresses_keep_their_interface() {
        let addr = parse_addr("[fe80::1%3]:5").unwrap();
        assert_ne!(addr.ip(), parse_addr("[fe80::1%4]:5").unwrap().ip());
        assert_eq!(sctp_user::to_socket_addr(addr.ip(), 5).to_string(), "[fe80::1%3]:5");
    }
}
