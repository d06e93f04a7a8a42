//! Messages in both directions, whole and in parts.

use super::*;

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
