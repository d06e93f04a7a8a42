//! Elements that this registrar becomes the home of without having been asked by them: they are
//! told by an ENDPOINT_KEEP_ALIVE with the home bit (RFC 5352 sec 3.5, RFC 5353 sec 3.5.2).

use std::collections::BTreeMap;

use rserpool_handlespace::{ElementKey, Timer};
use rserpool_wire::{SctpTransport, ServerId, UpdateAction};
use sctp_user_core::Time;

use crate::channel::{ChannelId, Protocol};
use crate::plant::{Fault, is_planted};
use crate::registrar::RegistrarCore;
use crate::registrar::event::RemovalReason;

/// Associations that are being set up with elements.
#[derive(Debug, Default)]
pub(in crate::registrar) struct Contacts {
    /// By where the elements are; several may share one association.
    open: BTreeMap<ChannelId, Contact>,
    /// Those for which there are too many of them.
    waiting: Vec<(Place, ElementKey)>,
}

/// Where elements are reached by registrars: transport and UDP port.
type Place = (SctpTransport, Option<u16>);

#[derive(Debug)]
struct Contact {
    place: Place,
    elements: Vec<ElementKey>,
}

/// Associations with elements that are set up at the same time.
const MAX_OPEN: usize = 256;
/// Elements that are taken over in one slice.
const SLICE: usize = 256;

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
        let info = element.info();
        let Some(transport) = info.asap_transport.clone() else { return };
        let place = (transport, info.udp_port);
        // As long as an element has for its answer.
        let timeout = self.config.keep_alive_timeout;
        self.space.set_timer(key, Timer::KeepAliveTransmission, None);
        self.space.set_timer(key, Timer::KeepAliveTimeout, Some(now + timeout));
        let contacts = &mut self.enrp.contacts;
        if let Some(contact) = contacts.open.values_mut().find(|contact| contact.place == place) {
            if !contact.elements.contains(&key) {
                contact.elements.push(key);
            }
        } else if contacts.open.len() < MAX_OPEN {
            self.open_contact(place, vec![key]);
        } else if !contacts.waiting.iter().any(|(_, waiting)| *waiting == key) {
            contacts.waiting.push((place, key));
        }
    }

    fn open_contact(&mut self, place: Place, elements: Vec<ElementKey>) {
        let (transport, udp_port) = &place;
        let ways = self.local.reach.peers(&transport.addrs, transport.port, *udp_port);
        if ways.is_empty() {
            // It cannot be reached from here; its timer ends it.
            return;
        }
        let channel = self.connect(Protocol::Asap, ways);
        self.enrp.contacts.open.insert(channel, Contact { place, elements });
    }

    /// An association with an element is up.
    pub(in crate::registrar) fn on_contact_up(&mut self, now: Time, channel: ChannelId) {
        let Some(contact) = self.enrp.contacts.open.remove(&channel) else {
            return self.shut_down(channel);
        };
        for key in contact.elements {
            let waits = self
                .space
                .get(key)
                .is_some_and(|e| e.info().home == self.id && e.owner().is_none());
            if waits {
                self.space.set_owner(key, Some(channel.as_u64()));
                self.send_keep_alive(now, key, true);
            }
        }
        self.contact_more();
    }

    /// An element could not be reached.
    pub(in crate::registrar) fn on_contact_failed(
        &mut self,
        now: Time,
        channel: ChannelId,
        is_refusal: bool,
    ) {
        let Some(contact) = self.enrp.contacts.open.remove(&channel) else { return };
        // Its host says that nobody is there. Otherwise it has the time that an answer has.
        for key in contact.elements.into_iter().filter(|_| is_refusal) {
            let waits = self
                .space
                .get(key)
                .is_some_and(|e| e.info().home == self.id && e.owner().is_none());
            if waits {
                self.lose_element(now, key, RemovalReason::Unreachable);
            }
        }
        self.contact_more();
    }

    fn contact_more(&mut self) {
        while self.enrp.contacts.open.len() < MAX_OPEN {
            let Some((place, key)) = self.enrp.contacts.waiting.pop() else { return };
            let same = |(other, _): &mut (Place, ElementKey)| *other == place;
            let mut elements = vec![key];
            elements.extend(self.enrp.contacts.waiting.extract_if(.., same).map(|(_, key)| key));
            self.open_contact(place, elements);
        }
    }

    /// An element that was taken over has answered: all others hear that it lives, and with whom.
    pub(in crate::registrar) fn on_adopted(&mut self, now: Time, key: ElementKey) {
        let Some(element) = self.space.get(key) else { return };
        let (pool, info) = (element.handle().clone(), element.info().clone());
        self.tell_update(now, UpdateAction::AddPe, &pool, &info);
    }
}
