//! Graceful shutdown and abort (RFC 9260 sec 9).

use super::*;
use crate::event::LossReason;
use AssocState::*;

const SHUTDOWN: u8 = chunk_type::SHUTDOWN;

fn cum_of(sent: &Sent) -> Tsn {
    match sent.decoded(SHUTDOWN) {
        Chunk::Shutdown { cum_tsn } => cum_tsn,
        _ => unreachable!(),
    }
}

#[test]
fn everything_queued_goes_before_the_shutdown() {
    let mut rig = Rig::in_state(Established);
    for _ in 0..100 {
        rig.stack.send(rig.now, rig.id(), Message::new(0, 0, vec![0; 1000])).unwrap();
    }
    rig.stack.shutdown(rig.now, rig.id()).unwrap();
    let mut highest = rig.own_tsn.minus(1);
    let mut sent = rig.drain();
    let mut chunks = 0;
    let mut immediate = false;
    while !sent.iter().any(|s| s.kinds().contains(&SHUTDOWN)) {
        assert!(!sent.is_empty(), "nothing more is sent after {chunks} chunks");
        assert_eq!(rig.state(), ShutdownPending);
        for packet in &sent {
            for chunk in packet.packet.chunks() {
                if let Ok(Chunk::Data(data)) = chunk.decode(&packet.packet) {
                    chunks += 1;
                    highest = data.tsn;
                    immediate = data.flags.immediate;
                }
            }
        }
        sent = rig.send(rig.own_tag, |w| sack(w, highest));
    }
    assert_eq!(chunks, 100);
    assert!(immediate, "the last chunk asks for a SACK at once");
    assert_eq!(rig.state(), ShutdownSent);
    assert!(rig.events().contains(&Event::SenderDry));
}

#[test]
fn hard_case_32_the_responder_finishes_its_data_and_the_shutdown_acknowledges() {
    let mut rig = Rig::in_state(Established);
    rig.send_data(b"one");
    rig.send_data(b"two");
    let first = rig.own_tsn;
    assert_silent(rig.send(rig.own_tag, |w| w.shutdown(first)));
    assert_eq!(rig.state(), ShutdownReceived);
    assert_eq!(rig.events(), [Event::PeerShutdown]);
    assert_eq!(rig.stack.status(rig.id()).unwrap().unacked_chunks, 1);
    // Lost DATA is still repaired here.
    assert_eq!(one(rig.next_timer()).kinds(), [chunk_type::DATA]);
    // An older TSN has no effect.
    assert_silent(rig.send(rig.own_tag, |w| w.shutdown(first.minus(1))));
    let sent = one(rig.send(rig.own_tag, |w| w.shutdown(first.next())));
    assert_eq!(sent.kinds(), [chunk_type::SHUTDOWN_ACK]);
    assert!(!rig.events().contains(&Event::PeerShutdown));
}

#[test]
fn a_message_begun_before_the_shutdown_of_the_peer_can_be_finished() {
    let mut rig = Rig::in_state(Established);
    let more = crate::SendOptions { more_follows: true, ..Default::default() };
    rig.stack
        .send(rig.now, rig.id(), Message { options: more, ..Message::new(1, 0, "begin") })
        .unwrap();
    assert_eq!(one(rig.drain()).kinds(), [chunk_type::DATA]);
    let first = rig.own_tsn;
    assert_silent(rig.send(rig.own_tag, |w| w.shutdown(first)));
    assert_eq!(rig.state(), ShutdownReceived, "the rest of the message is missing");
    let send = |rig: &mut Rig, message| rig.stack.send(rig.now, rig.id.unwrap(), message);
    assert_eq!(send(&mut rig, Message::new(2, 0, "new")), Err(crate::SendError::ShuttingDown));
    send(&mut rig, Message { options: more, ..Message::new(1, 0, "middle") }).unwrap();
    send(&mut rig, Message::new(1, 0, "end")).unwrap();
    assert_eq!(send(&mut rig, Message::new(1, 0, "new")), Err(crate::SendError::ShuttingDown));
    assert_eq!(one(rig.drain()).kinds(), [chunk_type::DATA; 2]);
    let sent = one(rig.send(rig.own_tag, |w| w.shutdown(first.plus(2))));
    assert_eq!(sent.kinds(), [chunk_type::SHUTDOWN_ACK]);
}

