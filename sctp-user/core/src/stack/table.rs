//! The associations of a stack: their slots, their handles (which are never reused), their
//! deadlines, and the queue of those that may have something to send.

use core::fmt;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use crate::assoc::Association;
use crate::time::Time;

use super::demux::Pair;

/// Names an association of a [`Stack`](crate::Stack). It never names another association later. Its
/// `Display` is a short name for logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AssocId {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

impl fmt::Display for AssocId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.index, self.generation)
    }
}

/// An association with what the stack keeps about it.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) assoc: Association,
    /// The user is done with it.
    pub(crate) released: bool,
    /// It came in and has not been accepted yet.
    pub(crate) waiting: bool,
    /// It stands in the queue of those that may have something to send.
    dirty: bool,
    /// It stands in the list of those whose deadline may be earlier than the heap knows.
    stale: bool,
    /// Its earliest deadline in the heap.
    scheduled: Option<Time>,
    /// Our tag under which the indexes know it.
    pub(crate) indexed_tag: Option<u32>,
    /// The tag of the peer when the indexes were last brought up to date. 0 while unknown.
    pub(crate) indexed_peer_tag: u32,
    pub(crate) indexed_pairs: Vec<Pair>,
}

#[derive(Debug, Default)]
struct Slot {
    generation: u32,
    entry: Option<Box<Entry>>,
}

/// All associations.
#[derive(Debug, Default)]
pub(crate) struct Table {
    slots: Vec<Slot>,
    free: Vec<u32>,
    count: usize,
    dirty: VecDeque<u32>,
    /// Associations whose deadline may have become earlier. Their deadlines are looked at when
    /// somebody asks, once for a whole batch of packets.
    stale: Vec<u32>,
    /// Deadlines with lazy deletion: an entry counts only while it equals `scheduled` of its
    /// association.
    deadlines: BinaryHeap<Reverse<(Time, u32)>>,
}

/// This many outdated deadlines may always stay in the heap.
const DEADLINES_SLACK: usize = 64;

impl Table {
    /// Number of associations, ended but unreleased ones included.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// The handle that the next [`insert`](Self::insert) gives.
    pub(crate) fn next_id(&self) -> AssocId {
        match self.free.last() {
            Some(&index) => AssocId { index, generation: self.slots[index as usize].generation },
            None => AssocId {
                index: u32::try_from(self.slots.len()).unwrap_or(u32::MAX),
                generation: 0,
            },
        }
    }

    /// Adds an association.
    pub(crate) fn insert(&mut self, assoc: Association) -> AssocId {
        let id = self.next_id();
        if self.free.pop().is_none() {
            self.slots.push(Slot::default());
        }
        self.count += 1;
        self.slots[id.index as usize].entry = Some(Box::new(Entry {
            assoc,
            released: false,
            waiting: false,
            dirty: false,
            stale: false,
            scheduled: None,
            indexed_tag: None,
            indexed_peer_tag: 0,
            indexed_pairs: Vec::new(),
        }));
        id
    }

    /// Removes an association and frees its slot.
    pub(crate) fn remove(&mut self, index: u32) {
        if let Some(slot) = self.slots.get_mut(index as usize)
            && slot.entry.take().is_some()
        {
            slot.generation = slot.generation.wrapping_add(1);
            self.free.push(index);
            self.count -= 1;
        }
    }

    /// The handle of a slot in use.
    pub(crate) fn id(&self, index: u32) -> Option<AssocId> {
        let slot = self.slots.get(index as usize)?;
        slot.entry.as_ref()?;
        Some(AssocId { index, generation: slot.generation })
    }

    /// By handle.
    pub(crate) fn get(&self, id: AssocId) -> Option<&Entry> {
        let slot = self.slots.get(id.index as usize)?;
        if slot.generation == id.generation { slot.entry.as_deref() } else { None }
    }

    /// By handle.
    pub(crate) fn get_mut(&mut self, id: AssocId) -> Option<&mut Entry> {
        let slot = self.slots.get_mut(id.index as usize)?;
        if slot.generation == id.generation { slot.entry.as_deref_mut() } else { None }
    }

    /// Handles of all associations, by slot.
    pub(crate) fn ids(&self) -> Vec<AssocId> {
        (0..u32::try_from(self.slots.len()).unwrap_or(u32::MAX))
            .filter_map(|i| self.id(i))
            .collect()
    }

    /// Notes that the association may have something to send.
    pub(crate) fn mark_dirty(&mut self, id: AssocId) {
        let Some(entry) =
            self.slots.get_mut(id.index as usize).and_then(|s| s.entry.as_deref_mut())
        else {
            return;
        };
        if !entry.dirty && !entry.assoc.is_closed() {
            entry.dirty = true;
            self.dirty.push_back(id.index);
        }
    }

