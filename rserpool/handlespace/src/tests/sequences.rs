//! Selection sequences as they were seen from a real registrar.

use super::*;

/// Consecutive resolutions with `n` wanted items, written like `1,2 2,3`.
fn resolve(space: &mut Handlespace, times: usize, n: usize) -> String {
    let once = |_| {
        let ids = select(space, n);
        space.verify().unwrap();
        ids.iter().map(u32::to_string).collect::<Vec<_>>().join(",")
    };
    (0..times).map(once).collect::<Vec<_>>().join(" ")
}

fn pool(members: &[(u32, Policy)]) -> Handlespace {
    let mut space = Handlespace::new(Config::default());
    for (id, policy) in members {
        register(&mut space, *id, policy.clone());
    }
    space
}

#[test]
fn round_robin() {
    let mut space = pool(&[3, 1, 2].map(|id| (id, Policy::RoundRobin)));
    assert_eq!(resolve(&mut space, 7, 1), "3 1 2 3 1 2 3");
    assert_eq!(resolve(&mut space, 6, 2), "1,2 2,3 3,1 1,2 2,3 3,1");
    assert_eq!(resolve(&mut space, 3, 3), "1,2,3 2,3,1 3,1,2");
    assert_eq!(resolve(&mut space, 4, 0xffff_ffff), "1,2,3 2,3,1 3,1,2 1,2,3");
    register(&mut space, 1, Policy::RoundRobin);
    assert_eq!(resolve(&mut space, 4, 1), "2 3 1 2");
    register(&mut space, 4, Policy::RoundRobin);
    assert_eq!(resolve(&mut space, 6, 1), "3 1 2 4 3 1");
}

#[test]
fn round_robin_with_several_items() {
    let mut space = pool(&[1, 2, 3, 4, 5, 6].map(|id| (id, Policy::RoundRobin)));
    assert_eq!(resolve(&mut space, 3, 3), "1,2,3 2,3,4 3,4,5");
    assert_eq!(resolve(&mut space, 3, 10), "4,5,6,1,2,3 5,6,1,2,3,4 6,1,2,3,4,5");
}

#[test]
fn weighted_round_robin() {
    let mut space = pool(&[1, 2, 3].map(|id| (id, Policy::WeightedRoundRobin { weight: id })));
    assert_eq!(resolve(&mut space, 12, 1), "1 2 3 2 3 3 1 2 3 2 3 3");
    assert_eq!(resolve(&mut space, 12, 1), "1 2 3 2 3 3 1 2 3 2 3 3");
    assert_eq!(resolve(&mut space, 6, 3), "1,2,3 2,3,1 3,2,1 2,3,1 3,1,2 3,1,2");
}

#[test]
fn weighted_round_robin_takes_weight_0_like_1() {
    let mut space =
        pool(&[(1, 0), (2, 1)].map(|(id, weight)| (id, Policy::WeightedRoundRobin { weight })));
    assert_eq!(resolve(&mut space, 8, 1), "1 2 1 2 1 2 1 2");
}

#[test]
fn weighted_round_robin_newcomers_start_in_the_current_round() {
    let mut space = pool(&[1, 2].map(|id| (id, Policy::WeightedRoundRobin { weight: 1 })));
    resolve(&mut space, 1000, 1);
    register(&mut space, 3, Policy::WeightedRoundRobin { weight: 1 });
    // It does not catch up on the thousand turns that it missed.
    let next: Vec<u32> = (0..30).flat_map(|_| select(&mut space, 1)).collect();
    let of_newcomer = next.iter().filter(|id| **id == 3).count();
    assert!((9..=11).contains(&of_newcomer), "{next:?}");
}

#[test]
fn priority() {
    let members = [(1, 10), (2, 20), (3, 20), (4, 5)];
    let mut space = pool(&members.map(|(id, priority)| (id, Policy::Priority { priority })));
    assert_eq!(resolve(&mut space, 5, 1), "2 3 2 3 2");
    assert_eq!(resolve(&mut space, 3, 4), "3,2,1,4 2,3,1,4 3,2,1,4");
}

#[test]
fn least_used() {
    let members = [(1, 0x4000_0000), (2, 0x1000_0000), (3, 0x1000_0000)];
    let mut space = pool(&members.map(|(id, load)| (id, Policy::LeastUsed { load })));
    assert_eq!(resolve(&mut space, 5, 1), "2 3 2 3 2");
    assert_eq!(resolve(&mut space, 3, 3), "3,2,1 2,3,1 3,2,1");
    register(&mut space, 2, Policy::LeastUsed { load: u32::MAX });
    assert_eq!(resolve(&mut space, 2, 3), "3,1,2 3,1,2");
}

#[test]
fn least_used_with_degradation() {
    let degrading = |load| Policy::LeastUsedDegradation { load, load_degradation: 0x1000_0000 };
    let mut space = pool(&[(1, degrading(0)), (2, degrading(0)), (3, degrading(0x3000_0000))]);
    assert_eq!(resolve(&mut space, 16, 1), "1 2 1 2 3 1 2 3 1 2 3 1 2 3 1 2");
    register(&mut space, 1, degrading(0));
    assert_eq!(resolve(&mut space, 6, 1), "1 1 1 1 1 1");
}

#[test]
fn degradation_saturates() {
    let degrading = |load| Policy::LeastUsedDegradation { load, load_degradation: u32::MAX };
    let mut space = pool(&[(1, degrading(5)), (2, degrading(u32::MAX))]);
    // Both are fully loaded after the first step, so they take turns.
    assert_eq!(resolve(&mut space, 6, 1), "1 2 1 2 1 2");
}

#[test]
fn priority_least_used() {
    let members = [(1, 0x1000_0000, 0x1000_0000), (2, 0, 0x3000_0000), (3, 0x2000_0000, 0)];
    let policy =
        |(id, load, load_degradation)| (id, Policy::PriorityLeastUsed { load, load_degradation });
    let mut space = pool(&members.map(policy));
    assert_eq!(resolve(&mut space, 4, 1), "1 3 1 3");
    assert_eq!(resolve(&mut space, 3, 3), "1,3,2 3,1,2 1,3,2");
}

#[test]
fn a_pool_users_cache_moves_everything_that_was_returned() {
    let mut space = Handlespace::new(Config { max_increment: 1_000_000_000, ..Config::default() });
    for id in 1..=5 {
        register(&mut space, id, Policy::RoundRobin);
    }
    assert_eq!(resolve(&mut space, 4, 2), "1,2 3,4 5,1 2,3");
    assert_eq!(resolve(&mut space, 2, 5), "4,5,1,2,3 4,5,1,2,3");
}

#[test]
fn re_registration_keeps_the_turn_unless_the_weight_changes() {
    let weight = |weight| Policy::WeightedRoundRobin { weight };
    let mut space = pool(&[(1, weight(2)), (2, weight(2))]);
    let mut twin = pool(&[(1, weight(2)), (2, weight(2))]);
    for _ in 0..20 {
        register(&mut space, 1, weight(2));
        assert_eq!(select(&mut space, 1), select(&mut twin, 1));
    }
    register(&mut space, 1, weight(6));
    let next: Vec<u32> = (0..80).flat_map(|_| select(&mut space, 1)).collect();
    let of_first = next.iter().filter(|id| **id == 1).count();
    assert!((55..=65).contains(&of_first), "{of_first} of 80");
}
