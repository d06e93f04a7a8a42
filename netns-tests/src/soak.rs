//! Associations that come and go for any length of time, in processes that stay. The memory and
//! open files of these processes must not grow.
//!
//! `soak serve` checks and echoes. `soak call` keeps a number of associations busy with numbered
//! messages, each for a while; it ends most of them gracefully and some by an ABORT on purpose.
//! Both answer a line `status` on standard input with a [`Status`], as a line of JSON. `drain` ends
//! all associations of a caller, which answers when none is left.

use std::ffi::OsString;
use std::ops::RangeInclusive;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use rsp_tools::cli::{AddressList, Ready};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::sync::watch;
use tokio::task::JoinSet;

use sctp_user::{
    AssocConfig, Association, BindError, BindOptions, EndReason, Endpoint, Error, LossReason,
    Message, Peer, Stack, StackConfig,
};

use crate::open::{self, Failure};
use crate::traffic::numbered::{Numbered, Reader};

/// Name of the program.
pub const NAME: &str = "soak";

/// The state of a process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Associations that its stack has now.
    pub associations: usize,
    /// Associations that ended gracefully.
    pub graceful: u64,
    /// Associations that were aborted on purpose: at a caller by itself, at a server by its peer.
    pub aborted: u64,
    /// Associations that ended otherwise.
    pub lost: u64,
    /// How often an association went on with a new process of the peer.
    pub restarted: u64,
    /// Correct messages received.
    pub messages: u64,
    /// Resident memory, KiB.
    pub memory: u64,
    /// Open file descriptors.
    pub files: usize,
}

impl Status {
    /// Reads a line; `None` when it is some other line.
    pub fn parse(line: &str) -> Option<Status> {
        serde_json::from_str(line).ok()
    }
}

/// The beginning of the lines in which `soak` says that something is wrong.
pub const WRONG: &str = "wrong: ";

#[derive(Debug, Parser)]
struct Options {
    #[command(subcommand)]
    role: Role,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// Accepts associations, checks their messages and sends them back.
    Serve {
        #[command(flatten)]
        common: Common,
        /// Own SCTP port.
        #[arg(long)]
        port: u16,
    },
    /// Keeps associations to a server busy.
    Call {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        caller: Caller,
    },
}

#[derive(Clone, Debug, Args)]
struct Common {
    /// The links, as in [`open::stack`].
    #[arg(long)]
    link: String,
    /// Short timers, for peers that are killed.
    #[arg(long)]
    realtime: bool,
    /// The other end is killed now and then, so lost associations are only counted.
    #[arg(long)]
    tolerant: bool,
}

#[derive(Clone, Debug, Args)]
struct Caller {
    /// The server: ADDR:PORT{,ADDR}/{udp:N|native}.
    #[arg(long)]
    peer: AddressList,
    /// How many associations to have at a time.
    #[arg(long)]
    associations: u64,
    /// Percentage of the associations that are aborted.
    #[arg(long, default_value_t = 10)]
    abort: u32,
    /// Seed of the random numbers.
    #[arg(long)]
    seed: u64,
}

