//! A peer whose process restarts: where and how the reader here learns of it.

use super::*;

/// A client on A, and the accepted association on B.
fn connected(options: SocketOptions) -> (Pair, SocketId, SocketId) {
    let mut pair = Pair::new();
    let listener = pair.b.open(Style::OneToOne, options);
    pair.b.bind(listener, 7, &[]).unwrap();
    pair.b.listen(listener, 5).unwrap();
    let client = start_anew(&mut pair, 1);
    let server = pair.b.accept(pair.now, listener).unwrap();
    (pair, client, server)
}

/// A forgets everything and connects again, always from the same port.
fn start_anew(pair: &mut Pair, seed: u8) -> SocketId {
    pair.a = Sockets::new(StackConfig::default(), [seed; 32]);
    let client = pair.a.open(Style::OneToOne, SocketOptions::default());
    pair.a.bind(client, 5000, &[]).unwrap();
    pair.a.connect(pair.now, client, &peer_b(7)).unwrap();
    pair.run(100);
    client
}

fn send(pair: &mut Pair, from: SocketId, message: &str) {
    pair.a.try_send(pair.now, from, Target::Only, text(message)).unwrap();
    pair.run(100);
}

fn restarted() -> String {
    format!("<error: {}>", SocketError::Restarted)
}

#[test]
fn a_restart_is_an_error_once_between_the_old_messages_and_the_new_ones() {
    let (mut pair, client, server) = connected(SocketOptions::default());
    send(&mut pair, client, "old one");
    send(&mut pair, client, "old two");
    let client = start_anew(&mut pair, 3);
    send(&mut pair, client, "new");
    assert_eq!(
        read_all(&mut pair.b, pair.now, server),
        ["old one", "old two", restarted().as_str(), "new"]
    );
    // The association goes on.
    pair.b.try_send(pair.now, server, Target::Only, text("answer")).unwrap();
    pair.run(100);
    assert_eq!(read_all(&mut pair.a, pair.now, client), ["answer"]);
    send(&mut pair, client, "newer");
    assert_eq!(read_all(&mut pair.b, pair.now, server), ["newer"]);
}

#[test]
fn a_waiting_reader_learns_of_a_restart_at_once() {
    let (mut pair, _, server) = connected(SocketOptions::default());
    assert_eq!(pair.b.try_recv(pair.now, server), Err(SocketError::WouldBlock));
    ready(&mut pair.b, server);
    start_anew(&mut pair, 3);
    assert!(ready(&mut pair.b, server).is_some_and(|ready| ready.readable));
    assert_eq!(pair.b.try_recv(pair.now, server), Err(SocketError::Restarted));
    assert_eq!(pair.b.try_recv(pair.now, server), Err(SocketError::WouldBlock));
}

#[test]
fn a_subscribed_notification_replaces_the_error() {
    let (mut pair, client, server) = connected(all());
    send(&mut pair, client, "old");
    let client = start_anew(&mut pair, 3);
    send(&mut pair, client, "new");
    let seen = read_all(&mut pair.b, pair.now, server);
    let seen: Vec<_> = seen.iter().filter(|s| !s.contains("Addr")).collect();
    assert_eq!(seen, ["<Up>", "old", "<Restart>", "new"]);
}

/// A reader that subscribes later does not get the notification, so the error stays.
#[test]
fn a_subscription_after_the_restart_leaves_the_error() {
    let (mut pair, _, server) = connected(SocketOptions::default());
    start_anew(&mut pair, 3);
    pair.b.set_subscriptions(server, Subscriptions::ALL).unwrap();
    assert!(read_all(&mut pair.b, pair.now, server).contains(&restarted()));
}

#[test]
fn calls_without_notifications_take_the_restart_itself() {
    for subscriptions in [Subscriptions::ALL, Subscriptions::default()] {
        let (mut pair, client, server) =
            connected(SocketOptions { subscriptions, ..SocketOptions::default() });
        read_all(&mut pair.b, pair.now, server);
        send(&mut pair, client, "old");
        let client = start_anew(&mut pair, 3);
        send(&mut pair, client, "new");
        assert!(!pair.b.take_restart(server), "the old message comes first");
        assert!(matches!(pair.b.try_recv(pair.now, server), Ok(Some((_, Incoming::Message(_))))));
        assert!(pair.b.restart_is_next(server));
        assert!(pair.b.take_restart(server));
        assert!(!pair.b.take_restart(server), "it is reported only once");
        let seen = read_all(&mut pair.b, pair.now, server);
        assert_eq!(seen.last().unwrap(), "new");
        assert_eq!(seen.contains(&"<Restart>".to_owned()), subscriptions == Subscriptions::ALL);
        assert!(!seen.contains(&restarted()), "{seen:?}");
    }
}

