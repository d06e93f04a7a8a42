//! Clients that misbehave. Whatever the registrar ends, they begin anew.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use rserpool_wire::numbers::ppid;
use rserpool_wire::{AsapMessage, EndpointUnreachable, PeId, PoolHandle, Resolution};
use sctp_user::{Association, Message};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::figures::Counts;
use super::options::{Kind, Options};
use super::target::{Target, answer, asap, message_of, registration, resolution, until};

/// Associations that are set up at the same time.
const OPENING: usize = 100;
/// Pause after an association could not be set up, or was ended.
const PAUSE: Duration = Duration::from_millis(20);
/// The receive buffer of those who do not read: a small one makes the registrar wait sooner.
const SMALL_BUFFER: usize = 4096;
/// Resolutions that wait for an answer, for each client that asks as fast as possible.
const OUTSTANDING: usize = 64;
/// New elements that share a pool.
const PER_POOL: u32 = 10;

/// Misbehaves until `end`.
pub(super) async fn flood(
    options: &Options,
    kind: Kind,
    target: &Arc<Target>,
    end: Instant,
) -> anyhow::Result<Counts> {
    let opening = Arc::new(Semaphore::new(OPENING));
    let mut tasks = JoinSet::new();
    for number in 0..options.clients {
        let client = Client {
            number,
            pool: options.pool.clone(),
            kind,
            target: Arc::clone(target),
            opening: Arc::clone(&opening),
            counts: Counts::default(),
        };
        tasks.spawn(client.run(end));
    }
    let mut counts = Counts::default();
    while let Some(client) = tasks.join_next().await {
        counts.merge(client?);
    }
    Ok(counts)
}

struct Client {
    number: u32,
    pool: PoolHandle,
    kind: Kind,
    target: Arc<Target>,
    opening: Arc<Semaphore>,
    counts: Counts,
}

impl Client {
    async fn run(mut self, end: Instant) -> Counts {
        while Instant::now() < end {
            let Some(association) = self.connect().await else {
                self.counts.not_opened += 1;
                tokio::time::sleep(PAUSE).await;
                continue;
            };
            self.counts.opened += 1;
            let ended = tokio::select! {
                biased;
                () = until(end) => false,
                _ = self.misbehave(&association) => true,
            };
            association.abort("the flood has ended");
            if ended {
                self.counts.ended += 1;
                tokio::time::sleep(PAUSE).await;
            }
        }
        self.counts
    }

    async fn connect(&self) -> Option<Association> {
        let _permit = self.opening.acquire().await.ok()?;
        match self.kind {
            Kind::Junk if self.speaks_enrp() => self.target.connect_enrp().await,
            Kind::NeverRead => self.target.connect(|c| c.recv_buffer = SMALL_BUFFER).await,
            _ => self.target.connect(|_| {}).await,
        }
    }

    /// Every other client sends junk to the ENRP port.
    fn speaks_enrp(&self) -> bool {
        self.target.has_enrp() && self.number % 2 == 1
    }

    /// Goes on until the association ends.
    async fn misbehave(&mut self, association: &Association) -> anyhow::Result<()> {
        match self.kind {
            Kind::NeverRead => self.never_read(association).await,
            Kind::Idle => {
                while association.recv_message().await?.is_some() {}
                Ok(())
            }
            Kind::Reports => self.report(association).await,
            Kind::Registrations => self.register(association).await,
            Kind::Resolutions => self.resolve(association).await,
            Kind::Junk => self.junk(association).await,
        }
    }

    async fn never_read(&mut self, association: &Association) -> anyhow::Result<()> {
        let request = asap(&resolution(&self.pool, 128))?;
        loop {
            association.send(request.clone()).await?;
            self.counts.sent += 1;
        }
    }

    /// Reports all elements of the pool again and again.
    async fn report(&mut self, association: &Association) -> anyhow::Result<()> {
        association.send(asap(&resolution(&self.pool, 128))?).await?;
        let received = association.recv_message().await?.context("the registrar has ended it")?;
        let mut ids = vec![PeId(1)];
        if let AsapMessage::HandleResolutionResponse(m) = AsapMessage::decode(&received.data)?
            && let Resolution::Elements { elements, .. } = m.resolution
        {
            ids = elements.iter().map(|element| element.id).collect();
        }
        let mut reports = Vec::new();
        for id in ids {
            let pool = self.pool.clone();
            reports
                .push(asap(&AsapMessage::EndpointUnreachable(EndpointUnreachable { pool, id }))?);
        }
        for report in reports.iter().cycle() {
            association.send(report.clone()).await?;
            self.counts.sent += 1;
        }
        Ok(())
    }

