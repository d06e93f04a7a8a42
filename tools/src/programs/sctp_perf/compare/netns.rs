//! Two network namespaces with a veth pair between them, for the rows directly in IP.

use std::process::Command;

use anyhow::{Context, bail};

/// The namespaces. Dropping this removes them.
#[derive(Debug)]
pub(crate) struct Namespaces {
    names: [String; 2],
}

/// The address of each.
pub(crate) const ADDRESSES: [&str; 2] = ["10.231.0.1", "10.231.0.2"];

impl Namespaces {
    /// Makes them. Their names contain the number of this process.
    ///
    /// # Errors
    /// Without root, or without the program `ip`.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let names = ["a", "b"].map(|side| format!("sctp-perf-{}{side}", std::process::id()));
        let made = Namespaces { names };
        for name in &made.names {
            ip(&["netns", "add", name])?;
        }
        let [a, b] = &made.names;
        ip(&[
            "link", "add", "veth0", "netns", a, "mtu", "1500", "type", "veth", "peer", "name",
            "veth0", "netns", b,
        ])?;
        for (name, address) in made.names.iter().zip(ADDRESSES) {
            ip(&["-n", name, "address", "add", &format!("{address}/24"), "dev", "veth0"])?;
            ip(&["-n", name, "link", "set", "veth0", "mtu", "1500", "up"])?;
            ip(&["-n", name, "link", "set", "lo", "up"])?;
        }
        Ok(made)
    }

    /// The words before a command that make it run in one of them.
    pub(crate) fn prefix(&self, side: usize) -> Vec<String> {
        ["ip", "netns", "exec", &self.names[side]].map(str::to_owned).to_vec()
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        for name in &self.names {
            let _ = Command::new("ip").args(["netns", "delete", name]).output();
        }
    }
}

fn ip(args: &[&str]) -> anyhow::Result<()> {
    let output =
        Command::new("ip").args(args).output().context("the program 'ip' cannot be run")?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        bail!(
            "network namespaces cannot be made, which takes root: ip {}: {}",
            args.join(" "),
            why.trim()
        );
    }
    Ok(())
}