#[test]
fn restarts_without_a_message_between_them_are_reported_once() {
    let (mut pair, client, server) = connected(SocketOptions::default());
    send(&mut pair, client, "old");
    for seed in 3..100 {
        start_anew(&mut pair, seed);
    }
    let client = start_anew(&mut pair, 100);
    send(&mut pair, client, "of the last one");
    start_anew(&mut pair, 101);
    let restarted = restarted();
    assert_eq!(
        read_all(&mut pair.b, pair.now, server),
        ["old", restarted.as_str(), "of the last one", restarted.as_str()]
    );
}

#[test]
fn next_info_shows_a_restart_before_messages_of_the_new_process() {
    let (mut pair, _, server) = connected(SocketOptions::default());
    let client = start_anew(&mut pair, 3);
    send(&mut pair, client, "new");
    let assoc = pair.b.assocs_of(server)[0];
    assert_eq!(pair.b.next_info(server), Some((assoc, Next::Restart)));
    assert_eq!(pair.b.try_recv(pair.now, server), Err(SocketError::Restarted));
    assert!(matches!(pair.b.next_info(server), Some((_, Next::Message(_)))));
}

#[test]
fn a_restart_before_accept_shows_only_when_old_messages_wait() {
    for old in [false, true] {
        let mut pair = Pair::new();
        let listener = pair.b.open(Style::OneToOne, SocketOptions::default());
        pair.b.bind(listener, 7, &[]).unwrap();
        pair.b.listen(listener, 5).unwrap();
        let client = start_anew(&mut pair, 1);
        if old {
            send(&mut pair, client, "old");
        }
        let client = start_anew(&mut pair, 3);
        send(&mut pair, client, "new");
        let server = pair.b.accept(pair.now, listener).unwrap();
        let seen = read_all(&mut pair.b, pair.now, server);
        if old {
            assert_eq!(seen, ["old", restarted().as_str(), "new"]);
        } else {
            assert_eq!(seen, ["new"]);
        }
    }
}

#[test]
fn a_restart_goes_with_an_association_that_is_peeled_off() {
    let mut pair = Pair::new();
    let many = pair.b.open(Style::OneToMany, SocketOptions::default());
    pair.b.bind(many, 7, &[]).unwrap();
    pair.b.listen(many, 5).unwrap();
    start_anew(&mut pair, 1);
    let assoc = pair.b.assocs_of(many)[0];
    start_anew(&mut pair, 3);
    let own = pair.b.peel_off(many, assoc).unwrap();
    assert_eq!(pair.b.try_recv(pair.now, own), Err(SocketError::Restarted));
}

/// An error could not say which association it is about.
#[test]
fn a_one_to_many_socket_only_gets_the_notification() {
    for subscriptions in [Subscriptions::ALL, Subscriptions::default()] {
        let mut pair = Pair::new();
        let options = SocketOptions { subscriptions, ..SocketOptions::default() };
        let many = pair.b.open(Style::OneToMany, options);
        pair.b.bind(many, 7, &[]).unwrap();
        pair.b.listen(many, 5).unwrap();
        let client = start_anew(&mut pair, 1);
        send(&mut pair, client, "old");
        let client = start_anew(&mut pair, 3);
        send(&mut pair, client, "new");
        assert!(!pair.b.restart_is_next(many));
        let mut seen = Vec::new();
        while let Some((_, next)) = pair.b.next_info(many) {
            assert_ne!(next, Next::Restart);
            match pair.b.try_recv(pair.now, many).unwrap().unwrap().1 {
                Incoming::Message(message) => seen.push(message.data),
                Incoming::Notification(Notification::AssocChange(AssocChange::Restart {
                    ..
                })) => seen.push(Bytes::from("<Restart>")),
                Incoming::Notification(_) => {}
            }
        }
        let wanted: &[&str] = if subscriptions == Subscriptions::ALL {
            &["old", "<Restart>", "new"]
        } else {
            &["old", "new"]
        };
        assert_eq!(seen, wanted);
    }
}

#[test]
fn a_read_shutdown_hides_later_restarts() {
    let (mut pair, _, server) = connected(SocketOptions::default());
    pair.b.shutdown(pair.now, server, How::Read).unwrap();
    start_anew(&mut pair, 3);
    assert_eq!(pair.b.try_recv(pair.now, server), Ok(None));
}

#[test]
fn the_end_of_the_new_process_comes_after_the_restart() {
    let (mut pair, client, server) = connected(SocketOptions::default());
    send(&mut pair, client, "old");
    let client = start_anew(&mut pair, 3);
    send(&mut pair, client, "new");
    pair.a.shutdown(pair.now, client, How::Write).unwrap();
    pair.run(1_000);
    assert_eq!(
        read_all(&mut pair.b, pair.now, server),
        ["old", restarted().as_str(), "new", "<end>"]
    );
}
