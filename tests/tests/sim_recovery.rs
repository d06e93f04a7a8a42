//! Loss and reordering of single packets, and how long it takes to repair them.

use std::time::Duration;

use sctp_user_core::sim::{IpPacket, Link, Verdict};
use sctp_user_core::wire::{Chunk, chunk_type};
use sctp_user_core::{AssocConfig, AssocStats, Event, Tsn};
use workspace_tests::duo::{DELAY, Duo};

const MS: Duration = Duration::from_millis(1);
const SEC: Duration = Duration::from_secs(1);

fn holds_tsn(packet: &IpPacket, tsn: Tsn) -> bool {
    let Some(sctp) = packet.packet() else { return false };
    sctp.chunks().any(|raw| matches!(raw.decode(&sctp), Ok(Chunk::Data(d)) if d.tsn == tsn))
}

/// Sends ten messages, each in a packet of its own, one per millisecond. `judge` decides what
/// happens to a packet with the third one; its argument is how often that was sent before. Returns
/// the counters of the sender and the time until everything had arrived.
fn send_ten(judge: impl Fn(u32) -> Verdict + Send + 'static) -> (AssocStats, Duration) {
    let mut duo = Duo::new(AssocConfig::default());
    let third = duo.first_tsn_of_a.plus(5 + 2);
    let (a, b, to_b) = (duo.a, duo.b, duo.to_b);
    // These messages are for measuring the RTT.
    for _ in 0..5 {
        duo.sim.with(a, |h, now| h.send(now, to_b, 0, [0; 100]).unwrap());
        duo.sim.run_for(300 * MS);
    }
    let mut times = 0;
    duo.sim.net.tap(move |_, packet| {
        if !holds_tsn(packet, third) {
            return Verdict::Pass;
        }
        times += 1;
        judge(times - 1)
    });
    let begin = duo.sim.now();
    for _ in 0..10 {
        duo.sim.with(a, |h, now| h.send(now, to_b, 0, [1; 100]).unwrap());
        duo.sim.run_for(MS);
    }
    assert!(duo.sim.run_until(100 * SEC, |sim| sim[b].app.received.len() == 15));
    let took = duo.sim.now() - begin;
    duo.sim.run_for(10 * SEC);
    assert_eq!(duo.sim[b].app.received.len(), 15, "nothing twice");
    let order = duo.sim[b].app.received.iter().map(|(_, r)| r.ssn);
    assert!(order.eq(0..15));
    (duo.sim[a].stack.assoc_stats(to_b).unwrap(), took)
}

#[test]
fn without_loss_nothing_is_sent_again() {
    let (stats, _) = send_ten(|_| Verdict::Pass);
    assert_eq!((stats.data_chunks_sent, stats.data_chunks_retransmitted), (15, 0));
}

#[test]
fn hard_case_21_overtaking_by_two_is_no_loss_and_by_four_is_taken_for_one() {
    let (stats, _) = send_ten(|_| Verdict::Delay(2 * MS + MS / 2));
    assert_eq!((stats.data_chunks_retransmitted, stats.fast_retransmits), (0, 0));
    let late = |times| if times == 0 { Verdict::Delay(4 * MS + MS / 2) } else { Verdict::Pass };
    let (stats, _) = send_ten(late);
    assert_eq!(
        (stats.data_chunks_retransmitted, stats.fast_retransmits, stats.t3_expiries),
        (1, 1, 0)
    );
}

#[test]
fn a_lost_packet_is_repaired_within_a_few_round_trips() {
    let (stats, took) = send_ten(|times| if times == 0 { Verdict::Drop } else { Verdict::Pass });
    assert_eq!(
        (stats.data_chunks_retransmitted, stats.fast_retransmits, stats.t3_expiries),
        (1, 1, 0)
    );
    assert!(took < 10 * MS + 5 * DELAY, "{took:?}");
}

/// A TSN is fast-retransmitted only once. When that is lost, too, T3 repairs the loss (RFC 9260 sec
/// 7.2.4).
#[test]
fn hard_case_20_a_lost_fast_retransmission_waits_for_t3() {
    let (stats, took) = send_ten(|times| if times < 2 { Verdict::Drop } else { Verdict::Pass });
    assert_eq!((stats.fast_retransmits, stats.t3_expiries), (1, 1));
    assert_eq!(stats.data_chunks_retransmitted, 2);
    assert!((SEC..2 * SEC).contains(&took), "{took:?}");
}

#[test]
fn hard_case_20_the_last_packet_lost_waits_for_t3() {
    let mut duo = Duo::new(AssocConfig::default());
    let (a, b, to_b) = (duo.a, duo.b, duo.to_b);
    duo.sim.net.drop_nth(chunk_type::DATA, 1);
    duo.sim.with(a, |h, now| h.send(now, to_b, 0, "alone").unwrap());
    let begin = duo.sim.now();
    assert!(duo.sim.run_until(10 * SEC, |sim| sim[b].app.received.len() == 1));
    let took = duo.sim.now() - begin;
    assert!((SEC..SEC + 5 * DELAY).contains(&took), "RTO.Min and a one-way delay: {took:?}");
}

