//! Who takes over a registrar that is dead (RFC 5353 sec 3.5).

use std::collections::{BTreeMap, BTreeSet};

use rserpool_wire::{EnrpBody, ServerId, ServerInformation};
use sctp_user_core::Time;

use super::{LATE, PeerServer, TakeoverRule};
use crate::channel::ChannelId;
use crate::plant::{Fault, is_planted};
use crate::registrar::RegistrarCore;
use crate::registrar::event::RegistrarEvent;

/// A registrar that is dead, and what becomes of it.
#[derive(Debug)]
pub(super) struct Takeover {
    state: State,
    /// When the state is looked at again.
    expiry: Time,
}

#[derive(Debug)]
enum State {
    /// We want to take it over.
    Ours(Ours),
    /// Another one wants to, and we have agreed.
    Theirs(ServerId),
}

#[derive(Debug)]
struct Ours {
    /// When all were asked.
    asked: Time,
    /// Those that have not agreed yet, and over which associations they were asked.
    outstanding: BTreeMap<ServerId, Option<ChannelId>>,
    /// Those that say by their lists that the target lives.
    objecting: BTreeSet<ServerId>,
    /// How often all were asked in vain.
    rounds: u32,
}

impl Ours {
    /// Whether a registrar, as it is now, has had its time and has kept silent.
    fn is_silent(&self, id: ServerId, peer: Option<&PeerServer>) -> bool {
        if self.objecting.contains(&id) {
            return false;
        }
        let channel = self.outstanding.get(&id).copied().flatten();
        // Whatever it was asked over an association that has ended may not have come to it.
        let was_reached = peer.is_some_and(|peer| {
            channel.is_some()
                && peer.channel == channel
                && peer.is_up
                && peer.last_heard > self.asked
        });
        self.rounds >= MAX_ROUNDS || (self.rounds > ROUNDS && was_reached)
    }
}

/// After so many rounds in vain, those that have kept silent in the next one do not count any more.
const ROUNDS: u32 = 1;
/// After so many, not even those do that may not have heard.
const MAX_ROUNDS: u32 = 6;
/// Takeovers of registrars that only others know, at the same time.
const MAX_ORPHANS: usize = 4;

impl Takeover {
    pub(super) fn expiry(&self) -> Time {
        self.expiry
    }
}

impl RegistrarCore {
    /// Wants to take a registrar over, and asks all others.
    pub(super) fn begin_takeover(&mut self, now: Time, target: ServerId) {
        let Some(config) = self.enrp_config() else { return };
        let expiry = now + config.takeover_expiry;
        let wanted =
            self.enrp.peers.get_mut(&target).map(|peer| std::mem::take(&mut peer.wanted_by));
        let wanted: Vec<ServerId> = wanted.into_iter().flatten().collect();
        let asked = wanted.iter().copied().filter(|by| self.enrp.peers.contains_key(by));
        let best = asked.reduce(|best, other| if self.beats(other, best) { other } else { best });
        if let Some(by) = best.filter(|by| self.wins(*by)) {
            self.enrp.takeovers.insert(target, Takeover { state: State::Theirs(by), expiry });
            // They settle it among themselves, by the same rule.
            return wanted.into_iter().for_each(|by| self.agree(now, by, target));
        }
        let rounds = match self.enrp.takeovers.get(&target) {
            Some(Takeover { state: State::Ours(ours), .. }) => ours.rounds,
            _ => 0,
        };
        // Among those that live the target is not, from here on.
        let (outstanding, objecting) = (BTreeMap::new(), BTreeSet::new());
        let state = State::Ours(Ours { asked: now, outstanding, objecting, rounds });
        self.enrp.takeovers.insert(target, Takeover { state, expiry });
        let others = self.enrp.living();
        self.report(RegistrarEvent::TakeoverBegun { target });
        self.stats.takeovers_begun += 1;
        for id in &others {
            self.send_enrp(now, *id, EnrpBody::InitTakeover(target));
            if rounds > 0 {
                // Perhaps it knows better.
                self.send_enrp(now, *id, EnrpBody::ListRequest);
            }
        }
        if others.is_empty() {
            return self.win(now, target);
        }
        let channel = |id: &ServerId| {
            let peer = self.enrp.peers.get(id);
            peer.filter(|peer| peer.is_up).and_then(|peer| peer.channel)
        };
        let outstanding = others.iter().map(|id| (*id, channel(id))).collect();
        if let Some(Takeover { state: State::Ours(ours), .. }) =
            self.enrp.takeovers.get_mut(&target)
        {
            ours.outstanding = outstanding;
        }
    }

