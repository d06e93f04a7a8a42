//! Hard cases and scenarios of the data path that had no test elsewhere. `docs/hard-cases.md` lists
//! all hard cases.

use proptest::prelude::*;

use super::*;
use crate::error::SendError;
use crate::event::LossReason;
use crate::wire::chunk_type;

fn in_flight(packets: usize) -> (TestEnd, u32) {
    let config = AssocConfig { max_burst: 0, pmtud: false, ..AssocConfig::default() };
    let mut a = TestEnd::new(config);
    let base = a.grow(packets as u32 * 1468 + 1);
    a.send(packets * FULL);
    assert_eq!(tsns(&a.poll()).len(), packets);
    (a, base)
}

/// A bad gap block among good ones is skipped, and the others count. A SACK for something that was
/// never sent does not count at all, even if its cumulative TSN is right.
#[test]
fn hard_case_13_a_sack_is_judged_before_it_changes_anything() {
    for gaps in [&[(2, 2), (9, 4)][..], &[(0, 3), (2, 2)], &[(2, 2), (2, 2)]] {
        let (mut a, base) = in_flight(4);
        a.sack(sack(base + 1).gaps(gaps));
        assert_eq!(
            a.path().flight,
            2 * 1468,
            "{gaps:?}: 1 and 3 are acknowledged, 2 and 4 are not"
        );
        assert_eq!(a.stack.assoc_stats(a.id).unwrap().data_chunks_retransmitted, 0);
        a.sack(sack(base + 4));
        assert_eq!((a.path().flight, a.stack.status(a.id).unwrap().send_buffered), (0, 0));
    }
    let mut a = TestEnd::new(AssocConfig::default());
    (0..3).for_each(|_| a.send(FULL));
    a.poll();
    assert!(has(&a.sack(sack(2).gaps(&[(2, 2)])), chunk_type::ABORT));
    // All three come back: that SACK made none of them count as delivered.
    assert_eq!(a.count(|e| matches!(e, Event::SendFailed { unsent: false, .. })), 3);
    assert_eq!(a.count(|e| matches!(e, Event::Lost(LossReason::ProtocolViolation(_)))), 1);
}

/// SACKs may overtake each other. The older one, with fewer gap blocks or a lower cumulative TSN,
/// does no harm.
#[test]
fn an_overtaken_sack_causes_no_retransmission() {
    let (mut a, base) = in_flight(6);
    a.sack(sack(base + 4).gaps(&[(2, 2)]));
    let before = (a.path(), a.peer_rwnd());
    for old in [sack(base), sack(base + 2).gaps(&[(2, 2)]), sack(base + 3).gaps(&[(2, 3)])] {
        assert!(a.sack(old).is_empty());
        assert_eq!((a.path(), a.peer_rwnd()), before);
    }
}

/// Thousands of gap blocks fill a packet, but hardly anything is outstanding.
#[test]
fn hard_case_14_work_is_bounded_by_what_is_outstanding() {
    let mut a = TestEnd::new(AssocConfig::default());
    a.send(3 * FULL);
    assert_eq!(tsns(&a.poll()), [[1], [2], [3]]);
    let hostile: Vec<(u16, u16)> = (0..14_000).map(|n| (n % 2 + 2, 1)).collect();
    for _ in 0..200 {
        assert!(a.sack(sack(0).gaps(&hostile)).is_empty());
    }
    assert_eq!(
        (a.path().flight, a.stack.assoc_stats(a.id).unwrap().fast_retransmits),
        (3 * 1468, 0)
    );
    // A gap block of maximal width is treated like one for a single unsent TSN.
    assert!(has(&a.sack(sack(0).gaps(&[(2, 65_535)])), chunk_type::ABORT));
}

/// The buffer is full with the beginning of one message, in order, and nothing above it could be
/// evicted. The reader gets that beginning although the partial delivery point is far away.
#[test]
fn hard_case_15_a_message_larger_than_the_buffer_gets_through() {
    let config = AssocConfig {
        recv_buffer: 8192,
        partial_delivery_point: Some(1 << 20),
        ..AssocConfig::default()
    };
    let mut a = TestEnd::new(config);
    let mut read = 0;
    for n in 1..=40 {
        let bits = match n {
            1 => "BI",
            40 => "EI",
            _ => "I",
        };
        // The peer tries again after the reader has taken what was there.
        for attempt in 0.. {
            assert!(attempt < 3, "fragment {n} is never accepted, {read} bytes were read");
            if sacks(&a.data(n, 0, bits, 1000))[0].0 == n {
                break;
            }
            while let Some(len) = a.read() {
                read += len;
            }
            a.poll();
        }
        assert!(a.stack.status(a.id).unwrap().recv_buffered <= 8192 + FULL);
    }
    while let Some(len) = a.read() {
        read += len;
    }
    assert_eq!(read, 40_000);
}

