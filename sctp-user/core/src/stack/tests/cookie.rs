//! The State Cookie (RFC 9260 sec 5.1.3, 5.1.5).

use super::*;

/// A rig, with the tag and the cookie of an INIT ACK for an INIT from address 1 that lists address
/// 2.
fn offered() -> (Rig, u32, Vec<u8>) {
    let mut rig = Rig::new();
    let (init, _, cookie) = one(rig.init(|p| p.address(addr(2)))).init();
    (rig, init.initiate_tag, cookie.unwrap())
}

#[test]
fn a_good_cookie_makes_an_association_and_is_acknowledged_first() {
    let (mut rig, tag, cookie) = offered();
    let sent = one(rig.send(tag, |w| {
        w.cookie_echo(&cookie);
        data(w, PEER_TSN);
    }));
    // Its DATA is acknowledged at once.
    assert_eq!(sent.kinds(), [chunk_type::COOKIE_ACK, chunk_type::SACK]);
    assert_eq!((sent.packet.vtag(), sent.path), (PEER_TAG, path(1)));
    let events = rig.events();
    let up = Event::Up { outbound_streams: 9, inbound_streams: 7, incoming: true };
    assert_eq!(events, [up, Event::Readable]);
    rig.id = rig.stack.accept(PORT);
    assert_eq!(rig.state(), AssocState::Established);
}

#[test]
fn a_forged_cookie_is_dropped_with_its_packet() {
    let (mut rig, tag, cookie) = offered();
    for i in 0..cookie.len() {
        let mut forged = cookie.clone();
        forged[i] ^= 0x10;
        assert_silent(rig.send(tag, |w| {
            w.cookie_echo(&forged);
            data(w, PEER_TSN);
        }));
    }
    assert_silent(rig.send(tag, |w| w.cookie_echo(&[])));
    assert_eq!(rig.stack.table.len(), 0);
    assert_eq!(rig.stack.stats().cookies_forged, cookie.len() as u64 + 1);
}

#[test]
fn another_tag_port_or_source_is_dropped() {
    let (mut rig, tag, cookie) = offered();
    assert_silent(rig.send(tag ^ 1, |w| w.cookie_echo(&cookie)));
    assert_silent(rig.send_from(path(3), tag, |w| w.cookie_echo(&cookie)));
    let mut out = Vec::new();
    let mut w = PacketWriter::new(&mut out, 1000, PEER_PORT + 1, PORT, tag);
    w.cookie_echo(&cookie);
    w.finish();
    assert_silent(rig.receive(path(1), out));
    assert_eq!(rig.stack.table.len(), 0);
    // A listed address is accepted.
    assert_eq!(
        one(rig.send_from(path(2), tag, |w| w.cookie_echo(&cookie))).kinds()[0],
        chunk_type::COOKIE_ACK
    );
}

#[test]
fn a_stale_cookie_is_refused_with_the_peers_tag() {
    let (mut rig, tag, cookie) = offered();
    rig.pass(Duration::from_secs(60));
    let ok = one(rig.send(tag, |w| w.cookie_echo(&cookie)));
    assert_eq!(ok.kinds(), [chunk_type::COOKIE_ACK]);

    let (mut rig, tag, cookie) = offered();
    rig.pass(Duration::from_millis(60_250));
    let sent = one(rig.send(tag, |w| {
        w.cookie_echo(&cookie);
        data(w, PEER_TSN);
    }));
    assert_eq!((sent.kinds(), sent.packet.vtag()), (vec![chunk_type::ERROR], PEER_TAG));
    let Chunk::Error { causes } = sent.decoded(chunk_type::ERROR) else { unreachable!() };
    assert_eq!(causes.iter().count(), 1);
    assert!(matches!(causes.iter().next(), Some(Cause::StaleCookie { micros: 250_000, .. })));
    assert_eq!(rig.stack.table.len(), 0);
}

#[test]
fn a_longer_life_is_granted_up_to_twice_the_usual() {
    for (asked, lives) in [(30_000, 90), (3_600_000, 120)] {
        let echo = |after: u64| {
            let mut rig = Rig::new();
            let (init, _, cookie) = one(rig.init(|p| p.cookie_preservative(asked))).init();
            rig.pass(Duration::from_secs(after));
            one(rig.send(init.initiate_tag, |w| w.cookie_echo(&cookie.unwrap()))).kinds()
        };
        assert_eq!(echo(lives), [chunk_type::COOKIE_ACK], "asked for {asked} ms");
        assert_eq!(echo(lives + 1), [chunk_type::ERROR], "asked for {asked} ms");
    }
}

