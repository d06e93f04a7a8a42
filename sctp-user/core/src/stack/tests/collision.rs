//! INIT and COOKIE ECHO for an existing association: collision and restart (RFC 9260 sec 5.2.1,
//! 5.2.2, 5.2.4).

use super::*;
use crate::event::PeerAddrState;

const NEW_TAG: u32 = 0x7e57_ab1e;
const LIVE: [AssocState; 4] = [
    AssocState::Established,
    AssocState::ShutdownPending,
    AssocState::ShutdownSent,
    AssocState::ShutdownReceived,
];

/// The restarted peer sends INIT and COOKIE ECHO. Returns what answers the latter, and our new tag.
fn restart(rig: &mut Rig, listed: &[u8]) -> (Vec<Sent>, u32) {
    let (init, _, cookie) = one(rig.init_from(path(1), NEW_TAG, listed)).init();
    let sent = rig.send(init.initiate_tag, |w| w.cookie_echo(&cookie.unwrap()));
    (sent, init.initiate_tag)
}

#[test]
fn init_in_cookie_wait_is_answered_with_our_original_parameters() {
    let mut rig = Rig::new();
    let original = rig.connect(&[1]).init().0;
    let sent = one(rig.init(|_| {}));
    assert_eq!((sent.kinds(), sent.packet.vtag()), (vec![chunk_type::INIT_ACK], PEER_TAG));
    let (answer, ..) = sent.init();
    assert_eq!(
        (answer.initiate_tag, answer.initial_tsn),
        (original.initiate_tag, original.initial_tsn)
    );
    assert_eq!(rig.state(), AssocState::CookieWait);
    // T1-init still runs.
    assert_eq!(one(rig.next_timer()).kinds(), [chunk_type::INIT]);
}

#[test]
fn init_in_cookie_wait_is_answered_only_to_an_address_the_user_named() {
    let mut rig = Rig::in_state(AssocState::CookieWait);
    let sent = one(rig.init_from(path(2), 5, &[1]));
    assert_eq!((sent.kinds(), sent.path.remote), (vec![chunk_type::INIT_ACK], addr(1)));
    // From another address, and without listing address 1, it is about another association.
    let other = one(rig.init_from(path(2), 5, &[3]));
    assert_ne!(other.init().0.initiate_tag, rig.own_tag);
}

#[test]
fn init_in_cookie_echoed_is_answered_with_our_tag_unless_it_adds_addresses() {
    let mut rig = Rig::in_state(AssocState::CookieEchoed);
    let sent = one(rig.init(|_| {}));
    assert_eq!(sent.init().0.initiate_tag, rig.own_tag);
    assert_abort(rig.init_from(path(1), 5, &[2]), 5, false, &[11]);
    assert_eq!(rig.state(), AssocState::CookieEchoed);
    assert_eq!(one(rig.next_timer()).kinds(), [chunk_type::COOKIE_ECHO]);
}

#[test]
fn init_for_a_live_association_gets_a_new_tag_and_changes_nothing() {
    for state in LIVE {
        let mut rig = Rig::in_state(state);
        let timer = rig.stack.poll_timeout();
        let sent = one(rig.init(|_| {}));
        assert_eq!(sent.kinds(), [chunk_type::INIT_ACK], "{state:?}");
        let (answer, ..) = sent.init();
        assert_ne!(answer.initiate_tag, rig.own_tag);
        assert_ne!(answer.initial_tsn, rig.own_tsn);
        assert_eq!((rig.state(), rig.stack.poll_timeout()), (state, timer));
        assert!(rig.events().is_empty());
    }
}

#[test]
fn hard_case_04_a_restart_with_a_new_address_is_refused() {
    for state in LIVE {
        let mut rig = Rig::in_state(state);
        let sent = one(rig.init_from(path(1), 5, &[2, 3]));
        assert_eq!((sent.packet.vtag(), sent.causes()), (5, vec![11]), "{state:?}");
        let Chunk::Abort { causes, reflected: false } = sent.decoded(chunk_type::ABORT) else {
            unreachable!()
        };
        let Some(Cause::RestartWithNewAddresses(addrs)) = causes.iter().next() else {
            unreachable!()
        };
        assert_eq!(addrs.len(), 16, "both new addresses are listed");
        assert_eq!(rig.state(), state);
    }
    // The source counts, too. This INIT lists the known address, so that the association is found.
    let mut rig = Rig::in_state(AssocState::Established);
    assert_abort(rig.init_from(path(2), 5, &[1]), 5, false, &[11]);
    assert_eq!(rig.state(), AssocState::Established);
}

