//! The conversation: sends the input to the session, and writes answers and messages about servers.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use anyhow::{Context, anyhow};
use bytes::Bytes;
use rserpool::{Error, PoolUser, Session, SessionEvent, UserEvent, UserMessage};
use rserpool_wire::PeId;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::course::{Course, Over};
use super::input;
use super::output::Output;
use crate::cli::with_time;
use crate::programs::asap::Search;

/// Why the conversation has ended.
pub(super) enum Stop {
    /// In order.
    Over(Over),
    /// The output cannot be written any more.
    NoReader,
    /// With an error.
    Failed(anyhow::Error),
}

type Sending = Pin<Box<dyn Future<Output = Result<(), Error>>>>;

pub(super) struct Terminal {
    user: PoolUser,
    session: Session,
    search: Search,
    course: Course,
    linger: Duration,
    pool_timeout: Option<Duration>,
    output: Output,
    to_write: mpsc::Sender<Bytes>,
    /// Since when the writer has had no room.
    blocked_since: Option<Instant>,
    /// The message that waits for room in the send buffer.
    sending: Option<Sending>,
    /// The element that the session is with.
    element: Option<PeId>,
    /// The element that the session was with last.
    last_element: Option<PeId>,
    /// Why there is no session.
    problem: Option<String>,
}

impl Terminal {
    pub(super) fn new(
        user: PoolUser,
        session: Session,
        search: Search,
        output: Output,
        to_write: mpsc::Sender<Bytes>,
        linger: Duration,
        pool_timeout: Option<Duration>,
    ) -> Self {
        Terminal {
            user,
            session,
            search,
            course: Course::new(Instant::now(), linger, pool_timeout),
            linger,
            pool_timeout,
            output,
            to_write,
            blocked_since: None,
            sending: None,
            element: None,
            last_element: None,
            problem: None,
        }
    }

    /// Runs until there is a reason to stop. While the writer has no room, nothing is read from the
    /// session. While the session has no room, nothing is read from the input.
    pub(super) async fn converse(&mut self) -> Stop {
        let mut input = input::read();
        loop {
            let blocked = self.output.is_waiting();
            if blocked {
                self.blocked_since.get_or_insert_with(Instant::now);
            } else {
                self.begin_to_send();
            }
            let end = self.course.end().filter(|_| !blocked);
            let search_ends = self.search_ends().filter(|_| !blocked);
            let step = tokio::select! {
                biased;
                room = has_room(&self.to_write), if blocked => {
                    if !(room && self.write()) {
                        return Stop::NoReader;
                    }
                    Ok(())
                }
                event = self.session.recv(), if !blocked => match event {
                    Ok(event) => {
                        self.event(event);
                        Ok(())
                    }
                    Err(error) => Err(error.into()),
                },
                event = self.user.next_event(), if !blocked => match event {
                    Ok(event) => {
                        self.registrar_event(&event);
                        Ok(())
                    }
                    Err(error) => Err(error.into()),
                },
                () = self.search.silence_over(), if !blocked => {
                    let words = self.search.words();
                    self.words(&words);
                    Ok(())
                }
                result = finished(&mut self.sending) => self.sent(result),
                piece = input.recv(), if self.course.wants_input() => match piece {
                    Some(Ok(piece)) => {
                        self.course.read(piece);
                        Ok(())
                    }
                    Some(Err(error)) => Err(error).context("standard input cannot be read"),
                    None => {
                        self.course.input_ended(Instant::now());
                        Ok(())
                    }
                },
                () = until(search_ends) => Err(self.no_registrar()),
                () = until(end.map(|(at, _)| at)) => {
                    return Stop::Over(end.map_or(Over::Done, |(_, over)| over));
                }
            };
            if let Err(error) = step {
                return Stop::Failed(error);
            }
        }
    }

    /// Hands a piece of the output to the writer, which must have room. False if the writer has
    /// ended.
    fn write(&mut self) -> bool {
        let since = self.blocked_since.take();
        self.course.reader_took(since.map_or(Duration::ZERO, |since| since.elapsed()));
        self.output.pop().is_none_or(|data| self.to_write.try_send(data).is_ok())
    }

    /// Returns the session, and a future that hands the rest of the output to the writer.
    pub(super) fn finish(self) -> (Session, impl Future<Output = ()>) {
        let Terminal { session, mut output, to_write, .. } = self;
        let rest = async move {
            while let Some(data) = output.pop() {
                if to_write.send(data).await.is_err() {
                    break;
                }
            }
        };
        (session, rest)
    }

