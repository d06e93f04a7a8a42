//! Several sockets, peers and associations at once.

use super::*;

#[test]
fn several_sockets_and_both_families() {
    let two = [HOST, IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2))];
    for addrs in [&two[..], &[Ipv4Addr::UNSPECIFIED.into(), std::net::Ipv6Addr::UNSPECIFIED.into()]]
    {
        let (to, server) = server(stack_at(addrs), echo);
        let mut stack = stack_at(addrs);
        let association = stack.connect(&to).unwrap();
        for n in 0..50u8 {
            stack.send(association, Message::new(0, 0, vec![n; 10])).unwrap();
            assert_eq!(&stack.recv_message(association).unwrap().unwrap().data[..], [n; 10]);
        }
        stack.shutdown(association).unwrap();
        server.join().unwrap();
    }
}

#[test]
fn one_handle_for_many_peers() {
    let mut hub = stack();
    let many = hub.bind_one_to_many(BindOptions::from(7)).unwrap();
    hub.listen(many, 1).unwrap();
    let to = peer(hub.local_udp_port(), 7);
    let hub = thread::spawn(move || {
        let mut ended = 0;
        let all = Subscriptions { assoc_change: true, ..Subscriptions::default() };
        hub.subscribe(many, all).unwrap();
        while ended < 3 {
            match hub.recv_from(many).unwrap() {
                (from, Incoming::Message(received)) if &received.data[..] == b"alone" => {
                    let own = hub.peel_off(many, from).unwrap();
                    hub.send(own, Message::new(0, 0, "with you alone")).unwrap();
                    while hub.recv_message(own).unwrap().is_some() {}
                    hub.shutdown(own).unwrap();
                    ended += 1;
                }
                (from, Incoming::Message(received)) => {
                    hub.send_on(many, from, Message::new(0, 0, received.data)).unwrap();
                }
                (_, Incoming::Notification(Notification::AssocChange(change)))
                    if change.is_end() =>
                {
                    ended += 1
                }
                _ => {}
            }
        }
        // The stack forgets an association at the first read after the one that reported its end.
        hub.set_timeout(Some(Duration::from_millis(10)));
        assert!(matches!(hub.recv_from(many), Err(Error::TimedOut)));
        assert_eq!(hub.associations(many), []);
    });
    let callers: Vec<_> = ["a", "b"]
        .map(|name| {
            let to = to.clone();
            thread::spawn(move || {
                let mut stack = stack();
                let many = stack.bind_one_to_many(0).unwrap();
                // This message sets up the association.
                let association = stack.send_to(many, &to, Message::new(0, 0, name)).unwrap();
                let (from, incoming) = stack.recv_from(many).unwrap();
                assert_eq!(from, association);
                let Incoming::Message(received) = incoming else { panic!("{incoming:?}") };
                assert_eq!(received.data, name);
                stack.start_shutdown_of(many, association).unwrap();
                stack.shutdown_all().unwrap();
            })
        })
        .into();
    let mut stack = stack();
    let association = stack.connect(&to).unwrap();
    stack.send(association, Message::new(0, 0, "alone")).unwrap();
    assert_eq!(&stack.recv_message(association).unwrap().unwrap().data[..], b"with you alone");
    stack.shutdown(association).unwrap();
    for thread in callers {
        thread.join().unwrap();
    }
    hub.join().unwrap();
}

#[test]
fn both_styles_connect_from_their_port() {
    let (to, server) = server(stack(), |stack, endpoint| {
        for _ in 0..4 {
            let association = stack.accept(endpoint).unwrap();
            let received = stack.recv_message(association).unwrap().unwrap();
            stack.send(association, Message::new(0, 0, received.data)).unwrap();
            while stack.recv_message(association).is_ok_and(|received| received.is_some()) {}
        }
    });
    let mut stack = stack();
    let hello = || Message::new(0, 0, "hello");
    let endpoint = stack.bind(0).unwrap();
    let waited = stack.connect_from(endpoint, &to, None).unwrap();
    assert_eq!(stack.status(waited.id()).unwrap().state, AssocState::Established);
    let many = stack.bind_one_to_many(0).unwrap();
    let waited_too = stack.connect_from(many, &to, None).unwrap();
    assert_eq!(stack.status(waited_too).unwrap().state, AssocState::Established);

    let other = stack.bind(0).unwrap();
    let started = stack.start_connect(other, &to, None).unwrap();
    stack.send(started, hello()).unwrap();
    stack.established(started).unwrap();
    let other = stack.bind_one_to_many(0).unwrap();
    let started_too = stack.start_connect(other, &to, None).unwrap();
    stack.send_on(other, started_too, hello()).unwrap();

    // The server serves one after the other, in the order of the setups.
    stack.send(waited, hello()).unwrap();
    assert_eq!(stack.recv_message(waited).unwrap().unwrap().data, "hello");
    stack.shutdown(waited).unwrap();
    stack.send_on(many, waited_too, hello()).unwrap();
    let echoed = |stack: &mut blocking::Stack, many, association| {
        let (from, incoming) = stack.recv_from(many).unwrap();
        assert_eq!(from, association);
        assert!(matches!(incoming, Incoming::Message(received) if received.data == "hello"));
        stack.start_shutdown_of(many, association).unwrap();
    };
    echoed(&mut stack, many, waited_too);
    assert_eq!(stack.recv_message(started).unwrap().unwrap().data, "hello");
    stack.shutdown(started).unwrap();
    echoed(&mut stack, other, started_too);
    stack.shutdown_all().unwrap();
    server.join().unwrap();
}

#[test]
fn one_thread_serves_several_by_readiness() {
    let (to, server) = server(stack(), |stack, endpoint| {
        let mut served = Vec::new();
        let mut answers = 0;
        while answers < 6 {
            let ready = stack.ready().unwrap();
            stack.set_timeout(Some(Duration::ZERO));
            if ready.acceptable && ready.socket == endpoint.socket() {
                // If two associations come together, `ready` reports that only once.
                while let Ok(association) = stack.accept(endpoint) {
                    served.push(association);
                }
            }
            // Messages that came before the accept are not reported again.
            for &association in &served {
                while let Ok(Some(received)) = stack.recv_message(association) {
                    stack.send(association, Message::new(0, 0, received.data)).unwrap();
                    answers += 1;
                }
            }
            stack.set_timeout(LIMIT);
        }
        stack.shutdown_all().unwrap();
        assert_eq!(stack.bind(8), Err(Error::Stopped));
    });
    let callers: Vec<_> = (0..2)
        .map(|_| {
            let to = to.clone();
            thread::spawn(move || {
                let mut stack = stack();
                let association = stack.connect(&to).unwrap();
                for n in 0..3u8 {
                    stack.send(association, Message::new(0, 0, vec![n])).unwrap();
                    assert_eq!(&stack.recv_message(association).unwrap().unwrap().data[..], [n]);
                }
                assert_eq!(stack.recv_message(association).unwrap(), None);
                assert_eq!(stack.ended(association).unwrap(), EndReason::Graceful);
            })
        })
        .collect();
    for thread in callers {
        thread.join().unwrap();
    }
    server.join().unwrap();
}
