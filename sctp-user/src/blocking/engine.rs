//! The engine of a blocking stack: receiving, the protocol, sending and waiting, all of which
//! happen inside the user's calls.

use std::os::fd::BorrowedFd;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use sctp_user_core::Time;
use sctp_user_core::socket::Sockets;

use crate::blocks::Blocks;
use crate::claim::Claims;
use crate::error::Error;
use crate::host_addrs::HostAddrs;
use crate::link::sockets::SocketLink;
use crate::link::{IcmpError, Link as _, LinkStats, RecvBatch, checked};
use crate::outgoing::{SendQueue, segment_limits};

/// The sockets, the links and the clock of a stack.
pub(super) struct Engine {
    pub(super) sockets: Sockets,
    /// The ports this stack has claimed; `None` if no link shares its packets with other stacks on
    /// the host.
    pub(super) claims: Option<Claims>,
    /// The blocks of ports to draw from; `None` if no link shares its addresses with other stacks.
    pub(super) blocks: Option<Blocks>,
    links: Vec<SocketLink>,
    out: SendQueue,
    batch: RecvBatch,
    host: HostAddrs,
    errors: Vec<IcmpError>,
    start: Instant,
    /// The time when the clock was last read.
    latest: Time,
    /// When the links were last asked for received packets.
    last_receive: Time,
    /// There is only one socket, and it is in blocking mode.
    waits_in_recv: bool,
    /// The last receive call waited in vain, so the next wait may be long.
    idle: bool,
    /// How many times in a row the user has sent something after each receive call.
    answers: u32,
    /// Something was received, and the user has sent nothing since. Until that changes, datagrams
    /// are expected to come in a row.
    unanswered: bool,
    /// A link has no room for more packets.
    blocked: bool,
    /// The stack was shut down or aborted, or its last link has failed.
    pub(super) stopped: bool,
}

impl Engine {
    pub(super) fn new(
        sockets: Sockets,
        mut links: Vec<SocketLink>,
        claims: Option<Claims>,
        blocks: Option<Blocks>,
    ) -> Self {
        let waits_in_recv = match &mut *links {
            [only] => only.make_waiting(),
            _ => false,
        };
        Engine {
            sockets,
            claims,
            blocks,
            links,
            out: SendQueue::default(),
            batch: RecvBatch::new(),
            host: HostAddrs::default(),
            errors: Vec::new(),
            start: Instant::now(),
            latest: Time::ZERO,
            last_receive: Time::ZERO,
            waits_in_recv,
            idle: false,
            answers: 0,
            unanswered: false,
            blocked: false,
            stopped: false,
        }
    }

    /// The sum of the counters of all links.
    pub(super) fn link_stats(&self) -> LinkStats {
        self.links.iter().map(SocketLink::stats).sum()
    }

    pub(super) fn check_running(&self) -> Result<(), Error> {
        if self.stopped { Err(Error::Stopped) } else { Ok(()) }
    }

    /// Runs `f` with the sockets, then sends the packets that it has caused.
    pub(super) fn with<R>(&mut self, f: impl FnOnce(&mut Sockets, Time) -> R) -> R {
        let now = self.now();
        let result = f(&mut self.sockets, now);
        self.flush();
        result
    }

    /// Reads the clock.
    pub(super) fn now(&mut self) -> Time {
        let now = u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.latest = Time::from_nanos(now);
        self.latest
    }

    /// If nobody has done so for a while, receives what has arrived and lets the protocol work,
    /// without waiting.
    pub(super) fn keep_up(&mut self) {
        if self.latest.since(self.last_receive) >= KEEP_UP {
            self.run_once(Some(Time::ZERO));
            self.flush();
        }
    }

    /// Like [`keep_up`](Self::keep_up), but reads the clock first.
    pub(super) fn keep_up_now(&mut self) {
        self.now();
        self.keep_up();
    }

    /// The user sends, perhaps in answer to what was received last.
    pub(super) fn answered(&mut self) {
        if std::mem::take(&mut self.unanswered) {
            self.answers = self.answers.saturating_add(1);
            if self.waits_in_recv && self.answers == MANY_ANSWERS {
                self.links.iter_mut().for_each(|link| link.expect_single(true));
            }
        }
    }

    /// Sends everything that may be sent, as far as the links have room.
    pub(super) fn flush(&mut self) {
        if self.out.is_empty() && !self.sockets.stack().has_transmit() {
            return;
        }
        let now = self.latest;
        let mut cx = Context::from_waker(Waker::noop());
        loop {
            let limits = segment_limits(&self.links);
            let all = self.blocked || self.out.encode(&mut self.sockets, now, limits);
            self.blocked = self.out.flush(&mut cx, &mut self.links, &mut self.errors);
            let told = !self.errors.is_empty();
            self.hand_in_errors();
            if self.blocked || (all && !told && !self.sockets.stack().has_transmit()) {
                return;
            }
        }
    }

