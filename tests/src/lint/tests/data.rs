//! Rules about DATA.

use super::super::packet::PAD;
use super::super::rules;
use super::wire::{LEFT_TSN, WHOLE, WINDOW, chunk, data, init_with, sack};
use super::{Wire, broken, kept};

const FIRST: u8 = 2;
const MIDDLE: u8 = 0;
const LAST: u8 = 1;
const UNORDERED: u8 = 4;

/// Sets up an association and sends these DATA chunks from the left end, each in its own packet.
fn talk(w: &mut Wire, chunks: &[Vec<u8>]) {
    w.associate();
    chunks.iter().for_each(|chunk| w.left(chunk));
}

fn tsn(n: u32) -> u32 {
    LEFT_TSN + n
}

fn whole(n: u32, ssn: u16) -> Vec<u8> {
    data(tsn(n), 0, ssn, WHOLE, b"x")
}

#[test]
fn data_not_empty() {
    broken(&rules::DATA_NOT_EMPTY, |w| talk(w, &[data(tsn(0), 0, 0, WHOLE, b"")]));
}

#[test]
fn tsns_in_packet() {
    broken(&rules::TSNS_IN_PACKET, |w| talk(w, &[[whole(1, 1), whole(0, 0)].concat()]));
    broken(&rules::TSNS_IN_PACKET, |w| talk(w, &[[whole(0, 0), whole(0, 0)].concat()]));
    kept(|w| talk(w, &[[whole(0, 0), whole(1, 1)].concat()]));
}

#[test]
fn initial_tsn() {
    broken(&rules::INITIAL_TSN, |w| talk(w, &[data(LEFT_TSN - 1, 0, 0, WHOLE, b"x")]));
}

#[test]
fn tsns_consecutive() {
    broken(&rules::TSNS_CONSECUTIVE, |w| talk(w, &[whole(0, 0), whole(2, 1)]));
    broken(&rules::TSNS_CONSECUTIVE, |w| talk(w, &[whole(1, 0)]));
    kept(|w| talk(w, &[whole(0, 0), whole(1, 1), whole(0, 0), whole(2, 2)]));
}

#[test]
fn same_retransmission() {
    let first = data(tsn(0), 1, 0, WHOLE, b"text");
    for other in [
        data(tsn(0), 2, 0, WHOLE, b"text"),
        data(tsn(0), 1, 1, WHOLE, b"text"),
        data(tsn(0), 1, 0, FIRST, b"text"),
        data(tsn(0), 1, 0, WHOLE, b"tixt"),
        data(tsn(0), 1, 0, WHOLE, b"longer"),
    ] {
        broken(&rules::SAME_RETRANSMISSION, |w| talk(w, &[first.clone(), other]));
    }
    // The I bit may change.
    kept(|w| talk(w, &[first.clone(), data(tsn(0), 1, 0, 0x08 | WHOLE, b"text")]));
}

#[test]
fn fragments() {
    let of = |n, ssn, flags| data(tsn(n), 3, ssn, flags, b"piece");
    broken(&rules::FRAGMENTS, |w| talk(w, &[of(0, 0, LAST)]));
    broken(&rules::FRAGMENTS, |w| talk(w, &[of(0, 0, FIRST), of(1, 1, FIRST)]));
    broken(&rules::FRAGMENTS, |w| talk(w, &[of(0, 0, WHOLE), of(1, 0, LAST)]));
    broken(&rules::FRAGMENTS, |w| talk(w, &[of(0, 0, FIRST), of(1, 1, LAST)]));
    broken(&rules::FRAGMENTS, |w| talk(w, &[of(0, 0, FIRST), data(tsn(1), 4, 0, LAST, b"piece")]));
    broken(&rules::FRAGMENTS, |w| talk(w, &[of(0, 0, FIRST), of(1, 0, UNORDERED | LAST)]));
    kept(|w| talk(w, &[of(0, 0, FIRST), of(1, 0, MIDDLE), of(2, 0, LAST), of(3, 1, WHOLE)]));
    // A missing TSN may have begun the message.
    kept(|w| {
        w.options.disturbed = true;
        talk(w, &[of(0, 0, WHOLE), of(2, 1, LAST)]);
    });
}

