//! Connecting to a peer that may be reachable in several ways.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use sctp_user_core::{AssocConfig, Peer};
use tokio::time::{Instant, sleep_until};

use crate::association::Association;
use crate::error::Error;
use crate::stack::Stack;

impl Stack {
    /// Tries several ways to reach the same peer, and takes the first one that works. `peers` lists
    /// these ways, the preferred one first. Usually they are the same addresses once without and
    /// once with UDP encapsulation, because nobody knows in advance what the network lets through.
    ///
    /// Each way is an attempt of its own, with its own verification tag and SCTP port. An attempt
    /// starts 250 ms after the one before it, or at once if all earlier ones have failed, for
    /// instance because ICMP said that nobody speaks native SCTP there. The first association that
    /// is up wins. The other attempts are aborted, so the peer may see a second association for a
    /// moment. Dropping the future aborts all attempts.
    ///
    /// ```no_run
    /// # async fn example(stack: sctp_user::Stack) -> Result<(), sctp_user::Error> {
    /// use sctp_user::{Encap, Peer};
    ///
    /// let addr = [192, 0, 2, 1].into();
    /// let ways = [Encap::Native, Encap::Udp { remote_port: 9899 }];
    /// let ways = ways.map(|encap| Peer::new(addr, encap, 7));
    /// let association = stack.connect_first(&ways, stack.assoc_config()).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// The error of the attempt that failed last; [`Error::Invalid`] if `peers` is empty.
    pub async fn connect_first(
        &self,
        peers: &[Peer],
        config: AssocConfig,
    ) -> Result<Association, Error> {
        let mut waiting = peers.iter();
        let mut attempts = Vec::new();
        let mut failure = Error::Invalid("there must be at least one peer to connect to");
        loop {
            if let Some(peer) = waiting.next() {
                attempts.push(Some(Box::pin(self.connect_one(peer, config.clone()))));
            } else if attempts.iter().all(Option::is_none) {
                return Err(failure.of_setup(peers));
            }
            let head_start = sleep_until(Instant::now() + HEAD_START);
            tokio::pin!(head_start);
            let more = waiting.len() > 0;
            let outcome = poll_fn(|cx| match poll_attempts(&mut attempts, cx, &mut failure) {
                Poll::Pending if more => head_start.as_mut().poll(cx).map(|()| None),
                outcome => outcome,
            });
            if let Some(association) = outcome.await {
                return Ok(association);
            }
        }
    }
}

/// Polls all attempts. Ready with an association, or with `None` when all attempts have failed.
fn poll_attempts<F: Future<Output = Result<Association, Error>>>(
    attempts: &mut [Option<Pin<Box<F>>>],
    cx: &mut Context<'_>,
    failure: &mut Error,
) -> Poll<Option<Association>> {
    let mut pending = false;
    for slot in attempts {
        match slot.as_mut().map(|attempt| attempt.as_mut().poll(cx)) {
            None => {}
            Some(Poll::Pending) => pending = true,
            Some(Poll::Ready(Ok(association))) => return Poll::Ready(Some(association)),
            Some(Poll::Ready(Err(why))) => {
                *failure = why;
                *slot = None;
            }
        }
    }
    if pending { Poll::Pending } else { Poll::Ready(None) }
}

/// How long to wait for an attempt before the next one starts as well.
const HEAD_START: Duration = Duration::from_millis(250);
