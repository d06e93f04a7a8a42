//! Tests of the core in virtual time, by topic.

mod announce;
mod hostile;
mod monitoring;
mod registration;
mod resolution;

use std::time::Duration;

use rserpool_wire::{
    AsapMessage, CauseCode, Deregistration, EndpointKeepAlive, EndpointKeepAliveAck,
    EndpointUnreachable, HandleResolution, Life, OperationError, PeId, Policy, PoolElement,
    PoolHandle, Registration, Resolution, SctpTransport, TransportUse,
};

use super::*;

const SERVER: ServerId = ServerId(0x1111_1111);

/// A registrar without announces, its outputs and the time.
struct Lab {
    core: Core,
    now: Time,
    outputs: Vec<Output>,
    next_association: u64,
}

impl Lab {
    fn new() -> Self {
        Lab::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config { server_id: Some(SERVER), announce: None, ..Config::default() };
        change(&mut config);
        let core = Core::new(config, Advertised::default(), [3; 32], Time::ZERO).unwrap();
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
    fn up(&mut self, addrs: &[&str]) -> AssociationId {
        self.up_from(addrs, Some(9899))
    }

    fn up_from(&mut self, addrs: &[&str], udp_port: Option<u16>) -> AssociationId {
        let association = AssociationId(self.next_association);
        self.next_association += 1;
        let addrs = addrs.iter().map(|addr| addr.parse().unwrap()).collect();
        self.handle(Input::AssociationUp {
            association,
            peer: Peer { addrs, port: 5000, udp_port },
        });
        association
    }

    fn down(&mut self, association: AssociationId) {
        self.handle(Input::AssociationDown { association });
    }

    fn bytes(&mut self, association: AssociationId, ppid: u32, data: &[u8]) {
        self.handle(Input::Message { association, ppid, data });
    }

    fn message(&mut self, association: AssociationId, message: AsapMessage) {
        let data = message.encode().unwrap();
        self.bytes(association, ppid::ASAP, &data);
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
    fn sent(&mut self) -> Vec<(AssociationId, AsapMessage)> {
        let mut sent = Vec::new();
        for output in std::mem::take(&mut self.outputs) {
            if let Output::Send { association, ppid, data } = output {
                assert_eq!(ppid, ppid::ASAP);
                sent.push((association, AsapMessage::decode(&data).unwrap()));
            }
        }
        sent
    }

    /// The one message that went to `association`, and nothing went elsewhere.
    fn reply(&mut self, association: AssociationId) -> AsapMessage {
        let mut sent = self.sent();
        assert_eq!(sent.len(), 1, "{sent:?}");
        let (to, message) = sent.remove(0);
        assert_eq!(to, association);
        message
    }

    fn events(&mut self) -> Vec<Event> {
        let outputs = std::mem::take(&mut self.outputs);
        outputs
            .into_iter()
            .filter_map(|o| if let Output::Event(e) = o { Some(e) } else { None })
            .collect()
    }

    fn aborted(&self) -> Vec<AssociationId> {
        let abort = |o: &Output| {
            if let Output::Abort { association, .. } = o { Some(*association) } else { None }
        };
        self.outputs.iter().filter_map(abort).collect()
    }

    /// Registers and gives the cause of a refusal.
    fn register(
        &mut self,
        association: AssociationId,
        pool: &str,
        element: PoolElement,
    ) -> Result<(), CauseCode> {
        let id = element.id;
        self.message(
            association,
            AsapMessage::Registration(Registration { pool: handle(pool), element }),
        );
        match self.reply(association) {
            AsapMessage::RegistrationResponse(response) => {
                assert_eq!((response.pool, response.id), (handle(pool), id));
                assert_eq!(response.rejected, response.error.is_some());
                response.error.map_or(Ok(()), |error| Err(error.code()))
            }
            other => panic!("{other:?}"),
        }
    }

    fn deregister(&mut self, association: AssociationId, pool: &str, id: u32) {
        let request = Deregistration { pool: handle(pool), id: PeId(id) };
        self.message(association, AsapMessage::Deregistration(request));
        match self.reply(association) {
            AsapMessage::DeregistrationResponse(response) => assert!(!response.rejected),
            other => panic!("{other:?}"),
        }
    }

    fn resolve_items(
        &mut self,
        association: AssociationId,
        pool: &str,
        items: Option<u32>,
    ) -> Result<Vec<PoolElement>, CauseCode> {
        let request = HandleResolution { subscribe: false, pool: handle(pool), items };
        self.message(association, AsapMessage::HandleResolution(request));
        match self.reply(association) {
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
    fn resolve(&mut self, association: AssociationId, pool: &str, items: Option<u32>) -> Vec<u32> {
        let elements = self.resolve_items(association, pool, items).unwrap_or_default();
        elements.into_iter().map(|element| element.id.0).collect()
    }

    fn report_unreachable(&mut self, association: AssociationId, pool: &str, id: u32) {
        let report = EndpointUnreachable { pool: handle(pool), id: PeId(id) };
        self.message(association, AsapMessage::EndpointUnreachable(report));
    }

    fn ack(&mut self, association: AssociationId, pool: &str, id: u32) {
        let ack = EndpointKeepAliveAck { pool: handle(pool), id: PeId(id) };
        self.message(association, AsapMessage::EndpointKeepAliveAck(ack));
    }

    /// Identifiers of the members of a pool.
    fn members(&self, pool: &str) -> Vec<u32> {
        let pool = self.core.handlespace().pool(&handle(pool));
        pool.into_iter().flat_map(|pool| pool.members()).map(|(id, _)| id.0).collect()
    }
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
