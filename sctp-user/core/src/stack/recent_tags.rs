//! Remembers verification tags for a while after their associations have ended.

use std::collections::{HashMap, VecDeque};

use crate::time::{Duration, Time};

/// Verification tags of associations that ended a short while ago. They must not be given out again
/// yet, and packets that carry them are late.
#[derive(Debug, Default)]
pub(super) struct RecentTags {
    order: VecDeque<(Time, u32, Option<PeerTag>)>,
    endings: HashMap<u32, Ending>,
    /// The other ends of these associations: whether the association ended gracefully, and when.
    /// After a collision of INITs, a cookie may carry another tag of ours, but the peer's tag still
    /// finds the association here.
    peers: HashMap<PeerTag, (bool, Time)>,
}

/// How an association ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ending {
    /// By a graceful shutdown.
    pub(super) gracefully: bool,
    /// How long our SHUTDOWN COMPLETE may be under way. Zero when the peer sent it.
    pub(super) complete_under_way: Duration,
    /// When our SHUTDOWN COMPLETE was last sent.
    pub(super) complete_sent: Time,
}

/// Local port, port of the peer, tag of the peer.
pub(super) type PeerTag = (u16, u16, u32);

/// How many tags are remembered at most. If there are more, the oldest are forgotten early.
const MAX_RECENT_TAGS: usize = 65_536;

impl RecentTags {
    /// Whether the tag is remembered.
    pub(super) fn contains(&self, tag: u32) -> bool {
        self.endings.contains_key(&tag)
    }

    /// Remembers a tag until `until`. `peer` is the other end and the time when the association
    /// ended.
    pub(super) fn add(
        &mut self,
        until: Time,
        tag: u32,
        peer: Option<(PeerTag, Time)>,
        ending: Ending,
    ) {
        if self.endings.insert(tag, ending).is_none() {
            self.peers.extend(peer.map(|(peer, ended)| (peer, (ending.gracefully, ended))));
            self.order.push_back((until, tag, peer.map(|(peer, _)| peer)));
        }
        if self.order.len() > MAX_RECENT_TAGS {
            self.forget_oldest();
        }
    }

    /// Forgets what need not be remembered any more.
    pub(super) fn expire(&mut self, now: Time) {
        while self.order.front().is_some_and(|(until, ..)| *until <= now) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((_, tag, peer)) = self.order.pop_front() {
            self.endings.remove(&tag);
            if let Some(peer) = peer {
                self.peers.remove(&peer);
            }
        }
    }

    /// Whether the association that ended recently, and in which the peer had this tag, ended by a
    /// graceful shutdown. `None` when there was none, or when the cookie was `made` after that end:
    /// a peer may use its tag again, though it should not.
    pub(super) fn peer_ended_gracefully(&self, peer: PeerTag, made: Time) -> Option<bool> {
        self.peers.get(&peer).filter(|(_, ended)| made < *ended).map(|(graceful, _)| *graceful)
    }

    /// Whether the association that had this tag until recently ended by a graceful shutdown.
    /// `None` for other tags.
    pub(super) fn ended_gracefully(&mut self, now: Time, tag: u32) -> Option<bool> {
        self.expire(now);
        self.endings.get(&tag).map(|ending| ending.gracefully)
    }

    /// Whether our SHUTDOWN COMPLETE for the association that had this tag may still be under way.
    /// An ABORT could overtake it, and the peer would then count an association as lost that ended
    /// well.
    pub(super) fn complete_is_under_way(&self, now: Time, tag: u32) -> bool {
        self.endings
            .get(&tag)
            .is_some_and(|ending| now.since(ending.complete_sent) < ending.complete_under_way)
    }

    /// Notes that another SHUTDOWN COMPLETE is sent because the peer did not get the last one.
    pub(super) fn complete_again(&mut self, now: Time, tag: u32) {
        if let Some(ending) = self.endings.get_mut(&tag) {
            ending.complete_sent = now;
        }
    }
}
