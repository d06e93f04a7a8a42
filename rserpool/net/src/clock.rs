//! The clock of the drivers. It is tokio's, so tests can pause it.

use sctp_user::sctp_user_core::{Duration, Time};
use tokio::time::Instant;

/// The time since a driver started.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock that starts now.
    pub fn start() -> Self {
        Clock { start: Instant::now() }
    }

    /// The time now.
    pub fn now(self) -> Time {
        Time::ZERO + self.start.elapsed()
    }

    /// Waits until `at`, or for ever if there is none. Cancel-safe.
    pub async fn wait(self, at: Option<Time>) {
        match at {
            Some(at) => {
                tokio::time::sleep_until(self.start + Duration::from_nanos(at.as_nanos())).await
            }
            None => std::future::pending().await,
        }
    }
}
