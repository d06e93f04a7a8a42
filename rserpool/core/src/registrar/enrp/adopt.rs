//! Elements that this registrar becomes the home of without having been asked by them: they are
//! told by an ENDPOINT_KEEP_ALIVE with the home bit (RFC 5352 sec 3.5, RFC 5353 sec 3.5.2).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;

use rserpool_handlespace::{ElementKey, Timer};
use rserpool_wire::{PoolElement, ServerId, UpdateAction};
use sctp_user_core::{Duration, Time};

use crate::channel::{ChannelId, Protocol};
use crate::plant::{Fault, is_planted};
use crate::registrar::RegistrarCore;
use crate::registrar::event::RemovalReason;

/// Elements that are to be asked, and the associations with them. The elements of one place share
/// an association.
#[derive(Debug, Default)]
pub(in crate::registrar) struct Contacts {
    /// By number; later ones have larger numbers.
    visits: BTreeMap<u64, Visit>,
    /// The visit of each place.
    places: BTreeMap<Place, u64>,
    /// The visit of each element.
    elements: BTreeMap<ElementKey, u64>,
    /// The attempts to set associations up.
    open: BTreeMap<ChannelId, u64>,
    /// Visits for which there are too many attempts.
    waiting: BTreeSet<u64>,
    /// Visits whose attempt has ended, and whose elements are dealt with in slices.
    reached: VecDeque<u64>,
    /// When the next slice is due.
    due: Option<Time>,
    begun: u64,
}

/// Where elements are reached by registrars: addresses, SCTP port and UDP port.
type Place = (Vec<IpAddr>, u16, Option<u16>);

#[derive(Debug)]
struct Visit {
    place: Place,
    outcome: Outcome,
    elements: BTreeSet<ElementKey>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// It is not known yet.
    Open,
    /// The association is up.
    Up(ChannelId),
    /// The host says that nobody is there.
    Refused,
}

/// Associations with elements that are set up at the same time.
const MAX_OPEN: usize = 256;
/// Elements that are dealt with in one slice.
const SLICE: usize = 256;
/// The time between two slices of elements that are asked: an association that thousands of
/// elements share has time to send the questions.
const PAUSE: Duration = Duration::from_millis(5);

impl Contacts {
    pub(super) fn deadline(&self) -> Option<Time> {
        self.due
    }

    /// The visit of a place that elements can join, if there is one.
    fn visit_of(&self, place: &Place) -> Option<u64> {
        self.places.get(place).copied()
    }

    fn join(&mut self, key: ElementKey, number: u64) {
        self.forget(key);
        if let Some(visit) = self.visits.get_mut(&number) {
            visit.elements.insert(key);
            self.elements.insert(key, number);
        }
    }

    fn begin(&mut self, place: Place) -> u64 {
        self.begun += 1;
        self.places.insert(place.clone(), self.begun);
        let visit = Visit { place, outcome: Outcome::Open, elements: BTreeSet::new() };
        self.visits.insert(self.begun, visit);
        self.begun
    }

    fn end(&mut self, number: u64) {
        let Some(visit) = self.visits.remove(&number) else { return };
        self.leave_place(&visit.place, number);
        for key in visit.elements {
            self.elements.remove(&key);
        }
    }

    /// Elements that come to this place later get a visit of their own.
    fn leave_place(&mut self, place: &Place, number: u64) {
        if self.visit_of(place) == Some(number) {
            self.places.remove(place);
        }
    }

    /// An element is not to be asked any more.
    fn forget(&mut self, key: ElementKey) {
        let Some(number) = self.elements.remove(&key) else { return };
        let Some(visit) = self.visits.get_mut(&number) else { return };
        visit.elements.remove(&key);
        if visit.elements.is_empty() && self.waiting.remove(&number) {
            self.end(number);
        }
    }

    /// The next element whose visit has come to an end.
    fn next_reached(&mut self) -> Option<(ElementKey, Outcome)> {
        while let Some(number) = self.reached.front().copied() {
            if let Some(visit) = self.visits.get_mut(&number)
                && let Some(key) = visit.elements.pop_first()
            {
                self.elements.remove(&key);
                return Some((key, visit.outcome));
            }
            self.end(number);
            self.reached.pop_front();
        }
        None
    }
}

impl RegistrarCore {
    /// Becomes the home of some elements of a dead registrar; true while there are more.
    pub(super) fn adopt_some(&mut self, now: Time, from: ServerId) -> bool {
        let keys: Vec<ElementKey> = self.space.elements_of_home(from).take(SLICE).collect();
        for key in &keys {
            self.claim(now, *key);
        }
        keys.len() == SLICE
    }

    /// Gives some elements of a dead registrar to another one; true while there are more.
    pub(super) fn hand_some_over(&mut self, from: ServerId, to: ServerId) -> bool {
        let keys: Vec<ElementKey> = self.space.elements_of_home(from).take(SLICE).collect();
        for key in &keys {
            self.space.set_home(*key, to);
        }
        keys.len() == SLICE
    }

