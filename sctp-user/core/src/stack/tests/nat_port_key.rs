//! Peers at one address that are told apart by their UDP ports. A lookup by address must find the
//! right one.

use super::*;
use crate::Unreachable;
use crate::event::LossReason;

fn port(remote_port: u16) -> PathAddr {
    PathAddr { encap: Encap::Udp { remote_port }, ..path(1) }
}

fn rig() -> Rig {
    Rig::with(StackConfig { nat_port_key: true, ..StackConfig::default() }, AssocConfig::default())
}

/// An association of the client at this UDP port, which draws the tag `tag`. Returns its handle and
/// our tag.
fn accept(rig: &mut Rig, remote_port: u16, tag: u32) -> (AssocId, u32) {
    let (init, _, cookie) = one(rig.init_from(port(remote_port), tag, &[])).init();
    let sent =
        rig.send_from(port(remote_port), init.initiate_tag, |w| w.cookie_echo(&cookie.unwrap()));
    let sent = one(sent);
    assert_eq!((sent.kinds(), sent.path), (vec![chunk_type::COOKIE_ACK], port(remote_port)));
    rig.events();
    (rig.stack.accept(PORT).unwrap(), init.initiate_tag)
}

fn state(rig: &Rig, id: AssocId) -> AssocState {
    rig.stack.status(id).unwrap().state
}

/// Two established associations with clients at UDP ports 4001 and 4002 with the tags 11 and 12.
fn two() -> (Rig, (AssocId, u32), (AssocId, u32)) {
    let mut rig = rig();
    let one = accept(&mut rig, 4001, 11);
    let two = accept(&mut rig, 4002, 12);
    (rig, one, two)
}

#[test]
fn a_reflected_tag_ends_the_association_with_that_port_only() {
    let (mut rig, (one, _), (two, _)) = two();
    assert_silent(rig.send_from(port(4002), 11, |w| w.abort(true, |_| {})));
    assert_silent(rig.send_from(port(4003), 11, |w| w.abort(true, |_| {})));
    assert_eq!(
        (state(&rig, one), state(&rig, two)),
        (AssocState::Established, AssocState::Established)
    );
    assert_silent(rig.send_from(port(4002), 12, |w| w.abort(true, |_| {})));
    assert_eq!((state(&rig, one), state(&rig, two)), (AssocState::Established, AssocState::Closed));
}

#[test]
fn an_icmp_message_ends_the_association_with_that_port_only() {
    let (mut rig, (one, _), (two, _)) = two();
    let mut quoted = [PORT.to_be_bytes(), PEER_PORT.to_be_bytes()].concat();
    quoted.extend(12u32.to_be_bytes());
    for (to, tag_fits) in [(4001, false), (4003, false), (4002, true)] {
        // Callers over UDP get some time to come back from another port.
        rig.stack.handle_unreachable(rig.now, port(to), Unreachable::Protocol, &quoted);
        rig.pass(crate::time::Duration::from_secs(30));
        rig.stack.handle_unreachable(rig.now, port(to), Unreachable::Protocol, &quoted);
        let events = rig.events();
        assert_eq!(lost(&events), tag_fits.then_some(&LossReason::ProtocolUnreachable), "{to}");
    }
    assert_eq!((state(&rig, one), state(&rig, two)), (AssocState::Established, AssocState::Closed));
}

#[test]
fn a_wrong_tag_from_a_known_port_is_dropped_and_from_an_unknown_one_out_of_the_blue() {
    let (mut rig, ..) = two();
    assert_silent(rig.send_from(port(4001), 99, |w| data(w, PEER_TSN)));
    assert_abort(rig.send_from(port(4003), 99, |w| data(w, PEER_TSN)), 99, true, &[]);
}

#[test]
fn an_init_restarts_the_association_with_that_port() {
    let (mut rig, (one_id, _), (two_id, _)) = two();
    let (init, _, cookie) = one(rig.init_from(port(4002), 13, &[])).init();
    let sent = rig.send_from(port(4002), init.initiate_tag, |w| w.cookie_echo(&cookie.unwrap()));
    assert_eq!(one(sent).path, port(4002));
    let restarts = |e: &(AssocId, Event)| matches!(e.1, Event::Restart { .. }).then_some(e.0);
    let events: Vec<_> = std::iter::from_fn(|| rig.stack.poll_event()).collect();
    assert_eq!(events.iter().filter_map(restarts).collect::<Vec<_>>(), [two_id]);
    assert_eq!(rig.stack.status(one_id).unwrap().peer_tag, 11);
    assert!(rig.stack.accept(PORT).is_none());
}

