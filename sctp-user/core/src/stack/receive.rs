//! Received packets and ICMP errors, and how they find the association they belong to (RFC 9260 sec
//! 8.4, 8.5).

use crate::addr::{Datagram, Encap, PathAddr, scope};
use crate::assoc::PathId;
use crate::stats::AssocState;
use crate::time::Time;
use crate::wire::{Chunk, Packet, chunk_type};

use super::{AssocId, Stack, Unreachable, table};

impl Stack {
    /// Takes one received packet. Hand in a whole batch before polling, so that acknowledgements
    /// are decided once for the batch.
    pub fn handle_datagram(&mut self, datagram: Datagram) {
        self.stats.packets_received += 1;
        if !self.dispatch(&datagram) {
            self.stats.packets_dropped += 1;
        }
    }

    /// True when the packet had any effect.
    fn dispatch(&mut self, d: &Datagram) -> bool {
        let packet = &d.packet;
        let unicast = |addr| scope(addr).is_some();
        if !unicast(d.from.remote) || d.from.local.is_some_and(|a| !unicast(a)) {
            return false;
        }
        // Nobody can be answered at UDP port 0.
        if d.from.encap == (Encap::Udp { remote_port: 0 }) {
            return false;
        }
        let mut chunks = packet.chunks();
        let Some(first) = chunks.next() else { return false };
        match first.kind {
            chunk_type::INIT => {
                // An INIT must come alone and with tag 0 (RFC 9260 sec 8.5.1 A).
                let Ok(Chunk::Init(init)) = first.decode(packet) else { return false };
                return packet.vtag() == 0 && chunks.next().is_none() && self.on_init(d, &init);
            }
            chunk_type::COOKIE_ECHO => {
                let Ok(Chunk::CookieEcho(cookie)) = first.decode(packet) else { return false };
                return packet.vtag() != 0 && self.on_cookie_echo(d, cookie, chunks);
            }
            _ if packet.vtag() == 0 => return false,
            _ => {}
        }
        let id = self.demux.by_tag(packet.vtag(), packet.dst_port()).and_then(|i| self.table.id(i));
        match id.and_then(|id| Some((id, self.sender(id, d)?))) {
            Some((id, from)) => self.deliver(id, from, d),
            None => self.on_foreign(d),
        }
    }

    /// The path by which a packet with the tag of association `id` came. `None` when its source or
    /// its ports do not fit the association.
    fn sender(&self, id: AssocId, d: &Datagram) -> Option<Sender> {
        let assoc = &self.table.get(id)?.assoc;
        if assoc.peer_port != d.packet.src_port() {
            return None;
        }
        match assoc.path_of(d.from.remote) {
            Some(path) => Some(Sender::Known(path)),
            // The INIT ACK may come from another address of the peer than the INIT went to.
            // Handling it makes a path for that address.
            None if assoc.state() == AssocState::CookieWait
                && contains(&d.packet, chunk_type::INIT_ACK) =>
            {
                Some(Sender::Other(assoc.any_path()))
            }
            None => None,
        }
    }

    fn deliver(&mut self, id: AssocId, from: Sender, d: &Datagram) -> bool {
        let Some(entry) = self.table.get_mut(id) else { return false };
        if !tag_fits_t_bit(&d.packet, entry.assoc.local_tag(), entry.assoc.peer_tag()) {
            return false;
        }
        let state = entry.assoc.state();
        let early = matches!(state, AssocState::CookieWait | AssocState::CookieEchoed);
        if early && contains(&d.packet, chunk_type::SHUTDOWN_ACK) {
            // It is left over from an earlier association (RFC 9260 sec 8.5.1 E).
            return self.on_ootb(d, true);
        }
        let (path, moved) = match from {
            Sender::Known(path) => (path, entry.assoc.learn_encap(path, d.from.encap)),
            Sender::Other(path) => (path, false),
        };
        self.with(d.at, id, |assoc, cx| {
            if moved {
                assoc.on_new_udp_port(path);
            }
            assoc.handle_chunks(cx, d, path, d.packet.chunks());
        });
        let proven = |e: &table::Entry| {
            e.assoc.path_of(d.from.remote).is_some_and(|p| e.assoc.is_confirmed(p))
        };
        if moved && self.config.nat_port_key && self.table.get(id).is_some_and(proven) {
            // This peer has taken over the UDP port of a peer that was known there before. An
            // address that was never confirmed takes nothing away: its packets may have come from
            // anywhere.
            let ports = (d.packet.src_port(), d.packet.dst_port());
            self.demux.put_first(self.pair(d.from.remote, d.from.encap, ports), id.index);
        }
        true
    }

