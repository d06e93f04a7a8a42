//! The ways in which associations and stacks end.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::*;
use sctp_user::link::sim::SimNet;
use sctp_user::{
    AssocConfig, AssocState, BindError, BindOptions, EndReason, Error, LossReason, Message, Peer,
    StackBuilder,
};
use tokio::time::{Instant, timeout};

fn aborted_with(reason: &'static str) -> EndReason {
    EndReason::Lost(LossReason::PeerAbort { cause: 12, info: reason.as_bytes().into() })
}

#[tokio::test(start_paused = true)]
async fn the_reason_of_an_abort_is_reported_everywhere() {
    let Connected { client, server, .. } = connected().await;
    client.send(text("before")).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    client.abort("no more");
    assert_eq!(client.end_reason(), Some(EndReason::Lost(LossReason::LocalAbort)));
    assert_eq!(server.ended().await, Some(aborted_with("no more")));
    assert_eq!(&server.recv_message().await.unwrap().unwrap().data[..], b"before");
    for _ in 0..2 {
        assert_eq!(server.recv().await, Err(Error::Ended(aborted_with("no more"))));
        assert_eq!(server.send(text("late")).await, Err(Error::Ended(aborted_with("no more"))));
    }
    assert_eq!(server.shutdown().await, Err(Error::Ended(aborted_with("no more"))));
    let sentence = server.recv().await.unwrap_err().to_string();
    assert_eq!(sentence, "the peer aborted the association: \"no more\"");
}

/// A reader waits for messages and a writer waits for room. Both are at the end that aborts, or at
/// the other end.
#[tokio::test(start_paused = true)]
async fn readers_and_writers_wake_on_abort() {
    for by_the_peer in [true, false] {
        let Connected { client, server, .. } = connected().await;
        let reader = client.clone();
        let reader = tokio::spawn(async move { reader.recv().await });
        let writer = client.clone();
        let writer = tokio::spawn(async move {
            loop {
                // The server does not read: its window closes, then the send buffer fills up.
                if let Err(why) = writer.send(Message::new(0, 0, vec![7; 60_000])).await {
                    return why;
                }
            }
        });
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert!(!reader.is_finished() && !writer.is_finished(), "both wait");
        let reason = if by_the_peer {
            server.abort("enough");
            aborted_with("enough")
        } else {
            client.abort("enough");
            EndReason::Lost(LossReason::LocalAbort)
        };
        let ended = timeout(Duration::from_secs(1), async {
            (reader.await.unwrap(), writer.await.unwrap())
        });
        let (read, written) = ended.await.expect("both wake");
        assert_eq!((read, written), (Err(Error::Ended(reason.clone())), Error::Ended(reason)));
    }
}

