//! The processes of the demo: how they start and end.

use std::ffi::OsString;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::mpsc;

use super::Options;
use super::children::{Child, ChildLine, ready};
use super::timeline::{Colour, Timeline};
use crate::cli::{ReadyLine, identifier};
use crate::programs::{pingpongclient, rspregistrar, rspserver};

/// How many servers the pool has.
pub(crate) const SERVERS: usize = 3;
/// Name of the client, in the time line and for its output.
pub(crate) const CLIENT: &str = "client";

/// Name of the registrar.
pub(crate) const REGISTRAR: &str = "registrar";

const START_LIMIT: Duration = Duration::from_secs(5);
const END_LIMIT: Duration = Duration::from_millis(1500);
/// How long the client waits for missing Pongs at its end.
const DRAIN_LIMIT: Duration = Duration::from_secs(2);

/// The children in the order they started.
#[derive(Debug)]
pub(crate) struct Cast {
    /// How many times longer than promised everything may take.
    patience: u32,
    registrar: Option<Child>,
    pub(crate) servers: Vec<Server>,
    client: Option<Child>,
    /// UDP ports of all of them.
    pub(crate) udp_ports: Vec<u16>,
}

/// A server.
#[derive(Debug)]
pub(crate) struct Server {
    /// Its name in the time line.
    pub(crate) name: String,
    /// Its identifier in the pool.
    pub(crate) pe: u32,
    /// Whether it was killed.
    pub(crate) killed: bool,
    child: Child,
}

impl Cast {
    /// No processes yet.
    pub(crate) fn new(patience: u32) -> Cast {
        Cast { patience, registrar: None, servers: Vec::new(), client: None, udp_ports: Vec::new() }
    }

    /// Starts all processes, and waits until each one is ready.
    ///
    /// # Errors
    /// When one of them does not become ready.
    pub(crate) async fn start(
        &mut self,
        options: &Options,
        timeline: &Timeline,
        lines_tx: &mpsc::Sender<ChildLine>,
        lines: &mut mpsc::Receiver<ChildLine>,
    ) -> anyhow::Result<()> {
        let start_limit = START_LIMIT * self.patience;
        let args = [
            "--asap=127.0.0.1:0",
            "--encap-port=0",
            "--asapannounce=off",
            "--enrp=off",
            "--events",
            "--quiet",
        ];
        self.registrar =
            Some(Child::start(REGISTRAR, rspregistrar::NAME, &args.map(OsString::from), lines_tx)?);
        let line = ready(REGISTRAR, lines, start_limit).await?;
        let (asap, udp) = (field(&line, "asap")?, udp_port(&line)?);
        self.udp_ports.push(udp);
        timeline.event(
            Colour::Plain,
            REGISTRAR,
            &format!("up: ASAP on SCTP {asap}, UDP port {udp}"),
        );

        let registrar = format!("--registrar={asap}/udp:{udp}");
        for n in 0..SERVERS {
            let name = format!("server {}", n + 1);
            let think = format!("--pppreplydelay={}", options.think.as_millis());
            let args = [
                "-pingpong",
                "--local=127.0.0.1:0",
                &registrar,
                "--asapannounce=off",
                &think,
                "--quiet",
            ];
            let child = Child::start(&name, rspserver::NAME, &args.map(OsString::from), lines_tx)?;
            let line = ready(&name, lines, start_limit).await?;
            let (id, udp) = (field(&line, "id")?, udp_port(&line)?);
            let pe = identifier(id)
                .map_err(|why| anyhow::anyhow!("{name} named its identifier {id}, but {why}"))?;
            self.udp_ports.push(udp);
            let pool = line.get("pool").unwrap_or("its pool");
            timeline.event(
                Colour::Server(n),
                &name,
                &format!("registered in {pool} as {id}, UDP port {udp}"),
            );
            self.servers.push(Server { name, pe, killed: false, child });
        }

        let interval = format!("--interval={}", options.interval.as_millis());
        let drain = format!("--linger={}", (DRAIN_LIMIT * self.patience).as_millis());
        let args = [&registrar, "--asapannounce=off", "--events", &interval, &drain, "--quiet"];
        self.client =
            Some(Child::start(CLIENT, pingpongclient::NAME, &args.map(OsString::from), lines_tx)?);
        let line = ready(CLIENT, lines, start_limit).await?;
        let udp = udp_port(&line)?;
        self.udp_ports.push(udp);
        timeline.event(
            Colour::Plain,
            CLIENT,
            &format!("up, UDP port {udp}; asks the registrar for a server"),
        );
        Ok(())
    }

    /// The index of a pool element among the servers.
    pub(crate) fn place(&self, pe: u32) -> Option<usize> {
        self.servers.iter().position(|server| server.pe == pe)
    }

    /// Name of a pool element.
    pub(crate) fn name(&self, pe: u32) -> String {
        self.place(pe).map_or_else(|| format!("{pe:#010x}"), |n| self.servers[n].name.clone())
    }

    /// Kills a server with SIGKILL.
    ///
    /// # Errors
    /// When the system refuses.
    pub(crate) fn kill(&mut self, place: usize) -> anyhow::Result<()> {
        let server = self.servers.get_mut(place).context("there is no such server")?;
        server.killed = true;
        server.child.kill()
    }

    /// Whether this child may end, because it was killed.
    pub(crate) fn may_end(&self, name: &str) -> bool {
        self.servers.iter().any(|server| server.killed && server.name == name)
    }

    /// Asks the client to finish: it waits for missing Pongs and ends.
    pub(crate) fn ask_client_to_finish(&mut self) {
        if let Some(client) = &mut self.client {
            client.ask_to_end();
        }
    }

    /// Ends all processes that still run, the client first and the registrar last. Returns those
    /// that did not end when they were asked to.
    pub(crate) async fn end(&mut self) -> Vec<String> {
        let mut complaints = Vec::new();
        for group in [
            self.client.iter_mut().collect::<Vec<_>>(),
            self.servers.iter_mut().filter(|s| !s.killed).map(|s| &mut s.child).collect(),
            self.registrar.iter_mut().collect(),
        ] {
            let mut group = group;
            group.iter_mut().for_each(|child| child.ask_to_end());
            for child in group {
                match child.ended(END_LIMIT * self.patience).await {
                    Ok(status) if status.success() => {}
                    Ok(status) => complaints.push(format!("{} ended with {status}", child.name)),
                    Err(error) => complaints.push(format!("{error:#}")),
                }
            }
        }
        complaints
    }
}

fn field<'a>(line: &'a ReadyLine, key: &str) -> anyhow::Result<&'a str> {
    line.get(key).with_context(|| format!("the ready line of {} has no {key}", line.program))
}

fn udp_port(line: &ReadyLine) -> anyhow::Result<u16> {
    line.udp().with_context(|| format!("the ready line of {} has no UDP port", line.program))
}
