//! Limits on how often one association may ask about one pool (RFC 5355 sec 2.13, 2.17).

use rserpool_wire::PoolHandle;
use sctp_user_core::Time;

/// Pools share this many buckets, which bounds the memory of an association whatever names it comes
/// up with.
const BUCKETS: usize = 64;

/// So many requests may come at once before the rate counts.
const BURST: f64 = 16.0;

/// A token bucket for each group of pools. Takes 1 kB once it is used.
#[derive(Debug, Default)]
pub(super) struct RateLimiter {
    buckets: Vec<Bucket>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    tokens: f64,
    since: Time,
}

impl RateLimiter {
    /// Whether one more request about `pool` is within `rate` per second; `None` is no limit.
    pub(super) fn admit(&mut self, now: Time, pool: &PoolHandle, rate: Option<f64>) -> bool {
        let Some(rate) = rate else { return true };
        if self.buckets.is_empty() {
            self.buckets = vec![Bucket { tokens: BURST, since: now }; BUCKETS];
        }
        // FNV-1a. Collisions only make pools share a limit.
        let hash = pool.as_bytes().iter().fold(0x811c_9dc5_u32, |hash, byte| {
            (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
        });
        let Some(bucket) = self.buckets.get_mut(hash as usize % BUCKETS) else { return true };
        bucket.tokens = (bucket.tokens + now.since(bucket.since).as_secs_f64() * rate).min(BURST);
        bucket.since = now;
        let admitted = bucket.tokens >= 1.0;
        if admitted {
            bucket.tokens -= 1.0;
        }
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(
        limiter: &mut RateLimiter,
        pool: &str,
        times: impl Iterator<Item = u64>,
        rate: f64,
    ) -> usize {
        let pool = PoolHandle::new(pool).unwrap();
        times.filter(|at| limiter.admit(Time::from_millis(*at), &pool, Some(rate))).count()
    }

    #[test]
    fn a_burst_and_then_the_rate() {
        let mut limiter = RateLimiter::default();
        // 16 at once, then 5 per second for 10 s out of 100 per second that are tried.
        let count = admitted(&mut limiter, "pool", (0..10_000).step_by(10), 5.0);
        assert!((64..=67).contains(&count), "{count}");
    }

    #[test]
    fn whoever_keeps_to_the_rate_is_never_refused() {
        let mut limiter = RateLimiter::default();
        assert_eq!(admitted(&mut limiter, "pool", (0..100_000).step_by(100), 10.0), 1000);
    }

    #[test]
    fn pools_have_limits_of_their_own() {
        let mut limiter = RateLimiter::default();
        assert_eq!(admitted(&mut limiter, "pool-a", 0..100, 0.001), 16);
        assert_eq!(admitted(&mut limiter, "pool-b", 100..200, 0.001), 16);
    }

    #[test]
    fn no_limit_takes_no_memory() {
        let mut limiter = RateLimiter::default();
        assert!(limiter.admit(Time::ZERO, &PoolHandle::new("p").unwrap(), None));
        assert_eq!(limiter.buckets.capacity(), 0);
    }
}
