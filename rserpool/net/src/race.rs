//! Connects from given ports to a peer that may be reachable in several ways.

use std::sync::Arc;
use std::time::Duration;

use sctp_user::{Association, ConnectError, Error, Peer};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::ports::Ports;

/// How long one way is tried alone before the next one is tried as well.
const HEAD_START: Duration = Duration::from_millis(250);

/// How long the end of an association may take before it counts as one that stays.
const CLOSING: Duration = Duration::from_secs(2);

/// The pause before its ports are tried again.
const RETRY: Duration = Duration::from_millis(10);

/// Connects. An association between the same ports that is just being shut down ends first, which
/// takes a round trip.
async fn connect_when_free(ports: &Ports, way: &Peer) -> Result<Association, Error> {
    let end = Instant::now() + CLOSING;
    loop {
        match ports.connect(way).await {
            Err(Error::Connect(ConnectError::AlreadyConnected)) if Instant::now() < end => {
                tokio::time::sleep(RETRY).await;
            }
            outcome => return outcome,
        }
    }
}

/// Tries several ways to one peer, the preferred one first, and returns the first association that
/// comes up. Each way has a head start on the next one, which begins at once if all before it have
/// failed.
///
/// # Errors
/// The error of the attempt that failed last.
pub(crate) async fn connect_first(ports: &Arc<Ports>, ways: &[Peer]) -> Result<Association, Error> {
    let mut attempts = JoinSet::new();
    let mut failure = Error::Invalid("there must be at least one way to connect");
    let mut waiting = ways.iter();
    loop {
        match waiting.next() {
            Some(way) => {
                let (ports, way) = (Arc::clone(ports), way.clone());
                attempts.spawn(async move { connect_when_free(&ports, &way).await });
            }
            None if attempts.is_empty() => return Err(failure),
            None => {}
        }
        let more = waiting.len() > 0;
        let head_start = tokio::time::sleep(HEAD_START);
        tokio::pin!(head_start);
        while !attempts.is_empty() {
            tokio::select! {
                biased;
                Some(outcome) = attempts.join_next() => match outcome {
                    Ok(Ok(association)) => return Ok(association),
                    Ok(Err(error)) => failure = error,
                    // An attempt that panicked has failed, too.
                    Err(_) => {}
                },
                () = &mut head_start, if more => break,
            }
        }
    }
}
