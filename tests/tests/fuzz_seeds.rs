//! Runs the fuzz targets without a fuzzer: with their seeds, and with seeds in which a few bytes
//! are changed.

use std::fs;
use std::path::Path;

use rand::{RngExt, SeedableRng};
use sctp_user_core::fuzz::{TARGETS, seeds};
use sctp_user_core::sim::SimRng;

/// Prints the input of a target when it panics.
struct Input<'a>(&'a str, &'a [u8]);

impl Drop for Input<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("target {} panics with {:02x?}", self.0, self.1);
        }
    }
}

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../sctp-user/core/fuzz/seeds"))
}

#[test]
fn the_seeds_in_the_repository_pass() {
    let mut bytes = 0;
    for target in TARGETS {
        let files = fs::read_dir(folder().join(target.name)).expect("a folder for each target");
        let mut files: Vec<_> = files.map(|f| f.expect("a readable folder").path()).collect();
        files.sort();
        assert!(files.len() >= 5, "seeds of {}", target.name);
        for file in files {
            let data = fs::read(&file).expect("a readable file");
            bytes += data.len();
            let _input = Input(target.name, &data);
            (target.run)(&data);
        }
    }
    assert!(bytes < 200_000, "{bytes} bytes of seeds are too many for the repository");
}

/// This finds less than a fuzzer, but takes only a moment.
#[test]
fn changed_seeds_pass() {
    let mut rng = SimRng::seed_from_u64(7);
    let seeds = seeds();
    for target in TARGETS {
        let own: Vec<_> = seeds.iter().filter(|s| s.target == target.name).collect();
        for _ in 0..400 {
            let mut data = own[rng.random_range(0..own.len())].data.clone();
            for _ in 0..rng.random_range(1..6) {
                let at = rng.random_range(0..data.len());
                match rng.random_range(0..4) {
                    0 => data[at] = rng.random(),
                    1 => data[at] ^= 1 << rng.random_range(0..8),
                    2 => drop(data.remove(at)),
                    _ => data.insert(at, [0, 1, 0x7f, 0x80, 0xff][rng.random_range(0..5)]),
                }
                if data.is_empty() {
                    data.push(0);
                }
            }
            let _input = Input(target.name, &data);
            (target.run)(&data);
        }
    }
}
