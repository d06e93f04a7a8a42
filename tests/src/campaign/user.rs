//! The users of the stacks. They send their planned messages, read at their own pace, and enter
//! everything in the ledger.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use sctp_user_core::sim::{App, Cx};
use sctp_user_core::{AssocId, AssocStatus, Event, LossReason, SendError, Stack, Time};

use super::ledger::{Ledger, Process, Reading};
use super::scenario::{FIRST_COLLISION, FIRST_PORT, MAX_UNIT, Planned, Reader, SERVICE, SidePlan};
use super::writing::Writing;

/// The state that all users and the driver of a life share.
#[derive(Default)]
pub(super) struct World {
    pub(super) ledger: Ledger,
    /// Whether something happened that the driver waits for: the end of an association, or of a
    /// plan.
    pub(super) news: bool,
}

/// The user of one host process.
pub(super) struct User {
    pub(super) process: Process,
    world: Rc<RefCell<World>>,
    /// What this end does in each association.
    plans: Vec<SidePlan>,
    pub(super) conns: Vec<Conn>,
    /// How many restarts of the peer it has noticed.
    pub(super) restarts: u64,
}

/// An association as its user sees it.
pub(super) struct Conn {
    pub(super) id: AssocId,
    /// Its number in the scenario.
    pub(super) number: usize,
    ports: (u16, u16),
    start: Time,
    /// When it began or was last restarted.
    since: Time,
    plan: VecDeque<Planned>,
    /// Messages of which the stack has only some parts.
    writing: Vec<Writing>,
    early: bool,
    reader: Reader,
    up: bool,
    /// The flow of the messages that it sends, and the verification tag that belongs to this flow.
    flow: Option<(usize, u32)>,
    reading: Reading,
    /// How many restarts the received messages have not shown yet.
    switches: u32,
    readable: bool,
    next_read: Time,
    /// When it last tried to send.
    pumped: Time,
    pub(super) end: Option<Event>,
    pub(super) released: bool,
}

impl Conn {
    /// Whether the stack has taken every planned message that it will ever take.
    pub(super) fn is_done(&self) -> bool {
        self.end.is_some() || (self.up && self.has_sent())
    }

    fn has_sent(&self) -> bool {
        self.plan.is_empty() && self.writing.is_empty()
    }

    /// Hands over the next parts of messages that have been begun. Returns false when nothing
    /// moves.
    fn go_on(&mut self, cx: &mut Cx<'_>, ledger: &mut Ledger) -> bool {
        let before = self.writing.len();
        let mut moved = false;
        self.writing.retain_mut(|message| {
            let progress = message.go_on(cx, self.id, ledger);
            moved |= progress.is_some_and(|p| p);
            progress.is_some() && !message.is_complete()
        });
        moved || self.writing.len() < before
    }

    /// Hands over the messages that one call sends. Returns false when nothing moves.
    fn begin_next(
        &mut self,
        cx: &mut Cx<'_>,
        ledger: &mut Ledger,
        flow: usize,
        status: &AssocStatus,
    ) -> bool {
        let due = self.plan.iter().take_while(|p| self.start + p.at <= cx.now).count();
        let unit =
            self.plan.iter().take(due.min(MAX_UNIT - 1)).take_while(|p| p.together).count() + 1;
        // A message in parts is not sent together with others. Until it is complete, any other
        // message on its stream would be taken for a part of it.
        let free = |p: &&Planned| self.writing.iter().all(|message| message.stream() != p.stream);
        let mut unit: Vec<_> =
            self.plan.iter().take(unit.min(due)).take_while(free).cloned().collect();
        if let Some(first) = unit.iter().position(|p| p.parts > 1) {
            unit.truncate(first.max(1));
        }
        if unit.is_empty() {
            return false;
        }
        let mut messages: Vec<_> =
            unit.iter().enumerate().map(|(n, planned)| ledger.make(flow, n, planned)).collect();
        let result = match messages.len() {
            1 => cx.stack.send(cx.now, self.id, messages.remove(0)),
            _ => cx.stack.send_unit(cx.now, self.id, messages),
        };
        match result {
            Ok(()) => {
                let number = ledger.accepted(flow, &unit);
                self.plan.drain(..unit.len());
                if unit[0].parts > 1 {
                    self.writing.push(Writing::new(unit.remove(0), flow, number, cx.now));
                }
            }
            Err(SendError::WouldBlock) => {
                let buffered = cx.stack.status(self.id).expect("it lives").send_buffered;
                assert!(buffered > 0, "an empty send buffer takes no message");
                return false;
            }
            Err(SendError::InvalidStream { .. }) => {
                // There are fewer streams than the user expected before the association was up.
                let streams = status.outbound_streams;
                assert!(
                    unit.iter().any(|p| p.stream >= streams),
                    "a stream below {streams} does not exist"
                );
                self.plan.retain(|p| p.stream < streams);
            }
            Err(SendError::ShuttingDown | SendError::NotFound) => self.plan.clear(),
            Err(error) => panic!("send: {error}"),
        }
        true
    }
}

