//! Who is there: presences, liveness, lists of registrars (RFC 5353 sec 3.1, 3.2, 3.3).

use std::collections::{BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};

use rand::RngExt;
use rserpool_wire::{
    EnrpBody, EnrpMessage, ListResponse, Presence, SctpTransport, ServerId, ServerInformation,
};
use sctp_user_core::interface::{from_socket_addr, without_interface};
use sctp_user_core::{Peer, Time, scope};

use super::audit::Audit;
use super::links::Link;
use super::{LATE, PeerServer};
use crate::channel::{ChannelId, Output, Protocol, udp_port};
use crate::plant::{Fault, is_planted};
use crate::reach::{DEFAULT_UDP_PORT, group_ways};
use crate::registrar::event::RegistrarEvent;
use crate::registrar::{Association, RegistrarCore};

impl RegistrarCore {
    // Heartbeats.

    /// Tells everybody that we live.
    pub(super) fn heartbeat_if_due(&mut self, now: Time) {
        let Some(config) = self.enrp_config() else { return };
        if self.enrp.next_heartbeat.is_none_or(|at| at > now) {
            return;
        }
        let cycle = config.heartbeat_cycle;
        let to_group = config.announce.is_some();
        // 12.5 % to both sides, so that registrars started together do not stay in step.
        let wait = cycle.mul_f64(self.rng.random_range(0.875..=1.125));
        self.enrp.next_heartbeat = Some(now + wait);
        if to_group {
            self.multicast_presence();
        }
        self.connect_fixed();
        self.look_after_orphans(now);
        // Who did not believe us, as another one had our identifier, may do so now.
        let unnamed = self.enrp.own_links().filter(|(_, link)| link.server().is_none());
        for channel in unnamed.map(|(channel, _)| channel).collect::<Vec<_>>() {
            self.send_presence_over(channel, ServerId::UNDEFINED, true);
        }
        for id in self.enrp.peers.keys().copied().collect::<Vec<_>>() {
            // One that is dead is still told, if it can be: it may have been cut off only.
            self.send_presence(now, id, false);
        }
    }

    fn multicast_presence(&mut self) {
        let info = ServerInformation {
            id: self.id,
            transport: SctpTransport::data_only(
                self.local.enrp_port,
                self.local.enrp_addrs.iter().map(|addr| without_interface(*addr)).collect(),
            ),
            udp_port: self.local.udp_port.filter(|port| *port != DEFAULT_UDP_PORT),
        };
        let presence = Presence {
            reply_required: false,
            checksum: Some(self.checksum_of(self.id)),
            info: Some(info),
        };
        let message = EnrpMessage {
            sender: self.id,
            receiver: ServerId::UNDEFINED,
            body: EnrpBody::Presence(presence),
        };
        match message.encode() {
            Ok(data) => {
                self.outputs.push_back(Output::Multicast { protocol: Protocol::Enrp, data })
            }
            Err(error) => tracing::debug!(%error, "no presence is sent to the group"),
        }
    }

    /// Tells a registrar that we live; the association is set up if there is none.
    pub(super) fn send_presence(&mut self, now: Time, to: ServerId, reply_required: bool) {
        let Some(peer) = self.enrp.peers.get(&to) else { return };
        match peer.channel {
            Some(channel) if peer.is_up => self.send_presence_over(channel, to, reply_required),
            // A presence is the first message over a new association anyway.
            _ => self.connect_peer(now, to),
        }
    }

    /// As [`send_presence`](Self::send_presence), over an association that is up.
    pub(super) fn send_presence_over(
        &mut self,
        channel: ChannelId,
        to: ServerId,
        reply_required: bool,
    ) {
        let Some(association) = self.associations.get(&channel) else { return };
        let addrs = association.local.iter().map(|addr| without_interface(*addr)).collect();
        let info = ServerInformation {
            id: self.id,
            transport: SctpTransport::data_only(association.local_port, addrs),
            udp_port: self.local.udp_port.filter(|port| *port != DEFAULT_UDP_PORT),
        };
        let checksum = Some(self.checksum_of(self.id));
        let presence = Presence { reply_required, checksum, info: Some(info) };
        self.send_enrp_over(channel, to, EnrpBody::Presence(presence));
    }

    /// The checksum over what a registrar owns. That includes the elements of a dead registrar
    /// that it has taken over, although they get their new home in slices: all registrars count
    /// them from the moment at which they hear of the takeover, so none needs an audit.
    pub(super) fn checksum_of(&self, id: ServerId) -> u16 {
        self.space.joint_checksum(self.enrp.work.moved_to(id).chain([id]))
    }

    // Presences of others.

