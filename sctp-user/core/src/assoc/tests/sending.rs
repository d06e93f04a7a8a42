//! From messages to packets: fragments, bundling, Nagle, lifetime, GSO, PMTU, events (RFC 9260 sec
//! 6.1, 6.9, 6.10).

use super::*;
use crate::addr::SendOptions;
use crate::error::SendError;
use crate::stack::Unreachable;

fn sizes(packets: &[Packet]) -> Vec<Vec<usize>> {
    packets.iter().map(|p| data_of(p).iter().map(|d| d.payload.len()).collect()).collect()
}

#[test]
fn long_messages_are_cut_into_full_packets_and_short_ones_share_one() {
    let mut a = TestEnd::new(AssocConfig::default());
    a.send(3001);
    a.send(40);
    let packets = a.poll();
    assert_eq!(sizes(&packets), [vec![FULL], vec![FULL], vec![97, 40]]);
    let bits: Vec<_> = packets
        .iter()
        .flat_map(data_of)
        .map(|d| (d.flags.begin, d.flags.end, d.id.ssn().0))
        .collect();
    assert_eq!(bits, [(true, false, 0), (false, false, 0), (false, true, 0), (true, true, 1)]);
}

#[test]
fn the_rest_of_a_packet_is_not_filled_with_tiny_fragments() {
    let mut a = TestEnd::new(AssocConfig::default());
    a.send(1000);
    a.send(1400);
    a.send(100);
    assert_eq!(
        sizes(&a.poll()),
        [[1000], [1400], [100]],
        "messages that fit a packet are not cut, and their order is kept"
    );
    let mut a = TestEnd::new(AssocConfig::default());
    a.send(500);
    a.send(2000);
    assert_eq!(sizes(&a.poll()), [vec![500, 936], vec![1064]]);
}

#[test]
fn nagle_holds_a_small_packet_while_data_is_in_flight() {
    let mut a = TestEnd::new(AssocConfig { nodelay: false, ..AssocConfig::default() });
    a.send(10);
    assert_eq!(tsns(&a.poll()), [[1]]);
    a.send(20);
    a.send(30);
    assert!(a.poll().is_empty());
    a.send(FULL);
    assert_eq!(sizes(&a.poll())[0][..2], [20, 30], "a full packet may be sent");
    a.send(40);
    assert!(a.poll().is_empty());
    let top = a.stack.status(a.id).unwrap().unacked_chunks;
    assert_eq!(sizes(&a.sack(sack(top))), [[40]]);
}

#[test]
fn a_message_that_waits_in_the_queue_can_expire() {
    let mut a = TestEnd::new(AssocConfig { send_buffer: 3 * FULL + 300, ..AssocConfig::default() });
    a.send(3 * FULL);
    a.poll();
    let lifetime = |ms| SendOptions {
        lifetime: Some(millis(ms)),
        context: ms as u32,
        ..SendOptions::default()
    };
    a.send(50);
    for ms in [100, 60_000] {
        a.send_message(Message { options: lifetime(ms), ..Message::new(1, 0, vec![1; 100]) });
    }
    assert_eq!(
        a.stack.send(a.now, a.id, Message::new(0, 0, vec![0; 100])),
        Err(SendError::WouldBlock)
    );
    a.wait(millis(200));
    let sent = a.sack(sack(3));
    assert_eq!(sizes(&sent), [[50, 100]]);
    let failed: Vec<_> = a
        .events
        .iter()
        .filter_map(|e| match e {
            Event::SendFailed { message, unsent } => Some((message.options.context, *unsent)),
            _ => None,
        })
        .collect();
    assert_eq!(failed, [(100, true)]);
    assert_eq!(data_of(&sent[0])[1].id.ssn(), Ssn(0), "the expired message took no SSN");
}

#[test]
fn expired_messages_make_room_in_the_send_buffer() {
    let mut a = TestEnd::new(AssocConfig { send_buffer: 1000, ..AssocConfig::default() });
    a.sack(sack(0).rwnd(0));
    let options = SendOptions { lifetime: Some(millis(10)), ..SendOptions::default() };
    a.send_message(Message { options, ..Message::new(0, 0, vec![0; 1000]) });
    a.poll();
    assert_eq!(
        a.stack.send(a.now, a.id, Message::new(0, 0, vec![0; 1])),
        Err(SendError::WouldBlock)
    );
    // Nothing is in flight, so only the timer for window probes fires.
    a.wait(Duration::from_secs(2));
    assert_eq!(a.count(|e| *e == Event::Writable), 1);
    assert_eq!(a.count(|e| matches!(e, Event::SendFailed { unsent: true, .. })), 1);
}