    /// Handles a packet whose tag is not one of ours or does not fit the addresses.
    fn on_foreign(&mut self, d: &Datagram) -> bool {
        let packet = &d.packet;
        let known =
            self.by_pair(d.from.remote, d.from.encap, (packet.src_port(), packet.dst_port()));
        let Some(id) = known else { return self.on_ootb(d, false) };
        let Some(entry) = self.table.get(id) else { return false };
        let (state, peer_tag) = (entry.assoc.state(), entry.assoc.peer_tag());
        if matches!(state, AssocState::CookieWait | AssocState::CookieEchoed)
            && contains(packet, chunk_type::SHUTDOWN_ACK)
        {
            return self.on_ootb(d, true);
        }
        // The peer has lost the association and reflects the tag of our packets with the T bit.
        // Such a tag proves less, so the packet changes no UDP port.
        if peer_tag != 0
            && packet.vtag() == peer_tag
            && has_reflected(packet)
            && tag_fits_t_bit(packet, entry.assoc.local_tag(), peer_tag)
        {
            let Some(path) = entry.assoc.path_of(d.from.remote) else { return false };
            self.with(d.at, id, |assoc, cx| assoc.handle_reflected(cx, d, path));
            return true;
        }
        false
    }

    /// Takes an ICMP error. `quoted` is what the ICMP message quotes of the SCTP packet: at least 8
    /// bytes, from the SCTP common header on. `to` is the path that the packet was sent to, under
    /// UDP encapsulation with the peer's UDP port. The error is believed only if the quoted
    /// verification tag is right (RFC 9260 sec 10).
    pub fn handle_unreachable(
        &mut self,
        now: Time,
        to: PathAddr,
        kind: Unreachable,
        quoted: &[u8],
    ) {
        let Some((header, rest)) = quoted.split_first_chunk::<8>() else { return };
        let [s0, s1, d0, d1, tag @ ..] = *header;
        let local_port = u16::from_be_bytes([s0, s1]);
        let peer_port = u16::from_be_bytes([d0, d1]);
        let tag = u32::from_be_bytes(tag);
        let Some(id) = self.by_pair(to.remote, to.encap, (peer_port, local_port)) else { return };
        let Some(entry) = self.table.get(id) else { return };
        let assoc = &entry.assoc;
        let Some(path) = assoc.path_of(to.remote) else { return };
        // The message must be about the encapsulation that is in use now.
        if assoc.path_addr(path).encap != to.encap {
            return;
        }
        let believable = if tag == 0 {
            // After the checksum: the INIT chunk with our initiate tag.
            let own = rest.get(4..12).and_then(|c| {
                Some((*c.first()?, u32::from_be_bytes(c.get(4..8)?.try_into().ok()?)))
            });
            assoc.state() == AssocState::CookieWait
                && own == Some((chunk_type::INIT, assoc.local_tag()))
        } else {
            tag == assoc.peer_tag()
        };
        if !believable {
            return;
        }
        self.with(now, id, |assoc, cx| assoc.on_unreachable(cx, path, kind));
    }
}

/// Who sent a packet that belongs to an association.
#[derive(Clone, Copy)]
enum Sender {
    /// The peer, by this path.
    Known(PathId),
    /// The peer, from an address that is not a path yet. Some path of the association stands in for
    /// it.
    Other(PathId),
}

/// Whether the packet has a chunk of this type.
pub(super) fn contains(packet: &Packet, kind: u8) -> bool {
    packet.chunks().any(|c| c.kind == kind)
}

/// The T bits of the ABORTs and SHUTDOWN COMPLETEs in the packet.
fn t_bits(packet: &Packet) -> impl Iterator<Item = bool> {
    packet
        .chunks()
        .filter(|c| matches!(c.kind, chunk_type::ABORT | chunk_type::SHUTDOWN_COMPLETE))
        .map(|c| c.flags & 1 != 0)
}

/// Whether the packet has an ABORT or SHUTDOWN COMPLETE with the T bit.
fn has_reflected(packet: &Packet) -> bool {
    t_bits(packet).any(|reflected| reflected)
}

/// Whether the tag of the packet fits its ABORTs and SHUTDOWN COMPLETEs: it must be the peer's tag
/// for those with the T bit and ours for those without it. Otherwise the whole packet is dropped
/// (RFC 9260 sec 8.5.1 B, C).
pub(super) fn tag_fits_t_bit(packet: &Packet, local_tag: u32, peer_tag: u32) -> bool {
    t_bits(packet).all(|reflected| packet.vtag() == if reflected { peer_tag } else { local_tag })
}
