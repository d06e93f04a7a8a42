//! Tests of the core in virtual time, by topic.

mod announce;
mod checks;
mod claims;
mod enrp;
mod hostile;
mod hostile_enrp;
mod limits;
mod monitoring;
mod odd_input;
mod ownership;
mod registration;
mod resolution;
mod scale;
mod starting;
mod subscriptions;
mod takeover;

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use rserpool_wire::{
    AsapMessage, CauseCode, Deregistration, EndpointKeepAlive, EndpointKeepAliveAck,
    EndpointUnreachable, HandleResolution, Life, OperationError, PeId, Policy, PoolElement,
    PoolHandle, Registration, Resolution, SctpTransport, TransportUse,
};
use sctp_user_core::Encap;

use super::*;

const SERVER: ServerId = ServerId(0x1111_1111);

/// A registrar without announces, its outputs and the time.
struct Lab {
    core: RegistrarCore,
    now: Time,
    outputs: Vec<Output>,
    next_association: u64,
}

impl Lab {
    fn new() -> Self {
        Lab::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut RegistrarConfig)) -> Self {
        let mut config = RegistrarConfig {
            server_id: Some(SERVER),
            announce: None,
            keep_alive_jitter: 0.0,
            ..RegistrarConfig::default()
        };
        change(&mut config);
        let core = RegistrarCore::new(config, Local::default(), [3; 32], Time::ZERO).unwrap();
        Lab { core, now: Time::ZERO, outputs: Vec::new(), next_association: 1 }
    }

    fn handle(&mut self, input: Input<'_>) {
        self.core.handle(self.now, input);
        while let Some(output) = self.core.poll_output() {
            self.outputs.push(output);
        }
        self.core.handlespace().verify().unwrap();
    }

    /// An association from these addresses, SCTP port 5000, UDP port 9899.
    fn up(&mut self, addrs: &[&str]) -> ChannelId {
        self.up_from(addrs, Some(9899))
    }

    fn up_from(&mut self, addrs: &[&str], udp_port: Option<u16>) -> ChannelId {
        self.up_at(Protocol::Asap, peer(addrs, udp_port))
    }

    fn up_at(&mut self, protocol: Protocol, peer: Peer) -> ChannelId {
        let channel = ChannelId::incoming(self.next_association);
        self.next_association += 1;
        let (local, local_port) = (Vec::new(), protocol.default_port());
        self.handle(Input::Up { channel, protocol, peer, local, local_port });
        channel
    }

    fn down(&mut self, channel: ChannelId) {
        self.handle(Input::Down { channel });
    }

    fn bytes(&mut self, channel: ChannelId, ppid: u32, data: &[u8]) {
        self.handle(Input::Message { channel, ppid, data });
    }

    fn message(&mut self, channel: ChannelId, message: AsapMessage) {
        let data = message.encode().unwrap();
        self.bytes(channel, ppid::ASAP, &data);
    }

    /// Lets time pass, with every timeout at its very moment.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(next) = self.core.poll_timeout().filter(|next| *next <= end) {
            self.now = next.max(self.now);
            self.handle(Input::Timeout);
        }
        self.now = end;
        self.handle(Input::Timeout);
    }

    /// Takes what was sent so far, decoded.
    fn sent(&mut self) -> Vec<(ChannelId, AsapMessage)> {
        let mut sent = Vec::new();
        for output in std::mem::take(&mut self.outputs) {
            if let Output::Send { channel, ppid, data } = output {
                assert_eq!(ppid, ppid::ASAP);
                sent.push((channel, AsapMessage::decode(&data).unwrap()));
            }
        }
        sent
    }

    /// The one message that went to `association`, and nothing went elsewhere.
    fn reply(&mut self, channel: ChannelId) -> AsapMessage {
        let mut sent = self.sent();
        assert_eq!(sent.len(), 1, "{sent:?}");
        let (to, message) = sent.remove(0);
        assert_eq!(to, channel);
        message
    }

    fn events(&mut self) -> Vec<RegistrarEvent> {
        let outputs = std::mem::take(&mut self.outputs);
        outputs
            .into_iter()
            .filter_map(|o| if let Output::Event(e) = o { Some(e) } else { None })
            .collect()
    }

    fn aborted(&self) -> Vec<ChannelId> {
        let abort = |o: &Output| {
            if let Output::Abort { channel, .. } = o { Some(*channel) } else { None }
        };
        self.outputs.iter().filter_map(abort).collect()
    }

    /// Registers and gives the cause of a refusal.
    fn register(
        &mut self,
        channel: ChannelId,
        pool: &str,
        element: PoolElement,
    ) -> Result<(), CauseCode> {
        let id = element.id;
        self.message(
            channel,
            AsapMessage::Registration(Registration { pool: handle(pool), element }),
        );
        match self.reply(channel) {
            AsapMessage::RegistrationResponse(response) => {
                assert_eq!((response.pool, response.id), (handle(pool), id));
                assert_eq!(response.rejected, response.error.is_some());
                response.error.map_or(Ok(()), |error| Err(error.code()))
            }
            other => panic!("{other:?}"),
        }
    }

    fn deregister(&mut self, channel: ChannelId, pool: &str, id: u32) {
        let request = Deregistration { pool: handle(pool), id: PeId(id) };
        self.message(channel, AsapMessage::Deregistration(request));
        match self.reply(channel) {
            AsapMessage::DeregistrationResponse(response) => assert!(!response.rejected),
            other => panic!("{other:?}"),
        }
    }

    fn resolve_items(
        &mut self,
        channel: ChannelId,
        pool: &str,
        items: Option<u32>,
    ) -> Result<Vec<PoolElement>, CauseCode> {
        let request = HandleResolution { subscribe: false, pool: handle(pool), items };
        self.message(channel, AsapMessage::HandleResolution(request));
        match self.reply(channel) {
            AsapMessage::HandleResolutionResponse(response) => {
                assert_eq!(response.pool, handle(pool));
                match response.resolution {
                    Resolution::Elements { policy, elements } => {
                        assert_eq!(
                            policy.as_ref(),
                            elements.first().map(|element| &element.policy)
                        );
                        assert!(policy.is_some());
                        Ok(elements)
                    }
                    Resolution::Error(error) => Err(error.code()),
                }
            }
            other => panic!("{other:?}"),
        }
    }

    /// Identifiers in the answer to a resolution.
    fn resolve(&mut self, channel: ChannelId, pool: &str, items: Option<u32>) -> Vec<u32> {
        let elements = self.resolve_items(channel, pool, items).unwrap_or_default();
        elements.into_iter().map(|element| element.id.0).collect()
    }

    fn report_unreachable(&mut self, channel: ChannelId, pool: &str, id: u32) {
        let report = EndpointUnreachable { pool: handle(pool), id: PeId(id) };
        self.message(channel, AsapMessage::EndpointUnreachable(report));
    }

    fn ack(&mut self, channel: ChannelId, pool: &str, id: u32) {
        let ack = EndpointKeepAliveAck { pool: handle(pool), id: PeId(id) };
        self.message(channel, AsapMessage::EndpointKeepAliveAck(ack));
    }

    /// Identifiers of the members of a pool.
    fn members(&self, pool: &str) -> Vec<u32> {
        let pool = self.core.handlespace().pool(&handle(pool));
        pool.into_iter().flat_map(|pool| pool.members()).map(|(id, _)| id.0).collect()
    }
}

