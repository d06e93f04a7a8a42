//! Receiving from one stream, whatever waits on others.

use super::*;

fn send(pair: &mut Pair, from: SocketId, stream: u16, message: &str) {
    let message = Message { stream, ..text(message) };
    pair.a.try_send(pair.now, from, Target::Only, message).unwrap();
    pair.run(50);
}

fn take(pair: &mut Pair, server: SocketId, stream: u16) -> Result<Option<String>, SocketError> {
    let received = pair.b.try_recv_on(pair.now, server, stream)?;
    Ok(received.map(|received| String::from_utf8_lossy(&received.data).into_owned()))
}

fn given(message: &str) -> Result<Option<String>, SocketError> {
    Ok(Some(message.to_owned()))
}

#[test]
fn messages_of_other_streams_stay_in_their_order() {
    let (mut pair, _, client, server) = Pair::connected(SocketOptions::default());
    for (stream, message) in [(1, "a"), (2, "x"), (1, "b"), (2, "y"), (3, "z")] {
        send(&mut pair, client, stream, message);
    }
    assert_eq!(take(&mut pair, server, 2), given("x"));
    assert_eq!(take(&mut pair, server, 4), Err(SocketError::WouldBlock));
    assert_eq!(take(&mut pair, server, 2), given("y"));
    assert_eq!(read_all(&mut pair.b, pair.now, server), ["a", "b", "z"]);
    pair.a.shutdown(pair.now, client, How::Write).unwrap();
    pair.run(100);
    assert_eq!(take(&mut pair, server, 2), Ok(None));
}

/// News are told once until the reader has found nothing: also to a reader of one stream.
#[test]
fn what_comes_on_the_stream_is_told_while_another_is_not_read() {
    let (mut pair, _, client, server) = Pair::connected(SocketOptions::default());
    send(&mut pair, client, 1, "not read");
    assert_eq!(take(&mut pair, server, 2), Err(SocketError::WouldBlock));
    let _ = ready(&mut pair.b, server);
    send(&mut pair, client, 2, "x");
    assert!(ready(&mut pair.b, server).is_some_and(|ready| ready.readable));
    assert_eq!(take(&mut pair, server, 2), given("x"));
}

#[test]
fn notifications_keep_their_place_when_a_message_before_or_behind_them_is_taken() {
    for early in ["", "1", "2", "12"] {
        let (mut pair, _, client, server) = Pair::connected(all());
        let _ = read_all(&mut pair.b, pair.now, server); // that it is up
        send(&mut pair, client, 0, "old");
        send(&mut pair, client, 1, "one");
        pair.b.notify(pair.b.assocs_of(server)[0], Notification::Stopped);
        send(&mut pair, client, 2, "two");
        send(&mut pair, client, 0, "new");
        let mut expected = vec!["old", "one", "<Stopped>", "two", "new"];
        for (stream, message) in [(1, "one"), (2, "two")] {
            if early.contains(&stream.to_string()) {
                assert_eq!(take(&mut pair, server, stream), given(message));
                expected.retain(|entry| *entry != message);
            }
        }
        assert_eq!(read_all(&mut pair.b, pair.now, server), expected, "{early} taken early");
    }
}

#[test]
fn nothing_is_taken_from_behind_a_restart() {
    let mut pair = Pair::new();
    let listener = pair.b.open(Style::OneToOne, SocketOptions::default());
    pair.b.bind(listener, 7, &[]).unwrap();
    pair.b.listen(listener, 5).unwrap();
    let start_anew = |pair: &mut Pair, seed: u8| {
        pair.a = Sockets::new(StackConfig::default(), [seed; 32]);
        let client = pair.a.open(Style::OneToOne, SocketOptions::default());
        pair.a.bind(client, 5000, &[]).unwrap();
        pair.a.connect(pair.now, client, &peer_b(7)).unwrap();
        pair.run(100);
        client
    };
    let client = start_anew(&mut pair, 1);
    let server = pair.b.accept(pair.now, listener).unwrap();
    send(&mut pair, client, 1, "old 1");
    send(&mut pair, client, 2, "old 2");
    let client = start_anew(&mut pair, 3);
    send(&mut pair, client, 2, "new 2");
    assert_eq!((pair.b.restarts(server), pair.b.restarts_read(server)), (1, 0));

    assert_eq!(take(&mut pair, server, 2), given("old 2"));
    // The other stream has something of the old process yet.
    for _ in 0..2 {
        assert_eq!(take(&mut pair, server, 2), Err(SocketError::Restarted));
        assert_eq!(pair.b.restarts_read(server), 0);
    }
    assert_eq!(take(&mut pair, server, 1), given("old 1"));
    assert_eq!(take(&mut pair, server, 1), Err(SocketError::Restarted));
    assert_eq!((pair.b.restarts(server), pair.b.restarts_read(server)), (1, 1));
    assert_eq!(take(&mut pair, server, 1), Err(SocketError::WouldBlock));
    assert_eq!(take(&mut pair, server, 2), given("new 2"));
}

#[test]
fn it_is_for_one_to_one_sockets() {
    let mut pair = Pair::new();
    let many = pair.b.open(Style::OneToMany, SocketOptions::default());
    assert!(matches!(pair.b.try_recv_on(pair.now, many, 0), Err(SocketError::NotSupported(_))));
    let single = pair.b.open(Style::OneToOne, SocketOptions::default());
    assert_eq!(pair.b.try_recv_on(pair.now, single, 0), Err(SocketError::NotConnected));
}
