//! The course of the demo: it starts all processes, kills two servers, their registrar and another
//! server, ends and sums up.

use std::collections::VecDeque;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use rserpool_wire::PeId;
use tokio::time::Instant;

use super::Options;
use super::cast::{CLIENT, Cast};
use super::children::{ChildLine, Line, Lines};
use super::ledger::{Kill, Ledger};
use super::summary;
use super::timeline::{Colour, Timeline};
use crate::cli::Ready;
use crate::programs::pingpongclient::ClientEvent;

/// How many servers are killed before the registrar.
const KILLS: usize = 2;
/// How many servers are killed in all.
const ALL_KILLS: usize = KILLS + 1;
/// The time limit up to the end of the client. Then the others end; 30 s in all are promised.
const TIME_LIMIT: Duration = Duration::from_secs(25);
/// How long to wait for the first session, and for the Pong after a kill.
const PONG_LIMIT: Duration = Duration::from_secs(5);
/// How many dots the status line shows.
const TRAIL: usize = 20;
/// This many Pongs get a line of their own before something else is told.
const FEW: u64 = 20;

/// Runs the demo. The status is success only if all promises were kept.
///
/// # Errors
/// When it cannot be run to its end.
pub(super) async fn show(options: Options) -> anyhow::Result<ExitCode> {
    let mut end = options.end.watch().context("signals cannot be watched")?;
    let time_limit = TIME_LIMIT * options.patience;
    let mut demo = Demo::new(options);
    demo.timeline.line(
        "Reliable Server Pooling over userland SCTP: two registrars, three servers and a client, \
         processes that\n\
         talk SCTP in UDP on 127.0.0.1. Twice the server that serves is killed, and then the \
         registrar of all\n\
         servers. Watch the session go on.\n",
    );
    let outcome = tokio::select! {
        biased;
        _ = end.wait() => Err(anyhow::anyhow!("interrupted")),
        outcome = tokio::time::timeout(time_limit, demo.course()) => outcome
            .unwrap_or_else(|_| bail!("the demo was not done after {} s", time_limit.as_secs())),
    };
    let mut complaints = demo.cast.end().await;
    demo.timeline.end_status();
    summary::print(&demo.timeline, &demo.ledger, &demo.cast);
    outcome?;
    complaints.extend(demo.ledger.complaints(ALL_KILLS));
    if complaints.is_empty() {
        demo.timeline.line(&demo.timeline.paint(
            Colour::Green,
            "\nNothing lost, nothing doubled, every failover and the takeover in time.",
        ));
        Ok(ExitCode::SUCCESS)
    } else {
        bail!("{}", complaints.join("; "))
    }
}

struct Demo {
    options: Options,
    timeline: Timeline,
    ledger: Ledger,
    cast: Cast,
    lines: Lines,
    recent: Recent,
    /// The client has reported that it is finished.
    finished: bool,
    client_ended: bool,
}

/// The Pongs since the last line about them.
#[derive(Default)]
struct Recent {
    pongs: u64,
    number: u64,
    reply: u64,
    rtt_us: u64,
    /// The indexes of the servers that sent the last Pongs.
    trail: VecDeque<usize>,
    /// The Pings that were sent again, but not told yet, and when the first was.
    again: Vec<u64>,
    again_at: Duration,
}

impl Demo {
    fn new(options: Options) -> Self {
        Demo {
            timeline: Timeline::new(options.plain),
            ledger: Ledger::new(options.patience),
            cast: Cast::new(options.patience),
            options,
            lines: Lines::new(),
            recent: Recent::default(),
            finished: false,
            client_ended: false,
        }
    }

    async fn course(&mut self) -> anyhow::Result<()> {
        self.cast.start(&self.options, &self.timeline, &mut self.lines).await?;
        let ports: Vec<String> = self.cast.udp_ports.iter().map(u16::to_string).collect();
        let ready = Ready::new(super::NAME).with("udp", ports.join(","));
        self.timeline.line(&self.timeline.paint(Colour::Dim, ready.as_str()));
        self.watch_until("no session came up", |demo| demo.recent.pongs > 0).await?;
        for _ in 0..KILLS {
            self.watch_for(self.options.serve).await?;
            self.kill_the_serving_one().await?;
        }
        self.watch_for(self.options.serve).await?;
        self.kill_the_registrar().await?;
        self.cast.start_server(1, &self.options, &self.timeline, &mut self.lines).await?;
        self.watch_for(self.options.serve).await?;
        self.kill_the_serving_one().await?;
        self.watch_for(self.options.serve).await?;
        self.tell_pongs();
        self.cast.ask_client_to_finish();
        self.watch_until("the client did not finish", |demo| demo.finished && demo.client_ended)
            .await?;
        self.timeline.event(
            Colour::Plain,
            CLIENT,
            "has its last pong and ends; the others are asked to end as well",
        );
        Ok(())
    }

