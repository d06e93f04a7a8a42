//! How a session behaves.

use sctp_user_core::{AssocConfig, ConfigError, Duration};

use crate::rules::check_rules;

/// Longest message taken from an element by default, bytes.
const MAX_MESSAGE_SIZE: usize = 16 * 1024 * 1024;

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
    /// An element that sends nothing for this long after data was sent to it counts as lost. Only
    /// for protocols in which every message is answered. Default `None`: SCTP alone decides.
    pub reply_timeout: Option<Duration>,
    /// Report elements whose association was lost to the registrar; those that cannot be connected
    /// are always reported. Default true.
    pub report_unreachable: bool,
    /// Fail over without waiting for the application. Otherwise the application answers
    /// [`SessionEvent::FailoverNeeded`](crate::session::SessionEvent::FailoverNeeded) by
    /// `Session::force_failover`. Default true.
    pub auto_failover: bool,
    /// Go to the elements that the last element named on its business card, in that order, before
    /// the registrar is asked. Elements are believed here: a card can name any address. Default
    /// true.
    pub business_cards: bool,
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
            business_cards: true,
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
    pub fn check(&self) -> Result<(), ConfigError> {
        let some = Duration::from_millis(1);
        check_rules(&[
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid_and_bad_values_are_named() {
        SessionOptions::default().check().unwrap();
        session_profile(AssocConfig::default()).check().unwrap();
        let options =
            SessionOptions { reply_timeout: Some(Duration::ZERO), ..SessionOptions::default() };
        assert!(options.check().unwrap_err().to_string().contains("reply timeout"));
    }
}
