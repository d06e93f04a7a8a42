//! Options of the terminal.

use std::net::IpAddr;
use std::time::Duration;

use clap::Parser;
use rserpool_wire::PoolHandle;
use sctp_user::parse_address;

use crate::cli::{CommonOptions, RegistrarOptions, millis};
use crate::programs::rspserver::pool_handle;

/// Sends what is typed to a server of a pool and shows what comes back; goes on with another server
/// when that one dies.
#[derive(Clone, Debug, Parser)]
#[command(version)]
pub(crate) struct Options {
    /// Pool to use.
    #[arg(long, value_name = "NAME", default_value = "EchoPool", value_parser = pool_handle)]
    pub(crate) poolhandle: PoolHandle,
    /// Own addresses to use, ADDR{,ADDR}; several make it multi-homed [default: all, of which
    /// servers learn one].
    #[arg(long, value_name = "ADDR", value_delimiter = ',', value_parser = parse_address)]
    pub(crate) local: Vec<IpAddr>,
    /// After the input has ended, stay this long for answers, ms.
    #[arg(
        long,
        value_name = "MS",
        default_value = "500",
        value_parser = |s: &str| millis(s, 0, 600_000)
    )]
    pub(crate) draintimeout: Duration,
    /// No banner.
    #[arg(long)]
    pub(crate) quiet: bool,
    #[command(flatten)]
    pub(crate) registrars: RegistrarOptions,
    #[command(flatten)]
    pub(crate) common: CommonOptions,
}
