//! The socket semantics of RFC 6458 without a runtime: one-to-one and one-to-many sockets over a
//! [`Stack`].
//!
//! No call blocks. A call that would have to wait returns [`SocketError::WouldBlock`] instead.
//! [`Sockets::poll_ready`] names the sockets for which something has become possible, so that a
//! runtime can wake exactly the tasks that wait for them. Apart from that, a program drives
//! [`Sockets`] like the stack inside it: it hands in datagrams and the time, makes the user's
//! calls, then drains [`poll_transmit`](Sockets::poll_transmit) and
//! [`poll_ready`](Sockets::poll_ready), and sleeps until [`poll_timeout`](Sockets::poll_timeout).

mod assocs;
mod autoclose;
mod ending;
mod error;
mod event;
mod notification;
mod options;
mod record;
mod reuse;
mod send_defaults;
mod setup;
#[cfg(test)]
mod tests;
mod transfer;

pub use ending::How;
pub use error::{EndReason, SocketError};
pub use notification::{AssocChange, Incoming, Notification, Subscriptions};
pub use options::{Interleave, Linger, SocketOptions, Style};
pub use send_defaults::SendDefaults;
pub use transfer::{Next, SendOutcomes, Target};

use core::fmt;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;

use bytes::Bytes;
use slab::Slab;

use crate::addr::{Datagram, PathAddr, SegmentLimits, Transmit};
use crate::config::StackConfig;
use crate::stack::{AssocId, Stack, Unreachable};
use crate::time::{Time, earlier};

use assocs::Assocs;
use record::{Assoc, Socket};

/// Names an open socket of a [`Sockets`]. It never names another socket later. Its `Display` is a
/// short name for logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SocketId {
    index: u32,
    serial: u64,
}

impl fmt::Display for SocketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.index, self.serial)
    }
}

/// What has become possible on a socket since the last time [`Sockets::poll_ready`] named it. This
/// is a hint: the call may still return [`SocketError::WouldBlock`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ready {
    /// The socket.
    pub socket: SocketId,
    /// [`Sockets::try_recv`] has something to return; the end of an association counts, too.
    pub readable: bool,
    /// [`Sockets::try_send`] has room again, or will fail at once.
    pub writable: bool,
    /// [`Sockets::accept`] has a new association.
    pub acceptable: bool,
    /// [`Sockets::connect_result`] is known.
    pub connected: bool,
    /// An association of the socket has ended.
    pub ended: bool,
}

/// SCTP sockets over one [`Stack`].
pub struct Sockets {
    stack: Stack,
    sockets: Slab<Socket>,
    next_serial: u64,
    assocs: Assocs,
    /// The socket that takes the new associations of a bound port.
    ports: BTreeMap<u16, SocketId>,
    /// Ports that sockets with [`SocketOptions::reuse_port`] gave up while associations lived on.
    /// Some may be free by now.
    given_up: BTreeSet<u16>,
    /// Sockets that [`poll_ready`](Self::poll_ready) has to name. Each stands here once.
    ready: VecDeque<SocketId>,
    /// When to look at an association for SCTP_AUTOCLOSE.
    autoclose: BTreeSet<(Time, AssocId)>,
}

impl Sockets {
    /// Makes a stack without sockets. All randomness comes from `seed`.
    pub fn new(config: StackConfig, seed: [u8; 32]) -> Self {
        Sockets {
            stack: Stack::new(config, seed),
            sockets: Slab::new(),
            next_serial: 0,
            assocs: Assocs::default(),
            ports: BTreeMap::new(),
            given_up: BTreeSet::new(),
            ready: VecDeque::new(),
            autoclose: BTreeSet::new(),
        }
    }

    /// The stack, for its states and counters.
    pub fn stack(&self) -> &Stack {
        &self.stack
    }

    /// Sets the addresses that the host has now; see [`Stack::set_host_addrs`].
    pub fn set_host_addrs(&mut self, addrs: Vec<IpAddr>) {
        self.stack.set_host_addrs(addrs);
    }

    /// Takes one received packet; see [`Stack::handle_datagram`].
    pub fn handle_datagram(&mut self, datagram: Datagram) {
        let now = datagram.at;
        self.stack.handle_datagram(datagram);
        self.handle_events(now);
    }

    /// Takes an ICMP error; see [`Stack::handle_unreachable`].
    pub fn handle_unreachable(
        &mut self,
        now: Time,
        to: PathAddr,
        kind: Unreachable,
        quoted: &[u8],
    ) {
        self.stack.handle_unreachable(now, to, kind, quoted);
        self.handle_events(now);
    }

    /// Fires every timer that is due at `now`.
    pub fn handle_timeout(&mut self, now: Time) {
        self.stack.handle_timeout(now);
        self.handle_events(now);
        self.close_idle(now);
    }

