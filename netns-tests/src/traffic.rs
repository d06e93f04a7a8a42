//! Traffic that can be checked: messages with numbers and hashes, and a reader that notices missing
//! and repeated messages and measures its longest wait.
//!
//! `traffic serve` accepts associations. `traffic bulk` sends as much as the association takes.
//! `traffic ask` sends a request and waits for its echo before it sends the next. The senders go on
//! until their standard input ends, and then shut down gracefully. All three print [`Event`]s as
//! lines of JSON.

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Args, Parser, Subcommand, ValueEnum};
use rsp_tools::cli::{AddressList, Ready};
use sctp_user::{
    AssocConfig, Association, BindOptions, Endpoint, Incoming, Message, Notification, Stack,
    StackConfig, Subscriptions,
};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt as _;

use workspace_tests::process::PATIENCE;

use crate::net::Running;
use crate::open::{self, Failure};
use numbered::{Numbered, Reader};

pub(crate) mod numbered;

/// Name of the program.
pub const NAME: &str = "traffic";

/// An event that the programs print.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// An association is up, and its first message or echo has arrived.
    Begun {
        /// SCTP port of the peer, which tells the associations of a server apart.
        peer_port: u16,
        /// The primary path: the peer's address and, if any, its UDP port.
        path: String,
    },
    /// The application waited longer than usual: for the next message, or for the echo of a
    /// request.
    Gap {
        /// SCTP port of the peer.
        peer_port: u16,
        /// How long, ms.
        ms: f64,
    },
    /// A path changed its state.
    Path {
        /// Address of the peer.
        addr: String,
        /// The new state.
        state: String,
    },
    /// The packet size of a sender's primary path, or the state of the search for it, has changed.
    Pmtu {
        /// SCTP port of the peer.
        peer_port: u16,
        /// The largest SCTP packet, bytes.
        bytes: u32,
        /// State of the search.
        state: String,
    },
    /// The association has ended gracefully.
    End {
        /// SCTP port of the peer.
        peer_port: u16,
        /// Messages sent or, at a server, received: each correct, once and in order.
        messages: u64,
        /// Bytes in these messages.
        bytes: u64,
        /// The longest wait of the application, ms.
        longest_ms: f64,
        /// DATA chunks that were sent more than once.
        retransmitted: u64,
    },
    /// The association is lost, or a message was not the expected one.
    Wrong {
        /// SCTP port of the peer.
        peer_port: u16,
        /// What is wrong.
        what: String,
    },
}

impl Event {
    /// Reads a line; `None` when it is some other line.
    pub fn parse(line: &str) -> Option<Event> {
        serde_json::from_str(line).ok()
    }

    fn print(&self) {
        println!("{}", serde_json::to_string(self).expect("events are JSON"));
    }
}

