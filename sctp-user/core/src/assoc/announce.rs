//! Which of our addresses INIT and INIT ACK list (RFC 9260 sec 5.1.2, RFC 6951 sec 5.1).

use std::net::IpAddr;

use crate::addr::{PathAddr, Scope, scope};
use crate::config::Announce;
use crate::interface::is_link_local;

/// The addresses of ours to list for a peer that is reached through `via`, following the rules of
/// [`Announce`]. Empty when there is only one, because the packet itself shows that.
pub(crate) fn announced(mode: Announce, own: &[IpAddr], via: PathAddr) -> Vec<IpAddr> {
    let silent = match mode {
        Announce::None => true,
        Announce::Auto => behind_nat(own, via),
        Announce::All => false,
    };
    if silent || own.len() < 2 {
        return Vec::new();
    }
    let at_least = match (scope(via.remote), mode) {
        (Some(Scope::Loopback), _) => Scope::Loopback,
        // Link-local addresses mean nothing on another link, so only loopback peers get them.
        (_, Announce::All) | (Some(Scope::Link | Scope::Private), _) => Scope::Private,
        _ => Scope::Global,
    };
    // No packet can say which interface a link-local IPv6 address belongs to.
    let useful = |a: IpAddr| scope(a).is_some_and(|s| s >= at_least) && !is_link_local(a);
    let listed: Vec<IpAddr> = own.iter().copied().filter(|a| useful(*a)).collect();
    if listed.len() < 2 { Vec::new() } else { listed }
}

/// Whether a NAT is in between. It must be if the peer has a global address and our source address
/// is private, because then the peer sees another source. If the system chooses the source, it can
/// only choose a private one when all our addresses of that family are private.
fn behind_nat(own: &[IpAddr], via: PathAddr) -> bool {
    let private = |a: IpAddr| scope(a).is_some_and(|s| s < Scope::Global);
    scope(via.remote) == Some(Scope::Global)
        && match via.local {
            Some(source) => private(source),
            None => {
                let mut family =
                    own.iter().filter(|a| a.is_ipv4() == via.remote.is_ipv4()).peekable();
                family.peek().is_some() && family.all(|a| private(*a))
            }
        }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addr::Encap;

    fn list(mode: Announce, own: &[&str], local: Option<&str>, remote: &str) -> Vec<String> {
        let own: Vec<IpAddr> = own.iter().map(|a| a.parse().unwrap()).collect();
        let local = local.map(|a| a.parse().unwrap());
        let via = PathAddr { local, remote: remote.parse().unwrap(), encap: Encap::Native };
        announced(mode, &own, via).iter().map(IpAddr::to_string).collect()
    }

    const MIXED: [&str; 5] = ["127.0.0.1", "169.254.0.1", "10.0.0.1", "192.0.2.1", "2001:db8::1"];

    #[test]
    fn the_scope_of_the_peer_decides() {
        use Announce::Auto;
        assert_eq!(list(Auto, &MIXED, None, "127.0.0.1"), MIXED);
        assert_eq!(list(Auto, &MIXED, None, "10.0.0.9"), MIXED[2..]);
        assert_eq!(list(Auto, &MIXED, None, "169.254.0.9"), MIXED[2..]);
        assert_eq!(list(Auto, &MIXED, Some("192.0.2.1"), "198.51.100.1"), MIXED[3..]);
        assert!(
            list(Auto, &["192.0.2.1"], None, "198.51.100.1").is_empty(),
            "the packet itself shows the only address"
        );
        assert!(
            list(Auto, &["10.0.0.1", "192.0.2.1"], None, "198.51.100.1").is_empty(),
            "only one address of that scope is left"
        );
    }

    #[test]
    fn behind_nat_nothing_is_listed_by_itself() {
        use Announce::{All, Auto};
        let global = ["10.0.0.1", "2001:db8::1", "2001:db8::2"];
        assert!(list(Auto, &global, Some("10.0.0.1"), "198.51.100.1").is_empty());
        assert!(
            list(Auto, &global, None, "198.51.100.1").is_empty(),
            "the system must choose the private address"
        );
        assert_eq!(list(Auto, &global, None, "2001:db8::9"), global[1..]);
        assert!(list(Auto, &MIXED, Some("10.0.0.1"), "198.51.100.1").is_empty());
        assert_eq!(list(All, &global, Some("10.0.0.1"), "198.51.100.1"), global);
    }

    #[test]
    fn all_lists_private_addresses_to_everybody_and_none_lists_nothing() {
        use Announce::{All, None as Nothing};
        assert_eq!(list(All, &MIXED, None, "198.51.100.1"), MIXED[2..]);
        assert_eq!(list(All, &MIXED, None, "127.0.0.1"), MIXED);
        for remote in ["127.0.0.1", "10.0.0.9", "198.51.100.1"] {
            assert!(list(Nothing, &MIXED, None, remote).is_empty());
        }
    }
}
