//! Shutting down, aborting, closing, lingering, autoclose.

use super::*;
use crate::event::LossReason;
use crate::stats::AssocState;

fn lost_by_peer(reason: &str) -> EndReason {
    EndReason::Lost(LossReason::PeerAbort {
        cause: 12,
        info: Bytes::copy_from_slice(reason.as_bytes()),
    })
}

#[test]
fn closing_is_graceful_and_delivers_what_is_queued() {
    let (mut pair, _listener, client, server) = Pair::connected(SocketOptions::default());
    for _ in 0..50 {
        pair.a.try_send(pair.now, client, Target::Only, text("payload")).unwrap();
    }
    pair.a.close(pair.now, client).unwrap();
    pair.run(2_000);
    let seen = read_all(&mut pair.b, pair.now, server);
    assert_eq!(seen.iter().filter(|s| *s == "payload").count(), 50);
    assert_eq!(seen.last().map(String::as_str), Some("<end>"));
    assert_eq!((pair.a.stack().stats().associations, pair.b.stack().stats().associations), (0, 0));
    assert_eq!(pair.b.take_error(server), None);
}

#[test]
fn closing_with_unread_data_aborts() {
    let (mut pair, _listener, client, server) = Pair::connected(SocketOptions::default());
    pair.b.try_send(pair.now, server, Target::Only, text("unread")).unwrap();
    pair.run(100);
    pair.a.close(pair.now, client).unwrap();
    pair.run(100);
    let ready = ready(&mut pair.b, server).unwrap();
    assert!(ready.readable && ready.ended);
    let reset = SocketError::Ended(lost_by_peer(""));
    assert_eq!(pair.b.try_recv(pair.now, server), Err(reset));
    assert_eq!(pair.b.try_recv(pair.now, server), Ok(None));
    let send = pair.b.try_send(pair.now, server, Target::Only, text("late"));
    assert_eq!(send, Err(SocketError::ShutDown));
}

#[test]
fn linger_zero_aborts() {
    let (mut pair, _listener, client, server) = Pair::connected(SocketOptions::default());
    pair.a.set_linger(client, Linger::Abort).unwrap();
    pair.a.close(pair.now, client).unwrap();
    pair.run(100);
    assert_eq!(pair.b.take_error(server), Some(lost_by_peer("")));
}

#[test]
fn an_abort_carries_its_reason_after_the_data_that_came_before() {
    let (mut pair, _listener, client, server) = Pair::connected(all());
    pair.a.try_send(pair.now, client, Target::Only, text("last words")).unwrap();
    pair.run(50);
    let assoc = pair.a.assocs_of(client)[0];
    pair.a.abort_assoc(pair.now, client, assoc, Bytes::from_static(b"tired")).unwrap();
    pair.run(100);
    let seen = read_all(&mut pair.b, pair.now, server);
    let error = "<error: the peer aborted the association: \"tired\">";
    assert_eq!(seen, ["<Up>", "last words", "<Lost>", error, "<end>"]);
    let local = EndReason::Lost(LossReason::LocalAbort);
    assert_eq!(pair.a.end_reason(assoc), Some(&local));
    assert_eq!(pair.a.take_error(client), None);
}

#[test]
fn an_abandoned_socket_aborts_what_is_in_use_and_lets_a_shutdown_finish() {
    let (mut pair, _listener, client, server) = Pair::connected(SocketOptions::default());
    pair.a.try_send(pair.now, client, Target::Only, text("word")).unwrap();
    pair.a.shutdown(pair.now, client, How::Write).unwrap();
    pair.a.abandon(pair.now, client).unwrap();
    pair.run(1_000);
    assert_eq!(read_all(&mut pair.b, pair.now, server), ["word", "<end>"]);

    let (mut pair, _listener, client, server) = Pair::connected(SocketOptions::default());
    pair.a.abandon(pair.now, client).unwrap();
    pair.run(100);
    assert_eq!(pair.b.take_error(server), Some(lost_by_peer("")));
}