#[test]
fn cookies_outlive_the_change_of_the_key() {
    let mut rig = Rig::new();
    rig.pass(Duration::from_secs(3590));
    let (init, _, cookie) = one(rig.init(|_| {})).init();
    rig.pass(Duration::from_secs(30));
    // This INIT ACK is sealed with a new key.
    rig.init_from(path(9), 9, &[]);
    let sent = rig.send(init.initiate_tag, |w| w.cookie_echo(&cookie.unwrap()));
    assert_eq!(one(sent).kinds(), [chunk_type::COOKIE_ACK]);
}

#[test]
fn a_cookie_needs_a_listener_when_it_comes_back() {
    let (mut rig, tag, cookie) = offered();
    rig.stack.listen(PORT, 0).unwrap();
    assert_abort(rig.send(tag, |w| w.cookie_echo(&cookie)), PEER_TAG, false, &[4]);
    assert_eq!(rig.stack.table.len(), 0);
}

#[test]
fn a_cookie_is_refused_when_the_table_has_filled_up_meanwhile() {
    let config = StackConfig { max_associations: 1, ..StackConfig::default() };
    let mut rig = Rig::with(config, AssocConfig::default());
    let (a, _, first) = one(rig.init(|_| {})).init();
    let (b, _, second) = one(rig.init_from(path(2), 77, &[])).init();
    rig.send(a.initiate_tag, |w| w.cookie_echo(&first.unwrap()));
    let sent = rig.send_from(path(2), b.initiate_tag, |w| w.cookie_echo(&second.unwrap()));
    assert_abort(sent, 77, false, &[4]);
}

#[test]
fn the_cookie_of_an_association_that_has_ended_brings_nothing_back() {
    let (mut rig, tag, cookie) = offered();
    rig.send(tag, |w| w.cookie_echo(&cookie));
    rig.send(tag, |w| w.abort(false, |_| {}));
    rig.events();
    assert_abort(rig.send(tag, |w| w.cookie_echo(&cookie)), PEER_TAG, false, &[]);
    assert!(rig.events().is_empty());
    assert_eq!(rig.stack.stats().associations, 0);
}

#[test]
fn the_cookie_is_small() {
    let (init, _, cookie) = one(Rig::new().init(|_| {})).init();
    assert!(cookie.unwrap().len() <= 100);
    assert_ne!(init.initiate_tag, 0);
}

#[test]
fn the_udp_port_of_the_cookie_echo_counts() {
    let (mut rig, tag, cookie) = offered();
    let moved = PathAddr { encap: Encap::Udp { remote_port: 40_000 }, ..path(1) };
    assert_eq!(one(rig.send_from(moved, tag, |w| w.cookie_echo(&cookie))).path, moved);
    rig.id = rig.stack.accept(PORT);
    assert_eq!(one(rig.send_data(b"x")).path, moved);
}

#[test]
fn associations_never_accepted_go_with_their_port() {
    let (mut rig, tag, cookie) = offered();
    rig.send(tag, |w| w.cookie_echo(&cookie));
    rig.stack.unbind(rig.now, PORT);
    assert_abort(rig.drain(), PEER_TAG, false, &[12]);
    assert_eq!(rig.stack.table.len(), 0);
    assert!(rig.stack.bind(PORT, &[], AssocConfig::default()).is_ok());
}

#[test]
fn an_association_released_without_accept_leaves_the_backlog() {
    let (mut rig, tag, cookie) = offered();
    rig.stack.listen(PORT, 1).unwrap();
    rig.send(tag, |w| w.cookie_echo(&cookie));
    let (id, _) = rig.stack.poll_event().unwrap();
    rig.stack.abort(rig.now, id, Bytes::new()).unwrap();
    rig.stack.release(rig.now, id);
    rig.drain();
    assert_eq!(rig.stack.accept(PORT), None);
    assert_eq!(one(rig.init_from(path(5), 5, &[])).kinds(), [chunk_type::INIT_ACK]);
}