/// A peer may accept every window probe and keep its window closed. It is probed no faster than one
/// that accepts none.
#[test]
fn hard_case_16_probes_that_are_taken_back_off_too() {
    let mut a =
        TestEnd::new(AssocConfig { hb_enabled: false, pmtud: false, ..AssocConfig::default() });
    a.send(FULL);
    a.poll();
    (0..100).for_each(|_| a.send(10));
    let (start, mut cum) = (a.now, 1);
    assert!(a.sack(sack(cum).rwnd(0)).is_empty());
    let mut probes = Vec::new();
    while a.now.since(start) < Duration::from_secs(600) {
        let due = a.stack.poll_timeout().expect("a probe is due at some time");
        for (at, packet) in a.wait_log(due.since(a.now)) {
            cum += 1;
            assert_eq!(tsns(std::slice::from_ref(&packet)), [[cum]], "one chunk");
            probes.push(at.since(start).as_secs());
            assert!(a.sack(sack(cum).rwnd(0)).is_empty());
        }
    }
    assert_eq!(probes[..6], [1, 3, 7, 15, 31, 63], "{probes:?}");
    assert!(probes.len() <= 16, "{probes:?}");
    assert_eq!((a.path().error_count, a.peer_rwnd()), (0, 0));
    // With the window open, the rest is sent at once.
    assert!(!a.sack(sack(cum).rwnd(100_000)).is_empty());
}

/// Chunks that arrive within a hole split it. Gap blocks merge when the hole between them closes.
#[test]
fn gap_blocks_split_and_merge() {
    let mut a = TestEnd::new(AssocConfig::default());
    a.data(1, 0, "BE", 10);
    let arrivals: [(u32, &[(u16, u16)]); 5] = [
        (8, &[(7, 7)]),
        (4, &[(3, 3), (7, 7)]),
        (6, &[(3, 3), (5, 5), (7, 7)]),
        (5, &[(3, 5), (7, 7)]),
        (7, &[(3, 7)]),
    ];
    for (n, gaps) in arrivals {
        assert_eq!(sacks(&a.data(n, n as u16 - 1, "BE", 10))[0].2, gaps, "after {n}");
    }
    // Gap blocks count from the cumulative TSN, so they move with it.
    assert_eq!(sacks(&a.data(2, 1, "BE", 10))[0].2, [(2, 6)]);
    let (cum, _, gaps, _) = sacks(&a.data(3, 2, "BE", 10))[0].clone();
    assert_eq!((cum, gaps), (8, vec![]));
    assert_eq!(std::iter::from_fn(|| a.read()).count(), 8);
}

/// Gap blocks have 16 bits. A chunk further ahead cannot be reported and is not accepted.
#[test]
fn a_far_away_tsn_is_rejected() {
    let config = AssocConfig { recv_buffer: 64 << 20, ..AssocConfig::default() };
    let mut a = TestEnd::new(config);
    a.data(1, 0, "BE", 10);
    let held = a.stack.status(a.id).unwrap().recv_buffered;
    for far in [65_537, 65_538, 1 << 20, 1 << 30, (1 << 31) - 1] {
        let answer = a.data(far, 7, "BEU", 10);
        assert!(sacks(&answer).iter().all(|s| s.0 == 1 && s.2.is_empty()), "{far}: {answer:?}");
    }
    assert_eq!(a.stack.status(a.id).unwrap().recv_buffered, held);
    assert_eq!(
        sacks(&a.data(65_536, 7, "BEU", 10))[0].2,
        [(65_535, 65_535)],
        "the last TSN that a gap block can report"
    );
    // A small buffer has a lower limit, because nobody who respects the window is ever that far
    // ahead.
    let mut a = TestEnd::new(AssocConfig { recv_buffer: 8192, ..AssocConfig::default() });
    a.data(1, 0, "BE", 10);
    let answer = a.data(10_000, 7, "BEU", 10);
    assert!(sacks(&answer).iter().all(|s| s.0 == 1 && s.2.is_empty()));
    assert_eq!(a.count(|e| matches!(e, Event::Lost(_))), 0);
}

#[test]
fn empty_and_oversized_messages_are_refused() {
    let mut a = TestEnd::new(AssocConfig { max_message_size: 5000, ..AssocConfig::default() });
    let mut send = |len| a.stack.send(a.now, a.id, Message::new(0, 0, vec![1; len]));
    assert_eq!(send(0), Err(SendError::Empty));
    assert_eq!(send(5001), Err(SendError::TooLarge));
    assert_eq!(send(5000), Ok(()));
    assert_eq!(
        a.stack.status(a.id).unwrap().send_buffered,
        5000,
        "nothing of the refused messages was queued"
    );
    assert!(has(&a.poll(), chunk_type::DATA));
}

