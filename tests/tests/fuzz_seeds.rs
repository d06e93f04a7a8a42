//! Runs the fuzz targets without a fuzzer: with their seeds, and with seeds in which a few bytes
//! are changed.

use std::fs;
use std::path::{Path, PathBuf};

use rand::{RngExt, SeedableRng};
use sctp_user_core::sim::SimRng;

/// A target of one of the packages that have some.
struct Target {
    name: &'static str,
    run: fn(&[u8]),
    /// Where its seeds are in the repository.
    folder: PathBuf,
    /// Its seeds, made anew.
    seeds: Vec<Vec<u8>>,
}

fn targets() -> Vec<Target> {
    let folder = |name| Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(name);
    let mut all = Vec::new();
    let seeds = sctp_user_core::fuzz::seeds();
    for target in sctp_user_core::fuzz::TARGETS {
        let own = seeds.iter().filter(|seed| seed.target == target.name);
        let seeds = own.map(|seed| seed.data.clone()).collect();
        let folder = folder(target.name);
        all.push(Target { name: target.name, run: target.run, folder, seeds });
    }
    let seeds = rserpool_core::fuzz::seeds();
    for target in rserpool_core::fuzz::TARGETS {
        let own = seeds.iter().filter(|seed| seed.target == target.name);
        let seeds = own.map(|seed| seed.data.clone()).collect();
        let folder = folder(target.name);
        all.push(Target { name: target.name, run: target.run, folder, seeds });
    }
    all
}

/// Prints the input of a target when it panics.
struct Input<'a>(&'a str, &'a [u8]);

impl Drop for Input<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("target {} panics with {:02x?}", self.0, self.1);
        }
    }
}

#[test]
fn the_seeds_in_the_repository_pass() {
    let mut bytes = 0;
    for target in targets() {
        let files = fs::read_dir(&target.folder).expect("a folder for each target");
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
    for target in targets() {
        for _ in 0..400 {
            let mut data = target.seeds[rng.random_range(0..target.seeds.len())].clone();
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

/// Otherwise the fuzzer would begin with nothing.
#[test]
fn the_seeds_of_messages_are_messages() {
    for target in targets() {
        for data in &target.seeds {
            let good = match target.name {
                "asap" => rserpool_wire::AsapMessage::decode(data).is_ok(),
                "enrp" => rserpool_wire::EnrpMessage::decode(data).is_ok(),
                _ => true,
            };
            assert!(good, "{} {data:02x?}", target.name);
        }
    }
}
