//! Which addresses are listed to peers, taken from peers and trusted (RFC 9260 sec 5.1.2, 5.4).

use super::*;
use crate::config::Announce;

fn own(list: &[&str]) -> Rig {
    let local_addresses = list.iter().map(|a| a.parse().unwrap()).collect();
    Rig::with(StackConfig { local_addresses, ..StackConfig::default() }, AssocConfig::default())
}

/// The addresses that our INIT to `peer` lists when ours are `have`.
fn listed(have: &[&str], peer: &str) -> Vec<String> {
    let mut rig = own(have);
    let peer = Peer::new(peer.parse().unwrap(), UDP, PEER_PORT);
    rig.stack.connect(rig.now, PORT, &peer, None).unwrap();
    one(rig.drain()).init().1.iter().map(IpAddr::to_string).collect()
}

#[test]
fn a_single_address_or_none_lists_nothing() {
    assert!(listed(&[], "192.0.2.1").is_empty());
    assert!(listed(&["198.51.100.1"], "192.0.2.1").is_empty());
    let mut rig = own(&["10.1.1.100"]);
    assert!(one(rig.init(|_| {})).init().1.is_empty());
}

#[test]
fn only_addresses_that_mean_something_to_the_peer_are_listed() {
    let have = [
        "127.0.0.1",
        "169.254.1.1",
        "10.0.0.1",
        "198.51.100.1",
        "fe80::1",
        "fd00::1",
        "2001:db8::1",
    ];
    assert_eq!(listed(&have, "192.0.2.1"), ["198.51.100.1", "2001:db8::1"]);
    assert_eq!(listed(&have, "10.9.9.9"), ["10.0.0.1", "198.51.100.1", "fd00::1", "2001:db8::1"]);
    assert_eq!(listed(&have, "127.0.0.2").len(), have.len() - 1, "fe80::1 lacks its interface");
}

#[test]
fn only_bound_addresses_are_listed() {
    let mut rig = own(&["198.51.100.1", "198.51.100.2", "198.51.100.3"]);
    let bound = ["198.51.100.1".parse().unwrap(), "198.51.100.3".parse().unwrap()];
    let port = rig.stack.bind(0, &bound, AssocConfig::default()).unwrap();
    let peer = Peer::new("192.0.2.1".parse().unwrap(), UDP, PEER_PORT);
    rig.stack.connect(rig.now, port, &peer, None).unwrap();
    assert_eq!(one(rig.drain()).init().1, bound);
}

/// The addresses that our INIT ACK lists for a peer at `remote` whose INIT came to our address
/// `local`.
fn answered(announce: Announce, have: &[&str], local: &str, remote: &str) -> Vec<String> {
    let local_addresses = have.iter().map(|a| a.parse().unwrap()).collect();
    let stack = StackConfig { local_addresses, ..StackConfig::default() };
    let mut rig = Rig::with(stack, AssocConfig { announce, ..AssocConfig::default() });
    let from = PathAddr {
        local: Some(local.parse().unwrap()),
        remote: remote.parse().unwrap(),
        encap: UDP,
    };
    one(rig.init_from(from, 5, &[])).init().1.iter().map(IpAddr::to_string).collect()
}

#[test]
fn behind_nat_nothing_is_listed_unless_the_user_says_so() {
    let have = ["10.0.0.1", "198.51.100.1", "2001:db8::1"];
    let answered = |announce, local| answered(announce, &have, local, "192.0.2.1");
    assert_eq!(answered(Announce::Auto, "198.51.100.1"), have[1..]);
    assert!(answered(Announce::Auto, "10.0.0.1").is_empty());
    assert_eq!(answered(Announce::All, "10.0.0.1"), have);
    assert!(answered(Announce::None, "198.51.100.1").is_empty());
}

#[test]
fn an_end_that_lists_nothing_sends_only_from_the_address_the_peer_knows() {
    let config = AssocConfig { announce: Announce::None, ..AssocConfig::default() };
    let mut rig = Rig::with(StackConfig::default(), config.clone());
    let bound = ["10.1.1.100".parse().unwrap(), "10.1.2.100".parse().unwrap()];
    let port = rig.stack.bind(0, &bound, config).unwrap();
    rig.stack.listen(port, 1).unwrap();
    let mut out = Vec::new();
    let mut writer = PacketWriter::new(&mut out, 1000, PEER_PORT, port, 0);
    writer.init(false, &fixed(), |p| p.address(addr(2)));
    writer.finish();
    let (init, listed, cookie) = one(rig.receive(path(1), out)).init();
    assert!(listed.is_empty());
    let mut out = Vec::new();
    let mut writer = PacketWriter::new(&mut out, 1000, PEER_PORT, port, init.initiate_tag);
    writer.cookie_echo(&cookie.unwrap());
    writer.finish();
    rig.receive(path(1), out);
    let id = rig.stack.accept(port).unwrap();
    assert!(rig.stack.local_addrs(id).is_empty());
    let sources: Vec<_> =
        rig.stack.paths(id).iter().map(|p| (p.addr.remote, p.addr.local)).collect();
    assert_eq!(sources, [(addr(1), Some(bound[0])), (addr(2), Some(bound[0]))]);
}