    /// Waits until the client has a server and an unanswered Ping, kills that server, and waits for
    /// the next Pong.
    async fn kill_the_serving_one(&mut self) -> anyhow::Result<()> {
        let target =
            |demo: &Demo| demo.ledger.serving().filter(|_| !demo.ledger.in_flight().is_empty());
        self.watch_until("no ping was in flight", |demo| target(demo).is_some()).await?;
        let pe = target(self).context("no server serves")?;
        let place = self
            .cast
            .place(pe)
            .with_context(|| format!("{pe:#010x} is none of the demo's servers"))?;
        self.tell_pongs();
        self.cast.kill(place)?;
        let kill = self.ledger.killed(self.timeline.now(), pe);
        let what =
            format!("{}, while it owes {}", self.cast.name(pe), numbers("pong", &kill.in_flight));
        self.timeline.event(Colour::Red, "✗ SIGKILL", &what);
        let kills = self.ledger.kills().len();
        self.watch_until("no pong came after the kill", |demo| {
            demo.ledger.kills().get(kills - 1).is_some_and(|kill| kill.next_pong.is_some())
        })
        .await
    }

    /// Kills the registrar of all servers, and waits until a server is registered with the other
    /// one.
    async fn kill_the_registrar(&mut self) -> anyhow::Result<()> {
        self.tell_pongs();
        self.cast.kill_registrar(0)?;
        self.ledger.registrar_killed(self.timeline.now());
        let what = "registrar 1; no server knows registrar 2";
        self.timeline.event(Colour::Red, "✗ SIGKILL", what);
        self.watch_until("no server was registered with the other registrar", |demo| {
            demo.ledger.takeover().is_some_and(|takeover| takeover.time().is_some())
        })
        .await
    }

    /// Handles events for some time.
    async fn watch_for(&mut self, time: Duration) -> anyhow::Result<()> {
        let end = Instant::now() + time;
        while self.step(end).await? {}
        Ok(())
    }

    /// Handles events until `done` is true, but for no longer than a Pong may take.
    async fn watch_until(
        &mut self,
        otherwise: &str,
        done: impl Fn(&Demo) -> bool,
    ) -> anyhow::Result<()> {
        let limit = PONG_LIMIT * self.options.patience;
        let end = Instant::now() + limit;
        while !done(self) {
            if !self.step(end).await? {
                bail!("{otherwise} within {} s", limit.as_secs());
            }
        }
        Ok(())
    }

    /// Handles one line of a child. False if none came until `end`.
    async fn step(&mut self, end: Instant) -> anyhow::Result<bool> {
        let Ok(line) = tokio::time::timeout_at(end, self.lines.next()).await else {
            return Ok(false);
        };
        // The demo has a sender itself, so the channel does not close.
        let ChildLine { child, line } = line.context("the children cannot be heard")?;
        match line {
            Line::Out(text) if child == CLIENT => {
                if let Some(event) = ClientEvent::from_json(&text) {
                    self.client_event(&event);
                }
            }
            Line::Out(text) if self.cast.is_registrar(&child) => self.registrar_line(&child, &text),
            Line::Out(text) => self.timeline.event(Colour::Dim, &child, without_time(&text)),
            Line::Err(text) => self.timeline.event(Colour::Yellow, &child, &text),
            Line::End if child == CLIENT && self.finished => self.client_ended = true,
            Line::End if self.cast.may_end(&child) => {}
            Line::End => bail!("{child} has ended, which nobody asked for"),
        }
        Ok(true)
    }

    /// Shows an event of a registrar, with the demo's own times and names. Registrations are not
    /// shown: each was told when it was complete. Neither is what registrars tell each other.
    fn registrar_line(&mut self, registrar: &str, text: &str) {
        const OLD: [&str; 5] = [
            "registered",
            "re-registered",
            "found registrar",
            "the handlespace is known",
            "no other registrar",
        ];
        let Some((_, what)) = text.split_once(": ") else { return };
        let named = self.with_names(what);
        if let Some(again) = named.strip_prefix("re-registered ")
            && let Some(time) = self.ledger.registered_again(self.timeline.now())
        {
            let (server, _) = again.split_once(" in pool").unwrap_or((again, ""));
            let time = time.as_millis();
            let what = format!("{server} is registered with {registrar}, {time} ms after the kill");
            return self.timeline.event(Colour::Green, "✓ takeover", &what);
        }
        let is_old = OLD.iter().any(|words| what.starts_with(words));
        if !is_old && !what.ends_with("its home registrar said so") {
            self.timeline.event(Colour::Plain, registrar, &named);
        }
    }

    /// An event with the demo's names instead of identifiers.
    fn with_names(&self, what: &str) -> String {
        let what = self.cast.registrars.iter().fold(what.to_owned(), |what, registrar| {
            what.replace(&format!("registrar {}", registrar.id), &registrar.name)
        });
        let servers = self.cast.servers.iter();
        servers.fold(what, |what, server| what.replace(&PeId(server.pe).to_string(), &server.name))
    }

