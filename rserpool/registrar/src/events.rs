//! What happens in a registrar, told to any number of subscribers.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use rserpool_core::registrar::RegistrarEvent;
use tokio::sync::Notify;

/// How many bytes of events may wait for one subscriber. That is more than 100,000 events.
const LIMIT: usize = 16 << 20;

/// What a subscriber of a registrar gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Something happened.
    Event(RegistrarEvent),
    /// This many events are missing here, because the subscriber read too slowly.
    Missed(u64),
}

/// Everything that happens in a registrar after a call of
/// [`Registrar::events`](crate::Registrar::events), in order.
///
/// The registrar never waits for a subscriber. Up to 16 MiB of events wait for each one, which is
/// room for everything that can happen at once. A subscriber that falls further behind is told how
/// many events it misses, and where.
#[derive(Debug)]
pub struct RegistrarEvents(Arc<Queue>);

impl RegistrarEvents {
    /// Waits for the next notice; `None` when the registrar has ended and everything is read.
    /// Cancel-safe.
    pub async fn recv(&mut self) -> Option<Notice> {
        loop {
            // A permit may be left over from an earlier event. It costs one more round.
            {
                let mut state = self.0.lock();
                let notice = state.pop();
                if notice.is_some() || state.ended {
                    return notice;
                }
            }
            self.0.changed.notified().await;
        }
    }

    /// The next notice; `None` when none waits now.
    pub fn try_recv(&mut self) -> Option<Notice> {
        self.0.lock().pop()
    }
}

/// All subscribers.
#[derive(Debug, Default)]
pub(crate) struct Subscribers(Mutex<List>);

#[derive(Debug, Default)]
struct List {
    queues: Vec<Weak<Queue>>,
    ended: bool,
}

impl Subscribers {
    pub(crate) fn subscribe(&self) -> RegistrarEvents {
        let mut list = self.lock();
        let queue = Arc::new(Queue::new(LIMIT));
        queue.lock().ended = list.ended;
        list.queues.push(Arc::downgrade(&queue));
        RegistrarEvents(queue)
    }

    pub(crate) fn tell(&self, event: &RegistrarEvent) {
        self.lock().queues.retain(|queue| {
            let queue = queue.upgrade();
            queue.inspect(|queue| queue.push(event.clone())).is_some()
        });
    }

    /// Nothing more will be told.
    pub(crate) fn end(&self) {
        let mut list = self.lock();
        list.ended = true;
        for queue in list.queues.drain(..).filter_map(|queue| queue.upgrade()) {
            queue.lock().ended = true;
            queue.changed.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, List> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What waits for one subscriber.
#[derive(Debug)]
struct Queue {
    limit: usize,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Notice>,
    /// The size of what waits.
    bytes: usize,
    /// Events dropped after those that wait.
    missed: u64,
    ended: bool,
}

impl Queue {
    fn new(limit: usize) -> Queue {
        Queue { limit, state: Mutex::default(), changed: Notify::new() }
    }

    fn push(&self, event: RegistrarEvent) {
        let mut state = self.lock();
        let bytes = state.bytes + size(&event);
        // After a subscriber has missed an event, it gets no new ones until half of its room is
        // free. Otherwise every second notice could say that one is missing.
        let limit = if state.missed > 0 { self.limit / 2 } else { self.limit };
        if bytes > limit {
            state.missed += 1;
        } else {
            let missed = std::mem::take(&mut state.missed);
            state.waiting.extend((missed > 0).then_some(Notice::Missed(missed)));
            state.waiting.push_back(Notice::Event(event));
            state.bytes = bytes;
        }
        drop(state);
        self.changed.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn pop(&mut self) -> Option<Notice> {
        let notice = self.waiting.pop_front();
        if let Some(Notice::Event(event)) = &notice {
            self.bytes -= size(event);
        }
        notice.or_else(|| match std::mem::take(&mut self.missed) {
            0 => None,
            missed => Some(Notice::Missed(missed)),
        })
    }
}

/// The size of an event. A pool handle that was refused for its length can be long.
fn size(event: &RegistrarEvent) -> usize {
    size_of::<Notice>() + event.pool().map_or(0, |pool| pool.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rserpool_core::registrar::RemovalReason;
    use rserpool_wire::{PeId, PoolHandle};

    fn event(n: u32) -> RegistrarEvent {
        let pool = PoolHandle::new("pool").unwrap();
        RegistrarEvent::Removed { pool, id: PeId(n), reason: RemovalReason::Deregistered }
    }

    fn told(n: u32) -> Option<Notice> {
        Some(Notice::Event(event(n)))
    }

    #[test]
    fn events_that_are_missed_are_counted_where_they_are_missing() {
        let queue = Arc::new(Queue::new(4 * size(&event(0))));
        let mut events = RegistrarEvents(Arc::clone(&queue));
        (0..7).for_each(|n| queue.push(event(n)));
        assert_eq!(events.try_recv(), told(0));
        queue.push(event(7));
        assert_eq!((events.try_recv(), events.try_recv()), (told(1), told(2)));
        // Half of the room is free.
        queue.push(event(8));
        assert_eq!((events.try_recv(), events.try_recv()), (told(3), Some(Notice::Missed(4))));
        assert_eq!((events.try_recv(), events.try_recv()), (told(8), None));
        // A gap at the end is told as well.
        (0..5).for_each(|n| queue.push(event(n)));
        (0..4).for_each(|n| assert_eq!(events.try_recv(), told(n)));
        assert_eq!((events.try_recv(), events.try_recv()), (Some(Notice::Missed(1)), None));
        assert_eq!(queue.lock().bytes, 0);
    }

    #[tokio::test]
    async fn all_subscribers_hear_everything_to_the_end() {
        let subscribers = Subscribers::default();
        let mut both = [subscribers.subscribe(), subscribers.subscribe()];
        drop(subscribers.subscribe());
        subscribers.tell(&event(1));
        assert_eq!(subscribers.lock().queues.len(), 2, "one has gone");
        let mut late = subscribers.subscribe();
        subscribers.tell(&event(2));
        subscribers.end();
        for events in &mut both {
            assert_eq!((events.recv().await, events.recv().await), (told(1), told(2)));
            assert_eq!(events.recv().await, None);
        }
        assert_eq!((late.recv().await, late.recv().await), (told(2), None));
        assert_eq!(subscribers.subscribe().recv().await, None);
    }
}
