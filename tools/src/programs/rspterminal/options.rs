//! Options of the terminal.

use std::time::Duration;

use clap::Parser;
use rserpool_wire::PoolHandle;

use crate::cli::{CommonOptions, Host, RegistrarOptions, millis};
use crate::programs::rspserver::pool_handle;

/// Sends lines of standard input to a server of a pool and shows what comes back; goes on with
/// another server when that one dies.
///
/// A line is any bytes up to a line feed, and is one message with it; a line of more than 65536
/// bytes is sent in several. When the input has ended and every line is answered, the program ends.
/// Lines whose server died before it answered are not sent again. Exit status: 0 when every line
/// was answered, 1 when not, 141 when nobody reads the output any more.
#[derive(Clone, Debug, Parser)]
pub(crate) struct Options {
    /// Pool to use.
    #[arg(long, value_name = "NAME", default_value = "EchoPool", value_parser = pool_handle)]
    pub(crate) poolhandle: PoolHandle,
    /// Own addresses to use, ADDR{,ADDR}; several make it multi-homed [default: all, of which
    /// servers learn one].
    #[arg(long, value_name = "ADDR", value_delimiter = ',')]
    pub(crate) local: Vec<Host>,
    /// Be a filter: write the answers to standard output byte for byte, without the names of
    /// servers, and everything else to standard error.
    #[arg(long)]
    pub(crate) pipe: bool,
    /// After the input has ended, wait this long for answers that are missing, counted from the
    /// last one, ms.
    #[arg(
        long,
        value_name = "MS",
        alias = "draintimeout",
        default_value = "5000",
        value_parser = |s: &str| millis(s, 0, 600_000)
    )]
    pub(crate) linger: Duration,
    /// Give up when no server of the pool could be connected for so long, ms; 0 is never [default:
    /// 15000, but never where standard input is a terminal].
    #[arg(long, value_name = "MS", value_parser = |s: &str| millis(s, 0, u64::MAX))]
    pub(crate) pooltimeout: Option<Duration>,
    /// No banner.
    #[arg(long)]
    pub(crate) quiet: bool,
    #[command(flatten)]
    pub(crate) registrars: RegistrarOptions,
    #[command(flatten)]
    pub(crate) common: CommonOptions,
}

impl Options {
    /// How long there may be no server; `None` for ever. `interactive`: somebody types the input.
    pub(crate) fn pool_timeout(&self, interactive: bool) -> Option<Duration> {
        match self.pooltimeout {
            Some(Duration::ZERO) => None,
            Some(limit) => Some(limit),
            None if interactive => None,
            None => Some(POOL_TIMEOUT),
        }
    }
}

/// The same time as for the first search for a registrar.
const POOL_TIMEOUT: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pool_timeout() {
        let limit = |args: &[&str], interactive| {
            let args = [&["rspterminal"], args].concat();
            Options::try_parse_from(args).unwrap().pool_timeout(interactive)
        };
        assert_eq!(limit(&[], true), None);
        assert_eq!(limit(&[], false), Some(Duration::from_secs(15)));
        assert_eq!(limit(&["--pooltimeout=7"], true), Some(Duration::from_millis(7)));
        assert_eq!(limit(&["--pooltimeout=0"], false), None);
    }
}
