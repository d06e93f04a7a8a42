//! Random selection by value: each member has an interval as long as its value, and a uniform draw
//! hits one of them.
//!
//! The intervals live in a Fenwick tree, so that inserting, removing, changing a value and drawing
//! each take O(log N) steps.

use rand::{Rng, RngExt};

use crate::arena::ElementKey;

#[derive(Clone, Copy, Debug)]
struct Slot {
    value: u32,
    /// `None` marks a free slot; its value is 0.
    member: Option<ElementKey>,
}

/// The members of one pool with a random policy.
#[derive(Debug, Default)]
pub(crate) struct ValueTree {
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// A Fenwick tree: entry `i - 1` holds the sum of the values of the slots `i - lowbit(i) .. i`.
    /// Its length is the capacity of the slots, a power of two.
    sums: Vec<u64>,
    total: u64,
    len: usize,
}

impl ValueTree {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Takes a new member in, and returns its slot.
    pub(crate) fn insert(&mut self, member: ElementKey, value: u32) -> u32 {
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                let slot = self.slots.len();
                self.slots.push(Slot { value: 0, member: None });
                if self.slots.len() > self.sums.len() {
                    self.grow();
                }
                slot as u32
            }
        };
        if let Some(entry) = self.slots.get_mut(slot as usize) {
            entry.member = Some(member);
            self.len += 1;
        }
        self.set(slot, value);
        slot
    }

    /// Takes the member at `slot` out.
    pub(crate) fn remove(&mut self, slot: u32) {
        self.set(slot, 0);
        if let Some(entry) = self.slots.get_mut(slot as usize)
            && entry.member.take().is_some()
        {
            self.len -= 1;
            self.free.push(slot);
        }
    }

    /// Changes the value of the member at `slot`.
    pub(crate) fn set(&mut self, slot: u32, value: u32) {
        let Some(entry) = self.slots.get_mut(slot as usize) else { return };
        // The difference in two's complement: wrapping sums stay right.
        let delta = u64::from(value).wrapping_sub(u64::from(entry.value));
        entry.value = value;
        self.total = self.total.wrapping_add(delta);
        let mut i = slot as usize + 1;
        while let Some(sum) = self.sums.get_mut(i - 1) {
            *sum = sum.wrapping_add(delta);
            i += i & i.wrapping_neg();
        }
    }

    /// The member and value at `slot`.
    pub(crate) fn at(&self, slot: u32) -> Option<(ElementKey, u32)> {
        self.slots.get(slot as usize).and_then(|s| Some((s.member?, s.value)))
    }

    /// Checks the sums against the slots.
    pub(crate) fn verify(&self) -> Result<(), String> {
        let total: u64 = self.slots.iter().map(|s| u64::from(s.value)).sum();
        if total != self.total {
            return Err(format!(
                "value tree: total is {}, the values sum up to {total}",
                self.total
            ));
        }
        let members = self.slots.iter().filter(|s| s.member.is_some()).count();
        if members != self.len || members + self.free.len() != self.slots.len() {
            return Err(format!("value tree: {members} members, but a length of {}", self.len));
        }
        if self.slots.iter().any(|s| s.member.is_none() && s.value != 0) {
            return Err("value tree: a free slot has a value".to_owned());
        }
        for i in 1..=self.sums.len() {
            let from = i - (i & i.wrapping_neg());
            let sum: u64 = self.slots.iter().take(i).skip(from).map(|s| u64::from(s.value)).sum();
            if self.sums.get(i - 1) != Some(&sum) {
                return Err(format!("value tree: wrong sum in node {i}"));
            }
        }
        Ok(())
    }

    /// The slot in whose interval `point` lies; `point` is below the total.
    fn find(&self, mut point: u64) -> u32 {
        let mut position = 0;
        let mut step = self.sums.len();
        while step > 0 {
            if let Some(&sum) = self.sums.get(position + step - 1)
                && sum <= point
            {
                point -= sum;
                position += step;
            }
            step /= 2;
        }
        position as u32
    }

    /// Doubles the tree and fills it anew. That takes O(1) steps for each insertion on average.
    fn grow(&mut self) {
        let capacity = self.slots.len().next_power_of_two();
        self.sums = vec![0; capacity];
        for i in 1..=capacity {
            let own = self.slots.get(i - 1).map_or(0, |s| u64::from(s.value));
            let mut sum = own;
            if let Some(entry) = self.sums.get_mut(i - 1) {
                *entry += own;
                sum = *entry;
            }
            if let Some(parent) = self.sums.get_mut(i + (i & i.wrapping_neg()) - 1) {
                *parent += sum;
            }
        }
    }
}