#[test]
fn a_socket_abandoned_after_the_peer_shut_down_does_not_abort() {
    let (mut pair, _listener, client, server) = Pair::connected(all());
    pair.b.try_send(pair.now, server, Target::Only, text("in flight")).unwrap();
    pair.a.shutdown(pair.now, client, How::Write).unwrap();
    for _ in 0..100 {
        pair.run(1);
        let seen = read_all(&mut pair.b, pair.now, server);
        if seen.iter().any(|s| s == "<end>") {
            break;
        }
    }
    pair.b.abandon(pair.now, server).unwrap();
    pair.run(1_000);
    let seen = read_all(&mut pair.a, pair.now, client);
    assert!(seen.contains(&"<ShutdownComplete>".to_owned()), "{seen:?}");
    assert!(seen.contains(&"in flight".to_owned()), "{seen:?}");
}

#[test]
fn closing_a_listener_aborts_only_what_was_not_accepted() {
    let (mut pair, listener, client, server) = Pair::connected(SocketOptions::default());
    let late = pair.a.open(Style::OneToOne, SocketOptions::default());
    pair.a.connect(pair.now, late, &peer_b(7)).unwrap();
    pair.run(100);
    assert_eq!(pair.a.connect_result(late), Ok(()));
    pair.b.close(pair.now, listener).unwrap();
    pair.run(100);
    assert!(matches!(pair.a.take_error(late), Some(EndReason::Lost(LossReason::PeerAbort { .. }))));
    pair.a.try_send(pair.now, client, Target::Only, text("on")).unwrap();
    pair.run(100);
    assert_eq!(read_all(&mut pair.b, pair.now, server), ["on"]);
    assert_eq!(pair.b.stack().stats().associations, 1);
}

#[test]
fn an_association_that_ended_before_accept_leaves_nothing_behind() {
    let (mut pair, listener, _client, _server) = Pair::connected(SocketOptions::default());
    let hasty = pair.a.open(Style::OneToOne, SocketOptions::default());
    pair.a.connect(pair.now, hasty, &peer_b(7)).unwrap();
    pair.run(100);
    let assoc = pair.a.assocs_of(hasty)[0];
    pair.a.abort_assoc(pair.now, hasty, assoc, Bytes::new()).unwrap();
    pair.run(100);
    if let Ok(socket) = pair.b.accept(pair.now, listener) {
        assert!(matches!(pair.b.try_recv(pair.now, socket), Err(SocketError::Ended(_))));
        pair.b.close(pair.now, socket).unwrap();
    }
    assert_eq!(pair.b.assocs.len(), 1, "no record of it is left");
}

/// A client that connects, sends a message and then does `how`.
fn visit(pair: &mut Pair, message: &'static str, how: fn(&mut Pair, SocketId)) {
    let client = pair.a.open(Style::OneToOne, SocketOptions::default());
    pair.a.connect(pair.now, client, &peer_b(7)).unwrap();
    pair.a.try_send(pair.now, client, Target::Only, text(message)).unwrap();
    pair.run(100);
    assert_eq!(pair.a.connect_result(client), Ok(()), "{message}");
    how(pair, client);
    pair.run(100);
}

fn abort(pair: &mut Pair, client: SocketId) {
    let assoc = pair.a.assocs_of(client)[0];
    pair.a.abort_assoc(pair.now, client, assoc, Bytes::new()).unwrap();
}

fn shut_down(pair: &mut Pair, client: SocketId) {
    pair.a.shutdown(pair.now, client, How::Write).unwrap();
}

