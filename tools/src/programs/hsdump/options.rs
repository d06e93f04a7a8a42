//! Options of hsdump.

use std::time::Duration;

use clap::Parser;

use crate::cli::{AddressList, CommonOptions, millis};

/// Shows the pools that a registrar knows. It asks by ENRP (RFC 5353), as another registrar would,
/// and owns no pool elements: the registrars of the scope forget it when it ends.
#[derive(Clone, Debug, Parser)]
pub(crate) struct Options {
    /// Where the registrar serves ENRP: ADDR:PORT{,ADDR}[/udp:N|/native]. Default port 9901. A name
    /// may stand for ADDR. In the ready line of rspregistrar it is the value of peer=.
    #[arg(value_name = "REGISTRAR")]
    pub(crate) registrar: AddressList,
    /// One JSON object, in one line.
    #[arg(long, conflicts_with = "rsplib")]
    pub(crate) json: bool,
    /// The lines that RSPLIB's hsdump prints, for scripts that read those.
    #[arg(long)]
    pub(crate) rsplib: bool,
    /// Show the pools again and again, until the program is told to end.
    #[arg(long)]
    pub(crate) watch: bool,
    /// With --watch, the time from one look to the next, ms.
    #[arg(
        long,
        value_name = "MS",
        default_value = "1000",
        value_parser = |s: &str| millis(s, 100, 3_600_000)
    )]
    pub(crate) interval: Duration,
    /// How long connecting with the registrar may take, and then each of its answers, ms.
    #[arg(
        long,
        value_name = "MS",
        default_value = "5000",
        value_parser = |s: &str| millis(s, 100, 600_000)
    )]
    pub(crate) timeout: Duration,
    #[command(flatten)]
    pub(crate) common: CommonOptions,
}
