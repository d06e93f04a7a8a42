//! Hard cases of setup, end and error reports that need a whole stack and packets made by hand.
//! `docs/hard-cases.md` lists all hard cases.

use super::*;
use crate::event::LossReason;
use AssocState::*;

/// An INIT of the peer with this initiate tag and window.
fn init_with_window(rig: &mut Rig, a_rwnd: u32) -> Sent {
    let fixed = InitFixed { a_rwnd, ..fixed() };
    one(rig.send(0, |w| w.init(false, &fixed, |_| {})))
}

/// The responder knows the window of the peer from the INIT. It needs no SACK for the first byte
/// and must not wait for one.
#[test]
fn hard_case_10_the_window_of_the_init_counts_from_the_first_byte() {
    let sent_at_once = |a_rwnd: u32| {
        let mut rig = Rig::new();
        let (init, _, cookie) = init_with_window(&mut rig, a_rwnd).init();
        rig.send(init.initiate_tag, |w| w.cookie_echo(&cookie.unwrap()));
        rig.id = rig.stack.accept(PORT);
        for _ in 0..8 {
            rig.stack.send(rig.now, rig.id(), Message::new(0, 0, vec![1; 1000])).unwrap();
        }
        rig.drain().iter().filter(|s| s.kinds() == [chunk_type::DATA]).count()
    };
    assert_eq!(sent_at_once(1500), 1, "a second chunk would exceed the window");
    assert_eq!(sent_at_once(2999), 2);
    assert_eq!(sent_at_once(100_000), 5, "as much as the first congestion window takes");
}

/// Rule R4 of RFC 9260 sec 6.3.2. With one path, the lowest TSN is always in flight, so T3 runs
/// anyhow. On a second path, gap blocks can acknowledge everything, so that T3 stops, and then the
/// peer may take that back.
#[test]
fn hard_case_18_t3_runs_for_what_was_taken_back_on_another_path() {
    let mut rig = Rig::new();
    rig.connect(&[1, 2]);
    rig.init_ack(|p| p.address(addr(2)));
    rig.send(rig.own_tag, |w| w.cookie_ack());
    let first = one(rig.send_data(b"over path 1"));
    rig.stack.set_primary(rig.now, rig.id(), addr(2)).unwrap();
    let second = one(rig.send_data(b"over path 2"));
    assert_eq!((first.path.remote, second.path.remote), (addr(1), addr(2)));
    let (none, tsn) = (rig.own_tsn.minus(1), rig.own_tsn);
    let flight =
        |rig: &Rig| rig.stack.paths(rig.id()).iter().map(|p| p.flight > 0).collect::<Vec<_>>();
    rig.send(rig.own_tag, |w| w.sack(none, 100_000, [(2, 2)].into_iter(), &[]));
    assert_eq!(flight(&rig), [true, false]);
    rig.send(rig.own_tag, |w| sack(w, none));
    assert_eq!(flight(&rig), [true, true], "the peer took it back");
    rig.send(rig.own_tag, |w| sack(w, tsn));
    assert_eq!(flight(&rig), [false, true]);
    let again = rig.pass(Duration::from_millis(1001));
    let again = again.iter().find(|s| s.kinds() == [chunk_type::DATA]).expect("T3 sends it again");
    let Chunk::Data(data) = again.decoded(chunk_type::DATA) else { unreachable!() };
    assert_eq!(data.tsn, tsn.next());
}

/// The INIT arrived twice, so there are two INIT ACKs, each with its own cookie. The peer may use
/// either.
#[test]
fn either_of_two_init_acks_leads_to_one_association() {
    for taken in 0..2 {
        let mut rig = Rig::new();
        let offers = [(); 2].map(|()| one(rig.init(|_| {})).init());
        assert_ne!(offers[0].0.initiate_tag, offers[1].0.initiate_tag);
        let (init, _, cookie) = offers[taken].clone();
        let sent = rig.send(init.initiate_tag, |w| w.cookie_echo(&cookie.unwrap()));
        assert_eq!(one(sent).kinds(), [chunk_type::COOKIE_ACK]);
        assert_eq!(rig.stack.stats().associations, 1);
        rig.id = rig.stack.accept(PORT);
        rig.own_tag = init.initiate_tag;
        assert_eq!(one(rig.data(PEER_TSN)).kinds(), [chunk_type::SACK]);
        rig.events();
        // The other cookie arrives late. It makes no second association and does not harm the
        // first.
        let (init, _, cookie) = offers[1 - taken].clone();
        rig.send(init.initiate_tag, |w| w.cookie_echo(&cookie.unwrap()));
        assert_eq!((rig.stack.stats().associations, rig.state()), (1, Established));
        assert!(rig.events().is_empty());
        rig.data(PEER_TSN.next());
        assert_eq!(one(rig.data(PEER_TSN.plus(2))).kinds(), [chunk_type::SACK]);
    }
}