    pub(super) fn into_session(self) -> Session {
        self.session
    }

    /// See [`Course::verdict`].
    pub(super) fn verdict(&self, over: Over) -> Option<String> {
        let problem = self.search.problem().or_else(|| self.problem.clone());
        self.course.verdict(over, problem.as_deref())
    }

    fn begin_to_send(&mut self) {
        if self.sending.is_none()
            && self.element.is_some()
            && let Some(data) = self.course.next_to_send()
        {
            let sender = self.session.sender();
            self.sending =
                Some(Box::pin(async move { sender.send(UserMessage::new(0, data)).await }));
        }
    }

    fn sent(&mut self, result: Result<(), Error>) -> anyhow::Result<()> {
        match result {
            Ok(()) => self.course.sent(Instant::now()),
            // The next event is the failover. The message waits for it.
            Err(Error::NotConnected) => self.element = None,
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    fn event(&mut self, event: SessionEvent) {
        let now = Instant::now();
        match event {
            SessionEvent::Message(message) => {
                self.course.answered(now);
                self.output.answer(self.last_element.unwrap_or(PeId(0)), message.data);
            }
            SessionEvent::FailoverNeeded(cause) => {
                // The message that waits for room in the send buffer was not sent.
                self.sending = None;
                self.element = None;
                let lines = match self.course.lost_server(now) {
                    0 => String::new(),
                    1 => "; 1 line is lost with it".to_owned(),
                    n => format!("; {n} lines are lost with it"),
                };
                let id = self.last_element.map_or(0, |id| id.0);
                self.words(&format!("Lost PE ${id:08x}: {cause}{lines}"));
            }
            SessionEvent::FailoverProblem(problem) => {
                let first = self.problem.is_none();
                let problem = problem.to_string();
                let limit = if first { self.limit() } else { String::new() };
                self.words(&format!("Looking for a PE: {problem}{limit}"));
                self.problem = Some(problem);
            }
            SessionEvent::FailoverDone { element, number, .. } => {
                self.course.connected();
                self.element = Some(element);
                self.last_element = Some(element);
                self.problem = None;
                let id = element.0;
                match number {
                    0 => self.words(&format!("Connected to PE ${id:08x}")),
                    n => self.words(&format!("FAILOVER #{n} ... connected to PE ${id:08x}")),
                }
            }
            _ => {}
        }
    }

    /// When the search for the first registrar is given up.
    fn search_ends(&self) -> Option<Instant> {
        self.search.gives_up_at().filter(|_| self.last_element.is_none())
    }

    /// That it is given up, and what became of the input.
    fn no_registrar(&self) -> anyhow::Error {
        let lines = self.course.verdict(Over::Asked, None);
        let lines = lines.map_or_else(String::new, |lines| format!("; {lines}"));
        anyhow!("{}{lines}", self.search.given_up())
    }

    fn registrar_event(&mut self, event: &UserEvent) {
        if let Some(words) = self.search.event(Instant::now(), event) {
            self.words(&words);
        }
    }

    /// A part of a sentence: how long the search for a server continues.
    fn limit(&self) -> String {
        match (self.course.end(), self.pool_timeout) {
            (Some((_, Over::Linger)), _) => format!(
                "; giving up {} s after the end of the input (--linger=)",
                self.linger.as_secs_f64()
            ),
            (Some(_), Some(limit)) => format!(
                "; giving up after {} s without a server (--pooltimeout=)",
                limit.as_secs_f64()
            ),
            _ => "; for as long as it takes (--pooltimeout= sets a limit)".to_owned(),
        }
    }

    fn words(&mut self, words: &str) {
        self.output.words(&with_time(words));
    }
}

/// Waits until the writer has room; false if it has ended. Nobody else uses up the room.
async fn has_room(to_write: &mpsc::Sender<Bytes>) -> bool {
    to_write.reserve().await.is_ok()
}

/// Waits until the message is sent, and removes the future; waits for ever if there is none.
async fn finished(sending: &mut Option<Sending>) -> Result<(), Error> {
    match sending {
        Some(running) => {
            let result = running.await;
            *sending = None;
            result
        }
        None => std::future::pending().await,
    }
}

/// Waits until a point in time, or for ever if there is none.
async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