    /// Registers new elements, and answers for them.
    async fn register(&mut self, association: &Association) -> anyhow::Result<()> {
        let counts = Mutex::new(&mut self.counts);
        let send = async {
            for number in rand::random::<u32>().. {
                let pool = PoolHandle::new(format!("{:08x}", number / PER_POOL))?;
                let id = PeId(number.max(1));
                association.send(asap(&registration(association, pool, id))?).await?;
                lock(&counts).sent += 1;
            }
            anyhow::Ok(())
        };
        let listen = async {
            while let Some(received) = association.recv_message().await? {
                match AsapMessage::decode(&received.data)? {
                    AsapMessage::EndpointKeepAlive(m) => answer(association, m).await?,
                    AsapMessage::RegistrationResponse(m) => match m.error {
                        None => lock(&counts).accepted += 1,
                        Some(error) => lock(&counts).refuse(Some(error.code())),
                    },
                    _ => {}
                }
            }
            anyhow::Ok(())
        };
        tokio::select! {
            result = send => result,
            result = listen => result,
        }
    }

    async fn resolve(&mut self, association: &Association) -> anyhow::Result<()> {
        let request = asap(&resolution(&self.pool, 128))?;
        for _ in 0..OUTSTANDING {
            association.send(request.clone()).await?;
            self.counts.sent += 1;
        }
        while let Some(received) = association.recv_message().await? {
            match AsapMessage::decode(&received.data)? {
                AsapMessage::HandleResolutionResponse(m) => match m.resolution {
                    Resolution::Elements { .. } => self.counts.accepted += 1,
                    Resolution::Error(error) => self.counts.refuse(Some(error.code())),
                },
                _ => continue,
            }
            association.send(request.clone()).await?;
            self.counts.sent += 1;
        }
        Ok(())
    }

    /// Anything, in part near to what is right. What comes back is thrown away.
    async fn junk(&mut self, association: &Association) -> anyhow::Result<()> {
        let own = if self.speaks_enrp() { ppid::ENRP } else { ppid::ASAP };
        let good = registration(association, self.pool.clone(), PeId(rand::random())).encode()?;
        let counts = &mut self.counts;
        let send = async {
            loop {
                association.send(junk(own, &good)).await?;
                counts.sent += 1;
            }
        };
        let listen = async {
            while association.recv_message().await?.is_some() {}
            anyhow::Ok(())
        };
        tokio::select! {
            result = send => result,
            result = listen => result,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One message that nobody should send.
fn junk(own: u32, good: &Bytes) -> Message {
    let kind = rand::random::<u8>() % 16;
    let mut data = match rand::random::<u8>() % 3 {
        // A right message of ours with bytes changed.
        0 => good.to_vec(),
        // A header of the protocol, and random parameters.
        1 => {
            let mut data = vec![kind, rand::random(), 0, 0];
            if own == ppid::ENRP {
                data.extend(rand::random::<[u8; 8]>());
            }
            for _ in 0..rand::random::<u8>() % 4 {
                let value: [u8; 12] = rand::random();
                data.extend([0, rand::random::<u8>() % 18, 0, 16]);
                data.extend(value);
            }
            data
        }
        _ => rand::random::<[u8; 32]>().to_vec(),
    };
    if let Some(length) = data.get(..4).map(|_| data.len() as u16) {
        data[2..4].copy_from_slice(&length.to_be_bytes());
    }
    for _ in 0..rand::random::<u8>() % 4 {
        let at = rand::random::<u32>() as usize % data.len();
        data[at] = rand::random();
    }
    // Another protocol now and then; some of them end the association.
    let ppid = match rand::random::<u8>() {
        0 => rand::random(),
        1 => ppid::ENRP,
        _ => own,
    };
    if ppid == ppid::ASAP { message_of(data.into()) } else { Message::new(0, ppid, data) }
}