    /// A registrar lists others as living ones, also such that we want to take over.
    pub(super) fn on_listed(&mut self, from: ServerId, servers: &[ServerInformation]) {
        for (target, takeover) in &mut self.enrp.takeovers {
            if let State::Ours(ours) = &mut takeover.state
                && ours.outstanding.contains_key(&from)
                && servers.iter().any(|server| server.id == *target)
            {
                ours.objecting.insert(from);
            }
        }
    }

    fn agree(&mut self, now: Time, by: ServerId, target: ServerId) {
        if !is_planted(Fault::TakeoverNotAcknowledged) {
            self.send_enrp(now, by, EnrpBody::InitTakeoverAck(target));
        }
    }

    /// Whether another registrar has the better claim to one that both want to take over.
    fn wins(&self, other: ServerId) -> bool {
        !is_planted(Fault::NobodyGivesWay) && self.beats(other, self.id)
    }

    /// Whether the first of two registrars has the better claim.
    fn beats(&self, first: ServerId, second: ServerId) -> bool {
        match self.enrp_config().map(|config| config.takeover_rule) {
            Some(TakeoverRule::LargerId) => first > second,
            _ => first < second,
        }
    }

    pub(super) fn on_init_takeover(&mut self, now: Time, from: ServerId, target: ServerId) {
        if target == self.id {
            // We live, and all should know it.
            for id in self.enrp.living() {
                self.send_presence(now, id, false);
            }
            return;
        }
        let Some(config) = self.enrp_config() else { return };
        let expiry = now + config.takeover_expiry;
        let ours = matches!(
            self.enrp.takeovers.get(&target),
            Some(Takeover { state: State::Ours(_), .. })
        );
        if ours && !self.wins(from) {
            // They will agree to ours.
            return;
        }
        let agreed = self.enrp.takeovers.get(&target).map(|takeover| match takeover.state {
            State::Ours(_) => None,
            State::Theirs(by) => Some(by),
        });
        if let Some(agreed) = agreed {
            // Several may ask. They settle it among themselves, by the same rule.
            let known = agreed.filter(|by| self.enrp.peers.contains_key(by));
            let by = known.filter(|by| self.beats(*by, from)).unwrap_or(from);
            let takeover = Takeover { state: State::Theirs(by), expiry };
            self.enrp.takeovers.insert(target, takeover);
        } else if let Some(peer) = self.enrp.peers.get_mut(&target) {
            // Whether it is dead is found out from here, and they get their answer then. Nobody
            // else is believed: it would be enough to say so to get the elements of one that lives.
            peer.wanted_by.insert(from);
            return self.ask_whether_it_lives(now, target);
        }
        self.agree(now, from, target);
    }

    pub(super) fn on_init_takeover_ack(&mut self, now: Time, from: ServerId, target: ServerId) {
        let Some(takeover) = self.enrp.takeovers.get_mut(&target) else { return };
        let State::Ours(ours) = &mut takeover.state else { return };
        ours.outstanding.remove(&from);
        if ours.outstanding.is_empty() {
            self.win(now, target);
        }
    }

    /// One that should have agreed is dead itself.
    pub(super) fn on_agreement_impossible(&mut self, now: Time, dead: ServerId) {
        for target in self.enrp.takeovers.keys().copied().collect::<Vec<_>>() {
            match self.enrp.takeovers.get(&target).map(|takeover| &takeover.state) {
                Some(State::Ours(_)) => self.on_init_takeover_ack(now, dead, target),
                Some(State::Theirs(by)) if *by == dead => self.begin_takeover(now, target),
                _ => {}
            }
        }
    }

    /// All have agreed.
    fn win(&mut self, now: Time, target: ServerId) {
        for id in self.enrp.living() {
            if !is_planted(Fault::TakeoverNotTold) {
                self.send_enrp(now, id, EnrpBody::TakeoverServer(target));
            }
        }
        let elements = self.space.count_of_home(target);
        self.forget_peer(target);
        self.stats.takeovers += 1;
        self.report(RegistrarEvent::TookOver { target, elements });
        self.enrp.work.move_elements(target, self.id);
    }

