//! Futures that are dropped before they are done: nothing is lost, nothing comes twice.

mod common;

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use common::*;
use sctp_user::{AssocConfig, Error, Incoming, Message, Received};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Polls each future that `call` makes once and drops it, until one is ready. A round trip takes 20
/// ms of virtual time, so a future is dropped in every state on the way.
async fn insist<R>(mut call: impl AsyncFnMut() -> R) -> R {
    loop {
        let ready = {
            let mut future = pin!(call());
            poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
        };
        match ready {
            Poll::Ready(output) => return output,
            Poll::Pending => tokio::time::sleep(Duration::from_millis(1)).await,
        }
    }
}

/// Two of them do not fit into the send buffer.
fn big(n: u32) -> Message {
    let mut data = vec![0; 40_000];
    data[..4].copy_from_slice(&n.to_be_bytes());
    Message::new(0, 0, data)
}

fn number(received: &Received) -> u32 {
    u32::from_be_bytes(received.data[..4].try_into().unwrap())
}

async fn small_buffers() -> Connected {
    let net = net();
    let (a, b) = (stack(&net, A), stack(&net, B));
    let endpoint = b.bind(7).unwrap();
    endpoint.listen(16).unwrap();
    let config = AssocConfig { send_buffer: 64_000, ..AssocConfig::default() };
    let client = a.connect_with(&peer(B, 7), config).await.unwrap();
    let server = endpoint.accept().await.unwrap();
    Connected { net, a, b, endpoint, client, server }
}

#[tokio::test(start_paused = true)]
async fn sending_and_receiving_by_every_call() {
    let Connected { a: _a, b: _b, client, server, .. } = small_buffers().await;
    let reading = async {
        let mut numbers = Vec::new();
        loop {
            // By all calls in turn.
            match insist(|| server.recv()).await.unwrap() {
                Some(Incoming::Message(received)) => numbers.push(number(&received)),
                Some(other) => panic!("{other:?}"),
                None => break,
            }
            if let Some(received) = insist(|| server.recv_message()).await.unwrap() {
                numbers.push(number(&received));
            }
            let mut got = Vec::new();
            insist(async || server.recv_many(&mut got, 3).await).await.unwrap();
            for incoming in got {
                let Incoming::Message(received) = incoming else { panic!("{incoming:?}") };
                numbers.push(number(&received));
            }
        }
        numbers
    };
    let mut n = 0;
    let mut next = || {
        n += 1;
        big(n - 1)
    };
    let writing = async {
        for _ in 0..20 {
            let message = next();
            insist(|| client.send(message.clone())).await.unwrap();
            let message = next();
            insist(|| client.send_bytes(0, 0, message.options, message.data.clone()))
                .await
                .unwrap();
            let message = next();
            insist(|| client.send_default(message.data.clone())).await.unwrap();
            let message = next();
            insist(|| client.send_via(B, message.clone())).await.unwrap();
            let unit = vec![next(), Message::new(0, 0, next().data.slice(..100))];
            insist(|| client.send_unit(unit.clone())).await.unwrap();
        }
        insist(|| client.shutdown()).await.unwrap();
        assert!(insist(|| client.ended()).await.is_some());
    };
    assert_eq!(tokio::join!(reading, writing).0, (0..120).collect::<Vec<_>>());
}

