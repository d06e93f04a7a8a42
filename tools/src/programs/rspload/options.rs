//! Options of rspload.

use std::time::Duration;

use clap::{Parser, ValueEnum};
use rserpool_wire::PoolHandle;

use crate::cli::{AddressList, CommonOptions, Host, millis, number};

/// Puts load on a registrar, and says how it bears it. Without --hostile=, it registers pool
/// elements, asks for them as pool users do, and measures how long the answers take. With
/// --hostile=, it misbehaves instead; run a second rspload beside it to see what others notice.
#[derive(Clone, Debug, Parser)]
pub(crate) struct Options {
    /// Where the registrar serves ASAP: ADDR:PORT{,ADDR}[/udp:N|/native]. Default port 3863. In the
    /// ready line of rspregistrar it is the value of registrar=.
    #[arg(long, value_name = "ENDPOINT", required = true)]
    pub(crate) registrar: Option<AddressList>,
    /// Where it serves ENRP, for --hostile=junk: the value of peer= in its ready line [default:
    /// only ASAP gets junk].
    #[arg(long, value_name = "ENDPOINT")]
    pub(crate) peer: Option<AddressList>,
    /// Process of the registrar on this host, whose resident memory is watched.
    #[arg(long, value_name = "N", value_parser = number("process identifier", 1u32..=u32::MAX))]
    pub(crate) registrar_pid: Option<u32>,
    /// Pool that elements are registered in and users ask for.
    #[arg(long, value_name = "NAME", default_value = "rspload", value_parser = pool)]
    pub(crate) pool: PoolHandle,
    /// Pool elements to register.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 100,
        value_parser = number("number of pool elements", 0u32..=1_000_000)
    )]
    pub(crate) elements: u32,
    /// Associations to register them over.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1,
        value_parser = number("number of associations", 1u32..=16_000)
    )]
    pub(crate) associations: u32,
    /// Pool users, each with an association.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1,
        value_parser = number("number of pool users", 0u32..=16_000)
    )]
    pub(crate) users: u32,
    /// Resolutions that each user has waiting for an answer.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1,
        value_parser = number("number of resolutions", 1u32..=1024)
    )]
    pub(crate) outstanding: u32,
    /// Pause of a user after each answer, ms.
    #[arg(
        long,
        value_name = "MS",
        default_value = "0",
        value_parser = |s: &str| millis(s, 0, 60_000)
    )]
    pub(crate) interval: Duration,
    /// Pool elements that each resolution asks for.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1,
        value_parser = number("number of pool elements", 1u32..=128)
    )]
    pub(crate) items: u32,
    /// Users ask over a new association each time.
    #[arg(long)]
    pub(crate) fresh: bool,
    /// How long, s.
    #[arg(
        long,
        value_name = "S",
        default_value_t = 10.0,
        value_parser = number("number of seconds", 0.1..=86_400.0)
    )]
    pub(crate) duration: f64,
    /// Misbehave: never-read (ask for much and read no answer), idle (associations that nobody
    /// uses), reports (that the elements of the pool are unreachable), registrations (of new
    /// elements in new pools), resolutions (as fast as possible), junk (anything).
    #[arg(
        long,
        value_name = "never-read|idle|reports|registrations|resolutions|junk",
        hide_possible_values = true
    )]
    pub(crate) hostile: Option<Kind>,
    /// Associations that misbehave.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1,
        value_parser = number("number of associations", 1u32..=500_000)
    )]
    pub(crate) clients: u32,
    /// Own addresses or names, ADDR{,ADDR}. The associations are spread over them, so a registrar
    /// takes them for as many hosts [default: one that leads to the registrar].
    #[arg(long, value_name = "ADDRS", value_delimiter = ',')]
    pub(crate) own: Vec<Host>,
    /// Print the result as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) common: CommonOptions,
}

/// What a hostile program does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// Asks for much, and reads no answer.
    NeverRead,
    /// Opens associations, and does nothing.
    Idle,
    /// Reports elements as unreachable.
    Reports,
    /// Registers new elements in new pools.
    Registrations,
    /// Asks as fast as possible.
    Resolutions,
    /// Sends anything.
    Junk,
}

fn pool(text: &str) -> Result<PoolHandle, String> {
    PoolHandle::new(text).map_err(|_| "a pool handle of 1 to 32 bytes is wanted".to_owned())
}
