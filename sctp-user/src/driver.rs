//! The task of a stack: it owns the links and moves packets between them and the core.
//!
//! One round: receive a batch and check its checksums; under the lock hand it in, fire due timers, collect who is to
//! be woken and encode packets into the driver's own buffer; without the lock wake them and send. Acknowledgements are thus decided once for a
//! batch, and several of them can earn one long run of packets.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use sctp_user_core::wire::Packet;
use sctp_user_core::{Datagram, Encap, SegmentLimits, Time, Transmit, Unreachable};
use tokio::time::Sleep;
use tracing::{debug, error, trace};

use crate::link::{IcmpError, Link, RecvBatch};
use crate::shared::{Phase, Shared, State};

/// The future that the stack's task runs.
pub(crate) struct Driver {
    shared: Arc<Shared>,
    links: Vec<Box<dyn Link>>,
    batch: RecvBatch,
    datagrams: Vec<Datagram>,
    errors: Vec<IcmpError>,
    out: Outgoing,
    wakers: Vec<Waker>,
    sleep: Pin<Box<Sleep>>,
    /// What `sleep` waits for; it may come early, never late.
    armed: Option<Time>,
}

/// Packets encoded and not sent yet. They are kept while their link has no room.
#[derive(Default)]
struct Outgoing {
    buf: Vec<u8>,
    queue: VecDeque<Queued>,
}

struct Queued {
    transmit: Transmit,
    start: usize,
    attempts: u32,
}

/// What is to be done after the lock was held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// Everything was encoded.
    Park,
    /// The budget was used up; there may be more to encode.
    More,
    /// The stack has come to its end, once what is encoded was sent.
    Finish,
}

impl Driver {
    pub(crate) fn new(shared: Arc<Shared>, links: Vec<Box<dyn Link>>) -> Self {
        Driver {
            shared,
            links,
            batch: RecvBatch::new(),
            datagrams: Vec::new(),
            errors: Vec::new(),
            out: Outgoing::default(),
            wakers: Vec::new(),
            sleep: Box::pin(tokio::time::sleep(Duration::ZERO)),
            armed: None,
        }
    }

    /// Receives at most one batch from each link; true when there was any.
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
                    for datagram in self.batch.datagrams.drain(..) {
                        match Packet::check(datagram.bytes) {
                            Ok(packet) => {
                                let (from, ecn) = (datagram.from, datagram.ecn);
                                self.datagrams.push(Datagram { at, from, ecn, packet });
                            }
                            Err(why) => trace!(from = ?datagram.from, %why, "dropped a packet"),
                        }
                    }
                    self.errors.append(&mut self.batch.errors);
                }
                Poll::Ready(Err(why)) => {
                    error!(%why, "a link has failed and is given up");
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
        let limits = self.segment_limits();
        let now = self.shared.now();
        let shared = Arc::clone(&self.shared);
        let mut state = shared.lock();
        let now = state.advance(now);
        state.driver.parked = false;
        for datagram in self.datagrams.drain(..) {
            state.sockets.handle_datagram(Datagram { at: now, ..datagram });
        }
        for error in self.errors.drain(..) {
            state.sockets.handle_unreachable(now, error.to, error.kind, &error.quoted);
        }
        if state.sockets.poll_timeout().is_some_and(|at| at <= now) {
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
            let drained = self.out.encode(&mut state, now, limits);
            finish |= state.phase == Phase::Closing && state.sockets.stack().stats().associations == 0;
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
        // Nobody needs to wake a driver that waits for room in a link.
        state.driver.parked = next == Next::Park && !blocked;
        let deadline = state.sockets.poll_timeout();
        state.driver.deadline = deadline;
        let stale = shared.stale_claims(&state);
        drop(state);
        drop(stale);
        if waker.is_some() {
            self.arm(deadline, now);
        }
        next
    }

    /// Sets the timer for `deadline`. One that is armed for an earlier time stays: moving it with every acknowledgement would cost
    /// more than the one needless round when it fires.
    fn arm(&mut self, deadline: Option<Time>, now: Time) {
        let Some(deadline) = deadline else { return };
        let deadline = deadline.min(now + LONGEST_SLEEP);
        if self.armed.is_none_or(|armed| deadline < armed) {
            self.armed = Some(deadline);
            self.sleep.as_mut().reset(self.shared.instant(deadline));
        }
    }

    /// True when the timer has fired.
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

    /// Sends what is encoded; true when a link has no room for the rest.
    fn flush(&mut self, cx: &mut Context<'_>) -> bool {
        while let Some(queued) = self.out.queue.front_mut() {
            let transmit = queued.transmit;
            let bytes = &self.out.buf[queued.start..queued.start + transmit.len];
            let link = self.links.iter_mut().find(|link| link.handles(transmit.path.encap));
            let result = match link {
                Some(link) => match link.poll_send(cx, &transmit, bytes) {
                    Poll::Pending => return true,
                    Poll::Ready(result) => result,
                },
                None => Err(io::ErrorKind::Unsupported.into()),
            };
            if let Err(why) = result {
                queued.attempts += 1;
                if is_pending_icmp(&why) && queued.attempts < SEND_ATTEMPTS {
                    continue; // the error was about an earlier packet, this one was not sent
                }
                if is_too_large(&why) {
                    self.errors.push(too_big(&transmit, bytes));
                }
                debug!(path = ?transmit.path, %why, "a packet could not be sent");
            }
            self.out.queue.pop_front();
        }
        self.out.buf.clear();
        false
    }

    /// How many packets of one path may be handed to the links at once.
    fn segment_limits(&self) -> SegmentLimits {
        let of = |encap| {
            let link = self.links.iter().find(|link| link.handles(encap));
            link.map_or(1, |link| link.max_segments().max(1))
        };
        SegmentLimits { native: of(Encap::Native), udp: of(Encap::Udp { remote_port: 1 }) }
    }
}

