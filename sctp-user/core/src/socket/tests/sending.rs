//! What a sender can choose besides the bytes of a message (parts, defaults, all associations at
//! once), and looking at the next message.

use super::*;
use crate::addr::{NextInfo, SendOptions};
use crate::config::AssocConfig;
use crate::error::SendError;
use crate::event::LossReason;

fn part(stream: u16, text: &'static [u8]) -> Message {
    let options = SendOptions { more_follows: true, ..SendOptions::default() };
    Message { options, ..Message::new(stream, 9, text) }
}

fn last(stream: u16, text: &'static [u8]) -> Message {
    Message::new(stream, 9, text)
}

/// The messages that wait, as (stream, text). A `+` marks a part after which more follows.
fn messages(end: &mut Sockets, now: Time, socket: SocketId) -> Vec<(u16, String)> {
    let mut all = Vec::new();
    while let Ok(Some((_, Incoming::Message(m)))) = end.try_recv(now, socket) {
        let more = if m.end_of_record { "" } else { "+" };
        all.push((m.stream, format!("{}{more}", String::from_utf8_lossy(&m.data))));
    }
    all
}

#[test]
fn a_message_given_in_parts_arrives_as_one() {
    let (mut pair, _, client, server) = Pair::connected(SocketOptions::default());
    for message in [part(1, b"one "), last(2, b"other"), part(1, b"message "), last(1, b"in parts")]
    {
        pair.a.try_send(pair.now, client, Target::Only, message).unwrap();
    }
    pair.run(500);
    let expected = [(1, "one message in parts".to_owned()), (2, "other".to_owned())];
    assert_eq!(messages(&mut pair.b, pair.now, server), expected);
}

#[test]
fn parts_leave_at_once_and_other_messages_wait_for_the_last_part() {
    let (mut pair, _, client, server) = Pair::connected(SocketOptions::default());
    pair.a.try_send(pair.now, client, Target::Only, part(1, b"begin")).unwrap();
    pair.run(300);
    let assoc = pair.a.assocs_of(client)[0];
    let status = pair.a.stack().status(assoc).unwrap();
    assert_eq!(
        (status.send_buffered, status.unacked_chunks),
        (0, 0),
        "the part has left and was acknowledged"
    );
    pair.a.try_send(pair.now, client, Target::Only, last(2, b"waits")).unwrap();
    pair.a.try_send(pair.now, client, Target::Only, part(1, b", middle")).unwrap();
    pair.run(300);
    assert!(messages(&mut pair.b, pair.now, server).is_empty());
    assert_eq!(pair.a.stack().status(assoc).unwrap().send_buffered, 5);
    pair.a.try_send(pair.now, client, Target::Only, last(1, b", end")).unwrap();
    pair.run(300);
    let expected = [(1, "begin, middle, end".to_owned()), (2, "waits".to_owned())];
    assert_eq!(messages(&mut pair.b, pair.now, server), expected);
}

#[test]
fn a_message_in_parts_may_be_larger_than_the_send_buffer() {
    let config = AssocConfig { send_buffer: 4096, ..AssocConfig::default() };
    let (mut pair, _, client, server) =
        Pair::connected(SocketOptions { config, ..SocketOptions::default() });
    let data: Vec<u8> = (0..100_000u32).map(|n| n as u8).collect();
    let mut parts = data.chunks(3000).peekable();
    while let Some(chunk) = parts.next() {
        let options =
            SendOptions { more_follows: parts.peek().is_some(), ..SendOptions::default() };
        let message = Message { options, ..Message::new(0, 0, chunk.to_vec()) };
        loop {
            match pair.a.try_send(pair.now, client, Target::Only, message.clone()) {
                Ok(_) => break,
                Err(why) => assert_eq!(why, SocketError::WouldBlock),
            }
            pair.run(10);
        }
    }
    pair.run(1000);
    // The receiver may hand it out in parts, too.
    let (mut got, mut ends) = (Vec::new(), 0);
    while let Ok(Some((_, Incoming::Message(m)))) = pair.b.try_recv(pair.now, server) {
        got.extend_from_slice(&m.data);
        ends += usize::from(m.end_of_record);
        assert_eq!(m.end_of_record, got.len() == data.len());
    }
    assert_eq!((ends, got == data), (1, true));
}