/// The program.
pub fn run(args: Vec<OsString>) -> ExitCode {
    let options = match Options::try_parse_from(args) {
        Ok(options) => options,
        Err(error) => error.exit(),
    };
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    // With more threads, more heaps would have to fill before memory stops growing.
    let runtime = builder.worker_threads(2).enable_all().build().expect("a runtime");
    let ended = runtime.block_on(async {
        match options.role {
            Role::Serve { common, port } => serve(common, port).await,
            Role::Call { common, caller } => call(common, caller).await,
        }
    });
    // A thread may still be waiting for input.
    runtime.shutdown_background();
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// The state that all tasks of a process share.
struct Process {
    common: Common,
    stack: Stack,
    bind: BindOptions,
    serves: bool,
    tally: Tally,
}

#[derive(Debug, Default)]
struct Tally {
    graceful: AtomicU64,
    aborted: AtomicU64,
    lost: AtomicU64,
    restarted: AtomicU64,
    messages: AtomicU64,
}

fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Process {
    fn open(common: Common, port: Option<u16>) -> Result<Arc<Process>, Failure> {
        let config = if common.realtime { AssocConfig::realtime() } else { AssocConfig::default() };
        // When an end is gone, its ABORT or SHUTDOWN COMPLETE lost and its NAT binding forgotten,
        // its peer must notice within the test. With an RTO.Max of 60 s that would take 5 minutes.
        let beats = config.hb_interval.min(LONGEST_TIMER);
        let rto_max = config.rto_max.min(LONGEST_TIMER);
        let config = AssocConfig { hb_interval: beats, hb_interval_udp: beats, rto_max, ..config };
        let (stack, addrs) = open::stack(&common.link, StackConfig::default(), config)?;
        let bind = BindOptions { port: port.unwrap_or(0), addrs, ..BindOptions::default() };
        Ok(Arc::new(Process {
            common,
            stack,
            bind,
            serves: port.is_some(),
            tally: Tally::default(),
        }))
    }

    fn status(&self) -> Status {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let memory =
            memory.and_then(|text| text.split_whitespace().next()?.parse().ok()).unwrap_or(0);
        // The directory itself is open while it is read.
        let files =
            std::fs::read_dir("/proc/self/fd").map_or(0, |dir| dir.count().saturating_sub(1));
        Status {
            associations: self.stack.stats().associations,
            graceful: get(&self.tally.graceful),
            aborted: get(&self.tally.aborted),
            lost: get(&self.tally.lost),
            restarted: get(&self.tally.restarted),
            messages: get(&self.tally.messages),
            memory,
            files,
        }
    }

    fn tell(&self) {
        println!("{}", serde_json::to_string(&self.status()).expect("a status is JSON"));
    }

    /// Counts an association that did not end gracefully.
    fn failed(&self, association: Option<&Association>, error: &Failure) {
        let reason = association.and_then(Association::end_reason);
        // Only callers abort on purpose.
        if let Some(EndReason::Lost(LossReason::PeerAbort { .. })) = reason
            && self.serves
        {
            add(&self.tally.aborted);
            return;
        }
        add(&self.tally.lost);
        if !self.common.tolerant {
            let reason = reason.map_or_else(String::new, |reason| format!(": {reason}"));
            println!("{WRONG}{error}{reason}");
        }
    }

    fn received(&self, reader: &mut Reader, message: &Message) -> Result<(), Failure> {
        let checked = reader.check(message.stream, &message.data);
        if let Err(what) = &checked {
            // This is wrong even if the peer was killed.
            println!("{WRONG}{what}");
        }
        checked?;
        add(&self.tally.messages);
        Ok(())
    }

    /// The next message; `None` when the peer has shut down.
    async fn next(&self, association: &Association) -> Result<Option<Message>, Failure> {
        let received = association.recv_message().await?;
        Ok(received.map(|received| Message::new(received.stream, received.ppid, received.data)))
    }
}

async fn serve(common: Common, port: u16) -> Result<(), Failure> {
    let process = Process::open(common, Some(port))?;
    let endpoint = process.stack.bind(process.bind.clone())?;
    endpoint.listen(256)?;
    Ready::new(NAME).with("sctp", endpoint.port()).print();
    let mut input = BufReader::new(tokio::io::stdin()).lines();
    loop {
        tokio::select! {
            accepted = endpoint.accept() => {
                let (process, association) = (Arc::clone(&process), accepted?);
                tokio::spawn(async move {
                    match echo(&process, &association).await {
                        Ok(()) => add(&process.tally.graceful),
                        Err(error) => process.failed(Some(&association), &error),
                    }
                });
            }
            line = input.next_line() => match line? {
                Some(_) => process.tell(),
                None => return Ok(()),
            },
        }
    }
}

async fn echo(process: &Process, association: &Association) -> Result<(), Failure> {
    let mut reader = Reader::default();
    loop {
        let message = match process.next(association).await {
            // The caller was killed, and a new one has drawn the same SCTP port (RFC 9260 sec 5.2.4
            // case A). Its messages are numbered from the beginning.
            Err(error) if error.downcast_ref() == Some(&Error::Restarted) => {
                add(&process.tally.restarted);
                reader = Reader::default();
                continue;
            }
            next => next?,
        };
        let Some(message) = message else { return Ok(()) };
        process.received(&mut reader, &message)?;
        association.send(message).await?;
    }
}

async fn call(common: Common, caller: Caller) -> Result<(), Failure> {
    let process = Process::open(common, None)?;
    let peer = open::peers(&caller.peer).swap_remove(0);
    let (stop, stopped) = watch::channel(false);
    let mut slots = JoinSet::new();
    for slot in 0..caller.associations {
        let (process, peer, stopped) = (Arc::clone(&process), peer.clone(), stopped.clone());
        let mut rng = ChaCha8Rng::seed_from_u64(caller.seed << 16 | slot);
        let abort = caller.abort;
        slots.spawn(async move {
            while !*stopped.borrow() {
                let plan = Plan::draw(&mut rng, abort);
                live(&process, &peer, plan, &mut rng).await;
            }
        });
    }
    Ready::new(NAME).print();
    let mut input = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = input.next_line().await? {
        if line == "drain" {
            stop.send_replace(true);
            while slots.join_next().await.transpose()?.is_some() {}
            while process.stack.stats().associations > 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        process.tell();
    }
    Ok(())
}

/// The course of an association.
#[derive(Debug)]
struct Plan {
    messages: u64,
    size: usize,
    streams: u16,
    /// After how many echoes it is aborted; `None` for a graceful end.
    abort_after: Option<u64>,
}

impl Plan {
    fn draw(rng: &mut ChaCha8Rng, abort: u32) -> Plan {
        let messages = rng.random_range(1..=100);
        Plan {
            messages,
            // The largest ones are fragmented.
            size: if rng.random_range(0..10) == 0 { 5000 } else { rng.random_range(50..1200) },
            streams: rng.random_range(1..=8),
            abort_after: (rng.random_range(0..100) < abort).then(|| rng.random_range(1..=messages)),
        }
    }
}

/// The life of an association.
async fn live(process: &Process, peer: &Peer, plan: Plan, rng: &mut ChaCha8Rng) {
    let connected = async { bind(process, rng)?.connect(peer).await };
    let association = match connected.await {
        Ok(association) => association,
        // The cable is cut, so connecting fails at once. No association existed that could be lost.
        Err(Error::Ended(EndReason::Lost(LossReason::NoRoute(_)))) => {
            return tokio::time::sleep(PAUSE).await;
        }
        Err(error) => {
            process.failed(None, &error.into());
            tokio::time::sleep(PAUSE).await;
            return;
        }
    };
    match talk(process, &association, &plan, rng).await {
        Ok(true) => add(&process.tally.graceful),
        Ok(false) => add(&process.tally.aborted),
        Err(error) => {
            process.failed(Some(&association), &error);
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Binds a port that is drawn from the caller's seed, like everything else.
fn bind(process: &Process, rng: &mut ChaCha8Rng) -> Result<Endpoint, Error> {
    loop {
        let bind = BindOptions { port: rng.random_range(PORTS), ..process.bind.clone() };
        match process.stack.bind(bind) {
            Err(Error::PortInUse(_) | Error::Bind(BindError::PortInUse(_))) => {}
            bound => return bound,
        }
    }
}

/// Returns true when it ended gracefully, and false when it was aborted as planned.
async fn talk(
    process: &Process,
    association: &Association,
    plan: &Plan,
    rng: &mut ChaCha8Rng,
) -> Result<bool, Failure> {
    let (mut numbered, mut reader) = (Numbered::new(plan.size, plan.streams), Reader::default());
    let mut sent = 0;
    while reader.messages < plan.messages {
        while sent < plan.messages && sent - reader.messages < AHEAD {
            association.send(numbered.next_message()).await?;
            sent += 1;
        }
        let echoed = tokio::time::timeout(PATIENCE, process.next(association)).await;
        let echoed = echoed.map_err(|_| format!("no echo for {PATIENCE:?}"))??;
        process.received(&mut reader, &echoed.ok_or("the server shut down")?)?;
        if plan.abort_after == Some(reader.messages) {
            association.abort("on purpose");
            return Ok(false);
        }
        tokio::time::sleep(rng.random_range(Duration::ZERO..2 * PAUSE)).await;
    }
    association.shutdown().await.map_err(|error: Error| -> Failure { error.into() })?;
    Ok(true)
}

/// SCTP ports of callers.
const PORTS: RangeInclusive<u16> = 49152..=65535;
/// Upper bound of RTO and heartbeat interval.
const LONGEST_TIMER: Duration = Duration::from_secs(5);
/// Average time from an echo to the next message.
const PAUSE: Duration = Duration::from_millis(100);
/// How many messages of an association may be without an echo.
const AHEAD: u64 = 4;
/// How long to wait for an echo: longer than any outage of a test and the timeouts after it.
const PATIENCE: Duration = Duration::from_secs(60);
