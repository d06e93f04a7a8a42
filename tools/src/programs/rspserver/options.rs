//! Options of the server.

use std::time::Duration;

use clap::{ArgGroup, Parser};
use rserpool_wire::{Policy, PoolHandle};

use crate::cli::{
    CommonOptions, NO_CSP, OwnEndpoint, RegistrarOptions, Unsupported, identifier, millis, number,
};

/// A pool element with a demonstration service: echo (the default) or ping-pong.
#[derive(Clone, Debug, Parser)]
#[command(group(ArgGroup::new("service").args(["echo", "pingpong"])))]
pub(crate) struct Options {
    /// Echo: every message comes back.
    #[arg(long)]
    pub(crate) echo: bool,
    /// Ping-pong: replies are counted, and the count survives a failover.
    #[arg(long)]
    pub(crate) pingpong: bool,
    /// Pool to join [default: EchoPool or PingPongPool].
    #[arg(long, value_name = "NAME", value_parser = pool_handle)]
    pub(crate) poolhandle: Option<PoolHandle>,
    /// Pool element identifier, decimal or 0x-hexadecimal [default: random].
    #[arg(long, value_name = "ID", value_parser = identifier)]
    pub(crate) identifier: Option<u32>,
    /// Where to serve: ADDR:PORT{,ADDR}, or *:PORT for all addresses; port 0 takes a free one.
    #[arg(long, value_name = "ENDPOINT", default_value = "*:0")]
    pub(crate) local: OwnEndpoint,
    /// UDP port to tell the pool's users, where it is not the own one: the port that a NAT box
    /// forwards to this host.
    #[arg(long, value_name = "PORT", value_parser = number("UDP port", 1u16..=65_535))]
    pub(crate) announce_udp_port: Option<u16>,
    /// Selection policy: NAME, NAME:A or NAME:A:B, for example WeightedRoundRobin:2 or
    /// LeastUsedDegradation:0.1.
    #[arg(long, value_name = "POLICY", default_value = "RoundRobin")]
    pub(crate) policy: Policy,
    /// Time between re-registrations, ms; a registration lives three times as long.
    #[arg(
        long,
        value_name = "MS",
        default_value = "30000",
        value_parser = |s: &str| millis(s, 10, 3_600_000)
    )]
    pub(crate) rereginterval: Duration,
    /// End after this time, ms; 0 is never.
    #[arg(
        long,
        value_name = "MS",
        default_value = "0",
        value_parser = |s: &str| millis(s, 0, 31_536_000_000)
    )]
    pub(crate) runtime: Duration,
    /// Ping-pong: sessions at the same time; more are refused.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 4,
        value_parser = number("number of sessions", 1..=u32::MAX)
    )]
    pub(crate) pppmaxthreads: u32,
    /// Ping-pong: abort each session after so many replies, to try failovers; 0 is never.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 0,
        value_parser = number("number of replies", 0..=u64::MAX)
    )]
    pub(crate) pppfailureafter: u64,
    /// Ping-pong: think this long about each ping, ms.
    #[arg(
        long,
        value_name = "MS",
        default_value = "0",
        value_parser = |s: &str| millis(s, 0, 60_000)
    )]
    pub(crate) pppreplydelay: Duration,
    /// No banner.
    #[arg(long)]
    pub(crate) quiet: bool,
    #[command(flatten)]
    pub(crate) registrars: RegistrarOptions,
    #[command(flatten)]
    pub(crate) common: CommonOptions,
}

/// Reads a pool handle.
///
/// # Errors
/// A sentence for the user.
pub(crate) fn pool_handle(text: &str) -> Result<PoolHandle, String> {
    PoolHandle::new(text).map_err(|error| error.to_string())
}

const NO_SERVICE: &str = "this service is not written yet; there are -echo and -pingpong";

/// Options of RSPLIB's server without function here.
pub(crate) const UNSUPPORTED: &[Unsupported] = &[
    ("discard", NO_SERVICE),
    ("daytime", NO_SERVICE),
    ("chargen", NO_SERVICE),
    ("fractal", NO_SERVICE),
    ("calcapp", NO_SERVICE),
    ("scripting", NO_SERVICE),
    ("chargenmaxthreads", NO_SERVICE),
    ("fgpmaxthreads", NO_SERVICE),
    ("fgptransmittimeout", NO_SERVICE),
    ("fgpdatamaxtime", NO_SERVICE),
    ("fgpcookiemaxtime", NO_SERVICE),
    ("fgpcookiemaxpackets", NO_SERVICE),
    ("fgpfailureafter", NO_SERVICE),
    ("fgptestmode", NO_SERVICE),
    ("capmaxjobs", NO_SERVICE),
    ("capcapacity", NO_SERVICE),
    ("capkeepalivetransmissioninterval", NO_SERVICE),
    ("capkeepalivetimeoutinterval", NO_SERVICE),
    ("capcookiemaxcalculations", NO_SERVICE),
    ("capcookiemaxtime", NO_SERVICE),
    ("capcleanshutdownprobability", NO_SERVICE),
    ("capobject", NO_SERVICE),
    ("capvector", NO_SERVICE),
    ("capscalar", NO_SERVICE),
    ("ssmaxthreads", NO_SERVICE),
    ("sskeeptempdirs", NO_SERVICE),
    ("ssverbose", NO_SERVICE),
    ("sstransmittimeout", NO_SERVICE),
    ("sskeepaliveinterval", NO_SERVICE),
    ("sskeepalivetimeout", NO_SERVICE),
    ("sscachemaxsize", NO_SERVICE),
    ("sscachemaxentries", NO_SERVICE),
    ("sscachedirectory", NO_SERVICE),
    ("sskeyring", NO_SERVICE),
    ("sstrustdb", NO_SERVICE),
    ("daemonpidfile", "run it under a service manager"),
    ("uptime", "failures are not simulated; kill the process"),
    ("downtime", "failures are not simulated; kill the process"),
    ("cspserver", NO_CSP),
    ("cspinterval", NO_CSP),
    ("cspidentifier", NO_CSP),
];
