//! Writes the seeds of the fuzz targets: `cargo run -p workspace-tests --example fuzz_seeds`.

use std::path::Path;
use std::{fs, io};

fn main() -> io::Result<()> {
    let sctp = sctp_user_core::fuzz::seeds().into_iter().map(|seed| (seed.target, seed.data));
    let rserpool = rserpool_core::fuzz::seeds().into_iter().map(|seed| (seed.target, seed.data));
    let seeds: Vec<(&str, Vec<u8>)> = sctp.chain(rserpool).collect();
    let names = sctp_user_core::fuzz::TARGETS.iter().map(|target| target.name);
    for target in names.chain(rserpool_core::fuzz::TARGETS.iter().map(|target| target.name)) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
        fs::create_dir_all(&folder)?;
        for old in fs::read_dir(&folder)? {
            fs::remove_file(old?.path())?;
        }
        let mut bytes = 0;
        for (number, (_, data)) in seeds.iter().filter(|(of, _)| *of == target).enumerate() {
            fs::write(folder.join(format!("{number:03}")), data)?;
            bytes += data.len();
        }
        println!("{}: {bytes} bytes", folder.display());
    }
    Ok(())
}