/// Waits until this number of a server's associations have ended gracefully. Returns how many
/// messages each had, in ascending order.
///
/// # Panics
/// When the server reports an error, or when fewer or more associations have ended.
pub fn received(server: &mut Running, associations: usize) -> Vec<u64> {
    let limit = Instant::now() + PATIENCE;
    loop {
        let mut messages = Vec::new();
        for line in server.said() {
            match Event::parse(line) {
                Some(Event::End { messages: count, .. }) => messages.push(count),
                Some(Event::Wrong { what, .. }) => panic!("the server says: {what}"),
                _ => {}
            }
        }
        messages.sort_unstable();
        if messages.len() >= associations {
            assert_eq!(
                messages.len(),
                associations,
                "associations that ended, with {messages:?} messages"
            );
            return messages;
        }
        assert!(
            Instant::now() < limit,
            "{associations} associations should end; {messages:?} messages came"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Sends and checks numbered messages.
#[derive(Debug, Parser)]
struct Options {
    #[command(subcommand)]
    role: Role,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// Accepts associations and checks their messages.
    Serve {
        #[command(flatten)]
        common: Common,
        /// Send every message back.
        #[arg(long)]
        echo: bool,
        /// Close the listening socket after each association and listen again.
        #[arg(long)]
        reopen: bool,
    },
    /// Sends as much as the association takes.
    Bulk {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        sender: Sender,
    },
    /// Sends requests, one after the other, and checks the echoes.
    Ask {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        sender: Sender,
        /// Time between an echo and the next request, ms.
        #[arg(long, default_value_t = 5)]
        pause: u64,
    },
}

#[derive(Debug, Args)]
struct Common {
    /// The links, as in [`open::stack`].
    #[arg(long)]
    link: String,
    /// Own SCTP port.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Protocol parameters: those of the RFC, or those for real-time networks.
    #[arg(long, default_value = "rfc")]
    profile: Profile,
    /// Receive buffer, bytes.
    #[arg(long)]
    window: Option<usize>,
    /// Tell clients with equal SCTP ports behind one NAT address apart by their UDP ports.
    #[arg(long)]
    nat_port_key: bool,
    /// Repetitions of an INIT before giving up.
    #[arg(long)]
    tries: Option<u32>,
    /// Shorter waits are not printed, ms.
    #[arg(long, default_value_t = 25.0)]
    usual: f64,
}

#[derive(Debug, Args)]
struct Sender {
    /// The server: ADDR:PORT{,ADDR}[/udp:N|/native].
    #[arg(long)]
    peer: AddressList,
    /// Bytes of a message.
    #[arg(long, default_value_t = 4000)]
    size: usize,
    /// Streams to use in turn.
    #[arg(long, default_value_t = 4)]
    streams: u16,
    /// End after this many messages.
    #[arg(long)]
    messages: Option<u64>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Profile {
    Rfc,
    Realtime,
}

/// The program.
pub fn run(args: Vec<OsString>) -> ExitCode {
    let options = match Options::try_parse_from(args) {
        Ok(options) => options,
        Err(error) => error.exit(),
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let ended = runtime.block_on(async {
        match options.role {
            Role::Serve { common, echo, reopen } => serve(&common, echo, reopen).await,
            Role::Bulk { common, sender } => send(&common, &sender, None).await,
            Role::Ask { common, sender, pause } => {
                send(&common, &sender, Some(Duration::from_millis(pause))).await
            }
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

impl Common {
    fn open(&self) -> Result<(Stack, BindOptions), Failure> {
        let mut config = match self.profile {
            Profile::Rfc => AssocConfig::default(),
            Profile::Realtime => AssocConfig::realtime(),
        };
        config.recv_buffer = self.window.unwrap_or(config.recv_buffer);
        config.max_init_retransmits = self.tries.unwrap_or(config.max_init_retransmits);
        config.expose_potentially_failed = true;
        let stack = StackConfig { nat_port_key: self.nat_port_key, ..StackConfig::default() };
        let (stack, addrs) = open::stack(&self.link, stack, config)?;
        let subscriptions = Subscriptions { peer_addr_change: true, ..Subscriptions::default() };
        let (port, reuse_port) = (self.port, true);
        let bind = BindOptions { port, addrs, subscriptions, reuse_port, ..BindOptions::default() };
        Ok((stack, bind))
    }
}

async fn serve(common: &Common, echo: bool, reopen: bool) -> Result<(), Failure> {
    let (stack, bind) = common.open()?;
    let mut endpoint = listen(&stack, &bind)?;
    Ready::new(NAME)
        .with("sctp", endpoint.port())
        .with_known("udp", stack.local_udp_port())
        .print();
    loop {
        let association = endpoint.accept().await?;
        if reopen {
            drop(endpoint);
            endpoint = listen(&stack, &bind)?;
        }
        let usual = common.usual;
        tokio::spawn(async move {
            let peer_port = association.peer_port();
            if let Err(error) = take(&association, echo, usual).await {
                Event::Wrong { peer_port, what: error.to_string() }.print();
            }
        });
    }
}

fn listen(stack: &Stack, bind: &BindOptions) -> Result<Endpoint, Failure> {
    let endpoint = stack.bind(bind.clone())?;
    endpoint.listen(64)?;
    Ok(endpoint)
}

/// Reads an association to its end.
async fn take(association: &Association, echo: bool, usual: f64) -> Result<(), Failure> {
    let peer_port = association.peer_port();
    let mut reader = Reader::default();
    let mut waits = Waits::new(peer_port, usual);
    while let Some(message) = next(association).await? {
        if waits.count == 0 {
            begun(association);
        } else if !echo {
            waits.end();
        }
        reader.check(message.stream, &message.data)?;
        if echo {
            association.send(message).await?;
        }
        waits.begin();
    }
    report(association, &reader, &waits);
    Ok(())
}

async fn send(common: &Common, sender: &Sender, pause: Option<Duration>) -> Result<(), Failure> {
    let (stack, bind) = common.open()?;
    let endpoint = stack.bind(bind)?;
    let association = match &open::peers(&sender.peer)[..] {
        [peer] => endpoint.connect(peer).await?,
        peers => stack.connect_first(peers, stack.assoc_config()).await?,
    };
    let watch = tokio::spawn(watch_pmtu(association.clone()));
    let mut numbered = Numbered::new(sender.size, sender.streams);
    let ended = async {
        let mut nothing = Vec::new();
        // An error ends the input, too.
        let _ = tokio::io::stdin().read_to_end(&mut nothing).await;
    };
    tokio::pin!(ended);
    let outcome = async {
        let mut reader = Reader::default();
        let mut waits = Waits::new(association.peer_port(), common.usual);
        if pause.is_none() {
            // A server for bulk traffic sends nothing, so there are only notifications to read.
            let association = association.clone();
            tokio::spawn(async move { while let Ok(Some(_)) = next(&association).await {} });
        }
        let mut count = 0;
        while sender.messages.is_none_or(|limit| count < limit) {
            let message = numbered.next_message();
            tokio::select! {
                biased;
                () = &mut ended => break,
                sent = association.send(message) => sent?,
            }
            count += 1;
            let Some(pause) = pause else {
                if count == 1 {
                    begun(&association);
                }
                continue;
            };
            waits.begin();
            let echo = next(&association).await?.ok_or("the server shut down")?;
            waits.end();
            reader.check(echo.stream, &echo.data)?;
            if reader.messages == 1 {
                begun(&association);
            }
            tokio::time::sleep(pause).await;
        }
        if pause.is_none() {
            (reader.messages, reader.bytes) = (count, count * sender.size as u64);
        }
        association.shutdown().await?;
        report(&association, &reader, &waits);
        Ok::<(), Failure>(())
    };
    let outcome = outcome.await;
    watch.abort();
    if let Err(error) = outcome {
        let what = match association.end_reason() {
            Some(reason) => format!("{error}: {reason}"),
            None => error.to_string(),
        };
        Event::Wrong { peer_port: association.peer_port(), what: what.clone() }.print();
        return Err(what.into());
    }
    stack.shutdown().await;
    Ok(())
}

/// The next message. Prints the notifications that come before it.
async fn next(association: &Association) -> Result<Option<Message>, Failure> {
    loop {
        match association.recv().await? {
            None => return Ok(None),
            Some(Incoming::Message(received)) if !received.end_of_record => {
                return Err("a message came in parts".into());
            }
            Some(Incoming::Message(received)) => {
                return Ok(Some(Message::new(received.stream, received.ppid, received.data)));
            }
            Some(incoming) => tell(&incoming),
        }
    }
}

/// Prints changes of the primary path's MTU, for which there are no notifications.
async fn watch_pmtu(association: Association) {
    let mut last = None;
    while let Some(path) = association.primary_path() {
        let now = (path.pmtu, path.pmtud);
        if last.replace(now) != Some(now) {
            let (bytes, state) = (path.pmtu, format!("{:?}", path.pmtud));
            Event::Pmtu { peer_port: association.peer_port(), bytes, state }.print();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn tell(incoming: &Incoming) {
    if let Incoming::Notification(Notification::PeerAddrChange { addr, state }) = incoming {
        Event::Path { addr: addr.to_string(), state: format!("{state:?}") }.print();
    }
}

fn begun(association: &Association) {
    let path = association.primary_path().map_or_else(String::new, |path| match path.addr.encap {
        sctp_user::Encap::Native => path.addr.remote.to_string(),
        sctp_user::Encap::Udp { remote_port } => format!("{}/udp:{remote_port}", path.addr.remote),
    });
    Event::Begun { peer_port: association.peer_port(), path }.print();
}

fn report(association: &Association, reader: &Reader, waits: &Waits) {
    Event::End {
        peer_port: association.peer_port(),
        messages: reader.messages,
        bytes: reader.bytes,
        longest_ms: waits.longest_ms,
        retransmitted: association.stats().data_chunks_retransmitted,
    }
    .print();
}

/// How long the application waited.
#[derive(Debug)]
struct Waits {
    peer_port: u16,
    /// Shorter waits are not printed, ms.
    usual: f64,
    since: Instant,
    longest_ms: f64,
    count: u64,
}

impl Waits {
    fn new(peer_port: u16, usual: f64) -> Waits {
        Waits { peer_port, usual, since: Instant::now(), longest_ms: 0.0, count: 0 }
    }

    fn begin(&mut self) {
        self.since = Instant::now();
        self.count += 1;
    }

    fn end(&mut self) {
        let ms = self.since.elapsed().as_secs_f64() * 1e3;
        self.longest_ms = self.longest_ms.max(ms);
        if ms >= self.usual {
            Event::Gap { peer_port: self.peer_port, ms }.print();
        }
    }
}