impl User {
    pub(super) fn new(process: Process, world: Rc<RefCell<World>>, plans: Vec<SidePlan>) -> Self {
        User { process, world, plans, conns: Vec::new(), restarts: 0 }
    }

    /// If a message has been begun, starts no further ones and returns true: the association can be
    /// shut down when that message is complete.
    pub(super) fn finish_first(&mut self, at: usize) -> bool {
        let conn = &mut self.conns[at];
        if conn.writing.is_empty() {
            return false;
        }
        conn.plan.clear();
        true
    }

    /// The newest association of this number.
    pub(super) fn conn(&self, number: usize) -> Option<&Conn> {
        self.conns.iter().rev().find(|c| c.number == number)
    }

    /// Notes an association that this user or the peer has started.
    pub(super) fn begin(&mut self, cx: &mut Cx<'_>, id: AssocId, number: usize) {
        let status = cx.stack.status(id).expect("a new association has a state");
        let side = self.plans[number].clone();
        self.conns.push(Conn {
            id,
            number,
            ports: (status.local_port, status.peer_port),
            start: cx.now,
            since: cx.now,
            plan: side.messages.into(),
            writing: Vec::new(),
            early: side.early,
            reader: side.reader,
            up: false,
            flow: None,
            reading: Reading::default(),
            switches: 0,
            readable: false,
            next_read: Time::ZERO,
            pumped: cx.now,
            end: None,
            released: false,
        });
        let at = self.conns.len() - 1;
        self.pump(cx, at);
    }

    /// Reads what is left of an ended association and releases it.
    pub(super) fn release(&mut self, cx: &mut Cx<'_>, at: usize) {
        let conn = &mut self.conns[at];
        if std::mem::replace(&mut conn.released, true) {
            return;
        }
        while let Some(part) = cx.stack.recv(cx.now, conn.id) {
            let ledger = &mut self.world.borrow_mut().ledger;
            ledger.received(
                &mut conn.reading,
                self.process,
                (conn.ports, conn.since),
                &part,
                &mut conn.switches,
            );
        }
        let status = cx.stack.status(conn.id).expect("it was not released");
        assert_eq!(
            (status.send_buffered, status.unacked_chunks),
            (0, 0),
            "something to send after the end"
        );
        if conn.end == Some(Event::ShutdownComplete) {
            assert!(!conn.reading.is_within_message(), "a graceful end within a message");
            assert_eq!(status.recv_buffered, 0, "bytes that nobody can read after a graceful end");
        }
        cx.stack.release(cx.now, conn.id);
        assert!(cx.stack.status(conn.id).is_none(), "released and still there");
    }

