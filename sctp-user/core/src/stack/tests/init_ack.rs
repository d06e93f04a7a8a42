//! The connecting side: INIT ACK, T1-init, T1-cookie, Stale Cookie (RFC 9260 sec 5.1.3, 5.1.6,
//! 5.2.3, 5.2.6).

use super::*;
use crate::event::LossReason;

/// Sends an INIT ACK with a changed fixed part. Returns the rig and the answers.
fn with(change: impl FnOnce(&mut InitFixed)) -> (Rig, Vec<Sent>) {
    let mut rig = Rig::in_state(AssocState::CookieWait);
    let mut fixed = fixed();
    change(&mut fixed);
    let sent = rig.send(rig.own_tag, |w| w.init(true, &fixed, |p| p.state_cookie(b"c")));
    (rig, sent)
}

#[test]
fn initiate_tag_0_ends_the_setup_with_the_reflected_tag() {
    let (mut rig, sent) = with(|f| f.initiate_tag = 0);
    assert_abort(sent, rig.own_tag, true, &[]);
    assert!(matches!(lost(&rig.events()), Some(LossReason::ProtocolViolation(_))));
}

#[test]
fn no_streams_end_the_setup() {
    for change in
        [|f: &mut InitFixed| f.outbound_streams = 0, |f: &mut InitFixed| f.inbound_streams = 0]
    {
        let (rig, sent) = with(change);
        assert_abort(sent, PEER_TAG, false, &[7]);
        assert_eq!(rig.state(), AssocState::Closed);
    }
}

#[test]
fn a_tiny_window_is_refused_and_the_setup_goes_on() {
    let (mut rig, sent) = with(|f| f.a_rwnd = 1499);
    assert_abort(sent, PEER_TAG, false, &[7]);
    assert_eq!(rig.state(), AssocState::CookieWait);
    assert_eq!(one(rig.next_timer()).kinds(), [chunk_type::INIT]);
}

#[test]
fn a_missing_cookie_ends_the_setup_and_is_named() {
    let mut rig = Rig::in_state(AssocState::CookieWait);
    let sent = one(rig.send(rig.own_tag, |w| w.init(true, &fixed(), |_| {})));
    assert_eq!((sent.packet.vtag(), sent.causes()), (PEER_TAG, vec![2]));
    let Chunk::Abort { causes, .. } = sent.decoded(chunk_type::ABORT) else { unreachable!() };
    let Some(Cause::MissingMandatoryParam(missing)) = causes.iter().next() else { unreachable!() };
    assert!(missing.iter().eq([7]));
    assert_eq!(rig.state(), AssocState::Closed);
}

#[test]
fn a_host_name_ends_the_setup() {
    let mut rig = Rig::in_state(AssocState::CookieWait);
    let sent = one(rig.init_ack(|p| p.raw(11, b"example.org\0")));
    assert_refuses_host_name(&sent);
    assert_eq!(rig.state(), AssocState::Closed);
}

#[test]
fn a_good_init_ack_is_answered_with_its_cookie_at_once() {
    let mut rig = Rig::in_state(AssocState::CookieWait);
    let sent = one(rig.init_ack(|_| {}));
    assert_eq!(sent.kinds(), [chunk_type::COOKIE_ECHO]);
    assert_eq!(sent.chunk(chunk_type::COOKIE_ECHO).value, b"cookie");
    assert_eq!(sent.packet.vtag(), PEER_TAG);
    assert_eq!(rig.state(), AssocState::CookieEchoed);
}

#[test]
fn an_init_ack_counts_only_in_cookie_wait() {
    use AssocState::*;
    for state in [
        CookieEchoed,
        Established,
        ShutdownPending,
        ShutdownSent,
        ShutdownReceived,
        ShutdownAckSent,
    ] {
        let mut rig = Rig::in_state(state);
        assert_silent(rig.init_ack(|_| {}));
        assert_eq!(rig.state(), state);
        assert!(rig.events().is_empty());
    }
}

#[test]
fn hard_case_40_a_cookie_larger_than_the_path_goes_out_in_fragments() {
    let mut rig = Rig::in_state(AssocState::CookieWait);
    rig.send_data(b"waits");
    let cookie = vec![0x5a; 5000];
    let sent = one(rig.send(rig.own_tag, |w| w.init(true, &fixed(), |p| p.state_cookie(&cookie))));
    assert_eq!(sent.kinds(), [chunk_type::COOKIE_ECHO]);
    assert_eq!(sent.chunk(chunk_type::COOKIE_ECHO).value, cookie);
    assert!(sent.may_fragment);
    // The DATA that did not fit follows once the association is up.
    let sent = one(rig.send(rig.own_tag, |w| w.cookie_ack()));
    assert_eq!(sent.kinds(), [chunk_type::DATA]);
    assert!(!sent.may_fragment);
}