#[test]
fn init_in_shutdown_ack_sent_gets_the_shutdown_ack_again() {
    let mut rig = Rig::in_state(AssocState::ShutdownAckSent);
    let sent = one(rig.init(|_| {}));
    assert_eq!((sent.kinds(), sent.packet.vtag()), (vec![chunk_type::SHUTDOWN_ACK], PEER_TAG));
    assert_eq!(rig.state(), AssocState::ShutdownAckSent);
}

#[test]
fn hard_case_02_the_init_of_the_handshake_again_is_harmless() {
    let mut rig = Rig::accepted(&[]);
    let of = |rig: &mut Rig| {
        (rig.stack.status(rig.id()), rig.stack.paths(rig.id()), rig.stack.poll_timeout())
    };
    let before = of(&mut rig);
    let answer = one(rig.init(|_| {}));
    assert_ne!(answer.init().0.initiate_tag, rig.own_tag, "the tag in use is not given out");
    assert_eq!(of(&mut rig), before);
    assert!(rig.events().is_empty());
    assert_eq!(one(rig.data(PEER_TSN)).kinds(), [chunk_type::SACK]);
}

#[test]
fn hard_case_03_a_restarted_peer_comes_with_the_new_tag_and_gets_everything_anew() {
    for state in [AssocState::Established, AssocState::ShutdownReceived] {
        let mut rig = Rig::in_state(state);
        if state == AssocState::Established {
            rig.send_data(b"outstanding");
        }
        // The tag in the packet must be the one in the cookie, not that of the association.
        let (offer, _, cookie) = one(rig.init_from(path(1), NEW_TAG, &[])).init();
        let cookie = cookie.unwrap();
        assert_silent(rig.send(rig.own_tag, |w| w.cookie_echo(&cookie)));
        assert!(rig.events().is_empty());
        let tag = offer.initiate_tag;
        let sent = rig.send(tag, |w| w.cookie_echo(&cookie));
        assert_eq!(one(sent).kinds(), [chunk_type::COOKIE_ACK]);
        let events = rig.events();
        assert!(
            matches!(
                &events[..],
                [
                    Event::SendFailed { unsent: false, .. },
                    Event::Restart { outbound_streams: 9, inbound_streams: 7, before: 0 }
                ]
            ),
            "{events:?}"
        );
        assert_eq!(rig.state(), AssocState::Established);
        let status = rig.stack.status(rig.id()).unwrap();
        assert_eq!((status.local_tag, status.peer_tag), (tag, NEW_TAG));
        assert_eq!((status.unacked_chunks, status.send_buffered), (0, 0));
        // The old tag is dead, the new one is in use, and TSNs count from the new start.
        let old = rig.own_tag;
        assert_silent(rig.send(old, |w| data(w, PEER_TSN)));
        rig.own_tag = tag;
        assert_eq!(one(rig.data(PEER_TSN)).kinds(), [chunk_type::SACK]);
        assert_eq!(one(rig.send_data(b"new")).packet.vtag(), NEW_TAG);
    }
}

#[test]
fn case_a_resets_paths_and_error_counts() {
    let mut rig = Rig::in_state(AssocState::Established);
    rig.send_data(b"x");
    rig.pass(Duration::from_secs(10));
    let before = &rig.stack.paths(rig.id())[0];
    assert!(before.error_count > 0 && before.rto > Duration::from_secs(1));
    restart(&mut rig, &[]);
    let after = &rig.stack.paths(rig.id())[0];
    assert_eq!((after.error_count, after.rto, after.flight), (0, Duration::from_secs(1), 0));
    assert!(after.cwnd >= 4380);
}

#[test]
fn case_a_keeps_what_was_received_completely() {
    let mut rig = Rig::in_state(AssocState::Established);
    rig.data(PEER_TSN);
    restart(&mut rig, &[]);
    assert_eq!(&rig.stack.recv(rig.now, rig.id()).unwrap().data[..], b"data of the peer");
}

