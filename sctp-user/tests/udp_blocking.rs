//! Blocking stacks talk to each other and to asynchronous ones, over real sockets on loopback.
#![cfg(unix)]

use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use sctp_user::blocking::{self, Handle as _, StackBuilder};
use sctp_user::link::udp::{Port, UdpEncapConfig, UdpEncapLink};
use sctp_user::{
    AssocConfig, AssocState, BindOptions, Encap, EndReason, Error, Incoming, LossReason, Message,
    Notification, Peer, Subscriptions,
};

const HOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// A call that waits longer than this hangs.
const LIMIT: Option<Duration> = Some(Duration::from_secs(60));

fn config(addrs: &[IpAddr]) -> UdpEncapConfig {
    UdpEncapConfig::with_addrs(addrs.iter().copied(), Port::Any)
}

/// A stack with one socket, which waits in the receive call.
fn stack() -> blocking::Stack {
    stack_at(&[HOST])
}

fn stack_at(addrs: &[IpAddr]) -> blocking::Stack {
    let link =
        UdpEncapLink::open_blocking(&config(addrs)).expect("loopback addresses can be bound");
    let mut stack = StackBuilder::new().link(link).build().expect("the defaults are valid");
    stack.set_timeout(LIMIT);
    stack
}

fn peer(udp_port: Option<u16>, port: u16) -> Peer {
    Peer::new(HOST, Encap::Udp { remote_port: udp_port.expect("a UDP link has a port") }, port)
}

/// Makes `stack` listen on port 7, and runs `serve` with it in a thread of its own.
fn server(
    mut stack: blocking::Stack,
    serve: impl FnOnce(&mut blocking::Stack, blocking::Endpoint) + Send + 'static,
) -> (Peer, JoinHandle<()>) {
    let endpoint = stack.bind(7).unwrap();
    stack.listen(endpoint, 16).unwrap();
    let to = peer(stack.local_udp_port(), 7);
    (to, thread::spawn(move || serve(&mut stack, endpoint)))
}

/// Accepts an association and sends every message back until the peer shuts down.
fn echo(stack: &mut blocking::Stack, endpoint: blocking::Endpoint) {
    let association = stack.accept(endpoint).unwrap();
    while let Some(received) = stack.recv_message(association).unwrap() {
        stack
            .send(association, Message::new(received.stream, received.ppid, received.data))
            .unwrap();
    }
    stack.shutdown(association).unwrap();
}

/// Runs an asynchronous stack that listens on port 7, in a thread of its own.
fn tokio_server<F>(
    serve: impl FnOnce(sctp_user::Association) -> F + Send + 'static,
) -> (Peer, JoinHandle<()>)
where
    F: Future<Output = ()>,
{
    let (tell, told) = std::sync::mpsc::channel();
    let thread = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let link = UdpEncapLink::bind(&config(&[HOST])).unwrap();
            let stack = sctp_user::StackBuilder::new().link(link).build().unwrap();
            let endpoint = stack.bind(7).unwrap();
            endpoint.listen(16).unwrap();
            tell.send(stack.local_udp_port()).unwrap();
            let association = endpoint.accept().await.unwrap();
            serve(association).await;
        });
    });
    (peer(told.recv().unwrap(), 7), thread)
}

#[test]
fn a_conversation_a_transfer_and_a_conversation_again_with_tokio() {
    const LARGE: usize = 60_000;
    let (to, server) = tokio_server(|association| async move {
        while let Some(received) = association.recv_message().await.unwrap() {
            // A message with PPID 1 gets as many large answers as it has bytes. Others are sent
            // back.
            if received.ppid == 1 {
                for _ in 0..received.data.len() {
                    association.send(Message::new(1, 2, vec![7; LARGE])).await.unwrap();
                }
            } else {
                association
                    .send(Message::new(received.stream, received.ppid, received.data))
                    .await
                    .unwrap();
            }
        }
        association.shutdown().await.unwrap();
    });
    let mut stack = stack();
    let association = stack.connect(&to).unwrap();
    let mut buffer = vec![0; LARGE];
    for round in 0..3 {
        for n in 0..100u8 {
            stack.send(association, Message::new(0, 5, vec![n; 64])).unwrap();
            let (len, info) = stack.recv_into(association, &mut buffer).unwrap().unwrap();
            assert_eq!((&buffer[..len], info.ppid), (&[n; 64][..], 5), "round {round}");
        }
        stack.send(association, Message::new(0, 1, vec![0; 50])).unwrap();
        let mut total = 0;
        while total < 50 * LARGE {
            let (len, info) = stack.recv_into(association, &mut buffer).unwrap().unwrap();
            assert!(buffer[..len].iter().all(|byte| *byte == 7) && info.ppid == 2);
            total += len;
        }
        assert_eq!(total, 50 * LARGE);
    }
    stack.shutdown(association).unwrap();
    server.join().unwrap();
}

