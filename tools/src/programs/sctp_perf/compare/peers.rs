//! Builds the drivers of the other stacks, if they can be built.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use tokio::process::Command;

use super::catalog::{Contender, Row};
use super::options::CompareOptions;
use super::progress::Progress;

/// Where each driver is, or why it is missing.
#[derive(Debug)]
pub(crate) struct Peers {
    rust: Result<PathBuf, String>,
    /// With a dcsctp that formats packets only if they are logged.
    patched: Result<PathBuf, String>,
    usrsctp: Result<PathBuf, String>,
    /// The versions of the libraries.
    pub(crate) versions: BTreeMap<&'static str, String>,
}

const NOT_WANTED: &str = "no row wants it";

impl Peers {
    /// Builds what the rows need. The table says what cannot be built, and why.
    ///
    /// # Errors
    /// Only when there is no folder to build in.
    pub(crate) async fn prepare(
        options: &CompareOptions,
        rows: &[&'static Row],
        progress: &Progress,
    ) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&options.build)
            .with_context(|| format!("cannot make the directory {}", options.build.display()))?;
        let build = options.build.canonicalize()?;
        let wanted = |which: &[Contender]| {
            rows.iter().any(|row| row.contenders.iter().any(|contender| which.contains(contender)))
        };
        let mut peers = Peers {
            rust: Err(NOT_WANTED.into()),
            patched: Err(NOT_WANTED.into()),
            usrsctp: Err(NOT_WANTED.into()),
            versions: versions(&options.peers).await,
        };
        use Contender::{Dcsctp, DcsctpReleased, Quinn, SctpProto, Tcp, Udp, UdpGso, Usrsctp};
        if wanted(&[DcsctpReleased, Quinn, SctpProto, Tcp, Udp, UdpGso]) {
            let what = "the drivers of sctp-proto, dcsctp, quinn, TCP and UDP";
            let build = build.join("rust");
            let built = progress.compiling(what, cargo(&options.peers, &build, "")).await;
            peers.rust = named(built, progress);
        }
        if wanted(&[Dcsctp]) {
            let what = "the driver of dcsctp with a conditional log_packet";
            let built = progress.compiling(what, patched(&options.peers, &build)).await;
            peers.patched = named(built, progress);
        }
        if wanted(&[Usrsctp]) {
            let what = "the driver of usrsctp";
            let built = progress.compiling(what, usrsctp(&options.peers, &build)).await;
            peers.usrsctp = named(built, progress);
        }
        Ok(peers)
    }

    /// The program that drives a contender, and its first arguments.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) fn driver(
        &self,
        contender: Contender,
    ) -> anyhow::Result<(&Path, Option<&'static str>)> {
        let (built, transport) = match contender {
            Contender::Ours | Contender::OursBlocking | Contender::OursTokio => {
                bail!("this stack needs no driver")
            }
            Contender::Usrsctp => (&self.usrsctp, None),
            Contender::SctpProto => (&self.rust, Some("sctp-proto")),
            Contender::Dcsctp => (&self.patched, Some("dcsctp")),
            Contender::DcsctpReleased => (&self.rust, Some("dcsctp")),
            Contender::Quinn => (&self.rust, Some("quinn")),
            Contender::Tcp => (&self.rust, Some("tcp")),
            Contender::Udp => (&self.rust, Some("udp")),
            Contender::UdpGso => (&self.rust, Some("udp-gso")),
        };
        match built {
            Ok(program) => Ok((program, transport)),
            Err(why) => bail!("{why}"),
        }
    }
}

fn named(result: anyhow::Result<PathBuf>, progress: &Progress) -> Result<PathBuf, String> {
    result.map_err(|error| {
        progress.say(&format!("a driver is missing: {error:#}"));
        format!("{error:#}")
    })
}

/// Builds the Rust drivers for the processor of this machine, as users would.
async fn cargo(sources: &Path, target: &Path, flags: &str) -> anyhow::Result<PathBuf> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .args(["build", "--release", "--quiet", "--manifest-path"])
        .arg(sources.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(target)
        .env("RUSTFLAGS", format!("-C target-cpu=native {flags}"));
    run(command, "the drivers in Rust could not be built").await?;
    Ok(target.join("release").join("sctp-perf-peers"))
}

