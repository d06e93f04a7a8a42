//! The processes of the demo: how they start and end.

use std::ffi::OsString;
use std::time::Duration;

use anyhow::Context;
use rserpool_wire::{PeId, ServerId};

use super::Options;
use super::children::{Child, Lines};
use super::timeline::{Colour, Timeline};
use crate::cli::{ReadyLine, identifier};
use crate::programs::{pingpongclient, rspregistrar, rspserver};

/// How many registrars there are.
const REGISTRARS: usize = 2;
/// How many servers the pool has at the start.
const SERVERS: usize = 3;
/// Name of the client, in the time line and for its output.
pub(crate) const CLIENT: &str = "client";

const START_LIMIT: Duration = Duration::from_secs(5);
const END_LIMIT: Duration = Duration::from_millis(1500);
/// How long the client waits for missing Pongs at its end.
const DRAIN_LIMIT: Duration = Duration::from_secs(2);

/// The children in the order they started.
#[derive(Debug)]
pub(crate) struct Cast {
    /// How many times longer than promised everything may take.
    patience: u32,
    pub(crate) registrars: Vec<Registrar>,
    pub(crate) servers: Vec<Server>,
    client: Option<Child>,
    /// UDP ports of all of them.
    pub(crate) udp_ports: Vec<u16>,
}

/// A registrar.
#[derive(Debug)]
pub(crate) struct Registrar {
    /// Its name in the time line.
    pub(crate) name: String,
    /// Its identifier, as events show it.
    pub(crate) id: String,
    /// The option that tells servers and the client where it is.
    option: String,
    /// Whether it was killed.
    killed: bool,
    child: Child,
}

/// A server.
#[derive(Debug)]
pub(crate) struct Server {
    /// Its name in the time line.
    pub(crate) name: String,
    /// Its identifier in the pool.
    pub(crate) pe: u32,
    /// Whether it was killed.
    killed: bool,
    child: Child,
}

impl Cast {
    /// No processes yet.
    pub(crate) fn new(patience: u32) -> Cast {
        let (registrars, servers, udp_ports) = (Vec::new(), Vec::new(), Vec::new());
        Cast { patience, registrars, servers, client: None, udp_ports }
    }

    /// Starts all processes, and waits until each one is ready.
    ///
    /// # Errors
    /// When one of them does not become ready.
    pub(crate) async fn start(
        &mut self,
        options: &Options,
        timeline: &Timeline,
        lines: &mut Lines,
    ) -> anyhow::Result<()> {
        let mut peers = Vec::new();
        for _ in 0..REGISTRARS {
            peers.push(self.start_registrar(&peers, timeline, lines).await?);
        }
        for _ in 0..SERVERS {
            self.start_server(0, options, timeline, lines).await?;
        }
        let interval = format!("--interval={}", options.interval.as_millis());
        let drain = format!("--linger={}", (DRAIN_LIMIT * self.patience).as_millis());
        let mut args = vec!["--asapannounce=off", "--events", &interval, &drain, "--quiet"];
        args.extend(self.registrars.iter().map(|registrar| registrar.option.as_str()));
        let (client, line) = self.child(CLIENT, pingpongclient::NAME, &args, lines).await?;
        self.client = Some(client);
        let udp = self.udp_port(&line)?;
        let what = format!("up, UDP port {udp}; knows both registrars and asks for a server");
        timeline.event(Colour::Plain, CLIENT, &what);
        Ok(())
    }

    /// Starts a registrar with these options, which name the others. Returns the option that names
    /// this one.
    async fn start_registrar(
        &mut self,
        peers: &[String],
        timeline: &Timeline,
        lines: &mut Lines,
    ) -> anyhow::Result<String> {
        let name = format!("registrar {}", self.registrars.len() + 1);
        let mut args = vec![
            "--asap=127.0.0.1:0",
            "--enrp=127.0.0.1:0",
            "--encap-port=0",
            "--asapannounce=off",
            "--enrpannounce=off",
            "--events",
            "--quiet",
        ];
        args.extend(peers.iter().map(String::as_str));
        let (child, line) = self.child(&name, rspregistrar::NAME, &args, lines).await?;
        let udp = self.udp_port(&line)?;
        let (asap, enrp) = (field(&line, "asap")?, field(&line, "enrp")?);
        let what = format!("up: ASAP on SCTP {asap}, ENRP on SCTP {enrp}, UDP port {udp}");
        timeline.event(Colour::Plain, &name, &what);
        let id = ServerId(identifier_of(&line)?).to_string();
        let option = format!("--registrar={}", field(&line, "registrar")?);
        self.registrars.push(Registrar { name, id, option, killed: false, child });
        Ok(format!("--peer={}", field(&line, "peer")?))
    }

