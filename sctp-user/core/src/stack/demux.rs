//! Finds the association that a packet belongs to.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasherDefault, Hasher};
use std::net::IpAddr;

use crate::addr::Encap;

/// Hashes verification tags. This stack draws them at random and without repetition, so mixing
/// their bits is enough.
#[derive(Default)]
pub(crate) struct TagHasher(u64);

impl Hasher for TagHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &b in bytes {
            self.0 = (self.0 << 8 | u64::from(b)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
    }

    fn write_u64(&mut self, n: u64) {
        self.0 = n.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(26);
    }
}

/// A pair of transport addresses, as far as packets show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Pair {
    pub(crate) remote: IpAddr,
    /// The UDP port does not count (RFC 6951 sec 5.2), so this is `None` unless
    /// [`nat_port_key`](crate::StackConfig::nat_port_key) is on.
    pub(crate) encap: Option<Encap>,
    pub(crate) peer_port: u16,
    pub(crate) local_port: u16,
}

/// The two indexes of the stack. Their values are slots of its table of associations.
#[derive(Default)]
pub(crate) struct Demux {
    by_tag: HashMap<u64, u32, BuildHasherDefault<TagHasher>>,
    /// Peers choose the keys, so this uses the standard hasher, which has a secret key. Nothing
    /// depends on its order.
    by_pair: HashMap<Pair, u32>,
    /// Further associations with the same pair. They move up when those before them are gone.
    further: HashMap<Pair, Vec<u32>>,
}

impl std::fmt::Debug for Demux {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Demux")
            .field("tags", &self.by_tag.len())
            .field("pairs", &self.by_pair.len())
            .finish()
    }
}

fn tag_key(tag: u32, port: u16) -> u64 {
    u64::from(tag) << 16 | u64::from(port)
}

impl Demux {
    /// Finds an association by our verification tag and port.
    pub(crate) fn by_tag(&self, tag: u32, local_port: u16) -> Option<u32> {
        self.by_tag.get(&tag_key(tag, local_port)).copied()
    }

    /// Finds an association by addresses and ports.
    pub(crate) fn by_pair(&self, pair: Pair) -> Option<u32> {
        self.by_pair.get(&pair).copied()
    }

    /// All associations with these addresses and ports. The first is the one that
    /// [`by_pair`](Self::by_pair) finds.
    pub(crate) fn all_by_pair(&self, pair: Pair) -> impl Iterator<Item = u32> {
        let further = self.further.get(&pair).into_iter().flatten();
        self.by_pair.get(&pair).into_iter().chain(further).copied()
    }

    /// Adds an association under a tag.
    pub(crate) fn add_tag(&mut self, tag: u32, local_port: u16, slot: u32) {
        self.by_tag.insert(tag_key(tag, local_port), slot);
    }

    /// Removes a tag.
    pub(crate) fn remove_tag(&mut self, tag: u32, local_port: u16) {
        self.by_tag.remove(&tag_key(tag, local_port));
    }

    /// Adds an association under an address. An association that is there already keeps its place.
    pub(crate) fn add_pair(&mut self, pair: Pair, slot: u32) {
        match self.by_pair.entry(pair) {
            Entry::Vacant(entry) => drop(entry.insert(slot)),
            Entry::Occupied(entry) if *entry.get() == slot => {}
            Entry::Occupied(_) => {
                let further = self.further.entry(pair).or_default();
                if !further.contains(&slot) {
                    further.push(slot);
                }
            }
        }
    }

    /// Makes [`by_pair`](Self::by_pair) find this one of several associations under an address.
    pub(crate) fn put_first(&mut self, pair: Pair, slot: u32) {
        if let Some(further) = self.further.get_mut(&pair)
            && let Some(place) = further.iter_mut().find(|s| **s == slot)
            && let Some(first) = self.by_pair.get_mut(&pair)
        {
            std::mem::swap(place, first);
        }
    }

    /// Removes an address of an association.
    pub(crate) fn remove_pair(&mut self, pair: Pair, slot: u32) {
        let further = self.further.get_mut(&pair);
        if self.by_pair.get(&pair) != Some(&slot) {
            further.into_iter().for_each(|others| others.retain(|s| *s != slot));
        } else if let Some(next) =
            further.and_then(|others| (!others.is_empty()).then(|| others.remove(0)))
        {
            self.by_pair.insert(pair, next);
        } else {
            self.by_pair.remove(&pair);
        }
        if self.further.get(&pair).is_some_and(Vec::is_empty) {
            self.further.remove(&pair);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_associations_under_one_address() {
        let mut demux = Demux::default();
        let pair = Pair { remote: [10, 0, 0, 1].into(), encap: None, peer_port: 1, local_port: 2 };
        (1..=4).for_each(|slot| demux.add_pair(pair, slot));
        demux.add_pair(pair, 1);
        demux.add_pair(pair, 2);
        assert_eq!(demux.by_pair(pair), Some(1));
        demux.put_first(pair, 3);
        demux.put_first(pair, 9);
        assert_eq!(demux.by_pair(pair), Some(3));
        demux.remove_pair(pair, 4);
        demux.remove_pair(pair, 3);
        assert_eq!(demux.by_pair(pair), Some(2));
        demux.remove_pair(pair, 2);
        assert_eq!(demux.by_pair(pair), Some(1));
        demux.remove_pair(pair, 1);
        demux.remove_pair(pair, 1);
        assert_eq!(demux.by_pair(pair), None);
        assert!(demux.by_pair.is_empty() && demux.further.is_empty());
    }
}