    /// Notes that the association may have something to send, and that its deadlines may have
    /// moved.
    pub(crate) fn touch(&mut self, id: AssocId) {
        let Some(entry) =
            self.slots.get_mut(id.index as usize).and_then(|s| s.entry.as_deref_mut())
        else {
            return;
        };
        if !entry.dirty && !entry.assoc.is_closed() && !entry.assoc.end_if_nothing_to_send() {
            entry.dirty = true;
            self.dirty.push_back(id.index);
        }
        if !entry.stale {
            entry.stale = true;
            self.stale.push(id.index);
        }
    }

    /// Brings the heap up to date with deadlines that became earlier.
    fn schedule_stale(&mut self) {
        while let Some(index) = self.stale.pop() {
            let entry = self.slots.get_mut(index as usize).and_then(|s| s.entry.as_deref_mut());
            let Some(entry) = entry else { continue };
            entry.stale = false;
            if let Some(at) = entry.assoc.poll_timeout()
                && entry.scheduled.is_none_or(|s| at < s)
            {
                entry.scheduled = Some(at);
                self.push_deadline(at, index);
            }
        }
    }

    /// How many deadlines are held, outdated ones included.
    #[cfg(test)]
    pub(crate) fn deadlines_held(&self) -> usize {
        self.deadlines.len()
    }

    /// Adds a deadline. Only one for each association counts. The outdated ones are dropped before
    /// they outnumber these.
    fn push_deadline(&mut self, at: Time, index: u32) {
        if self.deadlines.len() >= 2 * self.count + DEADLINES_SLACK {
            let mut all = std::mem::take(&mut self.deadlines).into_vec();
            all.retain(|Reverse((at, index))| {
                let entry = self.slots.get(*index as usize).and_then(|s| s.entry.as_deref());
                entry.is_some_and(|entry| entry.scheduled == Some(*at))
            });
            all.sort_unstable();
            all.dedup();
            self.deadlines = all.into();
        }
        self.deadlines.push(Reverse((at, index)));
    }

    /// Takes the next association from the queue of those that may have something to send.
    pub(crate) fn next_dirty(&mut self) -> Option<AssocId> {
        while let Some(index) = self.dirty.pop_front() {
            if let Some(id) = self.id(index) {
                if let Some(entry) = self.get_mut(id) {
                    entry.dirty = false;
                }
                return Some(id);
            }
        }
        None
    }

    /// Removes an association from this queue, because it has nothing to send for now.
    pub(crate) fn unmark_dirty(&mut self, id: AssocId) {
        // `touch` queued it last, so it stands at the end.
        if self.dirty.back() == Some(&id.index) {
            self.dirty.pop_back();
            if let Some(entry) = self.get_mut(id) {
                entry.dirty = false;
            }
        }
    }

    /// Whether any association may have something to send.
    pub(crate) fn any_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// Takes the next association whose deadline has come.
    pub(crate) fn pop_due(&mut self, now: Time) -> Option<AssocId> {
        let (at, id) = self.next_deadline()?;
        if at > now {
            return None;
        }
        self.deadlines.pop();
        if let Some(entry) = self.get_mut(id) {
            entry.scheduled = None;
        }
        Some(id)
    }

    /// The earliest deadline of all associations, or an earlier time: a deadline that has moved to
    /// a later time may still count as it was.
    pub(crate) fn next_wakeup(&mut self) -> Option<Time> {
        self.schedule_stale();
        while let Some(&Reverse((at, index))) = self.deadlines.peek() {
            let entry = self.slots.get(index as usize).and_then(|s| s.entry.as_deref());
            if entry.is_some_and(|entry| entry.scheduled == Some(at)) {
                return Some(at);
            }
            self.deadlines.pop();
        }
        None
    }

    /// The earliest deadline of all associations.
    pub(crate) fn next_deadline(&mut self) -> Option<(Time, AssocId)> {
        self.schedule_stale();
        while let Some(&Reverse((at, index))) = self.deadlines.peek() {
            let current = self.id(index);
            let entry = self.slots.get_mut(index as usize).and_then(|s| s.entry.as_deref_mut());
            let (Some(id), Some(entry)) = (current, entry) else {
                self.deadlines.pop();
                continue;
            };
            if entry.scheduled != Some(at) {
                self.deadlines.pop();
                continue;
            }
            match entry.assoc.poll_timeout() {
                Some(real) if real == at => return Some((at, id)),
                real => {
                    // It has moved to a later time since, or was stopped.
                    self.deadlines.pop();
                    entry.scheduled = real;
                    if let Some(real) = real {
                        self.push_deadline(real, index);
                    }
                }
            }
        }
        None
    }
}
