//! Real-time mode: real links and the clock of the system.

use std::future::poll_fn;
use std::io::BufRead;
use std::net::IpAddr;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sctp_udp_encap::{UdpEncapConfig, UdpEncapLink};
use sctp_user::link::raw::{RawConfig, RawLink};
use sctp_user::link::{Link, RecvBatch};
use sctp_user::local_addresses;
use sctp_user_core::wire::Packet;
use sctp_user_core::{Datagram, Encap, Scope, SegmentLimits, StackConfig, Time};
use tokio::sync::mpsc;

use super::calls::Agent;
use super::request::Request;
use super::virtual_time::{socket_defaults, stack_config};
use super::{Reply, answer};

/// Runs the agent until standard input ends. `udp_port` is the local and remote port of RFC 6951.
pub(super) fn run(udp_port: Option<u16>) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|e| e.to_string())?.block_on(serve(udp_port))
}

async fn serve(udp_port: Option<u16>) -> Result<(), String> {
    let udp_addrs = udp_addrs()?;
    // Endpoints bound to all addresses announce those of the host, as they do with a kernel's SCTP.
    let local_addresses = match udp_port {
        Some(_) if !udp_addrs.is_empty() => udp_addrs.clone(),
        _ => local_addresses(Scope::Loopback),
    };
    let link: Box<dyn Link> = match udp_port {
        Some(port) => Box::new(udp_link(port, udp_addrs)?),
        None => Box::new(raw_link()?),
    };
    let encap = udp_port.map_or(Encap::Native, |remote_port| Encap::Udp { remote_port });
    let agent = Agent::new(
        StackConfig { local_addresses, ..stack_config() },
        socket_defaults(),
        encap,
        rand::random(),
    );
    let mut real =
        Real { agent, link, started: Instant::now(), batch: RecvBatch::new(), buf: Vec::new() };
    let mut lines = requests();
    loop {
        let deadline = real.agent.sockets.poll_timeout().map(|at| real.instant(at));
        tokio::select! {
            biased;
            received = poll_fn(|cx| real.link.poll_recv(cx, &mut real.batch)) => {
                received.map_err(|e| format!("the link has failed: {e}"))?;
                real.take_batch();
            }
            () = sleep_until(deadline) => real.fire_timers(),
            line = lines.recv() => match line {
                Some(line) => {
                    let reply = real.request(&line).await;
                    answer(&reply).map_err(|e| e.to_string())?;
                }
                None => break,
            },
        }
        real.transmit().await;
    }
    // The tester is gone, so the associations are ended.
    let now = real.now();
    real.agent.sockets.abort_all(now, Bytes::new());
    real.transmit().await;
    Ok(())
}

/// The raw IP link, on all addresses.
fn raw_link() -> Result<RawLink, String> {
    let link = RawLink::open(&RawConfig::default()).map_err(|e| e.to_string())?;
    if let Some(warning) = link.kernel_sctp() {
        eprintln!("sctp-agent: {warning}");
    }
    Ok(link)
}

/// `SUT_UDP_ADDRS`: the addresses to bind the UDP port on. An empty list stands for all.
fn udp_addrs() -> Result<Vec<IpAddr>, String> {
    let text = std::env::var("SUT_UDP_ADDRS").unwrap_or_default();
    let addrs = text.split(',').filter(|a| !a.is_empty()).map(str::parse);
    let wrong =
        |_| format!("SUT_UDP_ADDRS is {text:?} and must be IP addresses, separated by commas");
    addrs.collect::<Result<_, _>>().map_err(wrong)
}

fn udp_link(port: u16, addrs: Vec<IpAddr>) -> Result<UdpEncapLink, String> {
    let mut config = UdpEncapConfig::with_port(port.into());
    if !addrs.is_empty() {
        config.addrs = addrs;
    }
    UdpEncapLink::bind(&config).map_err(|e| e.to_string())
}

/// The lines of standard input, read by a thread of their own.
fn requests() -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel(64);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let Ok(line) = line else { break };
            if sender.blocking_send(line).is_err() {
                break;
            }
        }
    });
    receiver
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// The agent with a link and the clock.
struct Real {
    agent: Agent,
    link: Box<dyn Link>,
    started: Instant,
    batch: RecvBatch,
    buf: Vec<u8>,
}

impl Real {
    async fn request(&mut self, line: &str) -> Reply {
        let r = Request::parse(line)?;
        if r.verb == "barrier" {
            self.barrier().await;
            return Ok(String::new());
        }
        self.agent.now = self.now();
        self.agent.request(&r)
    }

    /// Handles everything that has arrived, including what arrives in reaction to our answers.
    async fn barrier(&mut self) {
        let mut quiet = 0;
        for _ in 0..MOST_ROUNDS {
            if quiet == QUIET_ROUNDS {
                break;
            }
            // This lets the runtime look at its sockets.
            tokio::task::yield_now().await;
            let received =
                poll_fn(|cx| Poll::Ready(self.link.poll_recv(cx, &mut self.batch).is_ready()))
                    .await;
            quiet = if received { 0 } else { quiet + 1 };
            self.take_batch();
            self.fire_timers();
            self.transmit().await;
        }
    }

    /// Hands the packets that the link has received to the sockets.
    fn take_batch(&mut self) {
        let at = self.now();
        for received in self.batch.datagrams.drain(..) {
            if let Ok(packet) = Packet::check(received.bytes) {
                let (from, ecn) = (received.from, received.ecn);
                self.agent.sockets.handle_datagram(Datagram { at, from, ecn, packet });
            }
        }
        for error in self.batch.errors.drain(..) {
            self.agent.sockets.handle_unreachable(at, error.to, error.kind, &error.quoted);
        }
    }

    fn fire_timers(&mut self) {
        let now = self.now();
        if self.agent.sockets.poll_timeout().is_some_and(|at| at <= now) {
            self.agent.sockets.handle_timeout(now);
        }
    }

    /// Sends everything that the stack wants to send.
    async fn transmit(&mut self) {
        let now = self.now();
        loop {
            self.buf.clear();
            let Some(transmit) =
                self.agent.sockets.poll_transmit(now, SegmentLimits::ONE, &mut self.buf)
            else {
                break;
            };
            // A packet that the system refuses is lost, as it may be anywhere on its way.
            let _ = poll_fn(|cx| self.link.poll_send(cx, &transmit, &self.buf)).await;
        }
        while self.agent.sockets.poll_ready().is_some() {}
    }

    /// The time since the start, but never before the time that the sockets have seen last.
    fn now(&self) -> Time {
        let nanos = u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        Time::from_nanos(nanos).max(self.agent.now)
    }

    fn instant(&self, at: Time) -> Instant {
        self.started + at.since(Time::ZERO).min(LONGEST_SLEEP)
    }
}

/// The link counts as empty when nothing was found this many times in a row.
const QUIET_ROUNDS: u32 = 2;
/// A barrier ends after this many rounds even if the peer never stops sending: by then, everything
/// that had arrived before is handled.
const MOST_ROUNDS: u32 = 10_000;
/// Deadlines are checked again after at most this time.
const LONGEST_SLEEP: Duration = Duration::from_secs(365 * 24 * 3600);
