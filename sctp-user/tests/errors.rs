//! What errors say, and what they become as a [`std::io::Error`].

mod common;

use std::io::{self, ErrorKind};

use common::*;
use sctp_user::{BindError, EndReason, Error, LossReason, NoRoute, SendError};

#[tokio::test(start_paused = true)]
async fn a_refusal_is_reported_by_every_call() {
    let net = net();
    let (a, b) = (stack(&net, A), stack(&net, B));
    let refused = a.connect(&peer(B, 7)).await.unwrap_err();
    assert!(matches!(refused, Error::Refused(_)), "{refused:?}");
    assert_eq!(
        refused.to_string(),
        "the peer refused the association, probably because nothing listens on its port"
    );
    let many = a.bind_one_to_many(0).unwrap();
    assert_eq!(many.connect(&peer(B, 7)).await, Err(refused.clone()));

    let from = a.bind(0).unwrap();
    let started = from.start_connect(&peer(B, 7), None).unwrap();
    assert_eq!(started.established().await, Err(refused.clone()));
    assert_eq!(started.recv().await, Err(refused.clone()));
    assert_eq!(started.send(text("late")).await, Err(refused.clone()));

    // A listener without room says why it refuses.
    let endpoint = b.bind(7).unwrap();
    endpoint.listen(1).unwrap();
    let _waits = a.connect(&peer(B, 7)).await.unwrap();
    let full = a.connect(&peer(B, 7)).await.unwrap_err();
    assert_eq!(full.to_string(), "the peer refused the association: out of resource");
}

#[tokio::test(start_paused = true)]
async fn an_abort_after_the_setup_is_not_a_refusal() {
    let Connected { client, server, .. } = connected().await;
    client.abort("enough");
    let why = server.recv().await.unwrap_err();
    assert_eq!(why.to_string(), "the peer aborted the association: \"enough\"");
    assert_eq!(why.kind(), ErrorKind::ConnectionReset);
    assert_eq!(client.recv().await.unwrap_err().kind(), ErrorKind::ConnectionAborted);
}

#[tokio::test(start_paused = true)]
async fn an_address_that_the_peer_does_not_have_is_named() {
    let Connected { client, .. } = connected().await;
    let why = client.set_primary(A).unwrap_err();
    assert_eq!(why, Error::NoSuchAddress(A));
    assert_eq!(why.to_string(), "the peer has no address 192.0.2.1, or it is not confirmed yet");
    assert_eq!(client.send_via(A, text("no")).await, Err(Error::NoSuchAddress(A)));
    client.abort("");
    assert_eq!(client.set_primary(B), Err(Error::NoAssociation));
}

#[test]
fn every_error_has_the_kind_of_its_error_number() {
    let lost = |reason| Error::Ended(EndReason::Lost(reason));
    let refused = EndReason::Lost(LossReason::Refused { cause: 0, info: Default::default() });
    for (error, kind) in [
        (Error::Ended(EndReason::Graceful), ErrorKind::BrokenPipe),
        (Error::ShuttingDown, ErrorKind::BrokenPipe),
        (Error::from(refused), ErrorKind::ConnectionRefused),
        (lost(LossReason::ProtocolUnreachable), ErrorKind::ConnectionRefused),
        (lost(LossReason::Unreachable), ErrorKind::TimedOut),
        (lost(LossReason::NoRoute(NoRoute::Network)), ErrorKind::NetworkUnreachable),
        (lost(LossReason::NoRoute(NoRoute::Host)), ErrorKind::HostUnreachable),
        (lost(LossReason::ProtocolViolation("it")), ErrorKind::InvalidData),
        (Error::NoNativeAnswer(EndReason::Lost(LossReason::SetupTimeout)), ErrorKind::TimedOut),
        (Error::Restarted, ErrorKind::ConnectionReset),
        (Error::Stopped, ErrorKind::NotConnected),
        (Error::WouldBlock, ErrorKind::WouldBlock),
        (Error::TimedOut, ErrorKind::TimedOut),
        (Error::PortInUse(7), ErrorKind::AddrInUse),
        (Error::Bind(BindError::PortInUse(7)), ErrorKind::AddrInUse),
        (Error::Bind(BindError::NoPort), ErrorKind::AddrNotAvailable),
        (Error::Message(SendError::Empty), ErrorKind::InvalidInput),
        (Error::Invalid("no"), ErrorKind::InvalidInput),
    ] {
        let sentence = error.to_string();
        let as_io = io::Error::from(error.clone());
        assert_eq!((as_io.kind(), as_io.to_string()), (kind, sentence));
        assert_eq!(as_io.downcast::<Error>().unwrap(), error);
    }
}
