//! Events that wait for being read.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::error::Error;

/// Events kept for a reader that is slow or does not exist; beyond, the oldest are dropped.
const MAX_EVENTS: usize = 64;

/// A bounded queue of events with one writer.
#[derive(Debug)]
pub(crate) struct EventQueue<T> {
    state: Mutex<State<T>>,
    changed: Notify,
}

#[derive(Debug)]
struct State<T> {
    queue: VecDeque<T>,
    closed: bool,
}

impl<T> EventQueue<T> {
    pub(crate) fn new() -> Self {
        let state = State { queue: VecDeque::new(), closed: false };
        EventQueue { state: Mutex::new(state), changed: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn push(&self, event: T) {
        let mut state = self.lock();
        if state.queue.len() >= MAX_EVENTS {
            state.queue.pop_front();
        }
        state.queue.push_back(event);
        drop(state);
        self.changed.notify_one();
    }

    /// No more events will come.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_one();
    }

    /// Waits for the next event. Cancel-safe.
    ///
    /// # Errors
    /// [`Error::Closed`] when all were read and no more will come.
    pub(crate) async fn next(&self) -> Result<T, Error> {
        loop {
            {
                let mut state = self.lock();
                if let Some(event) = state.queue.pop_front() {
                    return Ok(event);
                }
                if state.closed {
                    // Another reader may wait as well.
                    self.changed.notify_one();
                    return Err(Error::Closed);
                }
            }
            self.changed.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_newest_events_are_kept_and_read_before_the_end() {
        let events = EventQueue::new();
        (0..MAX_EVENTS + 3).for_each(|n| events.push(n));
        events.close();
        for n in 3..MAX_EVENTS + 3 {
            assert_eq!(events.next().await, Ok(n));
        }
        assert_eq!(events.next().await, Err(Error::Closed));
        assert_eq!(tokio::join!(events.next(), events.next()).1, Err(Error::Closed));
    }
}
