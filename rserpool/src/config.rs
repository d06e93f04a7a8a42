//! Every knob, with unit and default. Defaults are those of RSPLIB where it has them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use rserpool_wire::numbers::{ASAP_ANNOUNCE_GROUP, port};
use rserpool_wire::{LifeUnit, PeId, Policy, PoolHandle};
use sctp_user::{AssocConfig, BindOptions, Peer};

use crate::error::Error;
use crate::resolver::Resolver;

/// How registrars are found and asked.
#[derive(Clone, Debug)]
pub struct AsapConfig {
    /// Registrars that are always candidates. Default none.
    pub registrars: Vec<Peer>,
    /// Finds further registrars, which are known by name. Default none.
    pub resolver: Option<Resolver>,
    /// Listen for announces of registrars; `None` does not. Default 239.0.0.50:3863.
    pub announce: Option<AnnounceConfig>,
    /// How long an announced registrar stays a candidate without a new announce (T7). Default 5 s.
    pub announce_timeout: Duration,
    /// SCTP port and addresses of the association with the registrar. The port stays the same over
    /// all registrars, and listens: a new home registrar connects to it. Default: a free port, all
    /// addresses, and [`session_profile`] applied to the SCTP settings of the stack.
    pub bind: BindOptions,
    /// Registrars that are tried at the same time. Default 3.
    pub parallel_connects: usize,
    /// Time for one registrar to accept, and the length of a hunt without candidates. Default 7.5
    /// s.
    pub connect_timeout: Duration,
    /// Pause after a hunt in which every candidate failed; doubles from hunt to hunt up to
    /// `max_hunt_pause`. Default 250 ms.
    pub hunt_pause: Duration,
    /// Upper bound of the pause. Default 4 s.
    pub max_hunt_pause: Duration,
    /// How long a request may wait for a registrar to be found: two hunts. Default 15 s.
    pub request_timeout: Duration,
    /// How long a registrar may take to answer; one that does not is given up. Default 3 s.
    pub response_timeout: Duration,
    /// How often a request is sent when answers do not come in time. Default 1.
    pub max_request_trials: u32,
    /// An association that a registrar opened and did not make use of is closed after this. Default
    /// 30 s.
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
            bind: BindOptions::default(),
            parallel_connects: 3,
            connect_timeout: Duration::from_millis(7500),
            hunt_pause: Duration::from_millis(250),
            max_hunt_pause: Duration::from_secs(4),
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
    /// Asks exactly these registrars; no multicast.
    pub fn with_registrars(registrars: Vec<Peer>) -> Self {
        AsapConfig { registrars, announce: None, ..AsapConfig::default() }
    }

