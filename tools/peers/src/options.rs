//! The command line.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, bail};

/// What is to be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Server,
    Client,
    Core,
    Setup,
    Idle,
}

/// What the arguments say.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) transport: String,
    pub(crate) mode: Mode,
    /// Bytes of a message.
    pub(crate) size: usize,
    pub(crate) warmup: Duration,
    pub(crate) window: Duration,
    pub(crate) pingpong: bool,
    /// Associations to keep idle.
    pub(crate) count: u32,
    rest: BTreeMap<String, String>,
}

impl Options {
    pub(crate) fn parse(mut args: impl Iterator<Item = String>) -> anyhow::Result<Self> {
        let transport = args.next().context("the first argument is the transport")?;
        let mode = match args.next().as_deref() {
            Some("server") => Mode::Server,
            Some("client") => Mode::Client,
            Some("core") => Mode::Core,
            Some("setup") => Mode::Setup,
            Some("idle") => Mode::Idle,
            _ => bail!("the second argument is server, client, core, setup or idle"),
        };
        let mut rest = BTreeMap::new();
        for arg in args {
            let (key, value) =
                arg.split_once('=').with_context(|| format!("'{arg}' is not key=value"))?;
            rest.insert(key.to_owned(), value.to_owned());
        }
        let number = |key: &str, default: f64| match rest.get(key) {
            Some(text) => {
                text.parse::<f64>().with_context(|| format!("{key}={text} is not a number"))
            }
            None => Ok(default),
        };
        let (warmup, window) = (number("warmup", 0.5)?, number("seconds", 2.0)?);
        let (size, count) = (number("size", 16384.0)?, number("count", 20_000.0)?);
        let pingpong = rest.get("task").is_some_and(|task| task == "pingpong");
        Ok(Options {
            transport,
            mode,
            size: (size as usize).max(1),
            warmup: Duration::from_secs_f64(warmup),
            window: Duration::from_secs_f64(window),
            pingpong,
            count: count as u32,
            rest,
        })
    }

    /// The value of a key of the server's ready line.
    pub(crate) fn given(&self, key: &str) -> anyhow::Result<&str> {
        self.rest.get(key).map(String::as_str).with_context(|| format!("{key}= is missing"))
    }

    /// Where the server is.
    pub(crate) fn server(&self) -> anyhow::Result<SocketAddr> {
        Ok((Ipv4Addr::LOCALHOST, self.given("port")?.parse()?).into())
    }
}