#[test]
fn each_part_of_a_message_comes_back_once() {
    let mut rig = Rig::in_state(Established);
    let part = |context, more_follows, len| Message {
        options: crate::SendOptions { more_follows, context, ..Default::default() },
        ..Message::new(1, 0, vec![0; len])
    };
    rig.stack.send(rig.now, rig.id(), part(1, true, 10)).unwrap();
    assert_eq!(one(rig.drain()).kinds(), [chunk_type::DATA]);
    // This message waits for the end of the other one. Only a piece of that fits into the window.
    let options = crate::SendOptions { context: 9, ..Default::default() };
    rig.stack.send(rig.now, rig.id(), Message { options, ..Message::new(2, 0, "waits") }).unwrap();
    rig.stack.send(rig.now, rig.id(), part(2, false, 50_000)).unwrap();
    assert!(rig.drain().len() > 1);
    rig.stack.abort(rig.now, rig.id(), bytes::Bytes::new()).unwrap();
    let back = |event| match event {
        Event::SendFailed { message, unsent } => Some((message.options.context, unsent)),
        _ => None,
    };
    let back: Vec<_> = rig.events().into_iter().filter_map(back).collect();
    assert_eq!(back, [(1, false), (2, false), (9, true)]);
}

#[test]
fn parts_may_fill_the_send_buffer_a_second_time_but_no_more() {
    let mut rig = Rig::in_state(Established);
    let limit = 10_000;
    rig.stack.configure(rig.now, rig.id(), |c| c.send_buffer = limit).unwrap().unwrap();
    let options = crate::SendOptions { more_follows: true, ..Default::default() };
    let part = || Message { options, ..Message::new(1, 0, vec![0; 1000]) };
    rig.stack.send(rig.now, rig.id(), part()).unwrap();
    assert_eq!(one(rig.drain()).kinds(), [chunk_type::DATA]);
    let mut highest = rig.own_tsn;
    // It waits for the message in parts and fills the buffer.
    rig.stack.send(rig.now, rig.id(), Message::new(2, 0, vec![0; 9000])).unwrap();
    let mut parts = 0;
    for _ in 0..50 {
        while rig.stack.send(rig.now, rig.id(), part()).is_ok() {
            parts += 1;
            let held = rig.stack.status(rig.id()).unwrap().send_buffered;
            assert!(held <= 2 * limit, "{held} bytes");
            highest = highest.plus(rig.drain().iter().map(|p| p.kinds().len() as u32).sum());
        }
        let sent = rig.send(rig.own_tag, |w| sack(w, highest));
        highest = highest.plus(sent.iter().map(|p| p.kinds().len() as u32).sum());
    }
    assert!(parts > 50, "only {parts} parts found room");
}

#[test]
fn shutdown_beyond_what_was_sent_is_a_violation() {
    let mut rig = Rig::in_state(Established);
    let cum = rig.own_tsn.plus(3);
    assert_abort(rig.send(rig.own_tag, |w| w.shutdown(cum)), PEER_TAG, false, &[13]);
    assert!(matches!(lost(&rig.events()), Some(LossReason::ProtocolViolation(_))));
}

#[test]
fn hard_case_32_data_in_shutdown_sent_is_answered_with_shutdown() {
    let mut rig = Rig::in_state(ShutdownSent);
    // The SACK with it tells about gaps, duplicates and the window.
    for (tsn, cum) in [(0, 0), (2, 0), (1, 2), (0, 2)] {
        let sent = one(rig.data(PEER_TSN.plus(tsn)));
        assert_eq!(sent.kinds(), [chunk_type::SACK, SHUTDOWN]);
        assert_eq!(cum_of(&sent), PEER_TSN.plus(cum));
    }
    // T2 sends the present cumulative TSN, not the one of the start.
    let sent = one(rig.next_timer());
    assert_eq!((sent.kinds(), cum_of(&sent)), (vec![SHUTDOWN], PEER_TSN.plus(2)));
    for n in 0..3 {
        assert!(rig.stack.recv(rig.now, rig.id()).is_some(), "message {n} can be read");
    }
}