#[test]
fn case_a_drops_addresses_that_the_restarted_peer_does_not_list() {
    let mut rig = Rig::accepted(&[2, 3]);
    restart(&mut rig, &[3]);
    assert_eq!(rig.peer_addrs(), [addr(1), addr(3)]);
    // An INIT from the address that is gone is about a new association.
    assert_eq!(one(rig.init_from(path(2), 5, &[])).kinds(), [chunk_type::INIT_ACK]);
}

#[test]
fn case_a_tells_which_addresses_are_gone() {
    let mut rig = Rig::accepted(&[2, 3]);
    restart(&mut rig, &[3]);
    let removed = |n| Event::PeerAddrChange { addr: addr(n), state: PeerAddrState::Removed };
    let events = rig.events();
    let restarted =
        events.iter().position(|e| matches!(e, Event::Restart { .. })).expect("a restart");
    assert_eq!(events.iter().position(|e| *e == removed(2)), Some(restarted + 1));
    assert!(!events.contains(&removed(1)) && !events.contains(&removed(3)));
}

#[test]
fn case_a_tells_which_address_is_primary_when_that_is_gone() {
    let mut rig = Rig::accepted(&[2]);
    let tlvs = one(rig.pass(Duration::from_millis(10))).heartbeat();
    rig.send_from(path(2), rig.own_tag, |w| w.heartbeat_ack(&tlvs));
    rig.stack.set_primary(rig.now, rig.id(), addr(2)).unwrap();
    rig.events();
    restart(&mut rig, &[]);
    let change = |n, state| Event::PeerAddrChange { addr: addr(n), state };
    let changes: Vec<Event> =
        rig.events().into_iter().filter(|e| matches!(e, Event::PeerAddrChange { .. })).collect();
    assert_eq!(changes, [change(2, PeerAddrState::Removed), change(1, PeerAddrState::MadePrimary)]);
}

#[test]
fn case_a_in_shutdown_ack_sent_does_not_restart() {
    // The INIT was answered before the shutdown got that far.
    let mut rig = Rig::in_state(AssocState::Established);
    let (init, _, cookie) = one(rig.init_from(path(1), NEW_TAG, &[])).init();
    let cum = rig.own_tsn.minus(1);
    rig.send(rig.own_tag, |w| w.shutdown(cum));
    rig.events();
    let sent = one(rig.send(init.initiate_tag, |w| w.cookie_echo(&cookie.unwrap())));
    assert_eq!(sent.kinds(), [chunk_type::ERROR, chunk_type::SHUTDOWN_ACK]);
    assert_eq!(sent.causes(), [10]);
    assert_eq!(rig.state(), AssocState::ShutdownAckSent);
    assert!(rig.events().is_empty());
}

#[test]
fn case_a_checks_the_addresses_again() {
    let mut rig = Rig::accepted(&[2]);
    // This cookie is for a restart with the addresses 1 and 2. Another restart removes address 2.
    let (init, _, cookie) = one(rig.init_from(path(1), 5, &[2])).init();
    restart(&mut rig, &[]);
    rig.events();
    assert_silent(rig.send(init.initiate_tag, |w| w.cookie_echo(&cookie.unwrap())));
    assert_eq!(rig.peer_addrs(), [addr(1)]);
    assert!(rig.events().is_empty());
}

#[test]
fn case_a_needs_the_tie_tags_of_this_incarnation() {
    let mut rig = Rig::accepted(&[]);
    let (init, _, cookie) = one(rig.init_from(path(1), 5, &[])).init();
    restart(&mut rig, &[]);
    rig.events();
    assert_silent(rig.send(init.initiate_tag, |w| w.cookie_echo(&cookie.unwrap())));
    assert!(rig.events().is_empty());
}

#[test]
fn case_a_does_not_revive_what_the_user_has_shut_down() {
    for state in [AssocState::ShutdownPending, AssocState::ShutdownSent] {
        let mut rig = Rig::in_state(state);
        let (sent, tag) = restart(&mut rig, &[]);
        assert_eq!(one(sent).kinds(), [chunk_type::COOKIE_ACK, chunk_type::SHUTDOWN], "{state:?}");
        assert_eq!(rig.state(), AssocState::ShutdownSent);
        assert_complete(rig.send(tag, |w| w.shutdown_ack()), NEW_TAG, false);
    }
    // Nor does it revive what the user has released.
    let mut rig = Rig::in_state(AssocState::ShutdownReceived);
    rig.stack.release(rig.now, rig.id());
    let (_, tag) = restart(&mut rig, &[]);
    rig.send(tag, |w| w.shutdown_ack());
    assert_eq!(rig.stack.table.len(), 0);
}