    /// Waits until something arrives, a timer fires or the time `until` comes, and lets the
    /// protocol work.
    pub(super) fn run_once(&mut self, until: Option<Time>) {
        let news = self.links.iter().any(SocketLink::has_news);
        // Much time may have passed since the last call.
        self.now();
        let mut timer = self.sockets.poll_wakeup();
        let mut left = self.time_left(timer, until);
        if left.is_some_and(|left| left < MIN_RECV_WAIT) {
            // `poll_wakeup` may be too early, so ask for the exact time before a short wait.
            timer = self.sockets.poll_timeout();
            left = self.time_left(timer, until);
        }
        self.receive(if news { Some(Duration::ZERO) } else { left });
        let now = self.now();
        self.last_receive = now;
        if let Some(addrs) = self.host.look_up(&self.links, &self.batch, now) {
            self.sockets.set_host_addrs(addrs);
        }
        for datagram in self.batch.datagrams.drain(..) {
            if let Some(datagram) = checked(datagram, now) {
                self.sockets.handle_datagram(datagram);
            }
        }
        if !self.batch.errors.is_empty() {
            self.errors.append(&mut self.batch.errors);
            self.hand_in_errors();
        }
        if timer.is_some_and(|at| at <= now) {
            self.sockets.handle_timeout(now);
        }
        if let Some(claims) = &self.claims
            && claims.count() > self.sockets.stack().ports_in_use()
        {
            let stack = self.sockets.stack();
            drop(claims.take(|port| !stack.is_in_use(port)));
        }
        if let Some(blocks) = &self.blocks {
            drop(blocks.take_idle(&mut self.sockets));
        }
    }

    /// The time until the earlier of two deadlines; `None` if there is neither.
    fn time_left(&self, timer: Option<Time>, until: Option<Time>) -> Option<Duration> {
        let wake = match (timer, until) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        wake.map(|at| at.since(self.latest))
    }

    /// Waits for at most `left` and receives into the batch.
    fn receive(&mut self, left: Option<Duration>) {
        let patient = left.is_none_or(|left| left >= MIN_RECV_WAIT);
        let in_call = self.waits_in_recv && patient && !self.idle && !self.blocked;
        if !in_call && left != Some(Duration::ZERO) {
            self.poll(left);
        }
        // Taking several datagrams in a row is faster than receiving them one by one.
        let row = self.unanswered || !in_call;
        let mut index = 0;
        while let Some(link) = self.links.get_mut(index) {
            let received = if self.waits_in_recv {
                if self.unanswered && self.answers > 0 {
                    self.answers = 0;
                    link.expect_single(false);
                }
                link.recv_waiting(in_call, row, &mut self.batch)
            } else {
                match link.poll_recv(&mut Context::from_waker(Waker::noop()), &mut self.batch) {
                    Poll::Ready(result) => result,
                    Poll::Pending => Ok(()),
                }
            };
            if let Err(why) = received {
                tracing::error!(%why, "a link has failed and is no longer used");
                drop(self.links.remove(index));
                continue;
            }
            index += 1;
        }
        self.idle = in_call && self.batch.is_empty();
        self.unanswered |= !self.batch.is_empty();
        if self.links.is_empty() && !self.stopped {
            self.stopped = true;
            self.sockets.abort_all(self.latest, Bytes::new());
        }
    }

    /// Waits with poll(2) for at most `left` until a socket is ready.
    fn poll(&self, left: Option<Duration>) {
        let mut wanted = PollFlags::POLLIN;
        wanted.set(PollFlags::POLLOUT, self.blocked);
        let fds = self.links.iter().flat_map(SocketLink::fds);
        let mut fds: Vec<PollFd<'_>> =
            fds.map(|fd: BorrowedFd<'_>| PollFd::new(fd, wanted)).collect();
        // Round up: waking too early would mean waiting again.
        let millis = left.map(|left| left.as_nanos().div_ceil(1_000_000));
        let timeout = match millis {
            None => PollTimeout::NONE,
            Some(millis) => PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX),
        };
        // A signal may have interrupted the call. The caller reads the clock and waits again if
        // needed.
        let _ = poll(&mut fds, timeout);
    }

    fn hand_in_errors(&mut self) {
        if self.errors.is_empty() {
            return;
        }
        for error in self.errors.drain(..) {
            self.sockets.handle_unreachable(self.latest, error.to, error.kind, &error.quoted);
        }
    }

    /// Calls `op` until it returns something other than [`Error::WouldBlock`], and waits between
    /// the calls, for at most `timeout` in all. The first call gets the time when the clock was
    /// last read.
    pub(super) fn wait<R>(
        &mut self,
        timeout: Option<Duration>,
        mut op: impl FnMut(&mut Sockets, Time) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let mut until = None;
        let mut last = false;
        loop {
            let result = op(&mut self.sockets, self.latest);
            self.flush();
            match result {
                Err(Error::WouldBlock) if self.stopped => return Err(Error::Stopped),
                Err(Error::WouldBlock) if last => return Err(Error::TimedOut),
                Err(Error::WouldBlock) => {}
                result => return result,
            }
            if until.is_none()
                && let Some(timeout) = timeout
            {
                until = Some(self.now() + timeout);
            }
            self.run_once(until);
            last = until.is_some_and(|at| at <= self.latest);
        }
    }

    /// Aborts every association, and sends as many of the ABORTs as is possible without waiting.
    pub(super) fn abort_all(&mut self, reason: Bytes) {
        if !std::mem::replace(&mut self.stopped, true) {
            let now = self.now();
            self.sockets.abort_all(now, reason);
            self.flush();
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // After a panic the state of the core cannot be trusted.
        if !std::thread::panicking() {
            self.abort_all(Bytes::new());
        }
    }
}

/// If there is less time than this, wait with poll(2), which is exact. A receive call may return
/// some kernel ticks later than it should.
const MIN_RECV_WAIT: Duration = SocketLink::RECV_WAIT.saturating_add(Duration::from_millis(20));
/// After this many answers in a row, each datagram is expected to come alone, as in a conversation.
const MANY_ANSWERS: u32 = 32;
/// How often a stack receives if its user only sends and never waits.
const KEEP_UP: Duration = Duration::from_millis(5);
