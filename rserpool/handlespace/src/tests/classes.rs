//! Elements that not every user can reach, and suspects.

use super::*;
use crate::ElementKey;

const ELSEWHERE: UserPlace = UserPlace::Elsewhere;

fn key(space: &Handlespace, id: u32) -> ElementKey {
    space.find(&handle("pool"), PeId(id)).unwrap()
}

fn set_suspect(space: &mut Handlespace, id: u32, suspect: bool) {
    let key = key(space, id);
    space.set_suspect(key, suspect);
    assert_eq!(space.get(key).map(|element| element.is_suspect()), Some(suspect));
    space.verify().unwrap();
}

/// Elements 1 to 9; only users on this host can reach those with odd identifiers.
fn mixed(policy: fn(u32) -> Policy) -> Handlespace {
    let mut space = Handlespace::new(Config::default());
    for id in 1..=9 {
        let info = match id % 2 {
            0 => element(id, policy(id)),
            _ => local_element(id, policy(id)),
        };
        space.register(&handle("pool"), info, None, OWN).unwrap();
    }
    space.verify().unwrap();
    space
}

#[test]
fn users_elsewhere_get_only_what_they_can_reach() {
    let policies: [fn(u32) -> Policy; 3] = [
        |_| Policy::RoundRobin,
        |_| Policy::Random,
        |id| Policy::LeastUsedDegradation { load: id, load_degradation: 1 },
    ];
    for policy in policies {
        let mut space = mixed(policy);
        let is_even = |id: &u32| id.is_multiple_of(2);
        for _ in 0..20 {
            let ids = select_for(&mut space, ELSEWHERE, 3);
            assert!(ids.len() == 3 && ids.iter().all(is_even), "{ids:?}");
            space.verify().unwrap();
        }
        assert_eq!(select_for(&mut space, ELSEWHERE, 9).len(), 4);
        let mut all = select(&mut space, 99);
        all.sort_unstable();
        assert_eq!(all, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
    }
}

#[test]
fn both_kinds_of_users_take_turns_in_one_order() {
    let mut space = mixed(|_| Policy::RoundRobin);
    assert_eq!(select(&mut space, 3), [1, 2, 3]);
    assert_eq!(select_for(&mut space, ELSEWHERE, 3), [2, 4, 6]);
    assert_eq!(select(&mut space, 9), [3, 4, 5, 6, 7, 8, 9, 1, 2]);
    assert_eq!(select_for(&mut space, ELSEWHERE, 9), [4, 6, 8, 2]);
    assert_eq!(select(&mut space, 9), [5, 6, 7, 8, 9, 1, 2, 3, 4]);
}

#[test]
fn reach_follows_the_registered_addresses() {
    let mut space = Handlespace::new(Config::default());
    for id in 1..=3 {
        register(&mut space, id, Policy::RoundRobin);
    }
    let is_local = |space: &Handlespace| space.get(key(space, 2)).unwrap().is_this_host_only();
    assert!(!is_local(&space));
    // The turn of the element stays what it was.
    let info = local_element(2, Policy::RoundRobin);
    space.register(&handle("pool"), info, None, OWN).unwrap();
    space.verify().unwrap();
    assert!(is_local(&space));
    assert_eq!(select_for(&mut space, ELSEWHERE, 3), [1, 3]);
    assert_eq!(select(&mut space, 3), [2, 3, 1]);
    register(&mut space, 2, Policy::RoundRobin);
    assert!(!is_local(&space));
    assert_eq!(select_for(&mut space, ELSEWHERE, 3), [3, 1, 2]);
}

#[test]
fn one_address_for_others_is_enough() {
    let mut space = Handlespace::new(Config::default());
    let both = with_sctp(local_element(1, Policy::Random), |transport| {
        transport.addrs.push("10.0.0.1".parse().unwrap());
    });
    space.register(&handle("pool"), both, None, OWN).unwrap();
    assert_eq!(select_for(&mut space, ELSEWHERE, 1), [1]);
    // Without an address there is nothing for others to reach.
    let none = with_sctp(element(1, Policy::Random), |transport| transport.addrs.clear());
    space.register(&handle("pool"), none, None, OWN).unwrap();
    assert_eq!(select_for(&mut space, ELSEWHERE, 1), [0; 0]);
    assert_eq!(select(&mut space, 1), [1]);
}

#[test]
fn suspects_are_chosen_last() {
    let mut space = mixed(|_| Policy::RoundRobin);
    for id in [1, 2, 4] {
        set_suspect(&mut space, id, true);
    }
    assert_eq!(select(&mut space, 2), [3, 5]);
    assert_eq!(select_for(&mut space, ELSEWHERE, 2), [6, 8]);
    // There are not enough others.
    assert_eq!(select_for(&mut space, ELSEWHERE, 3), [8, 6, 2]);
    assert_eq!(select(&mut space, 9), [5, 7, 9, 3, 6, 8, 1, 2, 4]);
    // Somebody else may have renewed it in good faith, so a renewal proves nothing.
    let info = element(2, Policy::RoundRobin);
    space.register(&handle("pool"), info, None, OWN).unwrap();
    assert!(space.get(key(&space, 2)).unwrap().is_suspect());
    // Those that answer take their turns at once, as if nothing had happened.
    set_suspect(&mut space, 2, false);
    set_suspect(&mut space, 4, false);
    assert_eq!(select_for(&mut space, ELSEWHERE, 4), [2, 4, 6, 8]);
}

#[test]
fn a_pool_of_suspects_still_answers() {
    for policy in [Policy::RoundRobin, Policy::Random] {
        let mut space = Handlespace::new(Config::default());
        for id in 1..=4 {
            register(&mut space, id, policy.clone());
            set_suspect(&mut space, id, true);
        }
        assert_eq!(select(&mut space, 2).len(), 2);
        assert_eq!(select(&mut space, 9).len(), 4);
        register(&mut space, 5, policy.clone());
        for _ in 0..10 {
            assert_eq!(select(&mut space, 1), [5]);
        }
        space.verify().unwrap();
    }
}

#[test]
fn drawn_suspects_come_behind_the_others() {
    let mut space = mixed(|id| Policy::WeightedRandom { weight: id - 1 });
    for id in [2, 3, 6, 7] {
        set_suspect(&mut space, id, true);
    }
    let mut sorted = |user, n| {
        let mut ids = select_for(&mut space, user, n);
        ids.sort_unstable();
        ids
    };
    for _ in 0..50 {
        // 1 has weight 0.
        assert_eq!(sorted(UserPlace::ThisHost, 4), [4, 5, 8, 9]);
        assert_eq!(sorted(ELSEWHERE, 2), [4, 8]);
        assert_eq!(sorted(ELSEWHERE, 9), [2, 4, 6, 8]);
        let with_one_suspect = sorted(UserPlace::ThisHost, 5);
        let rest: Vec<_> =
            with_one_suspect.into_iter().filter(|id| ![4, 5, 8, 9].contains(id)).collect();
        assert!(rest.len() == 1 && [2, 3, 6, 7].contains(&rest[0]), "{rest:?}");
    }
    space.verify().unwrap();
}

#[test]
fn a_weighted_suspect_that_answers_does_not_catch_up() {
    let mut space = Handlespace::new(Config::default());
    for id in 1..=3 {
        register(&mut space, id, Policy::WeightedRoundRobin { weight: id });
    }
    set_suspect(&mut space, 3, true);
    for _ in 0..300 {
        assert!(select(&mut space, 1)[0] < 3);
    }
    // Newcomers start where the others are, not where the suspect stopped.
    register(&mut space, 4, Policy::WeightedRoundRobin { weight: 1 });
    set_suspect(&mut space, 3, false);
    let next: Vec<u32> = (0..70).flat_map(|_| select(&mut space, 1)).collect();
    for (id, share) in [(1, 10), (2, 20), (3, 30), (4, 10)] {
        let count = next.iter().filter(|next| **next == id).count();
        assert!((share - 3..=share + 3).contains(&count), "{id}: {next:?}");
    }
}

/// A pool has 100 000 elements that cannot be given, and is selected from 100 000 times. If each
/// selection looked at each element, this would take half an hour.
#[test]
fn a_large_pool_with_nearly_nothing_to_choose_stays_usable() {
    const N: u32 = 100_000;
    let policies: [fn(u32) -> Policy; 3] = [
        |_| Policy::RoundRobin,
        |id| Policy::LeastUsedDegradation { load: id, load_degradation: 1 },
        |id| Policy::WeightedRandom { weight: id },
    ];
    for policy in policies {
        let mut space = Handlespace::new(Config::default());
        for id in 1..=N {
            space.register(&handle("pool"), local_element(id, policy(id)), None, OWN).unwrap();
        }
        for _ in 0..N {
            assert!(space.select_for(ELSEWHERE, &handle("pool"), 3).is_empty());
        }
        space.register(&handle("pool"), element(N + 1, policy(N + 1)), None, OWN).unwrap();
        for id in 1..=N {
            assert_eq!(space.select_for(ELSEWHERE, &handle("pool"), 3).len(), 1);
            space.set_suspect(space.find(&handle("pool"), PeId(id)).unwrap(), true);
        }
        // All suspects but one.
        for _ in 0..N {
            assert_eq!(space.select(&handle("pool"), 3).len(), 3);
        }
        space.verify().unwrap();
    }
}
