//! Rules about the setup of associations, and about tags.

use super::super::packet::{
    ABORT, COOKIE_ACK, COOKIE_ECHO, HEARTBEAT, HEARTBEAT_ACK, INIT, INIT_ACK, SHUTDOWN_COMPLETE,
};
use super::super::rules;
use super::wire::{
    COOKIE, LEFT, LEFT_2, LEFT_PORT, LEFT_TAG, LEFT_TSN, RIGHT, RIGHT_PORT, RIGHT_TAG, RIGHT_TSN,
    WHOLE, chunk, cookie, data, init, init_with, listed, parameter, sctp,
};
use super::{broken, kept};

#[test]
fn an_association() {
    kept(|w| w.associate());
}

/// Both ends call at once.
#[test]
fn a_collision() {
    kept(|w| {
        w.init(&[]);
        w.put(RIGHT, LEFT, sctp(RIGHT_PORT, LEFT_PORT, 0, &init(INIT, RIGHT_TAG, RIGHT_TSN, &[])));
        w.left(init(INIT_ACK, LEFT_TAG, LEFT_TSN, &cookie()));
        w.init_ack();
        w.left(chunk(COOKIE_ECHO, 0, COOKIE));
        w.right(chunk(COOKIE_ECHO, 0, COOKIE));
        w.left(chunk(COOKIE_ACK, 0, b""));
        w.right(chunk(COOKIE_ACK, 0, b""));
        w.left(data(LEFT_TSN, 0, 0, WHOLE, b"x"));
        w.right(data(RIGHT_TSN, 0, 0, WHOLE, b"y"));
    });
}

/// The answer to the first INIT is late, and the answer to the second INIT has another tag.
#[test]
fn two_answers_to_one_init() {
    kept(|w| {
        w.init(&[]);
        w.init(&[]);
        w.init_ack();
        w.right(init(INIT_ACK, 0x3333, 300, &parameter(7, b"another cookie")));
        let echo = chunk(COOKIE_ECHO, 0, b"another cookie");
        w.put(LEFT, RIGHT, sctp(LEFT_PORT, RIGHT_PORT, 0x3333, &echo));
        w.right(chunk(COOKIE_ACK, 0, b""));
        w.right(data(300, 0, 0, WHOLE, b"x"));
    });
}

/// The left end has forgotten everything. The right end answers its new INIT with the old tag.
#[test]
fn a_tag_that_is_used_again() {
    kept(|w| {
        w.associate();
        w.left(data(LEFT_TSN, 0, 0, WHOLE, b"x"));
        w.left_tagged(0, init(INIT, 0x3333, LEFT_TSN - 50, &[]));
        let answer = |chunks: &[u8]| sctp(RIGHT_PORT, LEFT_PORT, 0x3333, chunks);
        w.put(RIGHT, LEFT, answer(&init(INIT_ACK, RIGHT_TAG, RIGHT_TSN, &cookie())));
        w.left(chunk(COOKIE_ECHO, 0, COOKIE));
        w.put(RIGHT, LEFT, answer(&chunk(COOKIE_ACK, 0, b"")));
        w.left(data(LEFT_TSN - 50, 0, 0, WHOLE, b"x"));
    });
}

#[test]
fn answered_streams() {
    let answer =
        |outbound| init_with(INIT_ACK, RIGHT_TAG, 9000, (outbound, 99), RIGHT_TSN, &cookie());
    broken(&rules::ANSWERED_STREAMS, |w| {
        w.init(&[]);
        w.right(answer(11));
    });
    kept(|w| {
        w.init(&[]);
        w.right(answer(10));
    });
}

#[test]
fn same_init() {
    broken(&rules::SAME_INIT, |w| {
        w.init(&[]);
        w.init(&listed(&[LEFT, LEFT_2]));
    });
    broken(&rules::SAME_INIT, |w| {
        w.init(&[]);
        w.left_tagged(0, init(INIT, LEFT_TAG, LEFT_TSN + 1, &[]));
    });
    kept(|w| {
        w.init(&[]);
        w.init(&parameter(9, &[0, 0, 3, 232]));
        w.left_tagged(0, init(INIT, LEFT_TAG + 1, LEFT_TSN + 1, &[]));
    });
}

