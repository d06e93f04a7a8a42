//! Options of the ping-pong client.

use std::time::Duration;

use clap::Parser;
use rserpool_wire::PoolHandle;

use crate::cli::{CommonOptions, Host, Profile, RegistrarOptions, millis, number};
use crate::programs::rspserver::pool_handle;

/// Sends numbered pings to a server of a pool and goes on with another server when that one dies.
/// Every number is answered to the user exactly once.
#[derive(Clone, Debug, Parser)]
pub(crate) struct Options {
    /// Pool to use.
    #[arg(long, value_name = "NAME", default_value = "PingPongPool", value_parser = pool_handle)]
    pub(crate) poolhandle: PoolHandle,
    /// Own addresses to use, ADDR{,ADDR}; several make it multi-homed [default: all, of which
    /// servers learn one].
    #[arg(long, value_name = "ADDR", value_delimiter = ',')]
    pub(crate) local: Vec<Host>,
    /// Time between pings, ms.
    #[arg(
        long,
        value_name = "MS",
        default_value = "500",
        value_parser = |s: &str| millis(s, 1, 3_600_000)
    )]
    pub(crate) interval: Duration,
    /// A server that answers nothing for so long counts as dead, ms [default: by --profile; 700,
    /// rfc 3000, realtime 600].
    #[arg(long, value_name = "MS", value_parser = |s: &str| millis(s, 10, 600_000))]
    pub(crate) replytimeout: Option<Duration>,
    /// End after so many pings, when all are answered; 0 is never.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 0,
        value_parser = number("number of pings", 0..=u64::MAX)
    )]
    pub(crate) count: u64,
    /// When told to end, wait this long for missing pongs, ms.
    #[arg(
        long,
        value_name = "MS",
        alias = "draintimeout",
        default_value = "2000",
        value_parser = |s: &str| millis(s, 0, 600_000)
    )]
    pub(crate) linger: Duration,
    /// Give up when the pool has had no server, or its servers no pong, for so long, ms; 0 is never
    /// [default: 15000 with --count=, else never].
    #[arg(long, value_name = "MS", value_parser = |s: &str| millis(s, 0, u64::MAX))]
    pub(crate) pooltimeout: Option<Duration>,
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

impl Options {
    /// How long a server may answer nothing. Before the client asks another server, SCTP has the
    /// time to retransmit, and to move to another path.
    pub(crate) fn reply_timeout(&self) -> Duration {
        let of_profile = match self.common.link.profile {
            Profile::Default => Duration::from_millis(700),
            // RTO.Min is 1 s, and both the ping and its pong may be lost.
            Profile::Rfc => Duration::from_secs(3),
            Profile::Realtime => Duration::from_millis(600),
        };
        self.replytimeout.unwrap_or(of_profile)
    }

    /// How long there may be no pong from the pool; `None` for ever.
    pub(crate) fn pool_timeout(&self) -> Option<Duration> {
        match self.pooltimeout {
            Some(limit) => Some(limit).filter(|limit| !limit.is_zero()),
            // As long as a program looks for a registrar.
            None if self.count > 0 => Some(Duration::from_secs(15)),
            None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reply_timeout_follows_the_profile() {
        let millis = |args: &[&str]| {
            let args = [&["pingpongclient"], args].concat();
            Options::try_parse_from(args).unwrap().reply_timeout().as_millis()
        };
        assert_eq!(millis(&[]), 700);
        assert_eq!(millis(&["--profile=rfc"]), 3000);
        assert_eq!(millis(&["--profile=realtime"]), 600);
        assert_eq!(millis(&["--profile=realtime", "--replytimeout=50"]), 50);
    }

    #[test]
    fn only_a_client_that_is_to_end_gives_up_by_itself() {
        let limit = |args: &[&str]| {
            let args = [&["pingpongclient"], args].concat();
            Options::try_parse_from(args).unwrap().pool_timeout()
        };
        assert_eq!(limit(&[]), None);
        assert_eq!(limit(&["--count=3"]), Some(Duration::from_secs(15)));
        assert_eq!(limit(&["--count=3", "--pooltimeout=0"]), None);
        assert_eq!(limit(&["--pooltimeout=7"]), Some(Duration::from_millis(7)));
    }
}
