//! Associations with other registrars.

use rserpool_wire::{EnrpBody, HandleTableResponse, ListResponse, ServerId};
use sctp_user_core::{Peer, Time};

use super::{MAX_UNREACHABLE, MAX_WAITING, RETRY, RETRY_ASKED};
use crate::channel::{ChannelId, ConnectFailure, Protocol};
use crate::plant::{Fault, is_planted};
use crate::registrar::{RegistrarCore, RegistrarEvent};

/// Whose association it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Link {
    /// It came in, and has not said whose it is.
    Unknown,
    /// With a configured registrar, by its place in the list, whose identifier is not known yet.
    Fixed(usize),
    /// With somebody who may be a registrar, as the group or another registrar says.
    Sought,
    /// With this registrar.
    Server(ServerId),
}

impl Link {
    pub(super) fn server(&self) -> Option<ServerId> {
        match self {
            Link::Server(id) => Some(*id),
            Link::Unknown | Link::Fixed(_) | Link::Sought => None,
        }
    }
}

impl RegistrarCore {
    /// Sees to it that there will be an association with a registrar.
    pub(super) fn connect_peer(&mut self, now: Time, id: ServerId) {
        let Some(peer) = self.enrp.peers.get_mut(&id) else { return };
        if peer.channel.is_some() || peer.retry > now || peer.ways.is_empty() {
            return;
        }
        let ways = peer.ways.clone();
        let channel = self.connect(Protocol::Enrp, ways);
        self.enrp.links.insert(channel, Link::Server(id));
        if let Some(peer) = self.enrp.peers.get_mut(&id) {
            (peer.channel, peer.is_up) = (Some(channel), false);
            peer.retry = now + RETRY;
        }
    }

    /// Connects with the configured registrars that no association leads to.
    pub(super) fn connect_fixed(&mut self) {
        for index in 0..self.enrp.fixed.len() {
            let Some(ways) = self.enrp.fixed.get(index).cloned() else { continue };
            let trying = self.enrp.links.values().any(|link| *link == Link::Fixed(index));
            // A registrar that is known is connected with as the others are.
            if !trying && !self.is_known_at(&ways) {
                let channel = self.connect(Protocol::Enrp, ways);
                self.enrp.links.insert(channel, Link::Fixed(index));
            }
        }
    }

    /// An association for ENRP is up; it stands among all associations already.
    pub(in crate::registrar) fn on_enrp_up(&mut self, now: Time, channel: ChannelId) {
        let link = *self.enrp.links.entry(channel).or_insert(Link::Unknown);
        match link {
            Link::Unknown => {}
            Link::Fixed(_) | Link::Sought => {
                self.reached(link);
                self.send_presence_over(channel, ServerId::UNDEFINED, true)
            }
            Link::Server(id) => self.on_peer_up(now, channel, id),
        }
    }

    fn on_peer_up(&mut self, now: Time, channel: ChannelId, id: ServerId) {
        let Some(peer) = self.enrp.peers.get_mut(&id) else {
            return self.shut_down(channel);
        };
        if peer.channel != Some(channel) {
            return self.shut_down(channel);
        }
        peer.is_up = true;
        let waiting = std::mem::take(&mut peer.waiting);
        // Whoever had the identifier lately may have been elsewhere.
        let shown = self.associations.get(&channel).and_then(|a| a.believe(id, None));
        if let Some(info) = shown {
            peer.info = info;
        }
        // The first thing that it hears is who we are.
        self.send_presence_over(channel, id, true);
        for body in waiting {
            self.send_enrp(now, id, body);
        }
    }

    /// Whether an association is known to be with another registrar.
    pub(in crate::registrar) fn is_with_registrar(&self, channel: ChannelId) -> bool {
        self.enrp.links.get(&channel).is_some_and(|link| link.server().is_some())
    }

    /// An attempt did not succeed.
    pub(in crate::registrar) fn on_enrp_failed(
        &mut self,
        now: Time,
        channel: ChannelId,
        failure: &ConnectFailure,
    ) {
        let id = match self.enrp.links.remove(&channel) {
            Some(Link::Server(id)) => id,
            Some(Link::Fixed(index)) => return self.tell_unreachable(index, failure),
            Some(Link::Unknown | Link::Sought) | None => return,
        };
        let Some(peer) = self.enrp.peers.get_mut(&id).filter(|p| p.channel == Some(channel)) else {
            return;
        };
        (peer.channel, peer.is_up) = (None, false);
        tracing::debug!(%id, %failure, "a registrar cannot be connected with");
        if peer.asked.is_none() {
            return;
        }
        // Its host says that nobody is there. One that was asked has answered by that.
        if failure.is_refusal() {
            return self.on_peer_dead(now, id);
        }
        // An association that was shut down ends here a moment before its ports are free again.
        peer.retry = peer.retry.min(now + RETRY_ASKED);
    }