#[test]
fn hard_case_06_case_b_the_peers_own_setup_wins() {
    for state in [AssocState::CookieWait, AssocState::CookieEchoed] {
        let mut rig = Rig::in_state(AssocState::CookieWait);
        rig.send_data(b"queued");
        if state == AssocState::CookieEchoed {
            rig.init_ack(|_| {});
        }
        let fixed = InitFixed {
            initiate_tag: NEW_TAG,
            a_rwnd: 50_000,
            outbound_streams: 3,
            inbound_streams: 4,
            initial_tsn: Tsn(77),
        };
        let (init, _, cookie) = one(rig.send(0, |w| w.init(false, &fixed, |_| {}))).init();
        assert_eq!(init.initiate_tag, rig.own_tag);
        let sent = rig.send(rig.own_tag, |w| w.cookie_echo(&cookie.unwrap()));
        assert_eq!(one(sent).kinds(), [chunk_type::COOKIE_ACK, chunk_type::DATA], "{state:?}");
        assert_eq!(rig.state(), AssocState::Established);
        let events = rig.events();
        assert_eq!(ups(&events), 1);
        assert!(events.contains(&Event::Up {
            outbound_streams: 4,
            inbound_streams: 3,
            incoming: false
        }));
        let status = rig.stack.status(rig.id()).unwrap();
        assert_eq!((status.local_tag, status.peer_tag), (rig.own_tag, NEW_TAG));
        assert!((49_000..50_000).contains(&status.peer_rwnd), "{}", status.peer_rwnd);
        assert_eq!(one(rig.data(Tsn(77))).kinds(), [chunk_type::SACK]);
        // No T1 is left over.
        let own_tsn = rig.own_tsn;
        rig.send(rig.own_tag, |w| sack(w, own_tsn));
        let kinds: Vec<_> =
            rig.pass(Duration::from_secs(10)).iter().flat_map(Sent::kinds).collect();
        assert!(kinds.is_empty(), "{kinds:?}");
    }
}

#[test]
fn case_b_never_breaks_an_association_in_use() {
    let mut rig = Rig::in_state(AssocState::CookieEchoed);
    let (_, _, cookie) = one(rig.init_from(path(1), NEW_TAG, &[])).init();
    let cookie = cookie.unwrap();
    rig.send(rig.own_tag, |w| w.cookie_ack());
    rig.send_data(b"in use");
    rig.events();
    assert_silent(rig.send(rig.own_tag, |w| w.cookie_echo(&cookie)));
    assert_eq!(rig.stack.status(rig.id()).unwrap().peer_tag, PEER_TAG);
}

#[test]
fn case_b_in_established_repeats_no_event_and_stops_no_shutdown() {
    let collide = |shut_down: bool| {
        let mut rig = Rig::in_state(AssocState::CookieEchoed);
        let (_, _, cookie) = one(rig.init_from(path(1), NEW_TAG, &[])).init();
        rig.send(rig.own_tag, |w| w.cookie_ack());
        if shut_down {
            rig.stack.shutdown(rig.now, rig.id()).unwrap();
            rig.drain();
        }
        assert_eq!(ups(&rig.events()), 1);
        let sent = rig.send(rig.own_tag, |w| w.cookie_echo(&cookie.unwrap()));
        assert!(rig.events().is_empty());
        (rig, sent)
    };
    let (rig, sent) = collide(false);
    assert_eq!(one(sent).kinds(), [chunk_type::COOKIE_ACK]);
    assert_eq!(rig.stack.status(rig.id()).unwrap().peer_tag, NEW_TAG);
    let (rig, sent) = collide(true);
    assert_silent(sent);
    assert_eq!(rig.state(), AssocState::ShutdownSent);
}

#[test]
fn hard_case_05_case_c_a_late_cookie_is_dropped() {
    // The cookie was made before there was an association (its tie tags are 0). Then we connected
    // ourselves.
    let mut rig = Rig::new();
    let (init, _, cookie) = one(rig.init(|_| {})).init();
    rig.connect(&[1]);
    rig.init_ack(|_| {});
    rig.send(rig.own_tag, |w| w.cookie_ack());
    rig.events();
    let timer = rig.stack.poll_timeout();
    assert_silent(rig.send(init.initiate_tag, |w| w.cookie_echo(&cookie.unwrap())));
    assert_eq!((rig.state(), rig.stack.poll_timeout()), (AssocState::Established, timer));
    assert!(rig.events().is_empty());
}

