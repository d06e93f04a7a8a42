//! Runs one contender once.

use std::ffi::OsString;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::affinity::Pinned;
use super::catalog::{Contender, Row, Task};
use super::netns::{ADDRESSES, Namespaces};
use super::options::CompareOptions;
use super::peers::Peers;
use super::sample::Sample;
use crate::cli::ReadyLine;
use crate::programs::{CHILD_ARGUMENT, sctp_perf};

/// The MTU for packets of 1452 bytes in UDP.
pub(crate) const MTU_UDP: &str = "--mtu=1480";

/// Runs contenders.
pub(crate) struct Runner<'a> {
    pub(crate) options: &'a CompareOptions,
    pub(crate) peers: &'a Peers,
}

/// A program with its arguments.
struct End {
    program: OsString,
    args: Vec<OsString>,
}

impl End {
    fn new(prefix: Vec<String>, program: impl Into<OsString>, args: Vec<String>) -> Self {
        let mut words = prefix.into_iter().map(OsString::from).chain([program.into()]);
        let program = words.next().unwrap_or_default();
        End { program, args: words.chain(args.into_iter().map(OsString::from)).collect() }
    }
}

impl Runner<'_> {
    /// One run.
    ///
    /// # Errors
    /// Why there is no figure.
    pub(crate) async fn run(&self, row: &Row, contender: Contender) -> anyhow::Result<Sample> {
        match (row.task, contender) {
            (Task::Core { .. } | Task::Idle | Task::Setup, _) => {
                self.alone(row.task, contender).await
            }
            (task, Contender::Ours | Contender::OursTokio) => self.ours(task, "tokio").await,
            (task, Contender::OursBlocking) => self.ours(task, "blocking").await,
            (task, contender) => self.peer(task, contender).await,
        }
    }

    /// Both ends in one process.
    async fn alone(&self, task: Task, contender: Contender) -> anyhow::Result<Sample> {
        let end = if contender == Contender::Ours {
            let mut args = vec!["alone".to_owned()];
            match task {
                Task::Core { size } => args.extend([
                    "bulk".to_owned(),
                    format!("--size={size}"),
                    format!("--warmup={}", self.options.warmup),
                ]),
                Task::Idle => args.push("idle".to_owned()),
                _ => args.push("setup".to_owned()),
            }
            args.push(format!("--duration={}", self.options.seconds));
            own_program(Vec::new(), args)?
        } else {
            let (program, transport) = self.peers.driver(contender)?;
            let mode = match task {
                Task::Core { .. } => "core",
                Task::Idle => "idle",
                _ => "setup",
            };
            let mut args: Vec<String> =
                transport.into_iter().chain([mode]).map(str::to_owned).collect();
            args.extend(self.keys(task));
            End::new(Vec::new(), program, args)
        };
        // usrsctp takes long to set associations up.
        let limit = self.limit() + Duration::from_secs(60);
        let text = Running::start(end)?.finish(limit).await?;
        Sample::single(&serde_json::from_str(&text)?)
    }

    /// This stack, as two processes.
    async fn ours(&self, task: Task, api: &str) -> anyhow::Result<Sample> {
        let mut common = self.options.ours.clone();
        let mut order = vec![
            format!("--duration={}", self.options.seconds),
            format!("--warmup={}", self.options.warmup),
            "--json".to_owned(),
        ];
        let (size, namespaces, pinned) = match task {
            Task::Bulk { size, segments } => {
                common.extend(segments.map(|segments| format!("--segments={segments}")));
                (size, None, None)
            }
            Task::Raw { size } => {
                common.push("--link=raw".to_owned());
                (size, Some(Namespaces::new()?), None)
            }
            Task::PingPong { size } => {
                order.push("--direction=pingpong".to_owned());
                // Bare UDP is bound to this address as well.
                common.extend([format!("--api={api}"), "--own=127.0.0.1".to_owned()]);
                (size, None, Some(Pinned::new()?))
            }
            Task::Core { .. } | Task::Idle | Task::Setup => bail!("that is run in one process"),
        };
        if namespaces.is_none() {
            common.insert(0, MTU_UDP.to_owned());
        }
        order.push(format!("--size={size}"));
        let prefix =
            |side| namespaces.as_ref().map(|n: &Namespaces| n.prefix(side)).unwrap_or_default();
        let server =
            [vec!["server".to_owned(), "--once".to_owned(), "--port=0".to_owned()], common.clone()]
                .concat();
        let mut server = Running::start(own_program(prefix(1), server)?)?;
        let ready = server.ready().await?;
        let ready = ReadyLine::parse(&ready).context("the server is not ready")?;
        let port = ready.get("sctp").context("the server has no port")?;
        let peer = match (&namespaces, ready.udp()) {
            (None, Some(udp)) => format!("127.0.0.1:{port}/udp:{udp}"),
            _ => format!("{}:{port}/native", ADDRESSES[1]),
        };
        let client = [vec!["client".to_owned(), peer], common, order].concat();
        let client = Running::start(own_program(prefix(0), client)?)?;
        if let Some(pinned) = pinned {
            pinned.release();
        }
        let text = client.finish(self.limit()).await?;
        let value: Value =
            serde_json::from_str(&text).context("the client's figures cannot be read")?;
        if matches!(task, Task::PingPong { .. }) {
            return Sample::single(value.get("round_trips").context("there are no round trips")?);
        }
        let received = &value["server"]["received"];
        let end = |name: &str| {
            let cpu = |kind: &str| value[name][kind].as_f64();
            let both =
                cpu("cpu_user_s").zip(cpu("cpu_system_s")).map(|(user, system)| user + system);
            json!({
                "bytes": received["bytes"],
                "messages": received["messages"],
                "seconds": received["seconds"],
                "cpu_s": both,
            })
        };
        Sample::bulk(&end("client"), &end("server"))
    }

    /// Another stack, as two processes.
    async fn peer(&self, task: Task, contender: Contender) -> anyhow::Result<Sample> {
        let (program, transport) = self.peers.driver(contender)?;
        let mut keys = self.keys(task);
        let pingpong = matches!(task, Task::PingPong { .. });
        let pinned = if pingpong { Some(Pinned::new()?) } else { None };
        let namespaces =
            if matches!(task, Task::Raw { .. }) { Some(Namespaces::new()?) } else { None };
        if namespaces.is_some() {
            keys.push("encap=raw".to_owned());
        }
        let end = |side: usize, mode: &str, more: Vec<String>| {
            let mut args: Vec<String> =
                transport.into_iter().chain([mode]).map(str::to_owned).collect();
            args.extend(keys.iter().cloned().chain(more));
            let prefix = namespaces.as_ref().map(|n| n.prefix(side)).unwrap_or_default();
            End::new(prefix, program, args)
        };
        let addresses = |own: &str| match namespaces {
            Some(_) => vec![format!("own={own}"), format!("server={}", ADDRESSES[1])],
            None => Vec::new(),
        };
        let mut server = Running::start(end(1, "server", addresses(ADDRESSES[1])))?;
        let ready = server.ready().await?;
        let given = ready.split_whitespace().skip(1).map(str::to_owned);
        let client = end(0, "client", given.chain(addresses(ADDRESSES[0])).collect());
        let mut client = Running::start(client)?;
        if let Some(pinned) = pinned {
            pinned.release();
        }
        if pingpong {
            return Sample::single(&client.figures(self.limit()).await?);
        }
        // An end waits for its peer even after that has gone. So do not wait until this one ends.
        let (sender, receiver) =
            tokio::join!(client.figures(self.limit()), server.figures(self.limit()));
        Sample::bulk(&sender.context("the client")?, &receiver.context("the server")?)
    }

    fn keys(&self, task: Task) -> Vec<String> {
        let mut keys = vec![
            format!("seconds={}", self.options.seconds),
            format!("warmup={}", self.options.warmup),
        ];
        match task {
            Task::Bulk { size, .. } | Task::Raw { size } | Task::Core { size } => {
                keys.push(format!("size={size}"))
            }
            Task::PingPong { size } => {
                keys.extend([format!("size={size}"), "task=pingpong".to_owned()])
            }
            Task::Idle | Task::Setup => {}
        }
        keys
    }

    /// A run that takes longer than this hangs.
    fn limit(&self) -> Duration {
        Duration::from_secs_f64(
            f64::from(self.options.seconds) + self.options.warmup.clamp(0.0, 600.0) + 20.0,
        )
    }
}

