//! The handlespace of other registrars: got whole at the start, compared by checksums from then on
//! (RFC 5353 sec 3.2.3, 3.3.2).

use rserpool_wire::{EnrpBody, HandleTableRequest, HandleTableResponse, PoolElement, ServerId};
use sctp_user_core::{Duration, Time};

use super::updates::Source;
use crate::plant::{Fault, is_planted};
use crate::registrar::event::RegistrarEvent;
use crate::registrar::{RegistrarCore, addresses};

/// What is got from one registrar.
#[derive(Debug, Default)]
pub(super) struct Audit {
    running: Option<Running>,
    /// Not before this may its elements be got again.
    not_before: Option<Time>,
    /// How often in a row the checksums still differed afterwards.
    failures: u32,
    /// There was no room for all its elements, so that checksums differ until then at least.
    not_held: Option<Time>,
}

/// A table on its way.
#[derive(Clone, Copy, Debug)]
struct Running {
    /// Only the elements that the registrar owns; otherwise it is our mentor and tells all it
    /// knows.
    own_children_only: bool,
    /// When the next response is overdue.
    overdue: Time,
    /// Elements that were told so far; a response without any counts as one.
    told: usize,
}

/// How long a registrar may take for each response.
const RESPONSE: Duration = Duration::from_secs(5);
/// Pause after an audit that was in vain; doubles each time.
const PAUSE: Duration = Duration::from_millis(500);
/// The longest pause.
const MAX_PAUSE: Duration = Duration::from_secs(30);
/// Pause after elements were told for which there was no room.
const FULL_PAUSE: Duration = Duration::from_secs(300);
/// Elements that are taken out in one slice.
const SLICE: usize = 256;

impl Audit {
    pub(super) fn overdue(&self) -> Option<Time> {
        self.running.map(|running| running.overdue)
    }

    /// Its association has ended, and the responses with it.
    pub(super) fn interrupt(&mut self) {
        self.running = None;
    }
}

impl RegistrarCore {
    /// At the start, the first registrar that is found tells all it knows.
    pub(super) fn choose_mentor(&mut self, now: Time, id: ServerId) {
        let refused = self.enrp.refused.contains(&id);
        if self.enrp.is_running() || self.enrp.mentor.is_some() || refused {
            return;
        }
        self.enrp.mentor = Some(id);
        self.request_table(now, id, false, 0);
    }

    fn request_table(&mut self, now: Time, id: ServerId, own_children_only: bool, told: usize) {
        let Some(peer) = self.enrp.peers.get_mut(&id) else { return };
        peer.audit.running = Some(Running { own_children_only, overdue: now + RESPONSE, told });
        let request = HandleTableRequest { own_children_only };
        self.send_enrp(now, id, EnrpBody::HandleTableRequest(request));
    }

    /// Compares what a registrar owns with what we believe that it owns. When that differs, its
    /// elements are got anew.
    pub(super) fn compare_checksum(&mut self, now: Time, id: ServerId, checksum: u16) {
        let same = self.checksum_of(id) == checksum || is_planted(Fault::ChecksumIgnored);
        let Some(peer) = self.enrp.peers.get_mut(&id) else { return };
        let audit = &mut peer.audit;
        if same {
            audit.failures = 0;
            audit.not_held = None;
            return;
        }
        let not_before = audit.not_before.max(audit.not_held);
        if audit.running.is_some() || not_before.is_some_and(|at| at > now) {
            return;
        }
        // The responses that were got before were to no avail, perhaps for the time being.
        let doublings = audit.failures.min(6);
        audit.not_before = Some(now + PAUSE.saturating_mul(1 << doublings).min(MAX_PAUSE));
        audit.failures = audit.failures.saturating_add(1);
        self.stats.audits += 1;
        self.space.begin_audit(id);
        self.request_table(now, id, true, 0);
    }

    /// A registrar tells of an element for which there is no room. Its elements are not got anew
    /// for a while: that would not make room.
    pub(super) fn on_copy_not_held(&mut self, now: Time, told_by: ServerId) {
        self.stats.copies_not_held += 1;
        let Some(peer) = self.enrp.peers.get_mut(&told_by) else { return };
        if peer.audit.not_held.is_none_or(|until| until <= now) {
            peer.audit.not_held = Some(now + FULL_PAUSE);
            self.report(RegistrarEvent::CopiesNotHeld { server: told_by });
        }
    }

    pub(super) fn on_table_response(
        &mut self,
        now: Time,
        from: ServerId,
        response: HandleTableResponse,
    ) {
        let Some(peer) = self.enrp.peers.get_mut(&from) else { return };
        // Nobody asked for it.
        let Some(running) = peer.audit.running.take() else { return };
        if response.rejected {
            self.space.abort_audit(from);
            return self.change_mentor(now, from);
        }
        let mut told = 0;
        self.on_proven(from);
        for entry in response.pools {
            told += entry.elements.len();
            for element in entry.elements {
                let source = match running.own_children_only {
                    true => Source::Home(from),
                    false => Source::Mentor(from),
                };
                let _ = self.learn(now, source, &entry.pool, element, false);
            }
        }
        let told = running.told + told.max(1);
        if response.more && told > self.config.max_elements {
            // It never ends.
            return self.give_table_up(now, from);
        }
        if response.more {
            return self.request_table(now, from, running.own_children_only, told);
        }
        if running.own_children_only {
            self.enrp.work.sweep(from);
        } else {
            self.mentor_is_done(from);
        }
    }

    /// The start phase ends when the mentor has told everything.
    fn mentor_is_done(&mut self, id: ServerId) {
        if self.enrp.mentor == Some(id) {
            self.end_start_phase(Some(id));
        }
    }

    /// The mentor tells nothing: the next registrar may do better.
    fn change_mentor(&mut self, now: Time, id: ServerId) {
        if self.enrp.mentor != Some(id) {
            return;
        }
        self.enrp.mentor = None;
        self.enrp.refused.insert(id);
        let next = self.enrp.living().into_iter().find(|next| !self.enrp.refused.contains(next));
        if let Some(next) = next {
            self.choose_mentor(now, next);
        }
    }

    /// Takes out what a registrar does not own any more.
    pub(super) fn sweep_some(&mut self, home: ServerId) -> bool {
        if is_planted(Fault::SweepSkipped) {
            self.space.abort_audit(home);
        }
        let swept = self.space.sweep(home, SLICE);
        for element in &swept.removed {
            self.on_copy_removed(element);
        }
        !swept.finished
    }

    pub(super) fn look_after_audits(&mut self, now: Time) {
        let late: Vec<ServerId> = self
            .enrp
            .peers
            .iter()
            .filter(|(_, peer)| peer.audit.overdue().is_some_and(|at| at <= now))
            .map(|(id, _)| *id)
            .collect();
        for id in late {
            self.give_table_up(now, id);
        }
    }

    fn give_table_up(&mut self, now: Time, id: ServerId) {
        if let Some(peer) = self.enrp.peers.get_mut(&id) {
            peer.audit.interrupt();
        }
        self.space.abort_audit(id);
        self.change_mentor(now, id);
    }

    /// An element of another registrar as it may be kept here.
    pub(super) fn acceptable(&self, element: &PoolElement) -> bool {
        !element.id.is_undefined()
            && !element.home.is_undefined()
            && addresses::has_usable(element, self.config.min_address_scope)
    }
}
