//! Every knob of a registrar.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rserpool_wire::numbers::{ANNOUNCE_TTL, ASAP_ANNOUNCE_GROUP, port};
use rserpool_wire::{LifeUnit, PoolHandle, ServerId};
use sctp_user_core::{AssocConfig, ConfigError, Scope};

use super::{EnrpConfig, Rates};
use crate::rules::check_rules;

/// Settings of a registrar. [`RegistrarConfig::check`] tells whether they fit together; starting a
/// registrar does so too.
#[derive(Clone, Debug)]
pub struct RegistrarConfig {
    /// Identifier of this registrar, not 0. `None`, the default, draws one.
    pub server_id: Option<ServerId>,

    /// SCTP port for pool elements and pool users. Default 3863; 0 takes a free one.
    pub asap_port: u16,
    /// Addresses to bind, empty for all. Default empty.
    pub asap_addrs: Vec<IpAddr>,
    /// Settings of the associations; `None`, the default, takes those of the stack, with a send
    /// buffer of at most 64 KiB and a receive buffer of at most 32 KiB, and without delayed SACKs:
    /// answers come late here, so nothing is there to carry them. ICMP errors are believed after a
    /// tenth of [`keep_alive_interval`](Self::keep_alive_interval), at most 500 ms
    /// ([`AssocConfig::refusal_patience`]).
    pub assoc: Option<AssocConfig>,
    /// Fixes all randomness, for repeatable tests. Default `None`: the operating system gives a
    /// seed.
    pub seed: Option<[u8; 32]>,
    /// An association without ASAP messages for this long is shut down, at least 5 s. Elements are
    /// kept alive by keep-alives, so this ends those of idle pool users. Default 300 s; `None`
    /// never.
    pub autoclose: Option<Duration>,
    /// Messages that may wait for one association that reads too slowly, bytes. One that lets more
    /// pile up is aborted. Default 1 MiB.
    pub max_backlog: usize,
    /// Messages that may wait for all associations together, with the send buffers that are full
    /// because of that, bytes; beyond, the association for which most wait is aborted. So is one
    /// that has read nothing for 10 s. Default 64 MiB.
    pub max_total_backlog: usize,

    /// Group and UDP port that announces go to. Default 239.0.0.50:3863, `None` sends none.
    pub announce: Option<SocketAddr>,
    /// Time between announces, 100 ms to 60 s, with a jitter of 12.5 %. Default 1 s.
    pub announce_cycle: Duration,
    /// TTL or hop limit of announces, 1 to 255. Default 30.
    pub announce_ttl: u8,

    /// Time from a registration or an answered keep-alive to the next keep-alive, 300 ms to 300 s.
    /// SCTP probes an association with elements that has been idle for half of it. Default 5 s.
    pub keep_alive_interval: Duration,
    /// How far keep-alives of different elements are spread: each interval is up to this part of it
    /// shorter or longer, 0 to 0.5 (RFC 5352 sec 3.5). Default 0.5.
    pub keep_alive_jitter: f64,
    /// Time an element has for the answer, 100 ms to 60 s. Default 5 s.
    pub keep_alive_timeout: Duration,
    /// Name the element in keep-alives, as RSPLIB does. RFC 5352 sec 2.2.7 has no such parameter
    /// there; an element that cannot bear it needs `false`, which makes elements answer for all
    /// that they registered. Default true.
    pub keep_alive_names_element: bool,
    /// Number of unreachable reports at which an element is removed whatever it answers
    /// (MAX-BAD-PE-REPORT, RFC 5352 sec 5.1), at least 1; only with
    /// [`loose_ownership`](Self::loose_ownership). Otherwise a report has the element asked by a
    /// keep-alive, and an answer clears the count. Default 3.
    pub max_bad_pe_reports: u32,

    /// How long the owner of an element has to answer when another association registers the
    /// element or another registrar claims it, 10 ms to 60 s. Default 1 s.
    pub ownership_timeout: Duration,
    /// Believe everybody, as RSPLIB does: any association may register or deregister any element,
    /// and [`max_bad_pe_reports`](Self::max_bad_pe_reports) reports remove one. Default false.
    pub loose_ownership: bool,
    /// Distances are multiples of this, at least 1 ms. Default 50 ms.
    pub distance_step: Duration,

    /// How this registrar works together with others. Default `None`: it is alone.
    pub enrp: Option<EnrpConfig>,

