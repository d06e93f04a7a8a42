//! Several sockets with one port, and adding and removing addresses.

use super::*;
use crate::error::BindError;

fn sharing() -> SocketOptions {
    SocketOptions { reuse_port: true, ..SocketOptions::default() }
}

fn in_use() -> Result<u16, SocketError> {
    Err(SocketError::Bind(BindError::PortInUse(7)))
}

#[test]
fn a_port_is_shared_by_sockets_that_both_want_it() {
    let mut pair = Pair::new();
    let mut bind = |style, options: SocketOptions, addrs: &[IpAddr]| {
        let socket = pair.b.open(style, options);
        (socket, pair.b.bind(socket, 7, addrs))
    };
    let (first, bound) = bind(Style::OneToOne, sharing(), &[]);
    assert_eq!(bound, Ok(7));
    assert_eq!(bind(Style::OneToOne, SocketOptions::default(), &[]).1, in_use());
    assert_eq!(bind(Style::OneToMany, sharing(), &[]).1, in_use());
    assert_eq!(bind(Style::OneToOne, sharing(), &[B]).1, in_use());
    let (second, bound) = bind(Style::OneToOne, sharing(), &[]);
    assert_eq!(bound, Ok(7));

    // Only one can listen at a time.
    pair.b.listen(second, 5).unwrap();
    assert_eq!(pair.b.listen(first, 5), in_use().map(drop));
    let client = pair.a.open(Style::OneToOne, SocketOptions::default());
    pair.a.connect(pair.now, client, &peer_b(7)).unwrap();
    pair.run(100);
    let server = pair.b.accept(pair.now, second).unwrap();
    pair.a.try_send(pair.now, client, Target::Only, text("hello")).unwrap();

    // The first one connects from the same port.
    let other = pair.a.open(Style::OneToOne, SocketOptions::default());
    let port = pair.a.bind(other, 0, &[]).unwrap();
    pair.a.listen(other, 1).unwrap();
    pair.b.connect(pair.now, first, &Peer::new(A, Encap::Native, port)).unwrap();
    pair.run(100);
    assert_eq!(pair.b.connect_result(first), Ok(()));
    assert_eq!(pair.b.stack().status(pair.b.assocs_of(first)[0]).unwrap().local_port, 7);
    assert_eq!(read_all(&mut pair.b, pair.now, server), ["hello"]);
}

#[test]
fn the_port_is_free_when_the_last_socket_has_closed() {
    let mut pair = Pair::new();
    let open = |pair: &mut Pair| {
        let socket = pair.b.open(Style::OneToOne, sharing());
        pair.b.bind(socket, 7, &[]).unwrap();
        socket
    };
    let (first, second) = (open(&mut pair), open(&mut pair));
    pair.b.listen(first, 5).unwrap();
    let clients: Vec<SocketId> =
        (0..2).map(|_| pair.a.open(Style::OneToOne, SocketOptions::default())).collect();
    pair.a.connect(pair.now, clients[0], &peer_b(7)).unwrap();
    pair.run(100);
    pair.b.close(pair.now, first).unwrap();
    pair.run(100);
    assert!(pair.a.take_error(clients[0]).is_some(), "nobody had accepted it");
    pair.b.listen(second, 5).unwrap();
    pair.a.connect(pair.now, clients[1], &peer_b(7)).unwrap();
    pair.run(100);
    assert_eq!(pair.a.connect_result(clients[1]), Ok(()));
    let server = pair.b.accept(pair.now, second).unwrap();
    for socket in [server, second] {
        pair.b.close(pair.now, socket).unwrap();
    }
    pair.run(300);
    assert_eq!(pair.b.stack().ports_in_use(), 0);
    let plain = pair.b.open(Style::OneToOne, SocketOptions::default());
    assert_eq!(pair.b.bind(plain, 7, &[]), Ok(7));
}

