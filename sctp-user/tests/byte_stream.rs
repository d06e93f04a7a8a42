//! A stream of an association as bytes.

mod common;

use std::io::ErrorKind;
use std::time::Duration;

use common::*;
use sctp_user::link::sim::SimNet;
use sctp_user::{AssocConfig, Association, Error, Message, SendOptions, Stack, StackBuilder};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, copy, split};
use tokio::time::timeout;

#[tokio::test(start_paused = true)]
async fn bytes_go_both_ways_and_end_with_the_association() {
    let Connected { a: _a, b: _b, client, server, .. } = connected().await;
    let sent: Vec<u8> = (0..1_000_000u32).map(|i| (i % 251) as u8).collect();
    let echo = tokio::spawn(async move {
        let (mut from, mut to) = split(server.stream(5).with_ppid(46));
        copy(&mut from, &mut to).await
    });
    let (mut from, mut to) = split(client.stream(5));
    let (writing, mut back) = (to.write_all(&sent), vec![0; sent.len()]);
    let (written, read) = tokio::join!(writing, from.read_exact(&mut back));
    written.unwrap();
    read.unwrap();
    assert!(back == sent);
    to.shutdown().await.unwrap();
    assert_eq!(from.read(&mut back).await.unwrap(), 0);
    assert_eq!(echo.await.unwrap().unwrap(), sent.len() as u64);
}

#[tokio::test(start_paused = true)]
async fn byte_streams_join_messages() {
    let Connected { a: _a, b: _b, client, server, .. } = connected().await;
    for part in ["one l", "ine\nand ", "another\nlast"] {
        client.send(Message::new(2, 7, part)).await.unwrap();
    }
    // A message in two parts, and one that is not ordered.
    for more_follows in [true, false] {
        let options = SendOptions { more_follows, ..SendOptions::default() };
        client.send_bytes(2, 7, options, " word").await.unwrap();
    }
    client.start_shutdown();
    let mut lines = BufReader::new(server.stream(2)).lines();
    let mut all = Vec::new();
    while let Some(line) = lines.next_line().await.unwrap() {
        all.push(line);
    }
    assert_eq!(all, ["one line", "and another", "last word word"]);

    // A message larger than the buffer is read in pieces.
    let Connected { a: _a, b: _b, client, server, .. } = connected().await;
    client.stream(0).write_all(b"0123456789").await.unwrap();
    let mut stream = server.stream(0);
    let mut buf = [0; 4];
    for expected in ["0123", "4567", "89"] {
        let len = stream.read(&mut buf).await.unwrap();
        assert_eq!(&buf[..len], expected.as_bytes());
    }
}

#[tokio::test(start_paused = true)]
async fn streams_do_not_wait_for_each_other() {
    let Connected { a: _a, b: _b, client, server, .. } = connected().await;
    let reading = |stream: u16| {
        let mut bytes = server.stream(stream);
        tokio::spawn(async move {
            let mut buf = [0; 100];
            let len = bytes.read(&mut buf).await.unwrap();
            String::from_utf8_lossy(&buf[..len]).into_owned()
        })
    };
    let (one, three) = (reading(1), reading(3));
    tokio::task::yield_now().await;
    client.send(Message::new(2, 0, "for the reader of messages")).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    client.stream(3).write_all(b"three").await.unwrap();
    assert_eq!(three.await.unwrap(), "three");
    tokio::time::sleep(Duration::from_millis(100)).await;
    client.stream(1).write_all(b"one").await.unwrap();
    assert_eq!(one.await.unwrap(), "one");
    assert_eq!(server.recv_message().await.unwrap().unwrap().data, "for the reader of messages");
}

