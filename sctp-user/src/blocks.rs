//! Claims on the SCTP ports that a stack chooses by itself, in blocks.
//!
//! A peer identifies an association by addresses and SCTP ports; the UDP port does not count (RFC
//! 6951 sec 5.2). So if two processes on a host choose the same SCTP port, a server takes them for
//! one client and refuses the second. To avoid this, each stack draws its ports from blocks that no
//! other process has.
//!
//! Every claim costs a file descriptor, so a stack claims whole blocks of 64 ports and gives a
//! block back when none of its ports is in use any more. If no block can be claimed, the stack
//! draws any port. When a peer then refuses an association because of its port, the stack tries
//! another port.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rand::seq::{IndexedRandom, SliceRandom};
use sctp_user_core::socket::Sockets;

use crate::claim::Claim;

/// The blocks that a stack has claimed.
#[derive(Debug, Default)]
pub(crate) struct Blocks {
    held: Mutex<Held>,
    /// The number of blocks held, for reading it without the lock.
    count: AtomicUsize,
}

#[derive(Debug, Default)]
struct Held {
    claims: BTreeMap<u16, Claim>,
    /// The block that was claimed last. One of its ports may be about to be bound.
    latest: Option<u16>,
    /// After no block could be claimed: how many more ports to draw before trying again.
    pause: u32,
}

/// How many ports to grant the stack in advance: one for the next association, and others to try
/// when the peer refuses the first.
pub(crate) const SPARE: usize = 9;
/// How many ports a block has.
const BLOCK: u16 = 64;
/// The first block to claim: stacks draw no ports below 1024.
const FIRST: u16 = 1024 / BLOCK;
const LAST: u16 = u16::MAX / BLOCK;
/// How many random blocks to try before trying all blocks in turn.
const TRIES: usize = 16;
/// How many blocks a stack may hold in addition to one for each port in use, before it gives idle
/// blocks back.
const IDLE: usize = 2;
/// How many ports to draw without a claim before looking for a block again.
const PAUSE: u32 = 64;

impl Blocks {
    /// The ports of all blocks that are held, in random order.
    pub(crate) fn ports(&self) -> Vec<u16> {
        let mut ports: Vec<u16> =
            self.lock().claims.keys().flat_map(|block| ports_of(*block)).collect();
        ports.shuffle(&mut rand::rng());
        ports
    }

    /// Claims another block and returns its ports in random order; none if all blocks are taken.
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
            match self.claim(&mut held, block) {
                Ok(true) => {
                    let mut ports: Vec<u16> = ports_of(block).collect();
                    ports.shuffle(&mut rand::rng());
                    return ports;
                }
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(
                        %error,
                        "cannot claim SCTP ports: other processes on this host may use them as well"
                    );
                    break;
                }
            }
        }
        held.pause = PAUSE;
        Vec::new()
    }

    /// Claims the block around a port that the user chose, if nobody has it, so that no other
    /// process draws that port.
    pub(crate) fn claim_around(&self, port: u16) {
        let block = port / BLOCK;
        if block >= FIRST {
            let _ = self.claim(&mut self.lock(), block);
        }
    }

    /// If the stack holds many blocks, takes out the claims on those that have no port in use. The
    /// stack then draws no more ports from them. The caller drops the claims after it has released
    /// the lock.
    pub(crate) fn take_idle(&self, sockets: &mut Sockets) -> Vec<Claim> {
        if self.count.load(Ordering::Relaxed) <= sockets.stack().ports_in_use() + IDLE {
            return Vec::new();
        }
        let mut held = self.lock();
        let Held { claims, latest, .. } = &mut *held;
        let stack = sockets.stack();
        let idle = |block: u16| {
            *latest != Some(block) && !ports_of(block).any(|port| stack.is_in_use(port))
        };
        let taken =
            claims.extract_if(.., |block, _| idle(*block)).map(|(_, claim)| claim).collect();
        self.count.store(claims.len(), Ordering::Relaxed);
        sockets.revoke_ports(|port| !claims.contains_key(&(port / BLOCK)));
        taken
    }

    /// Claims a block. Returns false if somebody has it already, be it this stack.
    fn claim(&self, held: &mut Held, block: u16) -> io::Result<bool> {
        held.latest = Some(block);
        if held.claims.contains_key(&block) {
            return Ok(false);
        }
        match Claim::new(&format!("block-{block}")) {
            Ok(claim) => {
                held.claims.insert(block, claim);
                self.count.store(held.claims.len(), Ordering::Relaxed);
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn ports_of(block: u16) -> impl Iterator<Item = u16> {
    let first = block * BLOCK;
    first..=first + (BLOCK - 1)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use sctp_user_core::socket::{SocketOptions, Style};
    use sctp_user_core::{StackConfig, Time};

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
    fn the_block_of_a_chosen_port_is_claimed() {
        let (a, b) = (Blocks::default(), Blocks::default());
        let port = a.claim_more()[0];
        drop(a);
        b.claim_around(port);
        assert!(b.ports().contains(&port));
        b.claim_around(7);
        assert_eq!(b.ports().len(), 64);
        let c = Blocks::default();
        c.claim_around(port);
        assert!(c.ports().is_empty(), "another stack holds the block already");
    }

    /// A program that keeps binding new ports must not hold many file descriptors.
    #[test]
    fn blocks_without_a_port_in_use_are_given_back() {
        let blocks = Blocks::default();
        let mut sockets = Sockets::new(StackConfig::default(), [7; 32]);
        let bind = |sockets: &mut Sockets, port| {
            blocks.claim_around(port);
            let socket = sockets.open(Style::OneToOne, SocketOptions::default());
            sockets.bind(socket, port, &[]).unwrap();
            socket
        };
        let lasting = bind(&mut sockets, 20_000);
        for n in 0..100 {
            let socket = bind(&mut sockets, 21_000 + n * 64);
            sockets.close(Time::ZERO, socket).unwrap();
            drop(blocks.take_idle(&mut sockets));
            assert!(blocks.lock().claims.len() <= 1 + 1 + IDLE, "after {n}");
        }
        assert!(
            blocks.lock().claims.contains_key(&(20_000 / BLOCK)),
            "a port of this block is in use"
        );
        // Granted ports are taken back together with their block.
        let drawn = blocks.claim_more();
        sockets.grant_ports(drawn.clone());
        for port in [40_000, 41_000, 42_000, 43_000] {
            blocks.claim_around(port);
        }
        drop(blocks.take_idle(&mut sockets));
        assert_eq!(sockets.stack().granted_ports().len(), 0);
        assert!(!drawn.contains(&sockets.free_port().unwrap()));
        sockets.close(Time::ZERO, lasting).unwrap();
    }
}
