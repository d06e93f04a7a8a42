//! The ENRP side: asks as a registrar does, and answers what a registrar has to answer, so that
//! nobody in the scope waits for this program.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use anyhow::{Context, bail};
use rserpool_wire::numbers::ppid;
use rserpool_wire::{
    EnrpBody, EnrpMessage, HandleTableRequest, HandleTableResponse, ListResponse, PeId,
    PoolElement, PoolHandle, Presence, SctpTransport, ServerId, ServerInformation,
};
use sctp_user::{Association, Message};
use tokio::time::Instant;

/// The checksum of no pool elements.
const NOTHING_OWNED: u16 = 0xffff;
/// Time between two signs of life. For a registrar of RSPLIB, whoever is silent for 5 s is dead.
const HEARTBEAT: Duration = Duration::from_secs(2);
/// A registrar that names more pool elements than this is not believed.
const MAX_ELEMENTS: usize = 1_000_000;
/// How many answers in a row may bring nothing new and say that more is to come.
const MAX_IDLE_ANSWERS: u32 = 3;

/// An association with a registrar.
pub(super) struct Talk {
    association: Association,
    own: ServerId,
    /// Who the registrar says it is.
    registrar: Option<ServerInformation>,
    timeout: Duration,
}

/// Pool elements by pool.
pub(super) type Pools = BTreeMap<PoolHandle, BTreeMap<PeId, PoolElement>>;

/// Everything that a registrar told.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Told {
    /// This program, as it introduces itself.
    pub(super) own: ServerInformation,
    pub(super) registrar: ServerInformation,
    /// The list of registrars, in which this program may be, too.
    pub(super) list: Vec<ServerInformation>,
    pub(super) pools: Pools,
    /// What each part of the table brought.
    pub(super) parts: Vec<Part>,
    /// When the list came.
    pub(super) heard: SystemTime,
}

impl Told {
    /// The registrars that the registrar knows, without this program.
    pub(super) fn peers(&self) -> impl Iterator<Item = &ServerInformation> {
        self.list.iter().filter(|peer| peer.id != self.own.id)
    }
}

/// A part of the table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Part {
    /// Pools and elements in it.
    pub(super) pools: usize,
    pub(super) elements: usize,
    /// Pools and elements that are known with it.
    pub(super) all_pools: usize,
    pub(super) all_elements: usize,
}

impl Talk {
    /// Begins to talk under the identifier `own`; 0 stands for 1. Each answer may take `timeout`.
    pub(super) fn new(association: Association, own: u32, timeout: Duration) -> Talk {
        Talk { association, own: ServerId(own.max(1)), registrar: None, timeout }
    }

    /// Asks for everything that the registrar knows.
    ///
    /// # Errors
    /// A sentence for the user.
    pub(super) async fn ask(&mut self) -> anyhow::Result<Told> {
        self.send_presence(true).await?;
        self.send(EnrpBody::ListRequest).await?;
        self.request_table().await?;
        let (mut pools, mut count, mut idle) = (Pools::new(), 0, 0);
        let mut parts = Vec::new();
        let (mut table_done, mut servers, mut heard) = (false, None, SystemTime::UNIX_EPOCH);
        let mut overdue = Instant::now() + self.timeout;
        while !table_done || servers.is_none() || self.registrar.is_none() {
            let Ok(body) = tokio::time::timeout_at(overdue, self.next()).await else {
                bail!("it does not answer within {} ms (--timeout=)", self.timeout.as_millis());
            };
            match body? {
                EnrpBody::HandleTableResponse(response) if response.rejected => {
                    bail!("it refuses the request")
                }
                EnrpBody::HandleTableResponse(response) => {
                    let before = count;
                    let (named, mut elements) = (response.pools.len(), 0);
                    for entry in response.pools {
                        let pool = pools.entry(entry.pool).or_default();
                        for element in entry.elements {
                            elements += 1;
                            count += usize::from(pool.insert(element.id, element).is_none());
                        }
                    }
                    let (all_pools, all_elements) = (pools.len(), count);
                    parts.push(Part { pools: named, elements, all_pools, all_elements });
                    idle = if count == before { idle + 1 } else { 0 };
                    if count > MAX_ELEMENTS || (response.more && idle > MAX_IDLE_ANSWERS) {
                        bail!("its answers have no end");
                    }
                    table_done = !response.more;
                    if response.more {
                        self.request_table().await?;
                    }
                    overdue = Instant::now() + self.timeout;
                }
                EnrpBody::ListResponse(ListResponse { servers: list, .. }) => {
                    (servers, heard) = (Some(list), SystemTime::now());
                }
                _ => {}
            }
        }
        let registrar = self.registrar.clone().context("it does not say who it is")?;
        let (own, list) = (self.own_information(), servers.unwrap_or_default());
        Ok(Told { own, registrar, list, pools, parts, heard })
    }