#[test]
fn a_sack_that_waits_goes_before_the_shutdown() {
    let mut rig = Rig::in_state(Established);
    assert_eq!(one(rig.data(PEER_TSN)).kinds(), [chunk_type::SACK]);
    assert_silent(rig.data(PEER_TSN.next()));
    rig.stack.shutdown(rig.now, rig.id()).unwrap();
    let sent = one(rig.drain());
    assert_eq!(sent.kinds(), [chunk_type::SACK, SHUTDOWN]);
    assert_eq!(cum_of(&sent), PEER_TSN.next());
    assert_silent(rig.pass(Duration::from_millis(900)));

    let mut rig = Rig::in_state(Established);
    rig.data(PEER_TSN);
    assert_silent(rig.data(PEER_TSN.next()));
    let cum = rig.own_tsn.minus(1);
    let sent = one(rig.send(rig.own_tag, |w| w.shutdown(cum)));
    assert_eq!(sent.kinds(), [chunk_type::SACK, chunk_type::SHUTDOWN_ACK]);
}

#[test]
fn data_restarts_t2() {
    let mut rig = Rig::in_state(ShutdownSent);
    for n in 0..20 {
        rig.pass(Duration::from_millis(900));
        assert_eq!(
            one(rig.data(PEER_TSN.plus(n))).kinds(),
            [chunk_type::SACK, SHUTDOWN],
            "T2 does not expire"
        );
    }
    assert_eq!(rig.state(), ShutdownSent);
}

#[test]
fn t2_doubles_and_gives_up() {
    for (state, kind) in [(ShutdownSent, SHUTDOWN), (ShutdownAckSent, chunk_type::SHUTDOWN_ACK)] {
        let mut rig = Rig::in_state(Established);
        // T5 must not end it earlier.
        let guard = Some(Duration::from_secs(3600));
        rig.stack.configure(rig.now, rig.id(), |c| c.shutdown_guard = guard).unwrap().unwrap();
        if state == ShutdownSent {
            rig.stack.shutdown(rig.now, rig.id()).unwrap();
        } else {
            let cum = rig.own_tsn.minus(1);
            rig.send(rig.own_tag, |w| w.shutdown(cum));
        }
        rig.drain();
        let mut waits = Vec::new();
        for _ in 0..10 {
            let before = rig.now;
            assert_eq!(one(rig.next_timer()).kinds(), [kind]);
            waits.push(rig.now.since(before).as_secs());
        }
        assert_eq!(waits[..7], [1, 2, 4, 8, 16, 32, 60]);
        rig.events();
        rig.pass(Duration::from_secs(60));
        assert_eq!(lost(&rig.events()), Some(&LossReason::Unreachable));
        assert_eq!(rig.stack.poll_timeout(), None);
    }
}

#[test]
fn any_packet_of_the_peer_clears_the_count_of_t2_until_t5_ends_it() {
    let config = AssocConfig {
        rto_max: Duration::from_secs(2),
        shutdown_guard: Some(Duration::from_secs(300)),
        ..AssocConfig::default()
    };
    let mut rig = Rig::with(StackConfig::default(), config);
    rig.accept(&[]);
    rig.stack.shutdown(rig.now, rig.id()).unwrap();
    let start = rig.now;
    while rig.state() == ShutdownSent {
        // This leaves time for seven expiries of T2. Ten in a row would end the association.
        rig.pass(Duration::from_secs(15));
        rig.send(rig.own_tag, |w| w.heartbeat(b"still here"));
        assert!(rig.now.since(start) < Duration::from_secs(400));
    }
    assert_eq!(lost(&rig.events()), Some(&LossReason::ShutdownGuard));
    assert_eq!(rig.now.since(start), Duration::from_secs(300));
}

#[test]
fn the_t5_guard_sends_an_abort() {
    let config =
        AssocConfig { shutdown_guard: Some(Duration::from_millis(1500)), ..AssocConfig::default() };
    let mut rig = Rig::with(StackConfig::default(), config);
    rig.accept(&[]);
    rig.stack.shutdown(rig.now, rig.id()).unwrap();
    rig.drain();
    let kinds: Vec<u8> = rig.pass(Duration::from_secs(5)).iter().flat_map(Sent::kinds).collect();
    assert_eq!(kinds, [SHUTDOWN, chunk_type::ABORT]);
}

