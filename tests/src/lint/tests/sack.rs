//! Rules about SACK.

use super::super::rules;
use super::wire::{LEFT_TSN, WHOLE, WINDOW, data, sack};
use super::{Wire, broken, kept};

/// Sets up an association and sends `messages` messages from the left end, each in its own packet.
fn send(w: &mut Wire, messages: u32) {
    w.associate();
    for n in 0..messages {
        w.left(data(LEFT_TSN + n, 0, n as u16, WHOLE, b"message"));
    }
}

#[test]
fn gap_blocks() {
    for gaps in [&[(1, 2)][..], &[(4, 3)], &[(2, 3), (4, 5)], &[(5, 6), (2, 3)], &[(2, 4), (3, 6)]]
    {
        broken(&rules::GAP_BLOCKS, |w| {
            send(w, 8);
            w.right(sack(LEFT_TSN, WINDOW, gaps, &[]));
        });
    }
    kept(|w| {
        send(w, 8);
        w.right(sack(LEFT_TSN, WINDOW, &[(2, 3), (5, 5), (7, 7)], &[]));
    });
}

#[test]
fn sack_forward() {
    broken(&rules::SACK_FORWARD, |w| {
        send(w, 3);
        w.right(sack(LEFT_TSN + 2, WINDOW, &[], &[]));
        w.right(sack(LEFT_TSN + 1, WINDOW, &[], &[]));
    });
    kept(|w| {
        send(w, 3);
        w.right(sack(LEFT_TSN + 1, WINDOW, &[], &[]));
        w.right(sack(LEFT_TSN + 1, WINDOW - 5, &[], &[]));
        w.right(sack(LEFT_TSN + 2, WINDOW, &[], &[]));
    });
}

#[test]
fn sack_sent() {
    broken(&rules::SACK_SENT, |w| {
        send(w, 2);
        w.right(sack(LEFT_TSN + 2, WINDOW, &[], &[]));
    });
    broken(&rules::SACK_SENT, |w| {
        send(w, 2);
        w.right(sack(LEFT_TSN - 1, WINDOW, &[(2, 3)], &[]));
    });
    kept(|w| {
        send(w, 2);
        w.right(sack(LEFT_TSN - 1, WINDOW, &[(2, 2)], &[]));
    });
}

#[test]
fn sack_duplicates() {
    broken(&rules::SACK_DUPLICATES, |w| {
        send(w, 3);
        w.right(sack(LEFT_TSN, WINDOW, &[(2, 2)], &[LEFT_TSN + 1]));
    });
    kept(|w| {
        send(w, 3);
        w.right(sack(LEFT_TSN, WINDOW, &[(2, 2)], &[LEFT_TSN, LEFT_TSN, LEFT_TSN + 2]));
    });
}

#[test]
fn sack_answers() {
    broken(&rules::SACK_ANSWERS, |w| {
        w.associate();
        w.right(sack(LEFT_TSN - 1, WINDOW, &[], &[]));
    });
}

#[test]
fn sack_soon() {
    let after = |w: &mut Wire, time: u64| {
        send(w, 1);
        w.time += time;
        w.right(sack(LEFT_TSN, WINDOW, &[], &[]));
    };
    broken(&rules::SACK_SOON, |w| after(w, 1_100_000));
    kept(|w| after(w, 900_000));
    // The receiver may not have read the first copy.
    kept(|w| {
        send(w, 1);
        w.time += 1_100_000;
        w.left(data(LEFT_TSN, 0, 0, WHOLE, b"message"));
        w.right(sack(LEFT_TSN, WINDOW, &[], &[]));
    });
    // A gap block is an acknowledgement, too.
    kept(|w| {
        send(w, 3);
        w.right(sack(LEFT_TSN - 1, WINDOW, &[(2, 3)], &[]));
        w.time += 1_100_000;
        w.left(data(LEFT_TSN, 0, 0, WHOLE, b"message"));
        w.right(sack(LEFT_TSN + 2, WINDOW, &[], &[]));
    });
}

#[test]
fn sack_every_second() {
    let pairs = |w: &mut Wire, late: u32, soon: u32| {
        w.associate();
        for n in 0..late + soon {
            w.left(data(LEFT_TSN + 2 * n, 0, (2 * n) as u16, WHOLE, b"message"));
            w.left(data(LEFT_TSN + 2 * n + 1, 0, (2 * n) as u16 + 1, WHOLE, b"message"));
            w.time += if n < late { 190_000 } else { 1000 };
            w.right(sack(LEFT_TSN + 2 * n + 1, WINDOW, &[], &[]));
        }
    };
    broken(&rules::SACK_EVERY_SECOND, |w| pairs(w, 12, 3));
    // A few may be late on a busy machine.
    kept(|w| pairs(w, 9, 0));
    kept(|w| pairs(w, 12, 15));
}
