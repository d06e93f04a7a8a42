//! The bodies of the fuzz targets. Each takes any bytes and panics when something is wrong.
//! `tests/fuzz` runs them with libFuzzer; a test replays the seeds without it.

mod established;
mod input;
mod packet;
mod seeds;
mod sending;
mod setup;

pub use seeds::{Seed, seeds};

/// A fuzz target.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name. The binary in `tests/fuzz` and the folder with its seeds have the same name.
    pub name: &'static str,
    /// Runs it.
    ///
    /// # Panics
    /// When something is wrong.
    pub run: fn(&[u8]),
}

/// All targets.
pub const TARGETS: [Target; 5] = [
    Target { name: "packet", run: packet::run },
    Target { name: "established", run: established::run },
    Target { name: "cookie", run: setup::cookie },
    Target { name: "init", run: setup::init },
    Target { name: "sending", run: sending::run },
];

/// Runs a target by name.
///
/// # Panics
/// When something is wrong, or when there is no such target.
pub fn run(name: &str, data: &[u8]) {
    let target = TARGETS.iter().find(|t| t.name == name).expect("the name of a target");
    (target.run)(data);
}
