//! Registrars that say that they are the home, and other associations that registrars open.

use super::*;

/// An element 1 with a home, which is one of two known registrars. Gives the other one as well.
fn with_home() -> (Bench, ChannelId, Peer) {
    let known = [registrar(1), registrar(2)];
    let (bench, home) = Bench::registered(&known, Policy::RoundRobin);
    let at_home = &bench.ways[&home];
    let other = known.iter().find(|peer| *peer != at_home).unwrap().clone();
    (bench, home, other)
}

fn new_home(outputs: &[Output]) -> Option<ChannelId> {
    outputs.iter().find_map(|o| match o {
        Output::Event(AsapEvent::NewHome(channel)) => Some(*channel),
        _ => None,
    })
}

/// The elements that are registered over this association by these outputs.
fn registered_over(channel: ChannelId, outputs: &[Output]) -> Vec<u32> {
    let messages = messages_in(outputs).into_iter().filter(|(to, _)| *to == channel);
    let registration = |m| match m {
        (_, AsapMessage::Registration(m)) => Some(m.element.id.0),
        _ => None,
    };
    messages.filter_map(registration).collect()
}

#[test]
fn a_known_registrar_is_believed_at_once() {
    let (mut bench, old, other) = with_home();
    let request = bench.core.resolve(bench.now, &pool(), 1, Duration::ZERO);
    bench.outputs();
    bench.pass(ms(1000));
    let new = bench.incoming_from(other);
    // Without the H flag: an answer, but no new home.
    bench.receive(new, keep_alive(false, Some(1)));
    assert_eq!(bench.outputs(), [ack(new, 1)]);
    // For a foreign element: nothing.
    bench.receive(new, keep_alive(true, Some(5)));
    assert_eq!(bench.outputs(), []);
    bench.receive(new, keep_alive(true, Some(1)));
    let outputs = bench.outputs();
    assert_eq!(outputs[0], ack(new, 1));
    assert_eq!(new_home(&outputs), Some(new));
    assert!(outputs.iter().any(|o| matches!(o, Output::Abort { channel, .. } if *channel == old)));
    // The element registers there at once. RSPLIB waits until the next registration is due, and so
    // does RFC 5352, but then the new home knows an element for up to 30 s only by hearsay.
    assert_eq!(registered_over(new, &outputs), [1]);
    // The question that was open is asked again, and answered by the new home.
    let asked = |m: &(ChannelId, AsapMessage)| matches!(m, (to, AsapMessage::HandleResolution(_)) if *to == new);
    assert!(messages_in(&outputs).iter().any(asked));
    bench.receive(new, accepted(1));
    assert_eq!(bench.outputs(), [Output::Event(AsapEvent::Registered { id: PeId(1) })]);
    bench.receive(
        new,
        AsapMessage::HandleResolutionResponse(HandleResolutionResponse {
            accept_updates: false,
            pool: pool(),
            resolution: Resolution::Elements {
                policy: Some(Policy::RoundRobin),
                elements: vec![element(1)],
            },
        }),
    );
    assert_eq!(
        bench.outputs(),
        [Output::Event(AsapEvent::Resolved { request, result: Ok(vec![element(1)]) })]
    );
    bench.pass(ms(29_999));
    assert_eq!(bench.outputs(), []);
    bench.pass(ms(1));
    assert_eq!(registrations(&bench.sent()), [1]);
}

#[test]
fn an_announced_registrar_is_known_until_the_announce_expires() {
    let (mut bench, _, _) = with_home();
    bench.announce(7);
    bench.pass(ms(4999));
    let new = bench.incoming_from(registrar(7));
    bench.receive(new, keep_alive(true, Some(1)));
    assert_eq!(new_home(&bench.outputs()), Some(new));
    let (mut bench, _, _) = with_home();
    bench.announce(7);
    bench.pass(ms(5000));
    let new = bench.incoming_from(registrar(7));
    bench.receive(new, keep_alive(true, Some(1)));
    assert_eq!(new_home(&bench.outputs()), None);
}

/// The handshake has verified the first address only; the others are what the stranger says.
#[test]
fn a_stranger_cannot_borrow_the_address_or_the_port_of_a_known_registrar() {
    let (mut bench, _, other) = with_home();
    let mut stranger = registrar(100);
    stranger.addrs.extend(other.addrs.clone());
    let another_port = Peer { port: other.port + 1, ..other };
    for peer in [stranger, another_port] {
        let channel = bench.incoming_from(peer);
        bench.receive(channel, keep_alive(true, Some(1)));
        let outputs = bench.outputs();
        assert_eq!(outputs[0], ack(channel, 1));
        assert_eq!(new_home(&outputs), None, "{outputs:?}");
    }
}

#[test]
fn an_unknown_registrar_is_not_believed_while_the_home_answers() {
    let (mut bench, home, _) = with_home();
    bench.pass(ms(5000));
    let stranger = bench.incoming();
    bench.receive(stranger, keep_alive(true, Some(1)));
    // It gets its answer, and the home is asked whether it lives.
    let outputs = bench.outputs();
    assert_eq!(outputs[0], ack(stranger, 1));
    assert_eq!(registered_over(home, &outputs), [1]);
    assert_eq!(outputs.len(), 2);
    bench.pass(ms(999));
    bench.receive(home, accepted(1));
    bench.pass(ms(10_000));
    assert_eq!(bench.outputs(), []);
}