#[test]
fn ssns_consecutive() {
    broken(&rules::SSNS_CONSECUTIVE, |w| talk(w, &[whole(0, 1)]));
    broken(&rules::SSNS_CONSECUTIVE, |w| talk(w, &[whole(0, 0), whole(1, 2)]));
    broken(&rules::SSNS_CONSECUTIVE, |w| talk(w, &[whole(0, 0), whole(1, 0)]));
    let unordered = data(tsn(1), 0, 77, UNORDERED | WHOLE, b"x");
    kept(|w| {
        talk(w, &[whole(0, 0), unordered.clone(), data(tsn(2), 5, 0, WHOLE, b"x"), whole(3, 1)])
    });
    kept(|w| {
        w.options.disturbed = true;
        talk(w, &[whole(0, 0), whole(4, 2), whole(5, 3)]);
    });
    broken(&rules::SSNS_CONSECUTIVE, |w| {
        w.options.disturbed = true;
        talk(w, &[whole(0, 0), whole(4, 2), whole(5, 4)]);
    });
}

#[test]
fn streams_negotiated() {
    broken(&rules::STREAMS_NEGOTIATED, |w| talk(w, &[data(tsn(0), 10, 0, WHOLE, b"x")]));
    kept(|w| talk(w, &[data(tsn(0), 9, 0, WHOLE, b"x")]));
}

fn large(n: u32) -> Vec<u8> {
    data(tsn(n), 0, n as u16, WHOLE, &[7; 1400])
}

#[test]
fn window() {
    // 10 000 bytes are offered: eight chunks of 1400 bytes may be sent, the last as a probe.
    let send = |w: &mut Wire, chunks: u32| {
        talk(w, &[large(0)]);
        w.right(sack(tsn(0), WINDOW - 1400, &[], &[]));
        (1..chunks).for_each(|n| w.left(large(n)));
    };
    broken(&rules::WINDOW, |w| send(w, 9));
    kept(|w| send(w, 8));
    // Chunks that wait for earlier ones are acknowledged, and those that are missing before them do
    // not count as outstanding.
    kept(|w| {
        send(w, 8);
        w.right(sack(tsn(0), 1400, &[(2, 7)], &[]));
        w.left(large(8));
        w.left(large(9));
    });
    // A timer may have expired, after which everything outstanding is sent again.
    kept(|w| {
        send(w, 8);
        w.left(large(1));
        w.left(large(8));
    });
    kept(|w| {
        send(w, 8);
        w.right(sack(tsn(7), WINDOW, &[], &[]));
        (8..15).for_each(|n| w.left(large(n)));
    });
}

#[test]
fn initial_burst() {
    broken(&rules::INITIAL_BURST, |w| talk(w, &[0, 1, 2, 3, 4].map(large)));
    kept(|w| {
        talk(w, &[0, 1, 2, 3].map(large));
        w.left(large(0));
        w.right(sack(tsn(1), WINDOW, &[], &[]));
        w.left(large(4));
        w.left(large(5));
    });
}

#[test]
fn not_again() {
    let repeat = |w: &mut Wire, after: u64| {
        talk(w, &[whole(0, 0)]);
        w.right(sack(tsn(0), 9000, &[], &[]));
        w.time += after;
        w.left(whole(0, 0));
    };
    broken(&rules::NOT_AGAIN, |w| repeat(w, 1_100_000));
    kept(|w| repeat(w, 100_000));
}

/// TSNs and stream sequence numbers wrap.
#[test]
fn numbers_wrap() {
    kept(|w| {
        let begin = u32::MAX - 1;
        w.left_tagged(0, init_with(1, super::wire::LEFT_TAG, WINDOW, (10, 10), begin, &[]));
        w.init_ack();
        w.left(chunk(10, 0, super::wire::COOKIE));
        w.right(chunk(11, 0, b""));
        for n in 0..5 {
            w.left(
                [chunk(PAD, 0, b""), data(begin.wrapping_add(n), 0, n as u16, WHOLE, b"x")]
                    .concat(),
            );
            w.right(sack(begin.wrapping_add(n), 9000, &[], &[]));
        }
    });
}
