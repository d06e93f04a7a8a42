//! Handle resolution, the cache, unreachable reports.

use super::*;

/// A core with a registrar, without elements.
pub(super) fn user() -> (Bench, ChannelId) {
    let mut bench = Bench::new(&[registrar(1)]);
    let channel = bench.up();
    bench.outputs();
    (bench, channel)
}

pub(super) fn answer(resolution: Resolution) -> AsapMessage {
    AsapMessage::HandleResolutionResponse(HandleResolutionResponse {
        accept_updates: false,
        pool: pool(),
        resolution,
    })
}

pub(super) fn elements(ids: &[u32]) -> AsapMessage {
    let elements = ids.iter().map(|id| element(*id)).collect();
    answer(Resolution::Elements { policy: Some(Policy::RoundRobin), elements })
}

pub(super) fn question(items: Option<u32>) -> AsapMessage {
    AsapMessage::HandleResolution(HandleResolution { subscribe: false, pool: pool(), items })
}

/// The only output, an answer to `request`, as identifiers.
#[track_caller]
pub(super) fn resolved(bench: &mut Bench, request: RequestId) -> Result<Vec<u32>, RequestError> {
    match <[Output; 1]>::try_from(bench.outputs()) {
        Ok([Output::Event(AsapEvent::Resolved { request: r, result })]) => {
            assert_eq!(r, request);
            result.map(|elements| elements.iter().map(|e| e.id.0).collect())
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn resolution() {
    let (mut bench, channel) = user();
    let request = bench.core.resolve(bench.now, &pool(), 2, Duration::ZERO);
    assert_eq!(bench.sent(), [question(Some(2))]);
    bench.receive(channel, elements(&[5, 3]));
    assert_eq!(resolved(&mut bench, request), Ok(vec![5, 3]));
    // The number is left to the registrar.
    bench.core.resolve(bench.now, &pool(), 0, Duration::ZERO);
    assert_eq!(bench.sent(), [question(None)]);
}

#[test]
fn requests_are_pipelined_and_answered_in_order() {
    let (mut bench, channel) = user();
    let first = bench.core.resolve(bench.now, &pool(), 1, Duration::ZERO);
    let second = bench.core.resolve(bench.now, &pool(), 1, Duration::ZERO);
    assert_eq!(bench.sent().len(), 2);
    bench.receive(channel, elements(&[1]));
    assert_eq!(resolved(&mut bench, first), Ok(vec![1]));
    bench.receive(channel, elements(&[2]));
    assert_eq!(resolved(&mut bench, second), Ok(vec![2]));
    bench.receive(channel, elements(&[3]));
    assert!(is_lost(&bench.outputs()), "nobody asked");
}

#[test]
fn unknown_pools_and_refusals() {
    let (mut bench, channel) = user();
    let mut ask = |resolution| {
        let request = bench.core.resolve(bench.now, &pool(), 1, Duration::ZERO);
        bench.sent();
        bench.receive(channel, answer(resolution));
        resolved(&mut bench, request)
    };
    let unknown = Resolution::Error(OperationError::new(CauseCode::UNKNOWN_POOL));
    assert_eq!(ask(unknown), Err(RequestError::NoElement(pool())));
    let empty = Resolution::Elements { policy: None, elements: Vec::new() };
    assert_eq!(ask(empty), Err(RequestError::NoElement(pool())));
    let refused = OperationError::new(CauseCode::SECURITY);
    assert_eq!(ask(Resolution::Error(refused.clone())), Err(RequestError::Rejected(refused)));
}

#[test]
fn a_request_that_is_not_answered_fails_and_the_registrar_is_given_up() {
    let (mut bench, channel) = user();
    let request = bench.core.resolve(bench.now, &pool(), 1, Duration::ZERO);
    bench.sent();
    bench.pass(ms(2999));
    assert_eq!(bench.outputs(), []);
    bench.pass(ms(1));
    let outputs = bench.outputs();
    assert!(outputs.contains(&Output::Event(AsapEvent::Resolved {
        request,
        result: Err(RequestError::Timeout)
    })));
    assert!(outputs.contains(&Output::Abort { channel, reason: "no answer" }));
}

#[test]
fn trials() {
    let config = AsapConfig { max_request_trials: 2, ..AsapConfig::default() };
    let mut bench = Bench::with(config, &[registrar(1)]);
    bench.up();
    bench.outputs();
    let request = bench.core.resolve(bench.now, &pool(), 1, Duration::ZERO);
    bench.pass(ms(3250));
    let outputs = bench.outputs();
    assert!(!outputs.iter().any(|o| matches!(o, Output::Event(AsapEvent::Resolved { .. }))));
    let again = outputs.iter().find_map(|o| match o {
        Output::Connect { channel, .. } => Some(*channel),
        _ => None,
    });
    bench.connected(again.unwrap());
    assert_eq!(bench.sent(), [question(Some(1))]);
    bench.pass(ms(3000));
    assert!(bench.outputs().contains(&Output::Event(AsapEvent::Resolved {
        request,
        result: Err(RequestError::Timeout)
    })));
}

#[test]
fn a_request_moves_to_the_next_registrar_when_the_association_is_lost() {
    let (mut bench, mut channel) = user();
    let request = bench.core.resolve(bench.now, &pool(), 1, Duration::ZERO);
    assert_eq!(bench.sent(), [question(Some(1))]);
    for _ in 0..MAX_LOSSES {
        bench.down(channel);
        bench.pass(ms(1000));
        channel = bench.up();
        assert_eq!(bench.sent(), [question(Some(1))]);
    }
    // But not for ever.
    bench.down(channel);
    assert!(bench.outputs().contains(&Output::Event(AsapEvent::Resolved {
        request,
        result: Err(RequestError::NoRegistrar)
    })));
}

#[test]
fn the_cache_saves_questions_until_it_is_stale() {
    let (mut bench, channel) = user();
    let stale = ms(5000);
    let ask = |bench: &mut Bench| bench.core.resolve(bench.now, &pool(), 1, stale);
    let request = ask(&mut bench);
    // To fill the cache, the registrar gives as many as it likes.
    assert_eq!(bench.sent(), [question(None)]);
    bench.receive(channel, elements(&[1, 2, 3]));
    let mut got = vec![resolved(&mut bench, request).unwrap()];
    for _ in 0..5 {
        bench.pass(ms(900));
        let request = ask(&mut bench);
        got.push(resolved(&mut bench, request).unwrap());
    }
    assert_eq!(got, [[1], [2], [3], [1], [2], [3]], "round robin among the cached elements");
    bench.pass(ms(500));
    ask(&mut bench);
    assert_eq!(bench.sent(), [question(None)]);
    bench.receive(channel, elements(&[4]));
    bench.outputs();
    // Who does not want stale elements asks anyway.
    bench.core.resolve(bench.now, &pool(), 1, Duration::ZERO);
    assert_eq!(bench.sent(), [question(Some(1))]);
}

#[test]
fn the_cache_copes_with_a_pool_that_changed_its_policy() {
    let (mut bench, channel) = user();
    let stale = ms(5000);
    let mut ask = |answer| {
        bench.pass(ms(5000));
        let request = bench.core.resolve(bench.now, &pool(), 1, stale);
        bench.sent();
        bench.receive(channel, answer);
        resolved(&mut bench, request)
    };
    assert_eq!(ask(elements(&[1])), Ok(vec![1]));
    let with = |policy: Policy| {
        let elements = vec![PoolElement { policy: policy.clone(), ..element(2) }];
        answer(Resolution::Elements { policy: Some(policy), elements })
    };
    assert_eq!(ask(with(Policy::Priority { priority: 7 })), Ok(vec![2]));
    // A policy that cannot be selected by: taken as the registrar gives it.
    assert_eq!(
        ask(with(Policy::Unknown { number: 0xb000_7777, fields: Bytes::new() })),
        Ok(vec![2])
    );
}

#[test]
fn reports_of_unreachable_elements() {
    let (mut bench, channel) = user();
    let stale = ms(5000);
    bench.core.resolve(bench.now, &pool(), 1, stale);
    bench.receive(channel, elements(&[1, 2]));
    bench.outputs();
    bench.core.report_unreachable(bench.now, &pool(), PeId(2));
    let report =
        AsapMessage::EndpointUnreachable(EndpointUnreachable { pool: pool(), id: PeId(2) });
    assert_eq!(bench.sent(), std::slice::from_ref(&report));
    for _ in 0..3 {
        let request = bench.core.resolve(bench.now, &pool(), 1, stale);
        assert_eq!(resolved(&mut bench, request), Ok(vec![1]), "2 is out of the cache");
    }
    // Nobody waits for an answer.
    bench.pass(ms(4000));
    assert_eq!(bench.outputs(), []);
    // Without a registrar, the report waits for one, in order.
    bench.down(channel);
    bench.outputs();
    bench.core.report_unreachable(bench.now, &pool(), PeId(2));
    bench.core.resolve(bench.now, &pool(), 1, Duration::ZERO);
    bench.up();
    assert_eq!(bench.sent(), [report, question(Some(1))]);
}

#[test]
fn waiting_requests_are_bounded() {
    let mut bench = Bench::new(&[]);
    for _ in 0..MAX_REQUESTS {
        bench.core.resolve(bench.now, &pool(), 1, Duration::ZERO);
    }
    assert!(
        !bench.outputs().iter().any(|o| matches!(o, Output::Event(AsapEvent::Resolved { .. })))
    );
    bench.core.report_unreachable(bench.now, &pool(), PeId(1));
    let request = bench.core.resolve(bench.now, &pool(), 1, Duration::ZERO);
    assert!(matches!(resolved(&mut bench, request), Err(RequestError::TooMany)));
}
