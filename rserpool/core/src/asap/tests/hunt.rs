//! Finding a registrar, and finding another one.

use super::*;

#[test]
fn a_new_registrar_is_tried_every_250_ms_and_the_first_that_accepts_wins() {
    let all: Vec<Peer> = (1..=5).map(registrar).collect();
    let mut bench = Bench::new(&all);
    let mut tried = bench.connects();
    assert_eq!(tried.len(), 1);
    for _ in 0..2 {
        bench.pass(ms(249));
        assert_eq!(bench.outputs(), []);
        bench.pass(ms(1));
        tried.extend(bench.connects());
    }
    assert_eq!(tried.len(), 3);
    // One refuses: the next one is tried at once.
    bench.failed(tried[0].0);
    tried.extend(bench.connects());
    assert_eq!(tried.len(), 4);
    let different: std::collections::BTreeSet<_> =
        tried.iter().map(|(_, peer)| format!("{peer:?}")).collect();
    assert_eq!(different.len(), 4, "{tried:?}");
    // One accepts: the others are given up.
    bench.connected(tried[2].0);
    let outputs = bench.outputs();
    let aborted = |channel| {
        outputs.iter().any(|o| matches!(o, Output::Abort { channel: a, .. } if *a == channel))
    };
    assert!(aborted(tried[1].0) && aborted(tried[3].0) && !aborted(tried[2].0));
    assert!(outputs.contains(&Output::Event(AsapEvent::RegistrarFound(tried[2].0))));
    assert_eq!(bench.core.poll_timeout(), None);
    // A late winner is not needed any more.
    bench.connected(tried[1].0);
    assert!(matches!(bench.outputs()[..], [Output::Abort { .. }]));
}

#[test]
fn open_attempts_are_bounded() {
    let all: Vec<Peer> = (1..=9).map(registrar).collect();
    let config = AsapConfig { parallel_connects: 4, ..AsapConfig::default() };
    let mut bench = Bench::with(config, &all);
    bench.register(1, Policy::RoundRobin);
    bench.pass(ms(7499));
    let tried = bench.connects();
    assert_eq!(tried.len(), 4);
    // Each place that becomes free is used at once.
    bench.pass(ms(1));
    assert_eq!(bench.connects().len(), 1);
}

#[test]
fn the_first_registrar_is_a_random_one() {
    let all: Vec<Peer> = (1..=5).map(registrar).collect();
    let mut firsts = std::collections::BTreeSet::new();
    for seed in 0..50 {
        let config = AsapConfig { registrars: all.clone(), ..AsapConfig::default() };
        let mut core = AsapCore::new(Time::ZERO, config, REACH, [seed; 32]);
        while let Some(output) = core.poll_output() {
            if let Output::Connect { ways, .. } = output {
                firsts.insert(format!("{ways:?}"));
                break;
            }
        }
    }
    assert_eq!(firsts.len(), 5);
}

#[test]
fn a_registrar_that_does_not_answer_is_given_up_after_the_connect_timeout() {
    let mut bench = Bench::new(&[registrar(1)]);
    let (first, _) = bench.connects()[0];
    bench.register(1, Policy::RoundRobin);
    bench.pass(ms(7499));
    assert_eq!(bench.outputs(), []);
    bench.pass(ms(1));
    let unreachable =
        AsapEvent::Unreachable { registrar: registrar(1), failure: ConnectFailure::TimedOut };
    assert_eq!(
        bench.outputs(),
        [Output::Abort { channel: first, reason: "connect timeout" }, Output::Event(unreachable)]
    );
    // It is tried again after pauses of 250, 500, ... ms, for ever.
    for pause in [250, 500, 1000, 2000, 4000, 4000] {
        bench.pass(ms(pause - 1));
        assert_eq!(bench.outputs(), [], "{pause}");
        bench.pass(ms(1));
        let (channel, _) = bench.connects()[0];
        bench.failed(channel);
    }
}

#[test]
fn a_pool_user_that_wants_nothing_stops_hunting() {
    let mut bench = Bench::new(&[registrar(1)]);
    let (channel, _) = bench.connects()[0];
    bench.failed(channel);
    bench.pass(ms(60_000));
    assert_eq!(bench.outputs(), []);
    assert_eq!(bench.core.poll_timeout(), None);
    // Until it wants something.
    bench.core.resolve(bench.now, &pool(), 1, Duration::ZERO);
    assert_eq!(bench.connects().len(), 1);
}

#[test]
fn an_announce_ends_the_wait_and_expires() {
    let mut bench = Bench::new(&[]);
    bench.register(1, Policy::RoundRobin);
    assert_eq!(bench.connects(), []);
    bench.pass(ms(3000));
    bench.announce(1);
    let (channel, peer) = bench.connects()[0].clone();
    assert_eq!(peer, registrar(1));
    bench.announce(1);
    assert_eq!(bench.connects(), [], "known already");
    bench.failed(channel);
    // Still valid after 4.999 s, expired after 5 s.
    bench.pass(ms(4999));
    assert!(!bench.connects().is_empty());
    bench.pass(ms(60_000));
    bench.outputs();
    bench.pass(ms(60_000));
    assert_eq!(bench.connects(), []);
    // A registrar that comes while nothing is tried is taken at once.
    bench.announce(2);
    assert_eq!(bench.connects()[0].1, registrar(2));
}

