//! How associations end, and how connecting fails.

use super::*;

/// Portable UDP links get no ICMP errors.
#[cfg(all(target_os = "linux", not(portable)))]
#[test]
fn connecting_to_a_closed_udp_port_fails_at_once() {
    // Bind a port for a moment to find one that is free.
    let port = UdpSocket::bind((HOST, 0)).unwrap().local_addr().unwrap().port();
    let mut stack = stack();
    let refused = stack.connect(peer(Some(port), 7)).unwrap_err();
    assert_eq!(refused, Error::Ended(EndReason::Lost(LossReason::ProtocolUnreachable)));
}

#[test]
fn connecting_to_a_silent_peer_times_out() {
    let silent = UdpSocket::bind((HOST, 0)).unwrap();
    let mut stack = stack();
    stack.set_timeout(Some(Duration::from_millis(300)));
    let port = silent.local_addr().unwrap().port();
    assert_eq!(stack.connect(peer(Some(port), 7)), Err(Error::TimedOut));
    assert_eq!(stack.stats().associations, 0, "the attempt was aborted");
}

#[test]
fn an_abort_of_the_peer_is_reported_every_time() {
    let (to, server) = server(stack(), |stack, endpoint| {
        let association = stack.accept(endpoint).unwrap();
        stack.recv_message(association).unwrap().unwrap();
        stack.abort(association, "enough");
    });
    let mut stack = stack();
    let association = stack.connect(&to).unwrap();
    stack.send(association, Message::new(0, 0, "x")).unwrap();
    let lost = |outcome: Result<Option<Incoming>, Error>| match outcome {
        Err(Error::Ended(EndReason::Lost(LossReason::PeerAbort { .. }))) => {}
        other => panic!("{other:?}"),
    };
    lost(stack.recv(association));
    lost(stack.recv(association));
    assert!(matches!(stack.send(association, Message::new(0, 0, "y")), Err(Error::Ended(_))));
    server.join().unwrap();
    stack.close(association);
    stack.close(association);
    assert_eq!(stack.recv(association), Err(Error::NoAssociation));
}

#[test]
fn a_stack_that_is_dropped_aborts_its_associations() {
    let (to, server) = server(stack(), |stack, endpoint| {
        let association = stack.accept(endpoint).unwrap();
        assert!(matches!(stack.ended(association).unwrap(), EndReason::Lost(_)));
    });
    let mut stack = stack();
    stack.connect(&to).unwrap();
    drop(stack);
    server.join().unwrap();
}

/// Forwards packets between a server and the client that has sent last. The server sees one UDP
/// port for all clients. While `dead` is set, packets of the client are dropped, because a process
/// that was killed sends nothing more.
struct Relay {
    port: u16,
    dead: Arc<AtomicBool>,
}

impl Relay {
    fn start(server: u16) -> Relay {
        let bind = || UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let (near, far) = (bind(), bind());
        let relay = Relay { port: near.local_addr().unwrap().port(), dead: Arc::default() };
        let client = Arc::new(Mutex::new(None));
        let (dead, heard) = (Arc::clone(&relay.dead), Arc::clone(&client));
        let (near_too, far_too) = (near.try_clone().unwrap(), far.try_clone().unwrap());
        thread::spawn(move || {
            let mut buffer = [0; 65_536];
            while let Ok((len, from)) = near.recv_from(&mut buffer) {
                if !dead.load(Ordering::SeqCst) {
                    *heard.lock().unwrap() = Some(from);
                    let _ = far.send_to(&buffer[..len], (HOST, server));
                }
            }
        });
        thread::spawn(move || {
            let mut buffer = [0; 65_536];
            while let Ok((len, _)) = far_too.recv_from(&mut buffer) {
                let client = *client.lock().unwrap();
                let _ = client.map(|client| near_too.send_to(&buffer[..len], client));
            }
        });
        relay
    }

    /// Connects from SCTP port 5000 of a new stack.
    fn call(&self) -> (blocking::Stack, blocking::Association) {
        let mut stack = stack();
        let endpoint = stack.bind(5000).unwrap();
        self.dead.store(false, Ordering::SeqCst);
        let association = stack.connect_from(endpoint, peer(Some(self.port), 7), None).unwrap();
        (stack, association)
    }

    fn kill(&self, client: (blocking::Stack, blocking::Association)) {
        self.dead.store(true, Ordering::SeqCst);
        drop(client);
        thread::sleep(Duration::from_millis(50)); // the relay has dropped what it said
    }
}

#[test]
fn a_restart_is_an_error_once_after_the_rest_of_the_last_message() {
    let mut server = stack();
    let endpoint = server.bind(7).unwrap();
    server.listen(endpoint, 16).unwrap();
    let relay = Relay::start(server.local_udp_port().unwrap());
    // Each of the three functions that receive: `recv_into`, `recv_message` and `recv`.
    for way in 0..3 {
        let serve = thread::scope(|scope| {
            let client = scope.spawn(|| {
                let (mut stack, association) = relay.call();
                // Both are in one packet, so the server has the second one when it reads the first.
                let both = ["old one", "old two"].map(|text| Message::new(0, 0, text));
                stack.send_many(association, both).unwrap();
                assert_eq!(&stack.recv_message(association).unwrap().unwrap().data[..], b"go");
                relay.kill((stack, association));
                let (mut stack, association) = relay.call();
                stack.send(association, Message::new(0, 0, "new")).unwrap();
                assert_eq!(stack.recv_message(association).unwrap(), None);
                stack.shutdown(association).unwrap();
            });
            let association = server.accept(endpoint).unwrap();
            let mut seen = Vec::new();
            let mut buffer = [0; 4];
            for _ in 0..10 {
                let received = match way {
                    0 => server.recv_into(association, &mut buffer).map(|given| {
                        let (len, _) = given.expect("not the end");
                        buffer[..len].to_vec()
                    }),
                    1 => server.recv_message(association).map(|m| m.unwrap().data.to_vec()),
                    _ => server.recv(association).map(|incoming| match incoming {
                        Some(Incoming::Message(message)) => message.data.to_vec(),
                        other => panic!("{other:?}"),
                    }),
                };
                match received {
                    Ok(data) => seen.push(String::from_utf8(data).unwrap()),
                    Err(why) => seen.push(format!("{why:?}")),
                }
                match seen.last().map(String::as_str) {
                    Some("one" | "old one") => {
                        server.send(association, Message::new(0, 0, "go")).unwrap();
                    }
                    Some("new") => break,
                    _ => {}
                }
            }
            server.shutdown(association).unwrap();
            client.join().unwrap();
            seen
        });
        let old: &[&str] =
            if way == 0 { &["old ", "one", "old ", "two"] } else { &["old one", "old two"] };
        assert_eq!(serve, [old, &["Restarted", "new"]].concat());
    }
}
