//! Options that several programs have, as structs that they flatten into their own.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use rserpool_wire::numbers::{self, port};
use sctp_user::{Announce, AssocConfig, Ootb};

use super::address::AddressList;
use super::signals::EndOptions;
use super::value::{OnOff, millis, number};

/// Options of every program.
#[derive(Args, Clone, Debug)]
pub struct CommonOptions {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub log: LogOptions,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub link: LinkOptions,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub end: EndOptions,
}

/// Logging, to stderr unless a file is named.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Logging")]
pub struct LogOptions {
    /// 0 off, 1 errors, 2 warnings, 3 notes, 4 actions, 5 to 9 more and more [default: RUST_LOG, or
    /// 1 without it].
    #[arg(long, value_name = "N", value_parser = number("level", 0u8..=9))]
    pub loglevel: Option<u8>,
    /// Log to this file, overwriting it.
    #[arg(long, value_name = "FILE")]
    pub logfile: Option<PathBuf>,
    /// Log to this file, appending.
    #[arg(long, value_name = "FILE", conflicts_with = "logfile")]
    pub logappend: Option<PathBuf>,
    /// Log nothing.
    #[arg(long)]
    pub logquiet: bool,
    /// Colours in the log, if it goes to a terminal.
    #[arg(long, value_name = "on|off", default_value = "on", hide_possible_values = true)]
    pub(crate) logcolor: OnOff,
}

/// How SCTP packets are sent, and when they are sent again.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Link")]
pub struct LinkOptions {
    /// SCTP in UDP, directly in IP, or both.
    #[arg(long, value_name = "udp|raw|both", default_value = "udp", hide_possible_values = true)]
    pub link: LinkKind,
    /// Own UDP port of encapsulation; 0 takes a free one. Default: 9899 for a registrar, 9899 or a
    /// free one for a server of sctp-perf, a free one for everybody else.
    #[arg(long, value_name = "PORT", value_parser = number("UDP port", 0u16..=65_535))]
    pub encap_port: Option<u16>,
    /// Which of several own addresses to announce to peers: auto (those that the peer can use, and
    /// none from behind NAT), all, or none.
    #[arg(long, value_name = "auto|all|none", default_value = "auto", hide_possible_values = true)]
    pub announce: AnnounceKind,
    /// Distinguish peers that have the same address and SCTP port by their UDP ports. Clients
    /// behind one NAT address may be such peers.
    #[arg(long, value_name = "on|off", default_value = "off", hide_possible_values = true)]
    pub(crate) nat_port_key: OnOff,
    /// Which packets to answer that belong to no association: abort (in UDP all, natively those for
    /// own SCTP ports), own-ports (those for own SCTP ports, in UDP as well), or silent (none, for
    /// replicas behind one address, which must not end each other's associations).
    #[arg(
        long,
        value_name = "abort|own-ports|silent",
        default_value = "abort",
        hide_possible_values = true
    )]
    pub(crate) ootb: OotbKind,
    /// SCTP's timers and limits: default (those of RFC 9260, but sessions of pool users and
    /// associations with registrars notice sooner that the peer is dead), rfc (those of RFC 9260
    /// for all), or realtime (leaves a dead path within 300 ms and gives a dead peer up within 600
    /// ms; for short round trips, and for both ends).
    #[arg(
        long,
        value_name = "default|rfc|realtime",
        default_value = "default",
        hide_possible_values = true
    )]
    pub profile: Profile,
}

/// Timers and limits of associations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Profile {
    /// Those of RFC 9260, but sessions of pool users and associations with registrars notice sooner
    /// that the peer is dead.
    Default,
    /// Those of RFC 9260 everywhere.
    Rfc,
    /// For short round trips, everywhere.
    Realtime,
}

impl Profile {
    /// The settings of a stack's associations.
    pub fn stack(self) -> AssocConfig {
        match self {
            Profile::Default | Profile::Rfc => AssocConfig::default(),
            Profile::Realtime => AssocConfig::realtime(),
        }
    }

