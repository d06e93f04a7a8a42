//! Options of the ping-pong client.

use std::net::IpAddr;
use std::time::Duration;

use clap::Parser;
use rserpool_wire::PoolHandle;
use sctp_user::parse_address;

use crate::cli::{CommonOptions, RegistrarOptions, millis};
use crate::programs::rspserver::pool_handle;

/// Sends numbered pings to a server of a pool and goes on with another server when that one dies.
/// Every number is answered to the user exactly once.
#[derive(Clone, Debug, Parser)]
#[command(version)]
pub(crate) struct Options {
    /// Pool to use.
    #[arg(long, value_name = "NAME", default_value = "PingPongPool", value_parser = pool_handle)]
    pub(crate) poolhandle: PoolHandle,
    /// Own addresses to use, ADDR{,ADDR}; several make it multi-homed [default: all, of which
    /// servers learn one].
    #[arg(long, value_name = "ADDR", value_delimiter = ',', value_parser = parse_address)]
    pub(crate) local: Vec<IpAddr>,
    /// Time between pings, ms.
    #[arg(
        long,
        value_name = "MS",
        default_value = "500",
        value_parser = |s: &str| millis(s, 1, 3_600_000)
    )]
    pub(crate) interval: Duration,
    /// A server that answers nothing for so long counts as dead, ms.
    #[arg(
        long,
        value_name = "MS",
        default_value = "700",
        value_parser = |s: &str| millis(s, 10, 600_000)
    )]
    pub(crate) replytimeout: Duration,
    /// End after so many pings, when all are answered; 0 is never.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) count: u64,
    /// When ending, wait this long for missing pongs, ms.
    #[arg(
        long,
        value_name = "MS",
        default_value = "2000",
        value_parser = |s: &str| millis(s, 0, 600_000)
    )]
    pub(crate) draintimeout: Duration,
    /// Print events as lines of JSON for programs.
    #[arg(long)]
    pub(crate) events: bool,
    /// No banner.
    #[arg(long)]
    pub(crate) quiet: bool,
    #[command(flatten)]
    pub(crate) registrars: RegistrarOptions,
    #[command(flatten)]
    pub(crate) common: CommonOptions,
}