/// The same from the other side. The INIT ACK that comes first is answered with its cookie, and the
/// second has no effect.
#[test]
fn the_first_of_two_init_acks_is_taken_and_the_second_dropped() {
    let mut rig = Rig::in_state(CookieWait);
    let offer = |rig: &mut Rig, tag: u32, cookie: &[u8]| {
        let fixed = InitFixed { initiate_tag: tag, ..fixed() };
        rig.send(rig.own_tag, |w| w.init(true, &fixed, |p| p.state_cookie(cookie)))
    };
    let echo = one(offer(&mut rig, 0x1111, b"second answer, first here"));
    assert_eq!((echo.kinds(), echo.packet.vtag()), (vec![chunk_type::COOKIE_ECHO], 0x1111));
    assert_eq!(echo.chunk(chunk_type::COOKIE_ECHO).value, b"second answer, first here");
    assert_silent(offer(&mut rig, 0x2222, b"first answer, late"));
    let again = one(rig.next_timer());
    assert_eq!(again.packet.vtag(), 0x1111);
    assert_eq!(again.chunk(chunk_type::COOKIE_ECHO).value, b"second answer, first here");
    rig.send(rig.own_tag, |w| w.cookie_ack());
    assert_eq!((rig.state(), ups(&rig.events())), (Established, 1));
}

#[test]
fn an_abort_during_the_handshake_ends_it() {
    for state in [CookieWait, CookieEchoed] {
        // The peer refuses.
        let mut rig = Rig::in_state(state);
        assert_silent(rig.send(rig.own_tag, |w| w.abort(false, |c| c.out_of_resource())));
        assert!(
            matches!(lost(&rig.events()), Some(LossReason::Refused { cause: 4, .. })),
            "{state:?}"
        );
        assert_eq!((rig.state(), rig.stack.poll_timeout()), (Closed, None));

        // The user has changed its mind. The peer is told if it knows of us.
        let mut rig = Rig::in_state(state);
        rig.stack.abort(rig.now, rig.id(), Bytes::from_static(b"never mind")).unwrap();
        let sent = rig.drain();
        assert_eq!(sent.len(), usize::from(state == CookieEchoed), "{sent:?}");
        assert_eq!((rig.state(), rig.stack.poll_timeout()), (Closed, None));
        // Late answers of the peer bring nothing back.
        rig.init_ack(|_| {});
        rig.send(rig.own_tag, |w| w.cookie_ack());
        assert_eq!((rig.state(), rig.stack.stats().associations), (Closed, 0));
        assert_eq!(ups(&rig.events()), 0);
    }
}

#[test]
fn a_repeated_shutdown_in_shutdown_ack_sent_gets_the_shutdown_ack_again() {
    let mut rig = Rig::in_state(ShutdownAckSent);
    let cum = rig.own_tsn.minus(1);
    for _ in 0..3 {
        let sent = one(rig.send(rig.own_tag, |w| w.shutdown(cum)));
        assert_eq!((sent.kinds(), sent.packet.vtag()), (vec![chunk_type::SHUTDOWN_ACK], PEER_TAG));
        assert_eq!(rig.state(), ShutdownAckSent);
    }
    assert!(rig.events().is_empty());
    rig.send(rig.own_tag, |w| w.shutdown_complete(false));
    assert_eq!(rig.events(), [Event::ShutdownComplete]);
}