    /// The first way to a configured registrar.
    fn fixed_way(&self, index: usize) -> Option<&Peer> {
        self.enrp.fixed.get(index)?.first()
    }

    /// Tells that a configured registrar cannot be connected with, and why, unless that was told.
    fn tell_unreachable(&mut self, index: usize, failure: &ConnectFailure) {
        let Some(peer) = self.fixed_way(index).cloned() else { return };
        let told = (peer, failure.clone());
        if self.enrp.unreachable.len() < MAX_UNREACHABLE && !self.enrp.unreachable.contains(&told) {
            self.enrp.unreachable.push(told.clone());
            let (peer, failure) = told;
            self.report(RegistrarEvent::PeerUnreachable { peer, failure });
        }
    }

    /// A configured registrar was connected with, so what goes wrong from now on is news.
    fn reached(&mut self, link: Link) {
        let Link::Fixed(index) = link else { return };
        if let Some(peer) = self.fixed_way(index).cloned() {
            self.enrp.unreachable.retain(|(told, _)| *told != peer);
        }
    }

    /// An association has ended.
    pub(in crate::registrar) fn on_enrp_down(&mut self, now: Time, channel: ChannelId) {
        let Some(Link::Server(id)) = self.enrp.links.remove(&channel) else { return };
        let Some(peer) = self.enrp.peers.get_mut(&id).filter(|p| p.channel == Some(channel)) else {
            return;
        };
        if is_planted(Fault::LossUnnoticed) {
            return;
        }
        (peer.channel, peer.is_up) = (None, false);
        peer.cursor = None;
        peer.audit.interrupt();
        peer.retry = now;
        // Whether it lives shows when it is connected with once more.
        self.ask_whether_it_lives(now, id);
    }

    /// An association is that of this registrar, as its presence said and its addresses showed.
    /// False when the registrar is not known.
    pub(super) fn bind_link(&mut self, now: Time, channel: ChannelId, id: ServerId) -> bool {
        let Some(peer) = self.enrp.peers.get(&id) else { return false };
        let (before, was_up) = (peer.channel, peer.is_up);
        self.enrp.links.insert(channel, Link::Server(id));
        match before {
            Some(known) if known == channel => {}
            // Calls that crossed. Both ends keep the one that the smaller identifier opened.
            Some(known) if was_up => {
                let ours_counts = self.id < id;
                if channel.is_incoming() == known.is_incoming() {
                    // The registrar has opened another one, so it does not use the old one.
                    self.use_link(now, channel, id);
                    self.shut_down(known);
                } else if channel.is_incoming() == ours_counts {
                    self.shut_down(channel);
                } else {
                    self.use_link(now, channel, id);
                    self.shut_down(known);
                }
            }
            Some(attempt) => {
                self.use_link(now, channel, id);
                // The attempt has become needless.
                self.enrp.links.remove(&attempt);
                self.drop_channel(attempt, "not needed");
            }
            None => self.use_link(now, channel, id),
        }
        true
    }

    fn use_link(&mut self, now: Time, channel: ChannelId, id: ServerId) {
        let Some(peer) = self.enrp.peers.get_mut(&id) else { return };
        (peer.channel, peer.is_up) = (Some(channel), true);
        let waiting = std::mem::take(&mut peer.waiting);
        for body in waiting.into_iter().take(MAX_WAITING) {
            self.send_enrp(now, id, body);
        }
    }

    /// The answer to a request of somebody who is not known: a refusal.
    pub(super) fn refuse_enrp(&mut self, channel: ChannelId, sender: ServerId, body: &EnrpBody) {
        self.stats.ignored_messages += 1;
        let refusal = match body {
            EnrpBody::HandleTableRequest(_) => {
                let (more, pools) = (false, Vec::new());
                EnrpBody::HandleTableResponse(HandleTableResponse { rejected: true, more, pools })
            }
            EnrpBody::ListRequest => {
                EnrpBody::ListResponse(ListResponse { rejected: true, servers: Vec::new() })
            }
            _ => return,
        };
        self.send_enrp_over(channel, sender, refusal);
    }
}
