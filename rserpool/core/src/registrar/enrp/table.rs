//! The handlespace as other registrars get it: pages of elements (RFC 5353 sec 2.2, 2.3, 3.2.3).

use rserpool_handlespace::{Cursor as Name, ElementKey, UserPlace};
use rserpool_wire::{EnrpBody, HandleTableResponse, PoolElement, PoolEntry, PoolHandle, ServerId};

use super::Cursor;
use crate::channel::ChannelId;
use crate::plant::{Fault, is_planted};
use crate::registrar::{RegistrarCore, addresses};

/// Elements that are looked at for one response: those that the reader has no use for are skipped.
const LOOKED_AT: usize = 4096;
/// Bytes of elements in one response: what fits into a packet (RSPLIB).
const PAGE: usize = 1400;

impl RegistrarCore {
    pub(super) fn on_table_request(&mut self, from: ServerId, own_children_only: bool) {
        let Some(config) = self.enrp_config() else { return };
        let most = config.max_table_elements;
        let Some(peer) = self.enrp.peers.get(&from) else { return };
        let Some(channel) = peer.channel else { return };
        // A request of the other kind begins from the start.
        let cursor = peer.cursor.as_ref().filter(|c| c.own_children_only == own_children_only);
        let after = cursor.map(|cursor| cursor.last.clone());
        let place = self.place_of_channel(channel);
        let (pools, last) = self.page(from, own_children_only, after, most, place);
        let more = last.is_some() && !is_planted(Fault::TableCutOff);
        if let Some(peer) = self.enrp.peers.get_mut(&from) {
            let last = last.filter(|_| !is_planted(Fault::FirstPageOnly));
            peer.cursor = last.map(|last| Cursor { own_children_only, last });
        }
        let response = HandleTableResponse { rejected: false, more, pools };
        self.send_enrp_over(channel, from, EnrpBody::HandleTableResponse(response));
    }

    /// The elements of one page, and the last of them if more follow.
    fn page(
        &self,
        reader: ServerId,
        own_children_only: bool,
        after: Option<Name>,
        most: usize,
        place: UserPlace,
    ) -> (Vec<PoolEntry>, Option<Name>) {
        let mut pools: Vec<PoolEntry> = Vec::new();
        let (mut bytes, mut elements, mut last, mut skipped) = (0, 0, None, None);
        let keys: Box<dyn Iterator<Item = ElementKey> + '_> = match own_children_only {
            true => Box::new(self.space.elements_of_home_after(self.id, after.as_ref())),
            false => Box::new(self.space.elements_after(after.as_ref())),
        };
        for (looked_at, key) in keys.enumerate() {
            let Some(element) = self.space.get(key) else { continue };
            let (handle, info) = (element.handle(), element.info());
            if looked_at == LOOKED_AT {
                // Nobody waits for long; the reader asks for more.
                return (pools, skipped.or(last));
            }
            // What the reader owns it knows better, and what it cannot reach is of no use to it.
            let useful = info.home != reader && info.asap_transport.is_some();
            let Some(shown) = addresses::for_registrars(info, place).filter(|_| useful) else {
                skipped = (looked_at + 1 == LOOKED_AT).then(|| (handle.clone(), info.id));
                continue;
            };
            let size = size_of_entry(handle, &shown);
            if elements == most || (elements > 0 && bytes + size > PAGE) {
                return (pools, last);
            }
            last = Some((handle.clone(), info.id));
            (bytes, elements) = (bytes + size, elements + 1);
            match pools.last_mut().filter(|entry| entry.pool == *handle) {
                Some(entry) => entry.elements.push(shown),
                None => pools.push(PoolEntry { pool: handle.clone(), elements: vec![shown] }),
            }
        }
        (pools, None)
    }

    /// Where the other end of an association is.
    pub(super) fn place_of_channel(&self, channel: ChannelId) -> UserPlace {
        let association = self.associations.get(&channel);
        association.map_or(UserPlace::Elsewhere, |a| addresses::place_of(&a.peer))
    }
}

/// Roughly how many bytes an element takes in a response, with its pool's handle.
fn size_of_entry(handle: &PoolHandle, element: &PoolElement) -> usize {
    let addresses = |addrs: &[std::net::IpAddr]| -> usize {
        8 + addrs.iter().map(|addr| if addr.is_ipv4() { 8 } else { 20 }).sum::<usize>()
    };
    let asap = element.asap_transport.as_ref().map_or(0, |t| addresses(&t.addrs));
    16 + addresses(element.user_transport.addrs()) + asap + 24 + 8 + handle.len() + 8
}