#[test]
fn parts_must_agree_in_ppid_and_order() {
    let (mut pair, _, client, server) = Pair::connected(SocketOptions::default());
    let mut send = |message| pair.a.try_send(pair.now, client, Target::Only, message).map(drop);
    send(part(1, b"a")).unwrap();
    let differ = Err(SocketError::Message(SendError::PartsDiffer));
    assert_eq!(send(Message::new(1, 8, "b")), differ);
    let unordered = SendOptions { unordered: true, ..SendOptions::default() };
    assert_eq!(send(Message { options: unordered, ..last(1, b"b") }), differ);
    assert_eq!(send(last(1, b"")), Err(SocketError::Message(SendError::Empty)));
    send(last(1, b"b")).unwrap();
    send(Message::new(1, 8, "next")).unwrap();
    let all = vec![part(1, b"c"), Message::new(1, 8, "d")];
    assert_eq!(pair.a.try_send_unit(pair.now, client, Target::Only, all).map(drop), differ);
    pair.run(300);
    let expected = [(1, "ab".to_owned()), (1, "next".to_owned())];
    assert_eq!(messages(&mut pair.b, pair.now, server), expected);
}

#[test]
fn a_shutdown_in_the_middle_of_a_message_aborts() {
    let (mut pair, _, client, server) = Pair::connected(SocketOptions::default());
    pair.a.try_send(pair.now, client, Target::Only, part(1, b"begin")).unwrap();
    pair.a.close(pair.now, client).unwrap();
    pair.run(300);
    let Some(EndReason::Lost(LossReason::PeerAbort { cause: 12, info })) =
        pair.b.take_error(server)
    else {
        panic!("the peer sends an ABORT")
    };
    assert_eq!(&info[..], b"a message was left incomplete");
}

#[test]
fn fragmentation_can_be_switched_off() {
    let config = AssocConfig { disable_fragments: true, ip_mtu: 1000, ..AssocConfig::default() };
    let (mut pair, _, client, server) =
        Pair::connected(SocketOptions { config, ..SocketOptions::default() });
    let assoc = pair.a.assocs_of(client)[0];
    let most = pair.a.stack().status(assoc).unwrap().fragmentation_point as usize;
    let mut send = |len: usize| {
        pair.a.try_send(pair.now, client, Target::Only, Message::new(0, 0, vec![1; len])).map(drop)
    };
    assert_eq!(send(most + 1), Err(SocketError::Message(SendError::NeedsFragments { most })));
    send(most).unwrap();
    pair.run(300);
    assert_eq!(messages(&mut pair.b, pair.now, server).len(), 1);
}

#[test]
fn defaults_fill_in_what_the_sender_leaves_open() {
    let (mut pair, _, client, server) = Pair::connected(SocketOptions::default());
    let assoc = pair.a.assocs_of(client)[0];
    let of_socket = SendDefaults { stream: 2, ppid: 20, ..SendDefaults::default() };
    pair.a.set_send_defaults(client, None, of_socket).unwrap();
    assert_eq!(pair.a.send_defaults(client, Some(assoc)).unwrap(), of_socket);
    let own = SendDefaults { stream: 3, ppid: 30, ..SendDefaults::default() };
    pair.a.set_send_defaults(client, Some(assoc), own).unwrap();
    assert_eq!(pair.a.send_defaults(client, None).unwrap(), of_socket);
    let message = pair.a.send_defaults(client, Some(assoc)).unwrap().message("text");
    assert_eq!((message.stream, message.ppid), (3, 30));
    pair.a.try_send(pair.now, client, Target::Only, message).unwrap();
    pair.run(300);
    assert_eq!(messages(&mut pair.b, pair.now, server), [(3, "text".to_owned())]);
}

#[test]
fn a_message_to_all_associations() {
    let mut pair = Pair::new();
    let hub = pair.b.open(Style::OneToMany, SocketOptions::default());
    pair.b.bind(hub, 7, &[]).unwrap();
    pair.b.listen(hub, 10).unwrap();
    let clients: Vec<SocketId> = (0..3)
        .map(|_| {
            let client = pair.a.open(Style::OneToOne, SocketOptions::default());
            pair.a.connect(pair.now, client, &peer_b(7)).unwrap();
            client
        })
        .collect();
    pair.run(100);
    let full = pair.b.assocs_of(hub)[1];
    let large = Message::new(0, 0, vec![1; 300_000]);
    pair.b.try_send(pair.now, hub, Target::Assoc(full), large).unwrap();
    let sent = pair.b.try_send_to_all(pair.now, hub, &text("all")).unwrap();
    let full_one = |(id, result): &(AssocId, Result<(), SocketError>)| {
        *result == if *id == full { Err(SocketError::WouldBlock) } else { Ok(()) }
    };
    assert!(sent.len() == 3 && sent.iter().all(full_one), "{sent:?}");
    pair.run(2000);
    let got = |m: &(u16, String)| m.1 == "all";
    let count =
        clients.iter().filter(|c| messages(&mut pair.a, pair.now, **c).iter().any(got)).count();
    assert_eq!(count, 2);
    let refused = pair.a.try_send_to_all(pair.now, clients[0], &text("no"));
    assert!(matches!(refused, Err(SocketError::NotSupported(_))));
}