    pub(super) fn on_presence(
        &mut self,
        now: Time,
        channel: ChannelId,
        sender: ServerId,
        presence: Presence,
    ) {
        let Some(association) = self.associations.get(&channel) else { return };
        // Only what the association shows is believed.
        let Some(info) = association.believe(sender, presence.info) else {
            self.stats.ignored_messages += 1;
            return;
        };
        let id = info.id;
        if id == self.id || id.is_undefined() {
            self.stats.ignored_messages += 1;
            return;
        }
        let ways = vec![association.peer.clone()];
        let told = self.enrp.links.get(&channel).and_then(Link::server);
        if told.is_some_and(|told| told != id) {
            // A registrar that has started anew is another one, over another association.
            self.stats.ignored_messages += 1;
            return;
        }
        let is_new = match self.enrp.peers.get_mut(&id) {
            // What comes over its own association counts, whoever had the identifier before.
            Some(peer)
                if peer.is_up && peer.channel != Some(channel) && !same_host(&peer.info, &info) =>
            {
                self.report(RegistrarEvent::DuplicateServer { server: id, channel });
                return;
            }
            Some(peer) => {
                peer.info = info;
                if !peer.ways.contains(&association.peer) && channel.is_incoming() {
                    // The registrar itself says where it is.
                    peer.ways.splice(0..0, ways);
                    peer.ways.truncate(4);
                }
                false
            }
            None => self.meet(now, info, ways),
        };
        if !self.bind_link(now, channel, id) {
            return;
        }
        self.enrp.buried.remove(&id);
        self.heard(now, id);
        if is_new {
            // RSPLIB knows us only when it has got ours.
            self.send_presence_over(channel, id, true);
            self.send_enrp(now, id, EnrpBody::ListRequest);
            self.choose_mentor(now, id);
        }
        if presence.reply_required {
            self.send_presence_over(channel, id, false);
        }
        if let Some(checksum) = presence.checksum {
            self.compare_checksum(now, id, checksum);
        }
    }

    /// Takes a registrar in; false when there is no room.
    fn meet(&mut self, now: Time, info: ServerInformation, ways: Vec<Peer>) -> bool {
        if !self.has_room_for(&ways) && !self.make_room_for_peer(now) {
            return false;
        }
        let id = info.id;
        let peer = PeerServer {
            info,
            ways,
            channel: None,
            is_up: false,
            waiting: VecDeque::new(),
            retry: now,
            last_heard: now,
            since: now,
            proven: false,
            asked: None,
            cursor: None,
            audit: Audit::default(),
            wanted_by: BTreeSet::new(),
        };
        self.enrp.peers.insert(id, peer);
        self.report(RegistrarEvent::PeerFound { server: id });
        true
    }

    /// Whether one more registrar may be known. Those that are configured have places of their own.
    fn has_room_for(&self, ways: &[Peer]) -> bool {
        let fixed = &self.enrp.fixed;
        let missing = fixed.iter().filter(|fixed| !self.is_known_at(fixed));
        let is_missing = missing.clone().any(|fixed| are_one(fixed, ways));
        let known = self.enrp.peers.len();
        match is_missing {
            true => known < self.max_peers().max(fixed.len()),
            false => known + missing.count() < self.max_peers(),
        }
    }

    /// Whether a configured registrar, which is reached in these ways, is known.
    pub(super) fn is_known_at(&self, fixed: &[Peer]) -> bool {
        self.enrp.peers.values().any(|peer| {
            peer.ways.iter().any(|way| fixed.contains(way))
                || peer.channel.is_some_and(|channel| {
                    let association = self.associations.get(&channel);
                    association.is_some_and(|a| fixed.iter().any(|way| a.is_at(way)))
                })
        })
    }

    /// One that has been known for a while, and still has not shown to be a registrar, makes room
    /// for another one. Those with elements come last.
    fn make_room_for_peer(&mut self, now: Time) -> bool {
        let Some(config) = self.enrp_config() else { return false };
        let patience = config.max_time_last_heard;
        let strange = self.enrp.peers.iter().filter(|(id, peer)| {
            !peer.proven
                && peer.since + patience <= now
                && !self.enrp.takeovers.contains_key(*id)
                && !self.enrp.fixed.iter().any(|fixed| are_one(fixed, &peer.ways))
        });
        let first = strange.min_by_key(|(id, peer)| (self.space.count_of_home(**id), peer.since));
        let Some(id) = first.map(|(id, _)| *id) else { return false };
        self.report(RegistrarEvent::PeerLost { server: id });
        self.on_agreement_impossible(now, id);
        self.forget_peer(id);
        true
    }

    /// A registrar has answered a question.
    pub(super) fn on_proven(&mut self, id: ServerId) {
        if let Some(peer) = self.enrp.peers.get_mut(&id) {
            peer.proven = true;
        }
    }

