//! The session of a pool user: which element to talk to, when to leave it, what to say first (RFC
//! 5352 sec 3.4, 5.6).
//!
//! A session has one association at a time, so its [`Output`]s need no names for them.

mod card;
mod config;
mod event;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::net::IpAddr;

use bytes::Bytes;
use rserpool_wire::numbers::ppid;
use rserpool_wire::{
    AsapMessage, BusinessCard, PeId, PoolElement, PoolHandle, Transport, TransportUse,
};
use sctp_user_core::socket::EndReason;
use sctp_user_core::{Duration, LossReason, Time};
use tracing::debug;

use crate::asap::RequestError;
use crate::channel::ConnectFailure;
use crate::message::UserMessage;
use card::Card;

pub use config::{SessionOptions, session_profile};
pub use event::{FailoverCause, FailoverProblem, SessionEvent};

/// Something to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Resolve the pool handle, and report with [`SessionCore::handle_resolved`].
    Resolve {
        /// Comes back with the answer.
        attempt: Attempt,
        /// How many elements are wanted.
        items: u32,
        /// How old elements from the cache may be.
        stale: Duration,
    },
    /// Connect with an element, and report with [`SessionCore::handle_connected`] or
    /// [`SessionCore::handle_connect_failed`].
    Connect {
        /// Comes back with the outcome.
        attempt: Attempt,
        /// The element.
        element: Box<PoolElement>,
    },
    /// Give up resolving or connecting.
    Cancel,
    /// Abort the association.
    Abort {
        /// Why; goes into the ABORT.
        reason: &'static str,
    },
    /// Send an ASAP message over the association, before anything else can be.
    Send(Bytes),
    /// From now on the application may send.
    Ready {
        /// To this element.
        element: PeId,
    },
    /// The application cannot send any more.
    NotReady,
    /// Report an element to the registrar as unreachable.
    Report(PeId),
    /// Tell the application.
    Event(SessionEvent),
}

/// Tells the answer that is awaited from late answers to earlier questions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt(u64);

/// How many elements are remembered as unreachable during one failover.
const MAX_FAILED: usize = 31;

#[derive(Debug)]
enum State {
    /// Waits for the application to force the failover.
    Waiting,
    Pausing {
        until: Time,
    },
    Resolving {
        attempt: Attempt,
    },
    Connecting {
        attempt: Attempt,
        element: PeId,
        control: bool,
        deadline: Time,
    },
    Up {
        element: PeId,
        /// There is a control channel.
        control: bool,
        since: Time,
        /// When the element counts as lost if nothing comes.
        reply_due: Option<Time>,
    },
}

/// The session of a pool user. See the [module documentation](self).
#[derive(Debug)]
pub struct SessionCore {
    pool: PoolHandle,
    options: SessionOptions,
    state: State,
    attempts: u64,
    /// The newest cookie of an element.
    cookie: Option<Bytes>,
    /// The newest business card of an element.
    card: Card,
    /// The addresses of the element that was connected with last.
    addrs: Vec<IpAddr>,
    /// Elements that are not to be tried again in this failover.
    failed: Vec<PeId>,
    /// The problem that was told last.
    told: Option<FailoverProblem>,
    /// Connections so far.
    connections: u64,
    outputs: VecDeque<Output>,
}