#[test]
fn the_source_and_all_usable_addresses_are_taken_once() {
    let rig = Rig::accepted(&[3, 2, 3, 1]);
    assert_eq!(rig.peer_addrs(), [addr(1), addr(3), addr(2)]);
    assert_eq!(Rig::accepted(&[]).peer_addrs(), [addr(1)]);
}

/// The peer at `from` lists some of our own addresses. Our port is bound to `bound`, and our host
/// has the addresses `host`. Returns which of the addresses 2, 3, 100, 101 and 102 become paths,
/// and how many are left out.
fn paths_of_listed(called: bool, from: PathAddr, bound: &[IpAddr], host: &[u8]) -> (Vec<u8>, u64) {
    const LISTED: [u8; 5] = [2, 100, 101, 102, 3];
    let mut rig = Rig::new();
    rig.stack.set_port_addrs(PORT, bound).unwrap();
    rig.stack.set_host_addrs(host.iter().map(|&n| addr(n)).collect());
    let list = |p: &mut ParamWriter<'_>| LISTED.iter().for_each(|&n| p.address(addr(n)));
    if called {
        let ack = one(rig.send_from(from, 0, |w| w.init(false, &fixed(), list)));
        let (init, _, cookie) = ack.init();
        rig.send_from(from, init.initiate_tag, |w| w.cookie_echo(&cookie.unwrap()));
        rig.id = rig.stack.accept(PORT);
    } else {
        let peer = Peer::new(from.remote, from.encap, PEER_PORT);
        rig.id = Some(rig.stack.connect(rig.now, PORT, &peer, None).unwrap());
        let tag = one(rig.drain()).init().0.initiate_tag;
        let answer = |w: &mut PacketWriter<'_>| {
            w.init(true, &fixed(), |p| {
                p.state_cookie(b"cookie");
                list(p);
            });
        };
        rig.send_from(from, tag, answer);
        rig.send_from(from, tag, |w| w.cookie_ack());
    }
    assert_eq!(rig.state(), AssocState::Established);
    let paths = rig.peer_addrs();
    let known = LISTED.into_iter().filter(|&n| paths.contains(&addr(n))).collect();
    (known, rig.stack.stats().own_addresses_left_out)
}

/// For example, both hosts may have a container bridge with the same address.
#[test]
fn own_addresses_that_a_peer_lists_are_left_out_and_counted() {
    for called in [true, false] {
        // The list came to address 100.
        assert_eq!(paths_of_listed(called, path(1), &[], &[]), (vec![2, 101, 102, 3], 1));
        assert_eq!(paths_of_listed(called, path(1), &[], &[102, 100]), (vec![2, 101, 3], 2));
        let bound = [addr(100), addr(101)];
        assert_eq!(paths_of_listed(called, path(1), &bound, &[]), (vec![2, 102, 3], 2));
        assert_eq!(paths_of_listed(called, path(1), &bound, &[102]), (vec![2, 3], 3));
    }
}

#[test]
fn a_peer_on_this_host_may_list_our_addresses() {
    let here = PathAddr { remote: addr(101), ..path(1) };
    for called in [true, false] {
        let all = (vec![2, 100, 101, 102, 3], 0);
        assert_eq!(paths_of_listed(called, here, &[], &[100, 101, 102]), all);
        assert_eq!(paths_of_listed(called, here, &[addr(100), addr(101)], &[]), all);
    }
}

/// They were not part of the association, so they are not new in a restart of the peer either.
#[test]
fn own_addresses_in_the_init_of_a_restart_are_left_out_too() {
    let mut rig = Rig::accepted(&[2, 100]);
    assert_eq!(rig.peer_addrs(), [addr(1), addr(2)]);
    let sent = one(rig.init_from(path(1), 5, &[2, 100]));
    assert_eq!(sent.kinds(), [chunk_type::INIT_ACK]);
}

#[test]
fn unusable_addresses_are_ignored() {
    let mut rig = Rig::new();
    let sent = rig.init(|p| {
        for bad in [
            "0.0.0.0",
            "0.1.2.3",
            "224.0.0.1",
            "255.255.255.255",
            "127.0.0.1",
            "169.254.0.1",
            "::",
            "ff02::1",
            "::ffff:10.0.0.1",
            "::1",
            "fe80::1",
        ] {
            p.address(bad.parse().unwrap());
        }
        p.raw(5, &[10, 0, 0]);
        p.raw(6, &[0; 17]);
    });
    let (init, _, cookie) = one(sent).init();
    rig.send(init.initiate_tag, |w| w.cookie_echo(&cookie.unwrap()));
    rig.id = rig.stack.accept(PORT);
    assert_eq!(rig.peer_addrs(), [addr(1)]);
}

