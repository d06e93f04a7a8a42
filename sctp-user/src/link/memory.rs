//! A network in memory: links that hand packets to each other, for tests and examples.
//!
//! It is deterministic on tokio's current-thread runtime with a paused clock: packets keep their order, and a
//! delay is measured on tokio's clock. Loss follows from a function of the caller. For randomness, rates and NAT use
//! the simulation of the core instead.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use sctp_user_core::{Encap, PathAddr, Transmit, Unreachable};
use tokio::time::{Instant, Sleep};

use super::{IcmpError, Link, RecvBatch, RecvDatagram};

/// A network that connects [`MemoryLink`]s by their addresses. Clones mean the same network.
#[derive(Clone, Default)]
pub struct MemoryNet {
    state: Arc<Mutex<State>>,
}

impl MemoryNet {
    /// A network without delay or loss.
    pub fn new() -> Self {
        MemoryNet::default()
    }

    /// Attaches a host with these addresses that sends and receives UDP-encapsulated SCTP on `udp_port`. Several links may share
    /// addresses when their ports differ, as processes of one host do; a later link takes over addresses and ports of an earlier one.
    pub fn link(&self, addrs: &[IpAddr], udp_port: u16) -> MemoryLink {
        self.attach(addrs, Some(udp_port))
    }

    /// Attaches a host with these addresses that sends and receives native SCTP.
    pub fn native_link(&self, addrs: &[IpAddr]) -> MemoryLink {
        self.attach(addrs, None)
    }

    /// One-way delay of packets sent from now on. Default none.
    pub fn set_delay(&self, delay: Duration) {
        self.lock().delay = delay;
    }

    /// Whether a packet to an address and port without a link is answered with ICMP port (native: protocol) unreachable, as the
    /// loopback interface of a host would. Default: it just disappears.
    pub fn set_reject_unknown(&self, reject: bool) {
        self.lock().reject_unknown = reject;
    }

    /// Asks `drop` about every packet from now on; packets for which it returns true disappear. It gets the path as the
    /// sender sees it and the SCTP packet.
    pub fn set_loss(&self, drop: impl FnMut(&PathAddr, &[u8]) -> bool + Send + 'static) {
        self.lock().loss = Some(Box::new(drop));
    }

    /// Cuts an address off the network, or connects it again: nothing to or from it arrives.
    pub fn set_cut(&self, addr: IpAddr, cut: bool) {
        let mut state = self.lock();
        state.cut.retain(|a| *a != addr);
        if cut {
            state.cut.push(addr);
        }
    }

    fn attach(&self, addrs: &[IpAddr], udp_port: Option<u16>) -> MemoryLink {
        let mut state = self.lock();
        let id = state.next_id;
        state.next_id += 1;
        state.inboxes.insert(id, Inbox::default());
        for addr in addrs {
            state.hosts.insert((*addr, udp_port), id);
        }
        MemoryLink { net: self.clone(), id, addrs: addrs.to_vec(), udp_port, sleep: None, segments: 16 }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for MemoryNet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryNet").field("links", &self.lock().inboxes.len()).finish_non_exhaustive()
    }
}

/// Answers whether a packet is lost.
type Loss = Box<dyn FnMut(&PathAddr, &[u8]) -> bool + Send>;

#[derive(Default)]
struct State {
    hosts: HashMap<(IpAddr, Option<u16>), u64>,
    inboxes: HashMap<u64, Inbox>,
    next_id: u64,
    delay: Duration,
    reject_unknown: bool,
    loss: Option<Loss>,
    cut: Vec<IpAddr>,
}

#[derive(Default)]
struct Inbox {
    queue: VecDeque<(Instant, Arrival)>,
    waker: Option<Waker>,
}

enum Arrival {
    Packet(RecvDatagram),
    Icmp(IcmpError),
}