    /// Another registrar is the home of a dead one's elements from now on. That is believed only
    /// when the target is dead as far as we know.
    pub(super) fn on_takeover_server(&mut self, now: Time, from: ServerId, target: ServerId) {
        if target == self.id {
            for id in self.enrp.living() {
                self.send_presence(now, id, false);
            }
            return;
        }
        if is_planted(Fault::TakeoverServerIgnored) {
            return;
        }
        let is_dead = self.enrp.takeovers.contains_key(&target);
        let died = is_dead || self.enrp.buried.contains_key(&target);
        if !self.knows(target) && !died && self.space.count_of_home(target) == 0 {
            // Nothing is known of it.
            self.stats.ignored_messages += 1;
            return;
        }
        // Of one that we have no contact with, others know more.
        if !is_dead && self.enrp.peers.contains_key(&target) {
            self.stats.ignored_messages += 1;
            return;
        }
        self.forget_peer(target);
        self.report(RegistrarEvent::TakenOverBy { target, by: from });
        self.enrp.work.move_elements(target, from);
    }

    /// A registrar that was dead lives.
    pub(super) fn cancel_takeover(&mut self, id: ServerId) {
        if self.enrp.takeovers.remove(&id).is_some() {
            self.report(RegistrarEvent::TakeoverCancelled { target: id });
        }
        if let Some(peer) = self.enrp.peers.get_mut(&id) {
            peer.wanted_by.clear();
        }
    }

    /// Registrars that own elements here, but that we have no contact with, as after a mentor told
    /// of them: nobody would ever say that such an element is gone. So they are taken over after a
    /// while, unless another registrar hears them.
    pub(super) fn look_after_orphans(&mut self, now: Time) {
        let Some(config) = self.enrp_config() else { return };
        let patience = config.takeover_expiry * 4;
        let enrp = &self.enrp;
        let homes: BTreeSet<ServerId> = self
            .space
            .homes()
            .filter(|home| *home != self.id && !enrp.peers.contains_key(home))
            .filter(|home| !enrp.takeovers.contains_key(home) && !enrp.work.moves(*home))
            .collect();
        let begun = enrp.takeovers.keys().filter(|target| !self.knows(**target)).count();
        self.enrp.orphans.retain(|home, _| homes.contains(home));
        for home in &homes {
            self.enrp.orphans.entry(*home).or_insert(now);
        }
        let orphans = self.enrp.orphans.iter();
        let due = orphans.filter(|(_, since)| **since + patience <= now).map(|(home, _)| *home);
        // The others wait for the next heartbeat.
        for home in due.take(MAX_ORPHANS.saturating_sub(begun)).collect::<Vec<_>>() {
            self.enrp.orphans.remove(&home);
            self.begin_takeover(now, home);
        }
    }

    pub(super) fn look_after_takeovers(&mut self, now: Time) {
        let due: Vec<(ServerId, Time)> = self
            .enrp
            .takeovers
            .iter()
            .filter(|(_, takeover)| takeover.expiry <= now)
            .map(|(target, takeover)| (*target, takeover.expiry))
            .collect();
        for (target, expiry) in due {
            if expiry + LATE < now {
                // The answers may wait to be read.
                if let Some(takeover) = self.enrp.takeovers.get_mut(&target) {
                    takeover.expiry = now + LATE;
                }
                continue;
            }
            if self.space.count_of_home(target) == 0 {
                self.forget_peer(target);
            } else if self.have_all_others_agreed(target) {
                self.win(now, target);
            } else {
                // Not all have agreed in time, or the one that wanted to has not done it.
                self.begin_takeover(now, target);
            }
        }
    }

    /// Another round is over. Whether all have agreed to our takeover, except those that have kept
    /// silent for so long that they do not count any more. A registrar that hears the target does
    /// count: its list names the target.
    fn have_all_others_agreed(&mut self, target: ServerId) -> bool {
        let Some(takeover) = self.enrp.takeovers.get_mut(&target) else { return false };
        let State::Ours(ours) = &mut takeover.state else { return false };
        ours.rounds += 1;
        let peers = &self.enrp.peers;
        ours.outstanding.keys().all(|id| ours.is_silent(*id, peers.get(id)))
    }
}
