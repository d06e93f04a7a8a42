//! Events that wait for a reader.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::error::Error;

/// Events kept for a reader that is slow or does not exist. The oldest make room for more, and the
/// reader learns how many it has missed.
const MAX_EVENTS: usize = 64;

/// A bounded queue of events with one writer.
#[derive(Debug)]
pub(crate) struct EventQueue<T> {
    state: Mutex<State<T>>,
    changed: Notify,
    /// The event that says how many events were missed.
    missed: fn(u64) -> T,
}

#[derive(Debug)]
struct State<T> {
    queue: VecDeque<T>,
    /// Events before those in the queue that were dropped.
    missed: u64,
    closed: bool,
}

impl<T> EventQueue<T> {
    /// `missed` makes the event that says how many events were dropped.
    pub(crate) fn new(missed: fn(u64) -> T) -> Self {
        let state = State { queue: VecDeque::new(), missed: 0, closed: false };
        EventQueue { state: Mutex::new(state), changed: Notify::new(), missed }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn push(&self, event: T) {
        let mut state = self.lock();
        if state.queue.len() >= MAX_EVENTS {
            state.queue.pop_front();
            state.missed = state.missed.saturating_add(1);
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

    /// Waits for the next event. Where events were dropped, the count of them comes in their place.
    /// Cancel-safe.
    ///
    /// # Errors
    /// [`Error::Closed`] when all were read and no more will come.
    pub(crate) async fn next(&self) -> Result<T, Error> {
        loop {
            {
                let mut state = self.lock();
                let missed = std::mem::take(&mut state.missed);
                if missed > 0 {
                    return Ok((self.missed)(missed));
                }
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

    #[derive(Debug, PartialEq)]
    enum Event {
        Number(usize),
        Missed(u64),
    }

    #[tokio::test]
    async fn the_newest_events_are_kept_and_read_before_the_end() {
        let events = EventQueue::new(Event::Missed);
        (0..MAX_EVENTS + 3).for_each(|n| events.push(Event::Number(n)));
        assert_eq!(events.next().await, Ok(Event::Missed(3)));
        assert_eq!(events.next().await, Ok(Event::Number(3)));
        // One more fits, and the next one takes the place of the oldest again.
        (0..2).for_each(|n| events.push(Event::Number(100 + n)));
        events.close();
        assert_eq!(events.next().await, Ok(Event::Missed(1)));
        for n in (5..MAX_EVENTS + 3).chain(100..102) {
            assert_eq!(events.next().await, Ok(Event::Number(n)));
        }
        assert_eq!(events.next().await, Err(Error::Closed));
        assert_eq!(tokio::join!(events.next(), events.next()).1, Err(Error::Closed));
    }
}