#[test]
fn data_goes_with_the_cookie_echo_and_nothing_else_before_the_cookie_ack() {
    let mut rig = Rig::in_state(AssocState::CookieWait);
    assert_silent(rig.send_data(b"one"));
    let sent = one(rig.init_ack(|_| {}));
    assert_eq!(sent.kinds(), [chunk_type::COOKIE_ECHO, chunk_type::DATA]);
    assert_silent(rig.send_data(b"two"));
    // Reports wait, but heartbeats are answered.
    assert_silent(rig.send(rig.own_tag, |w| w.raw_chunk(0xff, 0, b"?")));
    assert_eq!(
        one(rig.send(rig.own_tag, |w| w.heartbeat(b"x"))).kinds(),
        [chunk_type::HEARTBEAT_ACK]
    );
    // The retransmission is the same.
    let again = one(rig.next_timer());
    assert_eq!(again.kinds(), [chunk_type::COOKIE_ECHO, chunk_type::DATA]);
    let tsn = |sent: &Sent| match sent.decoded(chunk_type::DATA) {
        Chunk::Data(data) => data.tsn,
        _ => unreachable!(),
    };
    assert_eq!((tsn(&sent), tsn(&again)), (rig.own_tsn, rig.own_tsn));
    let kinds: Vec<_> =
        rig.send(rig.own_tag, |w| w.cookie_ack()).iter().flat_map(Sent::kinds).collect();
    assert_eq!(kinds, [chunk_type::ERROR, chunk_type::DATA]);
}

