//! Retransmission timeout of one path (RFC 9260 sec 6.3).

use crate::config::AssocConfig;
use crate::time::Duration;

/// Clock granularity that RTTVAR assumes (rule G1).
const GRANULARITY: Duration = Duration::from_millis(1);

/// SRTT, RTTVAR, and the RTO computed from them.
#[derive(Clone, Debug)]
pub(crate) struct Rto {
    srtt: Option<Duration>,
    rttvar: Duration,
    rto: Duration,
}

impl Rto {
    /// Begins with RTO.Initial (rule C1).
    pub(crate) fn new(config: &AssocConfig) -> Self {
        Rto { srtt: None, rttvar: Duration::ZERO, rto: config.rto_initial }
    }

    /// The timeout to use now, backoff included.
    pub(crate) fn get(&self) -> Duration {
        self.rto
    }

    /// Smoothed round-trip time, `None` before the first sample.
    pub(crate) fn srtt(&self) -> Option<Duration> {
        self.srtt
    }

    /// Takes a measured round-trip time (rules C2, C3, C6, C7). Ends any backoff.
    pub(crate) fn on_sample(&mut self, r: Duration, config: &AssocConfig) {
        match self.srtt {
            None => {
                self.srtt = Some(r);
                self.rttvar = r / 2;
            }
            Some(srtt) => {
                self.rttvar = (self.rttvar * 3 + srtt.abs_diff(r)) / 4;
                self.srtt = Some((srtt * 7 + r) / 8);
            }
        }
        self.rttvar = self.rttvar.max(GRANULARITY);
        self.end_backoff(config);
    }

    /// Sets the RTO to what the measurements say, or to RTO.Initial if there are none.
    pub(crate) fn end_backoff(&mut self, config: &AssocConfig) {
        self.rto = match self.srtt {
            Some(srtt) => (srtt + self.rttvar * 4).clamp(config.rto_min, config.rto_max),
            None => config.rto_initial,
        };
    }

    /// A timer with this RTO expired (rule E2).
    pub(crate) fn back_off(&mut self, config: &AssocConfig) {
        self.rto = (self.rto * 2).min(config.rto_max);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(min_ms: u64) -> AssocConfig {
        AssocConfig { rto_min: Duration::from_millis(min_ms), ..AssocConfig::default() }
    }

    #[test]
    fn first_and_later_samples() {
        let c = config(10);
        let mut r = Rto::new(&c);
        assert_eq!(r.get(), Duration::from_secs(1));
        r.on_sample(Duration::from_millis(100), &c);
        // SRTT 100, RTTVAR 50.
        assert_eq!(r.get(), Duration::from_millis(300));
        r.on_sample(Duration::from_millis(200), &c);
        // RTTVAR = 3/4 * 50 + 1/4 * 100 = 62.5, SRTT = 112.5.
        assert_eq!(r.get(), Duration::from_micros(362_500));
    }

    #[test]
    fn clamped_and_backed_off() {
        let c = config(1000);
        let mut r = Rto::new(&c);
        r.on_sample(Duration::from_millis(1), &c);
        assert_eq!(r.get(), c.rto_min);
        for _ in 0..10 {
            r.back_off(&c);
        }
        assert_eq!(r.get(), c.rto_max);
        r.on_sample(Duration::from_millis(1), &c);
        assert_eq!(r.get(), c.rto_min);
    }
}
