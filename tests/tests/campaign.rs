//! The first seeds of the fault campaign; the program `sctp-campaign` runs more of them.

use std::ops::Range;
use std::process::Command;

use workspace_tests::campaign::{Campaign, Life, live, run};

/// Lives these seeds; each failure is printed with the command that lives it again.
fn lives(seeds: Range<u64>) -> Life {
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    let campaign = Campaign { seeds: seeds.clone(), threads, max_failures: 10 };
    let summary = run(&campaign, None, |_, failure| {
        if let Some(failure) = failure {
            eprintln!("seed {}: {}", failure.seed, failure.reason);
            eprintln!(
                "replay: cargo run --release -p workspace-tests --bin sctp-campaign -- --seed {}",
                failure.seed
            );
        }
    });
    assert_eq!(summary.failures, [], "failed seeds of {seeds:?}");
    assert_eq!(summary.seeds, seeds.end - seeds.start);
    summary.total
}

#[test]
fn two_thousand_lives() {
    let total = lives(0..2_000);
    // The lives are what they are meant to be.
    assert!(total.graceful > 2_000 && total.lost > 200 && total.restarts > 20, "{total:?}");
    assert!(total.messages > 20_000, "{total:?}");
}

/// Each commit tries seeds that no other has tried, so that the lives known to pass grow with the
/// project.
#[test]
fn lives_of_this_commit() {
    let head = Command::new("git")
        .args(["rev-parse", "--verify", "HEAD"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output();
    let commit = head.ok().filter(|output| output.status.success());
    // Sources without their history begin behind the seeds of the long campaign.
    let name = commit
        .and_then(|output| {
            u64::from_str_radix(std::str::from_utf8(&output.stdout[..8]).ok()?, 16).ok()
        })
        .unwrap_or(0);
    let first = 1_000_000_000 + name * 300;
    println!("seeds {first} to {}", first + 299);
    lives(first..first + 300);
}

/// Lives that failed once.
#[test]
fn lives_that_failed_before() {
    let failed = [
        // A user had begun a message in parts, on a stream that the peer then did not allow.
        5_202_198, 20_648_946,
        // What went along with COOKIE ECHO went again under the peer's new tag, later than new
        // data.
        21_527_182,
        // A new association began with the TSN of the one before it, under the peer's old tag.
        31_760_603,
        // A part of a message, larger than the send buffer, stood beside one that was larger, too.
        3_254_815, 3_334_447,
    ];
    for seed in failed {
        lives(seed..seed + 1);
    }
}

#[test]
fn a_seed_is_the_same_life_each_time() {
    for seed in 0..60 {
        let (one, other) = (live(seed, None), live(seed, None));
        assert_eq!(one, other, "seed {seed}");
        assert!(one.packets > 0);
    }
}
