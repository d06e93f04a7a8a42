//! Links over the simulated network of the core (feature `sim`). With them stacks talk to each
//! other in memory, for tests and examples.
//!
//! [`sctp_user_core::sim`] provides delay, loss, reordering, rates, NAT and cuts. Time is that of
//! tokio's clock. On a current-thread runtime with a paused clock, a run is deterministic and takes
//! no real time.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use sctp_user_core::sim::{Arrival, DropReason, IpPacket, Net, UdpPorts};
use sctp_user_core::{Encap, PathAddr, Time, Transmit};
use tokio::time::{Instant, Sleep};

use super::{IcmpError, Link, RecvBatch, RecvDatagram};

/// A simulated network that uses tokio's clock. All clones are the same network.
#[derive(Clone)]
pub struct SimNet {
    state: Arc<Mutex<State>>,
}

impl SimNet {
    /// A network of perfect links. `seed` decides all random events when the links are made less
    /// perfect.
    pub fn new(seed: u64) -> Self {
        let state = State {
            net: Net::new(seed),
            start: Instant::now(),
            listeners: BTreeMap::new(),
            hosts: BTreeMap::new(),
            next_host: 0,
        };
        SimNet { state: Arc::new(Mutex::new(state)) }
    }

    /// Reads or changes the network: link models, cuts, taps, NAT boxes, ICMP, the log.
    pub fn with<R>(&self, f: impl FnOnce(&mut Net) -> R) -> R {
        f(&mut self.lock().net)
    }

    /// Attaches a host with these addresses that sends and receives UDP-encapsulated SCTP on
    /// `udp_port`. Several links can have the same addresses if their ports differ, like processes
    /// on one host. A new link replaces an earlier one that has the same address and port.
    pub fn link(&self, addrs: &[IpAddr], udp_port: u16) -> SimLink {
        self.attach(addrs, Some(udp_port))
    }

    /// Attaches a host with these addresses that sends and receives native SCTP.
    pub fn native_link(&self, addrs: &[IpAddr]) -> SimLink {
        self.attach(addrs, None)
    }