    /// A datagram came to the ENRP group. It may come from anybody, so it makes somebody known and
    /// proves nothing else.
    pub(in crate::registrar) fn on_enrp_datagram(&mut self, from: SocketAddr, data: &[u8]) {
        let Ok(message) = EnrpMessage::decode(data) else { return };
        let EnrpBody::Presence(Presence { info: Some(info), .. }) = message.body else { return };
        if info.id == self.id || info.id.is_undefined() {
            return;
        }
        if self.enrp.peers.contains_key(&info.id) {
            return;
        }
        let from = from_socket_addr(from).to_canonical();
        let ways = self.local.reach.peers(&[from], info.transport.port, info.udp_port);
        self.seek(ways);
    }

    /// Connects with somebody who may be a registrar; its presence will tell.
    fn seek(&mut self, ways: Vec<Peer>) {
        // What is sought at the same time is bounded, so that announces of registrars that do not
        // exist cost little.
        const MAX_SOUGHT: usize = 8;
        if ways.is_empty() {
            return;
        }
        let sought = self.enrp.own_links().filter(|(_, link)| *link == Link::Sought);
        if sought.count() >= MAX_SOUGHT || self.is_connected_with(&ways) {
            return;
        }
        let channel = self.connect(Protocol::Enrp, ways);
        self.enrp.links.insert(channel, Link::Sought);
    }

    fn is_connected_with(&self, ways: &[Peer]) -> bool {
        // Not those that came in and have said nothing: anybody can open thousands of them.
        let of_peers = self.enrp.peers.values().filter_map(|peer| peer.channel);
        let mut channels = self.enrp.own_links().map(|(channel, _)| channel).chain(of_peers);
        channels.any(|channel| {
            let attempt = self.attempts.get(&channel);
            attempt.is_some_and(|tried| tried.iter().any(|way| ways.contains(way)))
                || self.associations.get(&channel).is_some_and(|a| ways.iter().any(|w| a.is_at(w)))
        })
    }

    // Liveness.

    /// A registrar has said something over its association, so it lives.
    pub(super) fn heard(&mut self, now: Time, id: ServerId) {
        let Some(peer) = self.enrp.peers.get_mut(&id) else { return };
        peer.last_heard = now;
        peer.asked = None;
        self.cancel_takeover(id);
    }

    /// Registrars that are silent are asked, and those that do not answer are dead.
    pub(super) fn look_after_peers(&mut self, now: Time) {
        let Some(config) = self.enrp_config() else { return };
        let (last_heard, no_response) = (config.max_time_last_heard, config.max_time_no_response);
        for id in self.enrp.living() {
            let Some(peer) = self.enrp.peers.get_mut(&id) else { continue };
            match peer.asked {
                // The answer may wait to be read: this process stood still itself.
                Some(overdue) if overdue + LATE < now => peer.asked = Some(now + no_response),
                Some(overdue) if overdue <= now && !is_planted(Fault::NobodyDies) => {
                    self.on_peer_dead(now, id)
                }
                Some(_) => self.connect_peer(now, id),
                None if peer.last_heard + last_heard <= now => self.ask_whether_it_lives(now, id),
                None if !peer.waiting.is_empty() => self.connect_peer(now, id),
                None => {}
            }
        }
        self.enrp.forget_buried(now);
    }

    pub(super) fn ask_whether_it_lives(&mut self, now: Time, id: ServerId) {
        let Some(config) = self.enrp_config() else { return };
        let overdue = now + config.max_time_no_response;
        let Some(peer) = self.enrp.peers.get_mut(&id) else { return };
        peer.asked.get_or_insert(overdue);
        self.send_presence(now, id, true);
    }

    /// A registrar is dead as far as can be told from here.
    pub(super) fn on_peer_dead(&mut self, now: Time, id: ServerId) {
        let Some(peer) = self.enrp.peers.get_mut(&id) else { return };
        peer.asked = None;
        peer.waiting.clear();
        if let Some(channel) = peer.channel.take() {
            peer.is_up = false;
            self.enrp.links.remove(&channel);
            self.drop_channel(channel, "the registrar does not answer");
        }
        self.report(RegistrarEvent::PeerLost { server: id });
        self.enrp.bury(now, id);
        self.on_agreement_impossible(now, id);
        if self.space.count_of_home(id) == 0 {
            self.forget_peer(id);
        } else {
            self.begin_takeover(now, id);
        }
    }

