//! Subscriptions and business cards over real sockets of the loopback interface.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use rserpool::{
    AsapConfig, ElementIncoming, ElementOptions, PeId, PoolElement, PoolHandle, PoolUser,
    SessionEvent, SessionOptions, Subscription, UserMessage, UserOptions,
};
use rserpool_registrar::{Registrar, RegistrarConfig};
use sctp_user::{Stack, StackBuilder};

/// A test that hangs is a test that fails, be the machine as busy as it may.
async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("nothing for a minute")
}

fn stack() -> Stack {
    StackBuilder::udp(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap().build().unwrap()
}

fn pool() -> PoolHandle {
    PoolHandle::new("pool").unwrap()
}

/// A stack, a registrar on it, and how to find that by its name.
fn registrar() -> (Stack, Registrar, AsapConfig) {
    let stack = stack();
    let config = RegistrarConfig { announce: None, ..RegistrarConfig::default() };
    let registrar = Registrar::start(&stack, config).unwrap();
    let name = format!("localhost:3863/udp:{}", registrar.udp_port().unwrap());
    let asap = rserpool::with_registrar_names([name]).unwrap();
    (stack, registrar, asap)
}

async fn element(id: u32, asap: &AsapConfig) -> (Stack, PoolElement) {
    let stack = stack();
    let options =
        ElementOptions { id: Some(PeId(id)), asap: asap.clone(), ..ElementOptions::new(pool()) };
    let element = PoolElement::register(&stack, options).unwrap();
    within(element.registered()).await.unwrap();
    (stack, element)
}

async fn has(changes: &mut Subscription, ids: &[u32]) {
    loop {
        let elements = within(changes.changed()).await.unwrap();
        if elements.iter().map(|element| element.id.0).eq(ids.iter().copied()) {
            return;
        }
    }
}

#[tokio::test]
async fn changes_of_a_pool_and_a_session_that_is_handed_over() {
    let (_rs, _registrar, asap) = registrar();
    let user = PoolUser::new(&stack(), UserOptions { asap: asap.clone() }).unwrap();
    let mut changes = within(user.subscribe(&pool())).await.unwrap();
    has(&mut changes, &[]).await;
    let (_s1, first) = element(1, &asap).await;
    has(&mut changes, &[1]).await;
    let mut session = user.open(pool(), SessionOptions::default()).unwrap();
    let serving = within(first.accept()).await.unwrap();
    assert_eq!(within(session.ready()).await, Ok(PeId(1)));
    let (_s2, second) = element(2, &asap).await;
    has(&mut changes, &[1, 2]).await;

    // The first one leaves the pool, and says where its user is to go.
    let next = changes.elements().unwrap().into_iter().filter(|e| e.id == PeId(2)).collect();
    within(serving.send_business_card(next)).await.unwrap();
    within(first.deregister()).await.unwrap();
    has(&mut changes, &[2]).await;
    within(serving.shutdown()).await.unwrap();
    let mut serving = within(second.accept()).await.unwrap();
    while !matches!(
        within(session.recv()).await.unwrap(),
        SessionEvent::FailoverDone { element: PeId(2), .. }
    ) {}
    let hello = UserMessage::new(7, "hello");
    within(session.send(hello.clone())).await.unwrap();
    let heard = within(serving.recv()).await.unwrap();
    assert_eq!(heard, Some(ElementIncoming::Message(hello)));
}
