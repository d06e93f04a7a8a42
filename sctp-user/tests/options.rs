//! Options of associations, paths, handles and messages.

mod common;

use std::net::IpAddr;
use std::time::Duration;

use common::*;
use sctp_user::{
    AssocChange, AssocConfig, BindOptions, Encap, EndReason, Error, Incoming, Message, Next,
    NextInfo, Notification, SendDefaults, SendError, SendOptions, StackBuilder, Subscriptions,
};

#[tokio::test(start_paused = true)]
async fn settings_of_a_path() {
    let Connected { client, .. } = connected().await;
    let control = client.control();
    assert_eq!((control.id(), control.status().unwrap().peer_port), (client.id(), 7));
    let given = control.path_params(B).unwrap();
    let own = sctp_user::PathParams { max_retrans: 2, pf_max_retrans: Some(1), ..given };
    control.set_path_params(B, own).unwrap();
    assert_eq!(control.path_params(B), Ok(own));
    assert_eq!(control.path_params(A), Err(Error::NoSuchAddress(A)));
    let wrong = sctp_user::PathParams { primary_switchover_max_retrans: Some(0), ..own };
    assert!(matches!(control.set_path_params(B, wrong), Err(Error::Config(_))));

    assert!(matches!(control.set_path_encap(B, Encap::Native), Err(Error::Invalid(_))));
    assert!(matches!(
        control.set_path_encap(B, Encap::Udp { remote_port: 0 }),
        Err(Error::Config(_))
    ));
    control.set_path_encap(B, Encap::Udp { remote_port: 4000 }).unwrap();
    assert_eq!(control.paths()[0].addr.encap, Encap::Udp { remote_port: 4000 });

    control.configure(|config| config.context = 5).unwrap();
    assert_eq!(control.config().unwrap().context, 5);
}

#[tokio::test(start_paused = true)]
async fn a_message_in_parts_and_one_with_defaults() {
    let Connected { client, server, .. } = connected().await;
    let more = SendOptions { more_follows: true, ..SendOptions::default() };
    client.send_bytes(1, 2, more, "begin").await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let differs = client.send_bytes(1, 3, more, "?").await;
    assert_eq!(differs, Err(Error::Message(SendError::PartsDiffer)));
    client.send(Message::new(1, 2, " and end")).await.unwrap();
    let received = server.recv_message().await.unwrap().unwrap();
    assert_eq!((&received.data[..], received.end_of_record), (&b"begin and end"[..], true));

    client
        .control()
        .set_send_defaults(SendDefaults { stream: 4, ppid: 9, ..Default::default() })
        .unwrap();
    client.send_default("text").await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let next = NextInfo { stream: 4, ppid: 9, len: 4, unordered: false, end_of_record: true };
    assert_eq!(server.next_info(), Some(Next::Message(next)));
    let received = server.recv_message().await.unwrap().unwrap();
    assert_eq!((received.stream, received.ppid), (4, 9));
    assert_eq!(server.next_info(), None);
}

#[tokio::test(start_paused = true)]
async fn a_message_for_a_certain_address() {
    let net = net();
    let own = |host: u8| [1, 2].map(|network| IpAddr::from([10, 0, network, host]));
    let stack = |host: u8| {
        StackBuilder::new().link(net.link(&own(host), PORT)).seed([host; 32]).build().unwrap()
    };
    let (a, b) = (stack(1), stack(2));
    let bind =
        |port, host| BindOptions { port, addrs: own(host).to_vec(), ..BindOptions::default() };
    let endpoint = b.bind(bind(7, 2)).unwrap();
    endpoint.listen(1).unwrap();
    let from = a.bind(bind(0, 1)).unwrap();
    let client = from.connect(&peer(own(2)[0], 7)).await.unwrap();
    let unproven = client.send_via(own(2)[1], text("x")).await;
    assert_eq!(unproven, Err(Error::NoSuchAddress(own(2)[1])));
    tokio::time::sleep(Duration::from_secs(2)).await;
    net.with(|net| net.clear_log());
    client.send_via(own(2)[1], text("x")).await.unwrap();
    client.send(text("y")).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let to: Vec<IpAddr> = net.with(|net| {
        let data =
            net.sent().filter(|(_, p)| own(1).contains(&p.src) && p.chunk_kinds().contains(&0));
        data.map(|(_, p)| p.dst).collect()
    });
    assert_eq!(to, [own(2)[1], own(2)[0]]);
    let mut addrs = endpoint.accept().await.unwrap().local_addrs();
    addrs.sort_unstable();
    assert_eq!(addrs, own(2));
}