impl SessionCore {
    /// Begins to connect with the first element of `pool`.
    pub fn new(pool: PoolHandle, options: SessionOptions) -> Self {
        let mut core = SessionCore {
            pool,
            options,
            state: State::Waiting,
            attempts: 0,
            cookie: None,
            card: Card::default(),
            addrs: Vec::new(),
            failed: Vec::new(),
            told: None,
            connections: 0,
            outputs: VecDeque::new(),
        };
        core.resolve();
        core
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call [`SessionCore::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Time> {
        match &self.state {
            State::Waiting | State::Resolving { .. } => None,
            State::Pausing { until } => Some(*until),
            State::Connecting { deadline, .. } => Some(*deadline),
            State::Up { reply_due, .. } => *reply_due,
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Time) {
        match self.state {
            State::Pausing { until } if until <= now => {
                self.failed.clear();
                self.go_on(now);
            }
            State::Connecting { attempt, deadline, .. } if deadline <= now => {
                self.outputs.push_back(Output::Cancel);
                self.handle_connect_failed(now, attempt, ConnectFailure::TimedOut);
            }
            State::Up { reply_due: Some(at), .. } if at <= now => {
                self.outputs.push_back(Output::Abort { reason: "no reply" });
                self.leave(now, FailoverCause::ReplyTimeout, true, true);
            }
            _ => {}
        }
    }

    /// The newest cookie.
    pub fn cookie(&self) -> Option<&Bytes> {
        self.cookie.as_ref()
    }

    /// The elements that the newest business card names, without those that have failed since.
    pub fn business_card(&self) -> &[PoolElement] {
        self.card.elements()
    }

    /// The pool handle was resolved.
    pub fn handle_resolved(
        &mut self,
        now: Time,
        attempt: Attempt,
        result: Result<Vec<PoolElement>, RequestError>,
    ) {
        if !matches!(self.state, State::Resolving { attempt: a } if a == attempt) {
            return;
        }
        match result {
            Ok(elements) => {
                let element =
                    elements.into_iter().find(|e| is_sctp(e) && !self.failed.contains(&e.id));
                match element {
                    Some(element) => self.connect(now, element),
                    // All have just been unreachable; the registrar may know others in a while.
                    None => self.pause(now),
                }
            }
            Err(error) => {
                self.tell(FailoverProblem::Resolution(error));
                self.pause(now);
            }
        }
    }

    /// The association with the element is up.
    pub fn handle_connected(&mut self, now: Time, attempt: Attempt) {
        let State::Connecting { attempt: a, element, control, .. } = self.state else { return };
        if a != attempt {
            return;
        }
        let echo = self.cookie.clone().filter(|_| control).map(AsapMessage::CookieEcho);
        let echo = echo.and_then(|m| m.encode().ok());
        let cookie_echoed = echo.is_some();
        self.outputs.extend(echo.map(Output::Send));
        self.outputs.push_back(Output::Ready { element });
        let number = self.connections;
        self.outputs.push_back(Output::Event(SessionEvent::FailoverDone {
            element,
            cookie_echoed,
            number,
        }));
        self.connections += 1;
        self.failed.clear();
        self.told = None;
        self.state = State::Up { element, control, since: now, reply_due: None };
    }

    /// The association with the element did not come up.
    pub fn handle_connect_failed(&mut self, now: Time, attempt: Attempt, failure: ConnectFailure) {
        let State::Connecting { attempt: a, element, .. } = self.state else { return };
        if a != attempt {
            return;
        }
        self.outputs.push_back(Output::Report(element));
        self.tell(FailoverProblem::Connect { element, failure });
        self.remember_failed(element);
        self.go_on(now);
    }

    /// A message came from the element.
    pub fn handle_message(&mut self, message: UserMessage) {
        let State::Up { control, reply_due, .. } = &mut self.state else { return };
        *reply_due = None;
        if message.ppid != ppid::ASAP || !*control {
            self.outputs.push_back(Output::Event(SessionEvent::Message(message)));
            return;
        }
        match AsapMessage::decode(&message.data) {
            Ok(AsapMessage::Cookie(cookie)) => self.cookie = Some(cookie),
            Ok(AsapMessage::BusinessCard(card)) => self.on_business_card(card),
            Ok(_) => debug!("a pool element sent a control message that is not for a pool user"),
            Err(error) => debug!(%error, "undecodable control message of a pool element"),
        }
    }

    fn on_business_card(&mut self, card: BusinessCard) {
        if self.options.business_cards && card.pool == self.pool {
            self.card.replace(card.elements, &self.addrs);
        }
    }

    /// The association has ended.
    pub fn handle_ended(&mut self, now: Time, reason: EndReason) {
        let State::Up { .. } = self.state else { return };
        let (silent, avoid) = match &reason {
            EndReason::Graceful => (false, false),
            // The element said so itself: it lives, or its registrar knows that it does not.
            EndReason::Lost(LossReason::PeerAbort { .. }) => (false, true),
            _ => (true, true),
        };
        self.leave(now, FailoverCause::Ended(reason), silent, avoid);
    }

    /// The element's process has started anew over the same association. It knows nothing of the
    /// session, and the cookie must come first of all (RFC 5352 sec 3.4), so another association
    /// is needed, to this element or another one.
    pub fn handle_restarted(&mut self, now: Time) {
        if let State::Up { .. } = self.state {
            self.outputs.push_back(Output::Abort { reason: "the pool element has restarted" });
            self.leave(now, FailoverCause::Restarted, false, false);
        }
    }

    /// The element sent more than allowed.
    pub fn handle_too_long(&mut self, now: Time) {
        if let State::Up { .. } = self.state {
            self.outputs.push_back(Output::Abort { reason: "message too long" });
            self.leave(now, FailoverCause::MessageTooLong, false, true);
        }
    }

    /// The application sent something.
    pub fn handle_sent(&mut self, now: Time) {
        if let (State::Up { reply_due, .. }, Some(timeout)) =
            (&mut self.state, self.options.reply_timeout)
        {
            reply_due.get_or_insert(now + timeout);
        }
    }

    /// The application wants another element.
    pub fn force_failover(&mut self, now: Time, report: bool) {
        match self.state {
            State::Up { element, .. } => {
                self.outputs.push_back(Output::Abort { reason: "failover" });
                if report {
                    self.outputs.push_back(Output::Report(element));
                }
                self.leave(now, FailoverCause::Forced, false, true);
                if matches!(self.state, State::Waiting) {
                    self.go_on(now);
                }
            }
            State::Waiting => self.go_on(now),
            State::Pausing { .. } | State::Resolving { .. } | State::Connecting { .. } => {}
        }
    }

    /// Gives the element up. `silent`: its registrar may not know that it is gone, and is told.
    /// `avoid`: the element is not tried again in this failover.
    fn leave(&mut self, now: Time, cause: FailoverCause, silent: bool, avoid: bool) {
        let State::Up { element, since, .. } = self.state else { return };
        self.outputs.push_back(Output::NotReady);
        if silent && self.options.report_unreachable {
            self.outputs.push_back(Output::Report(element));
        }
        if avoid {
            self.remember_failed(element);
        }
        self.outputs.push_back(Output::Event(SessionEvent::FailoverNeeded(cause)));
        if !self.options.auto_failover {
            self.state = State::Waiting;
        } else if !avoid && now.since(since) < self.options.retry_delay {
            // An element that accepts and closes at once would be connected with without end.
            self.pause(now);
        } else {
            self.go_on(now);
        }
    }

    fn remember_failed(&mut self, element: PeId) {
        self.card.strike(element);
        if !self.failed.contains(&element) && self.failed.len() < MAX_FAILED {
            self.failed.push(element);
        }
    }

    fn tell(&mut self, problem: FailoverProblem) {
        if self.told.as_ref() != Some(&problem) {
            self.told = Some(problem.clone());
            self.outputs.push_back(Output::Event(SessionEvent::FailoverProblem(problem)));
        }
    }

    fn pause(&mut self, now: Time) {
        self.state = State::Pausing { until: now + self.options.retry_delay };
    }

    fn new_attempt(&mut self) -> Attempt {
        self.attempts += 1;
        Attempt(self.attempts)
    }

    /// Goes to the next element of the business card, or asks the registrar.
    fn go_on(&mut self, now: Time) {
        match self.card.first(&self.failed).cloned() {
            Some(element) => self.connect(now, element),
            None => self.resolve(),
        }
    }

    /// Asks for one element more than those that are not to be tried again.
    fn resolve(&mut self) {
        let attempt = self.new_attempt();
        let items = u32::try_from(self.failed.len()).unwrap_or(0) + 1;
        self.state = State::Resolving { attempt };
        self.outputs.push_back(Output::Resolve { attempt, items, stale: self.options.stale_cache });
    }

    fn connect(&mut self, now: Time, element: PoolElement) {
        self.addrs = element.user_transport.addrs().to_vec();
        let attempt = self.new_attempt();
        self.state = State::Connecting {
            attempt,
            element: element.id,
            control: element.user_transport.transport_use() == TransportUse::DataControl,
            deadline: now + self.options.connect_timeout,
        };
        self.outputs.push_back(Output::Connect { attempt, element: Box::new(element) });
    }
}

fn is_sctp(element: &PoolElement) -> bool {
    matches!(element.user_transport, Transport::Sctp(_))
}
