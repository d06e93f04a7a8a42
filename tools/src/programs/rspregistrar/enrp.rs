//! Options of the registrar towards other registrars.

use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use anyhow::bail;
use clap::{Args, ValueEnum};
use rserpool_registrar::{EnrpConfig, TakeoverRule};
use rserpool_wire::numbers::port;

use crate::cli::{AddressList, AnnounceGroup, OwnEndpoint, Profile, millis, number};
use crate::programs::endpoints::Endpoints;

/// How several registrars keep the same pools.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Other registrars")]
pub(crate) struct EnrpOptions {
    /// Where ENRP is served: ADDR:PORT{,ADDR}, *:PORT for all addresses, auto (the addresses of
    /// --asap=, port 9901), or off (this registrar works alone); port 0 takes a free one.
    #[arg(long, value_name = "auto|off|ENDPOINT", default_value = "auto")]
    pub(crate) enrp: Enrp,
    /// Another registrar, ADDR:PORT{,ADDR}[/udp:N|/native]; may be given several times. The default
    /// port is 9901. A name may stand for ADDR and means all its addresses; it is looked up again
    /// whenever a registrar is lost.
    #[arg(long, value_name = "ENDPOINT")]
    pub(crate) peer: Vec<AddressList>,
    /// Group in which registrars find each other: auto (239.0.0.51:9901), off, or ADDR:PORT.
    #[arg(
        long,
        value_name = "auto|off|ADDR:PORT",
        default_value = "auto",
        alias = "enrpmulticast",
        value_parser = AnnounceGroup::parse_enrp
    )]
    pub(crate) enrpannounce: AnnounceGroup,
    /// Time between two signs of life to the other registrars, ms; 12.5 % more or less. Default
    /// 2444, and 150 with --profile=realtime.
    #[arg(long, value_name = "MS", value_parser = |s: &str| millis(s, 50, 60_000))]
    pub(crate) peerheartbeatcycle: Option<Duration>,
    /// Ask another registrar whether it lives after this much silence, ms. Default 3000, and 300
    /// with --profile=realtime.
    #[arg(long, value_name = "MS", value_parser = |s: &str| millis(s, 50, 600_000))]
    pub(crate) peermaxtimelastheard: Option<Duration>,
    /// How long another registrar may take to answer before it counts as dead, ms. Default 1500,
    /// and 200 with --profile=realtime.
    #[arg(long, value_name = "MS", value_parser = |s: &str| millis(s, 20, 600_000))]
    pub(crate) peermaxtimenoresponse: Option<Duration>,
    /// At the start, how long to look for a registrar that can tell the pools, ms. Default 1000,
    /// and 300 with --profile=realtime.
    #[arg(
        long,
        value_name = "MS",
        alias = "mentorhuntinterval",
        value_parser = |s: &str| millis(s, 0, 600_000)
    )]
    pub(crate) mentordiscoverytimeout: Option<Duration>,
    /// If the others have not agreed to a takeover within this time, it begins anew, ms. Default
    /// 5000, and 500 with --profile=realtime.
    #[arg(long, value_name = "MS", value_parser = |s: &str| millis(s, 100, 600_000))]
    pub(crate) takeoverexpiryinterval: Option<Duration>,
    /// When two registrars want to take over a dead one, which of them does: the one with the
    /// smaller identifier (as RSPLIB), or the one with the larger identifier (RFC 5353). All
    /// registrars must have the same rule.
    #[arg(
        long,
        value_name = "smaller|larger",
        default_value = "smaller",
        hide_possible_values = true
    )]
    pub(crate) takeoverrule: Rule,
    /// Suggest to other registrars that they take pool elements over, and follow their suggestions.
    /// So the pool elements spread over all registrars.
    #[arg(long)]
    pub(crate) supporttakeoversuggestion: bool,
    /// Pool elements in one answer to another registrar that asks for the pools.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 128,
        value_parser = number("number of pool elements", 1u16..=128)
    )]
    pub(crate) maxelementsperhtrequest: u16,
}

/// Whether and where other registrars are served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Enrp {
    /// At the addresses of ASAP.
    Auto,
    /// Not at all.
    Off,
    /// There.
    At(OwnEndpoint),
}

impl FromStr for Enrp {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Enrp::Auto),
            "off" | "none" => Ok(Enrp::Off),
            _ => text.parse().map(Enrp::At),
        }
    }
}

/// Who wins when two registrars want to take over the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Rule {
    /// The smaller identifier.
    Smaller,
    /// The larger identifier.
    Larger,
}

