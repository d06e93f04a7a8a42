//! ENRP: several registrars keep one handlespace, and take over the elements of one that dies (RFC
//! 5353).
//!
//! | File | Subject |
//! |---|---|
//! | `links` | associations with other registrars |
//! | `peers` | who is there: presences, liveness, lists |
//! | `table` | the handlespace as others get it, in pages |
//! | `audit` | the handlespace of others as it is got: mentor, checksums, resynchronisation |
//! | `updates` | single changes, told and heard |
//! | `contest` | elements that two other registrars say to be the home of |
//! | `takeover` | who takes over a dead registrar |
//! | `work` | what is done in slices |
//! | `adopt` | elements of a registrar that was taken over |

mod adopt;
mod audit;
mod config;
mod contest;
mod links;
mod peers;
mod table;
mod takeover;
mod updates;
mod work;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rserpool_wire::numbers::ppid;
use rserpool_wire::{EnrpBody, EnrpMessage, OperationError, Reaction, ServerId, ServerInformation};
use sctp_user_core::{Duration, Peer, Time};

use super::event::RegistrarEvent;
use super::{Output, RegistrarCore};
use crate::channel::{ChannelId, ConnectFailure};
use adopt::Contacts;
use audit::Audit;
pub use config::{EnrpConfig, TakeoverRule};
use contest::Contests;
use links::Link;
use takeover::Takeover;
use work::Work;

/// What a registrar knows about the others.
#[derive(Debug, Default)]
pub(super) struct Enrp {
    /// When the start phase ends at the latest; `None` when it is over.
    starting: Option<Time>,
    /// The registrar that is asked for the whole handlespace at the start.
    mentor: Option<ServerId>,
    /// Registrars that told nothing when they were the mentor; empty when the start phase is over.
    refused: BTreeSet<ServerId>,
    peers: BTreeMap<ServerId, PeerServer>,
    /// The configured ways to registrars, whose identifiers may not be known yet.
    fixed: Vec<Vec<Peer>>,
    /// How many of them are given by address; the others stand behind names.
    given: usize,
    /// What was told of configured registrars that cannot be connected with.
    unreachable: Vec<(Peer, ConnectFailure)>,
    links: BTreeMap<ChannelId, Link>,
    takeovers: BTreeMap<ServerId, Takeover>,
    /// Registrars that died lately, and until when others may not bring them back.
    buried: BTreeMap<ServerId, Time>,
    /// The same, the earliest first.
    buried_until: VecDeque<(Time, ServerId)>,
    /// Registrars that own elements here, but that we have no contact with, and since when.
    orphans: BTreeMap<ServerId, Time>,
    pub(super) contacts: Contacts,
    contests: Contests,
    next_heartbeat: Option<Time>,
    work: Work,
}

/// Another registrar.
#[derive(Debug)]
struct PeerServer {
    info: ServerInformation,
    /// The ways to reach it, the preferred one first.
    ways: Vec<Peer>,
    /// The association with it, or the attempt to set one up.
    channel: Option<ChannelId>,
    /// The association is up.
    is_up: bool,
    /// What waits for the association.
    waiting: VecDeque<EnrpBody>,
    /// When the next attempt may be made.
    retry: Time,
    last_heard: Time,
    /// Since when it is known.
    since: Time,
    /// It has answered something that only a registrar answers. Anybody can say to live.
    proven: bool,
    /// It was asked whether it lives; when the answer is overdue.
    asked: Option<Time>,
    /// Where it is in the table that it gets from us.
    cursor: Option<Cursor>,
    audit: Audit,
    /// Who wants to take it over while it lives as far as we know. They get their answer when it
    /// has not answered us either.
    wanted_by: BTreeSet<ServerId>,
}

/// The last element of a table response.
#[derive(Clone, Debug)]
struct Cursor {
    own_children_only: bool,
    last: rserpool_handlespace::Cursor,
}

/// Messages that wait for one association with another registrar; more are dropped, and the next
/// audit makes up for it.
const MAX_WAITING: usize = 64;

/// What is told of registrars that cannot be connected with, before one of them can be.
const MAX_UNREACHABLE: usize = 64;

/// Pause between two attempts to connect with a registrar.
const RETRY: Duration = Duration::from_millis(500);

/// The pause while a registrar was asked whether it lives.
const RETRY_ASKED: Duration = Duration::from_millis(50);

