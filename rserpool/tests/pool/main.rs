//! Registrars, pool elements and pool users on real stacks over a network in memory, with a paused
//! clock.

mod cancel;
mod cards;
mod registrars;
mod subscriptions;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use rserpool::wire::{PeId, Policy, PoolHandle, Transport};
use rserpool::{
    AsapConfig, ElementEvent, ElementIncoming, ElementOptions, ElementSession, Error,
    FailoverCause, Outgoing, PoolElement, PoolUser, Session, SessionEvent, SessionOptions,
    UserMessage, UserOptions,
};
use rserpool_registrar::{Registrar, RegistrarConfig};
use sctp_user::link::sim::{SimLink, SimNet};
use sctp_user::{Association, Encap, Message, Peer, Stack, StackBuilder};
use sctp_user_core::sim::{Link, Verdict};
use tokio::time::{Instant, timeout};

const PPID: u32 = 33;

fn ip(last: u8) -> IpAddr {
    [10, 0, 0, last].into()
}

fn pool() -> PoolHandle {
    PoolHandle::new("pool").unwrap()
}

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// A network without loss.
struct Lab {
    net: SimNet,
    /// Hosts whose packets get nowhere.
    cut: Arc<Mutex<BTreeSet<IpAddr>>>,
    /// The hosts themselves, which stay when a process on them dies.
    _hosts: Vec<SimLink>,
}

impl Lab {
    /// Hosts whose process is gone answer with ICMP where `icmp` is set.
    fn new(icmp: bool) -> Self {
        let net = SimNet::new(1);
        let cut = Arc::new(Mutex::new(BTreeSet::new()));
        let is_cut = Arc::clone(&cut);
        net.with(|net| {
            net.icmp = icmp;
            net.set_default(Link::new().delay(Duration::from_micros(100), Duration::ZERO));
            net.tap(move |_, packet| match is_cut.lock().unwrap().contains(&packet.src) {
                true => Verdict::Drop,
                false => Verdict::Pass,
            });
        });
        let hosts = (1..30).map(|last| net.link(&[ip(last)], 1)).collect();
        Lab { net, cut, _hosts: hosts }
    }

    fn stack(&self, last: u8) -> Stack {
        StackBuilder::new().link(self.net.link(&[ip(last)], 9899)).seed([last; 32]).build().unwrap()
    }

    fn registrar(&self, last: u8) -> (Stack, Registrar) {
        let stack = self.stack(last);
        let config = RegistrarConfig {
            announce: None,
            seed: Some([last; 32]),
            ..RegistrarConfig::default()
        };
        let registrar = Registrar::start(&stack, config).unwrap();
        (stack, registrar)
    }

    /// Asks the registrars at these addresses.
    fn asap(&self, registrars: &[u8], seed: u8) -> AsapConfig {
        let peer = |last: &u8| Peer::new(ip(*last), Encap::Udp { remote_port: 9899 }, 3863);
        let registrars = registrars.iter().map(peer).collect();
        AsapConfig { seed: Some([seed; 32]), ..AsapConfig::with_registrars(registrars) }
    }

    fn element(&self, last: u8, policy: Policy, registrars: &[u8]) -> (Stack, PoolElement) {
        let stack = self.stack(last);
        let options = ElementOptions {
            id: Some(PeId(last.into())),
            policy,
            asap: self.asap(registrars, last),
            ..ElementOptions::new(pool())
        };
        let element = PoolElement::register(&stack, options).unwrap();
        (stack, element)
    }

    fn user(&self, last: u8, registrars: &[u8]) -> (Stack, PoolUser) {
        let stack = self.stack(last);
        let user =
            PoolUser::new(&stack, UserOptions { asap: self.asap(registrars, last) }).unwrap();
        (stack, user)
    }
}

/// A server that counts its replies: state that travels as a cookie, in one unit with the reply.
async fn count(mut session: ElementSession) -> Result<(), Error> {
    let mut next: u64 = 1;
    while let Some(incoming) = session.recv().await? {
        match incoming {
            ElementIncoming::CookieEcho(cookie) => {
                next = u64::from_be_bytes(cookie.as_ref().try_into().expect("our own cookie"));
            }
            ElementIncoming::Restarted => next = 1,
            ElementIncoming::Message(message) => {
                let reply = UserMessage::new(message.ppid, format!("{next}"));
                next += 1;
                let cookie = Bytes::copy_from_slice(&next.to_be_bytes());
                session.send_unit(vec![Outgoing::Data(reply), Outgoing::Cookie(cookie)]).await?;
            }
        }
    }
    Ok(())
}

