//! Registration, re-registration, deregistration, keep-alives.

use super::*;

#[test]
fn an_element_is_registered_with_the_addresses_of_the_association() {
    let mut bench = Bench::new(&[registrar(1)]);
    bench.register(1, Policy::WeightedRandom { weight: 3 });
    bench.up();
    let sent = bench.sent();
    let [AsapMessage::Registration(Registration { pool: handle, element: wire })] = &sent[..]
    else {
        panic!("{sent:?}")
    };
    assert_eq!(*handle, pool());
    let expected = PoolElement {
        home: ServerId::UNDEFINED,
        policy: Policy::WeightedRandom { weight: 3 },
        ..element(1)
    };
    assert_eq!(*wire, expected);
}

#[test]
fn given_addresses_come_first() {
    let mut bench = Bench::new(&[registrar(1)]);
    let addrs: Vec<IpAddr> = vec![[192, 0, 2, 1].into(), [192, 0, 2, 2].into()];
    bench
        .core
        .register(bench.now, OwnElement { addrs: addrs.clone(), ..own(1, Policy::RoundRobin) });
    bench.up();
    let sent = bench.sent();
    let [AsapMessage::Registration(m)] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!(m.element.user_transport.addrs(), addrs);
}

#[test]
fn registrations_are_renewed_by_the_interval() {
    let (mut bench, channel) = Bench::registered(&[registrar(1)], Policy::RoundRobin);
    for _ in 0..3 {
        bench.pass(ms(29_999));
        assert_eq!(bench.outputs(), []);
        bench.pass(ms(1));
        assert_eq!(registrations(&bench.sent()), [1]);
        bench.receive(channel, accepted(1));
        assert_eq!(bench.outputs(), [], "only the first registration is told");
    }
}

#[test]
fn a_change_of_load_is_told_at_once_when_it_matters() {
    let (mut bench, channel) = Bench::registered(&[registrar(1)], Policy::LeastUsed { load: 0 });
    let load = |bench: &mut Bench, share: f64| {
        bench.core.set_load(bench.now, &pool(), PeId(1), Policy::fraction(share));
        bench.sent()
    };
    // Less than 1 % waits for the next registration.
    assert_eq!(load(&mut bench, 0.009), []);
    let sent = load(&mut bench, 0.2);
    let [AsapMessage::Registration(m)] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!(m.element.policy.load(), Some(Policy::fraction(0.2)));
    // While that waits for its answer, the next change waits too.
    assert_eq!(load(&mut bench, 0.5), []);
    assert_eq!(load(&mut bench, 0.6), []);
    bench.receive(channel, accepted(1));
    let sent = bench.sent();
    let [AsapMessage::Registration(m)] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!(m.element.policy.load(), Some(Policy::fraction(0.6)));
    bench.receive(channel, accepted(1));
    assert_eq!(load(&mut bench, 0.6), []);
}

#[test]
fn a_load_does_not_matter_to_other_policies_but_a_new_weight_does() {
    let (mut bench, _) = Bench::registered(&[registrar(1)], Policy::WeightedRandom { weight: 1 });
    bench.core.set_load(bench.now, &pool(), PeId(1), u32::MAX);
    assert_eq!(bench.outputs(), []);
    bench.core.set_policy(bench.now, &pool(), PeId(1), Policy::WeightedRandom { weight: 2 });
    assert_eq!(registrations(&bench.sent()), [1]);
}

#[test]
fn a_refused_element_tries_again_and_says_each_reason_once() {
    let mut bench = Bench::new(&[registrar(1)]);
    bench.register(1, Policy::RoundRobin);
    let channel = bench.up();
    bench.sent();
    let refused = |bench: &mut Bench, cause| {
        bench.receive(channel, response(1, Some(cause)));
        bench.outputs()
    };
    let event = |cause| {
        let error = OperationError::new(cause);
        [Output::Event(AsapEvent::Rejected { id: PeId(1), error })]
    };
    let policy = CauseCode::INCONSISTENT_POLICY;
    assert_eq!(refused(&mut bench, policy), event(policy));
    // The re-registration interval is 30 s.
    for pause in [2000, 4000, 8000, 16_000, 30_000, 30_000] {
        bench.pass(ms(pause - 1));
        assert_eq!(bench.outputs(), []);
        bench.pass(ms(1));
        assert_eq!(registrations(&bench.sent()), [1]);
        assert_eq!(refused(&mut bench, policy), []);
    }
    bench.pass(ms(30_000));
    bench.sent();
    let resources = CauseCode::LACK_OF_RESOURCES;
    assert_eq!(refused(&mut bench, resources), event(resources));
    bench.pass(ms(30_000));
    bench.sent();
    bench.receive(channel, accepted(1));
    assert_eq!(bench.outputs(), [Output::Event(AsapEvent::Registered { id: PeId(1) })]);
    // From here on all is as at first.
    bench.pass(ms(30_000));
    bench.sent();
    assert_eq!(refused(&mut bench, resources), event(resources));
    bench.pass(ms(2000));
    assert_eq!(registrations(&bench.sent()), [1]);
}

