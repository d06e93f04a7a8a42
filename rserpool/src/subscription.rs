//! Hearing of the changes of a pool.

use rserpool_wire::PoolHandle;
use tokio::sync::watch;

use crate::asap::Handle;
use crate::error::Error;
use crate::user::ResolvedElement;

/// The elements of a pool; `None` before the registrar has told any.
pub(crate) type Known = Option<Vec<ResolvedElement>>;

/// Tells which elements a pool has, whenever that changes. See
/// [`PoolUser::subscribe`](crate::PoolUser::subscribe).
///
/// Only the newest state is kept, so a slow reader misses what has been in between and costs no
/// memory. Dropping it ends the subscription.
#[derive(Debug)]
pub struct Subscription {
    pool: PoolHandle,
    known: watch::Receiver<Known>,
    // Dropped after the receiver, so that the task finds that nobody listens any more.
    _end: End,
}

/// Tells the task that a subscription has ended.
#[derive(Debug)]
struct End {
    asap: Handle,
}

impl Drop for End {
    fn drop(&mut self) {
        self.asap.unsubscribed();
    }
}

impl Subscription {
    pub(crate) fn new(pool: PoolHandle, known: watch::Receiver<Known>, asap: Handle) -> Self {
        Subscription { pool, known, _end: End { asap } }
    }

    /// Waits until the pool has other elements than this told last, and tells them, ordered by
    /// identifier. The first time it waits only until the elements are known. A pool that does not
    /// exist has none. Values of elements count as well: an element with another load is a change.
    /// Cancel-safe.
    ///
    /// While the pool user has no registrar, nothing changes. The next registrar is asked at once.
    ///
    /// # Errors
    /// [`Error::Closed`] when the stack has stopped.
    pub async fn changed(&mut self) -> Result<Vec<ResolvedElement>, Error> {
        loop {
            self.known.changed().await.map_err(|_| Error::Closed)?;
            if let Some(elements) = self.known.borrow_and_update().clone() {
                return Ok(elements);
            }
        }
    }

    /// The elements as they are known now; `None` before the registrar has told any.
    pub fn elements(&self) -> Option<Vec<ResolvedElement>> {
        self.known.borrow().clone()
    }

    /// The pool.
    pub fn pool(&self) -> &PoolHandle {
        &self.pool
    }
}
