//! A slab whose keys carry a generation. So a stale key finds nothing, and not the element that has
//! the place now.

use core::fmt;

/// Names one element of a handlespace as long as it exists. A key of a removed element stays
/// invalid for ever (the slot's generation has 32 bits).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ElementKey {
    index: u32,
    generation: u32,
}

impl ElementKey {
    pub(crate) const MIN: ElementKey = ElementKey { index: 0, generation: 0 };
    pub(crate) const MAX: ElementKey = ElementKey { index: u32::MAX, generation: u32::MAX };
}

impl fmt::Debug for ElementKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}.{}", self.index, self.generation)
    }
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    value: Option<T>,
}

/// Storage with O(1) insert, remove and lookup.
#[derive(Debug)]
pub(crate) struct Arena<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
    len: usize,
}

impl<T> Arena<T> {
    pub(crate) fn new() -> Self {
        Arena { slots: Vec::new(), free: Vec::new(), len: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// `None` when 2^32 slots are in use.
    pub(crate) fn insert(&mut self, value: T) -> Option<ElementKey> {
        if let Some(index) = self.free.pop() {
            let slot = self.slots.get_mut(index as usize)?;
            slot.value = Some(value);
            self.len += 1;
            return Some(ElementKey { index, generation: slot.generation });
        }
        let index = u32::try_from(self.slots.len()).ok()?;
        self.slots.push(Slot { generation: 0, value: Some(value) });
        self.len += 1;
        Some(ElementKey { index, generation: 0 })
    }

    pub(crate) fn remove(&mut self, key: ElementKey) -> Option<T> {
        let slot = self.slots.get_mut(key.index as usize)?;
        if slot.generation != key.generation {
            return None;
        }
        let value = slot.value.take()?;
        self.len -= 1;
        // A slot that has used up its generations is never used again.
        if let Some(next) = slot.generation.checked_add(1) {
            slot.generation = next;
            self.free.push(key.index);
        }
        Some(value)
    }

    pub(crate) fn get(&self, key: ElementKey) -> Option<&T> {
        self.slots
            .get(key.index as usize)
            .filter(|slot| slot.generation == key.generation)
            .and_then(|slot| slot.value.as_ref())
    }

    pub(crate) fn get_mut(&mut self, key: ElementKey) -> Option<&mut T> {
        self.slots
            .get_mut(key.index as usize)
            .filter(|slot| slot.generation == key.generation)
            .and_then(|slot| slot.value.as_mut())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (ElementKey, &T)> {
        self.slots.iter().enumerate().filter_map(|(index, slot)| {
            let value = slot.value.as_ref()?;
            Some((ElementKey { index: index as u32, generation: slot.generation }, value))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stale_keys_find_nothing() {
        let mut arena = Arena::new();
        let a = arena.insert("a").unwrap();
        let b = arena.insert("b").unwrap();
        assert_eq!(arena.remove(a), Some("a"));
        assert_eq!(arena.remove(a), None);
        let c = arena.insert("c").unwrap();
        assert_ne!(a, c);
        assert_eq!((arena.get(a), arena.get(b), arena.get(c)), (None, Some(&"b"), Some(&"c")));
        assert_eq!(arena.get_mut(a), None);
        assert_eq!(arena.len(), 2);
        assert_eq!(arena.iter().map(|(_, v)| *v).collect::<Vec<_>>(), ["c", "b"]);
    }
}
