//! What a reader sees when the process at the other end dies and starts again on the same ports.

mod common;

use std::time::Duration;

use common::*;
use sctp_user::link::sim::SimNet;
use sctp_user::{
    AssocChange, Association, BindOptions, Encap, Error, Incoming, Next, Notification, Peer, Stack,
    StackBuilder, Subscriptions,
};

/// Connects to B from SCTP port 5000 of a new stack.
async fn call(net: &SimNet, seed: u8) -> (Stack, Association) {
    let stack = StackBuilder::new().link(net.link(&[A], PORT)).seed([seed; 32]).build().unwrap();
    let endpoint = stack.bind(BindOptions { port: 5000, ..BindOptions::default() }).unwrap();
    let peer = Peer::new(B, Encap::Udp { remote_port: PORT }, 7);
    let association = endpoint.connect(&peer).await.unwrap();
    (stack, association)
}

/// Returns an accepted association whose peer sent `old`, was killed, started again and sent `new`.
async fn restarted(subscriptions: Subscriptions) -> (SimNet, Stack, Association, Association) {
    let net = net();
    let b = stack(&net, B);
    let endpoint =
        b.bind(BindOptions { port: 7, subscriptions, ..BindOptions::default() }).unwrap();
    endpoint.listen(16).unwrap();
    let (first, association) = call(&net, 11).await;
    let server = endpoint.accept().await.unwrap();
    association.send(text("old")).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    // A stack sends ABORTs when it is dropped, but a process that is killed cannot. So drop them.
    net.with(|n| n.cut(A, B));
    drop((first, association));
    tokio::time::sleep(Duration::from_millis(100)).await;
    net.with(|n| n.heal(A, B));
    let (second, client) = call(&net, 12).await;
    client.send(text("new")).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    (net, second, client, server)
}

async fn message(association: &Association) -> String {
    let received = association.recv_message().await.unwrap().expect("not the end");
    String::from_utf8(received.data.to_vec()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn recv_message_reports_a_restart_once_and_goes_on() {
    for subscriptions in [Subscriptions::NONE, Subscriptions::ALL] {
        let (_net, _stack, client, server) = restarted(subscriptions).await;
        assert_eq!(message(&server).await, "old");
        assert_eq!(server.recv_message().await, Err(Error::Restarted));
        assert_eq!(message(&server).await, "new");
        server.send(text("answer")).await.unwrap();
        assert_eq!(message(&client).await, "answer");
        client.start_shutdown();
        assert_eq!(server.recv_message().await, Ok(None));
    }
}

#[tokio::test(start_paused = true)]
async fn recv_many_reports_a_restart_once_between_two_calls() {
    for subscriptions in [Subscriptions::NONE, Subscriptions::ALL] {
        let (_net, _stack, _client, server) = restarted(subscriptions).await;
        let mut got = Vec::new();
        server.recv_many(&mut got, 64).await.unwrap();
        assert!(matches!(got.pop(), Some(Incoming::Message(m)) if &m.data[..] == b"old"));
        got.clear();
        assert_eq!(server.recv_many(&mut got, 64).await, Err(Error::Restarted));
        assert!(got.is_empty());
        server.recv_many(&mut got, 64).await.unwrap();
        assert!(matches!(got.pop(), Some(Incoming::Message(m)) if &m.data[..] == b"new"));
        // The notification still comes in its place.
        let restart = |i: &Incoming| {
            matches!(
                i,
                Incoming::Notification(Notification::AssocChange(AssocChange::Restart { .. }))
            )
        };
        assert_eq!(got.iter().any(restart), subscriptions == Subscriptions::ALL);
        assert_eq!(server.try_recv(), Err(Error::WouldBlock));
    }
}

#[tokio::test(start_paused = true)]
async fn recv_reports_a_restart_by_a_notification_or_by_an_error() {
    let (_net, _stack, _client, server) = restarted(Subscriptions::NONE).await;
    assert!(matches!(server.recv().await, Ok(Some(Incoming::Message(_)))));
    assert_eq!(server.next_info(), Some(Next::Restart));
    assert_eq!(server.recv().await, Err(Error::Restarted));
    assert!(matches!(server.recv().await, Ok(Some(Incoming::Message(_)))));

    let changes = Subscriptions { assoc_change: true, ..Subscriptions::NONE };
    let (_net, _stack, _client, server) = restarted(changes).await;
    assert!(matches!(server.recv().await, Ok(Some(Incoming::Notification(_)))), "it is up");
    assert!(matches!(server.recv().await, Ok(Some(Incoming::Message(_)))));
    assert_eq!(server.next_info(), Some(Next::Notification));
    let Ok(Some(Incoming::Notification(Notification::AssocChange(change)))) = server.recv().await
    else {
        panic!("no notification")
    };
    assert!(matches!(change, AssocChange::Restart { .. }));
    assert!(matches!(server.recv().await, Ok(Some(Incoming::Message(_)))));
}

/// The reader is waiting already when the peer comes back, and has nothing else to read.
#[tokio::test(start_paused = true)]
async fn a_restart_wakes_a_waiting_reader() {
    let net = net();
    let b = stack(&net, B);
    let endpoint = b.bind(7).unwrap();
    endpoint.listen(16).unwrap();
    let (first, association) = call(&net, 11).await;
    let server = endpoint.accept().await.unwrap();
    let reader = tokio::spawn(async move { (server.recv_message().await, server) });
    tokio::time::sleep(Duration::from_secs(1)).await;
    net.with(|n| n.cut(A, B));
    drop((first, association));
    tokio::time::sleep(Duration::from_millis(100)).await;
    net.with(|n| n.heal(A, B));
    let _second = call(&net, 12).await;
    assert_eq!(reader.await.unwrap().0, Err(Error::Restarted));
}
