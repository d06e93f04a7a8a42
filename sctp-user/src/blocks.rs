//! Claims on the SCTP ports that nobody chose, in blocks.
//!
//! Peers of SCTP in UDP know an association by addresses and SCTP ports, and the UDP port takes no
//! part (RFC 6951 sec 5.2). So two processes of a host that draw the same SCTP port are one client
//! to a server, and the second is refused. Each stack therefore draws its ports from blocks that no
//! other process has. A claim holds a file descriptor, which is why whole blocks are claimed: one
//! for every 64 associations. Where no block can be had, ports are drawn as if there were no
//! others, and the peer's refusals move those that meet.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rand::seq::{IndexedRandom, SliceRandom};

use crate::claim::Claim;

/// The blocks of a stack.
#[derive(Debug, Default)]
pub(crate) struct Blocks {
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    claims: BTreeMap<u16, Claim>,
    /// No block was to be had: so many ports more are drawn before it is tried again.
    pause: u32,
}

/// So many ports are granted to the stack in advance: one for the next association, and those that
/// it tries when the peer refuses that.
pub(crate) const SPARE: usize = 9;
/// Ports of a block. Blocks below the first port that clients take are left out.
const BLOCK: u16 = 64;
const FIRST: u16 = 1024 / BLOCK;
const LAST: u16 = u16::MAX / BLOCK;
/// Random blocks tried before all are tried in turn.
const TRIES: usize = 16;
/// Ports drawn without a claim before blocks are looked for again.
const PAUSE: u32 = 64;

impl Blocks {
    /// The ports of all blocks that are held, in random order.
    pub(crate) fn ports(&self) -> Vec<u16> {
        let mut ports: Vec<u16> =
            self.lock().claims.keys().flat_map(|block| ports_of(*block)).collect();
        ports.shuffle(&mut rand::rng());
        ports
    }

    /// Claims another block; gives its ports in random order, none when all blocks are taken.
    pub(crate) fn claim_more(&self) -> Vec<u16> {
        let mut held = self.lock();
        if held.pause > 0 {
            held.pause -= 1;
            return Vec::new();
        }
        let mut all: Vec<u16> = (FIRST..=LAST).collect();
        let random: Vec<u16> = all.sample(&mut rand::rng(), TRIES).copied().collect();
        all.retain(|block| !random.contains(block));
        for block in random.into_iter().chain(all) {
            match held.claim(block) {
                Ok(true) => {
                    let mut ports: Vec<u16> = ports_of(block).collect();
                    ports.shuffle(&mut rand::rng());
                    return ports;
                }
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(
                        %error,
                        "SCTP ports cannot be claimed among the processes of this host"
                    );
                    break;
                }
            }
        }
        held.pause = PAUSE;
        Vec::new()
    }

    /// Claims the block of a port that was chosen, if nobody has it: others do not draw the port.
    pub(crate) fn claim_around(&self, port: u16) {
        let block = port / BLOCK;
        if block >= FIRST {
            let _ = self.lock().claim(block);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// False when somebody has the block, this stack included.
    fn claim(&mut self, block: u16) -> io::Result<bool> {
        if self.claims.contains_key(&block) {
            return Ok(false);
        }
        match Claim::new(&format!("block-{block}")) {
            Ok(claim) => {
                self.claims.insert(block, claim);
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => Ok(false),
            Err(error) => Err(error),
        }
    }
}

fn ports_of(block: u16) -> impl Iterator<Item = u16> {
    let first = block * BLOCK;
    first..=first + (BLOCK - 1)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn blocks_have_one_holder_at_a_time_and_few_descriptors() {
        let (a, b) = (Blocks::default(), Blocks::default());
        let mut seen = BTreeSet::new();
        for _ in 0..10 {
            for blocks in [&a, &b] {
                let ports = blocks.claim_more();
                assert_eq!(ports.len(), 64);
                assert!(ports.iter().all(|port| *port >= 1024 && seen.insert(*port)));
            }
        }
        let held: BTreeSet<u16> = a.ports().into_iter().chain(b.ports()).collect();
        assert_eq!(held, seen);
        assert_eq!(a.lock().claims.len(), 10);
    }

    #[test]
    fn nobody_draws_around_a_port_that_was_chosen() {
        let (a, b) = (Blocks::default(), Blocks::default());
        let port = a.claim_more()[0];
        drop(a);
        b.claim_around(port);
        assert!(b.ports().contains(&port));
        b.claim_around(7);
        assert_eq!(b.ports().len(), 64);
        let c = Blocks::default();
        c.claim_around(port);
        assert!(c.ports().is_empty(), "it does not matter who else has chosen it");
    }
}
