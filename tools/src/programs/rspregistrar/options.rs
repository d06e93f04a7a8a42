//! Options of the registrar.

use std::time::Duration;

use clap::{Parser, ValueEnum};
use rserpool_registrar::Rates;

use super::enrp::EnrpOptions;
use crate::cli::{
    AnnounceGroup, CommonOptions, NO_CSP, OwnEndpoint, Unsupported, identifier, millis, number,
};

/// An RSerPool registrar: keeps pools of servers and tells clients whom to talk to (ASAP, RFC
/// 5352). Registrars that know each other keep the same pools, and take over the servers of one
/// that dies (ENRP, RFC 5353).
#[derive(Clone, Debug, Parser)]
pub(crate) struct Options {
    /// Server identifier, decimal or 0x-hexadecimal [default: random].
    #[arg(long, value_name = "ID", value_parser = identifier)]
    pub(crate) identifier: Option<u32>,
    /// Where ASAP is served: ADDR:PORT{,ADDR}, *:PORT for all addresses, or auto (*:3863); port 0
    /// takes a free one.
    #[arg(long, value_name = "auto|ENDPOINT", default_value = "auto")]
    pub(crate) asap: OwnEndpoint,
    /// Group for announces: auto (239.0.0.50:3863), off, or ADDR:PORT.
    #[arg(
        long,
        value_name = "auto|off|ADDR:PORT",
        default_value = "auto",
        value_parser = AnnounceGroup::parse_asap
    )]
    pub(crate) asapannounce: AnnounceGroup,
    /// Time to live of what goes to multicast groups, hops.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 30,
        value_parser = number("number of hops", 1u8..=255)
    )]
    pub(crate) announcettl: u8,
    /// Time between announces, ms.
    #[arg(
        long,
        value_name = "MS",
        default_value = "1000",
        value_parser = |s: &str| millis(s, 100, 60_000)
    )]
    pub(crate) serverannouncecycle: Duration,
    /// Narrowest scope of addresses that a pool element may register with.
    #[arg(long, value_name = "SCOPE", default_value = "loopback")]
    pub(crate) minaddressscope: Scope,
    /// With --looseownership, unreachable reports after which a pool element is removed even though
    /// it answers.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 3,
        value_parser = number("number of reports", 1..=u32::MAX)
    )]
    pub(crate) maxbadpereports: u32,
    /// Time between keep-alives to a pool element, ms.
    #[arg(
        long,
        value_name = "MS",
        default_value = "5000",
        value_parser = |s: &str| millis(s, 300, 300_000)
    )]
    pub(crate) endpointkeepalivetransmissioninterval: Duration,
    /// How long a pool element may take to answer a keep-alive, ms.
    #[arg(
        long,
        value_name = "MS",
        default_value = "5000",
        value_parser = |s: &str| millis(s, 100, 60_000)
    )]
    pub(crate) endpointkeepalivetimeoutinterval: Duration,
    /// Each interval between keep-alives is up to this part shorter or longer, per cent. This
    /// spreads the keep-alives to different pool elements.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 50,
        value_parser = number("percentage", 0u8..=50)
    )]
    pub(crate) endpointkeepalivejitter: u8,
    /// Believe everybody, as RSPLIB does: any association may register or deregister any pool
    /// element, and unreachable reports remove one that lives.
    #[arg(long)]
    pub(crate) looseownership: bool,
    /// Distances of policies with a delay penalty factor (DPF) are multiples of this, ms.
    #[arg(
        long,
        value_name = "MS",
        default_value = "50",
        value_parser = |s: &str| millis(s, 1, 60_000)
    )]
    pub(crate) distancestep: Duration,
    /// How many pool elements an answer has when the question does not say how many it wants.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 3,
        value_parser = number("number of pool elements", 1u16..=128)
    )]
    pub(crate) maxhresitems: u16,
    /// How many pool elements of an answer count as used, for round robin and the like; 0 leaves it
    /// to each policy.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 0,
        value_parser = number("number of pool elements", 0..=u32::MAX)
    )]
    pub(crate) maxincrement: u32,
    /// Shut an association down that has had no ASAP messages for this long, s.
    #[arg(
        long,
        value_name = "S",
        default_value_t = 300,
        value_parser = number("number of seconds", 5u64..=31_536_000)
    )]
    pub(crate) autoclosetimeout: u64,
    /// Handle resolutions per second for each association and pool; -1 for no limit.
    #[arg(
        long,
        value_name = "X",
        default_value = "-1",
        value_parser = rate,
        allow_negative_numbers = true
    )]
    pub(crate) maxhrrate: Rate,
    /// Unreachable reports per second for each association and pool; -1 for no limit.
    #[arg(
        long,
        value_name = "X",
        default_value = "-1",
        value_parser = rate,
        allow_negative_numbers = true
    )]
    pub(crate) maxeurate: Rate,
    /// What one address may ask for per second: registrations and deregistrations, handle
    /// resolutions, unreachable reports, pool elements in answers beyond --maxhresitems; -1 for no
    /// limit.
    #[arg(
        long,
        value_name = "X,X,X,X",
        default_value = "20000,200000,5000,20000",
        value_parser = rates,
        allow_negative_numbers = true
    )]
    pub(crate) addressrates: Rates,
    /// What all together may ask for per second, in the same order.
    #[arg(
        long,
        value_name = "X,X,X,X",
        default_value = "200000,1000000,50000,100000",
        value_parser = rates,
        allow_negative_numbers = true
    )]
    pub(crate) totalrates: Rates,
    /// Print what happens to pool elements, one line per event.
    #[arg(long)]
    pub(crate) events: bool,
    /// No banner, and no statistics at the end.
    #[arg(long)]
    pub(crate) quiet: bool,
    #[command(flatten)]
    pub(crate) enrp: EnrpOptions,
    #[command(flatten)]
    pub(crate) common: CommonOptions,
}

