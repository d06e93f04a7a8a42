//! The first seeds of the fault campaign. The program `sctp-campaign` runs more of them.

use std::ops::Range;
use std::process::Command;

use workspace_tests::campaign::{Campaign, Life, live, run};

/// Runs the lives of these seeds. Prints each failure with the command that repeats it.
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
    // Check that the lives are as varied as they should be.
    assert!(total.graceful > 2_000 && total.lost > 200 && total.restarts > 20, "{total:?}");
    assert!(total.messages > 20_000, "{total:?}");
}

/// Each commit tries seeds that no other commit has tried, so that more and more lives are known to
/// pass.
#[test]
fn lives_of_this_commit() {
    let head = Command::new("git")
        .args(["rev-parse", "--verify", "HEAD"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output();
    let commit = head.ok().filter(|output| output.status.success());
    // Sources without a git history start after the seeds of the long campaign.
    let name = commit
        .and_then(|output| {
            u64::from_str_radix(std::str::from_utf8(&output.stdout[..8]).ok()?, 16).ok()
        })
        .unwrap_or(0);
    let first = 1_000_000_000 + name * 300;
    println!("seeds {first} to {}", first + 299);
    lives(first..first + 300);
}

/// Seeds whose lives failed before a fix.
#[test]
fn lives_that_failed_before() {
    let failed = [
        // A user had begun a message in parts on a stream that the peer did not allow later.
        5_202_198, 20_648_946,
        // Data in the packet of a COOKIE ECHO was sent again with the peer's new tag, after newer
        // data.
        21_527_182,
        // A new association began with the TSN of the one before it, and with the peer's old tag.
        31_760_603,
        // Two parts of messages were in the send buffer, and each was larger than the buffer.
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