    /// The settings for associations with registrars and for sessions, on a stack with the settings
    /// `stack`. `None` leaves the choice to RSerPool, as in
    /// [`SessionOptions::assoc`](rserpool::SessionOptions::assoc).
    pub fn rserpool(self, stack: AssocConfig) -> Option<AssocConfig> {
        (self != Profile::Default).then_some(stack)
    }

    /// While a registrar does not answer, the next one is tried after this time. See
    /// [`AsapConfig::connect_interval`](rserpool::AsapConfig::connect_interval).
    pub fn connect_interval(self) -> Duration {
        match self {
            Profile::Default | Profile::Rfc => Duration::from_millis(250),
            Profile::Realtime => Duration::from_millis(50),
        }
    }

    /// How long the home registrar of a pool element may leave a registration unanswered before
    /// another registrar may take its place. See
    /// [`AsapConfig::home_patience`](rserpool::AsapConfig::home_patience).
    pub fn home_patience(self) -> Duration {
        match self {
            Profile::Default | Profile::Rfc => Duration::from_secs(1),
            Profile::Realtime => Duration::from_millis(100),
        }
    }
}

/// Which own addresses are announced to peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AnnounceKind {
    /// Those that the peer can use, and none from behind NAT.
    Auto,
    /// All.
    All,
    /// None.
    None,
}

impl From<AnnounceKind> for Announce {
    fn from(kind: AnnounceKind) -> Self {
        match kind {
            AnnounceKind::Auto => Announce::Auto,
            AnnounceKind::All => Announce::All,
            AnnounceKind::None => Announce::None,
        }
    }
}

/// Which packets are answered that belong to no association.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OotbKind {
    /// Those that RFC 9260 says.
    Abort,
    /// Those for ports that are bound here.
    OwnPorts,
    /// None.
    Silent,
}

impl From<OotbKind> for Ootb {
    fn from(kind: OotbKind) -> Self {
        match kind {
            OotbKind::Abort => Ootb::Abort,
            OotbKind::OwnPorts => Ootb::OwnPorts,
            OotbKind::Silent => Ootb::Silent,
        }
    }
}

/// The links of a stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LinkKind {
    /// UDP encapsulation; no privileges needed.
    Udp,
    /// Raw IP.
    Raw,
    /// Both.
    Both,
}

impl LinkOptions {
    /// Advice to add to a sentence that says that somebody does not answer.
    pub(crate) fn advice(&self) -> &'static str {
        match self.link {
            LinkKind::Raw => {
                "; many NATs and firewalls let SCTP pass only inside UDP: try --link=udp"
            }
            LinkKind::Udp | LinkKind::Both => "",
        }
    }
}

/// How pool elements and pool users find a registrar.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Registrars")]
pub struct RegistrarOptions {
    /// A registrar to use, ADDR:PORT{,ADDR}[/udp:N|/native]; may be given several times. The
    /// default port is 3863. ADDR may be a name, which means all its addresses; every search for a
    /// registrar looks it up again.
    #[arg(long, value_name = "ENDPOINT")]
    pub registrar: Vec<AddressList>,
    /// Group in which registrars announce themselves: auto (239.0.0.50:3863), off, or ADDR:PORT.
    #[arg(
        long,
        value_name = "auto|off|ADDR:PORT",
        default_value = "auto",
        value_parser = AnnounceGroup::parse_asap
    )]
    pub asapannounce: AnnounceGroup,
    /// How long a registrar counts as present after an announce, ms.
    #[arg(
        long,
        value_name = "MS",
        default_value = "5000",
        value_parser = |s: &str| millis(s, 100, 3_600_000)
    )]
    pub registrarannouncetimeout: Duration,
    /// How long connecting to a registrar may take, ms.
    #[arg(
        long,
        value_name = "MS",
        default_value = "7500",
        value_parser = |s: &str| millis(s, 100, 600_000)
    )]
    pub registrarconnecttimeout: Duration,
    /// How long a registrar may take to answer, ms.
    #[arg(
        long,
        value_name = "MS",
        default_value = "3000",
        value_parser = |s: &str| millis(s, 100, 600_000)
    )]
    pub registrarresponsetimeout: Duration,
    /// Give up when no registrar was found for so long after the start, ms; 0 is never.
    #[arg(
        long,
        value_name = "MS",
        default_value = "0",
        value_parser = |s: &str| millis(s, 0, u64::MAX)
    )]
    pub registrarsearchtimeout: Duration,
    /// How often a request is sent before another registrar is looked for.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1,
        value_parser = number("number of times", 1u32..=100)
    )]
    pub registrarrequestmaxtrials: u32,
}

