//! The SCTP stack of a program, by its options, and the peers that it can reach.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Context, bail};
use sctp_udp_encap::{Port, UdpBindError, UdpEncapConfig, UdpEncapLink, WELL_KNOWN_PORT};
use sctp_user::link::Link;
use sctp_user::link::raw::{RawBindError, RawConfig, RawLink};
use sctp_user::{
    AssocConfig, Encap, Peer, Scope, Stack, StackBuilder, StackConfig, local_addresses,
};

use super::limited_link::Limited;
use crate::cli::{self, AddressList, EncapSuffix, Host, LinkKind, LinkOptions, OnOff};

/// Opens the links and starts the stack. `addrs` are the own addresses; none means all of the host.
/// `port` is the UDP port if there is no `--encap-port=`.
///
/// # Errors
/// A sentence for the user.
pub(crate) fn open(options: &LinkOptions, addrs: &[IpAddr], port: Port) -> anyhow::Result<Stack> {
    open_limited(options, addrs, port, usize::MAX)
}

/// As [`open`], but the links hand at most `segments` packets to the system at once.
///
/// # Errors
/// As [`open`].
pub(crate) fn open_limited(
    options: &LinkOptions,
    addrs: &[IpAddr],
    port: Port,
    segments: usize,
) -> anyhow::Result<Stack> {
    let unique = without_repetition(addrs);
    let (stack, assoc) = settings(options, &unique);
    let mut builder = StackBuilder::new().config(stack).assoc_config(assoc);
    let limited = |inner: Box<dyn Link>| Limited { inner, segments };
    let udp = |addrs| anyhow::Ok(limited(Box::new(udp(options, addrs, port)?)));
    let raw = |addrs| anyhow::Ok(limited(Box::new(raw(addrs)?)));
    match options.link {
        LinkKind::Udp => builder = builder.link(udp(unique)?),
        LinkKind::Raw if options.encap_port.is_some() => {
            bail!(
                "--encap-port= names a UDP port, but --link=raw does without UDP; --link=both has \
                 both"
            )
        }
        LinkKind::Raw => builder = builder.link(raw(unique)?),
        LinkKind::Both => builder = builder.link(raw(unique.clone())?).link(udp(unique)?),
    }
    builder.build().context("the SCTP stack cannot be started")
}

/// As [`open`], for blocking calls.
///
/// # Errors
/// As [`open`].
#[cfg(unix)]
pub(crate) fn open_blocking(
    options: &LinkOptions,
    addrs: &[IpAddr],
    port: Port,
) -> anyhow::Result<sctp_user::blocking::Stack> {
    let unique = without_repetition(addrs);
    let (stack, assoc) = settings(options, &unique);
    let mut builder = sctp_user::blocking::StackBuilder::new().config(stack).assoc_config(assoc);
    if options.link != LinkKind::Udp {
        let config = if unique.is_empty() {
            RawConfig::default()
        } else {
            RawConfig::with_addrs(unique.clone())
        };
        builder = builder.link(RawLink::open_blocking(&config)?);
    }
    if options.link != LinkKind::Raw {
        builder = builder.link(UdpEncapLink::open_blocking(&udp_config(options, unique, port))?);
    }
    builder.build().context("the SCTP stack cannot be started")
}

fn without_repetition(addrs: &[IpAddr]) -> Vec<IpAddr> {
    let mut unique: Vec<IpAddr> = Vec::new();
    for addr in addrs {
        if !unique.contains(addr) {
            unique.push(*addr);
        }
    }
    unique
}

fn settings(options: &LinkOptions, addrs: &[IpAddr]) -> (StackConfig, AssocConfig) {
    let stack = StackConfig {
        nat_port_key: options.nat_port_key == OnOff::On,
        ootb: options.ootb.into(),
        // A single address is not announced, as behind NAT.
        local_addresses: if addrs.len() > 1 { addrs.to_vec() } else { Vec::new() },
        ..StackConfig::default()
    };
    (stack, AssocConfig { announce: options.announce.into(), ..options.profile.stack() })
}

