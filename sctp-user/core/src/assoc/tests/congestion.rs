//! Congestion control in an association (RFC 9260 sec 6.1 B and D, 7.2).

use super::*;

const PMDCS: u32 = 1468;

fn unlimited_burst() -> TestEnd {
    TestEnd::new(AssocConfig { max_burst: 0, ..AssocConfig::default() })
}

#[test]
fn one_packet_may_exceed_the_window() {
    let mut a = unlimited_burst();
    for _ in 0..5 {
        a.send(1400);
    }
    // 3 chunks of 1416 bytes leave 156 of 4404 bytes. One more packet is sent, but no other.
    assert_eq!(tsns(&a.poll()), [[1], [2], [3], [4]]);
}

#[test]
fn the_window_grows_only_when_it_was_used() {
    let mut a = unlimited_burst();
    a.send(FULL);
    a.poll();
    a.sack(sack(1));
    assert_eq!(a.path().cwnd, 4404);
    a.send(3 * FULL);
    a.poll();
    a.sack(sack(4));
    assert_eq!(a.path().cwnd, 4404 + PMDCS);
}

#[test]
fn hard_case_22_gap_acknowledgements_let_the_window_grow() {
    let mut a = unlimited_burst();
    a.send(20 * FULL);
    a.poll();
    // TSN 1 is under way or lost; nobody can tell yet.
    a.sack(sack(0).gaps(&[(2, 2)]));
    assert_eq!(a.path().cwnd, 4404 + PMDCS);
    a.sack(sack(0).gaps(&[(2, 3)]));
    assert_eq!(a.path().cwnd, 4404 + 2 * PMDCS);
}

#[test]
fn sacks_in_one_batch_grow_the_window_like_sacks_one_by_one() {
    let mut a = unlimited_burst();
    a.send(30 * FULL);
    a.poll();
    for cum in 1..=3 {
        a.receive_sack(&sack(cum));
    }
    let batch = a.poll().len();
    let mut b = unlimited_burst();
    b.send(30 * FULL);
    b.poll();
    let single: usize = (1..=3).map(|cum| b.sack(sack(cum)).len()).sum();
    assert_eq!((a.path().cwnd, batch), (b.path().cwnd, single));
}

#[test]
fn congestion_avoidance_grows_by_one_packet_per_window() {
    let mut a = unlimited_burst();
    let base = a.grow(12 * PMDCS);
    a.send(200 * FULL);
    a.poll();
    for end in 2..=4 {
        a.sack(sack(base).gaps(&[(2, end)]));
    }
    let (cwnd, ssthresh) = (a.path().cwnd, a.path().ssthresh);
    assert_eq!(cwnd, ssthresh);
    // Acknowledge everything up to the exit point and beyond: one more step of slow start at cwnd
    // == ssthresh, then congestion avoidance.
    let mut acked = base + 12;
    a.sack(sack(acked));
    let start = a.path().cwnd;
    assert!(start <= cwnd + PMDCS);
    let mut bytes = 0;
    while a.path().cwnd <= start + PMDCS {
        acked += 1;
        bytes += PMDCS;
        a.sack(sack(acked));
        assert!(bytes < 4 * start, "cwnd must grow");
    }
    assert!(bytes > start, "{bytes} acknowledged bytes are more than a window");
}

#[test]
fn an_idle_window_decays_whatever_heartbeats_do() {
    let config =
        AssocConfig { max_burst: 0, hb_interval: Duration::from_secs(2), ..AssocConfig::default() };
    let mut a = TestEnd::new(config);
    let last = a.grow(40 * PMDCS);
    let before = a.path().cwnd;
    // The heartbeats are answered, so the path is in use, but not by DATA.
    let end = a.now + Duration::from_secs(20);
    while a.now < end {
        for packet in a.wait(millis(100)) {
            for raw in packet.chunks() {
                if let Chunk::Heartbeat(info) = raw.decode(&packet).unwrap() {
                    a.receive(|w| w.heartbeat_ack(info));
                }
            }
        }
    }
    a.send(100 * FULL);
    let sent = tsns(&a.poll()).len() as u32;
    assert_eq!(sent, 4, "the smallest window that idle time leads to");
    assert_eq!(a.path().ssthresh, before, "slow start goes up to the old window");
    a.sack(sack(last + 4));
    assert_eq!(a.path().cwnd, 5 * PMDCS);
}

#[test]
fn a_sack_allows_a_burst_plus_what_it_acknowledged() {
    let mut a = TestEnd::new(AssocConfig { send_buffer: 1 << 20, ..AssocConfig::default() });
    let base = a.grow(100 * PMDCS);
    a.send(1 << 20);
    let mut window = tsns(&a.poll()).len() as u32;
    assert_eq!(window, 4, "the first burst");
    assert!(a.poll().is_empty(), "polling again is no new opportunity");
    // The peer acknowledges everything with one SACK.
    let mut acked = base;
    for round in 1..=5 {
        acked += window;
        let sent = tsns(&a.sack(sack(acked))).len() as u32;
        assert_eq!(sent, window + 4, "round {round}");
        window = sent;
    }
    // Several SACKs in one batch add up.
    a.receive_sack(&sack(acked + 2));
    a.receive_sack(&sack(acked + 5));
    assert_eq!(tsns(&a.poll()).len(), 4 + 5);
}

#[test]
fn small_chunks_do_not_multiply_the_burst() {
    let mut a = TestEnd::new(AssocConfig { send_buffer: 1 << 20, ..AssocConfig::default() });
    let base = a.grow(60 * PMDCS);
    for _ in 0..2000 {
        a.send(100);
    }
    // A packet has twelve chunks of 116 bytes. Bytes count, so four such packets leave room for the
    // beginning of a fifth.
    let first = tsns(&a.poll());
    assert_eq!(first.len(), 5);
    let sent = tsns(&a.sack(sack(base + first.concat().len() as u32)));
    assert_eq!(sent.len(), 10);
}

#[test]
fn packets_that_are_not_full_keep_the_ack_clock() {
    let mut a = TestEnd::new(AssocConfig { send_buffer: 1 << 20, ..AssocConfig::default() });
    let base = a.grow(100 * PMDCS);
    for _ in 0..500 {
        a.send(1000);
    }
    let mut window = tsns(&a.poll()).len() as u32;
    let mut acked = base;
    for round in 1..=5 {
        acked += window;
        let sent = tsns(&a.sack(sack(acked))).len() as u32;
        assert!(sent >= window + 4, "round {round}: {window} were acknowledged, {sent} followed");
        window = sent;
    }
}

#[test]
fn messages_sent_one_by_one_are_no_burst() {
    let mut a = TestEnd::new(AssocConfig::default());
    for n in 1..=20 {
        a.send(50);
        assert_eq!(tsns(&a.poll()), [[n]]);
        assert!(a.wait(millis(1)).is_empty());
    }
}