/// Events per second; `None` for no limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rate(pub(crate) Option<f64>);

fn rate(text: &str) -> Result<Rate, String> {
    match text.parse::<f64>() {
        Ok(-1.0) => Ok(Rate(None)),
        Ok(rate) if rate > 0.0 && rate.is_finite() => Ok(Rate(Some(rate))),
        _ => Err("a number above 0 is wanted, or -1 for no limit".to_owned()),
    }
}

fn rates(text: &str) -> Result<Rates, String> {
    let numbers = text.split(',').map(|number| rate(number.trim()).map(|rate| rate.0));
    match numbers.collect::<Result<Vec<_>, _>>().as_deref() {
        Ok(&[registrations, resolutions, reports, elements]) => {
            Ok(Rates { registrations, resolutions, reports, elements })
        }
        _ => Err("four numbers above 0 with commas between them are wanted, or -1 in place of \
                  one for no limit"
            .to_owned()),
    }
}

/// Scopes of addresses, from narrow to wide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scope {
    /// All, also 127.0.0.1 and ::1.
    Loopback,
    /// Private ones and wider.
    #[value(alias = "site-local")]
    Sitelocal,
    /// Public ones only.
    Global,
}

impl From<Scope> for sctp_user_core::Scope {
    fn from(scope: Scope) -> Self {
        match scope {
            Scope::Loopback => sctp_user_core::Scope::Loopback,
            Scope::Sitelocal => sctp_user_core::Scope::Private,
            Scope::Global => sctp_user_core::Scope::Global,
        }
    }
}

const NO_STATISTICS: &str = "no statistics are written yet";

/// Options of RSPLIB's registrar without function here.
pub(crate) const UNSUPPORTED: &[Unsupported] = &[
    ("disable-ipv6", "name the IPv4 addresses to use in --asap= instead"),
    ("statsfile", NO_STATISTICS),
    ("statsinterval", NO_STATISTICS),
    ("actionlogfile", NO_STATISTICS),
    ("scalar", NO_STATISTICS),
    ("object", NO_STATISTICS),
    ("daemonpidfile", "run it under a service manager"),
    ("uptime", "failures are not simulated"),
    ("downtime", "failures are not simulated"),
    ("cspserver", NO_CSP),
    ("cspinterval", NO_CSP),
    ("cspidentifier", NO_CSP),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// What the help calls the default is the default.
    #[test]
    fn rates_of_addresses_and_in_total() {
        let options = Options::parse_from(["rspregistrar"]);
        let config = rserpool_registrar::RegistrarConfig::default();
        assert_eq!(options.addressrates, config.address_rates);
        assert_eq!(options.totalrates, config.total_rates);
        let mixed = Rates { registrations: Some(1.5), elements: Some(2.0), ..Rates::UNLIMITED };
        assert_eq!(rates("1.5, -1, -1, 2"), Ok(mixed));
        for bad in ["", "1", "1,2,3", "1,2,3,4,5", "1,2,3,0", "a,b,c,d"] {
            assert!(rates(bad).unwrap_err().contains("-1"), "{bad}");
        }
    }

    #[test]
    fn single_rates() {
        assert_eq!(rate("-1"), Ok(Rate(None)));
        assert_eq!(rate("2.5"), Ok(Rate(Some(2.5))));
        for bad in ["0", "-2", "NaN", "inf", "", "fast"] {
            assert!(rate(bad).unwrap_err().contains("-1"), "{bad}");
        }
    }
}