impl State {
    /// Carries one packet and returns whom to wake for it.
    fn carry(
        &mut self,
        from: u64,
        udp_port: Option<u16>,
        path: PathAddr,
        source: IpAddr,
        packet: &[u8],
    ) -> Option<Waker> {
        if self.cut.contains(&source) || self.cut.contains(&path.remote) {
            return None;
        }
        if self.loss.as_mut().is_some_and(|lose| lose(&path, packet)) {
            return None;
        }
        let port = match path.encap {
            Encap::Native => None,
            Encap::Udp { remote_port } => Some(remote_port),
        };
        let encap = match udp_port {
            None => Encap::Native,
            Some(remote_port) => Encap::Udp { remote_port },
        };
        let (to, arrival) = match self.hosts.get(&(path.remote, port)) {
            Some(to) => {
                let from = PathAddr { local: Some(path.remote), remote: source, encap };
                (
                    *to,
                    Arrival::Packet(RecvDatagram { from, ecn: None, bytes: Bytes::copy_from_slice(packet) }),
                )
            }
            None if self.reject_unknown => {
                let quoted = Bytes::copy_from_slice(packet.get(..QUOTED).unwrap_or(packet));
                let to = PathAddr { local: Some(source), ..path };
                (from, Arrival::Icmp(IcmpError { to, kind: Unreachable::Protocol, quoted }))
            }
            None => return None,
        };
        let inbox = self.inboxes.get_mut(&to)?;
        if inbox.queue.len() >= INBOX_PACKETS {
            return None;
        }
        inbox.queue.push_back((Instant::now() + self.delay, arrival));
        inbox.waker.take()
    }
}

/// One host's access to a [`MemoryNet`]; dropping it detaches the host.
pub struct MemoryLink {
    net: MemoryNet,
    id: u64,
    addrs: Vec<IpAddr>,
    udp_port: Option<u16>,
    sleep: Option<Pin<Box<Sleep>>>,
    segments: usize,
}

impl MemoryLink {
    /// Sets how many packets the stack may hand over at once. Default 16.
    #[must_use]
    pub fn with_segments(mut self, segments: usize) -> Self {
        self.segments = segments.max(1);
        self
    }
}

impl Link for MemoryLink {
    fn handles(&self, encap: Encap) -> bool {
        matches!(encap, Encap::Udp { .. }) == self.udp_port.is_some()
    }

    fn max_segments(&self) -> usize {
        self.segments
    }

    fn ip_mtu(&self) -> usize {
        usize::from(u16::MAX)
    }

    fn local_udp_port(&self) -> Option<u16> {
        self.udp_port
    }

    fn local_addrs(&self) -> Vec<IpAddr> {
        self.addrs.clone()
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>, batch: &mut RecvBatch) -> Poll<io::Result<()>> {
        loop {
            let due = {
                let mut state = self.net.lock();
                let Some(inbox) = state.inboxes.get_mut(&self.id) else {
                    return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
                };
                let now = Instant::now();
                while batch.datagrams.len() < BATCH && inbox.queue.front().is_some_and(|(at, _)| *at <= now) {
                    match inbox.queue.pop_front() {
                        Some((_, Arrival::Packet(datagram))) => batch.datagrams.push(datagram),
                        Some((_, Arrival::Icmp(error))) => batch.errors.push(error),
                        None => break,
                    }
                }
                if !batch.is_empty() {
                    return Poll::Ready(Ok(()));
                }
                inbox.waker = Some(cx.waker().clone());
                inbox.queue.front().map(|(at, _)| *at)
            };
            let Some(due) = due else { return Poll::Pending };
            let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
            sleep.as_mut().reset(due);
            if sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    fn poll_send(
        &mut self,
        _cx: &mut Context<'_>,
        transmit: &Transmit,
        bytes: &[u8],
    ) -> Poll<io::Result<()>> {
        let path = transmit.path;
        if !self.handles(path.encap) {
            return Poll::Ready(Err(io::ErrorKind::Unsupported.into()));
        }
        let source = match path.local {
            Some(local) => self.addrs.iter().find(|a| **a == local),
            None => self.addrs.iter().find(|a| a.is_ipv4() == path.remote.is_ipv4()),
        };
        let Some(source) = source.copied() else {
            return Poll::Ready(Err(io::ErrorKind::AddrNotAvailable.into()));
        };
        let mut wakers = Vec::new();
        {
            let mut state = self.net.lock();
            for packet in bytes.chunks(transmit.segment_size.unwrap_or(bytes.len()).max(1)) {
                wakers.extend(state.carry(self.id, self.udp_port, path, source, packet));
            }
        }
        for waker in wakers {
            waker.wake();
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for MemoryLink {
    fn drop(&mut self) {
        let mut state = self.net.lock();
        state.inboxes.remove(&self.id);
        let id = self.id;
        state.hosts.retain(|_, host| *host != id);
    }
}

impl fmt::Debug for MemoryLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryLink")
            .field("addrs", &self.addrs)
            .field("udp_port", &self.udp_port)
            .finish_non_exhaustive()
    }
}

/// Packets that wait for one host; more are lost, as in the queue of a router.
const INBOX_PACKETS: usize = 4096;
/// Packets given in one batch.
const BATCH: usize = 64;
/// Bytes of a packet that an ICMP error quotes.
const QUOTED: usize = 64;
