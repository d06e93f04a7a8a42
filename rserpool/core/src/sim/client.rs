//! A pool user: it has a session with a pool, and resolves pool handles besides.

use std::collections::{BTreeMap, VecDeque};

use rserpool_wire::numbers::ppid;
use rserpool_wire::{PeId, PoolElement, PoolHandle, Transport};
use sctp_user_core::socket::EndReason;
use sctp_user_core::{Duration, Encap, LossReason, Peer, Time};

use super::machine::{Noticed, with_event};
use crate::asap::{AsapCore, AsapEvent, RequestId};
use crate::channel::{ChannelId, ConnectFailure, Core, Input, Output, Protocol};
use crate::message::UserMessage;
use crate::reach::DEFAULT_UDP_PORT;
use crate::session::{Attempt, Output as SessionOutput, SessionCore, SessionEvent, SessionOptions};

/// Time between two messages to the element.
const PERIOD: Duration = Duration::from_secs(2);
/// Names of associations with elements begin here; those of the ASAP side are smaller.
const FIRST_CHANNEL: u64 = 1 << 40;

/// A pool user. Its session sends a number every two seconds and expects it back, with a count that
/// grows over all failovers.
#[derive(Debug)]
pub struct Client {
    asap: AsapCore,
    session: SessionCore,
    pool: PoolHandle,
    questions: BTreeMap<RequestId, Attempt>,
    /// The association with the element, or the attempt.
    link: Option<(ChannelId, Attempt)>,
    next_channel: u64,
    /// The element that messages go to.
    element: Option<PeId>,
    next_message: Time,
    sent: u64,
    answered: Option<Time>,
    count: u64,
    problem: Option<String>,
    outputs: VecDeque<Output<Noticed>>,
}

impl Client {
    /// A user that wants a session with a pool at once.
    pub fn new(now: Time, asap: AsapCore, pool: PoolHandle, options: SessionOptions) -> Self {
        let mut client = Client {
            asap,
            session: SessionCore::new(pool.clone(), options),
            pool,
            questions: BTreeMap::new(),
            link: None,
            next_channel: FIRST_CHANNEL,
            element: None,
            next_message: now,
            sent: 0,
            answered: None,
            count: 0,
            problem: None,
            outputs: VecDeque::new(),
        };
        client.go_on(now);
        client
    }

    /// The pool of the session.
    pub fn pool(&self) -> &PoolHandle {
        &self.pool
    }

    /// The element that the session has, if any.
    pub fn element(&self) -> Option<PeId> {
        self.element
    }

    /// When the element answered last.
    pub fn answered(&self) -> Option<Time> {
        self.answered
    }

