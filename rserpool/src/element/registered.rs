//! Waiting until a pool element is registered.

use std::time::Duration;

use tokio::time::timeout;

use super::{PoolElement, Standing};
use crate::error::Error;

impl PoolElement {
    /// Waits until a registrar has the element in its pool; at once when one has. This waits as
    /// long as it takes: [`PoolElement::registered_within`] has a limit. Cancel-safe, and it takes
    /// no events from [`PoolElement::next_event`].
    ///
    /// # Errors
    /// [`Error::Rejected`] when a registrar refuses it, which is tried again after some seconds;
    /// [`Error::Closed`].
    pub async fn registered(&self) -> Result<(), Error> {
        let mut standing = self.inner.standing.clone();
        let decided = standing
            .wait_for(|s| !matches!(s, Standing::Pending(_)))
            .await
            .map_err(|_| Error::Closed)?;
        match &*decided {
            Standing::Registered => Ok(()),
            Standing::Rejected(error) => Err(Error::Rejected(error.clone())),
            Standing::Pending(_) | Standing::Closed => Err(Error::Closed),
        }
    }

    /// As [`PoolElement::registered`], for at most `limit`. The element goes on trying after that.
    /// Cancel-safe.
    ///
    /// # Errors
    /// As [`PoolElement::registered`], and [`Error::NotRegistered`] when the time is over.
    pub async fn registered_within(&self, limit: Duration) -> Result<(), Error> {
        if let Ok(outcome) = timeout(limit, self.registered()).await {
            return outcome;
        }
        let problem = match &*self.inner.standing.borrow() {
            Standing::Pending(problem) => problem.clone(),
            _ => None,
        };
        Err(Error::NotRegistered { pool: self.inner.pool.clone(), limit, problem })
    }
}
