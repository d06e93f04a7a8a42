//! What each chunk and each call of the user does in each state (RFC 9260 sec 4, 5, 6, 8, 9).

use super::*;
use crate::SendError;
use AssocState::*;

const ALL: [AssocState; 7] = [
    CookieWait,
    CookieEchoed,
    Established,
    ShutdownPending,
    ShutdownSent,
    ShutdownReceived,
    ShutdownAckSent,
];

const SACK: u8 = chunk_type::SACK;
const SHUTDOWN: u8 = chunk_type::SHUTDOWN;
const SHUTDOWN_ACK: u8 = chunk_type::SHUTDOWN_ACK;
const COMPLETE: u8 = chunk_type::SHUTDOWN_COMPLETE;

/// What a chunk causes: the types of the chunks sent, and the state afterwards.
type Outcome = (&'static [u8], AssocState);

/// Sends something in every state and compares the outcome.
#[track_caller]
fn check(want: [Outcome; 7], mut write: impl FnMut(&Rig, &mut PacketWriter<'_>)) {
    for (state, (kinds, after)) in ALL.into_iter().zip(want) {
        let mut rig = Rig::in_state(state);
        let mut out = Vec::new();
        let mut w = PacketWriter::new(&mut out, 1000, PEER_PORT, PORT, rig.own_tag);
        write(&rig, &mut w);
        w.finish();
        let sent = rig.receive(path(1), out);
        let got: Vec<u8> = sent.iter().flat_map(Sent::kinds).collect();
        assert!(sent.len() <= 1, "{state:?}: {sent:?}");
        assert_eq!((&got[..], rig.state()), (kinds, after), "in {state:?}");
    }
}

#[test]
fn data() {
    let want: [Outcome; 7] = [
        (&[], CookieWait),
        (&[], CookieEchoed),
        (&[SACK], Established),
        (&[SACK], ShutdownPending),
        (&[SACK, SHUTDOWN], ShutdownSent),
        (&[], ShutdownReceived),
        (&[], ShutdownAckSent),
    ];
    check(want, |_, w| super::data(w, PEER_TSN));
}

#[test]
fn data_with_a_gap() {
    let want: [Outcome; 7] = [
        (&[], CookieWait),
        (&[], CookieEchoed),
        (&[SACK], Established),
        (&[SACK], ShutdownPending),
        (&[SACK, SHUTDOWN], ShutdownSent),
        (&[], ShutdownReceived),
        (&[], ShutdownAckSent),
    ];
    check(want, |_, w| super::data(w, PEER_TSN.plus(1)));
}

#[test]
fn sack_of_everything() {
    // When the last chunk is acknowledged, a pending shutdown goes on.
    let want: [Outcome; 7] = [
        (&[], CookieWait),
        (&[], CookieEchoed),
        (&[], Established),
        (&[SHUTDOWN], ShutdownSent),
        (&[], ShutdownSent),
        (&[SHUTDOWN_ACK], ShutdownAckSent),
        (&[], ShutdownAckSent),
    ];
    check(want, |rig, w| {
        let outstanding = rig.stack.status(rig.id()).map_or(0, |s| s.unacked_chunks);
        sack(w, rig.own_tsn.plus(outstanding).minus(1));
    });
}

#[test]
fn sack_of_what_was_never_sent() {
    let abort: &[u8] = &[chunk_type::ABORT];
    let want: [Outcome; 7] = [
        (&[], CookieWait),
        (abort, Closed),
        (abort, Closed),
        (abort, Closed),
        (&[], ShutdownSent),
        (abort, Closed),
        (&[], ShutdownAckSent),
    ];
    check(want, |rig, w| sack(w, rig.own_tsn.plus(5)));
}

#[test]
fn heartbeat() {
    let ack: &[u8] = &[chunk_type::HEARTBEAT_ACK];
    let want: [Outcome; 7] = [
        (&[], CookieWait),
        (ack, CookieEchoed),
        (ack, Established),
        (ack, ShutdownPending),
        (ack, ShutdownSent),
        (ack, ShutdownReceived),
        (&[], ShutdownAckSent),
    ];
    check(want, |_, w| w.heartbeat(b"info"));
}

#[test]
fn shutdown_that_acknowledges_nothing_new() {
    let want: [Outcome; 7] = [
        (&[], CookieWait),
        (&[], CookieEchoed),
        (&[SHUTDOWN_ACK], ShutdownAckSent),
        (&[], ShutdownReceived),
        (&[SHUTDOWN_ACK], ShutdownAckSent),
        (&[], ShutdownReceived),
        (&[SHUTDOWN_ACK], ShutdownAckSent),
    ];
    check(want, |rig, w| w.shutdown(rig.own_tsn.minus(1)));
}

#[test]
fn shutdown_that_acknowledges_everything() {
    let want: [Outcome; 7] = [
        (&[], CookieWait),
        (&[], CookieEchoed),
        (&[SHUTDOWN_ACK], ShutdownAckSent),
        (&[SHUTDOWN_ACK], ShutdownAckSent),
        (&[SHUTDOWN_ACK], ShutdownAckSent),
        (&[SHUTDOWN_ACK], ShutdownAckSent),
        (&[SHUTDOWN_ACK], ShutdownAckSent),
    ];
    check(want, |rig, w| {
        let outstanding = rig.stack.status(rig.id()).map_or(0, |s| s.unacked_chunks);
        w.shutdown(rig.own_tsn.plus(outstanding).minus(1));
    });
}

#[test]
fn shutdown_ack() {
    let want: [Outcome; 7] = [
        (&[COMPLETE], CookieWait),
        (&[COMPLETE], CookieEchoed),
        (&[], Established),
        (&[], ShutdownPending),
        (&[COMPLETE], Closed),
        (&[], ShutdownReceived),
        (&[COMPLETE], Closed),
    ];
    check(want, |_, w| w.shutdown_ack());
}

#[test]
fn shutdown_complete() {
    let want: [Outcome; 7] = [
        (&[], CookieWait),
        (&[], CookieEchoed),
        (&[], Established),
        (&[], ShutdownPending),
        (&[], ShutdownSent),
        (&[], ShutdownReceived),
        (&[], Closed),
    ];
    check(want, |_, w| w.shutdown_complete(false));
}

#[test]
fn cookie_ack() {
    let want: [Outcome; 7] = [
        (&[], CookieWait),
        (&[], Established),
        (&[], Established),
        (&[], ShutdownPending),
        (&[], ShutdownSent),
        (&[], ShutdownReceived),
        (&[], ShutdownAckSent),
    ];
    check(want, |_, w| w.cookie_ack());
}

#[test]
fn error() {
    check(ALL.map(|state| (&[][..], state)), |_, w| w.error(|c| c.protocol_violation(b"so what")));
}

#[test]
fn abort() {
    check([(&[], Closed); 7], |_, w| w.abort(false, |_| {}));
    for state in ALL {
        let mut rig = Rig::in_state(state);
        rig.send(rig.own_tag, |w| w.abort(false, |c| c.raw(0x7777, b"unknown cause")));
        let events = rig.events();
        let reason = lost(&events).unwrap_or_else(|| panic!("{state:?}: {events:?}"));
        let (cause, info) = (0x7777, Bytes::from_static(b"unknown cause"));
        let want = match state {
            CookieWait | CookieEchoed => crate::LossReason::Refused { cause, info },
            _ => crate::LossReason::PeerAbort { cause, info },
        };
        assert_eq!(*reason, want, "{state:?}");
        assert!(matches!(events.last(), Some(Event::Lost(_))));
    }
}

#[test]
fn user_send() {
    for state in ALL {
        let mut rig = Rig::in_state(state);
        let result = rig.stack.send(rig.now, rig.id(), Message::new(0, 0, &b"x"[..]));
        let want = match state {
            CookieWait | CookieEchoed | Established => Ok(()),
            _ => Err(SendError::ShuttingDown),
        };
        assert_eq!(result, want, "in {state:?}");
        // DATA leaves at once only when established.
        let kinds: Vec<u8> = rig.drain().iter().flat_map(Sent::kinds).collect();
        let sends: &[u8] = if state == Established { &[chunk_type::DATA] } else { &[] };
        assert_eq!(kinds, sends, "in {state:?}");
    }
}

#[test]
fn user_shutdown() {
    let want: [Outcome; 7] = [
        (&[], Closed),
        (&[], CookieEchoed),
        (&[SHUTDOWN], ShutdownSent),
        (&[], ShutdownPending),
        (&[], ShutdownSent),
        (&[], ShutdownReceived),
        (&[], ShutdownAckSent),
    ];
    for (state, (kinds, after)) in ALL.into_iter().zip(want) {
        let mut rig = Rig::in_state(state);
        rig.stack.shutdown(rig.now, rig.id()).unwrap();
        let got: Vec<u8> = rig.drain().iter().flat_map(Sent::kinds).collect();
        assert_eq!((&got[..], rig.state()), (kinds, after), "in {state:?}");
    }
}

#[test]
fn user_shutdown_before_the_cookie_ack_waits_for_it() {
    let mut rig = Rig::in_state(CookieEchoed);
    rig.stack.shutdown(rig.now, rig.id()).unwrap();
    let late = rig.stack.send(rig.now, rig.id(), Message::new(0, 0, &b"x"[..]));
    assert_eq!(late, Err(SendError::ShuttingDown));
    assert_eq!(one(rig.send(rig.own_tag, |w| w.cookie_ack())).kinds(), [SHUTDOWN]);
}

#[test]
fn user_abort() {
    for state in ALL {
        let mut rig = Rig::in_state(state);
        rig.stack.abort(rig.now, rig.id(), Bytes::from_static(b"enough")).unwrap();
        if state == CookieWait {
            // The peer does not know of us yet, and we do not know its tag.
            assert_silent(rig.drain());
        } else {
            assert_abort(rig.drain(), PEER_TAG, false, &[12]);
        }
        assert_eq!(lost(&rig.events()), Some(&crate::LossReason::LocalAbort));
        assert_eq!(rig.stack.poll_timeout(), None);
        assert!(rig.stack.abort(rig.now, rig.id(), Bytes::new()).is_err());
        // The peer's answers are out of the blue now. A late ABORT is dropped.
        assert_silent(rig.send(rig.own_tag, |w| w.abort(false, |_| {})));
    }
}