/// How long a registrar that died is not believed to live because others say so.
const BURIED: Duration = Duration::from_secs(60);

/// Registrars that are remembered as dead.
const MAX_BURIED: usize = 4096;

/// Timers that are looked at later than this tell that this process stood still.
pub(super) const LATE: Duration = Duration::from_millis(250);

impl Enrp {
    pub(super) fn new(config: Option<&EnrpConfig>, now: Time, fixed: Vec<Vec<Peer>>) -> Self {
        let Some(config) = config else { return Enrp::default() };
        // A registrar that knows of nobody and hears of nobody has nobody to wait for.
        let alone = fixed.is_empty() && config.announce.is_none() && config.resolver.is_none();
        let starting = (!alone).then_some(now + config.mentor_discovery_timeout);
        let given = fixed.len();
        Enrp { starting, fixed, given, next_heartbeat: Some(now), ..Enrp::default() }
    }

    /// The start phase is over.
    pub(super) fn is_running(&self) -> bool {
        self.starting.is_none()
    }

    pub(super) fn peer_count(&self) -> usize {
        self.peers.len()
    }

    /// The associations and attempts that this registrar opened.
    fn own_links(&self) -> impl Iterator<Item = (ChannelId, Link)> {
        self.links.range(..ChannelId::incoming(0)).map(|(channel, link)| (*channel, *link))
    }

    /// A registrar has died; others may not bring it back for a while.
    fn bury(&mut self, now: Time, id: ServerId) {
        if self.buried_until.len() >= MAX_BURIED
            && let Some((_, first)) = self.buried_until.pop_front()
        {
            self.buried.remove(&first);
        }
        self.buried.insert(id, now + BURIED);
        self.buried_until.push_back((now + BURIED, id));
    }

    fn forget_buried(&mut self, now: Time) {
        while let Some(&(until, id)) = self.buried_until.front().filter(|(at, _)| *at <= now) {
            self.buried_until.pop_front();
            if self.buried.get(&id) == Some(&until) {
                self.buried.remove(&id);
            }
        }
    }

    /// All registrars that are not dead.
    fn living(&self) -> Vec<ServerId> {
        let dead = |id: &&ServerId| self.takeovers.contains_key(*id);
        self.peers.keys().filter(|id| !dead(id)).copied().collect()
    }
}

impl RegistrarCore {
    /// Registrars that may be known at the same time.
    pub(super) fn max_peers(&self) -> usize {
        self.enrp_config().map_or(0, |config| config.max_peers)
    }

    /// Whether another registrar is known.
    pub(super) fn knows(&self, id: ServerId) -> bool {
        self.enrp.peers.contains_key(&id)
    }

    /// The settings of ENRP; those of a registrar without are never looked at.
    fn enrp_config(&self) -> Option<&EnrpConfig> {
        self.config.enrp.as_ref()
    }

    /// When something of ENRP is due.
    pub(super) fn enrp_deadline(&self) -> Option<Time> {
        let config = self.enrp_config()?;
        if !self.enrp.work.is_empty() {
            return Some(Time::ZERO);
        }
        // Those that are dead wait for the end of their takeovers.
        let dead = |id: &ServerId| self.enrp.takeovers.contains_key(id);
        let living = self.enrp.peers.iter().filter(|(id, _)| !dead(id));
        let peers = living.flat_map(|(_, peer)| {
            let silent = match peer.asked {
                Some(overdue) => overdue,
                None => peer.last_heard + config.max_time_last_heard,
            };
            let wanted = !peer.waiting.is_empty() || peer.asked.is_some();
            let may = peer.channel.is_none() && !peer.ways.is_empty();
            [Some(silent), (wanted && may).then_some(peer.retry)]
        });
        let audits = self.enrp.peers.values().map(|peer| peer.audit.overdue());
        let takeovers = self.enrp.takeovers.values().map(|takeover| Some(takeover.expiry()));
        let asked = self.enrp.contacts.deadline();
        let rest = [self.enrp.starting, self.enrp.next_heartbeat, asked];
        peers.chain(audits).chain(takeovers).chain(rest).flatten().min()
    }

