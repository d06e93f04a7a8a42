//! What a stack connects to: peers, and texts whose names are looked up.

use std::io;
use std::net::{IpAddr, SocketAddr};

use sctp_user_core::interface::from_socket_addr;
use sctp_user_core::{Encap, Peer};

use crate::builder::Settings;
use crate::error::Error;
use crate::peer_name::{At, Host, PeerError, PeerName};

/// Anything that a peer can be made of, for `connect`: a [`Peer`], a text in the form of
/// [`PeerName`], or a host with an SCTP port.
///
/// Names are looked up when a call needs them, each time anew, and all addresses of a name count as
/// addresses of the peer. A stack on tokio leaves that to threads of its own and other tasks go
/// on; a [`blocking`](crate::blocking) one waits for the resolver, whatever its timeout. Addresses
/// ask no resolver.
///
/// Where nothing says how the peer is reached, the links of the stack decide: in UDP at port 9899,
/// directly in IP, or, with links for both, by whichever way the peer answers first
/// ([`Stack::connect_first`](crate::Stack::connect_first)). Calls that make one attempt only choose
/// UDP then.
///
/// ```no_run
/// # async fn example(stack: sctp_user::Stack) -> Result<(), sctp_user::Error> {
/// use sctp_user::Peer;
///
/// stack.connect("server.example:7").await?;
/// stack.connect("192.0.2.1:7,198.51.100.1/udp:9900").await?;
/// stack.connect(("server.example", 7)).await?;
/// stack.connect(Peer::udp(([192, 0, 2, 1], 9900).into(), 7)).await?;
/// # Ok(()) }
/// ```
pub trait ToPeer {
    /// The peer as far as it is known without a resolver.
    ///
    /// # Errors
    /// A sentence that says what is wrong, and what would be right.
    fn to_peer_name(&self) -> Result<PeerName, PeerError>;
}

impl ToPeer for PeerName {
    fn to_peer_name(&self) -> Result<PeerName, PeerError> {
        Ok(self.clone())
    }
}

impl ToPeer for Peer {
    fn to_peer_name(&self) -> Result<PeerName, PeerError> {
        Ok(self.clone().into())
    }
}

impl ToPeer for str {
    fn to_peer_name(&self) -> Result<PeerName, PeerError> {
        self.parse()
    }
}

impl ToPeer for String {
    fn to_peer_name(&self) -> Result<PeerName, PeerError> {
        self.parse()
    }
}

/// An address or a name, and the SCTP port.
impl ToPeer for (&str, u16) {
    fn to_peer_name(&self) -> Result<PeerName, PeerError> {
        let (host, port) = (self.0.trim(), self.1);
        match host.parse::<IpAddr>() {
            Ok(addr @ IpAddr::V6(_)) => format!("[{addr}]:{port}").parse(),
            _ => format!("{host}:{port}").parse(),
        }
    }
}

/// An address and the SCTP port.
impl ToPeer for (IpAddr, u16) {
    fn to_peer_name(&self) -> Result<PeerName, PeerError> {
        let (addr, port) = *self;
        Ok(PeerName { hosts: vec![Host { at: At::Addr(addr), encap: None }], port })
    }
}

impl<T: ToPeer + ?Sized> ToPeer for &T {
    fn to_peer_name(&self) -> Result<PeerName, PeerError> {
        (**self).to_peer_name()
    }
}

impl PeerName {
    /// Looks the names up, without blocking the runtime. Gives the ways to the peer, the preferred
    /// one first: where the text says nothing about that, directly in IP, and in UDP at port 9899.
    /// All addresses of all names are addresses of the peer. Cancel-safe.
    ///
    /// # Errors
    /// [`PeerError::NotFound`].
    pub async fn look_up(&self) -> Result<Vec<Peer>, PeerError> {
        let addrs = addrs(self.clone(), find(self).await?);
        let is_open = addrs.iter().any(|(_, encap)| encap.is_none());
        let defaults: &[Encap] = if is_open { &[Encap::Native, WELL_KNOWN] } else { &[WELL_KNOWN] };
        Ok(defaults.iter().map(|default| with_default(&addrs, self.port, *default)).collect())
    }
}

