//! What a test needs from the machine. If something is missing, a sentence says so and the test is
//! skipped; with `CI=true` it fails.

use std::io::Write;
use std::path::{Path, PathBuf};

/// Whether the test can run. If not, prints the reason, and the test must return.
///
/// # Panics
/// When the test cannot run and the environment has `CI=true`.
#[must_use]
pub fn all_or_skip(needs: &[Need]) -> bool {
    or_skip(needs.iter().find_map(|need| need.missing()).map_or(Ok(()), Err))
}

/// Like [`all_or_skip`], for something that the test has tried itself. The error is a sentence
/// about what is missing.
///
/// # Panics
/// When the test cannot run and the environment has `CI=true`.
#[must_use]
pub fn or_skip(tried: Result<(), String>) -> bool {
    let Err(missing) = tried else { return true };
    let ci = std::env::var_os("CI").is_some_and(|value| value == "true");
    assert!(!ci, "{missing}, and with CI=true no test is skipped");
    say(&format!("skipped: {missing}"));
    false
}

/// Prints a line that is visible even if the test passes, unlike the output of `println!`.
pub fn say(line: &str) {
    // If standard error is closed, nobody wants to read it.
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Something a test needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Effective user 0.
    Root,
    /// A program in the search path.
    Program(&'static str),
    /// A file, and the Debian package that it comes from.
    File(&'static str, &'static str),
    /// Linux.
    Linux,
}

impl Need {
    fn missing(self) -> Option<String> {
        match self {
            Need::Root if !is_root() => Some("this test needs root".to_owned()),
            Need::Program(name) if find(name).is_none() => {
                Some(format!("this test needs the program {name}"))
            }
            Need::File(file, package) if !Path::new(file).exists() => {
                Some(format!("this test needs {file} (Debian: {package})"))
            }
            Need::Linux if !cfg!(target_os = "linux") => Some("this test needs Linux".to_owned()),
            _ => None,
        }
    }
}

/// The path of a program. Besides the search path, it may be in the system directories, which are
/// not always in the search path of users.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin", "/usr/bin"].map(PathBuf::from))
        .map(|dir| dir.join(program))
        .find(|file| file.is_file())
}

fn is_root() -> bool {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else { return false };
    // "Uid: real effective saved filesystem"
    let uids = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    uids.and_then(|uids| uids.split_whitespace().nth(1)) == Some("0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found() {
        assert!(find("sh").is_some() || cfg!(windows));
        assert_eq!(find("no-such-program-anywhere"), None);
        assert_eq!(
            Need::Program("no-such-program").missing().unwrap(),
            "this test needs the program no-such-program"
        );
    }
}
