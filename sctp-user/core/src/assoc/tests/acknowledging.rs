//! What a SACK changes: which SACKs count, T3, round-trip times, fast retransmit, reneging (RFC
//! 9260 sec 6.2.1, 6.3, 7.2.4).

use super::*;
use crate::event::LossReason;
use crate::wire::chunk_type;

/// A fresh association with three packets in flight, TSNs 1, 2, 3. Its cwnd allows no more.
fn three_in_flight() -> TestEnd {
    let mut a = TestEnd::new(AssocConfig::default());
    a.send(3 * FULL);
    assert_eq!(tsns(&a.poll()), [[1], [2], [3]]);
    a
}

/// An association with this many full packets in flight. Also returns the first TSN minus 1.
fn in_flight(packets: usize) -> (TestEnd, u32) {
    let config = AssocConfig { max_burst: 0, ..AssocConfig::default() };
    let mut a = TestEnd::new(config);
    let base = a.grow(packets as u32 * 1468 + 1);
    a.send(packets * FULL);
    assert_eq!(tsns(&a.poll()).len(), packets);
    (a, base)
}

fn violation(a: &TestEnd) -> bool {
    a.events.iter().any(|e| matches!(e, Event::Lost(LossReason::ProtocolViolation(_))))
}

#[test]
fn hard_case_14_what_was_never_sent_cannot_be_acknowledged() {
    for bad in [sack(4), sack(1 << 30), sack(0).gaps(&[(2, 65_535)]), sack(2).gaps(&[(2, 2)])] {
        let mut a = three_in_flight();
        let answer = a.sack(bad);
        assert!(has(&answer, chunk_type::ABORT));
        assert!(violation(&a));
    }
}

#[test]
fn hard_case_13_an_old_sack_changes_nothing() {
    let mut a = three_in_flight();
    a.sack(sack(2).rwnd(5000));
    let before = (a.path(), a.peer_rwnd());
    assert!(a.sack(sack(1).rwnd(9000).gaps(&[(2, 2)])).is_empty());
    assert_eq!((a.path(), a.peer_rwnd()), before);
}

#[test]
fn hard_case_13_bad_gap_blocks_count_for_nothing() {
    for bad in [(0, 1), (1, 1), (3, 2), (0, 65_535)] {
        let mut a = three_in_flight();
        assert!(a.sack(sack(0).gaps(&[bad])).is_empty());
        assert_eq!(a.path().flight, 3 * 1468, "{bad:?}");
        assert!(!violation(&a));
    }
}

#[test]
fn hard_case_12_sack_and_data_in_one_packet() {
    let mut a = three_in_flight();
    a.receive(|w| {
        w.sack(tsn(3), 1000, std::iter::empty(), &[]);
        write_data(w, 1, 0, "BE", 10);
    });
    let answer = a.poll();
    assert_eq!(a.path().flight, 0);
    assert_eq!(sacks(&answer)[0].0, 1);
    assert_eq!(a.read(), Some(10));
}

#[test]
fn hard_case_19_new_data_does_not_restart_t3() {
    let mut a = TestEnd::new(AssocConfig::default());
    a.send(10);
    assert_eq!(tsns(&a.poll()), [[1]]);
    // RTO is 1 s. What is sent in the meantime must not delay the expiry.
    for n in 2..=99 {
        assert_eq!(tsns(&a.wait(millis(10))), [] as [Vec<u32>; 0], "{n}");
        a.send(10);
        a.poll();
    }
    let again = a.wait(millis(20));
    assert_eq!(tsns(&again)[0][0], 1);
}

#[test]
fn only_acknowledging_the_lowest_tsn_restarts_t3() {
    let mut a = three_in_flight();
    a.wait(millis(600));
    a.sack(sack(0).gaps(&[(2, 2)]));
    assert_eq!(tsns(&a.wait(millis(401)))[0], [1], "T3 was not restarted");

    let mut a = three_in_flight();
    a.wait(millis(600));
    a.sack(sack(1));
    assert_eq!(tsns(&a.wait(millis(999))), [] as [Vec<u32>; 0]);
    assert_eq!(tsns(&a.wait(millis(2)))[0], [2]);
}

#[test]
fn after_t3_only_one_packet_is_in_flight_until_an_acknowledgement() {
    // Chunks that do not exactly fill a packet leave some room in a window of one packet.
    let mut a = TestEnd::new(AssocConfig::default());
    for _ in 0..60 {
        a.send(100);
    }
    assert_eq!(tsns(&a.poll()).concat().len(), 48, "cwnd holds no more");
    let again = a.wait(millis(1001));
    assert_eq!(tsns(&again), [(1..=12).collect::<Vec<_>>()]);
    assert_eq!(a.path().cwnd, 1468);
    assert_eq!(a.path().rto, millis(2000));
    a.send(100);
    assert!(a.poll().is_empty(), "no new data follows either");
    let more = a.sack(sack(12));
    assert_eq!(tsns(&more).len(), 3, "slow start goes on from there");
}