#[test]
fn the_next_message_can_be_looked_at() {
    let (mut pair, _, client, server) = Pair::connected(all());
    let assoc = pair.b.assocs_of(server)[0];
    assert_eq!(pair.b.next_info(server), Some((assoc, Next::Notification)));
    read_all(&mut pair.b, pair.now, server);
    assert_eq!(pair.b.next_info(server), None);
    pair.a.try_send(pair.now, client, Target::Only, Message::new(4, 5, "12345")).unwrap();
    let unordered = SendOptions { unordered: true, ..SendOptions::default() };
    let second = Message { options: unordered, ..Message::new(6, 7, "12") };
    pair.a.try_send(pair.now, client, Target::Only, second).unwrap();
    pair.run(300);
    let info = |stream, ppid, len, unordered| {
        Next::Message(NextInfo { stream, ppid, len, unordered, end_of_record: true })
    };
    assert_eq!(pair.b.next_info(server), Some((assoc, info(4, 5, 5, false))));
    pair.b.try_recv(pair.now, server).unwrap();
    assert_eq!(pair.b.next_info(server), Some((assoc, info(6, 7, 2, true))));
    pair.b.try_recv(pair.now, server).unwrap();
    assert_eq!(pair.b.next_info(server), None);
}

#[test]
fn an_association_has_notifications_of_its_own() {
    let (mut pair, _, client, server) = Pair::connected(SocketOptions::default());
    let assoc = pair.b.assocs_of(server)[0];
    let dry = Subscriptions { sender_dry: true, ..Subscriptions::NONE };
    pair.b.set_assoc_subscriptions(server, assoc, dry).unwrap();
    assert_eq!(read_all(&mut pair.b, pair.now, server), ["<SenderDry>"]);
    let shutdown = Subscriptions { shutdown: true, ..Subscriptions::NONE };
    pair.b.set_assoc_subscriptions(server, assoc, shutdown).unwrap();
    assert_eq!(pair.b.assoc_subscriptions(server, assoc), Ok(shutdown));
    assert_eq!(pair.b.options(server).unwrap().subscriptions, Subscriptions::NONE);
    pair.a.shutdown(pair.now, client, How::Write).unwrap();
    pair.run(300);
    assert_eq!(read_all(&mut pair.b, pair.now, server), ["<PeerShutdown>", "<end>"]);
    pair.b.set_subscriptions(server, Subscriptions::NONE).unwrap();
    assert_eq!(pair.b.assoc_subscriptions(server, assoc), Ok(Subscriptions::NONE));
}

#[test]
fn implicit_setup_takes_settings_and_an_early_shutdown_delivers_first() {
    let mut pair = Pair::new();
    let listener = pair.b.open(Style::OneToOne, SocketOptions::default());
    pair.b.bind(listener, 7, &[]).unwrap();
    pair.b.listen(listener, 5).unwrap();
    let many = pair.a.open(Style::OneToMany, all());
    let config = AssocConfig { out_streams: 3, max_in_streams: 4, ..AssocConfig::default() };
    let to = Target::NewPeer(&peer_b(7), &config);
    let assoc = pair.a.try_send(pair.now, many, to, text("first")).unwrap();
    assert_eq!(
        pair.a.try_send(pair.now, many, Target::Peer(&peer_b(7)), text("second")),
        Ok(assoc)
    );
    pair.a.shutdown_assoc(pair.now, many, assoc).unwrap();
    pair.run(1000);
    let server = pair.b.accept(pair.now, listener).unwrap();
    let there = pair.b.assocs_of(server)[0];
    assert_eq!(pair.b.stack().status(there).unwrap().inbound_streams, 3);
    assert_eq!(read_all(&mut pair.b, pair.now, server), ["first", "second", "<end>"]);
    let seen = read_all(&mut pair.a, pair.now, many);
    assert_eq!(seen, ["<Up>", "<SenderDry>", "<ShutdownComplete>"]);
}
