//! The public core: many ports and associations over any number of links.

use core::time::Duration;
use std::net::IpAddr;

use bytes::Bytes;

use crate::addr::{Datagram, Message, PathAddr, Peer, Received, SegmentLimits, Transmit};
use crate::config::{AssocConfig, StackConfig};
use crate::error::{BindError, ConfigError, ConnectError, NotFound, SendError};
use crate::event::Event;
use crate::stats::{AssocStats, AssocStatus, PathStatus, StackStats};
use crate::time::Time;

/// Names an association of a [`Stack`]; never reused for another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AssocId {
    index: u32,
    generation: u32,
}

/// An SCTP stack: ports, associations and the routing between them.
pub struct Stack {}

#[allow(unused_variables, clippy::unimplemented)]
impl Stack {
    /// Makes a stack. All randomness (tags, TSNs, nonces, keys, jitter) comes from `seed`.
    pub fn new(config: StackConfig, seed: [u8; 32]) -> Self {
        unimplemented!()
    }

    /// Binds an SCTP port: `port` 0 picks a random free one in 49152..=65535. `addrs` empty means all addresses
    /// (and none is announced to peers unless `StackConfig::local_addresses` is set); one address pins the source; several make the
    /// port multi-homed. `config` applies to associations set up through this port.
    ///
    /// # Errors
    /// When the port is taken, an address is not unicast, or the configuration is not valid.
    pub fn bind(&mut self, port: u16, addrs: &[IpAddr], config: AssocConfig) -> Result<u16, BindError> {
        unimplemented!()
    }

    /// Accepts new associations on a bound port, with at most `backlog` of them waiting in
    /// [`accept`](Self::accept); 0 stops listening. Beyond the backlog INITs get an ABORT "out of resource".
    ///
    /// # Errors
    /// When the port is not bound.
    pub fn listen(&mut self, port: u16, backlog: usize) -> Result<(), NotFound> {
        unimplemented!()
    }

    /// Takes the next incoming association of a listening port.
    pub fn accept(&mut self, port: u16) -> Option<AssocId> {
        unimplemented!()
    }

    /// Gives the port up. Its associations live on; the port is free for `bind` when the last one is gone.
    /// Associations never accepted are aborted.
    pub fn unbind(&mut self, now: Time, port: u16) {
        unimplemented!()
    }

    /// Replaces the configuration for future associations of a port.
    ///
    /// # Errors
    /// When the configuration is not valid (unknown ports are ignored).
    pub fn set_port_config(&mut self, port: u16, config: AssocConfig) -> Result<(), ConfigError> {
        unimplemented!()
    }

    /// Starts an association from a bound port. The outcome is an [`Event::Up`] or [`Event::Lost`]. Messages
    /// may be queued at once; they travel with the COOKIE ECHO. `config` overrides that of the port.
    ///
    /// # Errors
    /// When the port is not bound, the peer is unusable or there already is such an association.
    pub fn connect(
        &mut self,
        now: Time,
        port: u16,
        peer: &Peer,
        config: Option<AssocConfig>,
    ) -> Result<AssocId, ConnectError> {
        unimplemented!()
    }

    /// Takes one received packet. Call it for a whole batch before polling: acknowledgements are then decided
    /// once for the batch.
    pub fn handle_datagram(&mut self, datagram: Datagram) {
        unimplemented!()
    }

    /// Takes an ICMP error: `quoted` is the SCTP packet as quoted by the ICMP message (from the SCTP common header on,
    /// at least 8 bytes), `to` the path it was sent to (for UDP with the peer's UDP port). Believed only when the quoted
    /// verification tag is right (RFC 9260 sec 10).
    pub fn handle_unreachable(&mut self, now: Time, to: PathAddr, kind: Unreachable, quoted: &[u8]) {
        unimplemented!()
    }

    /// Fires every timer that is due at `now`.
    pub fn handle_timeout(&mut self, now: Time) {
        unimplemented!()
    }

    /// Appends the next packet(s) to `buf` and says where they go; `None` when there is nothing to send now.
    pub fn poll_transmit(&mut self, now: Time, limits: SegmentLimits, buf: &mut Vec<u8>) -> Option<Transmit> {
        unimplemented!()
    }

