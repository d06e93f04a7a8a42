//! Somebody who knows the scope, belongs to nobody, and means harm.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

use bytes::Bytes;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;
use rserpool_wire::numbers::ppid;
use rserpool_wire::{
    AsapMessage, Deregistration, EndpointKeepAlive, EndpointKeepAliveAck, EndpointUnreachable,
    EnrpBody, EnrpMessage, HandleResolution, HandleTableRequest, HandleTableResponse, HandleUpdate,
    Life, ListResponse, PeId, Policy, PoolElement, PoolEntry, PoolHandle, Presence, Registration,
    SctpTransport, ServerId, ServerInformation, Transport, TransportUse, UpdateAction,
};
use sctp_user_core::{Duration, Peer, Time};

use super::machine::Noticed;
use super::server::SERVICE_PORT;
use crate::channel::{ChannelId, Core, Input, Output, Protocol};

/// What a stranger knows of a scope.
#[derive(Clone, Debug, Default)]
pub struct Knowledge {
    /// The registrars: identifier, ASAP port, ENRP port.
    pub registrars: Vec<(ServerId, Peer, Peer)>,
    /// The elements: pool, identifier, ASAP port.
    pub elements: Vec<(PoolHandle, PeId, Peer)>,
    /// All pools.
    pub pools: Vec<PoolHandle>,
}

/// A program that connects with all members of a scope, and sends them messages that claim, forge,
/// withdraw and confuse.
#[derive(Debug)]
pub struct Stranger {
    rng: ChaCha12Rng,
    known: Knowledge,
    /// The identifier that it has as a registrar.
    id: ServerId,
    /// Where it is.
    addr: IpAddr,
    enrp_port: u16,
    /// Its associations and attempts; whether they are up.
    links: BTreeMap<ChannelId, Link>,
    next_channel: u64,
    next_deed: Time,
    outputs: VecDeque<Output<Noticed>>,
}

#[derive(Clone, Copy, Debug)]
struct Link {
    protocol: Protocol,
    up: bool,
    /// The identifier that it claims over this association.
    id: ServerId,
    /// The other end is an element.
    to_element: bool,
}

/// Associations that it has at the same time.
const MAX_LINKS: usize = 10;
/// Longest pause between two deeds.
const MAX_PAUSE: Duration = Duration::from_millis(400);

impl Stranger {
    /// A stranger at `addr` that accepts associations of registrars at `enrp_port`.
    pub fn new(now: Time, addr: IpAddr, enrp_port: u16, known: Knowledge, seed: [u8; 32]) -> Self {
        let mut rng = ChaCha12Rng::from_seed(seed);
        let id = ServerId(rng.random_range(1..=u32::MAX));
        Stranger {
            rng,
            known,
            id,
            addr,
            enrp_port,
            links: BTreeMap::new(),
            next_channel: 0,
            next_deed: now,
            outputs: VecDeque::new(),
        }
    }

    fn below(&mut self, n: usize) -> usize {
        self.rng.random_range(0..n)
    }

    fn a_registrar(&mut self) -> ServerId {
        match self.known.registrars.is_empty() || self.rng.random_bool(0.2) {
            true => self.id,
            false => {
                let index = self.below(self.known.registrars.len());
                self.known.registrars[index].0
            }
        }
    }

    fn a_pool(&mut self) -> PoolHandle {
        let index = self.below(self.known.pools.len());
        self.known.pools[index].clone()
    }

    /// An element that exists, or one of its own.
    fn an_element(&mut self) -> (PoolHandle, PeId) {
        if self.known.elements.is_empty() || self.rng.random_bool(0.2) {
            let id = PeId(self.rng.random_range(1..8));
            return (self.a_pool(), id);
        }
        let index = self.below(self.known.elements.len());
        let (pool, id, _) = &self.known.elements[index];
        (pool.clone(), *id)
    }

    fn a_policy(&mut self) -> Policy {
        match self.below(3) {
            0 => Policy::Random,
            1 => Policy::LeastUsed { load: self.rng.random() },
            _ => Policy::RoundRobin,
        }
    }