fn udp_config(options: &LinkOptions, addrs: Vec<IpAddr>, port: Port) -> UdpEncapConfig {
    let port = options.encap_port.map_or(port, Port::from);
    match addrs.is_empty() {
        true => UdpEncapConfig::with_port(port),
        false => UdpEncapConfig::with_addrs(addrs, port),
    }
}

fn udp(options: &LinkOptions, addrs: Vec<IpAddr>, port: Port) -> anyhow::Result<UdpEncapLink> {
    Ok(UdpEncapLink::bind(&udp_config(options, addrs, port))?)
}

fn raw(addrs: Vec<IpAddr>) -> anyhow::Result<RawLink> {
    let config = match addrs.is_empty() {
        true => RawConfig::default(),
        false => RawConfig::with_addrs(addrs),
    };
    let link = match RawLink::open(&config) {
        Err(error @ RawBindError::Privileges) => bail!("{error} (--link=udp)"),
        result => result?,
    };
    if let Some(warning) = link.kernel_sctp() {
        cli::complain(&format!("warning: {warning} (--link=udp)"));
    }
    Ok(link)
}

/// Calls `open` with UDP port 9899, which clients use by default, or with a free port if 9899 is
/// taken and there is no `--encap-port=`.
///
/// # Errors
/// Those of `open`.
pub(crate) fn open_where_clients_look<S>(
    options: &LinkOptions,
    open: impl Fn(Port) -> anyhow::Result<S>,
) -> anyhow::Result<S> {
    match open(Port::WellKnown) {
        Err(error)
            if options.encap_port.is_none()
                && matches!(
                    error.downcast_ref(),
                    Some(UdpBindError::WellKnownPortInUse { .. })
                ) =>
        {
            open(Port::Any)
        }
        result => result,
    }
}

/// How others reach a stack, in the form of their options: it can be reached in these `ways`, and
/// has the UDP port `udp` and the addresses `own`; none means all of the host.
pub(crate) fn reachable_at(
    native: bool,
    udp: Option<u16>,
    own: &[IpAddr],
    port: u16,
) -> AddressList {
    let mut addrs = own.to_vec();
    if addrs.is_empty() {
        addrs = local_addresses(Scope::Private);
    }
    if addrs.is_empty() {
        // The host has no network.
        addrs = local_addresses(Scope::Loopback).into_iter().filter(IpAddr::is_loopback).collect();
    }
    if addrs.is_empty() {
        addrs.push(Ipv4Addr::LOCALHOST.into());
    }
    let encap = match (native, udp) {
        (_, Some(WELL_KNOWN_PORT)) => None,
        (_, Some(udp)) => Some(EncapSuffix::Udp(udp)),
        (true, None) => Some(EncapSuffix::Native),
        (false, None) => None,
    };
    AddressList { hosts: addrs.into_iter().map(Host::Addr).collect(), port: Some(port), encap }
}

/// The ways to reach `list` by the links of `stack`, the preferred one first: the way of the suffix
/// or, without one, natively and at UDP port 9899. Names are looked up. `port` is the SCTP port if
/// the list has none.
///
/// # Errors
/// A sentence for the user: there is no such way, the port is 0, or a name is not known.
pub(crate) async fn peers(
    stack: &Stack,
    list: &AddressList,
    port: u16,
) -> anyhow::Result<Vec<Peer>> {
    let ways = Ways::of(stack);
    ways.peers(list, &cli::resolve(&list.hosts).await?, port)
}

/// How a stack can send.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ways {
    pub(crate) native: bool,
    pub(crate) udp: bool,
}

impl Ways {
    /// The ways of a stack.
    pub(crate) fn of(stack: &Stack) -> Self {
        Ways { native: stack.has_native(), udp: stack.local_udp_port().is_some() }
    }

