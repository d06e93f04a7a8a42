//! How pool elements and pool users find registrars, and what they do with several.

use rserpool::wire::numbers::ppid;
use rserpool::wire::{AsapMessage, EndpointKeepAlive, ServerId};
use rserpool::{Resolver, UserEvent};

use super::*;

#[tokio::test(start_paused = true)]
async fn a_registrar_that_moved_is_found_again_by_its_name() {
    let lab = Lab::new(true);
    let (rs, registrar) = lab.registrar(1);
    let (address, looked_up) = (Arc::new(Mutex::new(1u8)), Arc::new(Mutex::new(0)));
    let (answer, count) = (Arc::clone(&address), Arc::clone(&looked_up));
    let resolver = Resolver::new(move || {
        *count.lock().unwrap() += 1;
        let last = *answer.lock().unwrap();
        async move { vec![Peer::new(ip(last), Encap::Udp { remote_port: 9899 }, 3863)] }
    });
    let asap = AsapConfig { resolver: Some(resolver), ..lab.asap(&[], 2) };
    let stack = lab.stack(2);
    let options = ElementOptions { asap, ..ElementOptions::new(pool()) };
    let element = PoolElement::register(&stack, options).unwrap();
    timeout(secs(60), element.registered()).await.unwrap().unwrap();
    assert_eq!(*looked_up.lock().unwrap(), 1);

    let (_rs, moved) = lab.registrar(3);
    *address.lock().unwrap() = 3;
    drop(registrar);
    kill(&lab, 1, rs).await;
    let there = async {
        while moved.stats().pool_elements == 0 {
            tokio::time::sleep(secs(1)).await;
        }
    };
    timeout(secs(60), there).await.unwrap();
    assert!(*looked_up.lock().unwrap() >= 2);
}

/// The end of an association takes a round trip, and its ports are not free until then. That is no
/// problem of the registrar. The reason of the end is told.
#[tokio::test(start_paused = true)]
async fn a_registrar_that_ends_an_association_is_connected_with_anew() {
    let lab = Lab::new(true);
    let stack = lab.stack(1);
    let endpoint = stack.bind(3863).unwrap();
    endpoint.listen(16).unwrap();
    let (_es, element) = lab.element(11, Policy::RoundRobin, &[1]);
    let first = endpoint.accept().await.unwrap();
    first.recv_message().await.unwrap();
    first.start_shutdown();
    let second = timeout(secs(20), endpoint.accept()).await.unwrap().unwrap();
    second.recv_message().await.unwrap();
    second.abort("nothing is served here");
    let mut events = Vec::new();
    while events.iter().filter(|e| matches!(e, ElementEvent::RegistrarLost(_))).count() < 2 {
        events.push(timeout(secs(60), element.next_event()).await.unwrap().unwrap());
    }
    let told: Vec<String> = events.iter().map(ElementEvent::to_string).collect();
    assert!(!told.iter().any(|told| told.contains("already is an association")), "{told:#?}");
    assert!(told.iter().any(|told| told.contains("lost the registrar: ")), "{told:#?}");
    let last = "lost the registrar: the peer aborted the association: \"nothing is served here\"";
    assert_eq!(told.last().unwrap(), last);
}

/// It accepts and says nothing, or it dies afterwards.
#[tokio::test(start_paused = true)]
async fn an_element_says_which_registrar_keeps_it_waiting() {
    let lab = Lab::new(true);
    let silent = lab.stack(1);
    let endpoint = silent.bind(3863).unwrap();
    endpoint.listen(16).unwrap();
    let (_es, element) = lab.element(11, Policy::RoundRobin, &[1]);
    for _ in 0..3 {
        let why = element.registered_within(secs(2)).await.unwrap_err();
        let hint = "; registrar 10.0.0.1, port 3863, has not answered";
        assert!(why.to_string().ends_with(hint), "{why}");
    }
    let (rs, registrar) = lab.registrar(2);
    let (_es, element) = lab.element(12, Policy::RoundRobin, &[2]);
    element.registered().await.unwrap();
    lab.cut.lock().unwrap().insert(ip(2));
    drop((registrar, rs));
    while !matches!(element.next_event().await.unwrap(), ElementEvent::RegistrarLost(_)) {}
    let why = element.registered_within(Duration::from_millis(1)).await.unwrap_err();
    assert!(why.to_string().contains("; the registrar was lost"), "{why}");
}

#[tokio::test(start_paused = true)]
async fn registrars_are_given_by_text() {
    let lab = Lab::new(true);
    let (_rs, _registrar) = lab.registrar(2);
    let asap = rserpool::with_registrar_names(["10.0.0.1:3863", "10.0.0.2:3863/udp:9899"]).unwrap();
    let options = UserOptions { asap: AsapConfig { seed: Some([21; 32]), ..asap } };
    let user = PoolUser::new(&lab.stack(21), options).unwrap();
    let (_es, element) = lab.element(11, Policy::RoundRobin, &[2]);
    element.registered().await.unwrap();
    let found = timeout(secs(60), user.resolve(&pool(), 1, Duration::ZERO)).await.unwrap();
    assert_eq!(found.unwrap()[0].id, PeId(11));
    let wrong = rserpool::with_registrar_names(["10.0.0.1:3863", "registrar.example"]).unwrap_err();
    let hint = "'registrar.example' has no SCTP port";
    assert!(wrong.to_string().starts_with(hint), "{wrong}");
}

