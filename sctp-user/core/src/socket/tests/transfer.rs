//! Sending and receiving.

use super::*;
use crate::config::AssocConfig;
use crate::error::SendError;

#[test]
fn messages_and_notifications_come_in_order() {
    let (mut pair, _listener, client, server) = Pair::connected(all());
    for word in ["one", "two", "three"] {
        pair.a.try_send(pair.now, client, Target::Only, text(word)).unwrap();
    }
    pair.a.shutdown(pair.now, client, How::Write).unwrap();
    pair.run(100);
    let seen = read_all(&mut pair.b, pair.now, server);
    assert_eq!(
        seen,
        ["<Up>", "one", "two", "three", "<PeerShutdown>", "<ShutdownComplete>", "<end>"]
    );
    let seen = read_all(&mut pair.a, pair.now, client);
    assert_eq!(seen, ["<Up>", "<SenderDry>", "<ShutdownComplete>", "<end>"]);
}

#[test]
fn only_subscribed_notifications_come() {
    let (mut pair, _listener, client, server) = Pair::connected(SocketOptions::default());
    pair.a.try_send(pair.now, client, Target::Only, text("word")).unwrap();
    pair.a.shutdown(pair.now, client, How::Write).unwrap();
    pair.run(100);
    assert_eq!(read_all(&mut pair.b, pair.now, server), ["word", "<end>"]);
    assert_eq!(read_all(&mut pair.a, pair.now, client), ["<end>"]);
}

#[test]
fn sender_dry_comes_at_once_when_there_is_nothing_to_send() {
    let (mut pair, _listener, client, _server) = Pair::connected(SocketOptions::default());
    let dry = Subscriptions { sender_dry: true, ..Subscriptions::NONE };
    pair.a.set_subscriptions(client, dry).unwrap();
    assert_eq!(read_all(&mut pair.a, pair.now, client), ["<SenderDry>"]);
    pair.a.try_send(pair.now, client, Target::Only, text("word")).unwrap();
    assert_eq!(read_all(&mut pair.a, pair.now, client), [""; 0]);
    pair.run(500);
    assert_eq!(read_all(&mut pair.a, pair.now, client), ["<SenderDry>"]);
}

#[test]
fn a_full_send_buffer_blocks_until_the_peer_has_taken_some() {
    let config = AssocConfig { send_buffer: 20_000, recv_buffer: 20_000, ..AssocConfig::default() };
    let options = SocketOptions { config, ..SocketOptions::default() };
    let (mut pair, _listener, client, server) = Pair::connected(options);
    while pair.a.poll_ready().is_some() {}
    let kilobyte = Message::new(0, 0, vec![1u8; 1000]);
    let mut sent = 0;
    let mut received = 0;
    while sent < 200 {
        match pair.a.try_send(pair.now, client, Target::Only, kilobyte.clone()) {
            Ok(_) => sent += 1,
            Err(SocketError::WouldBlock) => {
                let before = received;
                // Without a reader at first, the window closes and nothing more leaves.
                for _ in 0..100 {
                    pair.run(100);
                    received += read_all(&mut pair.b, pair.now, server).len();
                    if ready(&mut pair.a, client).is_some_and(|r| r.writable) {
                        break;
                    }
                }
                assert!(received > before, "the sender is told when there is room");
            }
            Err(why) => panic!("{why}"),
        }
    }
    pair.run(2_000);
    received += read_all(&mut pair.b, pair.now, server).len();
    pair.run(2_000);
    received += read_all(&mut pair.b, pair.now, server).len();
    assert_eq!(received, 200);
}

#[test]
fn several_messages_are_taken_all_or_none() {
    let (mut pair, _listener, client, server) = Pair::connected(SocketOptions::default());
    let bad = vec![text("a"), Message::new(60_000, 0, "b")];
    let refused = pair.a.try_send_unit(pair.now, client, Target::Only, bad);
    assert!(
        matches!(
            refused,
            Err(SocketError::Message(SendError::InvalidStream { stream: 60_000, .. }))
        ),
        "{refused:?}"
    );
    pair.a.try_send_unit(pair.now, client, Target::Only, vec![text("c"), text("d")]).unwrap();
    pair.run(100);
    assert_eq!(read_all(&mut pair.b, pair.now, server), ["c", "d"]);
}