/// The same, with a copy of dcsctp in which `log_packet` first checks whether packets are logged.
async fn patched(sources: &Path, build: &Path) -> anyhow::Result<PathBuf> {
    let copy = build.join("patched");
    let target = build.join("rust-patched");
    let lock = std::fs::read_to_string(sources.join("Cargo.lock"))
        .context("the drivers have a Cargo.lock")?;
    let version = locked(&lock, "dcsctp").context("dcsctp is in Cargo.lock")?;
    let released = released("dcsctp", &version)?;
    copy_tree(&sources.join("src"), &copy.join("src"))?;
    copy_tree(&released, &copy.join("dcsctp"))?;
    let lib = copy.join("dcsctp/src/lib.rs");
    let text = std::fs::read_to_string(&lib)?;
    let Some((head, tail)) = text.split_once(LOG_PACKET) else {
        bail!("dcsctp {version} has no log_packet of the known shape")
    };
    std::fs::write(&lib, format!("{head}{LOG_PACKET}{CONDITION}{tail}"))?;
    let manifest = std::fs::read_to_string(sources.join("Cargo.toml"))?;
    std::fs::write(
        copy.join("Cargo.toml"),
        format!("{manifest}\n[patch.crates-io]\ndcsctp = {{ path = \"dcsctp\" }}\n"),
    )?;
    if !copy.join("Cargo.lock").exists() {
        std::fs::write(copy.join("Cargo.lock"), lock)?;
    }
    // The lints of dcsctp are strict, and are for its own version of the compiler.
    cargo(&copy, &target, "--cap-lints allow").await
}

const LOG_PACKET: &str =
    "pub fn log_packet(name: &str, ts: SocketTime, sent: bool, data: &[u8]) {\n";
const CONDITION: &str =
    "        if !log::log_enabled!(log::Level::Info) {\n            return;\n        }\n";

/// The sources of a released crate, as cargo keeps them.
fn released(name: &str, version: &str) -> anyhow::Result<PathBuf> {
    let home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")))
        .context("neither CARGO_HOME nor HOME is set")?;
    let sources = home.join("registry/src");
    let registries = std::fs::read_dir(&sources)
        .with_context(|| format!("cannot read {}", sources.display()))?;
    let folder = format!("{name}-{version}");
    registries
        .filter_map(|entry| Some(entry.ok()?.path().join(&folder)))
        .find(|path| path.is_dir())
        .with_context(|| format!("the sources of {folder} are not in {}", sources.display()))
}

/// Copies only files whose content differs, so that nothing is built again without need.
fn copy_tree(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            copy_tree(&source, &target)?;
        } else if std::fs::read(&target).ok() != Some(std::fs::read(&source)?) {
            std::fs::copy(&source, &target)?;
        }
    }
    Ok(())
}

async fn usrsctp(sources: &Path, build: &Path) -> anyhow::Result<PathBuf> {
    let program = build.join("usrsctp");
    let mut command = Command::new(std::env::var_os("CC").unwrap_or_else(|| "cc".into()));
    command.args(["-O3", "-march=native", "-o"]).arg(&program).arg(sources.join("usrsctp.c"));
    command.args(["-lusrsctp", "-lpthread"]);
    run(command, "the driver of usrsctp could not be built (Debian: libusrsctp-dev)").await?;
    Ok(program)
}

async fn run(mut command: Command, complaint: &'static str) -> anyhow::Result<()> {
    let output = command.output().await.context(complaint)?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        let first =
            text.lines().find(|line| line.contains("error")).unwrap_or("it ended with a failure");
        bail!("{complaint}: {}", first.trim());
    }
    Ok(())
}

/// The versions of the libraries that can be found out.
async fn versions(sources: &Path) -> BTreeMap<&'static str, String> {
    let lock = std::fs::read_to_string(sources.join("Cargo.lock")).unwrap_or_default();
    let mut versions: BTreeMap<_, _> = ["dcsctp", "quinn", "sctp-proto", "tokio"]
        .into_iter()
        .filter_map(|name| Some((name, locked(&lock, name)?)))
        .collect();
    let ask = async |program: &str, args: &[&str]| {
        let output =
            Command::new(program).args(args).output().await.ok().filter(|o| o.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let debian = ask("dpkg-query", &["-W", "-f=${Version} (Debian)", "libusrsctp-dev"]).await;
    let usrsctp = match debian {
        Some(version) => Some(version),
        None => ask("pkg-config", &["--modversion", "usrsctp"]).await,
    };
    versions.extend(usrsctp.map(|version| ("usrsctp", version)));
    let rustc = ask("rustc", &["--version"]).await;
    versions.extend(rustc.and_then(|text| Some(("rustc", text.split(' ').nth(1)?.to_owned()))));
    versions
}

/// The version of a package in a lock file.
fn locked(lock: &str, name: &str) -> Option<String> {
    let entry = lock
        .split("[[package]]")
        .find(|entry| entry.contains(&format!("\nname = \"{name}\"\n")))?;
    let version = entry.lines().find_map(|line| line.strip_prefix("version = "))?;
    Some(version.trim_matches('"').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_in_a_lock_file() {
        let lock = "version = 4\n\n\
                    [[package]]\nname = \"a-b\"\nversion = \"1.2.3\"\n\n\
                    [[package]]\nname = \"b\"\nversion = \"4.5.6\"\n";
        assert_eq!(locked(lock, "b").as_deref(), Some("4.5.6"));
        assert_eq!(locked(lock, "a-b").as_deref(), Some("1.2.3"));
        assert_eq!(locked(lock, "a"), None);
    }
}
