//! The receiver: when a SACK is sent and what is in it, memory, partial delivery (RFC 9260 sec 6.2,
//! 6.5, 6.9).

use super::*;
use crate::event::LossReason;
use crate::wire::chunk_type;

/// The first DATA has arrived and was acknowledged. From now on SACKs are delayed.
fn warm(config: AssocConfig) -> TestEnd {
    let mut a = TestEnd::new(config);
    assert_eq!(sacks(&a.data(1, 0, "BE", 10)).len(), 1, "the first DATA is acknowledged at once");
    assert_eq!(a.read(), Some(10));
    assert_eq!(a.read(), None);
    a
}

#[test]
fn hard_case_23_sacks_are_delayed_and_never_longer_than_two_packets() {
    let mut a = warm(AssocConfig::default());
    assert!(a.data(2, 1, "BE", 10).is_empty());
    assert!(a.wait(millis(199)).is_empty(), "no SACK is sent before its delay is over");
    assert_eq!(sacks(&a.wait(millis(1))), [(2, 262_144 - 32, vec![], vec![])]);
    assert!(a.wait(millis(300)).is_empty());
    assert!(a.data(3, 2, "BE", 10).is_empty());
    assert_eq!(sacks(&a.data(4, 3, "BE", 10)).len(), 1);
    assert!(a.wait(millis(300)).is_empty(), "the timer was stopped");
}

#[test]
fn packets_of_a_batch_share_a_sack() {
    let mut a = warm(AssocConfig::default());
    for n in 2..=11 {
        a.receive(|w| write_data(w, n, n as u16 - 1, "BE", 100));
    }
    let answer = a.poll();
    assert_eq!((answer.len(), sacks(&answer)[0].0), (1, 11));
}

#[test]
fn a_pending_sack_goes_with_data() {
    let mut a = warm(AssocConfig::default());
    a.data(2, 1, "BE", 10);
    a.send(10);
    let sent = a.poll();
    assert_eq!((sacks(&sent).len(), tsns(&sent).len(), sent.len()), (1, 1, 1));
    assert!(a.wait(millis(300)).is_empty());
}

#[test]
fn hard_case_23_gaps_are_told_at_once_until_they_are_filled() {
    let mut a = warm(AssocConfig::default());
    // Here the TSNs wrap around.
    assert_eq!(sacks(&a.data(3, 2, "BE", 10))[0].2, [(2, 2)]);
    assert_eq!(sacks(&a.data(5, 4, "BE", 10))[0].2, [(2, 2), (4, 4)]);
    assert_eq!(sacks(&a.data(4, 3, "BE", 10))[0].2, [(2, 4)]);
    assert_eq!(sacks(&a.data(2, 1, "BE", 10))[0], (5, 262_144 - 4 * 32, vec![], vec![]));
    assert!(a.data(6, 5, "BE", 10).is_empty(), "SACKs are delayed again");
}

#[test]
fn the_immediate_bit_asks_for_a_sack() {
    let mut a = warm(AssocConfig::default());
    assert_eq!(sacks(&a.data(2, 1, "BEI", 10)).len(), 1);
}

#[test]
fn hard_case_24_duplicates_are_listed_once_per_copy_and_then_forgotten() {
    let mut a = warm(AssocConfig::default());
    for _ in 0..2 {
        a.receive(|w| {
            write_data(w, 1, 0, "BE", 10);
            write_data(w, 1, 0, "BE", 10);
        });
    }
    assert_eq!(sacks(&a.poll())[0].3, [1, 1, 1, 1]);
    assert_eq!(
        sacks(&a.data(1, 0, "BE", 10))[0].3,
        [1],
        "a packet with nothing but duplicates is answered at once"
    );
    a.receive(|w| {
        write_data(w, 1, 0, "BE", 10);
        write_data(w, 2, 1, "BE", 10);
    });
    assert!(a.poll().is_empty(), "a packet with something new is treated like any other");
    for _ in 0..1000 {
        a.receive(|w| write_data(w, 2, 1, "BE", 10));
    }
    assert!(sacks(&a.poll())[0].3.len() <= 20);
}

