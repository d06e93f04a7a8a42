//! The clock of the drivers: tokio's, so that tests can pause it.

use sctp_user_core::Time;
use std::time::Duration;
use tokio::time::Instant;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Clock { start: Instant::now() }
    }

    pub(crate) fn now(self) -> Time {
        Time::ZERO + self.start.elapsed()
    }

    /// Waits until `at`; for ever without.
    pub(crate) async fn wait(self, at: Option<Time>) {
        match at {
            Some(at) => {
                tokio::time::sleep_until(self.start + Duration::from_nanos(at.as_nanos())).await
            }
            None => std::future::pending().await,
        }
    }
}