#[test]
fn t1_doubles_and_gives_up_after_the_last_retransmission() {
    for (state, kind) in [
        (AssocState::CookieWait, chunk_type::INIT),
        (AssocState::CookieEchoed, chunk_type::COOKIE_ECHO),
    ] {
        let mut rig = Rig::in_state(state);
        let mut waits = Vec::new();
        for _ in 0..8 {
            let before = rig.now;
            assert_eq!(one(rig.next_timer()).kinds(), [kind]);
            waits.push(rig.now.since(before).as_secs());
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert!(lost(&rig.events()).is_none());
        assert_silent(rig.next_timer());
        assert_eq!(lost(&rig.events()), Some(&LossReason::SetupTimeout));
        assert_eq!(rig.stack.poll_timeout(), None);
    }
}

#[test]
fn the_counts_of_init_and_cookie_echo_are_separate() {
    let mut rig = Rig::in_state(AssocState::CookieWait);
    for _ in 0..8 {
        rig.next_timer();
    }
    rig.init_ack(|_| {});
    for _ in 0..8 {
        assert_eq!(one(rig.next_timer()).kinds(), [chunk_type::COOKIE_ECHO]);
    }
}

#[test]
fn a_failed_setup_gives_the_messages_back_and_frees_its_slot() {
    let mut rig = Rig::in_state(AssocState::CookieWait);
    rig.send_data(b"lost");
    rig.pass(Duration::from_secs(1000));
    let events = rig.events();
    assert!(matches!(
        &events[..],
        [
            Event::SendFailed { message, unsent: true },
            Event::Lost(LossReason::SetupTimeout),
        ] if message.data == "lost"[..]
    ));
    rig.stack.release(rig.now, rig.id());
    assert_eq!(rig.stack.table.len(), 0);
    assert_eq!(rig.stack.stats().associations, 0);
    // The port and the peer are free for the next attempt.
    rig.connect(&[1]);
    assert_eq!(rig.state(), AssocState::CookieWait);
}

#[test]
fn several_addresses_take_turns() {
    let mut rig = Rig::new();
    let first = rig.connect(&[1, 2, 3]);
    let mut to = vec![first.path.remote];
    to.extend((0..3).map(|_| one(rig.next_timer()).path.remote));
    assert_eq!(to, [addr(1), addr(2), addr(3), addr(1)]);
    let cookie = one(rig.init_ack(|p| p.address(addr(3))));
    let mut to = vec![cookie.path.remote];
    to.extend((0..2).map(|_| one(rig.next_timer()).path.remote));
    // Address 2 is not one of the peer's: it was not listed.
    assert_eq!(to, [addr(1), addr(3), addr(1)]);
}

#[test]
fn a_stale_cookie_leads_to_a_new_init_that_asks_for_a_longer_life() {
    let mut rig = Rig::in_state(AssocState::CookieWait);
    rig.send_data(b"kept");
    rig.init_ack(|_| {});
    rig.pass(Duration::from_millis(300));
    let sent = one(rig.send(rig.own_tag, |w| w.error(|c| c.stale_cookie(100))));
    assert_eq!((sent.kinds(), sent.packet.vtag()), (vec![chunk_type::INIT], 0));
    assert_eq!(sent.init().0.initiate_tag, rig.own_tag);
    let Chunk::Init(init) = sent.decoded(chunk_type::INIT) else { unreachable!() };
    let asked = init.params.iter().find_map(|p| match p {
        Param::CookiePreservative { millis } => Some(millis),
        _ => None,
    });
    // The round trip took 300 ms. At most a second more is asked for.
    assert!((300..=1300).contains(&asked.unwrap()), "{asked:?}");
    assert_eq!(rig.state(), AssocState::CookieWait);
    // The message that went with the first COOKIE ECHO goes with the second one, too, under the
    // same TSN.
    let sent = one(rig.init_ack(|_| {}));
    let Chunk::Data(data) = sent.decoded(chunk_type::DATA) else { unreachable!() };
    assert_eq!((data.tsn, &data.payload[..]), (rig.own_tsn, &b"kept"[..]));
    rig.send(rig.own_tag, |w| w.cookie_ack());
    assert_eq!(ups(&rig.events()), 1);
}

#[test]
fn stale_cookies_are_answered_a_few_times_only() {
    let mut rig = Rig::in_state(AssocState::CookieEchoed);
    for _ in 0..3 {
        assert_eq!(
            one(rig.send(rig.own_tag, |w| w.error(|c| c.stale_cookie(0)))).kinds(),
            [chunk_type::INIT]
        );
        rig.init_ack(|_| {});
    }
    assert_silent(rig.send(rig.own_tag, |w| w.error(|c| c.stale_cookie(0))));
    assert_eq!(lost(&rig.events()), Some(&LossReason::SetupTimeout));
}

#[test]
fn a_stale_cookie_means_nothing_in_other_states() {
    use AssocState::*;
    for state in
        [CookieWait, Established, ShutdownPending, ShutdownSent, ShutdownReceived, ShutdownAckSent]
    {
        let mut rig = Rig::in_state(state);
        assert_silent(rig.send(rig.own_tag, |w| w.error(|c| c.stale_cookie(0))));
        assert_eq!(rig.state(), state);
        assert!(rig.events().is_empty());
    }
}

#[test]
fn streams_are_the_smaller_of_what_both_want() {
    let mut rig = Rig::in_state(AssocState::Established);
    let status = rig.stack.status(rig.id()).unwrap();
    assert_eq!((status.outbound_streams, status.inbound_streams), (9, 7));
    assert_eq!(status.peer_rwnd, 100_000);
    let late = rig.stack.send(rig.now, rig.id(), Message::new(9, 0, &b"x"[..]));
    assert!(matches!(late, Err(crate::SendError::InvalidStream { stream: 9, streams: 9 })));
}

#[test]
fn messages_on_streams_the_peer_does_not_have_come_back() {
    let mut rig = Rig::in_state(AssocState::CookieWait);
    rig.stack.send(rig.now, rig.id(), Message::new(9, 0, &b"too high"[..])).unwrap();
    rig.init_ack(|_| {});
    let failed = rig.events();
    assert!(
        matches!(&failed[..], [Event::SendFailed { message, unsent: true }] if message.stream == 9),
        "{failed:?}"
    );
}

#[test]
fn a_writer_that_waits_learns_of_room_made_by_dropped_messages() {
    let mut rig = Rig::new();
    let peer = Peer::new(addr(1), UDP, PEER_PORT);
    let config = AssocConfig { send_buffer: 10, ..AssocConfig::default() };
    let id = rig.stack.connect(rig.now, PORT, &peer, Some(config)).unwrap();
    rig.id = Some(id);
    rig.own_tag = one(rig.drain()).init().0.initiate_tag;
    rig.stack.send(rig.now, id, Message::new(9, 0, &b"0123456789"[..])).unwrap();
    let full = rig.stack.send(rig.now, id, Message::new(0, 0, &b"x"[..]));
    assert_eq!(full, Err(crate::SendError::WouldBlock));
    rig.init_ack(|_| {});
    rig.send(rig.own_tag, |w| w.cookie_ack());
    assert!(rig.events().contains(&Event::Writable));
}

#[test]
fn unknown_parameters_of_the_init_ack_are_reported_with_the_cookie_echo() {
    let mut rig = Rig::in_state(AssocState::CookieWait);
    let sent = one(rig.init_ack(|p| p.raw(0xc0ff, b"what?")));
    assert_eq!(sent.kinds(), [chunk_type::COOKIE_ECHO, chunk_type::ERROR]);
    let error = b"\x09\0\0\x11\0\x08\0\x0d\xc0\xff\0\x09what?";
    assert_eq!(sent.chunk(chunk_type::ERROR).whole, error);
    assert_eq!(sent.packet.len(), 12 + 12 + 20, "the padding is there and not counted");
}

#[test]
fn a_configuration_that_is_not_valid_is_refused() {
    let mut rig = Rig::new();
    let bad = AssocConfig { ip_mtu_udp: 10, ..AssocConfig::default() };
    let result = rig.stack.connect(rig.now, PORT, &Peer::new(addr(1), UDP, PEER_PORT), Some(bad));
    assert!(matches!(result, Err(crate::ConnectError::Config(_))));
}