#[tokio::test(start_paused = true)]
async fn dropping_an_association_aborts_it_unless_it_is_shutting_down() {
    let Connected { client, server, .. } = connected().await;
    let clone = client.clone();
    drop(client);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(server.end_reason(), None, "a clone is left");
    drop(clone);
    assert_eq!(server.ended().await, Some(aborted_with("")));

    let Connected { client, server, a, b: _b, .. } = connected().await;
    client.send(text("queued")).await.unwrap();
    client.start_shutdown();
    drop(client);
    assert_eq!(&server.recv_message().await.unwrap().unwrap().data[..], b"queued");
    assert_eq!(server.recv().await, Ok(None));
    assert_eq!(server.ended().await, Some(EndReason::Graceful));
    assert_eq!(a.stats().associations, 0);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_shut_down_is_not_aborted_by_a_drop() {
    let Connected { client, server, .. } = connected().await;
    let shutting = tokio::spawn(async move { client.shutdown().await });
    assert_eq!(server.recv().await, Ok(None));
    drop(server);
    assert_eq!(shutting.await.unwrap(), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn attempts_fail_with_a_reason() {
    let net = net();
    let a = stack(&net, A);
    let _b = stack(&net, B);
    // Nobody listens: with UDP encapsulation the peer's stack answers with ABORT.
    let refused = a.connect(&peer(B, 7)).await;
    assert!(
        matches!(refused, Err(Error::Refused(EndReason::Lost(LossReason::Refused { .. })))),
        "{refused:?}"
    );
    // There is no stack at all, and ICMP says so.
    net.with(|n| n.icmp = true);
    let mut nobody = peer(B, 7);
    nobody.addrs[0].1 = sctp_user::Encap::Udp { remote_port: 1234 };
    let refused = a.connect(&nobody).await;
    assert_eq!(
        refused.unwrap_err(),
        Error::Ended(EndReason::Lost(LossReason::ProtocolUnreachable))
    );
    // Nobody answers at all.
    net.with(|n| n.cut(A, B));
    let config = AssocConfig { max_init_retransmits: 2, ..a.assoc_config() };
    let start = Instant::now();
    let lost = a.connect_with(&peer(B, 7), config).await;
    assert_eq!(lost.unwrap_err(), Error::Ended(EndReason::Lost(LossReason::SetupTimeout)));
    assert!((6..9).contains(&start.elapsed().as_secs()), "1 + 2 + 4 s: {:?}", start.elapsed());
    assert_eq!(a.stats().associations, 0);
    // Without UDP, the reason may be a box on the way that does not know SCTP.
    let [own, silent] = ["192.0.2.66", "192.0.2.77"].map(|addr| addr.parse().unwrap());
    let c = StackBuilder::new().link(net.native_link(&[own])).build().unwrap();
    let config = AssocConfig { max_init_retransmits: 0, ..c.assoc_config() };
    let lost =
        c.connect_with(&Peer::new(silent, sctp_user::Encap::Native, 7), config).await.unwrap_err();
    assert_eq!(lost, Error::NoNativeAnswer(EndReason::Lost(LossReason::SetupTimeout)));
    assert!(lost.to_string().contains("try UDP encapsulation"), "{lost}");
    let unusable = a.connect(&peer(B, 0)).await;
    assert!(matches!(unusable, Err(Error::Connect(_))), "{unusable:?}");
}

#[tokio::test(start_paused = true)]
async fn a_dropped_attempt_leaves_nothing() {
    let net = net();
    let (a, b) = (stack(&net, A), stack(&net, B));
    let endpoint = b.bind(7).unwrap();
    endpoint.listen(1).unwrap();
    assert!(timeout(Duration::from_millis(5), a.connect(&peer(B, 7))).await.is_err());
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!((a.stats().associations, b.stats().associations), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_started_attempt_carries_messages_at_once() {
    let net = net();
    let (a, b) = (stack(&net, A), stack(&net, B));
    let endpoint = b.bind(7).unwrap();
    endpoint.listen(1).unwrap();
    let from = a.bind(0).unwrap();
    let client = from.start_connect(&peer(B, 7), None).unwrap();
    client.send(text("early")).await.unwrap();
    assert_eq!(client.status().unwrap().state, AssocState::CookieWait);
    let server = endpoint.accept().await.unwrap();
    assert_eq!(&server.recv_message().await.unwrap().unwrap().data[..], b"early");
    client.established().await.unwrap();
    client.established().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_stack_shuts_down_gracefully() {
    let Connected { a, b, endpoint, client, server, .. } = connected().await;
    for _ in 0..200 {
        client.send(sctp_user::Message::new(0, 0, vec![9u8; 1_000])).await.unwrap();
    }
    let accepting = tokio::spawn(async move { endpoint.accept().await });
    let reading = tokio::spawn(async move {
        let mut n = 0;
        while server.recv_message().await?.is_some() {
            n += 1;
        }
        Ok::<_, Error>(n)
    });
    let many = a.bind_one_to_many(0).unwrap();
    a.shutdown().await;
    assert_eq!(reading.await.unwrap(), Ok(200));
    assert_eq!(client.end_reason(), Some(EndReason::Graceful));
    assert_eq!(client.send(text("late")).await, Err(Error::Ended(EndReason::Graceful)));
    assert!(matches!(a.bind(0), Err(Error::Stopped)));
    assert!(matches!(a.connect(&peer(B, 7)).await, Err(Error::Stopped)));
    assert!(matches!(many.send_to(&peer(B, 7), text("late")).await, Err(Error::Stopped)));
    a.shutdown().await;
    assert!(!accepting.is_finished());
    b.shutdown().await;
    assert!(matches!(accepting.await.unwrap(), Err(Error::Stopped)));
}

#[tokio::test(start_paused = true)]
async fn a_stack_aborts_everything_at_once() {
    let Connected { net, a, client, server, .. } = connected().await;
    let blocked = {
        let client = client.clone();
        tokio::spawn(async move { client.recv().await })
    };
    tokio::task::yield_now().await;
    a.abort("going home").await;
    assert_eq!(blocked.await.unwrap(), Err(Error::Ended(EndReason::Lost(LossReason::LocalAbort))));
    assert_eq!(server.ended().await, Some(aborted_with("going home")));
    // The link is dropped together with the driver.
    tokio::task::yield_now().await;
    assert!(format!("{net:?}").contains("hosts: 1"), "{net:?}");
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_that_takes_too_long_can_be_cut_short() {
    let Connected { net, a, client, .. } = connected().await;
    net.with(|n| n.cut(A, B));
    client.send(text("nobody gets this")).await.unwrap();
    assert!(timeout(Duration::from_secs(5), a.shutdown()).await.is_err());
    a.abort("").await;
    assert_eq!(client.end_reason(), Some(EndReason::Lost(LossReason::LocalAbort)));
}

#[tokio::test(start_paused = true)]
async fn dropping_the_last_handle_aborts_open_associations() {
    let Connected { a, client, server, net, .. } = connected().await;
    drop(a);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(server.end_reason(), None, "the association is a handle, too");
    drop(client);
    assert_eq!(server.ended().await, Some(aborted_with("")));
    tokio::task::yield_now().await;
    assert!(format!("{net:?}").contains("hosts: 1"), "the task has ended: {net:?}");
}

#[tokio::test(start_paused = true)]
async fn a_panicking_task_aborts_its_associations() {
    let Connected { a, client, server, .. } = connected().await;
    let task = tokio::spawn(async move {
        let _stack = a;
        client.send(text("then")).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        panic!("on purpose");
    });
    assert!(task.await.unwrap_err().is_panic());
    assert_eq!(&server.recv_message().await.unwrap().unwrap().data[..], b"then");
    assert_eq!(server.ended().await, Some(aborted_with("")));
}

#[test]
fn a_runtime_that_ends_aborts_its_associations() {
    // The server has a runtime of its own. After the client's runtime is gone, nothing of the
    // client is awaited any more.
    let server_runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let client_runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let net = SimNet::new(1);
    let (b, endpoint) = server_runtime.block_on(async {
        let b = stack(&net, B);
        let endpoint = b.bind(7).unwrap();
        endpoint.listen(1).unwrap();
        (b, endpoint)
    });
    let client =
        client_runtime.block_on(async { stack(&net, A).connect(&peer(B, 7)).await.unwrap() });
    let server = server_runtime.block_on(endpoint.accept()).unwrap();
    drop(client_runtime);
    let ended =
        server_runtime.block_on(async { timeout(Duration::from_secs(60), server.ended()).await });
    assert_eq!(ended.unwrap(), Some(aborted_with("")));
    assert_eq!(
        client.try_send(text("late")),
        Err(Error::Ended(EndReason::Lost(LossReason::LocalAbort)))
    );
    drop(b);
}

/// A server reloads: its old associations live on, and new ones come to the new endpoint.
#[tokio::test(start_paused = true)]
async fn a_port_is_listened_on_again_while_old_associations_live() {
    let net = net();
    let (a, b) = (stack(&net, A), stack(&net, B));
    let options = || BindOptions { port: 7, reuse_port: true, ..BindOptions::default() };
    let listen = || {
        let endpoint = b.bind(options()).unwrap();
        endpoint.listen(4).unwrap();
        endpoint
    };
    let to = peer(B, 7);
    let first = listen();
    let (client, server) = tokio::join!(a.connect(&to), first.accept());
    let (client, server) = (client.unwrap(), server.unwrap());
    drop(first);
    let second = listen();
    let (late, accepted) = tokio::join!(a.connect(&to), second.accept());
    let (late, accepted) = (late.unwrap(), accepted.unwrap());
    accepted.send(text("new")).await.unwrap();
    assert_eq!(&late.recv_message().await.unwrap().unwrap().data[..], b"new");
    server.send(text("old")).await.unwrap();
    assert_eq!(&client.recv_message().await.unwrap().unwrap().data[..], b"old");
    // Without the option, the port is in use until its last association is gone.
    drop((second, late, accepted));
    assert_eq!(b.bind(7).unwrap_err(), Error::Bind(BindError::PortInUse(7)));
    let (closed, ended) = tokio::join!(client.shutdown(), server.shutdown());
    closed.and(ended).unwrap();
    drop((client, server));
    b.bind(7).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_task_that_waits_to_accept_learns_that_the_endpoint_stops_listening() {
    let net = net();
    let b = stack(&net, B);
    let endpoint = Arc::new(b.bind(7).unwrap());
    endpoint.listen(4).unwrap();
    let waiting = Arc::clone(&endpoint);
    let waiting = tokio::spawn(async move { waiting.accept().await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!waiting.is_finished());
    endpoint.listen(0).unwrap();
    let answer = timeout(Duration::from_secs(1), waiting).await.expect("the task wakes").unwrap();
    assert!(matches!(answer, Err(Error::Invalid(_))), "{answer:?}");
}

#[tokio::test(start_paused = true)]
async fn wrong_use_gets_a_sentence() {
    let none = StackBuilder::new().build();
    assert!(none.unwrap_err().to_string().contains("at least one link"));
    let net = net();
    let wrong = AssocConfig { rto_min: Duration::ZERO, ..AssocConfig::default() };
    let refused = StackBuilder::new().link(net.link(&[A], 1)).assoc_config(wrong).build();
    assert!(matches!(refused, Err(Error::Config(_))));
    let a = stack(&net, A);
    let first = a.bind(7).unwrap();
    let taken = a.bind(7).unwrap_err();
    assert_eq!(taken, Error::Bind(BindError::PortInUse(7)));
    assert_eq!(taken.to_string(), "SCTP port 7 is already in use");
    assert_eq!(first.accept().await.unwrap_err().to_string(), "the socket does not listen");
    drop(first);
    a.bind(7).unwrap();
    std::thread::scope(|scope| {
        let outside = scope.spawn(|| StackBuilder::new().link(net.link(&[B], 1)).build().map(drop));
        let why = outside.join().unwrap().unwrap_err();
        assert!(why.to_string().contains("inside a tokio runtime"), "{why}");
    });
}