    /// Narrowest scope that an address of an element may have. Default loopback, which makes pools
    /// on a single host work: loopback addresses are accepted from associations over loopback only,
    /// and handed out to such only.
    pub min_address_scope: Scope,
    /// Unit of registration lives on the wire. Default milliseconds.
    pub life_unit: LifeUnit,
    /// Longest pool handle, bytes. Default 32, all that RSPLIB can bear.
    pub max_handle_length: usize,
    /// Elements over all pools. Default 1 000 000, at about 1 kB each.
    pub max_elements: usize,
    /// Elements over one association, at least 1; more are refused. When nine tenths of
    /// [`max_elements`](Self::max_elements) are there, an association that has a thousandth of them
    /// gets no more. Default 50 000.
    pub max_elements_per_association: usize,
    /// Pools in which this registrar has elements of its own, at least 1. When nine tenths of them
    /// are there, an association with a thousandth of as many elements creates no more. Default
    /// 100 000.
    pub max_pools: usize,
    /// Copies of elements of one other registrar, at least 1; more are not held. All copies take up
    /// at most three quarters of [`max_elements`](Self::max_elements). When nine tenths of
    /// that are used up, a registrar that has a hundredth of it gets no more. All registrars of a
    /// scope should have the same limits. Default 250 000.
    pub max_elements_per_registrar: usize,
    /// Pools with such copies of one other registrar, at least 1. Default 50 000.
    pub max_pools_per_registrar: usize,
    /// Associations that come in. For one more, one gives way that nobody has used for long.
    /// Default 50 000.
    pub max_associations: usize,
    /// Associations that come in from one address; more are refused. Default 10 000.
    pub max_associations_per_address: usize,

    /// Elements of a resolution that count as used; 0 leaves it to the policies, which take 1.
    /// Default 0.
    pub max_increment: usize,
    /// Elements in the answer to a resolution that does not say how many it wants, 1 to 128.
    /// Default 3.
    pub max_resolution_items: usize,
    /// Handle resolutions per second, for each association and pool; more are refused. Default
    /// `None`, unlimited.
    pub max_resolution_rate: Option<f64>,
    /// Unreachable reports per second, for each association and pool; more are ignored. Default
    /// `None`, unlimited.
    pub max_report_rate: Option<f64>,
    /// Requests per second that come from one address: the one that the handshake of their
    /// association has verified. Default 20,000 registrations and deregistrations, 200,000
    /// resolutions, 5,000 reports, 20,000 elements beyond the default of an answer; all programs of
    /// a host share them, also those that use loopback.
    pub address_rates: Rates,
    /// Requests per second in total. When half of the burst is used up, the rest is for addresses
    /// that have used less than half of theirs. Default 200,000 registrations and deregistrations,
    /// 1,000,000 resolutions, 50,000 reports, 100,000 elements beyond the default of an answer.
    pub total_rates: Rates,
}

impl Default for RegistrarConfig {
    fn default() -> Self {
        RegistrarConfig {
            server_id: None,
            asap_port: port::ASAP,
            asap_addrs: Vec::new(),
            assoc: None,
            seed: None,
            autoclose: Some(Duration::from_secs(300)),
            max_backlog: 1024 * 1024,
            max_total_backlog: 64 * 1024 * 1024,
            announce: Some(SocketAddr::new(ASAP_ANNOUNCE_GROUP, port::ASAP)),
            announce_cycle: Duration::from_secs(1),
            announce_ttl: ANNOUNCE_TTL as u8,
            keep_alive_interval: Duration::from_secs(5),
            keep_alive_jitter: 0.5,
            keep_alive_timeout: Duration::from_secs(5),
            keep_alive_names_element: true,
            max_bad_pe_reports: 3,
            ownership_timeout: Duration::from_secs(1),
            loose_ownership: false,
            distance_step: Duration::from_millis(50),
            enrp: None,
            min_address_scope: Scope::Loopback,
            life_unit: LifeUnit::Milliseconds,
            max_handle_length: PoolHandle::MAX_LEN,
            max_elements: 1_000_000,
            max_elements_per_association: 50_000,
            max_pools: 100_000,
            max_elements_per_registrar: 250_000,
            max_pools_per_registrar: 50_000,
            max_associations: 50_000,
            max_associations_per_address: 10_000,
            max_increment: 0,
            max_resolution_items: 3,
            max_resolution_rate: None,
            max_report_rate: None,
            address_rates: Rates {
                registrations: Some(20_000.0),
                resolutions: Some(200_000.0),
                reports: Some(5_000.0),
                elements: Some(20_000.0),
            },
            total_rates: Rates {
                registrations: Some(200_000.0),
                resolutions: Some(1_000_000.0),
                reports: Some(50_000.0),
                elements: Some(100_000.0),
            },
        }
    }
}