#[tokio::test(start_paused = true)]
async fn a_writer_waits_for_a_slow_reader() {
    let Connected { a: _a, b: _b, client, server, .. } = connected().await;
    let writing = tokio::spawn(async move {
        let mut stream = client.stream(0);
        stream.write_all(&vec![1; 2_000_000]).await.unwrap();
        stream.shutdown().await
    });
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert!(!writing.is_finished(), "2 MB do not fit into the buffers of both ends");
    let mut all = Vec::new();
    server.stream(0).read_to_end(&mut all).await.unwrap();
    assert_eq!(all.len(), 2_000_000);
    writing.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn writes_fit_what_the_association_takes() {
    for config in [
        AssocConfig { disable_fragments: true, ..AssocConfig::default() },
        AssocConfig { max_message_size: 1000, ..AssocConfig::default() },
    ] {
        let net = net();
        let (a, b) = (stack(&net, A), stack(&net, B));
        let endpoint = b.bind(7).unwrap();
        endpoint.listen(1).unwrap();
        let client = a.connect_with(&peer(B, 7), config).await.unwrap();
        let server = endpoint.accept().await.unwrap();
        client.stream(0).write_all(&[7; 50_000]).await.unwrap();
        client.start_shutdown();
        let mut all = Vec::new();
        server.stream(0).read_to_end(&mut all).await.unwrap();
        assert_eq!(all, [7; 50_000]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_loss_is_an_error_after_everything_received() {
    let Connected { a: _a, b: _b, client, server, .. } = connected().await;
    client.stream(0).write_all(b"before").await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    client.abort("gone");
    let mut stream = server.stream(0);
    let mut all = Vec::new();
    let why = stream.read_to_end(&mut all).await.unwrap_err();
    assert_eq!((&all[..], why.kind()), (&b"before"[..], ErrorKind::ConnectionReset));
    let why = stream.write_all(b"late").await.unwrap_err();
    assert_eq!(why.kind(), ErrorKind::ConnectionReset);
    assert!(matches!(why.downcast::<Error>(), Ok(Error::Ended(_))));
    let wrong = Connected { ..connected().await }.client;
    let why = wrong.stream(50_000).write_all(b"no such stream").await.unwrap_err();
    assert_eq!(why.kind(), ErrorKind::InvalidInput);
}

/// B's association with a process on A that was killed and has restarted. B has not read `old` yet.
async fn restarted() -> (SimNet, Stack, Stack, Association, Association) {
    let net = net();
    let b = stack(&net, B);
    let endpoint = b.bind(7).unwrap();
    endpoint.listen(16).unwrap();
    let call = async |seed: u8| {
        let link = net.link(&[A], PORT);
        let stack = StackBuilder::new().link(link).seed([seed; 32]).build().unwrap();
        let client = stack.bind(5000).unwrap().connect(&peer(B, 7)).await.unwrap();
        (stack, client)
    };
    let (first, client) = call(11).await;
    let server = endpoint.accept().await.unwrap();
    client.stream(1).write_all(b"old").await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    net.with(|n| n.cut(A, B));
    drop((first, client));
    tokio::time::sleep(Duration::from_millis(100)).await;
    net.with(|n| n.heal(A, B));
    let (second, client) = call(12).await;
    (net, b, second, client, server)
}

#[tokio::test(start_paused = true)]
async fn a_restart_ends_the_bytes_and_a_new_stream_goes_on() {
    let (_net, _b, _a, client, server) = restarted().await;
    let mut buf = [0; 100];
    let before = server.stream(1);
    let mut lone = server.stream(1);
    assert_eq!(lone.read(&mut buf).await.unwrap(), 3);
    client.stream(1).write_all(b"new").await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    for _ in 0..2 {
        let why = lone.read(&mut buf).await.unwrap_err();
        assert_eq!(why.kind(), ErrorKind::ConnectionReset);
    }
    // Another byte stream that was made before the restart was read must not read past it either.
    let mut before = before;
    assert_eq!(before.read(&mut buf).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    let mut again = server.stream(1);
    again.write_all(b"answer").await.unwrap();
    assert_eq!(again.read(&mut buf).await.unwrap(), 3);
    assert_eq!(&buf[..3], b"new");
    assert_eq!(client.stream(1).read(&mut buf).await.unwrap(), 6);
}

#[tokio::test(start_paused = true)]
async fn a_writer_learns_of_a_restart_at_once() {
    let Connected { net, b: _b, a, client, server, .. } = connected().await;
    let mut stream = server.stream(1);
    stream.write_all(b"one").await.unwrap();
    let port = client.local_port();
    tokio::time::sleep(Duration::from_secs(1)).await;
    net.with(|n| n.cut(A, B));
    drop((a, client));
    tokio::time::sleep(Duration::from_millis(100)).await;
    net.with(|n| n.heal(A, B));
    let link = net.link(&[A], PORT);
    let a = StackBuilder::new().link(link).seed([12; 32]).build().unwrap();
    let client = a.bind(port).unwrap().connect(&peer(B, 7)).await.unwrap();
    let why = stream.write_all(b"two").await.unwrap_err();
    assert_eq!(why.kind(), ErrorKind::ConnectionReset);
    assert!(timeout(Duration::from_secs(1), client.recv()).await.is_err(), "nothing was sent");
}