#[test]
fn init_ack_to_source() {
    let answer =
        || sctp(RIGHT_PORT, LEFT_PORT, LEFT_TAG, &init(INIT_ACK, RIGHT_TAG, RIGHT_TSN, &cookie()));
    broken(&rules::INIT_ACK_TO_SOURCE, |w| {
        w.init(&listed(&[LEFT, LEFT_2]));
        w.put(RIGHT, LEFT_2, answer());
    });
    broken(&rules::INIT_ACK_TO_SOURCE, |w| {
        w.init(&[]);
        w.put([10, 0, 0, 99].into(), LEFT, answer());
    });
}

#[test]
fn known_parameters() {
    // Forward-TSN-Supported, and ECN.
    for kind in [0xc000, 0x8000] {
        broken(&rules::KNOWN_PARAMETERS, |w| w.init(&parameter(kind, b"")));
    }
    // Some parameters belong in only one of the two chunks.
    broken(&rules::KNOWN_PARAMETERS, |w| w.init(&parameter(8, &parameter(0xc000, b""))));
    broken(&rules::KNOWN_PARAMETERS, |w| {
        w.init(&[]);
        let parameters = [cookie(), parameter(9, &[0, 0, 3, 232])].concat();
        w.right(init(INIT_ACK, RIGHT_TAG, RIGHT_TSN, &parameters));
    });
    kept(|w| {
        w.init(&[parameter(9, &[0, 0, 3, 232]), parameter(12, &[0, 5]), listed(&[LEFT])].concat());
        w.init_ack();
    });
}

/// How often the rule about reports is broken if an INIT with the parameters `asked` is answered
/// with the parameters `answer`. Other rules that the INIT breaks do not count.
fn reports(asked: &[u8], answer: &[u8]) -> usize {
    let mut wire = super::Wire::default();
    wire.init(asked);
    wire.right(init(INIT_ACK, RIGHT_TAG, RIGHT_TSN, &[cookie(), answer.to_vec()].concat()));
    wire.findings().iter().filter(|finding| finding.rule == &rules::REPORTED_PARAMETERS).count()
}

#[test]
fn reported_parameters() {
    let (skipped, wanted) = (parameter(0x8008, &[0xc1, 0x80]), parameter(0xc000, b""));
    let (stops, stops_wanted) = (parameter(0x3001, b"xy"), parameter(0x4001, b"abc"));
    let report = |whole: &[u8]| parameter(8, whole);
    broken(&rules::REPORTED_PARAMETERS, |w| {
        w.init(&parameter(0xc000, b""));
        w.init_ack();
    });
    broken(&rules::REPORTED_PARAMETERS, |w| {
        w.init(&[]);
        let parameters = [cookie(), parameter(8, &parameter(0xc000, b""))].concat();
        w.right(init(INIT_ACK, RIGHT_TAG, RIGHT_TSN, &parameters));
    });
    let both = [&skipped[..], &wanted].concat();
    assert_eq!(reports(&both, &report(&wanted)), 0);
    assert!(reports(&both, &[report(&skipped), report(&wanted)].concat()) > 0);
    assert!(reports(&both, &report(&parameter(0xc000, b"more"))) > 0);
    assert!(reports(&both, &[report(&wanted), report(&wanted)].concat()) > 0);
    // An end knows the parameters that it offers itself.
    assert_eq!(reports(&both, &wanted), 0);
    // A parameter that stops the processing is the last one to be reported.
    assert_eq!(reports(&[&stops[..], &wanted].concat(), b""), 0);
    assert!(reports(&[&stops[..], &wanted].concat(), &report(&wanted)) > 0);
    assert_eq!(reports(&[&stops_wanted[..], &wanted].concat(), &report(&stops_wanted)), 0);
    assert!(reports(&[&stops_wanted[..], &wanted].concat(), b"") > 0);
    // An end need not send back any amount of what it was sent.
    let one = parameter(0xc011, &[1; 60]);
    for (len, bad) in [(60, 1), (61, 0)] {
        let two = parameter(0xc012, &vec![2; len]);
        assert_eq!(reports(&[&one[..], &two].concat(), &report(&one)), bad, "{len}");
    }
}

