//! Every asynchronous call may be given up at any time: the next one works, and nothing is lost or
//! done twice.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use rserpool::{UserEvent, session_profile};
use sctp_user::{AssocConfig, BindOptions};

use super::*;

/// Polls a future once and drops it.
async fn once<R>(future: impl Future<Output = R>) -> Option<R> {
    let mut future = pin!(future);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

/// Polls each future that `call` makes once and drops it, until one is ready. A round trip takes
/// 200 us of virtual time, so futures are dropped in every state on the way.
async fn insist<R>(mut call: impl AsyncFnMut() -> R) -> R {
    loop {
        match once(call()).await {
            Some(output) => return output,
            None => tokio::time::sleep(Duration::from_micros(20)).await,
        }
    }
}

/// Gives a call up many times that begins anew each time.
async fn give_up<R>(mut call: impl AsyncFnMut() -> R) {
    let mut given_up = 0;
    for wait in 0..40 {
        let wait = Duration::from_micros(wait * 10);
        given_up += u32::from(timeout(wait, call()).await.is_err());
    }
    assert!(given_up > 0, "it was always ready");
}

/// Two of them do not fit into the send buffer.
fn big(n: u32) -> UserMessage {
    let mut data = vec![0; 40_000];
    data[..4].copy_from_slice(&n.to_be_bytes());
    UserMessage::new(PPID, data)
}

fn small(n: u32) -> UserMessage {
    UserMessage::new(PPID, n.to_be_bytes().to_vec())
}

fn number(message: &UserMessage) -> u32 {
    u32::from_be_bytes(message.data[..4].try_into().unwrap())
}

/// An element and a session with it, whose send buffers are small.
struct Scene {
    lab: Lab,
    registrar: (Stack, Registrar),
    element: (Stack, PoolElement),
    user: (Stack, PoolUser),
}

fn few_bytes(base: AssocConfig) -> AssocConfig {
    AssocConfig { send_buffer: 64_000, ..base }
}

fn scene() -> Scene {
    let lab = Lab::new(true);
    let registrar = lab.registrar(1);
    let stack = lab.stack(11);
    let config = Some(few_bytes(AssocConfig::default()));
    let options = ElementOptions {
        id: Some(PeId(11)),
        bind: BindOptions { config, ..BindOptions::default() },
        asap: lab.asap(&[1], 11),
        ..ElementOptions::new(pool())
    };
    let element = (stack.clone(), PoolElement::register(&stack, options).unwrap());
    let user = lab.user(21, &[1]);
    Scene { lab, registrar, element, user }
}

impl Scene {
    fn open(&self) -> Session {
        let assoc = Some(few_bytes(session_profile(AssocConfig::default())));
        let options = SessionOptions { assoc, ..SessionOptions::default() };
        self.user.1.open(pool(), options).unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn calls_of_elements_and_users() {
    let scene = scene();
    let (element, user) = (&scene.element.1, &scene.user.1);
    insist(|| element.registered()).await.unwrap();
    insist(|| element.registered_within(secs(1))).await.unwrap();
    let mut events = Vec::new();
    while events.last() != Some(&ElementEvent::Registered) {
        events.push(insist(|| element.next_event()).await.unwrap());
    }
    let kinds = [
        matches!(events[0], ElementEvent::Hunting),
        matches!(events[1], ElementEvent::RegistrarFound { .. }),
    ];
    assert!(kinds == [true; 2] && events.len() == 3, "{events:?}");

    give_up(async || user.resolve(&pool(), 1, Duration::ZERO).await).await;
    let found = user.resolve(&pool(), 1, Duration::ZERO).await.unwrap();
    assert_eq!(found[0].id, PeId(11));
    give_up(async || user.subscribe(&pool()).await).await;
    let mut subscription = user.subscribe(&pool()).await.unwrap();
    let elements = insist(async || subscription.changed().await).await.unwrap();
    assert_eq!((elements.len(), elements[0].id), (1, PeId(11)));
    let found = insist(|| user.next_event()).await.unwrap();
    assert_eq!(found, UserEvent::Hunting);
    let found = insist(|| user.next_event()).await.unwrap();
    assert!(matches!(found, UserEvent::RegistrarFound { .. }), "{found:?}");

    let (_es, other) = scene.lab.element(12, Policy::RoundRobin, &[1]);
    insist(|| other.registered()).await.unwrap();
    let elements = insist(async || subscription.changed().await).await.unwrap();
    assert_eq!(elements.len(), 2);
    // A deregistration that is given up goes on.
    assert_eq!(once(other.deregister()).await, None);
    let elements = insist(async || subscription.changed().await).await.unwrap();
    assert_eq!(elements.len(), 1);
    assert!(matches!(other.accept().await, Err(Error::Closed)));
    assert_eq!(scene.registrar.1.stats().pool_elements, 1);
}

#[tokio::test(start_paused = true)]
async fn calls_of_sessions() {
    const ROUNDS: u32 = 10;
    let scene = scene();
    let element = &scene.element.1;
    element.registered().await.unwrap();
    let mut session = scene.open();
    let mut server = insist(|| element.accept()).await.unwrap();
    assert_eq!(insist(|| session.ready()).await, Ok(PeId(11)));
    assert_eq!(insist(|| session.ready_within(secs(1))).await, Ok(PeId(11)));
    let first = insist(async || session.recv().await).await.unwrap();
    assert!(matches!(first, SessionEvent::FailoverDone { number: 0, .. }), "{first:?}");

    let mut n = 0;
    let mut next = || {
        n += 1;
        n - 1
    };
    let sender = session.sender();
    let sending = async {
        for _ in 0..ROUNDS {
            let message = big(next());
            insist(|| session.send(message.clone())).await.unwrap();
            let unit = vec![big(next()), small(next())];
            insist(|| session.send_unit(unit.clone())).await.unwrap();
            let message = big(next());
            insist(|| sender.send(message.clone())).await.unwrap();
            let unit = vec![big(next()), small(next())];
            insist(|| sender.send_unit(unit.clone())).await.unwrap();
        }
    };
    let receiving = async {
        let mut numbers = Vec::new();
        while numbers.len() < 6 * ROUNDS as usize {
            match insist(async || server.recv().await).await.unwrap() {
                Some(ElementIncoming::Message(message)) => numbers.push(number(&message)),
                other => panic!("{other:?}"),
            }
        }
        numbers
    };
    let numbers = timeout(secs(600), async { tokio::join!(sending, receiving).1 }).await.unwrap();
    assert_eq!(numbers, (0..6 * ROUNDS).collect::<Vec<_>>());

    let mut n = 0;
    let mut next = || {
        n += 1;
        n - 1
    };
    let card = scene.user.1.resolve(&pool(), 1, Duration::ZERO).await.unwrap();
    let replying = async {
        for _ in 0..ROUNDS {
            let message = big(next());
            insist(|| server.send(message.clone())).await.unwrap();
            let last = next();
            let cookie = Bytes::copy_from_slice(&last.to_be_bytes());
            let unit = vec![Outgoing::Data(big(last)), Outgoing::Cookie(cookie)];
            insist(|| server.send_unit(unit.clone())).await.unwrap();
            insist(|| server.send_cookie(last.to_be_bytes().to_vec())).await.unwrap();
            insist(|| server.send_business_card(card.clone())).await.unwrap();
        }
    };
    let hearing = async {
        let mut numbers = Vec::new();
        while numbers.len() < 2 * ROUNDS as usize {
            match insist(async || session.recv().await).await.unwrap() {
                SessionEvent::Message(message) => numbers.push(number(&message)),
                other => panic!("{other:?}"),
            }
        }
        numbers
    };
    let numbers = timeout(secs(600), async { tokio::join!(replying, hearing).1 }).await.unwrap();
    assert_eq!(numbers, (0..2 * ROUNDS).collect::<Vec<_>>());
    tokio::time::sleep(secs(1)).await;
    assert_eq!(session.cookie().unwrap(), (2 * ROUNDS - 1).to_be_bytes().as_slice());
    assert_eq!(session.business_card(), card);
}

/// Both ends go on with a shutdown that is given up.
#[tokio::test(start_paused = true)]
async fn shutdowns() {
    let scene = scene();
    let element = &scene.element.1;
    element.registered().await.unwrap();
    for user_ends in [true, false] {
        let mut session = scene.open();
        let mut server = element.accept().await.unwrap();
        session.ready().await.unwrap();
        if user_ends {
            session.send(small(7)).await.unwrap();
            assert!(timeout(Duration::from_micros(10), session.close()).await.is_err());
            let heard = timeout(secs(60), server.recv()).await.unwrap().unwrap();
            assert_eq!(heard, Some(ElementIncoming::Message(small(7))));
            assert_eq!(timeout(secs(60), server.recv()).await.unwrap(), Ok(None));
        } else {
            server.send(small(7)).await.unwrap();
            assert!(timeout(Duration::from_micros(10), server.shutdown()).await.is_err());
            assert_eq!(done(&mut session).await, (PeId(11), false, 0));
            assert_eq!(event(&mut session).await, SessionEvent::Message(small(7)));
            assert!(matches!(needed(&mut session).await, FailoverCause::Ended(_)));
        }
    }
}