#[test]
fn requests_fail_when_no_registrar_is_found_in_15_seconds() {
    let mut bench = Bench::new(&[]);
    let request = bench.core.resolve(bench.now, &pool(), 1, Duration::ZERO);
    bench.pass(ms(14_999));
    assert!(
        !bench.outputs().iter().any(|o| matches!(o, Output::Event(AsapEvent::Resolved { .. })))
    );
    bench.pass(ms(1));
    let failed =
        Output::Event(AsapEvent::Resolved { request, result: Err(RequestError::NoRegistrar) });
    assert!(bench.outputs().contains(&failed));
}

#[test]
fn the_elements_register_at_once_with_the_next_registrar() {
    let (mut bench, first) = Bench::registered(&[registrar(1), registrar(2)], Policy::RoundRobin);
    bench.pass(ms(100));
    bench.down(first);
    let outputs = bench.outputs();
    assert!(is_lost(&outputs));
    let tried = connects_in(&outputs);
    assert_eq!(tried.len(), 1, "the search begins at once");
    bench.connected(tried[0].0);
    let second = tried[0].0;
    let sent = messages_in(&bench.outputs());
    assert!(matches!(&sent[..], [(channel, AsapMessage::Registration(_))] if *channel == second));
    bench.receive(second, accepted(1));
    assert_eq!(bench.outputs(), [Output::Event(AsapEvent::Registered { id: PeId(1) })]);
}

#[test]
fn the_lost_registrar_is_tried_last() {
    for seed in 0..20 {
        let all: Vec<Peer> = (1..=3).map(registrar).collect();
        let config = AsapConfig { parallel_connects: 1, registrars: all, ..AsapConfig::default() };
        let mut core = AsapCore::new(Time::ZERO, config, REACH, [seed; 32]);
        core.register(Time::ZERO, own(1, Policy::RoundRobin));
        let mut bench = Bench::of(core, Time::ZERO);
        let (channel, lost) = bench.connects()[0].clone();
        bench.connected(channel);
        bench.receive(channel, accepted(1));
        bench.down(channel);
        let mut tried = Vec::new();
        while let Some((channel, peer)) = bench.connects().pop() {
            tried.push(peer);
            bench.failed(channel);
        }
        assert_eq!(tried.len(), 3, "seed {seed}");
        assert_eq!(tried[2], lost, "seed {seed}");
    }
}

#[test]
fn a_registrar_that_accepts_but_never_answers_is_not_courted() {
    let mut bench = Bench::new(&[registrar(1)]);
    bench.register(1, Policy::RoundRobin);
    for pause in [250, 500, 1000] {
        let channel = bench.up();
        bench.outputs();
        bench.down(channel);
        assert!(is_lost(&bench.outputs()));
        bench.pass(ms(pause - 1));
        assert_eq!(bench.outputs(), []);
        bench.pass(ms(1));
    }
}

#[test]
fn undecodable_or_unexpected_messages_end_the_association() {
    let wrong: [&[u8]; 3] = [
        &[9, 0, 0, 4],
        // An unknown message.
        &[0x1f, 0, 0, 4],
        &accepted(99).encode().unwrap(),
    ];
    for message in wrong {
        let (mut bench, channel) = Bench::registered(&[registrar(1)], Policy::RoundRobin);
        bench.bytes(channel, message);
        let outputs = bench.outputs();
        assert!(is_lost(&outputs));
        assert!(matches!(outputs[0], Output::Abort { channel: a, .. } if a == channel));
    }
    // What is known but does not concern us is ignored.
    let (mut bench, channel) = Bench::registered(&[registrar(1)], Policy::RoundRobin);
    bench.receive(channel, AsapMessage::Cookie(Bytes::from_static(b"x")));
    bench.receive(channel, AsapMessage::Error(OperationError::new(CauseCode::UNSPECIFIED)));
    assert_eq!(bench.outputs(), []);
}

/// The new process knows of no registration.
#[test]
fn a_home_registrar_that_restarts_is_lost() {
    let (mut bench, channel) = Bench::registered(&[registrar(1)], Policy::RoundRobin);
    bench.down(channel);
    let outputs = bench.outputs();
    assert!(is_lost(&outputs));
    assert!(matches!(outputs[0], Output::Abort { channel: a, .. } if a == channel));
    let connects = |o: &Output| match o {
        Output::Connect { channel, .. } => Some(*channel),
        _ => None,
    };
    let next = outputs.iter().find_map(connects).expect("it looks for a home again");
    bench.connected(next);
    assert_eq!(registrations(&bench.sent()), [1]);
}

