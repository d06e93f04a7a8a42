//! The course of the client.

use std::io::ErrorKind;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use anyhow::{Context, bail};
use rserpool::{
    PoolUser, Session, SessionEvent, SessionOptions, UserEvent, UserMessage, UserOptions,
};
use rserpool_wire::PeId;
use rserpool_wire::numbers::ppid;
use sctp_udp_encap::Port;
use tokio::time::{Instant, MissedTickBehavior};

use super::event::ClientEvent;
use super::options::Options;
use super::pings::{Pings, Verdict};
use crate::cli::{self, End, EndReason, Payload, Ready, banner_lines, with_time};
use crate::programs::asap::{self, Search};
use crate::programs::stack;
use crate::protocols::pingpong::{Ping, PingPongMessage};

/// How long closing the last session may take. A client that was asked to end gives the reader of
/// its output the same time.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);
const NOT_WRITTEN: &str = "standard output cannot be written";
/// A shorter search for a registrar is not mentioned.
const QUICK: Duration = Duration::from_secs(1);

pub(super) async fn run(options: Options) -> anyhow::Result<ExitCode> {
    options.common.log.start()?;
    let mut end = options.common.end.watch_output().context("signals cannot be watched")?;
    let link = &options.common.link;
    let own = cli::resolve(&options.local).await?;
    let stack = stack::open(link, &own, Port::Any)?;
    let asap = asap::config(&stack, &options.registrars, link.profile, Vec::new()).await?;
    let (user, search) = asap::start(asap, &options.registrars, link, |asap| {
        PoolUser::new(&stack, UserOptions { asap })
    })?;
    let mut out = Payload::start();
    if !options.quiet {
        let title = format!("Ping Pong Client - Version {}", env!("CARGO_PKG_VERSION"));
        let rows = [
            ("Pool handle", options.poolhandle.to_string()),
            ("Interval", format!("{} ms", options.interval.as_millis())),
        ];
        banner_lines(&title, &rows).iter().for_each(|line| out.line(line));
    }
    let ready = Ready::new(super::NAME).with("sctp", user.port());
    out.line(ready.with_known("udp", stack.local_udp_port()).as_str());

    let session_options = SessionOptions {
        reply_timeout: Some(options.reply_timeout()),
        assoc: link.profile.rserpool(stack.assoc_config()),
        ..SessionOptions::default()
    };
    let session = user.open(options.poolhandle.clone(), session_options)?;
    let mut client = Client::new(session, search.silent_for(QUICK), out, &options);
    let mut reason = None;
    let given_up = client.converse(&user, &options, &mut end, &mut reason).await;
    let missing = client.pings.open();
    if given_up.is_ok() {
        client.tell(&ClientEvent::Finished {
            sent: client.pings.sent(),
            answered: client.pings.answered(),
        });
    }
    // Failures are not mentioned any more: every ping was answered, or never will be.
    let _ = tokio::time::timeout(CLOSE_LIMIT, client.session.close()).await;
    let _ = tokio::time::timeout(CLOSE_LIMIT, stack.shutdown()).await;
    // The reader of the output may take its time, unless the client has to end.
    let ends = given_up.is_err() || reason.is_some();
    let written = tokio::select! {
        biased;
        written = client.out.finish() => written,
        _ = end.wait(), if !ends => Ok(()),
        () = tokio::time::sleep(CLOSE_LIMIT), if ends => Ok(()),
    };
    let given_up = given_up?;
    match written {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
        written => written.context(NOT_WRITTEN)?,
    }
    let missing = match missing {
        0 => None,
        1 => Some("1 ping has no pong".to_owned()),
        n => Some(format!("{n} pings have no pong")),
    };
    match (given_up, missing, reason) {
        (_, _, Some(reason @ EndReason::OutputClosed)) => Ok(reason.status()),
        (None, None, _) => Ok(ExitCode::SUCCESS),
        (given_up, missing, _) => {
            bail!("{}", [given_up, missing].into_iter().flatten().collect::<Vec<_>>().join("; "))
        }
    }
}

struct Client {
    session: Session,
    /// The element that the session is with.
    element: Option<PeId>,
    /// The element that the session was with last.
    last_element: Option<PeId>,
    pings: Pings,
    failovers: u64,
    start: Instant,
    events: bool,
    out: Payload,
    search: Search,
    /// Why there is no session.
    problem: Option<String>,
    /// How long there may be no pong from the pool.
    pool_timeout: Option<Duration>,
    /// Since when the client has been waiting for a server or a pong.
    waits_since: Option<Instant>,
    /// The user was told that the servers send something else.
    told_strange: bool,
}