/// Two registrars that do not know each other: each has pools of its own.
#[tokio::test(start_paused = true)]
async fn a_pool_that_one_registrar_does_not_know_is_found_at_another_one() {
    let lab = Lab::new(true);
    let registrars = [lab.registrar(1), lab.registrar(2)];
    let (_es, element) = lab.element(11, Policy::RoundRobin, &[1]);
    element.registered().await.unwrap();
    // Some users have the one as their home, and some the other.
    for last in 21..29 {
        let (_us, user) = lab.user(last, &[1, 2]);
        let start = Instant::now();
        let found = user.resolve(&pool(), 1, Duration::ZERO).await.unwrap();
        assert_eq!(found[0].id, PeId(11));
        assert!(start.elapsed() < Duration::from_millis(100), "{:?}", start.elapsed());
        let nowhere = PoolHandle::new("nowhere").unwrap();
        let unknown = user.resolve(&nowhere, 1, Duration::ZERO).await;
        assert_eq!(unknown, Err(Error::NoElement(nowhere)));
    }
    let at_home = registrars.each_ref().map(|(_, registrar)| registrar.stats().pool_elements);
    assert_eq!(at_home, [1, 0]);
}

/// The registrar in the middle of the list is cut off without a word; nobody waits for it long.
#[tokio::test(start_paused = true)]
async fn registrars_that_do_not_answer_delay_the_search_by_250_ms_each() {
    let lab = Lab::new(false);
    let (_rs, _registrar) = lab.registrar(3);
    let (mut slowest, mut quickest) = (Duration::ZERO, secs(60));
    for last in 11..21 {
        let start = Instant::now();
        let (_es, element) = lab.element(last, Policy::RoundRobin, &[1, 2, 3]);
        element.registered().await.unwrap();
        slowest = slowest.max(start.elapsed());
        quickest = quickest.min(start.elapsed());
    }
    assert!(slowest < Duration::from_millis(550) && quickest < Duration::from_millis(50));
}

/// An event for each failure and each search would fill any queue.
#[tokio::test(start_paused = true)]
async fn a_user_that_reads_no_events_learns_how_many_it_missed() {
    let lab = Lab::new(true);
    let (_us, user) = lab.user(21, &[1, 2, 3]);
    let resolving = user.clone();
    tokio::spawn(async move {
        while resolving.resolve(&pool(), 1, Duration::ZERO).await == Err(Error::NoRegistrar) {}
    });
    tokio::time::sleep(secs(600)).await;
    let first = user.next_event().await.unwrap();
    let UserEvent::Missed(count) = first else { panic!("{first:?}") };
    assert!(count > 100, "{count}");
    assert_eq!(first.to_string(), format!("missed {count} events"));
    assert!(!matches!(user.next_event().await, Ok(UserEvent::Missed(_))));
}

/// Reads until a message that fits.
async fn hears(association: &Association, fits: impl Fn(&AsapMessage) -> bool) {
    let heard = async {
        loop {
            let received = association.recv_message().await.unwrap().expect("it goes on");
            if fits(&AsapMessage::decode(&received.data).unwrap()) {
                return;
            }
        }
    };
    timeout(secs(10), heard).await.expect("a message within 10 s");
}

async fn next_event(element: &PoolElement) -> ElementEvent {
    timeout(secs(10), element.next_event()).await.expect("an event within 10 s").unwrap()
}

/// A stranger says that it is the home. It gets its acknowledgement, and when the home dies, the
/// element.
#[tokio::test(start_paused = true)]
async fn a_strange_registrar_gets_an_element_only_when_the_home_dies() {
    let lab = Lab::new(true);
    let (rs, registrar) = lab.registrar(1);
    let (element_stack, element) = lab.element(11, Policy::RoundRobin, &[1]);
    element.registered().await.unwrap();
    let stranger = lab.stack(2);
    let remote_port = element_stack.local_udp_port().unwrap();
    let peer = Peer::new(ip(11), Encap::Udp { remote_port }, element.asap_port());
    let association = stranger.bind(3863).unwrap().connect(&peer).await.unwrap();
    let claim = AsapMessage::EndpointKeepAlive(EndpointKeepAlive {
        home: true,
        server: ServerId(2),
        pool: pool(),
        id: Some(PeId(11)),
    });
    let claim = claim.encode().unwrap();
    for _ in 0..3 {
        association.send(Message::new(0, ppid::ASAP, claim.clone())).await.unwrap();
        hears(&association, |m| matches!(m, AsapMessage::EndpointKeepAliveAck(_))).await;
        tokio::time::sleep(secs(5)).await;
    }
    assert_eq!(registrar.stats().pool_elements, 1, "the home keeps it");
    while !matches!(next_event(&element).await, ElementEvent::Registered) {}
    drop(registrar);
    kill(&lab, 1, rs).await;
    let lost = next_event(&element).await;
    assert!(matches!(lost, ElementEvent::RegistrarLost(_)), "{lost:?}");
    assert!(matches!(next_event(&element).await, ElementEvent::NewHome { port: 3863, .. }));
    hears(&association, |m| matches!(m, AsapMessage::Registration(_))).await;
}