fn serve(element: &PoolElement) {
    let element = element.clone();
    tokio::spawn(async move {
        while let Ok(session) = element.accept().await {
            tokio::spawn(count(session));
        }
    });
}

async fn event(session: &mut Session) -> SessionEvent {
    timeout(secs(60), session.recv()).await.expect("an event within a minute").unwrap()
}

/// Sends something and waits for the number in the reply.
async fn ask(session: &mut Session) -> u64 {
    session.send(UserMessage::new(PPID, &b"?"[..])).await.unwrap();
    match event(session).await {
        SessionEvent::Message(message) => {
            assert_eq!(message.ppid, PPID);
            std::str::from_utf8(&message.data).unwrap().parse().unwrap()
        }
        other => panic!("{other:?}"),
    }
}

async fn done(session: &mut Session) -> (PeId, bool, u64) {
    match event(session).await {
        SessionEvent::FailoverDone { element, cookie_echoed, number } => {
            (element, cookie_echoed, number)
        }
        other => panic!("{other:?}"),
    }
}

async fn needed(session: &mut Session) -> FailoverCause {
    match event(session).await {
        SessionEvent::FailoverNeeded(cause) => cause,
        other => panic!("{other:?}"),
    }
}

/// A process that dies without a word: its ABORTs get nowhere, and packets to it find nobody.
async fn kill(lab: &Lab, last: u8, stack: Stack) {
    lab.cut.lock().unwrap().insert(ip(last));
    stack.abort("killed").await;
    drop(stack);
    tokio::time::sleep(Duration::from_micros(10)).await;
    lab.cut.lock().unwrap().remove(&ip(last));
}

