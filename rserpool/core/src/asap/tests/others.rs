//! Other registrars are asked about pools that the home registrar does not know.

use super::pools::{answer, elements, question, resolved};
use super::*;

fn unknown() -> AsapMessage {
    answer(Resolution::Error(OperationError::new(CauseCode::UNKNOWN_POOL)))
}

/// A core with a home that is one of `n` known registrars.
fn user(n: u8) -> (Bench, ChannelId) {
    let known: Vec<Peer> = (1..=n).map(registrar).collect();
    let mut bench = Bench::new(&known);
    let home = bench.up();
    bench.outputs();
    (bench, home)
}

fn resolve(bench: &mut Bench) -> RequestId {
    bench.core.resolve(bench.now, &pool(), 1, Duration::ZERO)
}

/// Asks the home, which knows no element.
fn denied_at_home(bench: &mut Bench, home: ChannelId) -> RequestId {
    let request = resolve(bench);
    assert_eq!(bench.sent(), [question(Some(1))]);
    bench.receive(home, unknown());
    request
}

fn no_element(request: RequestId) -> Output {
    let result = Err(RequestError::NoElement(pool()));
    Output::Event(AsapEvent::Resolved { request, result })
}

#[test]
fn another_registrar_knows_the_pool() {
    let (mut bench, home) = user(2);
    let request = denied_at_home(&mut bench, home);
    let tried = bench.connects();
    let [(other, peer)] = &tried[..] else { panic!("{tried:?}") };
    assert_ne!(*peer, bench.ways[&home]);
    bench.connected(*other);
    assert_eq!(messages_in(&bench.outputs()), [(*other, question(Some(1)))]);
    bench.receive(*other, elements(&[4]));
    assert_eq!(resolved(&mut bench, request), Ok(vec![4]));
    // The association is used again, and ends when it is not.
    denied_at_home(&mut bench, home);
    assert_eq!(messages_in(&bench.outputs()), [(*other, question(Some(1)))]);
    bench.receive(*other, elements(&[4]));
    bench.outputs();
    bench.pass(ms(1999));
    assert_eq!(bench.outputs(), []);
    bench.pass(ms(1));
    assert_eq!(bench.outputs(), [Output::Abort { channel: *other, reason: "all is answered" }]);
    // The home is the home all the time.
    resolve(&mut bench);
    assert_eq!(messages_in(&bench.outputs()), [(home, question(Some(1)))]);
}

#[test]
fn at_most_three_others_are_asked_one_every_250_ms() {
    let (mut bench, home) = user(9);
    let request = denied_at_home(&mut bench, home);
    let mut tried = bench.connects();
    assert_eq!(tried.len(), 1);
    bench.pass(ms(249));
    assert_eq!(bench.outputs(), []);
    bench.pass(ms(1));
    tried.extend(bench.connects());
    assert_eq!(tried.len(), 2);
    // The next one is asked at once when one cannot be reached.
    bench.handle(Input::Failed { channel: tried[0].0, failure: no_route() });
    tried.extend(bench.connects());
    assert_eq!(tried.len(), 3);
    bench.pass(ms(1000));
    assert_eq!(bench.outputs(), []);
    // Nobody is left: both who were reached say no.
    bench.connected(tried[1].0);
    bench.connected(tried[2].0);
    assert_eq!(bench.sent().len(), 2);
    bench.receive(tried[1].0, unknown());
    assert_eq!(bench.outputs(), []);
    bench.receive(tried[2].0, answer(Resolution::Elements { policy: None, elements: Vec::new() }));
    assert_eq!(bench.outputs(), [no_element(request)]);
}

#[test]
fn silent_registrars_delay_the_answer_once_for_three_seconds_at_most() {
    let (mut bench, home) = user(3);
    let request = denied_at_home(&mut bench, home);
    bench.pass(ms(2999));
    assert_eq!(bench.connects().len(), 2);
    bench.pass(ms(1));
    assert!(bench.outputs().contains(&no_element(request)));
    // They are not asked again soon.
    bench.pass(ms(10_000));
    bench.outputs();
    let request = denied_at_home(&mut bench, home);
    assert_eq!(bench.outputs(), [no_element(request)]);
}

#[test]
fn a_pool_that_nobody_knows_causes_no_storm() {
    let (mut bench, home) = user(3);
    let (mut asked_home, mut asked_others, mut connects, mut answers) = (0, 0, 0, 0);
    for _ in 0..1000 {
        resolve(&mut bench);
        loop {
            let outputs = bench.outputs();
            if outputs.is_empty() {
                break;
            }
            for (channel, _) in connects_in(&outputs) {
                connects += 1;
                bench.connected(channel);
            }
            for (channel, _) in messages_in(&outputs) {
                *(if channel == home { &mut asked_home } else { &mut asked_others }) += 1;
                bench.receive(channel, unknown());
            }
            let is_answer = |o: &&Output| matches!(o, Output::Event(AsapEvent::Resolved { .. }));
            answers += outputs.iter().filter(is_answer).count();
        }
        bench.pass(ms(10));
    }
    assert_eq!((asked_home, answers), (1000, 1000));
    assert!((9 * 2..=10 * 2).contains(&asked_others), "{asked_others} questions in 10 s");
    assert_eq!(connects, 2, "the associations are used again");
}

