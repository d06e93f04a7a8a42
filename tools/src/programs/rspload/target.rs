//! The registrar under load, and associations with it.

use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use rserpool_wire::numbers::{port, ppid};
use rserpool_wire::{
    AsapMessage, EndpointKeepAlive, EndpointKeepAliveAck, HandleResolution, Life, PeId, Policy,
    PoolElement, PoolHandle, Registration, SctpTransport, ServerId, Transport, TransportUse,
};
use sctp_udp_encap::Port;
use sctp_user::{AssocConfig, Association, Message, Peer, Stack};
use tokio::time::Instant;

use super::options::Options;
use crate::cli;
use crate::programs::stack;

/// How long setting an association up may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// The ways to the registrar, from each own address.
#[derive(Debug)]
pub(super) struct Target {
    from: Vec<(Stack, Peer, Option<Peer>)>,
    next: AtomicUsize,
}

impl Target {
    /// Opens the stacks, and sees whether the registrar is there.
    ///
    /// # Errors
    /// A sentence for the user.
    pub(super) async fn open(options: &Options) -> anyhow::Result<Target> {
        let own = cli::resolve(&options.own).await?;
        let addrs: Vec<Vec<IpAddr>> = match own.is_empty() {
            true => vec![Vec::new()],
            false => own.into_iter().map(|addr| vec![addr]).collect(),
        };
        let registrar = options.registrar.as_ref().context("which registrar? (--registrar=)")?;
        let mut from = Vec::new();
        for addrs in addrs {
            let stack = stack::open(&options.common.link, &addrs, Port::Any)?;
            let asap = stack::peers(&stack, registrar, port::ASAP).await?.into_iter().next();
            let enrp = match &options.peer {
                Some(peer) => stack::peers(&stack, peer, port::ENRP).await?.into_iter().next(),
                None => None,
            };
            let asap = asap.context("the registrar has no address")?;
            match tokio::time::timeout(CONNECT_LIMIT, stack.connect(&asap)).await {
                Ok(Ok(association)) => association.shutdown().await?,
                Ok(Err(error)) => {
                    return Err(error).context(format!("no registrar was reached at {registrar}"));
                }
                Err(_) => {
                    let advice = options.common.link.advice();
                    bail!("no registrar answers at {registrar} within 10 s{advice}");
                }
            }
            from.push((stack, asap, enrp));
        }
        Ok(Target { from, next: AtomicUsize::new(0) })
    }

    /// An association for ASAP, from the next own address; when there is none within 10 s, `None`.
    pub(super) async fn connect(
        &self,
        change: impl FnOnce(&mut AssocConfig),
    ) -> Option<Association> {
        self.connect_to(change, |(_, asap, _)| Some(asap)).await
    }

    /// An association for ENRP.
    pub(super) async fn connect_enrp(&self) -> Option<Association> {
        self.connect_to(|_| {}, |(_, _, enrp)| enrp.as_ref()).await
    }

    /// Whether it is known where ENRP is served.
    pub(super) fn has_enrp(&self) -> bool {
        self.from.iter().any(|(_, _, enrp)| enrp.is_some())
    }

    async fn connect_to(
        &self,
        change: impl FnOnce(&mut AssocConfig),
        peer: impl FnOnce(&(Stack, Peer, Option<Peer>)) -> Option<&Peer>,
    ) -> Option<Association> {
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        let from = self.from.get(next % self.from.len())?;
        let mut config = from.0.assoc_config();
        change(&mut config);
        let connect = from.0.connect_with(peer(from)?, config);
        tokio::time::timeout(CONNECT_LIMIT, connect).await.ok()?.ok()
    }

    /// Ends all associations at once.
    pub(super) async fn abort(&self) {
        for (stack, _, _) in &self.from {
            stack.abort("the load has ended").await;
        }
    }
}

/// Waits until then; a future for `select!`.
pub(super) async fn until(end: Instant) {
    tokio::time::sleep_until(end).await;
}

/// An ASAP message for an association.
pub(super) fn asap(message: &AsapMessage) -> anyhow::Result<Message> {
    Ok(message_of(message.encode().context("a message cannot be encoded")?))
}

/// Encoded ASAP.
pub(super) fn message_of(data: Bytes) -> Message {
    Message::new(0, ppid::ASAP, data)
}

/// A resolution that asks for so many elements.
pub(super) fn resolution(pool: &PoolHandle, items: u32) -> AsapMessage {
    let (pool, items) = (pool.clone(), Some(items));
    AsapMessage::HandleResolution(HandleResolution { subscribe: false, pool, items })
}

/// The registration of an element that is served where the association is.
pub(super) fn registration(association: &Association, pool: PoolHandle, id: PeId) -> AsapMessage {
    let element = PoolElement {
        id,
        home: ServerId::UNDEFINED,
        life: Life::INFINITE,
        user_transport: Transport::Sctp(SctpTransport {
            port: association.local_port(),
            transport_use: TransportUse::DataOnly,
            addrs: association.local_addrs(),
        }),
        policy: Policy::RoundRobin,
        asap_transport: None,
        udp_port: association.local_udp_port().filter(|port| *port != 0),
    };
    AsapMessage::Registration(Registration { pool, element })
}

/// Answers a keep-alive for the element that it names.
pub(super) async fn answer(
    association: &Association,
    keep_alive: EndpointKeepAlive,
) -> anyhow::Result<()> {
    let EndpointKeepAlive { pool, id: Some(id), .. } = keep_alive else { return Ok(()) };
    let ack = AsapMessage::EndpointKeepAliveAck(EndpointKeepAliveAck { pool, id });
    association.send(asap(&ack)?).await.context("the association is lost")
}
