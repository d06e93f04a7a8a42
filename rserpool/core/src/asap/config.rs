//! How registrars are found and asked. Defaults are those of RSPLIB where it has them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use rserpool_wire::LifeUnit;
use rserpool_wire::numbers::{ASAP_ANNOUNCE_GROUP, port};
use sctp_user_core::{AssocConfig, ConfigError, Duration, Peer};

use super::Resolver;
use crate::rules::check_rules;

/// Upper bound of [`AsapConfig::other_registrars`].
const MAX_OTHERS: usize = 16;

/// How a pool element or a pool user finds registrars and asks them.
#[derive(Clone, Debug)]
pub struct AsapConfig {
    /// Registrars that are always candidates. Entries with the same addresses and SCTP port are
    /// ways to the same registrar. Default none.
    pub registrars: Vec<Peer>,
    /// Finds further registrars, which are known by name. Default none.
    pub resolver: Option<Resolver>,
    /// Listen for announces of registrars; `None` does not. Default 239.0.0.50:3863.
    pub announce: Option<AnnounceConfig>,
    /// How long an announced registrar stays a candidate without a new announce (T7). Default 5 s.
    pub announce_timeout: Duration,
    /// SCTP port of the associations with registrars. It stays the same over all registrars, and
    /// listens: a new home registrar connects to it. Default 0, a free one.
    pub port: u16,
    /// Addresses to bind, empty for all. Default empty.
    pub addrs: Vec<IpAddr>,
    /// Settings of the associations with registrars. `None`, the default, applies
    /// [`session_profile`](crate::session::session_profile) to those of the stack.
    pub assoc: Option<AssocConfig>,
    /// How many attempts to connect with a registrar may be open at the same time. They begin one
    /// after another, see `connect_interval`. Default 32: enough for one every 250 ms where none is
    /// answered within 7.5 s.
    pub parallel_connects: usize,
    /// While an attempt is open, the next registrar is tried after this time; when the attempt
    /// fails, at once. Registrars that are known by announces only are never tried sooner one after
    /// another, so that false announces cost little. Default 250 ms.
    pub connect_interval: Duration,
    /// Time for one registrar to accept. A pool user that has nothing to ask stops looking for a
    /// registrar after this time, too. Default 7.5 s.
    pub connect_timeout: Duration,
    /// Pause before a registrar that could not be reached is tried again; it doubles from failure
    /// to failure up to `max_hunt_pause`. Default 250 ms.
    pub hunt_pause: Duration,
    /// Upper bound of the pause. Default 4 s.
    pub max_hunt_pause: Duration,
    /// When the home registrar leaves a registration unanswered for this long, another registrar
    /// that says that it is the home now is believed although it is not known. Where there is no
    /// home registrar, it is believed at once. See
    /// `response_timeout` for when the home registrar is given up. Default 1 s.
    pub home_patience: Duration,
    /// How many other registrars are asked about a pool of which the home registrar knows no
    /// element. Together they have the time of `response_timeout`. Default 3; 0 asks none.
    pub other_registrars: usize,
    /// How long a request may wait for a registrar to be found. Default 15 s, twice the connect
    /// timeout.
    pub request_timeout: Duration,
    /// How long a registrar may take to answer; one that does not is given up. Default 3 s.
    pub response_timeout: Duration,
    /// How often a request is sent when answers do not come in time. Default 1.
    pub max_request_trials: u32,
    /// An association that a registrar opened is closed when the registrar has not used it for this
    /// long. Default 30 s.
    pub autoclose: Duration,
    /// Unit of registration lives on the wire. Default milliseconds, as RSPLIB.
    pub life_unit: LifeUnit,
    /// Fixes all randomness, for repeatable tests. Default: from the operating system.
    pub seed: Option<[u8; 32]>,
}

