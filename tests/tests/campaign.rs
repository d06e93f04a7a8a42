//! The first seeds of the fault campaign; the program `sctp-campaign` runs more of them.

use workspace_tests::campaign::{Campaign, live, run};

#[test]
fn two_thousand_lives() {
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    let campaign = Campaign { seeds: 0..2_000, threads, max_failures: 10 };
    let summary = run(&campaign, None, |_, failure| {
        if let Some(failure) = failure {
            eprintln!("seed {}: {}", failure.seed, failure.reason);
            eprintln!(
                "replay: cargo run --release -p workspace-tests --bin sctp-campaign -- --seed {}",
                failure.seed
            );
        }
    });
    assert_eq!(summary.failures, [], "failed seeds");
    assert_eq!(summary.seeds, 2_000);
    // The lives are what they are meant to be.
    let total = summary.total;
    assert!(total.graceful > 2_000 && total.lost > 200 && total.restarts > 20, "{total:?}");
    assert!(total.messages > 20_000, "{total:?}");
}

#[test]
fn a_seed_is_the_same_life_each_time() {
    for seed in 0..60 {
        let (one, other) = (live(seed, None), live(seed, None));
        assert_eq!(one, other, "seed {seed}");
        assert!(one.packets > 0);
    }
}