#[test]
fn more_than_the_buffers_hold_in_both_directions() {
    let (to, server) = server(stack(), echo);
    let mut stack = stack();
    let association = stack.connect(&to).unwrap();
    // All messages are sent before the first answer is read, so the answers wait in buffers on both
    // sides.
    let messages = (0..40u8).map(|n| Message::new(0, 0, vec![n; 5_000]));
    stack.send_many(association, messages).unwrap();
    for n in 0..40u8 {
        let mut data = Vec::new();
        loop {
            let part = stack.recv_message(association).unwrap().unwrap();
            data.extend_from_slice(&part.data);
            if part.end_of_record {
                break;
            }
        }
        assert_eq!(data, vec![n; 5_000]);
    }
    stack.shutdown(association).unwrap();
    server.join().unwrap();
}

#[test]
fn a_unit_is_sent_whole_or_not_at_all() {
    let (to, server) = server(stack(), |stack, endpoint| {
        let association = stack.accept(endpoint).unwrap();
        for want in ["reply", "cookie", "end"] {
            let received = stack.recv_message(association).unwrap().unwrap();
            assert_eq!(received.data, want.as_bytes());
        }
        assert_eq!(stack.recv_message(association).unwrap(), None);
        stack.shutdown(association).unwrap();
    });
    let mut stack = stack();
    let association = stack.connect(&to).unwrap();
    let text = |text: &'static str| Message::new(0, 0, text);
    stack.send_unit(association, vec![text("reply"), text("cookie")]).unwrap();
    let no_such_stream = Message::new(50_000, 0, "stream");
    let wrong = stack.send_unit(association, vec![text("no"), no_such_stream]);
    assert!(matches!(wrong, Err(Error::Message(_))), "{wrong:?}");
    stack.send(association, text("end")).unwrap();
    stack.shutdown(association).unwrap();
    let ended = stack.send_unit(association, vec![text("late")]);
    assert!(matches!(ended, Err(Error::Ended(_) | Error::ShuttingDown)), "{ended:?}");
    server.join().unwrap();
}

#[test]
fn a_timeout_loses_nothing() {
    let (to, server) = server(stack(), |stack, endpoint| {
        let association = stack.accept(endpoint).unwrap();
        // Answer only the second message.
        stack.recv_message(association).unwrap().unwrap();
        stack.recv_message(association).unwrap().unwrap();
        stack.send(association, Message::new(0, 0, "late")).unwrap();
        assert_eq!(stack.recv_message(association).unwrap(), None);
        stack.shutdown(association).unwrap();
    });
    let mut stack = stack();
    let association = stack.connect(&to).unwrap();
    stack.send(association, Message::new(0, 0, "first")).unwrap();
    for timeout in [0, 10, 150].map(Duration::from_millis) {
        stack.set_timeout(Some(timeout));
        let begin = Instant::now();
        assert_eq!(stack.recv(association), Err(Error::TimedOut));
        assert!(begin.elapsed() >= timeout);
    }
    stack.set_timeout(LIMIT);
    stack.send(association, Message::new(0, 0, "second")).unwrap();
    assert_eq!(&stack.recv_message(association).unwrap().unwrap().data[..], b"late");
    stack.shutdown(association).unwrap();
    server.join().unwrap();
}

/// The receiver owes a SACK, and its only call waits for a message that does not come. The timer
/// for the SACK must fire during that call.
#[test]
fn timers_run_while_a_call_waits() {
    for addrs in [&[HOST][..], &[HOST, IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2))]] {
        let (to, server) = server(stack_at(addrs), |stack, endpoint| {
            let association = stack.accept(endpoint).unwrap();
            stack.recv_message(association).unwrap().unwrap();
            assert_eq!(stack.recv_message(association).unwrap(), None);
            stack.shutdown(association).unwrap();
        });
        let mut stack = stack();
        // The RTO is so long that no retransmission can hide a missing SACK.
        let slow = Duration::from_secs(50);
        let config = AssocConfig {
            rto_initial: slow,
            rto_min: slow,
            rto_max: slow,
            ..AssocConfig::default()
        };
        let association = stack.connect_with(&to, config).unwrap();
        stack
            .subscribe(association, Subscriptions { sender_dry: true, ..Subscriptions::default() })
            .unwrap();
        stack.send(association, Message::new(0, 0, "one")).unwrap();
        stack.set_timeout(Some(Duration::from_secs(20)));
        while stack.recv(association).unwrap()
            != Some(Incoming::Notification(Notification::SenderDry))
        {}
        assert_eq!(stack.assoc_stats(association.id()).t3_expiries, 0);
        stack.shutdown(association).unwrap();
        server.join().unwrap();
    }
}

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