impl RegistrarConfig {
    /// Checks all values.
    ///
    /// # Errors
    /// Names the first value that is out of range, and the range.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.enrp.as_ref().map_or(Ok(()), EnrpConfig::check)?;
        let within = |value: Duration, min, max| (min..=max).contains(&(value.as_millis()));
        let positive = |rate: Option<f64>| rate.is_none_or(|rate| rate.is_finite() && rate > 0.0);
        check_rules(&[
            (self.server_id != Some(ServerId::UNDEFINED), "the server identifier must not be 0"),
            (
                self.autoclose.is_none_or(|idle| idle >= Duration::from_secs(5)),
                "the autoclose timeout must be at least 5 s",
            ),
            (self.max_total_backlog > 0, "the backlog of all must be at least 1 byte"),
            (self.max_backlog > 0, "the backlog of an association must be at least 1 byte"),
            (
                self.announce.is_none_or(|group| group.ip().is_multicast() && group.port() != 0),
                "the announce address must be a multicast address with a port",
            ),
            (within(self.announce_cycle, 100, 60_000), "the announce cycle must be 100 ms to 60 s"),
            (self.announce_ttl > 0, "the announce TTL must be 1 to 255"),
            (
                within(self.keep_alive_interval, 300, 300_000),
                "the keep-alive transmission interval must be 300 ms to 300 s",
            ),
            (
                within(self.keep_alive_timeout, 100, 60_000),
                "the keep-alive timeout must be 100 ms to 60 s",
            ),
            (
                (0.0..=0.5).contains(&self.keep_alive_jitter),
                "the jitter of keep-alives must be 0 to 0.5",
            ),
            (self.max_bad_pe_reports > 0, "the maximum of unreachable reports must be at least 1"),
            (
                within(self.ownership_timeout, 10, 60_000),
                "the ownership timeout must be 10 ms to 60 s",
            ),
            (self.distance_step.as_millis() > 0, "the distance step must be at least 1 ms"),
            (self.max_handle_length > 0, "pool handles must be allowed at least 1 byte"),
            (self.max_elements > 0, "there must be room for at least 1 pool element"),
            (
                self.max_elements_per_association > 0 && self.max_pools > 0,
                "there must be room for at least 1 pool, and 1 element over each association",
            ),
            (
                self.max_elements_per_registrar > 0 && self.max_pools_per_registrar > 0,
                "there must be room for at least 1 pool and 1 element of each other registrar",
            ),
            (
                self.max_associations > 0 && self.max_associations_per_address > 0,
                "there must be room for at least 1 association",
            ),
            (
                (1..=MAX_ITEMS).contains(&self.max_resolution_items),
                "the number of elements in a resolution must be 1 to 128",
            ),
            (
                positive(self.max_resolution_rate),
                "the rate of handle resolutions must be above 0; leave it out for no limit",
            ),
            (
                positive(self.max_report_rate),
                "the rate of unreachable reports must be above 0; leave it out for no limit",
            ),
            (
                self.address_rates.is_valid() && self.total_rates.is_valid(),
                "the rates of an address and in total must be above 0; leave them out for no limit",
            ),
        ])
    }
}

/// Elements in the answer to any resolution.
pub(crate) const MAX_ITEMS: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid_and_bad_values_are_named() {
        RegistrarConfig::default().check().unwrap();
        let ms = Duration::from_millis;
        let wrong = [
            (
                "identifier",
                RegistrarConfig { server_id: Some(ServerId(0)), ..RegistrarConfig::default() },
            ),
            (
                "autoclose",
                RegistrarConfig { autoclose: Some(ms(4999)), ..RegistrarConfig::default() },
            ),
            ("backlog", RegistrarConfig { max_backlog: 0, ..RegistrarConfig::default() }),
            (
                "multicast",
                RegistrarConfig {
                    announce: Some("10.0.0.1:3863".parse().unwrap()),
                    ..RegistrarConfig::default()
                },
            ),
            ("cycle", RegistrarConfig { announce_cycle: ms(99), ..RegistrarConfig::default() }),
            ("TTL", RegistrarConfig { announce_ttl: 0, ..RegistrarConfig::default() }),
            (
                "interval",
                RegistrarConfig { keep_alive_interval: ms(300_001), ..RegistrarConfig::default() },
            ),
            (
                "timeout",
                RegistrarConfig { keep_alive_timeout: ms(60_001), ..RegistrarConfig::default() },
            ),
            ("reports", RegistrarConfig { max_bad_pe_reports: 0, ..RegistrarConfig::default() }),
            ("handles", RegistrarConfig { max_handle_length: 0, ..RegistrarConfig::default() }),
            ("room", RegistrarConfig { max_elements: 0, ..RegistrarConfig::default() }),
            (
                "other registrar",
                RegistrarConfig { max_pools_per_registrar: 0, ..RegistrarConfig::default() },
            ),
            (
                "resolution",
                RegistrarConfig { max_resolution_items: 129, ..RegistrarConfig::default() },
            ),
            (
                "rate",
                RegistrarConfig { max_resolution_rate: Some(0.0), ..RegistrarConfig::default() },
            ),
            (
                "rate",
                RegistrarConfig { max_report_rate: Some(f64::NAN), ..RegistrarConfig::default() },
            ),
            (
                "rates",
                RegistrarConfig {
                    total_rates: Rates { reports: Some(0.0), ..Rates::UNLIMITED },
                    ..RegistrarConfig::default()
                },
            ),
        ];
        for (word, config) in wrong {
            let error = config.check().unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }
}