#[test]
fn crossing_shutdowns() {
    let mut rig = Rig::in_state(ShutdownSent);
    let cum = rig.own_tsn.minus(1);
    assert_eq!(one(rig.send(rig.own_tag, |w| w.shutdown(cum))).kinds(), [chunk_type::SHUTDOWN_ACK]);
    assert_eq!(rig.state(), ShutdownAckSent);
    assert_complete(rig.send(rig.own_tag, |w| w.shutdown_ack()), PEER_TAG, false);
    assert_eq!(rig.events(), [Event::ShutdownComplete]);
}

/// The peer sends something of which a part never comes.
fn leave_a_hole(rig: &mut Rig, hole: &str) {
    let piece = |w: &mut PacketWriter<'_>, tsn, ssn, begin, end| {
        let flags = DataFlags { begin, end, ..DataFlags::default() };
        w.data(tsn, 0, Ssn(ssn), 0, flags, b"piece");
    };
    rig.send(rig.own_tag, |w| match hole {
        "a TSN" => piece(w, PEER_TSN.next(), 1, true, true),
        "the end of a message" => piece(w, PEER_TSN, 0, true, false),
        "the message before it" => piece(w, PEER_TSN, 1, true, true),
        _ => unreachable!(),
    });
}

#[test]
fn a_shutdown_while_data_is_missing_is_a_violation() {
    for hole in ["a TSN", "the end of a message", "the message before it"] {
        for (state, answer) in [
            (Established, SHUTDOWN),
            (ShutdownPending, SHUTDOWN),
            (ShutdownSent, SHUTDOWN),
            (ShutdownSent, chunk_type::SHUTDOWN_ACK),
        ] {
            let mut rig = Rig::in_state(state);
            leave_a_hole(&mut rig, hole);
            rig.events();
            let cum = rig.own_tsn.minus(1);
            let sent = rig.send(rig.own_tag, |w| match answer {
                SHUTDOWN => w.shutdown(cum),
                _ => w.shutdown_ack(),
            });
            assert_abort(sent, PEER_TAG, false, &[13]);
            let events = rig.events();
            let lost = lost(&events);
            assert!(matches!(lost, Some(LossReason::ProtocolViolation(_))), "{hole} {events:?}");
            assert!(!events.contains(&Event::PeerShutdown), "{hole} {events:?}");
        }
    }
}

#[test]
fn a_shutdown_is_no_violation_when_the_hole_was_filled() {
    for state in [Established, ShutdownSent] {
        let mut rig = Rig::in_state(state);
        leave_a_hole(&mut rig, "a TSN");
        rig.send(rig.own_tag, |w| w.data(PEER_TSN, 0, Ssn(0), 0, DataFlags::WHOLE, b"first"));
        // DATA that comes twice or after the SHUTDOWN opens no hole.
        rig.data(PEER_TSN);
        let cum = rig.own_tsn.minus(1);
        rig.send(rig.own_tag, |w| w.shutdown(cum));
        rig.data(PEER_TSN.plus(3));
        rig.send(rig.own_tag, |w| w.shutdown(cum));
        rig.send(rig.own_tag, |w| w.shutdown_complete(false));
        assert!(rig.events().contains(&Event::ShutdownComplete));
        assert!(rig.stack.recv(rig.now, rig.id()).is_some());
    }
}

#[test]
fn the_end_leaves_nothing_behind() {
    let mut rig = Rig::in_state(ShutdownSent);
    rig.send(rig.own_tag, |w| w.shutdown_ack());
    assert_eq!(rig.events(), [Event::ShutdownComplete]);
    assert_eq!(rig.stack.poll_timeout(), None);
    assert_eq!(rig.stack.stats().associations, 0);
    rig.stack.release(rig.now, rig.id());
    assert_eq!(rig.stack.table.len(), 0);
}

#[test]
fn hard_case_33_a_lost_shutdown_complete_and_a_new_init_at_once() {
    // The same from the other side: we are in COOKIE-WAIT again while the peer still waits for our
    // SHUTDOWN COMPLETE.
    let mut rig = Rig::in_state(ShutdownSent);
    let old = rig.own_tag;
    rig.send(old, |w| w.shutdown_ack());
    rig.connect(&[1]);
    assert_complete(rig.send(old, |w| w.shutdown_ack()), old, true);
    assert_eq!(rig.state(), CookieWait);
    assert_eq!(one(rig.next_timer()).kinds(), [chunk_type::INIT]);
}

