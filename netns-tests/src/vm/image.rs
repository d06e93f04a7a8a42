//! Kernel and initrd of the peer VM.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The paths of the two files.
#[derive(Clone, Debug)]
pub(super) struct Image {
    pub(super) kernel: PathBuf,
    pub(super) initrd: PathBuf,
}

impl Image {
    /// Builds the files unless they exist already.
    ///
    /// # Errors
    /// When they cannot be built, with a sentence about what is missing.
    pub(super) fn build() -> Result<Image, String> {
        let package = Path::new(env!("CARGO_MANIFEST_DIR"));
        let build = package.join("peer-vm/build");
        let output = Command::new(&build)
            .output()
            .map_err(|error| format!("{}: {error}", build.display()))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(said.lines().last().unwrap_or("the peer VM could not be built").to_owned());
        }
        let dir = std::env::var_os("PEER_VM_DIR")
            .map_or_else(|| package.join("../target/peer-vm"), PathBuf::from);
        Ok(Image { kernel: dir.join("vmlinuz"), initrd: dir.join("initrd.gz") })
    }
}
