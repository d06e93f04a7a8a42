//! Lists of elements: of all pools, of one home registrar, of one association.
//!
//! All lists are lazy. Registrars send their tables in pages, and pools may change between two
//! pages. A [`Cursor`] is the name of the last element that was sent, and the next page begins
//! behind it, whether that element still exists or not. Finding the place takes O(log n) steps.

use std::ops::Bound;

use rserpool_wire::{PeId, PoolHandle, ServerId};

use crate::arena::ElementKey;
use crate::element::OwnerId;
use crate::handlespace::Handlespace;
use crate::pool::Pool;

/// The name of an element, as a place in a list: the elements behind it have larger names. Shorter
/// handles come before longer ones, and handles of equal length are ordered by their bytes.
pub type Cursor = (PoolHandle, PeId);

impl Handlespace {
    /// All pools: shorter handles first, those of equal length by their bytes.
    pub fn pools(&self) -> impl Iterator<Item = (&PoolHandle, &Pool)> {
        self.pools.iter()
    }

    /// The elements of all pools by handle and identifier: those behind `cursor`, or all when there
    /// is none.
    ///
    /// Elements may come and go between two pages. Each one that is there all the time comes
    /// exactly once.
    pub fn elements_after(
        &self,
        cursor: Option<&Cursor>,
    ) -> impl Iterator<Item = ElementKey> + use<'_> {
        let (rest_of_pool, pools_behind) = match cursor {
            Some((handle, id)) => {
                let behind = (Bound::Excluded(*id), Bound::Unbounded);
                (
                    self.pools.get(handle).map(|pool| pool.members.range(behind)),
                    self.pools.range::<PoolHandle, _>((Bound::Excluded(handle), Bound::Unbounded)),
                )
            }
            None => (None, self.pools.range::<PoolHandle, _>(..)),
        };
        let of_other_pools = pools_behind.flat_map(|(_, pool)| &pool.members);
        rest_of_pool.into_iter().flatten().chain(of_other_pools).map(|(_, key)| *key)
    }

    /// All home registrars that have an element here.
    pub fn homes(&self) -> impl Iterator<Item = ServerId> {
        self.homes.keys().copied()
    }

    /// As [`Handlespace::elements_after`], but only the elements of one home registrar.
    pub fn elements_of_home_after(
        &self,
        home: ServerId,
        cursor: Option<&Cursor>,
    ) -> impl Iterator<Item = ElementKey> + use<'_> {
        let from = cursor.map_or(Bound::Unbounded, Bound::Excluded);
        let of_home = self.homes.get(&home).map(|home| {
            home.elements.range::<Cursor, _>((from, Bound::Unbounded)).map(|(_, key)| *key)
        });
        of_home.into_iter().flatten()
    }

    /// All elements of one home registrar, by handle and identifier.
    pub fn elements_of_home(&self, home: ServerId) -> impl Iterator<Item = ElementKey> + use<'_> {
        self.elements_of_home_after(home, None)
    }

    /// The elements registered over one association, in no particular order.
    pub fn elements_of_owner(&self, owner: OwnerId) -> impl Iterator<Item = ElementKey> + use<'_> {
        let all = (owner, ElementKey::MIN)..=(owner, ElementKey::MAX);
        self.owners.range(all).map(|(_, key)| *key)
    }

    /// One of the elements registered over an association. When thousands of them have to go,
    /// remove some, do other work, and come back here.
    pub fn first_of_owner(&self, owner: OwnerId) -> Option<ElementKey> {
        self.elements_of_owner(owner).next()
    }
}