/// Port scanners send empty datagrams. These must not stop a server from receiving.
#[test]
fn a_server_still_receives_after_empty_datagrams() {
    let others = || vec![IpAddr::from([127, 0, 0, 2]), HOST];
    let blocking = |addrs: &[IpAddr]| server(stack_at(addrs), echo);
    let tokio = tokio_server(|association| async move {
        while let Some(received) = association.recv_message().await.unwrap() {
            association.send(Message::new(received.stream, 0, received.data)).await.unwrap();
        }
        association.shutdown().await.unwrap();
    });
    for (to, server) in [blocking(&[HOST]), blocking(&others()), tokio] {
        let Encap::Udp { remote_port } = to.addrs[0].1 else { unreachable!("a UDP link") };
        // Send them one at a time, so that the server is asleep before each.
        for _ in 0..3 {
            thread::sleep(Duration::from_millis(20));
            UdpSocket::bind((HOST, 0)).unwrap().send_to(b"", (HOST, remote_port)).unwrap();
        }
        thread::sleep(Duration::from_millis(20));
        let mut stack = stack();
        stack.set_timeout(Some(Duration::from_secs(5)));
        let association = stack.connect(&to).unwrap();
        stack.send(association, Message::new(0, 0, &b"still there"[..])).unwrap();
        assert_eq!(stack.recv_message(association).unwrap().unwrap().data, b"still there"[..]);
        stack.shutdown(association).unwrap();
        server.join().unwrap();
    }
}

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
fn a_small_buffer_gets_a_message_in_parts() {
    let (to, server) = server(stack(), echo);
    let mut stack = stack();
    let association = stack.connect(&to).unwrap();
    stack.send(association, Message::new(3, 9, "0123456789")).unwrap();
    let mut buffer = [0; 4];
    let mut parts = Vec::new();
    loop {
        let (len, info) = stack.recv_into(association, &mut buffer).unwrap().unwrap();
        assert_eq!((info.stream, info.ppid), (3, 9));
        parts.push(String::from_utf8_lossy(&buffer[..len]).into_owned());
        if info.end_of_record {
            break;
        }
    }
    assert_eq!(parts, ["0123", "4567", "89"]);
    assert!(matches!(stack.recv_into(association, &mut []), Err(Error::Invalid(_))));
    stack.shutdown(association).unwrap();
    server.join().unwrap();
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

/// The buffer is too small, and there is only one receive call each time the socket is ready.
#[test]
fn the_rest_of_a_message_is_ready_too() {
    let (to, server) = server(stack(), |stack, endpoint| {
        let association = stack.accept(endpoint).unwrap();
        let mut got = Vec::new();
        while got.len() < 10 {
            let ready = stack.ready().unwrap();
            if ready.socket == association.socket() && ready.readable {
                let mut buffer = [0; 4];
                let (len, _) = stack.recv_into(association, &mut buffer).unwrap().unwrap();
                got.extend_from_slice(&buffer[..len]);
            }
        }
        assert_eq!(got, b"0123456789");
        stack.shutdown(association).unwrap();
    });
    let mut stack = stack();
    let association = stack.connect(&to).unwrap();
    stack.send(association, Message::new(0, 0, "0123456789")).unwrap();
    assert_eq!(stack.recv_message(association).unwrap(), None);
    server.join().unwrap();
}

/// A program sends now and then and never receives. The stack must still read acknowledgements.
#[test]
fn acknowledgements_are_read_while_the_user_only_sends() {
    let (to, server) = server(stack(), |stack, endpoint| {
        let association = stack.accept(endpoint).unwrap();
        let mut count = 0;
        while stack.recv_message(association).unwrap().is_some() {
            count += 1;
        }
        assert_eq!(count, 30);
        stack.shutdown(association).unwrap();
    });
    let mut stack = stack();
    let association = stack.connect(&to).unwrap();
    for _ in 0..30 {
        stack.send(association, Message::new(0, 0, vec![1; 1000])).unwrap();
        stack.drive(Duration::from_millis(10));
    }
    assert!(stack.assoc_stats(association.id()).sacks_received > 0);
    stack.shutdown(association).unwrap();
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