/// This program in another role.
fn own_program(prefix: Vec<String>, args: Vec<String>) -> anyhow::Result<End> {
    let program = std::env::current_exe().context("the own program cannot be found")?;
    let words = vec![CHILD_ARGUMENT.to_owned(), sctp_perf::NAME.to_owned()];
    Ok(End::new(prefix, program, [words, args].concat()))
}

/// A process. Dropping this ends it.
struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    complaints: JoinHandle<String>,
}

impl Running {
    fn start(end: End) -> anyhow::Result<Self> {
        let mut child = Command::new(&end.program)
            .args(&end.args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", end.program.display()))?;
        let stdout = child.stdout.take().context("the output is piped")?;
        let mut stderr = child.stderr.take().context("the output is piped")?;
        let complaints = tokio::spawn(async move {
            let mut text = String::new();
            let _ = stderr.read_to_string(&mut text).await;
            text
        });
        Ok(Running { child, lines: BufReader::new(stdout).lines(), complaints })
    }

    /// Waits for the line that begins with `ready`.
    async fn ready(&mut self) -> anyhow::Result<String> {
        let line = timeout(Duration::from_secs(10), async {
            loop {
                match self.lines.next_line().await? {
                    Some(line) if line.starts_with("ready") => return Ok(line),
                    Some(_) => {}
                    None => bail!("the server ended: {}", self.complaint().await),
                }
            }
        });
        line.await.context("the server does not become ready")?
    }

    /// Waits for the line with the figures.
    async fn figures(&mut self, limit: Duration) -> anyhow::Result<Value> {
        let line = timeout(limit, async {
            loop {
                match self.lines.next_line().await? {
                    Some(line) if line.starts_with('{') => return Ok(line),
                    Some(_) => {}
                    None => bail!("it failed: {}", self.complaint().await),
                }
            }
        });
        Ok(serde_json::from_str(&line.await.context("it hangs")??)?)
    }

    /// Waits for the end, and returns the rest of the output.
    async fn finish(mut self, limit: Duration) -> anyhow::Result<String> {
        let all = async {
            let mut text = String::new();
            while let Some(line) = self.lines.next_line().await? {
                text.push_str(&line);
                text.push('\n');
            }
            anyhow::Ok((text, self.child.wait().await?))
        };
        let (text, status) = timeout(limit, all).await.context("it hangs")??;
        if !status.success() || text.trim().is_empty() {
            bail!("it failed: {}", self.complaint().await);
        }
        Ok(text)
    }

    /// Its output on stderr, as one line.
    async fn complaint(&mut self) -> String {
        let text = timeout(Duration::from_secs(1), &mut self.complaints).await;
        let text = text.ok().and_then(Result::ok).unwrap_or_default();
        text.lines()
            .find(|line| !line.trim().is_empty())
            .unwrap_or("without a word")
            .trim()
            .to_owned()
    }
}