#[test]
fn t3_backs_off_and_ends_the_association() {
    let mut a = TestEnd::new(AssocConfig { hb_enabled: false, ..AssocConfig::default() });
    a.send(3 * FULL);
    a.poll();
    let sent = a.wait_log(Duration::from_secs(3600));
    let times: Vec<u64> =
        sent.iter().filter(|(_, p)| !data_of(p).is_empty()).map(|(t, _)| t.as_micros()).collect();
    let gaps: Vec<u64> = times.windows(2).map(|w| (w[1] - w[0]) / 1_000_000).collect();
    assert_eq!(gaps, [2, 4, 8, 16, 32, 60, 60, 60, 60]);
    assert!(a.events.contains(&Event::Lost(LossReason::Unreachable)));
    assert_eq!(a.count(|e| matches!(e, Event::SendFailed { unsent: false, .. })), 1);
}

#[test]
fn a_retransmitted_chunk_gives_no_round_trip_time() {
    let mut a = TestEnd::new(AssocConfig { rto_min: millis(10), ..AssocConfig::default() });
    a.send(10);
    a.poll();
    a.wait(millis(70));
    a.sack(sack(1));
    let rto = a.path().rto;
    a.send(10);
    a.poll();
    let retransmitted = a.wait(rto);
    assert_eq!(tsns(&retransmitted), [[2]]);
    let (srtt, backed_off) = (a.path().srtt, a.path().rto);
    a.wait(millis(5));
    a.sack(sack(2));
    assert_eq!((a.path().srtt, a.path().rto), (srtt, backed_off));
    // The next chunk that was sent only once ends the backoff.
    a.send(10);
    a.poll();
    a.wait(millis(5));
    a.sack(sack(3));
    assert!(a.path().rto < backed_off);
}

#[test]
fn one_round_trip_time_per_round_trip() {
    let mut a = three_in_flight();
    let first = a.path().srtt;
    a.wait(millis(100));
    a.sack(sack(1));
    let second = a.path().srtt;
    assert_ne!(first, second);
    a.wait(millis(400));
    a.sack(sack(3));
    assert_eq!(a.path().srtt, second, "TSN 2 and 3 belong to the same round trip");
}

#[test]
fn reordering_by_two_is_no_loss() {
    let (mut a, base) = in_flight(6);
    assert_eq!(tsns(&a.sack(sack(base).gaps(&[(2, 2)]))), [] as [Vec<u32>; 0]);
    assert_eq!(tsns(&a.sack(sack(base).gaps(&[(2, 3)]))), [] as [Vec<u32>; 0]);
    assert_eq!(tsns(&a.sack(sack(base + 3))), [] as [Vec<u32>; 0]);
    assert_eq!(a.stack.assoc_stats(a.id).unwrap().data_chunks_retransmitted, 0);
}

#[test]
fn the_third_miss_retransmits_at_once_and_only_once() {
    let (mut a, base) = in_flight(8);
    let cwnd = a.path().cwnd;
    a.sack(sack(base).gaps(&[(2, 2)]));
    a.sack(sack(base).gaps(&[(2, 3)]));
    // A SACK that acknowledges nothing new counts as no miss.
    a.sack(sack(base).gaps(&[(2, 3)]));
    let again = a.sack(sack(base).gaps(&[(2, 4)]));
    assert_eq!(tsns(&again), [[base + 1]]);
    assert_eq!(a.path().cwnd, cwnd / 2);
    assert_eq!(a.path().ssthresh, cwnd / 2);
    // The retransmission is lost, too. More misses do not matter; T3 repairs it.
    for end in 5..=8 {
        let sent = a.sack(sack(base).gaps(&[(2, end)]));
        assert_eq!(tsns(&sent), [] as [Vec<u32>; 0]);
    }
    assert_eq!(tsns(&a.wait(millis(1001))), [[base + 1]]);
    assert_eq!(a.path().cwnd, 1468);
}

#[test]
fn hard_case_21_misses_count_below_the_highest_newly_acknowledged_only() {
    let (mut a, base) = in_flight(8);
    // TSN 8 stays acknowledged. All newly acknowledged TSNs lie below 6.
    a.sack(sack(base).gaps(&[(8, 8)]));
    for end in 2..=5 {
        a.sack(sack(base).gaps(&[(2, end), (8, 8)]));
    }
    // TSN 1 had enough misses; 6 and 7 have just one.
    let stats = a.stack.assoc_stats(a.id).unwrap();
    assert_eq!((stats.fast_retransmits, stats.data_chunks_retransmitted), (1, 1));
}

