//! Pool elements and pool users that behave.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use rserpool_wire::{AsapMessage, PeId, PoolHandle, Resolution};
use sctp_user::{Association, Message};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::figures::{Counts, Latencies};
use super::options::Options;
use super::target::{Target, answer, asap, registration, resolution};

/// How long the registrar may take to register all elements.
const REGISTRATION_LIMIT: Duration = Duration::from_secs(60);
/// How long an answer may take before the user tries a new association.
const PATIENCE: Duration = Duration::from_secs(10);

/// Registered elements, which answer keep-alives until this is dropped.
#[derive(Debug)]
pub(super) struct Elements {
    _tasks: JoinSet<anyhow::Result<()>>,
}

/// Registers the elements, spread over the associations. Gives the time that it took, too.
pub(super) async fn register(
    options: &Options,
    target: &Target,
) -> anyhow::Result<(Elements, Duration)> {
    let (registered, mut done) = mpsc::unbounded_channel();
    let mut tasks = JoinSet::new();
    let (associations, all) = (options.associations.min(options.elements), options.elements);
    let begin = Instant::now();
    let base = rand::random::<u32>() | 1;
    for number in 0..associations {
        let association =
            target.connect(|_| {}).await.context("the registrar cannot be reached")?;
        let ids = (number..all).step_by(associations as usize);
        // Not 0, and each once.
        let ids: Vec<PeId> = ids.map(|n| PeId(base.wrapping_add(n).max(1))).collect();
        tasks.spawn(serve(association, options.pool.clone(), ids, registered.clone()));
    }
    drop(registered);
    let count = async {
        for _ in 0..all {
            match done.recv().await {
                Some(Ok(())) => {}
                Some(Err(cause)) => bail!("an element is refused: {cause}"),
                None => bail!("an association with elements was lost"),
            }
        }
        Ok(())
    };
    tokio::time::timeout(REGISTRATION_LIMIT, count)
        .await
        .context("the registrar does not register all elements within 60 s")??;
    Ok((Elements { _tasks: tasks }, begin.elapsed()))
}

/// Registers elements over one association, and answers for them until it ends.
async fn serve(
    association: Association,
    pool: PoolHandle,
    ids: Vec<PeId>,
    registered: mpsc::UnboundedSender<Result<(), String>>,
) -> anyhow::Result<()> {
    let register = async {
        for id in ids {
            let request = asap(&registration(&association, pool.clone(), id))?;
            association.send(request).await.context("the association is lost")?;
        }
        anyhow::Ok(())
    };
    let listen = async {
        while let Some(received) = association.recv_message().await? {
            match AsapMessage::decode(&received.data)? {
                AsapMessage::RegistrationResponse(m) => {
                    let cause = |error: &rserpool_wire::OperationError| error.code().to_string();
                    let refusal = m.error.as_ref().map_or_else(String::new, cause);
                    let _ = registered.send(if m.rejected { Err(refusal) } else { Ok(()) });
                }
                AsapMessage::EndpointKeepAlive(m) => answer(&association, m).await?,
                _ => {}
            }
        }
        anyhow::Ok(())
    };
    tokio::try_join!(register, listen)?;
    Ok(())
}

/// Lets users ask until `end`.
pub(super) async fn ask(
    options: &Options,
    target: &Arc<Target>,
    end: Instant,
) -> anyhow::Result<(Latencies, Counts)> {
    let mut tasks = JoinSet::new();
    for _ in 0..options.users {
        tasks.spawn(user(options.clone(), Arc::clone(target), end));
    }
    let (mut latencies, mut counts) = (Latencies::default(), Counts::default());
    while let Some(user) = tasks.join_next().await {
        let (of_user, what) = user??;
        latencies.merge(of_user);
        counts.merge(what);
    }
    Ok((latencies, counts))
}

/// One user. The time of an answer counts from the moment when the user wanted it, whatever
/// associations that takes.
async fn user(
    options: Options,
    target: Arc<Target>,
    end: Instant,
) -> anyhow::Result<(Latencies, Counts)> {
    let request = asap(&resolution(&options.pool, options.items))?;
    let (mut latencies, mut counts) = (Latencies::default(), Counts::default());
    let mut waiting: VecDeque<Instant> = VecDeque::new();
    while Instant::now() < end || !waiting.is_empty() {
        // Who asks over a new association each time waits for that, too.
        if options.fresh && waiting.is_empty() {
            waiting.push_back(Instant::now());
        }
        let Some(association) = target.connect(|_| {}).await else {
            counts.not_opened += 1;
            if Instant::now() >= end {
                // Nobody will answer what is still wanted; it took so long at least.
                waiting.drain(..).for_each(|since| latencies.add(since.elapsed()));
            }
            continue;
        };
        counts.opened += 1;
        let lost =
            talk(&options, &association, &request, &mut waiting, &mut latencies, &mut counts, end);
        match lost.await {
            true => counts.ended += 1,
            false => drop(tokio::time::timeout(PATIENCE, association.shutdown()).await),
        }
    }
    Ok((latencies, counts))
}

/// Asks over one association. True when it was lost.
async fn talk(
    options: &Options,
    association: &Association,
    request: &Message,
    waiting: &mut VecDeque<Instant>,
    latencies: &mut Latencies,
    counts: &mut Counts,
    end: Instant,
) -> bool {
    // What an association before this one has not answered is asked again.
    for _ in 0..waiting.len() {
        if association.send(request.clone()).await.is_err() {
            return true;
        }
        counts.sent += 1;
    }
    loop {
        while waiting.len() < options.outstanding as usize && Instant::now() < end {
            waiting.push_back(Instant::now());
            if association.send(request.clone()).await.is_err() {
                return true;
            }
            counts.sent += 1;
        }
        if waiting.is_empty() {
            return false;
        }
        match tokio::time::timeout(PATIENCE, association.recv_message()).await {
            Ok(Ok(Some(received))) => {
                let Some(since) = waiting.pop_front() else { return false };
                latencies.add(since.elapsed());
                note(&received.data, counts);
            }
            _ => {
                association.abort("no answer");
                return true;
            }
        }
        pause(options).await;
        if options.fresh && waiting.is_empty() {
            return false;
        }
    }
}

async fn pause(options: &Options) {
    if !options.interval.is_zero() {
        tokio::time::sleep(options.interval).await;
    }
}

fn note(data: &[u8], counts: &mut Counts) {
    match AsapMessage::decode(data) {
        Ok(AsapMessage::HandleResolutionResponse(m)) => match m.resolution {
            Resolution::Elements { .. } => counts.accepted += 1,
            Resolution::Error(error) => counts.refuse(Some(error.code())),
        },
        _ => counts.refuse(None),
    }
}