#[tokio::test(start_paused = true)]
async fn one_to_many_with_settings_for_new_associations_and_a_message_to_all() {
    let net = net();
    let (a, b) = (stack(&net, A), stack(&net, B));
    let mut servers = Vec::new();
    for port in [7, 8] {
        let endpoint = b.bind(port).unwrap();
        endpoint.listen(1).unwrap();
        servers.push(endpoint);
    }
    let many = a.bind_one_to_many(0).unwrap();
    let config = AssocConfig { out_streams: 3, ..AssocConfig::default() };
    let one = many.send_to_with(&peer(B, 7), config.clone(), text("hello")).await.unwrap();
    let two = many.start_connect(&peer(B, 8), Some(config)).unwrap();
    let (first, second) = (servers[0].accept().await.unwrap(), servers[1].accept().await.unwrap());
    assert_eq!(first.status().unwrap().inbound_streams, 3);
    assert_eq!(second.status().unwrap().inbound_streams, 3);
    assert_eq!(&first.recv_message().await.unwrap().unwrap().data[..], b"hello");

    let mut sent = many.try_send_to_all(&text("to all"));
    sent.sort_by_key(|(id, _)| *id);
    let mut expected = vec![(one, Ok(())), (two, Ok(()))];
    expected.sort_by_key(|(id, _)| *id);
    assert_eq!(sent, expected);
    for server in [&first, &second] {
        assert_eq!(&server.recv_message().await.unwrap().unwrap().data[..], b"to all");
    }

    // Subscribe to the notifications of one association only.
    many.control(two)
        .subscribe(Subscriptions { assoc_change: true, ..Subscriptions::NONE })
        .unwrap();
    first.shutdown().await.unwrap();
    second.shutdown().await.unwrap();
    let (id, incoming) = many.recv().await.unwrap();
    let over = Incoming::Notification(Notification::AssocChange(AssocChange::ShutdownComplete));
    assert_eq!((id, incoming), (two, over));
    assert_eq!(many.next_info(), None);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_right_after_an_implicit_setup_delivers_first() {
    let net = net();
    let (a, b) = (stack(&net, A), stack(&net, B));
    let endpoint = b.bind(7).unwrap();
    endpoint.listen(1).unwrap();
    let many = a.bind_one_to_many(0).unwrap();
    let id = many.send_to(&peer(B, 7), text("first and last")).await.unwrap();
    many.start_shutdown(id).unwrap();
    let server = endpoint.accept().await.unwrap();
    assert_eq!(&server.recv_message().await.unwrap().unwrap().data[..], b"first and last");
    assert_eq!(server.recv_message().await, Ok(None));
}

#[tokio::test(start_paused = true)]
async fn addresses_change_while_there_are_no_associations() {
    let Connected { a, endpoint, client, .. } = connected().await;
    endpoint.set_addrs(&[B]).unwrap();
    assert_eq!(endpoint.addrs(), [B]);
    let many = a.bind_one_to_many(0).unwrap();
    many.set_addrs(&[A]).unwrap();
    many.start_connect(&peer(B, 7), None).unwrap();
    assert!(matches!(many.set_addrs(&[A]), Err(Error::Invalid(_))));
    drop(client);
}

/// A deadlock would be possible here: one writer waits for room in the send buffer, which frees
/// only when another writer sends the rest of its message.
#[tokio::test(start_paused = true)]
async fn writers_of_parts_on_several_streams_do_not_block_each_other() {
    let net = net();
    let (a, b) = (stack(&net, A), stack(&net, B));
    let endpoint = b.bind(7).unwrap();
    endpoint.listen(1).unwrap();
    let config = AssocConfig { send_buffer: 4096, ..AssocConfig::default() };
    let client = a.connect_with(&peer(B, 7), config).await.unwrap();
    let server = endpoint.accept().await.unwrap();
    let write = async |stream| {
        for n in 0..40 {
            let options = SendOptions { more_follows: n < 39, ..SendOptions::default() };
            client.send_bytes(stream, 0, options, vec![1; 1000]).await.unwrap();
        }
    };
    let read = async {
        let mut lens = [0; 3];
        for _ in 0..3 {
            let received = server.recv_message().await.unwrap().unwrap();
            assert!(received.end_of_record);
            lens[usize::from(received.stream)] = received.data.len();
        }
        lens
    };
    let all = async { tokio::join!(write(0), write(1), write(2), read).3 };
    let lens =
        tokio::time::timeout(Duration::from_secs(60), all).await.expect("nobody waits for ever");
    assert_eq!(lens, [40_000; 3]);
}

#[tokio::test(start_paused = true)]
async fn stop_receiving_drops_messages_and_reports_the_end() {
    let Connected { client, server, .. } = connected().await;
    client.send(text("unread")).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    server.stop_receiving();
    assert_eq!(server.recv().await, Ok(None));
    client.send(text("dropped")).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(server.try_recv(), Ok(None));
    // The other direction still works, and the association stays up.
    server.send(text("still here")).await.unwrap();
    assert_eq!(&client.recv_message().await.unwrap().unwrap().data[..], b"still here");
    client.shutdown().await.unwrap();
    assert_eq!(server.ended().await, Some(EndReason::Graceful));
}

#[tokio::test(start_paused = true)]
async fn endpoints_share_a_port() {
    let net = net();
    let (a, b) = (stack(&net, A), stack(&net, B));
    let shared = |context| BindOptions {
        port: 7,
        reuse_port: true,
        config: Some(AssocConfig { context, ..AssocConfig::default() }),
        ..BindOptions::default()
    };
    let listener = b.bind(shared(1)).unwrap();
    assert!(matches!(b.bind(7), Err(Error::Bind(_))), "both endpoints must allow it");
    let caller = b.bind(shared(2)).unwrap();
    listener.listen(4).unwrap();
    assert!(matches!(caller.listen(4), Err(Error::Bind(_))), "only one of them may listen");
    let there = a.bind(9).unwrap();
    there.listen(4).unwrap();
    let (here, other) = (peer(B, 7), peer(A, 9));
    let (connected, called) = tokio::join!(a.connect(&here), caller.connect(&other));
    let (connected, called) = (connected.unwrap(), called.unwrap());
    let accepted = listener.accept().await.unwrap();
    assert_eq!((accepted.local_port(), called.local_port(), connected.peer_port()), (7, 7, 7));
    let context =
        |association: &sctp_user::Association| association.control().config().unwrap().context;
    assert_eq!((context(&accepted), context(&called)), (1, 2));
}