#[test]
fn case_d_both_ends_at_once() {
    let mut rig = Rig::in_state(AssocState::CookieEchoed);
    let (_, _, cookie) = one(rig.init(|_| {})).init();
    let sent = rig.send(rig.own_tag, |w| w.cookie_echo(&cookie.unwrap()));
    assert_eq!(one(sent).kinds(), [chunk_type::COOKIE_ACK]);
    assert_eq!(rig.state(), AssocState::Established);
    assert_eq!(ups(&rig.events()), 1);
    // The late COOKIE ACK for our own COOKIE ECHO changes nothing.
    assert_silent(rig.send(rig.own_tag, |w| w.cookie_ack()));
    assert!(rig.events().is_empty());
    assert_silent(rig.pass(Duration::from_secs(10)));
}

#[test]
fn hard_case_01_a_lost_cookie_ack_is_sent_again() {
    let mut rig = Rig::new();
    let (init, _, cookie) = one(rig.init(|_| {})).init();
    let cookie = cookie.unwrap();
    let echo = |w: &mut PacketWriter<'_>| {
        w.cookie_echo(&cookie);
        data(w, PEER_TSN);
    };
    rig.send(init.initiate_tag, echo);
    assert_eq!(ups(&rig.events()), 1);
    let sent = one(rig.send(init.initiate_tag, echo));
    assert_eq!(sent.kinds(), [chunk_type::COOKIE_ACK, chunk_type::SACK]);
    let Chunk::Sack(again) = sent.decoded(chunk_type::SACK) else { unreachable!() };
    assert_eq!((again.cum_tsn, again.dups().collect::<Vec<_>>()), (PEER_TSN, vec![PEER_TSN]));
    assert!(rig.events().is_empty());
    rig.id = rig.stack.accept(PORT);
    assert!(rig.stack.recv(rig.now, rig.id()).is_some());
    assert!(rig.stack.recv(rig.now, rig.id()).is_none(), "its DATA was a duplicate");
    // This holds even after the cookie has expired.
    rig.pass(Duration::from_secs(100));
    let sent = rig.send(init.initiate_tag, |w| w.cookie_echo(&cookie));
    assert_eq!(one(sent).kinds(), [chunk_type::COOKIE_ACK]);
    assert_eq!(rig.stack.table.len(), 1);
}

#[test]
fn an_expired_cookie_of_a_restart_is_refused() {
    let mut rig = Rig::in_state(AssocState::Established);
    let (init, _, cookie) = one(rig.init_from(path(1), NEW_TAG, &[])).init();
    rig.pass(Duration::from_secs(61));
    rig.events();
    let sent = one(rig.send(init.initiate_tag, |w| w.cookie_echo(&cookie.unwrap())));
    assert_eq!(
        (sent.kinds(), sent.causes(), sent.packet.vtag()),
        (vec![chunk_type::ERROR], vec![3], NEW_TAG)
    );
    assert_eq!(rig.state(), AssocState::Established);
}

#[test]
fn a_second_connect_to_the_same_peer_is_refused() {
    let mut rig = Rig::in_state(AssocState::CookieWait);
    let again = rig.stack.connect(rig.now, PORT, &Peer::new(addr(1), UDP, PEER_PORT), None);
    assert_eq!(again, Err(crate::ConnectError::AlreadyConnected));
}

#[test]
fn case_a_in_the_middle_of_a_message_fails_its_next_part() {
    let mut rig = Rig::in_state(AssocState::Established);
    let options = crate::SendOptions { more_follows: true, ..Default::default() };
    let part = |stream| Message { options, ..Message::new(stream, 0, "part") };
    rig.stack.send(rig.now, rig.id(), part(1)).unwrap();
    assert_eq!(one(rig.drain()).kinds(), [chunk_type::DATA]);
    restart(&mut rig, &[]);
    let mut send = |message| rig.stack.send(rig.now, rig.id.unwrap(), message);
    send(part(2)).unwrap();
    assert_eq!(send(Message::new(1, 0, "end")), Err(crate::SendError::CutOff));
    send(Message::new(1, 0, "anew")).unwrap();
}
