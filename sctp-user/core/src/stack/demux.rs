//! Which association a packet belongs to.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::net::IpAddr;

/// Hashes verification tags: they are ours, random and unique, so mixing is all that is needed.
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

/// A transport address pair as far as packets show it: peer address, peer port, own port. The UDP port takes no
/// part (RFC 6951 sec 5.2).
type Pair = (IpAddr, u16, u16);

/// The two indexes of the stack; values are slots of its table of associations.
#[derive(Default)]
pub(crate) struct Demux {
    by_tag: HashMap<u64, u32, BuildHasherDefault<TagHasher>>,
    /// Keys are chosen by peers, so the standard, keyed hasher is used; nothing depends on its order.
    by_pair: HashMap<Pair, u32>,
}

impl std::fmt::Debug for Demux {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Demux").field("tags", &self.by_tag.len()).field("pairs", &self.by_pair.len()).finish()
    }
}

fn tag_key(tag: u32, port: u16) -> u64 {
    u64::from(tag) << 16 | u64::from(port)
}

impl Demux {
    /// By our verification tag and port.
    pub(crate) fn by_tag(&self, tag: u32, local_port: u16) -> Option<u32> {
        self.by_tag.get(&tag_key(tag, local_port)).copied()
    }

    /// By addresses and ports.
    pub(crate) fn by_pair(&self, remote: IpAddr, peer_port: u16, local_port: u16) -> Option<u32> {
        self.by_pair.get(&(remote, peer_port, local_port)).copied()
    }

    /// Enters an association under a tag.
    pub(crate) fn add_tag(&mut self, tag: u32, local_port: u16, slot: u32) {
        self.by_tag.insert(tag_key(tag, local_port), slot);
    }

    /// Removes a tag.
    pub(crate) fn remove_tag(&mut self, tag: u32, local_port: u16) {
        self.by_tag.remove(&tag_key(tag, local_port));
    }

    /// Enters an association under an address; the first one there keeps its place.
    pub(crate) fn add_pair(&mut self, remote: IpAddr, peer_port: u16, local_port: u16, slot: u32) {
        self.by_pair.entry((remote, peer_port, local_port)).or_insert(slot);
    }

    /// Removes an address of an association.
    pub(crate) fn remove_pair(&mut self, remote: IpAddr, peer_port: u16, local_port: u16, slot: u32) {
        if self.by_pair.get(&(remote, peer_port, local_port)) == Some(&slot) {
            self.by_pair.remove(&(remote, peer_port, local_port));
        }
    }
}
