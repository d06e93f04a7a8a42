//! The driver: the task of a stack. It owns the links and moves packets between them and the core.
//!
//! The driver works in rounds. It receives a batch of packets and checks their checksums. Then it
//! takes the lock, hands the batch to the core, fires the timers that are due, collects the tasks
//! to wake and encodes packets into its own buffer. It releases the lock, wakes the tasks and sends
//! the packets. This way the core decides about acknowledgements once per batch, and several
//! received acknowledgements can allow one long run of packets.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use sctp_user_core::{Datagram, Time};
use tokio::time::Sleep;
use tracing::error;

use crate::host_addrs::HostAddrs;
use crate::link::{IcmpError, Link, RecvBatch, checked};
use crate::outgoing::{SendQueue, segment_limits};
use crate::shared::{Phase, Shared};

/// The future that the stack's task runs.
pub(crate) struct Driver {
    shared: Arc<Shared>,
    links: Vec<Box<dyn Link>>,
    batch: RecvBatch,
    datagrams: Vec<Datagram>,
    host: HostAddrs,
    /// The addresses of the host, if they were looked up and the core does not have them yet.
    host_addrs: Option<Vec<IpAddr>>,
    errors: Vec<IcmpError>,
    out: SendQueue,
    wakers: Vec<Waker>,
    sleep: Pin<Box<Sleep>>,
    /// The time `sleep` waits for. It is never later than the next deadline, but may be earlier.
    armed: Option<Time>,
}

/// What to do after the lock was released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// Sleep: all packets were encoded.
    Park,
    /// Do another round: the budget was used up, and there may be more packets to encode.
    More,
    /// End the driver as soon as the encoded packets are sent.
    Finish,
}

impl Driver {
    pub(crate) fn new(shared: Arc<Shared>, links: Vec<Box<dyn Link>>) -> Self {
        Driver {
            shared,
            links,
            batch: RecvBatch::new(),
            datagrams: Vec::new(),
            host: HostAddrs::default(),
            host_addrs: None,
            errors: Vec::new(),
            out: SendQueue::default(),
            wakers: Vec::new(),
            sleep: Box::pin(tokio::time::sleep(Duration::ZERO)),
            armed: None,
        }
    }

    /// Receives at most one batch from each link. Returns true if anything was received.
    fn receive(&mut self, cx: &mut Context<'_>) -> bool {
        let mut any = false;
        let mut index = 0;
        while index < self.links.len() {
            self.batch.clear();
            match self.links[index].poll_recv(cx, &mut self.batch) {
                Poll::Pending => {}
                Poll::Ready(Ok(())) => {
                    any = true;
                    let at = self.shared.now();
                    let news = self.host.look_up(&self.links, &self.batch, at);
                    self.host_addrs = news.or(self.host_addrs.take());
                    self.datagrams
                        .extend(self.batch.datagrams.drain(..).filter_map(|d| checked(d, at)));
                    self.errors.append(&mut self.batch.errors);
                }
                Poll::Ready(Err(why)) => {
                    error!(%why, "a link has failed and is no longer used");
                    drop(self.links.remove(index));
                    continue;
                }
            }
            index += 1;
        }
        any
    }

