//! The timers of elements: deadlines, the earliest first.

use sctp_user_core::Time;

use crate::arena::ElementKey;
use crate::element::Timer;
use crate::handlespace::Handlespace;

impl Handlespace {
    /// Sets a timer of an element, or switches it off with `None`.
    pub fn set_timer(&mut self, key: ElementKey, timer: Timer, at: Option<Time>) {
        let Some(element) = self.elements.get_mut(key) else { return };
        let old = core::mem::replace(element.deadline_mut(timer), at);
        if let Some(old) = old {
            self.deadlines.remove(&(old, key, timer));
        }
        if let Some(at) = at {
            self.deadlines.insert((at, key, timer));
        }
    }

    /// The earliest deadline over all elements.
    pub fn next_deadline(&self) -> Option<Time> {
        self.deadlines.first().map(|(at, ..)| *at)
    }

    /// Takes one timer that is due, the earliest first, and switches it off.
    pub fn pop_due(&mut self, now: Time) -> Option<(ElementKey, Timer)> {
        let &(at, key, timer) = self.deadlines.first()?;
        if at > now {
            return None;
        }
        self.set_timer(key, timer, None);
        Some((key, timer))
    }

    /// Removes the elements whose registration life is over, and returns how many. It is for users
    /// of a handlespace that have no other timers, such as a cache.
    pub fn purge_expired(&mut self, now: Time) -> usize {
        let mut purged = 0;
        while let Some((key, timer)) = self.pop_due(now) {
            if timer == Timer::Life && self.remove(key).is_some() {
                purged += 1;
            }
        }
        purged
    }
}