#[test]
fn ended_associations_do_not_fill_the_backlog() {
    let mut pair = Pair::new();
    let listener = pair.b.open(Style::OneToOne, SocketOptions::default());
    pair.b.bind(listener, 7, &[]).unwrap();
    pair.b.listen(listener, 3).unwrap();
    for message in ["1", "2", "3", "4"] {
        visit(&mut pair, message, abort);
    }
    visit(&mut pair, "5", shut_down);
    for message in ["6", "7"] {
        visit(&mut pair, message, |_, _| {});
    }
    // The oldest have made room, but no more of them than necessary.
    let mut left = Vec::new();
    while let Ok(socket) = pair.b.accept(pair.now, listener) {
        left.extend(read_all(&mut pair.b, pair.now, socket));
        pair.b.close(pair.now, socket).unwrap();
    }
    assert_eq!(left, ["5", "<end>", "6", "7"]);
    assert_eq!(pair.b.assocs.len(), 0, "no records of the others are left");

    // Living associations fill the backlog.
    (0..3).for_each(|_| visit(&mut pair, "living", |_, _| {}));
    let refused = pair.a.open(Style::OneToOne, SocketOptions::default());
    pair.a.connect(pair.now, refused, &peer_b(7)).unwrap();
    pair.run(100);
    assert!(matches!(pair.a.connect_result(refused), Err(SocketError::Ended(_))));
}

#[test]
fn a_full_stack_drops_unaccepted_ended_associations_to_make_room() {
    let mut pair = Pair::new();
    let config = StackConfig { max_associations: 2, ..StackConfig::default() };
    pair.b = Sockets::new(config, [2; 32]);
    let listener = pair.b.open(Style::OneToOne, SocketOptions::default());
    pair.b.bind(listener, 7, &[]).unwrap();
    pair.b.listen(listener, 100).unwrap();
    for _ in 0..10 {
        visit(&mut pair, "hasty", abort);
    }
    visit(&mut pair, "good", |_, _| {});
}

#[test]
fn a_stopped_listener_wakes_waiters_and_still_gives_what_came() {
    let mut pair = Pair::new();
    let listener = pair.b.open(Style::OneToOne, SocketOptions::default());
    pair.b.bind(listener, 7, &[]).unwrap();
    pair.b.listen(listener, 5).unwrap();
    visit(&mut pair, "before", |_, _| {});
    while pair.b.poll_ready().is_some() {}
    pair.b.listen(listener, 0).unwrap();
    let ready = pair.b.poll_ready().unwrap();
    assert!(ready.socket == listener && ready.acceptable);
    let server = pair.b.accept(pair.now, listener).unwrap();
    assert_eq!(read_all(&mut pair.b, pair.now, server), ["before"]);
    assert!(matches!(pair.b.accept(pair.now, listener), Err(SocketError::Invalid(_))));
}

#[test]
fn a_read_shutdown_drops_what_arrives() {
    let (mut pair, _listener, client, server) = Pair::connected(SocketOptions::default());
    pair.a.shutdown(pair.now, client, How::Read).unwrap();
    assert_eq!(pair.a.try_recv(pair.now, client), Ok(None));
    for _ in 0..400 {
        // This is more than the receive buffer holds, but the buffer does not fill up.
        while pair
            .b
            .try_send(pair.now, server, Target::Only, Message::new(0, 0, vec![0; 1000]))
            .is_ok()
        {}
        pair.run(10);
    }
    let received = pair.a.stack().assoc_stats(pair.a.assocs_of(client)[0]).unwrap();
    assert!(received.data_chunks_received > 300, "{received:?}");
    assert_eq!(pair.a.try_recv(pair.now, client), Ok(None));
}

#[test]
fn shutting_down_before_reading_leaves_the_data_to_read() {
    let (mut pair, _listener, client, server) = Pair::connected(SocketOptions::default());
    pair.b.try_send(pair.now, server, Target::Only, text("one")).unwrap();
    pair.run(100);
    pair.a.shutdown(pair.now, client, How::Write).unwrap();
    pair.a.shutdown(pair.now, client, How::Write).unwrap();
    let refused = pair.a.try_send(pair.now, client, Target::Only, text("no more"));
    assert_eq!(refused, Err(SocketError::ShutDown));
    pair.run(100);
    assert_eq!(read_all(&mut pair.a, pair.now, client), ["one", "<end>"]);
}

