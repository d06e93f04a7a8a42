//! What ends a message in the middle, and what its reader gets then.

use super::*;
use crate::addr::SendOptions;
use crate::config::AssocConfig;
use crate::wire::Chunk;

fn in_parts() -> SocketOptions {
    let config = AssocConfig {
        partial_delivery_point: Some(4_000),
        recv_buffer: 64_000,
        ..AssocConfig::default()
    };
    SocketOptions { config, ..all() }
}

fn begun(bytes: usize) -> Message {
    let options = SendOptions { more_follows: true, ..SendOptions::default() };
    Message { options, ..Message::new(0, 0, vec![b'p'; bytes]) }
}

/// As [`read_all`], but gives parts of large messages as "part".
fn read(end: &mut Sockets, now: Time, socket: SocketId) -> Vec<String> {
    let mut seen = read_all(end, now, socket);
    seen.iter_mut()
        .filter(|text| text.starts_with("pp"))
        .for_each(|text| *text = "part".to_owned());
    seen.dedup();
    seen
}

/// A listening one-to-many socket on B with these options.
fn listening(options: SocketOptions) -> (Pair, SocketId) {
    let mut pair = Pair::new();
    let server = pair.b.open(Style::OneToMany, options);
    pair.b.bind(server, 7, &[]).unwrap();
    pair.b.listen(server, 2).unwrap();
    (pair, server)
}

/// A forgets everything and connects again, always from the same port.
fn call_from_scratch(pair: &mut Pair, seed: u8) -> SocketId {
    pair.a = Sockets::new(StackConfig::default(), [seed; 32]);
    let client = pair.a.open(Style::OneToOne, SocketOptions::default());
    pair.a.bind(client, 5000, &[]).unwrap();
    pair.a.connect(pair.now, client, &peer_b(7)).unwrap();
    client
}

/// As [`listening`], with two connected clients.
fn two_clients(options: SocketOptions) -> (Pair, SocketId, [SocketId; 2]) {
    let (mut pair, server) = listening(options);
    let clients = [0; 2].map(|_| {
        let client = pair.a.open(Style::OneToOne, SocketOptions::default());
        pair.a.connect(pair.now, client, &peer_b(7)).unwrap();
        pair.run(100);
        client
    });
    (pair, server, clients)
}

#[test]
fn a_dead_association_blocks_no_others_when_interleaving_is_off() {
    for subscriptions in [Subscriptions::ALL, Subscriptions::default()] {
        let options = SocketOptions { interleave: Interleave::None, subscriptions, ..in_parts() };
        let (mut pair, server, [first, second]) = two_clients(options);
        read(&mut pair.b, pair.now, server);
        pair.a.try_send(pair.now, first, Target::Only, begun(20_000)).unwrap();
        pair.run(500);
        assert_eq!(read(&mut pair.b, pair.now, server), ["part"]);
        let assoc = pair.a.assocs_of(first)[0];
        pair.a.abort_assoc(pair.now, first, assoc, Bytes::new()).unwrap();
        pair.run(100);
        pair.a.try_send(pair.now, second, Target::Only, text("of another")).unwrap();
        pair.run(100);
        let mut seen = read(&mut pair.b, pair.now, server);
        assert!(seen.contains(&"of another".to_owned()), "{seen:?}");
        seen.retain(|text| text != "of another");
        if subscriptions == Subscriptions::ALL {
            assert_eq!(seen, ["<PartialDeliveryAborted>", "<Lost>"]);
        }
        assert_eq!(pair.b.assocs_of(server).len(), 1, "the dead one is forgotten");
    }
}

#[test]
fn messages_behind_an_incomplete_one_can_still_be_read() {
    for subscriptions in [Subscriptions::ALL, Subscriptions::default()] {
        let (mut pair, _, client, server) =
            Pair::connected(SocketOptions { subscriptions, ..in_parts() });
        read(&mut pair.b, pair.now, server);
        pair.loses = Some(|packet| {
            let cut = |data: &crate::wire::DataChunk| data.payload.contains(&b'x');
            packet
                .chunks()
                .any(|raw| matches!(raw.decode(packet), Ok(Chunk::Data(data)) if cut(&data)))
        });
        let mut large = vec![b'p'; 20_000];
        large[12_000] = b'x';
        pair.a.try_send(pair.now, client, Target::Only, Message::new(0, 0, large)).unwrap();
        pair.a.try_send(pair.now, client, Target::Only, Message::new(1, 0, "behind it")).unwrap();
        pair.run(500);
        assert_eq!(
            read(&mut pair.b, pair.now, server),
            ["part"],
            "the rest waits for the lost chunk"
        );
        let assoc = pair.a.assocs_of(client)[0];
        pair.a.abort_assoc(pair.now, client, assoc, Bytes::new()).unwrap();
        pair.run(100);
        let seen = read(&mut pair.b, pair.now, server);
        if subscriptions == Subscriptions::ALL {
            assert_eq!(seen[..3], ["<PartialDeliveryAborted>", "behind it", "<Lost>"], "{seen:?}");
        } else {
            assert_eq!(seen[0], "behind it", "{seen:?}");
        }
    }
}