impl Default for AsapConfig {
    fn default() -> Self {
        AsapConfig {
            registrars: Vec::new(),
            resolver: None,
            announce: Some(AnnounceConfig::default()),
            announce_timeout: Duration::from_secs(5),
            port: 0,
            addrs: Vec::new(),
            assoc: None,
            parallel_connects: 32,
            connect_interval: Duration::from_millis(250),
            connect_timeout: Duration::from_millis(7500),
            hunt_pause: Duration::from_millis(250),
            max_hunt_pause: Duration::from_secs(4),
            home_patience: Duration::from_secs(1),
            other_registrars: 3,
            request_timeout: Duration::from_secs(15),
            response_timeout: Duration::from_secs(3),
            max_request_trials: 1,
            autoclose: Duration::from_secs(30),
            life_unit: LifeUnit::Milliseconds,
            seed: None,
        }
    }
}

impl AsapConfig {
    /// Asks exactly these registrars; no multicast. For names, see
    /// `rserpool::with_registrar_names`.
    pub fn with_registrars(registrars: Vec<Peer>) -> Self {
        AsapConfig { registrars, announce: None, ..AsapConfig::default() }
    }

    /// Checks all values.
    ///
    /// # Errors
    /// Names the first value that is out of range, and the range.
    pub fn check(&self) -> Result<(), ConfigError> {
        let timeouts = [
            self.connect_timeout,
            self.request_timeout,
            self.response_timeout,
            self.announce_timeout,
            self.hunt_pause,
            self.connect_interval,
            self.home_patience,
            self.autoclose,
        ];
        let group = self.announce.as_ref().map(|announce| announce.group);
        check_rules(&[
            (
                group.is_some() || !self.registrars.is_empty() || self.resolver.is_some(),
                "without registrar announces, at least one registrar must be given",
            ),
            (
                self.registrars.iter().all(|r| !r.addrs.is_empty() && r.port != 0),
                "a registrar needs an address and a port that is not 0",
            ),
            (
                group.is_none_or(|group| group.ip().is_multicast() && group.port() != 0),
                "the announce address must be a multicast address with a port that is not 0",
            ),
            (self.parallel_connects > 0, "at least 1 registrar must be tried at a time"),
            (
                self.other_registrars <= MAX_OTHERS,
                "at most 16 other registrars can be asked about a pool",
            ),
            (self.max_request_trials > 0, "a request must be sent at least once"),
            (
                timeouts.iter().all(|t| *t >= Duration::from_millis(1)),
                "timeouts must be at least 1 ms",
            ),
        ])
    }
}

/// Where announces of registrars are heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnnounceConfig {
    /// Multicast group and UDP port. Default 239.0.0.50:3863, RSPLIB's.
    pub group: SocketAddr,
    /// IPv4: local addresses of the interfaces on which the group is joined; the unspecified
    /// address means the interface of the default route. Those that cannot be joined are passed
    /// over as long as one can. Default the default route and loopback.
    pub interfaces: Vec<IpAddr>,
    /// IPv6: indexes of the interfaces; 0 lets the system choose. Default 0.
    pub interface_indexes: Vec<u32>,
}

impl Default for AnnounceConfig {
    fn default() -> Self {
        AnnounceConfig {
            group: SocketAddr::new(ASAP_ANNOUNCE_GROUP, port::ASAP),
            interfaces: vec![Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::LOCALHOST.into()],
            interface_indexes: vec![0],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid_and_bad_values_are_named() {
        AsapConfig::default().check().unwrap();
        let wrong = |change: fn(&mut AsapConfig)| {
            let mut config = AsapConfig::default();
            change(&mut config);
            config.check().unwrap_err().to_string()
        };
        assert!(wrong(|c| *c = AsapConfig::with_registrars(Vec::new())).contains("registrar"));
        assert!(wrong(|c| c.parallel_connects = 0).contains("at a time"));
        assert!(wrong(|c| c.max_request_trials = 0).contains("once"));
        assert!(wrong(|c| c.other_registrars = 17).contains("16"));
        assert!(wrong(|c| c.home_patience = Duration::ZERO).contains("1 ms"));
        assert!(wrong(|c| c.connect_interval = Duration::ZERO).contains("1 ms"));
        assert!(wrong(|c| c.response_timeout = Duration::ZERO).contains("1 ms"));
        assert!(
            wrong(|c| c.announce = Some(AnnounceConfig {
                group: "10.0.0.1:3863".parse().unwrap(),
                ..AnnounceConfig::default()
            }))
            .contains("multicast")
        );
    }
}
