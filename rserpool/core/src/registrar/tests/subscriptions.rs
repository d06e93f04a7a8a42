//! A user that subscribes to a pool, and what it hears.

use super::enrp::Scope;
use super::*;
use crate::asap::AsapEvent;
use crate::sim::HostId;

/// The elements that the user was told last.
fn told(scope: &Scope, user: HostId) -> Option<Vec<u32>> {
    scope.element_events(user).into_iter().rev().find_map(|event| match event {
        AsapEvent::PoolChanged { elements, .. } => {
            Some(elements.iter().map(|element| element.id.0).collect())
        }
        _ => None,
    })
}

#[track_caller]
fn hears(scope: &mut Scope, user: HostId, ids: &[u32]) -> u64 {
    scope.until(20_000, |scope| told(scope, user).is_some_and(|told| told == ids))
}

#[test]
fn a_subscriber_hears_of_changes_at_all_registrars_and_after_the_death_of_its_own() {
    let mut scope = Scope::new(3);
    let user = scope.user(&[0, 1]);
    scope.world.with_asap(user, |core, now| core.subscribe(now, &handle("pool")).unwrap());
    hears(&mut scope, user, &[]);
    let (first, second) = (scope.element(21, 0), scope.element(22, 2));
    // Changes are gathered for 100 ms.
    let took = hears(&mut scope, user, &[21, 22]);
    assert!(took < 500, "{took} ms");
    scope.world.quit(second);
    let took = hears(&mut scope, user, &[21]);
    assert!(took < 500, "{took} ms");
    // Its registrar dies, whichever it is, and the next one tells the same.
    let home = (0..2).find(|index| scope.core(*index).stats().subscription_updates > 0).unwrap();
    scope.world.kill(scope.registrars[home], false);
    scope.element(23, 2);
    hears(&mut scope, user, &[21, 23]);
    scope.world.kill(first, false);
    hears(&mut scope, user, &[23]);
    assert!(scope.core(1 - home).stats().subscription_updates > 0);
}

/// One that is gone costs nothing more.
#[test]
fn a_subscriber_that_leaves_is_told_nothing() {
    let mut scope = Scope::new(1);
    let user = scope.user(&[0]);
    scope.world.with_asap(user, |core, now| core.subscribe(now, &handle("pool")).unwrap());
    scope.element(21, 0);
    hears(&mut scope, user, &[21]);
    scope.world.quit(user);
    scope.pass(1000);
    let updates = scope.core(0).stats().subscription_updates;
    scope.element(22, 0);
    scope.pass(60_000);
    assert_eq!(scope.table(0).len(), 2);
    assert_eq!(scope.core(0).stats().subscription_updates, updates);
}