/// New data every 10 ms does not postpone T3, which runs for the lost first packet (RFC 9260 sec
/// 6.3.2 R1).
#[test]
fn hard_case_19_steady_sending_does_not_put_off_t3() {
    let config = AssocConfig { sack_delay: Duration::ZERO, ..AssocConfig::default() };
    let mut duo = Duo::new(config);
    let (a, b, to_b) = (duo.a, duo.b, duo.to_b);
    let first = duo.first_tsn_of_a;
    let mut dropped = 0;
    // The first packet and its fast retransmission are lost.
    duo.sim.net.tap(move |_, packet| {
        if holds_tsn(packet, first) && dropped < 2 {
            dropped += 1;
            return Verdict::Drop;
        }
        Verdict::Pass
    });
    let begin = duo.sim.now();
    while duo.sim[b].app.received.is_empty() {
        duo.sim.with(a, |h, now| h.send(now, to_b, 0, "tick").unwrap());
        duo.sim.run_for(10 * MS);
        assert!(duo.sim.now() - begin < 3 * SEC, "T3 never came");
    }
}

/// Max.Burst limits how much leaves at one moment, but not how many small messages may be in flight
/// (RFC 9260 sec 6.1 D).
#[test]
fn messages_that_come_one_by_one_leave_one_by_one() {
    let mut duo = Duo::new(AssocConfig::default());
    let (a, b, to_b) = (duo.a, duo.b, duo.to_b);
    duo.sim.net.set_default(Link::new().delay(100 * MS, Duration::ZERO));
    duo.sim.run_for(SEC);
    for _ in 0..30 {
        duo.sim.with(a, |h, now| h.send(now, to_b, 0, [0; 30]).unwrap());
        duo.sim.run_for(5 * MS);
    }
    assert!(duo.sim.run_until(101 * MS, |sim| sim[b].app.received.len() == 30));
    assert_eq!(duo.sim.net.sent().filter(|(_, p)| p.has(chunk_type::DATA)).count(), 30);
}

/// RFC 9260 sec 9.2: a SHUTDOWN COMPLETE is lost, and the end that sent it calls again at once from
/// the same ports.
#[test]
fn hard_case_33_a_new_call_after_a_lost_shutdown_complete_gets_through() {
    let mut duo = Duo::new(AssocConfig::default());
    let (a, b, to_b, to_a) = (duo.a, duo.b, duo.to_b, duo.to_a);
    duo.sim.net.drop_nth(chunk_type::SHUTDOWN_COMPLETE, 1);
    duo.sim.with(a, |h, now| h.stack.shutdown(now, to_b).unwrap());
    assert!(duo.sim.run_until(SEC, |sim| sim[a].app.ended(to_b)));
    duo.sim.run_for(2 * DELAY);
    assert!(!duo.sim[b].app.ended(to_a), "B waits for the SHUTDOWN COMPLETE");
    let peer = duo.sim[b].peer(5001);
    let again = duo.sim.with(a, |h, now| {
        h.stack.release(now, to_b);
        h.stack.connect(now, 6000, &peer, None).unwrap()
    });
    assert!(duo.sim.run_until(20 * SEC, |sim| sim[b].app.accepted.len() == 2));
    assert!(duo.sim[b].app.saw(to_a, &Event::ShutdownComplete), "the old association ended well");
    duo.sim.with(a, |h, now| h.send(now, again, 0, "again").unwrap());
    assert!(duo.sim.run_until(SEC, |sim| sim[b].app.received.len() == 1));
}

/// Both ends shut down at the same moment (RFC 9260 sec 9.2).
#[test]
fn crossing_shutdowns_end_well() {
    let mut duo = Duo::new(AssocConfig::default());
    let (a, b, to_b, to_a) = (duo.a, duo.b, duo.to_b, duo.to_a);
    duo.sim.with(a, |h, now| h.send(now, to_b, 0, "bye").unwrap());
    duo.sim.with(b, |h, now| h.send(now, to_a, 0, "so long").unwrap());
    duo.sim.with(a, |h, now| h.stack.shutdown(now, to_b).unwrap());
    duo.sim.with(b, |h, now| h.stack.shutdown(now, to_a).unwrap());
    assert!(duo.sim.run_until(10 * SEC, |sim| sim[a].app.ended(to_b) && sim[b].app.ended(to_a)));
    assert!(duo.sim[a].app.saw(to_b, &Event::ShutdownComplete));
    assert!(duo.sim[b].app.saw(to_a, &Event::ShutdownComplete));
    assert_eq!((duo.sim[a].app.received.len(), duo.sim[b].app.received.len()), (1, 1));
}

/// The window opens, but the SACK that says so is lost. A probe finds out.
#[test]
fn hard_case_17_a_lost_window_update_is_found_by_a_probe() {
    let config = AssocConfig { recv_buffer: 8_000, ..AssocConfig::default() };
    let mut duo = Duo::new(config);
    let (a, b, to_b, to_a) = (duo.a, duo.b, duo.to_b, duo.to_a);
    duo.sim[b].app.reading = false;
    for _ in 0..20 {
        duo.sim.with(a, |h, now| h.send(now, to_b, 0, [0; 1000]).unwrap());
    }
    duo.sim.run_for(5 * SEC);
    assert!(duo.sim[a].stack.status(to_b).unwrap().peer_rwnd < 1000);
    duo.sim.net.cut_one_way("10.1.0.2".parse().unwrap(), "10.1.0.1".parse().unwrap());
    duo.sim[b].app.reading = true;
    duo.sim.with(b, |h, now| h.script(now, |app, cx| app.read_all(cx, to_a)));
    duo.sim.run_for(DELAY);
    duo.sim.net.heal("10.1.0.2".parse().unwrap(), "10.1.0.1".parse().unwrap());
    assert!(duo.sim.run_until(60 * SEC, |sim| sim[b].app.received.len() == 20));
}