#[test]
fn fast_recovery_reduces_cwnd_once() {
    let (mut a, base) = in_flight(12);
    let cwnd = a.path().cwnd;
    for end in 2..=4 {
        a.sack(sack(base).gaps(&[(2, end)]));
    }
    assert_eq!(a.path().cwnd, cwnd / 2);
    // The first hole is filled, but 5 is missing, too. In recovery, each advance of the cumulative
    // TSN counts as a miss.
    for end in 2..=4 {
        a.sack(sack(base + 4).gaps(&[(2, end)]));
    }
    let stats = a.stack.assoc_stats(a.id).unwrap();
    assert_eq!(stats.fast_retransmits, 2);
    assert_eq!(a.path().cwnd, cwnd / 2, "cwnd is reduced only once in a recovery");
    // Everything is acknowledged and recovery is over, so the next loss reduces cwnd again.
    a.sack(sack(base + 12));
    let cwnd = a.path().cwnd;
    a.send(8 * FULL);
    a.poll();
    for end in 2..=4 {
        a.sack(sack(base + 12).gaps(&[(2, end)]));
    }
    assert_eq!(a.path().cwnd, (cwnd / 2).max(4 * 1468));
    assert_eq!(a.stack.assoc_stats(a.id).unwrap().fast_retransmits, 3);
}

#[test]
fn in_recovery_progress_counts_as_a_miss_of_everything_missing() {
    let (mut a, base) = in_flight(12);
    for end in 2..=4 {
        a.sack(sack(base).gaps(&[(2, end), (8, 8)]));
    }
    // The arrival of 8 counted as one miss of 5, 6 and 7. Now only the cumulative TSN advances,
    // twice.
    a.sack(sack(base + 1).gaps(&[(7, 7)]));
    assert_eq!(a.stack.assoc_stats(a.id).unwrap().fast_retransmits, 1);
    a.sack(sack(base + 4).gaps(&[(4, 4)]));
    assert_eq!(a.stack.assoc_stats(a.id).unwrap().fast_retransmits, 4);
}

#[test]
fn a_reneged_chunk_is_in_flight_again_with_one_miss() {
    let (mut a, base) = in_flight(8);
    a.sack(sack(base + 1).gaps(&[(3, 3)]));
    assert_eq!(a.path().flight, 6 * 1468);
    // The peer reneges on TSN 4 while 5 arrives. That counts as one miss of 4, not two.
    a.sack(sack(base + 1).gaps(&[(4, 4)]));
    assert_eq!(a.path().flight, 6 * 1468);
    a.sack(sack(base + 1).gaps(&[(4, 5)]));
    let before = a.stack.assoc_stats(a.id).unwrap().fast_retransmits;
    a.sack(sack(base + 1).gaps(&[(4, 6)]));
    // TSN 2 and 3 have four and three misses, TSN 4 has three.
    let stats = a.stack.assoc_stats(a.id).unwrap();
    assert_eq!((before, stats.fast_retransmits), (2, 3));
}

#[test]
fn t3_runs_for_reneged_chunks() {
    let mut a = three_in_flight();
    a.sack(sack(1).gaps(&[(2, 2)]));
    a.sack(sack(2));
    assert_eq!(a.path().flight, 1468);
    assert_eq!(tsns(&a.wait(millis(1001))), [[3]]);
}

#[test]
fn a_shutdown_reneges_on_nothing_and_frees_window() {
    let config = AssocConfig { send_buffer: 1 << 20, ..AssocConfig::default() };
    let mut a = TestEnd::new(config);
    a.send(400_000);
    a.poll();
    a.sack(sack(1).rwnd(10_000).gaps(&[(2, 2)]));
    let (flight, window) = (a.path().flight, a.peer_rwnd());
    a.receive(|w| w.shutdown(tsn(1)));
    a.poll();
    assert_eq!((a.path().flight, a.peer_rwnd()), (flight, window));
    // The peer answers with SHUTDOWN alone. What that acknowledges must not use up its window.
    let mut last = 0;
    for _ in 0..1000 {
        let next = last + 1;
        a.receive(|w| w.shutdown(tsn(next.max(2))));
        last = next.max(2);
        a.poll();
        if a.stack.status(a.id).unwrap().unacked_chunks == 0 {
            break;
        }
    }
    assert_eq!(a.stack.status(a.id).unwrap().send_buffered, 0);
    assert_eq!(a.count(|e| *e == Event::PeerShutdown), 1);
}
