//! Which addresses a port can be bound to: those that a link of the stack has.

mod common;

use std::io::ErrorKind;
use std::net::IpAddr;

use common::*;
use sctp_user::link::raw::{RawBindError, RawConfig};
use sctp_user::link::udp::{Port, UdpEncapConfig};
use sctp_user::{BindError, BindOptions, Error, LinkError, Scope, Stack, StackBuilder};

const LO: [IpAddr; 2] = [loopback(1), loopback(3)];
/// No host has this one (RFC 5737).
const NOWHERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));

const fn loopback(host: u8) -> IpAddr {
    IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, host))
}

fn at(addrs: &[IpAddr]) -> BindOptions {
    BindOptions { addrs: addrs.to_vec(), ..BindOptions::default() }
}

fn named(addrs: &[IpAddr]) -> UdpEncapConfig {
    UdpEncapConfig::with_addrs(addrs.iter().copied(), Port::Any)
}

fn tokio_stack(config: UdpEncapConfig) -> Stack {
    StackBuilder::udp(config).unwrap().build().unwrap()
}

/// What the binding of `addrs` by the function `bind` of a stack with a link on `LO[0]` says.
fn check_named(mut bind: impl FnMut(BindOptions) -> Result<(), Error>) {
    bind(at(&[])).unwrap();
    bind(at(&[LO[0]])).unwrap();
    for (addrs, false_one) in [
        (&[LO[0], loopback(4)][..], loopback(4)),
        (&[NOWHERE, LO[0]], NOWHERE),
        (&[loopback(8), loopback(9)], loopback(8)),
        (&["::1".parse().unwrap()], "::1".parse().unwrap()),
    ] {
        let error = bind(at(addrs)).unwrap_err();
        assert_eq!(error, Error::NotOfALink { addr: false_one, links: vec![LO[0]] });
        assert_eq!(
            error.to_string(),
            format!("{false_one} is not an address of any link of this stack, which has 127.0.0.1")
        );
        assert_eq!(error.kind(), ErrorKind::AddrNotAvailable);
    }
    let not_unicast = bind(at(&["0.0.0.0".parse().unwrap()]));
    assert!(matches!(not_unicast, Err(Error::Bind(BindError::Address(_)))), "{not_unicast:?}");
}

/// The same for a stack with a link on all addresses of the host.
fn check_all(mut bind: impl FnMut(BindOptions) -> Result<(), Error>) {
    bind(at(&[LO[0]])).unwrap();
    if cfg!(target_os = "linux") {
        // This one is local, although no interface lists it.
        bind(at(&LO)).unwrap();
    }
    let error = bind(at(&[LO[0], NOWHERE])).unwrap_err();
    assert!(matches!(error, Error::NotLocal { addr: NOWHERE, .. }), "{error:?}");
    let sentence = error.to_string();
    assert!(sentence.starts_with("192.0.2.7 is not an address of this host, which has "));
    assert!(sentence.contains("127.0.0.1") && sentence.contains("freebind"), "{sentence}");
    assert_eq!(error.kind(), ErrorKind::AddrNotAvailable);
    bind(BindOptions { freebind: true, ..at(&[LO[0], NOWHERE]) }).unwrap();
}

#[tokio::test]
async fn a_link_with_named_addresses_has_no_others() {
    let stack = tokio_stack(named(&LO[..1]));
    check_named(|options| stack.bind(options).map(drop));
    check_named(|options| stack.bind_one_to_many(options).map(drop));
}

#[tokio::test]
async fn a_link_with_all_addresses_has_those_of_the_host() {
    let stack = tokio_stack(Port::Any.into());
    check_all(|options| stack.bind(options).map(drop));
    check_all(|options| stack.bind_one_to_many(options).map(drop));
}

