//! Ping-pong: one message at a time, there and back.

use std::time::{Duration, Instant};

use anyhow::bail;
use bytes::Bytes;
#[cfg(unix)]
use sctp_user::blocking;
use sctp_user::{Association, Message};

use super::protocol::{CONTROL_PPID, Order, RoundTrips};

/// The client's part.
pub(crate) async fn ping(association: &Association, order: &Order) -> anyhow::Result<RoundTrips> {
    let data = Bytes::from(vec![0x5a; order.size]);
    let mut clock = Clock::new(order);
    loop {
        let sent = Instant::now();
        association.send(Message::new(0, 0, data.clone())).await?;
        let mut missing = data.len();
        while missing > 0 {
            let Some(part) = association.recv_message().await? else {
                bail!("the peer has shut down")
            };
            missing = missing.saturating_sub(part.data.len());
        }
        if clock.is_over(sent) {
            return Ok(summary(clock.micros));
        }
    }
}

/// The client's part with blocking calls.
#[cfg(unix)]
pub(crate) fn ping_blocking(
    stack: &mut blocking::Stack,
    association: blocking::Association,
    order: &Order,
) -> anyhow::Result<RoundTrips> {
    let data = Bytes::from(vec![0x5a; order.size]);
    let mut buffer = vec![0; order.size];
    let mut clock = Clock::new(order);
    loop {
        let sent = Instant::now();
        stack.send(association, Message::new(0, 0, data.clone()))?;
        let mut missing = data.len();
        while missing > 0 {
            let Some((len, _)) = stack.recv_into(association, &mut buffer)? else {
                bail!("the peer has shut down")
            };
            missing = missing.saturating_sub(len);
        }
        if clock.is_over(sent) {
            return Ok(summary(clock.micros));
        }
    }
}

/// The server's part with blocking calls.
#[cfg(unix)]
pub(crate) fn pong_blocking(
    stack: &mut blocking::Stack,
    association: blocking::Association,
) -> anyhow::Result<()> {
    while let Some(part) = stack.recv_message(association)? {
        if part.ppid == CONTROL_PPID {
            return Ok(());
        }
        stack.send(association, Message::new(part.stream, part.ppid, part.data))?;
    }
    bail!("the client has shut down in the middle of the test")
}

/// The round trips, and when the test is over.
struct Clock {
    begin: Instant,
    warmup: Duration,
    end: Duration,
    micros: Vec<f64>,
}

impl Clock {
    fn new(order: &Order) -> Self {
        let warmup = Duration::from_millis(order.warmup_ms);
        let end = warmup + Duration::from_millis(order.duration_ms);
        Clock { begin: Instant::now(), warmup, end, micros: Vec::new() }
    }

    /// Adds a round trip that began at `sent`. True when the time is over.
    fn is_over(&mut self, sent: Instant) -> bool {
        let back = Instant::now();
        if back - self.begin >= self.warmup && self.micros.len() < MOST {
            self.micros.push((back - sent).as_secs_f64() * 1e6);
        }
        back - self.begin >= self.end
    }
}

/// The server's part: sends everything back until the client ends the test.
pub(crate) async fn pong(association: &Association) -> anyhow::Result<()> {
    while let Some(part) = association.recv_message().await? {
        if part.ppid == CONTROL_PPID {
            return Ok(());
        }
        association.send(Message::new(part.stream, part.ppid, part.data)).await?;
    }
    bail!("the client has shut down in the middle of the test")
}

fn summary(mut micros: Vec<f64>) -> RoundTrips {
    micros.sort_unstable_by(f64::total_cmp);
    let quantile = |q: f64| {
        let index = (micros.len().saturating_sub(1) as f64 * q) as usize;
        micros.get(index).copied().unwrap_or_default()
    };
    RoundTrips { count: micros.len(), p50_us: quantile(0.5), p99_us: quantile(0.99) }
}

/// How many round trips are recorded. Later ones do not count.
const MOST: usize = 1 << 22;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles() {
        let of = |values: Vec<f64>| summary(values);
        assert_eq!(of(vec![]).count, 0);
        let hundred = of((1..=101).rev().map(f64::from).collect());
        assert_eq!((hundred.count, hundred.p50_us, hundred.p99_us), (101, 51.0, 100.0));
    }
}