impl RegistrarOptions {
    /// How long a program looks for its first registrar; `None` for ever.
    pub(crate) fn search_limit(&self) -> Option<Duration> {
        Some(self.registrarsearchtimeout).filter(|limit| !limit.is_zero())
    }
}

/// A multicast group in which registrars are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnnounceGroup {
    /// The well-known one of the protocol.
    Auto,
    /// None: nothing is announced, and nothing is heard.
    Off,
    /// This one.
    Group(SocketAddr),
}

impl AnnounceGroup {
    /// The address of the group for ASAP, by default 239.0.0.50:3863; `None` when it is off.
    pub fn asap(self) -> Option<SocketAddr> {
        self.or(SocketAddr::new(numbers::ASAP_ANNOUNCE_GROUP, port::ASAP))
    }

    /// The address of the group for ENRP, by default 239.0.0.51:9901; `None` when it is off.
    pub fn enrp(self) -> Option<SocketAddr> {
        self.or(SocketAddr::new(numbers::ENRP_ANNOUNCE_GROUP, port::ENRP))
    }

    fn or(self, default: SocketAddr) -> Option<SocketAddr> {
        match self {
            AnnounceGroup::Auto => Some(default),
            AnnounceGroup::Off => None,
            AnnounceGroup::Group(addr) => Some(addr),
        }
    }

    pub(crate) fn parse_asap(text: &str) -> Result<Self, String> {
        Self::parse(text, AnnounceGroup::Auto.asap())
    }

    pub(crate) fn parse_enrp(text: &str) -> Result<Self, String> {
        Self::parse(text, AnnounceGroup::Auto.enrp())
    }

    fn parse(text: &str, example: Option<SocketAddr>) -> Result<Self, String> {
        match text {
            "auto" => Ok(AnnounceGroup::Auto),
            "off" | "none" => Ok(AnnounceGroup::Off),
            _ => match text.parse::<SocketAddr>() {
                Ok(addr) if addr.ip().is_multicast() && addr.port() != 0 => {
                    Ok(AnnounceGroup::Group(addr))
                }
                _ => Err(format!(
                    "right are auto, off, and a multicast address with a port{}",
                    example.map_or_else(String::new, |group| format!(" such as {group}"))
                )),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles() {
        let (rfc, realtime) = (AssocConfig::default(), AssocConfig::realtime());
        assert_eq!(Profile::Default.stack().rto_min, rfc.rto_min);
        assert_eq!(Profile::Rfc.stack().rto_min, rfc.rto_min);
        assert_eq!(Profile::Realtime.stack().rto_min, realtime.rto_min);
        assert!(Profile::Default.rserpool(AssocConfig::default()).is_none());
        for profile in [Profile::Rfc, Profile::Realtime] {
            let config = profile.rserpool(profile.stack()).unwrap();
            assert_eq!(config.rto_min, profile.stack().rto_min);
        }
    }

    #[test]
    fn announce_groups() {
        let parse = AnnounceGroup::parse_asap;
        let address = |text: &str| Some(text.parse().unwrap());
        assert_eq!(parse("auto").unwrap().asap(), address("239.0.0.50:3863"));
        assert_eq!(parse("auto").unwrap().enrp(), address("239.0.0.51:9901"));
        assert_eq!(parse("none").unwrap().asap(), None);
        assert_eq!(parse("off").unwrap().enrp(), None);
        assert_eq!(parse("239.1.2.3:99").unwrap().enrp(), address("239.1.2.3:99"));
        for bad in ["", "on", "239.0.0.50", "10.0.0.1:3863", "239.0.0.50:0"] {
            assert!(parse(bad).unwrap_err().ends_with(" such as 239.0.0.50:3863"), "{bad}");
            let enrp = AnnounceGroup::parse_enrp(bad).unwrap_err();
            assert!(enrp.ends_with(" such as 239.0.0.51:9901"), "{enrp}");
        }
    }
}
