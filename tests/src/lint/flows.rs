//! Associations as captures show them: two flows of packets, which ports and tags identify, and the
//! offers of both ends.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use super::data::Sent;
use super::events::{Seen, TooBig};
use super::packet::{
    ABORT, COOKIE_ACK, COOKIE_ECHO, DATA, HEARTBEAT, HEARTBEAT_ACK, INIT, INIT_ACK, Packet, SACK,
    SHUTDOWN, SHUTDOWN_ACK, SHUTDOWN_COMPLETE,
};
use super::paths::Beat;
use super::timing::Timing;
use super::window::Window;
use super::{Judge, closing, data, handshake, paths, sack};

/// Identifies a flow: all packets with these ports and this tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) from: u16,
    pub(super) to: u16,
    pub(super) tag: u32,
}

impl Key {
    pub(super) fn of(packet: &Packet) -> Key {
        Key { from: packet.src_port, to: packet.dst_port, tag: packet.tag }
    }

    /// The flow of packets with this tag to the sender of `packet`.
    pub(super) fn towards_sender(packet: &Packet, tag: u32) -> Key {
        Key { from: packet.dst_port, to: packet.src_port, tag }
    }
}

/// What an end said about itself in INIT or INIT ACK.
#[derive(Debug, Default)]
pub(super) struct Offer {
    pub(super) by_init: bool,
    pub(super) by_ack: bool,
    pub(super) window: u32,
    pub(super) outbound: u16,
    pub(super) inbound: u16,
    pub(super) initial_tsn: u32,
    /// When it first said so, µs since 1970.
    pub(super) since: Option<u64>,
    pub(super) listed: BTreeSet<IpAddr>,
    /// The sources and destinations of these packets.
    pub(super) sources: BTreeSet<IpAddr>,
    pub(super) destinations: BTreeSet<IpAddr>,
    /// The other flow, if this was an answer (INIT ACK).
    pub(super) peer: Option<Key>,
    pub(super) cookies: BTreeSet<Vec<u8>>,
    /// The INIT without the fields that may change when it is repeated.
    pub(super) init: Option<Vec<u8>>,
    /// The types and values of the INIT's parameters that RFC 9260 does not know and that ask for a
    /// report.
    pub(super) to_report: Vec<(u16, Vec<u8>)>,
}

/// The packets that one end sends in an association.
#[derive(Debug, Default)]
pub(super) struct Flow {
    /// The flow of the other end.
    pub(super) link: Option<Key>,
    /// Types of the chunks so far.
    pub(super) kinds: BTreeSet<u8>,
    pub(super) sent: Sent,
    pub(super) window: Window,
    pub(super) timing: Timing,
    pub(super) beats: HashMap<Vec<u8>, Beat>,
    /// Destinations that have answered a HEARTBEAT.
    pub(super) confirmed: BTreeSet<IpAddr>,
    /// The sources of COOKIE ECHOs.
    pub(super) echoed_from: BTreeSet<IpAddr>,
    /// The views in each capture, one for each IP version.
    views: BTreeMap<(usize, bool), View>,
}

/// The packets of one IP version in one capture. A host has one socket for each version, and
/// packets that leave by different sockets may come in any order.
#[derive(Debug, Default)]
pub(super) struct View {
    pub(super) cum_tsn: Option<u32>,
    pub(super) shut_down: bool,
    pub(super) aborted: bool,
    pub(super) completed: bool,
    /// The UDP port that the packets come from; `Some(None)` if they are directly in IP.
    pub(super) udp_port: Option<Option<u16>>,
}

impl Flow {
    pub(super) fn view(&mut self, seen: &Seen) -> &mut View {
        self.views.entry((seen.file, seen.src.is_ipv6())).or_default()
    }
}

/// All flows.
#[derive(Debug, Default)]
pub(super) struct Flows {
    /// The offers. Each has the key of the flow to the end that made it.
    pub(super) offers: HashMap<Key, Offer>,
    pub(super) flows: HashMap<Key, Flow>,
    pub(super) too_big: Vec<TooBig>,
    /// Destinations that have answered a HEARTBEAT or that the user has given, each with the ports
    /// of the association. They stay proven when a peer restarts.
    pub(super) proven: BTreeSet<(u16, u16, IpAddr)>,
    /// Ports of associations that began before [`Options::from`](super::Options::from). Restarts of
    /// these have the same ports.
    cut: BTreeSet<(u16, u16)>,
}

