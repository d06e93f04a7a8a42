//! Pools whose changes are told.

use super::pools::{answer, elements, question, resolved, user};
use super::*;

fn subscription() -> AsapMessage {
    AsapMessage::HandleResolution(HandleResolution {
        subscribe: true,
        pool: pool(),
        items: Some(128),
    })
}

/// What a registrar says that tells changes.
fn update(ids: &[u32]) -> AsapMessage {
    let AsapMessage::HandleResolutionResponse(response) = elements(ids) else { unreachable!() };
    AsapMessage::HandleResolutionResponse(HandleResolutionResponse {
        accept_updates: true,
        ..response
    })
}

fn no_pool(accept_updates: bool) -> AsapMessage {
    let resolution = Resolution::Error(OperationError::new(CauseCode::UNKNOWN_POOL));
    let pool = pool();
    AsapMessage::HandleResolutionResponse(HandleResolutionResponse {
        accept_updates,
        pool,
        resolution,
    })
}

/// The elements of the only event.
#[track_caller]
fn changed(bench: &mut Bench) -> Vec<u32> {
    match &bench.outputs()[..] {
        [Output::Event(AsapEvent::PoolChanged { pool: name, elements })] if *name == pool() => {
            elements.iter().map(|element| element.id.0).collect()
        }
        other => panic!("{other:?}"),
    }
}

/// A user that the registrar tells of elements 1 and 2.
fn subscribed() -> (Bench, ChannelId) {
    let (mut bench, channel) = user();
    bench.core.subscribe(bench.now, &pool()).unwrap();
    assert_eq!(bench.sent(), [subscription()]);
    bench.receive(channel, update(&[1, 2]));
    assert_eq!(changed(&mut bench), [1, 2]);
    (bench, channel)
}

#[test]
fn every_change_is_told_once() {
    let (mut bench, channel) = subscribed();
    bench.receive(channel, update(&[1, 2]));
    assert_eq!(bench.outputs(), []);
    bench.receive(channel, update(&[3, 1]));
    assert_eq!(changed(&mut bench), [1, 3]);
    bench.receive(channel, no_pool(true));
    assert_eq!(changed(&mut bench), []);
    // Nothing is asked for again, however long it takes.
    bench.pass(ms(600_000));
    assert_eq!(bench.outputs(), []);
    bench.receive(channel, update(&[1]));
    assert_eq!(changed(&mut bench), [1]);
    // A second subscription to the pool is the same.
    bench.core.subscribe(bench.now, &pool()).unwrap();
    assert_eq!(bench.outputs(), []);
}

#[test]
fn updates_keep_the_cache_up_to_date() {
    let (mut bench, channel) = subscribed();
    bench.pass(ms(60_000));
    bench.receive(channel, update(&[2, 3]));
    assert_eq!(changed(&mut bench), [2, 3]);
    bench.pass(ms(60_000));
    let request = bench.core.resolve(bench.now, &pool(), 0, ms(10));
    let mut found = resolved(&mut bench, request).unwrap();
    found.sort();
    assert_eq!(found, [2, 3]);
    // Whoever wants nothing from the cache asks, and the answer is no update.
    let request = bench.core.resolve(bench.now, &pool(), 1, Duration::ZERO);
    assert_eq!(bench.sent(), [question(Some(1))]);
    bench.receive(channel, update(&[3]));
    assert_eq!(changed(&mut bench), [3]);
    bench.receive(channel, elements(&[3]));
    assert_eq!(resolved(&mut bench, request), Ok(vec![3]));
    // What the registrar that is lost knew is stale at once.
    bench.down(channel);
    bench.outputs();
    let request = bench.core.resolve(bench.now, &pool(), 1, ms(10));
    assert!(!bench.outputs().iter().any(|output| matches!(
        output,
        Output::Event(AsapEvent::Resolved { request: answered, .. }) if *answered == request
    )));
}