    /// Checks all values.
    ///
    /// # Errors
    /// Names the first value that is out of range, and the range.
    pub fn check(&self) -> Result<(), Error> {
        let rules = [
            (
                self.announce.is_some() || !self.registrars.is_empty() || self.resolver.is_some(),
                "without registrar announces, at least one registrar must be given",
            ),
            (
                self.registrars.iter().all(|r| !r.addrs.is_empty() && r.port != 0),
                "a registrar needs an address and a port that is not 0",
            ),
            (
                self.announce
                    .as_ref()
                    .is_none_or(|a| a.group.ip().is_multicast() && a.group.port() != 0),
                "the announce address must be a multicast address with a port that is not 0",
            ),
            (self.parallel_connects > 0, "at least 1 registrar must be tried at a time"),
            (self.max_request_trials > 0, "a request must be sent at least once"),
            (
                [
                    self.connect_timeout,
                    self.request_timeout,
                    self.response_timeout,
                    self.announce_timeout,
                    self.hunt_pause,
                    self.autoclose,
                ]
                .iter()
                .all(|t| *t >= Duration::from_millis(1)),
                "timeouts must be at least 1 ms",
            ),
        ];
        check(&rules)
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

/// What a pool element registers.
#[derive(Clone, Debug)]
pub struct ElementOptions {
    /// The pool to join.
    pub pool: PoolHandle,
    /// Identifier in the pool, not 0. Default `None`: random.
    pub id: Option<PeId>,
    /// Selection policy; all elements of a pool have the same. Default round robin.
    pub policy: Policy,
    /// SCTP port and addresses of the service. Addresses that are given are registered; without,
    /// those of the association with the registrar are. Default: a free port, all addresses.
    pub bind: BindOptions,
    /// UDP port to announce in place of the stack's own: the one that a NAT box forwards to it.
    /// Default `None`.
    pub announced_udp_port: Option<u16>,
    /// Sessions that may wait for [`PoolElement::accept`](crate::PoolElement::accept). Default 16.
    pub backlog: usize,
    /// Announce a control channel, on which cookies travel. Default true.
    pub control_channel: bool,
    /// Time from one registration to the next, at least 10 ms. Default 30 s.
    pub reregistration_interval: Duration,
    /// How long the registration is valid. Default `None`: three times the interval.
    pub life: Option<Duration>,
    /// Longest message taken from a pool user, bytes. Default 16 MiB.
    pub max_message_size: usize,
    /// How registrars are found.
    pub asap: AsapConfig,
}

impl ElementOptions {
    /// An element of `pool` with defaults for everything else.
    pub fn new(pool: PoolHandle) -> Self {
        ElementOptions {
            pool,
            id: None,
            policy: Policy::RoundRobin,
            bind: BindOptions::default(),
            announced_udp_port: None,
            backlog: 16,
            control_channel: true,
            reregistration_interval: Duration::from_secs(30),
            life: None,
            max_message_size: MAX_MESSAGE_SIZE,
            asap: AsapConfig::default(),
        }
    }

    /// Checks all values.
    ///
    /// # Errors
    /// Names the first value that is out of range, and the range.
    pub fn check(&self) -> Result<(), Error> {
        check(&[
            (self.id != Some(PeId::UNDEFINED), "the identifier of a pool element must not be 0"),
            (
                self.reregistration_interval >= Duration::from_millis(10),
                "the re-registration interval must be at least 10 ms",
            ),
            (
                self.life.is_none_or(|life| life > self.reregistration_interval),
                "the registration life must be longer than the re-registration interval",
            ),
            (self.announced_udp_port != Some(0), "the announced UDP port must not be 0"),
            (self.backlog > 0, "the backlog must be at least 1"),
            (self.max_message_size > 0, "messages must be allowed at least 1 byte"),
            (!matches!(self.policy, Policy::Unknown { .. }), "a pool element needs a known policy"),
        ])?;
        self.asap.check()
    }
}

/// Settings of a pool user.
#[derive(Clone, Debug, Default)]
pub struct UserOptions {
    /// How registrars are found.
    pub asap: AsapConfig,
}

/// Settings of a session.
#[derive(Clone, Debug)]
pub struct SessionOptions {
    /// How long resolved elements may be taken from the cache instead of asking the registrar
    /// ("stale cache value"). Default 0: always ask.
    pub stale_cache: Duration,
    /// Time for one element to accept. Default 5 s.
    pub connect_timeout: Duration,
    /// Pause before the pool is resolved again when no element could be reached. Default 250 ms.
    pub retry_delay: Duration,
    /// When data was sent and nothing at all came back for this long, the element counts as lost.
    /// Only for protocols in which every message is answered. Default `None`: SCTP alone decides.
    pub reply_timeout: Option<Duration>,
    /// Report elements whose association was lost to the registrar; those that cannot be connected
    /// are always reported. Default true.
    pub report_unreachable: bool,
    /// Fail over without being asked to. Otherwise
    /// [`SessionEvent::FailoverNeeded`](crate::SessionEvent::FailoverNeeded) is to be answered by
    /// [`Session::force_failover`](crate::Session::force_failover). Default true.
    pub auto_failover: bool,
    /// Longest message taken from an element, bytes. Default 16 MiB.
    pub max_message_size: usize,
    /// SCTP settings of the associations with elements. Default `None`: [`session_profile`] applied
    /// to those of the stack.
    pub assoc: Option<AssocConfig>,
}

impl Default for SessionOptions {
    fn default() -> Self {
        SessionOptions {
            stale_cache: Duration::ZERO,
            connect_timeout: Duration::from_secs(5),
            retry_delay: Duration::from_millis(250),
            reply_timeout: None,
            report_unreachable: true,
            auto_failover: true,
            max_message_size: MAX_MESSAGE_SIZE,
            assoc: None,
        }
    }
}

impl SessionOptions {
    /// Checks all values.
    ///
    /// # Errors
    /// Names the first value that is out of range, and the range.
    pub fn check(&self) -> Result<(), Error> {
        let some = Duration::from_millis(1);
        check(&[
            (self.connect_timeout >= some, "the connect timeout must be at least 1 ms"),
            (self.retry_delay >= some, "the retry delay must be at least 1 ms"),
            (
                self.reply_timeout.is_none_or(|t| t >= some),
                "the reply timeout must be at least 1 ms",
            ),
            (self.max_message_size > 0, "messages must be allowed at least 1 byte"),
        ])
    }
}

/// SCTP settings for sessions of pool users, which have to notice a dead server quickly: heartbeat
/// every 1 s, RTO 200 ms initially and at least, 1 s at most, 2 retransmissions of one path and 3
/// of the association. Where no ICMP message tells it sooner, the end of a busy server is noticed
/// after 2.4 s and that of an idle one after about 8 s. Everything else stays as in `base`.
pub fn session_profile(base: AssocConfig) -> AssocConfig {
    AssocConfig {
        rto_initial: Duration::from_millis(200),
        rto_min: Duration::from_millis(200),
        rto_max: Duration::from_secs(1),
        hb_interval: Duration::from_secs(1),
        hb_interval_udp: Duration::from_secs(1),
        hb_enabled: true,
        path_max_retrans: 2,
        assoc_max_retrans: 3,
        ..base
    }
}

const MAX_MESSAGE_SIZE: usize = 16 * 1024 * 1024;

fn check(rules: &[(bool, &'static str)]) -> Result<(), Error> {
    match rules.iter().find(|(holds, _)| !holds) {
        None => Ok(()),
        Some((_, rule)) => Err(Error::Invalid(rule)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid_and_bad_values_are_named() {
        let pool = PoolHandle::new("p").unwrap();
        ElementOptions::new(pool.clone()).check().unwrap();
        SessionOptions::default().check().unwrap();
        session_profile(AssocConfig::default()).check().unwrap();
        let element = |change: fn(&mut ElementOptions)| {
            let mut options = ElementOptions::new(pool.clone());
            change(&mut options);
            options.check().unwrap_err().to_string()
        };
        assert!(element(|o| o.id = Some(PeId(0))).contains("identifier"));
        assert!(
            element(|o| o.reregistration_interval = Duration::from_millis(9)).contains("10 ms")
        );
        assert!(element(|o| o.life = Some(Duration::from_secs(30))).contains("life"));
        assert!(
            element(|o| o.asap = AsapConfig::with_registrars(Vec::new())).contains("registrar")
        );
        assert!(element(|o| o.asap.parallel_connects = 0).contains("at a time"));
        let options =
            SessionOptions { reply_timeout: Some(Duration::ZERO), ..SessionOptions::default() };
        assert!(options.check().unwrap_err().to_string().contains("reply timeout"));
    }
}