    /// Nothing more is to be done about a registrar.
    pub(super) fn forget_peer(&mut self, id: ServerId) {
        self.enrp.takeovers.remove(&id);
        let Some(peer) = self.enrp.peers.remove(&id) else { return };
        if let Some(channel) = peer.channel {
            self.enrp.links.remove(&channel);
            self.drop_channel(channel, "the registrar is gone");
        }
        if self.enrp.mentor == Some(id) {
            self.enrp.mentor = None;
        }
    }

    // Lists.

    pub(super) fn on_list_request(&mut self, from: ServerId) {
        let servers = self.enrp.living().into_iter();
        let servers = servers.filter_map(|id| Some(self.enrp.peers.get(&id)?.info.clone()));
        let response = ListResponse { rejected: false, servers: servers.collect() };
        let channel = self.enrp.peers.get(&from).and_then(|peer| peer.channel);
        if let Some(channel) = channel {
            self.send_enrp_over(channel, from, EnrpBody::ListResponse(response));
        }
    }

    /// What others say is a reason to look there, and no more.
    pub(super) fn on_list_response(&mut self, now: Time, from: ServerId, response: ListResponse) {
        if response.rejected {
            return;
        }
        self.on_proven(from);
        self.on_listed(from, &response.servers);
        let most = self.max_peers();
        for server in response.servers.into_iter().take(most) {
            let known = server.id == self.id
                || self.enrp.peers.contains_key(&server.id)
                || self.enrp.buried.get(&server.id).is_some_and(|until| *until > now);
            if !known {
                let transport = &server.transport;
                let ways =
                    self.local.reach.peers(&transport.addrs, transport.port, server.udp_port);
                self.seek(ways);
            }
        }
    }

    /// The names of registrars have been looked up. What was found replaces what was found before;
    /// if nothing was found, the earlier result stays.
    pub fn set_named_peers(&mut self, mut peers: Vec<Peer>) {
        peers.retain(|peer| self.local.reach.includes(peer));
        let given = self.enrp.given;
        let mut fixed: Vec<Vec<Peer>> = self.enrp.fixed.iter().take(given).cloned().collect();
        for ways in group_ways(peers) {
            if !fixed.iter().any(|known| known.iter().any(|way| ways.contains(way))) {
                fixed.push(ways);
            }
        }
        if fixed.len() > given && fixed != self.enrp.fixed {
            self.enrp.fixed = fixed;
            // Attempts that go on are to places that may stand elsewhere in the list now.
            for link in self.enrp.links.values_mut() {
                if matches!(link, Link::Fixed(index) if *index >= given) {
                    *link = Link::Sought;
                }
            }
        }
        self.connect_fixed();
    }
}

/// Whether two lists of ways lead to the same registrar.
fn are_one(some: &[Peer], others: &[Peer]) -> bool {
    let same =
        |a: &Peer, b: &Peer| a.port == b.port && a.addrs.iter().any(|addr| b.addrs.contains(addr));
    some.iter().any(|a| others.iter().any(|b| same(a, b)))
}

/// Whether two registrars with one identifier can be the same one.
fn same_host(known: &ServerInformation, told: &ServerInformation) -> bool {
    known.transport.addrs.iter().any(|addr| told.transport.addrs.contains(addr))
}

impl Association {
    /// Whether the other end is at one of these addresses, at this port.
    pub(super) fn is_at(&self, way: &Peer) -> bool {
        self.peer.port == way.port && self.peer.addrs.iter().any(|addr| way.addrs.contains(addr))
    }

    /// What may be believed of where a registrar says it is: the addresses that the association
    /// has, at the port that the association has. `None` when nothing is left.
    pub(super) fn believe(
        &self,
        sender: ServerId,
        told: Option<ServerInformation>,
    ) -> Option<ServerInformation> {
        let shown: Vec<IpAddr> =
            self.peer.addrs.iter().map(|(addr, _)| addr.to_canonical()).collect();
        let port = udp_port(&self.peer);
        let udp_port = port.filter(|port| *port != DEFAULT_UDP_PORT && *port != 0);
        let Some(mut info) = told else {
            let transport = SctpTransport::data_only(self.peer.port, shown);
            return Some(ServerInformation { id: sender, transport, udp_port });
        };
        if info.transport.port != self.peer.port {
            return None;
        }
        let addrs = &mut info.transport.addrs;
        addrs.retain(|addr| scope(*addr).is_some() && shown.contains(&addr.to_canonical()));
        if addrs.is_empty() {
            // Behind a NAT it knows its private address only. Only encapsulated packets pass such
            // boxes, and with several addresses they do not.
            let translated = port.is_some() && shown.len() == 1;
            *addrs = shown.into_iter().filter(|_| translated).collect();
        }
        info.udp_port = udp_port;
        (!info.transport.addrs.is_empty()).then_some(info)
    }
}