    /// The next packet(s) to send; see [`Stack::poll_transmit`].
    pub fn poll_transmit(
        &mut self,
        now: Time,
        limits: SegmentLimits,
        buf: &mut Vec<u8>,
    ) -> Option<Transmit> {
        let transmit = self.stack.poll_transmit(now, limits, buf);
        if transmit.is_none() {
            // Sending may have ended an association (with the last SHUTDOWN COMPLETE), and messages
            // may have expired.
            self.handle_events(now);
        }
        transmit
    }

    /// The latest time for the next call of [`handle_timeout`](Self::handle_timeout).
    pub fn poll_timeout(&mut self) -> Option<Time> {
        let autoclose = self.autoclose.first().map(|(at, _)| *at);
        earlier(self.stack.poll_timeout(), autoclose)
    }

    /// As [`poll_timeout`](Self::poll_timeout), but cheaper and perhaps too early; see
    /// [`Stack::poll_wakeup`].
    pub fn poll_wakeup(&mut self) -> Option<Time> {
        earlier(self.stack.poll_wakeup(), self.autoclose.first().map(|(at, _)| *at))
    }

    /// The next socket on which something has become possible. It comes once, with everything new.
    pub fn poll_ready(&mut self) -> Option<Ready> {
        while let Some(id) = self.ready.pop_front() {
            if let Some(socket) = self.socket_mut(id) {
                return Some(socket.readiness.take(id));
            }
        }
        None
    }

    /// Aborts every association because the stack is going away. Drain
    /// [`poll_transmit`](Self::poll_transmit) once more afterwards.
    pub fn abort_all(&mut self, now: Time, reason: Bytes) {
        self.stack.abort_all(now, reason);
        self.handle_events(now);
    }

    /// Stops listening everywhere and begins the graceful shutdown of every association, including
    /// those not accepted yet. It is done when
    /// [`StackStats::associations`](crate::StackStats::associations) is 0.
    pub fn shutdown_all(&mut self, now: Time) {
        let ports: Vec<(u16, SocketId)> =
            self.ports.iter().map(|(port, id)| (*port, *id)).collect();
        for (port, id) in ports {
            self.take_incoming(now, port, id);
            let _ = self.stack.listen(port, 0);
            if let Some(socket) = self.socket_mut(id) {
                socket.listening = false;
            }
        }
        let all: Vec<AssocId> =
            self.sockets.iter().flat_map(|(_, s)| s.members.iter().copied()).collect();
        for assoc in all {
            self.begin_shutdown(now, assoc);
        }
        self.handle_events(now);
    }

    /// The associations of a socket: none or one for a one-to-one socket.
    pub fn assocs_of(&self, id: SocketId) -> Vec<AssocId> {
        self.socket(id).map(|s| s.members.iter().copied().collect()).unwrap_or_default()
    }

    /// The SCTP port of a socket, or `None` when it is not bound. For a one-to-one socket with an
    /// association it is the port of the association. That may differ from the port that was bound
    /// if nobody asked for a certain one.
    pub fn local_port(&self, id: SocketId) -> Option<u16> {
        let socket = self.socket(id)?;
        let assoc = socket.members.first().filter(|_| socket.style == Style::OneToOne);
        let status = assoc.and_then(|assoc| self.stack.status(*assoc));
        status.map(|status| status.local_port).or(socket.port)
    }

    /// The addresses the socket was bound to. Empty means all addresses.
    pub fn local_addrs(&self, id: SocketId) -> Vec<IpAddr> {
        self.socket(id).map(|s| s.addrs.clone()).unwrap_or_default()
    }

    /// Whether an association has come up. It may have ended since.
    pub fn was_up(&self, assoc: AssocId) -> bool {
        self.assocs.get(&assoc).is_some_and(|a| a.up)
    }

    /// Whether this side began the shutdown of an association.
    pub fn shutdown_begun(&self, assoc: AssocId) -> bool {
        self.assocs.get(&assoc).is_some_and(|a| a.shutdown_begun)
    }

    /// Why an association of an open socket ended, or `None` while it lives.
    pub fn end_reason(&self, assoc: AssocId) -> Option<&EndReason> {
        self.assocs.get(&assoc).and_then(|a| a.end.as_ref())
    }

    fn socket(&self, id: SocketId) -> Option<&Socket> {
        self.sockets.get(id.index as usize).filter(|s| s.serial == id.serial)
    }

    fn socket_mut(&mut self, id: SocketId) -> Option<&mut Socket> {
        self.sockets.get_mut(id.index as usize).filter(|s| s.serial == id.serial)
    }

    fn open_socket(&mut self, id: SocketId) -> Result<&mut Socket, SocketError> {
        self.socket_mut(id).ok_or(SocketError::BadSocket)
    }

    /// The record of `assoc` if it belongs to socket `id`.
    fn member(&mut self, id: SocketId, assoc: AssocId) -> Result<&mut Assoc, SocketError> {
        self.open_socket(id)?;
        self.assocs
            .get_mut(&assoc)
            .filter(|a| a.socket == id && a.accepted)
            .ok_or(SocketError::NotConnected)
    }
}