    /// Waits while other registrars see that this one lives.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub(super) async fn wait(&mut self, time: Duration) -> anyhow::Result<()> {
        let end = Instant::now() + time;
        loop {
            let beat = (Instant::now() + HEARTBEAT).min(end);
            while let Ok(body) = tokio::time::timeout_at(beat, self.next()).await {
                body?;
            }
            if beat == end {
                return Ok(());
            }
            self.send_presence(false).await?;
        }
    }

    /// Ends the association.
    pub(super) async fn end(self) {
        let _ = self.association.shutdown().await;
    }

    /// Waits for the next message, and answers it if it needs an answer.
    async fn next(&mut self) -> anyhow::Result<EnrpBody> {
        let received = self.association.recv_message().await;
        let received = received.context("the association is lost")?;
        let Some(received) = received else {
            bail!("it ended the association; is this the port for other registrars (ENRP)?");
        };
        if received.ppid != ppid::ENRP {
            bail!("it does not speak ENRP; is this the port for other registrars?");
        }
        let message = EnrpMessage::decode(&received.data).context("it sent a wrong message")?;
        let from = message.sender;
        match &message.body {
            EnrpBody::Presence(presence) => {
                let reply = presence.reply_required;
                let info = presence.info.clone().filter(|info| info.id == from);
                self.registrar = Some(info.unwrap_or_else(|| self.seen(from)));
                if reply {
                    self.send_presence(false).await?;
                }
            }
            EnrpBody::ListRequest => {
                let (rejected, servers) = (false, Vec::new());
                self.send(EnrpBody::ListResponse(ListResponse { rejected, servers })).await?;
            }
            EnrpBody::HandleTableRequest(request) => {
                // This program owns nothing, and is no mentor.
                let rejected = !request.own_children_only;
                let (more, pools) = (false, Vec::new());
                let response = HandleTableResponse { rejected, more, pools };
                self.send(EnrpBody::HandleTableResponse(response)).await?;
            }
            // Takeovers are up to the others. They must not wait for this program.
            EnrpBody::InitTakeover(target) if *target != self.own => {
                self.send(EnrpBody::InitTakeoverAck(*target)).await?;
            }
            EnrpBody::InitTakeover(_) | EnrpBody::TakeoverServer(_) => {
                self.send_presence(false).await?;
            }
            EnrpBody::Error(error) => bail!("it refuses a message: {error}"),
            _ => {}
        }
        Ok(message.body)
    }

    /// What the association shows of the registrar.
    fn seen(&self, id: ServerId) -> ServerInformation {
        let addrs = self.association.peer_addrs().iter().map(|addr| addr.remote).collect();
        let transport = SctpTransport::data_only(self.association.peer_port(), addrs);
        ServerInformation { id, transport, udp_port: None }
    }

    async fn request_table(&self) -> anyhow::Result<()> {
        let request = HandleTableRequest { own_children_only: false };
        self.send(EnrpBody::HandleTableRequest(request)).await
    }

    fn own_information(&self) -> ServerInformation {
        let association = &self.association;
        let (port, addrs) = (association.local_port(), association.local_addrs());
        ServerInformation {
            id: self.own,
            transport: SctpTransport::data_only(port, addrs),
            udp_port: association.local_udp_port().filter(|port| *port != 0),
        }
    }

    async fn send_presence(&self, reply_required: bool) -> anyhow::Result<()> {
        let info = Some(self.own_information());
        let presence = Presence { reply_required, checksum: Some(NOTHING_OWNED), info };
        self.send(EnrpBody::Presence(presence)).await
    }

    async fn send(&self, body: EnrpBody) -> anyhow::Result<()> {
        let receiver = self.registrar.as_ref().map_or(ServerId::UNDEFINED, |r| r.id);
        let message = EnrpMessage { sender: self.own, receiver, body };
        let data = message.encode().context("a message cannot be encoded")?;
        self.association
            .send(Message::new(0, ppid::ENRP, data))
            .await
            .context("the association is lost")
    }
}