#[test]
fn a_chunk_on_a_stream_that_does_not_exist_is_acknowledged_and_reported() {
    let mut a = warm(AssocConfig::default());
    let before = a.stack.status(a.id).unwrap().inbound_streams;
    a.receive(|w| w.data(tsn(2), before, Ssn(0), 0, DataFlags::WHOLE, &[1; 10]));
    let answer = a.poll();
    assert!(has(&answer, chunk_type::ERROR));
    assert_eq!(sacks(&answer)[0].0, 2);
    assert_eq!(a.read(), None);
    a.data(3, 1, "BE", 7);
    assert_eq!(a.read(), Some(7));
}

#[test]
fn data_without_user_data_ends_the_association() {
    let mut a = warm(AssocConfig::default());
    let answer = a.data(2, 1, "BE", 0);
    assert!(has(&answer, chunk_type::ABORT));
    assert_eq!(a.count(|e| matches!(e, Event::Lost(LossReason::ProtocolViolation(_)))), 1);
}

#[test]
fn readable_is_reported_once_until_everything_is_read() {
    let mut a = TestEnd::new(AssocConfig::default());
    for n in 1..=5 {
        a.data(n, n as u16 - 1, "BE", 10);
    }
    assert_eq!(a.count(|e| *e == Event::Readable), 1);
    while a.read().is_some() {}
    a.data(6, 5, "BE", 10);
    assert_eq!(a.count(|e| *e == Event::Readable), 2);
}

fn small() -> AssocConfig {
    AssocConfig { recv_buffer: 8192, ..AssocConfig::default() }
}

#[test]
fn hard_case_17_the_window_opens_in_few_updates() {
    let mut a = warm(small());
    let mut n = 1;
    let mut announced = 8192;
    while announced > 0 {
        n += 1;
        announced = sacks(&a.data(n, n as u16 - 1, "BEI", 1000))[0].1;
        assert!(announced == 0 || announced >= 1452);
    }
    // There is no room, so a chunk is dropped, and the peer is told at once.
    let mut held = n;
    loop {
        let (cum, window, ..) = sacks(&a.data(held + 1, held as u16, "BEI", 1000))[0].clone();
        assert_eq!(window, 0);
        if cum == held {
            break;
        }
        held += 1;
    }
    assert_eq!(a.stack.assoc_stats(a.id).unwrap().data_chunks_dropped, 1);
    a.read();
    let mut updates = sacks(&a.poll());
    while a.read().is_some() {
        updates.extend(sacks(&a.poll()));
    }
    assert!((2..=4).contains(&updates.len()), "{updates:?}");
    assert!(updates[0].1 >= 1452);
}

#[test]
fn hard_case_15_the_next_tsn_is_always_taken() {
    let mut a = warm(small());
    // A long message whose second fragment is missing fills the buffer.
    a.data(2, 1, "B", 1000);
    let mut n = 4;
    while sacks(&a.data(n, 1, "", 1000))[0].1 > 0 {
        n += 1;
    }
    for extra in n + 1..n + 8 {
        a.data(extra, 1, "", 1000);
    }
    let (cum, _, gaps, _) = sacks(&a.data(3, 1, "", 1000))[0].clone();
    assert!(cum >= 3, "{cum} {gaps:?}");
    // The reader gets what has arrived, so the transfer continues to the end.
    let mut next = cum + 1;
    let mut read = 0;
    while read < 30_000 {
        while let Some(len) = a.read() {
            read += len;
        }
        a.poll();
        let taken = sacks(&a.data(next, 1, "I", 1000))[0].0;
        assert!(taken >= next, "{next} was refused after {read} bytes");
        next = taken + 1;
    }
    a.data(next, 1, "E", 10);
    while let Some(len) = a.read() {
        read += len;
    }
    assert_eq!(read % 1000, 10);
}

