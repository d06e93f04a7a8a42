//! Waiting until a session is connected.

use std::time::Duration;

use rserpool_core::session::FailoverProblem;
use rserpool_wire::PeId;
use tokio::time::timeout;

use super::Session;
use crate::error::Error;

/// How a session stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Not connected, with the last problem if there was one.
    Connecting(Option<FailoverProblem>),
    Connected(PeId),
    Closed,
}

impl Default for Standing {
    fn default() -> Self {
        Standing::Connecting(None)
    }
}

impl Session {
    /// Waits until the session is connected with an element, and says with which; at once when it
    /// is. [`Session::send`] then works until the next failover. This waits as long as it takes:
    /// [`Session::ready_within`] has a limit. Cancel-safe, and it takes no events from
    /// [`Session::recv`].
    ///
    /// Without [`SessionOptions::auto_failover`](crate::SessionOptions::auto_failover) a session
    /// that has lost its element waits for [`Session::force_failover`], and so does this.
    ///
    /// # Errors
    /// [`Error::Closed`] when the pool user's link to the registrars or the stack has stopped.
    pub async fn ready(&self) -> Result<PeId, Error> {
        let mut standing = self.sender.shared.standing();
        let decided = standing.wait_for(|s| !matches!(s, Standing::Connecting(_))).await;
        match decided.as_deref() {
            Ok(Standing::Connected(element)) => Ok(*element),
            _ => Err(Error::Closed),
        }
    }

    /// As [`Session::ready`], for at most `limit`. The session goes on trying after that.
    /// Cancel-safe.
    ///
    /// # Errors
    /// [`Error::NotReady`] when the time is over, [`Error::Closed`].
    pub async fn ready_within(&self, limit: Duration) -> Result<PeId, Error> {
        if let Ok(outcome) = timeout(limit, self.ready()).await {
            return outcome;
        }
        let problem = match &*self.sender.shared.standing().borrow() {
            Standing::Connecting(problem) => problem.clone().map(Box::new),
            Standing::Connected(element) => return Ok(*element),
            Standing::Closed => return Err(Error::Closed),
        };
        Err(Error::NotReady { pool: self.pool.clone(), limit, problem })
    }
}