impl Outgoing {
    /// Encodes packets until there are no more (true) or the budget of a round is used up (false).
    fn encode(&mut self, state: &mut State, now: Time, limits: SegmentLimits) -> bool {
        while self.buf.len() < ENCODE_BYTES && self.queue.len() < ENCODE_TRANSMITS {
            let start = self.buf.len();
            let Some(transmit) = state.sockets.poll_transmit(now, limits, &mut self.buf) else { return true };
            debug_assert_eq!(self.buf.len() - start, transmit.len, "the core announces what it wrote");
            self.queue.push_back(Queued { transmit, start, attempts: 0 });
        }
        false
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
                    this.shared.enter(Phase::Stopped);
                    return Poll::Ready(());
                }
                Next::Finish => return Poll::Pending,
                Next::More if !blocked => continue,
                Next::More | Next::Park => {}
            }
            // Also a packet that turned out too large must be told before sleeping.
            if !received && this.errors.is_empty() && !this.timer_fired(cx) {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Drop for Driver {
    /// The runtime goes away, or something panicked: say good-bye to the peers as far as that goes without waiting.
    fn drop(&mut self) {
        let stopped = self.shared.peek(|state| state.phase == Phase::Stopped);
        let core_is_sound = !(std::thread::panicking() && self.shared.is_poisoned());
        if !stopped && core_is_sound {
            self.shared.enter(Phase::Aborting(Bytes::new()));
            let mut cx = Context::from_waker(Waker::noop());
            for _ in 0..FAREWELL_ROUNDS {
                let blocked = self.flush(&mut cx);
                let next = self.step(None, blocked);
                self.wake();
                let blocked = blocked || self.flush(&mut cx);
                if blocked || next == Next::Finish {
                    break;
                }
            }
        }
        self.shared.enter(Phase::Stopped);
    }
}

/// An error that ICMP has caused for an earlier packet and that the system reports on the next occasion.
fn is_pending_icmp(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, ConnectionReset, HostUnreachable, NetworkUnreachable};
    matches!(error.kind(), ConnectionRefused | ConnectionReset | HostUnreachable | NetworkUnreachable)
}

/// EMSGSIZE: larger than the interface takes.
fn is_too_large(error: &io::Error) -> bool {
    let emsgsize = if cfg!(any(target_os = "linux", target_os = "android")) {
        90
    } else if cfg!(windows) {
        10040
    } else {
        40
    };
    error.raw_os_error() == Some(emsgsize)
}

/// What a router would have said about a packet that the own interface does not take.
fn too_big(transmit: &Transmit, bytes: &[u8]) -> IcmpError {
    let ip = if transmit.path.remote.is_ipv4() { 20 } else { 40 };
    let udp = if matches!(transmit.path.encap, Encap::Udp { .. }) { 8 } else { 0 };
    let first = transmit.segment_size.unwrap_or(transmit.len).min(bytes.len());
    let size = first + ip + udp;
    let ip_mtu = COMMON_MTUS.into_iter().find(|mtu| usize::from(*mtu) < size).unwrap_or(SMALLEST_MTU);
    let quoted = Bytes::copy_from_slice(bytes.get(..first.min(QUOTED)).unwrap_or(bytes));
    IcmpError { to: transmit.path, kind: Unreachable::PacketTooBig { ip_mtu }, quoted }
}

/// Rounds of one poll before other tasks get their turn.
const ROUNDS: usize = 16;
/// Bytes encoded while the lock is held once.
const ENCODE_BYTES: usize = 256 * 1024;
/// Transmits encoded while the lock is held once.
const ENCODE_TRANSMITS: usize = 64;
/// How often a packet is tried while the system reports errors of earlier ones.
const SEND_ATTEMPTS: u32 = 4;
/// Rounds of encoding and sending when the driver is dropped.
const FAREWELL_ROUNDS: usize = 1024;
/// The timer never sleeps longer, whatever the deadline.
const LONGEST_SLEEP: Duration = Duration::from_secs(24 * 3600);
/// MTUs to try when the system only says "too large".
const COMMON_MTUS: [u16; 4] = [9000, 1500, 1492, 1280];
/// The least that every IPv4 path carries as the core allows it.
const SMALLEST_MTU: u16 = 576;
/// Bytes of a packet that was too large that the core gets to see.
const QUOTED: usize = 64;