    pub(super) fn on_enrp_timeout(&mut self, now: Time) {
        if self.config.enrp.is_none() {
            return;
        }
        self.go_on_working(now);
        if self.enrp.starting.is_some_and(|until| until <= now) {
            self.end_start_phase(None);
        }
        self.heartbeat_if_due(now);
        self.look_after_peers(now);
        self.look_after_audits(now);
        self.look_after_takeovers(now);
    }

    /// `mentor` is the registrar that has told the whole handlespace.
    fn end_start_phase(&mut self, mentor: Option<ServerId>) {
        if self.enrp.starting.take().is_some() {
            self.enrp.refused.clear();
            let others = self.enrp.peers.len();
            self.report(RegistrarEvent::Started { mentor, others });
        }
    }

    pub(super) fn on_enrp_message(&mut self, now: Time, channel: ChannelId, data: &[u8]) {
        match EnrpMessage::decode(data) {
            Ok(message) if message.sender == self.id || message.sender.is_undefined() => {
                // Our own identifier, or none: nothing that can be answered.
                self.stats.ignored_messages += 1;
            }
            Ok(message) => self.on_enrp(now, channel, message),
            Err(error) => {
                self.stats.invalid_messages += 1;
                let problem = error.problem;
                self.report(RegistrarEvent::InvalidMessage { channel, problem });
                if let (Reaction::Report(error), Some(ids)) =
                    (error.reaction, EnrpMessage::ids(data))
                {
                    self.send_enrp_error(channel, ids, error);
                }
            }
        }
    }

    fn on_enrp(&mut self, now: Time, channel: ChannelId, message: EnrpMessage) {
        let EnrpMessage { sender, body, .. } = message;
        self.used(now, channel);
        if let EnrpBody::Presence(presence) = body {
            return self.on_presence(now, channel, sender, presence);
        }
        // Whoever has not said where it is, or says to be somebody else than before, gets no more
        // than a refusal.
        let known = self.enrp.links.get(&channel).and_then(Link::server) == Some(sender);
        if !known {
            return self.refuse_enrp(channel, sender, &body);
        }
        self.heard(now, sender);
        match body {
            EnrpBody::Presence(_) => {}
            EnrpBody::HandleTableRequest(request) => {
                self.on_table_request(sender, request.own_children_only)
            }
            EnrpBody::HandleTableResponse(response) => {
                self.on_table_response(now, sender, response)
            }
            EnrpBody::HandleUpdate(update) => self.on_handle_update(now, channel, sender, update),
            EnrpBody::ListRequest => self.on_list_request(sender),
            EnrpBody::ListResponse(response) => self.on_list_response(now, sender, response),
            EnrpBody::InitTakeover(target) => self.on_init_takeover(now, sender, target),
            EnrpBody::InitTakeoverAck(target) => self.on_init_takeover_ack(now, sender, target),
            EnrpBody::TakeoverServer(target) => self.on_takeover_server(now, sender, target),
            EnrpBody::Error(error) => {
                tracing::debug!(%sender, %error, "a registrar refused a message");
            }
        }
    }

    /// Sends a message to a registrar, over its association or as soon as there is one.
    fn send_enrp(&mut self, now: Time, to: ServerId, body: EnrpBody) {
        let Some(peer) = self.enrp.peers.get_mut(&to) else { return };
        match peer.channel {
            Some(channel) if peer.is_up => self.send_enrp_over(channel, to, body),
            _ => {
                if peer.waiting.len() < MAX_WAITING {
                    peer.waiting.push_back(body);
                }
                self.connect_peer(now, to);
            }
        }
    }

    fn send_enrp_over(&mut self, channel: ChannelId, to: ServerId, body: EnrpBody) {
        let message = EnrpMessage { sender: self.id, receiver: to, body };
        match message.encode() {
            Ok(data) => self.outputs.push_back(Output::Send { channel, ppid: ppid::ENRP, data }),
            Err(error) => tracing::debug!(%to, %error, "an ENRP message was dropped"),
        }
    }

    /// As RSPLIB, with the identifiers of the faulty message as they are.
    fn send_enrp_error(
        &mut self,
        channel: ChannelId,
        (sender, receiver): (ServerId, ServerId),
        error: OperationError,
    ) {
        let message = EnrpMessage { sender, receiver, body: EnrpBody::Error(error) };
        if let Ok(data) = message.encode() {
            self.outputs.push_back(Output::Send { channel, ppid: ppid::ENRP, data });
        }
    }
}