    /// An element as it would register it, or tell other registrars of it.
    fn a_description(&mut self, id: PeId, home: ServerId, for_registrars: bool) -> PoolElement {
        let addr = match self.below(3) {
            0 if !self.known.elements.is_empty() => {
                let index = self.below(self.known.elements.len());
                self.known.elements[index].2.addrs.first().map_or(self.addr, |(addr, _)| *addr)
            }
            _ => self.addr,
        };
        let asap_port = if self.rng.random_bool(0.5) { 5000 } else { self.enrp_port };
        PoolElement {
            id,
            home,
            life: Life(self.rng.random_range(1..7_200_000)),
            user_transport: Transport::Sctp(SctpTransport {
                port: SERVICE_PORT,
                transport_use: TransportUse::DataControl,
                addrs: vec![addr],
            }),
            policy: self.a_policy(),
            asap_transport: for_registrars.then(|| SctpTransport::data_only(asap_port, vec![addr])),
            udp_port: None,
        }
    }

    /// Connects with somebody.
    fn connect(&mut self) {
        let elements = self.known.elements.len();
        let registrars = self.known.registrars.len();
        if registrars == 0 {
            return;
        }
        let to_element = elements > 0 && self.rng.random_bool(0.2);
        let (protocol, peer) = if to_element {
            let index = self.below(elements);
            (Protocol::Asap, self.known.elements[index].2.clone())
        } else {
            let index = self.below(registrars);
            let (_, asap, enrp) = &self.known.registrars[index];
            match self.rng.random_bool(0.5) {
                true => (Protocol::Asap, asap.clone()),
                false => (Protocol::Enrp, enrp.clone()),
            }
        };
        self.next_channel += 1;
        let channel = ChannelId::outgoing(self.next_channel);
        let id = if self.rng.random_bool(0.7) { self.id } else { self.a_registrar() };
        self.links.insert(channel, Link { protocol, up: false, id, to_element });
        self.outputs.push_back(Output::Connect { channel, protocol, ways: vec![peer] });
    }

    /// Says something over one of its associations.
    fn speak(&mut self) {
        let up: Vec<ChannelId> =
            self.links.iter().filter(|(_, link)| link.up).map(|(channel, _)| *channel).collect();
        if up.is_empty() {
            return self.connect();
        }
        let channel = up[self.below(up.len())];
        let Some(link) = self.links.get(&channel).copied() else { return };
        if self.rng.random_bool(0.05) {
            return self.send(channel, link.protocol.ppid(), None);
        }
        let data = match link.protocol {
            Protocol::Asap => self.an_asap_message(link).encode().ok(),
            Protocol::Enrp => {
                let body = self.an_enrp_message(link);
                EnrpMessage { sender: link.id, receiver: ServerId::UNDEFINED, body }.encode().ok()
            }
        };
        if data.is_some() {
            self.send(channel, link.protocol.ppid(), data);
        }
    }

    /// Sends a message, or bytes that are none.
    fn send(&mut self, channel: ChannelId, ppid: u32, data: Option<Bytes>) {
        let data = data.unwrap_or_else(|| {
            let mut bytes = vec![0; self.rng.random_range(1..60)];
            self.rng.fill(&mut bytes[..]);
            // A type that exists.
            bytes[0] &= 0x0f;
            bytes.into()
        });
        self.outputs.push_back(Output::Send { channel, ppid, data });
    }

    fn an_asap_message(&mut self, link: Link) -> AsapMessage {
        let (pool, id) = self.an_element();
        if link.to_element {
            return AsapMessage::EndpointKeepAlive(EndpointKeepAlive {
                home: true,
                server: link.id,
                pool,
                id: Some(id),
            });
        }
        match self.below(6) {
            0 | 1 => {
                let element = self.a_description(id, ServerId::UNDEFINED, false);
                AsapMessage::Registration(Registration { pool, element })
            }
            2 => AsapMessage::Deregistration(Deregistration { pool, id }),
            3 => AsapMessage::EndpointUnreachable(EndpointUnreachable { pool, id }),
            4 => AsapMessage::EndpointKeepAliveAck(EndpointKeepAliveAck { pool, id }),
            _ => AsapMessage::HandleResolution(HandleResolution {
                subscribe: self.rng.random_bool(0.5),
                pool,
                items: None,
            }),
        }
    }