#[test]
fn claims_make_nobody_ask_the_home_more_often_than_once_a_second() {
    let (mut bench, home, _) = with_home();
    bench.pass(ms(5000));
    let stranger = bench.incoming();
    let mut registrations = 0;
    for _ in 0..100 {
        bench.receive(stranger, keep_alive(true, Some(1)));
        let outputs = bench.outputs();
        for id in registered_over(home, &outputs) {
            registrations += 1;
            bench.receive(home, accepted(id));
        }
        bench.pass(ms(100));
    }
    assert!((9..=11).contains(&registrations), "{registrations} in 10 s");
}

#[test]
fn an_unknown_registrar_is_believed_when_the_home_is_silent() {
    let (mut bench, home, _) = with_home();
    bench.pass(ms(5000));
    let stranger = bench.incoming();
    bench.receive(stranger, keep_alive(true, Some(1)));
    bench.outputs();
    bench.pass(ms(999));
    assert_eq!(bench.outputs(), []);
    bench.pass(ms(1));
    let outputs = bench.outputs();
    assert_eq!(new_home(&outputs), Some(stranger));
    assert_eq!(registered_over(stranger, &outputs), [1]);
    assert!(!is_lost(&outputs), "it has a home all the time");
    let aborted = |o: &Output| matches!(o, Output::Abort { channel, .. } if *channel == home);
    assert!(outputs.iter().any(aborted));
}

/// The other way round: the silence comes first, and the claim in the midst of it.
#[test]
fn a_claim_that_comes_late_is_believed_at_once() {
    let (mut bench, _, _) = with_home();
    bench.pass(ms(30_000));
    assert_eq!(registrations(&bench.sent()), [1]);
    bench.pass(ms(2000));
    assert_eq!(bench.outputs(), [], "silence alone is no loss before 3 s");
    let stranger = bench.incoming();
    bench.receive(stranger, keep_alive(true, Some(1)));
    assert_eq!(new_home(&bench.outputs()), Some(stranger));
}

#[test]
fn a_remembered_claim_saves_the_search_when_the_home_is_lost() {
    let (mut bench, home, _) = with_home();
    let first = bench.incoming();
    bench.receive(first, keep_alive(true, Some(1)));
    let second = bench.incoming_from(registrar(101));
    bench.receive(second, keep_alive(true, Some(1)));
    bench.pass(ms(1000));
    bench.receive(home, accepted(1));
    bench.outputs();
    bench.down(home);
    let outputs = bench.outputs();
    assert!(is_lost(&outputs) && connects_in(&outputs).is_empty(), "{outputs:?}");
    assert_eq!(new_home(&outputs), Some(second), "the newest claim counts");
    assert_eq!(registered_over(second, &outputs), [1]);
    // That one is of no use, so it is the first one's turn.
    bench.pass(ms(3000));
    let outputs = bench.outputs();
    assert_eq!(new_home(&outputs), Some(first), "{outputs:?}");
    // Nobody is left that claims anything: a registrar is looked for.
    bench.down(first);
    let outputs = bench.outputs();
    assert_eq!(new_home(&outputs), None);
    assert!(!connects_in(&outputs).is_empty());
}

#[test]
fn a_claim_ends_with_its_association() {
    let (mut bench, home, _) = with_home();
    let stranger = bench.incoming();
    bench.receive(stranger, keep_alive(true, Some(1)));
    bench.down(stranger);
    bench.outputs();
    bench.down(home);
    assert_eq!(new_home(&bench.outputs()), None);
}

#[test]
fn a_new_home_ends_the_hunt() {
    let (mut bench, old) = Bench::registered(&[registrar(1)], Policy::RoundRobin);
    bench.down(old);
    let tried = bench.connects();
    let new = bench.incoming();
    bench.receive(new, keep_alive(true, Some(1)));
    let outputs = bench.outputs();
    assert!(
        outputs
            .iter()
            .any(|o| matches!(o, Output::Abort { channel, .. } if *channel == tried[0].0))
    );
    assert!(outputs.contains(&Output::Event(AsapEvent::NewHome(new))));
}

#[test]
fn incoming_associations_are_bounded_and_closed_when_idle() {
    let (mut bench, _) = Bench::registered(&[registrar(1)], Policy::RoundRobin);
    let first = bench.incoming();
    for _ in 1..MAX_INCOMING {
        bench.incoming();
    }
    assert_eq!(bench.outputs(), []);
    let channel = bench.incoming();
    assert_eq!(bench.outputs(), [Output::Abort { channel, reason: "too many registrars" }]);
    bench.pass(ms(20_000));
    bench.receive(first, keep_alive(false, Some(1)));
    assert_eq!(bench.outputs(), [ack(first, 1)]);
    bench.pass(ms(10_000));
    let idle = bench
        .outputs()
        .into_iter()
        .filter(|o| matches!(o, Output::Abort { reason: "idle", .. }))
        .count();
    assert_eq!(idle, MAX_INCOMING - 1);
    // An answer from nobody's registrar is ignored; nonsense ends the association.
    bench.receive(first, accepted(1));
    assert_eq!(bench.outputs(), []);
    bench.bytes(first, &[1]);
    assert_eq!(bench.outputs(), [Output::Abort { channel: first, reason: "undecodable message" }]);
}
