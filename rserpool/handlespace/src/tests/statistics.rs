//! The random policies: many draws with a fixed seed, compared within five standard deviations.

use super::*;

const DRAWS: u32 = 20_000;

/// How often each member, numbered from 1, was the answer to a resolution of one item.
fn counts(policies: &[Policy], seed: u8) -> Vec<u32> {
    let mut space = Handlespace::new(Config { seed: [seed; 32], ..Config::default() });
    for (policy, id) in policies.iter().zip(1..) {
        register(&mut space, id, policy.clone());
    }
    let mut counts = vec![0; policies.len()];
    for _ in 0..DRAWS {
        for id in select(&mut space, 1) {
            counts[id as usize - 1] += 1;
        }
    }
    space.verify().unwrap();
    counts
}

fn assert_shares(counts: &[u32], shares: &[f64]) {
    let total: f64 = shares.iter().sum();
    for (count, share) in counts.iter().zip(shares) {
        let p = share / total;
        let expected = p * f64::from(DRAWS);
        let bound = 5.0 * (expected * (1.0 - p)).sqrt();
        assert!((f64::from(*count) - expected).abs() <= bound, "{counts:?} for shares {shares:?}");
    }
}

#[test]
fn random_is_uniform() {
    assert_shares(&counts(&[const { Policy::Random }; 4], 1), &[1.0; 4]);
}

#[test]
fn weighted_random_follows_the_weights() {
    let policies = [1, 2, 3, 4].map(|weight| Policy::WeightedRandom { weight });
    assert_shares(&counts(&policies, 2), &[1.0, 2.0, 3.0, 4.0]);
}

#[test]
fn weighted_random_gives_weight_0_nothing() {
    let policies = [0, 5, 0].map(|weight| Policy::WeightedRandom { weight });
    assert_eq!(counts(&policies, 3), [0, DRAWS, 0]);
    let policies = [0, 0].map(|weight| Policy::WeightedRandom { weight });
    assert_eq!(counts(&policies, 3), [0, 0]);
}

#[test]
fn randomized_least_used_follows_what_is_free() {
    let policies = [0, 0x8000_0000, u32::MAX].map(|load| Policy::RandomizedLeastUsed { load });
    let counts = counts(&policies, 4);
    assert_shares(&counts, &[1.0, 0.5, 0.0]);
    assert_eq!(counts[2], 0);
}

#[test]
fn randomized_least_used_still_answers_when_all_are_full() {
    let policies = [const { Policy::RandomizedLeastUsed { load: u32::MAX } }; 2];
    assert_shares(&counts(&policies, 5), &[1.0, 1.0]);
}

#[test]
fn several_items_are_drawn_without_replacement() {
    let mut space = Handlespace::new(Config { seed: [6; 32], ..Config::default() });
    for id in 1..=10 {
        register(&mut space, id, Policy::WeightedRandom { weight: id });
    }
    for n in 0..15 {
        let mut ids = select(&mut space, n);
        assert_eq!(ids.len(), n.min(10));
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), n.min(10));
    }
    space.verify().unwrap();
}

#[test]
fn a_seed_gives_the_same_draws_again() {
    let policies = [1, 2, 3, 4].map(|weight| Policy::WeightedRandom { weight });
    assert_eq!(counts(&policies, 9), counts(&policies, 9));
    assert_ne!(counts(&policies, 9), counts(&policies, 10));
}
