//! The settings of a registrar towards other registrars.

use std::net::{IpAddr, SocketAddr};

use rserpool_wire::numbers::{ENRP_ANNOUNCE_GROUP, port};
use sctp_user_core::{AssocConfig, ConfigError, Duration, Peer};

use crate::asap::Resolver;
use crate::rules::check_rules;

/// Settings of ENRP. The times must fit together over the whole scope: every registrar has to be
/// heard more often than the others' [`max_time_last_heard`](Self::max_time_last_heard).
#[derive(Clone, Debug)]
pub struct EnrpConfig {
    /// SCTP port for other registrars. Default 9901; 0 takes a free one.
    pub port: u16,
    /// Addresses to bind, empty for all. Default empty.
    pub addrs: Vec<IpAddr>,
    /// Settings of the associations. `None`, the default, takes those of the stack, with heartbeats
    /// every 400 ms, RTOs of 200 ms to 1 s and four retransmissions.
    pub assoc: Option<AssocConfig>,
    /// Registrars that are always in the scope. Entries with the same addresses and SCTP port are
    /// ways to the same registrar. Default none.
    pub peers: Vec<Peer>,
    /// Finds further registrars, which are known by name. Default none.
    pub resolver: Option<Resolver>,
    /// Group and UDP port where registrars find each other. Default 239.0.0.51:9901; `None` neither
    /// sends nor listens.
    pub announce: Option<SocketAddr>,
    /// TTL or hop limit of datagrams to the group, 1 to 255. Default 30.
    pub announce_ttl: u8,

    /// Time between presences, with a jitter of 12.5 % (PEER-HEARTBEAT-CYCLE), 50 ms to 60 s.
    /// Default 2.444 s: RSPLIB takes a registrar for dead that is silent for 5 s.
    pub heartbeat_cycle: Duration,
    /// Silence after which a registrar is asked whether it lives (MAX-TIME-LAST-HEARD), longer than
    /// the cycle with its jitter. Default 3 s.
    pub max_time_last_heard: Duration,
    /// Time that it has for the answer (MAX-TIME-NO-RESPONSE), at least 20 ms. Default 1.5 s.
    pub max_time_no_response: Duration,
    /// How long a registrar that starts waits for another one that can tell it the handlespace, at
    /// most. Default 1 s: registrars answer a presence at once.
    pub mentor_discovery_timeout: Duration,
    /// Time after which a takeover that not all others agreed to begins anew, at least 100 ms.
    /// Default 5 s.
    pub takeover_expiry: Duration,
    /// Who wins when two registrars want to take over the same one. All registrars of a scope need
    /// the same rule. Default [`TakeoverRule::SmallerId`].
    pub takeover_rule: TakeoverRule,
    /// Suggest to other registrars to take elements over, and follow such suggestions
    /// (draft-dreibholz-rserpool-enrp-takeover). Default false.
    pub takeover_suggestion: bool,
    /// Elements in one handle table response, 1 to 128. Default 128.
    pub max_table_elements: usize,
    /// Registrars that are known at the same time; more are ignored. Default 64.
    pub max_peers: usize,
}

/// Who wins when two registrars want to take over the same one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TakeoverRule {
    /// The one with the smaller server ID, as RSPLIB does.
    #[default]
    SmallerId,
    /// The one with the larger server ID, as RFC 5353 sec 3.5 says.
    LargerId,
}

impl Default for EnrpConfig {
    fn default() -> Self {
        EnrpConfig {
            port: port::ENRP,
            addrs: Vec::new(),
            assoc: None,
            peers: Vec::new(),
            resolver: None,
            announce: Some(SocketAddr::new(ENRP_ANNOUNCE_GROUP, port::ENRP)),
            announce_ttl: 30,
            heartbeat_cycle: Duration::from_millis(2444),
            max_time_last_heard: Duration::from_secs(3),
            max_time_no_response: Duration::from_millis(1500),
            mentor_discovery_timeout: Duration::from_secs(1),
            takeover_expiry: Duration::from_secs(5),
            takeover_rule: TakeoverRule::SmallerId,
            takeover_suggestion: false,
            max_table_elements: 128,
            max_peers: 64,
        }
    }
}

impl EnrpConfig {
    /// Exactly these registrars, without multicast.
    pub fn with_peers(peers: Vec<Peer>) -> Self {
        EnrpConfig { peers, announce: None, ..EnrpConfig::default() }
    }

    /// Times for networks with short ways: a registrar that is cut off is taken over within 800 ms.
    /// Registrars of RSPLIB bear them.
    pub fn realtime(self) -> Self {
        EnrpConfig {
            heartbeat_cycle: Duration::from_millis(150),
            max_time_last_heard: Duration::from_millis(300),
            max_time_no_response: Duration::from_millis(200),
            mentor_discovery_timeout: Duration::from_millis(300),
            takeover_expiry: Duration::from_millis(500),
            ..self
        }
    }

    /// Checks all values.
    ///
    /// # Errors
    /// Names the first value that is out of range, and the range.
    pub fn check(&self) -> Result<(), ConfigError> {
        let within = |value: Duration, min, max| (min..=max).contains(&value.as_millis());
        check_rules(&[
            (
                self.peers.iter().all(|peer| !peer.addrs.is_empty() && peer.port != 0),
                "a registrar needs an address and a port that is not 0",
            ),
            (
                self.announce.is_none_or(|group| group.ip().is_multicast() && group.port() != 0),
                "the ENRP announce address must be a multicast address with a port",
            ),
            (self.announce_ttl > 0, "the announce TTL must be 1 to 255"),
            (
                within(self.heartbeat_cycle, 50, 60_000),
                "the peer heartbeat cycle must be 50 ms to 60 s",
            ),
            (
                self.max_time_last_heard >= self.heartbeat_cycle.mul_f64(1.125),
                "a peer must be allowed to be silent for longer than the heartbeat cycle and 12.5 %",
            ),
            (
                within(self.max_time_no_response, 20, 600_000),
                "the time for a peer's answer must be 20 ms to 600 s",
            ),
            (
                within(self.mentor_discovery_timeout, 0, 600_000),
                "the mentor discovery timeout must be at most 600 s",
            ),
            (
                within(self.takeover_expiry, 100, 600_000),
                "the takeover expiry must be 100 ms to 600 s",
            ),
            (
                (1..=128).contains(&self.max_table_elements),
                "the number of elements in a table response must be 1 to 128",
            ),
            (self.max_peers > 0, "there must be room for at least 1 peer"),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid_and_bad_values_are_named() {
        EnrpConfig::default().check().unwrap();
        EnrpConfig::default().realtime().check().unwrap();
        let wrong = |change: fn(&mut EnrpConfig)| {
            let mut config = EnrpConfig::default();
            change(&mut config);
            config.check().unwrap_err().to_string()
        };
        assert!(wrong(|c| c.announce = Some(([10, 0, 0, 1], 9901).into())).contains("multicast"));
        assert!(wrong(|c| c.announce_ttl = 0).contains("TTL"));
        assert!(wrong(|c| c.heartbeat_cycle = Duration::ZERO).contains("cycle"));
        assert!(wrong(|c| c.max_time_last_heard = c.heartbeat_cycle).contains("silent"));
        assert!(wrong(|c| c.max_time_no_response = Duration::ZERO).contains("answer"));
        assert!(wrong(|c| c.takeover_expiry = Duration::ZERO).contains("expiry"));
        assert!(wrong(|c| c.max_table_elements = 129).contains("table"));
        assert!(wrong(|c| c.max_peers = 0).contains("room"));
    }
}