    fn client_event(&mut self, event: &ClientEvent) {
        if !matches!(event, ClientEvent::Sent { again: true, .. }) {
            self.tell_again();
        }
        let now = self.timeline.now();
        let failover = self.ledger.event(now, event).cloned();
        match event {
            ClientEvent::Session { pe, resumed } => {
                let how = match resumed {
                    true => "; its cookie echo hands the state over",
                    false => "",
                };
                let what = format!("session with {}{how}", self.cast.name(*pe));
                self.timeline.event(Colour::Plain, CLIENT, &what);
            }
            ClientEvent::Lost { pe, why } => {
                let whom = pe.map_or_else(
                    || "no server".to_owned(),
                    |pe| format!("{} lost", self.cast.name(pe)),
                );
                self.timeline.event(
                    Colour::Yellow,
                    CLIENT,
                    &format!("{whom}: {why}; asks the registrar for another"),
                );
            }
            ClientEvent::Sent { number, again: true } => {
                if self.recent.again.is_empty() {
                    self.recent.again_at = now;
                }
                self.recent.again.push(*number);
            }
            ClientEvent::Sent { .. } => self.show_status(),
            ClientEvent::Pong { number, reply, pe, rtt_us } => {
                self.pong(*number, *reply, *pe, *rtt_us)
            }
            ClientEvent::Dropped { number, pe, .. } => {
                let what = format!("drops a second pong #{number} of {}", self.cast.name(*pe));
                self.timeline.event(Colour::Dim, CLIENT, &what);
            }
            ClientEvent::Note { text } => self.timeline.event(Colour::Dim, CLIENT, text),
            ClientEvent::Finished { .. } => self.finished = true,
        }
        if let Some(kill) = failover {
            self.tell_failover(&kill);
        }
    }

    fn pong(&mut self, number: u64, reply: u64, pe: u32, rtt_us: u64) {
        let recent = &mut self.recent;
        (recent.number, recent.reply, recent.rtt_us) = (number, reply, rtt_us);
        recent.pongs += 1;
        if let Some(place) = self.cast.place(pe) {
            recent.trail.push_back(place);
            if recent.trail.len() > TRAIL {
                recent.trail.pop_front();
            }
        }
        if recent.pongs >= 100 {
            self.tell_pongs();
        }
        self.show_status();
    }

    fn tell_failover(&mut self, kill: &Kill) {
        let (Some(time), Some(pong)) = (kill.failover(), kill.next_pong) else { return };
        let what = format!(
            "pong #{} from {} (reply {}), {} ms after the kill",
            pong.number,
            self.cast.name(pong.pe),
            pong.reply,
            time.as_millis()
        );
        self.timeline.event(Colour::Green, "✓ failover", &what);
        self.recent.pongs = 0;
    }

    fn tell_again(&mut self) {
        if !self.recent.again.is_empty() {
            let what =
                format!("sends {} again", numbers("ping", &std::mem::take(&mut self.recent.again)));
            self.timeline.event_at(self.recent.again_at, Colour::Plain, CLIENT, &what);
        }
    }

    fn tell_pongs(&mut self) {
        let Recent { pongs, number, reply, rtt_us, .. } = self.recent;
        self.recent.pongs = 0;
        if pongs < FEW {
            return;
        }
        let from = self
            .ledger
            .serving()
            .map_or_else(String::new, |pe| format!(" from {}", self.cast.name(pe)));
        let rtt = rtt_us as f64 / 1000.0;
        let plural = if pongs == 1 { "" } else { "s" };
        let what = format!(
            "{pongs} pong{plural}{from}, the last #{number} (reply {reply}) after {rtt:.1} ms"
        );
        self.timeline.event(Colour::Dim, CLIENT, &what);
    }

    fn show_status(&mut self) {
        if !self.timeline.has_status() {
            return;
        }
        let trail: String = self
            .recent
            .trail
            .iter()
            .map(|place| self.timeline.paint(Colour::Server(*place), "●"))
            .collect();
        let server =
            self.ledger.serving().map_or_else(|| "nobody".to_owned(), |pe| self.cast.name(pe));
        let text = format!(
            "client ⇄ {server}  {trail}  pings {}  pongs {}  in flight {}",
            self.ledger.sent(),
            self.ledger.answered(),
            self.ledger.in_flight_count()
        );
        self.timeline.status(text);
    }
}

/// A line without the time of day, `hh:mm:ss.mmm: `, that may stand at its beginning.
fn without_time(line: &str) -> &str {
    match line.split_once(": ") {
        Some((time, rest)) if time.len() == 12 && time.as_bytes()[2] == b':' => rest,
        _ => line,
    }
}

/// "ping #7" or "3 pings, #7 to #9".
fn numbers(what: &str, numbers: &[u64]) -> String {
    match numbers {
        [] => format!("no {what}"),
        [one] => format!("{what} #{one}"),
        [first, .., last] => format!("{} {what}s, #{first} to #{last}", numbers.len()),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn times_of_children_are_left_out() {
        let line = crate::cli::with_time("lost the registrar: why");
        assert_eq!(super::without_time(&line), "lost the registrar: why");
        assert_eq!(super::without_time("registered: yes"), "registered: yes");
    }

    #[test]
    fn numbers_read_well() {
        let numbers = super::numbers;
        assert_eq!(numbers("ping", &[]), "no ping");
        assert_eq!(numbers("ping", &[7]), "ping #7");
        assert_eq!(numbers("pong", &[7, 9]), "2 pongs, #7 to #9");
    }
}
