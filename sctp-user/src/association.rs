//! An association: messages and notifications in both directions.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use sctp_user_core::socket::{EndReason, Incoming, Subscriptions};
use sctp_user_core::{
    AssocConfig, AssocId, AssocStats, AssocStatus, Message, PathAddr, PathStatus, Received, SendOptions,
};

use crate::error::Error;

/// An SCTP association. Clones mean the same association; all methods take `&self`, so that one task can receive
/// while another sends.
///
/// When the last clone is dropped and [`shutdown`](Self::shutdown) or [`start_shutdown`](Self::start_shutdown) was not called, the association is
/// aborted, so that the peer does not talk to nobody. After `start_shutdown` the shutdown goes on in the
/// background, as long as the stack lives.
#[derive(Clone, Debug)]
pub struct Association {
    _private: (),
}

#[allow(unused_variables, clippy::unimplemented, clippy::unused_async)]
impl Association {
    /// Names the association in its stack; never used again for another one.
    pub fn id(&self) -> AssocId {
        unimplemented!()
    }

    /// Sends a message: waits until the send buffer has room and queues it. `Ok` means queued, not
    /// delivered. Cancel-safe: a dropped future has sent nothing.
    ///
    /// # Errors
    /// [`Error::Ended`], [`Error::ShuttingDown`], [`Error::Message`], [`Error::Stopped`].
    pub async fn send(&self, message: Message) -> Result<(), Error> {
        unimplemented!()
    }

    /// As [`send`](Self::send), with the parts of the message one by one; `ppid` is the number on the wire, in host
    /// order.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub async fn send_bytes(
        &self,
        stream: u16,
        ppid: u32,
        options: SendOptions,
        data: impl Into<Bytes>,
    ) -> Result<(), Error> {
        unimplemented!()
    }

    /// Sends several messages as one unit: all are queued at once or, with an error or a dropped future, none. They
    /// share packets where they fit. Waits until the send buffer has room.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub async fn send_all(&self, messages: Vec<Message>) -> Result<(), Error> {
        unimplemented!()
    }

    /// Queues a message without waiting.
    ///
    /// # Errors
    /// [`Error::WouldBlock`] when the send buffer is full, else as [`send`](Self::send).
    pub fn try_send(&self, message: Message) -> Result<(), Error> {
        unimplemented!()
    }

    /// Waits for the next message or subscribed notification. `Ok(None)` is the end: the peer has shut down and everything
    /// was read. Cancel-safe: a dropped future has taken nothing.
    ///
    /// # Errors
    /// [`Error::Ended`] when the association was lost (after everything received was read), [`Error::Stopped`].
    pub async fn recv(&self) -> Result<Option<Incoming>, Error> {
        unimplemented!()
    }

    /// As [`recv`](Self::recv), passing over notifications.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub async fn recv_message(&self) -> Result<Option<Received>, Error> {
        unimplemented!()
    }

    /// As [`recv`](Self::recv), without waiting.
    ///
    /// # Errors
    /// [`Error::WouldBlock`] when there is nothing, else as [`recv`](Self::recv).
    pub fn try_recv(&self) -> Result<Option<Incoming>, Error> {
        unimplemented!()
    }

    /// Chooses which notifications [`recv`](Self::recv) gives.
    pub fn subscribe(&self, subscriptions: Subscriptions) {
        unimplemented!()
    }

    /// Waits until the association is up; at once for one that is.
    ///
    /// # Errors
    /// [`Error::Ended`] when it could not be set up, [`Error::Stopped`].
    pub async fn established(&self) -> Result<(), Error> {
        unimplemented!()
    }

    /// Shuts down gracefully: everything queued is still delivered, then the association ends. Waits until it has. What
    /// the peer still sends meanwhile waits for [`recv`](Self::recv); more of it than the receive buffer holds keeps the shutdown from completing.
    ///
    /// # Errors
    /// [`Error::Ended`] when the association was lost before the shutdown was complete, [`Error::Stopped`].
    pub async fn shutdown(&self) -> Result<(), Error> {
        unimplemented!()
    }

    /// Begins the graceful shutdown without waiting for its end. Does nothing when it has begun or is over.
    pub fn start_shutdown(&self) {
        unimplemented!()
    }

    /// Ends the association with an ABORT that carries `reason` (cause 12); the peer learns it as
    /// [`LossReason::PeerAbort`](crate::LossReason::PeerAbort). Messages queued are lost.
    pub fn abort(&self, reason: impl Into<Bytes>) {
        unimplemented!()
    }

    /// Waits until the association has ended, for whatever reason, and says why. `None` when the stack was stopped first.
    pub async fn ended(&self) -> Option<EndReason> {
        unimplemented!()
    }

    /// Why the association ended; `None` while it lives.
    pub fn end_reason(&self) -> Option<EndReason> {
        unimplemented!()
    }

    /// State and figures (SCTP_STATUS); also after the end. `None` when the stack is gone.
    pub fn status(&self) -> Option<AssocStatus> {
        unimplemented!()
    }

    /// All paths, with addresses, state, round-trip times and congestion windows (SCTP_GET_PEER_ADDR_INFO).
    pub fn paths(&self) -> Vec<PathStatus> {
        unimplemented!()
    }

    /// The primary path.
    pub fn primary_path(&self) -> Option<PathStatus> {
        unimplemented!()
    }

    /// Smoothed round-trip time of the primary path; `None` before the first measurement.
    pub fn srtt(&self) -> Option<Duration> {
        unimplemented!()
    }

    /// Counters.
    pub fn stats(&self) -> AssocStats {
        unimplemented!()
    }

    /// The addresses of the peer with their encapsulation, which holds the peer's UDP port. The primary comes first.
    pub fn peer_addrs(&self) -> Vec<PathAddr> {
        unimplemented!()
    }

    /// SCTP port of the peer.
    pub fn peer_port(&self) -> u16 {
        unimplemented!()
    }

    /// Own addresses: those that were announced to the peer, or else those that the paths use.
    pub fn local_addrs(&self) -> Vec<IpAddr> {
        unimplemented!()
    }

    /// Own SCTP port.
    pub fn local_port(&self) -> u16 {
        unimplemented!()
    }

    /// Own UDP port of the stack's encapsulating link; `None` when there is none.
    pub fn local_udp_port(&self) -> Option<u16> {
        unimplemented!()
    }

    /// Changes settings of the live association: timers, limits, buffers, heartbeat. Numbers of streams and MTUs stay.
    ///
    /// # Errors
    /// [`Error::Config`] when the result is not valid (nothing changes then), [`Error::NoAssociation`] after the end.
    pub fn configure(&self, change: impl FnOnce(&mut AssocConfig)) -> Result<(), Error> {
        unimplemented!()
    }

    /// Makes the path to `addr` the primary one.
    ///
    /// # Errors
    /// [`Error::NoAssociation`] when there is no such confirmed address.
    pub fn set_primary(&self, addr: IpAddr) -> Result<(), Error> {
        unimplemented!()
    }

    /// Sends a heartbeat to `addr` at once.
    ///
    /// # Errors
    /// [`Error::NoAssociation`] when there is no such address.
    pub fn request_heartbeat(&self, addr: IpAddr) -> Result<(), Error> {
        unimplemented!()
    }
}
