//! Reports that reach a registrar which is not the home of the element.

use super::enrp::Scope;
use super::*;
use crate::asap::AsapEvent;
use crate::sim::HostId;

/// A scope of two registrars, an element of the first one, and a user of the second one.
fn scope() -> (Scope, HostId, HostId) {
    let mut scope = Scope::new(2);
    let element = scope.element(21, 0);
    scope.until(1000, |scope| scope.all_know(&[(21, 1)]));
    let user = scope.user(&[1]);
    (scope, element, user)
}

fn is_suspect(scope: &Scope, registrar: usize, id: u32) -> bool {
    let space = scope.core(registrar).handlespace();
    space.find(&handle("pool"), PeId(id)).and_then(|key| space.get(key)).unwrap().is_suspect()
}

fn report(scope: &mut Scope, user: HostId, id: u32) {
    scope
        .world
        .with_asap(user, |core, now| core.report_unreachable(now, &handle("pool"), PeId(id)));
}

/// The elements that a user gets.
fn resolve(scope: &mut Scope, user: HostId) -> Vec<u32> {
    let before = scope.element_events(user).len();
    scope.world.with_asap(user, |core, now| core.resolve(now, &handle("pool"), 9, ms(0)));
    scope.pass(100);
    let events = scope.element_events(user).split_off(before);
    let found = events.into_iter().find_map(|event| match event {
        AsapEvent::Resolved { result, .. } => Some(result.unwrap()),
        _ => None,
    });
    found.expect("an answer").into_iter().map(|element| element.id.0).collect()
}

#[test]
fn a_registrar_that_is_not_the_home_asks_an_element_that_is_reported() {
    let (mut scope, _, user) = scope();
    report(&mut scope, user, 21);
    scope.until(1000, |scope| is_suspect(scope, 1, 21));
    let took = scope.until(1000, |scope| !is_suspect(scope, 1, 21));
    assert!(took < 100, "{took} ms");
    let stats = scope.core(1).stats();
    assert_eq!((stats.endpoint_keep_alives, stats.endpoint_keep_alive_acks), (1, 1));
    // The association was for this only.
    let associations = stats.associations;
    scope.pass(1000);
    assert_eq!(scope.core(1).stats().associations, associations - 1);
    assert!(scope.all_know(&[(21, 1)]), "{:?}", scope.tables());
}

#[test]
fn a_flood_of_reports_asks_an_element_once_a_second_and_removes_nothing() {
    let (mut scope, _, user) = scope();
    for _ in 0..500 {
        (0..20).for_each(|_| report(&mut scope, user, 21));
        scope.pass(10);
    }
    let stats = scope.core(1).stats();
    assert!(stats.failure_reports > 9000, "{}", stats.failure_reports);
    assert!((2..=6).contains(&stats.endpoint_keep_alives), "{}", stats.endpoint_keep_alives);
    assert!(scope.all_know(&[(21, 1)]), "{:?}", scope.tables());
    assert!(!is_suspect(&scope, 1, 21), "it has answered each time");
}

/// The home reaches the element, so it stays; who does not reach it gets it last.
#[test]
fn an_element_that_only_its_home_reaches_is_named_last_elsewhere() {
    let (mut scope, element, user) = scope();
    scope.element(22, 0);
    scope.until(1000, |scope| scope.all_know(&[(21, 1), (22, 1)]));
    let second = scope.registrars[1];
    scope.world.net.cut(element, second);
    for _ in 0..5 {
        report(&mut scope, user, 21);
        scope.pass(2000);
        assert!(is_suspect(&scope, 1, 21) && !is_suspect(&scope, 0, 21));
        assert_eq!(resolve(&mut scope, user), [22, 21]);
    }
    assert!(scope.all_know(&[(21, 1), (22, 1)]), "{:?}", scope.tables());
    assert_eq!(scope.core(1).stats().endpoint_keep_alive_acks, 0);
    // It registers again with its home, which says so.
    scope.pass(30_000);
    assert!(!is_suspect(&scope, 1, 21));
}

#[test]
fn a_dead_element_that_is_reported_elsewhere_is_named_last_until_its_home_removes_it() {
    let (mut scope, element, user) = scope();
    scope.element(22, 0);
    scope.until(1000, |scope| scope.all_know(&[(21, 1), (22, 1)]));
    scope.world.net.cut(element, scope.registrars[0]);
    scope.world.kill(element, true);
    report(&mut scope, user, 21);
    scope.pass(500);
    assert!(is_suspect(&scope, 1, 21));
    assert_eq!(resolve(&mut scope, user), [22, 21]);
    scope.until(15_000, |scope| scope.all_know(&[(22, 1)]));
}

/// With addresses that lead nowhere, nobody can have many associations opened at the same time.
#[test]
fn few_elements_are_asked_at_the_same_time() {
    let (mut scope, _, user) = scope();
    for id in 100..300 {
        scope.element(id, 0);
    }
    scope.until(3000, |scope| scope.table(1).len() == 201);
    let hosts = scope.elements.clone();
    let second = scope.registrars[1];
    hosts.iter().for_each(|host| scope.world.net.cut(*host, second));
    for id in 100..300 {
        report(&mut scope, user, id);
    }
    scope.pass(200);
    assert!((100..300).all(|id| is_suspect(&scope, 1, id)));
    assert_eq!(scope.core(1).checks.open_count(), 64);
    scope.pass(10_000);
    assert_eq!(scope.core(1).checks.open_count(), 0);
    assert_eq!(scope.table(1).len(), 201);
}
