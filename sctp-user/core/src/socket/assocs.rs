//! The records of associations, by handle. Handles number the slots densely, so an array is enough.

use crate::stack::AssocId;

use super::record::Assoc;

/// A map from [`AssocId`] to [`Assoc`].
#[derive(Default)]
pub(super) struct Assocs {
    slots: Vec<Option<(AssocId, Assoc)>>,
}

impl Assocs {
    pub(super) fn get(&self, id: &AssocId) -> Option<&Assoc> {
        let (known, assoc) = self.slots.get(id.index as usize)?.as_ref()?;
        (known == id).then_some(assoc)
    }

    pub(super) fn get_mut(&mut self, id: &AssocId) -> Option<&mut Assoc> {
        let (known, assoc) = self.slots.get_mut(id.index as usize)?.as_mut()?;
        (known == id).then_some(assoc)
    }

    pub(super) fn contains(&self, id: &AssocId) -> bool {
        self.get(id).is_some()
    }

    /// Adds a record. The stack gives a slot to another association only after the old one was
    /// released, so this overwrites no record that is still needed.
    pub(super) fn insert(&mut self, id: AssocId, assoc: Assoc) {
        let index = id.index as usize;
        if self.slots.len() <= index {
            self.slots.resize_with(index + 1, || None);
        }
        if let Some(slot) = self.slots.get_mut(index) {
            *slot = Some((id, assoc));
        }
    }

    pub(super) fn remove(&mut self, id: &AssocId) -> Option<Assoc> {
        self.get(id)?;
        self.slots.get_mut(id.index as usize)?.take().map(|(_, assoc)| assoc)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.slots.iter().flatten().count()
    }
}