#[test]
fn evicted_chunks_are_no_longer_acknowledged() {
    let mut a = warm(small());
    for n in 4..=10 {
        a.data(n, 1, "", 1000);
    }
    assert_eq!(sacks(&a.data(11, 1, "", 1000))[0].2, [(3, 10)]);
    let (cum, _, gaps, _) = sacks(&a.data(3, 1, "", 1000))[0].clone();
    assert_eq!((cum, &gaps[..]), (1, &[(2, 9)][..]), "TSN 3 has replaced the highest one");
    assert!(a.stack.status(a.id).unwrap().recv_buffered <= 8192);
}

#[test]
fn memory_is_bounded_whatever_the_peer_sends() {
    let check = |a: &TestEnd| {
        let held = a.stack.status(a.id).unwrap().recv_buffered;
        assert!(held <= 8192 + FULL, "{held} bytes are held");
    };
    // In order, but part of a message that can never be next. Then whole messages; chunks far
    // ahead; every second TSN.
    let mut a = warm(small());
    a.data(2, 9, "B", 1000);
    for n in 3..60 {
        a.data(n, 9, "", 1000);
        check(&a);
    }
    let mut a = warm(small());
    for n in 2..60 {
        a.data(n, n as u16 + 5, "BE", 1000);
        check(&a);
    }
    let mut a = warm(small());
    for n in (2..70_000).step_by(1000) {
        a.data(n, 1, "", 1000);
        check(&a);
    }
    let mut a = warm(small());
    for n in 1..5000 {
        a.data(1 + 2 * n, n as u16, "BE", 1);
        check(&a);
    }
    assert!(a.count(|e| matches!(e, Event::Lost(_))) == 0);
}

#[test]
fn partial_delivery_starts_at_its_point() {
    let mut a = warm(AssocConfig { partial_delivery_point: Some(3000), ..AssocConfig::default() });
    a.data(2, 1, "B", 1400);
    a.data(3, 1, "", 1000);
    a.data(4, 1, "", 500);
    assert_eq!(a.read(), None, "2900 bytes lie below the point");
    a.data(5, 1, "", 100);
    assert_eq!(a.read(), Some(3000));
    a.data(6, 1, "", 1000);
    assert_eq!(a.read(), Some(1000));
    a.receive(|w| w.data(tsn(8), 1, Ssn(0), 0, DataFlags::WHOLE, &[1; 10]));
    a.poll();
    assert_eq!(a.read(), None, "other messages wait for the end of this one");
    a.data(7, 1, "E", 5);
    assert_eq!((a.read(), a.read()), (Some(5), Some(10)));
}

#[test]
fn in_shutdown_sent_each_packet_is_answered_with_shutdown_and_sack() {
    let mut a = warm(AssocConfig::default());
    a.stack.shutdown(a.now, a.id).unwrap();
    assert!(has(&a.poll(), chunk_type::SHUTDOWN));
    let answer = a.data(2, 1, "BE", 1000);
    assert!(has(&answer, chunk_type::SHUTDOWN));
    assert_eq!((answer.len(), sacks(&answer)[0].1), (1, 262_144 - 1000));
}

#[test]
fn a_long_list_of_gaps_never_exceeds_the_packet() {
    let mut a = warm(AssocConfig { recv_buffer: 1 << 20, ..AssocConfig::default() });
    a.send(100);
    for n in 1..900 {
        a.receive(|w| write_data(w, 1 + 2 * n, 7, "BEU", 40));
    }
    let answer = a.poll();
    assert!(answer.iter().all(|p| p.len() <= 1480));
    assert_eq!(sacks(&answer)[0].2[..2], [(2, 2), (4, 4)], "the lowest come first");
    assert_eq!(tsns(&answer), [[1]]);
}