/// Draws up to `n` different members from several trees as if they were one. Each draw is in
/// proportion to the values of the members that are left.
pub(crate) fn draw(trees: &mut [&mut ValueTree], n: usize, rng: &mut impl Rng) -> Vec<ElementKey> {
    let mut drawn = Vec::new();
    let mut taken = Vec::new();
    while drawn.len() < n {
        let total: u64 = trees.iter().map(|tree| tree.total).sum();
        if total == 0 {
            break;
        }
        let mut point = rng.random_range(0..total);
        let hit =
            trees.iter_mut().enumerate().find(|(_, tree)| match point.checked_sub(tree.total) {
                Some(behind) => {
                    point = behind;
                    false
                }
                None => true,
            });
        let Some((index, tree)) = hit else { break };
        let slot = tree.find(point);
        let Some((member, value)) = tree.at(slot) else { break };
        drawn.push(member);
        taken.push((index, slot, value));
        tree.set(slot, 0);
    }
    for (index, slot, value) in taken {
        if let Some(tree) = trees.get_mut(index) {
            tree.set(slot, value);
        }
    }
    drawn
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha12Rng;

    use super::*;
    use crate::arena::Arena;

    fn keys(n: usize) -> Vec<ElementKey> {
        let mut arena = Arena::new();
        (0..n).filter_map(|i| arena.insert(i)).collect()
    }

    #[test]
    fn every_point_lies_in_the_right_interval() {
        let mut tree = ValueTree::default();
        let values = [3u32, 0, 1, 7, 0, 2, 5, 1, 1, 4, 0];
        for (key, value) in keys(values.len()).into_iter().zip(values) {
            tree.insert(key, value);
            tree.verify().unwrap();
        }
        let mut expected = Vec::new();
        for (slot, value) in values.into_iter().enumerate() {
            expected.extend(std::iter::repeat_n(slot as u32, value as usize));
        }
        let found: Vec<u32> = (0..tree.total).map(|p| tree.find(p)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn largest_values_do_not_overflow() {
        let mut tree = ValueTree::default();
        for key in keys(1000) {
            tree.insert(key, u32::MAX);
        }
        tree.verify().unwrap();
        assert_eq!(tree.total, 1000 * u64::from(u32::MAX));
        let mut rng = ChaCha12Rng::from_seed([7; 32]);
        let mut drawn = draw(&mut [&mut tree], usize::MAX, &mut rng);
        drawn.sort();
        drawn.dedup();
        assert_eq!(drawn.len(), 1000);
        tree.verify().unwrap();
    }

    #[test]
    fn zero_values_are_never_drawn() {
        let mut tree = ValueTree::default();
        let mut rng = ChaCha12Rng::from_seed([1; 32]);
        assert!(draw(&mut [&mut tree], 3, &mut rng).is_empty());
        let k = keys(3);
        tree.insert(k[0], 0);
        tree.insert(k[1], 0);
        assert!(draw(&mut [&mut tree], 3, &mut rng).is_empty());
        tree.insert(k[2], 1);
        for _ in 0..50 {
            assert_eq!(draw(&mut [&mut tree], 3, &mut rng), [k[2]]);
        }
    }

    #[test]
    fn several_trees_are_drawn_from_like_one() {
        let k = keys(6);
        let mut trees = [ValueTree::default(), ValueTree::default(), ValueTree::default()];
        for (i, value) in [1, 2, 3, 4, 0, 5].into_iter().enumerate() {
            trees[[0, 0, 2, 2, 2, 0][i]].insert(k[i], value);
        }
        let mut rng = ChaCha12Rng::from_seed([3; 32]);
        let [a, b, c] = &mut trees;
        let mut counts = [0u32; 6];
        for _ in 0..15_000 {
            let drawn = draw(&mut [a, b, c], 1, &mut rng);
            counts[k.iter().position(|key| *key == drawn[0]).unwrap()] += 1;
        }
        for (count, value) in counts.into_iter().zip([1, 2, 3, 4, 0, 5]) {
            assert!(count.abs_diff(value * 1000) <= 300, "{counts:?}");
        }
        let mut all = draw(&mut [a, b, c], 9, &mut rng);
        all.sort();
        assert_eq!(all, [k[0], k[1], k[2], k[3], k[5]]);
        trees.iter().for_each(|tree| tree.verify().unwrap());
    }

    proptest! {
        #[test]
        fn sums_stay_right_under_random_operations(
            ops in prop::collection::vec((0u8..4, any::<u32>(), any::<u16>()), 1..200),
            seed in any::<[u8; 32]>(),
        ) {
            let mut arena = Arena::new();
            let mut tree = ValueTree::default();
            let mut slots: Vec<u32> = Vec::new();
            let mut rng = ChaCha12Rng::from_seed(seed);
            for (op, value, which) in ops {
                let at = (!slots.is_empty()).then(|| which as usize % slots.len());
                match (op, at) {
                    (0, Some(at)) => tree.remove(slots.swap_remove(at)),
                    (1, Some(at)) => tree.set(slots[at], value),
                    (2, _) => {
                        let drawn = draw(&mut [&mut tree], which as usize % 8, &mut rng);
                        prop_assert!(drawn.len() <= slots.len());
                    }
                    _ => slots.push(tree.insert(arena.insert(()).unwrap(), value)),
                }
                prop_assert_eq!(tree.verify(), Ok(()));
                prop_assert_eq!(tree.len(), slots.len());
            }
        }
    }
}
