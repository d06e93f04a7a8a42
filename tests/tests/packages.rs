//! What the manifests of the packages promise.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// `cargo metadata` for this host: all packages that `cargo test --workspace` builds. They have
/// been downloaded, so nothing is fetched.
fn metadata() -> Value {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let rustc = Command::new("rustc").arg("-vV").output().expect("rustc runs");
    let rustc = String::from_utf8(rustc.stdout).expect("rustc speaks UTF-8");
    let host = rustc.lines().find_map(|line| line.strip_prefix("host: ")).expect("a host");
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version=1",
            "--offline",
            "--locked",
            "--filter-platform",
            host,
        ])
        .current_dir(root)
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON")
}

fn text<'a>(package: &'a Value, field: &str) -> &'a str {
    package[field].as_str().unwrap_or_default()
}

/// "1.91" and "1.91.0" as (1, 91).
fn version(text: &str) -> (u32, u32) {
    let mut parts = text.split('.').map(|part| part.parse().expect("a number"));
    (parts.next().expect("a major version"), parts.next().unwrap_or(0))
}

/// Dependencies need no newer compiler than the one that `rust-version` promises. Clippy checks the
/// same of our own code (`incompatible_msrv`).
#[test]
fn dependencies_build_with_the_oldest_compiler() {
    let metadata = metadata();
    let packages = metadata["packages"].as_array().expect("a list of packages");
    let ours = |package: &&Value| package["source"].is_null();
    let promised: Vec<&str> =
        packages.iter().filter(ours).map(|package| text(package, "rust_version")).collect();
    assert!(promised.len() > 8, "{} packages of ours", promised.len());
    let oldest = promised[0];
    assert!(
        promised.iter().all(|version| !version.is_empty() && *version == oldest),
        "every package has the same rust-version: {promised:?}"
    );
    for package in packages {
        let needed = text(package, "rust_version");
        assert!(
            needed.is_empty() || version(needed) <= version(oldest),
            "{} needs Rust {needed}, and we promise {oldest}",
            text(package, "name")
        );
    }
}

/// A package that can be published says what a registry shows of it.
#[test]
fn packages_are_described() {
    let metadata = metadata();
    let packages = metadata["packages"].as_array().expect("a list of packages");
    let published = |package: &&Value| package["source"].is_null() && package["publish"].is_null();
    let mut count = 0;
    for package in packages.iter().filter(published) {
        let name = text(package, "name");
        for field in ["description", "license", "readme"] {
            assert!(!text(package, field).is_empty(), "{name} has no {field}");
        }
        for field in ["keywords", "categories"] {
            let entries = package[field].as_array().map_or(0, Vec::len);
            assert!((1..=5).contains(&entries), "{name} has {entries} {field}, not 1 to 5");
        }
        count += 1;
    }
    assert!(count >= 9, "{count} packages can be published");
}