/// The end of an association at SCTP port 5000.
fn peer(addrs: &[&str], udp_port: Option<u16>) -> Peer {
    let encap = udp_port.map_or(Encap::Native, |remote_port| Encap::Udp { remote_port });
    Peer { addrs: addrs.iter().map(|addr| (addr.parse().unwrap(), encap)).collect(), port: 5000 }
}

fn handle(name: &str) -> PoolHandle {
    PoolHandle::new(name).unwrap()
}

/// An element at 10.0.0.1, port 7, with control channel, round robin, life 90 s.
fn element(id: u32) -> PoolElement {
    element_at(id, &["10.0.0.1"])
}

fn element_at(id: u32, addrs: &[&str]) -> PoolElement {
    PoolElement {
        id: PeId(id),
        home: ServerId::UNDEFINED,
        life: Life(90_000),
        user_transport: Transport::Sctp(SctpTransport {
            port: 7,
            transport_use: TransportUse::DataControl,
            addrs: addrs.iter().map(|addr| addr.parse().unwrap()).collect(),
        }),
        policy: Policy::RoundRobin,
        asap_transport: None,
        udp_port: None,
    }
}

fn error_code(message: AsapMessage) -> CauseCode {
    match message {
        AsapMessage::Error(error) => error.code(),
        other => panic!("{other:?}"),
    }
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