/// T3 during fast recovery ends it. The next three misses are a new loss and reduce cwnd again.
#[test]
fn a_timeout_ends_fast_recovery() {
    let (mut a, base) = in_flight(12);
    for end in 2..=4 {
        a.sack(sack(base).gaps(&[(2, end)]));
    }
    let stats = |a: &TestEnd| a.stack.assoc_stats(a.id).unwrap();
    assert_eq!((stats(&a).fast_retransmits, stats(&a).t3_expiries), (1, 0));
    // The retransmission and everything after it is lost.
    a.wait(millis(1001));
    assert_eq!((stats(&a).t3_expiries, a.path().cwnd), (1, 1468));
    // The repaired packets arrive. cwnd grows in slow start, which it must not do in recovery.
    a.sack(sack(base + 4));
    assert!(a.path().cwnd > 1468, "cwnd is {}", a.path().cwnd);
    let mut cum = base + 4;
    while a.path().flight > 0 {
        cum += 1;
        a.sack(sack(cum));
    }
    let base = cum;
    a.send(6 * FULL);
    a.poll();
    let cwnd = a.path().cwnd;
    for end in 2..=4 {
        a.sack(sack(base).gaps(&[(2, end)]));
    }
    assert_eq!(stats(&a).fast_retransmits, 2);
    assert_eq!(a.path().ssthresh, (cwnd / 2).max(4 * 1468), "a new loss reduces cwnd again");
}

/// A step in the life of a sender.
#[derive(Clone, Debug)]
enum Step {
    Send(usize),
    /// Acknowledges this share of the unacknowledged chunks, with gap blocks of these lengths and
    /// this window.
    Sack {
        share: u32,
        gaps: Vec<u16>,
        rwnd: u32,
    },
    Wait(u64),
    Heartbeat,
}

fn step() -> impl Strategy<Value = Step> {
    let gaps = prop::collection::vec(1u16..5, 0..4);
    let rwnd = prop_oneof![Just(0u32), 1u32..5000, Just(1_000_000)];
    prop_oneof![
        3 => (1usize..6000).prop_map(Step::Send),
        4 => (0u32..=4, gaps, rwnd)
            .prop_map(|(share, gaps, rwnd)| Step::Sack { share, gaps, rwnd }),
        3 => (1u64..3000).prop_map(Step::Wait),
        1 => Just(Step::Heartbeat),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Whatever is sent, acknowledged, reneged on or timed out: while anything is in flight, T3
    /// runs and expires within one RTO.
    #[test]
    fn hard_case_18_t3_runs_while_anything_is_in_flight(
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let config = AssocConfig {
            hb_enabled: false,
            pmtud: false,
            assoc_max_retrans: 100_000,
            path_max_retrans: 100_000,
            send_buffer: 1 << 20,
            ..AssocConfig::default()
        };
        let mut a = TestEnd::new(config);
        let (mut cum, mut highest) = (0, 0);
        // A running T3 keeps the RTO that it was started with.
        let mut rto = Duration::ZERO;
        for step in steps {
            let sent = match &step {
                Step::Send(len) => {
                    let _ = a.stack.send(a.now, a.id, Message::new(0, 0, vec![1; *len]));
                    a.poll()
                }
                Step::Sack { share, gaps, rwnd } => {
                    cum += (highest - cum) * share / 4;
                    let mut at = 1;
                    let mut blocks = Vec::new();
                    for len in gaps {
                        let (start, end) = (at + 1, at + len);
                        if u32::from(end) > highest - cum {
                            break;
                        }
                        blocks.push((start.min(end), end));
                        at = end + 1;
                    }
                    blocks.retain(|b| b.0 >= 2);
                    a.sack(sack(cum).gaps(&blocks).rwnd(*rwnd))
                }
                Step::Wait(ms) => a.wait(millis(*ms)),
                Step::Heartbeat => {
                    let to = a.path().addr.remote;
                    let _ = a.stack.request_heartbeat(a.now, a.id, to);
                    a.poll()
                }
            };
            highest = tsns(&sent).concat().into_iter().chain([highest]).max().unwrap();
            a.stack.verify().unwrap();
            let path = a.path();
            rto = if path.flight > 0 { rto.max(path.rto) } else { Duration::ZERO };
            if path.flight > 0 {
                // No heartbeat, probe or SACK is due. With data in flight, the next timer is T3 or
                // an earlier one.
                let due = a.stack.poll_timeout().expect("T3 runs");
                prop_assert!(
                    due <= a.now + rto,
                    "{step:?}: due at {due}, now {}, RTO {:?}",
                    a.now,
                    rto
                );
            }
            prop_assert_eq!(a.count(|e| matches!(e, Event::Lost(_))), 0, "{:?}", step);
        }
        // Nothing is forgotten: in the end, everything is acknowledged.
        for _ in 0..4000 {
            let status = a.stack.status(a.id).unwrap();
            if status.send_buffered == 0 {
                return Ok(());
            }
            let sent = [a.sack(sack(highest)), a.wait(millis(100))].concat();
            highest = tsns(&sent).concat().into_iter().chain([highest]).max().unwrap();
        }
        prop_assert!(false, "{:?} {:?}", a.stack.status(a.id), a.path());
    }
}
