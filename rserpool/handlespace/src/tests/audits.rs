//! Audits of a home registrar: mark by registering, then sweep.

use super::*;

const HOME: ServerId = ServerId(1);
const OTHER: ServerId = ServerId(2);

fn add(space: &mut Handlespace, id: u32, home: ServerId) -> crate::ElementKey {
    let info = PoolElement { home, ..element(id, Policy::RoundRobin) };
    let key = space.register(&handle("pool"), info, None, OWN).unwrap().key;
    space.verify().unwrap();
    key
}

fn with_elements(count: u32, home: ServerId) -> Handlespace {
    let mut space = Handlespace::new(Config::default());
    for id in 1..=count {
        add(&mut space, id, home);
    }
    space
}

/// Sweeps in slices to the end; returns the identifiers of those taken out.
fn sweep(space: &mut Handlespace, home: ServerId, budget: usize) -> Vec<u32> {
    let mut removed = Vec::new();
    loop {
        let slice = space.sweep(home, budget);
        space.verify().unwrap();
        assert!(slice.removed.len() <= budget);
        removed.extend(slice.removed.iter().map(|element| element.info().id.0));
        if slice.finished {
            assert!(!space.is_audited(home));
            return removed;
        }
        assert!(space.is_audited(home));
    }
}

#[test]
fn what_is_not_registered_again_is_swept() {
    for budget in [1, 2, 3, 100] {
        let mut space = with_elements(9, HOME);
        add(&mut space, 10, OTHER);
        space.begin_audit(HOME);
        for id in [2, 3, 7] {
            add(&mut space, id, HOME);
        }
        assert_eq!(sweep(&mut space, HOME, budget), [1, 4, 5, 6, 8, 9]);
        assert_eq!((space.count_of_home(HOME), space.count_of_home(OTHER)), (3, 1));
    }
}

#[test]
fn a_slice_looks_at_no_more_than_its_budget() {
    let mut space = with_elements(9, HOME);
    space.begin_audit(HOME);
    for id in [1, 2, 4] {
        add(&mut space, id, HOME);
    }
    let mut slice = || {
        let swept = space.sweep(HOME, 4);
        (swept.removed.len(), swept.finished)
    };
    assert_eq!([slice(), slice(), slice()], [(1, false), (4, false), (1, true)]);
    // There is nothing left to do. Without an audit there is nothing to do at all.
    assert_eq!(slice(), (0, true));
    let swept = space.sweep(HOME, 0);
    assert!(swept.removed.is_empty() && swept.finished);
}

#[test]
fn newcomers_of_any_kind_are_seen() {
    let mut space = with_elements(3, HOME);
    let moved = add(&mut space, 4, OTHER);
    let left = space.find(&handle("pool"), PeId(3)).unwrap();
    let back = space.find(&handle("pool"), PeId(2)).unwrap();
    space.begin_audit(HOME);
    space.begin_audit(OTHER);
    add(&mut space, 5, HOME);
    space.set_home(moved, HOME);
    space.set_home(left, OTHER);
    space.set_home(back, OTHER);
    space.set_home(back, HOME);
    assert_eq!(sweep(&mut space, HOME, 1), [1]);
    assert_eq!(sweep(&mut space, OTHER, 1), [0; 0]);
    assert_eq!((space.count_of_home(HOME), space.count_of_home(OTHER)), (3, 1));
}

#[test]
fn one_that_moves_to_an_audited_home_by_registration_is_seen() {
    let mut space = with_elements(1, OTHER);
    space.begin_audit(HOME);
    add(&mut space, 1, HOME);
    assert_eq!(sweep(&mut space, HOME, 1), [0; 0]);
    // The next audit does not know it yet.
    space.begin_audit(HOME);
    assert_eq!(sweep(&mut space, HOME, 1), [1]);
    assert!(space.is_empty());
}

#[test]
fn pools_may_change_between_the_slices_of_a_sweep() {
    let mut space = with_elements(6, HOME);
    space.begin_audit(HOME);
    assert_eq!(space.sweep(HOME, 2).removed.len(), 2);
    // Elements register before and behind the place of the sweep; others renew, or are removed.
    add(&mut space, 1, HOME);
    add(&mut space, 7, HOME);
    add(&mut space, 5, HOME);
    let key = space.find(&handle("pool"), PeId(4)).unwrap();
    space.remove(key);
    assert_eq!(sweep(&mut space, HOME, 2), [3, 6]);
    assert_eq!(space.len(), 3);
}

#[test]
fn an_audit_can_be_aborted_or_begun_anew() {
    let mut space = with_elements(3, HOME);
    space.begin_audit(HOME);
    assert!(space.is_audited(HOME) && !space.is_audited(OTHER));
    space.abort_audit(HOME);
    assert_eq!(sweep(&mut space, HOME, 9), [0; 0]);

    space.begin_audit(HOME);
    add(&mut space, 1, HOME);
    assert!(!space.sweep(HOME, 1).finished);
    space.begin_audit(HOME);
    add(&mut space, 2, HOME);
    assert_eq!(sweep(&mut space, HOME, 1), [1, 3]);
}

#[test]
fn a_home_without_elements_can_be_audited() {
    let mut space = with_elements(1, HOME);
    space.begin_audit(OTHER);
    // The home gets its first element and loses it again.
    let key = add(&mut space, 2, OTHER);
    space.remove(key);
    add(&mut space, 3, OTHER);
    assert_eq!(sweep(&mut space, OTHER, 9), [0; 0]);
    assert_eq!(space.len(), 2);
}