#[test]
fn another_registrar_that_restarts_goes_on_asking() {
    let (mut bench, _) = Bench::registered(&[registrar(1)], Policy::RoundRobin);
    let other = bench.incoming();
    bench.down(other);
    assert_eq!(bench.outputs(), [], "no Abort, so the driver goes on with the new process");
    let other = bench.incoming();
    bench.receive(other, keep_alive(false, Some(1)));
    assert!(!bench.outputs().is_empty());
}

#[test]
fn a_registrar_that_moves_to_another_address_is_found_by_its_name() {
    let mut bench = Bench::new(&[]);
    bench.register(1, Policy::RoundRobin);
    assert_eq!(bench.outputs(), [Output::Event(AsapEvent::Hunting)]);
    bench.core.set_named(bench.now, vec![registrar(1)]);
    let (first, peer) = bench.connects()[0].clone();
    assert_eq!(peer, registrar(1));
    bench.connected(first);
    bench.receive(first, accepted(1));
    // It is lost: the next hunt begins with what is known, and the name is looked up again.
    bench.down(first);
    let outputs = bench.outputs();
    assert!(outputs.contains(&Output::Event(AsapEvent::Hunting)), "{outputs:?}");
    let old = outputs.into_iter().find_map(|o| match o {
        Output::Connect { channel, ways, .. } if ways == [registrar(1)] => Some(channel),
        _ => None,
    });
    bench.core.set_named(bench.now, vec![registrar(2)]);
    let (second, peer) = bench.connects()[0].clone();
    assert_eq!(peer, registrar(2));
    // Nobody is there yet. Later hunts do not try the old address any more.
    bench.failed(old.unwrap());
    bench.failed(second);
    bench.pass(ms(5000));
    let tried: Vec<Peer> = bench.connects().into_iter().map(|(_, peer)| peer).collect();
    assert_eq!(tried, [registrar(2)]);
}

/// Passes time in steps of a tenth of a second until `peer` is tried; every step, `flood` happens.
/// Gives the time that it took, and how many others were tried.
fn until_tried(
    bench: &mut Bench,
    peer: &Peer,
    mut flood: impl FnMut(&mut Bench, u32),
) -> (Duration, usize) {
    let (begin, mut others) = (bench.now, 0);
    for step in 0..3000 {
        flood(bench, step);
        for (_, tried) in bench.connects() {
            if tried == *peer {
                return (bench.now.since(begin), others);
            }
            others += 1;
        }
        bench.pass(ms(100));
    }
    panic!("it was not tried");
}

/// An address that nobody has, another one for each number.
fn nobody(n: u32) -> [u8; 4] {
    let [_, a, b, c] = n.to_be_bytes();
    [11 + a, 1, b, c]
}

#[test]
fn false_announces_do_not_delay_a_configured_registrar() {
    let mut bench = Bench::new(&[registrar(1)]);
    bench.register(1, Policy::RoundRobin);
    // It is not there at first.
    let (channel, _) = bench.connects()[0];
    bench.failed(channel);
    (0..1000).for_each(|n| bench.announce_from(nobody(n)));
    let flood = |bench: &mut Bench, step: u32| bench.announce_from(nobody(1000 + step));
    let (time, _) = until_tried(&mut bench, &registrar(1), flood);
    assert!(time <= ms(300), "{time:?}");
    // Nor when it was the home and is lost.
    let channel = *bench.ways.iter().rfind(|(_, peer)| **peer == registrar(1)).unwrap().0;
    bench.connected(channel);
    bench.receive(channel, accepted(1));
    bench.pass(ms(10_000));
    bench.outputs();
    (0..1000).for_each(|n| bench.announce_from(nobody(5000 + n)));
    bench.down(channel);
    let flood = |bench: &mut Bench, step: u32| bench.announce_from(nobody(9000 + step));
    let (time, others) = until_tried(&mut bench, &registrar(1), flood);
    assert!(time <= ms(1300) && others <= 6, "{time:?} after {others} others");
}

/// A thousand at once, and ten a second after that; the real one announces itself once a second.
#[test]
fn false_announces_do_not_keep_an_announced_registrar_out() {
    let mut slowest = Duration::ZERO;
    for real in 1..=20 {
        let mut bench = Bench::new(&[]);
        bench.register(1, Policy::RoundRobin);
        (0..1000).for_each(|n| bench.announce_from(nobody(n)));
        let (time, _) = until_tried(&mut bench, &registrar(real), |bench, step| {
            bench.announce_from(nobody(1000 + step));
            if step % 10 == u32::from(real) % 10 {
                bench.announce(real);
            }
        });
        slowest = slowest.max(time);
    }
    assert!(slowest <= ms(10_000), "{slowest:?}");
}

/// They are tried, but no faster than one every 250 ms, even if each attempt fails at once.
#[test]
fn false_announces_cost_little() {
    let mut bench = Bench::new(&[]);
    bench.register(1, Policy::RoundRobin);
    let mut tried = 0;
    for step in 0..200 {
        (0..10).for_each(|n| bench.announce_from(nobody(step * 10 + n)));
        for (channel, _) in bench.connects() {
            tried += 1;
            bench.failed(channel);
        }
        bench.pass(ms(50));
    }
    assert!((30..=41).contains(&tried), "{tried} in 10 s");
}