#[tokio::test(start_paused = true)]
async fn a_session_goes_on_when_its_server_is_killed() {
    let lab = Lab::new(true);
    let (_rs, _registrar) = lab.registrar(1);
    let mut elements = std::collections::BTreeMap::new();
    for last in [11, 12, 13] {
        let (stack, element) = lab.element(last, Policy::RoundRobin, &[1]);
        element.registered().await.unwrap();
        serve(&element);
        elements.insert(last, (stack, element));
    }
    let (_us, user) = lab.user(21, &[1]);
    let mut session = user.open(pool(), SessionOptions::default()).unwrap();
    let (mut serving, echoed, number) = done(&mut session).await;
    assert!(!echoed && number == 0);
    assert_eq!(session.element(), Some(serving));
    let mut expected = 1;
    for kills in 1..=2 {
        for _ in 0..3 {
            assert_eq!(ask(&mut session).await, expected);
            expected += 1;
        }
        let last = u8::try_from(serving.0).unwrap();
        let (stack, element) = elements.remove(&last).unwrap();
        drop(element);
        kill(&lab, last, stack).await;
        let killed = Instant::now();
        // A request to the dead server draws an ICMP message.
        session.send(UserMessage::new(PPID, &b"?"[..])).await.unwrap();
        assert!(matches!(needed(&mut session).await, FailoverCause::Ended(_)));
        let (now, echoed, number) = done(&mut session).await;
        assert!(killed.elapsed() < secs(1), "{:?}", killed.elapsed());
        assert_ne!(now, serving);
        assert!(echoed);
        assert_eq!(number, kills);
        serving = now;
    }
    // The third server continues where the second one was.
    assert_eq!(ask(&mut session).await, expected);
    session.close().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_idle_session_notices_a_dead_server_by_heartbeats() {
    for (icmp, limit) in [(true, secs(2)), (false, secs(9))] {
        let lab = Lab::new(icmp);
        let (_rs, _registrar) = lab.registrar(1);
        let (first_stack, first) = lab.element(11, Policy::RoundRobin, &[1]);
        first.registered().await.unwrap();
        serve(&first);
        let (_us, user) = lab.user(21, &[1]);
        let mut session = user.open(pool(), SessionOptions::default()).unwrap();
        assert_eq!(done(&mut session).await.0, PeId(11));
        let (_ss, second) = lab.element(12, Policy::RoundRobin, &[1]);
        second.registered().await.unwrap();
        serve(&second);
        tokio::time::sleep(secs(3)).await;
        drop(first);
        kill(&lab, 11, first_stack).await;
        let killed = Instant::now();
        needed(&mut session).await;
        assert_eq!(done(&mut session).await.0, PeId(12));
        assert!(killed.elapsed() < limit, "icmp {icmp}: {:?}", killed.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn the_reply_timeout_finds_a_server_that_lives_but_does_not_answer() {
    let lab = Lab::new(true);
    let (_rs, _registrar) = lab.registrar(1);
    let (_s1, mute) = lab.element(11, Policy::RoundRobin, &[1]);
    mute.registered().await.unwrap();
    // It accepts, but never reads.
    let held = tokio::spawn(async move { mute.accept().await.map(|s| (s, mute)) });
    let (_us, user) = lab.user(21, &[1]);
    let options = SessionOptions {
        reply_timeout: Some(Duration::from_millis(500)),
        ..SessionOptions::default()
    };
    let mut session = user.open(pool(), options).unwrap();
    assert_eq!(done(&mut session).await.0, PeId(11));
    let (_s2, second) = lab.element(12, Policy::RoundRobin, &[1]);
    second.registered().await.unwrap();
    serve(&second);
    let sent = Instant::now();
    session.send(UserMessage::new(PPID, &b"?"[..])).await.unwrap();
    assert_eq!(needed(&mut session).await, FailoverCause::ReplyTimeout);
    assert_eq!(sent.elapsed().as_millis(), 500);
    assert_eq!(done(&mut session).await.0, PeId(12));
    assert_eq!(ask(&mut session).await, 1);
    drop(held.await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn elements_register_again_at_once_after_losing_the_registrar() {
    let lab = Lab::new(true);
    let (first_stack, first) = lab.registrar(1);
    let (_es, element) = lab.element(11, Policy::RoundRobin, &[1, 2]);
    element.registered().await.unwrap();
    let (_rs, second) = lab.registrar(2);
    first.shutdown().await;
    kill(&lab, 1, first_stack).await;
    let lost = Instant::now();
    let mut events = Vec::new();
    while events.iter().filter(|e| **e == ElementEvent::Registered).count() < 2 {
        events.push(timeout(secs(60), element.next_event()).await.unwrap().unwrap());
    }
    let is_lost = |event: &ElementEvent| matches!(event, ElementEvent::RegistrarLost(_));
    assert!(events.iter().any(is_lost), "{events:?}");
    assert!(lost.elapsed() < secs(1), "{:?}", lost.elapsed());
    element.registered().await.unwrap();
    assert_eq!(second.stats().pool_elements, 1);
    // Silent death of the registrar, without ICMP: heartbeats find out.
    lab.net.with(|net| net.icmp = false);
    let (_third_stack, third) = lab.registrar(1);
    kill(&lab, 2, _rs).await;
    let lost = Instant::now();
    while third.stats().pool_elements == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(lost.elapsed() < secs(20), "{:?}", lost.elapsed());
}

#[tokio::test(start_paused = true)]
async fn deregistration_and_unknown_pools() {
    let lab = Lab::new(true);
    let (_rs, registrar) = lab.registrar(1);
    let (_es, element) = lab.element(11, Policy::RoundRobin, &[1]);
    element.registered().await.unwrap();
    let (_us, user) = lab.user(21, &[1]);
    let resolved = user.resolve(&pool(), 1, Duration::ZERO).await.unwrap();
    assert_eq!(resolved[0].id, PeId(11));
    let Transport::Sctp(transport) = &resolved[0].user_transport else { panic!("{resolved:?}") };
    assert_eq!((transport.port, &transport.addrs[..]), (element.port(), &[ip(11)][..]));
    element.deregister().await.unwrap();
    assert_eq!(registrar.stats().pool_elements, 0);
    assert!(matches!(element.accept().await, Err(Error::Closed)));
    assert_eq!(element.deregister().await, Err(Error::Closed));
    let nobody = user.resolve(&pool(), 1, Duration::ZERO).await;
    assert_eq!(nobody, Err(Error::NoElement(pool())));
}

#[tokio::test(start_paused = true)]
async fn a_load_reaches_the_registrar_at_once() {
    let lab = Lab::new(true);
    let (_rs, _registrar) = lab.registrar(1);
    let (_s1, busy) = lab.element(11, Policy::LeastUsed { load: 0 }, &[1]);
    let (_s2, idle) = lab.element(12, Policy::LeastUsed { load: 0 }, &[1]);
    busy.registered().await.unwrap();
    idle.registered().await.unwrap();
    let (_us, user) = lab.user(21, &[1]);
    busy.set_load(0.5);
    tokio::time::sleep(Duration::from_millis(50)).await;
    for _ in 0..3 {
        let resolved = user.resolve(&pool(), 1, Duration::ZERO).await.unwrap();
        assert_eq!(resolved[0].id, PeId(12));
    }
    assert!(busy.set_policy(Policy::RoundRobin).is_err());
}

#[tokio::test(start_paused = true)]
async fn a_refused_registration_is_told() {
    let lab = Lab::new(true);
    let (_rs, _registrar) = lab.registrar(1);
    let (_s1, first) = lab.element(11, Policy::RoundRobin, &[1]);
    first.registered().await.unwrap();
    let (_s2, second) = lab.element(12, Policy::Random, &[1]);
    let refused = second.registered().await.unwrap_err();
    assert!(refused.to_string().contains("policy differs from that of the pool"), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn without_a_registrar_resolution_fails_in_time() {
    let lab = Lab::new(false);
    let (_us, user) = lab.user(21, &[1]);
    let start = Instant::now();
    assert_eq!(user.resolve(&pool(), 1, Duration::ZERO).await, Err(Error::NoRegistrar));
    assert_eq!(start.elapsed(), secs(15));
}

#[tokio::test(start_paused = true)]
async fn sessions_refuse_what_cannot_be_sent() {
    let lab = Lab::new(true);
    let (_rs, _registrar) = lab.registrar(1);
    let (_es, element) = lab.element(11, Policy::RoundRobin, &[1]);
    let (_us, user) = lab.user(21, &[1]);
    let session = user.open(pool(), SessionOptions::default()).unwrap();
    let data = |ppid| UserMessage::new(ppid, &b"x"[..]);
    assert_eq!(session.send(data(PPID)).await, Err(Error::NotConnected));
    assert!(matches!(session.send(data(11)).await, Err(Error::Invalid(_))));
    let wrong = SessionOptions { retry_delay: Duration::ZERO, ..SessionOptions::default() };
    assert!(matches!(user.open(pool(), wrong), Err(Error::Invalid(_))));
    drop(element);
    // Closing while nothing is connected does not wait.
    timeout(secs(1), session.close()).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn large_messages_in_both_directions() {
    let lab = Lab::new(true);
    let (_rs, _registrar) = lab.registrar(1);
    let (_es, element) = lab.element(11, Policy::RoundRobin, &[1]);
    element.registered().await.unwrap();
    let echo = tokio::spawn(async move {
        let mut session = element.accept().await?;
        while let Some(ElementIncoming::Message(message)) = session.recv().await? {
            session.send(message).await?;
        }
        Ok::<_, Error>(())
    });
    let (_us, user) = lab.user(21, &[1]);
    let mut session = user.open(pool(), SessionOptions::default()).unwrap();
    done(&mut session).await;
    // More than the receive buffer holds, so it is delivered in parts.
    let data: Bytes = (0..1_000_000u32).map(|i| (i % 251) as u8).collect();
    session.send(UserMessage::new(PPID, data.clone())).await.unwrap();
    match event(&mut session).await {
        SessionEvent::Message(message) => assert!(message.data == data),
        other => panic!("{other:?}"),
    }
    session.close().await.unwrap();
    echo.await.unwrap().unwrap();
}

/// The server counts what a client asks. A killed client whose next life has the same ports begins
/// anew.
#[tokio::test(start_paused = true)]
async fn a_restarted_client_has_a_new_session() {
    let lab = Lab::new(true);
    let (_rs, _registrar) = lab.registrar(1);
    let (element_stack, element) = lab.element(11, Policy::RoundRobin, &[1]);
    element.registered().await.unwrap();
    serve(&element);
    let udp_port = element_stack.local_udp_port().unwrap();
    let peer = Peer::new(ip(11), Encap::Udp { remote_port: udp_port }, element.port());
    let call = async |seed: u8| {
        let link = lab.net.link(&[ip(21)], 9899);
        let stack = StackBuilder::new().link(link).seed([seed; 32]).build().unwrap();
        let association = stack.bind(5000).unwrap().connect(&peer).await.unwrap();
        (stack, association)
    };
    let ask = async |association: &Association| {
        association.send(Message::new(0, PPID, "how many?")).await.unwrap();
        loop {
            let reply = timeout(secs(60), association.recv_message()).await.unwrap();
            let reply = reply.unwrap().expect("the server does not shut down");
            if reply.ppid == PPID {
                return String::from_utf8(reply.data.to_vec()).unwrap();
            }
        }
    };
    let (stack, client) = call(1).await;
    assert_eq!(ask(&client).await, "1");
    assert_eq!(ask(&client).await, "2");
    lab.cut.lock().unwrap().insert(ip(21));
    drop((stack, client));
    tokio::time::sleep(secs(1)).await;
    lab.cut.lock().unwrap().remove(&ip(21));
    let (_stack, client) = call(2).await;
    assert_eq!(ask(&client).await, "1");
    assert_eq!(ask(&client).await, "2");
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_ready_can_send() {
    let lab = Lab::new(true);
    let (_rs, _registrar) = lab.registrar(1);
    let (_es, element) = lab.element(11, Policy::RoundRobin, &[1]);
    element.registered_within(secs(5)).await.unwrap();
    serve(&element);
    let (_us, user) = lab.user(21, &[1]);
    let mut session = user.open(pool(), SessionOptions::default()).unwrap();
    let hello = || UserMessage::new(PPID, &b"?"[..]);
    assert_eq!(session.send(hello()).await, Err(Error::NotConnected));
    // Nothing is lost by giving up: each of these is polled once and dropped.
    let mut given_up = 0;
    while timeout(Duration::ZERO, session.ready()).await.is_err() {
        given_up += 1;
        tokio::time::sleep(Duration::from_micros(50)).await;
    }
    assert!(given_up > 3);
    assert_eq!(session.ready().await, Ok(PeId(11)));
    session.send(hello()).await.unwrap();
    // The events are all there.
    assert_eq!(done(&mut session).await, (PeId(11), false, 0));
    assert!(matches!(event(&mut session).await, SessionEvent::Message(_)));
    // A failover is waited for, too.
    session.force_failover(false);
    assert!(matches!(needed(&mut session).await, FailoverCause::Forced));
    assert_eq!(session.ready_within(secs(60)).await, Ok(PeId(11)));
    session.send(hello()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn waiting_in_vain_says_what_was_waited_for() {
    let lab = Lab::new(true);
    let (_es, element) = lab.element(11, Policy::RoundRobin, &[1]);
    let why = element.registered_within(secs(5)).await.unwrap_err();
    assert_eq!(
        why.to_string(),
        "no registrar has registered the element in pool \"pool\" within 5s; registrar 10.0.0.1, port \
         3863, UDP port 9899, cannot be reached: the peer's host says that nothing speaks SCTP there"
    );
    drop(element);

    let (_rs, _registrar) = lab.registrar(1);
    let (us, user) = lab.user(21, &[1]);
    let session = user.open(pool(), SessionOptions::default()).unwrap();
    let why = session.ready_within(secs(5)).await.unwrap_err();
    assert_eq!(
        why.to_string(),
        "the session with pool \"pool\" was not connected within 5s: pool \"pool\" has no available \
         element"
    );
    // It goes on trying.
    let (_es, element) = lab.element(12, Policy::RoundRobin, &[1]);
    element.registered_within(secs(5)).await.unwrap();
    assert_eq!(session.ready_within(secs(5)).await, Ok(PeId(12)));

    us.abort("").await;
    tokio::time::sleep(secs(1)).await;
    assert_eq!(session.ready().await, Err(Error::Closed));
    assert_eq!(session.ready_within(secs(1)).await, Err(Error::Closed));
}