    fn an_enrp_message(&mut self, link: Link) -> EnrpBody {
        let target = self.a_registrar();
        let (pool, id) = self.an_element();
        match self.below(12) {
            0..=2 => self.a_presence(link.id),
            3 | 4 => {
                let home = if self.rng.random_bool(0.7) { link.id } else { target };
                let element = self.a_description(id, home, true);
                let action = match self.rng.random_bool(0.7) {
                    true => UpdateAction::AddPe,
                    false => UpdateAction::DelPe,
                };
                let takeover_suggested = self.rng.random_bool(0.2);
                EnrpBody::HandleUpdate(HandleUpdate { takeover_suggested, action, pool, element })
            }
            5 => EnrpBody::InitTakeover(target),
            6 => EnrpBody::InitTakeoverAck(target),
            7 => EnrpBody::TakeoverServer(target),
            8 => {
                let servers = vec![self.an_information(target)];
                EnrpBody::ListResponse(ListResponse { rejected: false, servers })
            }
            9 => EnrpBody::ListRequest,
            10 => {
                let own_children_only = self.rng.random_bool(0.5);
                EnrpBody::HandleTableRequest(HandleTableRequest { own_children_only })
            }
            _ => self.a_table(link.id),
        }
    }

    fn a_presence(&mut self, id: ServerId) -> EnrpBody {
        let info = self.an_information(id);
        EnrpBody::Presence(Presence {
            reply_required: self.rng.random_bool(0.3),
            checksum: self.rng.random_bool(0.5).then(|| self.rng.random()),
            info: Some(info),
        })
    }

    fn an_information(&mut self, id: ServerId) -> ServerInformation {
        let transport = SctpTransport::data_only(self.enrp_port, vec![self.addr]);
        ServerInformation { id, transport, udp_port: None }
    }

    fn a_table(&mut self, home: ServerId) -> EnrpBody {
        let mut pools = Vec::new();
        for _ in 0..self.below(4) {
            let (pool, id) = self.an_element();
            let element = self.a_description(id, home, true);
            pools.push(PoolEntry { pool, elements: vec![element] });
        }
        let more = self.rng.random_bool(0.2);
        EnrpBody::HandleTableResponse(HandleTableResponse { rejected: false, more, pools })
    }

    /// Sends what makes other registrars take it for one.
    fn introduce(&mut self, channel: ChannelId, id: ServerId) {
        let body = self.a_presence(id);
        let presence = EnrpMessage { sender: id, receiver: ServerId::UNDEFINED, body };
        if let Ok(data) = presence.encode() {
            self.send(channel, ppid::ENRP, Some(data));
        }
    }

    /// What others say is answered, where that keeps them busy.
    fn on_message(&mut self, channel: ChannelId, ppid: u32, data: &[u8]) {
        let Some(link) = self.links.get(&channel).copied() else { return };
        if ppid != ppid::ENRP || self.rng.random_bool(0.3) {
            return;
        }
        let Ok(message) = EnrpMessage::decode(data) else { return };
        match message.body {
            EnrpBody::Presence(presence) if presence.reply_required => {
                self.introduce(channel, link.id)
            }
            EnrpBody::HandleTableRequest(_) | EnrpBody::ListRequest => {
                let body = self.a_table(link.id);
                let table = EnrpMessage { sender: link.id, receiver: message.sender, body };
                let data = table.encode().ok();
                self.send(channel, ppid::ENRP, data);
            }
            _ => {}
        }
    }
}

impl Core for Stranger {
    type Event = Noticed;

    fn handle(&mut self, now: Time, input: Input<'_>) {
        match input {
            Input::Up { channel, protocol, .. } => {
                let (up, id) = (true, self.id);
                let link = Link { protocol, up, id, to_element: false };
                let link = self.links.entry(channel).or_insert(link);
                link.up = true;
                let (protocol, id) = (link.protocol, link.id);
                if protocol == Protocol::Enrp {
                    self.introduce(channel, id);
                }
            }
            Input::Failed { channel, .. } | Input::Down { channel } => {
                self.links.remove(&channel);
            }
            Input::Message { channel, ppid, data } => self.on_message(channel, ppid, data),
            Input::Timeout if self.next_deed <= now => {
                self.next_deed = now + self.rng.random_range(Duration::ZERO..MAX_PAUSE);
                if self.links.len() < MAX_LINKS && self.rng.random_bool(0.3) {
                    self.connect();
                } else {
                    self.speak();
                }
            }
            _ => {}
        }
    }

    fn poll_output(&mut self) -> Option<Output<Noticed>> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Time> {
        Some(self.next_deed)
    }
}