#[test]
fn no_heartbeats_are_sent_after_the_shutdown() {
    for state in [ShutdownSent, ShutdownAckSent] {
        let mut rig = Rig::in_state(state);
        assert!(rig.stack.request_heartbeat(rig.now, rig.id(), addr(1)).is_err());
        let sent = rig.pass(Duration::from_secs(200));
        assert!(sent.iter().all(|s| !s.kinds().contains(&chunk_type::HEARTBEAT)), "{sent:?}");
    }
}

#[test]
fn t2_takes_another_path() {
    let mut rig = Rig::new();
    rig.connect(&[1, 2]);
    rig.init_ack(|p| p.address(addr(2)));
    rig.send(rig.own_tag, |w| w.cookie_ack());
    rig.stack.shutdown(rig.now, rig.id()).unwrap();
    let mut to = vec![one(rig.drain()).path.remote];
    to.extend((0..2).map(|_| one(rig.next_timer()).path.remote));
    assert_eq!(to, [addr(1), addr(2), addr(1)]);
}

#[test]
fn unacknowledged_messages_come_back_with_the_loss() {
    let mut rig = Rig::in_state(Established);
    rig.send_data(b"sent");
    rig.events();
    rig.send(rig.own_tag, |w| w.abort(false, |c| c.user_abort(b"why")));
    let events = rig.events();
    assert!(
        matches!(
            &events[..],
            [
                Event::SendFailed { message, unsent: false },
                Event::Lost(LossReason::PeerAbort { cause: 12, info }),
            ] if message.data == "sent"[..] && info == "why"
        ),
        "{events:?}"
    );
}

#[test]
fn abort_all_aborts_any_number_of_associations() {
    let mut rig = Rig::new();
    rig.stack.listen(PORT, 5000).unwrap();
    let many = 2000u32;
    for n in 0..many {
        let from = PathAddr { remote: IpAddr::from([10, 2, (n >> 8) as u8, n as u8]), ..path(1) };
        let (init, _, cookie) = one(rig.init_from(from, n + 1, &[])).init();
        rig.send_from(from, init.initiate_tag, |w| w.cookie_echo(&cookie.unwrap()));
        rig.now += Duration::from_millis(1);
    }
    rig.stack.abort_all(rig.now, Bytes::new());
    let mut aborts = 0;
    let mut buf = Vec::new();
    while rig.stack.poll_transmit(rig.now, SegmentLimits::ONE, &mut buf).is_some() {
        aborts += 1;
    }
    assert_eq!(aborts, many);
}

#[test]
fn in_cookie_wait_what_is_queued_is_delivered_before_the_shutdown() {
    let mut rig = Rig::in_state(AssocState::CookieWait);
    rig.send_data(b"queued");
    rig.stack.shutdown(rig.now, rig.id()).unwrap();
    assert_eq!(rig.state(), AssocState::CookieWait);
    let late = rig.stack.send(rig.now, rig.id(), Message::new(0, 0, "late"));
    assert_eq!(late, Err(crate::SendError::ShuttingDown));
    let sent = one(rig.init_ack(|_| {}));
    assert_eq!(sent.kinds(), [chunk_type::COOKIE_ECHO, chunk_type::DATA]);
    assert_silent(rig.send(rig.own_tag, |w| w.cookie_ack()));
    assert_eq!(rig.state(), AssocState::ShutdownPending);
    let cum = rig.own_tsn;
    let sent = one(rig.send(rig.own_tag, |w| sack(w, cum)));
    assert_eq!(sent.kinds(), [chunk_type::SHUTDOWN]);
    let events = rig.events();
    assert!(!events.iter().any(|e| matches!(e, Event::SendFailed { .. })), "{events:?}");
}

#[test]
fn in_cookie_wait_with_nothing_queued_a_shutdown_just_ends_it() {
    let mut rig = Rig::in_state(AssocState::CookieWait);
    rig.stack.shutdown(rig.now, rig.id()).unwrap();
    assert_eq!(lost(&rig.events()), Some(&crate::event::LossReason::LocalAbort));
    assert_silent(rig.drain());
}