/// The one call that is not cancel-safe: what it has sent is the first of what it was given.
#[tokio::test(start_paused = true)]
async fn send_many_may_have_sent_the_first() {
    let Connected { a: _a, b: _b, client, server, .. } = small_buffers().await;
    let messages: Vec<_> = (0..10).map(big).collect();
    let given_up = tokio::time::timeout(Duration::ZERO, client.send_many(messages)).await;
    assert!(given_up.is_err());
    client.start_shutdown();
    let mut numbers = Vec::new();
    while let Some(received) = server.recv_message().await.unwrap() {
        numbers.push(number(&received));
    }
    assert!((1..10).contains(&numbers.len()));
    assert_eq!(numbers, (0..numbers.len() as u32).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn accepting_and_setting_up() {
    let net = net();
    let (a, b) = (stack(&net, A), stack(&net, B));
    let endpoint = b.bind(7).unwrap();
    endpoint.listen(16).unwrap();
    let accepting = async {
        let mut ports = Vec::new();
        for _ in 0..10 {
            ports.push(insist(|| endpoint.accept()).await.unwrap().peer_port());
        }
        ports
    };
    let calling = async {
        let mut ports = Vec::new();
        let mut kept = Vec::new();
        for _ in 0..10 {
            let started = a.bind(0).unwrap().start_connect(&peer(B, 7), None).unwrap();
            insist(|| started.established()).await.unwrap();
            ports.push(started.local_port());
            kept.push(started);
        }
        (ports, kept)
    };
    let (accepted, (ports, _kept)) = tokio::join!(accepting, calling);
    assert_eq!(accepted, ports);
}

/// Dropping an attempt aborts it, in each state of the setup and by every call.
#[tokio::test(start_paused = true)]
async fn attempts_that_are_dropped_leave_nothing() {
    let net = net();
    let (a, b) = (stack(&net, A), stack(&net, B));
    let endpoint = b.bind(7).unwrap();
    endpoint.listen(16).unwrap();
    let (from, many) = (a.bind(0).unwrap(), a.bind_one_to_many(0).unwrap());
    let (peer, config) = (peer(B, 7), a.assoc_config());
    let peers = [peer.clone()];
    for millis in (0..40).step_by(5) {
        let limit = Duration::from_millis(millis);
        let calls: [Pin<Box<dyn Future<Output = bool> + '_>>; 7] = [
            Box::pin(async { a.connect(&peer).await.is_ok() }),
            Box::pin(async { a.connect_with(&peer, config.clone()).await.is_ok() }),
            Box::pin(async { a.connect_first(&peers, config.clone()).await.is_ok() }),
            Box::pin(async { from.connect(&peer).await.is_ok() }),
            Box::pin(async { from.connect_with(&peer, config.clone()).await.is_ok() }),
            Box::pin(async { many.connect(&peer).await.is_ok() }),
            Box::pin(async { many.connect_with(&peer, config.clone()).await.is_ok() }),
        ];
        for call in calls {
            assert!(tokio::time::timeout(limit, call).await.is_err(), "up within {millis} ms");
            tokio::time::sleep(Duration::from_secs(120)).await;
            let _ = tokio::time::timeout(Duration::ZERO, many.recv()).await;
            assert_eq!((a.stats().associations, b.stats().associations), (0, 0), "{millis} ms");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn one_to_many() {
    let net = net();
    let (a, b) = (stack(&net, A), stack(&net, B));
    let server = b.bind_one_to_many(7).unwrap();
    server.listen(1).unwrap();
    let reading = async {
        let mut numbers = Vec::new();
        while numbers.len() < 40 {
            let (_, incoming) = insist(|| server.recv()).await.unwrap();
            let Incoming::Message(received) = incoming else { panic!("{incoming:?}") };
            numbers.push(number(&received));
        }
        numbers
    };
    let many = a.bind_one_to_many(0).unwrap();
    let (to, config) = (peer(B, 7), AssocConfig { send_buffer: 64_000, ..a.assoc_config() });
    let writing = async {
        for n in (0..40).step_by(4) {
            let with = || many.send_to_with(&to, config.clone(), big(n));
            let association = insist(with).await.unwrap();
            assert_eq!(insist(|| many.send_to(&to, big(n + 1))).await, Ok(association));
            insist(|| many.send(association, big(n + 2))).await.unwrap();
            insist(|| many.send_via(association, B, big(n + 3))).await.unwrap();
        }
    };
    assert_eq!(tokio::join!(reading, writing).0, (0..40).collect::<Vec<_>>());
    assert_eq!(many.associations().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn byte_streams() {
    let Connected { a: _a, b: _b, client, server, .. } = small_buffers().await;
    let sent: Vec<u8> = (0..400_000u32).map(|i| (i % 251) as u8).collect();
    let reading = async {
        let mut stream = server.stream(1);
        let mut all = Vec::new();
        let mut buf = [0; 7_000];
        loop {
            match insist(async || stream.read(&mut buf).await).await.unwrap() {
                0 => return all,
                len => all.extend_from_slice(&buf[..len]),
            }
        }
    };
    let writing = async {
        let mut stream = client.stream(1);
        let mut rest = &sent[..];
        while !rest.is_empty() {
            let len = insist(async || stream.write(rest).await).await.unwrap();
            rest = &rest[len..];
        }
        insist(async || stream.shutdown().await).await.unwrap();
    };
    assert!(tokio::join!(reading, writing).0 == sent);
}

#[tokio::test(start_paused = true)]
async fn a_stack_goes_on_shutting_down() {
    let Connected { a, b: _b, client, server, .. } = connected().await;
    client.send(text("last")).await.unwrap();
    insist(|| a.shutdown()).await;
    assert_eq!(client.send(text("late")).await.map_err(|why| why.kind()), {
        Err(std::io::ErrorKind::BrokenPipe)
    });
    assert_eq!(server.recv_message().await.unwrap().unwrap().data, "last");
    assert_eq!(server.recv_message().await, Ok(None));

    let Connected { a, b: _b, client, server, .. } = connected().await;
    insist(|| a.abort("enough")).await;
    assert!(matches!(client.recv().await, Err(Error::Ended(_))));
    assert!(matches!(server.recv().await, Err(Error::Ended(_))));
}

/// Every public async call says what dropping its future does.
#[test]
fn every_call_says_what_a_dropped_future_has_done() {
    for (file, source) in [
        ("association", include_str!("../src/association/mod.rs")),
        ("endpoint", include_str!("../src/endpoint.rs")),
        ("one_to_many", include_str!("../src/one_to_many.rs")),
        ("race", include_str!("../src/race.rs")),
        ("stack", include_str!("../src/stack.rs")),
    ] {
        let lines: Vec<&str> = source.lines().collect();
        let is_call = |(_, line): &(usize, &&str)| line.trim_start().starts_with("pub async fn");
        let calls: Vec<_> = lines.iter().enumerate().filter(is_call).collect();
        assert!(!calls.is_empty(), "{file}");
        for (at, line) in calls {
            let docs = lines[..at].iter().rev().take_while(|l| l.trim_start().starts_with("///"));
            let says = |doc: &&str| {
                ["ancel-safe", "ropping the", "ropped"].iter().any(|w| doc.contains(w))
            };
            assert!(docs.copied().any(|doc| says(&doc)), "{file}: {}", line.trim());
        }
    }
}