/// After the end, packets of the association cause no events at either end. The end that sent the
/// SHUTDOWN COMPLETE does not answer with an ABORT, which could overtake it. The other end answers
/// as it answers any packet out of the blue (RFC 9260 sec 8.4).
#[test]
fn late_packets_after_shutdown_complete_are_ignored() {
    for state in [ShutdownSent, ShutdownAckSent] {
        let mut rig = Rig::in_state(state);
        let (tag, tsn) = (rig.own_tag, rig.own_tsn);
        if state == ShutdownSent {
            assert_complete(rig.send(tag, |w| w.shutdown_ack()), PEER_TAG, false);
        } else {
            assert_silent(rig.send(tag, |w| w.shutdown_complete(false)));
        }
        assert_eq!(rig.events(), [Event::ShutdownComplete]);
        let late: [fn(&mut PacketWriter<'_>, Tsn); 7] = [
            |w, _| data(w, PEER_TSN),
            |w, tsn| sack(w, tsn.minus(1)),
            |w, tsn| w.shutdown(tsn.minus(1)),
            |w, _| w.shutdown_complete(false),
            |w, _| w.heartbeat(b"are you there"),
            |w, _| w.cookie_ack(),
            |w, _| w.abort(false, |_| {}),
        ];
        for (n, write) in late.into_iter().enumerate() {
            let sent = rig.send(tag, |w| write(w, tsn));
            if state == ShutdownAckSent && matches!(n, 0..=2 | 4) {
                assert_abort(sent, tag, true, &[]);
            } else {
                assert!(sent.is_empty(), "packet {n} after {state:?}: {sent:?}");
            }
        }
        assert!(rig.events().is_empty());
        assert_eq!((rig.stack.stats().associations, rig.stack.poll_timeout()), (0, None));
    }
}

#[test]
fn an_acknowledgement_or_a_heartbeat_ack_resets_the_error_counter() {
    let errors = |rig: &Rig| rig.stack.paths(rig.id())[0].error_count;
    // Four times eight timeouts are far more than Association.Max.Retrans, so only the resets keep
    // it alive.
    let mut rig = Rig::in_state(Established);
    for round in 0..4 {
        rig.send_data(b"x");
        for expected in 1..=8 {
            while errors(&rig) < expected {
                rig.next_timer();
            }
        }
        let tsn = rig.own_tsn.plus(round);
        rig.send(rig.own_tag, |w| sack(w, tsn));
        assert_eq!((errors(&rig), rig.state()), (0, Established), "round {round}");
    }
    for _ in 0..4 {
        while errors(&rig) < 8 {
            rig.next_timer();
        }
        rig.stack.request_heartbeat(rig.now, rig.id(), addr(1)).unwrap();
        let probe = rig.drain().pop().expect("a heartbeat");
        let tlvs = probe.heartbeat();
        rig.send(rig.own_tag, |w| w.heartbeat_ack(&tlvs));
        assert_eq!((errors(&rig), rig.state()), (0, Established));
    }
}

/// Whatever an ERROR reports, its packet fits the path.
#[test]
fn errors_are_capped_to_the_path_mtu() {
    let config = AssocConfig { ip_mtu_udp: 576, ..AssocConfig::default() };
    let mut rig = Rig::with(StackConfig::default(), config);
    rig.connect(&[1]);
    let sent = one(rig.init_ack(|p| (0..100).for_each(|n| p.raw(0xc100 + n, &[7; 200]))));
    assert_eq!(sent.kinds()[0], chunk_type::COOKIE_ECHO);
    assert!(sent.packet.len() <= 576 - 28, "{} bytes", sent.packet.len());
    rig.send(rig.own_tag, |w| w.cookie_ack());
    for size in [1, 100, 1000, 1400, 30_000] {
        let sent = one(rig.send(rig.own_tag, |w| w.raw_chunk(0xfe, 0, &vec![9; size])));
        assert_eq!((sent.kinds(), sent.causes()), (vec![chunk_type::ERROR], vec![6]));
        assert!(sent.packet.len() <= 576 - 28 && !sent.may_fragment, "{} bytes", sent.packet.len());
    }
    assert_eq!(rig.state(), Established);
}

#[test]
fn hard_case_40_an_abort_with_an_unknown_cause_is_honoured() {
    let mut rig = Rig::in_state(Established);
    assert_silent(rig.send(rig.own_tag, |w| {
        w.abort(false, |c| {
            c.raw(0x7777, b"what is this");
            c.raw(0xffff, &[0; 3]);
        });
    }));
    let events = rig.events();
    let reason = lost(&events).expect("the association is lost");
    assert!(
        matches!(reason, LossReason::PeerAbort { cause: 0x7777, info } if info == "what is this")
    );
    assert_eq!(rig.state(), Closed);
}