    /// When [`handle_timeout`](Self::handle_timeout) must be called next at the latest.
    pub fn poll_timeout(&mut self) -> Option<Time> {
        unimplemented!()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<(AssocId, Event)> {
        unimplemented!()
    }

    /// Queues a message.
    ///
    /// # Errors
    /// The message is handed back by not being taken; see [`SendError`].
    pub fn send(&mut self, now: Time, id: AssocId, message: Message) -> Result<(), SendError> {
        unimplemented!()
    }

    /// Queues several messages as one unit: all or none. They share packets where they fit.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_all(&mut self, now: Time, id: AssocId, messages: Vec<Message>) -> Result<(), SendError> {
        unimplemented!()
    }

    /// Takes the next received message. Reading grows the window announced to the peer. Messages may still be
    /// read after the association ended, until it is [`release`](Self::release)d.
    pub fn recv(&mut self, now: Time, id: AssocId) -> Option<Received> {
        unimplemented!()
    }

    /// Begins the graceful shutdown (RFC 9260 sec 9.2): what is queued is still sent.
    ///
    /// # Errors
    /// When there is no such association.
    pub fn shutdown(&mut self, now: Time, id: AssocId) -> Result<(), NotFound> {
        unimplemented!()
    }

    /// Ends the association with an ABORT carrying `reason` (cause 12). Gives [`Event::Lost`] with `LocalAbort`.
    ///
    /// # Errors
    /// When there is no such association.
    pub fn abort(&mut self, now: Time, id: AssocId, reason: Bytes) -> Result<(), NotFound> {
        unimplemented!()
    }

    /// Says that the user is done with an association: unread data is dropped and, once the association has
    /// ended, its slot is freed. Must be called once for every association that was given out by `connect`,
    /// `accept` or an event; an association still alive goes on (shut it down or abort it first).
    pub fn release(&mut self, now: Time, id: AssocId) {
        unimplemented!()
    }

    /// Asks for a heartbeat on the path to `addr` at once (RFC 9260 sec 11.1.9).
    ///
    /// # Errors
    /// When there is no such association or address.
    pub fn request_heartbeat(&mut self, now: Time, id: AssocId, addr: IpAddr) -> Result<(), NotFound> {
        unimplemented!()
    }

    /// Makes the path to `addr` the primary one.
    ///
    /// # Errors
    /// When there is no such association or confirmed address.
    pub fn set_primary(&mut self, now: Time, id: AssocId, addr: IpAddr) -> Result<(), NotFound> {
        unimplemented!()
    }

    /// Changes settings of a live association: timers, limits, buffers, heartbeat. Stream counts and MTUs stay.
    ///
    /// # Errors
    /// When there is no such association.
    pub fn configure(
        &mut self,
        now: Time,
        id: AssocId,
        change: impl FnOnce(&mut AssocConfig),
    ) -> Result<Result<(), ConfigError>, NotFound> {
        unimplemented!()
    }

    /// State and figures of an association; also after its end until it is released.
    pub fn status(&self, id: AssocId) -> Option<AssocStatus> {
        unimplemented!()
    }

    /// All paths of an association.
    pub fn paths(&self, id: AssocId) -> Vec<PathStatus> {
        unimplemented!()
    }

    /// Counters of an association.
    pub fn assoc_stats(&self, id: AssocId) -> Option<AssocStats> {
        unimplemented!()
    }

    /// Local addresses of an association as announced to the peer.
    pub fn local_addrs(&self, id: AssocId) -> Vec<IpAddr> {
        unimplemented!()
    }

    /// Counters of the stack.
    pub fn stats(&self) -> StackStats {
        unimplemented!()
    }

    /// Aborts everything (the stack is going away); drain `poll_transmit` once more afterwards.
    pub fn abort_all(&mut self, now: Time, reason: Bytes) {
        unimplemented!()
    }

    /// Checks the invariants of every association: data outstanding on a path implies that its T3 runs, flight equals the sum
    /// of outstanding chunks, and so on. For tests; costs time proportional to everything outstanding.
    ///
    /// # Errors
    /// A sentence that names the first violated invariant.
    pub fn verify(&self) -> Result<(), String> {
        unimplemented!()
    }
}

/// What an ICMP error said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreachable {
    /// ICMP protocol unreachable, ICMPv6 unrecognized next header or, under UDP encapsulation, port unreachable.
    Protocol,
    /// Any other "destination unreachable".
    Destination,
    /// Fragmentation needed or Packet Too Big: the largest IP packet that fits.
    PacketTooBig {
        /// MTU of the next hop, bytes.
        ip_mtu: u16,
    },
}

#[allow(dead_code)]
const _: Option<Duration> = None;