#[test]
fn the_next_registrar_is_asked_too() {
    let (mut bench, mut channel) = subscribed();
    for round in 3..6 {
        bench.down(channel);
        bench.pass(ms(1000));
        channel = bench.up();
        assert_eq!(bench.sent(), [subscription()]);
        bench.receive(channel, update(&[1, 2, round]));
        assert_eq!(changed(&mut bench), [1, 2, round]);
    }
    // One that knows the same has nothing new to tell.
    bench.down(channel);
    bench.pass(ms(1000));
    let channel = bench.up();
    assert_eq!(bench.sent(), [subscription()]);
    bench.receive(channel, update(&[1, 2, 5]));
    assert_eq!(bench.outputs(), []);
}

#[test]
fn a_registrar_that_does_not_answer_is_lost_and_the_next_one_is_asked() {
    let (mut bench, channel) = user();
    bench.core.subscribe(bench.now, &pool()).unwrap();
    assert_eq!(bench.sent(), [subscription()]);
    bench.pass(ms(4000));
    let outputs = bench.outputs();
    assert!(outputs.contains(&Output::Abort { channel, reason: "no answer" }), "{outputs:?}");
    let (next, _) = connects_in(&outputs)[0];
    bench.connected(next);
    assert_eq!(bench.sent(), [subscription()]);
}

/// As those of RSPLIB.
#[test]
fn registrars_that_know_no_subscriptions_are_asked_again_and_again() {
    let (mut bench, channel) = user();
    bench.core.subscribe(bench.now, &pool()).unwrap();
    for (answer, told) in [
        (elements(&[1]), Some(vec![1])),
        (elements(&[1]), None),
        (elements(&[1, 2]), Some(vec![1, 2])),
        (answer(Resolution::Error(OperationError::new(CauseCode::SECURITY))), None),
        (no_pool(false), Some(vec![])),
    ] {
        assert_eq!(bench.sent(), [subscription()]);
        bench.receive(channel, answer);
        match told {
            Some(ids) => assert_eq!(changed(&mut bench), ids),
            None => assert_eq!(bench.outputs(), []),
        }
        bench.pass(ms(4999));
        assert_eq!(bench.outputs(), []);
        bench.pass(ms(1));
    }
}

/// Answers come in the order of the questions.
#[test]
fn subscriptions_and_resolutions_of_a_pool_are_told_apart() {
    let (mut bench, channel) = user();
    let before = bench.core.resolve(bench.now, &pool(), 1, Duration::ZERO);
    bench.core.subscribe(bench.now, &pool()).unwrap();
    let after = bench.core.resolve(bench.now, &pool(), 1, Duration::ZERO);
    assert_eq!(bench.sent(), [question(Some(1)), subscription(), question(Some(1))]);
    bench.receive(channel, elements(&[1]));
    assert_eq!(resolved(&mut bench, before), Ok(vec![1]));
    bench.receive(channel, elements(&[1, 2]));
    assert_eq!(changed(&mut bench), [1, 2]);
    bench.receive(channel, elements(&[2]));
    assert_eq!(resolved(&mut bench, after), Ok(vec![2]));
}

#[test]
fn what_comes_after_the_end_of_a_subscription_does_no_harm() {
    let (mut bench, channel) = subscribed();
    bench.core.unsubscribe(&pool());
    bench.receive(channel, update(&[7]));
    assert_eq!(bench.outputs(), []);
    // But nobody may say what was never asked for.
    let other = PoolHandle::new("other").unwrap();
    let AsapMessage::HandleResolutionResponse(response) = update(&[7]) else { unreachable!() };
    let strange = HandleResolutionResponse { pool: other, ..response };
    bench.receive(channel, AsapMessage::HandleResolutionResponse(strange));
    assert!(is_lost(&bench.outputs()));
    // And nobody hunts for a subscription that is over.
    bench.pass(ms(60_000));
    assert_eq!(bench.core.poll_timeout(), None);
}

#[test]
fn subscriptions_are_few() {
    let (mut bench, _) = user();
    for n in 0..16 {
        bench.core.subscribe(bench.now, &PoolHandle::new(format!("pool {n}")).unwrap()).unwrap();
    }
    let error = bench.core.subscribe(bench.now, &pool()).unwrap_err();
    assert_eq!(error, RequestError::TooMany);
    bench.core.unsubscribe(&PoolHandle::new("pool 3").unwrap());
    bench.core.subscribe(bench.now, &pool()).unwrap();
}