    /// The ways to `addrs`, which are the addresses of `list`.
    ///
    /// # Errors
    /// As [`peers`].
    pub(crate) fn peers(
        self,
        list: &AddressList,
        addrs: &[IpAddr],
        port: u16,
    ) -> anyhow::Result<Vec<Peer>> {
        let port = list.port_or(port);
        if port == 0 {
            bail!("the SCTP port of {list} must not be 0");
        }
        let Ways { native, udp } = self;
        let well_known = Encap::Udp { remote_port: WELL_KNOWN_PORT };
        let ways = match list.encap {
            Some(EncapSuffix::Native) if !native => bail!(
                "{list} is to be reached directly in IP, which needs --link=raw or --link=both"
            ),
            Some(EncapSuffix::Udp(_)) if !udp => {
                bail!("{list} is to be reached in UDP, which needs --link=udp or --link=both")
            }
            Some(EncapSuffix::Native) => vec![Encap::Native],
            Some(EncapSuffix::Udp(remote_port)) => vec![Encap::Udp { remote_port }],
            None => [native.then_some(Encap::Native), udp.then_some(well_known)]
                .into_iter()
                .flatten()
                .collect(),
        };
        let peer = |encap| Peer { addrs: addrs.iter().map(|addr| (*addr, encap)).collect(), port };
        Ok(ways.into_iter().map(peer).collect())
    }
}

#[cfg(test)]
mod tests {
    use sctp_user::{Announce, Ootb};

    use super::*;
    use crate::cli::{AnnounceKind, OotbKind, Profile};

    fn options(link: LinkKind, encap_port: Option<u16>) -> LinkOptions {
        LinkOptions {
            link,
            encap_port,
            announce: AnnounceKind::None,
            nat_port_key: OnOff::On,
            ootb: OotbKind::Silent,
            profile: Profile::Realtime,
        }
    }

    fn udp_stack() -> Stack {
        let options = options(LinkKind::Udp, None);
        open(&options, &["127.0.0.1".parse().unwrap()], Port::Any).unwrap()
    }

    async fn ways(list: &str) -> Result<Vec<Peer>, String> {
        peers(&udp_stack(), &list.parse().unwrap(), 7).await.map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn ways_of_a_stack_in_udp() {
        let a = "192.0.2.1".parse().unwrap();
        let udp = |remote_port, port| vec![Peer::new(a, Encap::Udp { remote_port }, port)];
        assert_eq!(ways("192.0.2.1").await, Ok(udp(9899, 7)));
        assert_eq!(ways("192.0.2.1:8/udp:5").await, Ok(udp(5, 8)));
        assert!(ways("192.0.2.1/native").await.unwrap_err().contains("--link=raw or --link=both"));
        assert!(ways("192.0.2.1:0").await.unwrap_err().contains("must not be 0"));
    }

    #[test]
    fn others_are_told_what_their_options_take() {
        let own: Vec<IpAddr> = vec!["10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap()];
        let told = |native, udp| reachable_at(native, udp, &own, 7).to_string();
        assert_eq!(told(false, Some(9899)), "10.0.0.1:7,[fd00::1]");
        assert_eq!(told(true, Some(9899)), "10.0.0.1:7,[fd00::1]");
        assert_eq!(told(false, Some(5)), "10.0.0.1:7,[fd00::1]/udp:5");
        assert_eq!(told(true, None), "10.0.0.1:7,[fd00::1]/native");
        let all = reachable_at(false, Some(5), &[], 7);
        assert!(!all.hosts.is_empty());
        assert_eq!(all.to_string().parse(), Ok(all));
    }

    #[tokio::test]
    async fn the_stack_is_as_the_options_say() {
        let stack = udp_stack();
        assert_eq!(stack.assoc_config().announce, Announce::None);
        assert_eq!(stack.assoc_config().rto_min, AssocConfig::realtime().rto_min);
        assert!(stack.config().nat_port_key);
        assert_eq!(stack.config().ootb, Ootb::Silent);
    }

    #[tokio::test]
    async fn no_udp_port_without_udp() {
        let options = options(LinkKind::Raw, Some(9899));
        let error = open(&options, &[], Port::Any).unwrap_err().to_string();
        assert!(error.contains("--link=both"), "{error}");
    }
}