    /// Makes calls that must be refused.
    pub(super) fn misuse(&mut self, cx: &mut Cx<'_>, at: usize) {
        let conn = &self.conns[at];
        let mut send = |stream, data: &'static [u8]| {
            cx.stack.send(cx.now, conn.id, sctp_user_core::Message::new(stream, 0, data))
        };
        let gone = |e: &SendError| matches!(e, SendError::NotFound | SendError::ShuttingDown);
        assert!(matches!(send(0, b""), Err(e) if e == SendError::Empty || gone(&e)));
        assert!(matches!(
            send(u16::MAX, b"x"),
            Err(e) if matches!(e, SendError::InvalidStream { .. }) || gone(&e)
        ));
    }

    fn tell(&self) {
        self.world.borrow_mut().news = true;
    }

    /// Sends the messages that are due.
    fn pump(&mut self, cx: &mut Cx<'_>, at: usize) {
        let conn = &mut self.conns[at];
        conn.pumped = cx.now;
        if conn.end.is_some() || conn.has_sent() || !(conn.up || conn.early) {
            return;
        }
        let status = cx.stack.status(conn.id).expect("it lives");
        let mut world = self.world.borrow_mut();
        let ledger = &mut world.ledger;
        // A restart changes the tag before this user learns of it.
        let flow = match conn.flow {
            Some((flow, tag)) if tag == status.local_tag => flow,
            _ => ledger.open(self.process, conn.ports, cx.now),
        };
        conn.flow = Some((flow, status.local_tag));
        if conn.up {
            ledger.flows[flow].streams = Some(status.outbound_streams);
            ledger.flows[flow].up.get_or_insert(cx.now);
        }
        while conn.go_on(cx, ledger) | conn.begin_next(cx, ledger, flow, &status) {}
        world.news |= conn.has_sent();
    }

    /// Reads as much as this reader takes now.
    fn read(&mut self, cx: &mut Cx<'_>, at: usize) {
        let conn = &mut self.conns[at];
        if conn.released || !conn.readable || conn.next_read > cx.now {
            return;
        }
        let mut most = usize::MAX;
        match conn.reader {
            Reader::Eager => {}
            Reader::Slow(count, _) => most = count,
            Reader::Pausing(from, until) => {
                if conn.start + from <= cx.now && cx.now < conn.start + until {
                    conn.next_read = conn.start + until;
                    return;
                }
            }
        }
        let ledger = &mut self.world.borrow_mut().ledger;
        while most > 0 {
            let Some(part) = cx.stack.recv(cx.now, conn.id) else {
                conn.readable = false;
                return;
            };
            most -= 1;
            ledger.received(
                &mut conn.reading,
                self.process,
                (conn.ports, conn.since),
                &part,
                &mut conn.switches,
            );
        }
        if let Reader::Slow(_, rest) = conn.reader {
            conn.next_read = cx.now + rest.max(Duration::from_micros(1));
        }
    }

    /// Checks that no association holds more than its buffers allow.
    pub(super) fn check_bounds(&self, stack: &Stack) {
        for conn in self.conns.iter().filter(|c| !c.released) {
            let Some(status) = stack.status(conn.id) else { continue };
            let plan = &self.plans[conn.number];
            let (held, limit) = (status.recv_buffered, plan.recv_buffer);
            assert!(held <= limit, "{held} bytes in a receive buffer of {limit}");
            let (held, limit) = (status.send_buffered, plan.send_buffer.max(plan.largest_unit));
            assert!(held <= limit, "{held} bytes in a send buffer of {limit}");
        }
    }
}

/// The association of the scenario that the port of the caller belongs to.
fn number_of(ports: (u16, u16)) -> usize {
    let caller = if ports.0 == SERVICE { ports.1 } else { ports.0 };
    let first = if caller >= FIRST_COLLISION { FIRST_COLLISION } else { FIRST_PORT };
    usize::from(caller.checked_sub(first).expect("a caller's port"))
}

