//! The options of pool elements and pool users, with unit and default. Defaults are those of RSPLIB
//! where it has them.

use std::time::Duration;

use rserpool_core::asap::AsapConfig;
use rserpool_core::check_rules;
use rserpool_wire::{PeId, Policy, PoolHandle};
use sctp_user::{BindOptions, ConfigError};

/// Longest message taken from a pool user by default, bytes.
const MAX_MESSAGE_SIZE: usize = 16 * 1024 * 1024;

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
    /// UDP port to register instead of the stack's own: the port that a NAT box forwards to it.
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
    pub fn check(&self) -> Result<(), ConfigError> {
        check_rules(&[
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid_and_bad_values_are_named() {
        let pool = PoolHandle::new("p").unwrap();
        ElementOptions::new(pool.clone()).check().unwrap();
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
        assert!(element(|o| o.asap.parallel_connects = 0).contains("at a time"));
    }
}