/// How the links of a stack reach a peer.
pub(crate) struct Ways {
    /// To be tried first, where the other one is in UDP and nothing says which of them to take.
    pub(crate) native: Option<Peer>,
    /// The way to take for a single attempt.
    pub(crate) peer: Peer,
}

/// Looks names up without blocking the runtime.
pub(crate) async fn resolve(peer: impl ToPeer, settings: &Settings) -> Result<Ways, Error> {
    let peer = peer.to_peer_name()?;
    let found = find(&peer).await?;
    Ok(ways(peer, found, settings))
}

/// The addresses of each name.
async fn find(peer: &PeerName) -> Result<Vec<Vec<IpAddr>>, PeerError> {
    let mut found = Vec::new();
    for name in names(peer) {
        let addrs = tokio::net::lookup_host((name, 0)).await.map(Iterator::collect);
        found.push(all_of(name, addrs)?);
    }
    Ok(found)
}

/// As [`resolve`], for a single attempt and in the calling thread.
#[cfg(all(unix, feature = "blocking"))]
pub(crate) fn resolve_blocking(peer: impl ToPeer, settings: &Settings) -> Result<Peer, Error> {
    use std::net::ToSocketAddrs as _;

    let peer = peer.to_peer_name()?;
    let mut found = Vec::new();
    for name in names(&peer) {
        found.push(all_of(name, (name, 0).to_socket_addrs().map(Iterator::collect))?);
    }
    Ok(ways(peer, found, settings).peer)
}

fn names(peer: &PeerName) -> impl Iterator<Item = &str> {
    peer.hosts.iter().filter_map(|host| match &host.at {
        At::Name(name) => Some(name.as_str()),
        At::Addr(_) => None,
    })
}

/// The addresses of a name; an error when there are none.
fn all_of(name: &str, addrs: io::Result<Vec<SocketAddr>>) -> Result<Vec<IpAddr>, PeerError> {
    let not_found = |why| PeerError::NotFound { name: name.to_owned(), why };
    let addrs = addrs.map_err(|why| not_found(why.to_string()))?;
    if addrs.is_empty() {
        return Err(not_found("it has no address".to_owned()));
    }
    Ok(addrs.into_iter().map(from_socket_addr).collect())
}

/// Puts the addresses that were `found`, a list for each name, in the places of the names.
fn addrs(peer: PeerName, found: Vec<Vec<IpAddr>>) -> Vec<(IpAddr, Option<Encap>)> {
    let PeerName { hosts, .. } = peer;
    let mut found = found.into_iter();
    let mut addrs: Vec<(IpAddr, Option<Encap>)> = Vec::new();
    for Host { at, encap } in hosts {
        let all = match at {
            At::Addr(addr) => vec![addr],
            At::Name(_) => found.next().unwrap_or_default(),
        };
        for addr in all {
            if !addrs.contains(&(addr, encap)) {
                addrs.push((addr, encap));
            }
        }
    }
    addrs
}

/// The peer at these addresses, reached by `default` where nothing else is said.
fn with_default(addrs: &[(IpAddr, Option<Encap>)], port: u16, default: Encap) -> Peer {
    let addrs = addrs.iter().map(|(addr, encap)| (*addr, encap.unwrap_or(default))).collect();
    Peer { addrs, port }
}

fn ways(peer: PeerName, found: Vec<Vec<IpAddr>>, settings: &Settings) -> Ways {
    let port = peer.port;
    let addrs = addrs(peer, found);
    let by = |default: Encap| with_default(&addrs, port, default);
    let open = addrs.iter().any(|(_, encap)| encap.is_none());
    let native = settings.has_link(Encap::Native);
    let udp = settings.has_link(WELL_KNOWN);
    Ways {
        native: (native && udp && open).then(|| by(Encap::Native)),
        peer: by(if native && !udp { Encap::Native } else { WELL_KNOWN }),
    }
}

/// Where SCTP is in UDP, as long as nobody says otherwise (RFC 6951 sec 5.1).
const WELL_KNOWN: Encap = Encap::Udp { remote_port: 9899 };