/// A message that the old process had begun gets nothing from the restarted one.
#[test]
fn a_restart_cuts_a_message_off_before_anything_new_is_read() {
    for subscriptions in [Subscriptions::ALL, Subscriptions::default()] {
        let (mut pair, server) = listening(SocketOptions { subscriptions, ..in_parts() });
        let client = call_from_scratch(&mut pair, 1);
        pair.run(100);
        pair.a.try_send(pair.now, client, Target::Only, begun(20_000)).unwrap();
        pair.run(500);
        let seen = read(&mut pair.b, pair.now, server);
        assert_eq!(seen.last().unwrap(), "part");
        // More of it waits to be read when the peer restarts and sends at once.
        pair.a.try_send(pair.now, client, Target::Only, begun(5_000)).unwrap();
        pair.run(50);
        let client = call_from_scratch(&mut pair, 3);
        pair.a.try_send(pair.now, client, Target::Only, text("new")).unwrap();
        pair.run(500);
        let seen = read(&mut pair.b, pair.now, server);
        if subscriptions == Subscriptions::ALL {
            assert_eq!(seen, ["part", "<PartialDeliveryAborted>", "<Restart>", "new"]);
        } else {
            assert_eq!(seen, ["part", "new"]);
        }
    }
}

#[test]
fn a_message_begun_before_the_peer_shuts_down_can_be_finished() {
    let (mut pair, _, client, server) = Pair::connected(SocketOptions::default());
    pair.b.try_send(pair.now, server, Target::Only, begun(10)).unwrap();
    pair.run(100);
    pair.a.shutdown(pair.now, client, How::Write).unwrap();
    pair.run(100);
    assert_eq!(pair.b.try_recv(pair.now, server), Ok(None));
    let new = pair.b.try_send(pair.now, server, Target::Only, Message::new(1, 0, "new"));
    assert_eq!(new, Err(SocketError::ShutDown));
    pair.b.try_send(pair.now, server, Target::Only, text("the end")).unwrap();
    pair.run(500);
    assert_eq!(read_all(&mut pair.a, pair.now, client), ["ppppppppppthe end", "<end>"]);
    assert_eq!((pair.a.stack().stats().associations, pair.b.stack().stats().associations), (0, 0));
}

#[test]
fn abandoning_an_unfinished_message_after_the_peers_shutdown_ends_the_association() {
    let (mut pair, _, client, server) = Pair::connected(SocketOptions::default());
    pair.b.try_send(pair.now, server, Target::Only, begun(10)).unwrap();
    pair.run(100);
    pair.a.shutdown(pair.now, client, How::Write).unwrap();
    pair.run(100);
    pair.b.abandon(pair.now, server).unwrap();
    pair.run(100);
    assert_eq!((pair.a.stack().stats().associations, pair.b.stack().stats().associations), (0, 0));
}

#[test]
fn a_restart_after_the_peers_shutdown_lets_us_send_again() {
    let (mut pair, server) = listening(all());
    let client = call_from_scratch(&mut pair, 1);
    pair.run(100);
    let assoc = pair.b.assocs_of(server)[0];
    // What B sends is lost, so B stays in SHUTDOWN-RECEIVED.
    pair.cut = Some(A);
    pair.b.try_send(pair.now, server, Target::Assoc(assoc), text("lost")).unwrap();
    pair.a.shutdown(pair.now, client, How::Write).unwrap();
    pair.run(50);
    assert_eq!(
        pair.b.stack().status(assoc).unwrap().state,
        crate::stats::AssocState::ShutdownReceived
    );
    pair.cut = None;
    call_from_scratch(&mut pair, 3);
    pair.run(200);
    pair.b.try_send(pair.now, server, Target::Assoc(assoc), text("welcome back")).unwrap();
    pair.b.abandon(pair.now, server).unwrap();
    pair.run(200);
    assert_eq!((pair.a.stack().stats().associations, pair.b.stack().stats().associations), (0, 0));
}

/// A user that has shut down and gone reads nothing. The peer can deliver all the same, and both
/// ends finish.
#[test]
fn data_that_arrives_after_the_last_reader_has_gone_closes_no_window() {
    let config = AssocConfig { recv_buffer: 8_000, ..AssocConfig::default() };
    let (mut pair, _, client, server) =
        Pair::connected(SocketOptions { config, ..SocketOptions::default() });
    for _ in 0..50 {
        pair.b
            .try_send(pair.now, server, Target::Only, Message::new(0, 0, vec![1; 2_000]))
            .unwrap();
    }
    pair.run(1_000);
    pair.a.shutdown(pair.now, client, How::Write).unwrap();
    pair.a.abandon(pair.now, client).unwrap();
    pair.run(10_000);
    assert_eq!((pair.a.stack().stats().associations, pair.b.stack().stats().associations), (0, 0));
    assert_eq!(read_all(&mut pair.b, pair.now, server), ["<end>"]);
}

/// A peer that answers but reads nothing cannot hold up a shutdown for ever.
#[test]
fn the_shutdown_guard_ends_a_shutdown_behind_a_closed_window() {
    let config = AssocConfig {
        recv_buffer: 8_000,
        rto_max: Duration::from_secs(2),
        shutdown_guard: Some(Duration::from_secs(60)),
        ..AssocConfig::default()
    };
    for reads in [false, true] {
        let options = SocketOptions { config: config.clone(), ..SocketOptions::default() };
        let (mut pair, _, client, server) = Pair::connected(options);
        for _ in 0..50 {
            pair.a
                .try_send(pair.now, client, Target::Only, Message::new(0, 0, vec![1; 2_000]))
                .unwrap();
        }
        pair.run(1_000);
        pair.a.shutdown(pair.now, client, How::Write).unwrap();
        let mut messages = 0;
        // A reader that takes a message every ten seconds needs eight minutes, and it gets them.
        for _ in 0..60 {
            pair.run(10_000);
            messages +=
                usize::from(reads && matches!(pair.b.try_recv(pair.now, server), Ok(Some(_))));
        }
        let assoc = pair.a.assocs_of(client)[0];
        let end = pair.a.end_reason(assoc).cloned();
        if reads {
            assert_eq!((messages, end), (50, Some(EndReason::Graceful)));
        } else {
            assert_eq!(end, Some(EndReason::Lost(crate::event::LossReason::ShutdownGuard)));
        }
    }
}
