//! Link-local IPv6 addresses: an address names one host only together with its interface.

use super::*;
use crate::interface::{interface, on_interface};

fn link_local(n: u16, index: u32) -> IpAddr {
    on_interface([0xfe80, 0, 0, 0, 0, 0, 0, n].into(), index)
}

/// The path from our link-local address on an interface to that of the peer.
fn by(index: u32) -> PathAddr {
    PathAddr { local: Some(link_local(100, index)), remote: link_local(1, index), encap: UDP }
}

/// An association that the peer has started over an interface; the peer's tag is `tag`.
fn accept(rig: &mut Rig, index: u32, tag: u32) -> (AssocId, u32) {
    let sent = one(rig.init_from(by(index), tag, &[]));
    assert_eq!(sent.path, by(index));
    let (init, _, cookie) = sent.init();
    let sent = rig.send_from(by(index), init.initiate_tag, |w| w.cookie_echo(&cookie.unwrap()));
    assert_eq!(one(sent).path, by(index));
    (rig.stack.accept(PORT).unwrap(), init.initiate_tag)
}

#[test]
fn one_address_on_two_interfaces_is_two_peers() {
    let mut rig = Rig::new();
    let (one, one_tag) = accept(&mut rig, 2, 11);
    let (two, two_tag) = accept(&mut rig, 3, 12);
    assert_ne!(one, two);
    for (id, index) in [(one, 2), (two, 3)] {
        assert_eq!(rig.stack.paths(id)[0].addr, by(index));
    }
    // Packets over the other interface are not from the peer.
    assert_silent(rig.send_from(by(3), one_tag, |w| w.abort(false, |_| {})));
    assert_silent(rig.send_from(by(2), two_tag, |w| w.abort(false, |_| {})));
    assert!(rig.stack.status(one).unwrap().state == AssocState::Established);
    rig.send_from(by(2), one_tag, |w| w.abort(false, |_| {}));
    assert_eq!(
        [one, two].map(|id| rig.stack.status(id).unwrap().state),
        [AssocState::Closed, AssocState::Established]
    );
}

#[test]
fn a_cookie_is_worth_nothing_on_another_interface() {
    let mut rig = Rig::new();
    let (init, _, cookie) = one(rig.init_from(by(2), 11, &[])).init();
    let cookie = cookie.unwrap();
    assert_silent(rig.send_from(by(3), init.initiate_tag, |w| w.cookie_echo(&cookie)));
    assert!(rig.stack.accept(PORT).is_none());
}

/// The wire cannot say to which interface an address belongs, so it is that of the packet.
#[test]
fn listed_addresses_are_on_the_interface_of_the_packet() {
    for (from, taken) in [(by(2), true), (path(1), false)] {
        let mut rig = Rig::new();
        let sent = rig.send_from(from, 0, |w| {
            w.init(false, &fixed(), |p| {
                // Somebody may have put anything where our addresses hold the interface.
                p.raw(6, &[0xfe, 0x80, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 7]);
            });
        });
        let (init, _, cookie) = one(sent).init();
        rig.send_from(from, init.initiate_tag, |w| w.cookie_echo(&cookie.unwrap()));
        rig.id = rig.stack.accept(PORT);
        let listed: Vec<IpAddr> = taken.then(|| link_local(7, 2)).into_iter().collect();
        assert_eq!(rig.peer_addrs()[1..], listed);
    }
}

#[test]
fn no_interface_is_written_to_the_wire() {
    let mut rig = Rig::new();
    let (_, tag) = accept(&mut rig, 2, 11);
    // A restart from an address that the association does not have is refused, and the ABORT names
    // this address.
    let from = PathAddr { remote: link_local(2, 2), ..by(2) };
    let sent = one(rig.send_from(from, 0, |w| {
        w.init(false, &InitFixed { initiate_tag: 13, ..fixed() }, |p| p.address(link_local(1, 2)));
    }));
    assert_ne!(tag, 0);
    let Chunk::Abort { causes, .. } = sent.decoded(chunk_type::ABORT) else { unreachable!() };
    let cause = causes.iter().next().unwrap();
    assert_eq!(cause.code(), 11);
    let plain = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];
    assert!(sent.packet.chunks().next().unwrap().value.ends_with(&plain));
}

#[test]
fn an_own_link_local_address_serves_its_interface_only() {
    let own = [link_local(100, 2), link_local(100, 3), "fd00::1".parse().unwrap()];
    for (remote, local) in [
        (link_local(1, 2), Some(own[0])),
        (link_local(1, 3), Some(own[1])),
        ("fd00::9".parse().unwrap(), Some(own[2])),
    ] {
        let mut rig = Rig::new();
        let port = rig.stack.bind(0, &own, AssocConfig::default()).unwrap();
        let id =
            rig.stack.connect(rig.now, port, &Peer::new(remote, UDP, PEER_PORT), None).unwrap();
        assert_eq!(rig.stack.paths(id)[0].addr.local, local);
        let listed = one(rig.drain()).init().1;
        assert!(listed.iter().all(|addr| interface(*addr) == 0 && addr.is_ipv6()), "{listed:?}");
        assert!(!listed.contains(&link_local(100, 0)));
    }
    // The peer of a link-local association lists an address that needs another source.
    let mut rig = Rig::new();
    let sent = rig.send_from(by(2), 0, |w| {
        w.init(false, &fixed(), |p| p.address("2001:db8::9".parse().unwrap()));
    });
    let (init, _, cookie) = one(sent).init();
    rig.send_from(by(2), init.initiate_tag, |w| w.cookie_echo(&cookie.unwrap()));
    rig.id = rig.stack.accept(PORT);
    assert_eq!(rig.peer_addrs(), [by(2).remote]);
}