#[test]
fn only_so_many_listed_addresses_are_taken() {
    let mut rig = Rig::new();
    let sent = rig.init(|p| (2..200).for_each(|n| p.address(addr(n))));
    let (init, _, cookie) = one(sent).init();
    rig.send(init.initiate_tag, |w| w.cookie_echo(&cookie.unwrap()));
    rig.id = rig.stack.accept(PORT);
    assert_eq!(rig.peer_addrs().len(), 32);
}

#[test]
fn the_responder_trusts_only_the_address_of_the_init() {
    let rig = Rig::accepted(&[2]);
    assert_eq!((rig.path_state(1), rig.path_state(2)), (PathState::Active, PathState::Unconfirmed));
}

#[test]
fn the_initiator_trusts_only_the_addresses_of_its_user() {
    let mut rig = Rig::new();
    rig.connect(&[1, 2]);
    rig.init_ack(|p| {
        p.address(addr(2));
        p.address(addr(3));
    });
    assert_eq!(rig.path_state(1), PathState::Active);
    assert_eq!(rig.path_state(2), PathState::Active);
    assert_eq!(rig.path_state(3), PathState::Unconfirmed);
}

#[test]
fn an_init_ack_from_elsewhere_does_not_confirm_its_source() {
    let mut rig = Rig::in_state(AssocState::CookieWait);
    rig.send_data(b"waits");
    // The address that our INIT went to is listed, so the COOKIE ECHO goes there.
    let ack = |w: &mut PacketWriter<'_>, also: &[u8]| {
        w.init(true, &fixed(), |p| {
            p.state_cookie(b"c");
            also.iter().for_each(|&n| p.address(addr(n)));
        });
    };
    let sent = one(rig.send_from(path(2), rig.own_tag, |w| ack(w, &[1])));
    assert_eq!(sent.path.remote, addr(1));
    assert_eq!(sent.kinds(), [chunk_type::COOKIE_ECHO, chunk_type::DATA]);
    assert_eq!(rig.path_state(2), PathState::Unconfirmed);

    // Now it is not listed. The COOKIE ECHO must take a HEARTBEAT along, and no DATA may leave
    // before that is answered.
    let mut rig = Rig::in_state(AssocState::CookieWait);
    rig.send_data(b"waits");
    let sent = one(rig.send_from(path(2), rig.own_tag, |w| ack(w, &[])));
    assert_eq!((sent.path.remote, rig.peer_addrs()), (addr(2), vec![addr(2)]));
    assert_eq!(sent.kinds(), [chunk_type::COOKIE_ECHO, chunk_type::HEARTBEAT]);
    let again: Vec<Sent> = rig.pass(Duration::from_millis(1500));
    let again = one(again);
    assert_eq!(again.kinds(), [chunk_type::COOKIE_ECHO, chunk_type::HEARTBEAT]);
    assert_silent(rig.send_from(path(2), rig.own_tag, |w| w.cookie_ack()));
    let tlvs = again.heartbeat();
    let sent = one(rig.send_from(path(2), rig.own_tag, |w| w.heartbeat_ack(&tlvs)));
    assert_eq!(sent.kinds(), [chunk_type::DATA]);
}

#[test]
fn a_cookie_ack_to_an_unconfirmed_address_takes_a_heartbeat_along() {
    let mut rig = Rig::new();
    let (init, _, cookie) = one(rig.init(|p| p.address(addr(2)))).init();
    let sent = one(rig
        .send_from(path(2), init.initiate_tag, |w| {
            w.cookie_echo(&cookie.unwrap());
            w.raw_chunk(0xff, 0, b"to be reported");
        })
        .into_iter()
        .take(1)
        .collect());
    assert_eq!(sent.path.remote, addr(2));
    assert_eq!(sent.kinds(), [chunk_type::COOKIE_ACK, chunk_type::HEARTBEAT]);
    rig.id = rig.stack.accept(PORT);
    assert_eq!((rig.path_state(1), rig.path_state(2)), (PathState::Active, PathState::Unconfirmed));
}

#[test]
fn sacks_and_reports_never_go_to_an_unconfirmed_address() {
    let mut rig = Rig::accepted(&[2]);
    rig.pass(Duration::from_millis(1));
    let sent = one(rig.send_from(path(2), rig.own_tag, |w| data(w, PEER_TSN)));
    assert_eq!((sent.kinds(), sent.path.remote), (vec![chunk_type::SACK], addr(1)));
    let sent = one(rig.send_from(path(2), rig.own_tag, |w| w.raw_chunk(0xff, 0, b"?")));
    assert_eq!((sent.kinds(), sent.path.remote), (vec![chunk_type::ERROR], addr(1)));
}

#[test]
fn the_primary_is_what_the_user_named_first() {
    let mut rig = Rig::new();
    rig.connect(&[2, 1]);
    rig.init_ack(|p| p.address(addr(2)));
    assert_eq!(rig.stack.status(rig.id()).unwrap().primary, Some(addr(2)));
    // An unconfirmed address cannot be made primary.
    let mut rig = Rig::accepted(&[2]);
    assert!(rig.stack.set_primary(rig.now, rig.id(), addr(2)).is_err());
}