    /// What the session should never have seen.
    pub fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }

    /// Resolves a pool handle.
    pub fn resolve(&mut self, now: Time, pool: &PoolHandle) -> RequestId {
        let request = self.asap.resolve(now, pool, 1, Duration::ZERO);
        self.go_on(now);
        request
    }

    fn go_on(&mut self, now: Time) {
        loop {
            if let Some(output) = self.asap.poll_output() {
                match output {
                    Output::Event(AsapEvent::Resolved { request, result }) => {
                        match self.questions.remove(&request) {
                            Some(attempt) => self.session.handle_resolved(now, attempt, result),
                            None => {
                                let event = AsapEvent::Resolved { request, result };
                                self.outputs.push_back(Output::Event(Noticed::Asap(event)));
                            }
                        }
                    }
                    output => self.outputs.push_back(with_event(output, Noticed::Asap)),
                }
            } else if let Some(output) = self.session.poll_output() {
                self.act(now, output);
            } else {
                return;
            }
        }
    }

    fn act(&mut self, now: Time, output: SessionOutput) {
        match output {
            SessionOutput::Resolve { attempt, items, stale } => {
                let request = self.asap.resolve(now, &self.pool, items, stale);
                self.questions.insert(request, attempt);
            }
            SessionOutput::Connect { attempt, element } => self.connect(now, attempt, &element),
            SessionOutput::Cancel => {
                self.questions.clear();
                self.drop_link("not needed");
            }
            SessionOutput::Abort { reason } => self.drop_link(reason),
            SessionOutput::Send(data) => {
                if let Some((channel, _)) = self.link {
                    self.outputs.push_back(Output::Send { channel, ppid: ppid::ASAP, data });
                }
            }
            SessionOutput::Ready { element } => {
                self.element = Some(element);
                self.next_message = now;
            }
            SessionOutput::NotReady => self.element = None,
            SessionOutput::Report(id) => self.asap.report_unreachable(now, &self.pool, id),
            SessionOutput::Event(SessionEvent::Message(message)) => self.on_answer(now, &message),
            SessionOutput::Event(event) => {
                self.outputs.push_back(Output::Event(Noticed::Session(event)));
            }
        }
    }

    fn drop_link(&mut self, reason: &'static str) {
        if let Some((channel, _)) = self.link.take() {
            self.outputs.push_back(Output::Abort { channel, reason });
        }
    }

    fn connect(&mut self, now: Time, attempt: Attempt, element: &PoolElement) {
        let addr = element.user_transport.addrs().first().copied();
        let (Transport::Sctp(transport), Some(addr)) = (&element.user_transport, addr) else {
            let failure = ConnectFailure::Other("it has no address".into());
            return self.session.handle_connect_failed(now, attempt, failure);
        };
        self.next_channel += 1;
        let channel = ChannelId::outgoing(self.next_channel);
        self.link = Some((channel, attempt));
        let encap = Encap::Udp { remote_port: DEFAULT_UDP_PORT };
        let ways = vec![Peer::new(addr, encap, transport.port)];
        self.outputs.push_back(Output::Connect { channel, protocol: Protocol::Asap, ways });
    }

    fn send_if_due(&mut self, now: Time) {
        let Some((channel, _)) = self.link.filter(|_| self.element.is_some()) else { return };
        if self.next_message > now {
            return;
        }
        self.next_message = now + PERIOD;
        self.sent += 1;
        let data = self.sent.to_be_bytes().to_vec().into();
        self.outputs.push_back(Output::Send { channel, ppid: 0, data });
        self.session.handle_sent(now);
    }

    fn on_answer(&mut self, now: Time, message: &UserMessage) {
        let Some((sent, count)) = message.data.split_first_chunk::<8>() else { return };
        let Ok(count) = <[u8; 8]>::try_from(count) else { return };
        let (sent, count) = (u64::from_be_bytes(*sent), u64::from_be_bytes(count));
        if sent > self.sent || count <= self.count {
            let (was, last) = (self.count, self.sent);
            self.problem.get_or_insert(format!(
                "an answer to message {sent} of {last} with the count {count} after {was}"
            ));
        }
        self.count = count;
        self.answered = Some(now);
    }

    /// An input about the association with the element. False when it is about something else.
    fn on_link_input(&mut self, now: Time, input: &Input<'_>) -> bool {
        let channel = match input {
            Input::Up { channel, .. }
            | Input::Failed { channel, .. }
            | Input::Message { channel, .. }
            | Input::Down { channel } => *channel,
            _ => return false,
        };
        let Some((_, attempt)) = self.link.filter(|(link, _)| *link == channel) else {
            return !channel.is_incoming() && channel.as_u64() > FIRST_CHANNEL;
        };
        match input {
            Input::Up { .. } => self.session.handle_connected(now, attempt),
            Input::Failed { failure, .. } => {
                self.link = None;
                self.session.handle_connect_failed(now, attempt, failure.clone());
            }
            Input::Message { ppid, data, .. } => {
                let message = UserMessage { stream: 0, ppid: *ppid, data: data.to_vec().into() };
                self.session.handle_message(message);
            }
            Input::Down { .. } => {
                self.link = None;
                self.session.handle_ended(now, EndReason::Lost(LossReason::Unreachable));
            }
            _ => {}
        }
        true
    }
}

impl Core for Client {
    type Event = Noticed;

    fn handle(&mut self, now: Time, input: Input<'_>) {
        if matches!(input, Input::Timeout) {
            if self.session.poll_timeout().is_some_and(|at| at <= now) {
                self.session.handle_timeout(now);
            }
            self.asap.handle(now, input);
        } else if !self.on_link_input(now, &input) {
            self.asap.handle(now, input);
        }
        self.go_on(now);
        self.send_if_due(now);
        self.go_on(now);
    }

    fn poll_output(&mut self) -> Option<Output<Noticed>> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Time> {
        let message = self.element.map(|_| self.next_message);
        [message, self.asap.poll_timeout(), self.session.poll_timeout()].into_iter().flatten().min()
    }
}