#[test]
fn a_new_policy_is_tried_at_once_and_its_refusal_is_told() {
    let mut bench = Bench::new(&[registrar(1)]);
    bench.register(1, Policy::WeightedRandom { weight: 1 });
    let channel = bench.up();
    bench.sent();
    let policy = CauseCode::INCONSISTENT_POLICY;
    for weight in [2, 3] {
        bench.receive(channel, response(1, Some(policy)));
        let error = OperationError::new(policy);
        assert_eq!(bench.outputs(), [Output::Event(AsapEvent::Rejected { id: PeId(1), error })]);
        bench.core.set_policy(bench.now, &pool(), PeId(1), Policy::WeightedRandom { weight });
        assert_eq!(registrations(&bench.sent()), [1]);
    }
}

#[test]
fn an_error_message_refuses_the_oldest_request() {
    let mut bench = Bench::new(&[registrar(1)]);
    bench.register(1, Policy::RoundRobin);
    let channel = bench.up();
    bench.sent();
    let error = OperationError::new(CauseCode::UNSUPPORTED_POLICY);
    bench.receive(channel, AsapMessage::Error(error.clone()));
    assert_eq!(bench.outputs(), [Output::Event(AsapEvent::Rejected { id: PeId(1), error })]);
}

#[test]
fn without_usable_addresses_a_new_association_is_tried() {
    let mut bench = Bench::new(&[registrar(1)]);
    bench.register(1, Policy::RoundRobin);
    for pause in [250, 500] {
        let channel = bench.up();
        bench.sent();
        bench.receive(channel, response(1, Some(CauseCode::NO_USABLE_USER_ADDRESSES)));
        let outputs = bench.outputs();
        assert!(
            is_lost(&outputs) && matches!(outputs[0], Output::Event(AsapEvent::Rejected { .. }))
        );
        bench.pass(ms(pause - 1));
        assert_eq!(bench.outputs(), []);
        bench.pass(ms(1));
    }
}

#[test]
fn a_registrar_that_does_not_answer_is_lost_after_three_seconds() {
    let mut bench = Bench::new(&[registrar(1), registrar(2)]);
    bench.register(1, Policy::RoundRobin);
    let channel = bench.up();
    bench.sent();
    bench.pass(ms(2999));
    assert_eq!(bench.outputs(), []);
    bench.pass(ms(1));
    let outputs = bench.outputs();
    assert!(is_lost(&outputs));
    assert!(outputs.contains(&Output::Abort { channel, reason: "no answer" }));
    // The other one is tried at once, this one after the pause for those that failed.
    assert_eq!(connects_in(&outputs).len(), 1);
    bench.pass(ms(250));
    assert_eq!(bench.connects().len(), 1);
}

#[test]
fn deregistration() {
    let (mut bench, channel) = Bench::registered(&[registrar(1)], Policy::RoundRobin);
    let request = bench.core.deregister(bench.now, &pool(), PeId(1));
    let deregistration = AsapMessage::Deregistration(Deregistration { pool: pool(), id: PeId(1) });
    assert_eq!(bench.sent(), [deregistration]);
    let (rejected, error) = (false, None);
    let answer = DeregistrationResponse { rejected, pool: pool(), id: PeId(1), error };
    bench.receive(channel, AsapMessage::DeregistrationResponse(answer));
    assert_eq!(
        bench.outputs(),
        [Output::Event(AsapEvent::Deregistered { request, result: Ok(()) })]
    );
    // Not registered again, and keep-alives are not answered.
    bench.receive(channel, keep_alive(false, Some(1)));
    bench.pass(ms(100_000));
    assert_eq!(bench.outputs(), []);
}

#[test]
fn deregistration_does_not_wait_long() {
    // Nobody answers.
    let (mut bench, _) = Bench::registered(&[registrar(1)], Policy::RoundRobin);
    let request = bench.core.deregister(bench.now, &pool(), PeId(1));
    bench.pass(ms(3000));
    let failed =
        Output::Event(AsapEvent::Deregistered { request, result: Err(RequestError::Timeout) });
    assert!(bench.outputs().contains(&failed));
    // Nobody is there.
    let mut bench = Bench::new(&[registrar(1)]);
    bench.register(1, Policy::RoundRobin);
    let request = bench.core.deregister(bench.now, &pool(), PeId(1));
    bench.pass(ms(3000));
    let failed =
        Output::Event(AsapEvent::Deregistered { request, result: Err(RequestError::NoRegistrar) });
    assert!(bench.outputs().contains(&failed));
}

#[test]
fn keep_alives_of_the_home_registrar_are_answered() {
    let (mut bench, channel) = Bench::registered(&[registrar(1)], Policy::RoundRobin);
    bench.register(2, Policy::RoundRobin);
    assert_eq!(registrations(&bench.sent()), [2]);
    bench.receive(channel, accepted(2));
    bench.outputs();
    bench.receive(channel, keep_alive(false, Some(2)));
    assert_eq!(bench.outputs(), [ack(channel, 2)]);
    // Without an identifier, all elements are meant.
    bench.receive(channel, keep_alive(false, None));
    assert_eq!(bench.outputs(), [ack(channel, 1), ack(channel, 2)]);
    bench.receive(channel, keep_alive(false, Some(3)));
    assert_eq!(bench.outputs(), []);
    // The home says that it is the home: nothing new.
    bench.receive(channel, keep_alive(true, Some(1)));
    assert_eq!(bench.outputs(), [ack(channel, 1)]);
}