/// A server that reloads does this.
#[test]
fn a_port_is_bound_again_while_accepted_associations_live_on() {
    let (mut pair, mut listener, client, server) = Pair::connected(sharing());
    let mut open = vec![server];
    // It has also connected to somebody from its port.
    let callee = pair.a.open(Style::OneToOne, SocketOptions::default());
    pair.a.bind(callee, 9, &[]).unwrap();
    pair.a.listen(callee, 5).unwrap();
    let peer = Peer::new(A, Encap::Native, 9);
    let caller = pair.b.connect_from(pair.now, listener, &peer, None).unwrap();
    pair.run(100);
    open.push(caller);
    for _ in 0..3 {
        pair.b.close(pair.now, listener).unwrap();
        let plain = pair.b.open(Style::OneToOne, SocketOptions::default());
        assert_eq!(pair.b.bind(plain, 7, &[]), in_use());
        let many = pair.b.open(Style::OneToMany, sharing());
        assert_eq!(pair.b.bind(many, 7, &[]), in_use());
        let new = pair.b.open(Style::OneToOne, sharing());
        assert_eq!(pair.b.bind(new, 7, &[B]), Ok(7));
        pair.b.listen(new, 5).unwrap();
        let late = pair.a.open(Style::OneToOne, SocketOptions::default());
        pair.a.connect(pair.now, late, &peer_b(7)).unwrap();
        pair.a.try_send(pair.now, client, Target::Only, text("old")).unwrap();
        pair.a.try_send(pair.now, late, Target::Only, text("new")).unwrap();
        pair.run(100);
        let accepted = pair.b.accept(pair.now, new).unwrap();
        assert_eq!(read_all(&mut pair.b, pair.now, accepted), ["new"]);
        assert_eq!(read_all(&mut pair.b, pair.now, server), ["old"]);
        assert_eq!(pair.b.connect_result(caller), Ok(()));
        open.push(accepted);
        listener = new;
    }
    // When all are gone, anybody can bind the port and need not share it.
    open.push(listener);
    for socket in open {
        pair.b.close(pair.now, socket).unwrap();
    }
    pair.run(100);
    assert_eq!(pair.b.stack().ports_in_use(), 0);
    let plain = pair.b.open(Style::OneToOne, SocketOptions::default());
    assert_eq!(pair.b.bind(plain, 7, &[]), Ok(7));
    let again = pair.b.open(Style::OneToOne, sharing());
    assert_eq!(pair.b.bind(again, 7, &[]), in_use());
}

/// As with SO_REUSEADDR of Linux, both sockets must have the option.
#[test]
fn without_the_option_a_port_is_free_when_its_last_association_is_gone() {
    let (mut pair, listener, client, server) = Pair::connected(SocketOptions::default());
    pair.b.close(pair.now, listener).unwrap();
    let new = pair.b.open(Style::OneToOne, sharing());
    assert_eq!(pair.b.bind(new, 7, &[]), in_use());
    let assoc = pair.a.assocs_of(client)[0];
    pair.a.abort_assoc(pair.now, client, assoc, Bytes::new()).unwrap();
    pair.run(100);
    assert_eq!(pair.b.bind(new, 7, &[]), in_use(), "its socket is still open");
    pair.b.close(pair.now, server).unwrap();
    assert_eq!(pair.b.bind(new, 7, &[]), Ok(7));
}

#[test]
fn addresses_are_added_and_removed_before_there_are_associations() {
    let mut pair = Pair::new();
    let socket = pair.b.open(Style::OneToOne, SocketOptions::default());
    let more: Vec<IpAddr> = (3..6).map(|n| IpAddr::from([10, 0, 0, n])).collect();
    assert!(pair.b.add_addrs(socket, &more).is_err(), "not bound yet");
    pair.b.bind(socket, 7, &[B]).unwrap();
    pair.b.add_addrs(socket, &[more[0], B, more[1]]).unwrap();
    assert_eq!(pair.b.local_addrs(socket), [B, more[0], more[1]]);
    pair.b.remove_addrs(socket, &[more[0]]).unwrap();
    assert_eq!(pair.b.local_addrs(socket), [B, more[1]]);
    assert!(matches!(pair.b.remove_addrs(socket, &[more[2]]), Err(SocketError::Invalid(_))));
    assert!(matches!(pair.b.remove_addrs(socket, &[B, more[1]]), Err(SocketError::Invalid(_))));
    assert!(matches!(pair.b.add_addrs(socket, &[[0, 0, 0, 0].into()]), Err(SocketError::Bind(_))));
    assert_eq!(pair.b.local_addrs(socket), [B, more[1]]);
}