#[test]
fn several_messages_are_queued_all_or_none() {
    let mut a = TestEnd::new(AssocConfig { send_buffer: 1000, ..AssocConfig::default() });
    let m = |stream, len| Message::new(stream, 0, vec![0; len]);
    let mut all = |messages: Vec<Message>| a.stack.send_unit(a.now, a.id, messages);
    assert_eq!(
        all(vec![m(0, 1), m(10, 1)]),
        Err(SendError::InvalidStream { stream: 10, streams: 10 })
    );
    assert_eq!(all(vec![m(0, 1), m(9, 0)]), Err(SendError::Empty));
    assert_eq!(all(vec![m(0, 1), m(0, 17 << 20)]), Err(SendError::TooLarge));
    all(vec![m(0, 500)]).unwrap();
    assert_eq!(all(vec![m(0, 300), m(0, 300)]), Err(SendError::WouldBlock));
    all(vec![m(9, 300), m(9, 200)]).unwrap();
    assert_eq!(sizes(&a.poll()), [[500, 300, 200]]);
}

#[test]
fn writable_and_sender_dry_are_reported_once() {
    let mut a = TestEnd::new(AssocConfig { send_buffer: 4000, ..AssocConfig::default() });
    a.send(4000);
    for _ in 0..3 {
        assert_eq!(
            a.stack.send(a.now, a.id, Message::new(0, 0, vec![0; 1])),
            Err(SendError::WouldBlock)
        );
    }
    a.poll();
    for cum in [1, 2, 2, 3, 3] {
        a.sack(sack(cum));
    }
    assert_eq!(a.count(|e| *e == Event::Writable), 1);
    assert_eq!(a.count(|e| *e == Event::SenderDry), 1);
    a.send(1);
    a.poll();
    a.sack(sack(4));
    assert_eq!((a.count(|e| *e == Event::Writable), a.count(|e| *e == Event::SenderDry)), (1, 2));
}

#[test]
fn unacknowledged_messages_come_back() {
    let mut a = TestEnd::new(AssocConfig::default());
    a.send(100);
    a.send(200);
    a.send(10 * FULL);
    a.send(300);
    a.poll();
    a.sack(sack(1).gaps(&[(3, 3)]));
    a.stack.abort(a.now, a.id, Bytes::new()).unwrap();
    a.poll();
    let failed: Vec<_> = a
        .events
        .iter()
        .filter_map(|e| match e {
            Event::SendFailed { message, unsent } => Some((message.data.len(), *unsent)),
            _ => None,
        })
        .collect();
    assert_eq!(failed, [(200, false), (10 * FULL, false), (300, true)]);
}

#[test]
fn the_packets_of_a_transmit_have_one_size() {
    let config = AssocConfig { max_burst: 0, send_buffer: 1 << 20, ..AssocConfig::default() };
    let mut a = TestEnd::new(config);
    a.grow(60 * 1468);
    a.limits = SegmentLimits { native: 10, udp: 1 };
    for len in [16 * 1024, 700, 64, 64, 3000, 1452, 1000, 16 * 1024] {
        a.send(len);
    }
    a.data(1, 0, "BEI", 5);
    assert!(a.transmits.iter().any(|t| t.segment_size.is_some()));
    for t in &a.transmits {
        assert!(t.segment_size.is_none_or(|s| s < t.len && t.len <= 10 * s && s <= 1480), "{t:?}");
    }
    assert_eq!(
        a.stack.status(a.id).unwrap().send_buffered,
        2 * 16 * 1024 + 700 + 128 + 3000 + 1452 + 1000
    );
}

#[test]
fn a_chunk_larger_than_the_path_mtu_goes_alone_and_may_be_fragmented() {
    let mut a = TestEnd::new(AssocConfig::default());
    a.limits = SegmentLimits { native: 10, udp: 1 };
    a.send(100);
    a.send(2 * FULL);
    let sent = a.poll();
    assert_eq!(sent.len(), 3);
    let to = a.path().addr;
    a.stack.handle_unreachable(
        a.now,
        to,
        Unreachable::PacketTooBig { ip_mtu: 1000 },
        &sent[0].bytes()[..12],
    );
    assert_eq!(a.path().pmtu, 980);
    a.transmits.clear();
    let mut again = a.wait(millis(1001));
    let mut cum = 0;
    while cum < 3 {
        cum += tsns(&again).concat().len() as u32;
        again = a.sack(sack(cum));
    }
    let large: Vec<_> =
        a.transmits.iter().filter(|t| t.len > 980 && t.segment_size.is_none()).collect();
    assert_eq!(large.len(), 2);
    assert!(large.iter().all(|t| t.may_fragment));
    assert!(a.transmits.iter().filter(|t| t.len <= 980).all(|t| !t.may_fragment));
    a.send(5000);
    assert!(sizes(&a.poll()).concat().iter().all(|len| *len <= 980 - 28));
}

#[test]
fn the_last_chunk_before_a_shutdown_asks_for_a_sack() {
    let mut a = TestEnd::new(AssocConfig::default());
    a.send(2 * FULL);
    a.stack.shutdown(a.now, a.id).unwrap();
    let asks: Vec<bool> = a.poll().iter().flat_map(data_of).map(|d| d.flags.immediate).collect();
    assert_eq!(asks, [false, true]);
}
