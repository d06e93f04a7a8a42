//! What the driver and the handles of a stack share: the sockets behind a mutex, and the tasks that
//! wait for them.
//!
//! While the lock is held, nothing makes a system call, awaits or calls a waker. So it is held only
//! for as long as one batch takes.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use sctp_user_core::Time;
use sctp_user_core::socket::{SocketId, Sockets};
use tokio::task::coop::{cooperative, poll_proceed};
use tokio::time::Instant;

use crate::blocks::Blocks;
use crate::claim::{Claim, Claims};
use crate::error::Error;
use crate::link::{LinkStats, Meter};

/// The shared state of a stack.
pub(crate) struct Shared {
    state: Mutex<State>,
    /// The ports this stack has claimed; `None` if no link shares its packets with other stacks on
    /// the host.
    claims: Option<Claims>,
    /// The blocks of ports to draw from; `None` if no link shares its addresses with other stacks.
    blocks: Option<Blocks>,
    /// They read the counters of the links.
    meters: Vec<Meter>,
    start: Instant,
}

/// What the mutex guards.
pub(crate) struct State {
    pub(crate) sockets: Sockets,
    pub(crate) phase: Phase,
    pub(crate) driver: DriverWaker,
    waiters: HashMap<SocketId, Waiters>,
    stop_waiters: WaitList,
    latest: Time,
}

/// The phases in the life of a stack, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Running,
    /// All associations are shutting down gracefully, and no new ones are accepted or started.
    Closing,
    /// The driver is to abort all associations, with this reason.
    Aborting(Bytes),
    /// The driver has ended.
    Stopped,
}

/// How to wake the driver.
#[derive(Default)]
pub(crate) struct DriverWaker {
    pub(crate) waker: Option<Waker>,
    /// The driver sleeps, and must be woken when there may be something to send.
    pub(crate) parked: bool,
    /// The next deadline that the driver knows.
    pub(crate) deadline: Option<Time>,
}

/// What a task waits for on a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interest {
    Read,
    Write,
    Accept,
    /// The outcome of connecting, or the end of the association.
    Lifecycle,
}

/// Which time an operation gets. Reading the clock takes longer than queueing a short message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimeSource {
    /// The current time.
    Clock,
    /// The time at which the clock was last read. Good enough for operations that do not depend on
    /// the exact time.
    LastRead,
}

/// What an operation may have changed that the driver must know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    None,
    /// There may be something to send, but no deadline has changed.
    Message,
    Any,
}

#[derive(Default)]
struct Waiters {
    read: WaitList,
    write: WaitList,
    accept: WaitList,
    lifecycle: WaitList,
}

impl Waiters {
    fn list(&mut self, interest: Interest) -> &mut WaitList {
        match interest {
            Interest::Read => &mut self.read,
            Interest::Write => &mut self.write,
            Interest::Accept => &mut self.accept,
            Interest::Lifecycle => &mut self.lifecycle,
        }
    }
}

/// Tasks that wait for the same thing. They are few, so a `Vec` is enough.
#[derive(Default)]
struct WaitList {
    next_key: u64,
    waiting: Vec<(u64, Waker)>,
    /// The task that polled last without a key.
    polled: Option<Waker>,
}

/// Where a waker is stored until it is called.
pub(crate) enum WakerSlot<'a> {
    /// In a list, under this key. The owner of the key must [`forget`](Shared::forget) it.
    Key(&'a mut Option<u64>),
    /// In the one slot for tasks without a key. Only the task that polled last is woken.
    Polled,
}

impl WaitList {
    /// Adds a task that is to be woken. If the key of `slot` names an earlier entry, replaces its
    /// waker instead.
    fn register(&mut self, slot: WakerSlot<'_>, waker: &Waker) {
        let key = match slot {
            WakerSlot::Key(key) => key,
            WakerSlot::Polled => {
                match &mut self.polled {
                    Some(polled) => polled.clone_from(waker),
                    none => *none = Some(waker.clone()),
                }
                return;
            }
        };
        if let Some(key) = *key
            && let Some((_, noted)) = self.waiting.iter_mut().find(|(k, _)| *k == key)
        {
            noted.clone_from(waker);
            return;
        }
        *key = Some(self.next_key);
        self.waiting.push((self.next_key, waker.clone()));
        self.next_key += 1;
    }

    fn forget(&mut self, key: u64) {
        self.waiting.retain(|(k, _)| *k != key);
    }

