//! Token buckets that bound what strangers can make the stack send.

use crate::time::Time;

/// Allows `rate` events per second with one second of burst.
#[derive(Debug)]
pub(crate) struct TokenBucket {
    rate: u32,
    tokens: f64,
    last: Time,
}

impl TokenBucket {
    /// A full bucket.
    pub(crate) fn new(rate: u32) -> Self {
        TokenBucket { rate, tokens: f64::from(rate), last: Time::ZERO }
    }

    /// Takes one token if there is one.
    pub(crate) fn take(&mut self, now: Time) -> bool {
        let rate = f64::from(self.rate);
        self.tokens = (self.tokens + now.since(self.last).as_secs_f64() * rate).min(rate);
        self.last = self.last.max(now);
        if self.tokens < 1.0 {
            return false;
        }
        self.tokens -= 1.0;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn burst_then_rate() {
        let mut b = TokenBucket::new(10);
        let t = Time::from_millis(5000);
        assert_eq!((0..100).filter(|_| b.take(t)).count(), 10);
        assert!(!b.take(t + core::time::Duration::from_millis(99)));
        assert!(b.take(t + core::time::Duration::from_millis(101)));
    }
}
