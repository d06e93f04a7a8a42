//! Binding, listening, accepting, connecting, peeling off.

use super::*;
use crate::config::AssocConfig;
use crate::error::BindError;
use crate::event::LossReason;

#[test]
fn a_connection_is_offered_accepted_and_known_by_its_addresses() {
    let mut pair = Pair::new();
    let listener = pair.b.open(Style::OneToOne, SocketOptions::default());
    assert_eq!(pair.b.bind(listener, 7, &[]).unwrap(), 7);
    pair.b.listen(listener, 5).unwrap();
    assert_eq!(pair.b.accept(pair.now, listener), Err(SocketError::WouldBlock));

    let client = pair.a.open(Style::OneToOne, SocketOptions::default());
    assert_eq!(pair.a.connect_result(client), Err(SocketError::NotConnected));
    let assoc = pair.a.connect(pair.now, client, &peer_b(7)).unwrap();
    assert_eq!(pair.a.connect_result(client), Err(SocketError::InProgress));
    pair.run(100);
    assert!(ready(&mut pair.a, client).unwrap().connected);
    assert_eq!(pair.a.connect_result(client), Ok(()));
    assert!(pair.a.was_up(assoc));
    assert_eq!(pair.a.connect(pair.now, client, &peer_b(7)), Err(SocketError::AlreadyConnected));

    assert!(ready(&mut pair.b, listener).unwrap().acceptable);
    let server = pair.b.accept(pair.now, listener).unwrap();
    assert_eq!(pair.b.accept(pair.now, listener), Err(SocketError::WouldBlock));
    assert_eq!(pair.b.local_port(server), Some(7));
    let accepted = pair.b.assocs_of(server)[0];
    let paths = pair.b.stack().paths(accepted);
    assert_eq!(paths[0].addr.remote, A);
    assert_eq!(pair.b.stack().status(accepted).map(|s| s.peer_port), pair.a.local_port(client));
    assert_eq!(pair.b.connect_result(server), Ok(()));
}

#[test]
fn a_failed_attempt_tells_why_and_can_be_repeated() {
    let mut pair = Pair::new();
    let silent = pair.b.open(Style::OneToOne, SocketOptions::default());
    pair.b.bind(silent, 7, &[]).unwrap();
    let client = pair.a.open(Style::OneToOne, all());
    pair.a.connect(pair.now, client, &peer_b(7)).unwrap();
    pair.cut = Some(B); // nothing arrives, so the attempt times out
    pair.run(600_000);
    let failed = SocketError::Ended(EndReason::Lost(LossReason::SetupTimeout));
    assert!(ready(&mut pair.a, client).unwrap().connected);
    assert_eq!(pair.a.connect_result(client), Err(failed));
    assert_eq!(pair.a.take_error(client), Some(EndReason::Lost(LossReason::SetupTimeout)));
    assert_eq!(pair.a.take_error(client), None);
    assert_eq!(read_all(&mut pair.a, pair.now, client), ["<CannotStart>", "<end>"]);

    pair.cut = None;
    pair.b.listen(silent, 1).unwrap();
    pair.a.connect(pair.now, client, &peer_b(7)).unwrap();
    pair.run(100);
    assert_eq!(pair.a.connect_result(client), Ok(()));
}

#[test]
fn a_full_backlog_refuses() {
    let mut pair = Pair::new();
    let listener = pair.b.open(Style::OneToOne, SocketOptions::default());
    pair.b.bind(listener, 7, &[]).unwrap();
    pair.b.listen(listener, 2).unwrap();
    let clients: Vec<SocketId> = (0..3)
        .map(|_| {
            let client = pair.a.open(Style::OneToOne, SocketOptions::default());
            pair.a.connect(pair.now, client, &peer_b(7)).unwrap();
            pair.run(100);
            client
        })
        .collect();
    assert_eq!(pair.a.connect_result(clients[1]), Ok(()));
    let refused = pair.a.connect_result(clients[2]);
    assert!(
        matches!(
            refused,
            Err(SocketError::Ended(EndReason::Lost(LossReason::Refused { cause: 4, .. })))
        ),
        "{refused:?}"
    );
}

#[test]
fn ports_are_owned_and_given_back() {
    let mut pair = Pair::new();
    let one = pair.a.open(Style::OneToOne, SocketOptions::default());
    let two = pair.a.open(Style::OneToMany, SocketOptions::default());
    pair.a.bind(one, 7, &[]).unwrap();
    assert_eq!(pair.a.bind(two, 7, &[]), Err(SocketError::Bind(BindError::PortInUse(7))));
    assert!(matches!(pair.a.bind(one, 8, &[]), Err(SocketError::Invalid(_))));
    pair.a.close(pair.now, one).unwrap();
    assert_eq!(pair.a.close(pair.now, one), Err(SocketError::BadSocket));
    pair.a.bind(two, 7, &[]).unwrap();
    assert!(matches!(pair.a.accept(pair.now, two), Err(SocketError::NotSupported(_))));
}

#[test]
fn a_listener_also_connects_from_its_port() {
    let (mut pair, listener, _client, server) = Pair::connected(SocketOptions::default());
    let other = pair.a.open(Style::OneToOne, SocketOptions::default());
    pair.a.bind(other, 9, &[]).unwrap();
    pair.a.listen(other, 5).unwrap();
    let to_a = Peer::new(A, Encap::Native, 9);
    let out = pair.b.connect_from(pair.now, listener, &to_a, Some(AssocConfig::default())).unwrap();
    pair.run(100);
    assert_eq!(pair.b.connect_result(out), Ok(()));
    assert_eq!((pair.b.local_port(out), pair.b.local_port(server)), (Some(7), Some(7)));
    let accepted = pair.a.accept(pair.now, other).unwrap();
    let from = pair.a.stack().status(pair.a.assocs_of(accepted)[0]).unwrap();
    assert_eq!(from.peer_port, 7);

    // Closing the listener affects neither association.
    pair.b.close(pair.now, listener).unwrap();
    pair.run(100);
    pair.b.try_send(pair.now, out, Target::Only, text("still here")).unwrap();
    pair.run(100);
    assert_eq!(read_all(&mut pair.a, pair.now, accepted), ["still here"]);
}