    fn drain(&mut self, wakers: &mut Vec<Waker>) {
        wakers.extend(self.waiting.drain(..).map(|(_, waker)| waker));
        wakers.extend(self.polled.take());
    }
}

impl Shared {
    /// `claims` is for stacks that must claim every SCTP port they use among the processes of the
    /// host. `blocks` is for stacks that must claim the ports they choose by themselves.
    pub(crate) fn new(
        sockets: Sockets,
        claims: Option<Claims>,
        blocks: Option<Blocks>,
        meters: Vec<Meter>,
    ) -> Self {
        let state = State {
            sockets,
            phase: Phase::Running,
            driver: DriverWaker::default(),
            waiters: HashMap::new(),
            stop_waiters: WaitList::default(),
            latest: Time::ZERO,
        };
        Shared { state: Mutex::new(state), claims, blocks, meters, start: Instant::now() }
    }

    /// The sum of the counters of all links.
    pub(crate) fn link_stats(&self) -> LinkStats {
        self.meters.iter().map(|meter| meter()).sum()
    }

    /// The current time in the units of the core.
    pub(crate) fn now(&self) -> Time {
        Time::from_nanos(u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    /// The instant on tokio's clock that corresponds to `time`.
    pub(crate) fn instant(&self, time: Time) -> Instant {
        self.start + std::time::Duration::from_nanos(time.as_nanos())
    }

    /// Locks the state. If a thread has panicked while it held the lock, which only a fault in the
    /// core can cause, the handles go on with the state it left.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_poisoned(&self) -> bool {
        self.state.is_poisoned()
    }

    /// Reads from the state without changing it.
    pub(crate) fn peek<R>(&self, f: impl FnOnce(&State) -> R) -> R {
        f(&self.lock())
    }

    /// The claims on ports, if this stack needs them.
    pub(crate) fn claims(&self) -> Option<&Claims> {
        self.claims.as_ref()
    }

    /// The blocks of ports to draw from, if this stack needs them.
    pub(crate) fn blocks(&self) -> Option<&Blocks> {
        self.blocks.as_ref()
    }

    /// Takes out the claims on ports that are no longer in use. The caller drops them after it has
    /// released the lock, because dropping makes system calls.
    pub(crate) fn stale_claims(&self, state: &mut State) -> Vec<Claim> {
        let stack = state.sockets.stack();
        let mut stale = match &self.claims {
            Some(claims) if state.phase == Phase::Stopped => claims.take(|_| true),
            Some(claims) if claims.count() > stack.ports_in_use() => {
                claims.take(|port| !stack.is_in_use(port))
            }
            _ => Vec::new(),
        };
        if let Some(blocks) = &self.blocks {
            stale.append(&mut blocks.take_idle(&mut state.sockets));
        }
        stale
    }

    /// Runs `f` under the lock. Then wakes the tasks for which something has become possible, and
    /// the driver if it sleeps.
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut State, Time) -> R) -> R {
        self.with_effect(TimeSource::Clock, |state, now| (f(state, now), Effect::Any))
    }

    /// Like [`with`](Self::with), for an `f` that only sends or receives messages.
    pub(crate) fn exchange<R>(
        &self,
        source: TimeSource,
        f: impl FnOnce(&mut State, Time) -> R,
    ) -> R {
        self.with_effect(source, |state, now| (f(state, now), Effect::Message))
    }

    /// Like [`with`](Self::with), but `f` also says what the driver must know, and the driver is
    /// woken only if it has something to do.
    fn with_effect<R>(
        &self,
        source: TimeSource,
        f: impl FnOnce(&mut State, Time) -> (R, Effect),
    ) -> R {
        let now = match source {
            TimeSource::Clock => self.now(),
            TimeSource::LastRead => Time::ZERO,
        };
        let mut wakers = Vec::new();
        let mut state = self.lock();
        let now = state.advance(now);
        let (result, effect) = f(&mut state, now);
        state.collect_ready(&mut wakers);
        let driver = if state.driver.parked && state.driver_has_work(effect) {
            state.driver_if_parked()
        } else {
            None
        };
        let stale = match effect {
            Effect::Any => self.stale_claims(&mut state),
            // Sending or receiving a message frees no port.
            Effect::None | Effect::Message => Vec::new(),
        };
        drop(state);
        drop(stale);
        if !wakers.is_empty() || driver.is_some() {
            wakers.into_iter().chain(driver).for_each(Waker::wake);
        }
        result
    }

    /// Moves on to `phase` unless the stack is already in that phase or a later one, and wakes the
    /// driver.
    pub(crate) fn enter_phase(&self, phase: Phase) {
        let now = self.now();
        let mut wakers = Vec::new();
        let mut state = self.lock();
        let now = state.advance(now);
        let rank = |phase: &Phase| match phase {
            Phase::Running => 0,
            Phase::Closing => 1,
            Phase::Aborting(_) => 2,
            Phase::Stopped => 3,
        };
        if rank(&phase) > rank(&state.phase) {
            if phase == Phase::Closing {
                state.sockets.shutdown_all(now);
            }
            state.phase = phase;
            if state.phase == Phase::Stopped {
                state.collect_all(&mut wakers);
            } else {
                state.collect_accept(&mut wakers);
            }
        }
        state.collect_ready(&mut wakers);
        state.driver.parked = false;
        wakers.extend(state.driver.waker.clone());
        let stale = self.stale_claims(&mut state);
        drop(state);
        drop(stale);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Calls `op` until it returns something other than [`Error::WouldBlock`], and waits between
    /// the calls. Fails with [`Error::Stopped`] if it would have to wait and the stack has stopped.
    pub(crate) async fn wait<R>(
        &self,
        socket: SocketId,
        interest: Interest,
        op: impl FnMut(&mut State, Time) -> Result<R, Error> + Unpin,
    ) -> Result<R, Error> {
        let (source, effect) = (TimeSource::Clock, Effect::Any);
        cooperative(Wait { shared: self, socket, interest, source, effect, key: None, op }).await
    }

    /// Like [`wait`](Self::wait), for an `op` that only sends or receives messages.
    pub(crate) async fn wait_exchange<R>(
        &self,
        socket: SocketId,
        interest: Interest,
        source: TimeSource,
        op: impl FnMut(&mut State, Time) -> Result<R, Error> + Unpin,
    ) -> Result<R, Error> {
        let effect = Effect::Message;
        cooperative(Wait { shared: self, socket, interest, source, effect, key: None, op }).await
    }

    /// One step of [`wait_exchange`](Self::wait_exchange), for types that are polled.
    pub(crate) fn poll_exchange<R>(
        &self,
        cx: &mut Context<'_>,
        waiting: (SocketId, Interest, WakerSlot<'_>),
        source: TimeSource,
        op: impl FnMut(&mut State, Time) -> Result<R, Error>,
    ) -> Poll<Result<R, Error>> {
        self.poll_budgeted(cx, waiting, (source, Effect::Message), op)
    }

    /// One step of [`wait`](Self::wait), for types that are polled.
    pub(crate) fn poll_wait<R>(
        &self,
        cx: &mut Context<'_>,
        waiting: (SocketId, Interest, WakerSlot<'_>),
        op: impl FnMut(&mut State, Time) -> Result<R, Error>,
    ) -> Poll<Result<R, Error>> {
        self.poll_budgeted(cx, waiting, (TimeSource::Clock, Effect::Any), op)
    }

    fn poll_budgeted<R>(
        &self,
        cx: &mut Context<'_>,
        waiting: (SocketId, Interest, WakerSlot<'_>),
        with: (TimeSource, Effect),
        op: impl FnMut(&mut State, Time) -> Result<R, Error>,
    ) -> Poll<Result<R, Error>> {
        let budget = ready!(poll_proceed(cx));
        let result = self.poll_op(cx, waiting, with, op);
        if result.is_ready() {
            budget.made_progress();
        }
        result
    }

    /// Calls `op` once, and stores the waker if it would block.
    fn poll_op<R>(
        &self,
        cx: &mut Context<'_>,
        (socket, interest, slot): (SocketId, Interest, WakerSlot<'_>),
        (source, effect): (TimeSource, Effect),
        mut op: impl FnMut(&mut State, Time) -> Result<R, Error>,
    ) -> Poll<Result<R, Error>> {
        self.with_effect(source, |state, now| match op(state, now) {
            Err(Error::WouldBlock) if state.phase == Phase::Stopped => {
                (Poll::Ready(Err(Error::Stopped)), Effect::None)
            }
            Err(Error::WouldBlock) => {
                let waiters = state.waiters.entry(socket).or_default();
                waiters.list(interest).register(slot, cx.waker());
                (Poll::Pending, Effect::None)
            }
            result => (Poll::Ready(result), effect),
        })
    }

    /// Removes a waker from its list.
    pub(crate) fn forget(&self, socket: SocketId, interest: Interest, key: &mut Option<u64>) {
        if let Some(key) = key.take()
            && let Some(waiters) = self.lock().waiters.get_mut(&socket)
        {
            waiters.list(interest).forget(key);
        }
    }

    /// Waits until the driver has ended.
    pub(crate) async fn stopped(&self) {
        Stopped { shared: self, key: None }.await;
    }

    /// Forgets the list of waiting tasks of a socket that is closed. The list is empty, because a
    /// task that waits borrows the handle of the socket.
    pub(crate) fn forget_waiters(state: &mut State, socket: SocketId) {
        state.waiters.remove(&socket);
    }
}

impl State {
    /// Keeps the time from going back. `now` was read before the lock was taken, so another thread
    /// may have read a later time and taken the lock first.
    pub(crate) fn advance(&mut self, now: Time) -> Time {
        self.latest = self.latest.max(now);
        self.latest
    }

    /// Fails if the stack no longer binds ports or starts associations.
    pub(crate) fn check_running(&self) -> Result<(), Error> {
        if self.phase == Phase::Running { Ok(()) } else { Err(Error::Stopped) }
    }

    /// Collects the wakers of the tasks for which something has become possible.
    pub(crate) fn collect_ready(&mut self, wakers: &mut Vec<Waker>) {
        while let Some(ready) = self.sockets.poll_ready() {
            let Some(waiters) = self.waiters.get_mut(&ready.socket) else { continue };
            if ready.readable {
                waiters.read.drain(wakers);
            }
            if ready.writable {
                waiters.write.drain(wakers);
            }
            if ready.acceptable {
                waiters.accept.drain(wakers);
            }
            if ready.connected || ready.ended {
                waiters.lifecycle.drain(wakers);
            }
        }
    }

    /// Collects the wakers of the tasks that wait to accept, because the stack accepts no more.
    fn collect_accept(&mut self, wakers: &mut Vec<Waker>) {
        self.waiters.values_mut().for_each(|w| w.accept.drain(wakers));
    }

    fn collect_all(&mut self, wakers: &mut Vec<Waker>) {
        for waiters in self.waiters.values_mut() {
            for interest in [Interest::Read, Interest::Write, Interest::Accept, Interest::Lifecycle]
            {
                waiters.list(interest).drain(wakers);
            }
        }
        self.stop_waiters.drain(wakers);
    }

    /// Whether a sleeping driver must be woken: because there may be something to send, or because
    /// there is a deadline earlier than the one it knows.
    fn driver_has_work(&mut self, effect: Effect) -> bool {
        let known = self.driver.deadline;
        match effect {
            Effect::None => false,
            Effect::Message => self.sockets.stack().has_transmit(),
            Effect::Any => {
                self.phase != Phase::Running
                    || self.sockets.stack().has_transmit()
                    || self
                        .sockets
                        .poll_wakeup()
                        .is_some_and(|at| known.is_none_or(|known| at < known))
            }
        }
    }

    fn driver_if_parked(&mut self) -> Option<Waker> {
        if std::mem::take(&mut self.driver.parked) { self.driver.waker.clone() } else { None }
    }
}

/// Waits on a socket. Dropping this future removes its waker from the list.
struct Wait<'a, F> {
    shared: &'a Shared,
    socket: SocketId,
    interest: Interest,
    source: TimeSource,
    effect: Effect,
    key: Option<u64>,
    op: F,
}

impl<R, F: FnMut(&mut State, Time) -> Result<R, Error> + Unpin> Future for Wait<'_, F> {
    type Output = Result<R, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let waiting = (this.socket, this.interest, WakerSlot::Key(&mut this.key));
        let result = this.shared.poll_op(cx, waiting, (this.source, this.effect), &mut this.op);
        if result.is_ready() {
            this.unregister();
        }
        result
    }
}

impl<F> Wait<'_, F> {
    fn unregister(&mut self) {
        self.shared.forget(self.socket, self.interest, &mut self.key);
    }
}

impl<F> Drop for Wait<'_, F> {
    fn drop(&mut self) {
        self.unregister();
    }
}

/// Waits until the driver has ended.
struct Stopped<'a> {
    shared: &'a Shared,
    key: Option<u64>,
}

impl Future for Stopped<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let mut state = this.shared.lock();
        if state.phase == Phase::Stopped {
            return Poll::Ready(());
        }
        state.stop_waiters.register(WakerSlot::Key(&mut this.key), cx.waker());
        Poll::Pending
    }
}

impl Drop for Stopped<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.shared.lock().stop_waiters.forget(key);
        }
    }
}