    /// The part of a round that needs the lock.
    fn step(&mut self, waker: Option<&Waker>, blocked: bool) -> Next {
        let limits = segment_limits(&self.links);
        let now = self.shared.now();
        let shared = Arc::clone(&self.shared);
        let mut state = shared.lock();
        let now = state.advance(now);
        state.driver.parked = false;
        if let Some(addrs) = self.host_addrs.take() {
            state.sockets.set_host_addrs(addrs);
        }
        for datagram in self.datagrams.drain(..) {
            state.sockets.handle_datagram(Datagram { at: now, ..datagram });
        }
        for error in self.errors.drain(..) {
            state.sockets.handle_unreachable(now, error.to, error.kind, &error.quoted);
        }
        if state.sockets.poll_wakeup().is_some_and(|at| at <= now) {
            state.sockets.handle_timeout(now);
        }
        let mut finish = matches!(state.phase, Phase::Aborting(_) | Phase::Stopped);
        if let Phase::Aborting(reason) = &state.phase {
            let reason = reason.clone();
            state.sockets.abort_all(now, reason);
        }
        let next = if self.links.is_empty() {
            state.sockets.abort_all(now, Bytes::new());
            Next::Finish
        } else if blocked {
            Next::Park
        } else {
            let drained = self.out.encode(&mut state.sockets, now, limits);
            finish |=
                state.phase == Phase::Closing && state.sockets.stack().stats().associations == 0;
            match (drained, finish) {
                (false, _) => Next::More,
                (true, true) => Next::Finish,
                (true, false) => Next::Park,
            }
        };
        state.collect_ready(&mut self.wakers);
        if let Some(waker) = waker {
            match &mut state.driver.waker {
                Some(known) => known.clone_from(waker),
                none => *none = Some(waker.clone()),
            }
        }
        // A driver that waits for room in a link does not have to be woken: it cannot send more.
        state.driver.parked = next == Next::Park && !blocked;
        let deadline = state.sockets.poll_wakeup();
        state.driver.deadline = deadline;
        let stale = shared.stale_claims(&mut state);
        drop(state);
        drop(stale);
        if waker.is_some() {
            self.arm(deadline, now);
        }
        next
    }

    /// Sets the timer for `deadline`, unless it is already set for an earlier time. Moving the
    /// timer with every acknowledgement would cost more than the one needless round when it fires.
    fn arm(&mut self, deadline: Option<Time>, now: Time) {
        let Some(deadline) = deadline else { return };
        let deadline = deadline.min(now + LONGEST_SLEEP);
        if self.armed.is_none_or(|armed| deadline < armed) {
            self.armed = Some(deadline);
            self.sleep.as_mut().reset(self.shared.instant(deadline));
        }
    }

    /// Returns true if the timer has fired.
    fn timer_fired(&mut self, cx: &mut Context<'_>) -> bool {
        let fired = self.armed.is_some() && self.sleep.as_mut().poll(cx).is_ready();
        if fired {
            self.armed = None;
        }
        fired
    }

    fn wake(&mut self) {
        self.wakers.drain(..).for_each(Waker::wake);
    }

    /// Sends the encoded packets. Returns true if a link has no room for the rest.
    fn flush(&mut self, cx: &mut Context<'_>) -> bool {
        self.out.flush(cx, &mut self.links, &mut self.errors)
    }
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        for _ in 0..ROUNDS {
            let received = this.receive(cx);
            let blocked = this.flush(cx);
            let next = this.step(Some(cx.waker()), blocked);
            this.wake();
            let blocked = blocked || this.flush(cx);
            match next {
                Next::Finish if !blocked => {
                    this.shared.enter_phase(Phase::Stopped);
                    return Poll::Ready(());
                }
                Next::Finish => return Poll::Pending,
                Next::More if !blocked => continue,
                Next::More | Next::Park => {}
            }
            // Errors, such as a packet that was too large, must reach the core before the driver
            // sleeps.
            if !received && this.errors.is_empty() && !this.timer_fired(cx) {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Drop for Driver {
    /// If the runtime is shutting down or something has panicked, sends ABORTs to the peers as far
    /// as possible without waiting.
    fn drop(&mut self) {
        let stopped = self.shared.peek(|state| state.phase == Phase::Stopped);
        let core_is_sound = !(std::thread::panicking() && self.shared.is_poisoned());
        if !stopped && core_is_sound {
            self.shared.enter_phase(Phase::Aborting(Bytes::new()));
            let mut cx = Context::from_waker(Waker::noop());
            for _ in 0..FINAL_ROUNDS {
                let blocked = self.flush(&mut cx);
                let next = self.step(None, blocked);
                self.wake();
                let blocked = blocked || self.flush(&mut cx);
                if blocked || next == Next::Finish {
                    break;
                }
            }
        }
        self.shared.enter_phase(Phase::Stopped);
    }
}

/// How many rounds one poll makes before other tasks get their turn.
const ROUNDS: usize = 16;
/// How many rounds of encoding and sending to make at most when the driver is dropped.
const FINAL_ROUNDS: usize = 1024;
/// The longest time the timer sleeps, whatever the deadline.
const LONGEST_SLEEP: Duration = Duration::from_secs(24 * 3600);
