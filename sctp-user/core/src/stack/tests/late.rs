//! Late or duplicate packets of a setup that is over begin nothing and end nothing (RFC 9260 sec
//! 5.2).

use super::*;
use crate::event::LossReason;

/// An INIT that belongs to a living association may come over another encapsulation or list new
/// addresses. It gets no ABORT, because that ABORT would carry the right tag.
#[test]
fn the_init_of_a_live_association_is_never_refused() {
    for state in [AssocState::CookieEchoed, AssocState::Established, AssocState::ShutdownSent] {
        let mut rig = Rig::in_state(state);
        let native = PathAddr { encap: Encap::Native, ..path(1) };
        assert_silent(rig.init_from(native, PEER_TAG, &[]));
        assert_silent(rig.init_from(path(1), PEER_TAG, &[2]));
        // With another tag it comes from somebody else, or from the restarted peer.
        assert_abort(rig.init_from(native, 5, &[]), 5, false, &[14]);
        assert_abort(rig.init_from(path(1), 5, &[2]), 5, false, &[11]);
        assert_eq!(rig.state(), state);
    }
}

/// Both ends connected. The association came up under the tag of our own INIT, but there is also a
/// cookie with another tag of ours, which we had offered before that.
#[test]
fn a_cookie_of_a_collision_brings_nothing_back_after_the_end() {
    for gracefully in [true, false] {
        let mut rig = Rig::new();
        let (offer, _, cookie) = one(rig.init(|_| {})).init();
        rig.connect(&[1]);
        assert_ne!(offer.initiate_tag, rig.own_tag);
        rig.pass(Duration::from_millis(1));
        rig.init_ack(|_| {});
        rig.send(rig.own_tag, |w| w.cookie_ack());
        assert_eq!(rig.state(), AssocState::Established);
        let cum = rig.own_tsn.minus(1);
        if gracefully {
            rig.send(rig.own_tag, |w| w.shutdown(cum));
            rig.send(rig.own_tag, |w| w.shutdown_complete(false));
        } else {
            rig.send(rig.own_tag, |w| w.abort(false, |_| {}));
        }
        assert_eq!(rig.state(), AssocState::Closed);
        rig.events();
        let cookie = cookie.unwrap();
        let sent = rig.send(offer.initiate_tag, |w| w.cookie_echo(&cookie));
        if gracefully {
            // An ABORT could overtake our SHUTDOWN COMPLETE.
            assert_silent(sent);
        } else {
            assert_abort(sent, PEER_TAG, false, &[]);
        }
        assert!(rig.events().is_empty());
        assert_eq!(rig.stack.stats().associations, 0);
    }
}

/// The COOKIE ECHO comes from another address of the peer than its INIT. Meanwhile we have
/// connected to the address of the INIT.
#[test]
fn a_cookie_finds_the_association_by_the_source_of_its_init() {
    let mut rig = Rig::new();
    let (offer, _, cookie) = one(rig.init(|p| p.address(addr(2)))).init();
    rig.connect(&[1]);
    let sent = rig.send_from(path(2), offer.initiate_tag, |w| w.cookie_echo(&cookie.unwrap()));
    assert_silent(sent);
    assert_eq!(rig.stack.stats().associations, 1);
    assert_eq!(rig.state(), AssocState::CookieWait);
}

/// Addresses that we cannot reach were never part of the association, so they are not new either.
#[test]
fn a_restart_may_list_addresses_that_cannot_be_reached() {
    let mut rig = Rig::accepted(&[]);
    let fixed = InitFixed { initiate_tag: 5, ..fixed() };
    let sent =
        rig.send(0, |w| w.init(false, &fixed, |p| p.address("2001:db8::1".parse().unwrap())));
    let (init, _, cookie) = one(sent).init();
    rig.send(init.initiate_tag, |w| w.cookie_echo(&cookie.unwrap()));
    assert!(matches!(rig.events()[..], [Event::Restart { .. }]));
    assert_eq!(rig.peer_addrs(), [addr(1)]);
}

/// A message that only gap blocks have acknowledged may wait behind a hole for ever.
#[test]
fn what_gap_blocks_acknowledged_comes_back_when_the_association_is_lost() {
    let mut rig = Rig::accepted(&[]);
    rig.send_data(b"lost");
    rig.send_data(b"waits for its order");
    let cum = rig.own_tsn.minus(1);
    rig.send(rig.own_tag, |w| w.sack(cum, 100_000, [(2, 2)].into_iter(), &[]));
    rig.send(rig.own_tag, |w| w.abort(false, |_| {}));
    let events = rig.events();
    assert!(matches!(lost(&events), Some(LossReason::PeerAbort { .. })));
    let failed: Vec<_> = events
        .iter()
        .filter_map(|e| match e {
            Event::SendFailed { message, unsent: false } => Some(&message.data[..]),
            _ => None,
        })
        .collect();
    assert_eq!(failed, [&b"lost"[..], b"waits for its order"]);
}