#[test]
fn receiver_tag() {
    broken(&rules::RECEIVER_TAG, |w| {
        w.associate();
        w.left_tagged(0x9999, data(LEFT_TSN, 0, 0, WHOLE, b"x"));
    });
    // Its own tag instead of the peer's.
    broken(&rules::RECEIVER_TAG, |w| {
        w.associate();
        w.left_tagged(LEFT_TAG, chunk(ABORT, 0, b""));
    });
    kept(|w| {
        w.init(&[]);
        w.right(chunk(ABORT, 0, b""));
    });
}

#[test]
fn reflected_tag() {
    broken(&rules::REFLECTED_TAG, |w| {
        w.associate();
        w.left_tagged(0x9999, chunk(ABORT, 1, b""));
    });
    kept(|w| {
        w.associate();
        w.left(data(LEFT_TSN, 0, 0, WHOLE, b"x"));
        // The right end has forgotten everything.
        w.put(RIGHT, LEFT, sctp(RIGHT_PORT, LEFT_PORT, RIGHT_TAG, &chunk(ABORT, 1, b"")));
    });
}

#[test]
fn cookie_unchanged() {
    broken(&rules::COOKIE_UNCHANGED, |w| {
        w.init(&[]);
        w.init_ack();
        w.left(chunk(COOKIE_ECHO, 0, b"eight bY"));
    });
    broken(&rules::COOKIE_UNCHANGED, |w| {
        w.init(&[]);
        w.init_ack();
        w.left(chunk(COOKIE_ECHO, 0, &cookie()));
    });
}

#[test]
fn cookie_echo_first() {
    let begin = |w: &mut super::Wire| {
        w.init(&[]);
        w.init_ack();
        w.left(chunk(COOKIE_ECHO, 0, COOKIE));
    };
    broken(&rules::COOKIE_ECHO_FIRST, |w| {
        begin(w);
        w.left(data(LEFT_TSN, 0, 0, WHOLE, b"x"));
    });
    broken(&rules::COOKIE_ECHO_FIRST, |w| {
        w.init(&[]);
        w.init_ack();
        w.left(data(LEFT_TSN, 0, 0, WHOLE, b"x"));
    });
    kept(|w| {
        begin(w);
        let info = parameter(1, &[5; 8]);
        w.right(chunk(HEARTBEAT, 0, &info));
        w.left(chunk(HEARTBEAT_ACK, 0, &info));
        w.left([chunk(COOKIE_ECHO, 0, COOKIE), data(LEFT_TSN, 0, 0, WHOLE, b"x")].concat());
        w.right(chunk(COOKIE_ACK, 0, b""));
        w.left(data(LEFT_TSN + 1, 0, 1, WHOLE, b"x"));
    });
}

#[test]
fn nothing_before_cookie_echo() {
    broken(&rules::NOTHING_BEFORE_COOKIE_ECHO, |w| {
        w.init(&[]);
        w.init_ack();
        w.right(chunk(COOKIE_ACK, 0, b""));
    });
    broken(&rules::NOTHING_BEFORE_COOKIE_ECHO, |w| {
        w.init(&[]);
        w.right(data(RIGHT_TSN, 0, 0, WHOLE, b"x"));
    });
}

#[test]
fn cookie_ack_answers() {
    broken(&rules::COOKIE_ACK_ANSWERS, |w| {
        w.init(&listed(&[LEFT, LEFT_2]));
        w.init_ack();
        w.left(chunk(COOKIE_ECHO, 0, COOKIE));
        let beat = chunk(HEARTBEAT, 0, &parameter(1, &[5; 8]));
        let answer = [chunk(COOKIE_ACK, 0, b""), beat].concat();
        w.put(RIGHT, LEFT_2, sctp(RIGHT_PORT, LEFT_PORT, LEFT_TAG, &answer));
    });
    broken(&rules::COOKIE_ACK_ANSWERS, |w| {
        w.associate();
        w.left(chunk(COOKIE_ACK, 0, b""));
    });
}

#[test]
fn a_stray_shutdown_ack_is_answered() {
    kept(|w| {
        w.associate();
        w.left(chunk(7, 0, &(RIGHT_TSN - 1).to_be_bytes()));
        w.right(chunk(8, 0, b""));
        w.put(
            LEFT,
            RIGHT,
            sctp(LEFT_PORT, RIGHT_PORT, LEFT_TAG, &chunk(SHUTDOWN_COMPLETE, 1, b"")),
        );
    });
}