impl App for User {
    fn event(&mut self, cx: &mut Cx<'_>, id: AssocId, event: &Event) {
        if let Event::Up { incoming: true, .. } = event {
            let status = cx.stack.status(id).expect("the association exists");
            assert_eq!(cx.stack.accept(status.local_port), Some(id), "what is up can be accepted");
            if !self.conns.iter().any(|c| c.id == id) {
                self.begin(cx, id, number_of((status.local_port, status.peer_port)));
            }
        }
        let at =
            self.conns.iter().position(|c| c.id == id).expect("an event of an unknown association");
        let process = self.process;
        let conn = &mut self.conns[at];
        assert!(!conn.released, "{event:?} after the release");
        if !matches!(event, Event::Readable | Event::PeerAddrChange { .. }) {
            assert!(conn.end.is_none(), "{event:?} after {:?}", conn.end);
        }
        match event {
            Event::Up { .. } => {
                assert!(!conn.up, "up twice");
                conn.up = true;
                let flow = conn.flow;
                if let (Some((flow, _)), Some(status)) = (flow, cx.stack.status(id)) {
                    let flow = &mut self.world.borrow_mut().ledger.flows[flow];
                    flow.streams = Some(status.outbound_streams);
                    flow.up = Some(cx.now);
                }
                self.tell();
                self.pump(cx, at);
            }
            Event::Restart { .. } => {
                conn.switches += 1;
                conn.since = cx.now;
                self.restarts += 1;
                if let Some((flow, tag)) = conn.flow
                    && cx.stack.status(id).is_some_and(|s| s.local_tag != tag)
                {
                    self.world.borrow_mut().ledger.flows[flow].broken = true;
                    conn.flow = None;
                }
                self.tell();
                self.pump(cx, at);
            }
            Event::Lost(_) | Event::ShutdownComplete => {
                let broken = matches!(event, Event::Lost(_));
                conn.end = Some(event.clone());
                conn.plan.clear();
                let flow = conn.flow.map(|f| f.0);
                let streams = flow.and_then(|f| self.world.borrow().ledger.flows[f].streams);
                let cut = conn.writing.drain(..).any(|message| {
                    Some(message.flow()) == flow && message.can_go_on(streams.unwrap_or(u16::MAX))
                });
                assert!(broken || !cut, "a graceful end within a message");
                if let Some((flow, _)) = conn.flow {
                    self.world.borrow_mut().ledger.flows[flow].broken |= broken;
                }
                match event {
                    Event::Lost(LossReason::ProtocolViolation(what)) => {
                        panic!("protocol violation: {what}")
                    }
                    Event::Lost(
                        LossReason::PeerAbort { cause, info } | LossReason::Refused { cause, info },
                    ) => assert!(
                        // 14: the peer knows us by another UDP port, from before the NAT changed it
                        // or before a restart.
                        matches!(cause, 0 | 12 | 14),
                        "the peer aborted with cause {cause} {:?}",
                        String::from_utf8_lossy(info)
                    ),
                    _ => {}
                }
                self.tell();
            }
            Event::SendFailed { message, unsent } => {
                self.world.borrow_mut().ledger.failed(process, message, *unsent);
            }
            Event::PartialDeliveryAborted { .. } => conn.reading.abandon(),
            Event::RemoteError { cause, .. } => panic!("the peer reports error cause {cause}"),
            Event::Readable => {
                conn.readable = true;
                self.read(cx, at);
            }
            Event::Writable => self.pump(cx, at),
            Event::PeerShutdown => {
                conn.plan.clear();
                self.tell();
            }
            _ => {}
        }
    }

    fn poll_timeout(&self) -> Option<Time> {
        let sends = |c: &Conn| {
            let parts = c.writing.iter().map(Writing::next_at).filter(|&at| at > c.pumped);
            let next = c.plan.front().filter(|_| c.up || c.early).map(|next| c.start + next.at);
            next.into_iter().chain(parts).filter(|&at| at > c.pumped).min()
        };
        // Messages that were due before and are still there wait for room, not for a time.
        let timers = self.conns.iter().filter(|c| !c.released).flat_map(|c| {
            let send = sends(c);
            let read = Some(c.next_read).filter(|_| c.readable);
            [send, read]
        });
        timers.flatten().min()
    }

    fn timeout(&mut self, cx: &mut Cx<'_>) {
        for at in 0..self.conns.len() {
            self.read(cx, at);
            self.pump(cx, at);
        }
    }
}