/// A peer restarts and ends. Later still comes a cookie from a collision before the restart.
#[test]
fn a_cookie_of_a_collision_before_a_restart_brings_nothing_back() {
    let mut rig = Rig::new();
    let (offer, _, cookie) = one(rig.init(|_| {})).init();
    rig.connect(&[1]);
    rig.pass(Duration::from_millis(1));
    rig.init_ack(|_| {});
    rig.send(rig.own_tag, |w| w.cookie_ack());
    let (init, _, again) = one(rig.init_from(path(1), 5, &[])).init();
    rig.send(init.initiate_tag, |w| w.cookie_echo(&again.unwrap()));
    assert!(rig.events().iter().any(|e| matches!(e, Event::Restart { .. })));
    rig.send(init.initiate_tag, |w| w.abort(false, |_| {}));
    rig.events();
    rig.send(offer.initiate_tag, |w| w.cookie_echo(&cookie.unwrap()));
    assert!(rig.events().is_empty());
    assert_eq!(rig.stack.stats().associations, 0);
}

/// The SACK that took a chunk back is lost, and SHUTDOWNs have no gap blocks.
#[test]
fn a_shutdown_that_stops_before_a_gap_acknowledged_chunk_takes_it_back() {
    let mut rig = Rig::accepted(&[]);
    rig.send_data(b"first");
    rig.send_data(b"second");
    let (none, first) = (rig.own_tsn.minus(1), rig.own_tsn);
    rig.send(rig.own_tag, |w| w.sack(none, 100_000, [(2, 2)].into_iter(), &[]));
    rig.send(rig.own_tag, |w| w.shutdown(first));
    assert_eq!(rig.state(), AssocState::ShutdownReceived);
    let sent = rig.next_timer();
    assert!(sent.iter().any(|s| s.kinds().contains(&chunk_type::DATA)), "{sent:?}");
    let second = first.next();
    let sent = rig.send(rig.own_tag, |w| w.shutdown(second));
    assert_eq!(one(sent).kinds(), [chunk_type::SHUTDOWN_ACK]);
}

/// The COOKIE ECHO packets of twenty seconds in which nobody answers, with a first message of `len`
/// bytes.
fn cookie_echoes(rig: &mut Rig, len: usize) -> Vec<Sent> {
    rig.connect(&[1]);
    rig.stack.send(rig.now, rig.id(), Message::new(0, 0, vec![7; len])).unwrap();
    rig.drain();
    let mut sent = rig.init_ack(|_| {});
    sent.extend(rig.pass(Duration::from_secs(20)));
    assert!(sent.len() > 3);
    assert!(sent.iter().all(|s| s.kinds()[0] == chunk_type::COOKIE_ECHO), "{sent:?}");
    sent
}

/// The path MTU is not known yet. The first COOKIE ECHO takes as much DATA along as passes nearly
/// everywhere, and the next ones as much as passes everywhere.
#[test]
fn the_cookie_echo_is_not_filled_to_an_unproven_size() {
    // Small messages, then messages that only fit at first, then parts of a large one.
    for (len, first, later) in [(100, true, true), (1000, true, false), (100_000, true, false)] {
        let config = AssocConfig { ip_mtu_udp: 1500, ..AssocConfig::default() };
        let mut rig = Rig::with(StackConfig::default(), config);
        let sent = cookie_echoes(&mut rig, len);
        for (n, packet) in sent.iter().enumerate() {
            let with_data = packet.kinds() == [chunk_type::COOKIE_ECHO, chunk_type::DATA];
            assert_eq!(with_data, if n == 0 { first } else { later }, "{n} {len}");
            assert!(packet.packet.len() <= if n == 0 { 1200 } else { 548 });
        }
    }
}

/// The DATA that was left behind goes with the first packet after the setup.
#[test]
fn data_that_the_cookie_echo_left_behind_follows() {
    let mut rig = Rig::new();
    cookie_echoes(&mut rig, 1000);
    let mut sent = rig.send(rig.own_tag, |w| w.cookie_ack());
    if sent.is_empty() {
        // Its T3 sends it at the latest.
        sent = rig.next_timer();
    }
    assert!(sent.iter().any(|s| s.kinds().contains(&chunk_type::DATA)), "{sent:?}");
}