    /// Becomes the home of an element and tells it so.
    pub(super) fn claim(&mut self, now: Time, key: ElementKey) {
        let Some(element) = self.space.get(key) else { return };
        if element.info().home == self.id && element.owner().is_some() {
            return;
        }
        if !is_planted(Fault::HomeNotTaken) {
            self.space.set_home(key, self.id);
        }
        self.space.set_owner(key, None);
        self.stats.adopted_elements += 1;
        if !is_planted(Fault::AdoptedNotContacted) {
            self.probe(now, key);
        }
    }

    /// Asks an element of ours that no association leads to: one is set up.
    pub(in crate::registrar) fn contact(&mut self, now: Time, key: ElementKey) {
        let Some(element) = self.space.get(key) else { return };
        let Some(place) = place_of(element.info()) else { return };
        // As long as an element has for its answer.
        let timeout = self.config.keep_alive_timeout;
        self.space.set_timer(key, Timer::KeepAliveTransmission, None);
        self.space.set_timer(key, Timer::KeepAliveTimeout, Some(now + timeout));
        let contacts = &mut self.enrp.contacts;
        if let Some(number) = contacts.visit_of(&place) {
            return contacts.join(key, number);
        }
        let number = contacts.begin(place);
        contacts.join(key, number);
        if contacts.open.len() < MAX_OPEN {
            self.open_contact(number);
        } else {
            contacts.waiting.insert(number);
        }
    }

    fn open_contact(&mut self, number: u64) {
        let Some(visit) = self.enrp.contacts.visits.get(&number) else { return };
        let (addrs, port, udp_port) = &visit.place;
        let ways = self.local.reach.peers(addrs, *port, *udp_port);
        if ways.is_empty() {
            // It cannot be reached from here; the timers of its elements end them.
            return self.enrp.contacts.end(number);
        }
        let channel = self.connect(Protocol::Asap, ways);
        self.enrp.contacts.open.insert(channel, number);
    }

    /// An association with elements is up.
    pub(in crate::registrar) fn on_contact_up(&mut self, now: Time, channel: ChannelId) {
        let contacts = &mut self.enrp.contacts;
        let Some(number) = contacts.open.remove(&channel) else {
            return self.shut_down(channel);
        };
        if let Some(visit) = contacts.visits.get_mut(&number) {
            visit.outcome = Outcome::Up(channel);
            contacts.reached.push_back(number);
        }
        self.go_on_asking(now);
        self.contact_more();
    }

    /// Elements could not be reached.
    pub(in crate::registrar) fn on_contact_failed(
        &mut self,
        now: Time,
        channel: ChannelId,
        is_refusal: bool,
    ) {
        let contacts = &mut self.enrp.contacts;
        let Some(number) = contacts.open.remove(&channel) else { return };
        match contacts.visits.get_mut(&number) {
            // Their host says that nobody is there.
            Some(visit) if is_refusal => {
                visit.outcome = Outcome::Refused;
                let place = visit.place.clone();
                contacts.leave_place(&place, number);
                contacts.reached.push_back(number);
                self.go_on_asking(now);
            }
            // Otherwise they have the time that an answer has.
            _ => contacts.end(number),
        }
        self.contact_more();
    }

    /// Deals with some elements whose places were reached, or cannot be, if it is time.
    pub(in crate::registrar) fn go_on_asking(&mut self, now: Time) {
        if self.enrp.contacts.due.is_some_and(|due| due > now) {
            return;
        }
        self.enrp.contacts.due = None;
        for _ in 0..SLICE {
            let Some((key, outcome)) = self.enrp.contacts.next_reached() else { return };
            let waits = self
                .space
                .get(key)
                .is_some_and(|e| e.info().home == self.id && e.owner().is_none());
            match outcome {
                _ if !waits => {}
                Outcome::Up(channel)
                    if self.space.count_of_owner(channel.as_u64())
                        >= self.config.max_elements_per_association =>
                {
                    self.lose_element(now, key, RemovalReason::Unreachable);
                }
                Outcome::Up(channel) if self.associations.contains_key(&channel) => {
                    self.space.set_owner(key, Some(channel.as_u64()));
                    self.watch(channel);
                    self.send_keep_alive(now, key, true);
                }
                Outcome::Up(_) => self.lose_element(now, key, RemovalReason::AssociationLost),
                Outcome::Refused => self.lose_element(now, key, RemovalReason::Unreachable),
                Outcome::Open => {}
            }
        }
        self.enrp.contacts.due = Some(now + PAUSE);
    }

    fn contact_more(&mut self) {
        while self.enrp.contacts.open.len() < MAX_OPEN {
            let Some(number) = self.enrp.contacts.waiting.pop_first() else { return };
            self.open_contact(number);
        }
    }

    /// An element is gone.
    pub(in crate::registrar) fn forget_contact(&mut self, key: ElementKey) {
        self.enrp.contacts.forget(key);
    }

    /// An element that was taken over has answered: all others hear that it lives, and with whom.
    pub(in crate::registrar) fn on_adopted(&mut self, now: Time, key: ElementKey) {
        let Some(element) = self.space.get(key) else { return };
        let (pool, info) = (element.handle().clone(), element.info().clone());
        self.tell_update(now, UpdateAction::AddPe, &pool, &info);
    }
}

fn place_of(element: &PoolElement) -> Option<Place> {
    let transport = element.asap_transport.as_ref()?;
    Some((transport.addrs.clone(), transport.port, element.udp_port))
}
