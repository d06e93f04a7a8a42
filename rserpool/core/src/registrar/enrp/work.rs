//! Work that may take long, done in slices so that nobody waits for it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rserpool_wire::ServerId;
use sctp_user_core::Time;

use crate::registrar::RegistrarCore;

/// The work that waits. Each piece of it waits once.
#[derive(Debug, Default)]
pub(super) struct Work {
    queue: VecDeque<Piece>,
    /// Who gets the elements of each registrar that was taken over.
    moves: BTreeMap<ServerId, ServerId>,
    /// The same, by who gets them.
    from: BTreeSet<(ServerId, ServerId)>,
    sweeps: BTreeSet<ServerId>,
}

#[derive(Clone, Copy, Debug)]
enum Piece {
    /// Give the elements of a registrar that was taken over to another one, or to us.
    Move(ServerId),
    /// Take out what a complete audit of a registrar has not seen.
    Sweep(ServerId),
}

impl Work {
    /// The elements of `home` are `to`'s from now on, whoever was to get them before.
    pub(super) fn move_elements(&mut self, home: ServerId, to: ServerId) {
        match self.moves.insert(home, to) {
            Some(before) => drop(self.from.remove(&(before, home))),
            None => self.queue.push_back(Piece::Move(home)),
        }
        self.from.insert((to, home));
    }

    pub(super) fn sweep(&mut self, home: ServerId) {
        if self.sweeps.insert(home) {
            self.queue.push_back(Piece::Sweep(home));
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether the elements of a registrar are being given to somebody else.
    pub(super) fn moves(&self, home: ServerId) -> bool {
        self.moves.contains_key(&home)
    }

    /// Whose elements a registrar is being given.
    pub(super) fn moved_to(&self, to: ServerId) -> impl Iterator<Item = ServerId> {
        let all = (to, ServerId(0))..=(to, ServerId(u32::MAX));
        self.from.range(all).map(|(_, home)| *home)
    }
}

impl RegistrarCore {
    /// Does one slice of the work that waits.
    pub(super) fn go_on_working(&mut self, now: Time) {
        let Some(piece) = self.enrp.work.queue.pop_front() else { return };
        let more = match piece {
            Piece::Move(home) => match self.enrp.work.moves.get(&home).copied() {
                Some(to) if to == self.id => self.adopt_some(now, home),
                Some(to) => self.hand_some_over(home, to),
                None => false,
            },
            Piece::Sweep(home) => self.sweep_some(home),
        };
        let work = &mut self.enrp.work;
        match piece {
            // Behind the other work, so that all of it goes on.
            _ if more => work.queue.push_back(piece),
            Piece::Move(home) => {
                if let Some(to) = work.moves.remove(&home) {
                    work.from.remove(&(to, home));
                }
            }
            Piece::Sweep(home) => drop(work.sweeps.remove(&home)),
        }
    }
}
