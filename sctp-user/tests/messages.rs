//! An association as a stream and a sink of messages, and its polled functions.
#![cfg(feature = "futures")]

mod common;

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use common::*;
use futures_util::{SinkExt, StreamExt};
use sctp_user::{EndReason, Error, Incoming, LossReason, Message, Received, Subscriptions};
use tokio::time::timeout;

fn big(n: u32) -> Message {
    let mut data = vec![0; 20_000];
    data[..4].copy_from_slice(&n.to_be_bytes());
    Message::new(0, 0, data)
}

fn number(received: &Received) -> u32 {
    u32::from_be_bytes(received.data[..4].try_into().unwrap())
}

#[tokio::test(start_paused = true)]
async fn the_sink_waits_for_room_and_the_stream_ends() {
    let Connected { a: _a, b: _b, client, server, .. } = connected().await;
    let reading = tokio::spawn(async move {
        // Read slowly, so that the sender has to wait.
        let mut numbers = Vec::new();
        let mut messages = server.messages();
        while let Some(received) = messages.next().await {
            numbers.push(number(&received.unwrap()));
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert!(messages.next().await.is_none(), "the end is reported every time");
        numbers
    });
    let mut sink = client.messages();
    for n in 0..100 {
        sink.feed(big(n)).await.unwrap();
    }
    sink.flush().await.unwrap();
    sink.close().await.unwrap();
    assert_eq!(client.end_reason(), Some(EndReason::Graceful), "closed only after the shutdown");
    assert_eq!(reading.await.unwrap(), (0..100).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_forwarded_into_a_sink() {
    let Connected { a: _a, b: _b, client, server, .. } = connected().await;
    let (sink, stream) = server.messages().split();
    let echo = stream.map(|received| received.map(|r| Message::new(r.stream, r.ppid, r.data)));
    tokio::spawn(echo.forward(sink));
    for n in 0..20 {
        client.send(big(n)).await.unwrap();
    }
    let back: Vec<_> = client.messages().take(20).map(|r| number(&r.unwrap())).collect().await;
    assert_eq!(back, (0..20).collect::<Vec<_>>());
    client.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_loss_is_the_last_item() {
    let Connected { a: _a, b: _b, client, server, .. } = connected().await;
    client.send(text("before")).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    client.abort("gone");
    let items: Vec<_> = server.messages().collect().await;
    assert_eq!(items.len(), 2);
    assert_eq!(items[0].as_ref().unwrap().data, "before");
    let lost = LossReason::PeerAbort { cause: 12, info: "gone".into() };
    assert_eq!(items[1], Err(Error::Ended(EndReason::Lost(lost.clone()))));
    let mut sink = server.messages();
    assert_eq!(sink.send(text("late")).await, Err(Error::Ended(EndReason::Lost(lost))));
}

#[tokio::test(start_paused = true)]
async fn a_message_that_cannot_be_sent_does_not_stop_the_sink() {
    let Connected { a: _a, b: _b, client, server, .. } = connected().await;
    let mut sink = client.messages();
    let no_stream = Message::new(50_000, 0, "x");
    assert!(matches!(sink.send(no_stream).await, Err(Error::Message(_))));
    sink.send(text("x")).await.unwrap();
    assert_eq!(server.messages().next().await.unwrap().unwrap().data, "x");
}

#[tokio::test(start_paused = true)]
async fn dropping_a_stream_takes_nothing_and_wakes_nobody_in_vain() {
    let Connected { a: _a, b: _b, client, server, .. } = connected().await;
    for _ in 0..3 {
        let mut messages = server.messages();
        assert!(timeout(Duration::ZERO, messages.next()).await.is_err());
    }
    client.send(text("kept")).await.unwrap();
    assert_eq!(server.recv_message().await.unwrap().unwrap().data, "kept");
}

#[tokio::test(start_paused = true)]
async fn the_polled_forms_do_what_the_calls_do() {
    let Connected { a: _a, b: _b, client, server, .. } = connected().await;
    poll_fn(|cx| client.poll_established(cx)).await.unwrap();
    server.subscribe(Subscriptions { shutdown: true, ..Subscriptions::NONE });
    let writing = {
        let client = client.clone();
        tokio::spawn(async move {
            for n in 0..100 {
                let message = big(n);
                poll_fn(|cx| client.poll_send(cx, &message)).await.unwrap();
            }
            poll_fn(|cx| client.poll_shutdown(cx)).await
        })
    };
    let next = |incoming: Option<Incoming>| match incoming {
        Some(Incoming::Message(received)) => number(&received),
        other => panic!("{other:?}"),
    };
    let mut numbers = vec![next(poll_fn(|cx| server.poll_recv(cx)).await.unwrap())];
    let second = poll_fn(|cx| server.poll_recv_message(cx)).await.unwrap().unwrap();
    numbers.push(number(&second));
    let mut got = Vec::new();
    while poll_fn(|cx| server.poll_recv_many(cx, &mut got, 7)).await.unwrap() > 0 {
        for incoming in got.drain(..) {
            if let Incoming::Message(received) = incoming {
                numbers.push(number(&received));
            }
        }
    }
    assert_eq!(numbers, (0..100).collect::<Vec<_>>());
    writing.await.unwrap().unwrap();
}

/// A task that polls must not replace the wakers of tasks that wait in calls.
#[tokio::test(start_paused = true)]
async fn polling_and_waiting_tasks_are_both_woken() {
    let Connected { a: _a, b: _b, client, server, .. } = connected().await;
    let spawn_reader = || {
        let server = server.clone();
        tokio::spawn(async move { server.recv_message().await })
    };
    let polling = {
        let server = server.clone();
        tokio::spawn(poll_fn(move |cx| match server.poll_recv_message(cx) {
            Poll::Ready(received) => Poll::Ready(received),
            Poll::Pending => Poll::Pending,
        }))
    };
    let (one, two) = (spawn_reader(), spawn_reader());
    tokio::task::yield_now().await;
    for message in ["a", "b", "c"] {
        client.send(text(message)).await.unwrap();
    }
    let mut all = Vec::new();
    for task in [polling, one, two] {
        all.push(task.await.unwrap().unwrap().unwrap().data);
    }
    all.sort();
    assert_eq!(all, ["a", "b", "c"]);
}