#[test]
fn autoclose_ends_what_is_idle_and_nothing_else() {
    let mut pair = Pair::new();
    let server = pair.b.open(Style::OneToMany, SocketOptions::default());
    pair.b.bind(server, 7, &[]).unwrap();
    pair.b.listen(server, 1).unwrap();
    pair.b.set_autoclose(server, Some(Duration::from_secs(10))).unwrap();
    let clients: Vec<SocketId> = (0..2)
        .map(|_| {
            let client = pair.a.open(Style::OneToOne, SocketOptions::default());
            pair.a.connect(pair.now, client, &peer_b(7)).unwrap();
            client
        })
        .collect();
    pair.run(100);
    for _ in 0..8 {
        pair.run(2_000);
        pair.a.try_send(pair.now, clients[0], Target::Only, text("busy")).unwrap();
    }
    assert_eq!(pair.a.try_recv(pair.now, clients[1]), Ok(None), "the idle one was shut down");
    assert_eq!(pair.a.try_recv(pair.now, clients[0]), Err(SocketError::WouldBlock));
    assert_eq!(read_all(&mut pair.b, pair.now, server).len(), 7);
    pair.run(20_000);
    assert_eq!(pair.a.try_recv(pair.now, clients[0]), Ok(None));
    let _ = read_all(&mut pair.b, pair.now, server);
    assert_eq!(pair.b.assocs_of(server), []);
    assert_eq!(pair.b.assocs.len(), 0);

    let single = pair.b.open(Style::OneToOne, SocketOptions::default());
    assert!(matches!(pair.b.set_autoclose(single, None), Err(SocketError::NotSupported(_))));
}

#[test]
fn a_dead_peer_is_detected_and_reported() {
    let (mut pair, _listener, client, _server) = Pair::connected(all());
    assert_eq!(read_all(&mut pair.a, pair.now, client), ["<Up>"]);
    pair.a.try_send(pair.now, client, Target::Only, text("anybody there?")).unwrap();
    pair.cut = Some(B);
    pair.run(1_200_000);
    let seen = read_all(&mut pair.a, pair.now, client);
    assert!(seen.contains(&"<SendFailed>".to_owned()), "{seen:?}");
    assert!(seen.contains(&"<PeerAddrChange>".to_owned()), "{seen:?}");
    assert!(
        seen.ends_with(&[
            "<error: the peer does not answer any more>".to_owned(),
            "<end>".to_owned()
        ]),
        "{seen:?}"
    );
}

#[test]
fn everything_can_be_shut_down_or_aborted_at_once() {
    let (mut pair, _listener, client, server) = Pair::connected(SocketOptions::default());
    let waiting = pair.a.open(Style::OneToOne, SocketOptions::default());
    pair.a.connect(pair.now, waiting, &peer_b(7)).unwrap();
    pair.run(100);
    pair.b.shutdown_all(pair.now);
    pair.run(1_000);
    assert_eq!(pair.b.stack().stats().associations, 0);
    assert_eq!(pair.a.try_recv(pair.now, client), Ok(None));
    assert_eq!(pair.a.try_recv(pair.now, waiting), Ok(None));
    assert_eq!(pair.b.try_recv(pair.now, server), Ok(None));

    let (mut pair, _listener, client, server) = Pair::connected(SocketOptions::default());
    pair.b.abort_all(pair.now, Bytes::from_static(b"bye"));
    pair.run(100);
    assert_eq!(pair.a.take_error(client), Some(lost_by_peer("bye")));
    assert_eq!(pair.b.stack().stats().associations, 0);
    let status = pair.b.stack().status(pair.b.assocs_of(server)[0]);
    assert!(status.is_none_or(|s| s.state == AssocState::Closed));
}
