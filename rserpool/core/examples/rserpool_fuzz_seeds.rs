//! Writes the seeds of the fuzz targets:
//! `cargo run -p rserpool-core --features fuzz --example rserpool_fuzz_seeds`.

use std::path::Path;
use std::{fs, io};

use rserpool_core::fuzz::{TARGETS, seeds};

fn main() -> io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
    for target in TARGETS {
        let own = folder.join(target.name);
        fs::create_dir_all(&own)?;
        for old in fs::read_dir(&own)? {
            fs::remove_file(old?.path())?;
        }
        let of_target = seeds().into_iter().filter(|seed| seed.target == target.name);
        let mut bytes = 0;
        for (number, seed) in of_target.enumerate() {
            fs::write(own.join(format!("{number:03}")), &seed.data)?;
            bytes += seed.data.len();
        }
        println!("{}: {bytes} bytes", own.display());
    }
    Ok(())
}
