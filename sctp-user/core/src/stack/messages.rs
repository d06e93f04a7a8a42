//! Sending and receiving messages.

use std::net::IpAddr;

use crate::addr::{Message, NextInfo, Received};
use crate::error::SendError;
use crate::time::Time;

use super::{AssocId, Stack};

impl Stack {
    /// Queues a message.
    ///
    /// # Errors
    /// See [`SendError`]. The message is not queued then.
    pub fn send(&mut self, now: Time, id: AssocId, message: Message) -> Result<(), SendError> {
        self.exchange(now, id, |assoc, cx| assoc.send(cx, [message], None))
            .unwrap_or(Err(SendError::NotFound))
    }

    /// Queues a message that goes to the address `to` of the peer and not over the primary path
    /// (SCTP_ADDR_OVER, RFC 6458 sec 5.3.4). While the path to `to` has failed, the message goes
    /// like any other, and so do retransmissions.
    ///
    /// # Errors
    /// As [`send`](Self::send), and [`SendError::NoSuchAddress`].
    pub fn send_via(
        &mut self,
        now: Time,
        id: AssocId,
        to: IpAddr,
        message: Message,
    ) -> Result<(), SendError> {
        self.exchange(now, id, |assoc, cx| assoc.send(cx, [message], Some(to)))
            .unwrap_or(Err(SendError::NotFound))
    }

    /// Queues either all of these messages or none. They share packets where they fit.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_unit(
        &mut self,
        now: Time,
        id: AssocId,
        messages: Vec<Message>,
    ) -> Result<(), SendError> {
        self.exchange(now, id, |assoc, cx| assoc.send(cx, messages, None))
            .unwrap_or(Err(SendError::NotFound))
    }

    /// Takes the next received message. Reading enlarges the window announced to the peer. Messages
    /// may still be read after the association has ended, until it is [`release`](Self::release)d.
    pub fn recv(&mut self, now: Time, id: AssocId) -> Option<Received> {
        self.exchange(now, id, |assoc, _| assoc.recv()).flatten()
    }

    /// As [`recv`](Self::recv), the first message on `stream` among the next ones, of which `among`
    /// are looked at, with how many lie before it. Those stay where they are.
    pub fn recv_on(
        &mut self,
        now: Time,
        id: AssocId,
        stream: u16,
        among: usize,
    ) -> Option<(usize, Received)> {
        self.exchange(now, id, |assoc, _| assoc.recv_on(stream, among)).flatten()
    }

    /// Describes what [`recv`](Self::recv) would return now, without taking it.
    pub fn next_info(&self, id: AssocId) -> Option<NextInfo> {
        self.table.get(id)?.assoc.next_info()
    }

    /// Number of messages, or parts of one, that [`recv`](Self::recv) could return now.
    pub fn recv_pending(&self, id: AssocId) -> usize {
        self.table.get(id).map_or(0, |e| e.assoc.recv_pending())
    }
}