impl Client {
    fn new(session: Session, search: Search, out: Payload, options: &Options) -> Self {
        Client {
            session,
            element: None,
            last_element: None,
            pings: Pings::default(),
            failovers: 0,
            start: Instant::now(),
            events: options.events,
            out,
            search,
            problem: None,
            pool_timeout: options.pool_timeout(),
            waits_since: Some(Instant::now()),
            told_strange: false,
        }
    }

    /// Runs until everything is answered or there is another reason to end. Returns why the client
    /// gives up, if it does; `reason` becomes why it was asked to end, if it was.
    async fn converse(
        &mut self,
        user: &PoolUser,
        options: &Options,
        end: &mut End,
        reason: &mut Option<EndReason>,
    ) -> anyhow::Result<Option<String>> {
        let mut ticks = tokio::time::interval(options.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut drain_until: Option<Instant> = None;
        loop {
            let all_sent = options.count > 0 && self.pings.sent() >= options.count;
            if (drain_until.is_some() || all_sent) && self.pings.open() == 0 {
                return Ok(None);
            }
            // While the reader of the output stalls, the client sends no pings. When much waits for
            // the reader, it takes no more events either. The associations stay up meanwhile.
            let (stalls, full) = (self.out.is_waiting(), self.out.is_full());
            if full {
                self.waits_since = self.waits_since.map(|_| Instant::now());
            }
            let gives_up_at = self.gives_up_at();
            let search_ends = self.search_ends();
            tokio::select! {
                biased;
                why = end.wait(), if drain_until.is_none() => {
                    *reason = Some(why);
                    drain_until = Some(Instant::now() + options.linger);
                }
                written = self.out.hand_over(), if stalls => match written {
                    Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                        reason.get_or_insert(EndReason::OutputClosed);
                        drain_until.get_or_insert(Instant::now() + options.linger);
                    }
                    written => written.context(NOT_WRITTEN)?,
                },
                () = tokio::time::sleep_until(drain_until.unwrap_or_else(Instant::now)),
                    if drain_until.is_some() => return Ok(None),
                () = tokio::time::sleep_until(gives_up_at.unwrap_or_else(Instant::now)),
                    if gives_up_at.is_some() && !full => return Ok(Some(self.given_up())),
                () = tokio::time::sleep_until(search_ends.unwrap_or_else(Instant::now)),
                    if search_ends.is_some() && !full => bail!("{}", self.search.given_up()),
                event = self.session.recv(), if !full => self.session_event(event?).await?,
                event = user.next_event(), if !full => self.registrar_event(&event?),
                () = self.search.silence_over(), if !full => {
                    let words = self.search.words();
                    self.note(&words);
                }
                _ = ticks.tick(),
                    if self.element.is_some() && drain_until.is_none() && !all_sent && !stalls =>
                {
                    self.ping().await?;
                }
            }
        }
    }

    /// Sends the next ping.
    async fn ping(&mut self) -> anyhow::Result<()> {
        match self.pings.next(self.start.elapsed()) {
            Some(number) => self.send(number, false).await,
            None => Ok(()),
        }
    }

    /// When the client gives up if there is no pong until then.
    fn gives_up_at(&self) -> Option<Instant> {
        self.waits_since?.checked_add(self.pool_timeout?)
    }

    /// When the search for the first registrar is given up.
    fn search_ends(&self) -> Option<Instant> {
        self.search.gives_up_at().filter(|_| self.last_element.is_none())
    }

    /// Why it gives up.
    fn given_up(&self) -> String {
        let limit = self.pool_timeout.unwrap_or_default().as_secs_f64();
        let what = match self.element {
            None => "the pool had no server",
            Some(_) => "the servers of the pool sent no pong",
        };
        let problem = self.search.problem().or_else(|| self.problem.clone());
        let problem = problem.map_or_else(String::new, |problem| format!(": {problem}"));
        format!("{what} for {limit} s (--pooltimeout=){problem}")
    }

