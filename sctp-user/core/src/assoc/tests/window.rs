//! The peer's window: probes, silly windows, accounting (RFC 9260 sec 6.1 A, 6.2).

use super::*;

#[test]
fn hard_case_16_a_closed_window_is_probed_ever_more_slowly_and_never_given_up() {
    let mut a = TestEnd::new(AssocConfig { hb_enabled: false, ..AssocConfig::default() });
    a.send(3 * FULL);
    a.poll();
    a.sack(sack(3).rwnd(0));
    a.send(10);
    assert!(a.poll().is_empty());
    let start = a.now;
    let mut probes = Vec::new();
    // For ten minutes every probe is answered, but none is accepted.
    while a.now.since(start) < Duration::from_secs(600) {
        let due = a.stack.poll_timeout().unwrap();
        for (at, packet) in a.wait_log(due.since(a.now)) {
            assert_eq!(tsns(std::slice::from_ref(&packet)), [[4]]);
            probes.push(at.since(start).as_secs());
            a.sack(sack(3).rwnd(0));
            assert_eq!(a.peer_rwnd(), 0);
        }
    }
    assert!(probes.len() >= 10 && probes.len() <= 20, "{probes:?}");
    assert_eq!(probes[0], 1, "the first probe is sent after one RTO");
    assert!(probes.windows(2).all(|w| w[1] - w[0] <= 60));
    assert!(probes[6] - probes[5] > 8 * (probes[2] - probes[1]).max(1) / 2, "{probes:?}");
    assert_eq!(a.path().error_count, 0);
    assert_eq!(a.path().cwnd, 4404 + 1468, "a closed window is no congestion");
    a.send(1000);
    assert!(a.poll().is_empty());
    // At last there is room.
    assert_eq!(tsns(&a.sack(sack(4).rwnd(5000))), [[5]]);
}

#[test]
fn hard_case_17_a_probe_finds_the_window_whose_update_was_lost() {
    let mut a = TestEnd::new(AssocConfig::default());
    a.send(FULL);
    a.poll();
    a.sack(sack(1).rwnd(0));
    a.send(3 * FULL);
    assert!(a.poll().is_empty());
    assert_eq!(tsns(&a.wait(millis(1001))), [[2]], "one chunk");
    assert_eq!(tsns(&a.sack(sack(2).rwnd(100_000))), [[3], [4]]);
}

#[test]
fn without_answers_probes_count_as_errors() {
    let mut a = TestEnd::new(AssocConfig { assoc_max_retrans: 3, ..AssocConfig::default() });
    a.send(FULL);
    a.poll();
    a.sack(sack(1).rwnd(0));
    a.send(10);
    a.wait(Duration::from_secs(600));
    assert_eq!(a.count(|e| matches!(e, Event::Lost(_))), 1);
}

#[test]
fn no_probe_while_data_is_in_flight() {
    let mut a = TestEnd::new(AssocConfig::default());
    a.send(2 * FULL);
    a.poll();
    a.sack(sack(1).rwnd(1000));
    a.send(10);
    assert_eq!(a.peer_rwnd(), 0, "the data in flight takes the whole window");
    assert!(a.poll().is_empty());
    assert_eq!(tsns(&a.wait(millis(1001))), [[2]], "T3 sends nothing new");
}

#[test]
fn a_small_window_is_used_only_when_nothing_is_in_flight() {
    let mut a = TestEnd::new(AssocConfig::default());
    a.send(3 * FULL);
    a.poll();
    a.send(20_000);
    assert!(a.sack(sack(1).rwnd(3 * FULL as u32 - 200)).is_empty(), "no tiny chunks are sent");
    let sent = a.sack(sack(3).rwnd(1003));
    assert_eq!(data_of(&sent[0])[0].payload.len(), 1000);
    assert_eq!(sent.len(), 1);
}

#[test]
fn loss_and_retransmission_change_the_peers_window() {
    let mut a = TestEnd::new(AssocConfig::default());
    a.send(3 * FULL);
    a.poll();
    a.sack(sack(0).rwnd(10_000));
    assert_eq!(a.peer_rwnd() as usize, 10_000 - 3 * FULL);
    a.wait(millis(1001));
    assert_eq!(
        a.peer_rwnd() as usize,
        10_000 - FULL,
        "all chunks were marked as lost, and one was sent again"
    );
}

/// Both ends are ours, the reader is slow and the messages are tiny. No chunk may be sent that
/// finds no room.
#[test]
fn tiny_messages_never_overrun_the_receiver() {
    for len in [1, 20, 40] {
        let config = |recv_buffer| AssocConfig {
            recv_buffer,
            send_buffer: 1 << 20,
            max_burst: 0,
            ..AssocConfig::default()
        };
        let (mut a, mut b) = TestEnd::pair(config(100_000), config(16_384));
        let (mut sent, mut got) = (0, 0);
        for round in 0..400 {
            for _ in 0..200 {
                let message = Message::new(0, 0, vec![5; len]);
                sent += u32::from(a.stack.send(a.now, a.id, message).is_ok());
            }
            for packet in a.poll() {
                b.receive_packet(packet);
            }
            let mut answers = b.poll();
            // Reads in bursts with long pauses.
            if round % 20 == 19 {
                while b.read().is_some() {
                    got += 1;
                }
                answers.extend(b.poll());
            }
            for packet in answers {
                a.receive_packet(packet);
            }
            a.wait(millis(1));
            b.wait(millis(1));
        }
        assert!(got > 2000, "{got} of {sent} messages of {len}");
        let stats = b.stack.assoc_stats(b.id).unwrap();
        assert_eq!(
            (stats.data_chunks_dropped, stats.duplicates_received),
            (0, 0),
            "messages of {len}"
        );
    }
}
