//! Sending and receiving messages with the asynchronous API.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::*;
use sctp_user::{
    AssocChange, AssocConfig, BindOptions, Error, Incoming, Message, Notification, SendError,
    Subscriptions,
};
use tokio::time::{Instant, timeout};

#[tokio::test(start_paused = true)]
async fn messages_go_both_ways_in_order() {
    let Connected { client, server, .. } = connected().await;
    for i in 0..100u32 {
        client.send(Message::new(1, 42, i.to_be_bytes().to_vec())).await.unwrap();
    }
    for i in 0..100u32 {
        let received = server.recv_message().await.unwrap().unwrap();
        assert_eq!(
            (received.stream, received.ppid, &received.data[..]),
            (1, 42, &i.to_be_bytes()[..])
        );
        server.send(Message::new(received.stream, 43, received.data)).await.unwrap();
    }
    for i in 0..100u32 {
        let received = client.recv_message().await.unwrap().unwrap();
        assert_eq!((received.ppid, &received.data[..]), (43, &i.to_be_bytes()[..]));
    }
    client.shutdown().await.unwrap();
    assert!(server.recv().await.unwrap().is_none());
    assert!(server.recv().await.unwrap().is_none(), "the end is reported every time");
}

#[tokio::test(start_paused = true)]
async fn two_tasks_may_use_one_association() {
    let Connected { client, server, a: _a, b: _b, .. } = connected().await;
    let reader = client.clone();
    let reading = tokio::spawn(async move {
        let mut bytes = 0;
        while let Some(received) = reader.recv_message().await.unwrap() {
            bytes += received.data.len();
        }
        bytes
    });
    let echo = tokio::spawn(async move {
        while let Some(received) = server.recv_message().await.unwrap() {
            server.send(Message::new(0, 0, received.data)).await.unwrap();
        }
    });
    for _ in 0..500 {
        client.send(Message::new(0, 0, vec![7u8; 3_000])).await.unwrap();
    }
    // Wait for all echoes before the shutdown: after that the server cannot send any more.
    while client.stats().bytes_received < 1_500_000 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    client.shutdown().await.unwrap();
    assert_eq!(reading.await.unwrap(), 1_500_000);
    echo.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_sender_waits_for_a_slow_reader_and_goes_on() {
    let Connected { client, server, .. } = connected().await;
    let big = Message::new(0, 0, vec![1u8; 50_000]);
    let sending = {
        let client = client.clone();
        tokio::spawn(async move {
            for _ in 0..40 {
                client.send(big.clone()).await.unwrap();
            }
        })
    };
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert!(!sending.is_finished(), "2 MB do not fit into the buffers of both ends");
    assert_eq!(client.try_send(Message::new(0, 0, vec![1u8; 50_000])), Err(Error::WouldBlock));
    let mut bytes = 0;
    while bytes < 2_000_000 {
        bytes += server.recv_message().await.unwrap().unwrap().data.len();
    }
    sending.await.unwrap();
    assert_eq!(server.try_recv(), Err(Error::WouldBlock));
}

#[tokio::test(start_paused = true)]
async fn dropped_futures_have_done_nothing() {
    let Connected { client, server, .. } = connected().await;
    // Fill the buffer, then start to send one more message and drop the future.
    while client.try_send(Message::new(0, 0, vec![0u8; 10_000])).is_ok() {}
    let given_up = || Message::new(0, 0, vec![1u8; 10_001]);
    assert!(timeout(Duration::ZERO, client.send(given_up())).await.is_err());
    assert!(
        timeout(Duration::ZERO, client.send_unit(vec![text("small"), given_up()])).await.is_err()
    );
    client.start_shutdown();
    let mut messages = 0;
    while let Some(received) = server.recv_message().await.unwrap() {
        assert_eq!(received.data.len(), 10_000);
        messages += 1;
    }
    assert!(messages > 0);

    let Connected { client, server, .. } = connected().await;
    for _ in 0..3 {
        assert!(timeout(Duration::from_millis(1), server.recv()).await.is_err());
    }
    client.send(text("kept")).await.unwrap();
    assert_eq!(&server.recv_message().await.unwrap().unwrap().data[..], b"kept");
}

#[tokio::test(start_paused = true)]
async fn messages_sent_as_one_unit_share_a_packet() {
    let Connected { net, client, server, .. } = connected().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    net.with(|n| n.clear_log());
    server.send_unit(vec![text("pong"), Message::new(0, 11, "cookie")]).await.unwrap();
    assert_eq!(&client.recv_message().await.unwrap().unwrap().data[..], b"pong");
    let cookie = client.try_recv().unwrap();
    assert!(matches!(cookie, Some(Incoming::Message(m)) if m.ppid == 11));
    let with_data = net.with(|n| n.sent().filter(|(_, packet)| packet.has(0)).count());
    assert_eq!(with_data, 1);
    let wrong = server.send_unit(vec![text("no"), Message::new(50_000, 0, "stream")]).await;
    assert!(matches!(wrong, Err(Error::Message(SendError::InvalidStream { .. }))), "{wrong:?}");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(client.try_recv(), Err(Error::WouldBlock));
}

#[tokio::test(start_paused = true)]
async fn send_many_waits_for_room_and_recv_many_reports_the_end() {
    let Connected { client, server, .. } = connected().await;
    let messages: Vec<_> = (0..2000u32).map(|i| Message::new(0, i, vec![i as u8; 1000])).collect();
    let sending = {
        let client = client.clone();
        tokio::spawn(async move {
            client.send_many(messages).await?;
            let wrong = vec![text("last"), Message::new(50_000, 0, "stream"), text("never")];
            let failed = client.send_many(wrong).await;
            client.start_shutdown();
            failed
        })
    };
    let mut got = Vec::new();
    while server.recv_many(&mut got, 64).await.unwrap() > 0 {
        assert!(got.len() <= 2001);
    }
    assert!(matches!(sending.await.unwrap(), Err(Error::Message(SendError::InvalidStream { .. }))));
    let ppids = got.iter().map(|g| match g {
        Incoming::Message(m) => m.ppid,
        Incoming::Notification(n) => panic!("not subscribed: {n:?}"),
    });
    assert!(ppids.eq((0..2000).chain([0])));
    assert!(matches!(got.last(), Some(Incoming::Message(m)) if &m.data[..] == b"last"));
    assert_eq!(server.recv_many(&mut got, 64).await, Ok(0), "the end is reported every time");
    assert_eq!(server.recv_many(&mut got, 0).await, Ok(0));
}

#[tokio::test(start_paused = true)]
async fn a_loss_is_reported_after_everything_received() {
    let Connected { client, server, .. } = connected().await;
    client.send_many(vec![text("one"), text("two")]).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    client.abort("enough");
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut got = Vec::new();
    assert_eq!(server.recv_many(&mut got, 64).await, Ok(2));
    for _ in 0..2 {
        assert!(matches!(server.recv_many(&mut got, 64).await, Err(Error::Ended(_))));
    }
}

#[tokio::test(start_paused = true)]
async fn a_lifetime_begins_when_the_message_is_given() {
    let Connected { client, server, .. } = connected().await;
    // The stack does not read the clock in the meantime.
    tokio::time::sleep(Duration::from_secs(20)).await;
    let mut short = text("short-lived");
    short.options.lifetime = Some(Duration::from_millis(50));
    client.send(short.clone()).await.unwrap();
    client.send_many(vec![short]).await.unwrap();
    for _ in 0..2 {
        assert_eq!(&server.recv_message().await.unwrap().unwrap().data[..], b"short-lived");
    }
}

#[tokio::test(start_paused = true)]
async fn notifications_are_given_when_subscribed() {
    let net = net();
    let (a, b) = (stack(&net, A), stack(&net, B));
    let options =
        BindOptions { port: 7, subscriptions: Subscriptions::ALL, ..BindOptions::default() };
    let endpoint = b.bind(options).unwrap();
    endpoint.listen(1).unwrap();
    let client = a.connect(&peer(B, 7)).await.unwrap();
    let server = endpoint.accept().await.unwrap();
    assert!(matches!(
        server.recv().await.unwrap(),
        Some(Incoming::Notification(Notification::AssocChange(AssocChange::Up { .. })))
    ));
    client.send(text("data")).await.unwrap();
    client.shutdown().await.unwrap();
    let mut kinds = Vec::new();
    while let Some(incoming) = server.recv().await.unwrap() {
        kinds.push(match incoming {
            Incoming::Message(_) => "data",
            Incoming::Notification(Notification::PeerShutdown) => "peer shutdown",
            Incoming::Notification(Notification::AssocChange(AssocChange::ShutdownComplete)) => {
                "complete"
            }
            Incoming::Notification(_) => "other",
        });
    }
    kinds.retain(|k| *k != "other");
    assert_eq!(kinds, ["data", "peer shutdown", "complete"]);
}

#[tokio::test(start_paused = true)]
async fn many_associations_share_one_handle() {
    let net = net();
    let (a, b) = (stack(&net, A), stack(&net, B));
    let server = b.bind_one_to_many(7).unwrap();
    server.listen(1).unwrap();
    let echo = Arc::new(server);
    let serving = Arc::clone(&echo);
    let task = tokio::spawn(async move {
        while let Ok((assoc, incoming)) = serving.recv().await {
            if let Incoming::Message(received) = incoming {
                serving.send(assoc, Message::new(0, 0, received.data)).await.unwrap();
            }
        }
    });
    let client = a.bind_one_to_many(0).unwrap();
    let to = peer(B, 7);
    let assoc = client.send_to(&to, text("one")).await.unwrap();
    assert_eq!(client.send_to(&to, text("two")).await.unwrap(), assoc);
    let mut others = Vec::new();
    for _ in 0..10 {
        let other = a.connect(&to).await.unwrap();
        other.send(text("three")).await.unwrap();
        others.push(other);
    }
    for expected in ["one", "two"] {
        let (from, incoming) = client.recv().await.unwrap();
        assert!(matches!(incoming, Incoming::Message(m) if m.data[..] == *expected.as_bytes()));
        assert_eq!(from, assoc);
    }
    for other in &others {
        assert_eq!(&other.recv_message().await.unwrap().unwrap().data[..], b"three");
    }
    assert_eq!(echo.associations().len(), 11);
    let single = client.peel_off(assoc).unwrap();
    single.send(text("peeled")).await.unwrap();
    assert_eq!(&single.recv_message().await.unwrap().unwrap().data[..], b"peeled");
    assert_eq!(client.send(assoc, text("no")).await, Err(Error::NoAssociation));
    b.abort("enough").await;
    task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_association_reports_its_ports_addresses_and_statistics() {
    let Connected { client, server, endpoint, .. } = connected().await;
    client.send(text("measure")).await.unwrap();
    server.recv_message().await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(endpoint.port(), 7);
    assert_eq!((client.peer_port(), server.local_port()), (7, 7));
    assert_eq!(server.peer_port(), client.local_port());
    assert_eq!((client.local_udp_port(), server.local_udp_port()), (Some(PORT), Some(PORT)));
    let path = &client.peer_addrs()[0];
    assert_eq!((path.remote, path.encap), (B, sctp_user::Encap::Udp { remote_port: PORT }));
    assert_eq!(server.peer_addrs()[0].remote, A);
    let srtt = client.srtt().unwrap();
    assert!((Duration::from_millis(20)..Duration::from_millis(300)).contains(&srtt), "{srtt:?}");
    assert!(client.stats().messages_sent == 1 && server.stats().messages_received == 1);
    client.configure(|c| c.hb_interval_udp = Duration::from_secs(1)).unwrap();
    let wrong = client.configure(|c| c.rto_min = Duration::ZERO);
    assert!(matches!(wrong, Err(Error::Config(_))), "{wrong:?}");
    client.request_heartbeat(B).unwrap();
    assert_eq!(client.request_heartbeat(A), Err(Error::NoSuchAddress(A)));
}

#[tokio::test(start_paused = true)]
async fn a_suspected_peer_is_asked_and_lives_on() {
    let Connected { client, server, .. } = connected().await;
    let answered = || client.control().paths()[0].stats.heartbeats_acked;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let before = answered();
    for _ in 0..10 {
        client.suspect(Duration::ZERO).unwrap();
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(answered(), before + 1);
    client.send(text("still here")).await.unwrap();
    server.recv_message().await.unwrap();
    client.abort("enough");
    assert_eq!(client.suspect(Duration::ZERO), Err(Error::NoAssociation));
}

#[tokio::test(start_paused = true)]
async fn one_port_listens_and_connects() {
    let net = net();
    let (a, b) = (stack(&net, A), stack(&net, B));
    let (one, two) = (a.bind(3000).unwrap(), b.bind(3000).unwrap());
    one.listen(4).unwrap();
    two.listen(4).unwrap();
    let config = AssocConfig { out_streams: 3, ..a.assoc_config() };
    let to_b = peer(B, 3000);
    let (out, seen) = tokio::join!(one.connect_with(&to_b, config), two.accept());
    let (out, seen) = (out.unwrap(), seen.unwrap());
    assert_eq!((out.local_port(), out.peer_port(), seen.peer_port()), (3000, 3000, 3000));
    assert_eq!(out.status().unwrap().outbound_streams, 3);
    // An association in the other direction would have the same ports and addresses, so it is the
    // same.
    let again = two.connect(&peer(A, 3000)).await;
    assert!(
        matches!(again, Err(Error::Connect(sctp_user::ConnectError::AlreadyConnected))),
        "{again:?}"
    );
    drop(two);
    out.send(text("still there")).await.unwrap();
    assert_eq!(&seen.recv_message().await.unwrap().unwrap().data[..], b"still there");
}

#[tokio::test(start_paused = true)]
async fn loss_costs_time_but_no_message() {
    let Connected { net, client, server, .. } = connected().await;
    net.with(|n| {
        n.set_default(
            sctp_user_core::sim::Link::new()
                .loss(0.1)
                .delay(Duration::from_millis(10), Duration::ZERO),
        )
    });
    let start = Instant::now();
    let sending = tokio::spawn(async move {
        for i in 0..1_000u32 {
            client.send(Message::new(0, i, vec![0u8; 1_000])).await.unwrap();
        }
        client.shutdown().await
    });
    for i in 0..1_000u32 {
        assert_eq!(server.recv_message().await.unwrap().unwrap().ppid, i);
    }
    assert!(server.recv_message().await.unwrap().is_none());
    assert!(start.elapsed() > Duration::from_millis(20));
    sending.await.unwrap().unwrap();
}
