//! Policies with a delay penalty factor.

use super::*;

/// 1 % of the load for each millisecond.
const PERCENT: u32 = u32::MAX / 100;

fn least_used(load: u32, distance: u32) -> Policy {
    Policy::LeastUsedDpf { load: load * PERCENT, load_dpf: PERCENT, distance }
}

fn degrading(load: u32, distance: u32) -> Policy {
    let (load, load_degradation) = (load * PERCENT, PERCENT);
    Policy::LeastUsedDegradationDpf { load, load_degradation, load_dpf: PERCENT, distance }
}

fn weighted(weight: u32, distance: u32) -> Policy {
    Policy::WeightedRandomDpf { weight, weight_dpf: PERCENT, distance }
}

fn set_distance(space: &mut Handlespace, id: u32, distance: u32) {
    let key = space.find(&handle("pool"), PeId(id)).unwrap();
    space.set_distance(key, distance);
    space.verify().unwrap();
    let policy = &space.get(key).unwrap().info().policy;
    assert_eq!(policy.distance().unwrap_or(distance), distance);
}

#[test]
fn a_distance_counts_as_load() {
    let mut space = Handlespace::new(Config::default());
    register(&mut space, 1, least_used(30, 0));
    register(&mut space, 2, least_used(10, 10));
    register(&mut space, 3, least_used(0, 40));
    assert_eq!(select(&mut space, 3), [2, 1, 3]);
    set_distance(&mut space, 3, 10);
    assert_eq!(select(&mut space, 3), [3, 2, 1]);
    set_distance(&mut space, 3, 30);
    // Equals take turns.
    assert_eq!(select(&mut space, 3), [2, 1, 3]);
    assert_eq!(select(&mut space, 3), [2, 1, 3]);
    // The load saturates.
    set_distance(&mut space, 2, u32::MAX);
    assert_eq!(select(&mut space, 3), [1, 3, 2]);
}

#[test]
fn degradation_outlasts_a_change_of_distance() {
    let mut space = Handlespace::new(Config::default());
    for id in 1..=2 {
        register(&mut space, id, degrading(0, 5));
    }
    // Each selection adds two per cent.
    assert_eq!((0..4).map(|_| select(&mut space, 1)[0]).collect::<Vec<_>>(), [1, 2, 1, 2]);
    set_distance(&mut space, 1, 0);
    // Loads of 5 % and 10 %.
    assert_eq!((0..4).map(|_| select(&mut space, 1)[0]).collect::<Vec<_>>(), [1, 1, 1, 2]);
}

#[test]
fn a_distance_takes_weight_away() {
    let count = |space: &mut Handlespace| {
        let ids = (0..4000).filter(|_| select(space, 1) == [1]);
        ids.count()
    };
    let mut space = Handlespace::new(Config { seed: [4; 32], ..Config::default() });
    register(&mut space, 1, weighted(100, 0));
    register(&mut space, 2, weighted(100, 0));
    assert!((1850..2150).contains(&count(&mut space)));
    set_distance(&mut space, 1, 75);
    // Weights of 25 and 100.
    assert!((700..900).contains(&count(&mut space)));
    set_distance(&mut space, 1, 1000);
    // A negative weight counts as 1.
    assert!((1..100).contains(&count(&mut space)));
    set_distance(&mut space, 1, 100);
    // Nothing is left of the weight.
    assert_eq!(count(&mut space), 0);
    assert_eq!(select(&mut space, 9), [2]);
}

#[test]
fn other_policies_have_no_distance() {
    let mut space = Handlespace::new(Config::default());
    for id in 1..=2 {
        register(&mut space, id, Policy::LeastUsed { load: 0 });
    }
    set_distance(&mut space, 1, 50);
    let key = space.find(&handle("pool"), PeId(1)).unwrap();
    assert_eq!(space.get(key).unwrap().info().policy, Policy::LeastUsed { load: 0 });
    assert_eq!(select(&mut space, 2), [1, 2]);
}

#[test]
fn those_set_aside_have_distances_too() {
    let mut space = Handlespace::new(Config::default());
    register(&mut space, 9, Policy::RoundRobin);
    for id in 1..=2 {
        space.register(&handle("pool"), element(id, least_used(1, 0)), None, COPY).unwrap();
    }
    set_distance(&mut space, 1, 50);
    let key = space.find(&handle("pool"), PeId(9)).unwrap();
    space.remove(key);
    space.verify().unwrap();
    assert_eq!(select(&mut space, 2), [2, 1]);
}