impl Flows {
    /// Judges a packet in the light of earlier packets.
    pub(super) fn take(&mut self, judge: &mut Judge<'_>, seen: &Seen) {
        let packet = &seen.packet;
        let Some(first) = packet.first() else { return };
        judge.whole = judge.options.from == 0;
        if first.kind == INIT {
            handshake::init(self, judge, seen, first.value);
            return;
        }
        let ending = |kind| kind == ABORT || kind == SHUTDOWN_COMPLETE;
        if packet.chunks().any(|chunk| ending(chunk.kind) && chunk.is_reflected()) {
            closing::reflected(self, judge, seen);
            return;
        }
        let key = Key::of(packet);
        self.link(key, first.kind);
        judge.whole = self.is_whole(key, judge.options.from);
        if !judge.whole {
            self.cut.extend([(key.from, key.to), (key.to, key.from)]);
        }
        handshake::tag(self, judge, seen, key);
        handshake::order(self, judge, seen, key);
        paths::addresses(self, judge, seen, key);
        paths::unconfirmed(self, judge, seen, key);
        closing::order(self, judge, seen, key);
        for chunk in packet.chunks() {
            match chunk.kind {
                INIT_ACK => handshake::init_ack(self, judge, seen, chunk.value),
                COOKIE_ECHO => handshake::cookie_echo(self, judge, seen, key, chunk.value),
                COOKIE_ACK => handshake::cookie_ack(self, judge, seen, key),
                DATA => data::take(self, judge, seen, key, chunk),
                SACK => sack::take(self, judge, seen, key, chunk.value),
                HEARTBEAT => paths::heartbeat(self, seen, key, chunk.value),
                HEARTBEAT_ACK => paths::heartbeat_ack(self, judge, seen, key, chunk.value),
                SHUTDOWN | SHUTDOWN_ACK | SHUTDOWN_COMPLETE | ABORT => {
                    closing::take(self, judge, seen, key, chunk);
                }
                _ => {}
            }
            self.flow(key).kinds.insert(chunk.kind);
        }
    }

    pub(super) fn too_big(&mut self, message: TooBig) {
        self.too_big.push(message);
    }

    /// Judges what can only be judged at the end.
    pub(super) fn end(&mut self, judge: &mut Judge<'_>) {
        for (key, flow) in &self.flows {
            judge.whole = self.is_whole(*key, judge.options.from);
            data::end(judge, &flow.sent);
            flow.timing.end(judge);
        }
    }

    /// The number of associations whose offers were captured, and the number of DATA chunks.
    pub(super) fn count(&self) -> (usize, usize) {
        let linked = self.flows.values().filter(|flow| flow.link.is_some()).count();
        (linked / 2, self.flows.values().map(|flow| flow.sent.chunks.len()).sum())
    }

    pub(super) fn flow(&mut self, key: Key) -> &mut Flow {
        self.flows.entry(key).or_default()
    }

    /// Whether the association began after `from`, as far as the captures show.
    fn is_whole(&self, key: Key, from: u64) -> bool {
        let late = |key: &Key| self.offers.get(key).is_some_and(|offer| offer.since >= Some(from));
        from == 0
            || (late(&key)
                && self.other(key).is_none_or(|other| late(&other))
                && !self.cut.contains(&(key.from, key.to)))
    }

    /// The flow in the other direction.
    pub(super) fn other(&self, key: Key) -> Option<Key> {
        self.flows.get(&key)?.link
    }

    /// The offer of the end that sends this flow.
    pub(super) fn offer_of_sender(&self, key: Key) -> Option<&Offer> {
        self.offers.get(&self.other(key)?)
    }

    /// Joins two flows if one uses the tag that an INIT ACK offered to the other.
    fn link(&mut self, key: Key, first: u8) {
        if first == INIT_ACK || first == ABORT || self.other(key).is_some() {
            return;
        }
        let Some(offer) = self.offers.get(&key) else { return };
        let Some(other) = offer.peer else { return };
        let (tsn, window) = (offer.initial_tsn, offer.window);
        let Some((other_tsn, other_window)) =
            self.offers.get(&other).map(|o| (o.initial_tsn, o.window))
        else {
            return;
        };
        for (key, link, tsn, window) in
            [(key, other, other_tsn, window), (other, key, tsn, other_window)]
        {
            let flow = self.flow(key);
            flow.link = Some(link);
            if flow.sent.begin(tsn) {
                flow.window = Window::new(window);
            }
        }
    }
}