#[test]
fn implicit_setup_reuses_the_association_with_that_peer() {
    let mut pair = Pair::new();
    let server = pair.b.open(Style::OneToMany, SocketOptions::default());
    pair.b.bind(server, 7, &[]).unwrap();
    pair.b.listen(server, 1).unwrap();
    let many = pair.a.open(Style::OneToMany, SocketOptions::default());
    let peer = peer_b(7);
    let first = pair.a.try_send(pair.now, many, Target::Peer(&peer), text("one")).unwrap();
    pair.run(100);
    let second = pair.a.try_send(pair.now, many, Target::Peer(&peer), text("two")).unwrap();
    pair.run(100);
    assert_eq!(first, second);
    assert_eq!(read_all(&mut pair.b, pair.now, server), ["one", "two"]);
    let refused = pair.a.try_send(pair.now, many, Target::Only, text("to whom?"));
    assert!(matches!(refused, Err(SocketError::Invalid(_))), "{refused:?}");
    let unknown = pair.b.assocs_of(server)[0];
    pair.b.abort_assoc(pair.now, server, unknown, Bytes::new()).unwrap();
    assert_eq!(read_all(&mut pair.b, pair.now, server), [""; 0]);
    let gone = pair.b.try_send(pair.now, server, Target::Assoc(unknown), text("late"));
    assert_eq!(gone, Err(SocketError::NotConnected));
}

#[test]
fn associations_of_one_socket_take_turns() {
    let mut pair = Pair::new();
    let server = pair.b.open(Style::OneToMany, SocketOptions::default());
    pair.b.bind(server, 7, &[]).unwrap();
    pair.b.listen(server, 1).unwrap();
    for name in ["x", "y"] {
        let client = pair.a.open(Style::OneToOne, SocketOptions::default());
        pair.a.connect(pair.now, client, &peer_b(7)).unwrap();
        pair.run(100);
        for _ in 0..3 {
            pair.a.try_send(pair.now, client, Target::Only, text(name)).unwrap();
        }
    }
    pair.run(100);
    assert_eq!(read_all(&mut pair.b, pair.now, server), ["x", "y", "x", "y", "x", "y"]);
}

#[test]
fn nothing_mixes_with_a_message_in_parts_when_interleaving_is_off() {
    let mut pair = Pair::new();
    let config = AssocConfig {
        partial_delivery_point: Some(4_000),
        recv_buffer: 64_000,
        ..AssocConfig::default()
    };
    let options =
        SocketOptions { config, interleave: Interleave::None, ..SocketOptions::default() };
    let server = pair.b.open(Style::OneToMany, options);
    pair.b.bind(server, 7, &[]).unwrap();
    pair.b.listen(server, 1).unwrap();
    let clients: Vec<SocketId> = (0..2)
        .map(|_| {
            let client = pair.a.open(Style::OneToOne, SocketOptions::default());
            pair.a.connect(pair.now, client, &peer_b(7)).unwrap();
            pair.run(100);
            client
        })
        .collect();
    let large = Message::new(0, 0, vec![b'L'; 200_000]);
    pair.a.try_send(pair.now, clients[0], Target::Only, large).unwrap();
    let mut order = Vec::new();
    let mut bytes = 0;
    for _ in 0..2_000 {
        pair.run(10);
        if bytes > 0 && order.len() == 1 {
            // The first part has been read. Now the other association has something, too.
            let _ = pair.a.try_send(pair.now, clients[1], Target::Only, text("small"));
        }
        while let Ok(Some((_, Incoming::Message(part)))) = pair.b.try_recv(pair.now, server) {
            order.push((part.data[0], part.end_of_record));
            if part.data[0] == b'L' {
                bytes += part.data.len();
            }
        }
        if bytes == 200_000 && order.iter().any(|(kind, _)| *kind == b's') {
            break;
        }
    }
    assert_eq!(bytes, 200_000);
    let parts = order.iter().position(|(kind, end)| *kind == b'L' && *end).unwrap();
    assert!(parts > 0, "the message came in parts");
    assert!(order[..parts].iter().all(|(kind, end)| *kind == b'L' && !end), "{order:?}");
}