#[test]
fn one_to_many_takes_associations_in_and_peels_them_off_with_unread_data() {
    let mut pair = Pair::new();
    let many = pair.b.open(Style::OneToMany, all());
    pair.b.bind(many, 7, &[]).unwrap();
    pair.b.listen(many, 1).unwrap();
    let clients: Vec<SocketId> = (0..3)
        .map(|_| {
            let client = pair.a.open(Style::OneToOne, SocketOptions::default());
            pair.a.connect(pair.now, client, &peer_b(7)).unwrap();
            pair.run(100);
            client
        })
        .collect();
    assert_eq!(pair.b.assocs_of(many).len(), 3);
    for client in &clients {
        pair.a.try_send(pair.now, *client, Target::Only, text("hello")).unwrap();
    }
    pair.run(100);

    let first = pair.b.assocs_of(many)[0];
    assert!(matches!(pair.b.peel_off(many, first), Ok(id) if id != many));
    assert_eq!(pair.b.peel_off(many, first), Err(SocketError::NotConnected));
    let mut seen = read_all(&mut pair.b, pair.now, many);
    seen.sort();
    assert_eq!(seen, ["<Up>", "<Up>", "hello", "hello"]);
}

#[test]
fn a_peeled_off_association_reads_on() {
    let mut pair = Pair::new();
    let many = pair.b.open(Style::OneToMany, all());
    pair.b.bind(many, 7, &[]).unwrap();
    pair.b.listen(many, 1).unwrap();
    let client = pair.a.open(Style::OneToOne, SocketOptions::default());
    pair.a.connect(pair.now, client, &peer_b(7)).unwrap();
    pair.a.try_send(pair.now, client, Target::Only, text("early")).unwrap();
    pair.run(100);
    let assoc = pair.b.assocs_of(many)[0];
    let peeled = pair.b.peel_off(many, assoc).unwrap();
    assert!(ready(&mut pair.b, peeled).unwrap().readable);
    pair.a.try_send(pair.now, client, Target::Only, text("late")).unwrap();
    pair.run(100);
    assert_eq!(read_all(&mut pair.b, pair.now, peeled), ["<Up>", "early", "late"]);
    assert_eq!(pair.b.assocs_of(many), []);
}

/// The lists that find associations quickly keep nothing of those that are gone.
#[test]
fn nothing_is_left_of_associations_that_have_gone() {
    let mut pair = Pair::new();
    let many = pair.b.open(Style::OneToMany, all());
    pair.b.bind(many, 7, &[]).unwrap();
    pair.b.listen(many, 1).unwrap();
    pair.b.set_autoclose(many, Some(Duration::from_secs(3600))).unwrap();
    let call = |pair: &mut Pair| {
        let client = pair.a.open(Style::OneToOne, SocketOptions::default());
        pair.a.connect(pair.now, client, &peer_b(7)).unwrap();
        pair.run(30);
        (client, *pair.b.assocs_of(many).last().unwrap())
    };
    let (_, stays) = call(&mut pair);
    for n in 0..100 {
        let (client, assoc) = call(&mut pair);
        // Nobody reads from the one-to-many socket.
        let taken = if n % 2 == 0 { Some(pair.b.peel_off(many, assoc).unwrap()) } else { None };
        let own = pair.a.assocs_of(client)[0];
        pair.a.abort_assoc(pair.now, client, own, Bytes::new()).unwrap();
        pair.a.close(pair.now, client).unwrap();
        pair.run(30);
        match taken {
            Some(socket) => pair.b.close(pair.now, socket).unwrap(),
            None => pair.b.forget(pair.now, assoc),
        }
        assert_eq!(pair.b.assocs_of(many), [stays]);
        assert_eq!(pair.b.autoclose.len(), 1);
        let socket = pair.b.socket(many).unwrap();
        assert!(socket.to_read.len() <= 20, "{}", socket.to_read.len());
    }
    assert_eq!(read_all(&mut pair.b, pair.now, many), ["<Up>"]);
}

#[test]
fn messages_to_a_peer_find_the_association_of_their_own_socket() {
    let mut pair = Pair::new();
    let target = pair.b.open(Style::OneToMany, all());
    pair.b.bind(target, 7, &[]).unwrap();
    pair.b.listen(target, 1).unwrap();
    let many = pair.a.open(Style::OneToMany, all());
    pair.a.bind(many, 9, &[]).unwrap();
    let to = peer_b(7);
    let first = pair.a.try_send(pair.now, many, Target::Peer(&to), text("one")).unwrap();
    pair.run(100);
    assert_eq!(pair.a.try_send(pair.now, many, Target::Peer(&to), text("two")), Ok(first));
    let more = Peer { addrs: vec![([10, 9, 9, 9].into(), Encap::Native), to.addrs[0]], port: 7 };
    assert_eq!(pair.a.try_send(pair.now, many, Target::Peer(&more), text("three")), Ok(first));
    // The association belongs to another socket now, and there cannot be a second one.
    pair.a.peel_off(many, first).unwrap();
    let refused = pair.a.try_send(pair.now, many, Target::Peer(&to), text("four"));
    assert!(matches!(refused, Err(SocketError::Connect(_))), "{refused:?}");
}
