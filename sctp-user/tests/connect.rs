//! Listening and connecting work in the same way for both styles.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::*;
use sctp_user::{
    AssocChange, AssocConfig, AssocState, EndReason, Error, Incoming, LossReason, Notification,
    Subscriptions,
};
use tokio::time::timeout;

#[tokio::test(start_paused = true)]
async fn a_one_to_many_socket_connects_as_an_endpoint_does() {
    let net = net();
    let (a, b) = (stack(&net, A), stack(&net, B));
    let server = b.bind_one_to_many(7).unwrap();
    server.listen(1).unwrap();
    let many = a.bind_one_to_many(0).unwrap();

    let waited = many.connect(&peer(B, 7)).await.unwrap();
    assert_eq!(many.status(waited).unwrap().state, AssocState::Established);
    many.abort(waited, "").unwrap();

    let config = AssocConfig { out_streams: 3, ..AssocConfig::default() };
    let with = many.connect_with(&peer(B, 7), config.clone()).await.unwrap();
    assert_eq!(many.status(with).unwrap().outbound_streams, 3);
    many.abort(with, "").unwrap();

    let started = many.start_connect(&peer(B, 7), Some(config)).unwrap();
    assert_eq!(many.status(started).unwrap().state, AssocState::CookieWait);
    many.send(started, text("early")).await.unwrap();
    let (_, incoming) = server.recv().await.unwrap();
    assert!(matches!(incoming, Incoming::Message(m) if m.data == "early"));
}

#[tokio::test(start_paused = true)]
async fn a_one_to_many_socket_that_stops_listening_takes_no_more() {
    let net = net();
    let (a, b) = (stack(&net, A), stack(&net, B));
    let server = b.bind_one_to_many(7).unwrap();
    server.listen(1).unwrap();
    let kept = a.connect(&peer(B, 7)).await.unwrap();
    server.listen(0).unwrap();
    let refused = a.connect(&peer(B, 7)).await;
    assert!(refused.is_err(), "{refused:?}");
    assert_eq!(server.associations().len(), 1);
    kept.shutdown().await.unwrap();
}

/// When a reader reads the end of an association, the socket forgets the association.
#[tokio::test(start_paused = true)]
async fn a_task_that_waits_for_a_one_to_many_setup_learns_its_outcome() {
    let net = net();
    let a = stack(&net, A);
    net.with(|n| n.cut(A, B));
    for subscribed in [false, true] {
        let many = Arc::new(a.bind_one_to_many(0).unwrap());
        many.subscribe(Subscriptions { assoc_change: subscribed, ..Subscriptions::NONE });
        let reader = Arc::clone(&many);
        let reading = tokio::spawn(async move { reader.recv().await });
        let lost = EndReason::Lost(LossReason::SetupTimeout);
        assert_eq!(many.connect(&peer(B, 7)).await, Err(Error::Ended(lost.clone())));
        if subscribed {
            let (_, told) = reading.await.unwrap().unwrap();
            let change = AssocChange::CannotStart(lost);
            assert_eq!(told, Incoming::Notification(Notification::AssocChange(change)));
        } else {
            assert!(!reading.is_finished());
            reading.abort();
        }
        // The next reader finds the end, which was reported already.
        assert!(timeout(Duration::from_millis(1), many.recv()).await.is_err());
        assert_eq!(many.associations(), []);
    }
    assert_eq!(a.stats().associations, 0);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_one_to_many_attempt_leaves_nothing() {
    let net = net();
    let (a, b) = (stack(&net, A), stack(&net, B));
    let endpoint = b.bind(7).unwrap();
    endpoint.listen(1).unwrap();
    let many = a.bind_one_to_many(0).unwrap();
    // An association is up after 40 ms. Drop the attempt in each step of the setup.
    for millis in [0, 5, 15, 25, 35] {
        let given_up = timeout(Duration::from_millis(millis), many.connect(&peer(B, 7))).await;
        assert!(given_up.is_err(), "{millis}");
        tokio::time::sleep(Duration::from_secs(120)).await;
        assert!(timeout(Duration::ZERO, many.recv()).await.is_err());
        assert_eq!(many.associations(), []);
        assert_eq!((a.stats().associations, b.stats().associations), (0, 0));
    }
}