#[tokio::test]
async fn raw_links_check_the_same() {
    for config in [RawConfig::with_addrs([LO[0]]), RawConfig::default()] {
        let builder = match StackBuilder::raw(config.clone()) {
            Err(Error::Link(LinkError::Raw(why))) => {
                assert!(matches!(&*why, RawBindError::Privileges), "{why}");
                eprintln!("not tested, no raw sockets here: {why}");
                return;
            }
            opened => opened.unwrap(),
        };
        let stack = builder.build().unwrap();
        let bind = |options| stack.bind(options).map(drop);
        if config == RawConfig::default() { check_all(bind) } else { check_named(bind) }
    }
}

#[test]
#[cfg(unix)]
fn blocking_stacks_check_the_same() {
    use sctp_user::blocking::StackBuilder;

    let mut stack = StackBuilder::udp(named(&LO[..1])).unwrap().build().unwrap();
    check_named(|options| stack.bind(options).map(|endpoint| stack.close(endpoint)));
    check_named(|options| stack.bind_one_to_many(options).map(|many| stack.close(many)));
    let mut stack = StackBuilder::udp(Port::Any).unwrap().build().unwrap();
    check_all(|options| stack.bind(options).map(|endpoint| stack.close(endpoint)));
}

#[tokio::test]
async fn addresses_that_replace_others_are_checked_too() {
    let stack = tokio_stack(Port::Any.into());
    let endpoint = stack.bind(at(&LO[..1])).unwrap();
    let error = endpoint.set_addrs(&[NOWHERE]).unwrap_err();
    assert!(matches!(error, Error::NotLocal { addr: NOWHERE, .. }), "{error:?}");
    assert_eq!(endpoint.addrs(), LO[..1]);
    let many = stack.bind_one_to_many(0).unwrap();
    let error = many.set_addrs(&[NOWHERE]).unwrap_err();
    assert!(matches!(error, Error::NotLocal { addr: NOWHERE, .. }), "{error:?}");

    let free = || BindOptions { freebind: true, ..at(&LO[..1]) };
    stack.bind(free()).unwrap().set_addrs(&[NOWHERE]).unwrap();
    stack.bind_one_to_many(free()).unwrap().set_addrs(&[NOWHERE]).unwrap();
}

/// One link has IPv4 of the whole host, the other one a single IPv6 address.
#[tokio::test]
async fn an_address_may_be_of_any_link() {
    let net = net();
    let v6: IpAddr = "2001:db8::1".parse().unwrap();
    let stack = StackBuilder::udp(named(&["0.0.0.0".parse().unwrap()]))
        .unwrap()
        .link(net.native_link(&[v6]))
        .build()
        .unwrap();
    stack.bind(at(&[LO[0], v6])).unwrap();
    let error = stack.bind(at(&["2001:db8::2".parse().unwrap()])).unwrap_err();
    assert_eq!(
        error.to_string(),
        "2001:db8::2 is not an address of any link of this stack, which has all IPv4 addresses of \
         this host, 2001:db8::1"
    );
}

#[tokio::test(start_paused = true)]
async fn simulated_hosts_have_the_addresses_of_their_links() {
    let net = net();
    let a = stack(&net, A);
    a.bind(at(&[A])).unwrap();
    let error = a.bind(at(&[A, B])).unwrap_err();
    assert_eq!(error, Error::NotOfALink { addr: B, links: vec![A] });
}

/// Announcing an address that the link does not have would be as wrong as binding it.
#[tokio::test]
async fn only_addresses_of_the_links_are_announced() {
    let announced = |config: UdpEncapConfig, narrowest| {
        let builder = StackBuilder::udp(config).unwrap().announce_local_addresses(narrowest);
        builder.build().unwrap().config().local_addresses
    };
    let one = named(&LO[..1]);
    assert_eq!(announced(one.clone(), Scope::Loopback), LO[..1]);
    assert!(announced(one, Scope::Private).is_empty());
    if cfg!(target_os = "linux") {
        // No interface lists the second one.
        assert_eq!(announced(named(&LO), Scope::Loopback), LO);
    }
    let all = announced(Port::Any.into(), Scope::Loopback);
    assert_eq!(all, sctp_user::local_addresses(Scope::Loopback));
}