impl EnrpOptions {
    /// The settings without the peers; `None` without ENRP. `addrs` are the own addresses for ENRP.
    ///
    /// # Errors
    /// A sentence for the user.
    pub(crate) fn config(
        &self,
        addrs: Vec<IpAddr>,
        announce_ttl: u8,
        profile: Profile,
    ) -> anyhow::Result<Option<EnrpConfig>> {
        let port = match &self.enrp {
            Enrp::Off if !self.peer.is_empty() => {
                bail!("--peer= names another registrar, but --enrp=off does without others")
            }
            Enrp::Off => return Ok(None),
            Enrp::Auto => port::ENRP,
            Enrp::At(endpoint) => endpoint.port.unwrap_or(port::ENRP),
        };
        let defaults = match profile {
            Profile::Default | Profile::Rfc => EnrpConfig::default(),
            Profile::Realtime => EnrpConfig::default().realtime(),
        };
        let or = |given: Option<Duration>, default| given.unwrap_or(default);
        let config = EnrpConfig {
            port,
            addrs,
            announce: self.enrpannounce.enrp(),
            announce_ttl,
            heartbeat_cycle: or(self.peerheartbeatcycle, defaults.heartbeat_cycle),
            max_time_last_heard: or(self.peermaxtimelastheard, defaults.max_time_last_heard),
            max_time_no_response: or(self.peermaxtimenoresponse, defaults.max_time_no_response),
            mentor_discovery_timeout: or(
                self.mentordiscoverytimeout,
                defaults.mentor_discovery_timeout,
            ),
            takeover_expiry: or(self.takeoverexpiryinterval, defaults.takeover_expiry),
            takeover_rule: match self.takeoverrule {
                Rule::Smaller => TakeoverRule::SmallerId,
                Rule::Larger => TakeoverRule::LargerId,
            },
            takeover_suggestion: self.supporttakeoversuggestion,
            max_table_elements: self.maxelementsperhtrequest.into(),
            ..defaults
        };
        let (cycle, silence) = (config.heartbeat_cycle, config.max_time_last_heard);
        if silence < cycle.mul_f64(1.125) {
            bail!(
                "--peermaxtimelastheard= ({} ms) must be longer than --peerheartbeatcycle= ({} ms) \
                 and its jitter of 12.5 %",
                silence.as_millis(),
                cycle.as_millis()
            );
        }
        Ok(Some(config))
    }

    /// Adds the registrars that are named.
    ///
    /// # Errors
    /// A sentence for the user.
    pub(crate) async fn name_peers(
        &self,
        stack: &sctp_user::Stack,
        config: EnrpConfig,
    ) -> anyhow::Result<EnrpConfig> {
        let Endpoints { fixed, named } = Endpoints::of(stack, &self.peer, port::ENRP).await?;
        Ok(EnrpConfig { peers: fixed, resolver: named, ..config })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        enrp: EnrpOptions,
    }

    fn config(args: &[&str], profile: Profile) -> Result<Option<EnrpConfig>, String> {
        let line = Line::try_parse_from([&["program"], args].concat()).unwrap();
        line.enrp.config(Vec::new(), 1, profile).map_err(|error| error.to_string())
    }

    #[test]
    fn enrp_is_on_unless_it_is_switched_off() {
        let on = config(&[], Profile::Default).unwrap().unwrap();
        assert_eq!((on.port, on.announce), (9901, Some("239.0.0.51:9901".parse().unwrap())));
        assert!(config(&["--enrp=off"], Profile::Default).unwrap().is_none());
        let at = config(&["--enrp=127.0.0.1:0", "--enrpannounce=off"], Profile::Default);
        let at = at.unwrap().unwrap();
        assert_eq!((at.port, at.announce), (0, None));
        let refused = config(&["--enrp=off", "--peer=127.0.0.1"], Profile::Default).unwrap_err();
        assert!(refused.contains("--peer=") && refused.contains("--enrp=off"), "{refused}");
    }

    #[test]
    fn times_are_those_of_the_profile_where_none_are_given() {
        let times = |args: &[&str], profile| {
            let config = config(args, profile).unwrap().unwrap();
            config.check().unwrap();
            [config.heartbeat_cycle, config.max_time_last_heard, config.max_time_no_response]
                .map(|time| time.as_millis())
        };
        assert_eq!(times(&[], Profile::Default), [2444, 3000, 1500]);
        assert_eq!(times(&[], Profile::Realtime), [150, 300, 200]);
        assert_eq!(times(&["--peermaxtimenoresponse=99"], Profile::Realtime), [150, 300, 99]);
        let refused = config(&["--peerheartbeatcycle=3000"], Profile::Default).unwrap_err();
        assert!(refused.contains("--peermaxtimelastheard= (3000 ms)"), "{refused}");
    }

    /// The names in RSPLIB's README.
    #[test]
    fn other_spellings() {
        let args = ["--mentorhuntinterval=77", "--enrpmulticast=239.1.2.3:9"];
        let config = config(&args, Profile::Default).unwrap().unwrap();
        assert_eq!(config.mentor_discovery_timeout.as_millis(), 77);
        assert_eq!(config.announce, Some("239.1.2.3:9".parse().unwrap()));
    }
}