    /// Starts a server that knows no registrar but the one with this index.
    ///
    /// # Errors
    /// When it does not become ready.
    pub(crate) async fn start_server(
        &mut self,
        registrar: usize,
        options: &Options,
        timeline: &Timeline,
        lines: &mut Lines,
    ) -> anyhow::Result<()> {
        let n = self.servers.len();
        let name = format!("server {}", n + 1);
        let home = self.registrars.get(registrar).context("there is no such registrar")?;
        let think = format!("--pppreplydelay={}", options.think.as_millis());
        let args = [
            "-pingpong",
            "--local=127.0.0.1:0",
            &home.option,
            "--asapannounce=off",
            &think,
            "--quiet",
        ];
        let (child, line) = self.child(&name, rspserver::NAME, &args, lines).await?;
        let (pe, pool) = (identifier_of(&line)?, line.get("pool").unwrap_or("its pool"));
        let registered = format!("registered with {} in {pool} as {}", home.name, PeId(pe));
        let udp = self.udp_port(&line)?;
        timeline.event(Colour::Server(n), &name, &format!("{registered}, UDP port {udp}"));
        self.servers.push(Server { name, pe, killed: false, child });
        Ok(())
    }

    /// Starts a child and waits until it is ready.
    async fn child(
        &self,
        name: &str,
        program: &str,
        args: &[&str],
        lines: &mut Lines,
    ) -> anyhow::Result<(Child, ReadyLine)> {
        let args: Vec<OsString> = args.iter().map(OsString::from).collect();
        let child = Child::start(name, program, &args, lines)?;
        let line = lines.ready(name, START_LIMIT * self.patience).await?;
        Ok((child, line))
    }

    /// The UDP port in a ready line. It is added to the ports of all.
    fn udp_port(&mut self, line: &ReadyLine) -> anyhow::Result<u16> {
        let port = line
            .udp()
            .with_context(|| format!("the ready line of {} has no UDP port", line.program))?;
        self.udp_ports.push(port);
        Ok(port)
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

    /// Kills a registrar with SIGKILL.
    ///
    /// # Errors
    /// When the system refuses.
    pub(crate) fn kill_registrar(&mut self, index: usize) -> anyhow::Result<()> {
        let registrar = self.registrars.get_mut(index).context("there is no such registrar")?;
        registrar.killed = true;
        registrar.child.kill()
    }

    /// Whether this child is a registrar.
    pub(crate) fn is_registrar(&self, name: &str) -> bool {
        self.registrars.iter().any(|registrar| registrar.name == name)
    }

    /// Whether this child may end, because it was killed.
    pub(crate) fn may_end(&self, name: &str) -> bool {
        self.servers.iter().any(|server| server.killed && server.name == name)
            || self.registrars.iter().any(|registrar| registrar.killed && registrar.name == name)
    }

    /// Asks the client to finish: it waits for missing Pongs and ends.
    pub(crate) fn ask_client_to_finish(&mut self) {
        if let Some(client) = &mut self.client {
            client.ask_to_end();
        }
    }

    /// Ends all processes that still run, the client first and the registrars last. Returns those
    /// that did not end when they were asked to.
    pub(crate) async fn end(&mut self) -> Vec<String> {
        let mut complaints = Vec::new();
        for group in [
            self.client.iter_mut().collect::<Vec<_>>(),
            self.servers.iter_mut().filter(|s| !s.killed).map(|s| &mut s.child).collect(),
            self.registrars.iter_mut().filter(|r| !r.killed).map(|r| &mut r.child).collect(),
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

fn identifier_of(line: &ReadyLine) -> anyhow::Result<u32> {
    let id = field(line, "id")?;
    identifier(id).map_err(|why| anyhow::anyhow!("{} named itself {id}, but {why}", line.program))
}
