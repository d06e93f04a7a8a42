//! The registrars that are known: static ones, those that names stand for, and announced ones until
//! they expire.

use rand::RngExt;
use rand_chacha::ChaCha12Rng;
use sctp_user::Peer;
use sctp_user_core::{Duration, Time};

use crate::reach::{is_native, same_place};

/// Announced registrars that are remembered; more are ignored.
const MAX_ANNOUNCED: usize = 64;

#[derive(Debug)]
pub(super) struct RegistrarTable {
    fixed: Vec<Peer>,
    /// What the names of registrars stand for now.
    named: Vec<Peer>,
    announced: Vec<(Peer, Time)>,
    validity: Duration,
}

impl RegistrarTable {
    pub(super) fn new(fixed: Vec<Peer>, validity: Duration) -> Self {
        RegistrarTable { fixed, named: Vec::new(), announced: Vec::new(), validity }
    }

    /// Notes an announce; true when the registrar was not known.
    pub(super) fn announce(&mut self, now: Time, peer: Peer) -> bool {
        self.announced.retain(|(_, expiry)| *expiry > now);
        let expiry = now + self.validity;
        if let Some(entry) = self.announced.iter_mut().find(|(known, _)| *known == peer) {
            entry.1 = expiry;
            return false;
        }
        if self.is_lasting(&peer) || self.announced.len() >= MAX_ANNOUNCED {
            return false;
        }
        self.announced.push((peer, expiry));
        true
    }

    /// Takes what the names of registrars stand for now; the registrars that were not known before.
    pub(super) fn set_named(&mut self, named: Vec<Peer>) -> Vec<Peer> {
        let fresh = named.iter().filter(|peer| !self.is_lasting(peer)).cloned().collect();
        self.named = named;
        self.announced.retain(|(peer, _)| !self.named.contains(peer));
        fresh
    }

    fn is_lasting(&self, peer: &Peer) -> bool {
        self.fixed.contains(peer) || self.named.contains(peer)
    }

    /// All registrars, from a random one on in turn, with `last` at the end.
    pub(super) fn candidates(
        &mut self,
        now: Time,
        rng: &mut ChaCha12Rng,
        last: Option<&Peer>,
    ) -> Vec<Peer> {
        self.announced.retain(|(_, expiry)| *expiry > now);
        let lasting = self.fixed.iter().chain(&self.named);
        let mut all: Vec<Peer> =
            lasting.chain(self.announced.iter().map(|(p, _)| p)).cloned().collect();
        if all.len() > 1 {
            let start = rng.random_range(0..all.len());
            all.rotate_left(start);
        }
        native_first(&mut all);
        // A stable sort keeps the turn otherwise.
        all.sort_by_key(|peer| Some(peer) == last);
        all
    }
}

/// Of several ways to one registrar, the native one comes directly before the first of the others.
fn native_first(peers: &mut Vec<Peer>) {
    for i in 0..peers.len() {
        let Some(this) = peers.get(i).filter(|peer| !is_native(peer)) else { continue };
        let native =
            peers.iter().skip(i).position(|other| is_native(other) && same_place(other, this));
        if let Some(offset) = native {
            let native = peers.remove(i + offset);
            peers.insert(i, native);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sctp_user::Encap;

    #[test]
    fn native_ways_come_first() {
        let native = |n: u8| Peer::new([10, 0, 0, n].into(), Encap::Native, 7);
        let udp = |n: u8| Peer::new([10, 0, 0, n].into(), Encap::Udp { remote_port: 9899 }, 7);
        let mut peers = vec![udp(1), udp(2), native(3), udp(3), native(2), native(1)];
        native_first(&mut peers);
        assert_eq!(peers, [native(1), udp(1), native(2), udp(2), native(3), udp(3)]);
    }
}