    async fn send(&mut self, number: u64, again: bool) -> anyhow::Result<()> {
        self.waits_since.get_or_insert_with(Instant::now);
        self.tell(&ClientEvent::Sent { number, again });
        let time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let data = format!("message {number} at {} us", time.as_micros());
        let ping = PingPongMessage::Ping(Ping { number, data: data.into() }).encode()?;
        match self.session.send(UserMessage::new(ppid::PING_PONG, ping)).await {
            Ok(()) => Ok(()),
            // The session reports that in a moment. The ping stays unanswered, and is sent again
            // then.
            Err(rserpool::Error::NotConnected | rserpool::Error::Sctp(_)) => {
                self.element = None;
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn session_event(&mut self, event: SessionEvent) -> anyhow::Result<()> {
        match event {
            SessionEvent::Message(message) => self.message(&message),
            SessionEvent::FailoverNeeded(cause) => {
                let pe = self.element.take().or(self.last_element);
                self.failovers += 1;
                self.waits_since.get_or_insert_with(Instant::now);
                self.tell(&ClientEvent::Lost { pe: pe.map(|id| id.0), why: cause.to_string() });
            }
            SessionEvent::FailoverProblem(problem) => {
                let problem = problem.to_string();
                let limit = match (&self.problem, self.pool_timeout) {
                    (Some(_), _) => String::new(),
                    (None, Some(limit)) => format!(
                        "; giving up after {} s without a pong (--pooltimeout=)",
                        limit.as_secs_f64()
                    ),
                    (None, None) => {
                        "; for as long as it takes (--pooltimeout= sets a limit)".to_owned()
                    }
                };
                self.tell(&ClientEvent::Lost { pe: None, why: format!("{problem}{limit}") });
                self.problem = Some(problem);
            }
            SessionEvent::FailoverDone { element, cookie_echoed, .. } => {
                self.element = Some(element);
                self.last_element = Some(element);
                self.problem = None;
                if self.pings.open() == 0 {
                    self.waits_since = None;
                }
                self.tell(&ClientEvent::Session { pe: element.0, resumed: cookie_echoed });
                for number in self.pings.again(self.start.elapsed()) {
                    self.send(number, true).await?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn message(&mut self, message: &UserMessage) {
        let pong = match PingPongMessage::decode(&message.data) {
            Ok(PingPongMessage::Pong(pong)) if message.ppid == ppid::PING_PONG => pong,
            _ => {
                tracing::warn!(ppid = message.ppid, "the server sent something that is not a pong");
                if !std::mem::replace(&mut self.told_strange, true) {
                    self.note(
                        "the server sends something that is not a pong; --poolhandle= names a \
                         pool of ping-pong servers",
                    );
                }
                return;
            }
        };
        let (number, reply, pe) = (pong.number, pong.reply, self.last_element.map_or(0, |id| id.0));
        match self.pings.pong(number, self.start.elapsed()) {
            Verdict::First(time) => {
                self.waits_since = (self.pings.open() > 0).then(Instant::now);
                let rtt_us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
                self.tell(&ClientEvent::Pong { number, reply, pe, rtt_us });
            }
            Verdict::Second => self.tell(&ClientEvent::Dropped { number, reply, pe }),
            Verdict::NeverSent => {
                tracing::warn!(number, "the server answered a ping that was never sent")
            }
        }
    }

    fn registrar_event(&mut self, event: &UserEvent) {
        if let Some(words) = self.search.event(Instant::now(), event) {
            self.note(&words);
        }
    }

    fn note(&mut self, text: &str) {
        self.tell(&ClientEvent::Note { text: text.to_owned() });
    }

    fn tell(&mut self, event: &ClientEvent) {
        if self.events {
            return self.out.line(&event.to_json());
        }
        let text = match event {
            ClientEvent::Sent { number, again: false } => {
                return self.out.line(&format!("Message #{number} sent"));
            }
            ClientEvent::Sent { number, again: true } => {
                return self.out.line(&format!("Message #{number} sent again"));
            }
            ClientEvent::Session { pe, resumed } => {
                let how = if *resumed { ", state handed over" } else { "" };
                format!("Session with PE ${pe:08x}{how}")
            }
            ClientEvent::Pong { number, reply, pe, rtt_us } => {
                let ms = *rtt_us as f64 / 1000.0;
                format!("Ack #{number} from PE ${pe:08x} (reply #{reply}, {ms:.1} ms)")
            }
            ClientEvent::Dropped { number, reply, pe } => {
                format!("Second ack #{number} from PE ${pe:08x} (reply #{reply}) dropped")
            }
            ClientEvent::Lost { pe: Some(pe), why } => {
                self.out.line(&with_time(&format!("Lost PE ${pe:08x}: {why}")));
                format!("FAILOVER #{} ...", self.failovers)
            }
            ClientEvent::Lost { pe: None, why } => format!("Looking for a PE: {why}"),
            ClientEvent::Note { text } => text.clone(),
            ClientEvent::Finished { sent, answered } => {
                format!("{sent} messages sent, {answered} acknowledged")
            }
        };
        self.out.line(&with_time(&text));
    }
}