#[test]
fn callers_share_the_questions_to_others() {
    let (mut bench, home) = user(2);
    let first = denied_at_home(&mut bench, home);
    let (other, _) = bench.connects()[0];
    let second = denied_at_home(&mut bench, home);
    assert_eq!(bench.outputs(), []);
    bench.connected(other);
    assert_eq!(messages_in(&bench.outputs()), [(other, question(Some(1)))]);
    // Meanwhile somebody registers at the home, which is told to all.
    let third = resolve(&mut bench);
    bench.outputs();
    bench.receive(home, elements(&[7, 8]));
    let resolved = |request, ids: &[u32]| {
        let result = Ok(ids.iter().map(|id| element(*id)).collect());
        Output::Event(AsapEvent::Resolved { request, result })
    };
    assert_eq!(
        bench.outputs(),
        [resolved(first, &[7]), resolved(second, &[7]), resolved(third, &[7, 8])]
    );
    bench.receive(other, unknown());
    assert_eq!(bench.outputs(), [], "nobody waits for it");
}

#[test]
fn without_others_the_home_has_the_last_word() {
    let (mut bench, home) = user(1);
    let request = denied_at_home(&mut bench, home);
    assert_eq!(bench.outputs(), [no_element(request)]);
    let config = AsapConfig { other_registrars: 0, ..AsapConfig::default() };
    let mut bench = Bench::with(config, &[registrar(1), registrar(2)]);
    let home = bench.up();
    bench.outputs();
    let request = denied_at_home(&mut bench, home);
    assert_eq!(bench.outputs(), [no_element(request)]);
}

#[test]
fn when_the_home_is_lost_its_answer_counts() {
    let (mut bench, home) = user(2);
    let request = denied_at_home(&mut bench, home);
    let (other, _) = bench.connects()[0];
    bench.core.report_unreachable(bench.now, &pool(), PeId(1));
    bench.down(home);
    let outputs = bench.outputs();
    assert!(outputs.contains(&no_element(request)));
    assert!(
        outputs
            .contains(&Output::Abort { channel: other, reason: "another registrar is looked for" })
    );
}

#[test]
fn an_other_registrar_that_talks_nonsense_is_left() {
    let (mut bench, home) = user(2);
    let request = denied_at_home(&mut bench, home);
    let (other, _) = bench.connects()[0];
    bench.connected(other);
    bench.outputs();
    // It is not asked for anything else, and is no home.
    bench.receive(other, keep_alive(true, Some(1)));
    bench.receive(other, accepted(1));
    assert_eq!(bench.outputs(), []);
    bench.bytes(other, &[1]);
    assert_eq!(
        bench.outputs(),
        [Output::Abort { channel: other, reason: "undecodable message" }, no_element(request)]
    );
}

#[test]
fn questions_to_others_are_bounded() {
    let (mut bench, home) = user(2);
    let named = |n: usize| PoolHandle::new(format!("pool {n}")).unwrap();
    let mut answers = 0;
    for n in 0..MAX_REQUESTS + 10 {
        let pool = named(n % 80);
        bench.core.resolve(bench.now, &pool, 1, Duration::ZERO);
        let resolution = Resolution::Error(OperationError::new(CauseCode::UNKNOWN_POOL));
        let message = HandleResolutionResponse { accept_updates: false, pool, resolution };
        if !messages_in(&bench.outputs()).is_empty() {
            bench.receive(home, AsapMessage::HandleResolutionResponse(message));
        }
        let is_answer = |o: &Output| matches!(o, Output::Event(AsapEvent::Resolved { .. }));
        answers += bench.outputs().into_iter().filter(is_answer).count();
    }
    assert!(answers >= MAX_REQUESTS / 80 * 16, "those beyond 64 pools are answered: {answers}");
    bench.pass(ms(3000));
    let left = bench.outputs();
    let is_answer = |o: &&Output| matches!(o, Output::Event(AsapEvent::Resolved { .. }));
    assert_eq!(answers + left.iter().filter(is_answer).count(), MAX_REQUESTS + 10);
}

/// One of the others knows the pool, the second one reads and does not answer.
#[test]
fn a_silent_other_registrar_is_not_asked_the_same_again_and_again() {
    let (mut bench, home) = user(3);
    let request = denied_at_home(&mut bench, home);
    let mut others = bench.connects();
    bench.pass(ms(250));
    others.extend(bench.connects());
    let [(quick, _), (silent, _)] = others[..] else { panic!("{others:?}") };
    bench.connected(quick);
    bench.connected(silent);
    assert_eq!(messages_in(&bench.outputs()).len(), 2);
    bench.receive(quick, elements(&[1]));
    assert_eq!(resolved(&mut bench, request), Ok(vec![1]));
    for _ in 0..100 {
        let request = denied_at_home(&mut bench, home);
        assert_eq!(messages_in(&bench.outputs()), [(quick, question(Some(1)))]);
        bench.receive(quick, elements(&[1]));
        assert_eq!(resolved(&mut bench, request), Ok(vec![1]));
        bench.pass(ms(20));
    }
    // It has had its time.
    bench.pass(ms(1000));
    assert!(bench.outputs().contains(&Output::Abort { channel: silent, reason: "no answer" }));
}