    fn attach(&self, addrs: &[IpAddr], udp_port: Option<u16>) -> SimLink {
        let mut state = self.lock();
        let host = state.next_host;
        state.next_host += 1;
        state.hosts.insert(host, Inbox::default());
        for addr in addrs {
            state.listeners.insert((*addr, udp_port), host);
        }
        SimLink {
            net: self.clone(),
            host,
            addrs: addrs.to_vec(),
            udp_port,
            sleep: None,
            segments: 16,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for SimNet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimNet").field("hosts", &self.lock().hosts.len()).finish_non_exhaustive()
    }
}

struct State {
    net: Net,
    start: Instant,
    /// Which host gets the packets for an address and UDP port, or for an address without UDP.
    listeners: BTreeMap<(IpAddr, Option<u16>), u64>,
    hosts: BTreeMap<u64, Inbox>,
    next_host: u64,
}

#[derive(Default)]
struct Inbox {
    queue: VecDeque<Arrival>,
    waker: Option<Waker>,
}

impl State {
    fn now(&self) -> Time {
        Time::from_nanos(u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    /// Moves everything that has arrived by now to the inboxes of the hosts.
    fn deliver(&mut self, wakers: &mut Vec<Waker>) {
        let now = self.now();
        while let Some((at, arrival)) = self.net.poll_arrival(now) {
            let key = match &arrival {
                Arrival::Packet(packet) => (packet.dst, packet.udp.map(|p| p.dst)),
                Arrival::Icmp(error) => (error.quoted.src, error.quoted.udp.map(|p| p.src)),
            };
            let host = self.listeners.get(&key).and_then(|host| self.hosts.get_mut(host));
            match (host, arrival) {
                (Some(inbox), arrival) => {
                    inbox.queue.push_back(arrival);
                    wakers.extend(inbox.waker.take());
                }
                (None, Arrival::Packet(packet)) => {
                    let known = self.listeners.keys().any(|(addr, _)| *addr == packet.dst);
                    let why = if known { DropReason::NoListener } else { DropReason::NoHost };
                    self.net.refuse(at, packet, why);
                }
                (None, Arrival::Icmp(_)) => {}
            }
        }
    }
}

/// The link of one host to a [`SimNet`]. Dropping it detaches the host.
pub struct SimLink {
    net: SimNet,
    host: u64,
    addrs: Vec<IpAddr>,
    udp_port: Option<u16>,
    sleep: Option<Pin<Box<Sleep>>>,
    segments: usize,
}

impl SimLink {
    /// Sets how many packets the stack may hand over at once. Default 16.
    #[must_use]
    pub fn with_segments(mut self, segments: usize) -> Self {
        self.segments = segments.max(1);
        self
    }

    /// Moves packets from the inbox to `batch`. If there are none, arranges for the waker of `cx`
    /// to be called when one comes, and returns when the next packet arrives anywhere in the
    /// network.
    fn take(
        &self,
        cx: &Context<'_>,
        batch: &mut RecvBatch,
        wakers: &mut Vec<Waker>,
    ) -> Result<(), Option<Instant>> {
        let mut state = self.net.lock();
        state.deliver(wakers);
        let next = state.net.poll_timeout();
        let start = state.start;
        let Some(inbox) = state.hosts.get_mut(&self.host) else { return Err(None) };
        let n = inbox.queue.len().min(BATCH);
        for arrival in inbox.queue.drain(..n) {
            match arrival {
                Arrival::Packet(packet) => {
                    let from = PathAddr {
                        local: Some(packet.dst),
                        remote: packet.src,
                        encap: packet.encap(),
                    };
                    batch.datagrams.push(RecvDatagram {
                        from,
                        ecn: packet.ecn,
                        bytes: packet.sctp,
                    });
                }
                Arrival::Icmp(error) => {
                    let quoted = error.quoted;
                    let encap = match quoted.udp {
                        Some(ports) => Encap::Udp { remote_port: ports.dst },
                        None => Encap::Native,
                    };
                    let to = PathAddr { local: Some(quoted.src), remote: quoted.dst, encap };
                    batch.errors.push(IcmpError { to, kind: error.kind, quoted: quoted.sctp });
                }
            }
        }
        if n > 0 {
            return Ok(());
        }
        inbox.waker = Some(cx.waker().clone());
        Err(next.map(|at| start + Duration::from_nanos(at.as_nanos())))
    }
}

impl Link for SimLink {
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
            let mut wakers = Vec::new();
            let taken = self.take(cx, batch, &mut wakers);
            wakers.into_iter().for_each(Waker::wake);
            let next = match taken {
                Ok(()) => return Poll::Ready(Ok(())),
                Err(None) => return Poll::Pending,
                Err(Some(next)) => next,
            };
            let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(next)));
            sleep.as_mut().reset(next);
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
        let src = match path.local {
            Some(local) => self.addrs.iter().find(|a| **a == local),
            None => self.addrs.iter().find(|a| a.is_ipv4() == path.remote.is_ipv4()),
        };
        let Some(src) = src.copied() else {
            return Poll::Ready(Err(io::ErrorKind::AddrNotAvailable.into()));
        };
        let udp = match path.encap {
            Encap::Native => None,
            Encap::Udp { remote_port } => {
                Some(UdpPorts { src: self.udp_port.unwrap_or(0), dst: remote_port })
            }
        };
        let mut state = self.net.lock();
        let now = state.now();
        for sctp in bytes.chunks(transmit.segment_size.unwrap_or(bytes.len()).max(1)) {
            let packet = IpPacket {
                src,
                dst: path.remote,
                udp,
                ecn: transmit.ecn,
                may_fragment: transmit.may_fragment,
                sctp: Bytes::copy_from_slice(sctp),
            };
            state.net.send(now, packet);
        }
        // The next arrival may be earlier now, so wake all hosts to set their timers again.
        let wakers: Vec<Waker> =
            state.hosts.values_mut().filter_map(|inbox| inbox.waker.take()).collect();
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(()))
    }
}

impl Drop for SimLink {
    fn drop(&mut self) {
        let mut state = self.net.lock();
        state.hosts.remove(&self.host);
        let host = self.host;
        state.listeners.retain(|_, h| *h != host);
    }
}

impl fmt::Debug for SimLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimLink")
            .field("addrs", &self.addrs)
            .field("udp_port", &self.udp_port)
            .finish_non_exhaustive()
    }
}

/// The most packets in one batch.
const BATCH: usize = 64;