#[test]
fn a_restart_whose_udp_port_moves_mid_handshake_makes_no_second_association() {
    let (mut rig, _, (two_id, _)) = two();
    let (init, _, cookie) = one(rig.init_from(port(4002), 13, &[])).init();
    let sent = rig.send_from(port(4010), init.initiate_tag, |w| w.cookie_echo(&cookie.unwrap()));
    assert_eq!(one(sent).path, port(4010));
    assert!(rig.stack.accept(PORT).is_none());
    assert_eq!(rig.stack.paths(two_id)[0].addr, port(4010));
    // From now on it is found under the new port.
    assert_silent(rig.send_from(port(4010), 13, |w| w.abort(true, |_| {})));
    assert_eq!(state(&rig, two_id), AssocState::Closed);
}

#[test]
fn simultaneous_opens_meet_by_their_port() {
    let mut rig = rig();
    rig.connect(&[1]);
    // Somebody else at the same address has an association of its own.
    let (other, other_tag) = accept(&mut rig, 4001, 11);
    assert_ne!(other_tag, rig.own_tag);
    assert_eq!(rig.state(), AssocState::CookieWait);
    // The peer itself gets the tag of our INIT, and there is one association.
    let (init, _, cookie) = one(rig.init_from(path(1), 12, &[])).init();
    assert_eq!(init.initiate_tag, rig.own_tag);
    rig.send_from(path(1), rig.own_tag, |w| w.cookie_echo(&cookie.unwrap()));
    assert_eq!(
        (rig.state(), state(&rig, other)),
        (AssocState::Established, AssocState::Established)
    );
    assert!(rig.stack.accept(PORT).is_none());
}

#[test]
fn connecting_to_another_port_of_an_address_is_another_association() {
    let (mut rig, ..) = two();
    let peer = |remote_port| Peer::new(addr(1), Encap::Udp { remote_port }, PEER_PORT);
    assert!(rig.stack.connect(rig.now, PORT, &peer(4002), None).is_err());
    assert!(rig.stack.connect(rig.now, PORT, &peer(4003), None).is_ok());
    assert!(rig.stack.connect(rig.now, PORT, &peer(4003), None).is_err());
}

#[test]
fn two_clients_whose_ports_are_swapped_by_the_nat_are_found_where_they_are() {
    let (mut rig, (one_id, own_one), (two_id, own_two)) = two();
    rig.send_from(port(4002), own_one, |w| data(w, PEER_TSN));
    // The first client is there now. The second one has not been heard from its new place yet.
    assert_silent(rig.send_from(port(4002), 12, |w| w.abort(true, |_| {})));
    assert_eq!(state(&rig, two_id), AssocState::Established);
    rig.send_from(port(4001), own_two, |w| data(w, PEER_TSN));
    assert_eq!(rig.stack.paths(one_id)[0].addr, port(4002));
    assert_eq!(rig.stack.paths(two_id)[0].addr, port(4001));
    assert_silent(rig.send_from(port(4001), 12, |w| w.abort(true, |_| {})));
    assert_silent(rig.send_from(port(4002), 11, |w| w.abort(true, |_| {})));
    assert_eq!(
        (state(&rig, one_id), state(&rig, two_id)),
        (AssocState::Closed, AssocState::Closed)
    );
    // Both places are free again.
    accept(&mut rig, 4001, 21);
    accept(&mut rig, 4002, 22);
}

#[test]
fn a_peer_that_lists_the_address_of_another_does_not_take_its_place() {
    let mut rig = rig();
    let there = PathAddr { encap: Encap::Udp { remote_port: 4002 }, ..path(2) };
    let (init, _, cookie) = one(rig.init_from(there, 12, &[])).init();
    rig.send_from(there, init.initiate_tag, |w| w.cookie_echo(&cookie.unwrap()));
    let honest = rig.stack.accept(PORT).unwrap();
    // The liar listed the address while nobody was known there under this port, and now pretends to
    // send from there.
    let (init, _, cookie) = one(rig.init_from(port(4001), 11, &[2])).init();
    rig.send_from(port(4001), init.initiate_tag, |w| w.cookie_echo(&cookie.unwrap()));
    let liar = rig.stack.accept(PORT).unwrap();
    rig.drain();
    rig.send_from(there, init.initiate_tag, |w| data(w, PEER_TSN));
    assert_eq!(rig.stack.paths(liar)[1].addr, there);
    assert_silent(rig.send_from(there, 12, |w| w.abort(true, |_| {})));
    assert_eq!(
        (state(&rig, honest), state(&rig, liar)),
        (AssocState::Closed, AssocState::Established)
    );
}

#[test]
fn with_the_option_off_a_second_init_gets_an_abort() {
    let mut rig = Rig::new();
    let (id, _) = accept(&mut rig, 4001, 11);
    let sent = rig.init_from(port(4002), 12, &[]);
    assert_eq!(sent[0].path, port(4002));
    assert_abort(sent, 12, false, &[14]);
    assert_eq!(state(&rig, id), AssocState::Established);
}
