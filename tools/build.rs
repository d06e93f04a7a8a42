//! Tells the programs what they are built from: the git commit, where there is one, and the
//! features.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let commit = from_package().or_else(from_git);
    let commit = commit.map_or_else(|| "no commit known".to_owned(), |c| format!("commit {c}"));
    let mut features: Vec<String> = std::env::vars()
        .filter_map(|(name, _)| {
            let feature = name.strip_prefix("CARGO_FEATURE_")?;
            Some(feature.to_lowercase().replace('_', "-"))
        })
        .collect();
    features.sort();
    let features = if features.is_empty() { "none".to_owned() } else { features.join(" ") };
    println!("cargo::rustc-env=RSP_TOOLS_BUILD={commit}, features: {features}");
}

/// A package that `cargo package` made names the commit in a file.
fn from_package() -> Option<String> {
    let file = ".cargo_vcs_info.json";
    let text = std::fs::read_to_string(file).ok()?;
    println!("cargo::rerun-if-changed={file}");
    let (_, rest) = text.split_once("\"sha1\"")?;
    let sha = rest.split('"').nth(1)?;
    sha.get(..SHOWN).map(str::to_owned)
}

/// A checkout is asked, and asked again after each commit. Elsewhere there is nothing to watch, and
/// a file that is not there would have everything built again each time.
fn from_git() -> Option<String> {
    for watched in ["HEAD", "logs/HEAD"] {
        let path = git(&["rev-parse", "--git-path", watched])?;
        if Path::new(&path).is_file() {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    // A package inside of somebody else's checkout has nothing to do with that commit.
    git(&["ls-files", "--error-unmatch", "build.rs"])?;
    git(&["rev-parse", "HEAD"])?.get(..SHOWN).map(str::to_owned)
}

fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git").args(args).output().ok().filter(|o| o.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}

/// Digits of the commit that are shown.
const SHOWN: usize = 12;
